//! A sidecar's address: as people write it, as it is connected to, and who else may be there; not the connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use tonic::transport::Endpoint;

use crate::errors::{Failure, Kind};

/// How long to wait for a connection: a sidecar is on the same machine or near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a sidecar listens unless it is configured otherwise.
const DEFAULT_PORT: u16 = 7667;

/// Where a sidecar is, as people write it.
pub(crate) fn endpoint(address: &str) -> Result<Endpoint, Failure> {
    let wrong = |message: String, next: String| Failure::new(Kind::Input, message).next(next);
    let uri = if let Some(path) = address.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        let whole = std::path::absolute(Path::new(path)).unwrap_or_else(|_| path.into());
        format!("unix://{}", whole.display())
    } else if address.contains("://") {
        address.to_owned()
    } else if address.starts_with(['/', '.', '~']) || address.ends_with(".sock") {
        let message =
            format!("expected host:port or unix:PATH, came `{address}`, which seems to be a path");
        return Err(wrong(message, format!("try \"unix:{address}\"")));
    } else {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
            if port.parse::<u16>().is_err() {
                let message = format!("expected a port of at most 65535, came `{address}`");
                return Err(wrong(message, format!("try \"{host}:{DEFAULT_PORT}\"")));
            }
        } else {
            let host = address.trim_end_matches(':');
            let message =
                format!("expected host:port or unix:PATH, came `{address}` without a port");
            let next = format!(
                "try \"{host}:{DEFAULT_PORT}\", where a sidecar listens unless configured otherwise"
            );
            return Err(wrong(message, next));
        }
        format!("http://{address}")
    };
    let endpoint = Endpoint::from_shared(uri).map_err(|error| {
        let message = format!("expected host:port or unix:PATH, came `{address}`: {error}");
        wrong(message, "give the sidecar's address as host:port or unix:PATH".to_owned())
    })?;
    Ok(endpoint.connect_timeout(CONNECT_TIMEOUT))
}

/// Whether a plain HTTP request gets a plain HTTP answer there.
pub(crate) fn speaks_http1(address: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let host = address.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut start = [0; 5];
        stream.read_exact(&mut start)?;
        Ok(&start == b"HTTP/")
    };
    !address.starts_with("unix:") && ask().unwrap_or(false)
}

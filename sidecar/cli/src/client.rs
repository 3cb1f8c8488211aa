//! The connection of this command to a sidecar. Not a client library: programs use the gRPC contract.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use skewless_proto::v1;
use skewless_proto::v1::admin_service_client::AdminServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::bench::code_name;
use crate::exit::{Failure, Next, Outcome};
use crate::show;

/// Bytes of one answer this command takes: what a sidecar sends at most by default.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where a sidecar listens unless it is configured otherwise.
const DEFAULT: &str = "127.0.0.1:7667";
const DEFAULT_PORT: u16 = 7667;

/// How long to wait for a connection: a sidecar is on the same machine or near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a person says the sidecar is.
#[derive(clap::Args, Debug)]
pub(crate) struct Address {
    /// Where the sidecar listens: host:port, or unix:PATH
    #[arg(long, value_name = "ADDRESS", env = "SKEWLESS_AT", default_value = DEFAULT)]
    pub(crate) at: String,
}

impl Address {
    pub(crate) async fn connect(&self) -> Outcome<Channel> {
        connect(&self.at).await
    }
}

/// Connects to `host:port`, `http://host:port` or `unix:PATH`.
pub(crate) async fn connect(address: &str) -> Outcome<Channel> {
    endpoint(address)?.connect().await.map_err(|error| {
        let why = innermost(&error);
        Failure::new(
            format!("no sidecar answers at {address}: {why}"),
            "start one with `skewless serve`, or say where it is with --at",
        )
    })
}

/// What [`connect`] connects to.
pub(crate) fn endpoint(address: &str) -> Outcome<Endpoint> {
    let next = || "give the sidecar's address as host:port or unix:PATH".to_owned();
    Ok(Endpoint::from_shared(uri(address)?).or_next(next)?.connect_timeout(CONNECT_TIMEOUT))
}

fn uri(address: &str) -> Outcome<String> {
    if let Some(path) = address.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        let whole = std::path::absolute(Path::new(path))?;
        return Ok(format!("unix://{}", whole.display()));
    }
    if address.contains("://") {
        return Ok(address.to_owned());
    }
    if address.starts_with(['/', '.', '~']) || address.ends_with(".sock") {
        return Err(Failure::new(
            format!("expected host:port or unix:PATH, came `{address}`, which seems to be a path"),
            format!("try --at unix:{address}"),
        ));
    }
    let port = address
        .trim_end_matches('/')
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none() {
        let host = address.trim_end_matches(':');
        return Err(Failure::new(
            format!("expected host:port or unix:PATH, came `{address}` without a port"),
            format!(
                "try --at {host}:{DEFAULT_PORT}, where a sidecar listens unless configured otherwise"
            ),
        ));
    }
    Ok(format!("http://{address}"))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Why a call to the sidecar at `address` failed: in the sidecar's own words, with what to do; or that no sidecar is
/// there.
pub(crate) fn refused(address: &str, status: &tonic::Status) -> Failure {
    if let Some(error) = std::error::Error::source(status) {
        return no_sidecar(address, error);
    }
    let next = match status.code() {
        tonic::Code::NotFound => "see what is served with `skewless check` in the feature repo",
        tonic::Code::InvalidArgument => "give the keys and request values the service declares",
        tonic::Code::ResourceExhausted => {
            "ask for less at once, or raise the limit in the configuration"
        }
        tonic::Code::Unavailable => "is the sidecar ready? ask its /readyz, then try again",
        // Whichever address is asked.
        tonic::Code::PermissionDenied if status.message().contains("switched off") => {
            "set the key named above to `local` or `everywhere` in the sidecar's configuration and start it again; this \
             command needs what is off"
        }
        tonic::Code::PermissionDenied => {
            "ask on the sidecar's Unix socket (--at unix:PATH) or on an address it has bound to loopback (not 0.0.0.0, \
             also not from the same machine), or change the key named above"
        }
        tonic::Code::Unimplemented => {
            "is it a sidecar of this version that listens there? give its address with --at"
        }
        _ => "look into the sidecar's log",
    };
    let (message, code) = (status.message(), code_name(status.code()));
    Failure::new(format!("the sidecar at {address} refused: {message} ({code})"), next)
}

/// As [`refused`], of a call that names a feature service: if there is none of that name, with those that there are.
pub(crate) async fn refused_service(
    address: &str,
    status: &tonic::Status,
    channel: Channel,
) -> Failure {
    let failure = refused(address, status);
    if status.code() != tonic::Code::NotFound {
        return failure;
    }
    // A hint only: if it can't be had, the refusal stands for itself.
    let listed = AdminServiceClient::new(channel).list(v1::ListRequest {}).await;
    match (failure, listed) {
        (Failure::Failed { error, .. }, Ok(listed)) => {
            let services = listed.into_inner().services;
            let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
            Failure::Failed { error, next: Some(show::all("the sidecar", "services", &names)) }
        }
        (failure, _) => failure,
    }
}

/// Something listens at `address`, but the call broke below gRPC.
fn no_sidecar(address: &str, error: &dyn std::error::Error) -> Failure {
    if speaks_http1(address) {
        return Failure::new(
            format!("expected a sidecar's gRPC at {address}, came a server of HTTP/1"),
            format!(
                "is that the port for metrics and probes (listen.http)? give the one for gRPC (listen.tcp, {DEFAULT} \
                 unless configured) with --at"
            ),
        );
    }
    Failure::new(
        format!("expected a sidecar's gRPC at {address}, came: {}", innermost(error)),
        format!(
            "see that the sidecar still runs, and give the address it names in its log at the start ({DEFAULT} unless \
             configured) with --at"
        ),
    )
}

/// Whether a plain HTTP request gets a plain HTTP answer there.
fn speaks_http1(address: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_port_or_a_socket() {
        let shown = |address| uri(address).unwrap_or_else(|failure| panic!("{failure:?}"));
        assert_eq!(shown("127.0.0.1:7667"), "http://127.0.0.1:7667");
        assert_eq!(shown("http://a:1"), "http://a:1");
        assert_eq!(shown("unix:/run/s.sock"), "unix:///run/s.sock");
        assert_eq!(shown("unix:///run/s.sock"), "unix:///run/s.sock");
        assert_eq!(shown("[::1]:7667"), "http://[::1]:7667");
    }

    #[test]
    fn a_path_is_answered_with_the_socket_that_it_is_of() {
        for path in ["/run/s.sock", "./s", "../a/s.sock", "s.sock", "~/s"] {
            let said = format!("{:?}", uri(path).err());
            let parts = [format!("came `{path}`"), format!("try --at unix:{path}\"")];
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
    }

    #[test]
    fn an_address_without_a_port_is_answered_with_the_usual_one() {
        assert!(DEFAULT.ends_with(&format!(":{DEFAULT_PORT}")));
        for (address, host) in [("localhost", "localhost"), ("db:", "db"), ("[::1]", "[::1]")] {
            let said = format!("{:?}", uri(address).err());
            let parts = [format!("`{address}` without a port"), format!("--at {host}:7667,")];
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
    }
}

//! Reading what a client streams, message by message; not what is done with it.
//!
//! Whoever streams holds a place (`limits.ingest_streams_max`, one for bulk loads). So a client that is silent for
//! longer than `limits.stream_idle_ms_max` loses it, and so does every client once the sidecar drains.

use std::time::Duration;

use tonic::{Status, Streaming};

use crate::sidecar::Sidecar;
use crate::status::ServeError;

/// The client's next message; `None` at the stream's good end.
pub(crate) async fn next<M>(
    sidecar: &Sidecar,
    requests: &mut Streaming<M>,
) -> Result<Option<M>, Status> {
    let max_ms = sidecar.config.limits.stream_idle_ms_max;
    let message = tokio::time::timeout(Duration::from_millis(max_ms), requests.message());
    tokio::select! {
        biased;
        () = sidecar.draining.cancelled() => Err(ServeError::NotReady { state: "draining" }.into()),
        came = message => came.unwrap_or_else(|_| Err(ServeError::Silent { max_ms }.into())),
    }
}

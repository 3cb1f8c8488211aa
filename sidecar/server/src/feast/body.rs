//! Bodies of Feast's HTTP calls as they come, in bounded memory; not what is in them.
//!
//! A body comes before its call has a place among those in work, so what bodies hold together has a bound of its own
//! ([`Bodies`]), counted by what came, not by what was announced.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request, StatusCode};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};

use super::http::Refused;
use crate::config::Limits;
use crate::metrics::Metrics;
use crate::status::ServeError;

/// How many times what a body may have is read of one that is refused, and dropped: a client that is still sending then
/// sees a broken connection and not why.
const DROPPED_FACTOR: u64 = 4;
/// What bounds all bodies together.
const TOGETHER: &str = "limits.requests_in_flight_max times limits.request_bytes_max";

/// The room for all bodies of a process that have begun to come and whose calls haven't ended: as many bytes as the
/// requests in work may have, and at least one of the largest.
pub(crate) struct Bodies {
    /// Its gauge is the count of bytes.
    metrics: Arc<Metrics>,
    calls: AtomicUsize,
    max: usize,
}

impl Bodies {
    pub(crate) fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let together = limits.requests_in_flight_max.saturating_mul(limits.request_bytes_max);
        Self { metrics, calls: AtomicUsize::new(0), max: together.max(limits.ingest_bytes_max) }
    }

    /// Whether no call's body comes or is held.
    pub(crate) fn idle(&self) -> bool {
        self.calls.load(Ordering::Relaxed) == 0
    }
}

/// What one body takes of the room until it is dropped.
struct Held {
    bodies: Arc<Bodies>,
    bytes: usize,
}

impl Held {
    fn nothing(bodies: &Arc<Bodies>) -> Self {
        bodies.calls.fetch_add(1, Ordering::Relaxed);
        Self { bodies: Arc::clone(bodies), bytes: 0 }
    }

    /// Takes so many bytes more, unless there is no room for them.
    fn take(&mut self, bytes: usize) -> Result<(), ServeError> {
        self.bytes += bytes;
        let together = self.bodies.metrics.body_bytes.inc_by(bytes as i64) + bytes as i64;
        let max = self.bodies.max;
        if u64::try_from(together).is_ok_and(|together| together <= max as u64) {
            return Ok(());
        }
        Err(ServeError::Busy { what: "bytes of bodies", limit: TOGETHER, max })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bodies.metrics.body_bytes.dec_by(self.bytes as i64);
        self.bodies.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The most bytes of a body, with the limit's name.
#[derive(Clone, Copy)]
pub(super) struct BodyLimit {
    name: &'static str,
    max: usize,
}

impl BodyLimit {
    pub(super) fn of(name: &'static str, max: usize) -> Self {
        Self { name, max }
    }

    fn refused(self, came: u64) -> Refused {
        let Self { name, max } = self;
        let message =
            format!("expected a body of at most {max} bytes ({name}), came {came} or more");
        Refused::Http(StatusCode::PAYLOAD_TOO_LARGE, message)
    }
}

/// A body that has come.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    _held: Held,
}

/// A body that says it is JSON.
pub(super) async fn receive(
    request: Request<Incoming>,
    limit: BodyLimit,
    bodies: &Arc<Bodies>,
) -> Result<Received, Refused> {
    let came = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let came = String::from_utf8_lossy(came);
    let plain = came.split(';').next().unwrap_or_default().trim();
    let kind = plain.to_ascii_lowercase();
    let is_json =
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    if !is_json {
        let message = format!("expected content-type: application/json, came {came:?}");
        return Err(Refused::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let dropped_max = limit.max as u64 * DROPPED_FACTOR;
    let mut body = request.into_body();
    let said = body.size_hint().lower();
    if said > dropped_max {
        return Err(limit.refused(said));
    }
    let mut came = 0;
    let mut kept = Ok((BytesMut::new(), Held::nothing(bodies)));
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| {
            Refused::Http(StatusCode::BAD_REQUEST, format!("expected a whole body, came: {error}"))
        })?;
        let Ok(part) = frame.into_data() else { continue };
        came += part.len() as u64;
        if came > dropped_max {
            return Err(limit.refused(came));
        }
        if let Ok((bytes, held)) = &mut kept {
            let room = match came > limit.max as u64 {
                true => Err(limit.refused(came)),
                false => held.take(part.len()).map_err(Refused::Serve),
            };
            match room {
                Ok(()) => bytes.extend_from_slice(&part),
                // What it held is free at once.
                Err(refused) => kept = Err(refused),
            }
        }
    }
    if came > limit.max as u64 {
        return Err(limit.refused(came));
    }
    kept.map(|(bytes, held)| Received { bytes: bytes.freeze(), _held: held })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn bodies_have_room_for_as_much_as_the_requests_in_work_and_for_the_largest_write() {
        let of = |in_flight: usize, request: usize, ingest: usize| {
            let limits = Limits {
                requests_in_flight_max: in_flight,
                request_bytes_max: request,
                ingest_bytes_max: ingest,
                ..Limits::default()
            };
            Bodies::new(&limits, Arc::new(Metrics::new())).max
        };
        assert_eq!((of(2, 100, 50), of(2, 100, 300), of(usize::MAX, 2, 1)), (200, 300, usize::MAX));
    }

    #[test]
    fn what_a_body_took_is_free_when_it_is_gone_also_if_there_was_no_room_for_all_of_it() {
        let metrics = Arc::new(Metrics::new());
        let limits = Limits {
            requests_in_flight_max: 2,
            request_bytes_max: 5,
            ingest_bytes_max: 10,
            ..Limits::default()
        };
        let bodies = Arc::new(Bodies::new(&limits, Arc::clone(&metrics)));
        let (mut first, mut second) = (Held::nothing(&bodies), Held::nothing(&bodies));
        first.take(6).unwrap();
        second.take(4).unwrap();
        let full = second.take(1).unwrap_err();
        assert_eq!(full.code(), tonic::Code::ResourceExhausted);
        assert!(full.to_string().contains("limits.request_bytes_max"), "{full}");
        drop(second);
        first.take(4).unwrap();
        assert!(!bodies.idle());
        drop(first);
        assert!(bodies.idle());
        assert_eq!(metrics.body_bytes.get(), 0);
    }
}

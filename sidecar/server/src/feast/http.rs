//! Feast's HTTP calls on an address of their own: connections, bodies, which call is which, and errors as Feast's SDK reads
//! them; not what the calls do.
//!
//! A call passes what its gRPC sisters pass: a place among the requests in work or a refusal at once (`admission.rs`), the
//! time its body may take to come, its deadline, and `listen.ingest` if it writes. Connections are those of the gRPC
//! listeners, with their limits (`listen.rs`); a silent one is closed after `life.keepalive_ms`.
//!
//! Only bodies that say they are JSON are read: so no page in a browser of this machine can write without asking first.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use skewless_catalog::{PlanError, UnknownName};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::server::Connected;

use super::{grpc, json};
use crate::blocking::blocking;
use crate::config::Reach;
use crate::get_features::caught;
use crate::guard::{Deadline, Seat, work};
use crate::http::Probed as _;
use crate::listen::Connection;
use crate::outbox::{Outbox, Ticket, ticketed};
use crate::sidecar::Sidecar;
use crate::status::{ServeError, cut};
use crate::wire::WireError;

/// The least buffer that hyper reads a head into.
const HEADER_BYTES_LEAST: usize = 8_192;
/// Bodies of more bytes are read and answered with the thread's other duties handed over: reading one takes longer than
/// that costs.
const IN_PLACE_BYTES_MAX: usize = 64 << 10;
/// How many times what a body may have is read of a longer one and dropped: a client that is still sending when it is
/// refused sees a broken connection and not why.
const DROPPED_FACTOR: u64 = 4;
/// What to do instead of what Feast's SDK asks the server to do when a user calls `materialize`.
const LOAD: &str = ": history comes into a view by `skewless load --at`";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers connections until there are no more and the last has ended.
pub(crate) async fn serve(
    sidecar: Arc<Sidecar>,
    mut connections: ReceiverStream<io::Result<Connection>>,
    local: bool,
) {
    let mut http = http1::Builder::new();
    let silent = Duration::from_millis(sidecar.config.life.keepalive_ms);
    http.timer(TokioTimer::new()).header_read_timeout(silent);
    http.max_buf_size(sidecar.config.limits.http_header_bytes_max.max(HEADER_BYTES_LEAST));
    let mut open = JoinSet::new();
    while let Some(connection) = connections.next().await {
        // Those that have ended are let go of.
        while open.try_join_next().is_some() {}
        let Ok(connection) = connection else { continue };
        let door = Door { sidecar: Arc::clone(&sidecar), local, outbox: connection.connect_info() };
        open.spawn(converse(http.clone(), connection, door, sidecar.draining.clone()));
    }
    while open.join_next().await.is_some() {}
}

/// Answers one connection until it ends; while draining, after the call that is in work.
async fn converse(
    http: http1::Builder,
    connection: Connection,
    door: Door,
    draining: CancellationToken,
) {
    let answer = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let mut served = pin!(http.serve_connection(TokioIo::new(connection), answer));
    tokio::select! {
        // Whatever became of it is the client's doing.
        _ = served.as_mut() => return,
        () = draining.cancelled() => served.as_mut().graceful_shutdown(),
    }
    drop(served.await);
}

/// What answers the calls of one connection.
#[derive(Clone)]
struct Door {
    sidecar: Arc<Sidecar>,
    /// Whether only this machine can reach it.
    local: bool,
    outbox: Arc<Outbox>,
}

/// One of the calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Ask,
    Push,
    Write,
    Health,
}

const CALLS: [(&str, Method, Call); 4] = [
    ("/get-online-features", Method::POST, Call::Ask),
    ("/push", Method::POST, Call::Push),
    ("/write-to-online-store", Method::POST, Call::Write),
    ("/health", Method::GET, Call::Health),
];

impl Call {
    /// Its name among the methods that are counted.
    fn name(self) -> &'static str {
        match self {
            Self::Ask => "feast.http/get-online-features",
            Self::Push => "feast.http/push",
            Self::Write => "feast.http/write-to-online-store",
            Self::Health => "feast.http/health",
        }
    }
}

/// Why a call gets no answer.
enum Refused {
    Serve(ServeError),
    /// Something is wrong with the call as HTTP.
    Http(StatusCode, String),
}

impl From<ServeError> for Refused {
    fn from(error: ServeError) -> Self {
        Self::Serve(error)
    }
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (path, method) = (request.uri().path(), request.method());
        let Some((path, expected, call)) = CALLS.iter().find(|(known, _, _)| *known == path) else {
            let all: Vec<&str> = CALLS.iter().map(|(path, _, _)| *path).collect();
            let next = if path.starts_with("/materialize") { LOAD } else { "" };
            let message = format!("expected one of {}, came {path}{next}", all.join(", "));
            return refusal(&Refused::Http(StatusCode::NOT_FOUND, message));
        };
        if method != expected {
            let message = format!("expected {expected} {path}, came {method}");
            let mut answer = refusal(&Refused::Http(StatusCode::METHOD_NOT_ALLOWED, message));
            let allowed = if *expected == Method::GET { "GET" } else { "POST" };
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return answer;
        }
        let answer = match call {
            Call::Health => return self.health(),
            Call::Ask => self.ask(request).await,
            Call::Push | Call::Write => self.write(*call, request).await,
        };
        let code = match &answer {
            Ok(_) => Code::Ok,
            Err(Refused::Serve(error)) => error.code(),
            Err(Refused::Http(..)) => Code::InvalidArgument,
        };
        self.sidecar.metrics.call(call.name(), code);
        match answer {
            Ok(body) => self.json(body),
            Err(refused) => refusal(&refused),
        }
    }

    fn health(&self) -> Response<Body> {
        match self.sidecar.unready() {
            None => Response::new(Body::empty()),
            Some(why) => {
                refusal(&Refused::Http(StatusCode::SERVICE_UNAVAILABLE, format!("it is {why}")))
            }
        }
    }

    async fn ask(&self, request: Request<Incoming>) -> Result<Vec<u8>, Refused> {
        let sidecar = &*self.sidecar;
        self.refuse_draining()?;
        let arrived = Instant::now();
        let place = sidecar.gates.requests.arrive(arrived)?;
        let deadline = self.deadline();
        let answer = async {
            let body = receive(
                request,
                sidecar.config.limits.request_bytes_max,
                "limits.request_bytes_max",
            )
            .await?;
            let answer = || {
                caught(|| {
                    let (ask, columns) = json::ask(&body)?;
                    grpc::answer(sidecar, &ask, &columns, deadline, |answer| answer.json())
                })
            };
            let _turn = sidecar.gates.requests.turn().await;
            match body.len() <= IN_PLACE_BYTES_MAX {
                true => Ok(answer()?),
                false => Ok(tokio::task::block_in_place(answer)?),
            }
        };
        let Sidecar { config, metrics, .. } = sidecar;
        work(&config.limits, metrics, Seat::Request(place), deadline, answer).await?
    }

    async fn write(&self, call: Call, request: Request<Incoming>) -> Result<Vec<u8>, Refused> {
        let sidecar = &self.sidecar;
        let reach = sidecar.config.listen.ingest;
        let (service, key) = ("Feast's writes", "listen.ingest");
        if reach == Reach::Off {
            return Err(ServeError::Off { service, key }.into());
        }
        if !reach.allows(self.local) {
            return Err(ServeError::Denied { service, key }.into());
        }
        self.refuse_draining()?;
        let place = Arc::clone(&sidecar.gates.in_flight).try_acquire_owned();
        let place = Arc::new(place.map_err(|_| ServeError::Busy {
            what: "calls",
            limit: "limits.in_flight_max",
            max: sidecar.config.limits.in_flight_max,
        })?);
        let seat = Seat::Other { _permit: Arc::clone(&place) };
        let applied = async {
            let max = sidecar.config.limits.ingest_bytes_max;
            let body = receive(request, max, "limits.ingest_bytes_max").await?;
            let theirs = Arc::clone(sidecar);
            let apply = move || {
                let _until_done = place;
                let (view, columns) = match call {
                    Call::Push => json::push(&body)?,
                    _ => json::write(&body)?,
                };
                grpc::apply(&theirs, &view, &columns)
            };
            blocking(apply).await?;
            // As Feast's server answers: nothing to a push, null to a write.
            Ok(if call == Call::Push { Vec::new() } else { b"null".to_vec() })
        };
        let Sidecar { config, metrics, .. } = &**sidecar;
        work(&config.limits, metrics, seat, self.deadline(), applied).await?
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(Duration::from_millis(self.sidecar.config.limits.deadline_ms))
    }

    fn refuse_draining(&self) -> Result<(), ServeError> {
        match self.sidecar.draining.is_cancelled() {
            true => Err(ServeError::NotReady { state: "draining" }),
            false => Ok(()),
        }
    }

    /// An answer that holds its ticket until it is taken.
    fn json(&self, body: Vec<u8>) -> Response<Body> {
        let ticket = Ticket::ready(Some(&self.outbox), &self.sidecar.metrics, body.len());
        let mut answer = Response::new(Body::from(ticketed(body, ticket)));
        answer.headers_mut().insert(CONTENT_TYPE, JSON);
        answer
    }
}

/// A body of at most so many bytes that says it is JSON.
async fn receive(request: Request<Incoming>, max: usize, limit: &str) -> Result<Bytes, Refused> {
    let came = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let came = String::from_utf8_lossy(came);
    let plain = came.split(';').next().unwrap_or_default().trim();
    if !plain.eq_ignore_ascii_case("application/json") {
        let message = format!("expected content-type: application/json, came {came:?}");
        return Err(Refused::Http(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let (limit_bytes, dropped_max) = (max as u64, max as u64 * DROPPED_FACTOR);
    let too_long = |came: u64| {
        let message =
            format!("expected a body of at most {max} bytes ({limit}), came {came} or more");
        Refused::Http(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let mut body = request.into_body();
    let said = body.size_hint().lower();
    if said > dropped_max {
        return Err(too_long(said));
    }
    let (mut bytes, mut came) = (BytesMut::new(), 0);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| {
            Refused::Http(StatusCode::BAD_REQUEST, format!("expected a whole body, came: {error}"))
        })?;
        let Ok(part) = frame.into_data() else { continue };
        came += part.len() as u64;
        if came > dropped_max {
            return Err(too_long(came));
        }
        if came <= limit_bytes {
            bytes.extend_from_slice(&part);
        }
    }
    if came > limit_bytes { Err(too_long(came)) } else { Ok(bytes.freeze()) }
}

/// A refusal as Feast's server writes it: a string that is JSON itself, from which the SDK makes its exception.
fn refusal(refused: &Refused) -> Response<Body> {
    let (status, class, message) = match refused {
        Refused::Http(status, message) => (*status, "FeastError", message.clone()),
        Refused::Serve(error) => {
            let (status, class) = told(error);
            (status, class, error.to_string())
        }
    };
    let message = cut(message);
    let detail = serde_json::json!({"module": "feast.errors", "class": class, "message": message});
    let body = serde_json::Value::String(detail.to_string()).to_string();
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    if let Refused::Serve(ServeError::Overload { retry_ms, .. }) = refused {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_ms.div_ceil(1_000)));
    }
    if matches!(
        refused,
        Refused::Http(StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNSUPPORTED_MEDIA_TYPE, _)
    ) {
        // The rest of its body isn't read.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The status and the exception of Feast's that an error is. A caller's mistake is none that Feast's SDK tries again.
fn told(error: &ServeError) -> (StatusCode, &'static str) {
    const PLAIN: &str = "FeastError";
    match error {
        ServeError::UnknownName(unknown) | ServeError::Plan(PlanError::UnknownName(unknown)) => {
            (StatusCode::NOT_FOUND, not_found(unknown))
        }
        ServeError::Denied { .. } | ServeError::Off { .. } => {
            (StatusCode::FORBIDDEN, "FeastPermissionError")
        }
        ServeError::OverLimit { .. }
        | ServeError::Wire(WireError::Over { .. })
        | ServeError::Plan(PlanError::OverLimit { .. }) => (StatusCode::PAYLOAD_TOO_LARGE, PLAIN),
        ServeError::Slow { .. } => (StatusCode::REQUEST_TIMEOUT, PLAIN),
        _ => match error.code() {
            Code::InvalidArgument => (StatusCode::UNPROCESSABLE_ENTITY, PLAIN),
            Code::NotFound => (StatusCode::NOT_FOUND, PLAIN),
            Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, PLAIN),
            Code::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, PLAIN),
            Code::Unavailable | Code::FailedPrecondition => {
                (StatusCode::SERVICE_UNAVAILABLE, PLAIN)
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN),
        },
    }
}

fn not_found(unknown: &UnknownName) -> &'static str {
    match unknown.kind {
        "service" => "FeatureServiceNotFoundException",
        "view" => "FeatureViewNotFoundException",
        _ => "FeastObjectNotFoundException",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written as a string in a string, each of its quotes takes four characters.
    #[test]
    fn a_refusal_is_short_however_long_the_name_in_it() {
        for name in ["x", "\"", "\u{1}"] {
            let error = ServeError::Field(name.repeat(1 << 20));
            let refused = refusal(&Refused::Serve(error));
            assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
            let bytes = refused.body().size_hint().exact();
            assert!(bytes.is_some_and(|bytes| bytes < 64 << 10), "{name:?}: {bytes:?}");
        }
    }
}

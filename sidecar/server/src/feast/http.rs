//! Feast's HTTP calls on an address of their own: connections, bodies, which call is which, and errors as Feast's SDK reads
//! them; not what the calls do.
//!
//! A call passes what its gRPC sisters pass: a place among the requests in work or a refusal at once (`admission.rs`), the
//! time its body may take to come, its deadline, and `listen.ingest` if it writes. But its body comes first (`body.rs`): on a
//! connection of HTTP/1 a client that says nothing more costs nothing but the connection, so a few that do must not take the
//! places of everybody's calls. Connections are those of the gRPC listeners, with their limits (`listen.rs`); a silent one
//! is closed after `life.keepalive_ms`.
//!
//! Only bodies that say they are JSON are read: so no page in a browser of this machine can write without asking first.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use skewless_catalog::{PlanError, UnknownName};
use skewless_store::StoreError;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::server::Connected;

use super::body::{BodyLimit, receive};
use super::{grpc, json};
use crate::blocking::blocking;
use crate::config::Reach;
use crate::get_features::caught;
use crate::guard::{Deadline, Seat, received, work};
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
/// What to do instead of what Feast's SDK asks the server to do when a user calls `materialize`.
const LOAD: &str = ": history comes into a view by `skewless load --at`";
/// Feast's exception of no particular kind.
const PLAIN: &str = "FeastError";
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
pub(super) enum Refused {
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
            return exception(StatusCode::NOT_FOUND, PLAIN, message);
        };
        if method != expected {
            let message = format!("expected {expected} {path}, came {method}");
            let mut answer = exception(StatusCode::METHOD_NOT_ALLOWED, PLAIN, message);
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
            Err(refused) => refusal(*call, &refused),
        }
    }

    fn health(&self) -> Response<Body> {
        match self.sidecar.unready() {
            None => Response::new(Body::empty()),
            Some(why) => exception(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("it is {why}")),
        }
    }

    async fn ask(&self, request: Request<Incoming>) -> Result<Vec<u8>, Refused> {
        let Sidecar { config, metrics, gates, .. } = &*self.sidecar;
        self.refuse_draining()?;
        let deadline = self.deadline();
        let limits = &config.limits;
        let limit = BodyLimit::of("limits.request_bytes_max", limits.request_bytes_max);
        let body = receive(request, limit, &gates.bodies);
        let body = received(limits, deadline, body).await??;
        let place = gates.requests.arrive(Instant::now())?;
        let answer = async {
            let answer = || {
                caught(|| {
                    let (ask, columns) = json::ask(&body.bytes)?;
                    grpc::answer(&self.sidecar, &ask, &columns, deadline, |answer| answer.json())
                })
            };
            let _turn = gates.requests.turn(deadline).await?;
            match body.bytes.len() <= IN_PLACE_BYTES_MAX {
                true => Ok(answer()?),
                false => Ok(tokio::task::block_in_place(answer)?),
            }
        };
        work(metrics, Seat::Request(place), deadline, answer).await?
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
        let deadline = self.deadline();
        let max = sidecar.config.limits.ingest_bytes_max;
        let body =
            receive(request, BodyLimit::of("limits.ingest_bytes_max", max), &sidecar.gates.bodies);
        let body = tokio::time::timeout_at(deadline.at().into(), body).await;
        let body = body.map_err(|_| deadline.passed("while the call was received"))??;
        let place = Arc::clone(&sidecar.gates.in_flight).try_acquire_owned();
        let place = Arc::new(place.map_err(|_| ServeError::Busy {
            what: "calls",
            limit: "limits.in_flight_max",
            max: sidecar.config.limits.in_flight_max,
        })?);
        let seat = Seat::Other { _permit: Arc::clone(&place) };
        let applied = async {
            let theirs = Arc::clone(sidecar);
            let apply = move || {
                let _until_done = place;
                let (view, columns) = match call {
                    Call::Push => json::push(&body.bytes)?,
                    _ => json::write(&body.bytes)?,
                };
                grpc::apply(&theirs, &view, &columns)
            };
            blocking(apply).await?;
            // As Feast's server answers: nothing to a push, null to a write.
            Ok(if call == Call::Push { Vec::new() } else { b"null".to_vec() })
        };
        work(&sidecar.metrics, seat, deadline, applied).await?
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

/// What a call is refused with.
fn refusal(call: Call, refused: &Refused) -> Response<Body> {
    let (status, class, message) = match refused {
        Refused::Http(status, message) => (*status, PLAIN, message.clone()),
        Refused::Serve(error) => {
            let (status, class) = told(call, error);
            (status, class, error.to_string())
        }
    };
    let mut answer = exception(status, class, message);
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

/// A refusal as Feast's server writes it: a string that is JSON itself, from which the SDK makes its exception.
fn exception(status: StatusCode, class: &str, message: String) -> Response<Body> {
    let message = cut(message);
    let detail = serde_json::json!({"module": "feast.errors", "class": class, "message": message});
    let body = serde_json::Value::String(detail.to_string()).to_string();
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

/// The status and the exception of Feast's that an error of a call is. A caller's mistake is none that Feast's SDK tries
/// again.
fn told(call: Call, error: &ServeError) -> (StatusCode, &'static str) {
    match error {
        ServeError::UnknownName(unknown) | ServeError::Plan(PlanError::UnknownName(unknown)) => {
            not_found(call, unknown)
        }
        ServeError::NoRequestColumn { .. } => {
            (StatusCode::NOT_FOUND, "RequestDataNotFoundInEntityRowsException")
        }
        ServeError::Twice { .. } | ServeError::Plan(PlanError::Duplicate { .. }) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "FeatureNameCollisionError")
        }
        ServeError::Denied { .. } | ServeError::Off { .. } => {
            (StatusCode::FORBIDDEN, "FeastPermissionError")
        }
        ServeError::OverLimit { .. }
        | ServeError::Wire(WireError::Over { .. })
        | ServeError::Plan(PlanError::OverLimit { .. })
        | ServeError::Store(StoreError::OverLimit { .. }) => (StatusCode::PAYLOAD_TOO_LARGE, PLAIN),
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

/// What Feast's own server says of a name that it doesn't find, which depends on what was to be done with it.
fn not_found(call: Call, unknown: &UnknownName) -> (StatusCode, &'static str) {
    match (call, unknown.kind) {
        (Call::Push, "view") => (StatusCode::UNPROCESSABLE_ENTITY, "PushSourceNotFoundException"),
        (Call::Ask, "service") => (StatusCode::NOT_FOUND, "FeatureServiceNotFoundException"),
        (Call::Ask, "view or transform") => (StatusCode::NOT_FOUND, "FeatureViewNotFoundException"),
        _ => (StatusCode::NOT_FOUND, "FeastObjectNotFoundException"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use hyper::body::Body as _;

    use super::*;

    #[test]
    fn what_may_work_later_is_503_504_or_429_and_no_mistake_is() {
        let time = Deadline::after(Duration::ZERO);
        let over =
            StoreError::OverLimit { name: "batch_bytes_max", limit: 1, came: 2, at: String::new() };
        let cases = [
            (ServeError::NotReady { state: "draining" }, 503),
            (ServeError::Store(StoreError::QueueFull { limit: 1 }), 429),
            (time.passed("while it waited"), 504),
            (ServeError::Slow { max_ms: 1 }, 408),
            (ServeError::Store(over), 413),
            (ServeError::Panic("a defect".to_owned()), 500),
        ];
        for (error, status) in cases {
            assert_eq!(
                told(Call::Write, &error),
                (StatusCode::from_u16(status).unwrap(), PLAIN),
                "{error}"
            );
        }
    }

    /// Written as a string in a string, each of its quotes takes four characters.
    #[test]
    fn a_refusal_is_short_however_long_the_name_in_it() {
        for name in ["x", "\"", "\u{1}"] {
            let error = ServeError::Field(name.repeat(1 << 20));
            let refused = refusal(Call::Ask, &Refused::Serve(error));
            assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
            let bytes = refused.body().size_hint().exact();
            assert!(bytes.is_some_and(|bytes| bytes < 64 << 10), "{name:?}: {bytes:?}");
        }
    }
}

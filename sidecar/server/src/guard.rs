//! What every call passes before it is decoded: who may ask, how many at once, until when; not what is
//! asked.
//!
//! The gRPC library's own limits are per connection, and its deadline becomes CANCELLED. So this layer
//! decides for all connections together, at the top, where a refusal costs no decoding. GetFeatures calls
//! pass a gate with a short queue (`admission.rs`). Another service's unary call that finds
//! `limits.in_flight_max` others in work is refused at once. AdminService's calls that only read are answered
//! wherever GetFeatures is unless the service is off, and counted apart, so that whoever reaches no more than these
//! keeps no rows out.
//! Health and reflection pass freely. It also mends the library's status codes (`status.rs`), counts every call
//! by method and status, and keeps track of answers until they are sent (`outbox.rs`). GetFeatures is answered right
//! behind it (`unary.rs`), also in Feast's form (`feast/grpc.rs`), all else by what the library routes to.

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::service::Routes;
use tonic::{Code, Status};

use crate::admission::{self, Place};
use crate::config::{Limits, Reach};
use crate::feast;
use crate::http2::{Answered, Begun, Calls};
use crate::metrics::Metrics;
use crate::outbox::{Answer, Outbox, Ticket};
use crate::rpc::ADMIN_BYTES_MAX;
use crate::sidecar::Sidecar;
use crate::status::{ServeError, mend};
use crate::unary;

/// Until when a call must be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    deadline_ms: u64,
}

impl Deadline {
    /// One that begins now; for calls without a guard.
    pub(crate) fn after(wait: Duration) -> Self {
        Self::from(Instant::now(), wait)
    }

    /// The client's, cut to the longest allowed; or the default.
    pub(crate) fn of(limits: &Limits, headers: &http::HeaderMap, arrived: Instant) -> Self {
        let wait = asked(headers).unwrap_or(Duration::from_millis(limits.deadline_ms));
        Self::from(arrived, wait.min(Duration::from_millis(limits.deadline_ms_max)))
    }

    /// The client's, if it has one.
    fn asked(headers: &http::HeaderMap, arrived: Instant) -> Option<Self> {
        asked(headers).map(|wait| Self::from(arrived, wait))
    }

    fn from(arrived: Instant, wait: Duration) -> Self {
        let deadline_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self { at: arrived + wait, deadline_ms }
    }

    /// When it passes.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// Fails if it has passed.
    pub(crate) fn check(&self, during: &'static str) -> Result<(), ServeError> {
        if Instant::now() < self.at { Ok(()) } else { Err(self.passed(during)) }
    }

    /// Time that is left; zero if it has passed.
    pub(crate) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    pub(crate) fn passed(&self, during: &'static str) -> ServeError {
        ServeError::Deadline { deadline_ms: self.deadline_ms, during }
    }
}

/// What a call that passed the guard carries on.
#[derive(Clone, Default)]
pub(crate) struct Passed {
    /// Its place among the calls in work, if it is bounded. The guard lets go of it when the deadline passes, so
    /// work that goes on after that holds it itself: else calls with short deadlines would pile it up.
    pub(crate) place: Option<Arc<OwnedSemaphorePermit>>,
}

impl Passed {
    /// What the guard gave to a call.
    pub(crate) fn of(extensions: &tonic::Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }
}

/// Where a call may wait, and what it holds of a limit until it ends.
pub(crate) enum Seat {
    Request(Place),
    Other { _permit: Arc<OwnedSemaphorePermit> },
}

/// What the guard knows about a method.
#[derive(Clone, Copy)]
struct Method {
    name: &'static str,
    service: Kind,
    /// Whether it has a deadline and a place among the calls in work. Not so: a stream, which ends when its client
    /// wants, and what compiles or writes to the disk for as long as that takes. Those have gates of their own.
    bounded: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Features,
    /// The same in Feast's form.
    Feast,
    Ingest,
    /// What replaces, writes or takes as long as it takes.
    Admin,
    /// AdminService's calls that only read: what they tell, a caller of GetFeatures needs to ask well. Answered
    /// wherever that is, unless the service is off.
    Inspect,
    /// Health, reflection, and what nobody knows: answered by the library.
    Other,
}

const LOAD: &str = "skewless.v1.AdminService/Load";

const METHODS: [Method; 15] = [
    Method {
        name: "skewless.v1.FeatureService/GetFeatures",
        service: Kind::Features,
        bounded: true,
    },
    Method { name: "skewless.v1.IngestService/Ingest", service: Kind::Ingest, bounded: true },
    Method {
        name: "skewless.v1.IngestService/IngestStream",
        service: Kind::Ingest,
        bounded: false,
    },
    Method { name: "skewless.v1.IngestService/Progress", service: Kind::Ingest, bounded: true },
    Method { name: "skewless.v1.AdminService/Apply", service: Kind::Admin, bounded: false },
    Method { name: "skewless.v1.AdminService/List", service: Kind::Inspect, bounded: true },
    Method { name: "skewless.v1.AdminService/Describe", service: Kind::Inspect, bounded: true },
    Method { name: "skewless.v1.AdminService/Plugins", service: Kind::Inspect, bounded: true },
    Method { name: "skewless.v1.AdminService/SnapshotInfo", service: Kind::Inspect, bounded: true },
    Method { name: "skewless.v1.AdminService/Flush", service: Kind::Admin, bounded: false },
    Method { name: LOAD, service: Kind::Admin, bounded: false },
    Method {
        name: "feast.serving.ServingService/GetOnlineFeatures",
        service: Kind::Feast,
        bounded: true,
    },
    Method { name: "GrpcFeatureServer/GetOnlineFeatures", service: Kind::Feast, bounded: true },
    Method { name: "GrpcFeatureServer/Push", service: Kind::Ingest, bounded: true },
    Method { name: "GrpcFeatureServer/WriteToOnlineStore", service: Kind::Ingest, bounded: true },
];

impl Method {
    fn of(path: &str) -> Self {
        let name = path.strip_prefix('/').unwrap_or(path);
        let known = METHODS.iter().find(|method| method.name == name).copied();
        known.unwrap_or_else(|| {
            let service = match name.split('/').next() {
                Some("skewless.v1.AdminService") => Kind::Admin,
                Some("skewless.v1.IngestService") => Kind::Ingest,
                _ => Kind::Other,
            };
            Self { name: "other", service, bounded: false }
        })
    }
}

/// The guard before one listener's services.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) sidecar: Arc<Sidecar>,
    /// Whether only this machine can reach the listener.
    pub(crate) local: bool,
    /// All services but what is answered right here.
    pub(crate) services: Routes,
}

impl Calls for Guard {
    fn begin(&self, request: http::Request<Body>) -> Begun {
        let method = Method::of(request.uri().path());
        let answer = match self.admit(method) {
            Err(error) => refused(&self.sidecar, method, error),
            Ok(()) => match method.service {
                Kind::Features => self.get_features(method, request),
                Kind::Feast => self.get_online_features(method, request),
                _ if method.bounded => self.bounded(method, request),
                _ => self.unbounded(method, request),
            },
        };
        Begun { answer, computes: method.service == Kind::Features }
    }
}

impl Guard {
    /// Answers GetFeatures, for which nothing is routed.
    fn get_features(&self, method: Method, request: http::Request<Body>) -> Answered {
        self.admitted(method, request, |sidecar, request, deadline| async move {
            unary::answer(&sidecar, request, deadline).await
        })
    }

    /// Answers Feast's GetOnlineFeatures in the same way.
    fn get_online_features(&self, method: Method, request: http::Request<Body>) -> Answered {
        self.admitted(method, request, |sidecar, request, deadline| async move {
            let answer = |message| ready(feast::get_online_features(&sidecar, message, deadline));
            let Sidecar { config, metrics, gates, .. } = &*sidecar;
            let (limits, requests) = (&config.limits, &gates.requests);
            unary::one_message(limits, metrics, requests, request, deadline, answer).await
        })
    }

    /// Has a call answered that computes, when its turn has come.
    fn admitted<A>(
        &self,
        method: Method,
        request: http::Request<Body>,
        answer: impl FnOnce(Arc<Sidecar>, http::Request<Body>, Deadline) -> A,
    ) -> Answered
    where
        A: Future<Output = Result<http::Response<Answer>, Status>> + Send + 'static,
    {
        let sidecar = Arc::clone(&self.sidecar);
        let arrived = Instant::now();
        let place = match sidecar.gates.requests.arrive(arrived) {
            Ok(place) => place,
            Err(full) => return refused(&sidecar, method, full),
        };
        let deadline = Deadline::of(&sidecar.config.limits, request.headers(), arrived);
        let answer = answer(Arc::clone(&sidecar), request, deadline);
        Box::pin(async move {
            let seat = Seat::Request(place);
            let answer = work(&sidecar.metrics, seat, deadline, answer).await;
            let (code, answer) = match answer.unwrap_or_else(|error| Err(error.into())) {
                Ok(answer) => (Code::Ok, answer),
                Err(status) => (status.code(), status.into_http().map(Answer::Free)),
            };
            sidecar.metrics.call(method.name, code);
            Ok(answer)
        })
    }

    /// Has another service's call answered within its deadline and the limit on calls at once.
    fn bounded(&self, method: Method, mut request: http::Request<Body>) -> Answered {
        let sidecar = Arc::clone(&self.sidecar);
        let permit = match self.permit(method) {
            Ok(permit) => permit,
            Err(full) => return refused(&sidecar, method, full),
        };
        let limits = &sidecar.config.limits;
        let deadline = Deadline::of(limits, request.headers(), Instant::now());
        let outbox = request.extensions().get::<Arc<Outbox>>().cloned();
        request.extensions_mut().insert(Passed { place: Some(Arc::clone(&permit)) });
        let answer = self.services.clone().call(request);
        Box::pin(async move {
            let seat = Seat::Other { _permit: permit };
            let answer = match work(&sidecar.metrics, seat, deadline, answer).await {
                Ok(Ok(answer)) => mended(&sidecar, method, answer),
                Err(error) => Status::from(error).into_http(),
            };
            let code = code_of(&answer);
            sidecar.metrics.call(method.name, code);
            if code != Code::Ok {
                return Ok(answer.map(Answer::Free));
            }
            // The length isn't known here; these answers are small.
            let ticket = Ticket::ready(outbox.as_ref(), &sidecar.metrics, 0);
            Ok(answer.map(|body| Answer::held(body, ticket)))
        })
    }

    /// Has a call answered that takes as long as it takes, or as its client lets it.
    fn unbounded(&self, method: Method, request: http::Request<Body>) -> Answered {
        let sidecar = Arc::clone(&self.sidecar);
        let deadline = Deadline::asked(request.headers(), Instant::now());
        let answer = self.services.clone().call(request);
        Box::pin(async move {
            let answer = match deadline {
                None => answer.await?,
                Some(deadline) => match tokio::time::timeout_at(deadline.at.into(), answer).await {
                    Ok(answer) => answer?,
                    Err(_) => {
                        Status::from(deadline.passed("while the call was worked on")).into_http()
                    }
                },
            };
            let answer = mended(&sidecar, method, answer);
            if method.service != Kind::Other {
                sidecar.metrics.call(method.name, code_of(&answer));
            }
            Ok(answer.map(Answer::Free))
        })
    }
}

/// Counts a refusal, and gives it at once.
fn refused(sidecar: &Sidecar, method: Method, error: ServeError) -> Answered {
    sidecar.metrics.call(method.name, error.code());
    let answer = Status::from(error).into_http().map(Answer::Free);
    Box::pin(ready(Ok(answer)))
}

/// Waits until the call may be begun and answers it, or says why not. What it holds is free again at its end, however
/// it ends, unless work that outlives it holds it too.
///
/// What computes says itself what it waits for and ends by its deadline (`received`, `Admission::turn`); what else there
/// is, is ended here.
pub(crate) async fn work<T>(
    metrics: &Metrics,
    seat: Seat,
    deadline: Deadline,
    answer: impl Future<Output = T>,
) -> Result<T, ServeError> {
    let begun = match &seat {
        Seat::Request(place) => Some(place.begin(deadline).await?),
        Seat::Other { .. } => None,
    };
    let computes = begun.is_some();
    let _in_work = InWork::begin(metrics, begun);
    if computes {
        return Ok(answer.await);
    }
    let answer = tokio::time::timeout_at(deadline.at.into(), answer).await;
    answer.map_err(|_| deadline.passed("while the call was received or waited"))
}

/// What is received, if it comes in the time that a message may take.
pub(crate) async fn received<T>(
    limits: &Limits,
    deadline: Deadline,
    message: impl Future<Output = T>,
) -> Result<T, ServeError> {
    let until = deadline.at.min(Instant::now() + Duration::from_millis(limits.receive_ms_max));
    match tokio::time::timeout_at(until.into(), message).await {
        Ok(message) => Ok(message),
        Err(_) => {
            deadline.check("while the call was received")?;
            Err(ServeError::Slow { max_ms: limits.receive_ms_max })
        }
    }
}

/// Counts a call until it is dropped.
struct InWork<'a> {
    metrics: &'a Metrics,
    /// Of a GetFeatures call.
    begun: Option<admission::Begun>,
}

impl<'a> InWork<'a> {
    fn begin(metrics: &'a Metrics, begun: Option<admission::Begun>) -> Self {
        metrics.work_begins(begun.is_some());
        Self { metrics, begun }
    }
}

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        // Before the permit is free, so that the count never exceeds the limit.
        self.metrics.work_ends(self.begun.is_some());
    }
}

impl Guard {
    /// The right to be worked on, within the limits on other services' calls at once.
    fn permit(&self, method: Method) -> Result<Arc<OwnedSemaphorePermit>, ServeError> {
        let gates = &self.sidecar.gates;
        let gate = match method.service {
            Kind::Inspect => &gates.inspect,
            _ => &gates.in_flight,
        };
        Arc::clone(gate).try_acquire_owned().map(Arc::new).map_err(|_| ServeError::Busy {
            what: "calls",
            limit: "limits.in_flight_max",
            max: self.sidecar.config.limits.in_flight_max,
        })
    }

    fn admit(&self, method: Method) -> Result<(), ServeError> {
        let listen = &self.sidecar.config.listen;
        let (reach, service, key) = match method.service {
            Kind::Admin => (listen.admin, "AdminService", "listen.admin"),
            Kind::Ingest => (listen.ingest, "IngestService", "listen.ingest"),
            // Off is off for the whole service.
            Kind::Inspect if listen.admin == Reach::Off => {
                (Reach::Off, "AdminService", "listen.admin")
            }
            Kind::Features | Kind::Feast | Kind::Inspect => (Reach::Everywhere, "", ""),
            Kind::Other => return Ok(()),
        };
        if reach == Reach::Off {
            return Err(ServeError::Off { service, key });
        }
        if !reach.allows(self.local) {
            return Err(ServeError::Denied { service, key });
        }
        if self.sidecar.draining.is_cancelled() {
            return Err(ServeError::NotReady { state: "draining" });
        }
        Ok(())
    }
}

/// How long a client says that it waits.
fn asked(headers: &http::HeaderMap) -> Option<Duration> {
    headers.get("grpc-timeout").and_then(|value| timeout(value.to_str().ok()?))
}

/// Reads a `grpc-timeout`: at most 8 digits and a unit (H M S m u n), by gRPC's PROTOCOL-HTTP2.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit())
    {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

fn code_of(answer: &http::Response<Body>) -> Code {
    let header = answer.headers().get("grpc-status");
    header.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

fn mended(sidecar: &Sidecar, method: Method, answer: http::Response<Body>) -> http::Response<Body> {
    let Some(status) = Status::from_header_map(answer.headers()) else { return answer };
    let limits = &sidecar.config.limits;
    let (limit, max) = match method.service {
        Kind::Features | Kind::Feast | Kind::Other => {
            ("limits.request_bytes_max", limits.request_bytes_max)
        }
        Kind::Ingest => ("limits.ingest_bytes_max", limits.ingest_bytes_max),
        Kind::Admin if method.name == LOAD => ("limits.ingest_bytes_max", limits.ingest_bytes_max),
        Kind::Admin | Kind::Inspect => ("ADMIN_BYTES_MAX", ADMIN_BYTES_MAX),
    };
    match mend(status.code(), status.message(), limit, max) {
        Some(mended) => mended.into_http(),
        None => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_says() {
        assert_eq!(timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for nonsense in ["", "S", "5", "5x", "-5S", "123456789S", "5é"] {
            assert_eq!(timeout(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn methods_of_guarded_services_are_guarded_even_if_unknown() {
        assert!(Method::of("/skewless.v1.AdminService/Nonsense").service == Kind::Admin);
        assert!(Method::of("/skewless.v1.AdminService/describe").service == Kind::Admin);
        assert!(Method::of("/skewless.v1.IngestService/").service == Kind::Ingest);
        assert!(Method::of("/grpc.health.v1.Health/Check").service == Kind::Other);
        assert_eq!(Method::of("/made.up/Name").name, "other");
    }

    #[test]
    fn all_calls_are_bounded_but_streams_and_what_takes_as_long_as_it_takes() {
        let unbounded = METHODS.iter().filter(|method| !method.bounded);
        let names: Vec<_> = unbounded.filter_map(|method| method.name.split('/').nth(1)).collect();
        assert_eq!(names, ["IngestStream", "Apply", "Flush", "Load"]);
    }

    #[test]
    fn of_the_admin_service_only_what_reads_is_for_everybody() {
        let open = METHODS.iter().filter(|method| method.service == Kind::Inspect);
        let names: Vec<_> = open.filter_map(|method| method.name.split('/').nth(1)).collect();
        assert_eq!(names, ["List", "Describe", "Plugins", "SnapshotInfo"]);
    }
}

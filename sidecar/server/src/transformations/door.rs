//! One call of TransformFeatures from its headers to its answer, and the listener it comes to; not what is computed by.

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use prost::Message;
use skewless_catalog::frame::EVENT_NONE_US;
use skewless_catalog::{Frame, Plan, Status as FieldStatus};
use skewless_engine::Worker;
use skewless_proto::feast::serving as pb;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::server::{Grpc, UnaryService};
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::snapshot::Computed;
use super::{Names, Transformations};
use crate::encode::PREFIX_BYTES;
use crate::feast::{Undecoded, VERSION, decode};
use crate::get_features::{Computing, caught};
use crate::guard::{Deadline, Seat, work};
use crate::http2::{self, Answered, Begun, Calls};
use crate::life::{StartError, with_reflection};
use crate::listen::{self, Bound};
use crate::outbox::Answer;
use crate::reading::Readers;
use crate::rpc::{Mounted, Rpc, unknown_method};
use crate::status::ServeError;
use crate::unary;

const TRANSFORM: &str = "/feast.serving.TransformationService/TransformFeatures";
const INFO: &str = "/feast.serving.TransformationService/GetTransformationServiceInfo";

/// How many rows of an answer failed; not there if none did.
const ROWS_FAILED: &str = "skewless-rows-failed";
/// Why the first of them did, a line each.
const FAILURES: &str = "skewless-failures-bin";
/// Bytes of these lines: metadata is a header, and a client's library may take no more than 8 KiB of them.
const FAILURES_BYTES_MAX: usize = 2 << 10;

/// Frames of more rows are not kept for the next call.
const FRAME_ROWS_KEPT_MAX: usize = 1_024;

/// What health answers for: the process, and the service.
const HEALTH_NAMES: [&str; 2] = ["", Info::NAME];

/// Begins to answer on a socket.
pub(super) fn serve(
    runtime: &Runtime,
    server: &Arc<Transformations>,
    bound: Bound,
) -> Result<(HealthReporter, JoinHandle<()>), StartError> {
    let _entered = runtime.enter();
    let (health, health_service) = tonic_health::server::health_reporter();
    for name in HEALTH_NAMES {
        runtime.block_on(health.set_service_status(name, ServingStatus::Serving));
    }
    let routes = Routes::new(health_service).add_service(Mounted(Info(Arc::clone(server))));
    let routes = with_reflection(routes, skewless_proto::TRANSFORMATION_DESCRIPTORS);
    let stop = server.draining.clone();
    let (limits, metrics) = (&server.config.limits, Arc::clone(&server.metrics));
    let readers = Readers::new(Arc::clone(&server.admission));
    let connections = listen::accept(bound, limits, metrics, readers, stop.clone());
    let connections = connections.map_err(StartError::Threads)?;
    let gate = Gate { server: Arc::clone(server), services: routes };
    let serving = runtime.spawn(http2::serve(server.config.clone(), gate, connections, stop));
    Ok((health, serving))
}

/// Tells health's callers and watchers that it ends.
pub(super) async fn say_not_serving(health: &HealthReporter) {
    for name in HEALTH_NAMES {
        health.set_service_status(name, ServingStatus::NotServing).await;
    }
}

/// Answers TransformFeatures, for which nothing is routed, and leaves all else to the library.
#[derive(Clone)]
struct Gate {
    server: Arc<Transformations>,
    services: Routes,
}

impl Calls for Gate {
    fn begin(&self, request: http::Request<Body>) -> Begun {
        let answer: Answered = if request.uri().path() == TRANSFORM {
            let answer = admitted(Arc::clone(&self.server), request);
            Box::pin(async move { Ok(answer.await) })
        } else {
            let answer = self.services.clone().call(request);
            Box::pin(async move { Ok(answer.await?.map(Answer::Free)) })
        };
        // A batch takes long.
        Begun { answer, computes: false }
    }
}

/// Has a call answered when its turn has come. A place is taken, or refused, when it is called.
fn admitted(
    server: Arc<Transformations>,
    request: http::Request<Body>,
) -> impl Future<Output = http::Response<Answer>> + Send {
    let arrived = Instant::now();
    let place = match server.draining.is_cancelled() {
        true => Err(ServeError::NotReady { state: "draining" }),
        false => server.admission.arrive(arrived),
    };
    let deadline = Deadline::of(&server.config.limits, request.headers(), arrived);
    async move {
        let answered = async {
            let answer = one_message(&server, request, deadline);
            work(&server.metrics, Seat::Request(place?), deadline, answer).await?
        };
        let (code, answer) = match answered.await {
            Ok(answer) => (Code::Ok, answer),
            Err(status) => (status.code(), status.into_http().map(Answer::Free)),
        };
        server.metrics.call(&TRANSFORM[1..], code);
        answer
    }
}

async fn one_message(
    server: &Transformations,
    request: http::Request<Body>,
    deadline: Deadline,
) -> Result<http::Response<Answer>, Status> {
    let mut told = MetadataMap::new();
    let answer = |message| {
        // A batch takes longer to be computed than handing the thread's other duties over costs.
        let computed = || caught(|| answer(server, message, deadline, &mut told));
        ready(tokio::task::block_in_place(computed))
    };
    let (limits, metrics) = (&server.config.limits, &server.metrics);
    let mut answer =
        unary::one_message(limits, metrics, &server.admission, request, deadline, answer).await?;
    answer.headers_mut().extend(told.into_headers());
    Ok(answer)
}

/// gRPC's prefix and the answer.
fn answer(
    server: &Transformations,
    message: Bytes,
    deadline: Deadline,
    told: &mut MetadataMap,
) -> Result<Vec<u8>, ServeError> {
    let start = Instant::now();
    let came: pb::TransformFeaturesRequest = decode(message)?;
    let view = came.on_demand_feature_view_name;
    refuse_project(server.project.as_deref(), &came.project)?;
    let snapshot = server.current.load_full();
    let names = Names { feast: &snapshot.feast, transform: snapshot.feast.head(&view) };
    let computed = snapshot.find(names.transform)?;
    let Some(pb::value_type::Value::ArrowValue(batch)) =
        came.transformation_input.and_then(|input| input.value)
    else {
        let message = "expected columns in transformation_input.arrow_value, came none";
        return Err(ServeError::Field(message.to_owned()));
    };
    let plan = computed.program.plan();
    let mut frame = computed.frames.take(|| Frame::new(plan));
    let mut worker = snapshot.workers.take(|| Worker::new(&server.foundation.engine));
    let mut call = || {
        server.batches.read(plan, names, batch.clone(), &server.config, &mut frame)?;
        complete(plan, &mut frame)?;
        let decoded = Instant::now();
        deadline.check("before transforms ran")?;
        let (program, metrics) = (&computed.program, &computed.metrics);
        let (breaks, config) = (&snapshot.breaks, &server.config);
        Computing { program, metrics, breaks, config, deadline }.run(&mut frame, &mut worker)?;
        let run = Instant::now();
        deadline.check("while transforms ran")?;
        let answer = encode(server.batches.write(&view, plan, names, &frame)?, config)?;
        tell(plan, &frame, told);
        count(&computed, &frame, [start, decoded, run, Instant::now()]);
        Ok(answer)
    };
    let answer = call();
    worker.tidy();
    snapshot.workers.give_back(worker);
    if frame.rows <= FRAME_ROWS_KEPT_MAX {
        computed.frames.give_back(frame);
    }
    answer
}

/// Refuses a project that isn't the one that is answered. Feast's Java server names none.
fn refuse_project(ours: Option<&str>, theirs: &str) -> Result<(), ServeError> {
    match ours {
        Some(ours) if !theirs.is_empty() && theirs != ours => Err(ServeError::Field(format!(
            "expected project `{ours}` (--project), came `{theirs}`; ask the server of that project"
        ))),
        _ => Ok(()),
    }
}

/// What follows from the columns of a frame, as the store would have left it.
fn complete(plan: &Plan, frame: &mut Frame) -> Result<(), ServeError> {
    frame.complete(plan)?;
    for (lookup, events) in plan.lookups.iter().zip(&mut frame.lookups) {
        events.resize(frame.rows, EVENT_NONE_US);
        for &(_, slot) in &lookup.features {
            frame.slots[slot].derive_status();
        }
    }
    Ok(())
}

fn encode(batch: Vec<u8>, config: &crate::config::Config) -> Result<Vec<u8>, ServeError> {
    let value = pb::value_type::Value::ArrowValue(batch.into());
    let output = pb::ValueType { value: Some(value) };
    let answer = pb::TransformFeaturesResponse { transformation_output: Some(output) };
    let len = answer.encoded_len();
    // gRPC's prefix has no room for a greater length.
    let max = config.limits.response_bytes_max.min(u32::MAX as usize);
    if len > max {
        let (what, limit) = ("bytes of an answer", "limits.response_bytes_max");
        return Err(ServeError::OverLimit { what, limit, max, came: len });
    }
    let mut out = Vec::with_capacity(PREFIX_BYTES + len);
    out.push(0);
    out.extend_from_slice(&(len as u32).to_be_bytes());
    answer.encode_raw(&mut out);
    Ok(out)
}

/// Says of rows that failed how many there are, and of the first why: of their values nothing else can.
fn tell(plan: &Plan, frame: &Frame, told: &mut MetadataMap) {
    let failed = |output: &skewless_catalog::plan::Output| {
        let status = &frame.slots[output.slot].status;
        status.iter().filter(|status| *status == FieldStatus::TransformFailed).count()
    };
    let rows = plan.outputs.iter().map(failed).max().unwrap_or(0);
    if rows == 0 {
        return;
    }
    told.insert(ROWS_FAILED, MetadataValue::from(rows));
    let mut lines = String::new();
    for failure in &frame.failures {
        let row = failure.row.map_or_else(|| "every row".to_owned(), |row| format!("row {row}"));
        let line = format!("{row}: {}: {}\n", plan.steps[failure.step].transform, failure.message);
        if lines.len() + line.len() > FAILURES_BYTES_MAX {
            break;
        }
        lines.push_str(&line);
    }
    told.insert_bin(FAILURES, MetadataValue::from_bytes(lines.as_bytes()));
}

/// Moments in order: start, decoded, run, encoded.
fn count(computed: &Computed, frame: &Frame, at: [Instant; 4]) {
    let metrics = &computed.metrics;
    let seconds = |from: usize, to: usize| (at[to] - at[from]).as_secs_f64();
    metrics.decode.observe(seconds(0, 1));
    metrics.compute.observe(seconds(1, 2));
    metrics.encode.observe(seconds(2, 3));
    metrics.total.observe(seconds(0, 3));
    metrics.rows.inc_by(frame.rows as u64);
}

/// `feast.serving.TransformationService`. TransformFeatures is answered before any routing.
#[derive(Clone)]
struct Info(Arc<Transformations>);

impl Rpc for Info {
    const NAME: &'static str = "feast.serving.TransformationService";

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        if request.uri().path() != INFO {
            return unknown_method();
        }
        // There is nothing in its message.
        Grpc::new(Undecoded).max_decoding_message_size(0).unary(self, request).await
    }
}

impl UnaryService<Bytes> for Info {
    type Response = Vec<u8>;
    type Future = std::future::Ready<Result<Response<Vec<u8>>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let transforms = self.0.current.load().catalog.transforms.len();
        let answer = pb::GetTransformationServiceInfoResponse {
            version: VERSION.to_owned(),
            r#type: pb::TransformationServiceType::Custom as i32,
            transformation_service_type_details: format!(
                "WebAssembly plugins, run by {VERSION}; on-demand feature views: {transforms}"
            ),
        };
        std::future::ready(Ok(Response::new(answer.encode_to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_refused_only_if_another_is_answered() {
        for (ours, theirs) in [(None, "a"), (None, ""), (Some("a"), "a"), (Some("a"), "")] {
            assert!(refuse_project(ours, theirs).is_ok(), "{ours:?} {theirs}");
        }
        let refused = refuse_project(Some("a"), "b").map_err(|error| error.to_string());
        assert!(refused.is_err_and(|error| error.contains("`a`") && error.contains("`b`")));
    }
}

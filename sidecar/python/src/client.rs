//! `skewless.Client`: asks a running sidecar for features and sends it rows; not what either means, which is the contract's
//! (`proto/skewless/v1`).
//!
//! A connection belongs to a process and a runtime ([`Process::runtime`]): after a fork another is opened.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use skewless_batch::{Column, Type};
use skewless_catalog::Status;
use skewless_proto::v1;
use skewless_proto::v1::admin_service_client::AdminServiceClient;
use skewless_proto::v1::feature_service_client::FeatureServiceClient;
use skewless_proto::v1::ingest_service_client::IngestServiceClient;
use skewless_server::wire;
use tokio::task::AbortHandle;
use tonic::transport::{Channel, Endpoint};

use crate::address::{endpoint, speaks_http1};
use crate::description::{Description, fields};
use crate::errors::{Failure, Kind};
use crate::frames::{self, Batches};
use crate::process::{Process, locked};
use crate::wanted::WantedField;

/// Bytes of one answer that are taken: what a sidecar sends at most by default.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Rows of one Ingest message: half of what a sidecar takes by default.
const INGEST_ROWS: usize = 8_192;

/// The longest that a call may take: a day, as gRPC has no number for what is longer than some years.
const TIMEOUT_MAX: Duration = Duration::from_secs(86_400);

/// How often a waiting call looks for signals.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// What to do when the other side speaks otherwise than expected.
const VERSIONS: &str = "use a package and a sidecar of the same version";

/// A sidecar that can be asked.
#[pyclass(frozen, module = "skewless._skewless")]
pub(crate) struct Client(Arc<Connection>);

/// A sidecar's address and the connection to it, once it is open, with the process it belongs to.
struct Connection {
    address: String,
    endpoint: Endpoint,
    open: Mutex<Option<(u32, Channel)>>,
}

/// What is asked of a sidecar.
#[pyclass(frozen, module = "skewless._skewless")]
pub(crate) struct Question(Asked);

#[derive(Clone)]
enum Asked {
    Names,
    Service(String),
    View(String),
    Features(v1::GetFeaturesRequest),
    Matrix(v1::GetFeaturesRequest),
    /// Messages, each with its first row's number.
    Rows(Vec<(usize, v1::IngestRequest)>),
}

/// What came back.
enum Answer {
    Names(v1::ListResponse),
    Service(Description),
    View(Description),
    Features(v1::GetFeaturesResponse),
    Matrix(v1::GetFeaturesResponse),
    Rows(Taken),
}

/// What became of rows.
#[derive(Default)]
struct Taken {
    applied: u64,
    stale: u64,
    duplicate: u64,
    pending: u64,
    unsynced: bool,
}

#[pymethods]
impl Question {
    /// For the names of services and of views; answered by both lists.
    #[staticmethod]
    fn names() -> Self {
        Self(Asked::Names)
    }

    /// For what a service wants; answered by a `Description`.
    #[staticmethod]
    fn service(name: String) -> Self {
        Self(Asked::Service(name))
    }

    /// For what a view's rows have; answered by a `Description`.
    #[staticmethod]
    fn view(name: String) -> Self {
        Self(Asked::View(name))
    }

    /// For features of a frame's rows; answered by a dict.
    #[staticmethod]
    fn get(py: Python<'_>, service: &Description, frame: &Batches) -> PyResult<Self> {
        let asked = py.detach(|| question(service, frame))?;
        Ok(Self(Asked::Features(v1::GetFeaturesRequest { event_times: true, ..asked })))
    }

    /// For the same as float32, row after row; answered by `(bytes, rows, width)`.
    #[staticmethod]
    fn matrix(py: Python<'_>, service: &Description, frame: &Batches) -> PyResult<Self> {
        let asked = py.detach(|| question(service, frame))?;
        let asked = v1::GetFeaturesRequest { row_major_float32: true, omit_columns: true, ..asked };
        Ok(Self(Asked::Matrix(asked)))
    }

    /// To take a frame's rows into a view; answered by how many were `(applied, stale, duplicate, pending)`, and whether all
    /// are synced.
    #[staticmethod]
    fn ingest(
        py: Python<'_>,
        view: &Description,
        frame: &Batches,
        event_timestamp: &str,
        created_timestamp: Option<&str>,
    ) -> PyResult<Self> {
        let messages =
            py.detach(|| ingest_messages(view, frame, event_timestamp, created_timestamp))?;
        Ok(Self(Asked::Rows(messages)))
    }
}

impl Asked {
    /// Asks and waits for the answer.
    async fn ask(self, connection: &Connection, timeout: Duration) -> Result<Answer, Failure> {
        let channel = connection.channel().await?;
        let refused = |next: &str, status: tonic::Status| connection.refused(&status, next);
        let by_service = |status| refused("see what is served: client.services()", status);
        let by_view = |status| refused("see what is declared: client.views()", status);
        Ok(match self {
            Self::Names => {
                let asked = request(v1::ListRequest {}, timeout);
                let answer = AdminServiceClient::new(channel).list(asked).await;
                Answer::Names(answer.map_err(by_service)?.into_inner())
            }
            Self::Service(name) => {
                let of = v1::describe_request::Of::Service(name.clone());
                let asked = request(v1::DescribeRequest { of: Some(of) }, timeout);
                let answer = AdminServiceClient::new(channel).describe(asked).await;
                match answer.map_err(by_service)?.into_inner().described {
                    Some(v1::describe_response::Described::Service(service)) => {
                        Answer::Service(Description {
                            name,
                            keys: fields(&service.keys, Some(false))?,
                            values: fields(&service.request, None)?,
                            features: fields(&service.features, None)?,
                            is_service: true,
                        })
                    }
                    _ => return Err(odd("expected a service's description, came another")),
                }
            }
            Self::View(name) => {
                let of = v1::describe_request::Of::View(name.clone());
                let asked = request(v1::DescribeRequest { of: Some(of) }, timeout);
                let answer = AdminServiceClient::new(channel).describe(asked).await;
                match answer.map_err(by_view)?.into_inner().described {
                    Some(v1::describe_response::Described::View(view)) => {
                        Answer::View(Description {
                            name,
                            keys: fields(&view.keys, Some(false))?,
                            values: fields(&view.features, Some(true))?,
                            features: fields(&view.features, Some(true))?,
                            is_service: false,
                        })
                    }
                    _ => return Err(odd("expected a view's description, came another")),
                }
            }
            Self::Features(asked) => {
                let answer = features(channel, asked, timeout).await;
                Answer::Features(answer.map_err(by_service)?)
            }
            Self::Matrix(asked) => {
                let answer = features(channel, asked, timeout).await;
                Answer::Matrix(answer.map_err(by_service)?)
            }
            Self::Rows(messages) => {
                let mut taken = Taken::default();
                let mut client = IngestServiceClient::new(channel);
                for (first, message) in messages {
                    let answer = client.ingest(request(message, timeout)).await;
                    let answer = answer.map_err(|status| {
                        let mut failure = by_view(status);
                        if first > 0 {
                            failure.message.push_str(&format!(
                                "; its rows are counted from row {first} of yours, and those before it were taken"
                            ));
                        }
                        failure
                    })?;
                    let answer = answer.into_inner();
                    taken.applied += u64::from(answer.applied);
                    taken.stale += u64::from(answer.stale);
                    taken.duplicate += u64::from(answer.duplicate);
                    taken.pending += u64::from(answer.pending);
                    taken.unsynced |= !answer.synced;
                }
                Answer::Rows(taken)
            }
        })
    }
}

async fn features(
    channel: Channel,
    asked: v1::GetFeaturesRequest,
    timeout: Duration,
) -> Result<v1::GetFeaturesResponse, tonic::Status> {
    let client = FeatureServiceClient::new(channel);
    let mut client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
    Ok(client.get_features(request(asked, timeout)).await?.into_inner())
}

impl Answer {
    fn into_python<'py>(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let names =
            |named: Vec<v1::Named>| -> Vec<_> { named.into_iter().map(|of| of.name).collect() };
        Ok(match self {
            Self::Names(listed) => {
                (names(listed.services), names(listed.views)).into_pyobject(py)?.into_any()
            }
            Self::Service(described) | Self::View(described) => {
                described.into_pyobject(py)?.into_any()
            }
            Self::Features(answer) => answered(py, &answer)?.into_any(),
            Self::Matrix(answer) => matrix(py, &answer)?,
            Self::Rows(of) => {
                let counts = (of.applied, of.stale, of.duplicate, of.pending, !of.unsynced);
                counts.into_pyobject(py)?.into_any()
            }
        })
    }
}

#[pymethods]
impl Client {
    #[new]
    fn new(address: String) -> PyResult<Self> {
        let endpoint = endpoint(&address)?;
        Ok(Self(Arc::new(Connection { address, endpoint, open: Mutex::default() })))
    }

    /// Asks, and waits without Python's lock; ends the call if a signal's handler raises.
    fn wait<'py>(
        &self,
        py: Python<'py>,
        question: &Question,
        timeout: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let timeout = time_limit(timeout)?;
        let answer = py.detach(|| {
            let runtime = Process::current().runtime()?;
            runtime.block_on(async {
                let mut called = std::pin::pin!(question.0.clone().ask(&self.0, timeout));
                loop {
                    match tokio::time::timeout(ASK_EVERY, &mut called).await {
                        Ok(answer) => return Ok::<_, PyErr>(answer?),
                        Err(_) => Python::attach(|py| py.check_signals())?,
                    }
                }
            })
        })?;
        answer.into_python(py)
    }

    /// What a view's rows have, as [`Client::wait`] has it.
    fn describe_view<'py>(
        &self,
        py: Python<'py>,
        name: String,
        timeout: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.wait(py, &Question(Asked::View(name)), timeout)
    }

    /// Asks, and waits for nothing: `done` is called without arguments, on another thread, when the call has its result.
    fn begin(&self, question: &Question, timeout: f64, done: Py<PyAny>) -> PyResult<Call> {
        let timeout = time_limit(timeout)?;
        let runtime = Process::current().runtime()?;
        let (connection, asked) = (Arc::clone(&self.0), question.0.clone());
        let result = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&result);
        let task = runtime.spawn(async move {
            let answer = asked.ask(&connection, timeout).await;
            *locked(&kept) = Some(answer);
            // Python's lock isn't waited for where sockets are read. A Python that is ending is told nothing.
            tokio::task::spawn_blocking(move || Python::try_attach(|py| done.call0(py).map(drop)));
        });
        Ok(Call { result, task: task.abort_handle() })
    }
}

/// A call that was begun.
#[pyclass(frozen, module = "skewless._skewless")]
pub(crate) struct Call {
    result: Arc<Mutex<Option<Result<Answer, Failure>>>>,
    task: AbortHandle,
}

#[pymethods]
impl Call {
    /// The result, once; `done` was called before.
    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match locked(&self.result).take() {
            Some(answer) => answer?.into_python(py),
            None => Err(odd("expected a call that has ended, came one that hasn't").into()),
        }
    }

    /// Ends it, if it hasn't ended; the sidecar is told.
    fn cancel(&self) {
        self.task.abort();
    }
}

impl Connection {
    /// This process's.
    async fn channel(&self) -> Result<Channel, Failure> {
        let id = std::process::id();
        // Never waited for: it is held for moments, or by a thread that a fork left behind.
        if let Ok(open) = self.open.try_lock()
            && let Some((of, channel)) = &*open
            && *of == id
        {
            return Ok(channel.clone());
        }
        let channel = self.endpoint.connect().await.map_err(|error| {
            let (address, why) = (&self.address, innermost(&error));
            Failure::new(Kind::Unreachable, format!("no sidecar answers at {address}: {why}"))
                .next("start one with `skewless serve`, or give another address")
        })?;
        if let Ok(mut open) = self.open.try_lock() {
            let old = open.replace((id, channel.clone()));
            // A parent's connection is closed by the parent.
            std::mem::forget(old.filter(|(of, _)| *of != id));
        }
        Ok(channel)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // As in `channel`: what a fork copied isn't this process's to close.
        std::mem::forget(open.filter(|(of, _)| *of != std::process::id()));
    }
}

fn time_limit(seconds: f64) -> Result<Duration, Failure> {
    let limit = Duration::try_from_secs_f64(seconds).ok();
    limit.filter(|limit| !limit.is_zero() && *limit <= TIMEOUT_MAX).ok_or_else(|| {
        let most = TIMEOUT_MAX.as_secs();
        let message =
            format!("expected a timeout of more than 0 s and at most {most} s, came {seconds:?}");
        Failure::new(Kind::Input, message).next("give it in seconds: timeout=10")
    })
}

fn request<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}

/// The request that a frame's rows mean.
fn question(service: &Description, frame: &Batches) -> Result<v1::GetFeaturesRequest, Failure> {
    let fields = service.wanted(&[]);
    let columns = service.columns(frame, &fields, 0)?;
    let named = |(field, column): (&WantedField, Option<Column>)| {
        column.map(|column| wire::column(&field.name, &column))
    };
    let mut all: Vec<_> = fields.iter().zip(columns).map(named).collect();
    let request = all.split_off(service.keys.len());
    Ok(v1::GetFeaturesRequest {
        wanted: Some(v1::get_features_request::Wanted::Service(service.name.clone())),
        keys: all.into_iter().flatten().collect(),
        request: request.into_iter().flatten().collect(),
        ..Default::default()
    })
}

fn ingest_messages(
    view: &Description,
    frame: &Batches,
    event_timestamp: &str,
    created_timestamp: Option<&str>,
) -> Result<Vec<(usize, v1::IngestRequest)>, Failure> {
    let times: Vec<_> = [Some(event_timestamp), created_timestamp]
        .into_iter()
        .flatten()
        .map(|name| (name.to_owned(), false))
        .collect();
    let fields = view.wanted(&times);
    let mut messages = Vec::new();
    let mut first = 0;
    for batch in &frame.batches {
        for start in (0..batch.num_rows()).step_by(INGEST_ROWS) {
            let part = batch.slice(start, INGEST_ROWS.min(batch.num_rows() - start));
            let rows = part.num_rows();
            let part = Batches { schema: Arc::clone(&frame.schema), batches: vec![part] };
            let columns = view.columns(&part, &fields, first)?;
            for (key, column) in view.keys.iter().zip(&columns) {
                has_all(column.as_ref(), &key.name, first, "a key")?;
            }
            let mut columns = columns.into_iter();
            let mut named = |fields: &[WantedField]| -> Vec<_> {
                let columns = fields.iter().zip(columns.by_ref());
                columns
                    .filter_map(|(field, column)| Some(wire::column(&field.name, &column?)))
                    .collect()
            };
            let (keys, features) = (named(&view.keys), named(&view.values));
            let mut message =
                v1::IngestRequest { view: view.name.clone(), keys, features, ..Default::default() };
            for (at, (name, _)) in times.iter().enumerate() {
                let column =
                    columns.next().flatten().unwrap_or_else(|| Column::new(Type::Timestamp));
                has_all(Some(&column), name, first, "a time")?;
                let us = column.view().i64s().collect();
                if at == 0 { message.event_us = us } else { message.known_us = us }
            }
            messages.push((first, message));
            first += rows;
        }
    }
    Ok(messages)
}

/// Refuses a column with a null; `first` is the row at which it begins.
fn has_all(column: Option<&Column>, name: &str, first: usize, what: &str) -> Result<(), Failure> {
    let Some(row) = column.and_then(|column| (0..column.len()).find(|&row| column.is_null(row)))
    else {
        return Ok(());
    };
    let row = first + row;
    let message =
        format!("column `{name}`, row {row} (counted from 0): expected {what}, came null");
    Err(Failure::new(Kind::Input, message).next(format!("give the row {what}, or leave it out")))
}

/// An answer as rows of float32: `(bytes, rows, width)`.
fn matrix<'py>(py: Python<'py>, answer: &v1::GetFeaturesResponse) -> PyResult<Bound<'py, PyAny>> {
    let none = v1::Float32Rows::default();
    let floats = answer.float32_rows.as_ref().unwrap_or(&none);
    let (rows, width) = (answer.rows as usize, floats.width as usize);
    if floats.values.len() != rows * width {
        return Err(odd("expected rows of one width, came others").into());
    }
    let bytes = PyBytes::new_with(py, floats.values.len() * 4, |bytes| {
        for (bytes, value) in bytes.chunks_exact_mut(4).zip(&floats.values) {
            bytes.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(())
    })?;
    Ok((bytes, rows, width).into_pyobject(py)?.into_any())
}

/// An answer as a dict.
fn answered<'py>(
    py: Python<'py>,
    answer: &v1::GetFeaturesResponse,
) -> PyResult<Bound<'py, PyDict>> {
    let rows = answer.rows as usize;
    let mut columns = Vec::with_capacity(answer.columns.len());
    let statuses = PyDict::new(py);
    for feature in &answer.columns {
        let message = feature.column.clone().unwrap_or_default();
        let mut column = Column::new(wire::type_of(&message).map_err(odd)?);
        wire::decode_column(&message, rows, &mut column).map_err(odd)?;
        let name = |code: &u8| Status::from_u8(*code).map_or("UNKNOWN", Status::name);
        let words: Vec<&str> = match feature.statuses.is_empty() {
            true => vec![Status::Present.name(); rows],
            false => feature.statuses.iter().map(name).collect(),
        };
        statuses.set_item(&message.name, words)?;
        columns.push((message.name, column));
    }
    let frame =
        frames::of_columns(columns.iter().map(|(name, of)| (name.as_str(), of.clone())), rows)?;
    let times = PyDict::new(py);
    for of in &answer.event_times {
        let role = if of.role.is_empty() { String::new() } else { format!("[{}]", of.role) };
        let list = PyList::empty(py);
        for us in &of.event_us {
            let found = Some(*us).filter(|us| *us != i64::MIN);
            let value = found.map_or(skewless_batch::Value::Null, skewless_batch::Value::Timestamp);
            list.append(crate::values::to_python(py, value)?)?;
        }
        times.set_item(format!("{}{role}", of.view), list)?;
    }
    let failures: Vec<_> = answer
        .failures
        .iter()
        .map(|of| (of.transform.as_str(), of.row, of.message.as_str()))
        .collect();
    let provenance = answer.provenance.clone().unwrap_or_default();
    let fingerprint: String =
        provenance.service_fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    let dict = PyDict::new(py);
    dict.set_item("frame", frame.into_pyobject(py)?)?;
    dict.set_item("statuses", statuses)?;
    dict.set_item("event_times", times)?;
    dict.set_item("failures", failures)?;
    dict.set_item("fingerprint", fingerprint)?;
    let time = skewless_batch::Value::Timestamp(provenance.time_us);
    dict.set_item("time", crate::values::to_python(py, time)?)?;
    Ok(dict)
}

/// The other side speaks otherwise than expected.
pub(crate) fn odd(what: impl ToString) -> Failure {
    let kind = Kind::Sidecar { code: "INTERNAL", retry_after_ms: None };
    Failure::new(kind, what).next(VERSIONS)
}

impl Connection {
    /// Why a call failed: in the sidecar's own words, with what to do; or that no sidecar is there. `unknown` is what to do
    /// about a name that it hasn't.
    fn refused(&self, status: &tonic::Status, unknown: &str) -> Failure {
        refused(&self.address, status, unknown)
    }
}

fn refused(address: &str, status: &tonic::Status, unknown: &str) -> Failure {
    let code = code_name(status.code());
    if let Some(error) = std::error::Error::source(status)
        && status.code() != tonic::Code::DeadlineExceeded
        && status.code() != tonic::Code::Cancelled
    {
        let came =
            // Whoever else is waited for on this thread is taken over by another.
            if tokio::task::block_in_place(|| speaks_http1(address)) {
                "a server of HTTP/1".to_owned()
            } else {
                innermost(error)
            };
        let message = format!("expected a sidecar's gRPC at {address}, came: {came}");
        return Failure::new(Kind::Unreachable, message).next(
            "see that the sidecar still runs, and give the address for gRPC that it names in its log at the start",
        );
    }
    let next = match status.code() {
        tonic::Code::NotFound => unknown,
        tonic::Code::InvalidArgument => {
            "give what is declared: a service's keys and request values, a view's keys, features and times"
        }
        tonic::Code::ResourceExhausted => {
            "ask for fewer rows a call, or raise the limit in the sidecar's configuration; if retry_after_ms is set, ask again after it"
        }
        tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => {
            "give more timeout, or ask for less"
        }
        tonic::Code::Unavailable => "is the sidecar ready? ask its /readyz, then try again",
        tonic::Code::PermissionDenied => {
            "ask on the sidecar's Unix socket or on an address it has bound to loopback, or change the key named above"
        }
        tonic::Code::Unimplemented => VERSIONS,
        _ => "look into the sidecar's log",
    };
    let message = status.message();
    let retry = status.metadata().get("grpc-retry-pushback-ms");
    let retry_after_ms = retry.and_then(|ms| ms.to_str().ok()).and_then(|ms| ms.parse().ok());
    let kind = Kind::Sidecar { code, retry_after_ms };
    Failure::new(kind, format!("the sidecar at {address} refused: {message} ({code})")).next(next)
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code as C;
    match code {
        C::Ok => "OK",
        C::Cancelled => "CANCELLED",
        C::Unknown => "UNKNOWN",
        C::InvalidArgument => "INVALID_ARGUMENT",
        C::DeadlineExceeded => "DEADLINE_EXCEEDED",
        C::NotFound => "NOT_FOUND",
        C::AlreadyExists => "ALREADY_EXISTS",
        C::PermissionDenied => "PERMISSION_DENIED",
        C::ResourceExhausted => "RESOURCE_EXHAUSTED",
        C::FailedPrecondition => "FAILED_PRECONDITION",
        C::Aborted => "ABORTED",
        C::OutOfRange => "OUT_OF_RANGE",
        C::Unimplemented => "UNIMPLEMENTED",
        C::Internal => "INTERNAL",
        C::Unavailable => "UNAVAILABLE",
        C::DataLoss => "DATA_LOSS",
        C::Unauthenticated => "UNAUTHENTICATED",
    }
}

//! `skewless.Client`: asks a running sidecar for features and sends it rows; not what either means, which is the contract's
//! (`proto/skewless/v1`).
//!
//! A connection belongs to a process and a runtime ([`Process::runtime`]): after a fork another is opened.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use skewless_batch::{Column, Type};
use skewless_catalog::Status;
use skewless_offline::exchange;
use skewless_proto::v1;
use skewless_proto::v1::admin_service_client::AdminServiceClient;
use skewless_proto::v1::feature_service_client::FeatureServiceClient;
use skewless_proto::v1::ingest_service_client::IngestServiceClient;
use skewless_server::wire;
use tonic::transport::{Channel, Endpoint};

use crate::errors::{Failure, Kind};
use crate::frames::{self, Batches};
use crate::process::Process;
use crate::wanted::{Wanted, WantedField, unfit};

/// Bytes of one answer that are taken: what a sidecar sends at most by default.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Rows of one Ingest message: half of what a sidecar takes by default.
const INGEST_ROWS: usize = 8_192;

/// How long to wait for a connection: a sidecar is on the same machine or near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a waiting call looks for signals.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Where a sidecar listens unless it is configured otherwise.
const DEFAULT_PORT: u16 = 7667;

/// What to do when the other side speaks otherwise than expected.
const VERSIONS: &str = "use a package and a sidecar of the same version";

/// A sidecar's address and the connection to it.
#[pyclass(frozen, module = "skewless._skewless")]
pub(crate) struct Client {
    address: String,
    endpoint: Endpoint,
    connected: Mutex<Option<(u32, Channel)>>,
}

/// What a service or a view wants, as its sidecar says.
#[pyclass(frozen, module = "skewless._skewless")]
pub(crate) struct Description {
    name: String,
    keys: Vec<WantedField>,
    /// Request values of a service, features of a view.
    values: Vec<WantedField>,
    features: Vec<WantedField>,
    is_service: bool,
}

#[pymethods]
impl Description {
    /// Keys, as `(name, type, nullable)`.
    #[getter]
    fn keys(&self) -> Vec<(String, String, bool)> {
        described(&self.keys)
    }

    /// Request values of a service.
    #[getter]
    fn request(&self) -> Vec<(String, String, bool)> {
        described(if self.is_service { &self.values } else { &[] })
    }

    /// Features.
    #[getter]
    fn features(&self) -> Vec<(String, String, bool)> {
        described(&self.features)
    }

    /// Rows that are dicts as a frame; for a view with these columns of times.
    fn rows(&self, rows: &Bound<'_, PyAny>, times: Vec<(String, bool)>) -> PyResult<Batches> {
        let fields = self.wanted(&times);
        let (owner, noun) = self.words();
        let wanted = Wanted { owner: &owner, noun, fields: &fields };
        let (count, columns) = wanted.columns_of(rows)?;
        let given = fields.iter().zip(columns).filter(|(_, (given, _))| *given);
        frames::of_columns(given.map(|(field, (_, column))| (&*field.name, column)), count)
    }
}

impl Description {
    fn wanted(&self, times: &[(String, bool)]) -> Vec<WantedField> {
        let times = times.iter().map(|(name, nullable)| WantedField {
            name: name.clone(),
            ty: Type::Timestamp,
            nullable: *nullable,
        });
        self.keys.iter().chain(&self.values).cloned().chain(times).collect()
    }

    fn words(&self) -> (String, &'static str) {
        let kind = if self.is_service { "service" } else { "view" };
        (format!("{kind} `{}`", self.name), "column")
    }

    /// A frame's columns as these fields, each as long as the frame; none where it has none.
    fn columns(
        &self,
        frame: &Batches,
        fields: &[WantedField],
    ) -> Result<Vec<Option<Column>>, Failure> {
        let (owner, noun) = self.words();
        let wanted = Wanted { owner: &owner, noun, fields };
        let chosen = wanted.chosen(&frame.schema)?;
        let column = |(field, at): (&WantedField, Option<usize>)| {
            let Some(at) = at else { return Ok(None) };
            let parts: Vec<&dyn Array> =
                frame.batches.iter().map(|batch| batch.column(at).as_ref()).collect();
            if parts.is_empty() {
                return Ok(Some(Column::new(field.ty)));
            }
            let whole: ArrayRef = concat(&parts).map_err(|error| frames::broken(&error))?;
            let column = exchange::column_from(&whole, &field.name, field.ty);
            column.map(Some).map_err(|error| unfit(error, 0))
        };
        fields.iter().zip(chosen).map(column).collect()
    }
}

fn described(fields: &[WantedField]) -> Vec<(String, String, bool)> {
    fields.iter().map(|of| (of.name.clone(), of.ty.to_string(), of.nullable)).collect()
}

#[pymethods]
impl Client {
    #[new]
    fn new(address: String) -> PyResult<Self> {
        let endpoint = endpoint(&address)?;
        Ok(Self { address, endpoint, connected: Mutex::default() })
    }

    /// What a service wants.
    fn describe_service(&self, py: Python<'_>, name: &str, timeout: f64) -> PyResult<Description> {
        let of = v1::describe_request::Of::Service(name.to_owned());
        match self.describe(py, of, timeout)? {
            Some(v1::describe_response::Described::Service(service)) => Ok(Description {
                name: name.to_owned(),
                keys: fields(&service.keys, Some(false))?,
                values: fields(&service.request, None)?,
                features: fields(&service.features, None)?,
                is_service: true,
            }),
            _ => Err(odd("expected a service's description, came another").into()),
        }
    }

    /// What a view's rows have.
    fn describe_view(&self, py: Python<'_>, name: &str, timeout: f64) -> PyResult<Description> {
        let of = v1::describe_request::Of::View(name.to_owned());
        match self.describe(py, of, timeout)? {
            Some(v1::describe_response::Described::View(view)) => Ok(Description {
                name: name.to_owned(),
                keys: fields(&view.keys, Some(false))?,
                values: fields(&view.features, Some(true))?,
                features: fields(&view.features, Some(true))?,
                is_service: false,
            }),
            _ => Err(odd("expected a view's description, came another").into()),
        }
    }

    /// Names of services and of views.
    fn list(&self, py: Python<'_>, timeout: f64) -> PyResult<(Vec<String>, Vec<String>)> {
        let listed = self.ask(py, timeout, async move |channel: Channel, timeout| {
            AdminServiceClient::new(channel).list(request(v1::ListRequest {}, timeout)).await
        })?;
        let names = |named: Vec<v1::Named>| named.into_iter().map(|of| of.name).collect();
        Ok((names(listed.services), names(listed.views)))
    }

    /// Features of a frame's rows; gives a dict.
    fn get<'py>(
        &self,
        py: Python<'py>,
        service: &Description,
        frame: &Batches,
        timeout: f64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let mut asked = question(py, service, frame)?;
        asked.event_times = true;
        let answer = self.features(py, asked, timeout)?;
        answered(py, &answer)
    }

    /// The same as float32, row after row: `(bytes, rows, width)`.
    fn matrix<'py>(
        &self,
        py: Python<'py>,
        service: &Description,
        frame: &Batches,
        timeout: f64,
    ) -> PyResult<(Bound<'py, PyBytes>, usize, usize)> {
        let mut asked = question(py, service, frame)?;
        (asked.row_major_float32, asked.omit_columns) = (true, true);
        let answer = self.features(py, asked, timeout)?;
        let floats = answer.float32_rows.unwrap_or_default();
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
        Ok((bytes, rows, width))
    }

    /// Sends a frame's rows to a view; gives how many were `(applied, stale, duplicate, pending)`, and whether all are
    /// synced.
    fn ingest(
        &self,
        py: Python<'_>,
        view: &Description,
        frame: &Batches,
        event_timestamp: &str,
        created_timestamp: Option<&str>,
        timeout: f64,
    ) -> PyResult<(u64, u64, u64, u64, bool)> {
        let messages =
            py.detach(|| ingest_messages(view, frame, event_timestamp, created_timestamp))?;
        let mut counts = (0, 0, 0, 0, true);
        for message in messages {
            let answer = self.ask(py, timeout, async move |channel: Channel, timeout| {
                IngestServiceClient::new(channel).ingest(request(message, timeout)).await
            })?;
            counts.0 += u64::from(answer.applied);
            counts.1 += u64::from(answer.stale);
            counts.2 += u64::from(answer.duplicate);
            counts.3 += u64::from(answer.pending);
            counts.4 &= answer.synced;
        }
        Ok(counts)
    }
}

impl Client {
    fn describe(
        &self,
        py: Python<'_>,
        of: v1::describe_request::Of,
        timeout: f64,
    ) -> PyResult<Option<v1::describe_response::Described>> {
        let asked = v1::DescribeRequest { of: Some(of) };
        let answer = self.ask(py, timeout, async move |channel: Channel, timeout| {
            AdminServiceClient::new(channel).describe(request(asked, timeout)).await
        })?;
        Ok(answer.described)
    }

    fn features(
        &self,
        py: Python<'_>,
        asked: v1::GetFeaturesRequest,
        timeout: f64,
    ) -> PyResult<v1::GetFeaturesResponse> {
        self.ask(py, timeout, async move |channel: Channel, timeout| {
            let client = FeatureServiceClient::new(channel);
            let mut client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
            client.get_features(request(asked, timeout)).await
        })
    }

    /// Makes a call without Python's lock, and ends it if a signal's handler raises.
    fn ask<T>(
        &self,
        py: Python<'_>,
        timeout: f64,
        call: impl AsyncFnOnce(Channel, Duration) -> Result<tonic::Response<T>, tonic::Status> + Send,
    ) -> PyResult<T>
    where
        T: Send,
    {
        let timeout = Duration::try_from_secs_f64(timeout)
            .ok()
            .filter(|timeout| !timeout.is_zero())
            .ok_or_else(|| {
                let message = format!("expected a timeout of more than 0 s, came {timeout}");
                Failure::new(Kind::Input, message)
            })?;
        py.detach(|| {
            let runtime = Process::current().runtime()?;
            runtime.block_on(async {
                let called = async {
                    let channel = self.connect().await?;
                    let answer = call(channel, timeout).await;
                    answer
                        .map(tonic::Response::into_inner)
                        .map_err(|status| refused(&self.address, &status))
                };
                let mut called = std::pin::pin!(called);
                loop {
                    match tokio::time::timeout(ASK_EVERY, &mut called).await {
                        Ok(answer) => return Ok(answer?),
                        Err(_) => Python::attach(|py| py.check_signals())?,
                    }
                }
            })
        })
    }

    /// This process's connection.
    async fn connect(&self) -> Result<Channel, Failure> {
        let id = std::process::id();
        // Never waited for: it is held for moments, or by a thread that a fork left behind.
        if let Ok(connected) = self.connected.try_lock()
            && let Some((of, channel)) = &*connected
            && *of == id
        {
            return Ok(channel.clone());
        }
        let channel = self.endpoint.connect().await.map_err(|error| {
            let (address, why) = (&self.address, innermost(&error));
            Failure::new(Kind::Unreachable, format!("no sidecar answers at {address}: {why}"))
                .next("start one with `skewless serve`, or give another address")
        })?;
        if let Ok(mut connected) = self.connected.try_lock() {
            let old = connected.replace((id, channel.clone()));
            // A parent's connection is closed by the parent.
            std::mem::forget(old.filter(|(of, _)| *of != id));
        }
        Ok(channel)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let connected = self.connected.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // As in `connect`: what a fork copied isn't this process's to close.
        std::mem::forget(connected.filter(|(of, _)| *of != std::process::id()));
    }
}

fn request<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}

/// The request that a frame's rows mean.
fn question(
    py: Python<'_>,
    service: &Description,
    frame: &Batches,
) -> PyResult<v1::GetFeaturesRequest> {
    py.detach(|| {
        let fields = service.wanted(&[]);
        let columns = service.columns(frame, &fields)?;
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
    })
}

fn ingest_messages(
    view: &Description,
    frame: &Batches,
    event_timestamp: &str,
    created_timestamp: Option<&str>,
) -> PyResult<Vec<v1::IngestRequest>> {
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
            let mut columns = view.columns(&part, &fields)?.into_iter();
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
                if let Some(row) = (0..rows).find(|&row| column.is_null(row)) {
                    let row = first + row;
                    let message = format!(
                        "column `{name}`, row {row} (counted from 0): expected a time, came null"
                    );
                    let next = "give the row a time, or leave it out";
                    return Err(Failure::new(Kind::Input, message).next(next).into());
                }
                let us = column.view().i64s().collect();
                if at == 0 { message.event_us = us } else { message.known_us = us }
            }
            messages.push(message);
            first += rows;
        }
    }
    Ok(messages)
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

fn fields(of: &[v1::Field], nullable: Option<bool>) -> Result<Vec<WantedField>, Failure> {
    of.iter()
        .map(|field| {
            let code = u8::try_from(field.r#type).ok();
            let ty = code.and_then(|code| Type::from_code(code, field.dim));
            let ty = ty.ok_or_else(|| {
                odd(format!("expected a type for `{}`, came number {}", field.name, field.r#type))
            })?;
            let nullable = nullable.unwrap_or(field.nullable);
            Ok(WantedField { name: field.name.clone(), ty, nullable })
        })
        .collect()
}

/// The other side speaks otherwise than expected.
fn odd(what: impl ToString) -> Failure {
    let kind = Kind::Sidecar { code: "INTERNAL", retry_after_ms: None };
    Failure::new(kind, what).next(VERSIONS)
}

fn endpoint(address: &str) -> Result<Endpoint, Failure> {
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
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
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

/// Why a call failed: in the sidecar's own words, with what to do; or that no sidecar is there.
fn refused(address: &str, status: &tonic::Status) -> Failure {
    let code = code_name(status.code());
    if let Some(error) = std::error::Error::source(status)
        && status.code() != tonic::Code::DeadlineExceeded
        && status.code() != tonic::Code::Cancelled
    {
        let came =
            if speaks_http1(address) { "a server of HTTP/1".to_owned() } else { innermost(error) };
        let message = format!("expected a sidecar's gRPC at {address}, came: {came}");
        return Failure::new(Kind::Unreachable, message).next(
            "see that the sidecar still runs, and give the address for gRPC that it names in its log at the start",
        );
    }
    let next = match status.code() {
        tonic::Code::NotFound => "see what is served: client.services()",
        tonic::Code::InvalidArgument => "give the keys and request values the service declares",
        tonic::Code::ResourceExhausted => {
            "ask for less at once, or raise the limit in the configuration; if retry_after_ms is set, ask again after it"
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

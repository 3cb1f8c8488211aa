//! Feast's gRPC services: which message holds what, and what answers it; not the calls' limits and deadlines, which are
//! `guard.rs`'s.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use prost::Message;
use skewless_proto::feast::serving as pb;
use skewless_proto::feast::types::Value;
use skewless_proto::feast_server as server;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic::codegen::http;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};

use super::answer::{Answer, views};
use super::cell::Cell;
use super::names;
use super::request::{Ask, Columns, Target, request};
use super::rows::ingest;
use super::scan::{Holds, scan};
use super::value::cell;
use crate::get_features::{Pinned, caught};
use crate::guard::{Deadline, Passed};
use crate::rpc::{BoxFuture, Finished, Rpc, scan_limits, unknown_method};
use crate::sidecar::Sidecar;
use crate::status::ServeError;
use crate::wire::WireError;

/// What the fields of `GetOnlineFeaturesRequest` hold.
const ASK: &[(u32, Holds)] = &[(2, Holds::Names), (3, Holds::Columns), (5, Holds::Columns)];
/// What the fields of `PushRequest` hold.
const PUSH: &[(u32, Holds)] = &[(1, Holds::Texts), (5, Holds::Values)];
/// What the fields of `WriteToOnlineStoreRequest` hold.
const WRITE: &[(u32, Holds)] = &[(1, Holds::Texts), (4, Holds::Values)];
/// Who answers.
pub(crate) const VERSION: &str = concat!("skewless ", env!("CARGO_PKG_VERSION"));

/// Answers GetOnlineFeatures of either service: gRPC's prefix and the message.
pub(crate) fn get_online_features(
    sidecar: &Sidecar,
    message: Bytes,
    deadline: Deadline,
) -> Result<Vec<u8>, ServeError> {
    caught(|| {
        scan(&message, ASK, scan_limits(sidecar))?;
        let came: pb::GetOnlineFeaturesRequest = decode(message)?;
        let (ask, columns) = asked(&came)?;
        answer(sidecar, &ask, &columns, deadline, |answer| answer.message())
    })
}

/// Answers what is asked for, in the form that `write` gives it.
pub(super) fn answer(
    sidecar: &Sidecar,
    ask: &Ask,
    columns: &dyn Columns,
    deadline: Deadline,
    write: fn(&Answer<'_>) -> Result<Vec<u8>, ServeError>,
) -> Result<Vec<u8>, ServeError> {
    let limits = &sidecar.config.limits;
    let pinned = Pinned::now(sidecar, |snapshot| ask.plan(snapshot, &sidecar.metrics))?;
    let (snapshot, plan) = (Arc::clone(&pinned.snapshot), pinned.served.plan());
    let shown = names::columns(ask, plan, &snapshot.feast, columns.lengths())?;
    let request = request(&snapshot, plan, columns, limits.rows_max)?;
    pinned.answer(sidecar, &request, deadline, |done| {
        let names = || views(done.plan).into_iter().map(|view| snapshot.feast.view(view));
        let views = ask.view_metadata.then(|| names().collect());
        let bytes_max = limits.response_bytes_max;
        write(&Answer { frame: done.frame, columns: &shown, views, bytes_max })
    })
}

pub(crate) fn decode<M: Message + Default>(message: Bytes) -> Result<M, ServeError> {
    M::decode(message).map_err(|error| WireError::Malformed(error.to_string()).into())
}

fn asked(came: &pb::GetOnlineFeaturesRequest) -> Result<(Ask, Lists<'_>), ServeError> {
    use pb::get_online_features_request::Kind;
    let (service, features) = match &came.kind {
        Some(Kind::FeatureService(name)) => (Some(name.clone()), Vec::new()),
        Some(Kind::Features(list)) => (None, list.val.clone()),
        None => (None, Vec::new()),
    };
    if let Some(name) = came.request_context.keys().find(|name| came.entities.contains_key(*name)) {
        return Err(ServeError::Field(format!(
            "expected column `{name}` in entities or in request_context, came in both"
        )));
    }
    let both = came.entities.iter().chain(&came.request_context);
    let mut columns: Vec<(&str, &[Value])> =
        both.map(|(name, values)| (name.as_str(), &*values.val)).collect();
    // Maps have no order; messages shall name the same column each time.
    columns.sort_unstable_by_key(|(name, _)| *name);
    let lengths = columns.iter().map(|(name, values)| ((*name).to_owned(), values.len())).collect();
    let ask = Ask {
        service,
        features,
        full_feature_names: came.full_feature_names,
        view_metadata: came.include_feature_view_version_metadata,
    };
    Ok((ask, Lists { lengths, columns }))
}

/// Columns of many rows.
struct Lists<'a> {
    lengths: Vec<(String, usize)>,
    columns: Vec<(&'a str, &'a [Value])>,
}

impl Columns for Lists<'_> {
    fn lengths(&self) -> &[(String, usize)] {
        &self.lengths
    }

    fn fill(&self, wanted: &mut [Target]) -> Result<(), ServeError> {
        for target in wanted {
            let found = self.columns.iter().find(|(name, _)| *name == target.name);
            for (row, value) in found.into_iter().flat_map(|(_, values)| *values).enumerate() {
                target.append(row, &cell(value)).map_err(ServeError::Field)?;
            }
        }
        Ok(())
    }
}

/// One row.
struct Row<'a> {
    lengths: Vec<(String, usize)>,
    cells: Vec<(&'a str, Cell<'a>)>,
}

impl<'a> Row<'a> {
    fn new(mut cells: Vec<(&'a str, Cell<'a>)>) -> Self {
        cells.sort_unstable_by_key(|(name, _)| *name);
        let lengths = cells.iter().map(|(name, _)| ((*name).to_owned(), 1)).collect();
        Self { lengths, cells }
    }
}

impl Columns for Row<'_> {
    fn lengths(&self) -> &[(String, usize)] {
        &self.lengths
    }

    fn fill(&self, wanted: &mut [Target]) -> Result<(), ServeError> {
        for target in wanted {
            let found = self.cells.iter().find(|(name, _)| *name == target.name);
            if let Some((_, cell)) = found {
                target.append(0, cell).map_err(ServeError::Field)?;
            }
        }
        Ok(())
    }
}

/// Applies one row that came as text or as values; what isn't there is empty.
fn write(
    sidecar: &Sidecar,
    view: &str,
    texts: &std::collections::HashMap<String, String>,
    values: &std::collections::HashMap<String, Value>,
) -> Result<(), ServeError> {
    let cells = match (texts.is_empty(), values.is_empty()) {
        (false, false) => {
            return Err(ServeError::Field(
                "expected features or typed_features, came both".to_owned(),
            ));
        }
        (false, true) => texts.iter().map(|(name, text)| (&**name, Cell::Written(text))).collect(),
        (true, _) => values.iter().map(|(name, value)| (&**name, cell(value))).collect(),
    };
    apply(sidecar, view, &Row::new(cells))
}

/// Applies rows of a view; blocks until they are written.
pub(super) fn apply(
    sidecar: &Sidecar,
    view: &str,
    columns: &dyn Columns,
) -> Result<(), ServeError> {
    let snapshot = sidecar.current.load_full();
    let catalog = &snapshot.catalog;
    let (now_us, rows_max) = (sidecar.clock.now_us(), sidecar.config.limits.ingest_rows_max);
    let view = catalog.find_view(snapshot.feast.head(view))?;
    let request = ingest(catalog, view, &snapshot.feast, columns, now_us, rows_max)?;
    crate::ingest::apply(sidecar, &request)?;
    Ok(())
}

fn push(sidecar: &Sidecar, message: Bytes) -> Result<Vec<u8>, ServeError> {
    scan(&message, PUSH, scan_limits(sidecar))?;
    let came: server::PushRequest = decode(message)?;
    super::refuse_target(&came.to)?;
    write(sidecar, &came.stream_feature_view, &came.features, &came.typed_features)?;
    Ok(server::PushResponse { status: true }.encode_to_vec())
}

fn write_to_online_store(sidecar: &Sidecar, message: Bytes) -> Result<Vec<u8>, ServeError> {
    scan(&message, WRITE, scan_limits(sidecar))?;
    let came: server::WriteToOnlineStoreRequest = decode(message)?;
    write(sidecar, &came.feature_view_name, &came.features, &came.typed_features)?;
    Ok(server::WriteToOnlineStoreResponse { status: true }.encode_to_vec())
}

/// Gives messages as they came, to be looked through before they are decoded.
pub(crate) struct Undecoded;

impl Codec for Undecoded {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Finished;
    type Decoder = Self;

    fn encoder(&mut self) -> Finished {
        Finished
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Decoder for Undecoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let len = from.remaining();
        Ok(Some(from.copy_to_bytes(len)))
    }
}

/// `feast.serving.ServingService`. GetOnlineFeatures is answered before any routing.
#[derive(Clone)]
pub(crate) struct FeastServing;

impl Rpc for FeastServing {
    const NAME: &'static str = "feast.serving.ServingService";

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        match request.uri().path() {
            "/feast.serving.ServingService/GetFeastServingInfo" => {
                // There is nothing in its message.
                Grpc::new(Undecoded).max_decoding_message_size(0).unary(Info, request).await
            }
            _ => unknown_method(),
        }
    }
}

struct Info;

impl UnaryService<Bytes> for Info {
    type Response = Vec<u8>;
    type Future = std::future::Ready<Result<Response<Vec<u8>>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let answer = pb::GetFeastServingInfoResponse { version: VERSION.to_owned() };
        std::future::ready(Ok(Response::new(answer.encode_to_vec())))
    }
}

/// `GrpcFeatureServer`, which has no package. GetOnlineFeatures is answered before any routing.
#[derive(Clone)]
pub(crate) struct GrpcFeatureServer(pub(crate) Arc<Sidecar>);

impl Rpc for GrpcFeatureServer {
    const NAME: &'static str = "GrpcFeatureServer";

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let Self(sidecar) = self;
        let apply: Apply = match request.uri().path() {
            "/GrpcFeatureServer/Push" => push,
            "/GrpcFeatureServer/WriteToOnlineStore" => write_to_online_store,
            _ => return unknown_method(),
        };
        let max = sidecar.config.limits.ingest_bytes_max;
        let mut grpc = Grpc::new(Undecoded).max_decoding_message_size(max);
        grpc.unary(Write { sidecar, apply }, request).await
    }
}

type Apply = fn(&Sidecar, Bytes) -> Result<Vec<u8>, ServeError>;

struct Write {
    sidecar: Arc<Sidecar>,
    apply: Apply,
}

impl UnaryService<Bytes> for Write {
    type Response = Vec<u8>;
    type Future = BoxFuture<Result<Response<Vec<u8>>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (sidecar, apply) = (Arc::clone(&self.sidecar), self.apply);
        let Passed { place } = Passed::of(request.extensions());
        Box::pin(async move {
            let answer = crate::blocking::blocking(move || {
                let _until_done = place;
                apply(&sidecar, request.into_inner())
            });
            Ok(Response::new(answer.await?))
        })
    }
}

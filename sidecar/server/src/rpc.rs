//! How the services meet tonic: decoding behind a scan, answers as finished bytes; not what the methods do, and not
//! GetFeatures, which doesn't come here (`unary.rs`).
//!
//! The generated servers would decode whatever comes, however much memory it asks for. IngestService and AdminService's
//! Load are mounted by hand for that reason alone; paths and messages are those of the generated contract, and tests
//! call them through the generated clients. AdminService's other methods take no columns and are mounted as generated.

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use prost::Message;
use skewless_proto::v1 as pb;
use skewless_proto::v1::admin_service_server::{AdminService, AdminServiceServer};
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Service, http};
use tonic::server::{ClientStreamingService, Grpc, NamedService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};

use crate::admin::Admin;
use crate::guard::Passed;
use crate::ingest;
use crate::sidecar::Sidecar;
use crate::status::ServeError;
use crate::wire::{ScanLimits, WireError, scan};

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Answers of a streaming call.
pub(crate) type Answers = Pin<Box<dyn Stream<Item = Result<Vec<u8>, Status>> + Send>>;

/// Bytes of a message to AdminService, but for Load's: a name is all that is in one. Whoever reaches GetFeatures may
/// send them.
pub(crate) const ADMIN_BYTES_MAX: usize = 4 << 10;
/// Numbers of the fields of `IngestRequest` that hold sub-messages.
const INGEST_MESSAGES: &[u32] = &[2, 6, 7];
/// Numbers of the fields of `LoadRequest` that hold sub-messages.
const LOAD_MESSAGES: &[u32] = &[3, 7];

/// Decodes `M` behind a scan; sends finished bytes.
struct ScannedCodec<M> {
    messages: &'static [u32],
    limits: ScanLimits,
    decoded: PhantomData<M>,
}

impl<M> ScannedCodec<M> {
    fn new(sidecar: &Sidecar, messages: &'static [u32]) -> Self {
        Self { messages, limits: scan_limits(sidecar), decoded: PhantomData }
    }
}

impl<M: Message + Default + 'static> Codec for ScannedCodec<M> {
    type Encode = Vec<u8>;
    type Decode = M;
    type Encoder = Finished;
    type Decoder = Scanned<M>;

    fn encoder(&mut self) -> Finished {
        Finished
    }

    fn decoder(&mut self) -> Scanned<M> {
        Scanned { messages: self.messages, limits: self.limits, decoded: PhantomData }
    }
}

/// Sends finished bytes.
pub(crate) struct Finished;

impl Encoder for Finished {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(out, &item);
        Ok(())
    }
}

struct Scanned<M> {
    messages: &'static [u32],
    limits: ScanLimits,
    decoded: PhantomData<M>,
}

impl<M: Message + Default> Decoder for Scanned<M> {
    type Item = M;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<M>, Status> {
        let len = bytes::Buf::remaining(from);
        let bytes = bytes::Buf::copy_to_bytes(from, len);
        decode_scanned(bytes, self.messages, self.limits).map(Some).map_err(Status::from)
    }
}

/// How much a message to this sidecar may hold.
pub(crate) fn scan_limits(sidecar: &Sidecar) -> ScanLimits {
    let limits = &sidecar.config.limits;
    let (columns_max, text_elements_max) = (limits.columns_max, limits.text_elements_max);
    ScanLimits { columns_max, text_elements_max }
}

/// Decodes a message behind a scan.
pub(crate) fn decode_scanned<M: Message + Default>(
    bytes: Bytes,
    messages: &[u32],
    limits: ScanLimits,
) -> Result<M, ServeError> {
    scan(&bytes, messages, limits)?;
    M::decode(bytes).map_err(|error| WireError::Malformed(error.to_string()).into())
}

/// One of our services: which it is, and what answers a call of it.
pub(crate) trait Rpc: Clone + Send + 'static {
    /// Its name in the contract.
    const NAME: &'static str;

    fn answer(
        self,
        request: http::Request<Body>,
    ) -> impl Future<Output = http::Response<Body>> + Send;
}

/// A service as tonic's router takes it.
#[derive(Clone)]
pub(crate) struct Mounted<R>(pub(crate) R);

impl<R: Rpc> NamedService for Mounted<R> {
    const NAME: &'static str = R::NAME;
}

impl<R: Rpc> Service<http::Request<Body>> for Mounted<R> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let rpc = self.0.clone();
        Box::pin(async move { Ok(rpc.answer(request).await) })
    }
}

/// What decodes and answers one call, of messages of at most so many bytes.
fn grpc<M: Message + Default + 'static>(
    sidecar: &Sidecar,
    messages: &'static [u32],
    bytes_max: usize,
) -> Grpc<ScannedCodec<M>> {
    Grpc::new(ScannedCodec::new(sidecar, messages)).max_decoding_message_size(bytes_max)
}

/// `skewless.v1.FeatureService`. Its one method is answered before any routing (`unary.rs`): what comes here is none of
/// its methods.
#[derive(Clone)]
pub(crate) struct FeatureRpc;

impl Rpc for FeatureRpc {
    const NAME: &'static str = "skewless.v1.FeatureService";

    async fn answer(self, _: http::Request<Body>) -> http::Response<Body> {
        unknown_method()
    }
}

/// `skewless.v1.IngestService`.
#[derive(Clone)]
pub(crate) struct IngestRpc(pub(crate) Arc<Sidecar>);

impl Rpc for IngestRpc {
    const NAME: &'static str = "skewless.v1.IngestService";

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let Self(sidecar) = self;
        let max = sidecar.config.limits.ingest_bytes_max;
        match request.uri().path() {
            "/skewless.v1.IngestService/Ingest" => {
                grpc(&sidecar, INGEST_MESSAGES, max).unary(Ingest(sidecar), request).await
            }
            "/skewless.v1.IngestService/IngestStream" => {
                grpc(&sidecar, INGEST_MESSAGES, max).streaming(IngestStream(sidecar), request).await
            }
            "/skewless.v1.IngestService/Progress" => {
                grpc(&sidecar, &[], max).unary(Progress(sidecar), request).await
            }
            _ => unknown_method(),
        }
    }
}

struct Ingest(Arc<Sidecar>);

impl UnaryService<pb::IngestRequest> for Ingest {
    type Response = Vec<u8>;
    type Future = BoxFuture<Result<Response<Vec<u8>>, Status>>;

    fn call(&mut self, request: Request<pb::IngestRequest>) -> Self::Future {
        let sidecar = Arc::clone(&self.0);
        let Passed { place } = Passed::of(request.extensions());
        Box::pin(async move {
            let answer = ingest::ingest(sidecar, request.into_inner(), place).await?;
            Ok(Response::new(answer.encode_to_vec()))
        })
    }
}

struct IngestStream(Arc<Sidecar>);

impl StreamingService<pb::IngestRequest> for IngestStream {
    type Response = Vec<u8>;
    type ResponseStream = Answers;
    type Future = std::future::Ready<Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Streaming<pb::IngestRequest>>) -> Self::Future {
        let answers = ingest::stream(Arc::clone(&self.0), request.into_inner());
        std::future::ready(answers.map(Response::new).map_err(Status::from))
    }
}

struct Progress(Arc<Sidecar>);

impl UnaryService<pb::ProgressRequest> for Progress {
    type Response = Vec<u8>;
    type Future = std::future::Ready<Result<Response<Vec<u8>>, Status>>;

    fn call(&mut self, request: Request<pb::ProgressRequest>) -> Self::Future {
        let offset = self.0.store.source_offset(&request.get_ref().source);
        let answer = offset.map(|offset| pb::ProgressResponse { offset }.encode_to_vec());
        let answer = answer.map(Response::new);
        std::future::ready(answer.map_err(|error| ServeError::Store(error).into()))
    }
}

/// `skewless.v1.AdminService`.
#[derive(Clone)]
pub(crate) struct AdminRpc {
    sidecar: Arc<Sidecar>,
    generated: AdminServiceServer<Admin>,
}

impl AdminRpc {
    pub(crate) fn new(sidecar: Arc<Sidecar>) -> Self {
        let generated = AdminServiceServer::new(Admin(Arc::clone(&sidecar)));
        Self { sidecar, generated: generated.max_decoding_message_size(ADMIN_BYTES_MAX) }
    }
}

impl Rpc for AdminRpc {
    const NAME: &'static str = "skewless.v1.AdminService";

    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let Self { sidecar, mut generated } = self;
        if request.uri().path() != "/skewless.v1.AdminService/Load" {
            let Ok(answer) = Service::call(&mut generated, request).await;
            return answer;
        }
        let max = sidecar.config.limits.ingest_bytes_max;
        grpc(&sidecar, LOAD_MESSAGES, max).client_streaming(Load(sidecar), request).await
    }
}

struct Load(Arc<Sidecar>);

impl ClientStreamingService<pb::LoadRequest> for Load {
    type Response = Vec<u8>;
    type Future = BoxFuture<Result<Response<Vec<u8>>, Status>>;

    fn call(&mut self, request: Request<Streaming<pb::LoadRequest>>) -> Self::Future {
        let admin = Admin(Arc::clone(&self.0));
        Box::pin(async move {
            let answer = admin.load(request).await?.into_inner();
            Ok(Response::new(answer.encode_to_vec()))
        })
    }
}

/// What a method gets that a service doesn't have.
pub(crate) fn unknown_method() -> http::Response<Body> {
    Status::unimplemented("expected a method of the service").into_http()
}

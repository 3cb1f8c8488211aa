//! The floor of a call: a tonic server on threads of its own that answers with bytes it was given,
//! decoding nothing; over TCP and a Unix socket, with as many threads as the sidecar.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::raw::RawCodec;

/// The service's name, first part of its paths.
pub(crate) const NAME: &str = "bench.Echo";

/// A running echo; ends when it is dropped.
pub(crate) struct Echo {
    pub(crate) tcp: SocketAddr,
    pub(crate) unix: PathBuf,
    _runtime: Runtime,
}

impl Echo {
    /// Answers each path with its bytes.
    pub(crate) fn start(folder: &Path, answers: Vec<(String, Bytes)>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let _entered = runtime.enter();
        let answers = Answers(Arc::new(answers));
        let tcp = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?.with_nodelay(Some(true));
        let address = tcp.local_addr()?;
        let path = folder.join("echo.sock");
        let unix = UnixListenerStream::new(UnixListener::bind(&path)?);
        let server = || Server::builder().http2_adaptive_window(Some(false));
        runtime.spawn(server().add_service(answers.clone()).serve_with_incoming(tcp));
        runtime.spawn(server().add_service(answers).serve_with_incoming(unix));
        drop(_entered);
        Ok(Self { tcp: address, unix: path, _runtime: runtime })
    }
}

#[derive(Clone)]
struct Answers(Arc<Vec<(String, Bytes)>>);

impl NamedService for Answers {
    const NAME: &'static str = NAME;
}

impl Service<http::Request<Body>> for Answers {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let found = self.0.iter().find(|(known, _)| known == path);
        let answer = Answer(found.map(|(_, answer)| answer.clone()));
        Box::pin(async move { Ok(Grpc::new(RawCodec).unary(answer, request).await) })
    }
}

struct Answer(Option<Bytes>);

impl UnaryService<Bytes> for Answer {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<Bytes>) -> Self::Future {
        let unknown = || Status::unimplemented("expected a known path");
        ready(self.0.clone().map(Response::new).ok_or_else(unknown))
    }
}

//! A small sidecar for tests inside this room: a view, a service, no plugin, and one thread for work that blocks. What
//! clients see is tested from outside (`tests/it.rs`).
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use prost::Message;
use skewless_batch::{Column, Type};
use skewless_proto::v1 as pb;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::service::Routes;

use crate::clock::Clock;
use crate::config::Config;
use crate::guard::Guard;
use crate::http2::Calls;
use crate::metrics::Metrics;
use crate::rpc::{AdminRpc, IngestRpc, Mounted};
use crate::sidecar::Sidecar;
use crate::{life, wire};

const DEFINITIONS: &str = "\
entities: [{name: airport, keys: [{name: faa, type: utf8}]}]
views: [{name: weather, entity: airport, features: [{name: wind, type: float64}]}]
services: [{name: numbers, features: [weather.wind]}]
";

/// Longest wait for what must come.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// A folder with its definitions.
pub(crate) fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("features.yaml"), DEFINITIONS).unwrap();
    dir
}

/// Its settings: everything is in `dir`, addresses are free ones.
pub(crate) fn config(dir: &Path) -> Config {
    let mut config = Config {
        repo_dir: dir.to_owned(),
        store_dir: dir.join("store"),
        cache_dir: dir.join("cache"),
        ..Config::default()
    };
    config.listen.tcp = Some(([127, 0, 0, 1], 0).into());
    config.listen.http = Some(([127, 0, 0, 1], 0).into());
    config.store.cache_bytes = 8 << 20;
    config.engine.instances_max = 8;
    config.limits.queue_wait_ms_max = 60_000;
    config.life.threads = 1;
    config
}

/// It, without sockets, at the time 0.
pub(crate) fn sidecar(config: Config) -> Arc<Sidecar> {
    life::build(config, Clock::manual(0), Arc::new(Metrics::new())).unwrap().0
}

/// Its services behind the guard of a local address.
pub(crate) fn guard(sidecar: &Arc<Sidecar>) -> Guard {
    let admin = Mounted(AdminRpc::new(Arc::clone(sidecar)));
    let routes = Routes::new(admin).add_service(Mounted(IngestRpc(Arc::clone(sidecar))));
    Guard { sidecar: Arc::clone(sidecar), local: true, services: routes }
}

/// A column with one key.
pub(crate) fn key() -> pb::Column {
    let mut column = Column::new(Type::Utf8);
    column.push_utf8("JFK");
    wire::column("faa", &column)
}

/// Asks as a client with this `grpc-timeout` does, the whole message being there at once.
pub(crate) async fn ask(
    guard: &Guard,
    method: &str,
    timeout: &str,
    message: &impl Message,
) -> Code {
    let request = request(method, timeout, message);
    let answer = guard.begin(request).answer.await.unwrap();
    let code = answer.headers().get("grpc-status");
    code.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

/// Asks as a client does that is gone as soon as the call has been worked on as far as it can be without waiting.
pub(crate) async fn ask_and_give_up(guard: &Guard, method: &str, message: &impl Message) {
    let request = request(method, "60S", message);
    tokio::select! {
        biased;
        _ = guard.begin(request).answer => panic!("{method} was answered"),
        () = std::future::ready(()) => {}
    }
}

fn request(method: &str, timeout: &str, message: &impl Message) -> http::Request<Body> {
    let message = message.encode_to_vec();
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    http::Request::post(format!("http://sidecar/skewless.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", timeout)
        .body(Body::new(axum::body::Body::from(bytes)))
        .unwrap()
}

/// Waits until all places of a gate are free again.
pub(crate) async fn all_free(gate: &Semaphore, places: u32) {
    let all = tokio::time::timeout(BOUND, gate.acquire_many(places)).await;
    drop(all.unwrap().unwrap());
}

/// A runtime with one thread for work that blocks.
pub(crate) fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().max_blocking_threads(1).build().unwrap()
}

/// The one thread for work that blocks, taken: what is asked stays queued until it is free.
pub(crate) struct Busy {
    go: Sender<()>,
    taken: JoinHandle<bool>,
}

impl Busy {
    /// Takes the thread of the runtime that this is called on.
    pub(crate) fn begin() -> Self {
        let (go, wait) = channel::<()>();
        Self { go, taken: tokio::task::spawn_blocking(move || wait.recv().is_err()) }
    }

    pub(crate) async fn end(self) {
        drop(self.go);
        assert!(self.taken.await.unwrap());
    }
}

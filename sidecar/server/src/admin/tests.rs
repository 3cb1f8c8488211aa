//! What a call that only reads holds while its work waits for a thread.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use prost::Message;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::service::Routes;
use tower::{Layer, ServiceExt};

use super::*;
use crate::clock::Clock;
use crate::config::Config;
use crate::guard::{Guard, GuardLayer};
use crate::life;
use crate::metrics::Metrics;
use crate::rpc::{AdminRpc, Mounted};

const DEFINITIONS: &str = "\
entities: [{name: airport, keys: [{name: faa, type: utf8}]}]
views: [{name: weather, entity: airport, features: [{name: wind, type: float64}]}]
services: [{name: numbers, features: [weather.wind]}]
";

/// Longest wait for what must come.
const BOUND: Duration = Duration::from_secs(60);

/// Asks as a client with this `grpc-timeout` does, the whole message being there at once.
async fn ask(guard: &Guard, method: &str, timeout: &str, message: &impl Message) -> Code {
    let message = message.encode_to_vec();
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    let request = http::Request::post(format!("http://sidecar/skewless.v1.AdminService/{method}"))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", timeout)
        .body(Body::new(axum::body::Body::from(bytes)))
        .unwrap();
    let answer = guard.clone().oneshot(request).await.unwrap();
    let code = answer.headers().get("grpc-status");
    code.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

/// Else short deadlines would queue work without end behind a disk that is slow.
#[test]
fn a_call_whose_deadline_passed_keeps_its_place_until_its_work_is_done() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("features.yaml"), DEFINITIONS).unwrap();
    let mut config = Config {
        repo_dir: dir.path().to_owned(),
        store_dir: dir.path().join("store"),
        cache_dir: dir.path().join("cache"),
        ..Config::default()
    };
    config.limits.in_flight_max = 2;
    config.store.cache_bytes = 8 << 20;
    config.engine.instances_max = 8;
    config.life.threads = 1;
    let (sidecar, _, _) = life::build(config, Clock::manual(0), Arc::new(Metrics::new())).unwrap();
    let routes = Routes::new(Mounted(AdminRpc::new(Arc::clone(&sidecar))));
    let guard = GuardLayer { sidecar: Arc::clone(&sidecar), local: true }.layer(routes);

    // The one thread for such work is taken, so what is asked stays queued.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || wait.recv().is_err());
        let free = || sidecar.gates.inspect.available_permits();

        let info = pb::SnapshotInfoRequest {};
        assert_eq!(ask(&guard, "SnapshotInfo", "1n", &info).await, Code::DeadlineExceeded);
        assert_eq!(free(), 1);
        let of = Some(pb::describe_request::Of::View("weather".to_owned()));
        let view = pb::DescribeRequest { of };
        assert_eq!(ask(&guard, "Describe", "1n", &view).await, Code::DeadlineExceeded);
        assert_eq!(free(), 0);
        let refused = ask(&guard, "SnapshotInfo", "1n", &info).await;
        assert_eq!(refused, Code::ResourceExhausted);
        assert!(!sidecar.idle(), "the store is still asked");

        drop(go);
        assert!(taken.await.unwrap());
        let all = tokio::time::timeout(BOUND, sidecar.gates.inspect.acquire_many(2)).await;
        drop(all.unwrap().unwrap());
        assert!(sidecar.idle());
        assert_eq!(ask(&guard, "SnapshotInfo", "60S", &info).await, Code::Ok);
    });
}

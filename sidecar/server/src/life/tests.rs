//! What the sidecar says of itself when its store's apply thread has died.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::TcpStream;

use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Said;
use tonic_health::pb::health_client::HealthClient;

use super::*;

const DEFINITIONS: &str = "\
entities: [{name: airport, keys: [{name: faa, type: utf8}]}]
views: [{name: weather, entity: airport, features: [{name: wind, type: float64}]}]
services: [{name: numbers, features: [weather.wind]}]
";

/// Longest wait for what must come.
const BOUND: Duration = Duration::from_secs(60);

fn readyz(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_poisoned_store_is_told_by_the_probe_and_by_health_alike() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("features.yaml"), DEFINITIONS).unwrap();
    let mut config = Config {
        repo_dir: dir.path().to_owned(),
        store_dir: dir.path().join("store"),
        cache_dir: dir.path().join("cache"),
        ..Config::default()
    };
    config.listen.tcp = Some(([127, 0, 0, 1], 0).into());
    config.listen.http = Some(([127, 0, 0, 1], 0).into());
    config.store.cache_bytes = 8 << 20;
    config.engine.instances_max = 8;
    config.life.threads = 1;
    let running = Server::start(config, Clock::manual(0)).unwrap();
    let (tcp, http) = (running.addresses().tcp.unwrap(), running.addresses().http.unwrap());
    let store = &running.parts.as_ref().unwrap().sidecar.store;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let channel = Endpoint::new(format!("http://{tcp}")).unwrap().connect().await.unwrap();
        let mut health = HealthClient::new(channel);
        let mut watches = Vec::new();
        for name in HEALTH_NAMES {
            let request = HealthCheckRequest { service: name.to_owned() };
            let mut watch = health.watch(request).await.unwrap().into_inner();
            assert_eq!(watch.message().await.unwrap().unwrap().status(), Said::Serving, "{name}");
            watches.push(watch);
        }
        assert!(readyz(http).starts_with("HTTP/1.1 200 "));

        store.poison_for_test();
        for (name, mut watch) in HEALTH_NAMES.into_iter().zip(watches) {
            let told = tokio::time::timeout(BOUND, watch.message()).await;
            let status = told.unwrap_or_else(|_| panic!("`{name}` was told nothing"));
            assert_eq!(status.unwrap().unwrap().status(), Said::NotServing, "{name}");
        }
        let said = readyz(http);
        assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("no more writes"), "{said}");
    });
}

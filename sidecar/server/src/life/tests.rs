//! What the sidecar says of itself when its store's apply thread has died.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::TcpStream;

use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Said;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::specimen::{self, BOUND};

fn readyz(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_poisoned_store_is_told_by_the_probe_and_by_health_alike() {
    let dir = specimen::folder();
    let running = Server::start(specimen::config(dir.path()), Clock::manual(0)).unwrap();
    let (tcp, http) = (running.addresses().tcp.unwrap(), running.addresses().http.unwrap());
    let store = &running.parts.as_ref().unwrap().sidecar.store;

    specimen::runtime().block_on(async {
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

//! Every limit is hit, and its refusal names it.

use std::time::Duration;

use skewless_proto::v1 as pb;
use skewless_server::config::Reach;
use tokio_stream::StreamExt;
use tonic::Request;

use crate::*;

const EXHAUSTED: Code = Code::ResourceExhausted;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_columns_and_bytes_have_limits() {
    let harness = Harness::with(|config| {
        config.limits.rows_max = 4;
        config.limits.columns_max = 3;
        config.limits.text_elements_max = 20;
        config.limits.request_bytes_max = 2_000;
        config.limits.response_bytes_max = 1_024;
        config.limits.ingest_rows_max = 2;
        config.limits.ingest_bytes_max = 2_000;
    });
    let mut client = harness.features().await;
    client.get_features(ask("numbers", &[None; 4])).await.unwrap();
    let over = client.get_features(ask("numbers", &[None; 5])).await;
    refused(over, EXHAUSTED, &["at most 4 rows (limits.rows_max), came 5"]);
    let over =
        pb::GetFeaturesRequest { keys: vec![pb::Column::default(); 4], ..ask("numbers", &[]) };
    refused(
        client.get_features(over).await,
        EXHAUSTED,
        &["at most 3 columns (limits.columns_max)"],
    );
    refused(
        client.get_features(ask("numbers", &[None; 30])).await,
        EXHAUSTED,
        &["limits.text_elements_max"],
    );
    let long = "x".repeat(3_000);
    refused(
        client.get_features(ask("numbers", &[Some(&long)])).await,
        EXHAUSTED,
        &["limits.request_bytes_max"],
    );
    let mut ingest = harness.ingest().await;
    let rows = pb::IngestRequest { event_us: vec![NOON; 3], ..weather("JFK", NOON, 0.0) };
    refused(ingest.ingest(rows).await, EXHAUSTED, &["limits.ingest_rows_max"]);
    refused(
        ingest.ingest(weather(&long, NOON, 0.0)).await,
        EXHAUSTED,
        &["limits.ingest_bytes_max"],
    );
    let sky = pb::IngestRequest {
        features: vec![texts("sky", &[Some(&"y".repeat(1_200))])],
        ..weather("BIG", NOON, 0.0)
    };
    ingest.ingest(sky).await.unwrap();
    refused(
        client.get_features(ask("departure", &[Some("BIG")])).await,
        EXHAUSTED,
        &["limits.response_bytes_max"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_flight_are_limited_before_they_are_decoded() {
    let harness = Harness::with(|config| {
        config.limits.in_flight_max = 1;
        config.engine.deadline_ticks = 1_500;
        config.limits.deadline_ms = 60_000;
    });
    let stuck = pb::GetFeaturesRequest { keys: vec![], ..ask("stuck", &[None]) };
    let mut slow = harness.features().await;
    let slow = tokio::spawn(async move { slow.get_features(stuck).await });
    until("the slow call is in work", || {
        harness.http("/metrics").1.contains("skewless_in_flight 1\n")
    })
    .await;
    let second = harness.features().await.get_features(ask("numbers", &[None])).await;
    refused(second, EXHAUSTED, &["limits.in_flight_max"]);
    slow.await.unwrap().unwrap();
    harness.features().await.get_features(ask("numbers", &[None])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passes_is_deadline_exceeded() {
    let harness = Harness::with(|config| {
        config.engine.deadline_ticks = 10_000;
        config.limits.deadline_ms = 60;
    });
    let stuck = pb::GetFeaturesRequest { keys: vec![], ..ask("stuck", &[None]) };
    let mut client = harness.features().await;
    let passed = client.get_features(stuck).await;
    refused(passed, Code::DeadlineExceeded, &["60 ms", "transforms"]);
    client.get_features(ask("numbers", &[None])).await.unwrap();
}

/// By hand, as the generated client would give up by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_s_deadline_is_kept_even_if_its_message_never_comes() {
    let harness = Harness::start();
    let address = harness.running().addresses().tcp.unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = tonic::codegen::http::Request::post(format!(
        "http://{address}/skewless.v1.FeatureService/GetFeatures"
    ));
    let request = request.header("content-type", "application/grpc").header("grpc-timeout", "60m");
    let (answer, _never_sent) = requests.send_request(request.body(()).unwrap(), false).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingest_streams_are_limited() {
    let harness = Harness::with(|config| config.limits.ingest_streams_max = 1);
    let mut client = harness.ingest().await;
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    sender.send(weather("JFK", NOON, 1.0)).await.unwrap();
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut first = client.ingest_stream(requests).await.unwrap().into_inner();
    first.next().await.unwrap().unwrap();
    let second = client.ingest_stream(tokio_stream::iter([])).await;
    refused(second.map(|_| ()), EXHAUSTED, &["limits.ingest_streams_max"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_limited() {
    let harness = Harness::with(|config| config.limits.connections_max = 1);
    let mut first = harness.features().await;
    first.get_features(ask("numbers", &[None])).await.unwrap();
    let address = harness.running().addresses().tcp.unwrap();
    let second = Endpoint::new(format!("http://{address}")).unwrap().connect_lazy();
    let second = FeatureServiceClient::new(second).get_features(ask("numbers", &[None])).await;
    assert!(second.is_err());
    first.get_features(ask("numbers", &[None])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_streams_and_headers_are_limited() {
    let harness = Harness::with(|config| {
        config.limits.streams_per_connection_max = 7;
        config.limits.header_bytes_max = 1_024;
    });
    let stream =
        tokio::net::TcpStream::connect(harness.running().addresses().tcp.unwrap()).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let requests = requests.ready().await.unwrap();
    until("settings came", || requests.current_max_send_streams() == 7).await;
    let mut client = harness.features().await;
    let mut request = Request::new(ask("numbers", &[None]));
    request.metadata_mut().insert("x-long", "y".repeat(2_000).parse().unwrap());
    assert!(client.get_features(request).await.is_err());
    client.get_features(ask("numbers", &[None])).await.unwrap();
}

/// Malformed calls make the server reset streams; more than the limit must end the connection. The library's
/// own default is no limit at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_broken_streams_ends_its_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let harness = Harness::with(|config| config.limits.local_reset_streams_max = 10);
    let mut stream =
        tokio::net::TcpStream::connect(harness.running().addresses().tcp.unwrap()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // A header block with the forbidden header `connection: x` after the pseudo-headers of a POST to /.
    let block = b"\x83\x84\x86\x41\x01x\x00\x0aconnection\x01x";
    for number in 0..200u32 {
        let mut frame = vec![0, 0, block.len() as u8, 1, 5];
        frame.extend_from_slice(&(2 * number + 1).to_be_bytes());
        frame.extend_from_slice(block);
        if stream.write_all(&frame).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    // Closed by the server: an end, or a reset if it hadn't read everything.
    let closed =
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "the connection was left open");
    harness.features().await.get_features(ask("numbers", &[None])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_and_ingest_can_be_off_and_are_not_for_other_machines() {
    let harness = Harness::with(|config| config.listen.admin = Reach::Off);
    refused(
        harness.admin().await.list(pb::ListRequest {}).await,
        Code::PermissionDenied,
        &["listen.admin"],
    );
    let harness = Harness::with(|config| config.listen.tcp = Some(([0, 0, 0, 0], 0).into()));
    let port = harness.running().addresses().tcp.unwrap().port();
    let channel =
        Endpoint::new(format!("http://127.0.0.1:{port}")).unwrap().connect().await.unwrap();
    let list = AdminServiceClient::new(channel.clone()).list(pb::ListRequest {}).await;
    refused(list, Code::PermissionDenied, &["AdminService", "loopback", "listen.admin"]);
    let rows = IngestServiceClient::new(channel.clone()).ingest(weather("JFK", NOON, 1.0)).await;
    refused(rows, Code::PermissionDenied, &["IngestService", "listen.ingest"]);
    FeatureServiceClient::new(channel).get_features(ask("numbers", &[None])).await.unwrap();
    AdminServiceClient::new(harness.unix().await).list(pb::ListRequest {}).await.unwrap();
}

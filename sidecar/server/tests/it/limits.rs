//! Every limit is hit, and its refusal names it.

use std::time::Duration;

use skewless_engine::EngineConfig;
use skewless_proto::v1 as pb;
use skewless_server::StartError;
use skewless_server::config::Reach;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_stream::StreamExt;
use tonic::Request;

use crate::frames::*;
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
    let mut admin = harness.admin().await;
    let load = |keys, features| {
        let (view, event_us) = ("weather".to_owned(), vec![NOON]);
        let rows = pb::LoadRequest { view, keys, event_us, features, ..pb::LoadRequest::default() };
        tokio_stream::iter([rows])
    };
    for (keys, limit) in [
        (vec![pb::Column::default(); 4], "at most 3 columns (limits.columns_max)"),
        (vec![texts("faa", &[Some("x"); 30])], "limits.text_elements_max"),
        (vec![texts("faa", &[Some(&long)])], "limits.ingest_bytes_max"),
    ] {
        refused(admin.load(load(keys, vec![])).await, EXHAUSTED, &[limit]);
    }
    let of = Some(pb::describe_request::Of::View("x".repeat(5_000)));
    let long_name = admin.describe(pb::DescribeRequest { of }).await;
    refused(long_name, EXHAUSTED, &["at most 4096 bytes (ADMIN_BYTES_MAX)"]);
    let row = load(vec![texts("faa", &[Some("LGA")])], vec![floats("wind", &[1.0])]);
    assert_eq!(admin.load(row).await.unwrap().into_inner().rows, 1);
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

/// Those of GetFeatures are limited apart (`overload.rs`), and so are those that only read what is served, which whoever
/// asks for features may call: none can keep the others out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_other_services_are_limited_before_they_are_decoded() {
    let harness = Harness::with(|config| config.limits.in_flight_max = 1);
    let mut client = Client::connect(&harness, 65_535).await;
    let held = client.begin("IngestService/Ingest", None).await;
    until("the call is in work", || harness.metric("skewless_in_flight ") == 1).await;
    let mut ingest = harness.ingest().await;
    refused(ingest.ingest(weather("JFK", NOON, 1.0)).await, EXHAUSTED, &["limits.in_flight_max"]);
    let mut admin = harness.admin().await;
    admin.list(pb::ListRequest {}).await.unwrap();
    harness.features().await.get_features(ask("numbers", &[None])).await.unwrap();
    assert_eq!(held.finish(&weather("JFK", NOON, 1.0)).await, Ended::ok());
    ingest.ingest(weather("JFK", NOON + 1, 1.0)).await.unwrap();

    let held = client.begin("AdminService/List", None).await;
    until("the call is in work", || harness.metric("skewless_in_flight ") == 1).await;
    let list = admin.list(pb::ListRequest {}).await;
    refused(list, EXHAUSTED, &["limits.in_flight_max"]);
    ingest.ingest(weather("JFK", NOON + 2, 1.0)).await.unwrap();
    assert_eq!(held.finish(&pb::ListRequest {}).await, Ended::ok());
    admin.list(pb::ListRequest {}).await.unwrap();
}

/// Two threads keep an instance of `stuck` each, and `doubled` is too large to be kept: it finds none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_finds_no_free_plugin_instance_is_refused_whole() {
    let harness = Harness::with(|config| config.engine.instances_max = 2);
    harness.ingest().await.ingest(weather("JFK", NOON, 1.0)).await.unwrap();
    let mut client = harness.features().await;
    let numbers = || ask("numbers", &[Some("JFK")]);
    for _ in 0..3 {
        let none_free = client.get_features(numbers()).await;
        refused(none_free, EXHAUSTED, &["2 plugin instances", "engine.instances_max", "try again"]);
    }
    // A reload that has no room for more begins without any, so that one is free.
    harness.running().reload().unwrap();
    let answer = client.get_features(numbers()).await.unwrap().into_inner();
    assert_eq!((float64s(&answer, 0), float64s(&answer, 1)), (vec![1.0], vec![2.0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passes_is_deadline_exceeded() {
    let harness = Harness::with(|config| {
        config.engine.deadline_ticks = 10_000;
        config.limits.deadline_ms = 60;
    });
    let stuck = pb::GetFeaturesRequest { keys: vec![], ..ask("stuck", &[None]) };
    let mut client = harness.features().await;
    // Where it passes depends on the machine.
    let passed = client.get_features(stuck).await;
    refused(passed, Code::DeadlineExceeded, &["deadline of 60 ms"]);
    let mut patient = Request::new(ask("numbers", &[None]));
    patient.set_timeout(BOUND);
    client.get_features(patient).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_s_deadline_is_cut_to_the_longest_allowed() {
    let harness = Harness::with(|config| {
        config.engine.deadline_ticks = 10_000;
        config.limits.deadline_ms = 50;
        config.limits.deadline_ms_max = 60;
    });
    let mut long = Request::new(pb::GetFeaturesRequest { keys: vec![], ..ask("stuck", &[None]) });
    long.set_timeout(Duration::from_secs(3_600));
    let passed = harness.features().await.get_features(long).await;
    refused(passed, Code::DeadlineExceeded, &["deadline of 60 ms"]);
}

/// Fifty rows in a plugin that never ends take 99 calls of 200 ms to halve, far longer than the request has: a
/// backfill would decide them, so there is no answer without them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_not_decided_in_time_fail_the_request() {
    let harness = Harness::with(|config| {
        config.engine.deadline_ticks = 200;
        config.limits.deadline_ms = 1_000;
    });
    let stuck = |rows| pb::GetFeaturesRequest { keys: vec![], ..ask("stuck", &vec![None; rows]) };
    let mut client = harness.features().await;
    let passed = client.get_features(stuck(50)).await;
    refused(passed, Code::DeadlineExceeded, &["deadline of 1000 ms"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_of_ad_hoc_lists_are_kept_up_to_a_limit_and_the_oldest_is_forgotten() {
    let harness = Harness::with(|config| config.limits.ad_hoc_plans_max = 2);
    let mut client = harness.features().await;
    let compiled = || harness.metric("skewless_ad_hoc_plans_total ");
    let (one, two, three) = ("weather.wind", "weather.sky", "doubled.y");
    for (number, (feature, expected)) in
        [(one, 1), (two, 2), (one, 2), (three, 3), (one, 3), (two, 4), (one, 4), (three, 5)]
            .into_iter()
            .enumerate()
    {
        let features = vec![feature.to_owned()];
        let wanted = Some(Wanted::Features(pb::FeatureList { features }));
        let list = pb::GetFeaturesRequest { wanted, ..ask("numbers", &[None]) };
        client.get_features(list).await.unwrap();
        assert_eq!(compiled(), expected, "after list {number}, {feature}");
    }
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
    let answer = tokio::time::timeout(BOUND, answer).await.unwrap().unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4", "{answer:?}");
}

/// Each limit where a plugin doesn't fit and where it does, above the default and below.
#[test]
fn limits_of_the_plugin_host_are_those_of_the_configuration() {
    type Set = fn(&mut EngineConfig, usize);
    const PAGE: usize = 64 << 10;
    let memory = |pages: usize| {
        DOUBLE.replace(
            "(memory (export \"memory\") 16)",
            &format!("(memory (export \"memory\") {pages})"),
        )
    };
    let table = |elements: usize| {
        DOUBLE.replace("(memory (export", &format!("(table {elements} funcref) (memory (export"))
    };
    let doc = |bytes: usize| {
        let named = r#"\"name\":\"double\""#;
        DOUBLE.replace(named, &format!(r#"{named},\"doc\":\"{}\""#, "x".repeat(bytes)))
    };
    let memory_bytes: Set = |engine, value| engine.memory_bytes_max = value;
    let table_elements: Set = |engine, value| engine.table_elements_max = value;
    let signature_bytes: Set = |engine, value| engine.signature_bytes_max = value;
    let module_bytes: Set = |engine, value| engine.module_bytes_max = value;
    for (limit, plugin, set, refused_at, served_at) in [
        ("memory_bytes_max", memory(1_025), memory_bytes, 1_024 * PAGE, 1_025 * PAGE),
        ("memory_bytes_max", memory(16), memory_bytes, 15 * PAGE, 16 * PAGE),
        ("table_elements_max", table(20_001), table_elements, 20_000, 20_001),
        ("table_elements_max", table(10), table_elements, 9, 10),
        ("signature_bytes_max", doc(1 << 20), signature_bytes, 1 << 20, 2 << 20),
        ("signature_bytes_max", doc(2 << 10), signature_bytes, 2 << 10, 4 << 10),
        ("module_bytes_max", doc(2 << 10), module_bytes, 2 << 10, 8 << 10),
    ] {
        assert!(plugin != DOUBLE || limit == "memory_bytes_max", "nothing was changed for {limit}");
        let start = |value| {
            let dir = folder();
            let wasm = wat::parse_str(&plugin).unwrap();
            std::fs::write(dir.path().join("repo/plugins/double.wasm"), wasm).unwrap();
            let mut config = config(dir.path());
            set(&mut config.engine, value);
            Server::start(config, Clock::manual(NOON)).map(|running| (dir, running))
        };
        let error = start(refused_at).err().unwrap();
        assert!(matches!(error, StartError::Repo(_)), "{limit} of {refused_at}: {error}");
        let told = error.to_string();
        assert!(told.contains("features.yaml") && told.contains(limit), "{told}");
        let (_dir, running) =
            start(served_at).unwrap_or_else(|error| panic!("{limit} of {served_at}: {error}"));
        running.get_features(&ask("numbers", &[None]), Duration::from_secs(10)).unwrap();
    }
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

/// A stream that is reset before it was looked at costs the server work and the client nothing. All frames are
/// sent at once, so that they are read before any stream is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_streams_that_are_reset_at_once_ends_its_connection() {
    let harness = Harness::with(|config| config.limits.pending_reset_streams_max = 5);
    for (resets, closed) in [(5_u32, false), (6, true)] {
        let mut bytes = PREFACE.to_vec();
        for number in 0..resets {
            let id = 2 * number + 1;
            // A POST to / of x, its message yet to come; then CANCEL.
            frame(&mut bytes, HEADERS, 4, id, b"\x83\x84\x86\x41\x01x");
            frame(&mut bytes, RST_STREAM, 0, id, &8_u32.to_be_bytes());
        }
        frame(&mut bytes, PING, 0, 0, b"are you?");
        let mut stream = raw(&harness).await;
        stream.write_all(&bytes).await.unwrap();
        let goodbye = |frame: &Frame| frame.kind == GOAWAY;
        let alive = |frame: &Frame| frame.kind == PING && frame.flags == ACK;
        let answer = next_frame(&mut stream, |frame| goodbye(frame) || alive(frame)).await.unwrap();
        assert_eq!(goodbye(&answer), closed, "{resets} resets: {answer:?}");
        // ENHANCE_YOUR_CALM.
        assert!(!closed || answer.payload[4..8] == 11_u32.to_be_bytes(), "{answer:?}");
    }
    harness.features().await.get_features(ask("numbers", &[None])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanished_is_asked_whether_it_lives_and_its_connection_is_closed() {
    let harness = Harness::with(|config| {
        config.life.keepalive_ms = 100;
        config.life.keepalive_timeout_ms = 100;
    });
    let mut stream = raw(&harness).await;
    stream.write_all(PREFACE).await.unwrap();
    next_frame(&mut stream, |frame| frame.kind == PING && frame.flags != ACK).await.unwrap();
    // It never answers.
    while next_frame(&mut stream, |_| true).await.is_some() {}
    until("its connection is closed", || harness.metric("skewless_connections ") == 0).await;
}

/// Malformed calls make the server reset streams; more than the limit must end the connection. The library's
/// own default is no limit at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_broken_streams_ends_its_connection() {
    let harness = Harness::with(|config| config.limits.local_reset_streams_max = 10);
    let mut stream = raw(&harness).await;
    stream.write_all(PREFACE).await.unwrap();
    // A header block with the forbidden header `connection: x` after the pseudo-headers of a POST to /.
    let block = b"\x83\x84\x86\x41\x01x\x00\x0aconnection\x01x";
    for number in 0..200u32 {
        let mut bytes = Vec::new();
        frame(&mut bytes, HEADERS, 5, 2 * number + 1, block);
        if stream.write_all(&bytes).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    // Closed by the server: an end, or a reset if it hadn't read everything.
    let closed = tokio::time::timeout(BOUND, stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "the connection was left open");
    harness.features().await.get_features(ask("numbers", &[None])).await.unwrap();
}

/// `skewless get` asks AdminService what a service needs: that is answered wherever GetFeatures is. Off is off, though.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_and_ingest_can_be_off_and_are_not_for_other_machines_but_what_only_reads_is() {
    const DENIED: Code = Code::PermissionDenied;
    let nothing = || tokio_stream::iter(Vec::<pb::LoadRequest>::new());
    let harness = Harness::with(|config| config.listen.admin = Reach::Off);
    let mut admin = harness.admin().await;
    let off = ["AdminService", "switched off", "listen.admin"];
    refused(admin.apply(pb::ApplyRequest::default()).await, DENIED, &off);
    refused(admin.load(nothing()).await, DENIED, &off);
    refused(admin.list(pb::ListRequest {}).await, DENIED, &off);
    refused(admin.plugins(pb::PluginsRequest {}).await, DENIED, &off);
    refused(admin.snapshot_info(pb::SnapshotInfoRequest {}).await, DENIED, &off);
    refused(admin.describe(pb::DescribeRequest::default()).await, DENIED, &off);
    let mut local = AdminServiceClient::new(harness.unix().await);
    refused(local.list(pb::ListRequest {}).await, DENIED, &off);
    harness.features().await.get_features(ask("numbers", &[None])).await.unwrap();

    let harness = Harness::with(|config| config.listen.tcp = Some(([0, 0, 0, 0], 0).into()));
    let port = harness.running().addresses().tcp.unwrap().port();
    let channel =
        Endpoint::new(format!("http://127.0.0.1:{port}")).unwrap().connect().await.unwrap();
    let mut admin = AdminServiceClient::new(channel.clone());
    let says = ["AdminService", "loopback", "listen.admin"];
    refused(admin.apply(pb::ApplyRequest { dry_run: true }).await, DENIED, &says);
    refused(admin.flush(pb::FlushRequest {}).await, DENIED, &says);
    refused(admin.load(nothing()).await, DENIED, &says);
    let rows = IngestServiceClient::new(channel.clone()).ingest(weather("JFK", NOON, 1.0)).await;
    refused(rows, DENIED, &["IngestService", "listen.ingest"]);
    let progress = pb::ProgressRequest { source: "s".to_owned() };
    let progress = IngestServiceClient::new(channel.clone()).progress(progress).await;
    refused(progress, DENIED, &["IngestService", "listen.ingest"]);
    FeatureServiceClient::new(channel).get_features(ask("numbers", &[None])).await.unwrap();
    admin.list(pb::ListRequest {}).await.unwrap();
    admin.plugins(pb::PluginsRequest {}).await.unwrap();
    admin.snapshot_info(pb::SnapshotInfoRequest {}).await.unwrap();
    let of = Some(pb::describe_request::Of::Service("numbers".to_owned()));
    let described = admin.describe(pb::DescribeRequest { of }).await.unwrap().into_inner();
    assert!(matches!(
        described.described,
        Some(pb::describe_response::Described::Service(service)) if service.keys[0].name == "faa"
    ));

    let mut local = AdminServiceClient::new(harness.unix().await);
    local.list(pb::ListRequest {}).await.unwrap();
    local.flush(pb::FlushRequest {}).await.unwrap();
}

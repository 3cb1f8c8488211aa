//! More feature requests than can be worked on: each is answered, waits its turn or is refused with the limit's
//! name; none hangs. Calls are held in work by holding back their messages, so nothing here depends on speed.

use std::sync::Arc;

use crate::frames::*;
use crate::*;

const METHOD: &str = "FeatureService/GetFeatures";
const WINDOW: u32 = 65_535;

fn numbers() -> skewless_proto::v1::GetFeaturesRequest {
    ask("numbers", &[None])
}

fn in_flight(harness: &Harness) -> i64 {
    harness.metric("skewless_requests_in_flight ")
}

fn waiting(harness: &Harness) -> i64 {
    harness.metric("skewless_requests_waiting ")
}

fn refusals(harness: &Harness, reason: &str) -> i64 {
    harness.metric(&format!("skewless_requests_refused_total{{reason=\"{reason}\"}}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_worked_on_wait_and_are_refused_exactly_at_the_limits() {
    let harness = Harness::with(|config| {
        config.limits.requests_in_flight_max = 2;
        config.limits.queue_max = 3;
        config.limits.queue_wait_ms_max = 60_000;
        config.limits.receive_ms_max = 60_000;
    });
    let mut client = Client::connect(&harness, WINDOW).await;
    let mut held = Vec::new();
    for (works, waits) in [(1, 0), (2, 0), (2, 1), (2, 2), (2, 3)] {
        held.push(client.begin(METHOD, None).await);
        until("it is in work or waits", || {
            (in_flight(&harness), waiting(&harness)) == (works, waits)
        })
        .await;
    }
    let status = harness.features().await.get_features(numbers()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    for part in ["2 requests", "limits.requests_in_flight_max", "3 wait", "limits.queue_max"] {
        assert!(status.message().contains(part), "{status:?}");
    }
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "60000");
    assert!(String::from_utf8_lossy(status.details()).contains("google.rpc.RetryInfo"));
    for call in held {
        assert_eq!(call.finish(&numbers()).await, Ended::ok());
    }
    assert_eq!((in_flight(&harness), waiting(&harness)), (0, 0));
    assert_eq!((refusals(&harness, "queue"), refusals(&harness, "wait")), (1, 0));
    assert_eq!(harness.metric("skewless_requests_admitted_total "), 5);
    assert_eq!(harness.metric("skewless_requests_queued_total "), 3);
    assert_eq!(harness.metric("skewless_requests_in_flight_peak "), 2);
}

/// If the second were begun before the first, it would hold the only place without a message, and the first were
/// never answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_came_first_is_begun_first() {
    let harness = Harness::with(|config| {
        config.limits.requests_in_flight_max = 1;
        config.limits.queue_wait_ms_max = 60_000;
        config.limits.receive_ms_max = 60_000;
    });
    let mut client = Client::connect(&harness, WINDOW).await;
    let mut held = vec![client.begin(METHOD, None).await];
    until("the first is in work", || in_flight(&harness) == 1).await;
    for number in 1..=5 {
        held.push(client.begin(METHOD, None).await);
        until("it waits", || waiting(&harness) == number).await;
    }
    for call in held {
        assert_eq!(call.finish(&numbers()).await, Ended::ok());
    }
    assert_eq!(harness.metric("skewless_requests_in_flight_peak "), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_given_up_frees_its_place_whether_it_waits_or_is_in_work() {
    let harness = Harness::with(|config| {
        config.limits.requests_in_flight_max = 1;
        config.limits.queue_max = 1;
        config.limits.queue_wait_ms_max = 60_000;
        config.limits.receive_ms_max = 60_000;
    });
    let mut client = Client::connect(&harness, WINDOW).await;
    let works = client.begin(METHOD, None).await;
    until("one is in work", || in_flight(&harness) == 1).await;
    for _ in 0..3 {
        let waits = client.begin(METHOD, None).await;
        until("one waits", || waiting(&harness) == 1).await;
        let third = harness.features().await.get_features(numbers()).await;
        refused(third, Code::ResourceExhausted, &["limits.queue_max"]);
        waits.cancel();
        until("nobody waits", || waiting(&harness) == 0).await;
    }
    let waits = client.begin(METHOD, None).await;
    until("one waits", || waiting(&harness) == 1).await;
    works.cancel();
    assert_eq!(waits.finish(&numbers()).await, Ended::ok());
    until("all places are free", || in_flight(&harness) == 0).await;
    harness.features().await.get_features(numbers()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_by_the_client_s_deadline_or_by_the_limit_and_the_request_is_not_begun() {
    // One of the two bounds is always far away.
    for (queue_wait_ms_max, timeout, code, says, reason) in [
        (600_000, "20m", Code::DeadlineExceeded, ["20 ms", "waited to be begun"], "deadline"),
        (200, "60S", Code::ResourceExhausted, ["200 ms", "limits.queue_wait_ms_max"], "wait"),
    ] {
        let harness = Harness::with(|config| {
            config.limits.requests_in_flight_max = 1;
            config.limits.queue_wait_ms_max = queue_wait_ms_max;
            config.limits.receive_ms_max = 600_000;
        });
        let mut client = Client::connect(&harness, WINDOW).await;
        let works = client.begin(METHOD, Some("60S")).await;
        until("one is in work", || in_flight(&harness) == 1).await;
        let waits = client.begin(METHOD, Some(timeout)).await.ended().await;
        waits.refused(code, &says);
        assert_eq!(harness.metric("skewless_requests_admitted_total "), 1);
        assert_eq!(refusals(&harness, "deadline") + refusals(&harness, "wait"), 1);
        assert_eq!(refusals(&harness, reason), 1);
        assert_eq!(works.finish(&numbers()).await, Ended::ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_sends_its_message_loses_its_place() {
    let harness = Harness::with(|config| {
        config.limits.requests_in_flight_max = 1;
        config.limits.receive_ms_max = 200;
    });
    let mut client = Client::connect(&harness, WINDOW).await;
    let held = client.begin(METHOD, Some("60S")).await;
    held.ended().await.refused(Code::DeadlineExceeded, &["200 ms", "limits.receive_ms_max"]);
    // On a busy machine this message may be late, too: then it is sent again.
    let (start, mut after) = (Instant::now(), harness.features().await);
    while let Err(status) = after.get_features(numbers()).await {
        assert!(start.elapsed() < BOUND, "the place is lost: {status:?}");
    }
    until("all places are free", || in_flight(&harness) == 0).await;
}

/// Each request takes the plugin's whole deadline, so places are scarce whatever the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_more_clients_than_places_are_each_answered_or_refused() {
    const CLIENTS: usize = 40;
    const CALLS: usize = 5;
    let harness = Harness::with(|config| {
        config.limits.requests_in_flight_max = 2;
        config.limits.queue_max = 2;
        config.limits.queue_wait_ms_max = 60_000;
        config.engine.deadline_ticks = 20;
        config.limits.deadline_ms = 60_000;
    });
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(harness.features().await);
    }
    let start = Arc::new(tokio::sync::Barrier::new(CLIENTS));
    let mut clients = tokio::task::JoinSet::new();
    for mut client in connections {
        let start = Arc::clone(&start);
        clients.spawn(async move {
            start.wait().await;
            let mut codes = Vec::new();
            for _ in 0..CALLS {
                let mut request = ask("stuck", &[None]);
                request.keys.clear();
                let call = client.get_features(request);
                let answer = tokio::time::timeout(BOUND, call).await;
                codes
                    .push(answer.expect("a request hangs").map_or_else(|s| s.code(), |_| Code::Ok));
            }
            codes
        });
    }
    let codes: Vec<Code> = clients.join_all().await.into_iter().flatten().collect();
    let count = |code| codes.iter().filter(|came| **came == code).count();
    let (answered, refused) = (count(Code::Ok), count(Code::ResourceExhausted));
    assert_eq!(answered + refused, CLIENTS * CALLS, "{codes:?}");
    assert!(answered >= 4 && refused > 0, "{answered} answered, {refused} refused");
    assert_eq!(harness.metric("skewless_requests_in_flight_peak "), 2);
    assert_eq!(harness.metric("skewless_requests_admitted_total "), answered as i64);
    assert_eq!(refusals(&harness, "queue"), refused as i64);
    assert_eq!((in_flight(&harness), waiting(&harness)), (0, 0));
}

/// A window of nothing holds the answer before it is handed to the connection, one of a byte after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_no_answer_is_cut_off_and_what_it_held_is_free() {
    for window in [0, 1] {
        let harness = Harness::with(|config| {
            config.limits.send_ms_max = 500;
            config.limits.queue_wait_ms_max = 60_000;
            config.limits.receive_ms_max = 60_000;
        });
        let mut client = Client::connect(&harness, window).await;
        let mut calls = Vec::new();
        for _ in 0..3 {
            calls.push(client.begin(METHOD, None).await);
        }
        // All at once, before the first answer is held for too long.
        calls.iter_mut().for_each(|call| call.send(&numbers(), true));
        client.closed().await;
        until("it is cut off", || harness.metric("skewless_connections_stuck_total ") == 1).await;
        until("nothing is held", || harness.metric("skewless_unsent_bytes ") == 0).await;
        until("all places are free", || in_flight(&harness) == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_isn_t_taken_holds_memory_but_no_place() {
    for window in [0, 1] {
        let harness = Harness::with(|config| {
            config.limits.send_ms_max = 600_000;
            config.limits.requests_in_flight_max = 1;
        });
        let mut client = Client::connect(&harness, window).await;
        let mut call = client.begin(METHOD, None).await;
        call.send(&numbers(), true);
        until("an answer is held", || harness.metric("skewless_unsent_bytes ") > 0).await;
        harness.features().await.get_features(numbers()).await.unwrap();
        call.cancel();
        until("nothing is held", || harness.metric("skewless_unsent_bytes ") == 0).await;
    }
}

/// The window is wide open, but the socket isn't read: what doesn't fit into its buffers is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_doesn_t_read_its_socket_is_cut_off_too() {
    use tokio::io::AsyncWriteExt;
    let harness = Harness::with(|config| {
        config.limits.send_ms_max = 500;
        config.limits.response_bytes_max = 64 << 20;
    });
    let sky = "y".repeat(60_000);
    let row = skewless_proto::v1::IngestRequest {
        features: vec![texts("sky", &[Some(&sky)])],
        ..weather("BIG", NOON, 0.0)
    };
    harness.ingest().await.ingest(row).await.unwrap();
    let question = {
        use prost::Message;
        let rows = [Some("BIG"); 500];
        let message = ask("departure", &rows).encode_to_vec();
        let mut bytes = vec![0];
        bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&message);
        bytes
    };
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE of 2^31 - 1, and the connection's own window as wide.
    frame(&mut bytes, SETTINGS, 0, 0, b"\x00\x04\x7f\xff\xff\xff");
    frame(&mut bytes, WINDOW_UPDATE, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes());
    let path = b"/skewless.v1.FeatureService/GetFeatures";
    let mut block = b"\x83\x86\x41\x01x\x44".to_vec();
    block.push(path.len().try_into().unwrap());
    block.extend_from_slice(path);
    block.extend_from_slice(b"\x5f\x10application/grpc");
    frame(&mut bytes, HEADERS, 4, 1, &block);
    for part in question.chunks(200) {
        frame(&mut bytes, DATA, 0, 1, part);
    }
    frame(&mut bytes, DATA, 1, 1, b"");
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16_384).unwrap();
    let address = harness.running().addresses().tcp.unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    until("it is cut off", || harness.metric("skewless_connections_stuck_total ") == 1).await;
    until("nothing is held", || harness.metric("skewless_unsent_bytes ") == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_takes_refuse_requests_until_they_are_gone() {
    let harness = Harness::with(|config| {
        config.limits.unsent_bytes_max = 1;
        config.limits.send_ms_max = 600_000;
    });
    let mut client = Client::connect(&harness, 0).await;
    let mut call = client.begin(METHOD, None).await;
    call.send(&numbers(), true);
    until("an answer is held", || harness.metric("skewless_unsent_bytes ") > 0).await;
    let mut other = harness.features().await;
    let status = other.get_features(numbers()).await;
    refused(status, Code::ResourceExhausted, &["limits.unsent_bytes_max"]);
    assert_eq!(refusals(&harness, "unsent"), 1);
    call.cancel();
    until("nothing is held", || harness.metric("skewless_unsent_bytes ") == 0).await;
    other.get_features(numbers()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingest_stream_whose_answers_aren_t_taken_loses_its_place() {
    let harness = Harness::with(|config| {
        config.limits.ingest_streams_max = 1;
        config.limits.send_ms_max = 100;
    });
    let mut client = Client::connect(&harness, 0).await;
    let mut stream = client.begin("IngestService/IngestStream", None).await;
    for second in 0..4 {
        stream.send(&weather("JFK", NOON - second * SECOND, 1.0), false);
    }
    let start = Instant::now();
    // A refused stream ends while its client still sends, so the refusal may come as a closed pipe.
    loop {
        let rows = tokio_stream::iter([weather("LGA", NOON, 1.0)]);
        if harness.ingest().await.ingest_stream(rows).await.is_ok() {
            break;
        }
        assert!(start.elapsed() < BOUND, "the place was never free");
    }
}

/// Refusals have a pace, which leaves sockets unread for a while: what lies there must be refused all the same, and who
/// isn't refused be answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_a_thousand_calls_is_refused_while_one_holds_the_only_place() {
    let harness = Harness::with(|config| {
        config.limits.requests_in_flight_max = 1;
        config.limits.queue_max = 0;
        config.limits.receive_ms_max = 600_000;
        config.life.threads = 1;
    });
    let mut client = Client::connect(&harness, WINDOW).await;
    let held = client.begin(METHOD, Some("60S")).await;
    until("one is in work", || in_flight(&harness) == 1).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let features = harness.features().await;
        for _ in 0..250 {
            let mut features = features.clone();
            calls.spawn(async move { features.get_features(numbers()).await });
        }
    }
    while let Some(answer) = calls.join_next().await {
        refused(answer.unwrap(), Code::ResourceExhausted, &["limits.queue_max"]);
    }
    assert_eq!(refusals(&harness, "queue"), 1_000);
    assert_eq!(held.finish(&numbers()).await, Ended::ok());
}

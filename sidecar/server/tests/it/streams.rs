//! Streams whose client says nothing: each loses its place, and none holds up the sidecar's end.

use skewless_proto::v1 as pb;

use crate::frames::*;
use crate::*;

const LOAD: &str = "AdminService/Load";
const INGEST: &str = "IngestService/IngestStream";
const WINDOW: u32 = 65_535;

/// Waits until somebody has the only place of bulk loads.
async fn somebody_loads(harness: &Harness) {
    let mut admin = harness.admin().await;
    let start = Instant::now();
    loop {
        let nothing = tokio_stream::iter(Vec::<pb::LoadRequest>::new());
        let status = admin.load(nothing).await.unwrap_err();
        if status.code() == Code::ResourceExhausted {
            return;
        }
        assert!(start.elapsed() < BOUND, "nobody loads: {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_streams_nothing_loses_its_place() {
    let harness = Harness::with(|config| {
        config.limits.stream_idle_ms_max = 200;
        config.limits.ingest_streams_max = 1;
    });
    let mut client = Client::connect(&harness, WINDOW).await;
    let says = ["within 200 ms", "limits.stream_idle_ms_max"];
    for method in [LOAD, INGEST] {
        let silent = client.begin(method, None).await;
        silent.ended().await.refused(Code::DeadlineExceeded, &says);
    }
    // Also after a message; of a load nothing is left.
    let mut load = client.begin(LOAD, None).await;
    load.send(&bulk(&["AAA", "BBB"], 1.0), false);
    load.ended().await.refused(Code::DeadlineExceeded, &says);
    let mut ingest = client.begin(INGEST, None).await;
    ingest.send(&weather("CCC", NOON, 3.0), false);
    ingest.ended().await.refused(Code::DeadlineExceeded, &says);
    let request = ask("numbers", &[Some("AAA")]);
    let answer = harness.features().await.get_features(request).await.unwrap().into_inner();
    assert_eq!(answer.columns[0].statuses.as_ref(), [pb::FeatureStatus::NotFound as u8]);
    // On a busy machine this client may be taken for a silent one, too: then it tries again.
    let start = Instant::now();
    let mut admin = harness.admin().await;
    loop {
        match admin.load(tokio_stream::iter([bulk(&["AAA"], 2.0)])).await {
            Ok(loaded) => {
                assert_eq!(loaded.into_inner().keys, 1);
                return;
            }
            Err(status) => {
                assert!(start.elapsed() < BOUND, "the place is lost: {status:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_has_sent_nothing_yet_ends_when_the_sidecar_drains() {
    let mut harness = Harness::with(|config| config.limits.stream_idle_ms_max = 600_000);
    let mut client = Client::connect(&harness, WINDOW).await;
    let silent = client.begin(LOAD, None).await;
    // A call that came after it on its connection was answered, so this one has begun.
    let list = client.begin("AdminService/List", None).await.finish(&pb::ListRequest {}).await;
    assert_eq!(list, Ended::ok());
    somebody_loads(&harness).await;
    let running = harness.running.take().unwrap();
    let ended = tokio::task::spawn_blocking(move || running.shutdown()).await.unwrap();
    assert!(ended.drained && ended.flushed, "{ended:?}");
    silent.ended().await.refused(Code::Unavailable, &["draining"]);
}

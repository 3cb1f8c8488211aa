//! A view without rows is said to be one, wherever someone may look: what is asked of it is NOT_FOUND, which looks like
//! an answer.

use skewless_proto::v1 as pb;

use crate::it::process::{Process, SIMPLE, repo};
use crate::*;

/// 2020-09-13 in microseconds: these sidecars have the system's clock.
const LONG_AGO: i64 = 1_600_000_000_000_000;
const SET: &[&str] = &["store.cache_bytes=8388608"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_without_rows_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    repo(dir.path());
    let process = Process::start(dir.path(), SET, |_| {});
    process.log.wait_for(&["WARN", "view weather holds no rows", "skewless load"]);
    let channel = process.channel().await;
    let mut admin = AdminServiceClient::new(channel.clone());
    for loaded in [false, true] {
        let of = Some(pb::describe_request::Of::View("weather".to_owned()));
        let view = admin.describe(pb::DescribeRequest { of }).await.unwrap().into_inner();
        let Some(pb::describe_response::Described::View(view)) = view.described else { panic!() };
        assert_eq!(view.loaded, loaded);
        let info = admin.snapshot_info(pb::SnapshotInfoRequest {}).await.unwrap().into_inner();
        assert_eq!(info.views[0].loaded, loaded);
        let sample = format!("\nskewless_view_loaded{{view=\"weather\"}} {}\n", u8::from(loaded));
        assert!(process.metrics().contains(&sample), "{}", process.metrics());
        if !loaded {
            IngestServiceClient::new(channel.clone())
                .ingest(weather("a1", LONG_AGO, 1.0))
                .await
                .unwrap();
        }
    }
    // A reload names the views that are new to it, and no longer the one with a row.
    let views = SIMPLE.replace(
        "services:",
        "  - {name: traffic, entity: airport, features: [{name: cars, type: int64}]}\nservices:",
    );
    std::fs::write(dir.path().join("repo/features.yaml"), views).unwrap();
    let applied = admin.apply(pb::ApplyRequest::default()).await.unwrap().into_inner();
    assert!(applied.applied, "{applied:?}");
    process.log.wait_for(&["view traffic holds no rows"]);
    drop(process);
    let process = Process::start(dir.path(), SET, |_| {});
    process.log.wait_for(&["view traffic holds no rows"]);
    assert!(!process.log.has("view weather holds no rows"));
}

//! A sidecar whose disk is full or fails: it goes on answering, refuses rows by the right status, takes them again
//! without a restart once the disk is well, and has every row it acknowledged, also after a kill.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use skewless_proto::v1 as pb;

use crate::it::process::Process;
use crate::shim::{EIO, ENOSPC, Shim};
use crate::*;

const SIMPLE: &str = "\
entities:
  - {name: airport, keys: [{name: faa, type: utf8}]}
views:
  - {name: weather, entity: airport, features: [{name: wind, type: float64}, {name: sky, type: utf8}]}
services:
  - {name: numbers, features: [weather.wind]}
";
/// 2020-09-13 in microseconds: these sidecars have the system's clock.
const LONG_AGO: i64 = 1_600_000_000_000_000;
/// Quick tries, so that the test is.
const SET: &[&str] =
    &["life.heal_first_ms=20", "life.heal_ms_max=200", "store.cache_bytes=8388608"];

fn row(number: usize) -> pb::IngestRequest {
    weather(&format!("a{number}"), LONG_AGO + number as i64, number as f64)
}

/// That all rows below `count` are there.
async fn check(client: &mut FeatureServiceClient<Channel>, count: usize) {
    let names: Vec<_> = (0..count).map(|number| format!("a{number}")).collect();
    let names: Vec<_> = names.iter().map(|name| Some(name.as_str())).collect();
    let answer = client.get_features(ask("numbers", &names)).await.unwrap().into_inner();
    let expected: Vec<_> = (0..count).map(|number| number as f64).collect();
    assert_eq!(float64s(&answer, 0), expected);
}

fn repo(dir: &Path) {
    std::fs::create_dir_all(dir.join("repo")).unwrap();
    std::fs::write(dir.join("repo/features.yaml"), SIMPLE).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_costs_no_answer_no_acknowledged_row_and_no_restart() {
    let cases = [
        (ENOSPC, Code::ResourceExhausted, ["is full", "free space"]),
        (EIO, Code::Unavailable, ["failed", "mend the disk"]),
    ];
    for (error, code, says) in cases {
        let dir = tempfile::tempdir().unwrap();
        repo(dir.path());
        let store = dir.path().join("store");
        let says = [says[0], says[1], store.to_str().unwrap()];
        let shim = Shim::new().unwrap();
        let mut process = Process::start(dir.path(), SET, |command| {
            shim.preload(command, &store);
        });
        let channel = process.channel().await;
        let mut ingest = IngestServiceClient::new(channel.clone());
        let mut admin = AdminServiceClient::new(channel.clone());
        for number in 0..50 {
            ingest.ingest(row(number)).await.unwrap();
        }
        let acknowledged = Arc::new(AtomicUsize::new(50));
        let done = Arc::new(AtomicBool::new(false));
        let reader = tokio::spawn({
            let (acknowledged, done) = (acknowledged.clone(), done.clone());
            let mut client = FeatureServiceClient::new(channel.clone());
            async move {
                let mut answers = 0;
                while !done.load(Ordering::Acquire) {
                    check(&mut client, acknowledged.load(Ordering::Acquire)).await;
                    answers += 1;
                }
                answers
            }
        });
        assert!(metrics(&process).contains("\nskewless_store_writable 1\n"));

        shim.fail(error, 0).unwrap();
        let mut refusals = 0;
        while heals(&process, "failed") < 3 {
            refused(ingest.ingest(row(50)).await, code, &says);
            refusals += 1;
        }
        assert!(refusals > 2 && metrics(&process).contains("\nskewless_store_writable 0\n"));
        let info = admin.snapshot_info(pb::SnapshotInfoRequest {}).await.unwrap().into_inner();
        assert!(says.iter().all(|part| info.store_fault.contains(part)), "{}", info.store_fault);
        process.log.wait_for(&["writes are refused", says[1]]);
        assert!(http(process.http, "/readyz").unwrap().0.contains("200"), "reads go on");

        shim.mend().unwrap();
        let start = Instant::now();
        while let Err(status) = ingest.ingest(row(50)).await {
            assert_eq!(status.code(), code, "{status:?}");
            assert!(start.elapsed() < Duration::from_secs(30), "waited in vain: {status:?}");
        }
        for number in 51..100 {
            ingest.ingest(row(number)).await.unwrap();
            acknowledged.store(number + 1, Ordering::Release);
        }
        process.log.wait_for(&["writes go on"]);
        assert!(metrics(&process).contains("\nskewless_store_writable 1\n"));
        let info = admin.snapshot_info(pb::SnapshotInfoRequest {}).await.unwrap().into_inner();
        assert_eq!(info.store_fault, "");
        done.store(true, Ordering::Release);
        println!("{refusals} refusals, {} answers", reader.await.unwrap());

        process.kill();
        let process = Process::start(dir.path(), SET, |_| {});
        check(&mut FeatureServiceClient::new(process.channel().await), 100).await;
    }
}

fn metrics(process: &Process) -> String {
    http(process.http, "/metrics").unwrap().1
}

fn heals(process: &Process, outcome: &str) -> u64 {
    let begins = format!("skewless_store_heals_total{{outcome=\"{outcome}\"}} ");
    let metrics = metrics(process);
    let line = metrics.lines().find_map(|line| line.strip_prefix(&begins));
    line.map_or(0, |count| count.parse().unwrap())
}

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
        assert!(metrics(&process).contains(&sample), "{}", metrics(&process));
        if !loaded {
            IngestServiceClient::new(channel.clone()).ingest(row(1)).await.unwrap();
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

//! A sidecar whose disk is full or fails: it stays ready and goes on answering, refuses rows by the right status, takes
//! them again by itself once there is space, or after a restart, and has every row it acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skewless_proto::v1 as pb;

use crate::it::process::{Process, repo};
use crate::shim::{EIO, ENOSPC, Shim};
use crate::*;

/// 2020-09-13 in microseconds: these sidecars have the system's clock.
const LONG_AGO: i64 = 1_600_000_000_000_000;
/// A short tick, by which it finds that writes go on.
const SET: &[&str] = &["life.promote_ms=50", "store.cache_bytes=8388608"];
/// The store's own is five seconds.
const WAIT_MAX: Duration = Duration::from_secs(60);

fn row(number: usize) -> pb::IngestRequest {
    weather(&format!("a{number}"), LONG_AGO + number as i64, number as f64)
}

/// A sidecar on a disk that can be made to fail, and its store's folder; with the folder of all that.
fn on_a_shim() -> (tempfile::TempDir, Shim, Process, String) {
    let dir = tempfile::tempdir().unwrap();
    repo(dir.path());
    let store = dir.path().join("store");
    let shim = Shim::new().unwrap();
    let process = Process::start(dir.path(), SET, |command| {
        shim.preload(command, &store);
    });
    (dir, shim, process, store.to_str().unwrap().to_owned())
}

async fn ingest_all(ingest: &mut IngestServiceClient<Channel>, numbers: std::ops::Range<usize>) {
    for number in numbers {
        ingest.ingest(row(number)).await.unwrap();
    }
}

/// That all rows below `count` are there.
async fn check(client: &mut FeatureServiceClient<Channel>, count: usize) {
    let names: Vec<_> = (0..count).map(|number| format!("a{number}")).collect();
    let names: Vec<_> = names.iter().map(|name| Some(name.as_str())).collect();
    let answer = client.get_features(ask("numbers", &names)).await.unwrap().into_inner();
    let expected: Vec<_> = (0..count).map(|number| number as f64).collect();
    assert_eq!(float64s(&answer, 0), expected);
}

/// A sidecar with fifty rows whose disk refuses writes: what it says, and that it goes on answering.
async fn refuses(process: &Process, shim: &Shim, error: i32, code: Code, says: &[&str]) {
    let channel = process.channel().await;
    let mut ingest = IngestServiceClient::new(channel.clone());
    ingest_all(&mut ingest, 0..50).await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (done, mut client) = (done.clone(), FeatureServiceClient::new(channel.clone()));
        async move {
            let mut answers = 0;
            while !done.load(Ordering::Acquire) {
                check(&mut client, 50).await;
                answers += 1;
            }
            answers
        }
    });
    assert!(process.metrics().contains(&refusing(error, 0)), "{}", process.metrics());
    assert_eq!(fault(&channel).await, "");

    shim.fail(error, 0).unwrap();
    for _ in 0..20 {
        refused(ingest.ingest(row(50)).await, code, says);
    }
    let told = fault(&channel).await;
    assert!(says.iter().all(|part| told.contains(part)), "{told}");
    assert!(process.metrics().contains(&refusing(error, 1)), "{}", process.metrics());
    process.log.wait_for(&["writes are refused", says[0], says[1]]);
    assert!(http(process.http, "/readyz").unwrap().0.contains("200"), "reads go on");
    done.store(true, Ordering::Release);
    assert!(reader.await.unwrap() > 0);
    check(&mut FeatureServiceClient::new(channel), 50).await;
}

/// The sample that says whether writes are refused for this reason.
fn refusing(error: i32, value: i32) -> String {
    let reason = if error == ENOSPC { "disk_full" } else { "disk_failed" };
    format!("\nskewless_store_writes_refused{{reason=\"{reason}\"}} {value}\n")
}

/// What the sidecar says of its store's disk.
async fn fault(channel: &Channel) -> String {
    let mut admin = AdminServiceClient::new(channel.clone());
    let info = admin.snapshot_info(pb::SnapshotInfoRequest {}).await.unwrap();
    info.into_inner().store_fault
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_no_answer_no_acknowledged_row_and_no_restart() {
    let (dir, shim, mut process, store) = on_a_shim();
    let says = ["is full", "free space", store.as_str()];
    refuses(&process, &shim, ENOSPC, Code::ResourceExhausted, &says).await;

    shim.mend().unwrap();
    let channel = process.channel().await;
    let mut ingest = IngestServiceClient::new(channel.clone());
    let start = Instant::now();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    while let Err(status) = ingest.ingest(row(50)).await {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(start.elapsed() < WAIT_MAX, "waited in vain: {status:?}");
        looks.tick().await;
    }
    ingest_all(&mut ingest, 51..100).await;
    check(&mut FeatureServiceClient::new(channel.clone()), 100).await;
    process.log.wait_for(&["writes go on"]);
    assert!(process.metrics().contains(&refusing(ENOSPC, 0)), "{}", process.metrics());
    assert_eq!(fault(&channel).await, "");

    process.kill();
    let process = Process::start(dir.path(), SET, |_| {});
    check(&mut FeatureServiceClient::new(process.channel().await), 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_costs_no_answer_and_no_acknowledged_row_but_a_restart() {
    let (dir, shim, mut process, store) = on_a_shim();
    let says = ["failed", "mend the disk and restart", store.as_str()];
    refuses(&process, &shim, EIO, Code::Unavailable, &says).await;

    shim.mend().unwrap();
    let mut ingest = IngestServiceClient::new(process.channel().await);
    refused(ingest.ingest(row(50)).await, Code::Unavailable, &says);
    process.kill();
    let process = Process::start(dir.path(), SET, |_| {});
    let channel = process.channel().await;
    let mut features = FeatureServiceClient::new(channel.clone());
    check(&mut features, 50).await;
    let mut ingest = IngestServiceClient::new(channel.clone());
    ingest_all(&mut ingest, 50..100).await;
    check(&mut features, 100).await;
    assert_eq!(fault(&channel).await, "");
}

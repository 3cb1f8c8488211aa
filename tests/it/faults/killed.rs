//! A sidecar's process that is killed while rows arrive: what it had acknowledged is there afterwards, in order and
//! without a gap, and so is how far the source was applied.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use skewless_proto::v1 as pb;
use tokio::sync::watch;
use tonic::transport::Endpoint;

use super::*;

/// Names the folder of the sidecar that this test's own binary then runs as another process.
const CHILD: &str = "SKEWLESS_TEST_KILLED_IN";
const NAME: &str = "faults::killed::what_was_acknowledged_survives_a_kill";
const ACKNOWLEDGED_MIN: u64 = 150;

#[test]
fn what_was_acknowledged_survives_a_kill() -> Result<()> {
    if let Some(folder) = std::env::var_os(CHILD) {
        return serve_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir()?;
    let repo = folder.path().join("repo");
    write_repo(&repo, &format!("{DEFINITIONS}services:\n{CALM}"), &["adds"])?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // Killed twice: the second one starts on what the first one left.
    for _ in 0..2 {
        let before = runtime.block_on(async { applied(folder.path()).await })?;
        let acknowledged = runtime.block_on(kill_amid_rows(folder.path(), before))?;
        let after = runtime.block_on(async { applied(folder.path()).await })?;
        ensure!(acknowledged >= before + ACKNOWLEDGED_MIN, "{acknowledged} rows are too few");
        ensure!(after >= acknowledged, "{acknowledged} rows were acknowledged, {after} are there");
        ensure!(after <= acknowledged + 1, "one row was under way, {after} are there");
        println!("{acknowledged} rows acknowledged, {after} there");
    }
    Ok(())
}

/// The child: serves until it is killed, or until its parent is gone.
fn serve_until_killed(folder: &Path) -> Result<()> {
    let sidecar = start(folder, NOON_US)?;
    println!("\naddress {}", sidecar.addresses().tcp.context("a TCP address")?);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A child that doesn't outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a process, sends it one row after the other from `first` on, kills it amid them; how many rows it had
/// acknowledged in all.
async fn kill_amid_rows(folder: &Path, first: u64) -> Result<u64> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([NAME, "--exact", "--nocapture"])
        .env(CHILD, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map(Killed)?;
    let stdout = child.0.stdout.take().context("the child's output")?;
    let address = tokio::task::spawn_blocking(move || -> Result<String> {
        for line in BufReader::new(stdout).lines() {
            if let Some(address) = line?.strip_prefix("address ") {
                return Ok(address.to_owned());
            }
        }
        anyhow::bail!("the child ended without an address")
    });
    let endpoint = Endpoint::from_shared(format!("http://{}", address.await??))?;
    let mut client = IngestServiceClient::new(endpoint.connect().await?);
    let (acknowledged, mut seen) = watch::channel(first);
    let sender = tokio::spawn(async move {
        for row in first.. {
            match client.ingest(row_of_source(row)).await {
                Ok(_) => acknowledged.send_replace(row + 1),
                Err(_) => break,
            };
        }
    });
    seen.wait_for(|seen| *seen >= first + ACKNOWLEDGED_MIN).await?;
    child.0.kill()?;
    child.0.wait()?;
    sender.await?;
    let acknowledged = *seen.borrow();
    Ok(acknowledged)
}

/// How far the source was applied, after checking that exactly the rows before that are in the store.
async fn applied(folder: &Path) -> Result<u64> {
    let sidecar = start(folder, NOON_US)?;
    let channel = online::connect(&sidecar).await?;
    let source = row_of_source(0).source.context("a source")?.source;
    let mut ingest = IngestServiceClient::new(channel.clone());
    let offset = ingest.progress(pb::ProgressRequest { source }).await?.into_inner().offset;
    let offset = offset.unwrap_or(0);
    let ids: Vec<Option<i64>> = (0..offset as i64 + 100).map(Some).collect();
    let mut features = FeatureServiceClient::new(channel);
    let answer = features.get_features(question("calm", &ids)).await?.into_inner();
    for (id, a) in told(&answer, "numbers.a")?.into_iter().enumerate() {
        let expected =
            if (id as u64) < offset { Ok(id as f64 / 2.0) } else { Err(Status::NotFound) };
        ensure!(a == expected, "row {id} of {offset}: expected {expected:?}, came {a:?}");
    }
    let ended = tokio::task::spawn_blocking(move || sidecar.shutdown()).await?;
    ensure!(ended.flushed, "{ended:?}");
    Ok(offset)
}

fn row_of_source(row: u64) -> pb::IngestRequest {
    let source = Some(pb::SourceOffset { source: "rows/0".to_owned(), offset: row + 1 });
    pb::IngestRequest {
        source,
        ..numbers(NOON_US - SECOND_US, &[(row as i64, row as f64 / 2.0, 0.0)])
    }
}

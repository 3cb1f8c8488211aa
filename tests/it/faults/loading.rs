//! Bulk loads beside reads and writes: until a load ends well nobody sees a row of it, and then everybody sees all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Result, ensure};
use skewless_proto::v1 as pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::*;

const THINGS: i64 = 200;
const PARTS: i64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reads_during_a_load_see_all_of_it_or_nothing() -> Result<()> {
    let live = Live::start(&format!("{DEFINITIONS}services:\n{CALM}"), &["adds"]).await?;
    live.ingest().ingest(numbers(NOON_US - 9 * SECOND_US, &rows(0..THINGS, 1.0))).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicU64::new(0));
    let watcher = tokio::spawn(watch(live.features(), Arc::clone(&stop), Arc::clone(&answers)));
    for value in 2..6 {
        let mode = if value % 2 == 0 { pb::LoadMode::Replace } else { pb::LoadMode::Merge };
        let event_us = NOON_US - (9 - value) * SECOND_US;
        let (parts, taken) = mpsc::channel(1);
        let mut admin = live.admin();
        let load = tokio::spawn(async move { admin.load(ReceiverStream::new(taken)).await });
        for part in 0..PARTS {
            parts.send(part_of_load(part, value as f64, event_us, mode)).await?;
            let before = answers.load(Ordering::Acquire);
            until("answers beside a load", async || {
                ensure!(!watcher.is_finished(), "the watcher saw a mixture");
                Ok(answers.load(Ordering::Acquire) > before + 3)
            })
            .await?;
            ensure!(
                all_a(&live).await? == Ok((value - 1) as f64),
                "part {part} of an unfinished load"
            );
        }
        drop(parts);
        let loaded = load.await??.into_inner();
        ensure!((loaded.rows, loaded.keys) == (THINGS as u64, THINGS as u64), "{loaded:?}");
        ensure!(all_a(&live).await? == Ok(value as f64), "load {value} is there");
    }
    stop.store(true, Ordering::Release);
    watcher.await??;
    live.ensure_well().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_load_that_ends_early_leaves_no_trace() -> Result<()> {
    let live = Live::start(&format!("{DEFINITIONS}services:\n{CALM}"), &["adds"]).await?;
    live.ingest().ingest(numbers(NOON_US - 9 * SECOND_US, &rows(0..THINGS, 1.0))).await?;
    let mode = pb::LoadMode::Replace;
    let (parts, taken) = mpsc::channel(1);
    let mut admin = live.admin();
    let load = tokio::spawn(async move { admin.load(ReceiverStream::new(taken)).await });
    for part in 0..PARTS - 1 {
        parts.send(part_of_load(part, 2.0, NOON_US - SECOND_US, mode)).await?;
    }
    load.abort();
    let ended = load.await;
    ensure!(ended.is_err_and(|error| error.is_cancelled()), "the client went away");
    ensure!(all_a(&live).await? == Ok(1.0), "a part of an aborted load is seen");
    // The next load has its place as soon as the sidecar knows that the client is gone.
    let mut admin = live.admin();
    until("a place for the next load", async || {
        let parts: Vec<_> =
            (0..PARTS).map(|part| part_of_load(part, 3.0, NOON_US - SECOND_US, mode)).collect();
        match admin.load(tokio_stream::iter(parts)).await {
            Ok(loaded) => {
                ensure!(loaded.into_inner().rows == THINGS as u64);
                Ok(true)
            }
            Err(status) => {
                ensure!(status.code() == tonic::Code::ResourceExhausted, "{status:?}");
                Ok(false)
            }
        }
    })
    .await?;
    ensure!(all_a(&live).await? == Ok(3.0));
    live.ensure_well().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_that_arrive_during_a_load_are_kept_if_they_are_newer() -> Result<()> {
    let live = Live::start(&format!("{DEFINITIONS}services:\n{CALM}"), &["adds"]).await?;
    let (parts, taken) = mpsc::channel(1);
    let mut admin = live.admin();
    let load = tokio::spawn(async move { admin.load(ReceiverStream::new(taken)).await });
    let event_us = NOON_US - 5 * SECOND_US;
    parts.send(part_of_load(0, 2.0, event_us, pb::LoadMode::Merge)).await?;
    parts.send(part_of_load(1, 2.0, event_us, pb::LoadMode::Merge)).await?;
    // In a part that came, in one that is to come, and one that the load doesn't have; each newer, and each older.
    let newer = [(7, 70.0, 0.0), (THINGS - 1, 71.0, 0.0), (THINGS + 5, 72.0, 0.0)];
    let older = [(8, 80.0, 0.0), (THINGS - 2, 81.0, 0.0), (THINGS + 6, 82.0, 0.0)];
    live.ingest().ingest(numbers(event_us + SECOND_US, &newer)).await?;
    live.ingest().ingest(numbers(event_us - SECOND_US, &older)).await?;
    let ids = [7, THINGS - 1, THINGS + 5, 8, THINGS - 2, THINGS + 6, 9].map(Some);
    let asked = async || told(&live.ask("calm", &ids).await?, "numbers.a");
    let before = asked().await?;
    let none = Err(skewless_catalog::Status::NotFound);
    ensure!(
        before == [Ok(70.0), Ok(71.0), Ok(72.0), Ok(80.0), Ok(81.0), Ok(82.0), none],
        "{before:?}"
    );
    for part in 2..PARTS {
        parts.send(part_of_load(part, 2.0, event_us, pb::LoadMode::Merge)).await?;
    }
    drop(parts);
    load.await??;
    let after = asked().await?;
    let expected = [Ok(70.0), Ok(71.0), Ok(72.0), Ok(2.0), Ok(2.0), Ok(82.0), Ok(2.0)];
    ensure!(after == expected, "expected {expected:?}, came {after:?}");
    Ok(())
}

/// Asks until it is told to stop, and fails at an answer whose rows are of two loads.
async fn watch(
    mut client: FeatureServiceClient<Channel>,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
) -> Result<()> {
    let ids: Vec<Option<i64>> = (0..THINGS).map(Some).collect();
    while !stop.load(Ordering::Acquire) {
        let answer = client.get_features(question("calm", &ids)).await?.into_inner();
        let values = told(&answer, "numbers.a")?;
        let differs = values.iter().position(|value| *value != values[0]);
        ensure!(differs.is_none(), "rows 0 and {differs:?} are of two loads: {values:?}");
        answers.fetch_add(1, Ordering::AcqRel);
    }
    Ok(())
}

/// What all things have in common.
async fn all_a(live: &Live) -> Result<Result<f64, Status>> {
    let ids: Vec<Option<i64>> = (0..THINGS).map(Some).collect();
    let values = told(&live.ask("calm", &ids).await?, "numbers.a")?;
    ensure!(values.iter().all(|value| *value == values[0]), "of two loads: {values:?}");
    Ok(values[0])
}

fn part_of_load(part: i64, value: f64, event_us: i64, mode: pb::LoadMode) -> pb::LoadRequest {
    let each = THINGS / PARTS;
    let request = numbers(event_us, &rows(part * each..(part + 1) * each, value));
    pb::LoadRequest {
        view: request.view,
        mode: mode as i32,
        keys: request.keys,
        event_us: request.event_us,
        features: request.features,
        ..pb::LoadRequest::default()
    }
}

fn rows(ids: std::ops::Range<i64>, a: f64) -> Vec<(i64, f64, f64)> {
    ids.map(|id| (id, a, 0.0)).collect()
}

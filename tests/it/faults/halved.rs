//! Many rows on which a plugin breaks, in one large request: every other row is answered, and answered as a backfill
//! does. Of one or two such rows `guests.rs` tells.

use anyhow::{Context, Result, ensure};
use skewless_engine::{EngineConfig, inspect};
use skewless_offline::BackfillOptions;
use skewless_tests::compare::{Comparison, Told};
use skewless_tests::parquet_files::Written;
use skewless_tests::story::{Asks, History, PluginFile, Story};
use skewless_tests::{offline, online, wire};

use super::*;

const ROWS: usize = 2_000;
/// One of fifty: 40 rows on which the plugin traps, spread so that no half of any size is free of them for long.
const EVERY: usize = 50;
const PROGRAMS: [&str; 2] = ["traps_on_negative", "adds"];

const STORY: &str = "\
entities:
  - {name: thing, keys: [{name: id, type: int64}]}
views:
  - name: numbers
    entity: thing
    features: [{name: a, type: float64}, {name: b, type: float64}]
    source: {path: data/numbers/*.parquet, event_timestamp: happened, created_timestamp: arrived, deleted: gone}
transforms:
  - {name: traps, plugin: plugins/traps_on_negative.wasm, inputs: {a: numbers.a, b: numbers.b}}
  - {name: fed, plugin: plugins/adds.wasm, inputs: {a: traps.sum, b: numbers.b}}
services:
  - {name: model, features: [numbers.a, traps.sum, fed.sum, numbers.b]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_trapping_rows_of_two_thousand_fail_alone_online_as_in_a_backfill() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let story = story()?;
    // A backfill has a runtime of its own, which can't be driven on a thread of this one.
    let tell = || offline::tell(&story, folder.path(), &BackfillOptions::default(), |_| None);
    let batch = std::thread::scope(|scope| scope.spawn(tell).join());
    let batch = batch.map_err(|_| anyhow::anyhow!("the backfill panicked"))??;
    let sidecar = start(folder.path(), NOON_US - SECOND_US)?;
    let channel = online::connect(&sidecar).await?;
    let history = online::rows(&story.histories[0], 0, ROWS);
    IngestServiceClient::new(channel.clone()).ingest(history).await?;
    sidecar.clock().advance(NOON_US);
    let mut client = FeatureServiceClient::new(channel);
    let answer = client.get_features(online::question(&story, 0, ROWS)).await?.into_inner();

    let mut compared = Comparison::default();
    for (live, batch) in written(&answer)?.iter().zip(&batch) {
        compared.add(&told_by(live), &told_by(batch))?;
    }
    compared.ensure_same("one request of 2,000 rows")?;
    ensure!(compared.values == 4 * ROWS as u64, "{compared:?}");
    let failed = 2 * (ROWS / EVERY) as u64;
    let by_status = compared.statuses;
    ensure!(by_status[Status::TransformFailed as usize] == failed, "{by_status:?}");
    ensure!(by_status[Status::Present as usize] == 4 * ROWS as u64 - failed, "{by_status:?}");
    ensure!(answer.failures_total as usize == ROWS / EVERY, "{} failures", answer.failures_total);
    let own = |failure: &pb::TransformFailure| {
        failure.row.is_some_and(|row| row as usize % EVERY == 7)
            && failure.message.contains("trapped")
    };
    ensure!(answer.failures.iter().all(own), "{:?}", answer.failures);
    Ok(())
}

/// Every thing has one row and is asked about once, all at noon.
fn story() -> Result<Story> {
    let mut columns = [Type::Int64, Type::Float64, Type::Float64].map(Column::new);
    for row in 0..ROWS {
        let a = if row % EVERY == 7 { -1.0 } else { row as f64 * 0.37 };
        columns[0].push_i64(row as i64);
        columns[1].push_f64(a);
        columns[2].push_f64(0.1 + row as f64);
    }
    let [id, a, b] = columns;
    let plugins = PROGRAMS.iter().map(|name| {
        let wasm = program(name)?;
        let signature = inspect(&wasm, &EngineConfig::default())?.signature;
        Ok(PluginFile { file: format!("{name}.wasm"), wasm, signature })
    });
    Ok(Story {
        name: "trapping rows".to_owned(),
        definitions: STORY.to_owned(),
        plugins: plugins.collect::<Result<_>>()?,
        histories: vec![History {
            view: "numbers".to_owned(),
            keys: vec![("id".to_owned(), id.clone())],
            event_us: vec![NOON_US - SECOND_US; ROWS],
            known_us: vec![NOON_US - SECOND_US; ROWS],
            deleted: vec![false; ROWS],
            features: vec![("a".to_owned(), a), ("b".to_owned(), b)],
        }],
        asks: Asks {
            t_us: vec![NOON_US; ROWS],
            keys: vec![("id".to_owned(), id)],
            request: Vec::new(),
        },
        service: "model".to_owned(),
    })
}

fn written(answer: &pb::GetFeaturesResponse) -> Result<Vec<Written>> {
    let one = |feature: &pb::FeatureColumn| {
        let message = feature.column.as_ref().context("a column")?;
        let mut column = Column::new(Type::Float64);
        wire::append(message, ROWS, &mut column)?;
        let statuses = match feature.statuses.len() {
            0 => vec![Status::Present as u8; ROWS],
            _ => feature.statuses.to_vec(),
        };
        Ok(Written { name: message.name.clone(), column, statuses })
    };
    answer.columns.iter().map(one).collect()
}

fn told_by(written: &Written) -> Told<'_> {
    Told { name: &written.name, column: &written.column, statuses: &written.statuses }
}

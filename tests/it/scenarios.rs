//! The visibility table and what a transform makes of it, as files that a person can read: each is played online over
//! gRPC and offline by a backfill, and both must give what the file says, bit for bit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use skewless_batch::Type;
use skewless_catalog::Status;
use skewless_offline::BackfillOptions;
use skewless_server::Clock;
use skewless_tests::parquet_files::Written;
use skewless_tests::scenario::Scenario;
use skewless_tests::{offline, online, plugins};

/// Ways to put rows and questions into calls.
const SEEDS: [u64; 2] = [online::ONE_BY_ONE, 1];

#[test]
fn every_scenario_gets_its_answers_online_and_offline() -> Result<()> {
    let (mut differences, mut answers, mut by_status) = (Vec::new(), 0, [0; 6]);
    let files = files()?;
    for path in &files {
        let scenario = read(path)?;
        for (who, told) in tell(&scenario).with_context(|| scenario.story.name.clone())? {
            let here = scenario.differences(who, &told)?;
            if !here.is_empty() {
                differences.push(format!("{}:\n{}", scenario.title, here.join("\n")));
            }
        }
        for expected in &scenario.expected {
            answers += expected.statuses.len();
            expected.statuses.iter().for_each(|status| by_status[usize::from(*status)] += 1);
        }
    }
    println!("{} scenarios, {answers} answers, by status {by_status:?}", files.len());
    ensure!(differences.is_empty(), "{}", differences.join("\n\n"));
    ensure!(by_status[1..].iter().all(|count| *count > 0), "a status that no scenario expects");
    Ok(())
}

/// The same scenario with one answer changed in its last bit, or in its status, fails where it was changed.
#[test]
fn an_answer_that_differs_in_its_last_bit_is_noticed() -> Result<()> {
    let path = folder().join("odd_floats.scenario");
    let mut scenario = read(&path)?;
    let told = tell(&scenario)?;
    let line = scenario.lines[0];
    let doubles = scenario.expected.iter_mut().filter(|e| e.column.ty() == Type::Float64);
    for value in doubles.flat_map(|expected| expected.column.f64s_mut()) {
        *value = f64::from_bits(value.to_bits() ^ 1);
    }
    for (who, told) in &told {
        let differences = scenario.differences(who, told)?;
        let here = format!("odd_floats.scenario:{line}: ");
        ensure!(differences.iter().any(|shown| shown.starts_with(&here)), "{differences:?}");
    }
    let mut scenario = read(&path)?;
    scenario.expected[0].statuses[0] = Status::NotFound as u8;
    ensure!(scenario.differences(told[0].0, &told[0].1)?.len() == 1);
    Ok(())
}

#[test]
fn a_mistake_in_a_scenario_names_file_and_line() -> Result<()> {
    let good = "# Title.\nentities: [{name: e, keys: [{name: k, type: int64}]}]\n\
        views: [{name: v, entity: e, features: [{name: f, type: float64}]}]\n\
        services: [{name: s, features: [v.f]}]\n---\nday 2013-01-01\n\
        row v 10:00:00 k=1 f=2\nask 10:00:00 k=1 -> v.f=2 # a comment\n";
    Scenario::parse("good", good, &[])?;
    let mistakes = [
        ("# Title", "Title", "bad:1: expected a title"),
        ("---\n", "", "bad:1: expected a line `---`"),
        ("type: float64", "type: float46", "float46"),
        ("ask 10:00:00 k=1 -> v.f=2 # a comment\n", "", "bad:5: expected a line `ask`"),
        ("day 2013-01-01", "day 2013-13-01", "bad:6: expected a day"),
        ("day 2013-01-01", "", "bad:7: expected a line `day`"),
        ("row v 10:00:00", "row v 25:00:00", "bad:7: expected a time, came 25:00:00"),
        ("row v 10:00:00", "row v 11:00:00", "bad:8: expected a time that is not before"),
        ("row v 10", "row w 10", "bad:7: expected a declared view, came `w`"),
        ("row v 10:00:00 k=1", "row v 10:00:00", "bad:7: expected key `k`, came none"),
        ("k=1 f=2", "k=1 f=x", "bad:7: f: expected a value of type float64, came x"),
        ("k=1 f=2", "k=1 f=2 f=3", "bad:7: `f` came twice"),
        ("k=1 f=2", "k=1 g=2", "bad:7: `g` is not declared here"),
        ("k=1 f=2", "k=1 \"", "bad:7: a quote is never closed"),
        ("k=1 f=2", "k=1 f=[", "bad:7: brackets don't match"),
        ("row v 10:00:00 k=1 f=2", "rows", "bad:7: expected `day`, `row` or `ask`"),
        ("ask 10:00:00 k=1", "ask 10:00:00", "bad:8: expected `k`, came none"),
        ("-> v.f=2", "v.f=2", "bad:8: expected `->`"),
        ("-> v.f=2", "->", "bad:8: expected an answer for `v.f`, came none"),
        ("-> v.f=2", "-> v.f=null", "bad:8: expected a value or a status for `v.f`"),
        ("-> v.f=2", "-> v.f=GONE", "bad:8: v.f: expected a value of type float64, came GONE"),
        ("-> v.f=2", "-> v.f=2 v.g=3", "bad:8: `v.g` is not declared here"),
        ("# a comment\n", "\nrow v 10:00:00 k=1", "bad:9: expected a row that becomes known after"),
        (
            "\nask",
            "\nrow v 09:59:00 k=1\nask",
            "bad:8: expected rows in the order in which they became known",
        ),
    ];
    for (was, is, expected) in mistakes {
        let bad = good.replacen(was, is, 1);
        ensure!(bad != good, "`{was}` is not in the text");
        let Err(error) = Scenario::parse("bad", &bad, &[]) else {
            bail!("expected a refusal with `{expected}`, came none");
        };
        let error = format!("{error:#}");
        ensure!(error.contains(expected), "expected `{expected}` in `{error}`");
    }
    Ok(())
}

/// What each way of playing the scenario gave.
fn tell(scenario: &Scenario) -> Result<Vec<(&'static str, Vec<Written>)>> {
    let story = &scenario.story;
    let folder = tempfile::tempdir()?;
    let batch = offline::tell(story, folder.path(), &BackfillOptions::default(), |_| None)?;
    let small = BackfillOptions { chunk_rows: 1, workers: 1, ..BackfillOptions::default() };
    let mut told = vec![
        ("the backfill", batch),
        ("the backfill row by row", offline::tell(story, folder.path(), &small, |_| None)?),
    ];
    let wanted = offline::outputs(&*offline::catalog(story)?.plan(&story.service)?);
    for seed in SEEDS {
        let store = tempfile::tempdir()?;
        let repo = folder.path().join("repo");
        let sidecar = online::start(&repo, store.path(), Clock::manual(0), |config| {
            config.engine.instances_max = 32;
            config.life.threads = 1;
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let live = online::tell(story, &sidecar, &wanted, seed);
        let who = if seed == online::ONE_BY_ONE { "the sidecar row by row" } else { "the sidecar" };
        told.push((who, runtime.block_on(live)?));
    }
    Ok(told)
}

fn read(path: &Path) -> Result<Scenario> {
    let file = path.file_name().and_then(|name| name.to_str()).context("a file name")?;
    let text = std::fs::read_to_string(path).with_context(|| file.to_owned())?;
    // Plugins take a while to compile, and most scenarios have none.
    let plugins = if text.contains("plugin:") { plugins::core_modules()? } else { &[] };
    Scenario::parse(file, &text, plugins)
}

fn files() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder())? {
        let path = entry?.path();
        let scenario = path.extension().is_some_and(|end| end == "scenario");
        ensure!(scenario, "{} is no scenario", path.display());
        files.push(path);
    }
    files.sort();
    Ok(files)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

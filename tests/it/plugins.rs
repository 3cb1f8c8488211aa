//! The reference plugins and the echo program, in both lanes, through the engine: the same bytes as the same
//! source run natively, for random rows under every instance policy; and what a small guest costs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use skewless_batch::{Column, ColumnView};
use skewless_catalog::plan::InstancePolicy;
use skewless_engine::certify::{CASES_MIN, Request, examine};
use skewless_engine::{Engine, EngineConfig, Lane, Ticker, Worker};
use skewless_tests::plugins::{components, core_modules, native};
use skewless_tests::random::Random;
use skewless_tests::story::PluginFile;

/// Rows of a batch, from none to what doesn't fit a guest's first page of memory.
const ROWS: [usize; 5] = [0, 1, 2, 63, 2_000];
const POLICIES: [InstancePolicy; 3] =
    [InstancePolicy::Reset, InstancePolicy::Reused, InstancePolicy::Fresh];
const SEED: u64 = 2013;

#[test]
fn core_modules_give_the_bytes_of_the_native_run() -> Result<()> {
    core_modules()?.iter().try_for_each(|file| same_as_natively(file, Lane::Core))
}

#[test]
fn components_give_the_bytes_of_the_native_run() -> Result<()> {
    components()?.iter().try_for_each(|file| same_as_natively(file, Lane::Component))
}

/// A restored memory of one page is what makes a reset cheap: 64 KiB hold the stack, the constants and the
/// arena of a plugin.
#[test]
fn a_core_module_of_rust_starts_with_one_page_of_memory() -> Result<()> {
    for file in core_modules()? {
        let facts = skewless_engine::inspect(&file.wasm, &EngineConfig::default())?;
        println!("{}: {} bytes, memory {}", file.file, facts.bytes, facts.memory_bytes_min);
        ensure!(
            facts.memory_bytes_min == 65_536 && facts.state.restorable(),
            "{} starts with {} bytes of memory, {:?}",
            file.file,
            facts.memory_bytes_min,
            facts.state
        );
    }
    Ok(())
}

#[test]
fn both_lanes_have_the_signature_of_the_source() -> Result<()> {
    for file in core_modules()?.iter().chain(components()?) {
        let plugin = native(&file.signature.name).context("a native form")?;
        ensure!(plugin.signature() == file.signature, "{}: {:?}", file.file, file.signature);
    }
    Ok(())
}

/// What a user may demand of a plugin, ours give: `require_certificate` can be said of each.
#[test]
fn the_reference_plugins_pass_their_examination() -> Result<()> {
    // Whether a row is in time on a busy machine is no matter here.
    let config = EngineConfig { deadline_ticks: 5_000, ..EngineConfig::default() };
    let engine = Engine::new(config)?;
    let _ticker = Ticker::start(engine.clone(), Duration::from_millis(1))?;
    for file in core_modules()? {
        let plugin = engine.load(&file.wasm, None).with_context(|| file.file.clone())?;
        let stop = Arc::default();
        let request = Request { seed: SEED, cases: CASES_MIN, threads: 2, given: (0, &[]), stop };
        let found = examine(&plugin, &request, &mut |_| {})?;
        ensure!(found.passed(), "{}: {:?}", file.file, found.faults().collect::<Vec<_>>());
    }
    Ok(())
}

fn same_as_natively(file: &PluginFile, lane: Lane) -> Result<()> {
    let engine = Engine::new(EngineConfig::default())?;
    let plugin = engine.load(&file.wasm, None).with_context(|| file.file.clone())?;
    ensure!(plugin.facts().lane == lane, "{} is {:?}", file.file, plugin.facts().lane);
    let native = native(&file.signature.name).context("a native form")?;
    let mut worker = Worker::new(&engine);
    let mut random = Random::new(SEED);
    for rows in ROWS {
        let inputs = inputs(&mut random, file, rows);
        let views: Vec<ColumnView<'_>> = inputs.iter().map(Column::view).collect();
        let expected = native.run_native(rows, &views)?;
        for policy in POLICIES {
            let what = format!("{} {lane:?} {policy:?} {rows} rows, seed {SEED}", file.file);
            // Twice, so that what the first call left behind would show.
            for _ in 0..2 {
                let came = worker
                    .run_plugin_as(&plugin, policy, rows, &views)
                    .with_context(|| what.clone())?;
                same(&came.columns, &expected.columns, rows).with_context(|| what.clone())?;
                let errors = (0..rows).map(|row| came.errors.get(row).cloned().flatten());
                let mut pairs = errors.zip(expected.errors.iter().cloned());
                let differ = pairs.find(|(came, expected)| came != expected);
                ensure!(differ.is_none(), "{what}: errors {differ:?}");
            }
        }
    }
    Ok(())
}

/// Random columns of a plugin's inputs; nulls are rare enough that most rows are computed.
fn inputs(random: &mut Random, file: &PluginFile, rows: usize) -> Vec<Column> {
    let column = |field: &skewless_batch::Field| {
        let mut column = Column::new(field.ty);
        let null_in = if field.nullable { 4 } else { 16 };
        (0..rows).for_each(|_| random.push(&mut column, null_in));
        column
    };
    file.signature.inputs.iter().map(column).collect()
}

fn same(came: &[Column], expected: &[Column], rows: usize) -> Result<()> {
    ensure!(came.len() == expected.len(), "{} columns, expected {}", came.len(), expected.len());
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for (at, (came, expected)) in came.iter().zip(expected).enumerate() {
        ensure!(came.len() == rows, "column {at} has {} rows", came.len());
        for row in 0..rows {
            here.clear();
            there.clear();
            came.value(row).canonical_bytes(&mut here);
            expected.value(row).canonical_bytes(&mut there);
            let (came, expected) = (came.value(row), expected.value(row));
            ensure!(here == there, "output {at} of row {row}: {came:?}, natively {expected:?}");
        }
    }
    Ok(())
}

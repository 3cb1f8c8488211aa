//! Limits of the plugin host that decide whether a row has a value: a sidecar and a backfill with the same
//! configuration fail the same rows.

use std::time::Duration;

use anyhow::{Result, ensure};
use skewless_batch::{Column, Type};
use skewless_catalog::Status::{Present, TransformFailed};
use skewless_catalog::{Plan, Status};
use skewless_engine::EngineConfig;
use skewless_offline::{BackfillOptions, backfill_limits};
use skewless_server::Clock;
use skewless_tests::parquet_files::Written;
use skewless_tests::story::{Asks, PluginFile, Story};
use skewless_tests::{offline, online};

use super::{NOON_US, plugins};

const DEFINITIONS: &str = "\
requests: [{name: a, type: float64}, {name: b, type: float64}]
transforms:
  - {name: grows, plugin: plugins/grows.wasm, inputs: {a: request.a, b: request.b}}
  - {name: recurses, plugin: plugins/recurses.wasm, inputs: {a: request.a, b: request.b}}
services:
  - {name: both, features: [grows.sum, recurses.sum]}
";

/// The sum in `tests/programs/adds.wat`, which is replaced.
const SUM: &str = "(func $value (param $a f64) (param $b f64) (result f64) (f64.add (local.get $a) (local.get $b)))";
/// Takes as many pages of memory as the first column says.
const GROWS: &str = "
  (func $value (param $a f64) (param $b f64) (result f64)
    (drop (memory.grow (i32.trunc_sat_f64_u (local.get $a))))
    (f64.add (local.get $a) (local.get $b)))";
/// Calls itself as deep as the second column says.
const RECURSES: &str = "
  (func $down (param $n i32) (result f64)
    (if (i32.eqz (local.get $n)) (then (return (f64.const 0))))
    (f64.add (call $down (i32.sub (local.get $n) (i32.const 1))) (f64.const 1)))
  (func $value (param $a f64) (param $b f64) (result f64)
    (f64.add (local.get $a) (call $down (i32.trunc_sat_f64_u (local.get $b)))))";

/// Pages of memory that `grows` takes for each row: the last is too many for the default of 64 MiB.
const PAGES: [f64; 4] = [1.0, 100.0, 300.0, 2_000.0];
/// Calls that `recurses` makes for each row: the third is too deep for the default of 512 KiB.
const DEPTH: [f64; 4] = [1.0, 4_000.0, 10_000_000.0, 10.0];

#[test]
fn a_limit_fails_the_same_rows_served_and_backfilled() -> Result<()> {
    // Time is no limit of this test, however busy the machine.
    let usual =
        EngineConfig { instances_max: 128, deadline_ticks: 10_000, ..EngineConfig::default() };
    let memory = EngineConfig { memory_bytes_max: 16 << 20, ..usual.clone() };
    let stack = EngineConfig { stack_bytes_max: 32 << 10, ..usual.clone() };
    let usual_grows = [Present, Present, Present, TransformFailed];
    let usual_recurses = [Present, Present, TransformFailed, Present];
    let less_memory = [Present, Present, TransformFailed, TransformFailed];
    let less_stack = [Present, TransformFailed, TransformFailed, Present];
    for (name, limits, expected) in [
        ("the default limits", usual, [usual_grows, usual_recurses]),
        ("less memory", memory, [less_memory, usual_recurses]),
        ("less stack", stack, [usual_grows, less_stack]),
    ] {
        let [live, batch] = tell_both(&limits)?;
        for (feature, expected) in expected.iter().enumerate() {
            let expected = expected.map(|status: Status| status as u8);
            for (who, told) in [("served", &live[feature]), ("backfilled", &batch[feature])] {
                let (feature, came) = (&told.name, &told.statuses);
                ensure!(
                    came.as_slice() == expected,
                    "{name}: {feature} {who}: expected {expected:?}, came {came:?}"
                );
            }
            let same = (0..PAGES.len())
                .all(|row| live[feature].column.value(row) == batch[feature].column.value(row));
            ensure!(same, "{name}: {} differs", live[feature].name);
        }
    }
    Ok(())
}

/// What a sidecar with these limits answers, and what a backfill for it writes.
fn tell_both(limits: &EngineConfig) -> Result<[Vec<Written>; 2]> {
    let (story, folder) = (story()?, tempfile::tempdir()?);
    let options = BackfillOptions::default();
    let offline_limits = backfill_limits(limits, Duration::from_millis(1), options.workers);
    let batch = offline::tell_under(&story, folder.path(), &options, offline_limits, |_| None)?;
    let plan: &Plan = &*offline::catalog(&story)?.plan(&story.service)?;
    let repo = folder.path().join("repo");
    let sidecar = online::start(&repo, folder.path(), Clock::manual(NOON_US), |config| {
        config.engine = limits.clone();
        config.life.threads = 2;
    })?;
    let runtime = tokio::runtime::Runtime::new()?;
    let live = runtime.block_on(online::tell(&story, &sidecar, &offline::outputs(plan), 1))?;
    Ok([live, batch])
}

fn story() -> Result<Story> {
    let adds = std::fs::read_to_string(plugins::root().join("tests/programs/adds.wat"))?;
    let plugin = |name: &str, value: &str| {
        ensure!(adds.contains(SUM), "adds.wat has another sum");
        let wasm = wat::parse_str(adds.replace(SUM, value))?;
        let signature = skewless_engine::inspect(&wasm, &EngineConfig::default())?.signature;
        Ok(PluginFile { file: format!("{name}.wasm"), wasm, signature })
    };
    let column = |name: &str, values: [f64; 4]| {
        let mut column = Column::new(Type::Float64);
        values.iter().for_each(|value| column.push_f64(*value));
        (name.to_owned(), column)
    };
    Ok(Story {
        name: "limits".to_owned(),
        definitions: DEFINITIONS.to_owned(),
        plugins: vec![plugin("grows", GROWS)?, plugin("recurses", RECURSES)?],
        histories: Vec::new(),
        asks: Asks {
            t_us: vec![NOON_US; PAGES.len()],
            keys: Vec::new(),
            request: vec![column("a", PAGES), column("b", DEPTH)],
        },
        service: "both".to_owned(),
    })
}

//! A step through `Worker::execute`, tidied as a server does; not compiling, which happens before.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Result, ensure};
use skewless_catalog::{Frame, InstancePolicy, Status};
use skewless_engine::{Budget, Engine, EngineConfig, Program, Worker};

use crate::fixtures::Fixtures;
use crate::one_step::{degrees, plan};
use crate::paths::Work;

/// Instances that Valgrind's address space holds: each reserves more than 4 GiB of it.
pub(crate) const INSTANCES_MAX: u32 = 4;

pub(crate) fn execute(
    fixtures: &Fixtures,
    plugin: &str,
    policy: InstancePolicy,
    rows: usize,
) -> Result<Work> {
    let config = EngineConfig { instances_max: INSTANCES_MAX, ..EngineConfig::default() };
    let engine = Engine::new(config)?;
    let plugin = engine.load(&std::fs::read(fixtures.plugin(plugin))?, None)?;
    let plan = Arc::new(plan(&plugin, policy));
    let program = Program::bind(&plan, &|_| Some(plugin.clone()))?;
    let mut frame = Frame::new(&plan);
    frame.rows = rows;
    let inputs = plugin.signature().inputs.len();
    for (input, slot) in frame.slots.iter_mut().enumerate().take(inputs) {
        slot.column.extend_f64s(&degrees(input, rows));
        slot.status.push_many(Status::Present, rows);
    }
    let mut worker = Worker::new(&engine);
    Ok(Box::new(move || {
        // No clock ticks, so the deadline never comes.
        let reports = worker.execute(&program, &mut frame, Budget::online(1_000), &mut |_, _| {});
        let broke = reports.iter().any(|report| report.broke.is_some() || report.rows_failed > 0);
        ensure!(!broke, "{reports:?} {:?}", frame.failures);
        worker.tidy();
        black_box(&frame);
        Ok(())
    }))
}

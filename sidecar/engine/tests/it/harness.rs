//! What the engine's tests share: guests by name, plans from plugins, frames of two inputs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use skewless_batch::{Column, Type};
use skewless_catalog::{Frame, InstancePolicy, Plan, Slot, Status, Step};
use skewless_engine::{Engine, EngineConfig, Plugin, Program, StepReport, Ticker, Worker};

/// Where the guests are.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs"))
}

/// The guest `name` as a `.wasm` file's bytes.
pub(crate) fn wasm(name: &str) -> Vec<u8> {
    wat::parse_file(folder().join(format!("{name}.wat"))).unwrap()
}

/// Limits small enough for many engines in one process, with a deadline that a slow test machine keeps.
pub(crate) fn config() -> EngineConfig {
    EngineConfig { instances_max: 8, deadline_ticks: 250, ..EngineConfig::default() }
}

pub(crate) fn engine() -> Engine {
    Engine::new(config()).unwrap()
}

/// An engine that ticks every millisecond, as long as the ticker lives.
pub(crate) fn ticking(config: EngineConfig) -> (Engine, Ticker) {
    let engine = Engine::new(config).unwrap();
    let ticker = Ticker::start(engine.clone(), Duration::from_millis(1)).unwrap();
    (engine, ticker)
}

pub(crate) fn load(engine: &Engine, name: &str) -> Plugin {
    engine.load(&wasm(name), None).unwrap()
}

/// A step of a test plan: plugin, policy, the slots of its two inputs.
pub(crate) type TestStep<'a> = (&'a Plugin, InstancePolicy, [usize; 2]);

/// A program whose slots 0 and 1 are given, and whose step `i` writes slot `2 + i`.
pub(crate) fn program(steps: &[TestStep<'_>]) -> Program {
    let plan = plan(steps);
    let find = |digest: &_| {
        steps.iter().map(|step| step.0).find(|plugin| plugin.digest() == digest).cloned()
    };
    Program::bind(&Arc::new(plan), &find).unwrap()
}

pub(crate) fn plan(steps: &[TestStep<'_>]) -> Plan {
    let slot = |name: String, ty| Slot { name, ty };
    let mut plan = Plan {
        slots: vec![slot("a".into(), Type::Float64), slot("b".into(), Type::Float64)],
        ..Plan::default()
    };
    for (plugin, policy, inputs) in steps {
        let signature = plugin.signature();
        plan.steps.push(Step {
            transform: format!("step{}", plan.steps.len()),
            digest: *plugin.digest(),
            policy: *policy,
            inputs: inputs.to_vec(),
            outputs: vec![(0, plan.slots.len())],
            output_fields: signature.outputs.clone(),
        });
        plan.slots.push(slot(format!("out{}", plan.slots.len()), signature.outputs[0].ty));
    }
    plan
}

/// A frame with these inputs in slots 0 and 1.
pub(crate) fn frame(program: &Program, rows: &[(Option<f64>, Option<f64>)]) -> Frame {
    let mut frame = Frame::new(program.plan());
    frame.reset(rows.len());
    frame.slots[0].column = doubles(rows.iter().map(|row| row.0));
    frame.slots[1].column = doubles(rows.iter().map(|row| row.1));
    frame.slots[0].derive_status();
    frame.slots[1].derive_status();
    frame
}

pub(crate) fn doubles(values: impl IntoIterator<Item = Option<f64>>) -> Column {
    let mut column = Column::new(Type::Float64);
    for value in values {
        match value {
            Some(value) => column.push_f64(value),
            None => column.push_null(),
        }
    }
    column
}

/// What a row of a slot holds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Cell {
    Value(u64),
    Null,
    Failed,
}

pub(crate) fn value(value: f64) -> Cell {
    Cell::Value(value.to_bits())
}

/// A slot's rows; checks that statuses and nulls agree.
pub(crate) fn cells(frame: &Frame, slot: usize) -> Vec<Cell> {
    let slot = &frame.slots[slot];
    assert_eq!((slot.column.len(), slot.status.len()), (frame.rows, frame.rows));
    let cell = |row: usize| match slot.status[row] {
        Status::Present => Cell::Value(slot.column.view().f64_at(row).to_bits()),
        status => {
            assert!(slot.column.is_null(row), "{status:?} is null");
            if status == Status::TransformFailed { Cell::Failed } else { Cell::Null }
        }
    };
    (0..frame.rows).map(cell).collect()
}

/// Executes without bounds.
pub(crate) fn run(worker: &mut Worker, program: &Program, frame: &mut Frame) -> Vec<StepReport> {
    worker.execute(program, frame, skewless_engine::Budget::UNBOUNDED, &mut |_, _| {}).to_vec()
}

/// One call of a plugin with two float64 inputs: its sums.
pub(crate) fn call(
    worker: &mut Worker,
    plugin: &Plugin,
    policy: InstancePolicy,
    rows: &[(f64, f64)],
) -> Result<Vec<f64>, skewless_engine::CallError> {
    let a = doubles(rows.iter().map(|row| Some(row.0)));
    let b = doubles(rows.iter().map(|row| Some(row.1)));
    let output = worker.run_plugin_as(plugin, policy, rows.len(), &[a.view(), b.view()])?;
    Ok(output.columns[0].view().f64s().collect())
}

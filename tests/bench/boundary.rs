//! F3: the engine over the same function native and inlined, and what one crossing of the sandbox costs
//! under each instance policy; not which policy is right.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use skewless_catalog::{Frame, InstancePolicy, Plan, Status};
use skewless_engine::{Budget, Engine, EngineConfig, Plugin, Program, Ticker, Worker};
use skewless_tests::plugins::{core_modules, root};
use skewless_tests::story::PluginFile;

use crate::Mode;
use crate::one_step::{degrees, plan};
use crate::plot::{Axis, Plot, Scale, Series};
use crate::report::{Goal, Line, Part, Table};
use crate::rounds::{Pair, median, per_call};

const ROWS: [usize; 5] = [1, 100, 1_024, 8_192, 65_536];
/// The size for which there is a goal.
const ROWS_GOAL: usize = 1_024;

pub(crate) fn measure(mode: Mode) -> Result<Part> {
    let rounds = mode.rounds;
    let engine = Engine::new(EngineConfig::default())?;
    let _ticker = Ticker::start(engine.clone(), Duration::from_millis(1))?;
    let adds = std::fs::read_to_string(root().join("tests/programs/adds.wat"))?;
    let adds = engine.load(&wat::parse_str(adds)?, None)?;
    let modules = core_modules()?;
    let great_circle = engine.load(&module(modules, "great_circle")?.wasm, None)?;
    let ratios = engine.load(&module(modules, "ratios")?.wasm, None)?;
    let crossing = crossing(
        rounds,
        &engine,
        &[("adds (Wat)", &adds), ("great_circle (Rust)", &great_circle)],
    )?;
    let over_native = over_native(rounds, &engine, &adds, &ratios, &great_circle)?;
    let plots = vec![("f3-rows".to_owned(), plot(&over_native))];
    Ok(Part { tables: vec![crossing, over_native], plots, ..Part::default() })
}

/// Nanoseconds a row against rows a call, both sides of each plugin; lines come as [`ROWS`] for each.
fn plot(table: &Table) -> Plot {
    let mut series = Vec::new();
    for (name, lines) in
        ["adds", "ratios", "great_circle"].iter().zip(table.lines.chunks(ROWS.len()))
    {
        for (side, floor) in [("native", true), ("Wasm", false)] {
            let points = lines.iter().zip(ROWS).map(|(line, rows)| {
                let figures = if floor { &line.pair.floor } else { &line.pair.ours };
                (rows as f64, median(figures))
            });
            series.push(Series { name: format!("{name} {side}"), points: points.collect(), floor });
        }
    }
    Plot {
        title: "F3: nanoseconds a row against rows a call".to_owned(),
        x: Axis { label: "rows a call", scale: Scale::Log },
        y: Axis { label: "ns a row", scale: Scale::Log },
        series,
    }
}

pub(crate) fn module<'a>(modules: &'a [PluginFile], name: &str) -> Result<&'a PluginFile> {
    let found = modules.iter().find(|module| module.signature.name == name);
    found.with_context(|| format!("expected a plugin {name}"))
}

/// One row under each policy.
fn crossing(rounds: usize, engine: &Engine, plugins: &[(&str, &Plugin)]) -> Result<Table> {
    let policies = [
        ("reused", InstancePolicy::Reused, 100.0),
        ("reset", InstancePolicy::Reset, 1_500.0),
        ("fresh", InstancePolicy::Fresh, 4_000.0),
    ];
    let mut lines = Vec::new();
    for (name, plugin) in plugins {
        for (policy_name, policy, bound_ns) in policies {
            let mut floor = Ours::new(engine, plugin, InstancePolicy::Reused, 1)?;
            floor.program = Program::bind(&Arc::new(Plan::default()), &|_| None)?;
            let mut ours = Ours::new(engine, plugin, policy, 1)?;
            let pair = per_call(rounds, || floor.execute(), || ours.execute_and_tidy())?;
            let line = Line::new(format!("{name}, {policy_name}"), "ns", pair);
            lines.push(line.goal(Goal::AtMost(bound_ns)));
        }
    }
    let method = "One row through `Worker::execute`: instance taken, deadline set, batch encoded into the guest's memory, call, \
                  answer checked and copied out, statuses set, instance given back and, for `reset`, restored (which a server \
                  does when the answer is on its way). Floor: the same with a plan that has no step. The guest's own work is \
                  in it: one addition for `adds`, one haversine and one bearing for `great_circle`."
        .to_owned();
    let title = "F3: one crossing of the sandbox";
    Ok(Table { title, method, heads: ["no step", "one step"], ratios: false, lines })
}

fn over_native(
    rounds: usize,
    engine: &Engine,
    adds: &Plugin,
    ratios: &Plugin,
    great_circle: &Plugin,
) -> Result<Table> {
    let mut lines = Vec::new();
    for rows in ROWS {
        let (mut native, ours) =
            (native_adds(rows), Ours::new(engine, adds, InstancePolicy::Reused, rows)?);
        lines.push(line(rounds, "adds", rows, &mut native, ours)?);
    }
    for rows in ROWS {
        let (mut native, ours) =
            (native_ratios(rows), Ours::new(engine, ratios, InstancePolicy::Reused, rows)?);
        lines.push(line(rounds, "ratios", rows, &mut native, ours)?);
    }
    for rows in ROWS {
        let ours = Ours::new(engine, great_circle, InstancePolicy::Reused, rows)?;
        let line = line(rounds, "great_circle", rows, &mut native_great_circle(rows), ours)?;
        lines.push(if rows == ROWS_GOAL { line.goal(Goal::RatioAtMost(1.1)) } else { line });
    }
    let method = "Floor: the same Rust function, compiled natively and inlined into a loop over slices that writes slices (for \
                  `adds`, two slices added); no nulls looked at, nothing copied. Ours: `Worker::execute`, reused instance, \
                  deadlines on; above 8,192 rows (`rows_max`) several calls. Times are per row. `adds` does nothing but move \
                  data, `ratios` is two logarithms and six outputs, `great_circle` is eight transcendental functions."
        .to_owned();
    let title = "F3: a transform over native Rust";
    Ok(Table { title, method, heads: ["native loop", "engine.execute"], ratios: true, lines })
}

fn line(
    rounds: usize,
    name: &str,
    rows: usize,
    native: &mut dyn FnMut(),
    mut ours: Ours,
) -> Result<Line> {
    let floor = || {
        native();
        Ok(())
    };
    let pair: Pair = per_call(rounds, floor, || ours.execute())?;
    Ok(Line::new(
        format!("{name}, {rows} {}", if rows == 1 { "row" } else { "rows" }),
        "ns",
        pair.divided(rows as f64),
    ))
}

fn native_adds(rows: usize) -> impl FnMut() {
    let (a, b, mut sum) = (degrees(0, rows), degrees(1, rows), vec![0.0; rows]);
    move || {
        let (a, b) = (black_box(&a), black_box(&b));
        for (sum, (a, b)) in sum.iter_mut().zip(a.iter().zip(b)) {
            *sum = a + b;
        }
        black_box(&sum);
    }
}

fn native_ratios(rows: usize) -> impl FnMut() {
    let (part, whole) = (degrees(0, rows), degrees(1, rows));
    let mut outputs: [Vec<Option<f64>>; 4] = std::array::from_fn(|_| vec![None; rows]);
    let (mut buckets, mut complete) = (vec![0; rows], vec![false; rows]);
    move || {
        let (part, whole) = (black_box(&part), black_box(&whole));
        let [ratio, difference, log_ratio, signed_log_part] = &mut outputs;
        for row in 0..rows {
            let found = ratios::ratios(Some(part[row]), Some(whole[row]));
            ratio[row] = found.ratio;
            difference[row] = found.difference;
            log_ratio[row] = found.log_ratio;
            signed_log_part[row] = found.signed_log_part;
            buckets[row] = found.bucket;
            complete[row] = found.complete;
        }
        black_box((&outputs, &buckets, &complete));
    }
}

fn native_great_circle(rows: usize) -> impl FnMut() {
    let inputs: [Vec<f64>; 4] = std::array::from_fn(|input| degrees(input, rows));
    let (mut km, mut bearing) = (vec![0.0; rows], vec![0.0; rows]);
    move || {
        let [lat1, lon1, lat2, lon2] = black_box(&inputs);
        for row in 0..rows {
            let found = great_circle::great_circle(lat1[row], lon1[row], lat2[row], lon2[row]);
            km[row] = found.km;
            bearing[row] = found.bearing;
        }
        black_box((&km, &bearing));
    }
}

/// A program of one step over a filled frame.
struct Ours {
    program: Program,
    worker: Worker,
    frame: Frame,
}

impl Ours {
    fn new(engine: &Engine, plugin: &Plugin, policy: InstancePolicy, rows: usize) -> Result<Self> {
        let plan = Arc::new(plan(plugin, policy));
        let program = Program::bind(&plan, &|_| Some(plugin.clone()))?;
        let mut frame = Frame::new(&plan);
        frame.rows = rows;
        for (input, slot) in
            frame.slots.iter_mut().enumerate().take(plugin.signature().inputs.len())
        {
            slot.column.extend_f64s(&degrees(input, rows));
            slot.status.push_many(Status::Present, rows);
        }
        let mut ours = Self { program, worker: Worker::new(engine), frame };
        ours.execute()?;
        ensure!(ours.frame.failures.is_empty(), "{:?}", ours.frame.failures);
        Ok(ours)
    }

    fn execute(&mut self) -> Result<()> {
        let budget = Budget::online(1_000);
        let reports = self.worker.execute(&self.program, &mut self.frame, budget, &mut |_, _| {});
        ensure!(reports.iter().all(|report| report.broke.is_none()), "{reports:?}");
        black_box(&self.frame);
        Ok(())
    }

    fn execute_and_tidy(&mut self) -> Result<()> {
        self.execute()?;
        self.worker.tidy();
        Ok(())
    }
}

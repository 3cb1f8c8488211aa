//! `skewless plugin bench`: what a row of a plugin costs in the engine, by rows a call and by instance policy.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Value as Json, json};
use skewless_batch::{Column, ColumnView, encode_vec};
use skewless_catalog::{Frame, InstancePolicy, Plan, Slot, Step};
use skewless_engine::certify::{Values, columns};
use skewless_engine::{Budget, Engine, Plugin, Program, Worker};
use skewless_offline::CancelFlag;

use super::{build, golden_rows};
use crate::exit::{Failure, Next, Outcome};
use crate::interrupt;
use crate::output::{complain, say};
use crate::progress::Bar;
use crate::settings::{self, Settings};
use crate::show;

/// Measure what a row costs
///
/// Runs rows of everyday values through the engine, as serving does, in batches of 1 to 65,536 rows and under each
/// instance policy (`instance` in definitions), on one thread. Shows the median time of a row in nanoseconds: the call,
/// the copies in and out, the checks, and what keeps the instance clean. With --native the same source is built for this
/// machine as well, and called as the file is: the same bytes in, decoded, computed, and bytes out, without the sandbox.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  skewless plugin bench plugins/great_circle.wasm\n  skewless plugin bench plugins/basket --native"
)]
pub(crate) struct Args {
    /// The .wasm file, or the folder of the plugin's source, which has it beside it
    #[arg(value_name = "FOLDER|FILE.wasm")]
    plugin: PathBuf,
    /// Also measure the plugin's crate natively, for the ratio; Rust only
    #[arg(long)]
    native: bool,
    /// How long each of the figures is measured, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    time: u64,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

const ROWS: [usize; 6] = [1, 10, 100, 1_024, 8_192, 65_536];
const POLICIES: [InstancePolicy; 3] =
    [InstancePolicy::Reused, InstancePolicy::Reset, InstancePolicy::Fresh];
/// Bytes of the rows of one batch; wider rows make smaller batches.
const BATCH_BYTES_MAX: usize = 256 << 20;
/// What the rows are made from.
const SEED: u64 = 1;
/// Times that are kept of one figure; a median needs no more.
const SAMPLES_MAX: usize = 100_000;
/// Shortest time that is measured at once: far above what reading the clock costs.
const SAMPLE_NS_MIN: u128 = 20_000;

pub(crate) fn run(args: &Args) -> Outcome {
    let config = settings::read(&args.settings, [])?;
    let (engine, _ticker) = super::engine(&config)?;
    let (wasm, folder) = golden_rows::places(&args.plugin)?;
    let plugin = super::load(&engine, &wasm, &config.cache_dir)?;
    let native = if args.native { Some(build::native(&folder)?) } else { None };
    let scratch = tempfile::tempdir()?;
    let cancel = interrupt::flag()?;
    let bar = Bar::new();
    let mut figures = Vec::with_capacity(ROWS.len());
    let mut done = 0;
    for wanted in ROWS {
        let inputs = &plugin.signature().inputs;
        let (rows, given) = columns(inputs, wanted, Values::Everyday, SEED, BATCH_BYTES_MAX);
        if rows < wanted {
            let (rows, wanted) = (show::thousands(rows as u64), show::thousands(wanted as u64));
            complain!(
                "note: {rows} rows in the place of {wanted}: more would have over {BATCH_BYTES_MAX} bytes"
            );
        }
        let mut figure =
            Figure { rows, failed: 0, ns_a_row: [0.0; POLICIES.len()], native_ns: None };
        for (policy, ns_a_row) in POLICIES.into_iter().zip(&mut figure.ns_a_row) {
            let mut subject = Subject::new(&engine, &plugin, policy, rows, &given, &cancel)?;
            let ns = subject.measure(Duration::from_millis(args.time), &cancel)?;
            figure.failed = figure.failed.max(subject.failed);
            *ns_a_row = ns / rows as f64;
            done += 1;
            bar.show("measuring", done, (ROWS.len() * POLICIES.len()) as u64);
        }
        if let Some(native) = &native {
            let views: Vec<ColumnView<'_>> = given.iter().map(Column::view).collect();
            let batch = scratch.path().join("batch");
            std::fs::write(&batch, encode_vec(rows, &views))?;
            let times = native.measure(&[batch], Duration::from_millis(args.time));
            let times =
                times.or_next(|| "`cargo test` in the plugin's crate runs the same code")?;
            figure.native_ns = times.first().map(|ns| ns / rows as f64);
        }
        figures.push(figure);
    }
    bar.clear();
    if args.json {
        say!("{:#}", to_json(&plugin, &figures))?;
    } else {
        let signature = plugin.signature();
        let table = table(&figures);
        say!("{} {}, nanoseconds a row, median\n{table}", signature.name, signature.version)?;
    }
    let failed = figures.iter().map(|figure| figure.failed).max().unwrap_or(0);
    if failed > 0 {
        complain!(
            "note: {} of a batch failed; `skewless plugin certify` tells why, and a row that traps costs more than one that \
             is answered",
            show::count(failed as u64, "row", "rows")
        );
    }
    Ok(())
}

/// What batches of one size cost.
struct Figure {
    rows: usize,
    /// Rows of a batch that failed, at most.
    failed: usize,
    /// Median time of a row, nanoseconds, by [`POLICIES`].
    ns_a_row: [f64; POLICIES.len()],
    /// The same of the native build.
    native_ns: Option<f64>,
}

fn table(figures: &[Figure]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    let native = figures.iter().any(|figure| figure.native_ns.is_some());
    let more: &[&str] = if native { &["native", "reset / native"] } else { &[] };
    table.set_header([&["rows a call", "reused", "reset", "fresh"], more].concat());
    table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    for figure in figures {
        let rows = show::thousands(figure.rows as u64);
        let native = figure.native_ns.into_iter().flat_map(|ns| {
            let [_, reset, _] = figure.ns_a_row;
            [shown(ns), format!("{:.2}", reset / ns)]
        });
        table.add_row(std::iter::once(rows).chain(figure.ns_a_row.map(shown)).chain(native));
    }
    table
}

fn to_json(plugin: &Plugin, figures: &[Figure]) -> Json {
    let line = |figure: &Figure| {
        let [reused, reset, fresh] = figure.ns_a_row;
        let mut line = json!({
            "rows": figure.rows,
            "rows_failed": figure.failed,
            "ns_a_row": { "reused": reused, "reset": reset, "fresh": fresh },
        });
        if let Some(ns) = figure.native_ns {
            line["ns_a_row"]["native"] = ns.into();
        }
        line
    };
    json!({
        "name": plugin.signature().name,
        "version": plugin.signature().version,
        "digest": plugin.digest().to_string(),
        "batches": figures.iter().map(line).collect::<Vec<_>>(),
    })
}

/// Nanoseconds with a digit behind the point where that is worth something.
fn shown(ns: f64) -> String {
    if ns < 100.0 { format!("{ns:.1}") } else { show::thousands(ns.round() as u64) }
}

/// A program of the plugin alone, over a filled frame.
struct Subject {
    program: Program,
    worker: Worker,
    frame: Frame,
    /// Rows that failed in the last execution.
    failed: usize,
}

impl Subject {
    fn new(
        engine: &Engine,
        plugin: &Plugin,
        policy: InstancePolicy,
        rows: usize,
        columns: &[Column],
        cancel: &CancelFlag,
    ) -> Outcome<Self> {
        let plan = Arc::new(plan(plugin, policy));
        let program = Program::bind(&plan, &|_| Some(plugin.clone()))
            .or_next(|| "this is a bug in Skewless: please report it with the line above")?;
        let mut frame = Frame::new(&plan);
        frame.reset(rows);
        for (slot, column) in frame.slots.iter_mut().zip(columns) {
            slot.column = column.clone();
            slot.derive_status();
        }
        let worker = Worker::stoppable(engine, cancel.shared());
        Ok(Self { program, worker, frame, failed: 0 })
    }

    /// The median time of a call, nanoseconds.
    fn measure(&mut self, time: Duration, cancel: &CancelFlag) -> Outcome<f64> {
        // The first call makes the instance, and the image that it is reset to.
        self.execute();
        let begin = Instant::now();
        self.execute();
        let first = begin.elapsed().as_nanos().max(1);
        let calls = SAMPLE_NS_MIN.div_ceil(first).max(1);
        let mut samples = Vec::new();
        let begin = Instant::now();
        while samples.is_empty() || (begin.elapsed() < time && samples.len() < SAMPLES_MAX) {
            let sample = Instant::now();
            for _ in 0..calls {
                self.execute();
            }
            samples.push(sample.elapsed().as_nanos() as f64 / calls as f64);
            if cancel.is_cancelled() {
                return Err(Failure::Interrupted);
            }
        }
        samples.sort_by(f64::total_cmp);
        Ok(samples[samples.len() / 2])
    }

    /// One call as a server makes it, with the reset that it leaves for when the answer is on its way.
    fn execute(&mut self) {
        let (program, frame) = (&self.program, &mut self.frame);
        let reports = self.worker.execute(program, frame, Budget::UNBOUNDED, &mut |_, _| {});
        self.failed = reports.iter().map(|report| report.rows_failed).sum();
        self.worker.tidy();
    }
}

/// One step that takes the first slots and fills the others.
fn plan(plugin: &Plugin, policy: InstancePolicy) -> Plan {
    let signature = plugin.signature();
    let (inputs, outputs) = (signature.inputs.len(), signature.outputs.len());
    let fields = signature.inputs.iter().chain(&signature.outputs);
    Plan {
        slots: fields.map(|field| Slot { name: field.name.clone(), ty: field.ty }).collect(),
        steps: vec![Step {
            transform: signature.name.clone(),
            digest: *plugin.digest(),
            policy,
            inputs: (0..inputs).collect(),
            outputs: (0..outputs).map(|output| (output, inputs + output)).collect(),
            output_fields: signature.outputs.clone(),
        }],
        ..Plan::default()
    }
}

//! `skewless plugin test`: golden rows through the very file that will serve, and whether its answers depend on anything but
//! their rows.

use std::path::{Path, PathBuf};

use skewless_batch::Column;
use skewless_engine::certify::{CASES_MAX, Property};
use skewless_engine::golden::{self, Golden};
use skewless_engine::{Engine, Plugin, Worker};

use super::findings;
use super::golden_rows::{self, GOLDEN};
use crate::exit::{Failure, Outcome};
use crate::interrupt;
use crate::output::{complain, say};
use crate::settings::{self, Settings};
use crate::show;

/// Test a plugin: golden rows, and that each answer depends on its row alone
///
/// `cargo test` in the plugin's crate runs the source; this runs the .wasm file, by the engine that serves. Golden rows
/// are those that `skewless::golden!` reads: golden.jsonl in the crate's folder. They are run as one batch and then
/// each alone, and must come out bit for bit.
///
/// Then those rows, and others made for the plugin, are given in other orders, in other batches, again, to new and to
/// reused instances, and beside columns of nulls: each row must give what it gives alone. `skewless plugin certify` does
/// more of that. Ends with exit code 1 if anything differs.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  skewless plugin build plugins/basket && skewless plugin test plugins/basket"
)]
pub(crate) struct Args {
    /// Folder of the plugin's crate, with the .wasm file beside it, or the .wasm file
    #[arg(value_name = "FOLDER|FILE.wasm", default_value = ".")]
    plugin: PathBuf,
    /// Golden rows; golden.jsonl in the crate's folder when not given
    #[arg(long, value_name = "FILE")]
    golden: Option<PathBuf>,
    /// What the other rows are made from; another number makes others
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many batches of other rows to try
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(0..=i64::from(CASES_MAX)))]
    cases: u32,
    /// For a plugin that gives back what it takes: test vectors of the batch layout to run as well, sdk/vectors
    #[arg(long, value_name = "DIR")]
    vectors: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// The properties that are told; that no row is over a limit is told if one is.
const SHOWN: [Property; 7] = [
    Property::Deterministic,
    Property::RepeatedCalls,
    Property::ReusedInstance,
    Property::RowOrder,
    Property::BatchSplit,
    Property::Threads,
    Property::NullColumns,
];

/// Golden rows that differ and are shown; the rest are counted.
const DIFFERENCES_SHOWN: usize = 10;
/// Bytes of a value that is shown.
const SHOWN_BYTES_MAX: usize = 1_024;

pub(crate) fn run(args: &Args) -> Outcome {
    let config = settings::read(&args.settings, [])?;
    let (wasm, folder) = golden_rows::places(&args.plugin)?;
    let (engine, _ticker) = super::engine(&config)?;
    let plugin = super::load(&engine, &wasm, &config.cache_dir)?;
    if let Some(folder) = &args.vectors {
        super::vectors::run(folder, &engine, &plugin)?;
    }
    let golden = golden_rows::read(args.golden.as_deref(), &folder, &plugin)?;
    let different = match &golden {
        Some((path, golden)) => run_golden(path, golden, &engine, &plugin)?,
        None => {
            complain!("note: no golden rows: there is no {}", show::path(&folder.join(GOLDEN)));
            0
        }
    };
    let given: (usize, &[Column]) = match &golden {
        Some((_, golden)) => (golden.rows(), golden.inputs.as_slice()),
        None => (0, &[]),
    };
    let found = findings::examine(&plugin, args.seed, args.cases, given)?;
    findings::print(&found, &SHOWN)?;
    let broken = findings::broken(&found);
    match (different, broken.is_empty()) {
        (0, true) => Ok(()),
        (0, false) => {
            let message =
                format!("expected each answer to depend on its row alone, found broken: {broken}");
            Err(Failure::new(message, findings::next(&found)))
        }
        (different, good) => {
            let rows = show::count(different as u64, "golden row", "golden rows");
            let also = if good { String::new() } else { format!("; found broken: {broken}") };
            Err(Failure::new(
                format!("{rows} came out otherwise{also}"),
                "mend the plugin or the rows; `cargo test` in its crate runs the same rows natively, and tells panics",
            ))
        }
    }
}

/// Runs golden rows and shows those that differ; gives how many.
fn run_golden(path: &Path, golden: &Golden, engine: &Engine, plugin: &Plugin) -> Outcome<usize> {
    let shown = show::path(path);
    let cancel = interrupt::flag()?;
    let mut worker = Worker::stoppable(engine, cancel.shared());
    let differences = golden.check(&mut worker, plugin);
    if cancel.is_cancelled() {
        return Err(Failure::Interrupted);
    }
    let differences = differences?;
    let (rows, different) = (golden.rows(), differences.len());
    let result = if different == 0 { "pass" } else { "FAILED" };
    let rows = show::count(rows as u64, "row", "rows");
    let name = "golden_rows";
    say!("{name:<17}{result:<14}{rows} of {shown}, together and each alone")?;
    for difference in differences.iter().take(DIFFERENCES_SHOWN) {
        let line = golden.lines[difference.row];
        let alone = if difference.alone { " (alone, not among the others)" } else { "" };
        let fields = &plugin.signature().inputs;
        let row = golden::row(fields, &golden.inputs, difference.row, SHOWN_BYTES_MAX);
        say!("  {shown}:{line}: {}{alone}\n    {row}", difference.message)?;
    }
    if different > DIFFERENCES_SHOWN {
        say!("  and {} more", different - DIFFERENCES_SHOWN)?;
    }
    Ok(different)
}

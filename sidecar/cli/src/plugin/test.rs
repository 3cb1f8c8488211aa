//! `skewless plugin test`: golden rows through the very file that will serve, and whether its answers depend on anything but
//! their rows.

use std::path::{Path, PathBuf};

use anyhow::Context;
use skewless_batch::Column;
use skewless_build::Language;
use skewless_engine::certify::{CASES_MAX, Property};
use skewless_engine::golden::{self, Golden};
use skewless_engine::{Engine, Plugin, Worker};

use super::findings;
use crate::exit::{Failure, Next, Outcome};
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

/// Most bytes of a golden file, as it is read whole.
const GOLDEN_BYTES_MAX: u64 = 64 << 20;
/// Golden rows that differ and are shown; the rest are counted.
const DIFFERENCES_SHOWN: usize = 10;
/// Bytes of a value that is shown.
const SHOWN_BYTES_MAX: usize = 1_024;

pub(crate) fn run(args: &Args) -> Outcome {
    let config = settings::read(&args.settings, [])?;
    let (wasm, crate_dir) = places(&args.plugin)?;
    let (engine, _ticker) = super::engine(&config)?;
    let plugin = super::load(&engine, &wasm, &config.cache_dir)?;
    if let Some(folder) = &args.vectors {
        super::vectors::run(folder, &engine, &plugin)?;
    }
    let golden = match &args.golden {
        Some(path) => Some(read_golden(path, &plugin)?),
        None => {
            let path = crate_dir.join("golden.jsonl");
            if path.is_file() { Some(read_golden(&path, &plugin)?) } else { None }
        }
    };
    let different = match &golden {
        Some((path, golden)) => run_golden(path, golden, &engine, &plugin)?,
        None => {
            complain!(
                "note: no golden rows: there is no {}",
                show::path(&crate_dir.join("golden.jsonl"))
            );
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

/// The .wasm file and the folder of its crate: each is beside the other.
fn places(given: &Path) -> Outcome<(PathBuf, PathBuf)> {
    if !given.is_dir() {
        return Ok((given.to_owned(), given.with_extension("")));
    }
    // A folder such as `.` has its name only when it is written out.
    let whole = given.canonicalize().unwrap_or_else(|_| given.to_owned());
    let wasm = match (given.file_name(), whole.file_name()) {
        (Some(_), _) => given.with_extension("wasm"),
        (None, Some(_)) => whole.with_extension("wasm"),
        (None, None) => return Err(Failure::new("expected a plugin's folder, came /", FOLDER)),
    };
    if !wasm.is_file() {
        let message = format!("expected the plugin at {}, came no such file", show::path(&wasm));
        let next = if Language::of(given).is_some() {
            format!("build it: skewless plugin build {}", given.display())
        } else {
            FOLDER.to_owned()
        };
        return Err(Failure::new(message, next));
    }
    Ok((wasm, given.to_owned()))
}

const FOLDER: &str =
    "give the folder of a plugin's crate, such as plugins/basket, or its .wasm file";

fn read_golden(path: &Path, plugin: &Plugin) -> Outcome<(PathBuf, Golden)> {
    let shown = show::path(path);
    let bytes = path.metadata().map_or(0, |file| file.len());
    if bytes > GOLDEN_BYTES_MAX {
        let message = format!(
            "expected at most {GOLDEN_BYTES_MAX} bytes of golden rows in {shown}, came {bytes}"
        );
        return Err(Failure::new(message, "keep the rows that tell something"));
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("can't read {shown}"))
        .or_next(|| "give a file of golden rows, one JSON object a line")?;
    match Golden::read(&text, plugin.signature()) {
        Ok(golden) => Ok((path.to_owned(), golden)),
        Err(mistakes) => {
            for mistake in mistakes.iter().take(DIFFERENCES_SHOWN) {
                complain!("{shown}:{}: {}", mistake.line, mistake.message);
            }
            let many = show::count(mistakes.len() as u64, "line", "lines");
            Err(Failure::new(
                format!(
                    "expected golden rows of `{}` in {shown}, came {many} that are none",
                    plugin.signature().name
                ),
                "mend the lines; `skewless plugin inspect` shows the plugin's inputs and outputs",
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

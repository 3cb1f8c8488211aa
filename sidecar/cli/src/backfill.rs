//! `skewless backfill`: training data that equals what serving would have answered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skewless_offline::{BackfillOptions, BackfillReport, BackfillRequest};

use crate::exit::Outcome;
use crate::output::say;
use crate::progress::Bar;
use crate::repo::{self, Repo};
use crate::settings::Settings;
use crate::{data, interrupt, show};

/// Compute a service's features for every row of a spine
///
/// A spine is Parquet with the service's keys, an event_timestamp and its request values. Each row is answered as
/// the sidecar would have answered at that time; other columns (such as labels) are carried through. One output row a
/// spine row, in the same order. The output appears when it is whole and says in its footer what it was made of.
///
/// Plugins run under the limits of the sidecar (engine.memory_bytes_max and so on), so a row that reaches one fails
/// here as it does served: give the sidecar's configuration as `serve` gets it, with --config, SKEWLESS_CONFIG or
/// --set. Only time is generous, 30 s a call or ten times the sidecar's deadline, since whether a row is in time
/// depends on the machine.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Feature service
    service: String,
    /// Parquet file, folder or glob with the rows that want features; may be given several times
    #[arg(long, required = true)]
    spine: Vec<String>,
    /// Parquet file to write
    #[arg(long)]
    out: PathBuf,
    /// Folder of the feature repo [default: the configuration's repo_dir, which is . when it says nothing]
    #[arg(long)]
    repo: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Replace the output if it exists
    #[arg(long)]
    overwrite: bool,
    /// Add a column FEATURE__status beside each feature: 1 present, 2 null, 3 not found, 4 too old, 5 failed
    #[arg(long)]
    statuses: bool,
    /// Use what is known by now instead of what was known at each row's time; not what serving would have answered
    #[arg(long)]
    as_known_now: bool,
    /// The spine's column of times
    #[arg(long, value_name = "COLUMN", default_value = skewless_offline::EVENT_TIMESTAMP)]
    event_timestamp: String,
    /// Memory for sorts, chunks of rows and the writer, such as 512M; what doesn't fit is spilled to disk or cut
    /// smaller. Single rows are never cut, and plugin instances come on top
    #[arg(long, default_value = "1G", value_parser = crate::load::bytes)]
    memory: u64,
    /// Threads that run transforms; one a core when not given
    #[arg(long)]
    workers: Option<usize>,
}

const EXAMPLE: &str = "\
Example (in the folder that `skewless init` made):
  skewless backfill order_risk --spine data/orders.parquet --out training.parquet";

pub(crate) fn run(args: &Args) -> Outcome {
    let cancel = interrupt::flag()?;
    let misplaced = |failure| repo::misplaced(failure, "backfill", [args.service.as_str()]);
    let (repo, config) =
        Repo::open_with(&args.settings, args.repo.as_deref(), []).map_err(misplaced)?;
    let workers = args.workers.unwrap_or_else(cores);
    let engine = repo.engine_for_backfill(&config, workers)?;
    let program = repo.program(&engine, &args.service).map_err(misplaced)?;
    let started = Instant::now();
    let bar = Arc::new(Bar::new());
    let report = skewless_offline::backfill(&BackfillRequest {
        catalog: &repo.catalog,
        program: &program,
        engine: engine.engine(),
        repo: &repo.root,
        spine: args.spine.clone(),
        output: args.out.clone(),
        options: BackfillOptions {
            event_timestamp: args.event_timestamp.clone(),
            memory_bytes: args.memory,
            workers,
            statuses: args.statuses,
            as_known_now: args.as_known_now,
            overwrite: args.overwrite,
            ..BackfillOptions::default()
        },
        progress: bar.clone(),
        cancel,
    });
    bar.clear();
    let report = report.map_err(data::failure)?;
    print(&report, started.elapsed())?;
    say!("written to {}", args.out.display())
}

/// Threads for a job that may have the machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What a backfill did, for a person.
pub(crate) fn print(report: &BackfillReport, took: Duration) -> Outcome {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for a person"
    )]
    let rate = (report.rows as f64 / took.as_secs_f64().max(0.001)) as u64;
    say!(
        "{}, {}, {} of history, in {} ({} rows/s)",
        show::count(report.rows, "row", "rows"),
        show::count(report.features.len() as u64, "feature", "features"),
        show::count(report.history_rows, "row", "rows"),
        show::duration(took),
        show::thousands(rate),
    )?;
    let gaps =
        |count: u64, what: &str| (count > 0).then(|| format!("{} {what}", show::thousands(count)));
    for feature in &report.features {
        let gaps: Vec<String> = [
            gaps(feature.null_value, "null"),
            gaps(feature.not_found, "not found"),
            gaps(feature.outside_max_age, "too old"),
            gaps(feature.transform_failed, "failed"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !gaps.is_empty() {
            say!("  {}: {}", feature.name, gaps.join(", "))?;
        }
    }
    for failure in &report.failures {
        let row = failure.row.map_or_else(String::new, |row| format!(" at row {row}"));
        say!("  transform {}{row} failed: {}", failure.transform, failure.message)?;
    }
    Ok(())
}

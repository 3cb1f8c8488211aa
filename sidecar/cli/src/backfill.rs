//! `skewless backfill`: training data that equals what serving would have answered.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use skewless_offline::{BackfillOptions, BackfillReport, BackfillRequest, OfflineError};

use crate::exit::{Failure, Outcome};
use crate::output::{complain, say};
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
/// A value whose transform fails is null, as it is served; how many did, and of what, is told at the end. If a transform
/// failed for every row, the output is written and the exit code is 1. A row without a time finds no stored feature, and
/// one without a key none of that key; both are counted. Messages count rows from 0.
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
    if let Some(ending) = other_format(&args.out) {
        let out = args.out.display();
        complain!(
            "warning: {out} will hold Parquet, not {ending}: a name that ends in .parquet says so"
        );
    }
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
    let report = report.map_err(|error| failure(error, &args.event_timestamp))?;
    print(&report, started.elapsed())?;
    say!("written to {}", args.out.display())?;
    worth_having(&report)
}

/// How a file's name ends that promises another format than Parquet.
fn other_format(out: &Path) -> Option<&str> {
    const OTHERS: [&str; 12] = [
        "csv", "tsv", "txt", "json", "jsonl", "ndjson", "arrow", "feather", "avro", "orc", "xlsx",
        "gz",
    ];
    let ending = out.extension()?.to_str()?;
    OTHERS.iter().any(|other| other.eq_ignore_ascii_case(ending)).then_some(ending)
}

/// Refuses to call it done when a transform gave no value at all.
fn worth_having(report: &BackfillReport) -> Outcome {
    let nothing = report.transforms.iter().filter(|transform| transform.gave_nothing());
    let nothing: Vec<String> =
        nothing.map(|transform| format!("`{}`", transform.transform)).collect();
    if nothing.is_empty() {
        return Ok(());
    }
    let transforms = if nothing.len() == 1 { "transform" } else { "transforms" };
    Err(Failure::new(
        format!(
            "{transforms} {} failed and gave no row a value; the output has nulls there",
            nothing.join(", ")
        ),
        "see the messages above; `skewless plugin run` tries single rows",
    ))
}

/// What offline refused; of the spine's times it is known how they are made right.
fn failure(error: OfflineError, event_timestamp: &str) -> Failure {
    match times_made_right(&error, event_timestamp) {
        Some(next) => Failure::Failed { error: error.into(), next: Some(next) },
        None => data::failure(error),
    }
}

/// How to make timestamps of what a column of times has instead.
fn times_made_right(error: &OfflineError, name: &str) -> Option<String> {
    let numbers = |of: &str| {
        format!(
            "with pandas: df[\"{name}\"] = pd.to_datetime({of}, unit=\"s\", utc=True), or the unit that the numbers \
             are in: \"ms\", \"us\", \"ns\""
        )
    };
    match error {
        OfflineError::WrongType { column, found, .. } if column == name => {
            let is = |starts: &[&str]| starts.iter().any(|start| found.starts_with(start));
            Some(if is(&["utf8", "large_utf8", "dictionary<utf8"]) {
                format!(
                    "make timestamps of the texts, with pandas: df[\"{name}\"] = pd.to_datetime(df[\"{name}\"], \
                     utc=True), with polars: pl.col(\"{name}\").str.to_datetime(time_zone=\"UTC\")"
                )
            } else if is(&["int", "uint", "float", "decimal"]) {
                let made = numbers(&format!("df[\"{name}\"]"));
                format!(
                    "make timestamps of the numbers, {made}; with polars: pl.from_epoch(\"{name}\", \"s\")"
                )
            } else {
                format!(
                    "write `{name}` as a timestamp of any unit, or a date; name another column with --event-timestamp"
                )
            })
        }
        OfflineError::TimeOutOfRange { column, .. } if column == name => {
            let made = numbers(&format!("df[\"{name}\"].astype(\"int64\")"));
            Some(format!(
                "mend the row; if all times are far off, they were numbers of another unit: make them again, {made}"
            ))
        }
        _ => None,
    }
}

/// Threads for a job that may have the machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What a backfill did, for a person.
fn print(report: &BackfillReport, took: Duration) -> Outcome {
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
    print_failures(report)?;
    warn(report);
    Ok(())
}

/// Per transform for how many rows it failed, and each message once.
fn print_failures(report: &BackfillReport) -> Outcome {
    for transform in report.transforms.iter().filter(|transform| transform.failed > 0) {
        let failed = show::thousands(transform.failed);
        let rows = show::count(report.rows, "row", "rows");
        say!("  transform {} failed for {failed} of {rows}, counted from 0:", transform.transform)?;
        let mut kept = 0;
        let of_it = |failure: &&skewless_offline::TransformFailure| {
            failure.transform == transform.transform
        };
        for failure in report.failures.iter().filter(of_it) {
            kept += failure.count;
            let row =
                failure.row.map_or_else(|| "many rows".to_owned(), |row| format!("row {row}"));
            let more = match failure.count {
                1 => String::new(),
                count => format!(" and {} more", show::thousands(count - 1)),
            };
            say!("    {row}{more}: {}", failure.message)?;
        }
        let rest = transform.failed.saturating_sub(kept);
        if rest > 0 {
            let rows = show::count(rest, "row", "rows");
            say!("    and {rows} whose messages were not kept")?;
        }
    }
    Ok(())
}

/// What a person should know before training with the output.
fn warn(report: &BackfillReport) {
    let failed: u64 = report.features.iter().map(|feature| feature.transform_failed).sum();
    let values = report.rows * report.features.len() as u64;
    if failed > 0 {
        let (share, failed) = (share(failed, values), show::thousands(failed));
        let values = show::count(values, "value", "values");
        complain!("warning: {failed} of {values} failed ({share}) and are null in the output");
    }
    if report.rows_without_time > 0 {
        let rows = show::count(report.rows_without_time, "row has", "rows have");
        let column = &report.provenance.event_timestamp;
        complain!("warning: {rows} no time in `{column}`: no stored feature is found there");
    }
    for null in report.null_keys.iter().filter(|null| null.rows > 0) {
        let rows = show::count(null.rows, "row has", "rows have");
        let key = &null.key;
        complain!(
            "warning: {rows} no key in `{key}`: no stored feature of that key is found there"
        );
    }
}

/// A part of a whole that isn't 0, in percent.
fn share(part: u64, whole: u64) -> String {
    match u128::from(part) * 1_000 / u128::from(whole.max(1)) {
        0 => "less than 0.1 %".to_owned(),
        thousandths => format!("{}.{} %", thousandths / 10, thousandths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_in_percent_and_never_as_nothing() {
        assert_eq!(share(1, 1), "100.0 %");
        assert_eq!(share(997, 3_000), "33.2 %");
        assert_eq!(share(1, 1_000_000), "less than 0.1 %");
        assert_eq!(share(u64::MAX, u64::MAX), "100.0 %");
    }

    #[test]
    fn times_of_a_wrong_type_or_unit_say_how_they_are_made_right() {
        let wrong = |column: &str, found: &str| OfflineError::WrongType {
            file: "spine.parquet".to_owned(),
            column: column.to_owned(),
            expected: "timestamp".to_owned(),
            found: found.to_owned(),
        };
        let next = |error: &OfflineError| times_made_right(error, "at");
        for (found, part) in [
            ("utf8", "df[\"at\"] = pd.to_datetime(df[\"at\"], utc=True)"),
            ("utf8_view", "pl.col(\"at\").str.to_datetime"),
            ("dictionary<utf8>", "make timestamps of the texts"),
            ("int64", "pd.to_datetime(df[\"at\"], unit=\"s\", utc=True)"),
            ("float64", "pl.from_epoch(\"at\", \"s\")"),
            ("bool", "write `at` as a timestamp of any unit"),
        ] {
            let next = next(&wrong("at", found)).unwrap_or_default();
            assert!(next.contains(part), "{found}: {next}");
        }
        let far = OfflineError::TimeOutOfRange {
            file: "spine.parquet".to_owned(),
            column: "at".to_owned(),
            row: 0,
            found: "1700000000000 s".to_owned(),
        };
        let far = next(&far).unwrap_or_default();
        assert!(far.contains("numbers of another unit") && far.contains("\"ms\""), "{far}");
        assert_eq!(next(&wrong("amount", "utf8")), None, "no time");
    }
}

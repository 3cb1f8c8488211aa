//! `skewless demo`: the whole of Skewless on real data, with a proof at the end. A table of contents: each
//! step is one function, and each uses what the other subcommands use.

mod folders;
mod history;
mod live;
mod parity;
mod picture;
mod pictures;
mod prepare;
mod proof;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use skewless_offline::{BackfillOptions, BackfillRequest, LoadOptions, LoadRequest};
use skewless_server::Config;
use skewless_store::{CommitMode, Store, StoreConfig};

use crate::exit::{Failure, Outcome};
use crate::output::{complain, say};
use crate::progress::Bar;
use crate::repo::Repo;
use crate::{data, interrupt, show};

/// The service that is shown.
const SERVICE: &str = "departure_delay";
/// The time of the bulk-loaded store: the evening of the last day with weather. Asked as of today, every
/// row would be older than its view's TTL.
const END_OF_DATA: &str = "2013-12-30T23:30:00Z";

/// Show everything on a year of flights, and prove that serving equals backfill
///
/// Takes the 336,776 flights that left New York in 2013 with hourly weather: builds the plugins, loads the store,
/// starts a sidecar, asks it over gRPC, backfills the year, then plays the year to live sidecars and
/// compares every value of every flight with the backfill, bit by bit. Needs no network. May be
/// interrupted and run again.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  skewless demo --serve")]
pub(crate) struct Args {
    /// Folder for everything the demo makes
    #[arg(long, default_value = "out")]
    out: PathBuf,
    /// Leave a sidecar running at the end, for you to ask
    #[arg(long)]
    serve: bool,
    /// Compare only the flights of the first DAYS days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    days: Option<u16>,
    /// Folder with the demo's definitions and data; found when not given
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

/// Where everything is.
struct Places {
    repo: PathBuf,
    store: PathBuf,
    /// Stores and sockets of the proof; removed at the end.
    proof: PathBuf,
    output: PathBuf,
    picture: PathBuf,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let started = Instant::now();
    let out = std::path::absolute(&args.out)?;
    let places = Places {
        repo: out.join("flights"),
        store: out.join("store"),
        proof: out.join("proof"),
        output: out.join("departure_delay.parquet"),
        picture: out.join("departure_delay.svg"),
    };
    interrupt::flag()?;
    folders::check(&places.store)?;
    folders::check_unused(&places.store)?;
    folders::check(&places.proof)?;
    let _taken = folders::take(&out)?;
    step(1, "a feature repo with its plugins")?;
    prepare::repo(args.from.as_deref(), &places.repo)?;
    let repo = Repo::open(&places.repo, &Config::default())?;
    describe(&repo)?;
    step(2, "load: the newest row of every entity into the online store")?;
    load(&repo, &places.store)?;
    step(3, "serve: a vector over gRPC")?;
    live::ask_once(&repo, &places.store, end_of_data())?;
    step(4, "backfill: every flight of 2013 as of its scheduled departure")?;
    backfill(&repo, &places)?;
    step(5, "proof: the year played to live sidecars, every value compared")?;
    let proven = proof::run(&repo, &places, args.days)?;
    step(6, "a picture")?;
    pictures::draw(&places.output, &places.picture)?;
    finish(&proven, &places, started)?;
    if args.serve { live::serve(&repo, &places.store, end_of_data()) } else { Ok(()) }
}

fn step(number: usize, what: &str) -> Outcome {
    say!("\n[{number}/6] {what}")
}

fn end_of_data() -> i64 {
    crate::typed::timestamp_us(END_OF_DATA).unwrap_or(i64::MAX)
}

fn describe(repo: &Repo) -> Outcome {
    let plan = repo.catalog.plan(SERVICE)?;
    say!(
        "{}: {} views, {} transforms in WebAssembly; service {SERVICE} has {} features",
        repo.root.display(),
        repo.catalog.views.len(),
        plan.steps.len(),
        plan.outputs.len()
    )
}

fn load(repo: &Repo, folder: &Path) -> Outcome {
    let started = Instant::now();
    folders::clear(folder)?;
    let (store, _) = Store::open(folder, StoreConfig::default())?;
    let set = store.set_views(&repo.catalog)?;
    let spill_folder = crate::load::spill_folder(folder)?;
    let bar = Arc::new(Bar::new());
    let (mut rows, mut keys) = (0, 0);
    for view in repo.catalog.views.iter().filter(|view| view.source.is_some()) {
        let report = skewless_offline::load(&LoadRequest {
            catalog: &repo.catalog,
            view: &view.name,
            repo: &repo.root,
            store: &store,
            handle: set.by_name(&view.name)?,
            now_us: end_of_data(),
            mode: CommitMode::Replace,
            options: LoadOptions::default(),
            spill_folder: &spill_folder,
            progress: bar.clone(),
            cancel: interrupt::flag()?,
        })
        .map_err(data::failure)?;
        rows += report.read.rows_read;
        keys += report.commit.keys;
    }
    std::fs::remove_dir(&spill_folder).ok();
    bar.clear();
    store.flush()?;
    say!(
        "{} rows of history, {} entities, in {}",
        show::thousands(rows),
        show::thousands(keys),
        show::duration(started.elapsed())
    )
}

fn backfill(repo: &Repo, places: &Places) -> Outcome {
    let started = Instant::now();
    let workers = crate::backfill::cores();
    let engine = repo.engine_for_backfill(&Config::default(), workers)?;
    let program = repo.program(&engine, SERVICE)?;
    let bar = Arc::new(Bar::new());
    let report = skewless_offline::backfill(&BackfillRequest {
        catalog: &repo.catalog,
        program: &program,
        engine: engine.engine(),
        repo: &repo.root,
        spine: vec![prepare::spine(&places.repo).display().to_string()],
        output: places.output.clone(),
        options: BackfillOptions {
            workers,
            statuses: true,
            overwrite: true,
            ..BackfillOptions::default()
        },
        progress: bar.clone(),
        cancel: interrupt::flag()?,
    })
    .map_err(data::failure)?;
    bar.clear();
    say!(
        "{} rows, {} features, in {}",
        show::thousands(report.rows),
        report.features.len(),
        show::duration(started.elapsed())
    )
}

/// The summary; a mismatch fails the demo.
fn finish(proven: &proof::Proven, places: &Places, started: Instant) -> Outcome {
    let compared = &proven.compared;
    say!("\nrows        {}", show::thousands(compared.rows))?;
    say!("features    {}", proven.features)?;
    say!("compared    {} values over gRPC, bit by bit", show::thousands(compared.values))?;
    say!(
        "rate        {} rows/s in {} calls",
        show::thousands(proven.rows_per_s),
        show::thousands(compared.calls)
    )?;
    say!("mismatches  {}", show::thousands(compared.mismatches))?;
    say!("\ntraining data  {}", places.output.display())?;
    say!("picture        {}", places.picture.display())?;
    say!("feature repo   {}", places.repo.display())?;
    say!("online store   {}", places.store.display())?;
    say!("took           {:.0} s", started.elapsed().as_secs_f64())?;
    if compared.mismatches == 0 {
        return Ok(());
    }
    compared.told.iter().for_each(|mismatch| complain!("mismatch: {mismatch}"));
    let message = format!("{} of {} values differ", compared.mismatches, compared.values);
    Err(Failure::new(message, "this is a bug in Skewless: please report it with the lines above"))
}

//! `skewless feast copy`: the rows of a Feast online store into ours. What was read is either written or refused with a
//! reason, and as much was read as that store says it has.
//!
//! A row keeps its times, so copying again changes nothing: what is there already is a duplicate, what is newer stays.

mod key;
mod murmur;
mod redis_hashes;
mod refusal;
mod rows;
mod sink;
mod source_count;
mod sqlite;

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use skewless_offline::CancelFlag;
use skewless_server::Override;

use self::redis_hashes::{Layouts, Redis};
use self::refusal::{Refusal, Refused};
use self::rows::{Batch, FeastRow, Wanted};
use self::sink::{Sink, Written};
use self::source_count::SourceCount;
use self::sqlite::Sqlite;
use super::names_file::{self, Names, ViewNames};
use crate::exit::{Failure, Next, Outcome};
use crate::load::remote;
use crate::output::{complain, say};
use crate::progress::Bar;
use crate::repo::Repo;
use crate::settings::Settings;
use crate::{interrupt, show};

/// Copy the rows of a Feast online store into the online store
///
/// Reads the newest row of every entity from Feast's SQLite or Redis, and writes it with its own times into a running
/// sidecar (--at), or else into the store of the sidecar's configuration (--store, --config, SKEWLESS_CONFIG, --set), as `load`
/// does. Views are found by name; an imported repo knows Feast's names (feast.json).
///
/// Every row that was read is counted as written or as refused, by reason. Interrupted or broken off, run it again: a row that
/// is there already isn't written twice, and a newer one stays. Feast may go on serving and writing; what it writes after its
/// row was read is copied by the next run.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  skewless feast copy --from sqlite://feature_repo/data/online_store.db --at 127.0.0.1:7667\n  \
                  skewless feast copy --from redis://127.0.0.1:6379/0 --repo features --store features/.skewless/store"
)]
pub(crate) struct Args {
    /// Views to copy; all when not given
    views: Vec<String>,
    /// Feast's online store: sqlite://PATH, or redis://HOST:PORT/DB (user:password@ before the host, if it asks for them;
    /// in the environment it is in no list of processes)
    #[arg(long, value_name = "URL", env = "SKEWLESS_FEAST_FROM", hide_env_values = true)]
    from: String,
    /// Feast project [default: that of the import, in feast.json]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Time zone of the machine on which Feast wrote a SQLite store, such as Europe/Berlin: its times are off by that
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    zone: TimeZone,
    /// Folder of the feature repo [default: the configuration's repo_dir, which is . when it says nothing]
    #[arg(long)]
    repo: Option<PathBuf>,
    /// Folder of the online store, made if missing [default: the configuration's store_dir, which is .skewless/store
    /// when it says nothing]
    #[arg(long)]
    store: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Copy into the sidecar that listens here, host:port or unix:PATH, instead of a folder
    #[arg(long, visible_alias = "to", value_name = "ADDRESS", conflicts_with = "store")]
    at: Option<String>,
    /// End well although rows were refused; they are counted all the same
    #[arg(long)]
    skip_bad_rows: bool,
}

fn zone(word: &str) -> Result<TimeZone, String> {
    let known = TimeZone::get(word);
    known.map_err(|error| {
        format!("expected a time zone such as Europe/Berlin, came `{word}` ({error})")
    })
}

/// Where Feast's rows are.
#[derive(PartialEq, Debug)]
enum Origin {
    Sqlite(PathBuf),
    Redis(String),
}

pub(crate) fn run(args: &Args) -> Outcome {
    let cancel = interrupt::flag()?;
    let from = from(&args.from)?;
    let store = args.store.as_ref().map(|dir| Override::path("--store", "store_dir", dir));
    let (repo, config) = Repo::open_with(&args.settings, args.repo.as_deref(), store)?;
    let names = names_file::read(&repo.root)?;
    let project = project(args, names.as_ref())?;
    let wanted = wanted(args, &repo, names.as_ref())?;
    let views: Vec<&str> = wanted.iter().map(|wanted| wanted.view.name.as_str()).collect();
    let in_redis = matches!(from, Origin::Redis(_));
    let layouts = Layouts::of(if in_redis { wanted.as_slice() } else { &[] })?;
    let mut feast = match from {
        Origin::Sqlite(path) => Feast::Sqlite(Sqlite::open(&path, &project, args.zone.clone())?),
        Origin::Redis(url) => Feast::Redis(Box::new(Redis::open(&url, &project)?)),
    };
    let sink = match &args.at {
        Some(address) => {
            remote::check(&repo.catalog, &views, address)?;
            Sink::sidecar(address)?
        }
        None => Sink::folder(&repo, &config)?,
    };
    let job = Job { sink: sink.into(), bar: Bar::new(), cancel };
    let (totals, mut asides) = copied(&mut feast, &wanted, &layouts, &job)?;
    job.sink.borrow().finish()?;
    job.bar.clear();
    asides.extend(totals.source.iter().filter_map(SourceCount::aside));
    tell(&wanted, &totals, &asides)?;
    judge(&project, &totals, args.skip_bad_rows)
}

fn from(url: &str) -> Outcome<Origin> {
    match url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => Ok(Origin::Sqlite(PathBuf::from(path))),
        Some(("redis", rest)) if !rest.is_empty() => Ok(Origin::Redis(url.to_owned())),
        Some(("rediss", _)) => Err(Failure::new(
            "expected redis://, came rediss://: this command doesn't speak TLS",
            "copy on the machine of the Redis, or through a tunnel such as stunnel or ssh -L",
        )),
        // Not what came: it may hold a password.
        scheme => {
            let came =
                scheme.map_or("no scheme".to_owned(), |(scheme, _)| format!("`{scheme}://`"));
            Err(Failure::new(
                format!("expected sqlite://PATH or redis://HOST:PORT/DB, came {came}"),
                "rows of other online stores can be written to Skewless by Feast itself, or by `skewless load` from their history",
            ))
        }
    }
}

fn project(args: &Args, names: Option<&Names>) -> Outcome<String> {
    let known = args.project.clone().or_else(|| names.map(|names| names.project.clone()));
    known.ok_or_else(|| {
        let message = format!(
            "expected the name of the Feast project, came none, as the repo has no {}",
            names_file::FILE
        );
        Failure::new(message, "give it with --project, as `project:` in feature_store.yaml has it")
    })
}

/// The views to copy, with Feast's names.
fn wanted<'r>(args: &Args, repo: &'r Repo, names: Option<&Names>) -> Outcome<Vec<Wanted<'r>>> {
    let catalog = &repo.catalog;
    let all: Vec<&str> = catalog.views.iter().map(|view| view.name.as_str()).collect();
    let views = match args.views.is_empty() {
        true => all.clone(),
        false => args.views.iter().map(String::as_str).collect(),
    };
    let mut wanted = Vec::new();
    for name in views {
        let view = catalog.find_view(name).or_next(|| show::all("the repo", "views", &all))?;
        if wanted.iter().any(|known: &Wanted<'_>| known.view.name == view.name) {
            continue;
        }
        let entity = catalog.entities.iter().find(|entity| entity.name == view.entity);
        let join_keys = entity.map_or(&[][..], |entity| entity.join_keys.as_slice());
        let known = names.and_then(|names| names.views.get(name));
        wanted.push(Wanted::new(view, &ViewNames::of(view, join_keys, known)));
    }
    if wanted.is_empty() {
        return Err(Failure::new(
            "the repo has no views",
            "declare those whose rows are to be copied",
        ));
    }
    Ok(wanted)
}

/// An open store of Feast's.
enum Feast {
    Sqlite(Sqlite),
    Redis(Box<Redis>),
}

/// What all copying shares.
struct Job {
    sink: std::cell::RefCell<Sink>,
    bar: Bar,
    cancel: CancelFlag,
}

impl Job {
    /// Shows how far it is, and ends if the person wants that.
    fn progress(&self, what: &str, done: u64, total: u64) -> Outcome {
        if self.cancel.is_cancelled() {
            complain!("what was copied until now stays; run the same again for the rest");
            return Err(Failure::Interrupted);
        }
        self.bar.show(&format!("copying {what}"), done, total);
        Ok(())
    }
}

/// What became of the rows of one view.
#[derive(Default, Debug)]
struct ViewTotals {
    read: u64,
    written: Written,
    refused: Refused,
    /// Feast's store has a place for it.
    there: bool,
}

/// What became of all rows.
#[derive(Default, Debug)]
struct Totals {
    /// Parallel to the views.
    views: Vec<ViewTotals>,
    /// What Feast's store says that it has.
    source: Vec<SourceCount>,
}

impl Totals {
    fn read(&self) -> u64 {
        self.views.iter().map(|view| view.read).sum()
    }
}

/// Copies rows of one view.
struct Copier<'j, 'c> {
    wanted: &'j Wanted<'c>,
    job: &'j Job,
    batch: Batch,
    totals: ViewTotals,
}

impl<'j, 'c> Copier<'j, 'c> {
    fn new(wanted: &'j Wanted<'c>, job: &'j Job) -> Self {
        Self { wanted, job, batch: Batch::new(wanted.view), totals: ViewTotals::default() }
    }

    /// Takes a row, and writes what waits if that is enough.
    fn take(&mut self, row: &FeastRow<'_>) -> Outcome {
        self.totals.read += 1;
        self.totals.there = true;
        if let Err(refusal) = self.batch.push(self.wanted, row) {
            self.totals.refused.add(refusal);
        }
        if self.batch.is_full() { self.flush() } else { Ok(()) }
    }

    /// Counts a row that can't be taken.
    fn refuse(&mut self, refusal: Refusal) {
        self.totals.read += 1;
        self.totals.there = true;
        self.totals.refused.add(refusal);
    }

    /// Writes what waits.
    fn flush(&mut self) -> Outcome {
        if self.batch.len() == 0 {
            return Ok(());
        }
        let mut written = self.job.sink.borrow_mut().write(self.wanted.view, &self.batch.rows)?;
        std::mem::take(&mut written.refused)
            .into_iter()
            .for_each(|refusal| self.totals.refused.add(refusal));
        self.totals.written.add(written);
        self.batch.clear();
        Ok(())
    }
}

/// Copies everything; gives the counts, and what should be known besides.
fn copied(
    feast: &mut Feast,
    wanted: &[Wanted<'_>],
    layouts: &Layouts,
    job: &Job,
) -> Outcome<(Totals, Vec<String>)> {
    let mut copiers: Vec<Copier<'_, '_>> =
        wanted.iter().map(|wanted| Copier::new(wanted, job)).collect();
    let totals = |copiers: Vec<Copier<'_, '_>>, source| {
        let views = copiers.into_iter().map(|copier| copier.totals).collect();
        Totals { views, source }
    };
    match feast {
        Feast::Sqlite(sqlite) => {
            let mut source = Vec::new();
            for copier in &mut copiers {
                let count = sqlite.copy(copier.wanted, copier)?;
                copier.totals.there = count.is_some();
                source.extend(count);
            }
            Ok((totals(copiers, source), of_others(sqlite.others(wanted)?)))
        }
        Feast::Redis(redis) => {
            let (others, count) = redis.copy(layouts, &mut copiers)?;
            let totals = totals(copiers, vec![count]);
            let asides = others.lines(&totals);
            Ok((totals, [asides, of_others(others.views)].concat()))
        }
    }
}

/// Rows of views that weren't asked for.
fn of_others(views: BTreeMap<String, u64>) -> Vec<String> {
    let line = |(view, rows): (String, u64)| {
        let rows = show::count(rows, "row", "rows");
        format!("not copied: {rows} of Feast's view `{view}`, which isn't among the views to copy")
    };
    views.into_iter().filter(|(_, rows)| *rows > 0).map(line).collect()
}

fn tell(wanted: &[Wanted<'_>], totals: &Totals, asides: &[String]) -> Outcome {
    for (wanted, of) in wanted.iter().zip(&totals.views) {
        let name = &wanted.view.name;
        if !of.there {
            say!("{name}: Feast's store has no rows of `{}`", wanted.feast)?;
            continue;
        }
        let Written { applied, stale, duplicate, pending, .. } = of.written;
        say!(
            "{name}: {} read, {} written ({} newest now, {} older than what is there, {} there already, {} due later), \
             {} refused",
            show::count(of.read, "row", "rows"),
            show::thousands(of.written.taken()),
            show::thousands(applied),
            show::thousands(stale),
            show::thousands(duplicate),
            show::thousands(pending),
            show::thousands(of.refused.total()),
        )?;
        for (reason, count, detail) in of.refused.iter() {
            let first =
                if detail.is_empty() { String::new() } else { format!("; the first: {detail}") };
            say!(
                "{name}: {} refused: {}{first}",
                show::count(count, "row", "rows"),
                reason.name()
            )?;
        }
    }
    asides.iter().for_each(|line| complain!("{line}"));
    Ok(())
}

/// How it ends: well only if every row that was read is where it belongs.
fn judge(project: &str, totals: &Totals, skip_bad_rows: bool) -> Outcome {
    for of in &totals.views {
        let (read, counted) = (of.read, of.written.taken() + of.refused.total());
        if read != counted {
            let message = format!(
                "expected {read} rows written or refused, as many as were read, came {counted}"
            );
            return Err(Failure::new(
                message,
                "copy again; if it is the same, this is a bug in Skewless: please report it",
            ));
        }
    }
    totals.source.iter().try_for_each(SourceCount::judge)?;
    if totals.views.iter().all(|of| !of.there) {
        let message = format!(
            "nothing was copied: Feast's store has no rows of project `{project}` for any of the views"
        );
        return Err(Failure::new(
            message,
            "see that it is the project's store, that its views are materialized, and --project",
        ));
    }
    let reasons = totals.views.iter().flat_map(|of| of.refused.iter());
    let Some((first, ..)) = reasons.min_by_key(|(reason, ..)| *reason) else { return Ok(()) };
    if skip_bad_rows {
        return Ok(());
    }
    let refused: u64 = totals.views.iter().map(|of| of.refused.total()).sum();
    let message = format!(
        "{} refused, as counted above; all others were copied",
        show::count(refused, "row was", "rows were")
    );
    Err(Failure::new(message, format!("{}; or leave them with --skip-bad-rows", first.next())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_file_or_a_redis() {
        let read = |url| from(url).map_err(|failure| format!("{failure:?}"));
        assert_eq!(read("sqlite://a/b.db"), Ok(Origin::Sqlite("a/b.db".into())));
        assert_eq!(read("sqlite:///a/b.db"), Ok(Origin::Sqlite("/a/b.db".into())));
        assert_eq!(read("redis://h:1/2"), Ok(Origin::Redis("redis://h:1/2".to_owned())));
        for (url, part) in [
            ("rediss://u:secret@h/1", "doesn't speak TLS"),
            ("postgresql://u:secret@h/1", "came `postgresql://`"),
            ("online.db", "came no scheme"),
            ("sqlite://", "came `sqlite://`"),
        ] {
            let said = read(url).err().unwrap_or_default();
            assert!(said.contains(part) && !said.contains("secret"), "{url}: {said}");
        }
    }

    #[test]
    fn rows_that_were_lost_or_refused_end_it_badly() {
        let view = |read, applied, refused: &[refusal::Reason]| {
            let mut of = ViewTotals { read, there: true, ..ViewTotals::default() };
            of.written.applied = applied;
            refused.iter().for_each(|reason| of.refused.add((*reason).into()));
            of
        };
        let judged = |views: Vec<ViewTotals>, skip| {
            let totals = Totals { views, source: Vec::new() };
            judge("shop", &totals, skip).map_err(|failure| format!("{failure:?}"))
        };
        use refusal::Reason::{KeyVersion, Time};
        assert_eq!(judged(vec![view(2, 2, &[])], false), Ok(()));
        assert_eq!(judged(vec![view(3, 2, &[Time])], true), Ok(()));
        let refused =
            judged(vec![view(4, 2, &[Time, KeyVersion])], false).err().unwrap_or_default();
        assert!(
            refused.contains("2 rows were refused")
                && refused.contains("entity_key_serialization_version: 3"),
            "{refused}"
        );
        for skip in [false, true] {
            let lost =
                judged(vec![view(2, 2, &[]), view(3, 2, &[])], skip).err().unwrap_or_default();
            assert!(lost.contains("expected 3 rows written or refused"), "{lost}");
        }
        let none = judged(vec![ViewTotals::default()], false).err().unwrap_or_default();
        assert!(none.contains("nothing was copied"), "{none}");
        let source = vec![SourceCount::exact("rows of Feast's view `v`".to_owned(), 3, 3, 2)];
        let short = judge("shop", &Totals { views: vec![view(2, 2, &[])], source }, true);
        let short = short.map_err(|failure| format!("{failure:?}")).err().unwrap_or_default();
        assert!(short.contains("expected 3 rows of Feast's view `v`"), "{short}");
    }
}

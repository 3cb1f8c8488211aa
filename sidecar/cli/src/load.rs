//! `skewless load`: a view's history from Parquet into an online store, on disk or of a running sidecar.

pub(crate) mod remote;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skewless_offline::{
    BadRows, CancelFlag, HistoryRead, HistoryRequest, LoadOptions, LoadRequest,
};
use skewless_server::{Config, Override};
use skewless_store::{CommitMode, SchemaChange, Store, StoreError};

use crate::exit::{Failure, Next, Outcome};
use crate::output::{complain, say};
use crate::progress::Bar;
use crate::repo::{self, Repo};
use crate::settings::Settings;
use crate::{data, interrupt, show};

/// Load views' history into the online store
///
/// Reads each view's Parquet source and puts the newest row of every entity into the store. A view's rows are
/// visible all at once when it is whole; killed before, the old rows stay.
///
/// The store and its limits are those of the sidecar's configuration: give it as `serve` gets it, with --config,
/// SKEWLESS_CONFIG or --set. What doesn't fit --memory is sorted on the store's disk, in a folder beside it that is
/// removed at the end.
///
/// Only one process can hold a store: with --at the rows go to the sidecar that has it open, which goes on
/// serving the old rows until the new ones are whole. A view that it serves in another version isn't loaded.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  skewless load --repo my-features\n  skewless load --at 127.0.0.1:7667 customer_orders"
)]
pub(crate) struct Args {
    /// Views to load; all that have a source when not given
    views: Vec<String>,
    /// Folder of the feature repo [default: the configuration's repo_dir, which is . when it says nothing]
    #[arg(long)]
    repo: Option<PathBuf>,
    /// Folder of the online store, made if missing [default: the configuration's store_dir, which is .skewless/store
    /// when it says nothing]
    #[arg(long)]
    store: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Load into the sidecar that listens here, host:port or unix:PATH, instead of a folder
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["store", "now"])]
    at: Option<String>,
    /// As of when: rows that are due later wait in the store; now when not given
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<i64>,
    /// Drop rows that are in the store but not in the files; otherwise the newest of both wins
    #[arg(long)]
    replace: bool,
    /// Leave rows out that can't be read as declared, and count them, instead of refusing the file
    #[arg(long)]
    skip_bad_rows: bool,
    /// Memory for reading and sorting, such as 512M; more spills to disk
    #[arg(long, default_value = "1G", value_parser = bytes)]
    memory: u64,
}

/// An instant on the command line.
pub(crate) fn time(word: &str) -> Result<i64, String> {
    let us = crate::typed::timestamp_us(word);
    us.ok_or_else(|| format!("expected a time such as 2013-07-04T12:00:00Z, came `{word}`"))
}

/// A number of bytes on the command line, with K, M or G for powers of 1024.
pub(crate) fn bytes(word: &str) -> Result<u64, String> {
    let digits = word.trim_end_matches(['K', 'M', 'G']);
    let power = match &word[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => 64,
    };
    let number = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1_u64.checked_shl(power)?));
    number.ok_or_else(|| format!("expected bytes such as 512M or 2G, came `{word}`"))
}

pub(crate) fn run(args: &Args) -> Outcome {
    let cancel = interrupt::flag()?;
    let store = args.store.as_ref().map(|dir| Override::path("--store", "store_dir", dir));
    let misplaced = |failure| {
        let views = args.views.iter().map(String::as_str);
        repo::misplaced(failure, "load", views)
    };
    let (repo, config) =
        Repo::open_with(&args.settings, args.repo.as_deref(), store).map_err(misplaced)?;
    let catalog = &repo.catalog;
    let views: Vec<&str> = if args.views.is_empty() {
        catalog
            .views
            .iter()
            .filter(|view| view.source.is_some())
            .map(|view| view.name.as_str())
            .collect()
    } else {
        args.views.iter().map(String::as_str).collect()
    };
    for view in &views {
        let found = catalog.find_view(view).or_next(|| {
            let names: Vec<_> = catalog.views.iter().map(|view| view.name.as_str()).collect();
            show::all("the repo", "views", &names)
        });
        found.map_err(misplaced)?;
    }
    if views.is_empty() {
        return say!(
            "no view has a source, so nothing was loaded: give one a `source`, or ingest its rows"
        );
    }
    match &args.at {
        Some(address) => into_sidecar(args, &repo, &views, address, &cancel),
        None => into_folder(args, &repo, &config, &views, &cancel),
    }
}

fn into_folder(
    args: &Args,
    repo: &Repo,
    config: &Config,
    views: &[&str],
    cancel: &CancelFlag,
) -> Outcome {
    let now_us = args.now.unwrap_or_else(|| skewless_server::Clock::system().now_us());
    let opened = Store::open(&config.store_dir, config.store.clone());
    let (store, _) = opened.map_err(|error| match error {
        StoreError::Locked { .. } => Failure::new(
            error,
            "load into the sidecar that has it open with --at, or give another folder with --store",
        ),
        // What else can be wrong, the store itself says what to do about.
        error => error.into(),
    })?;
    let set = store.set_views(&repo.catalog)?;
    for change in set.changes() {
        if let SchemaChange::Emptied { view, reason } = change {
            complain!("warning: {view}: {reason}; its stored rows no longer fit and were dropped");
        }
    }
    let spill_folder = spill_folder(&config.store_dir)?;
    let bar = Arc::new(Bar::new());
    // A reader that has gone doesn't leave views unloaded: it is told at the end.
    let mut said = Ok(());
    let loaded = views.iter().try_for_each(|view| -> Outcome {
        let report = skewless_offline::load(&LoadRequest {
            catalog: &repo.catalog,
            view,
            repo: &repo.root,
            store: &store,
            handle: set.by_name(view)?,
            now_us,
            mode: if args.replace { CommitMode::Replace } else { CommitMode::Merge },
            options: args.options(),
            spill_folder: &spill_folder,
            progress: bar.clone(),
            cancel: cancel.clone(),
        });
        let report = report.map_err(data::refused_load)?;
        bar.clear();
        if said.is_ok() {
            said = print(view, &report.read, report.commit.keys, report.commit.pending);
        }
        Ok(())
    });
    // Empty, as every sort removes what it spilled, unless one was killed: that is for the view's next load.
    std::fs::remove_dir(&spill_folder).ok();
    loaded?;
    store.flush()?;
    said
}

/// Where a load into the store spills: beside it, as the folder itself is RocksDB's.
pub(crate) fn spill_folder(store: &Path) -> Outcome<PathBuf> {
    let store = std::path::absolute(store)?;
    let mut name = OsString::from(".");
    name.push(store.file_name().unwrap_or(OsStr::new("store")));
    name.push(".load");
    Ok(store.with_file_name(name))
}

fn into_sidecar(
    args: &Args,
    repo: &Repo,
    views: &[&str],
    address: &str,
    cancel: &CancelFlag,
) -> Outcome {
    remote::check(&repo.catalog, views, address)?;
    let spill = tempfile::tempdir()?;
    let bar = Arc::new(Bar::new());
    let mut said = Ok(());
    for view in views {
        let history = HistoryRequest {
            catalog: &repo.catalog,
            view,
            repo: &repo.root,
            options: args.options(),
            spill_folder: spill.path(),
            progress: bar.clone(),
            cancel: cancel.clone(),
        };
        let (read, answer) = remote::load(&history, address, args.replace)?;
        bar.clear();
        if said.is_ok() {
            said = print(view, &read, answer.keys, answer.pending);
        }
    }
    said
}

impl Args {
    fn options(&self) -> LoadOptions {
        LoadOptions {
            memory_bytes: self.memory,
            bad_rows: if self.skip_bad_rows { BadRows::Skip } else { BadRows::Refuse },
        }
    }
}

fn print(view: &str, read: &HistoryRead, keys: u64, pending: u64) -> Outcome {
    say!(
        "{view}: {} read, {}, {}",
        show::count(read.rows_read, "row", "rows"),
        show::count(keys, "key", "keys"),
        show::count(pending, "row waits for its time", "rows wait for their time"),
    )?;
    for (reason, count) in &read.rejects {
        say!("{view}: {} left out: {}", show::count(*count, "row", "rows"), reason.name())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_binary_units() {
        assert_eq!(bytes("64M"), Ok(64 << 20));
        assert_eq!(bytes("2G"), Ok(2 << 30));
        assert_eq!(bytes("10"), Ok(10));
        for wrong in ["", "M", "1T", "1GG", "-1", "99999999999G"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}

//! `skewless diff`: what changes between two versions of a feature repo, and what must be done about it.

use std::path::PathBuf;

use crate::exit::Outcome;
use crate::output::say;
use crate::repo::Repo;
use crate::settings::Settings;

/// Show what differs between two versions of a feature repo
///
/// By meaning, not by text: comments, order and formatting are no difference. Changes are grouped by what they
/// ask for, the worst first: a change at callers, a load, a backfill of the services named, or nothing.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example (the last commit against the working folder):\n  git worktree add /tmp/before HEAD && skewless diff /tmp/before/my-features my-features"
)]
pub(crate) struct Args {
    /// Folder of the old version
    old: PathBuf,
    /// Folder of the new version
    new: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let (new, config) = Repo::open_with(&args.settings, Some(&args.new), [])?;
    let old = Repo::open(&args.old, &config)?;
    let changes = skewless_catalog::diff(&old.catalog, &new.catalog);
    if changes.is_empty() {
        return say!("no difference");
    }
    say!("{}", skewless_catalog::report(&changes).trim_end())
}

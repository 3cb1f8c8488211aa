//! `skewless salvage`: a store whose log is damaged, cut at the damage so that it opens again; only when asked
//! twice. Not a repair: what was acknowledged after the damage is gone from the store.

use std::path::{Path, PathBuf};

use skewless_server::{Config, Override};
use skewless_store::{SalvageReport, Store, StoreError};

use crate::exit::{Failure, Next, Outcome};
use crate::output::say;
use crate::settings::Settings;
use crate::show;

/// Cut a store's damaged log at the damage, so that the store opens again
///
/// For a store that `serve` and `load` refuse because a log is damaged. Everything acknowledged before the damage is
/// kept; EVERYTHING AFTER IT IS LOST and must be sent again. Without --yes it only looks and says what it would do. The
/// logs are copied first, and the offsets of the sources are printed: replay them from there.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example (look first, then salvage):\n  skewless salvage --store .skewless/store\n  skewless salvage --store .skewless/store --yes"
)]
pub(crate) struct Args {
    /// Folder of the online store [default: the configuration's store_dir, which is .skewless/store when it says nothing]
    #[arg(long)]
    store: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Really cut the log: what was written after the damage is lost
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let flag = args.store.as_ref().map(|store| Override::path("--store", "store_dir", store));
    let config = args.settings.read(flag)?;
    let dir = config.store_dir.as_path();
    let Some(damage) = damage(dir, &config)? else {
        return say!("nothing to salvage: the store in {} opens as it is", dir.display());
    };
    if !args.yes {
        return Err(Failure::new(
            format!(
                "{damage}\nnothing was changed; a salvage loses everything that was acknowledged after the damage"
            ),
            format!(
                "run `skewless salvage --store {} --yes`, and send again what it says",
                dir.display()
            ),
        ));
    }
    print(dir, &Store::salvage(dir, config.store)?)
}

/// Why the store doesn't open, if a salvage may mend that; `None` if it opens.
fn damage(dir: &Path, config: &Config) -> Outcome<Option<StoreError>> {
    // Opening a folder without a store would make one.
    let mut entries = std::fs::read_dir(dir)
        .map_err(|error| anyhow::anyhow!("expected a store in {}, came: {error}", dir.display()))
        .or_next(|| "give the store's folder with --store")?;
    if entries.next().is_none() {
        return Err(Failure::new(
            format!("expected a store in {}, came an empty folder", dir.display()),
            "give the store's folder with --store",
        ));
    }
    match Store::open(dir, config.store.clone()) {
        Ok(_) => Ok(None),
        Err(error) if error.is_salvageable() => Ok(Some(error)),
        Err(error @ StoreError::Locked { .. }) => Err(Failure::new(
            error,
            "a store that is in use is not damaged: stop its sidecar first",
        )),
        Err(error) => Err(error.into()),
    }
}

fn print(dir: &Path, report: &SalvageReport) -> Outcome {
    say!(
        "{} opens again, with all that was written up to sequence {}; times it was salvaged: {}",
        dir.display(),
        show::thousands(report.sequence),
        report.salvages,
    )?;
    say!("the logs as they were, in {}:", report.copies.display())?;
    for (log, bytes) in &report.logs {
        say!("  {log}: {} bytes", show::thousands(*bytes))?;
    }
    if report.offsets.is_empty() {
        return say!(
            "no source had told an offset: load the views again, and send again what came since"
        );
    }
    say!("applied of each source up to this offset; send again what came after it:")?;
    for (source, offset) in &report.offsets {
        say!("  {source}: {offset}")?;
    }
    Ok(())
}

//! `skewless serve`: the sidecar, as `skewless-sidecar` is it, in the one command that has everything.

use std::path::Path;

use skewless_server::StartError;
use skewless_server::shell::Flags;
use skewless_store::StoreError;

use crate::exit::{Failure, Outcome};
use crate::{repo, settings};

/// Serve features over gRPC until SIGTERM or Ctrl-C
///
/// Reads the feature repo, compiles its plugins, opens the store and answers. SIGHUP reads definitions and
/// plugins again; a bad new version is refused whole and the old one goes on. Settings come from --config, then
/// from the environment (SKEWLESS__LISTEN__TCP=...), then from the flags here.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  skewless serve my-features --unix /run/skewless.sock --set limits.rows_max=1000"
)]
pub(crate) struct Args {
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn run(args: &Args) -> Outcome {
    args.flags.log();
    let config = settings::advised(args.flags.read())?;
    let dir = config.repo_dir.clone();
    match skewless_server::run(config) {
        Ok(_) => Ok(()),
        Err(error) => Err(failure(error, &dir)),
    }
}

/// Why nothing is served, with what to do; `dir` is the feature repo's folder.
pub(crate) fn failure(error: StartError, dir: &Path) -> Failure {
    match error {
        StartError::Repo(error) => repo::refused(error, dir),
        StartError::Bind { address, key, error } => {
            let taken = error.kind() == std::io::ErrorKind::AddrInUse;
            let next = another_address(key, taken);
            Failure::new(StartError::Bind { address, key, error }, next)
        }
        error @ StartError::Store(StoreError::Locked { .. }) => {
            Failure::new(error, "stop the process that has the store open, or give another --store")
        }
        // What else can be wrong with a store, its own message says what to do about.
        error => error.into(),
    }
}

/// What to do about an address that can't be had, and may be another's.
fn another_address(key: &str, taken: bool) -> String {
    let stop = if taken { ", or stop what has it, perhaps another sidecar" } else { "" };
    match key.strip_prefix("listen.") {
        Some(flag) => {
            format!("give another address with --{flag} ({key} in the configuration){stop}")
        }
        None => format!("give another address with {key}{stop}"),
    }
}

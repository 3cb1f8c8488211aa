//! `skewless serve`: the sidecar, as `skewless-sidecar` is it, in the one command that has everything.

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
    after_help = "Example:\n  skewless serve --repo my-features --unix /run/skewless.sock --set limits.rows_max=1000"
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
        Err(StartError::Repo(error)) => Err(repo::refused(error, &dir)),
        Err(error @ StartError::Bind { .. }) => {
            Err(Failure::new(error, "give another address with --tcp, --unix or --http"))
        }
        Err(error @ StartError::Store(StoreError::Locked { .. })) => Err(Failure::new(
            error,
            "stop the process that has the store open, or give another --store",
        )),
        // What else can be wrong with a store, its own message says what to do about.
        Err(error) => Err(error.into()),
    }
}

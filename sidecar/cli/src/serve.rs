//! `skewless serve`: the sidecar, as `skewless-sidecar` is it, in the one command that has everything.

use std::path::PathBuf;

use skewless_server::{Config, Override, StartError};
use skewless_store::StoreError;
use tracing_subscriber::EnvFilter;

use crate::exit::{Failure, Outcome};
use crate::report;
use crate::settings::Settings;

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
    settings: Settings,
    /// Folder of the feature repo [default: .]
    #[arg(long)]
    repo: Option<PathBuf>,
    /// Folder of the online store [default: .skewless/store]
    #[arg(long)]
    store: Option<PathBuf>,
    /// gRPC over TCP; empty for none [default: 127.0.0.1:7667]
    #[arg(long, value_name = "ADDRESS")]
    tcp: Option<String>,
    /// gRPC over a Unix socket
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
    /// Metrics and probes over HTTP; empty for none [default: 127.0.0.1:7668]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Log as JSON lines
    #[arg(long)]
    log_json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    log(args.log_json);
    let config = configuration(args)?;
    let repo = config.repo_dir.clone();
    match skewless_server::run(config) {
        Ok(_) => Ok(()),
        Err(StartError::Repo(skewless_server::repo::RepoError::Definitions {
            diagnostics,
            files,
        })) => Err(report::failure(&diagnostics, &files, &repo)),
        Err(error @ StartError::Bind { .. }) => {
            Err(Failure::new(error, "give another address with --tcp, --unix or --http"))
        }
        // Others say themselves what to do.
        Err(error @ StartError::Store(StoreError::Locked { .. })) => Err(Failure::new(
            error,
            "stop the process that has the store open, or give another --store",
        )),
        Err(error) => Err(error.into()),
    }
}

fn configuration(args: &Args) -> Outcome<Config> {
    let mut overrides = Vec::new();
    let paths = [
        ("--repo", "repo_dir", &args.repo),
        ("--store", "store_dir", &args.store),
        ("--unix", "listen.unix", &args.unix),
    ];
    for (flag, key, path) in paths {
        overrides.extend(path.as_ref().map(|path| Override::path(flag, key, path)));
    }
    for (flag, key, address) in
        [("--tcp", "listen.tcp", &args.tcp), ("--http", "listen.http", &args.http)]
    {
        overrides.extend(address.as_ref().map(|address| Override::new(flag, key, address)));
    }
    args.settings.read(overrides)
}

fn log(json: bool) {
    let filter = EnvFilter::try_from_env("SKEWLESS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    if json { log.json().init() } else { log.init() }
}

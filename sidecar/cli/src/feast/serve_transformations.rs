//! `skewless feast serve-transformations`: Feast's TransformationService, as `feast serve_transformations` is it: for Feast's
//! Go and Java servers, which have their on-demand feature views computed elsewhere. Sockets, limits and the computing are
//! the server's; what is here are its columns, as Arrow, which no sidecar links.

mod batches;
mod columns;

use std::net::SocketAddr;
use std::path::PathBuf;

use skewless_server::transformations::{self, Door};
use skewless_server::{Override, shell};

use self::batches::ArrowBatches;
use crate::exit::Outcome;
use crate::serve;
use crate::settings::{self, Settings};

/// Compute on-demand feature views for Feast's Go and Java servers, until SIGTERM or Ctrl-C
///
/// Answers feast.serving.TransformationService, as `feast serve_transformations` does, with the transforms of a feature
/// repo: each is the on-demand feature view of its name. Stored features and request values come with the call; no store is
/// opened. SIGHUP reads definitions and plugins again; a bad new version is refused whole and the old one goes on. Limits
/// are those of the sidecar's configuration, found as `serve` finds it.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  skewless feast serve-transformations my-features --listen 0.0.0.0:6569 --project shop"
)]
pub(crate) struct Args {
    /// Folder of the feature repo [default: .]
    #[arg(value_name = "REPO", conflicts_with = "repo")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// The same as REPO
    #[arg(long)]
    repo: Option<PathBuf>,
    /// gRPC over TCP; other machines reach it only on an address such as 0.0.0.0:6569
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6569")]
    listen: SocketAddr,
    /// Metrics and probes over HTTP [default: none]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// The only Feast project to answer; Feast's Java server names none, and is answered [default: any]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Log as JSON lines
    #[arg(long)]
    log_json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    shell::log(args.log_json);
    let repo = args.folder.as_ref().or(args.repo.as_ref());
    let repo = repo.map(|dir| Override::path("--repo", "repo_dir", dir));
    let config = settings::advised(args.settings.read_to_serve(repo))?;
    let dir = config.repo_dir.clone();
    let door = Door { listen: args.listen, http: args.http, project: args.project.clone() };
    match transformations::run(config, door, Box::new(ArrowBatches)) {
        Ok(_) => Ok(()),
        Err(error) => Err(serve::failure(error, &dir)),
    }
}

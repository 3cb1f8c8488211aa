//! `skewless feast`: from a Feast repo and its online store to ours, and transforms for Feast's own servers. What is read
//! are Feast's files and stores as feast-dev/feast 0.67 writes them; none of its Python is run.

mod copy;
mod import;
mod names_file;
mod serve_transformations;
mod value_type;

use crate::exit::Outcome;

/// Move from Feast: its definitions, the rows of its online store; or compute for its servers
#[derive(clap::Subcommand, Debug)]
#[command(
    after_help = "Example:\n  skewless feast import feature_repo --out features && cd features && \
                  skewless feast copy --from sqlite://../feature_repo/data/online_store.db"
)]
pub(crate) enum Command {
    Import(import::Args),
    Copy(copy::Args),
    ServeTransformations(serve_transformations::Args),
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Import(args) => import::run(args),
        Command::Copy(args) => copy::run(args),
        Command::ServeTransformations(args) => serve_transformations::run(args),
    }
}

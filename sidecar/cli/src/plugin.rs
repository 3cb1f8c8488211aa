//! `skewless plugin`: make, look at and try one plugin, without definitions or a store.

mod build;
mod inspect;
mod run;

use std::path::Path;

use crate::exit::{Next, Outcome};

/// Build, inspect and try plugins
#[derive(clap::Subcommand, Debug)]
#[command(
    after_help = "Example:\n  skewless plugin build plugins/price_ratio && skewless plugin inspect plugins/price_ratio.wasm"
)]
pub(crate) enum Command {
    Build(build::Args),
    Inspect(inspect::Args),
    Run(run::Args),
}

pub(crate) use build::into as build_into;

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Build(args) => build::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Run(args) => run::run(args),
    }
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    use anyhow::Context;
    std::fs::read(path)
        .with_context(|| format!("can't read {}", path.display()))
        .or_next(|| "give the path of a .wasm file; `skewless plugin build` makes one")
}

//! `skewless bench`: load on one's own service, measured so that slow answers can't hide. How Skewless itself
//! is measured against its floors is `tests/bench`, which shares the generator.

mod alarm;
mod draw;
mod hgrm;
mod keys;
mod open_loop;
mod raw;
mod requests;
mod serve;
mod summary;

use crate::exit::Outcome;

pub(crate) use open_loop::code_name;

/// Measure a service under load
#[derive(clap::Subcommand, Debug)]
#[command(
    after_help = "Example:\n  skewless bench serve order_risk --keys data/orders.parquet --rate 1000"
)]
pub(crate) enum Command {
    Serve(serve::Args),
}

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::Serve(args) => serve::run(args),
    }
}

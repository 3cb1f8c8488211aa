//! `skewless plugin`: make, look at, try and judge one plugin, without definitions or a store.

mod bench;
mod build;
mod certify;
mod diff;
mod findings;
mod inspect;
mod new;
mod run;
mod test;
mod vectors;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use skewless_engine::{CompileCache, DirCache, Engine, Plugin, Ticker};
use skewless_server::Config;

use crate::exit::{Next, Outcome};

/// Begin, build, inspect, try, test and certify plugins
#[derive(clap::Subcommand, Debug)]
#[command(
    after_help = "Example:\n  skewless plugin build plugins/price_ratio && skewless plugin inspect plugins/price_ratio.wasm"
)]
pub(crate) enum Command {
    New(new::Args),
    Build(build::Args),
    Inspect(inspect::Args),
    Run(run::Args),
    Test(test::Args),
    Certify(certify::Args),
    Diff(diff::Args),
    Bench(bench::Args),
}

pub(crate) use build::into as build_into;

pub(crate) fn run(command: &Command) -> Outcome {
    match command {
        Command::New(args) => new::run(args),
        Command::Build(args) => build::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Run(args) => run::run(args),
        Command::Test(args) => test::run(args),
        Command::Certify(args) => certify::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Bench(args) => bench::run(args),
    }
}

/// An engine under these limits whose clock ticks as long as the second lives.
fn engine(config: &Config) -> Outcome<(Engine, Ticker)> {
    let engine = Engine::new(config.engine.clone())?;
    let ticker = Ticker::start(engine.clone(), Duration::from_micros(config.life.tick_us))?;
    Ok((engine, ticker))
}

/// Bytes of a file from which on its machine code is kept in the sidecar's cache: one with an interpreter takes half a minute to
/// compile, and the sidecar won't have to do it again. A small one is compiled before anybody notices, and leaves no folder behind.
const CACHED_BYTES_MIN: usize = 1 << 20;

fn load(engine: &Engine, path: &Path, cache_dir: &Path) -> Outcome<Plugin> {
    let wasm = read(path)?;
    let large = wasm.len() >= CACHED_BYTES_MIN;
    // A cache that can't be had costs time, no more.
    let cache = if large { DirCache::open(cache_dir).ok() } else { None };
    let loaded = engine.load(&wasm, cache.as_ref().map(|cache| cache as &dyn CompileCache));
    loaded
        .with_context(|| path.display().to_string())
        .or_next(|| "see `skewless plugin inspect`, or build it anew with `skewless plugin build`")
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path)
        .with_context(|| format!("can't read {}", path.display()))
        .or_next(|| "give the path of a .wasm file; `skewless plugin build` makes one")
}

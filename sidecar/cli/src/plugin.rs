//! `skewless plugin`: make, look at, try and judge one plugin, without definitions or a store.

mod bench;
mod build;
mod certify;
mod diff;
mod findings;
mod golden_rows;
mod inspect;
mod new;
mod run;
mod test;
mod vectors;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use skewless_engine::{CompileCache, DirCache, Engine, Plugin, PluginError, Ticker};
use skewless_server::Config;
use skewless_server::repo::source;

use crate::exit::{Failure, Next, Outcome};
use crate::output::complain;
use crate::show;

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

/// The plugin of a file, checked and compiled.
fn load(engine: &Engine, path: &Path, cache_dir: &Path) -> Outcome<Plugin> {
    let wasm = read(path)?;
    // What runs wouldn't be what is written.
    if let Some(source) = source::newer(path) {
        let (path, source) = (show::path(path), show::path(&source));
        complain!("warning: {path} is older than its source; skewless plugin build {source}");
    }
    let cache = (wasm.len() >= CACHED_BYTES_MIN).then_some(Told { path, cache_dir });
    let loaded = engine.load(&wasm, cache.as_ref().map(|cache| cache as &dyn CompileCache));
    loaded.map_err(|error| refused(path, error))
}

fn refused(path: &Path, error: PluginError) -> Failure {
    let next = Some(advice(&error));
    Failure::Failed { error: anyhow::Error::new(error).context(path.display().to_string()), next }
}

/// What to do about a plugin that can't be loaded.
fn advice(error: &PluginError) -> String {
    let raise = |name: &str, number: u64| {
        format!(
            "if it needs as much, raise the setting: `--set engine.{name}={number}` here, and the same in the sidecar's \
             configuration; else let it do with less"
        )
    };
    match error {
        // Twice what it begins with, as it will want some to work with.
        PluginError::Memory { came, .. } => {
            raise("memory_bytes_max", came.saturating_mul(2).next_power_of_two())
        }
        PluginError::Table { came, .. } => raise("table_elements_max", *came),
        PluginError::TooLarge { came, .. } => raise("module_bytes_max", *came as u64),
        PluginError::Abi { expected, came } if came > expected => {
            "it was built for a newer Skewless: upgrade this one, or build the plugin with the SDK of this version".to_owned()
        }
        PluginError::Host(_) => {
            "see whether the address space is limited (ulimit -v), or give `--set engine.instances_max=N` with a smaller N; plugins \
             with an interpreter have a pool of their own".to_owned()
        }
        PluginError::Invalid(_) => {
            "give the whole file, as it was built; if it is whole, build it anew with `skewless plugin build`".to_owned()
        }
        _ => "build it anew with `skewless plugin build`".to_owned(),
    }
}

/// The sidecar's cache, telling the person why it takes so long when it has nothing.
struct Told<'a> {
    path: &'a Path,
    cache_dir: &'a Path,
}

impl CompileCache for Told<'_> {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let cache = DirCache::open(self.cache_dir);
        let found = cache.as_ref().ok().and_then(|cache| cache.get(key));
        if found.is_none() {
            let kept = match cache {
                Ok(_) => format!("it is kept in {} for the next time", show::path(self.cache_dir)),
                // A cache that can't be had costs time, no more.
                Err(error) => format!("it isn't kept: {error}"),
            };
            let path = show::path(self.path);
            complain!("note: compiling {path} to machine code, which may take a minute; {kept}");
        }
        found
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        if let Ok(cache) = DirCache::open(self.cache_dir) {
            cache.put(key, bytes);
        }
    }
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path)
        .with_context(|| format!("can't read {}", path.display()))
        .or_next(|| "give the path of a .wasm file; `skewless plugin build` makes one")
}

//! A feature repo as the subcommands use it: read and checked by the server's own reading, mistakes shown
//! to the person. Not what definitions mean.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use skewless_catalog::Catalog;
use skewless_engine::{DirCache, Engine, Plugin, Program, Ticker};
use skewless_offline::{BACKFILL_TICK, backfill_limits};
use skewless_server::repo::{self, RepoError, RepoLimits};
use skewless_server::{Config, Override};

use crate::exit::{Failure, Next, Outcome};
use crate::settings::{self, Settings};
use crate::{report, show};

/// Compiled plugins are kept here, in the repo; may be deleted at any time.
const CACHE: &str = ".skewless/cache";

/// A checked feature repo.
pub(crate) struct Repo {
    /// Its folder.
    pub(crate) root: PathBuf,
    pub(crate) catalog: Arc<Catalog>,
    read: repo::Repo,
}

/// Why the feature repo in `dir` can't be used, with what to do; shows every mistake in it.
pub(crate) fn refused(error: RepoError, dir: &Path) -> Failure {
    match error {
        RepoError::Definitions { diagnostics, files } => report::failure(&diagnostics, &files, dir),
        error if dir.is_file() => {
            let folder = dir.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            Failure::new(error, format!("give the folder that it is in: {}", folder.display()))
        }
        RepoError::Read { path, detail } if path != dir && path.is_file() => {
            match std::fs::File::open(&path) {
                Ok(_) => report::no_definitions(&path, detail, dir),
                Err(_) => {
                    Failure::new(RepoError::Read { path, detail }, "see that the file may be read")
                }
            }
        }
        error @ (RepoError::Empty { .. } | RepoError::Read { .. }) => {
            Failure::new(error, "give the folder of a feature repo; `skewless init` makes one")
        }
    }
}

/// The failure of a command that takes the feature repo with --repo, if one of its other words is one.
pub(crate) fn misplaced<'w>(
    failure: Failure,
    command: &str,
    words: impl IntoIterator<Item = &'w str>,
) -> Failure {
    let is_repo = |word: &&str| repo::definitions(Path::new(word), RepoLimits::default()).is_ok();
    match (failure, words.into_iter().find(is_repo)) {
        (Failure::Failed { error, .. }, Some(word)) => Failure::Failed {
            error,
            next: Some(format!(
                "`{word}` is a folder with definitions, and goes with --repo: skewless {command} --repo {word}"
            )),
        },
        (failure, _) => failure,
    }
}

/// An engine whose clock ticks as long as this lives.
pub(crate) struct Ticking {
    engine: Engine,
    _ticker: Ticker,
}

impl Ticking {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl Repo {
    /// The feature repo in `dir`, or else where the settings say, and the settings: the file, the environment,
    /// then `flags`, then `--set`.
    pub(crate) fn open_with(
        settings: &Settings,
        dir: Option<&Path>,
        flags: impl IntoIterator<Item = Override>,
    ) -> Outcome<(Self, Config)> {
        // A folder that isn't there is explained by reading the repo, not as a mistake in the configuration.
        let there = dir.filter(|dir| dir.is_dir());
        let there = there.map(|dir| Override::path("--repo", "repo_dir", dir));
        let config = settings::read(settings, there.into_iter().chain(flags))?;
        let repo = Self::open(dir.unwrap_or(&config.repo_dir), &config)?;
        Ok((repo, config))
    }

    /// Reads and checks a feature repo under the limits of a sidecar; shows every mistake and every warning.
    pub(crate) fn open(dir: &Path, config: &Config) -> Outcome<Self> {
        let limits = RepoLimits {
            definition_bytes_max: config.limits.definition_bytes_max,
            definition_files_max: config.limits.definition_files_max,
        };
        match repo::read(dir, limits, &config.engine) {
            Ok(read) => {
                report::print(&read.catalog.warnings, &read.files, dir);
                Ok(Self { root: dir.to_owned(), catalog: Arc::clone(&read.catalog), read })
            }
            Err(error) => Err(refused(error, dir)),
        }
    }

    /// An engine that gives `workers` threads what a sidecar with this configuration would.
    pub(crate) fn engine_for_backfill(&self, config: &Config, workers: usize) -> Outcome<Ticking> {
        let serving_tick = Duration::from_micros(config.life.tick_us);
        let engine = Engine::new(backfill_limits(&config.engine, serving_tick, workers))?;
        let ticker = Ticker::start(engine.clone(), BACKFILL_TICK)?;
        Ok(Ticking { engine, _ticker: ticker })
    }

    /// A service's plan with its plugins compiled.
    pub(crate) fn program(&self, engine: &Ticking, service: &str) -> Outcome<Program> {
        let plan = self.catalog.plan(service).map_err(|error| {
            let names: Vec<_> =
                self.catalog.services.iter().map(|service| service.name.as_str()).collect();
            Failure::new(error, show::all("the repo", "services", &names))
        })?;
        let cache = DirCache::open(&self.root.join(CACHE)).ok();
        let mut plugins: Vec<Plugin> = Vec::new();
        for digest in plan.digests() {
            let Some(wasm) = self.read.plugins.get(&digest) else { continue };
            let cache = cache.as_ref().map(|cache| cache as &dyn skewless_engine::CompileCache);
            let plugin = engine
                .engine
                .load(wasm, cache)
                .or_next(|| "rebuild it with `skewless plugin build`")?;
            plugins.push(plugin);
        }
        let find = |digest: &_| plugins.iter().find(|plugin| plugin.digest() == digest).cloned();
        Ok(Program::bind(&plan, &find)?)
    }
}

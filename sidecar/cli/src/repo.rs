//! A feature repo as the subcommands use it: read and checked by the server's own reading, mistakes shown
//! to the person. Not what definitions mean.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use skewless_catalog::Catalog;
use skewless_engine::{DirCache, Engine, EngineConfig, Plugin, Program, Ticker};
use skewless_offline::OfflineError;
use skewless_server::repo::{self, RepoError, RepoLimits};

use crate::exit::{Failure, Next, Outcome};
use crate::report;

/// Compiled plugins are kept here, in the repo; may be deleted at any time.
const CACHE: &str = ".skewless/cache";

/// Ticks of a plugin call in a backfill, of 1 ms: far above serving's, so that no row fails because a
/// machine is slow, and still an end to a plugin that loops.
const BACKFILL_DEADLINE_TICKS: u64 = 30_000;

/// A checked feature repo.
pub(crate) struct Repo {
    /// Its folder.
    pub(crate) root: PathBuf,
    pub(crate) catalog: Arc<Catalog>,
    read: repo::Repo,
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
    /// Reads and checks a feature repo; shows every mistake and every warning.
    pub(crate) fn open(dir: &Path) -> Outcome<Self> {
        match repo::read(dir, RepoLimits::default(), &EngineConfig::default()) {
            Ok(read) => {
                report::print(&read.catalog.warnings, &read.files);
                Ok(Self { root: dir.to_owned(), catalog: Arc::clone(&read.catalog), read })
            }
            Err(RepoError::Definitions { diagnostics, files }) => {
                report::print(&diagnostics, &files);
                Err(Failure::Definitions { mistakes: diagnostics.len() })
            }
            Err(error @ RepoError::Empty { .. }) => Err(error.into()),
            Err(error @ RepoError::Read { .. }) => Err(Failure::new(
                error,
                "give the folder of a feature repo; `skewless init` makes one",
            )),
        }
    }

    /// An engine that gives plugins time enough for whole chunks of rows.
    pub(crate) fn engine_for_backfill(&self) -> Outcome<Ticking> {
        let config =
            EngineConfig { deadline_ticks: BACKFILL_DEADLINE_TICKS, ..EngineConfig::default() };
        let engine = Engine::new(config)?;
        let ticker = Ticker::start(engine.clone(), Duration::from_millis(1))?;
        Ok(Ticking { engine, _ticker: ticker })
    }

    /// A service's plan with its plugins compiled.
    pub(crate) fn program(&self, engine: &Ticking, service: &str) -> Outcome<Program> {
        let plan = self.catalog.plan(service).map_err(|error| {
            let names: Vec<_> =
                self.catalog.services.iter().map(|service| service.name.as_str()).collect();
            Failure::new(error, format!("the repo's services are: {}", names.join(", ")))
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

/// What offline refused, with what to do.
pub(crate) fn offline_failure(error: OfflineError) -> Failure {
    if matches!(error, OfflineError::Cancelled) {
        return Failure::Interrupted;
    }
    error.into()
}

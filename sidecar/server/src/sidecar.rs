//! Everything one running sidecar holds, and replacing what it serves; not its sockets and threads.
//!
//! A reload has three steps: read and check the repo, compile and start the plugins, bind to the store. A
//! mistake in the first two changes nothing at all. Only then are the store's views made to fit, and the new
//! snapshot swapped in with one pointer. One reload at a time; readers never wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use skewless_engine::{DirCache, Engine, Ticker};
use skewless_store::Store;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::repo::{self, Repo, RepoError, RepoLimits};
use crate::snapshot::{self, Parts, Prepared, Snapshot, SnapshotError};
use crate::warm::Room;

/// Everything one running sidecar holds.
pub(crate) struct Sidecar {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) current: ArcSwap<Snapshot>,
    pub(crate) gates: Gates,
    /// Cancelled when draining begins.
    pub(crate) draining: CancellationToken,
    cache: Option<DirCache>,
    threads: usize,
    reloading: Mutex<()>,
    /// Ticks for as long as anything can run a plugin: a call that outlives the shutdown ends by it, too.
    _ticker: Ticker,
}

/// How much is being worked on at once.
pub(crate) struct Gates {
    pub(crate) requests: Arc<Admission>,
    /// Unary calls of the other services.
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) ingest_streams: Arc<Semaphore>,
    /// Reloads and flushes by RPC: one at a time, so that a flood of them holds no thread.
    pub(crate) admin: Arc<Semaphore>,
    /// Bulk loads: one at a time, as each sorts and writes as fast as the disk goes.
    pub(crate) load: Arc<Semaphore>,
    pub(crate) poisoned: AtomicBool,
}

/// Why a reload was refused; what was served before still is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error(transparent)]
    Repo(#[from] RepoError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// What a reload did.
pub(crate) struct Reloaded {
    pub(crate) old: Arc<Snapshot>,
    pub(crate) repo: Repo,
}

/// Engine, cache and what they were asked to load first.
pub(crate) struct Foundation {
    pub(crate) engine: Engine,
    pub(crate) cache: Option<DirCache>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) threads: usize,
    /// Ticks before the first plugin is started: start functions have a deadline, too.
    pub(crate) ticker: Ticker,
}

impl Foundation {
    pub(crate) fn prepare(&self, config: &Config, repo: &Repo) -> Result<Prepared, SnapshotError> {
        snapshot::prepare(repo, &self.parts(config), Room::Own)
    }

    fn parts<'a>(&'a self, config: &Config) -> Parts<'a> {
        parts(&self.engine, self.cache.as_ref(), &self.metrics, config, self.threads)
    }
}

fn parts<'a>(
    engine: &'a Engine,
    cache: Option<&'a DirCache>,
    metrics: &'a Metrics,
    config: &Config,
    threads: usize,
) -> Parts<'a> {
    let cache = cache.map(|cache| cache as &dyn skewless_engine::CompileCache);
    Parts { engine, cache, metrics, ad_hoc_max: config.limits.ad_hoc_plans_max, threads }
}

/// Reads and checks the feature repo of a configuration.
pub(crate) fn read_repo(config: &Config) -> Result<Repo, RepoError> {
    let limits = RepoLimits {
        definition_bytes_max: config.limits.definition_bytes_max,
        definition_files_max: config.limits.definition_files_max,
    };
    repo::read(&config.repo_dir, limits, &config.engine)
}

impl Sidecar {
    /// Puts the parts together; from here on it can serve.
    pub(crate) fn new(
        config: Config,
        clock: Clock,
        foundation: Foundation,
        store: Store,
        prepared: Prepared,
    ) -> Result<Self, SnapshotError> {
        let snapshot = prepared.bind(&store, &foundation.parts(&config), 1, clock.now_us())?;
        foundation.metrics.snapshot.set(1);
        let requests = Admission::new(&config.limits, Arc::clone(&foundation.metrics));
        let gates = Gates {
            requests: Arc::new(requests),
            in_flight: Arc::new(Semaphore::new(config.limits.in_flight_max)),
            ingest_streams: Arc::new(Semaphore::new(config.limits.ingest_streams_max)),
            admin: Arc::new(Semaphore::new(1)),
            load: Arc::new(Semaphore::new(1)),
            poisoned: AtomicBool::new(false),
        };
        let Foundation { engine, cache, metrics, threads, ticker } = foundation;
        let current = ArcSwap::from_pointee(snapshot);
        let draining = CancellationToken::new();
        let reloading = Mutex::new(());
        Ok(Self {
            config,
            clock,
            engine,
            store,
            metrics,
            current,
            gates,
            draining,
            cache,
            threads,
            reloading,
            _ticker: ticker,
        })
    }

    /// Reads the repo again and serves from it, if every check passes; blocks for as long as compiling takes.
    /// With `dry_run` everything but the swap is done.
    pub(crate) fn reload(&self, dry_run: bool) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.try_reload(dry_run);
        if !dry_run {
            self.metrics.reload(if result.is_ok() { "applied" } else { "refused" });
        }
        result
    }

    fn try_reload(&self, dry_run: bool) -> Result<Reloaded, ReloadError> {
        let repo = read_repo(&self.config)?;
        let parts =
            parts(&self.engine, self.cache.as_ref(), &self.metrics, &self.config, self.threads);
        let prepared = snapshot::prepare(&repo, &parts, Room::Shared)?;
        let old = self.current.load_full();
        if dry_run {
            return Ok(Reloaded { old, repo });
        }
        let number = old.number + 1;
        let new = prepared.bind(&self.store, &parts, number, self.clock.now_us())?;
        self.current.store(Arc::new(new));
        // What still ends on the old one makes instances of its own; the new one may want these.
        old.workers.clear();
        self.metrics.snapshot.set(number);
        self.metrics.forget(&old.catalog, &repo.catalog);
        Ok(Reloaded { old, repo })
    }

    /// Whether it should be sent calls.
    pub(crate) fn ready(&self) -> bool {
        !self.draining.is_cancelled() && !self.gates.poisoned.load(Ordering::Relaxed)
    }

    /// Whether no call is in work.
    pub(crate) fn idle(&self) -> bool {
        let (limits, gates) = (&self.config.limits, &self.gates);
        gates.requests.idle()
            && gates.in_flight.available_permits() == limits.in_flight_max
            && gates.ingest_streams.available_permits() == limits.ingest_streams_max
            && gates.admin.available_permits() == 1
            && gates.load.available_permits() == 1
    }
}

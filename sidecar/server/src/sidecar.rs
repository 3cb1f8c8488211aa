//! Everything one running sidecar holds, and replacing what it serves; not its sockets and threads.
//!
//! A reload has three steps: read and check the repo, compile and start the plugins and bind the plans to them,
//! bind to the store. A mistake in the first two changes nothing at all. Only then are the store's views made to
//! fit, and the new snapshot swapped in with one pointer. One reload at a time; readers never wait for it.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use skewless_catalog::Catalog;
use skewless_engine::{CompileCache, DirCache, Engine, Ticker};
use skewless_store::{Store, StoreInfo};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::clock::Clock;
use crate::config::Config;
use crate::feast::Bodies;
use crate::http::Probed;
use crate::metrics::Metrics;
use crate::reading::Readers;
use crate::repo::{self, Repo, RepoError, RepoLimits};
use crate::snapshot::{self, Parts, Prepared, Snapshot, SnapshotError, no_service};
use crate::warm::Room;

/// Everything one running sidecar holds.
pub(crate) struct Sidecar {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) current: ArcSwap<Snapshot>,
    pub(crate) gates: Gates,
    /// Cancelled when draining begins.
    pub(crate) draining: CancellationToken,
    /// Cancelled when the store's apply thread has died: it accepts no more writes.
    pub(crate) poisoned: CancellationToken,
    reloading: Mutex<()>,
    /// Last, so that it ticks for as long as anything can run a plugin.
    pub(crate) foundation: Foundation,
}

/// How much is being worked on at once.
pub(crate) struct Gates {
    pub(crate) requests: Arc<Admission>,
    /// Who reads a socket, when refused requests cost too much.
    pub(crate) readers: Readers,
    /// Bodies of Feast's HTTP calls.
    pub(crate) bodies: Arc<Bodies>,
    /// Unary calls of IngestService.
    pub(crate) in_flight: Arc<Semaphore>,
    /// AdminService's calls that only read.
    pub(crate) inspect: Arc<Semaphore>,
    pub(crate) ingest_streams: Arc<Semaphore>,
    /// Reloads and flushes by RPC: one at a time, so that a flood of them holds no thread.
    pub(crate) admin: Arc<Semaphore>,
    /// Bulk loads: one at a time, as each sorts and writes as fast as the disk goes.
    pub(crate) load: Arc<Semaphore>,
}

/// Why a reload was refused; what was served before still is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error("{error}{}", .next.iter().map(|next| format!("\n  next: {next}")).collect::<String>())]
    Repo {
        error: RepoError,
        /// What to do, if it isn't to mend the definitions.
        next: Option<String>,
    },
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// What a reload did.
pub(crate) struct Reloaded {
    /// What was served before.
    pub(crate) old: Arc<Snapshot>,
    /// What is served from it on; of a dry run that is `old`.
    pub(crate) new: Arc<Snapshot>,
    pub(crate) repo: Repo,
}

impl Reloaded {
    /// Says what is served now, and louder what no longer is: a caller may still want it.
    fn tell(&self) {
        let Catalog { entities, views, transforms, services, fingerprint, .. } = &*self.new.catalog;
        tracing::info!(
            snapshot = self.new.number,
            entities = entities.len(),
            views = views.len(),
            transforms = transforms.len(),
            services = services.len(),
            %fingerprint,
            "reloaded"
        );
        let kept = |name: &str| services.iter().any(|service| service.name == name);
        let before = self.old.catalog.services.iter().map(|service| service.name.as_str());
        let lost: Vec<&str> = before.filter(|name| !kept(name)).collect();
        if !lost.is_empty() {
            let lost = lost.join(", ");
            tracing::warn!("services that are gone, so that calls for them are NOT_FOUND: {lost}");
        }
        warn_of(&self.new.catalog);
    }
}

/// Says what is doubtful in definitions that are served.
pub(crate) fn warn_of(catalog: &Catalog) {
    for warning in &catalog.warnings {
        tracing::warn!("{warning}");
    }
}

/// What every snapshot is built with, from the first to the last.
pub(crate) struct Foundation {
    pub(crate) engine: Engine,
    pub(crate) cache: Option<DirCache>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) threads: usize,
    /// Ticks before the first plugin is started, as start functions have a deadline, too, and until the end: a
    /// call that outlives the shutdown ends by it.
    pub(crate) _ticker: Ticker,
}

impl Foundation {
    pub(crate) fn prepare(
        &self,
        config: &Config,
        repo: &Repo,
        room: Room,
    ) -> Result<Prepared, SnapshotError> {
        snapshot::prepare(repo, &self.parts(config), room)
    }

    fn parts(&self, config: &Config) -> Parts<'_> {
        Parts {
            engine: &self.engine,
            cache: self.cache.as_ref().map(|cache| cache as &dyn CompileCache),
            metrics: &self.metrics,
            ad_hoc_max: config.limits.ad_hoc_plans_max,
            threads: self.threads,
        }
    }
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
        let (threads, metrics) = (foundation.threads, Arc::clone(&foundation.metrics));
        let requests = Arc::new(Admission::new(&config.limits, threads, metrics));
        let gates = Gates {
            readers: Readers::new(Arc::clone(&requests)),
            requests,
            bodies: Arc::new(Bodies::new(&config.limits, Arc::clone(&foundation.metrics))),
            in_flight: Arc::new(Semaphore::new(config.limits.in_flight_max)),
            inspect: Arc::new(Semaphore::new(config.limits.in_flight_max)),
            ingest_streams: Arc::new(Semaphore::new(config.limits.ingest_streams_max)),
            admin: Arc::new(Semaphore::new(1)),
            load: Arc::new(Semaphore::new(1)),
        };
        let metrics = Arc::clone(&foundation.metrics);
        let current = ArcSwap::from_pointee(snapshot);
        let (draining, poisoned) = (CancellationToken::new(), CancellationToken::new());
        let tell = poisoned.clone();
        store.when_poisoned(move || tell.cancel());
        let reloading = Mutex::new(());
        Ok(Self {
            config,
            clock,
            store,
            metrics,
            current,
            gates,
            draining,
            poisoned,
            reloading,
            foundation,
        })
    }

    /// Reads the repo again and serves from it, if every check passes; blocks for as long as compiling takes.
    /// With `dry_run` everything but the swap is done. The log says what became of it, whoever asked for it.
    pub(crate) fn reload(&self, dry_run: bool) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.try_reload(dry_run);
        match &result {
            _ if dry_run => {}
            Ok(reloaded) => {
                self.metrics.reloads_applied.inc();
                reloaded.tell();
            }
            Err(error) => {
                self.metrics.reloads_refused.inc();
                tracing::error!(%error, "reload refused; serving what was served before");
            }
        }
        result
    }

    fn try_reload(&self, dry_run: bool) -> Result<Reloaded, ReloadError> {
        let repo = read_repo(&self.config).map_err(|error| {
            let next = error.next_step(&self.config.repo_dir);
            ReloadError::Repo { error, next }
        })?;
        let old = self.current.load_full();
        if repo.catalog.services.is_empty() && !old.catalog.services.is_empty() {
            return Err(no_service(&repo).into());
        }
        let prepared = self.foundation.prepare(&self.config, &repo, Room::Shared)?;
        if dry_run {
            return Ok(Reloaded { new: Arc::clone(&old), old, repo });
        }
        let (parts, number) = (self.foundation.parts(&self.config), old.number + 1);
        let new = prepared.bind(&self.store, &parts, number, self.clock.now_us())?;
        let new = Arc::new(new);
        self.current.store(Arc::clone(&new));
        // What still ends on the old one makes instances of its own; the new one may want these.
        old.workers.clear();
        self.metrics.snapshot.set(number);
        self.metrics.forget(&old.catalog, &repo.catalog);
        Ok(Reloaded { old, new, repo })
    }

    /// Whether no call is in work.
    pub(crate) fn idle(&self) -> bool {
        let (limits, gates) = (&self.config.limits, &self.gates);
        gates.requests.idle()
            && gates.bodies.idle()
            && gates.in_flight.available_permits() == limits.in_flight_max
            && gates.inspect.available_permits() == limits.in_flight_max
            && gates.ingest_streams.available_permits() == limits.ingest_streams_max
            && gates.admin.available_permits() == 1
            && gates.load.available_permits() == 1
    }
}

impl Probed for Sidecar {
    /// `/readyz` asks it; gRPC health goes by the same two (`life.rs`).
    fn unready(&self) -> Option<&'static str> {
        // The store itself is asked, too: probes don't hang on having been told.
        let poisoned = self.poisoned.is_cancelled() || self.store.poisoned().is_some();
        unready(self.draining.is_cancelled(), poisoned)
    }

    fn store(&self) -> Option<StoreInfo> {
        self.store.info().ok()
    }
}

fn unready(draining: bool, poisoned: bool) -> Option<&'static str> {
    match (draining, poisoned) {
        (true, _) => Some("draining"),
        (false, true) => Some("the store accepts no more writes; restart"),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use skewless_catalog::Plan;

    use super::*;
    use crate::specimen;

    const DEFINITIONS: &str = "\
requests: [{name: a, type: float64}, {name: b, type: float64}]
transforms: [{name: adds, plugin: adds.wasm, inputs: {a: request.a, b: request.b}}]
services: [{name: sums, features: [adds.sum]}]
";

    /// The catalog's checks let no such plan through, so one is made by hand.
    #[test]
    fn a_plan_that_does_not_fit_its_plugins_is_refused_before_the_store_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let adds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/adds.wat");
        std::fs::write(dir.path().join("adds.wasm"), wat::parse_file(adds).unwrap()).unwrap();
        std::fs::write(dir.path().join("features.yaml"), DEFINITIONS).unwrap();
        let config = specimen::config(dir.path());
        let engine = Engine::new(config.engine.clone()).unwrap();
        let ticker = Ticker::start(engine.clone(), Duration::from_millis(1)).unwrap();
        let metrics = Arc::new(Metrics::new());
        let foundation = Foundation { engine, cache: None, metrics, threads: 1, _ticker: ticker };

        let mut repo = read_repo(&config).unwrap();
        assert!(foundation.prepare(&config, &repo, Room::Own).is_ok());
        let mut catalog = Catalog::clone(&repo.catalog);
        let mut plan = Plan::clone(&catalog.services[0].plan);
        plan.steps[0].inputs.push(0);
        catalog.services[0].plan = Arc::new(plan);
        repo.catalog = Arc::new(catalog);
        let error = foundation.prepare(&config, &repo, Room::Own).err().unwrap().to_string();
        assert!(error.starts_with("service `sums`: "), "{error}");
    }

    #[test]
    fn a_sidecar_that_drains_or_whose_store_is_poisoned_is_not_ready() {
        assert_eq!(unready(false, false), None);
        assert_eq!(unready(true, false), Some("draining"));
        assert_eq!(unready(true, true), Some("draining"));
        assert!(unready(false, true).is_some_and(|why| why.contains("restart")));
    }
}

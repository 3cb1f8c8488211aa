//! Feast's TransformationService as a server of its own, without a store: on-demand feature views of Feast's Go and Java
//! servers, computed by our transforms; not the bytes of columns, which whoever starts it reads and writes
//! ([`Batches`]), as they are Arrow's and this room links none.
//!
//! A call passes what GetFeatures passes: a place among the calls in work or a refusal at once (`admission.rs`), the time
//! its message may take to come, its deadline (`guard.rs`), one message in and one out (`unary.rs`). Then:
//!
//! 1. Pin the snapshot; find the transform, and its plan: of all its outputs.
//! 2. Put the batch's columns into a frame: keys, request columns, and what a store would have given.
//! 3. Run the transforms, as GetFeatures does (`get_features.rs`).
//! 4. Write the outputs, and how many rows failed into the answer's metadata.
//!
//! A reload swaps the snapshot, as in the sidecar; calls end on the one they began with.
//!
//! Limits: those of GetFeatures in [`config`](crate::config), at the same keys.

mod door;
mod snapshot;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use skewless_catalog::{Frame, Plan};
use skewless_engine::{DirCache, Engine, Ticker};
use skewless_store::StoreInfo;
use tokio_util::sync::CancellationToken;

use self::snapshot::Snapshot;
use crate::admission::Admission;
use crate::blocking::giving_way;
use crate::config::Config;
use crate::http::{ProbeThread, Probed, Probes};
use crate::life::{EVENT_INTERVAL, LAST_WAIT, Signals, StartError, idle};
use crate::listen::{self, Bound};
use crate::metrics::Metrics;
use crate::repo::feast_names::FeastNames;
use crate::sidecar::{Foundation, ReloadError, read_repo, warn_of};
use crate::status::ServeError;
use crate::warm::Room;

/// How columns come and go. Of a frame only columns are filled: what follows from them is done here.
pub trait Batches: Send + Sync + 'static {
    /// Resets the frame to the batch's rows, and fills the plan's keys, request columns and the columns of its lookups, each
    /// as long as the frame is; nullable request columns may be left empty.
    fn read(
        &self,
        plan: &Plan,
        names: Names<'_>,
        batch: Bytes,
        config: &Config,
        frame: &mut Frame,
    ) -> Result<(), ServeError>;

    /// The plan's outputs as a batch, each called as Feast calls a feature of this view.
    fn write(
        &self,
        view: &str,
        plan: &Plan,
        names: Names<'_>,
        frame: &Frame,
    ) -> Result<Vec<u8>, ServeError>;
}

/// What Feast calls the columns of a call.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// All names.
    pub feast: &'a FeastNames,
    /// The transform that is computed, by our name.
    pub transform: &'a str,
}

/// Where a server answers, and for whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Door {
    /// gRPC over TCP.
    pub listen: SocketAddr,
    /// Metrics and probes over HTTP; none unless wanted, as the sidecar's may be on the same machine.
    pub http: Option<SocketAddr>,
    /// The only project that is answered; none: every one is.
    pub project: Option<String>,
}

/// A server without its sockets.
struct Transformations {
    config: Config,
    project: Option<String>,
    batches: Box<dyn Batches>,
    metrics: Arc<Metrics>,
    admission: Arc<Admission>,
    draining: CancellationToken,
    current: ArcSwap<Snapshot>,
    number: AtomicU64,
    reloading: Mutex<()>,
    /// Last, so that it ticks for as long as anything can run a plugin.
    foundation: Foundation,
}

impl Transformations {
    fn new(
        config: Config,
        project: Option<String>,
        batches: Box<dyn Batches>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let threads = config.threads();
        let repo = read_repo(&config)?;
        let engine = Engine::new(config.engine.clone())?;
        let cache = Some(DirCache::open(&config.cache_dir)?);
        let ticker = Ticker::start(engine.clone(), Duration::from_micros(config.life.tick_us))?;
        let foundation =
            Foundation { engine, cache, metrics: Arc::clone(&metrics), threads, _ticker: ticker };
        let prepared = foundation.prepare(&config, &repo, Room::Own)?;
        let snapshot = Snapshot::new(prepared, &repo.dir, &metrics, threads)?;
        metrics.snapshot.set(1);
        Ok(Self {
            project,
            batches,
            admission: Arc::new(Admission::new(&config.limits, threads, Arc::clone(&metrics))),
            metrics,
            draining: CancellationToken::new(),
            current: ArcSwap::from_pointee(snapshot),
            number: AtomicU64::new(1),
            reloading: Mutex::new(()),
            config,
            foundation,
        })
    }

    /// Reads the repo again and computes by it, if every check passes. The log says what became of it.
    fn reload(&self) {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        match self.try_reload() {
            Ok(()) => self.metrics.reloads_applied.inc(),
            Err(error) => {
                tracing::error!(%error, "reload refused; computing by what was there before");
                self.metrics.reloads_refused.inc()
            }
        };
    }

    fn try_reload(&self) -> Result<(), ReloadError> {
        let config = &self.config;
        let repo = read_repo(config).map_err(|error| {
            let next = error.next_step(&config.repo_dir);
            ReloadError::Repo { error, next }
        })?;
        let prepared = self.foundation.prepare(config, &repo, Room::Shared)?;
        let threads = self.foundation.threads;
        let snapshot = Snapshot::new(prepared, &repo.dir, &self.metrics, threads)?;
        let old = self.current.swap(Arc::new(snapshot));
        // What still ends on the old one makes instances of its own; the new one may want these.
        old.workers.clear();
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        self.metrics.snapshot.set(number);
        self.metrics.forget(&old.catalog, &repo.catalog);
        tracing::info!(snapshot = number, transforms = repo.catalog.transforms.len(), "reloaded");
        warn_of(&repo.catalog);
        Ok(())
    }
}

impl Probed for Transformations {
    fn unready(&self) -> Option<&'static str> {
        self.draining.is_cancelled().then_some("draining")
    }

    fn store(&self) -> Option<StoreInfo> {
        None
    }
}

/// Answers until SIGTERM or SIGINT, reloading on SIGHUP. Whether every call in flight ended within the grace period.
pub fn run(config: Config, door: Door, batches: Box<dyn Batches>) -> Result<bool, StartError> {
    let signals = Signals::listen()?;
    let mistakes = config.contradictions();
    if !mistakes.is_empty() {
        return Err(StartError::Config(mistakes));
    }
    let bind = |key, address: SocketAddr| {
        let failed = |error| StartError::Bind { address: address.to_string(), key, error };
        listen::bind_tcp(address).map_err(failed)
    };
    // So that a taken address is told before any work is done.
    let listener = bind("--listen", door.listen)?;
    let http = door.http.map(|address| bind("--http", address)).transpose()?;
    let (address, http_address) = (
        listener.local_addr().map_err(StartError::Threads)?,
        http.as_ref().and_then(|listener| listener.local_addr().ok()),
    );
    let metrics = Arc::new(Metrics::new());
    let probes = Arc::new(Probes { metrics: Arc::clone(&metrics), of: OnceLock::new() });
    let probe_thread = http
        .map(|listener| ProbeThread::start(listener, Arc::clone(&probes), &config.limits))
        .transpose()
        .map_err(StartError::Threads)?;

    let server = Arc::new(Transformations::new(config, door.project, batches, metrics)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(server.foundation.threads)
        .thread_name("skewless-grpc")
        .event_interval(EVENT_INTERVAL)
        .enable_all()
        .build()
        .map_err(StartError::Threads)?;
    let (health, serving) = door::serve(&runtime, &server, Bound::Tcp(listener))?;
    let probed: Arc<dyn Probed> = Arc::clone(&server) as _;
    probes.of.get_or_init(|| Arc::downgrade(&probed));
    tracing::info!(
        pid = std::process::id(),
        tcp = %address,
        http = http_address.map(tracing::field::display),
        "ready"
    );
    let catalog = Arc::clone(&server.current.load().catalog);
    let transforms = catalog.transforms.len();
    tracing::info!(transforms, fingerprint = %catalog.fingerprint, "definitions");
    warn_of(&catalog);

    signals.until_end(async || {
        let server = Arc::clone(&server);
        let reloaded = runtime.spawn_blocking(move || giving_way(|| server.reload())).await;
        if let Err(error) = reloaded {
            tracing::error!(%error, "reload panicked; computing by what was there before");
        }
    });
    tracing::info!("draining");
    let grace = Duration::from_millis(server.config.life.grace_ms);
    let drained = runtime.block_on(async {
        door::say_not_serving(&health).await;
        server.draining.cancel();
        let drained = async {
            tokio::select! {
                _ = serving => {}
                () = idle(|| server.admission.idle()) => {}
            }
        };
        tokio::time::timeout(grace, drained).await.is_ok()
    });
    runtime.shutdown_timeout(if drained { LAST_WAIT } else { Duration::ZERO });
    drop(probe_thread);
    tracing::info!(drained, "ended");
    Ok(drained)
}

//! A sidecar's life: check the configuration, bind, build, serve, drain, close; not what it serves.
//!
//! Sockets are bound first, so that a taken address is known before any work. Probes answer from then on:
//! alive, not ready. Clients that connect early wait in the socket's queue until definitions are checked,
//! plugins compiled and started, and the store is open. On the way down: no new connections, calls in
//! flight end within the grace period, then the store is flushed and closed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use skewless_engine::{DirCache, DirCacheError, Engine, EngineError, Ticker};
use skewless_proto::v1 as pb;
use skewless_store::{OpenReport, Store, StoreError};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::blocking::giving_way;
use crate::clock::Clock;
use crate::config::Config;
use crate::feast::{self, FeastServing, GrpcFeatureServer};
use crate::get_features;
use crate::guard::{Deadline, Guard};
use crate::http::{ProbeThread, Probed, Probes};
use crate::http2;
use crate::listen::{self, Bound};
use crate::metrics::Metrics;
use crate::repo::RepoError;
use crate::rpc::{AdminRpc, FeatureRpc, IngestRpc, Mounted, Rpc};
use crate::sidecar::{Foundation, Sidecar, read_repo, warn_of};
use crate::snapshot::SnapshotError;
use crate::status::ServeError;
use crate::warm::Room;

/// Tasks after which a busy thread looks at its sockets; a task may be four calls computed one after the other, so this
/// is some milliseconds at most. A thread with nothing to do looks at once.
pub(crate) const EVENT_INTERVAL: u32 = 16;
/// Time that threads for blocking work get to end after the grace period.
pub(crate) const LAST_WAIT: Duration = Duration::from_secs(2);

/// Time without any call in work after which draining doesn't wait for clients to close their connections:
/// enough for the last answers to be sent, while a client that is stuck doesn't cost the whole grace period.
const IDLE_WAIT: Duration = Duration::from_secs(1);
/// Interval at which draining looks whether calls are in work.
const IDLE_LOOK: Duration = Duration::from_millis(20);

/// Starts sidecars.
#[derive(Debug)]
pub struct Server;

/// Where a running sidecar answers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Addresses {
    /// gRPC over TCP, with the port that was taken.
    pub tcp: Option<SocketAddr>,
    /// gRPC over a Unix socket.
    pub unix: Option<PathBuf>,
    /// Metrics and probes.
    pub http: Option<SocketAddr>,
    /// Feast's calls over HTTP.
    pub feast_http: Option<SocketAddr>,
}

/// Why a sidecar couldn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings that can't work together.
    #[error("the configuration can't work:{}", .0.iter().map(|mistake| format!("\n  {mistake}")).collect::<String>())]
    Config(Vec<String>),
    /// An address or socket can't be had.
    #[error("expected to listen on {address} ({key}), came: {error}")]
    Bind {
        /// The address.
        address: String,
        /// The configuration's key.
        key: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// The feature repo can't be used.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// The folder for compiled plugins can't be used.
    #[error("cache_dir: {0}")]
    Cache(#[from] DirCacheError),
    /// The plugin host can't be built.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The definitions can't be served.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Threads can't be had.
    #[error("expected to start threads, came: {0}")]
    Threads(std::io::Error),
}

/// A sidecar that serves. Dropping it shuts it down as [`Running::shutdown`] does.
pub struct Running {
    addresses: Addresses,
    opened: OpenReport,
    clock: Clock,
    parts: Option<RunningParts>,
}

struct RunningParts {
    sidecar: Arc<Sidecar>,
    runtime: Runtime,
    serving: Vec<JoinHandle<()>>,
    health: HealthReporter,
    probes: Option<ProbeThread>,
}

/// How a shutdown went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shutdown {
    /// Whether every call in flight ended within the grace period.
    pub drained: bool,
    /// Whether the store was flushed; if not, its log is replayed at the next start.
    pub flushed: bool,
}

impl Server {
    /// Starts a sidecar and returns when it is ready. Blocks while plugins are compiled and the store is
    /// opened. It runs on threads of its own: the caller needs no runtime, and may have one.
    pub fn start(config: Config, clock: Clock) -> Result<Running, StartError> {
        // A runtime can't be driven on a thread of another runtime, where the caller may be.
        let started = std::thread::scope(|scope| scope.spawn(|| start(config, clock)).join());
        started.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn start(config: Config, clock: Clock) -> Result<Running, StartError> {
    let mistakes = config.contradictions();
    if !mistakes.is_empty() {
        return Err(StartError::Config(mistakes));
    }
    let Sockets { bound, feast, http, addresses } = bind(&config)?;
    let metrics = Arc::new(Metrics::new());
    let probes = Arc::new(Probes { metrics: Arc::clone(&metrics), of: OnceLock::new() });
    let thread = match http {
        Some(listener) => {
            let thread = ProbeThread::start(listener, Arc::clone(&probes), &config.limits);
            Some(thread.map_err(StartError::Threads)?)
        }
        None => None,
    };
    let (sidecar, opened, threads) = build(config, clock.clone(), metrics)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(threads).thread_name("skewless-grpc").enable_all();
    runtime.event_interval(EVENT_INTERVAL);
    let runtime = runtime.on_thread_park(get_features::tidy).build();
    let runtime = runtime.map_err(StartError::Threads)?;
    let (health, serving) = serve(&runtime, &sidecar, bound, feast)?;
    let probed: Arc<dyn Probed> = Arc::clone(&sidecar) as _;
    probes.of.get_or_init(|| Arc::downgrade(&probed));
    let parts = RunningParts { sidecar, runtime, serving, health, probes: thread };
    Ok(Running { addresses, opened, clock, parts: Some(parts) })
}

/// What is bound before anything else is done.
struct Sockets {
    bound: Vec<Bound>,
    feast: Option<Bound>,
    http: Option<std::net::TcpListener>,
    addresses: Addresses,
}

fn bind(config: &Config) -> Result<Sockets, StartError> {
    let failed = |key, address: String| move |error| StartError::Bind { address, key, error };
    let (mut bound, mut addresses) = (Vec::new(), Addresses::default());
    if let Some(address) = config.listen.tcp {
        let listener =
            listen::bind_tcp(address).map_err(failed("listen.tcp", address.to_string()))?;
        addresses.tcp = listener.local_addr().ok();
        bound.push(Bound::Tcp(listener));
    }
    if let Some(path) = &config.listen.unix {
        bound.push(
            listen::bind_unix(path).map_err(failed("listen.unix", path.display().to_string()))?,
        );
        addresses.unix = Some(path.clone());
    }
    let (mut feast, mut http) = (None, None);
    if let Some(address) = config.listen.feast_http {
        let listener =
            listen::bind_tcp(address).map_err(failed("listen.feast_http", address.to_string()))?;
        addresses.feast_http = listener.local_addr().ok();
        feast = Some(Bound::Tcp(listener));
    }
    if let Some(address) = config.listen.http {
        let listener =
            listen::bind_tcp(address).map_err(failed("listen.http", address.to_string()))?;
        addresses.http = listener.local_addr().ok();
        http = Some(listener);
    }
    Ok(Sockets { bound, feast, http, addresses })
}

/// Everything but sockets and threads of its own; the last is how many of those it is made for.
pub(crate) fn build(
    config: Config,
    clock: Clock,
    metrics: Arc<Metrics>,
) -> Result<(Arc<Sidecar>, OpenReport, usize), StartError> {
    let threads = config.threads();
    let repo = read_repo(&config)?;
    let engine = Engine::new(config.engine.clone())?;
    let cache = Some(DirCache::open(&config.cache_dir)?);
    let period = Duration::from_micros(config.life.tick_us);
    let ticker = Ticker::start(engine.clone(), period)?;
    let foundation = Foundation { engine, cache, metrics, threads, _ticker: ticker };
    let prepared = foundation.prepare(&config, &repo, Room::Own)?;
    let (store, opened) = Store::open(&config.store_dir, config.store.clone())?;
    let sidecar = Sidecar::new(config, clock, foundation, store, prepared)?;
    Ok((Arc::new(sidecar), opened, threads))
}

/// What grpc.health.v1 answers for: the process, and each service.
const HEALTH_NAMES: [&str; 6] = [
    "",
    FeatureRpc::NAME,
    IngestRpc::NAME,
    AdminRpc::NAME,
    FeastServing::NAME,
    GrpcFeatureServer::NAME,
];

fn serve(
    runtime: &Runtime,
    sidecar: &Arc<Sidecar>,
    bound: Vec<Bound>,
    feast_http: Option<Bound>,
) -> Result<(HealthReporter, Vec<JoinHandle<()>>), StartError> {
    let _entered = runtime.enter();
    let (health, health_service) = tonic_health::server::health_reporter();
    for name in HEALTH_NAMES {
        runtime.block_on(health.set_service_status(name, ServingStatus::Serving));
    }
    let mut routes = Routes::new(health_service);
    routes = routes.add_service(Mounted(FeatureRpc));
    routes = routes.add_service(Mounted(IngestRpc(Arc::clone(sidecar))));
    routes = routes.add_service(Mounted(AdminRpc::new(Arc::clone(sidecar))));
    routes = routes.add_service(Mounted(FeastServing));
    routes = routes.add_service(Mounted(GrpcFeatureServer(Arc::clone(sidecar))));
    routes = with_reflection(routes, skewless_proto::DESCRIPTORS);
    let mut serving = Vec::new();
    for socket in bound {
        let local = socket.local();
        let stop = sidecar.draining.clone();
        let (limits, metrics) = (&sidecar.config.limits, Arc::clone(&sidecar.metrics));
        let readers = sidecar.gates.readers.clone();
        let connections = listen::accept(socket, limits, metrics, readers, stop.clone());
        let connections = connections.map_err(StartError::Threads)?;
        let guard = Guard { sidecar: Arc::clone(sidecar), local, services: routes.clone() };
        serving.push(runtime.spawn(http2::serve(sidecar.config.clone(), guard, connections, stop)));
    }
    if let Some(socket) = feast_http {
        let (local, stop) = (socket.local(), sidecar.draining.clone());
        let (limits, metrics) = (&sidecar.config.limits, Arc::clone(&sidecar.metrics));
        let readers = sidecar.gates.readers.clone();
        let connections = listen::accept(socket, limits, metrics, readers, stop);
        let connections = connections.map_err(StartError::Threads)?;
        serving.push(runtime.spawn(feast::serve(Arc::clone(sidecar), connections, local)));
    }
    runtime.spawn(tick_store(Arc::clone(sidecar)));
    let (poisoned, told) = (sidecar.poisoned.clone(), health.clone());
    runtime.spawn(async move {
        poisoned.cancelled().await;
        say_not_serving(&told).await;
    });
    Ok((health, serving))
}

/// Tells health's callers and watchers what `/readyz` says from now on: draining and a poisoned store end only with the
/// process.
async fn say_not_serving(health: &HealthReporter) {
    for name in HEALTH_NAMES {
        health.set_service_status(name, ServingStatus::NotServing).await;
    }
}

/// With reflection of what these descriptors describe, and of health.
pub(crate) fn with_reflection(routes: Routes, descriptors: &'static [u8]) -> Routes {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    match (builder().build_v1(), builder().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => routes.add_service(v1).add_service(v1alpha),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "reflection is off");
            routes
        }
    }
}

/// Tells the store the time, so that rows that fell due are promoted and expired ones reclaimed.
async fn tick_store(sidecar: Arc<Sidecar>) {
    let mut every = tokio::time::interval(Duration::from_millis(sidecar.config.life.promote_ms));
    loop {
        tokio::select! {
            () = sidecar.draining.cancelled() => return,
            _ = every.tick() => sidecar.store.tick(sidecar.clock.now_us()),
        }
    }
}

impl Running {
    /// Where it answers.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What opening the store found.
    #[must_use]
    pub fn opened(&self) -> &OpenReport {
        &self.opened
    }

    /// Its clock; a manual one can be moved through it.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Answers a request as GetFeatures does, as a plain function: no socket, no scan of the message, no limit
    /// on calls at once. What comes is the encoded `GetFeaturesResponse`. For measuring the handler alone.
    pub fn get_features(
        &self,
        request: &pb::GetFeaturesRequest,
        deadline: Duration,
    ) -> Result<Bytes, ServeError> {
        let parts = self.parts.as_ref().ok_or(ServeError::NotReady { state: "draining" })?;
        let answer = get_features::answer(&parts.sidecar, request, Deadline::after(deadline))?;
        Ok(answer.message())
    }

    /// Reads the feature repo again, as SIGHUP and AdminService.Apply do. The message says what was refused;
    /// what was served before still is.
    pub fn reload(&self) -> Result<u64, String> {
        let Some(parts) = &self.parts else { return Err("the sidecar has ended".to_owned()) };
        match parts.sidecar.reload(false) {
            Ok(reloaded) => Ok(reloaded.new.number),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Compacts the whole store, which does by itself what it needs of that. For measuring what it does to calls. Blocks
    /// until it is done, which takes long.
    pub fn reclaim(&self) -> Result<(), StoreError> {
        self.parts.as_ref().map_or(Ok(()), |parts| parts.sidecar.store.reclaim())
    }

    /// Drains within the configured grace period, flushes and closes the store. Blocks until then.
    pub fn shutdown(mut self) -> Shutdown {
        self.end()
    }

    fn end(&mut self) -> Shutdown {
        let Some(parts) = self.parts.take() else {
            return Shutdown { drained: true, flushed: true };
        };
        // A runtime must not be dropped on a thread of another runtime, where the caller may be.
        let ended = std::thread::scope(|scope| scope.spawn(|| parts.end()).join());
        ended.unwrap_or(Shutdown { drained: false, flushed: false })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl RunningParts {
    fn end(self) -> Shutdown {
        let Self { sidecar, runtime, serving, health, probes } = self;
        let grace = Duration::from_millis(sidecar.config.life.grace_ms);
        let drained = runtime.block_on(async {
            say_not_serving(&health).await;
            sidecar.draining.cancel();
            let ended = async {
                for listener in serving {
                    drop(listener.await);
                }
            };
            let drained = async {
                tokio::select! {
                    () = ended => {}
                    () = idle(|| sidecar.idle()) => {}
                }
            };
            tokio::time::timeout(grace, drained).await.is_ok()
        });
        runtime.shutdown_timeout(if drained { LAST_WAIT } else { Duration::ZERO });
        let flushed = match sidecar.store.flush() {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the store wasn't flushed; its log is replayed at the next start");
                false
            }
        };
        drop(sidecar);
        drop(probes);
        Shutdown { drained, flushed }
    }
}

/// Returns once no call has been in work for [`IDLE_WAIT`].
pub(crate) async fn idle(is_idle: impl Fn() -> bool) {
    let mut idle_since = None;
    let mut every = tokio::time::interval(IDLE_LOOK);
    loop {
        every.tick().await;
        if !is_idle() {
            idle_since = None;
        } else if idle_since.get_or_insert_with(Instant::now).elapsed() >= IDLE_WAIT {
            return;
        }
    }
}

/// Runs a sidecar until SIGTERM or SIGINT, reloading on SIGHUP: what the binaries do.
pub fn run(config: Config) -> Result<Shutdown, StartError> {
    let signals = Signals::listen()?;
    let running = Server::start(config, Clock::system())?;
    announce(&running);
    let Some(parts) = &running.parts else { return Ok(Shutdown { drained: true, flushed: true }) };
    signals.until_end(async || reload_on_signal(&parts.sidecar).await);
    tracing::info!("draining");
    let shutdown = running.shutdown();
    tracing::info!(drained = shutdown.drained, flushed = shutdown.flushed, "ended");
    Ok(shutdown)
}

/// The signals of a process that serves. Listened to before anything else: one that comes during the start is acted on
/// after it.
pub(crate) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Threads)?;
        let entered = runtime.enter();
        let listen = |kind| signal(kind).map_err(StartError::Threads);
        let terminate = listen(SignalKind::terminate())?;
        let interrupt = listen(SignalKind::interrupt())?;
        let hangup = listen(SignalKind::hangup())?;
        drop(entered);
        Ok(Self { runtime, terminate, interrupt, hangup })
    }

    /// Waits for SIGTERM or SIGINT, and does what is to be done at each SIGHUP.
    pub(crate) fn until_end(self, mut reload: impl AsyncFnMut()) {
        let Self { runtime, mut terminate, mut interrupt, mut hangup } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    _ = hangup.recv() => reload().await,
                }
            }
        });
    }
}

async fn reload_on_signal(sidecar: &Arc<Sidecar>) {
    let theirs = Arc::clone(sidecar);
    let reload = move || giving_way(|| theirs.reload(false));
    // What else can become of it, it says itself.
    if let Err(error) = tokio::task::spawn_blocking(reload).await {
        tracing::error!(%error, "reload panicked; serving what was served before");
    }
}

/// Says whom to signal, what is bound and what was found.
fn announce(running: &Running) {
    let Some(parts) = &running.parts else { return };
    let snapshot = parts.sidecar.current.load();
    let Addresses { tcp, unix, http, feast_http } = &running.addresses;
    // What isn't bound is left out.
    tracing::info!(
        pid = std::process::id(),
        tcp = tcp.map(display),
        unix = unix.as_ref().map(|path| display(path.display())),
        http = http.map(display),
        feast_http = feast_http.map(display),
        "ready"
    );
    let (services, views) = (snapshot.catalog.services.len(), snapshot.catalog.views.len());
    let plugins = snapshot.plugins.len();
    tracing::info!(services, views, plugins, fingerprint = %snapshot.catalog.fingerprint, "definitions");
    let opened = &running.opened;
    tracing::info!(
        created = opened.created,
        views = opened.views,
        sequence = opened.sequence,
        "store"
    );
    warn_of(&snapshot.catalog);
}

#[cfg(test)]
mod tests;

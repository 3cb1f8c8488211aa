//! What a process has once: the engine with its clock, compiled plugins, warm workers; not what they compute.
//!
//! A forked child has a copy of all of it, but none of its threads: the clock would stand still, and a lock that another
//! thread held would stay locked. So a child is known by its process id and begins anew; the copy is left as it is, never
//! touched and never freed. Only compiled code is taken over (`code.rs`), so that nothing is compiled twice; what wasn't
//! compiled before is compiled on one thread there ([`compiles_in_parallel`]).
//!
//! Limits: the sidecar's, but for time: a call may take as long as in a backfill. At most [`WORKERS_KEPT_MAX`] workers wait
//! for the next call; each holds at most [`WARM_INSTANCES_MAX`] instances.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};
use skewless_catalog::Digest;
use skewless_engine::{
    CallError, Engine, EngineConfig, EngineError, Plugin, PluginError, Ticker, Worker,
};
use skewless_offline::{BACKFILL_TICK, backfill_limits, exchange};
use tokio::runtime::Runtime;

use crate::code::Code;
use crate::ready::Engines;
use crate::wanted::{Wanted, WantedField};

/// Workers that wait for a call. More threads than this may call at once; then some make a worker and drop it.
const WORKERS_KEPT_MAX: usize = 32;

/// Warm instances of one worker: of as many different plugins.
const WARM_INSTANCES_MAX: usize = 8;

/// How long a call of the main thread may take before it is done again where it can be interrupted. A call of 8,192 rows
/// takes about a millisecond.
const WATCHED_FOR: Duration = Duration::from_millis(200);

/// The sidecar's tick, of which its deadline is made.
const SERVING_TICK: Duration = Duration::from_millis(1);

/// A process's engine and what belongs to it.
pub(crate) struct Process {
    id: u32,
    engine: Mutex<Option<Running>>,
    plugins: Mutex<HashMap<Digest, Arc<Slot>>>,
    engines: Engines,
    workers: Mutex<Vec<Worker>>,
    /// The main thread's worker, and since when it works.
    watched: Mutex<Option<Worker>>,
    watch: Arc<Watch>,
    code: Code,
    runtime: Mutex<Option<Arc<Runtime>>>,
}

/// What the watching thread looks at.
#[derive(Default)]
struct Watch {
    stop: Arc<AtomicBool>,
    /// The tick after the one at which the call began; 0 if there is none.
    since: AtomicU64,
}

/// A plugin that somebody has, or is compiling.
type Slot = Mutex<Weak<Loaded>>;

struct Running {
    engine: Engine,
    _ticker: Ticker,
}

/// A plugin, compiled for one process.
pub(crate) struct Loaded {
    process: u32,
    pub(crate) plugin: Plugin,
    /// What it wants of a frame.
    pub(crate) inputs: Vec<WantedField>,
    /// What its answers are.
    pub(crate) outputs: SchemaRef,
}

static PROCESS: AtomicPtr<Process> = AtomicPtr::new(std::ptr::null_mut());

/// Whether engines of this process may compile on the threads of a pool, which is one for all that is linked here and is
/// begun by who compiles first. A forked child has the pool without its threads, and would wait for them for ever: so only
/// the process that asked first may.
pub(crate) fn compiles_in_parallel() -> bool {
    static FIRST: AtomicU32 = AtomicU32::new(0);
    let id = std::process::id();
    match FIRST.compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => true,
        Err(first) => first == id,
    }
}

impl Process {
    /// This process's; made when it is first asked for.
    #[expect(
        unsafe_code,
        reason = "a lock can't be waited for in a forked child: it may be held for ever"
    )]
    pub(crate) fn current() -> &'static Self {
        let id = std::process::id();
        let known = PROCESS.load(Ordering::Acquire);
        // SAFETY: null, or made below from a box that is never freed.
        if let Some(process) = unsafe { known.as_ref() }
            && process.id == id
        {
            return process;
        }
        // SAFETY: as above.
        let parent = unsafe { known.as_ref() };
        let code = parent.map(|parent| Code::of_child(&parent.code)).unwrap_or_default();
        let made = Box::into_raw(Box::new(Self {
            id,
            engine: Mutex::default(),
            plugins: Mutex::default(),
            engines: Engines::default(),
            workers: Mutex::default(),
            watched: Mutex::default(),
            watch: Arc::default(),
            code,
            runtime: Mutex::default(),
        }));
        match PROCESS.compare_exchange(known, made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: just made, never freed.
            Ok(_) => unsafe { &*made },
            Err(_) => {
                // SAFETY: just made, and nobody else has it.
                drop(unsafe { Box::from_raw(made) });
                Self::current()
            }
        }
    }

    /// The engine; its clock ticks from the first call on.
    pub(crate) fn engine(&self) -> Result<Engine, EngineError> {
        let mut running = locked(&self.engine);
        if let Some(running) = &*running {
            return Ok(running.engine.clone());
        }
        let serving = EngineConfig {
            warm_instances_max: WARM_INSTANCES_MAX,
            parallel_compilation: compiles_in_parallel(),
            ..EngineConfig::default()
        };
        let config = backfill_limits(&serving, SERVING_TICK, WORKERS_KEPT_MAX);
        let engine = Engine::new(config)?;
        let ticker = Ticker::start(engine.clone(), BACKFILL_TICK)?;
        watch(engine.clone(), Arc::clone(&self.watch))?;
        *running = Some(Running { engine: engine.clone(), _ticker: ticker });
        Ok(engine)
    }

    /// What waits for sidecars.
    pub(crate) fn runtime(&self) -> std::io::Result<Arc<Runtime>> {
        let mut known = locked(&self.runtime);
        if let Some(runtime) = &*known {
            return Ok(Arc::clone(runtime));
        }
        // One thread reads and writes for all connections; answers are decoded by who asked.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("skewless-client")
            .enable_all()
            .build()?;
        let runtime = Arc::new(runtime);
        *known = Some(Arc::clone(&runtime));
        Ok(runtime)
    }

    /// The plugin of this file, compiled once as long as somebody has it.
    pub(crate) fn load(&'static self, wasm: &[u8]) -> Result<Arc<Loaded>, LoadError> {
        let engine = self.engine()?;
        let digest = engine.inspect(wasm)?.digest;
        let slot = {
            let mut plugins = locked(&self.plugins);
            let used = |slot: &Slot| slot.try_lock().is_ok_and(|of| of.strong_count() > 0);
            plugins.retain(|_, slot| Arc::strong_count(slot) > 1 || used(slot));
            Arc::clone(plugins.entry(digest).or_default())
        };
        // Held while it compiles: who asks for the same waits for it instead of doing it again, and nobody else does.
        let mut known = locked(&slot);
        if let Some(loaded) = known.upgrade() {
            return Ok(loaded);
        }
        let plugin = engine.load(wasm, Some(&self.code))?;
        let signature = plugin.signature();
        let inputs = signature.inputs.iter().map(WantedField::from).collect();
        let outputs = signature.outputs.iter().map(|of| exchange::field_for(&of.name, of.ty));
        let outputs = Arc::new(Schema::new(outputs.collect::<Vec<_>>()));
        let loaded = Arc::new(Loaded { process: self.id, plugin, inputs, outputs });
        *known = Arc::downgrade(&loaded);
        Ok(loaded)
    }

    /// The engines of services.
    pub(crate) fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Where compiled plugins are kept.
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }

    /// Runs `call` with a worker of its own.
    pub(crate) fn run<T, E: From<EngineError> + From<CallError>>(
        &self,
        call: impl FnOnce(&mut Worker) -> Result<T, CallError>,
    ) -> Result<T, E> {
        let kept = locked(&self.workers).pop();
        let mut worker = match kept {
            Some(worker) => worker,
            None => Worker::new(&self.engine()?),
        };
        let result = call(&mut worker);
        let mut workers = locked(&self.workers);
        if workers.len() < WORKERS_KEPT_MAX {
            workers.push(worker);
        }
        Ok(result?)
    }

    /// As [`Process::run`], of the main thread: stopped when it takes longer than [`WATCHED_FOR`].
    pub(crate) fn run_watched<T, E: From<EngineError> + From<CallError>>(
        &'static self,
        call: impl FnOnce(&mut Worker) -> Result<T, CallError>,
    ) -> Result<T, E> {
        let engine = self.engine()?;
        let kept = locked(&self.watched).take();
        let mut worker =
            kept.unwrap_or_else(|| Worker::stoppable(&engine, Arc::clone(&self.watch.stop)));
        self.watch.stop.store(false, Ordering::Relaxed);
        self.watch.since.store(engine.ticks() + 1, Ordering::Relaxed);
        let result = call(&mut worker);
        self.watch.since.store(0, Ordering::Relaxed);
        *locked(&self.watched) = Some(worker);
        Ok(result?)
    }
}

impl Loaded {
    /// What it wants, in words.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted { owner: "the plugin", noun: "input", fields: &self.inputs }
    }

    /// Whether it was compiled for this process, and not for the one that this was forked from.
    pub(crate) fn is_here(&self) -> bool {
        self.process == std::process::id()
    }
}

/// Why a plugin couldn't be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The host can't run any.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It is none.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// Starts the thread that stops calls of the main thread that take long. It ends with the process, as the engine does.
fn watch(engine: Engine, watch: Arc<Watch>) -> Result<(), EngineError> {
    let look = move || loop {
        std::thread::sleep(WATCHED_FOR / 4);
        let since = watch.since.load(Ordering::Relaxed);
        let ticks = WATCHED_FOR.as_millis() / BACKFILL_TICK.as_millis();
        if since > 0 && u128::from(engine.ticks().saturating_sub(since)) >= ticks {
            watch.stop.store(true, Ordering::Relaxed);
        }
    };
    let thread = std::thread::Builder::new().name("skewless-watch".to_owned()).spawn(look);
    thread.map(|_| ()).map_err(|error| EngineError::Ticker(error.to_string()))
}

pub(crate) fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

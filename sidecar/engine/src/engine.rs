//! The engine: wasmtime as plugins need it, and the loading of plugins; not the running of them.
//!
//! One engine a process is enough; it is a handle, cheap to clone, and safe to share. It reads no
//! clock: deadlines are counted in ticks, and whoever owns the clock calls [`Engine::tick`] (or starts
//! a [`crate::Ticker`]). Without ticks nothing is ever interrupted.
//!
//! Settings, with the reason: Cranelift only (Winch had sandbox escapes and no exact epochs). Pooled
//! instances with resident memory (a fresh instance costs 3.5 us instead of 30). Epochs instead of
//! fuel (half the price). Inlining on for core modules (epoch checks sit at function entries: 36 % without,
//! 7 to 20 % with) and off for components, as the compiler then holds all functions at once (9 GB and
//! 70 s of processor time for a Python component of 18 MB, instead of 0.6 GB and 20 s). Relaxed SIMD and threads
//! off (not deterministic). NaN canonicalisation off in the compiler (2 to 3 times slower): the host does it at
//! the boundary. Concurrency support off (halves the price of a component call). No backtraces: a trap is an answer
//! here, not a bug to debug.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};
use skewless_catalog::Digest;
use wasmtime::component::Component;
use wasmtime::{
    Config, Inlining, InstanceAllocationStrategy, Module, PoolingAllocationConfig, Strategy,
};

use crate::cache::{self, CompileCache};
use crate::config::EngineConfig;
use crate::error::{EngineError, PluginError, bounded};
use crate::inspect::{self, Lane, PluginFacts};
use crate::plugin::Plugin;
use crate::rewrite;
use crate::ticker::Demand;

/// Loads plugins and owns what their instances live in. A cheap handle.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    modules: Host,
    /// Made for the first component: it reserves address space of its own.
    components: OnceLock<Host>,
    config: EngineConfig,
    ticks: AtomicU64,
    /// Length of a tick, microseconds; 0 if nobody said.
    tick_us: AtomicU64,
    plugins: AtomicU64,
    /// Whether somebody has to tick.
    demand: Arc<Demand>,
}

/// wasmtime with the settings of one lane.
struct Host {
    wasmtime: wasmtime::Engine,
    compatibility: Digest,
}

impl Engine {
    /// An engine with these limits.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        if let Some(&(field, expected)) = config.mistakes().first() {
            return Err(EngineError::Config { field, expected });
        }
        let modules = Host::new(&config, Lane::Core)?;
        let (components, ticks, tick_us, plugins, demand) = Default::default();
        let inner = Inner { modules, components, config, ticks, tick_us, plugins, demand };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The limits.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// Advances every deadline by one tick. The caller owns the clock; usually once a millisecond.
    pub fn tick(&self) {
        self.inner.ticks.fetch_add(1, Ordering::Relaxed);
        self.inner.modules.wasmtime.increment_epoch();
        if let Some(components) = self.inner.components.get() {
            components.wasmtime.increment_epoch();
        }
    }

    /// Ticks so far.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.inner.ticks.load(Ordering::Relaxed)
    }

    /// How long a tick is, microseconds, as far as a [`crate::Ticker`] said; for messages only.
    #[must_use]
    pub fn tick_us(&self) -> Option<u64> {
        Some(self.inner.tick_us.load(Ordering::Relaxed)).filter(|us| *us > 0)
    }

    /// Whether its [`crate::Ticker`] rests, as no plugin has run for a while. The next call rouses it.
    #[must_use]
    pub fn resting(&self) -> bool {
        self.inner.demand.resting()
    }

    pub(crate) fn demand(&self) -> &Arc<Demand> {
        &self.inner.demand
    }

    pub(crate) fn set_tick_us(&self, tick_us: u64) {
        self.inner.tick_us.store(tick_us, Ordering::Relaxed);
    }

    /// Reads a plugin file without running or compiling it, under this engine's limits.
    pub fn inspect(&self, wasm: &[u8]) -> Result<PluginFacts, PluginError> {
        inspect::inspect(wasm, &self.inner.config)
    }

    /// Checks and compiles a plugin, or takes its machine code from the cache. Runs none of it.
    ///
    /// Takes 25 ms for a plugin of 20 KB and 20 s for a Python component of 18 MB; from the cache 54 us
    /// and 6 ms. A cache entry that is damaged, cut or another's is compiled anew and replaced.
    pub fn load(
        &self,
        wasm: &[u8],
        cache: Option<&dyn CompileCache>,
    ) -> Result<Plugin, PluginError> {
        let facts = self.inspect(wasm)?;
        let id = self.inner.plugins.fetch_add(1, Ordering::Relaxed);
        let host = self.host(facts.lane)?;
        let engine = &host.wasmtime;
        match facts.lane {
            Lane::Core => {
                let restorable = facts.state.restorable() && !facts.state.globals.is_empty();
                let rewritten = if restorable {
                    Some(rewrite::export_globals(wasm, &facts.state.globals)?)
                } else {
                    None
                };
                let wasm = rewritten.as_deref().unwrap_or(wasm);
                let module = host.compiled(cache, &facts.digest, load_module, || {
                    let module = Module::from_binary(engine, wasm)?;
                    let code = cache.is_some().then(|| module.serialize()).transpose()?;
                    Ok((module, code))
                })?;
                Plugin::core(self, id, facts, &module)
            }
            Lane::Component => {
                let component = host.compiled(cache, &facts.digest, load_component, || {
                    let component = Component::from_binary(engine, wasm)?;
                    let code = cache.is_some().then(|| component.serialize()).transpose()?;
                    Ok((component, code))
                })?;
                Plugin::component(self, id, facts, &component)
            }
        }
    }

    fn host(&self, lane: Lane) -> Result<&Host, EngineError> {
        let Inner { modules, components, config, .. } = &*self.inner;
        match (lane, components.get()) {
            (Lane::Core, _) => Ok(modules),
            (Lane::Component, Some(host)) => Ok(host),
            (Lane::Component, None) => {
                let host = Host::new(config, Lane::Component)?;
                Ok(components.get_or_init(|| host))
            }
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Host {
    fn new(limits: &EngineConfig, lane: Lane) -> Result<Self, EngineError> {
        let host = |e: wasmtime::Error| EngineError::Host(bounded(&format!("{e:#}")).to_owned());
        let wasmtime = wasmtime::Engine::new(&wasmtime_config(limits, lane)).map_err(host)?;
        let compatibility = compatibility(&wasmtime);
        Ok(Self { wasmtime, compatibility })
    }

    /// The cache's entry if it is sound, otherwise the compiler's result, which is put into the cache.
    fn compiled<T>(
        &self,
        cache: Option<&dyn CompileCache>,
        plugin: &Digest,
        load: fn(&wasmtime::Engine, &[u8]) -> wasmtime::Result<T>,
        compile: impl FnOnce() -> wasmtime::Result<(T, Option<Vec<u8>>)>,
    ) -> Result<T, PluginError> {
        let key = &cache::key(plugin, &self.compatibility);
        let entry = cache.and_then(|cache| cache.get(key));
        if let Some(code) = entry.as_deref().and_then(|entry| cache::open(key, entry))
            && let Ok(loaded) = load(&self.wasmtime, code)
        {
            return Ok(loaded);
        }
        let wrong =
            |e: wasmtime::Error| PluginError::Compile(bounded(&format!("{e:#}")).to_owned());
        let (compiled, code) = compile().map_err(wrong)?;
        if let (Some(cache), Some(code)) = (cache, code) {
            cache.put(key, &cache::seal(key, &code));
        }
        Ok(compiled)
    }
}

#[expect(unsafe_code, reason = "machine code can only be loaded on trust")]
fn load_module(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: `code` passed `cache::open`: it is, byte for byte, what an engine with the same version and
    // settings compiled from this plugin and sealed. Whoever can forge a seal can write the cache's folder,
    // and `CompileCache` demands that only this process's user can.
    unsafe { Module::deserialize(engine, code) }
}

#[expect(unsafe_code, reason = "machine code can only be loaded on trust")]
fn load_component(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: as in `load_module`.
    unsafe { Component::deserialize(engine, code) }
}

/// Core instances of one component. What componentize-py 0.25.1 makes has 38: the interpreter's libraries and the glue between
/// them. One costs nothing until there is one.
const CORE_INSTANCES_MAX: u32 = 64;

fn wasmtime_config(limits: &EngineConfig, lane: Lane) -> Config {
    let (inlining, core_instances) = match lane {
        Lane::Core => (Inlining::Yes, 1),
        Lane::Component => (Inlining::No, CORE_INSTANCES_MAX),
    };
    let mut pool = PoolingAllocationConfig::new();
    // A component brings several core instances and tables, hence the factors; memories are the scarce
    // part, as each reserves address space.
    pool.total_core_instances(limits.instances_max.saturating_mul(core_instances))
        .total_component_instances(limits.instances_max)
        .total_memories(limits.instances_max)
        .total_tables(limits.instances_max.saturating_mul(4))
        .max_memory_size(limits.memory_bytes_max)
        .max_memories_per_module(1)
        .max_tables_per_module(4)
        .table_elements(limits.table_elements_max)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(4)
        .max_tables_per_component(16)
        .linear_memory_keep_resident(limits.keep_resident_bytes.min(limits.memory_bytes_max))
        .table_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .parallel_compilation(limits.parallel_compilation)
        .epoch_interruption(true)
        .max_wasm_stack(limits.stack_bytes_max)
        .compiler_inlining(inlining)
        .cranelift_nan_canonicalization(false)
        .concurrency_support(false)
        .wasm_relaxed_simd(false)
        // No plugin may use several memories (`inspect`), but what the runtime makes to pass values between the parts of a
        // composed component does.
        .wasm_multi_memory(true)
        .wasm_memory64(false);
    config
}

/// What machine code depends on besides the plugin: wasmtime's version, its settings, the processor.
fn compatibility(engine: &wasmtime::Engine) -> Digest {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    Digest(hasher.0.finalize().into())
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("config", self.config()).finish_non_exhaustive()
    }
}

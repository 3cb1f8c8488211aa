//! One instance in its own store: made, called, restored, thrown away; not which one is used when.
//!
//! A store is never used again after a trap, a deadline, a refusal or a lie. An instance is `Send`: it
//! moves with its worker.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use skewless_batch::{BatchView, OneRow};
use wasmtime::{Global, PoolConcurrencyLimitError, Store, Trap, Val};

use crate::abi::{ComponentLane, CoreLane, Input, Inputs};
use crate::config::EngineConfig;
use crate::error::{CallError, bounded};
use crate::limiter::Limiter;
use crate::plugin::{Code, Image, Plugin};
use crate::stop;

/// A plugin's instance with the store that holds it.
pub(crate) struct Instance {
    store: Store<Limiter>,
    lane: InstanceLane,
}

/// The lane it runs in ([`crate::inspect::Lane`]), with what its calls go through.
enum InstanceLane {
    Core { lane: CoreLane, globals: Vec<Global> },
    Component(ComponentLane),
}

/// Where the output of a call lies.
pub(crate) enum OutputAt {
    Core(Range<usize>),
    Component,
}

impl Instance {
    /// A fresh instance, whose calls `flag` ends when it is set. Start functions run here, under the deadline
    /// of `ticks`.
    pub(crate) fn new(
        plugin: &Plugin,
        ticks: u64,
        flag: Option<&Arc<AtomicBool>>,
    ) -> Result<Self, CallError> {
        let engine = plugin.engine();
        let config = engine.config();
        let mut store = Store::new(plugin.code().wasmtime(), Limiter::new(engine));
        store.limiter(|limiter| limiter);
        if let Some(flag) = flag {
            stop::watch(&mut store, flag);
        }
        stop::set_deadline(&mut store, ticks);
        let lane = match plugin.code() {
            Code::Core { pre, exports } => {
                let instance = pre
                    .instantiate(&mut store)
                    .map_err(|e| failure_new(&mut store, config, ticks, &e))?;
                let mut find = |export| instance.get_module_export(&mut store, export);
                let memory = find(&exports.memory).and_then(wasmtime::Extern::into_memory);
                let reserve = find(&exports.reserve).and_then(wasmtime::Extern::into_func);
                let transform = find(&exports.transform).and_then(wasmtime::Extern::into_func);
                let globals = exports
                    .globals
                    .iter()
                    .map(|export| find(export)?.into_global())
                    .collect::<Option<_>>();
                let lost =
                    || CallError::Instantiate("an export of the contract is gone".to_owned());
                let typed =
                    |e: wasmtime::Error| CallError::Instantiate(bounded(&e.to_string()).to_owned());
                let lane = CoreLane {
                    memory: memory.ok_or_else(lost)?,
                    reserve: reserve.ok_or_else(lost)?.typed(&store).map_err(typed)?,
                    transform: transform.ok_or_else(lost)?.typed(&store).map_err(typed)?,
                };
                InstanceLane::Core { lane, globals: globals.ok_or_else(lost)? }
            }
            Code::Component { pre, transform } => {
                let instance = pre
                    .instantiate(&mut store)
                    .map_err(|e| failure_new(&mut store, config, ticks, &e))?;
                let lost =
                    || CallError::Instantiate("the export of the contract is gone".to_owned());
                let transform = instance.get_func(&mut store, transform).ok_or_else(lost)?;
                let (buffer, output) = (Vec::new(), Vec::new());
                InstanceLane::Component(ComponentLane { transform, buffer, output })
            }
        };
        Ok(Self { store, lane })
    }

    /// One call under a deadline of `ticks`; `one_row` is the plugin's.
    pub(crate) fn call(
        &mut self,
        config: &EngineConfig,
        ticks: u64,
        one_row: Option<&OneRow>,
        rows: usize,
        inputs: Inputs<'_>,
    ) -> Result<OutputAt, CallError> {
        stop::set_deadline(&mut self.store, ticks);
        let input = Input::new(rows, inputs, one_row, config.input_bytes_max)?;
        let called = match &mut self.lane {
            InstanceLane::Core { lane, .. } => {
                lane.call(&mut self.store, config, &input).map(OutputAt::Core)
            }
            InstanceLane::Component(lane) => {
                lane.call(&mut self.store, config, &input).map(|()| OutputAt::Component)
            }
        };
        called.map_err(|error| match error {
            CallError::Deadline { tick_us, .. } => CallError::Deadline { ticks, tick_us },
            error => error,
        })
    }

    /// The output of the last call, checked to be a batch.
    pub(crate) fn output(&self, at: OutputAt) -> Result<BatchView<'_>, CallError> {
        match (&self.lane, at) {
            (InstanceLane::Core { lane, .. }, OutputAt::Core(at)) => lane.output(&self.store, at),
            (InstanceLane::Component(lane), OutputAt::Component) => lane.output(),
            _ => unreachable!("an output is read on the instance that gave it"),
        }
    }

    /// This fresh instance's state, `None` if its memory has more than `bytes_max` bytes.
    pub(crate) fn image(&mut self, bytes_max: usize) -> Option<Image> {
        let InstanceLane::Core { lane, globals } = &self.lane else { return None };
        let memory = lane.memory.data(&self.store);
        if memory.len() > bytes_max {
            return None;
        }
        let used = memory.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let (bytes, memory_bytes) = (memory[..used].into(), memory.len());
        let globals: Box<[Val]> =
            globals.iter().map(|global| global.get(&mut self.store)).collect();
        Some(Image { bytes, memory_bytes, globals })
    }

    /// Whether memory has the image's size, so that it can be restored.
    pub(crate) fn can_restore(&self, image: &Image) -> bool {
        matches!(&self.lane, InstanceLane::Core { lane, .. } if lane.memory.data_size(&self.store) == image.memory_bytes)
    }

    /// Makes memory and globals those of a fresh instance; false if that's not possible.
    pub(crate) fn restore(&mut self, image: &Image) -> bool {
        if !self.can_restore(image) {
            return false;
        }
        let InstanceLane::Core { lane, globals } = &self.lane else { return false };
        let (used, rest) = lane.memory.data_mut(&mut self.store).split_at_mut(image.bytes.len());
        used.copy_from_slice(&image.bytes);
        rest.fill(0);
        globals
            .iter()
            .zip(&image.globals)
            .all(|(global, value)| global.set(&mut self.store, *value).is_ok())
    }
}

/// How a panic ends in a guest. Its message is lost: what would tell it would have to bring all of the formatting of
/// every place that may panic, in every plugin. A native test doesn't show those that only the sandbox has.
const UNREACHABLE: &str = "wasm `unreachable` instruction executed, usually by a panic; a native test of the row shows its message. \
     If it passes there: a plugin has no clock, randomness, threads, files or network";

/// What a failed call was about, from what the store and wasmtime say.
pub(crate) fn failure(
    store: &mut Store<Limiter>,
    config: &EngineConfig,
    error: &wasmtime::Error,
) -> CallError {
    if let Some(refused) = store.data_mut().refused.take() {
        return refused;
    }
    match error.downcast_ref::<Trap>() {
        // The callers know how many ticks the call had, and how long one is.
        Some(Trap::Interrupt) => {
            CallError::Deadline { ticks: config.deadline_ticks, tick_us: None }
        }
        Some(Trap::StackOverflow) => CallError::Stack { max: config.stack_bytes_max },
        Some(Trap::UnreachableCodeReached) => CallError::Trap(UNREACHABLE.to_owned()),
        Some(trap) => {
            CallError::Trap(trap.to_string().trim_start_matches("wasm trap: ").to_owned())
        }
        None => CallError::Trap(bounded(&format!("{error:#}")).to_owned()),
    }
}

/// As [`failure`], for an instance that is being made.
fn failure_new(
    store: &mut Store<Limiter>,
    config: &EngineConfig,
    ticks: u64,
    error: &wasmtime::Error,
) -> CallError {
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return CallError::Instances { max: config.instances_max };
    }
    match failure(store, config, error) {
        CallError::Deadline { tick_us, .. } => CallError::Deadline { ticks, tick_us },
        CallError::Trap(message) if error.downcast_ref::<Trap>().is_none() => {
            CallError::Instantiate(message)
        }
        failure => failure,
    }
}

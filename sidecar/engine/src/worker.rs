//! One thread's warm instances, and one call with the right kind of state; not the plan, not the rows.
//!
//! A worker belongs to one thread at a time (`Send`, not shared): no lock is taken for a call. It keeps at
//! most `warm_instances_max` instances and forgets the least recently used. An instance is taken out of
//! the worker for its call and put back afterwards only if it may be used again, so that neither a trap
//! nor a panic can leave a bad one behind.
//!
//! A soft reset is due after every call under the default policy. It is done before the instance's next
//! call, or in [`Worker::tidy`], which a server calls once the answer is on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skewless_batch::{BatchView, Column, ColumnView, Type};
use skewless_catalog::{FrameSlot, InstancePolicy};

use crate::abi::Inputs;
use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::error::{CallError, bounded};
use crate::execute::StepReport;
use crate::halving::{Tried, cut, in_halves, may_halve};
use crate::instance::Instance;
use crate::plugin::{Plugin, Treatment};

/// One thread's warm instances and buffers.
pub struct Worker {
    engine: Engine,
    /// Ends its calls when it is set, see [`Worker::stoppable`].
    stop: Option<Arc<AtomicBool>>,
    #[expect(
        clippy::vec_box,
        reason = "a call takes one out and puts it back: moves of hundreds of bytes"
    )]
    warm: Vec<Box<Warm>>,
    /// Counts uses, to find the least recent one.
    uses: u64,
    pub(crate) steps: Vec<StepReport>,
    /// The last error of each step that broke, by the step's number.
    pub(crate) breaks: Vec<(usize, CallError)>,
    /// The rows a step is given when it isn't given all; kept for its memory.
    pub(crate) given: Vec<u32>,
    /// Where a step's outputs are while it runs; between steps placeholders of any type.
    pub(crate) taken: Vec<FrameSlot>,
}

struct Warm {
    plugin: Plugin,
    policy: InstancePolicy,
    used: u64,
    /// Must be restored to the plugin's image before its next call.
    dirty: bool,
    instance: Instance,
}

/// What a plugin answered.
#[derive(Debug)]
pub struct PluginOutput {
    /// One column per output of the signature; null where a row failed.
    pub columns: Vec<Column>,
    /// Per row the message it failed with.
    pub errors: Vec<Option<String>>,
}

/// What one call did besides answering.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct CallCost {
    /// Whether a new instance was made.
    pub(crate) fresh: bool,
}

impl Worker {
    /// A worker without warm instances.
    #[must_use]
    pub fn new(engine: &Engine) -> Self {
        Self {
            engine: engine.clone(),
            stop: None,
            warm: Vec::new(),
            uses: 0,
            steps: Vec::new(),
            breaks: Vec::new(),
            given: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// A worker that can be told to stop, by setting the flag: then it begins no call any more, and a running one
    /// ends within some ticks, whatever its deadline. Rows that weren't decided by then say so
    /// ([`crate::Undecided::Stopped`]). For jobs that somebody may interrupt; until then nothing is different.
    #[must_use]
    pub fn stoppable(engine: &Engine, stop: Arc<AtomicBool>) -> Self {
        Self { stop: Some(stop), ..Self::new(engine) }
    }

    /// Whether it was told to stop.
    pub(crate) fn stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// The engine whose plugins it runs.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Restores the instances that the last calls left used, so that the next calls needn't.
    pub fn tidy(&mut self) {
        self.warm.retain_mut(|warm| warm.clean());
    }

    /// Makes an instance ready for this plugin and policy, if the policy can keep one. Costs what a fresh
    /// instance costs; for servers that want the first request to be as fast as the others.
    pub fn warm_up(&mut self, plugin: &Plugin, policy: InstancePolicy) -> Result<(), CallError> {
        let (warm, _) = self.take(plugin, policy, self.engine.config().deadline_ticks)?;
        self.give_back(warm);
        Ok(())
    }

    /// Drops all warm instances, for example after plugins were replaced.
    pub fn clear(&mut self) {
        self.warm.clear();
    }

    /// How many warm instances it holds.
    #[must_use]
    pub fn warm_instances(&self) -> usize {
        self.warm.len()
    }

    /// Runs a plugin alone, under the default policy: for `plugin run`, for tests, for comparison with the
    /// same code run natively. NaNs are made canonical on both sides. More than `rows_max` rows are split; a
    /// failure of one call fails all.
    pub fn run_plugin(
        &mut self,
        plugin: &Plugin,
        rows: usize,
        inputs: &[ColumnView<'_>],
    ) -> Result<PluginOutput, CallError> {
        self.run_plugin_as(plugin, InstancePolicy::Reset, rows, inputs)
    }

    /// As [`Worker::run_plugin`], but a row fails only if it fails alone, as in [`Worker::execute`]: what
    /// breaks is halved, and the failed rows have their message. Fails only for what no row is to blame for.
    pub fn run_rows(
        &mut self,
        plugin: &Plugin,
        rows: usize,
        inputs: &[ColumnView<'_>],
    ) -> Result<PluginOutput, CallError> {
        check_inputs(plugin, rows, inputs)?;
        let mut output = PluginOutput::empty(plugin);
        in_halves(0..rows, self.engine.config().rows_max, &mut |range| {
            let ran = if range.len() == rows {
                self.run_plugin(plugin, rows, inputs)
            } else {
                let columns = cut(inputs.iter().copied(), range);
                let views: Vec<_> = columns.iter().map(Column::view).collect();
                self.run_plugin(plugin, range.len(), &views)
            };
            match ran {
                Ok(part) if range.len() == rows => output = part,
                Ok(part) => output.append(part),
                Err(error) if may_halve(range, &error) => return Ok(Tried::Broke),
                Err(error) if error.may_split() => output.fail(&error),
                Err(error) => return Err(error),
            }
            Ok(Tried::Settled)
        })?;
        Ok(output)
    }

    /// One call without rows, which none of the others makes: for tests, as a host may make it.
    pub fn run_no_rows(
        &mut self,
        plugin: &Plugin,
        policy: InstancePolicy,
    ) -> Result<(), CallError> {
        let inputs = plugin.signature().inputs.iter().map(|field| Column::new(field.ty));
        let columns: Vec<Column> = inputs.collect();
        let ticks = self.engine.config().deadline_ticks;
        self.call(plugin, policy, ticks, 0, Inputs::Columns(&columns), |_, _| ()).map(|_| ())
    }

    /// As [`Worker::run_plugin`], under a policy of choice: for tests and comparisons.
    pub fn run_plugin_as(
        &mut self,
        plugin: &Plugin,
        policy: InstancePolicy,
        rows: usize,
        inputs: &[ColumnView<'_>],
    ) -> Result<PluginOutput, CallError> {
        check_inputs(plugin, rows, inputs)?;
        let rows_max = self.engine.config().rows_max;
        let ticks = self.engine.config().deadline_ticks;
        let mut output = PluginOutput::empty(plugin);
        for start in (0..rows).step_by(rows_max) {
            let range = start..rows.min(start + rows_max);
            let copy = |view: &ColumnView<'_>| {
                let mut column = Column::new(view.ty());
                column.append(view, range.clone());
                column.canonicalize_nans();
                column
            };
            let columns: Vec<Column> = inputs.iter().map(copy).collect();
            let inputs = Inputs::Columns(&columns);
            self.call(plugin, policy, ticks, range.len(), inputs, |batch, errors| {
                output.take(batch, errors)
            })?;
        }
        output.columns.iter_mut().for_each(Column::canonicalize_nans);
        Ok(output)
    }

    /// One call: takes an instance, calls it, checks the answer, hands it to `read`, puts the instance back.
    pub(crate) fn call(
        &mut self,
        plugin: &Plugin,
        policy: InstancePolicy,
        ticks: u64,
        rows: usize,
        inputs: Inputs<'_>,
        read: impl FnOnce(&BatchView<'_>, Option<ColumnView<'_>>),
    ) -> Result<CallCost, CallError> {
        let (mut warm, fresh) = self.take(plugin, policy, ticks)?;
        let config = self.engine.config();
        let called = warm.instance.call(config, ticks, plugin.one_row(), rows, inputs);
        let answered = called.and_then(|at| {
            let batch = warm.instance.output(at)?;
            let errors = check_output(plugin, rows, &batch)?;
            read(&batch, errors);
            Ok(())
        });
        if answered.as_ref().map_or_else(CallError::keeps_instance, |()| true) {
            self.give_back(warm);
        }
        let answered = answered.map_err(|error| error.with_tick(self.engine.tick_us()));
        answered.map(|()| CallCost { fresh })
    }

    /// An instance in the state the policy promises, and whether it was made just now.
    fn take(
        &mut self,
        plugin: &Plugin,
        policy: InstancePolicy,
        ticks: u64,
    ) -> Result<(Box<Warm>, bool), CallError> {
        if !plugin.engine().is(&self.engine) {
            return Err(CallError::OtherEngine);
        }
        let mine = |warm: &Warm| warm.plugin.id() == plugin.id() && warm.policy == policy;
        if let Some(found) = self.warm.iter().position(|warm| mine(warm)) {
            let mut warm = self.warm.swap_remove(found);
            if warm.clean() {
                return Ok((warm, false));
            }
        }
        let made = Instance::new(plugin, ticks, self.stop.as_ref());
        let mut instance = made.map_err(|error| error.with_tick(self.engine.tick_us()))?;
        if plugin.treatment(policy) == Treatment::Restore {
            plugin.set_image(|| instance.image(self.engine.config().reset_bytes_max));
        }
        let plugin = plugin.clone();
        Ok((Box::new(Warm { plugin, policy, used: 0, dirty: false, instance }), true))
    }

    /// Keeps the instance if its policy lets it live.
    fn give_back(&mut self, mut warm: Box<Warm>) {
        warm.dirty = match warm.plugin.treatment(warm.policy) {
            Treatment::Drop => return,
            Treatment::Keep => false,
            Treatment::Restore => match warm.plugin.image() {
                Some(image) if warm.instance.can_restore(image) => true,
                _ => return,
            },
        };
        if self.warm.len() >= self.engine.config().warm_instances_max
            && let Some(oldest) = (0..self.warm.len()).min_by_key(|&at| self.warm[at].used)
        {
            self.warm.swap_remove(oldest);
        }
        self.uses += 1;
        warm.used = self.uses;
        self.warm.push(warm);
    }
}

impl Warm {
    /// Restores the instance if that is due; false if it can't be used again.
    fn clean(&mut self) -> bool {
        if self.dirty {
            let image = self.plugin.image();
            self.dirty = !image.is_some_and(|image| self.instance.restore(image));
        }
        !self.dirty
    }
}

impl PluginOutput {
    /// What a plugin answers to no rows.
    pub(crate) fn empty(plugin: &Plugin) -> Self {
        let outputs = plugin.signature().outputs.iter().map(|field| Column::new(field.ty));
        Self { columns: outputs.collect(), errors: Vec::new() }
    }

    pub(crate) fn append(&mut self, part: Self) {
        for (column, part) in self.columns.iter_mut().zip(&part.columns) {
            column.append(&part.view(), 0..part.len());
        }
        self.errors.extend(part.errors);
    }

    /// Adds a row that failed.
    pub(crate) fn fail(&mut self, error: &CallError) {
        self.columns.iter_mut().for_each(Column::push_null);
        self.errors.push(Some(bounded(&error.to_string()).to_owned()));
    }

    pub(crate) fn take(&mut self, batch: &BatchView<'_>, errors: Option<ColumnView<'_>>) {
        if errors.is_none() {
            for (index, column) in self.columns.iter_mut().enumerate() {
                column.append(&batch.column(index), 0..batch.rows());
            }
            self.errors.resize(self.errors.len() + batch.rows(), None);
            return;
        }
        // Once: in a build with debug assertions a view checks all its text.
        let from: Vec<_> = (0..self.columns.len()).map(|index| batch.column(index)).collect();
        for row in 0..batch.rows() {
            let message =
                errors.filter(|errors| !errors.is_null(row)).map(|errors| errors.utf8_at(row));
            for (column, from) in self.columns.iter_mut().zip(&from) {
                match message {
                    Some(_) => column.push_null(),
                    None => column.push_from(from, row),
                }
            }
            self.errors.push(message.map(|message| bounded(message).to_owned()));
        }
    }
}

/// Checks columns that don't come from a bound plan.
fn check_inputs(plugin: &Plugin, rows: usize, inputs: &[ColumnView<'_>]) -> Result<(), CallError> {
    let fields = &plugin.signature().inputs;
    if fields.len() != inputs.len() {
        let (expected, came) =
            (format!("the last of {}", fields.len()), format!("{} columns", inputs.len()));
        return Err(CallError::Input { index: fields.len().saturating_sub(1), expected, came });
    }
    for (index, (field, view)) in fields.iter().zip(inputs).enumerate() {
        if field.ty != view.ty() {
            let (expected, came) = (field.ty.to_string(), view.ty().to_string());
            return Err(CallError::Input { index, expected, came });
        }
        if view.len() != rows {
            let (expected, came) = (format!("{rows} rows"), view.len().to_string());
            return Err(CallError::Input { index, expected, came });
        }
    }
    Ok(())
}

/// Checks an output batch against the signature; gives its error column.
fn check_output<'a>(
    plugin: &Plugin,
    rows: usize,
    batch: &BatchView<'a>,
) -> Result<Option<ColumnView<'a>>, CallError> {
    let fields = &plugin.signature().outputs;
    if batch.rows() != rows {
        return Err(CallError::OutputRows { expected: rows, came: batch.rows() });
    }
    let has_errors = match batch.columns().checked_sub(fields.len()) {
        Some(0) => false,
        Some(1) => true,
        _ => {
            return Err(CallError::OutputColumns { expected: fields.len(), came: batch.columns() });
        }
    };
    let types = fields.iter().map(|field| field.ty);
    for (index, expected) in types.chain(has_errors.then_some(Type::Utf8)).enumerate() {
        let came = batch.column_type(index);
        if came != expected {
            return Err(CallError::OutputType { index, expected, came });
        }
    }
    let errors = has_errors.then(|| batch.column(fields.len()));
    Ok(errors.filter(|errors| errors.null_count() < rows))
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("warm", &self.warm.len()).finish_non_exhaustive()
    }
}

/// Workers move between threads, engines and programs are shared.
const _: () = {
    const fn send<T: Send>() {}
    const fn shared<T: Send + Sync>() {}
    send::<Worker>();
    shared::<Engine>();
    shared::<EngineConfig>();
    shared::<Plugin>();
    shared::<crate::program::Program>();
};

//! A service without stored features, ready to be computed over frames again and again: what a worker of Spark or Ray does
//! with every batch; not the service's definition, and not a backfill, which joins history and writes files.
//!
//! The steps are those of a backfill's last pass (offline's `compute.rs`): the same frame, the same
//! `Worker::execute`, the same limits.
//!
//! Limits: frames are computed by [`ROWS_MAX`] rows; [`MESSAGES_MAX`] messages are kept of one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use skewless_catalog::{Frame, FrameError, Plan};
use skewless_engine::{Budget, Engine, EngineConfig, EngineError, Program, Ticker, Worker};
use skewless_offline::{BACKFILL_TICK, exchange};

use crate::errors::{Failure, Kind};
use crate::frames::{self, Batches};
use crate::plugin::Messages;
use crate::process::locked;
use crate::wanted::{Wanted, WantedField, unfit};

/// Rows of a frame of the engine's: as many as one call of a plugin takes.
const ROWS_MAX: usize = 8_192;

/// Messages of failed rows that are kept; all are counted.
const MESSAGES_MAX: usize = 1_000;

/// Workers of an engine that wait for the next call, and frames of a service.
const KEPT_MAX: usize = 4;

/// An engine that all services of a process share whose configuration is the same: each reserves terabytes of address space,
/// of which a process has 128. Its workers keep warm instances of several services' plugins, as a sidecar's do.
pub(crate) struct Shared {
    engine: Engine,
    _ticker: Ticker,
    workers: Mutex<Vec<Stoppable>>,
}

/// A worker, and what it is stopped by.
pub(crate) struct Stoppable {
    worker: Worker,
    stop: Arc<AtomicBool>,
}

/// The engines of one process that services have.
#[derive(Default)]
pub(crate) struct Engines(Mutex<Vec<Weak<Shared>>>);

/// One service, compiled for this process.
pub(crate) struct Ready {
    shared: Arc<Shared>,
    program: Program,
    /// What it wants of a frame: keys, then request values.
    wanted: Vec<WantedField>,
    schema: SchemaRef,
    /// Frames to fill.
    frames: Mutex<Vec<Frame>>,
}

/// What a frame's rows gave.
pub(crate) struct Computed {
    pub(crate) batches: Batches,
    /// Failures: one a row and a transform that failed it.
    pub(crate) failed: usize,
    /// Rows, counted from 0, and why they failed, of the first.
    pub(crate) messages: Messages,
}

impl Engines {
    /// The engine of this configuration, ticking.
    pub(crate) fn of(&self, config: EngineConfig) -> Result<Arc<Shared>, EngineError> {
        let mut engines = locked(&self.0);
        engines.retain(|engine| engine.strong_count() > 0);
        let mut known = engines.iter().filter_map(Weak::upgrade);
        if let Some(shared) = known.find(|shared| *shared.engine.config() == config) {
            return Ok(shared);
        }
        let engine = Engine::new(config)?;
        let ticker = Ticker::start(engine.clone(), BACKFILL_TICK)?;
        let shared = Arc::new(Shared { engine, _ticker: ticker, workers: Mutex::default() });
        engines.push(Arc::downgrade(&shared));
        Ok(shared)
    }
}

impl Shared {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A worker for one call, which its flag ends.
    pub(crate) fn worker(&self) -> Stoppable {
        let kept = locked(&self.workers).pop();
        let taken = kept.unwrap_or_else(|| {
            let stop = Arc::new(AtomicBool::new(false));
            Stoppable { worker: Worker::stoppable(&self.engine, Arc::clone(&stop)), stop }
        });
        taken.stop.store(false, Ordering::Relaxed);
        taken
    }

    /// Keeps a worker for the next call.
    pub(crate) fn give_back(&self, worker: Stoppable) {
        let mut workers = locked(&self.workers);
        if workers.len() < KEPT_MAX {
            workers.push(worker);
        }
    }
}

impl Stoppable {
    /// What ends its calls.
    pub(crate) fn stop(&self) -> &Arc<AtomicBool> {
        &self.stop
    }
}

impl Ready {
    pub(crate) fn new(shared: Arc<Shared>, program: Program) -> Self {
        let plan = program.plan();
        let wanted = |name: &str, ty, nullable| WantedField { name: name.to_owned(), ty, nullable };
        let keys = plan.keys.iter().map(|key| wanted(&key.name, key.ty, false));
        let request = plan.request.iter().map(|of| wanted(&of.name, of.ty, of.nullable));
        let wanted = keys.chain(request).collect();
        let outputs = plan.outputs.iter().map(|of| exchange::field_for(&of.name, of.ty));
        let schema = Arc::new(Schema::new(outputs.collect::<Vec<_>>()));
        Self { shared, program, wanted, schema, frames: Mutex::default() }
    }

    /// The engine, which has its workers.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The service's features of a frame's rows, null where a transform failed; until the worker is stopped.
    pub(crate) fn compute(
        &self,
        service: &str,
        frame: &Batches,
        with: &mut Stoppable,
    ) -> Result<Computed, Failure> {
        let owner = format!("service `{service}`");
        let wanted = Wanted { owner: &owner, noun: "column", fields: &self.wanted };
        let chosen = wanted.chosen(&frame.schema)?;
        let batches = Batches { schema: Arc::clone(&self.schema), batches: Vec::new() };
        let mut computed = Computed { batches, failed: 0, messages: Vec::new() };
        let kept = locked(&self.frames).pop();
        let mut filled = kept.unwrap_or_else(|| Frame::new(self.program.plan()));
        let mut first = 0;
        for batch in &frame.batches {
            for start in (0..batch.num_rows()).step_by(ROWS_MAX) {
                let part = batch.slice(start, ROWS_MAX.min(batch.num_rows() - start));
                self.fill(&mut filled, &chosen, &part, first)?;
                self.run(&mut with.worker, &mut filled, first, &mut computed)?;
                first += part.num_rows();
            }
        }
        let mut frames = locked(&self.frames);
        if frames.len() < KEPT_MAX {
            frames.push(filled);
        }
        Ok(computed)
    }

    /// A frame in the state in which a backfill would have it; `first` is the row at which the part began.
    fn fill(
        &self,
        frame: &mut Frame,
        chosen: &[Option<usize>],
        part: &RecordBatch,
        first: usize,
    ) -> Result<(), Failure> {
        let plan = self.program.plan();
        frame.reset(part.num_rows());
        let slots = plan.request.iter().map(|of| of.slot);
        for (at, (field, chosen)) in self.wanted.iter().zip(chosen).enumerate() {
            let Some(array) = chosen.map(|chosen| part.column(chosen)) else { continue };
            let column = exchange::column_from(array, &field.name, field.ty);
            let column = column.map_err(|error| unfit(error, first))?;
            match at.checked_sub(plan.keys.len()).and_then(|at| slots.clone().nth(at)) {
                None => frame.keys[at] = column,
                Some(slot) => frame.slots[slot].column = column,
            }
        }
        frame.complete(plan).map_err(|error| incomplete(error, first))
    }

    fn run(
        &self,
        worker: &mut Worker,
        frame: &mut Frame,
        first: usize,
        computed: &mut Computed,
    ) -> Result<(), Failure> {
        let plan = self.program.plan();
        let reports = worker.execute(&self.program, frame, Budget::UNBOUNDED, &mut |_, _| {});
        // Such rows might pass the next time: to give them as failed would be a lie.
        if reports.iter().any(|report| report.undecided.is_some()) {
            let message =
                "expected a plugin instance for every call, all were in use (engine.instances_max)";
            return Err(
                Failure::new(Kind::Transform, message).next("compute on fewer threads at once")
            );
        }
        computed.failed += frame.failures_total;
        for failure in &frame.failures {
            if computed.messages.len() < MESSAGES_MAX {
                let transform = &plan.steps[failure.step].transform;
                let message = format!("{transform}: {}", failure.message);
                computed.messages.push((first + failure.row.unwrap_or(0), message));
            }
        }
        let rows = self.rows(plan, frame)?;
        computed.batches.batches.push(rows);
        Ok(())
    }

    fn rows(&self, plan: &Plan, frame: &Frame) -> Result<RecordBatch, Failure> {
        let array = |slot: usize| exchange::array_from(frame.slots[slot].column.clone());
        let arrays = plan.outputs.iter().map(|output| array(output.slot)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(frame.rows));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options);
        rows.map_err(|error| frames::broken(&error))
    }
}

fn incomplete(error: FrameError, first: usize) -> Failure {
    match error {
        FrameError::RequestNull { name, row } => {
            let row = first + row;
            let message = format!(
                "column `{name}`, row {row} (counted from 0): expected a value, since the request column is not declared \
                 nullable, came null"
            );
            Failure::new(Kind::Input, message).next(
                "give the row a value, or leave it out; a request value that may be null is declared with `nullable: true`",
            )
        }
        other => Failure::new(Kind::Input, other),
    }
}

/// The services that are ready, by name; of one process. A forked child makes its own.
#[derive(Default)]
pub(crate) struct Readies(Mutex<Option<Of>>);

struct Of {
    process: u32,
    services: HashMap<String, Arc<Ready>>,
}

impl Readies {
    /// The service's, if this process has it.
    pub(crate) fn find(&self, service: &str) -> Option<Arc<Ready>> {
        // Never waited for: who holds it is of this process and has Python's lock, or isn't there any more.
        let known = self.0.try_lock().ok()?;
        let known = known.as_ref().filter(|of| of.is_here())?;
        known.services.get(service).map(Arc::clone)
    }

    /// Keeps one, and gives the one that is kept.
    pub(crate) fn keep(&self, service: &str, ready: Arc<Ready>) -> Arc<Ready> {
        let Ok(mut known) = self.0.try_lock() else { return ready };
        if known.as_ref().is_some_and(|of| !of.is_here()) {
            // The parent's is never freed here: its threads, which that would wait for, are not there.
            std::mem::forget(known.take());
        }
        let of = known
            .get_or_insert_with(|| Of { process: std::process::id(), services: HashMap::new() });
        Arc::clone(of.services.entry(service.to_owned()).or_insert(ready))
    }
}

impl Of {
    fn is_here(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Readies {
    fn drop(&mut self) {
        let known = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|of| !of.is_here()) {
            // As in `keep`.
            std::mem::forget(known.take());
        }
    }
}

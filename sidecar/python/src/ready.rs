//! A service without stored features, ready to be computed over frames again and again: what a worker of Spark or Ray does
//! with every batch; not the service's definition, and not a backfill, which joins history and writes files.
//!
//! The steps are those of a backfill's last pass (offline's `compute.rs`): the same frame, the same
//! `Worker::execute`, the same limits.
//!
//! Limits: frames are computed by [`ROWS_MAX`] rows; [`MESSAGES_MAX`] messages are kept of one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use skewless_catalog::{Frame, FrameError, Plan};
use skewless_engine::{Budget, Engine, Program, Ticker, Worker};
use skewless_offline::exchange;

use crate::errors::{Failure, Kind};
use crate::frames::{self, Batches};
use crate::plugin::Messages;
use crate::process::locked;
use crate::wanted::{Wanted, WantedField, unfit};

/// Rows of a frame of the engine's: as many as one call of a plugin takes.
const ROWS_MAX: usize = 8_192;

/// Messages of failed rows that are kept; all are counted.
const MESSAGES_MAX: usize = 1_000;

/// Workers that wait for the next frame.
const KEPT_MAX: usize = 4;

/// One service, compiled for this process.
pub(crate) struct Ready {
    engine: Engine,
    _ticker: Ticker,
    program: Program,
    /// What it wants of a frame: keys, then request values.
    wanted: Vec<WantedField>,
    schema: SchemaRef,
    kept: Mutex<Vec<Kept>>,
}

/// A worker with what it is stopped by, and a frame to fill.
struct Kept {
    worker: Worker,
    stop: Arc<AtomicBool>,
    frame: Frame,
}

/// What a frame's rows gave.
pub(crate) struct Computed {
    pub(crate) batches: Batches,
    /// Failures: one a row and a transform that failed it.
    pub(crate) failed: usize,
    /// Rows, counted from 0, and why they failed, of the first.
    pub(crate) messages: Messages,
}

impl Ready {
    pub(crate) fn new(engine: Engine, ticker: Ticker, program: Program) -> Self {
        let plan = program.plan();
        let wanted = |name: &str, ty, nullable| WantedField { name: name.to_owned(), ty, nullable };
        let keys = plan.keys.iter().map(|key| wanted(&key.name, key.ty, false));
        let request = plan.request.iter().map(|of| wanted(&of.name, of.ty, of.nullable));
        let wanted = keys.chain(request).collect();
        let outputs = plan.outputs.iter().map(|of| exchange::field_for(&of.name, of.ty));
        let schema = Arc::new(Schema::new(outputs.collect::<Vec<_>>()));
        Self { engine, _ticker: ticker, program, wanted, schema, kept: Mutex::default() }
    }

    /// The service's features of a frame's rows, null where a transform failed; until `stop` is set.
    pub(crate) fn compute(
        &self,
        service: &str,
        frame: &Batches,
        stop: &Arc<AtomicBool>,
    ) -> Result<Computed, Failure> {
        let owner = format!("service `{service}`");
        let wanted = Wanted { owner: &owner, noun: "column", fields: &self.wanted };
        let chosen = wanted.chosen(&frame.schema)?;
        let batches = Batches { schema: Arc::clone(&self.schema), batches: Vec::new() };
        let mut computed = Computed { batches, failed: 0, messages: Vec::new() };
        let kept = locked(&self.kept).pop();
        let mut kept = kept.unwrap_or_else(|| {
            let stop = Arc::new(AtomicBool::new(false));
            let worker = Worker::stoppable(&self.engine, Arc::clone(&stop));
            Kept { worker, stop, frame: Frame::new(self.program.plan()) }
        });
        let mut first = 0;
        for batch in &frame.batches {
            for start in (0..batch.num_rows()).step_by(ROWS_MAX) {
                let part = batch.slice(start, ROWS_MAX.min(batch.num_rows() - start));
                kept.stop.store(stop.load(Ordering::Relaxed), Ordering::Relaxed);
                self.fill(&mut kept.frame, &chosen, &part, first)?;
                self.run(&mut kept, first, &mut computed)?;
                first += part.num_rows();
            }
        }
        let mut waiting = locked(&self.kept);
        if waiting.len() < KEPT_MAX {
            waiting.push(kept);
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

    fn run(&self, kept: &mut Kept, first: usize, computed: &mut Computed) -> Result<(), Failure> {
        let (plan, frame) = (self.program.plan(), &mut kept.frame);
        let reports = kept.worker.execute(&self.program, frame, Budget::UNBOUNDED, &mut |_, _| {});
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

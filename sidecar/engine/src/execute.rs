//! The one way to compute: runs a program's steps over a frame. Serving and backfill both come through
//! [`Worker::execute`]; it can't tell who asked.
//!
//! Rows are independent, and results never depend on how rows were put together: a row that holds a
//! failed input is left out and fails, and a call that fails with several rows is halved until every row
//! has either passed or failed alone (`halving.rs`). So one bad row in a backfill chunk of 8,192 fails exactly where it
//! would fail online in a request of one. Halving costs calls: `b` bad rows of `n` cost at most about
//! `2 b log2(n)` more, and never more than `2 n - 1` in all, as halving makes a tree with `n` leaves.
//!
//! A [`Budget`] bounds the time of it. Rows that couldn't be decided within it fail in the frame, too, but
//! their step says so ([`StepReport::undecided`]): such a frame isn't what a backfill would give, and
//! whoever asked for it must not answer with it.
//!
//! Cost a step, beyond the call: no allocation once a frame is warm, one pass over the inputs' statuses
//! (only those other steps wrote), one copy of the outputs from guest memory into the frame, one pass for
//! NaNs. Only rows that are left out or halved are copied on the host before the call.
//!
//! No clock is read: `watch` is told when a step starts and ends, and the caller reads its own.

use std::convert::Infallible;
use std::ops::Range;

use skewless_batch::{BatchView, Column, ColumnView, Type};
use skewless_catalog::frame::{FAILURES_MAX, Statuses};
use skewless_catalog::{Frame, FrameSlot, Status};

use crate::abi::Inputs;
use crate::error::{CallError, bounded};
use crate::halving::{Tried, cut, in_halves, may_halve};
use crate::program::{BoundStep, Program};
use crate::worker::Worker;

/// What an execution may spend. Calls need no bound of their own: `2 n - 1` is the most that `n` rows take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Ticks of the whole execution; each call's deadline is cut to what is left.
    pub ticks_max: u64,
}

impl Budget {
    /// No bound but the deadline of each call: for backfills, where every row must be decided.
    pub const UNBOUNDED: Self = Self { ticks_max: u64::MAX };

    /// For a request that may last `ticks_max` ticks in all.
    #[must_use]
    pub const fn online(ticks_max: u64) -> Self {
        Self { ticks_max }
    }
}

/// Why rows weren't decided. Neither is the plugin's doing: asked again, the same rows may pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Undecided {
    /// The budget's ticks were spent.
    Ticks,
    /// The host had no instance for a call (`instances_max`).
    Instances,
    /// The worker was told to stop ([`Worker::stoppable`]); nobody wants the frame any more.
    Stopped,
}

/// A moment in a step's life, for whoever has a clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The step's inputs are ready.
    Start,
    /// Its outputs are in the frame.
    End,
}

/// What one step did, for counters.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StepReport {
    /// Plugin calls.
    pub calls: u32,
    /// Instances made for them.
    pub instances: u32,
    /// Rows that weren't given to the plugin as an input had failed.
    pub rows_left_out: usize,
    /// Rows that failed here: by the plugin's own word, or because it broke.
    pub rows_failed: usize,
    /// The last break's kind, see [`CallError::word`]; none if the plugin only failed rows by its own word.
    pub broke: Option<&'static str>,
    /// Whether some of the failed rows weren't decided, and why; then the step's outputs aren't an answer.
    pub undecided: Option<Undecided>,
}

impl Worker {
    /// Runs every step of the program over the frame, whose lookups, keys and request columns are filled.
    /// Never fails as a whole: what fails is in the frame, as statuses and messages. One report a step.
    pub fn execute(
        &mut self,
        program: &Program,
        frame: &mut Frame,
        budget: Budget,
        watch: &mut dyn FnMut(usize, Phase),
    ) -> &[StepReport] {
        self.steps.clear();
        self.breaks.clear();
        for &slot in &program.float_slots {
            frame.slots[slot].column.canonicalize_nans();
        }
        let start = self.engine().ticks();
        for (number, step) in program.steps.iter().enumerate() {
            watch(number, Phase::Start);
            // Once the time was spent it stays spent: ticks and the deadlines of calls may be a tick apart.
            let spent = self.steps.iter().any(|step| step.undecided == Some(Undecided::Ticks));
            let budget = if spent { Budget::online(0) } else { budget };
            let report = self.step(number, step, frame, Spend { budget, start });
            self.steps.push(report);
            watch(number, Phase::End);
        }
        &self.steps
    }

    /// What [`Worker::execute`] gave last.
    #[must_use]
    pub fn reports(&self) -> &[StepReport] {
        &self.steps
    }

    /// The error of which a step's report has the kind, see [`StepReport::broke`].
    #[must_use]
    pub fn last_break(&self, step: usize) -> Option<&CallError> {
        self.breaks.iter().find(|(number, _)| *number == step).map(|(_, error)| error)
    }

    fn step(
        &mut self,
        number: usize,
        step: &BoundStep,
        frame: &mut Frame,
        spend: Spend,
    ) -> StepReport {
        let rows = frame.rows;
        let mut given = std::mem::take(&mut self.given);
        let all = !select(step, frame, &mut given);
        let rows_given = if all { rows } else { given.len() };

        // The outputs leave the frame while its inputs are read; their memory comes back with them.
        let mut outputs = Outputs::of(step, frame, std::mem::take(&mut self.taken));
        let mut run = Run {
            worker: self,
            step,
            given: if all { None } else { Some(&given) },
            outputs: &mut outputs,
            spend,
            report: StepReport { rows_left_out: rows - rows_given, ..StepReport::default() },
        };
        let inputs = Inputs::Slots(&frame.slots, &step.inputs);
        if let Some(error) = wrong_length(inputs, rows) {
            run.failed(0..rows_given, &error);
        } else if all {
            run.rows(inputs, rows);
        } else {
            let columns = picked(inputs, &given);
            run.rows(Inputs::Columns(&columns), rows_given);
        }
        let report = run.report;
        self.taken = outputs.put_back(number, step, frame);
        self.given = given;
        report
    }
}

/// Whether any row has a failed input; then `given` has the rows without one.
fn select(step: &BoundStep, frame: &Frame, given: &mut Vec<u32>) -> bool {
    let failed = |slot: usize, row: usize| {
        frame.slots[slot].status.get(row) == Some(Status::TransformFailed)
    };
    let any = |&slot: &usize| frame.slots[slot].status.contains(Status::TransformFailed);
    if !step.fallible.iter().any(any) {
        return false;
    }
    given.clear();
    let whole = |&row: &u32| !step.fallible.iter().any(|&slot| failed(slot, row as usize));
    // ROWS_MAX of a batch is 2^20; a frame has fewer than 2^32 rows.
    given.extend((0..frame.rows as u32).filter(whole));
    true
}

/// A caller's mistake that would otherwise be a batch of nonsense.
fn wrong_length(inputs: Inputs<'_>, rows: usize) -> Option<CallError> {
    let (index, column) = inputs.columns().enumerate().find(|(_, column)| column.len() != rows)?;
    let (expected, came) = (format!("{rows} rows"), column.len().to_string());
    Some(CallError::Input { index, expected, came })
}

/// Copies of the inputs with these rows only.
fn picked(inputs: Inputs<'_>, rows: &[u32]) -> Vec<Column> {
    let pick = |view: ColumnView<'_>| {
        let mut column = Column::with_capacity(view.ty(), rows.len());
        for run in rows.chunk_by(|a, b| a + 1 == *b) {
            column.append(&view, run[0] as usize..run[0] as usize + run.len());
        }
        column
    };
    inputs.views().map(pick).collect()
}

/// One step on its way over its rows.
struct Run<'a> {
    worker: &'a mut Worker,
    step: &'a BoundStep,
    /// Frame rows of the rows given, if not all are.
    given: Option<&'a [u32]>,
    outputs: &'a mut Outputs,
    spend: Spend,
    report: StepReport,
}

impl Run<'_> {
    /// Runs the first `rows` given rows, which are all that `inputs` holds.
    fn rows(&mut self, inputs: Inputs<'_>, rows: usize) {
        let rows_max = self.worker.engine().config().rows_max;
        let Ok(()) = in_halves::<Infallible>(0..rows, rows_max, &mut |range| {
            let tried = if range.len() == rows {
                self.attempt(inputs, range)
            } else {
                self.attempt(Inputs::Columns(&cut(inputs.views(), range)), range)
            };
            Ok(match tried {
                Err(error) if may_halve(range, &error) => {
                    self.broke(&error);
                    Tried::Broke
                }
                Err(error) => {
                    self.failed(range.clone(), &error);
                    Tried::Settled
                }
                Ok(()) => Tried::Settled,
            })
        });
    }

    /// One call with the rows `range`, which are all that `inputs` holds.
    fn attempt(&mut self, inputs: Inputs<'_>, range: &Range<usize>) -> Result<(), CallError> {
        if self.worker.stopped() {
            return Err(CallError::Stopped);
        }
        let engine = self.worker.engine();
        let deadline_ticks = engine.config().deadline_ticks;
        let ticks = self.spend.call(engine.ticks(), deadline_ticks)?;
        self.report.calls += 1;
        let Self { worker, step, given, outputs, report, .. } = self;
        let read = |batch: &BatchView<'_>, errors: Option<ColumnView<'_>>| {
            report.rows_failed += outputs.answered(step, *given, range, batch, errors);
        };
        let called = worker.call(&step.plugin, step.policy, ticks, range.len(), inputs, read);
        let cost = called.map_err(|error| match error {
            // Cut short by the budget, it may have passed in the time that every call has.
            CallError::Deadline { .. } if ticks < deadline_ticks => CallError::Budget,
            error => error,
        })?;
        self.report.instances += u32::from(cost.fresh);
        Ok(())
    }

    fn broke(&mut self, error: &CallError) {
        self.report.broke = Some(error.word());
        // The report of the step under way comes next.
        let number = self.worker.steps.len();
        match self.worker.breaks.last_mut() {
            Some((step, last)) if *step == number => *last = error.clone(),
            _ => self.worker.breaks.push((number, error.clone())),
        }
    }

    fn failed(&mut self, range: Range<usize>, error: &CallError) {
        self.broke(error);
        self.report.undecided = error.undecided().or(self.report.undecided);
        self.report.rows_failed += range.len();
        self.outputs.failed(self.given, range, error);
    }
}

/// What is left of a budget.
struct Spend {
    budget: Budget,
    start: u64,
}

impl Spend {
    /// The deadline of one more call, if there may be one.
    fn call(&self, now: u64, deadline_ticks: u64) -> Result<u64, CallError> {
        match self.budget.ticks_max.saturating_sub(now - self.start) {
            0 => Err(CallError::Budget),
            left => Ok(deadline_ticks.min(left)),
        }
    }
}

/// A step's output columns while it runs, and the messages of its failures.
struct Outputs {
    /// The step's, and behind them what is left of steps with more.
    slots: Vec<FrameSlot>,
    columns: usize,
    rows: usize,
    failures: Vec<(Option<usize>, String)>,
    failures_total: usize,
}

impl Outputs {
    /// Takes the step's outputs out of the frame and leaves placeholders, which nobody looks at before
    /// [`Self::put_back`]. Swapping them is all it costs.
    fn of(step: &BoundStep, frame: &mut Frame, mut slots: Vec<FrameSlot>) -> Self {
        let columns = step.outputs.len();
        while slots.len() < columns {
            slots.push(FrameSlot { column: Column::new(Type::Bool), status: Statuses::new() });
        }
        for (taken, &(_, slot)) in slots.iter_mut().zip(&step.outputs) {
            std::mem::swap(taken, &mut frame.slots[slot]);
            taken.column.clear();
            taken.status.clear();
        }
        Self { slots, columns, rows: frame.rows, failures: Vec::new(), failures_total: 0 }
    }

    /// Takes over an answer for the given rows `range`; how many of them failed by the plugin's word.
    fn answered(
        &mut self,
        step: &BoundStep,
        given: Option<&[u32]>,
        range: &Range<usize>,
        batch: &BatchView<'_>,
        errors: Option<ColumnView<'_>>,
    ) -> usize {
        if given.is_none() && errors.is_none() {
            for (slot, &(output, _)) in self.slots.iter_mut().zip(&step.outputs) {
                append_all(slot, batch, output);
            }
            return 0;
        }
        let mut failed = 0;
        for (row, index) in range.clone().enumerate() {
            let frame_row = given.map_or(index, |given| given[index] as usize);
            self.fill_up_to(frame_row);
            let message =
                errors.filter(|errors| !errors.is_null(row)).map(|errors| errors.utf8_at(row));
            if let Some(message) = message {
                failed += 1;
                self.fail(Some(frame_row), || bounded(message).to_owned());
                self.fill_up_to(frame_row + 1);
            } else {
                for (slot, &(output, _)) in self.slots.iter_mut().zip(&step.outputs) {
                    append(slot, &batch.column(output), row..row + 1);
                }
            }
        }
        failed
    }

    /// Fails the given rows `range`.
    fn failed(&mut self, given: Option<&[u32]>, range: Range<usize>, error: &CallError) {
        if range.is_empty() {
            return;
        }
        let row = |index: usize| given.map_or(index, |given| given[index] as usize);
        let one = (range.len() == 1).then(|| row(range.start));
        self.failures_total += range.len() - 1;
        self.fail(one, || bounded(&error.to_string()).to_owned());
        self.fill_up_to(row(range.end - 1) + 1);
    }

    fn fail(&mut self, row: Option<usize>, message: impl FnOnce() -> String) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push((row, message()));
        } else {
            self.failures_total += 1;
        }
    }

    /// Marks all rows before `row` that have no answer as failed.
    fn fill_up_to(&mut self, row: usize) {
        for slot in &mut self.slots[..self.columns] {
            let missing = row.saturating_sub(slot.status.len());
            if missing == 0 {
                continue;
            }
            slot.column.push_nulls(missing);
            slot.status.push_many(Status::TransformFailed, missing);
        }
    }

    /// Puts whole columns back into the frame; gives back the placeholders they were exchanged for.
    fn put_back(mut self, number: usize, step: &BoundStep, frame: &mut Frame) -> Vec<FrameSlot> {
        self.fill_up_to(self.rows);
        for (slot, &(_, index)) in self.slots.iter_mut().zip(&step.outputs) {
            slot.column.canonicalize_nans();
            std::mem::swap(slot, &mut frame.slots[index]);
        }
        for (row, message) in self.failures {
            frame.fail(number, row, message);
        }
        frame.failures_total += self.failures_total;
        self.slots
    }
}

/// Appends all rows of an output column with their statuses.
fn append_all(slot: &mut FrameSlot, batch: &BatchView<'_>, output: usize) {
    if slot.column.append_numbers(batch, output) {
        slot.status.push_many(Status::Present, batch.rows());
    } else {
        append(slot, &batch.column(output), 0..batch.rows());
    }
}

/// Appends rows of an output column with their statuses.
fn append(slot: &mut FrameSlot, view: &ColumnView<'_>, rows: Range<usize>) {
    slot.column.append(view, rows.clone());
    if view.null_count() == 0 {
        slot.status.push_many(Status::Present, rows.len());
    } else {
        let status = |row| if view.is_null(row) { Status::NullValue } else { Status::Present };
        slot.status.extend(rows.map(status));
    }
}

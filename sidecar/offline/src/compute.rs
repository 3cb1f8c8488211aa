//! The last pass of a backfill: the spine chunk by chunk, each made a frame, run by a worker, written
//! in order. One thread reads and fills, some run the plan, one writes. A fixed number of frames goes
//! round among them, and a chunk takes off only when its bytes have room: that bounds what is in flight
//! and who waits for whom. How large a chunk is, is `cut.rs`'s.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use skewless_catalog::{Frame, FrameError, Plan, Status};
use skewless_engine::{Budget, Engine, Program, StepReport, Worker};

use crate::OfflineError;
use crate::backfill::FeatureCounts;
use crate::columns;
use crate::config::WORKER_STACK_BYTES;
use crate::cut::{Cutter, OutputBytes, frame_bytes};
use crate::failures::Failures;
use crate::fill::fill_lookups;
use crate::join::Found;
use crate::memory::{ChunkBudget, Flight, Seat};
use crate::parquet_out::Output;
use crate::progress::Phase;
use crate::sort::Job;
use crate::spine::{Chunks, Lacking, ReadMost, Spine, SpineRows};

/// What the last pass needs.
pub(crate) struct Run<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) program: &'a Program,
    pub(crate) job: &'a Job,
    pub(crate) spine: &'a Spine,
    pub(crate) schema: SchemaRef,
    pub(crate) statuses: bool,
    pub(crate) workers: usize,
    pub(crate) chunk_rows: usize,
    pub(crate) budget: ChunkBudget,
}

/// The answers of one view, in spine order.
pub(crate) struct ViewFound {
    pub(crate) found: Found,
    /// The plan's lookups it answers, one per role.
    pub(crate) lookups: Vec<usize>,
    /// The view's features the answers hold, ascending.
    pub(crate) features: Vec<usize>,
}

/// What the last pass gives.
pub(crate) struct Computed {
    pub(crate) output: Output,
    /// Which rows of the spine lack what stored features are found by.
    pub(crate) lacking: Lacking,
    pub(crate) features: Vec<FeatureCounts>,
    pub(crate) failures_total: u64,
    pub(crate) failures: Failures,
}

/// A chunk on its way to a worker.
struct Task {
    number: u64,
    rows: SpineRows,
    frame: Frame,
    seat: Seat,
}

/// Why rows weren't decided.
const NO_INSTANCE: &str = "expected a plugin instance for every call, all were in use \
    (engine.instances_max); use fewer workers or transforms at once";

/// A chunk on its way to the writer.
struct Done {
    number: u64,
    first: u64,
    frame: Frame,
    /// What each step did.
    reports: Vec<StepReport>,
    batch: Result<RecordBatch, OfflineError>,
    seat: Seat,
}

/// Runs the plan over the whole spine.
pub(crate) fn run(
    run: Run<'_>,
    mut views: Vec<ViewFound>,
    output: Output,
) -> Result<Computed, OfflineError> {
    let plan = run.program.plan();
    let (tasks, tasks_in) = channel::<Task>();
    let (done, done_in) = channel::<Done>();
    let (frames, frames_in) = channel::<Frame>();
    // One a worker, one being filled, one being written: the bound of everything in flight.
    for _ in 0..run.workers + 2 {
        frames.send(Frame::new(plan)).map_err(|_| stopped("frames"))?;
    }
    let tasks_in = Mutex::new(tasks_in);
    let flight = Flight::new(run.budget.in_flight, &run.job.ledger);
    let outputs = OutputBytes::new(plan);
    let (run, flight, outputs) = (&run, &flight, &outputs);
    std::thread::scope(|scope| {
        let workers: Vec<ScopedJoinHandle<'_, ()>> = (0..run.workers)
            .map(|_| {
                let (tasks_in, done) = (&tasks_in, done.clone());
                // Guests run on the thread's own stack.
                let stack = WORKER_STACK_BYTES + run.engine.config().stack_bytes_max;
                let thread = std::thread::Builder::new().stack_size(stack);
                thread.spawn_scoped(scope, move || work(run, outputs, tasks_in, &done))
            })
            .collect::<Result<_, _>>()
            .map_err(|error| OfflineError::Worker(format!("can't start a thread: {error}")))?;
        drop(done);
        let writer = scope.spawn(move || {
            let _closes = Closes(flight);
            Writer::new(run, output).run(&done_in, &frames)
        });
        let read = read(run, &mut views, outputs, flight, tasks, &frames_in);
        let mut panicked = None;
        for worker in workers {
            panicked = worker.join().err().or(panicked);
        }
        let written = writer.join();
        if panicked.is_some() || written.is_err() {
            return Err(stopped("a thread that panicked"));
        }
        // The writer's error is the cause when reading stopped for want of frames.
        let computed = written.map_err(|_| stopped("the writer"))?;
        match (computed, read) {
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            (Ok(computed), Ok(lacking)) => Ok(Computed { lacking, ..computed }),
        }
    })
}

fn stopped(what: &str) -> OfflineError {
    OfflineError::Worker(format!("{what} stopped early"))
}

/// Sends everybody away who waits for room, however the writer ends.
struct Closes<'a>(&'a Flight);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Reads the spine and fills frames until either ends; how many rows lack what. When it is sent away before the end,
/// the writer has the error.
fn read(
    run: &Run<'_>,
    views: &mut [ViewFound],
    outputs: &OutputBytes,
    flight: &Arc<Flight>,
    tasks: Sender<Task>,
    frames: &Receiver<Frame>,
) -> Result<Lacking, OfflineError> {
    let plan = run.program.plan();
    let most = ReadMost { rows: run.chunk_rows, bytes: run.budget.read };
    let mut chunks = run.spine.chunks(plan, most, &run.job.ledger);
    let cutter = Cutter { run, outputs };
    let (mut number, mut lacking) = (0, Lacking::none(plan.keys.len()));
    while let Some((first, sizes)) = chunks.peek()? {
        run.job.cancel.check()?;
        let Ok(mut frame) = frames.recv() else { return Ok(lacking) };
        if !outputs.known() {
            // One at a time, until it shows how large a plugin's outputs are.
            flight.wait_until_empty();
        }
        let cut = cutter.cut(first, sizes, views)?;
        let Some(mut seat) = flight.board(cut.bytes) else { return Ok(lacking) };
        let rows = chunks.take(cut.rows)?;
        lacking.add(&rows.lacking);
        fill(run, plan, &chunks, &rows, views, &mut frame)?;
        seat.set(cut.bytes.max(rows.carried.get_array_memory_size() + frame_bytes(&frame)));
        if tasks.send(Task { number, rows, frame, seat }).is_err() {
            return Ok(lacking);
        }
        number += 1;
    }
    Ok(lacking)
}

/// A frame in the state in which the store would have left it.
fn fill(
    run: &Run<'_>,
    plan: &Plan,
    chunks: &Chunks,
    rows: &SpineRows,
    views: &mut [ViewFound],
    frame: &mut Frame,
) -> Result<(), OfflineError> {
    frame.reset(rows.carried.num_rows());
    for ((column, array), key) in frame.keys.iter_mut().zip(&rows.keys).zip(&plan.keys) {
        columns::append(column, array, &key.name)?;
    }
    for (request, array) in plan.request.iter().zip(&rows.request) {
        if let Some(array) = array {
            columns::append(&mut frame.slots[request.slot].column, array, &request.name)?;
        }
    }
    frame.complete(plan).map_err(|error| match error {
        FrameError::RequestNull { name, row } => {
            let (file, row) = chunks.locate(rows.first + row as u64);
            let expected = "a value, since the request column is not declared nullable (`nullable: true` under \
                            `requests`)"
                .to_owned();
            OfflineError::NullValue { file, column: name, row, expected }
        }
        other => OfflineError::Worker(other.to_string()),
    })?;
    for view in views {
        fill_lookups(run.job, plan, view, rows.first, frame)?;
    }
    Ok(())
}

/// Runs the plan over frames until there are no more.
fn work(run: &Run<'_>, outputs: &OutputBytes, tasks: &Mutex<Receiver<Task>>, done: &Sender<Done>) {
    // A call may last 30 s, which is long for somebody who has pressed Ctrl-C.
    let mut worker = Worker::stoppable(run.engine, run.job.cancel.shared());
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Task { number, rows, mut frame, mut seat }) = task else { return };
        let mut reports = Vec::new();
        // A chunk that went missing would be waited for, for ever.
        let computed = catch_unwind(AssertUnwindSafe(|| {
            let steps = worker.execute(run.program, &mut frame, Budget::UNBOUNDED, &mut |_, _| {});
            reports.extend_from_slice(steps);
            run.job.cancel.check()?;
            // Such rows might pass in the next run: to write them as failed would be a lie.
            if reports.iter().any(|report| report.undecided.is_some()) {
                return Err(OfflineError::Worker(NO_INSTANCE.to_owned()));
            }
            outputs.note(run.program.plan(), &frame);
            output_batch(run, &rows, &frame)
        }));
        let batch = computed.unwrap_or_else(|_| Err(stopped("a worker that panicked")));
        let written = batch.as_ref().map_or(0, RecordBatch::get_array_memory_size);
        seat.set(written + frame_bytes(&frame));
        let first = rows.first;
        drop(rows);
        if done.send(Done { number, first, frame, reports, batch, seat }).is_err() {
            return;
        }
    }
}

/// The chunk's output rows.
fn output_batch(
    run: &Run<'_>,
    rows: &SpineRows,
    frame: &Frame,
) -> Result<RecordBatch, OfflineError> {
    let mut arrays: Vec<ArrayRef> = rows.carried.columns().to_vec();
    for output in &run.program.plan().outputs {
        let slot = &frame.slots[output.slot];
        arrays.push(columns::array(&slot.column.view(), &output.name)?);
        if run.statuses {
            arrays.push(columns::statuses(&slot.status));
        }
    }
    RecordBatch::try_new(Arc::clone(&run.schema), arrays)
        .map_err(|error| OfflineError::parquet("output", error))
}

/// Puts chunks back in order and writes them.
struct Writer<'a> {
    run: &'a Run<'a>,
    computed: Computed,
    total: u64,
}

impl<'a> Writer<'a> {
    fn new(run: &'a Run<'a>, output: Output) -> Writer<'a> {
        let outputs = run.program.plan().outputs.iter();
        let features = outputs
            .map(|output| FeatureCounts { name: output.name.clone(), ..FeatureCounts::default() })
            .collect();
        let steps = run.program.plan().steps.iter();
        let failures = Failures::of(steps.map(|step| step.transform.as_str()));
        let lacking = Lacking::none(run.program.plan().keys.len());
        let computed = Computed { output, lacking, features, failures_total: 0, failures };
        Writer { run, computed, total: run.spine.rows() }
    }

    /// On an error it stops taking chunks and giving frames back, which stops everybody else.
    fn run(
        mut self,
        done: &Receiver<Done>,
        frames: &Sender<Frame>,
    ) -> Result<Computed, OfflineError> {
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        self.run.job.progress.report(&Phase::Compute, 0, self.total);
        for chunk in done {
            waiting.insert(chunk.number, chunk);
            while let Some(chunk) = waiting.remove(&next) {
                next += 1;
                self.count(&chunk);
                self.computed.output.write(chunk.batch?)?;
                self.run.job.progress.report(
                    &Phase::Compute,
                    self.computed.output.rows(),
                    self.total,
                );
                let kept = frame_bytes(&chunk.frame) <= self.run.budget.frame_kept;
                let frame = if kept { chunk.frame } else { Frame::new(self.run.program.plan()) };
                drop(chunk.seat);
                // Nobody waits for frames any more once the spine is read.
                let _ = frames.send(frame);
            }
        }
        Ok(self.computed)
    }

    fn count(&mut self, chunk: &Done) {
        let frame = &chunk.frame;
        let outputs = &self.run.program.plan().outputs;
        for (counts, output) in self.computed.features.iter_mut().zip(outputs) {
            for status in frame.slots[output.slot].status.iter() {
                *match status {
                    Status::Present => &mut counts.present,
                    Status::NullValue => &mut counts.null_value,
                    Status::NotFound => &mut counts.not_found,
                    Status::OutsideMaxAge => &mut counts.outside_max_age,
                    Status::TransformFailed => &mut counts.transform_failed,
                } += 1;
            }
        }
        self.computed.failures_total += frame.failures_total as u64;
        let steps = &self.run.program.plan().steps;
        let present = |slot: usize| frame.slots[slot].status.contains(Status::Present);
        let gave = |step: usize| steps[step].outputs.iter().any(|&(_, slot)| present(slot));
        self.computed.failures.count(&chunk.reports, gave);
        for failure in &frame.failures {
            let row = failure.row.map(|row| chunk.first + row as u64);
            self.computed.failures.keep(failure.step, row, &failure.message);
        }
    }
}

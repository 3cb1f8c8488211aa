//! A request's whole life, from the decoded message to the answer's bytes.
//!
//! 1. Pin the snapshot and read the clock once.
//! 2. Find the plan.
//! 3. Put keys and request columns into a frame, checked.
//! 4. Read the store, all views at one sequence.
//! 5. Run the transforms.
//! 6. Encode with provenance, and count.
//!
//! All of it runs on the thread that received the call, as handing it to another costs more than most calls
//! take: tens of microseconds for one entity. A call expected to take longer than 200 us (`cost.rs`; 5 ms when calls wait
//! for cores), such as about 20 ms for `limits.rows_max` entities, first hands over its thread's other duties. Either way it blocks
//! for at most the call's deadline plus one tick, as the deadline is looked at between the steps and bounds
//! the plugins.
//! Frame, worker and buffers come from pools and go back; the answer is one allocation of its exact size.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use skewless_catalog::frame::EVENT_NONE_US;
use skewless_catalog::{Frame, Plan, names};
use skewless_engine::{Budget, Phase, Program, Undecided, Worker};
use skewless_proto::v1 as pb;
use skewless_store::{LookupPhase, ReadScratch, StoreError};

use crate::breaks::Breaks;
use crate::config::Config;
use crate::encode::{self, Framed, Layout, Rest, Sizes, Wanted};
use crate::guard::Deadline;
use crate::http2;
use crate::metrics::ServiceMetrics;
use crate::sidecar::Sidecar;
use crate::snapshot::{Scratch, Served, Snapshot};
use crate::status::ServeError;
use crate::wire;

/// Frames of more rows are not kept for the next request: a few large requests would otherwise hold
/// memory for good.
const FRAME_ROWS_KEPT_MAX: usize = 1_024;

/// Answers one request. A panic in here costs this request, and its scratch is thrown away.
pub(crate) fn answer(
    sidecar: &Sidecar,
    request: &pb::GetFeaturesRequest,
    deadline: Deadline,
) -> Result<Framed, ServeError> {
    caught(|| {
        let pinned = Pinned::now(sidecar, |snapshot| plan_of(sidecar, snapshot, request))?;
        pinned.framed(sidecar, request, deadline)
    })
}

/// The same on the task of a connection, which a call leaves before it takes long.
pub(crate) async fn answer_here(
    sidecar: &Sidecar,
    request: &pb::GetFeaturesRequest,
    deadline: Deadline,
) -> Result<Framed, ServeError> {
    let pinned = caught(|| Pinned::now(sidecar, |snapshot| plan_of(sidecar, snapshot, request)))?;
    if !pinned.short(sidecar, request) {
        http2::leave().await;
    }
    caught(|| pinned.framed(sidecar, request, deadline))
}

/// Does what answers a request; a panic in it becomes the answer.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, ServeError>) -> Result<T, ServeError> {
    let caught = catch_unwind(AssertUnwindSafe(work));
    caught.unwrap_or_else(|panic| Err(ServeError::Panic(panic_text(&*panic))))
}

/// What one request is answered from, pinned once.
pub(crate) struct Pinned {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) served: Arc<Served>,
    now_us: i64,
    start: Instant,
}

/// What an answer is written from.
pub(crate) struct Done<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) plan: &'a Plan,
    pub(crate) frame: &'a Frame,
    pub(crate) rest: &'a Rest,
    pub(crate) sizes: &'a mut Sizes,
}

impl Pinned {
    /// Pins what is served now, with the plan that `find` takes of it.
    pub(crate) fn now(
        sidecar: &Sidecar,
        find: impl FnOnce(&Snapshot) -> Result<Arc<Served>, ServeError>,
    ) -> Result<Self, ServeError> {
        let start = Instant::now();
        let snapshot = sidecar.current.load_full();
        let now_us = sidecar.clock.now_us();
        let served = find(&snapshot)?;
        Ok(Self { snapshot, served, now_us, start })
    }

    /// Whether the call is expected to be so short that it runs in place.
    fn short(&self, sidecar: &Sidecar, request: &pb::GetFeaturesRequest) -> bool {
        let crowded = sidecar.gates.requests.crowded();
        self.served.cost.in_place(rows_claimed(request), crowded)
            && !sidecar.store.must_wait(self.now_us)
    }

    /// Computes the answer in the form of GetFeatures.
    fn framed(
        self,
        sidecar: &Sidecar,
        request: &pb::GetFeaturesRequest,
        deadline: Deadline,
    ) -> Result<Framed, ServeError> {
        self.answer(sidecar, request, deadline, |done| {
            let wanted = Wanted {
                columns: !request.omit_columns,
                float32_rows: request.row_major_float32,
                event_times: request.event_times,
            };
            let Done { layout, plan, frame, rest, sizes } = done;
            let bytes_max = sidecar.config.limits.response_bytes_max;
            encode::encode(layout, plan, frame, wanted, rest, sizes, bytes_max)
        })
    }

    /// Computes the answer, and writes it with `encode`. Of the request only what isn't about the plan or the answer's
    /// form is looked at: its columns and whether it wants timings.
    pub(crate) fn answer<T>(
        self,
        sidecar: &Sidecar,
        request: &pb::GetFeaturesRequest,
        deadline: Deadline,
        encode: impl FnOnce(Done<'_>) -> Result<T, ServeError>,
    ) -> Result<T, ServeError> {
        let in_place = self.short(sidecar, request);
        let Self { snapshot, served, now_us, start } = self;
        let mut frame = served.frames.take(|| Frame::new(served.plan()));
        let mut scratch = snapshot.workers.take(|| Scratch {
            worker: Worker::new(&sidecar.foundation.engine),
            read: ReadScratch::default(),
            lookups: Vec::new(),
            sizes: Sizes::default(),
        });
        let mut call = Call {
            sidecar,
            snapshot: &snapshot,
            served: &served,
            request,
            deadline,
            now_us,
            start,
        };
        let rows = rows_claimed(request);
        let answer = if in_place {
            call.run(&mut frame, &mut scratch, encode)
        } else {
            tokio::task::block_in_place(|| call.run(&mut frame, &mut scratch, encode))
        };
        if answer.is_ok() {
            served.cost.learn(rows, start.elapsed());
        }
        snapshot.workers.give_back(scratch);
        if frame.rows <= FRAME_ROWS_KEPT_MAX {
            served.frames.give_back(frame);
        }
        // A thread that handed over its duties may not come back to them for long.
        if in_place {
            LEFT_UNTIDY.set(Some(snapshot));
        } else {
            snapshot.workers.with_mine(|scratch| scratch.worker.tidy());
        }
        answer
    }
}

thread_local! {
    /// The snapshot whose worker this thread used last and left untidy.
    static LEFT_UNTIDY: Cell<Option<Arc<Snapshot>>> = const { Cell::new(None) };
}

/// Restores the plugin instances that this thread's last calls left used. Called when the thread has nothing
/// else to do: answers are on their way by then, and the next call finds everything ready. A thread that is
/// never idle restores each instance before its next use instead.
pub(crate) fn tidy() {
    if let Some(snapshot) = LEFT_UNTIDY.take() {
        snapshot.workers.with_mine(|scratch| scratch.worker.tidy());
    }
}

fn plan_of(
    sidecar: &Sidecar,
    snapshot: &Snapshot,
    request: &pb::GetFeaturesRequest,
) -> Result<Arc<Served>, ServeError> {
    use pb::get_features_request::Wanted as Asked;
    match &request.wanted {
        Some(Asked::Service(name)) => snapshot.service(name),
        Some(Asked::Features(list)) => snapshot.ad_hoc(&list.features, &sidecar.metrics),
        None => Err(ServeError::Field(
            "expected a service or a list of features, came neither".to_owned(),
        )),
    }
}

/// How many rows the first column claims to have; only to guess how long the call will take.
fn rows_claimed(request: &pb::GetFeaturesRequest) -> usize {
    let first = request.keys.first().or(request.request.first());
    first.map_or(1, |column| wire::rows_of(column).unwrap_or(1))
}

struct Call<'a> {
    sidecar: &'a Sidecar,
    snapshot: &'a Snapshot,
    served: &'a Served,
    request: &'a pb::GetFeaturesRequest,
    deadline: Deadline,
    now_us: i64,
    start: Instant,
}

impl Call<'_> {
    fn run<T>(
        &mut self,
        frame: &mut Frame,
        scratch: &mut Scratch,
        encode: impl FnOnce(Done<'_>) -> Result<T, ServeError>,
    ) -> Result<T, ServeError> {
        let limits = &self.sidecar.config.limits;
        let plan = self.served.plan();
        if self.request.row_major_float32 {
            self.served.layout.width()?;
        }
        fill(plan, self.request, limits.rows_max, frame)?;
        let decoded = Instant::now();
        self.deadline.check("before the store was read")?;
        scratch.read.wait_at_most(self.deadline.left());
        let sequence = self.read(frame, &mut scratch.read, &mut scratch.lookups)?;
        let read = Instant::now();
        self.deadline.check("while the store was read")?;
        let computing = Computing {
            program: &self.served.program,
            metrics: &self.served.metrics,
            breaks: &self.snapshot.breaks,
            config: &self.sidecar.config,
            deadline: self.deadline,
        };
        computing.run(frame, &mut scratch.worker)?;
        let computed = Instant::now();
        self.deadline.check("while transforms ran")?;
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let rest = Rest {
            provenance: pb::Provenance {
                service_fingerprint: plan.fingerprint.0.to_vec().into(),
                snapshot: self.snapshot.number,
                store_sequence: sequence,
                time_us: scratch.read.as_of_us().max(self.now_us),
            },
            timings: self.request.timings.then(|| pb::Timings {
                store_ns: nanos(read - decoded),
                compute_ns: nanos(computed - read),
            }),
        };
        let (layout, sizes) = (&self.served.layout, &mut scratch.sizes);
        let answer = encode(Done { layout, plan, frame, rest: &rest, sizes })?;
        let at = [self.start, decoded, read, computed, Instant::now()];
        count(&self.served.metrics, frame, &scratch.lookups, at);
        Ok(answer)
    }

    /// Reads all lookups at one sequence, which it gives, and times each; what a read that starts again
    /// spends on a lookup is added up.
    fn read(
        &self,
        frame: &mut Frame,
        scratch: &mut ReadScratch,
        times: &mut Vec<Duration>,
    ) -> Result<u64, StoreError> {
        times.clear();
        times.resize(self.served.metrics.lookups.len(), Duration::ZERO);
        let mut started = Instant::now();
        let store = &self.sidecar.store;
        store.read_timed(&self.served.store, self.now_us, frame, scratch, &mut |lookup, phase| {
            match phase {
                LookupPhase::Start => started = Instant::now(),
                LookupPhase::End => times[lookup] += started.elapsed(),
            }
        })
    }
}

/// What transforms run with.
pub(crate) struct Computing<'a> {
    pub(crate) program: &'a Program,
    pub(crate) metrics: &'a ServiceMetrics,
    pub(crate) breaks: &'a Breaks,
    pub(crate) config: &'a Config,
    pub(crate) deadline: Deadline,
}

impl Computing<'_> {
    /// Runs the transforms with the time that is left, and times each. A plan without one is executed all
    /// the same: it is the engine that makes NaNs canonical, here as in a backfill. Rows that couldn't be
    /// decided fail the request: a backfill would give them, so an answer without them would be a skew.
    pub(crate) fn run(&self, frame: &mut Frame, worker: &mut Worker) -> Result<(), ServeError> {
        let Self { program, metrics, config, deadline, .. } = self;
        let tick_us = config.life.tick_us.max(1);
        let left_us = u64::try_from(deadline.left().as_micros()).unwrap_or(u64::MAX);
        let budget = Budget::online((left_us / tick_us).max(1));
        let mut started = Instant::now();
        worker.execute(program, frame, budget, &mut |step, phase| match phase {
            Phase::Start => started = Instant::now(),
            Phase::End => metrics.steps[step].time.observe(started.elapsed().as_secs_f64()),
        });
        let reports = worker.reports();
        for (number, (report, step)) in reports.iter().zip(&metrics.steps).enumerate() {
            if report.rows_failed > 0 {
                step.rows_failed.inc_by(report.rows_failed as u64);
            }
            if let Some(word) = report.broke {
                step.broke(word);
                let of = &program.plan().steps[number];
                self.breaks.tell(of, word, worker.last_break(number));
            }
        }
        match reports.iter().find_map(|report| report.undecided) {
            None => Ok(()),
            // Nothing stops the workers of a server but the end of their time.
            Some(Undecided::Ticks | Undecided::Stopped) => {
                Err(deadline.passed("while transforms ran"))
            }
            Some(Undecided::Instances) => Err(ServeError::Busy {
                what: "plugin instances",
                limit: "engine.instances_max",
                max: config.engine.instances_max as usize,
            }),
        }
    }
}

/// Moments in order: start, decoded, read, computed, encoded.
fn count(metrics: &ServiceMetrics, frame: &Frame, lookups: &[Duration], at: [Instant; 5]) {
    let stages = [&metrics.decode, &metrics.store, &metrics.compute, &metrics.encode];
    for (stage, pair) in stages.into_iter().zip(at.windows(2)) {
        stage.observe((pair[1] - pair[0]).as_secs_f64());
    }
    metrics.total.observe((at[4] - at[0]).as_secs_f64());
    metrics.rows.inc_by(frame.rows as u64);
    for (lookup, time) in metrics.lookups.iter().zip(lookups) {
        lookup.time.observe(time.as_secs_f64());
    }
    for (lookup, times) in metrics.lookups.iter().zip(&frame.lookups) {
        let found = times.iter().filter(|us| **us != EVENT_NONE_US).count() as u64;
        lookup.found.inc_by(found);
        lookup.not_found.inc_by(times.len() as u64 - found);
    }
}

/// Puts keys and request columns into the frame, checked.
pub(crate) fn fill(
    plan: &Plan,
    request: &pb::GetFeaturesRequest,
    rows_max: usize,
    frame: &mut Frame,
) -> Result<(), ServeError> {
    let known_keys = plan.keys.iter().map(|key| key.name.as_str());
    refuse_unknown("join key", "keys", &request.keys, known_keys)?;
    let known_request = plan.request.iter().map(|column| column.name.as_str());
    refuse_unknown("request column", "request", &request.request, known_request)?;
    let rows = rows(plan, request)?;
    if rows > rows_max {
        return Err(ServeError::OverLimit {
            what: "rows",
            limit: "limits.rows_max",
            max: rows_max,
            came: rows,
        });
    }
    frame.reset(rows);
    for (at, (key, column)) in plan.keys.iter().zip(&mut frame.keys).enumerate() {
        let came = find(&request.keys, &key.name, at)
            .ok_or_else(|| missing("join key", "keys", &key.name, key.ty))?;
        wire::decode_column(came, rows, column)?;
    }
    for (at, column) in plan.request.iter().enumerate() {
        match find(&request.request, &column.name, at) {
            Some(came) => wire::decode_column(came, rows, &mut frame.slots[column.slot].column)?,
            None if column.nullable => {}
            None => return Err(missing("request column", "request", &column.name, column.ty)),
        }
    }
    Ok(frame.complete(plan)?)
}

/// The number of rows: that of the first column given; 1 if the plan needs none.
fn rows(plan: &Plan, request: &pb::GetFeaturesRequest) -> Result<usize, ServeError> {
    if let Some(key) = plan.keys.first() {
        let first = find(&request.keys, &key.name, 0);
        let first = first.ok_or_else(|| missing("join key", "keys", &key.name, key.ty))?;
        return Ok(wire::rows_of(first)?);
    }
    match request.request.first() {
        Some(column) => Ok(wire::rows_of(column)?),
        None => Ok(1),
    }
}

/// The column of a name; `at` is where it is if the columns come in the plan's order.
fn find<'a>(columns: &'a [pb::Column], name: &str, at: usize) -> Option<&'a pb::Column> {
    let expected = columns.get(at).filter(|column| column.name == name);
    expected.or_else(|| columns.iter().find(|column| column.name == name))
}

fn missing(kind: &str, field: &str, name: &str, ty: skewless_batch::Type) -> ServeError {
    ServeError::Field(format!("expected {kind} `{name}` of type {ty} in {field}, came none"))
}

/// Refuses columns that the plan doesn't have and columns that came twice.
pub(crate) fn refuse_unknown<'a>(
    kind: &str,
    field: &str,
    columns: &[pb::Column],
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), ServeError> {
    // As most clients send them: all that are known, each once, in that order.
    if columns.iter().map(|column| column.name.as_str()).eq(known.clone()) {
        return Ok(());
    }
    for (index, column) in columns.iter().enumerate() {
        let name = column.name.as_str();
        if !known.clone().any(|known| known == name) {
            let meant = names::nearest(name, known.clone());
            let meant = meant.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
            let all: Vec<&str> = known.clone().collect();
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            let message = format!(
                "expected in {field} only what is asked for ({all}), came {kind} `{name}`{meant}"
            );
            return Err(ServeError::Field(message));
        }
        if columns[..index].iter().any(|earlier| earlier.name == name) {
            return Err(ServeError::Field(format!(
                "expected {kind} `{name}` once in {field}, came twice"
            )));
        }
    }
    Ok(())
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Vec<pb::Column> {
        let column = |name: &&str| pb::Column { name: (*name).to_owned(), ..pb::Column::default() };
        names.iter().map(column).collect()
    }

    #[test]
    fn a_column_is_found_wherever_it_is() {
        let columns = named(&["b", "a", "c"]);
        for at in 0..4 {
            for name in ["a", "b", "c"] {
                assert_eq!(find(&columns, name, at).map(|column| column.name.as_str()), Some(name));
            }
            assert_eq!(find(&columns, "d", at), None);
        }
    }

    #[test]
    fn known_columns_come_in_any_order_and_each_at_most_once() {
        let refused = |names: &[&str]| {
            let known = ["a", "b", "c"].into_iter();
            let refused = refuse_unknown("join key", "keys", &named(names), known).err();
            refused.map(|error| error.to_string()).unwrap_or_default()
        };
        for accepted in [&["a", "b", "c"][..], &["c", "a", "b"], &["a", "b"], &["b"], &[]] {
            assert_eq!(refused(accepted), "");
        }
        for twice in [&["a", "b", "c", "c"][..], &["a", "b", "b"], &["a", "a"]] {
            let refused = refused(twice);
            assert!(refused.contains("once in keys, came twice"), "{twice:?}: {refused}");
        }
        for unknown in [&["a", "b", "d"][..], &["a", "b", "c", "d"], &["d"]] {
            let refused = refused(unknown);
            assert!(refused.contains("came join key `d`"), "{unknown:?}: {refused}");
        }
    }
}

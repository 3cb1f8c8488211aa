//! Calls at times that were fixed beforehand, answered or not, and how long each took *from the time it was
//! due*. A caller that waits for an answer before it asks again goes easy on a slow server just when that
//! matters (coordinated omission); this one doesn't. Shared by source with `tests/bench`.
//!
//! What can't be sent, as too many calls are unanswered, is counted and not sent later: it would be other load
//! than was asked for. Each thread has its connections, its part of the calls and its figures; nothing is
//! shared in the loop but the number of unanswered calls. Requests are encoded beforehand and answers not decoded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use super::alarm::Alarm;
use super::draw::{Arrivals, Due};
use super::raw::RawCodec;

/// Time between connecting and the first call: every thread is waiting for its first call by then.
const HEAD_START: Duration = Duration::from_millis(20);
/// Longest wait after which a thread looks whether it was stopped.
const STOP_LOOK: Duration = Duration::from_millis(100);
/// What a histogram can hold: an hour, in nanoseconds; longer waits count as an hour.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;
/// Three digits: a bucket is at most 0.1 % wide.
const DIGITS: u8 = 3;

/// What is called.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where; connected to as often as the load says.
    pub(crate) endpoint: Endpoint,
    /// The method.
    pub(crate) path: PathAndQuery,
    /// Encoded requests, taken in turn; at least one.
    pub(crate) requests: Arc<[Bytes]>,
}

/// How it is called.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Calls a second.
    pub(crate) rate_per_second: f64,
    /// How they follow each other.
    pub(crate) arrivals: Arrivals,
    /// Calls due before are sent, but not counted.
    pub(crate) warmup: Duration,
    /// Calls due within are counted.
    pub(crate) duration: Duration,
    /// Connections, over all threads.
    pub(crate) connections: usize,
    /// Unanswered calls at most, over all threads.
    pub(crate) concurrency: usize,
    /// Calls that take longer are given up.
    pub(crate) timeout: Duration,
    /// Threads that send and receive; never more than connections.
    pub(crate) threads: usize,
    /// Of Poisson arrivals.
    pub(crate) seed: u64,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Calls that were due: sent or not.
    pub(crate) due: u64,
    /// Calls that weren't sent, as `concurrency` were unanswered.
    pub(crate) unsent: u64,
    /// Calls whose answer came before the time was over; `latency` also has the later ones.
    pub(crate) answered_in_time: u64,
    /// Answers that came within the time measured, to calls that were due before it, too: of a server with a
    /// queue, what it answers once the queue is as long as it gets.
    pub(crate) answers_within: u64,
    /// Bytes of all answers.
    pub(crate) answer_bytes: u64,
    /// Calls that failed, by what came, with the first message.
    pub(crate) errors: BTreeMap<&'static str, Failed>,
    /// Nanoseconds from when an answered call was due to its answer.
    pub(crate) latency: Histogram<u64>,
    /// Nanoseconds from when an answered call was sent to its answer: what a closed loop would have seen.
    pub(crate) service: Histogram<u64>,
    /// Nanoseconds from when a call was sent to its refusal (`RESOURCE_EXHAUSTED`).
    pub(crate) refused: Histogram<u64>,
    /// Nanoseconds by which calls were sent later than due: this generator's own fault, part of `latency`.
    pub(crate) lateness: Histogram<u64>,
    /// The time measured: the duration asked for, less if it was stopped.
    pub(crate) time: Duration,
    /// Whether it was stopped.
    pub(crate) stopped: bool,
}

/// Calls that failed in one way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failed {
    /// How many.
    pub(crate) calls: u64,
    /// What the first said.
    pub(crate) first: String,
}

/// Connects, calls, and waits for the last answer; `stop` is asked often and ends it early. Blocks.
pub(crate) fn run(
    target: &Target,
    load: &Load,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Measured> {
    let threads = load.threads.min(load.connections).max(1);
    let unanswered = Arc::new(AtomicUsize::new(0));
    let mut shares = Vec::new();
    for thread in 0..threads {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut channels = Vec::new();
        for _ in (thread..load.connections).step_by(threads) {
            // As much room as there may be unanswered calls: none waits before it is a stream.
            let endpoint = target.endpoint.clone().buffer_size(load.concurrency.max(1));
            let channel = runtime.block_on(endpoint.connect());
            channels.push(channel.with_context(|| target.endpoint.uri().to_string())?);
        }
        let unanswered = Arc::clone(&unanswered);
        shares.push(Share { runtime, channels, unanswered, thread, threads });
    }
    let start = Instant::now() + HEAD_START;
    let parts: Vec<Result<Measured>> = std::thread::scope(|scope| {
        let running: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.run(target, load, start, stop)))
            .collect();
        let joined = running.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined.map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut whole = Measured::new(load.duration)?;
    for part in parts {
        whole.add(part?)?;
    }
    Ok(whole)
}

/// One thread's part.
struct Share {
    runtime: Runtime,
    channels: Vec<Channel>,
    unanswered: Arc<AtomicUsize>,
    thread: usize,
    threads: usize,
}

impl Share {
    fn run(
        self,
        target: &Target,
        load: &Load,
        start: Instant,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<Measured> {
        let measured = Arc::new(Mutex::new(Measured::new(load.duration)?));
        let stopped = self.runtime.block_on(self.send(target, load, start, stop, &measured))?;
        let mut result = std::mem::replace(&mut *locked(&measured), Measured::new(load.duration)?);
        if let Some(at) = stopped {
            result.stopped = true;
            result.time = at.saturating_duration_since(start + load.warmup).min(load.duration);
        }
        Ok(result)
    }

    /// Sends every call at its time and waits for the last answer; gives when it was stopped.
    async fn send(
        &self,
        target: &Target,
        load: &Load,
        start: Instant,
        stop: &(dyn Fn() -> bool + Sync),
        measured: &Arc<Mutex<Measured>>,
    ) -> Result<Option<Instant>> {
        let mut alarm = Alarm::new()?;
        let mut due =
            Due::new(load.arrivals, load.rate_per_second, self.thread, self.threads, load.seed);
        let end = load.warmup + load.duration;
        let (calls, mut answered) = mpsc::channel::<()>(1);
        let mut stopped = None;
        for number in 0.. {
            let after = due.next();
            if after >= end {
                break;
            }
            let due_at = start + after;
            if wait(&mut alarm, due_at, stop).await? {
                stopped = Some(Instant::now());
                break;
            }
            if !self.take_place(load.concurrency) {
                if after >= load.warmup {
                    let mut measured = locked(measured);
                    measured.due += 1;
                    measured.unsent += 1;
                }
                continue;
            }
            let at = (number * self.threads + self.thread) % target.requests.len();
            let call = Call {
                grpc: Grpc::new(self.channels[number % self.channels.len()].clone())
                    .max_decoding_message_size(usize::MAX),
                request: target.requests[at].clone(),
                path: target.path.clone(),
                timeout: load.timeout,
                due_at,
                from: start + load.warmup,
                end_at: start + end,
            };
            let (measured, unanswered) = (Arc::clone(measured), Arc::clone(&self.unanswered));
            let last = calls.clone();
            tokio::spawn(async move {
                let outcome = call.make().await;
                unanswered.fetch_sub(1, Ordering::Relaxed);
                locked(&measured).count(outcome);
                drop(last);
            });
        }
        // Nothing is ever sent: this ends when the last call has dropped its end.
        drop(calls);
        let _ = answered.recv().await;
        Ok(stopped)
    }

    /// Whether one more call may be unanswered; if so it is counted.
    fn take_place(&self, concurrency: usize) -> bool {
        let more = |now: usize| (now < concurrency).then_some(now + 1);
        self.unanswered.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// Waits until `at`; gives whether it was stopped before.
async fn wait(alarm: &mut Alarm, at: Instant, stop: &(dyn Fn() -> bool + Sync)) -> Result<bool> {
    loop {
        if stop() {
            return Ok(true);
        }
        let next = at.min(Instant::now() + STOP_LOOK);
        alarm.wait(next).await?;
        if next == at {
            return Ok(false);
        }
    }
}

struct Call {
    grpc: Grpc<Channel>,
    request: Bytes,
    path: PathAndQuery,
    timeout: Duration,
    due_at: Instant,
    from: Instant,
    end_at: Instant,
}

/// One call, as it went.
struct Outcome {
    due_at: Instant,
    sent_at: Instant,
    answered_at: Instant,
    /// When the time measured begins.
    from: Instant,
    end_at: Instant,
    answer: Result<usize, Option<Status>>,
}

impl Call {
    async fn make(self) -> Outcome {
        let Self { mut grpc, request, path, timeout, due_at, from, end_at } = self;
        let sent_at = Instant::now();
        let answer = tokio::time::timeout(timeout, async {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(tonic::Request::new(request), path, RawCodec).await
        });
        let answer = match answer.await {
            Ok(Ok(answer)) => Ok(answer.get_ref().len()),
            Ok(Err(status)) => Err(Some(status)),
            Err(_elapsed) => Err(None),
        };
        Outcome { due_at, sent_at, answered_at: Instant::now(), from, end_at, answer }
    }
}

impl Measured {
    fn new(time: Duration) -> Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS);
        Ok(Self {
            due: 0,
            unsent: 0,
            answered_in_time: 0,
            answers_within: 0,
            answer_bytes: 0,
            errors: BTreeMap::new(),
            latency: histogram()?,
            service: histogram()?,
            refused: histogram()?,
            lateness: histogram()?,
            time,
            stopped: false,
        })
    }

    /// Calls that were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.latency.len()
    }

    /// Calls that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().map(|failed| failed.calls).sum()
    }

    fn count(&mut self, outcome: Outcome) {
        let Outcome { due_at, sent_at, answered_at, from, end_at, answer } = outcome;
        let within = (from..=end_at).contains(&answered_at);
        self.answers_within += u64::from(answer.is_ok() && within);
        if due_at < from {
            return; // to warm up
        }
        self.due += 1;
        self.lateness.saturating_record(nanos(due_at, sent_at));
        match answer {
            Ok(bytes) => {
                self.latency.saturating_record(nanos(due_at, answered_at));
                self.service.saturating_record(nanos(sent_at, answered_at));
                self.answer_bytes += bytes as u64;
                self.answered_in_time += u64::from(answered_at <= end_at);
            }
            Err(status) => {
                let code = status.as_ref().map(Status::code);
                if code == Some(tonic::Code::ResourceExhausted) {
                    self.refused.saturating_record(nanos(sent_at, answered_at));
                }
                let name = code.map_or(GIVEN_UP, code_name);
                let first = || status.map_or_else(String::new, |of| of.message().to_owned());
                let failed = self.errors.entry(name);
                failed.or_insert_with(|| Failed { calls: 0, first: first() }).calls += 1;
            }
        }
    }

    fn add(&mut self, other: Self) -> Result<()> {
        self.due += other.due;
        self.unsent += other.unsent;
        self.answered_in_time += other.answered_in_time;
        self.answers_within += other.answers_within;
        self.answer_bytes += other.answer_bytes;
        for (name, failed) in other.errors {
            let known = self.errors.entry(name);
            known.or_insert_with(|| Failed { calls: 0, first: failed.first }).calls += failed.calls;
        }
        self.latency.add(&other.latency)?;
        self.service.add(&other.service)?;
        self.refused.add(&other.refused)?;
        self.lateness.add(&other.lateness)?;
        self.time = self.time.min(other.time);
        self.stopped |= other.stopped;
        Ok(())
    }
}

/// Calls without an answer within the timeout, beside the names of gRPC's codes.
pub(crate) const GIVEN_UP: &str = "no answer in time";

/// gRPC's own spelling.
pub(crate) fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn nanos(from: Instant, to: Instant) -> u64 {
    // A histogram of times begins at 1.
    u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX).max(1)
}

fn locked(measured: &Mutex<Measured>) -> std::sync::MutexGuard<'_, Measured> {
    measured.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(
        due_at: Instant,
        late: u64,
        took: u64,
        answer: Result<usize, Option<Status>>,
    ) -> Outcome {
        let ms = Duration::from_millis;
        let sent_at = due_at + ms(late);
        let end_at = due_at + ms(1_000);
        let answered_at = sent_at + ms(took);
        Outcome { due_at, sent_at, answered_at, from: due_at, end_at, answer }
    }

    #[test]
    fn a_call_that_was_sent_late_took_as_long_as_its_caller_waited() -> Result<()> {
        let mut measured = Measured::new(Duration::from_secs(1))?;
        let due_at = Instant::now();
        measured.count(outcome(due_at, 0, 2, Ok(10)));
        measured.count(outcome(due_at, 500, 2, Ok(10)));
        let ms = |of: &Histogram<u64>| of.max() / 1_000_000;
        assert_eq!((ms(&measured.latency), ms(&measured.service)), (502, 2));
        assert_eq!((measured.answered(), measured.answer_bytes), (2, 20));
        Ok(())
    }

    #[test]
    fn what_failed_is_no_latency_and_what_came_too_late_was_not_in_time() -> Result<()> {
        let mut measured = Measured::new(Duration::from_secs(1))?;
        let due_at = Instant::now();
        let refused = || Err(Some(Status::resource_exhausted("limits.in_flight_max")));
        measured.count(outcome(due_at, 0, 1, refused()));
        measured.count(outcome(due_at, 0, 1, refused()));
        measured.count(outcome(due_at, 0, 1, Err(None)));
        measured.count(outcome(due_at, 0, 1_001, Ok(1)));
        assert_eq!((measured.due, measured.answered(), measured.failed()), (4, 1, 3));
        assert_eq!((measured.answered_in_time, measured.answers_within), (0, 0));
        assert_eq!(measured.refused.len(), 2);
        let failed = measured.errors.get("RESOURCE_EXHAUSTED");
        let expected = Failed { calls: 2, first: "limits.in_flight_max".to_owned() };
        assert_eq!(failed, Some(&expected));
        assert_eq!(measured.errors.get(GIVEN_UP).map(|failed| failed.calls), Some(1));
        Ok(())
    }

    #[test]
    fn an_answer_within_the_time_measured_counts_whenever_its_call_was_due() -> Result<()> {
        let mut measured = Measured::new(Duration::from_secs(1))?;
        let due_at = Instant::now();
        let early = outcome(due_at, 0, 2, Ok(1));
        measured.count(Outcome { from: due_at + Duration::from_millis(1), ..early });
        assert_eq!((measured.due, measured.answered(), measured.answers_within), (0, 0, 1));
        let earlier = outcome(due_at, 0, 2, Ok(1));
        measured.count(Outcome { from: due_at + Duration::from_millis(3), ..earlier });
        measured.count(outcome(due_at, 0, 1_001, Ok(1)));
        assert_eq!((measured.due, measured.answered(), measured.answers_within), (1, 1, 1));
        Ok(())
    }
}

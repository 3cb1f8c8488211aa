//! How many GetFeatures calls are worked on, how many wait and for how long, and who is refused; not what
//! they ask for, and not the other services' calls.
//!
//! A call takes a place as soon as its headers have come: there are `limits.requests_in_flight_max` plus
//! `limits.queue_max` of them, and one more is refused at once, before a byte of it is decoded. It is begun
//! when a thread gets to it and fewer than `limits.requests_in_flight_max` are begun; else it waits, the
//! oldest first, at most `limits.queue_wait_ms_max` and never past its deadline. What it waits for a thread
//! counts: when the cores can't keep up, calls are refused rather than answered late, and at once if as many wait already
//! as are answered in that time (`pace.rs`). A call that is given up frees its place whatever it was doing, as that is
//! what dropping it does.
//!
//! A call computes without a pause on the thread that has it, so a hundred calls at hand would be a hundred computed in
//! a row, in which nobody reads a socket: calls that came meanwhile would wait where nobody counts. So a call whose
//! message has come needs a turn. There are few ([`TURNS_A_THREAD`]); when more calls have places, whoever takes one
//! lets the sockets be read first, and the next is whoever began first (`docs/decisions/0020-turns.md`).
//!
//! Cost of a call that needn't wait: some atomic additions and two locks of a semaphore, about 70 ns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::config::Limits;
use crate::guard::Deadline;
use crate::metrics::Metrics;
use crate::status::{Overload, ServeError};

mod pace;

use pace::{Drain, Pace};

/// Calls that compute or are about to, a thread: as many as keep it busy from one look at its sockets to the next.
const TURNS_A_THREAD: usize = 8;
/// Shorter waits for the pace of refusals aren't worth a timer, whose ticks are this long.
const TICK: Duration = Duration::from_millis(1);

/// The gate of all GetFeatures calls of a process.
pub(crate) struct Admission {
    begun: Arc<Semaphore>,
    turns: Semaphore,
    turns_max: usize,
    places: AtomicUsize,
    /// Calls whose messages have come: they compute or wait for a turn.
    lined_up: AtomicUsize,
    drain: Drain,
    pace: Pace,
    limits: Limits,
    metrics: Arc<Metrics>,
    refused: Refused,
}

/// Counters of refusals by reason; looked up once.
struct Refused {
    queue: Counter,
    wait: Counter,
    deadline: Counter,
    unsent: Counter,
}

/// A call's place: it may wait here to be begun. Free again when it is dropped.
pub(crate) struct Place {
    admission: Arc<Admission>,
    arrived: Instant,
}

/// While it lives, the call may be worked on.
pub(crate) struct Begun {
    _permit: OwnedSemaphorePermit,
}

/// While it lives, the call may compute.
pub(crate) struct Turn<'a> {
    drain: &'a Drain,
    /// Nothing is learnt of calls that nobody waits for.
    crowded: bool,
    _permit: Option<SemaphorePermit<'a>>,
    _line: Line<'a>,
}

/// Counts a call as lined up until it is dropped.
struct Line<'a>(&'a AtomicUsize);

impl Admission {
    /// For calls that are worked on by so many threads.
    pub(crate) fn new(limits: &Limits, threads: usize, metrics: Arc<Metrics>) -> Self {
        let turns_max = threads * TURNS_A_THREAD;
        let refused = Refused {
            queue: metrics.refused("queue"),
            wait: metrics.refused("wait"),
            deadline: metrics.refused("deadline"),
            unsent: metrics.refused("unsent"),
        };
        Self {
            begun: Arc::new(Semaphore::new(limits.requests_in_flight_max)),
            turns: Semaphore::new(turns_max),
            turns_max,
            places: AtomicUsize::new(0),
            lined_up: AtomicUsize::new(0),
            drain: Drain::new(),
            pace: Pace::new(threads),
            limits: limits.clone(),
            metrics,
            refused,
        }
    }

    /// A place for a call whose headers came at `arrived`, or a refusal.
    pub(crate) fn arrive(self: &Arc<Self>, arrived: Instant) -> Result<Place, ServeError> {
        let limits = &self.limits;
        let unsent_bytes = usize::try_from(self.metrics.unsent_bytes.get()).unwrap_or(0);
        if unsent_bytes >= limits.unsent_bytes_max {
            self.refused.unsent.inc();
            return Err(self.overload(Overload::Unsent { max: limits.unsent_bytes_max }));
        }
        let place = Place { admission: Arc::clone(self), arrived };
        let others = self.places.fetch_add(1, Ordering::Relaxed);
        if others >= limits.requests_in_flight_max + limits.queue_max {
            self.refused.queue.inc();
            self.pace.refused(arrived);
            let (in_flight_max, queue_max) = (limits.requests_in_flight_max, limits.queue_max);
            return Err(self.overload(Overload::Queue { in_flight_max, queue_max }));
        }
        let waiting = usize::try_from(self.metrics.waiting.get()).unwrap_or(0);
        let waiting = waiting + self.lined_up.load(Ordering::Relaxed);
        // Only in a crowd: what is learnt is learnt there, so a slow spell's forecast must let one gather again.
        if others > self.turns_max && waiting > self.drain.calls_in(self.wait_max()) {
            self.refused.wait.inc();
            self.pace.refused(arrived);
            let wait_ms = limits.queue_wait_ms_max;
            return Err(self.overload(Overload::Crowd { waiting, wait_ms }));
        }
        Ok(place)
    }

    /// Whether more calls are here than cores can take.
    pub(crate) fn crowded(&self) -> bool {
        self.places.load(Ordering::Relaxed) > self.turns_max
    }

    /// Waits until a call that has been received may compute: the thread that polls this then does. At most until its
    /// deadline.
    pub(crate) async fn turn(&self, deadline: Deadline) -> Result<Turn<'_>, ServeError> {
        self.lined_up.fetch_add(1, Ordering::Relaxed);
        let line = Line(&self.lined_up);
        let crowded = self.crowded();
        let permit = match self.turns.try_acquire() {
            Ok(permit) if crowded => {
                // Behind this thread's other tasks, and a look at the sockets. The turn is kept meanwhile, so that
                // those who come wait for it in their order.
                tokio::task::yield_now().await;
                Some(permit)
            }
            Ok(permit) => Some(permit),
            Err(_) => {
                let free = tokio::time::timeout_at(deadline.at().into(), self.turns.acquire());
                let free =
                    free.await.map_err(|_| deadline.passed("while the call waited for its turn"));
                // It is never closed; were it, turns would be no bound on what is worked on, others are.
                free?.ok()
            }
        };
        Ok(Turn { drain: &self.drain, crowded, _permit: permit, _line: line })
    }

    /// How long to leave sockets unread, if at all: refusals are ahead of their pace, and enough calls are here to
    /// go on with.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let ahead = self.pace.ahead();
        if ahead < TICK {
            return None;
        }
        let limits = &self.limits;
        let queue = limits.queue_max.min(self.drain.calls_in(self.wait_max()));
        let places_max = limits.requests_in_flight_max.saturating_add(queue);
        let enough = self.places.load(Ordering::Relaxed) >= places_max / 2;
        enough.then_some(TICK)
    }

    fn wait_max(&self) -> Duration {
        Duration::from_millis(self.limits.queue_wait_ms_max)
    }

    /// Whether no call has a place.
    pub(crate) fn idle(&self) -> bool {
        self.places.load(Ordering::Relaxed) == 0
    }

    /// By the time it names, whatever waits now has been begun or refused.
    fn overload(&self, why: Overload) -> ServeError {
        ServeError::Overload { why, retry_ms: self.limits.queue_wait_ms_max }
    }
}

impl Place {
    /// Waits until the call may be worked on.
    pub(crate) async fn begin(&self, deadline: Deadline) -> Result<Begun, ServeError> {
        let admission = &self.admission;
        let until = (self.arrived + admission.wait_max()).min(deadline.at());
        if Instant::now() >= until {
            return Err(self.late(deadline));
        }
        // The semaphore hands what is free to those who wait, in their order: none is left for others then.
        let permit = match Arc::clone(&admission.begun).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = Waiting::start(&admission.metrics);
                let permit = Arc::clone(&admission.begun).acquire_owned();
                match tokio::time::timeout_at(until.into(), permit).await {
                    Ok(Ok(permit)) => permit,
                    // It is never closed; were it, nothing could be begun in time.
                    Ok(Err(_)) | Err(_) => return Err(self.late(deadline)),
                }
            }
        };
        admission.metrics.admitted.inc();
        Ok(Begun { _permit: permit })
    }

    fn late(&self, deadline: Deadline) -> ServeError {
        let admission = &self.admission;
        if let Err(passed) = deadline.check("while the call waited to be begun") {
            admission.refused.deadline.inc();
            return passed;
        }
        admission.refused.wait.inc();
        admission.pace.refused(Instant::now());
        admission.overload(Overload::Wait { wait_ms: admission.limits.queue_wait_ms_max })
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.crowded {
            self.drain.ended(Instant::now());
        } else {
            self.drain.calm();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.places.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a call as waiting until it is dropped.
struct Waiting<'a>(&'a Metrics);

impl<'a> Waiting<'a> {
    fn start(metrics: &'a Metrics) -> Self {
        metrics.queued.inc();
        metrics.waiting.inc();
        Self(metrics)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.dec();
    }
}

#[cfg(test)]
mod tests;

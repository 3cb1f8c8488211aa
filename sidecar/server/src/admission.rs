//! How many GetFeatures calls are worked on, how many wait and for how long, and who is refused; not what
//! they ask for, and not the other services' calls.
//!
//! A call takes a place as soon as its headers have come: there are `limits.requests_in_flight_max` plus
//! `limits.queue_max` of them, and one more is refused at once, before a byte of it is decoded. It is begun
//! when a thread gets to it and fewer than `limits.requests_in_flight_max` are begun; else it waits, the
//! oldest first, at most `limits.queue_wait_ms_max` and never past its deadline. What it waits for a thread
//! counts: when the cores can't keep up, calls are refused rather than answered late. A call that is given
//! up frees its place whatever it was doing, as that is what dropping it does.
//!
//! Cost of a call that needn't wait: some atomic additions and one lock of the semaphore, about 50 ns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::guard::Deadline;
use crate::metrics::Metrics;
use crate::status::{Overload, ServeError};

/// The gate of all GetFeatures calls of a process.
pub(crate) struct Admission {
    begun: Arc<Semaphore>,
    places: AtomicUsize,
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

impl Admission {
    pub(crate) fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let refused = Refused {
            queue: metrics.refused("queue"),
            wait: metrics.refused("wait"),
            deadline: metrics.refused("deadline"),
            unsent: metrics.refused("unsent"),
        };
        Self {
            begun: Arc::new(Semaphore::new(limits.requests_in_flight_max)),
            places: AtomicUsize::new(0),
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
            let (in_flight_max, queue_max) = (limits.requests_in_flight_max, limits.queue_max);
            return Err(self.overload(Overload::Queue { in_flight_max, queue_max }));
        }
        Ok(place)
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
        let wait = Duration::from_millis(admission.limits.queue_wait_ms_max);
        let until = (self.arrived + wait).min(deadline.at());
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
        admission.overload(Overload::Wait { wait_ms: admission.limits.queue_wait_ms_max })
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

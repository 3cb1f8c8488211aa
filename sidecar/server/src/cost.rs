//! How long a plan's next request will take, learnt from the last ones: whether it may run in place.
//!
//! A call that computes in place keeps its thread, and on an otherwise idle runtime that may be the very
//! thread that waits for everybody's sockets. For tens of microseconds that is cheaper than anything else;
//! for longer it would delay others while cores are idle. So calls expected to be long first hand over
//! what else their thread has to do, which costs some microseconds. When more calls are here than cores can take, no
//! thread is free to take over: handing over would only have more of them share the same cores, and calls run in place
//! up to a longer time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longest expected time for which a call runs in place: some twenty times what handing over costs.
const IN_PLACE_NS_MAX: u64 = 200_000;
/// The same while calls wait for cores: what a socket may be left alone for then.
const CROWDED_NS_MAX: u64 = 5_000_000;
/// Nothing was measured yet: expect the worst.
const UNKNOWN: u64 = u64::MAX;

/// Nanoseconds a row, smoothed over the last eight calls or so. Racing updates may lose one: it is a guess.
#[derive(Debug)]
pub(crate) struct Cost(AtomicU64);

impl Cost {
    pub(crate) fn unknown() -> Self {
        Self(AtomicU64::new(UNKNOWN))
    }

    /// Whether a call of this many rows is short enough to run in place.
    pub(crate) fn in_place(&self, rows: usize, crowded: bool) -> bool {
        let max = if crowded { CROWDED_NS_MAX } else { IN_PLACE_NS_MAX };
        self.0.load(Ordering::Relaxed).saturating_mul(rows.max(1) as u64) <= max
    }

    /// Learns from a call that took this long.
    pub(crate) fn learn(&self, rows: usize, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(UNKNOWN - 1);
        let sample = nanos / rows.max(1) as u64;
        let smoothed = match self.0.load(Ordering::Relaxed) {
            UNKNOWN => sample,
            old => old - old / 8 + sample / 8,
        };
        self.0.store(smoothed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_calls_run_in_place_long_and_unknown_ones_do_not() {
        let cost = Cost::unknown();
        let in_place = |rows| cost.in_place(rows, false);
        assert!(!in_place(1) && !cost.in_place(1, true), "nothing is known yet");
        cost.learn(10, Duration::from_micros(200));
        assert!(in_place(10) && !in_place(11));
        assert!(cost.in_place(250, true) && !cost.in_place(251, true), "5 ms in a crowd");
        (0..100).for_each(|_| cost.learn(1, Duration::from_millis(100)));
        assert!(!in_place(1));
        (0..200).for_each(|_| cost.learn(1, Duration::from_micros(20)));
        assert!(in_place(1), "one slow spell is forgotten");
    }
}

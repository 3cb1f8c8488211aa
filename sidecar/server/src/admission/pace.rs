//! How fast calls are answered while others wait, so how long one more would wait; and how fast calls may be refused.
//!
//! A refusal isn't free: its call was read from a socket and taken apart, and the answer is written, for some 20 us of a
//! core. A sidecar that is offered twice what it can answer, and refuses the rest as fast as that comes, could lose half of
//! its answers to refusing. So refusals have a pace of their own ([`REFUSING`] of the cores' time); ahead of it, sockets
//! are left unread for a while (`reading.rs`), and what is in them waits with its sender, as TCP and HTTP/2 mean it to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Processor time of a refusal: 25 us where each comes alone (docs/PERFORMANCE.md), less where many are read at once.
const REFUSAL: Duration = Duration::from_micros(20);
/// Of the cores' time, the share for refusals is one over this.
const REFUSING: u32 = 10;
/// Smoothed over so many answers.
const SMOOTHING: u64 = 64;
/// A gap counts as this many times the usual one at most: when nobody waited for a while, it isn't one.
const OUTLIER: u64 = 4;

/// Time between two answers of the whole process, while calls wait.
#[derive(Debug)]
pub(super) struct Drain {
    start: Instant,
    /// When the last call ended, nanoseconds from `start`; 0: none did since it was calm.
    last_ns: AtomicU64,
    /// 0: not known yet. Racing updates may lose one: it is a guess.
    gap_ns: AtomicU64,
}

impl Drain {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), last_ns: AtomicU64::new(0), gap_ns: AtomicU64::new(0) }
    }

    /// A call ended, and others wait.
    pub(super) fn ended(&self, at: Instant) {
        let at = nanos(at.saturating_duration_since(self.start)).max(1);
        let last = self.last_ns.swap(at, Ordering::Relaxed);
        if last == 0 {
            return;
        }
        let gap = at.saturating_sub(last);
        let smoothed = match self.gap_ns.load(Ordering::Relaxed) {
            0 => gap,
            old => {
                let gap = gap.min(old.saturating_mul(OUTLIER));
                // In parts of 1/64 nothing below 64 would ever be lost or won.
                (old * (SMOOTHING - 1) + gap).div_ceil(SMOOTHING)
            }
        };
        self.gap_ns.store(smoothed.max(1), Ordering::Relaxed);
    }

    /// A call ended, and nobody waits: the next end is no gap's.
    pub(super) fn calm(&self) {
        if self.last_ns.load(Ordering::Relaxed) != 0 {
            self.last_ns.store(0, Ordering::Relaxed);
        }
    }

    /// How many calls end in this time, as it goes now.
    pub(super) fn calls_in(&self, wait: Duration) -> usize {
        match self.gap_ns.load(Ordering::Relaxed) {
            0 => usize::MAX,
            gap => usize::try_from(nanos(wait) / gap).unwrap_or(usize::MAX),
        }
    }
}

/// The pace of refusals: each must be waited for as long as [`REFUSING`] of them take, by all cores together.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    each_ns: u64,
    /// When all refusals so far have been waited for, nanoseconds from `start`.
    settled_ns: AtomicU64,
}

impl Pace {
    pub(super) fn new(threads: usize) -> Self {
        let each = nanos(REFUSAL * REFUSING) / threads.max(1) as u64;
        Self { start: Instant::now(), each_ns: each.max(1), settled_ns: AtomicU64::new(0) }
    }

    /// A call was refused.
    pub(super) fn refused(&self, at: Instant) {
        let at = nanos(at.saturating_duration_since(self.start));
        let later = |settled: u64| Some(settled.max(at) + self.each_ns);
        // It always gives a value, so it never fails.
        self.settled_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).ok();
    }

    /// How long to wait before the next refusal. The clock is read only if there was one.
    pub(super) fn ahead(&self) -> Duration {
        match self.settled_ns.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            settled => Duration::from_nanos(settled.saturating_sub(nanos(self.start.elapsed()))),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Ends so many calls, a gap apart, and gives the time of the last.
    fn end(drain: &Drain, mut at: Instant, calls: u32, gap: Duration) -> Instant {
        for _ in 0..calls {
            at += gap;
            drain.ended(at);
        }
        at
    }

    #[test]
    fn calls_that_end_in_a_time_are_what_ended_in_such_times() {
        let drain = Drain::new();
        assert_eq!(drain.calls_in(MS), usize::MAX, "nothing is known");
        let at = end(&drain, drain.start, 1, MS);
        assert_eq!(drain.calls_in(MS), usize::MAX, "one is no gap");
        let at = end(&drain, at, 100, MS);
        assert_eq!(drain.calls_in(200 * MS), 200);
        let at = end(&drain, at, 1_000, MS / 10);
        let quicker = drain.calls_in(200 * MS);
        assert!((1_900..=2_000).contains(&quicker), "{quicker}");
        // An hour in which nobody waited, and one without a call.
        drain.calm();
        let at = end(&drain, at, 1, 3_600_000 * MS);
        assert_eq!(drain.calls_in(200 * MS), quicker);
        end(&drain, at, 1, 3_600_000 * MS);
        let after = drain.calls_in(200 * MS);
        assert!(after > quicker * 9 / 10, "{after} of {quicker}");
    }

    #[test]
    fn refusals_are_waited_for_ten_times_as_long_as_they_take() {
        let pace = Pace::new(1);
        assert_eq!(pace.ahead(), Duration::ZERO);
        let soon = pace.start + 3_600_000 * MS;
        for _ in 0..100 {
            pace.refused(soon);
        }
        // They are settled 100 times 200 us after the first; the clock of the look is the real one.
        let wait = pace.ahead();
        let expected = 3_600_000 * MS + 100 * REFUSAL * REFUSING;
        assert!(wait <= expected && wait > expected / 2, "{wait:?}");
        let later = pace.settled_ns.load(Ordering::Relaxed);
        pace.refused(pace.start);
        assert_eq!(pace.settled_ns.load(Ordering::Relaxed), later + pace.each_ns, "debts add up");
    }

    #[test]
    fn more_cores_refuse_more() {
        assert_eq!(Pace::new(1).each_ns, 4 * Pace::new(4).each_ns);
    }
}

//! The one clock of the sidecar: every time that reaches store, engine or answer comes from here.
//!
//! It never steps back: a system clock that is set back stands still here until it has caught up, so that
//! an answer is never older than one already given. Limit: a clock that jumped far ahead and back stands
//! still for as long; restarting the sidecar is the cure.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the server gets the time from. Clones share the same time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock, never stepping back. Holds the latest time given.
    System(Arc<AtomicI64>),
    /// A time that stands still until [`Clock::advance`]: for tests that play history.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::System(Arc::new(AtomicI64::new(i64::MIN)))
    }

    /// A clock that stands at `start_us` microseconds UTC.
    #[must_use]
    pub fn manual(start_us: i64) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start_us)))
    }

    /// The time, microseconds UTC; never less than an earlier answer.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        match self {
            Self::System(latest) => {
                let now_us = system_us();
                latest.fetch_max(now_us, Ordering::AcqRel).max(now_us)
            }
            Self::Manual(now_us) => now_us.load(Ordering::Acquire),
        }
    }

    /// Moves a manual clock to `to_us`, if that is later; the time it shows then. A system clock can't be
    /// moved and just tells the time.
    pub fn advance(&self, to_us: i64) -> i64 {
        match self {
            Self::System(_) => self.now_us(),
            Self::Manual(now_us) => now_us.fetch_max(to_us, Ordering::AcqRel).max(to_us),
        }
    }
}

fn system_us() -> i64 {
    let micros =
        |duration: std::time::Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => -micros(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_forward_only() {
        let clock = Clock::manual(1_000);
        assert_eq!(clock.advance(5_000), 5_000);
        assert_eq!(clock.advance(2_000), 5_000);
        assert_eq!(clock.clone().now_us(), 5_000);
    }

    #[test]
    fn a_system_clock_that_was_set_back_stands_still() {
        let clock = Clock::system();
        let now_us = clock.now_us();
        let Clock::System(latest) = &clock else { panic!("made as a system clock") };
        let ahead_us = now_us + 3_600_000_000;
        latest.store(ahead_us, Ordering::Release);
        assert_eq!(clock.now_us(), ahead_us);
    }
}

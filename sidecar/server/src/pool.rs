//! Things that are costly to make and are used by one call at a time; not a limit: who finds the pool
//! empty makes a new one.
//!
//! The lock is held for one push or pop, never across a call. At most `kept_max` idle things are kept;
//! calls compute without waiting, so there are never more in use than threads.

use std::sync::{Mutex, PoisonError};

/// Idle things of one kind.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    idle: Mutex<Vec<T>>,
    kept_max: usize,
}

impl<T> Pool<T> {
    pub(crate) fn new(kept_max: usize) -> Self {
        Self { idle: Mutex::new(Vec::with_capacity(kept_max)), kept_max }
    }

    /// An idle thing, the one used last; or a new one.
    pub(crate) fn take(&self, make: impl FnOnce() -> T) -> T {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(make)
    }

    /// Keeps it for the next, or drops it if enough are kept.
    pub(crate) fn give_back(&self, thing: T) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.kept_max {
            idle.push(thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_no_more_than_it_may_and_gives_back_the_last() {
        let pool = Pool::new(2);
        (1..=3).for_each(|number| pool.give_back(number));
        assert_eq!([pool.take(|| 9), pool.take(|| 9), pool.take(|| 9)], [2, 1, 9]);
    }
}

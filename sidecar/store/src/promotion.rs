//! How a reader waits for rows that fell due; not moving them, which is the apply thread's (`apply.rs`).
//!
//! A reader says up to when it needs them and wakes the apply thread, which looks at what is wanted before each
//! command. So a reader never waits for room in the queue: what fills it wakes the thread, too. Many readers are served
//! by one promotion, as each waits for the end of one that began after it asked; at most one of them stands in the queue,
//! and readers that give up leave nothing else behind.
//!
//! Cost: one free lock a command. Limit: each reader says how long it waits; no clock is read here for that.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::StoreError;

/// What readers want promoted, and how far the apply thread is.
#[derive(Default)]
pub(crate) struct Promotions {
    state: Mutex<State>,
    /// A promotion ended, or there won't be any more.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// Rows due by then are wanted; none if nobody asked since the last promotion began.
    wanted_us: Option<i64>,
    /// Promotions that began, and that ended.
    begun: u64,
    ended: u64,
    /// What the last one failed with.
    failed: Option<StoreError>,
    /// The apply thread ended.
    closed: bool,
}

/// Which promotion to wait for.
#[derive(Clone, Copy)]
pub(crate) struct Ticket {
    number: u64,
    /// Whether nobody else has asked for it yet: then the apply thread must be woken.
    pub(crate) first: bool,
}

impl Promotions {
    /// Asks for what is due at the time.
    pub(crate) fn ask(&self, t_us: i64) -> Ticket {
        let mut state = self.lock();
        let first = state.wanted_us.is_none();
        state.wanted_us = Some(state.wanted_us.map_or(t_us, |wanted_us| wanted_us.max(t_us)));
        Ticket { number: state.begun + 1, first }
    }

    /// What is wanted, if anything is; then [`Promotions::end`] must follow. Only the apply thread.
    pub(crate) fn begin(&self) -> Option<i64> {
        let mut state = self.lock();
        let wanted_us = state.wanted_us.take()?;
        state.begun += 1;
        Some(wanted_us)
    }

    /// Only the apply thread.
    pub(crate) fn end(&self, done: Result<(), StoreError>) {
        let mut state = self.lock();
        state.ended = state.begun;
        state.failed = done.err();
        self.ended.notify_all();
    }

    /// Lets go of who waits, as nothing will be promoted any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ended.notify_all();
    }

    /// Waits for a promotion to end. `None`: it didn't in this time, or never will.
    pub(crate) fn wait(
        &self,
        ticket: Ticket,
        wait_max: Duration,
    ) -> Option<Result<(), StoreError>> {
        let pending = |state: &mut State| state.ended < ticket.number && !state.closed;
        let waited = self.ended.wait_timeout_while(self.lock(), wait_max, pending);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.ended < ticket.number {
            return None;
        }
        Some(state.failed.clone().map_or(Ok(()), Err))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! How a running call ends early because nobody wants its answer any more; not the deadline, which bounds it
//! anyway.
//!
//! A worker may hold a flag ([`crate::Worker::stoppable`]). Then its calls run in slices of [`SLICE_TICKS`]: after
//! each the flag is looked at, and the call goes on or ends. The slices add up to the call's deadline, so what a call
//! gives doesn't depend on them. A worker without a flag has one slice, the deadline, and no callback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::{Store, StoreContextMut, UpdateDeadline};

use crate::error::CallError;
use crate::limiter::Limiter;

/// Ticks between two looks at the flag: 50 ms at the usual tick of 1 ms. Somebody who waits doesn't notice, and most
/// calls end before the first look.
const SLICE_TICKS: u64 = 50;

/// A store's share in a flag, with what its call may still last.
pub(crate) struct Watch {
    flag: Arc<AtomicBool>,
    /// Ticks of the call's deadline after the current slice.
    left: u64,
}

impl Watch {
    /// The next slice, 0 if the deadline is reached.
    fn slice(&mut self) -> u64 {
        let slice = self.left.min(SLICE_TICKS);
        self.left -= slice;
        slice
    }
}

/// Lets the flag end calls in this store.
pub(crate) fn watch(store: &mut Store<Limiter>, flag: &Arc<AtomicBool>) {
    store.data_mut().watch = Some(Watch { flag: Arc::clone(flag), left: 0 });
    store.epoch_deadline_callback(look);
}

/// Gives what runs next in this store `ticks`.
pub(crate) fn set_deadline(store: &mut Store<Limiter>, ticks: u64) {
    let limiter = store.data_mut();
    limiter.demand.call();
    let first = match &mut limiter.watch {
        None => ticks,
        Some(watch) => {
            watch.left = ticks;
            watch.slice()
        }
    };
    store.set_epoch_deadline(first);
}

/// Called by running guest code when a slice is over.
fn look(mut store: StoreContextMut<'_, Limiter>) -> wasmtime::Result<UpdateDeadline> {
    let limiter = store.data_mut();
    let Some(watch) = &mut limiter.watch else { return Ok(UpdateDeadline::Interrupt) };
    if watch.flag.load(Ordering::Relaxed) {
        limiter.refused = Some(CallError::Stopped);
        return Ok(UpdateDeadline::Interrupt);
    }
    Ok(match watch.slice() {
        0 => UpdateDeadline::Interrupt,
        slice => UpdateDeadline::Continue(slice),
    })
}

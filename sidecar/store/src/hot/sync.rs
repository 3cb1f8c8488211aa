//! What `gate.rs` stands on when it serves: std's atomics and lock, arc-swap's cells; its model has others.

use std::mem::{ManuallyDrop, forget, take};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use arc_swap::{ArcSwapAny, Guard};

pub(super) use std::sync::atomic::{AtomicU64, Ordering};

pub(super) use super::entry::{HotRow as Row, Key};

/// Rows in a bucket. Eight cells fill one line of cache; with half of all ways in use, fewer than one row
/// in a hundred finds its bucket full.
pub(super) const WAYS: usize = 8;

/// A row that stays while it is held, whatever becomes of its cell.
pub(crate) type Held = Guard<Option<Row>>;

/// A row that others may replace while it is looked at. Loading writes nothing that another thread reads.
#[derive(Default)]
pub(super) struct Cell(ManuallyDrop<ArcSwapAny<Option<Row>>>);

impl Cell {
    pub(super) fn load(&self) -> Held {
        self.0.load()
    }

    pub(super) fn swap(&self, row: Option<Row>) -> Option<Row> {
        self.0.swap(row)
    }
}

impl Drop for Cell {
    /// Dropping a cell of arc-swap's looks through what every thread holds, which is microseconds: for the
    /// two million cells of 256 MiB, eight seconds. An empty one has nothing to give back.
    fn drop(&mut self) {
        let cell = take(&mut *self.0);
        if cell.load().is_none() {
            forget(cell);
        }
    }
}

/// A lock around a sequence.
#[derive(Default)]
pub(super) struct Lock(Mutex<u64>);

impl Lock {
    pub(super) fn lock(&self) -> MutexGuard<'_, u64> {
        // Nothing under it panics; and a sequence is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` if someone has it.
    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, u64>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

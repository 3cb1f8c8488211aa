//! Which keys of one view are written while a load of it is merged; not what was written, which its rows say.
//!
//! The apply thread notes the keys of every batch *after* it wrote it. Whoever takes them may do so at any
//! moment: a batch whose keys he finds is written, so he reads it, and a batch whose keys he doesn't find is noted
//! for the next who takes them.
//!
//! Cost: one free lock a batch while no load is merged. Limit: bytes of noted keys, given at the start; beyond it
//! the keys are let go, and whoever takes them is told that he must read everything.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::writes::RowKey;

/// What a noted key takes besides its bytes, about.
const OVERHEAD_BYTES: usize = 64;

/// The keys noted since they were last taken, if they are noted at all.
#[derive(Default)]
pub(crate) struct Changes(Mutex<Option<Noted>>);

struct Noted {
    view: usize,
    bytes_max: usize,
    bytes: usize,
    keys: Keys,
    /// More than the limit was written.
    over: bool,
}

/// Keys in their order.
#[derive(Default)]
pub(crate) struct Keys {
    pub(crate) rows: BTreeSet<Vec<u8>>,
    /// Keys of rows that wait, those that don't any more included.
    pub(crate) waits: BTreeSet<Vec<u8>>,
}

impl Keys {
    pub(crate) fn len(&self) -> usize {
        self.rows.len() + self.waits.len()
    }
}

impl Changes {
    /// Notes the keys of a view from now on, and none of before. Only the apply thread.
    pub(crate) fn start(&self, view: usize, bytes_max: usize) {
        let (bytes, keys, over) = (0, Keys::default(), false);
        *self.lock() = Some(Noted { view, bytes_max, bytes, keys, over });
    }

    pub(crate) fn stop(&self) {
        *self.lock() = None;
    }

    /// Notes what a batch wrote. Only the apply thread, after the batch was written, or may have been.
    pub(crate) fn note<'a>(&self, row_keys: impl Iterator<Item = &'a RowKey>) {
        if let Some(noted) = self.lock().as_mut() {
            let view = noted.view;
            row_keys.filter(|row_key| row_key.view == view).for_each(|row_key| noted.note(row_key));
        }
    }

    /// Bytes of what is noted; the limit if it was exceeded.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().as_ref().map_or(0, |noted| noted.bytes)
    }

    /// Takes what was noted. `None`: more than the limit was written, and it isn't known what.
    pub(crate) fn take(&self) -> Option<Keys> {
        let mut noted = self.lock();
        let Some(noted) = noted.as_mut() else { return Some(Keys::default()) };
        if noted.over {
            return None;
        }
        noted.bytes = 0;
        Some(std::mem::take(&mut noted.keys))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Noted>> {
        // Nothing in here panics half-way; and whoever finds too few keys finds the apply thread poisoned.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn note(&mut self, row_key: &RowKey) {
        if self.over {
            return;
        }
        let keys = if row_key.waits { &mut self.keys.waits } else { &mut self.keys.rows };
        if keys.contains(&row_key.key) {
            return;
        }
        self.bytes += row_key.key.len() + OVERHEAD_BYTES;
        keys.insert(row_key.key.clone());
        if self.bytes > self.bytes_max {
            self.over = true;
            self.keys = Keys::default();
        }
    }
}

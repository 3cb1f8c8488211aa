//! How a long job is watched and stopped: a progress report and a cancel flag, both owned by the
//! caller. No signals, no terminal and no clock here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::OfflineError;

/// What a job is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Hashing the input files; counted in bytes.
    Digest,
    /// Sorting and joining the history of the named view; counted in history rows read.
    Join(String),
    /// Computing and writing; counted in spine rows.
    Compute,
    /// Feeding the named view to the store; counted in history rows read.
    Load(String),
}

/// Receives progress. Called from one thread at a time, at most once a batch of rows.
pub trait Progress: Send + Sync {
    /// `done` of `total` units of `phase` are finished; `done == total` ends the phase.
    fn report(&self, phase: &Phase, done: u64, total: u64);
}

/// A progress that nobody watches.
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _phase: &Phase, _done: u64, _total: u64) {}
}

/// Set once to stop a job at its next batch of rows, or in the midst of a plugin's call. Clones share the flag.
#[derive(Clone, Default, Debug)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// A flag that is not set.
    pub fn new() -> CancelFlag {
        CancelFlag::default()
    }

    /// Asks the job to stop; safe to call from a signal handler's thread, and more than once.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether stopping was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for workers to look at.
    pub fn shared(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    pub(crate) fn check(&self) -> Result<(), OfflineError> {
        if self.is_cancelled() { Err(OfflineError::Cancelled) } else { Ok(()) }
    }
}

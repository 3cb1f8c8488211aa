//! How a job's memory limit is split among its parts, and the books on what they hold. Fixed parts, decided
//! before the first row: a part that could borrow from another would make the peak depend on the data.
//!
//! | part | of the limit | alive |
//! |---|---|---|
//! | history sort | 3/8 | while a view is joined |
//! | spine sort | 1/8 | while a view is joined |
//! | batches between sorts | 2/8 | while a view is joined |
//! | answers of all views | 2/8 | until the output is written |
//! | chunks | 2/8 | while the output is written |
//! | writer | a fixed part, at most 4/8 of the smallest limit | while the output is written |
//!
//! Sorts are held to their parts by their pools, chunks by [`Flight`], the writer by cutting what it is given.
//! What none of them can bound: a single row, which is never cut; a run of spine rows far larger than those around
//! them, which is read before it is noticed; and a plugin whose output is suddenly larger than any before. All
//! are in the books, in [`Ledger::peak`]. Not in the books are a page a column while Parquet is read, and plugin
//! instances.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Each part's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) history: usize,
    pub(crate) spine: usize,
    /// Of one view.
    pub(crate) answers: usize,
    pub(crate) chunks: ChunkBudget,
}

/// How the part of the chunks is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkBudget {
    /// All chunks that are being worked on.
    pub(crate) in_flight: usize,
    /// One chunk with all that is made of it.
    pub(crate) chunk: usize,
    /// Spine rows read at once.
    pub(crate) read: usize,
    /// Memory that a frame may keep for its next chunk.
    pub(crate) frame_kept: usize,
}

impl Budget {
    pub(crate) fn split(memory_bytes: u64, views: usize, workers: usize) -> Budget {
        let part = |eighths: u64| usize::try_from(memory_bytes / 8 * eighths).unwrap_or(usize::MAX);
        // A chunk a worker, one being filled, one being written.
        let chunks = workers + 2;
        // A quarter stays for what is read but not yet cut, and for the memory of idle frames.
        let in_flight = part(2) / 4 * 3;
        let chunk = in_flight / chunks;
        Budget {
            history: part(3),
            spine: part(1),
            answers: part(2) / views.max(1),
            chunks: ChunkBudget {
                in_flight,
                chunk,
                read: chunk / 4,
                frame_kept: part(2) / 8 / chunks,
            },
        }
    }
}

/// Adds up what the parts of a job hold.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl Ledger {
    pub(crate) fn hold(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(used, Ordering::Relaxed);
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Most bytes held at one moment.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }
}

/// An entry in the books that changes, and is gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    ledger: Arc<Ledger>,
    bytes: usize,
}

impl Held {
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Held {
        Held { ledger: Arc::clone(ledger), bytes: 0 }
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        // What is new comes before what is old goes: that is the moment of the peak.
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.ledger.hold(more),
            None => self.ledger.release(self.bytes - bytes),
        }
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.ledger.release(self.bytes);
    }
}

/// The chunks that are being worked on: a chunk takes off when there is room for it, or when it is alone.
#[derive(Debug)]
pub(crate) struct Flight {
    budget: usize,
    ledger: Arc<Ledger>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    chunks: usize,
    closed: bool,
}

/// A chunk's part of the memory in flight; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    flight: Arc<Flight>,
    held: Held,
}

impl Flight {
    pub(crate) fn new(budget: usize, ledger: &Arc<Ledger>) -> Arc<Flight> {
        Arc::new(Flight {
            budget,
            ledger: Arc::clone(ledger),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Waits for room; `None` when there will be none any more.
    pub(crate) fn board(self: &Arc<Flight>, bytes: usize) -> Option<Seat> {
        let mut state = self.state();
        while !state.closed && state.chunks > 0 && state.used.saturating_add(bytes) > self.budget {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return None;
        }
        state.used += bytes;
        state.chunks += 1;
        let mut held = Held::new(&self.ledger);
        held.set(bytes);
        Some(Seat { flight: Arc::clone(self), held })
    }

    /// Waits until no chunk is being worked on.
    pub(crate) fn wait_until_empty(&self) {
        let mut state = self.state();
        while !state.closed && state.chunks > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nobody boards any more.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Corrects what the chunk holds.
    pub(crate) fn set(&mut self, bytes: usize) {
        let mut state = self.flight.state();
        state.used = state.used - self.held.bytes + bytes;
        self.held.set(bytes);
        drop(state);
        self.flight.changed.notify_all();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.flight.state();
        state.used -= self.held.bytes;
        state.chunks -= 1;
        self.held.set(0);
        drop(state);
        self.flight.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MEMORY_BYTES_MIN, WORKERS_MAX};
    use crate::config::{ROW_GROUP_BYTES_MAX, WRITE_BYTES_MAX};

    #[test]
    fn the_parts_that_live_together_fit_the_limit() {
        let limit = usize::try_from(MEMORY_BYTES_MIN).expect("64 MiB");
        for workers in [1, 2, WORKERS_MAX] {
            let budget = Budget::split(MEMORY_BYTES_MIN, 2, workers);
            let ChunkBudget { in_flight, chunk, read, frame_kept } = budget.chunks;
            assert!(budget.history + budget.spine + 2 * budget.answers <= limit / 8 * 6);
            assert!(chunk * (workers + 2) <= in_flight);
            // What is read may be twice as much as was aimed at.
            let chunks = in_flight + 2 * read + frame_kept * (workers + 2);
            assert!(chunks <= limit / 8 * 2, "{chunks} bytes of chunks, {workers} workers");
            let writer = ROW_GROUP_BYTES_MAX + 2 * WRITE_BYTES_MAX;
            assert!(writer <= limit / 8 * 4, "{writer} bytes of writer");
        }
    }

    #[test]
    fn a_chunk_waits_for_room_unless_it_is_alone() {
        let ledger = Arc::new(Ledger::default());
        let flight = Flight::new(100, &ledger);
        let alone = flight.board(500).expect("it is alone");
        drop(alone);
        let mut first = flight.board(60).expect("there is room");
        let second = flight.board(40).expect("there is room");
        let (waiting, boarded) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let flight = &flight;
            scope.spawn(move || {
                let third = flight.board(30);
                waiting.send(third.is_some()).expect("somebody waits");
            });
            first.set(80);
            assert!(boarded.try_recv().is_err(), "120 of 100 bytes are used");
            drop(second);
            assert!(boarded.try_recv().is_err(), "80 of 100 bytes are used");
            first.set(70);
            assert_eq!(boarded.recv(), Ok(true));
        });
        drop(first);
        assert_eq!((ledger.peak(), ledger.used.load(Ordering::Relaxed)), (500, 0));
    }

    #[test]
    fn who_waits_for_room_is_sent_away_when_all_is_over() {
        let flight = Flight::new(100, &Arc::default());
        let first = flight.board(100).expect("it is alone");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| flight.board(1).is_none());
            let empty = scope.spawn(|| flight.wait_until_empty());
            flight.close();
            assert!(waits.join().expect("no panic"));
            empty.join().expect("no panic");
        });
        drop(first);
    }
}

//! Rows that are asked for often, kept in front of RocksDB; never a second truth: what it gives at a
//! sequence is what RocksDB gives at it, and what it doesn't know RocksDB is asked for.
//!
//! A hit takes no lock, no snapshot and no copy; it costs a twentieth of a hit in RocksDB's block cache and
//! doesn't wait for its mutexes beside a writer. `gate.rs` has the protocol and why it is right, `shelf.rs`
//! where rows are and which must go, `state.rs` how a read binds both worlds to one sequence.
//!
//! Rows enter when a reader had to fetch them, those of which there are none too; the apply thread replaces
//! what it writes. A generation has a number of its own here, never used again, so a swap or other
//! definitions leave every row before them behind, to be evicted.
//!
//! Limits: [`crate::StoreConfig::hot_bytes`] for all, [`crate::config::HOT_ROW_BYTES_MAX`] for one row. Rows that
//! were evicted while a reader held them live until it is done with them: one a lookup.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

pub(crate) use entry::{HotRow, Key, row};
use gate::Marked;
use shelf::Shelf;
pub(crate) use shelf::Spot;
pub(crate) use state::State;
pub(crate) use sync::Held;

mod entry;
mod gate;
mod shelf;
mod state;
mod sync;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

/// Counters are spread over so many lines of cache, one a reader, so that readers don't wait for each other's.
const COUNTS: usize = 16;

/// What the hot rows say about themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HotInfo {
    /// Keys answered without asking RocksDB.
    pub hits: u64,
    /// Keys RocksDB had to be asked for; 0 if there are no hot rows.
    pub misses: u64,
    /// Bytes in use.
    pub bytes: u64,
    /// Bytes that may be in use; 0 switches hot rows off.
    pub bytes_max: u64,
    /// Rows that went to make room.
    pub evictions: u64,
}

#[derive(Default)]
#[repr(align(128))]
struct Count {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Memory reused between the reads of one worker.
#[derive(Debug, Default)]
pub(crate) struct HotScratch {
    /// Key and row of what is put.
    pub(crate) joined: Vec<u8>,
    /// Per row of a lookup where its key's row is, if it is kept.
    pub(crate) spots: Vec<Spot>,
    /// What was found for each row of a lookup that RocksDB is asked for the rest of.
    pub(crate) held: Vec<Option<HotRow>>,
    /// Which count is this worker's, plus one.
    count: usize,
}

/// The hot rows of one store.
pub(crate) struct Hot {
    /// `None`: switched off.
    shelf: Option<Shelf>,
    /// Kept when switched off too: a read needs it to tell whether a promotion came between.
    marked: Marked,
    generations: AtomicU32,
    counts: [Count; COUNTS],
    workers: AtomicUsize,
    bytes_max: usize,
}

impl Hot {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            shelf: (bytes > 0).then(|| Shelf::new(bytes)),
            marked: Marked::new(0),
            generations: AtomicU32::new(0),
            counts: std::array::from_fn(|_| Count::default()),
            workers: AtomicUsize::new(0),
            bytes_max: bytes,
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.shelf.is_some()
    }

    /// A number for a generation that was just opened or made.
    pub(crate) fn next_generation(&self) -> u32 {
        self.generations.fetch_add(1, Ordering::Relaxed)
    }

    /// Says that all that is in RocksDB up to this sequence was marked. Only the apply thread, before it
    /// answers whoever sent the rows.
    pub(crate) fn publish(&self, sequence: u64) {
        self.marked.publish(sequence);
    }

    /// Up to where all was marked.
    pub(crate) fn through(&self) -> u64 {
        self.marked.through()
    }

    /// Finds the places of keys, as many as there are, before any is looked at: the processor waits for memory
    /// once for many of them instead of once for each.
    pub(crate) fn approach<'k>(
        &self,
        generation: u32,
        keys: impl Iterator<Item = &'k [u8]>,
        spots: &mut Vec<Spot>,
    ) {
        spots.clear();
        if let Some(shelf) = &self.shelf {
            spots.extend(keys.map(|key| {
                let spot = shelf.spot((generation, key));
                shelf.approach(spot);
                spot
            }));
        }
    }

    /// The row of a key, or that it has none, if known and right at a sequence that was published before.
    pub(crate) fn find(&self, spot: Spot, key: Key<'_>, sequence: u64) -> Option<Held> {
        self.shelf.as_ref()?.find(spot, key, sequence)
    }

    /// Keeps what RocksDB gave at a sequence; `None`: it has no row.
    pub(crate) fn fill(
        &self,
        spot: Spot,
        key: Key<'_>,
        row: Option<&[u8]>,
        sequence: u64,
        joined: &mut Vec<u8>,
    ) {
        if let Some(shelf) = &self.shelf {
            shelf.fill(spot, key, row, sequence, joined);
        }
    }

    /// Says that the batch at a sequence, which is committed, wrote a key. `None`: what it is now isn't known.
    /// Only the apply thread.
    pub(crate) fn mark(
        &self,
        key: Key<'_>,
        row: Option<&[u8]>,
        sequence: u64,
        joined: &mut Vec<u8>,
    ) {
        if let Some(shelf) = &self.shelf {
            shelf.mark(shelf.spot(key), key, sequence, row, joined);
        }
    }

    /// Adds what a read did to the counts.
    pub(crate) fn count(&self, hits: u64, misses: u64, scratch: &mut HotScratch) {
        if !self.is_on() {
            return;
        }
        if scratch.count == 0 {
            scratch.count = self.workers.fetch_add(1, Ordering::Relaxed) % COUNTS + 1;
        }
        if let Some(count) = self.counts.get(scratch.count - 1) {
            for (count, by) in [(&count.hits, hits), (&count.misses, misses)] {
                if by > 0 {
                    count.fetch_add(by, Ordering::Relaxed);
                }
            }
        }
    }

    pub(crate) fn info(&self) -> HotInfo {
        let sum = |of: fn(&Count) -> &AtomicU64| {
            self.counts.iter().map(|count| of(count).load(Ordering::Relaxed)).sum()
        };
        HotInfo {
            hits: sum(|count| &count.hits),
            misses: sum(|count| &count.misses),
            bytes: self.shelf.as_ref().map_or(0, |shelf| shelf.used() as u64),
            bytes_max: self.bytes_max as u64,
            evictions: self.shelf.as_ref().map_or(0, Shelf::evictions),
        }
    }
}

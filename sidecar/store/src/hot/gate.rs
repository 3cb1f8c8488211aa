//! Which kept row may be given at which sequence, and which may still be kept; the hot layer's
//! synchronisation and nothing else, so that `model.rs` can compile this very file again over loom's
//! types and run every interleaving.
//!
//! Times are RocksDB sequences. A row carries the sequence it was read or written at (`since`), a bucket
//! the sequence of the last batch that touched it (`written`), and [`Marked`] up to where every batch was
//! told to its buckets.
//!
//! 1. The one writer commits batch *n* to RocksDB, then [`Bucket::mark`]s each key of it with *n*, then
//!    [`Marked::publish`]es *n*.
//! 2. A reader of the state at *s* makes sure that *s* was published before it looks; a row it then finds is
//!    right at *s* if `since <= s`.
//! 3. A row read from RocksDB at *f* enters only if its bucket's `written <= f`, decided under the bucket's lock.
//!
//! Why 2 holds: were the row of another state, a batch *n* with `since < n <= s` would have written its key.
//! It was marked before *s* was published, so before the reader looked. If the row was there by then, the mark
//! took it away; if it came later, 3 refused it. Nobody has to invalidate before writing, and nobody waits
//! but the writer, for a reader that is putting a row into the same bucket.

use super::sync::{AtomicU64, Cell, Held, Key, Lock, Ordering, Row, WAYS};

/// A row that is kept, with what says whose it is and when it holds.
pub(super) trait Kept {
    /// Whether it is the row of this key.
    fn is_of(&self, key: Key<'_>) -> bool;

    /// Its key.
    fn key(&self) -> Key<'_>;

    /// The sequence at which it was read or written.
    fn since(&self) -> u64;
}

/// Up to which sequence every batch was marked.
pub(super) struct Marked(AtomicU64);

impl Marked {
    pub(super) fn new(sequence: u64) -> Self {
        Self(AtomicU64::new(sequence))
    }

    /// Only by the writer, after every batch up to `sequence` was marked.
    pub(super) fn publish(&self, sequence: u64) {
        self.0.store(sequence, Ordering::Release);
    }

    /// What is looked up after this may be given at the sequence it gives, and at any before it.
    pub(super) fn through(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Some rows whose hashes agree. Two lines of cache, which processors fetch as a pair.
#[repr(align(128))]
pub(super) struct Bucket {
    /// One byte a way, 0 if it is free; a hint, as the row itself says whose it is.
    tags: AtomicU64,
    /// One bit a way: asked for since the hand last passed.
    asked: AtomicU64,
    /// Sequence of the last batch that touched a key of this bucket.
    written: Lock,
    rows: [Cell; WAYS],
}

impl Default for Bucket {
    fn default() -> Self {
        let rows = std::array::from_fn(|_| Cell::default());
        Self { tags: AtomicU64::new(0), asked: AtomicU64::new(0), written: Lock::default(), rows }
    }
}

impl Bucket {
    /// Asks for the bucket's line of cache, which comes while others are asked for.
    pub(super) fn approach(&self) -> u64 {
        self.tags.load(Ordering::Relaxed)
    }

    /// The key's row if it is kept and right at the sequence, which was published before. No lock.
    pub(super) fn find(&self, tag: u8, key: Key<'_>, sequence: u64) -> Option<Held> {
        let mut ways = matching(self.tags.load(Ordering::Relaxed), tag);
        while ways != 0 {
            let way = ways.trailing_zeros() as usize / 8;
            ways &= ways - 1;
            let held = self.rows.get(way)?.load();
            if let Some(row) = held.as_ref()
                && row.is_of(key)
            {
                if row.since() > sequence {
                    return None;
                }
                if self.asked.load(Ordering::Relaxed) & 1 << way == 0 {
                    self.asked.fetch_or(1 << way, Ordering::Relaxed);
                }
                return Some(held);
            }
        }
        None
    }

    /// Says that the batch at `sequence`, which is committed, wrote the key: its row becomes what `next`
    /// makes of it. Gives the row that was there. Only by the writer.
    pub(super) fn mark(
        &self,
        tag: u8,
        key: Key<'_>,
        sequence: u64,
        next: impl FnOnce(&Row) -> Option<Row>,
    ) -> Option<Held> {
        let mut written = self.written.lock();
        *written = sequence;
        let (way, held) = self.way_of(tag, key)?;
        let row = next(held.as_ref()?);
        self.put(way, tag, row);
        Some(held)
    }

    /// Keeps a row that was read at its `since`, unless a batch touched the bucket after that or its key has
    /// a row already. Gives the row that had to go for it, or the row itself if it isn't kept. Never waits.
    pub(super) fn fill(&self, tag: u8, row: Row) -> Result<Option<Row>, Row> {
        let Some(written) = self.written.try_lock() else { return Err(row) };
        if *written > row.since() || self.way_of(tag, row.key()).is_some() {
            return Err(row);
        }
        let free = (0..WAYS).find(|way| self.tag_of(*way) == 0);
        let Some(way) = free.or_else(|| self.victim()) else { return Err(row) };
        self.asked.fetch_and(!(1 << way), Ordering::Relaxed);
        Ok(self.put(way, tag, Some(row)))
    }

    /// Lets go of one row that nobody asked for since the last time; if all were asked for, of none.
    pub(super) fn evict(&self) -> Option<Row> {
        let _written = self.written.try_lock()?;
        let way = self.victim()?;
        self.put(way, 0, None)
    }

    /// Under the lock: a way in use that wasn't asked for. If there is none, all get a second chance.
    fn victim(&self) -> Option<usize> {
        let asked = self.asked.load(Ordering::Relaxed);
        let victim = (0..WAYS).find(|way| self.tag_of(*way) != 0 && asked & 1 << way == 0);
        if victim.is_none() {
            self.asked.store(0, Ordering::Relaxed);
        }
        victim
    }

    /// Under the lock.
    fn put(&self, way: usize, tag: u8, row: Option<Row>) -> Option<Row> {
        let tag = if row.is_some() { u64::from(tag) } else { 0 };
        let tags = self.tags.load(Ordering::Relaxed) & !(0xFF << (8 * way));
        self.tags.store(tags | tag << (8 * way), Ordering::Relaxed);
        self.rows.get(way)?.swap(row)
    }

    fn tag_of(&self, way: usize) -> u8 {
        (self.tags.load(Ordering::Relaxed) >> (8 * way)) as u8
    }

    /// Under the lock, so that what it finds stays.
    fn way_of(&self, tag: u8, key: Key<'_>) -> Option<(usize, Held)> {
        (0..WAYS).filter(|way| self.tag_of(*way) == tag).find_map(|way| {
            let held = self.rows[way].load();
            let found = held.as_ref().is_some_and(|row| row.is_of(key));
            found.then_some((way, held))
        })
    }
}

/// The high bit of every byte of `tags` that is `tag`, and perhaps of one above such a byte.
fn matching(tags: u64, tag: u8) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let differ = tags ^ (LOW * u64::from(tag));
    differ.wrapping_sub(LOW) & !differ & (LOW << 7)
}

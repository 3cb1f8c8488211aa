//! All buckets together: which one a key's row is in, and the bytes of all; not whether a row is right,
//! which is `gate.rs`'s.
//!
//! A key has one bucket, by its hash. The limit covers the buckets and the rows; a row is paid for before
//! it is put and its bytes are given back once it was taken out. Buckets are made when first used, some
//! hundred at a time. Who must go is decided by a second chance: first in the row's own bucket if that is
//! full, then, if all bytes are in use, by a hand that goes round the buckets. A row is new without having
//! been asked for, so a scan of many keys pushes out itself and not what is asked for again. That a key has no
//! row is kept from the second time on: RocksDB's filter is nearly as quick, and such keys are without end.

use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::entry::{self, HotRow, Key};
use super::gate::Bucket;
use super::sync::Held;

/// Buckets made at once: 64 KiB.
const PART_BUCKETS: usize = 512;
/// Bytes of the limit for each bucket, which takes an eighth of them: with rows of 112 bytes all
/// its ways are in use, with larger ones fewer.
const BUCKET_SHARE_BYTES: usize = 1 << 10;
/// Absent keys that are remembered to have been asked for once, a byte each.
const ABSENT_KEYS: usize = 64 << 10;
/// Buckets the hand passes for one new row before that row is given up.
const HAND_BUCKETS_MAX: usize = 16;

pub(super) struct Shelf {
    parts: Box<[OnceLock<Box<[Bucket]>>]>,
    /// Traces of absent keys that were asked for once.
    absent: Box<[AtomicU8]>,
    /// Bytes of rows that may be in use, and are.
    limit: usize,
    used: AtomicUsize,
    hand: AtomicUsize,
    evictions: AtomicU64,
}

/// Where a key's row is if it is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spot {
    bucket: usize,
    tag: u8,
}

impl Shelf {
    /// `bytes` is the limit of everything.
    pub(super) fn new(bytes: usize) -> Self {
        let most = (bytes / BUCKET_SHARE_BYTES).max(PART_BUCKETS);
        let parts = (1 << most.ilog2()) / PART_BUCKETS;
        let buckets = parts * PART_BUCKETS * size_of::<Bucket>();
        Self {
            parts: (0..parts).map(|_| OnceLock::new()).collect(),
            absent: (0..ABSENT_KEYS).map(|_| AtomicU8::new(0)).collect(),
            limit: bytes.saturating_sub(buckets + ABSENT_KEYS),
            used: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    pub(super) fn spot(&self, (generation, key): Key<'_>) -> Spot {
        let hash = xxh3_64_with_seed(key, u64::from(generation));
        let bucket = (hash >> 8) as usize & (self.parts.len() * PART_BUCKETS - 1);
        // 0 is a free way's.
        Spot { bucket, tag: (hash as u8).max(1) }
    }

    /// Asks for the lines of cache that say where the row is.
    pub(super) fn approach(&self, spot: Spot) {
        let part = self.parts.get(spot.bucket / PART_BUCKETS).and_then(OnceLock::get);
        if let Some(bucket) = part.and_then(|part| part.get(spot.bucket % PART_BUCKETS)) {
            black_box(bucket.approach());
        }
    }

    /// Whether an absent key was asked for before, as far as that is remembered; from now on it is.
    fn is_known_absent(&self, spot: Spot) -> bool {
        let Some(absent) = self.absent.get(spot.bucket % ABSENT_KEYS) else { return false };
        // Of another key in the same place if the rest of the bucket's number differs; that is harmless.
        let mark = spot.tag ^ (spot.bucket / ABSENT_KEYS) as u8;
        absent.swap(mark.max(1), Ordering::Relaxed) == mark.max(1)
    }

    /// The key's row if it is kept and right at the sequence.
    pub(super) fn find(&self, spot: Spot, key: Key<'_>, sequence: u64) -> Option<Held> {
        let part = self.parts.get(spot.bucket / PART_BUCKETS)?.get()?;
        part.get(spot.bucket % PART_BUCKETS)?.find(spot.tag, key, sequence)
    }

    /// Keeps a row that was read at `since`, if it isn't too large, there is room and it is still right.
    pub(super) fn fill(
        &self,
        spot: Spot,
        key: Key<'_>,
        row: Option<&[u8]>,
        since: u64,
        joined: &mut Vec<u8>,
    ) {
        if row.is_none() && !self.is_known_absent(spot) {
            return;
        }
        let Some(bytes) = entry::cost(key, row).filter(|bytes| self.reserve(*bytes)) else {
            return;
        };
        match self.bucket(spot.bucket).fill(spot.tag, entry::new(key, row, since, joined)) {
            Ok(None) => {}
            Ok(Some(gone)) => self.evicted(&gone),
            Err(_) => self.give_back(bytes),
        }
    }

    /// Says that the batch at `sequence`, which is committed, gave the key this row. If one is kept for the
    /// key it becomes `row`, or goes if that is unknown, too large, or there is no room. `joined` is reused memory.
    pub(super) fn mark(
        &self,
        spot: Spot,
        key: Key<'_>,
        sequence: u64,
        row: Option<&[u8]>,
        joined: &mut Vec<u8>,
    ) {
        let next = |_: &HotRow| {
            let bytes = entry::cost(key, Some(row?))?;
            let room = self.reserve_at_once(bytes);
            room.then(|| entry::new(key, row, sequence, joined))
        };
        let gone = self.bucket(spot.bucket).mark(spot.tag, key, sequence, next);
        if let Some(gone) = gone.as_ref().and_then(|gone| gone.as_ref()) {
            self.give_back(entry::bytes(gone));
        }
    }

    pub(super) fn used(&self) -> usize {
        let made = self.parts.iter().filter(|part| part.get().is_some()).count();
        self.used.load(Ordering::Relaxed) + ABSENT_KEYS + made * PART_BUCKETS * size_of::<Bucket>()
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    fn bucket(&self, at: usize) -> &Bucket {
        let part = self.parts[at / PART_BUCKETS].get_or_init(|| {
            let buckets = (0..PART_BUCKETS).map(|_| Bucket::default());
            buckets.collect()
        });
        &part[at % PART_BUCKETS]
    }

    /// Takes bytes of the limit, letting go of rows if it must.
    fn reserve(&self, bytes: usize) -> bool {
        if self.reserve_at_once(bytes) {
            return true;
        }
        for _ in 0..HAND_BUCKETS_MAX {
            let at = self.hand.fetch_add(1, Ordering::Relaxed) % (self.parts.len() * PART_BUCKETS);
            let Some(part) = self.parts[at / PART_BUCKETS].get() else { continue };
            while let Some(gone) = part[at % PART_BUCKETS].evict() {
                self.evicted(&gone);
                if self.reserve_at_once(bytes) {
                    return true;
                }
            }
        }
        false
    }

    fn reserve_at_once(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.limit;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    fn evicted(&self, gone: &HotRow) {
        self.evictions.fetch_add(1, Ordering::Relaxed);
        self.give_back(entry::bytes(gone));
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

//! One row as the hot layer keeps it: its key, what it is worth and its bytes in one allocation; not where.
//!
//! The bytes were checked when they were read from RocksDB, or come from the encoder itself, and nobody can
//! change them any more: a hit doesn't check their sum again, which would be a sixth of its cost. RocksDB's
//! memtables and blocks are another matter, as they were read from a disk or live in code that isn't ours.

use triomphe::ThinArc;

use super::gate::Kept;
use crate::config::HOT_ROW_BYTES_MAX;

/// A row's owner: a generation of a view, which no other shares over the process's life, and the entity key.
pub(crate) type Key<'a> = (u32, &'a [u8]);

/// Bytes of an allocation besides key and row: two counts and the header, rounded up by the allocator.
pub(super) const OVERHEAD_BYTES: usize = 48;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    since: u64,
    generation: u32,
    key_bytes: u32,
    /// Whether there is a row at all: that there is none is kept too.
    stored: bool,
}

/// A row with its key, or that a key has no row; cheap to clone.
pub(crate) type HotRow = ThinArc<Header, u8>;

/// Puts a row that is known to be small enough behind its key. `joined` is reused memory.
pub(super) fn new(
    (generation, key): Key<'_>,
    row: Option<&[u8]>,
    since: u64,
    joined: &mut Vec<u8>,
) -> HotRow {
    joined.clear();
    joined.extend_from_slice(key);
    joined.extend_from_slice(row.unwrap_or_default());
    let key_bytes = key.len() as u32;
    let header = Header { since, generation, key_bytes, stored: row.is_some() };
    HotRow::from_header_and_slice(header, joined)
}

/// The row's bytes, which need no further check; `None`: the key has no row.
pub(crate) fn row(kept: &HotRow) -> Option<&[u8]> {
    let header = &kept.header.header;
    if header.stored { kept.slice.get(header.key_bytes as usize..) } else { None }
}

/// What a kept row takes of the limit.
pub(super) fn bytes(kept: &HotRow) -> usize {
    OVERHEAD_BYTES + kept.slice.len()
}

/// What a row would take; `None` if it is too large to be kept.
pub(super) fn cost((_, key): Key<'_>, row: Option<&[u8]>) -> Option<usize> {
    let bytes = key.len() + row.map_or(0, <[u8]>::len);
    (bytes <= HOT_ROW_BYTES_MAX).then_some(OVERHEAD_BYTES + bytes)
}

impl Kept for HotRow {
    fn is_of(&self, (generation, key): Key<'_>) -> bool {
        self.header.header.generation == generation && self.key().1 == key
    }

    fn key(&self) -> Key<'_> {
        let header = &self.header.header;
        (header.generation, self.slice.get(..header.key_bytes as usize).unwrap_or_default())
    }

    fn since(&self) -> u64 {
        self.header.header.since
    }
}

//! The byte layout, version 1: constants, limits and the walk that places buffers. Not the checks
//! (`check.rs`, `parse.rs`) nor the writing (`encode.rs`). `sdk/wit/CORE.md` has it as a table.

/// The first four bytes of a batch.
pub const MAGIC: [u8; 4] = *b"SKWB";
/// The layout version this crate reads and writes.
pub const VERSION: u16 = 1;
/// Bytes of the header: one cache line.
pub const HEADER_BYTES: usize = 64;
/// Bytes of one column descriptor.
pub const DESCRIPTOR_BYTES: usize = 48;
/// Every buffer begins at a multiple of this: one cache line, and Arrow's own recommendation.
pub const ALIGN: usize = 64;
/// Bytes left free between two columns. Without them, columns of a power-of-two length lie at a
/// stride that maps them all to the same cache sets (measured: up to 3 times slower).
pub const COLUMN_GAP: usize = 64;
/// Bit 0 of a column's flags: it has a validity bitmap.
pub const FLAG_VALIDITY: u8 = 1;

/// Rows of a batch at most: offsets and lengths stay far inside 32 bits; callers split before.
pub const ROWS_MAX: usize = 1 << 20;
/// Columns of a batch at most: more is a definition gone wrong, and descriptors stay under 200 KiB.
pub const COLUMNS_MAX: usize = 4096;
/// Bytes of a batch at most, 1 GiB: every position fits an i32 and a 32-bit guest can hold it.
pub const BATCH_BYTES_MAX: usize = 1 << 30;
/// Elements of an embedding at most; the widest published embeddings have a few thousand.
pub const EMBEDDING_DIM_MAX: u32 = 65_536;

/// `n` rounded up to the next multiple of [`ALIGN`].
#[must_use]
pub const fn align_up(n: usize) -> usize {
    n.saturating_add(ALIGN - 1) & !(ALIGN - 1)
}

/// Walks the layout: tells where the next buffer goes. The one place that knows the rule.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    at: usize,
    columns: usize,
}

impl Cursor {
    /// Behind the header and `columns` descriptors.
    #[must_use]
    pub const fn new(columns: usize) -> Self {
        Self { at: Self::end_of_descriptors(columns), columns: 0 }
    }

    /// Bytes of the header and `columns` descriptors.
    #[must_use]
    pub const fn end_of_descriptors(columns: usize) -> usize {
        columns.saturating_mul(DESCRIPTOR_BYTES).saturating_add(HEADER_BYTES)
    }

    /// Begins the next column: from the second on, a gap is left.
    pub const fn column(&mut self) {
        if self.columns > 0 {
            self.at = align_up(self.at).saturating_add(COLUMN_GAP);
        }
        self.columns += 1;
    }

    /// The position of a buffer of `len` bytes; an empty buffer takes no place and is at 0.
    pub const fn buffer(&mut self, len: usize) -> usize {
        if len == 0 {
            return 0;
        }
        let start = align_up(self.at);
        self.at = start.saturating_add(len);
        start
    }

    /// Length of the whole batch: the end of the last buffer, rounded up.
    #[must_use]
    pub const fn total(&self) -> usize {
        align_up(self.at)
    }
}

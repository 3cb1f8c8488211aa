//! What can be wrong with bytes that claim to be a batch, and with a value that is pushed into a
//! column. The messages are in `display.rs`, so that a plugin that only compares pays for no text.

use crate::Type;

/// Why bytes are not a batch, or columns can't be one. Says what was expected, what came, where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchError {
    /// Fewer bytes than a header.
    TooShort {
        /// Bytes of a header.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The first four bytes are not `SKWB`.
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A layout version this crate doesn't know.
    Version {
        /// The version in the header.
        found: u16,
    },
    /// Header flags this version doesn't define.
    HeaderFlags {
        /// The flags in the header.
        found: u16,
    },
    /// A reserved byte is not zero.
    Reserved {
        /// Its position in the batch.
        at: usize,
    },
    /// More rows than [`ROWS_MAX`](crate::ROWS_MAX).
    RowsLimit {
        /// Rows stated or given.
        found: usize,
    },
    /// More columns than [`COLUMNS_MAX`](crate::COLUMNS_MAX).
    ColumnsLimit {
        /// Columns stated or given.
        found: usize,
    },
    /// More bytes than [`BATCH_BYTES_MAX`](crate::BATCH_BYTES_MAX).
    BytesLimit {
        /// Bytes stated or needed.
        found: usize,
    },
    /// The header's length is not the number of bytes given.
    TotalLength {
        /// The length in the header.
        stated: usize,
        /// Bytes given.
        found: usize,
    },
    /// The column descriptors do not fit into the batch.
    Descriptors {
        /// Bytes that header and descriptors need.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// A type code this version doesn't know.
    TypeCode {
        /// Index of the column.
        column: usize,
        /// The code.
        found: u8,
    },
    /// An embedding's dimension outside 1..=[`EMBEDDING_DIM_MAX`](crate::EMBEDDING_DIM_MAX), or one
    /// that is not zero on another type.
    Dimension {
        /// Index of the column.
        column: usize,
        /// The type code.
        code: u8,
        /// The dimension.
        found: u32,
    },
    /// Column flags this version doesn't define.
    ColumnFlags {
        /// Index of the column.
        column: usize,
        /// The flags.
        found: u8,
    },
    /// A buffer does not begin at a multiple of 64 bytes.
    Misaligned {
        /// Index of the column.
        column: usize,
        /// The buffer.
        buffer: Buffer,
        /// Its position in the batch.
        offset: usize,
    },
    /// A buffer begins before the end of the descriptors or of the buffer before it.
    Overlap {
        /// Index of the column.
        column: usize,
        /// The buffer.
        buffer: Buffer,
        /// Its position in the batch.
        offset: usize,
        /// The first position it may have.
        earliest: usize,
    },
    /// A buffer ends after the batch.
    Outside {
        /// Index of the column.
        column: usize,
        /// The buffer.
        buffer: Buffer,
        /// The position after its last byte.
        end: u64,
        /// Bytes of the batch.
        total: usize,
    },
    /// An empty buffer must have position 0.
    EmptyBuffer {
        /// Index of the column.
        column: usize,
        /// The buffer.
        buffer: Buffer,
        /// The position it has.
        offset: usize,
    },
    /// A buffer's length does not fit the rows and the type.
    BufferLength {
        /// Index of the column.
        column: usize,
        /// The buffer.
        buffer: Buffer,
        /// Bytes it must have.
        expected: u64,
        /// Bytes it has.
        found: usize,
    },
    /// The first offset is not 0.
    FirstOffset {
        /// Index of the column.
        column: usize,
        /// Offsets or inner offsets.
        buffer: Buffer,
        /// The first offset.
        found: i32,
    },
    /// An offset is smaller than the one before it.
    OffsetOrder {
        /// Index of the column.
        column: usize,
        /// Offsets or inner offsets.
        buffer: Buffer,
        /// Index of the greater offset, that is the row or the element.
        at: usize,
    },
    /// The last offset is not the number of elements or bytes it must end at.
    LastOffset {
        /// Index of the column.
        column: usize,
        /// Offsets or inner offsets.
        buffer: Buffer,
        /// Elements or bytes there are.
        expected: usize,
        /// The last offset.
        found: i32,
    },
    /// Text is not UTF-8, or is cut inside a character.
    Utf8 {
        /// Index of the column.
        column: usize,
        /// Position of the first bad byte in the values buffer.
        at: usize,
    },
    /// The null count is not the number of zero bits of the validity bitmap.
    NullCount {
        /// Index of the column.
        column: usize,
        /// Zero bits there are.
        expected: usize,
        /// The count in the descriptor.
        found: usize,
    },
    /// When encoding: a column has another number of rows than the batch.
    ColumnRows {
        /// Index of the column.
        column: usize,
        /// Rows of the batch.
        expected: usize,
        /// Rows of the column.
        found: usize,
    },
    /// When encoding: the output has not exactly the encoded length.
    OutputLength {
        /// Bytes the batch needs.
        expected: usize,
        /// Bytes of the output.
        found: usize,
    },
}

/// One of a column's four buffers, in the order of the layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Buffer {
    /// The null bitmap: 1 = valid.
    Validity,
    /// Where rows begin and end.
    Offsets,
    /// Where the strings of a list begin and end.
    InnerOffsets,
    /// The values.
    Values,
}

/// A value was pushed into a column of another type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypeMismatch {
    /// The column's type.
    pub expected: Type,
    /// The value's type.
    pub found: Type,
}

impl BatchError {
    /// The variant's name, as the test vectors state it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooShort { .. } => "TooShort",
            Self::Magic { .. } => "Magic",
            Self::Version { .. } => "Version",
            Self::HeaderFlags { .. } => "HeaderFlags",
            Self::Reserved { .. } => "Reserved",
            Self::RowsLimit { .. } => "RowsLimit",
            Self::ColumnsLimit { .. } => "ColumnsLimit",
            Self::BytesLimit { .. } => "BytesLimit",
            Self::TotalLength { .. } => "TotalLength",
            Self::Descriptors { .. } => "Descriptors",
            Self::TypeCode { .. } => "TypeCode",
            Self::Dimension { .. } => "Dimension",
            Self::ColumnFlags { .. } => "ColumnFlags",
            Self::Misaligned { .. } => "Misaligned",
            Self::Overlap { .. } => "Overlap",
            Self::Outside { .. } => "Outside",
            Self::EmptyBuffer { .. } => "EmptyBuffer",
            Self::BufferLength { .. } => "BufferLength",
            Self::FirstOffset { .. } => "FirstOffset",
            Self::OffsetOrder { .. } => "OffsetOrder",
            Self::LastOffset { .. } => "LastOffset",
            Self::Utf8 { .. } => "Utf8",
            Self::NullCount { .. } => "NullCount",
            Self::ColumnRows { .. } => "ColumnRows",
            Self::OutputLength { .. } => "OutputLength",
        }
    }
}

//! Text forms: types, error messages. Kept apart so that plugins, which need none, carry none.

use alloc::borrow::ToOwned;
use core::fmt::{Display, Formatter, Result};
use core::str::FromStr;

use crate::layout::{
    ALIGN, BATCH_BYTES_MAX, COLUMNS_MAX, EMBEDDING_DIM_MAX, MAGIC, ROWS_MAX, VERSION,
};
use crate::{BatchError, Buffer, Type, TypeMismatch, UnknownType};

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Utf8 => "utf8",
            Self::Binary => "binary",
            Self::Timestamp => "timestamp",
            Self::Embedding(dim) => return write!(f, "embedding[{dim}]"),
            Self::ListInt64 => "list<int64>",
            Self::ListFloat64 => "list<float64>",
            Self::ListUtf8 => "list<utf8>",
        })
    }
}

impl FromStr for Type {
    type Err = UnknownType;

    fn from_str(text: &str) -> core::result::Result<Self, UnknownType> {
        Ok(match text {
            "bool" => Self::Bool,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float32" => Self::Float32,
            "float64" => Self::Float64,
            "utf8" => Self::Utf8,
            "binary" => Self::Binary,
            "timestamp" => Self::Timestamp,
            "list<int64>" => Self::ListInt64,
            "list<float64>" => Self::ListFloat64,
            "list<utf8>" => Self::ListUtf8,
            _ => match dimension(text) {
                Some(dim) => Self::Embedding(dim),
                None => return Err(UnknownType { found: text.to_owned() }),
            },
        })
    }
}

/// The dimension in `embedding[16]`: digits only, no leading zero, within the limit.
fn dimension(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("embedding[")?.strip_suffix(']')?;
    if digits.starts_with(['0', '+']) {
        return None;
    }
    digits.parse().ok().filter(|dim| (1..=EMBEDDING_DIM_MAX).contains(dim))
}

impl Display for UnknownType {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(
            f,
            "unknown type `{}`: expected bool, int32, int64, float32, float64, utf8, binary, \
             timestamp, embedding[1..={EMBEDDING_DIM_MAX}], list<int64>, list<float64> or list<utf8>",
            self.found
        )
    }
}

impl core::error::Error for UnknownType {}

impl Display for TypeMismatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "expected a value of type {}, found one of type {}", self.expected, self.found)
    }
}

impl core::error::Error for TypeMismatch {}

impl Display for Buffer {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Validity => "validity",
            Self::Offsets => "offsets",
            Self::InnerOffsets => "inner offsets",
            Self::Values => "values",
        })
    }
}

impl Display for BatchError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match *self {
            Self::TooShort { expected, found } => {
                write!(f, "expected at least the {expected} bytes of a batch header, found {found}")
            }
            Self::Magic { found } => {
                write!(f, "expected the magic bytes {MAGIC:02x?} at 0, found {found:02x?}")
            }
            Self::Version { found } => {
                write!(f, "expected layout version {VERSION}, found {found}")
            }
            Self::HeaderFlags { found } => {
                write!(f, "expected header flags 0, found {found:#06x}")
            }
            Self::Reserved { at } => write!(f, "expected a zero in the reserved byte at {at}"),
            Self::RowsLimit { found } => {
                write!(f, "expected at most {ROWS_MAX} rows (ROWS_MAX), found {found}")
            }
            Self::ColumnsLimit { found } => {
                write!(f, "expected at most {COLUMNS_MAX} columns (COLUMNS_MAX), found {found}")
            }
            Self::BytesLimit { found } => {
                write!(
                    f,
                    "expected at most {BATCH_BYTES_MAX} bytes (BATCH_BYTES_MAX), found {found}"
                )
            }
            Self::TotalLength { stated, found } => {
                write!(f, "the header states {stated} bytes, found {found}")
            }
            Self::Descriptors { expected, found } => {
                write!(f, "header and column descriptors need {expected} bytes, found {found}")
            }
            Self::ColumnRows { column, expected, found } => {
                write!(f, "column {column}: expected {expected} rows, found {found}")
            }
            Self::OutputLength { expected, found } => {
                write!(f, "expected an output of exactly {expected} bytes, found {found}")
            }
            _ => self.fmt_column(f),
        }
    }
}

impl BatchError {
    /// The messages about one column's descriptor and buffers.
    fn fmt_column(&self, f: &mut Formatter<'_>) -> Result {
        match *self {
            Self::TypeCode { column, found } => {
                write!(f, "column {column}: expected a type code of 1 to 12, found {found}")
            }
            Self::Dimension { column, code: 9, found } => write!(
                f,
                "column {column}: expected an embedding dimension of 1 to {EMBEDDING_DIM_MAX}, \
                 found {found}"
            ),
            Self::Dimension { column, code, found } => write!(
                f,
                "column {column}: expected dimension 0 for type code {code}, found {found}"
            ),
            Self::ColumnFlags { column, found } => {
                write!(f, "column {column}: expected flags 0 or 1, found {found:#04x}")
            }
            Self::Misaligned { column, buffer, offset } => write!(
                f,
                "column {column}, {buffer}: expected a position that is a multiple of {ALIGN}, \
                 found {offset}"
            ),
            Self::Overlap { column, buffer, offset, earliest } => write!(
                f,
                "column {column}, {buffer}: expected a position from {earliest} on, found {offset}"
            ),
            Self::Outside { column, buffer, end, total } => write!(
                f,
                "column {column}, {buffer}: expected to end within the batch's {total} bytes, \
                 found the end at {end}"
            ),
            Self::EmptyBuffer { column, buffer, offset } => write!(
                f,
                "column {column}, {buffer}: expected position 0 for an empty buffer, found {offset}"
            ),
            Self::BufferLength { column, buffer, expected, found } => {
                write!(f, "column {column}, {buffer}: expected {expected} bytes, found {found}")
            }
            Self::FirstOffset { column, buffer, found } => {
                write!(f, "column {column}, {buffer}: expected the first to be 0, found {found}")
            }
            Self::OffsetOrder { column, buffer, at } => write!(
                f,
                "column {column}, {buffer}: expected offsets that never fall, found a smaller one \
                 after entry {at}"
            ),
            Self::LastOffset { column, buffer, expected, found } => write!(
                f,
                "column {column}, {buffer}: expected the last to be {expected}, found {found}"
            ),
            Self::Utf8 { column, at } => {
                write!(f, "column {column}, values: expected UTF-8, found a bad byte at {at}")
            }
            Self::NullCount { column, expected, found } => write!(
                f,
                "column {column}: expected the null count {expected} of its bitmap, found {found}"
            ),
            _ => f.write_str(self.name()),
        }
    }
}

impl core::error::Error for BatchError {}

//! The twelve column types and their codes in the layout. Not the values: those are in `value.rs`.
//!
//! Limit: an embedding has 1 to [`EMBEDDING_DIM_MAX`](crate::EMBEDDING_DIM_MAX) elements.

use alloc::string::String;

use crate::bits;

/// The type of a column. Its text form (`Display`, `FromStr`) is `bool int32 int64 float32 float64
/// utf8 binary timestamp embedding[16] list<int64> list<float64> list<utf8>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// True or false; one bit a value.
    Bool,
    /// Signed 32-bit integer.
    Int32,
    /// Signed 64-bit integer.
    Int64,
    /// IEEE 754 single precision.
    Float32,
    /// IEEE 754 double precision.
    Float64,
    /// UTF-8 text.
    Utf8,
    /// Bytes.
    Binary,
    /// Microseconds since 1970-01-01T00:00:00 UTC, as a signed 64-bit integer.
    Timestamp,
    /// A fixed number of float32 elements, none of them null.
    Embedding(u32),
    /// Any number of int64 elements, none of them null.
    ListInt64,
    /// Any number of float64 elements, none of them null.
    ListFloat64,
    /// Any number of utf8 elements, none of them null.
    ListUtf8,
}

/// Text that names no type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownType {
    /// The text that was given.
    pub found: String,
}

impl Type {
    /// The type's code in a column descriptor, 1 to 12. Codes are never reused; 0 is no type, so
    /// that zeroed memory is not a column.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Bool => 1,
            Self::Int32 => 2,
            Self::Int64 => 3,
            Self::Float32 => 4,
            Self::Float64 => 5,
            Self::Utf8 => 6,
            Self::Binary => 7,
            Self::Timestamp => 8,
            Self::Embedding(_) => 9,
            Self::ListInt64 => 10,
            Self::ListFloat64 => 11,
            Self::ListUtf8 => 12,
        }
    }

    /// The embedding's number of elements; 0 for every other type.
    #[must_use]
    pub const fn dim(self) -> u32 {
        match self {
            Self::Embedding(dim) => dim,
            _ => 0,
        }
    }

    /// The type of a code; an embedding gets the dimension as given. `None` for unknown codes.
    #[must_use]
    pub const fn from_code(code: u8, dim: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Bool,
            2 => Self::Int32,
            3 => Self::Int64,
            4 => Self::Float32,
            5 => Self::Float64,
            6 => Self::Utf8,
            7 => Self::Binary,
            8 => Self::Timestamp,
            9 => Self::Embedding(dim),
            10 => Self::ListInt64,
            11 => Self::ListFloat64,
            12 => Self::ListUtf8,
            _ => return None,
        })
    }

    /// Bytes of one value in the values buffer; `None` for bool (a bit), text, bytes and lists.
    #[must_use]
    pub const fn width(self) -> Option<usize> {
        match self {
            Self::Int32 | Self::Float32 => Some(4),
            Self::Int64 | Self::Float64 | Self::Timestamp => Some(8),
            Self::Embedding(dim) => Some(4 * dim as usize),
            _ => None,
        }
    }

    /// Bytes of the values buffer of `rows` rows; `None` for text, bytes and lists, whose values have no one width.
    #[inline]
    #[must_use]
    pub fn values_len(self, rows: usize) -> Option<usize> {
        match self {
            Self::Bool => Some(bits::bytes_for(rows)),
            _ => Some(rows.saturating_mul(self.width()?)),
        }
    }

    /// Whether rows have offsets: text, bytes and lists.
    #[must_use]
    pub const fn has_offsets(self) -> bool {
        matches!(
            self,
            Self::Utf8 | Self::Binary | Self::ListInt64 | Self::ListFloat64 | Self::ListUtf8
        )
    }

    /// Whether the values buffer is UTF-8 text.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Utf8 | Self::ListUtf8)
    }

    /// Whether values hold floats, and so may hold NaNs.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::Float32 | Self::Float64 | Self::Embedding(_) | Self::ListFloat64)
    }
}

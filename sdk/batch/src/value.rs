//! One value, borrowed: what crosses between columns, tests and people. Not a storage form; bulk
//! work goes through `Column` and `ColumnView`.

use core::fmt::{Debug, Formatter};

use crate::view::{array_at, bug, i32_at};
use crate::{Type, cast};

/// One value or null. Equality is by bits: every NaN equals itself, 0.0 differs from -0.0, and values
/// of different types differ.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// A bool.
    Bool(bool),
    /// An int32.
    Int32(i32),
    /// An int64.
    Int64(i64),
    /// A float32.
    Float32(f32),
    /// A float64.
    Float64(f64),
    /// Text.
    Utf8(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// Microseconds since 1970 UTC.
    Timestamp(i64),
    /// Float32 elements; their number is the type's dimension.
    Embedding(Floats<'a>),
    /// Int64 elements.
    ListInt64(Ints<'a>),
    /// Float64 elements.
    ListFloat64(Doubles<'a>),
    /// Utf8 elements.
    ListUtf8(Strings<'a>),
}

impl Value<'_> {
    /// The value's type; `None` for null, which belongs to every type.
    #[must_use]
    pub fn ty(&self) -> Option<Type> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(_) => Type::Bool,
            Self::Int32(_) => Type::Int32,
            Self::Int64(_) => Type::Int64,
            Self::Float32(_) => Type::Float32,
            Self::Float64(_) => Type::Float64,
            Self::Utf8(_) => Type::Utf8,
            Self::Binary(_) => Type::Binary,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Embedding(floats) => Type::Embedding(floats.len() as u32),
            Self::ListInt64(_) => Type::ListInt64,
            Self::ListFloat64(_) => Type::ListFloat64,
            Self::ListUtf8(_) => Type::ListUtf8,
        })
    }

    /// Whether this is null.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int32(a), Self::Int32(b)) => a == b,
            (Self::Int64(a), Self::Int64(b)) | (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Float32(a), Self::Float32(b)) => a.to_bits() == b.to_bits(),
            (Self::Float64(a), Self::Float64(b)) => a.to_bits() == b.to_bits(),
            (Self::Utf8(a), Self::Utf8(b)) => a == b,
            (Self::Binary(a), Self::Binary(b)) => a == b,
            (Self::Embedding(a), Self::Embedding(b)) => a == b,
            (Self::ListInt64(a), Self::ListInt64(b)) => a == b,
            (Self::ListFloat64(a), Self::ListFloat64(b)) => a == b,
            (Self::ListUtf8(a), Self::ListUtf8(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value<'_> {}

macro_rules! packed {
    ($(#[$doc:meta])* $name:ident, $item:ty, $width:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name<'a> {
            /// Little-endian items, a whole number of them.
            bytes: &'a [u8],
        }

        impl<'a> $name<'a> {
            pub(crate) const fn from_bytes(bytes: &'a [u8]) -> Self {
                Self { bytes }
            }

            /// Number of elements.
            #[must_use]
            pub const fn len(&self) -> usize {
                self.bytes.len() / $width
            }

            /// Whether there are no elements.
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.bytes.is_empty()
            }

            /// Element `index`, if there is one.
            #[must_use]
            pub fn get(&self, index: usize) -> Option<$item> {
                (index < self.len())
                    .then(|| <$item>::from_le_bytes(array_at(self.bytes, index * $width)))
            }

            /// The elements in order.
            pub fn iter(&self) -> impl ExactSizeIterator<Item = $item> + Clone + use<'a> {
                self.bytes.as_chunks::<$width>().0.iter().map(|item| <$item>::from_le_bytes(*item))
            }

            /// The elements as a slice, if they are aligned in memory; in a batch whose start is
            /// aligned to 64 bytes all rows of an embedding column with an even dimension are.
            #[must_use]
            pub fn as_slice(&self) -> Option<&'a [$item]> {
                cast::items_of(self.bytes)
            }

            /// The elements' little-endian bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &'a [u8] {
                self.bytes
            }
        }

        impl<'a> From<&'a [$item]> for $name<'a> {
            fn from(items: &'a [$item]) -> Self {
                Self { bytes: cast::bytes_of(items) }
            }
        }

        impl Debug for $name<'_> {
            fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
                f.debug_list().entries(self.iter()).finish()
            }
        }
    };
}

packed!(
    /// The elements of an embedding. Equality is by bits.
    Floats, f32, 4
);
packed!(
    /// The elements of a list of int64.
    Ints, i64, 8
);
packed!(
    /// The elements of a list of float64. Equality is by bits.
    Doubles, f64, 8
);

/// The elements of a list of utf8.
#[derive(Clone, Copy)]
pub struct Strings<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// One i32 offset more than elements, and the text they point into.
    Packed {
        offsets: &'a [u8],
        text: &'a str,
    },
    Slice(&'a [&'a str]),
}

impl<'a> Strings<'a> {
    pub(crate) const fn packed(offsets: &'a [u8], text: &'a str) -> Self {
        Self(Source::Packed { offsets, text })
    }

    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Packed { offsets, .. } => offsets.len() / 4 - 1,
            Source::Slice(items) => items.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index`, if there is one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a str> {
        if index >= self.len() {
            return None;
        }
        match self.0 {
            Source::Packed { offsets, text } => {
                match text.get(i32_at(offsets, index)..i32_at(offsets, index + 1)) {
                    Some(item) => Some(item),
                    None => bug("list offsets were checked"),
                }
            }
            Source::Slice(items) => items.get(index).copied(),
        }
    }

    /// The elements in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a str> + Clone + use<'a> {
        let this = *self;
        (0..this.len()).map(move |index| this.get(index).unwrap_or_default())
    }
}

impl<'a> From<&'a [&'a str]> for Strings<'a> {
    fn from(items: &'a [&'a str]) -> Self {
        Self(Source::Slice(items))
    }
}

impl PartialEq for Strings<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Strings<'_> {}

impl Debug for Strings<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

//! The types that a transform's arguments can have, and how each is read from a column.
//!
//! A column is looked at once, before the rows ([`Input::open`]); a row then costs one comparison and one
//! load for a number.

use skewless_batch::{BatchView, ColumnView, Doubles, Ints, Strings, Type};

use crate::Timestamp;

/// A type that an argument of a transform can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type that a transform can take: arguments are bool, i32, i64, f32, f64, &str, &[u8], \
               skewless::Timestamp, [f32; N], skewless::Ints, Doubles, Strings, Vec<i64>, Vec<f64>, Vec<&str>, or an \
               Option of one of these",
    label = "not a feature type",
    note = "take another integer as i64, a String as &str"
)]
pub trait Input<'a>: Sized {
    /// The column's type.
    const TYPE: Type;
    /// Whether the function receives nulls.
    const NULLABLE: bool;
    /// The column, ready to be read row by row.
    type Reader: Copy;

    /// Looks at a column of the type, once.
    fn reader(column: ColumnView<'a>) -> Self::Reader;

    /// The same for column `index` of a batch, which has the type: without a view of it where that costs less.
    #[inline]
    fn open(batch: &BatchView<'a>, index: usize) -> Self::Reader {
        Self::reader(batch.column(index))
    }

    /// The value of a row; `None`: it is null and the type can't say so, so the row's outputs are null.
    fn read(reader: &Self::Reader, row: usize) -> Option<Self>;
}

/// A column of values of one width: numbers of `N` bytes, embeddings of elements of `N` bytes, or bools, of which
/// eight share a byte.
#[derive(Clone, Copy)]
pub struct Numbers<'a, const N: usize> {
    values: &'a [[u8; N]],
    /// One bit a row, 0 = null; empty if there are no nulls.
    validity: &'a [u8],
}

impl<'a, const N: usize> Numbers<'a, N> {
    #[inline]
    fn of((values, validity): (&'a [u8], &'a [u8])) -> Self {
        Self { values: values.as_chunks().0, validity }
    }

    #[inline]
    fn of_view(column: ColumnView<'a>) -> Self {
        Self::of((column.values_bytes(), column.validity_bytes().unwrap_or_default()))
    }

    /// Whether a row is null. One past the end is a mistake of the caller, and null.
    #[inline]
    fn is_null(&self, row: usize) -> bool {
        let invalid = |byte: &u8| byte >> (row & 7) & 1 == 0;
        !self.validity.is_empty() && self.validity.get(row >> 3).is_none_or(invalid)
    }

    /// The bytes of a row's number; `None`: null.
    #[inline]
    fn at(&self, row: usize) -> Option<[u8; N]> {
        if self.is_null(row) { None } else { self.values.get(row).copied() }
    }
}

macro_rules! number {
    ($rust:ty, $ty:expr, $bytes:literal, |$array:ident| $read:expr) => {
        impl<'a> Input<'a> for $rust {
            const TYPE: Type = $ty;
            const NULLABLE: bool = false;
            type Reader = Numbers<'a, $bytes>;

            #[inline]
            fn reader(column: ColumnView<'a>) -> Self::Reader {
                Numbers::of_view(column)
            }

            #[inline]
            fn open(batch: &BatchView<'a>, index: usize) -> Self::Reader {
                Numbers::of(batch.values_and_validity(index))
            }

            #[inline]
            fn read(reader: &Self::Reader, row: usize) -> Option<Self> {
                let $array = reader.at(row)?;
                Some($read)
            }
        }
    };
}

number!(i32, Type::Int32, 4, |bytes| i32::from_le_bytes(bytes));
number!(i64, Type::Int64, 8, |bytes| i64::from_le_bytes(bytes));
number!(f32, Type::Float32, 4, |bytes| f32::from_le_bytes(bytes));
number!(f64, Type::Float64, 8, |bytes| f64::from_le_bytes(bytes));
number!(Timestamp, Type::Timestamp, 8, |bytes| Timestamp(i64::from_le_bytes(bytes)));

impl<'a> Input<'a> for bool {
    const TYPE: Type = Type::Bool;
    const NULLABLE: bool = false;
    type Reader = Numbers<'a, 1>;

    #[inline]
    fn reader(column: ColumnView<'a>) -> Self::Reader {
        Numbers::of_view(column)
    }

    #[inline]
    fn open(batch: &BatchView<'a>, index: usize) -> Self::Reader {
        Numbers::of(batch.values_and_validity(index))
    }

    #[inline]
    fn read(reader: &Self::Reader, row: usize) -> Option<Self> {
        if reader.is_null(row) {
            return None;
        }
        let [byte] = *reader.values.get(row >> 3)?;
        Some(byte >> (row & 7) & 1 != 0)
    }
}

macro_rules! input {
    ($rust:ty, $ty:expr, |$column:ident, $row:ident| $read:expr) => {
        impl<'a> Input<'a> for $rust {
            const TYPE: Type = $ty;
            const NULLABLE: bool = false;
            type Reader = ColumnView<'a>;

            #[inline]
            fn reader(column: ColumnView<'a>) -> Self::Reader {
                column
            }

            #[inline]
            fn read($column: &Self::Reader, $row: usize) -> Option<Self> {
                if $column.is_null($row) { None } else { Some($read) }
            }
        }
    };
}

input!(&'a str, Type::Utf8, |column, row| column.utf8_at(row));
input!(&'a [u8], Type::Binary, |column, row| column.binary_at(row));
input!(Ints<'a>, Type::ListInt64, |column, row| column.list_i64_at(row));
input!(Doubles<'a>, Type::ListFloat64, |column, row| column.list_f64_at(row));
input!(Strings<'a>, Type::ListUtf8, |column, row| column.list_utf8_at(row));
input!(Vec<i64>, Type::ListInt64, |column, row| column.list_i64_at(row).iter().collect());
input!(Vec<f64>, Type::ListFloat64, |column, row| column.list_f64_at(row).iter().collect());
input!(Vec<&'a str>, Type::ListUtf8, |column, row| column.list_utf8_at(row).iter().collect());

impl<'a, const N: usize> Input<'a> for [f32; N] {
    const TYPE: Type = Type::Embedding(N as u32);
    const NULLABLE: bool = false;
    type Reader = Numbers<'a, 4>;

    #[inline]
    fn reader(column: ColumnView<'a>) -> Self::Reader {
        Numbers::of_view(column)
    }

    #[inline]
    fn open(batch: &BatchView<'a>, index: usize) -> Self::Reader {
        Numbers::of(batch.values_and_validity(index))
    }

    #[inline]
    fn read(reader: &Self::Reader, row: usize) -> Option<Self> {
        if reader.is_null(row) {
            return None;
        }
        let elements = reader.values.get(row * N..(row + 1) * N)?;
        let mut values = [0.0; N];
        for (value, element) in values.iter_mut().zip(elements) {
            *value = f32::from_le_bytes(*element);
        }
        Some(values)
    }
}

impl<'a, T: Input<'a>> Input<'a> for Option<T> {
    const TYPE: Type = T::TYPE;
    const NULLABLE: bool = true;
    type Reader = T::Reader;

    #[inline]
    fn reader(column: ColumnView<'a>) -> Self::Reader {
        T::reader(column)
    }

    #[inline]
    fn open(batch: &BatchView<'a>, index: usize) -> Self::Reader {
        T::open(batch, index)
    }

    #[inline]
    fn read(reader: &Self::Reader, row: usize) -> Option<Self> {
        Some(T::read(reader, row))
    }
}

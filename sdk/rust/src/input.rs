//! The types that a transform's arguments can have, and how each is read from a column.

use skewless_batch::{ColumnView, Doubles, Ints, Strings, Type};

use crate::Timestamp;

/// A type that an argument of a transform can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type that a transform can take",
    label = "not a feature type",
    note = "arguments are bool, i32, i64, f32, f64, &str, &[u8], skewless::Timestamp, [f32; N], \
            skewless::Ints, Doubles, Strings, Vec<i64>, Vec<f64>, Vec<&str>, or an Option of one of these"
)]
pub trait Input<'a>: Sized {
    /// The column's type.
    const TYPE: Type;
    /// Whether the function receives nulls.
    const NULLABLE: bool;

    /// The value of a row; `None`: it is null and the type can't say so, so the row's outputs are null.
    fn read(column: &ColumnView<'a>, row: usize) -> Option<Self>;
}

macro_rules! input {
    ($rust:ty, $ty:expr, |$column:ident, $row:ident| $read:expr) => {
        impl<'a> Input<'a> for $rust {
            const TYPE: Type = $ty;
            const NULLABLE: bool = false;

            #[inline]
            fn read($column: &ColumnView<'a>, $row: usize) -> Option<Self> {
                if $column.is_null($row) { None } else { Some($read) }
            }
        }
    };
}

input!(bool, Type::Bool, |column, row| column.bool_at(row));
input!(i32, Type::Int32, |column, row| column.i32_at(row));
input!(i64, Type::Int64, |column, row| column.i64_at(row));
input!(f32, Type::Float32, |column, row| column.f32_at(row));
input!(f64, Type::Float64, |column, row| column.f64_at(row));
input!(&'a str, Type::Utf8, |column, row| column.utf8_at(row));
input!(&'a [u8], Type::Binary, |column, row| column.binary_at(row));
input!(Timestamp, Type::Timestamp, |column, row| Timestamp(column.timestamp_at(row)));
input!(Ints<'a>, Type::ListInt64, |column, row| column.list_i64_at(row));
input!(Doubles<'a>, Type::ListFloat64, |column, row| column.list_f64_at(row));
input!(Strings<'a>, Type::ListUtf8, |column, row| column.list_utf8_at(row));
input!(Vec<i64>, Type::ListInt64, |column, row| column.list_i64_at(row).iter().collect());
input!(Vec<f64>, Type::ListFloat64, |column, row| column.list_f64_at(row).iter().collect());
input!(Vec<&'a str>, Type::ListUtf8, |column, row| column.list_utf8_at(row).iter().collect());

impl<'a, const N: usize> Input<'a> for [f32; N] {
    const TYPE: Type = Type::Embedding(N as u32);
    const NULLABLE: bool = false;

    #[inline]
    fn read(column: &ColumnView<'a>, row: usize) -> Option<Self> {
        if column.is_null(row) {
            return None;
        }
        let mut values = [0.0; N];
        for (value, read) in values.iter_mut().zip(column.embedding_at(row).iter()) {
            *value = read;
        }
        Some(values)
    }
}

impl<'a, T: Input<'a>> Input<'a> for Option<T> {
    const TYPE: Type = T::TYPE;
    const NULLABLE: bool = true;

    #[inline]
    fn read(column: &ColumnView<'a>, row: usize) -> Option<Self> {
        Some(T::read(column, row))
    }
}

//! The types that a transform's results can have, and how each gathers into a column.
//!
//! Numbers and bools have their room before the first row and are written in place; what has no fixed
//! length is appended. Either way rows come in order, each exactly once.

use skewless_batch::{Column, Type, Values};

use crate::Timestamp;
use crate::signature::FieldSpec;

/// A type that one output can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type that a transform can give: outputs are bool, i32, i64, f32, f64, String, \
               &'static str, Vec<u8>, skewless::Timestamp, [f32; N], Vec<i64>, Vec<f64>, Vec<String>, or an Option of \
               one of these",
    label = "not a feature type",
    note = "give another integer as i64, a &str as String"
)]
pub trait Output {
    /// The column's type.
    const TYPE: Type;
    /// Whether it can be null.
    const NULLABLE: bool;
    /// Where its values gather.
    type Gathered: Gather;

    /// Puts the value in its row, the next one.
    fn write(self, column: &mut Self::Gathered, row: usize);
}

/// A column while it grows.
pub trait Gather {
    /// Room for `rows` rows.
    fn with_rows(ty: Type, rows: usize) -> Self;
    /// Makes a row, the next one, null.
    fn null(&mut self, row: usize);
    /// The column, once every row was written; of the type again, so that the compiler knows it here, too.
    fn into_column(self, ty: Type) -> Column;
}

/// What one row of a transform gives: one value, or a struct with `#[derive(skewless::Outputs)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type that a transform can give: outputs are bool, i32, i64, f32, f64, String, \
               &'static str, Vec<u8>, skewless::Timestamp, [f32; N], Vec<i64>, Vec<f64>, Vec<String>, or a struct of \
               them with #[derive(skewless::Outputs)]",
    label = "neither a feature type nor a struct of them",
    note = "give another integer as i64, a &str as String; `Option` of a type may be null, `Result` of it may fail"
)]
pub trait Outputs {
    /// Its columns; a single value's has no name, which the attribute gives.
    const FIELDS: &'static [FieldSpec];
    /// Where its columns gather.
    type Gathered;

    /// Room for `rows` rows.
    fn with_rows(rows: usize) -> Self::Gathered;
    /// Puts one value in each column, in its row, the next one.
    fn write(self, columns: &mut Self::Gathered, row: usize);
    /// Makes a row, the next one, null in each column.
    fn null(columns: &mut Self::Gathered, row: usize);
    /// The columns in the order of `FIELDS`, once every row was written.
    fn into_columns(columns: Self::Gathered) -> Vec<Column>;
}

// Else the compiler reports that the type isn't an `Output` either, which says the same once more.
#[diagnostic::do_not_recommend]
impl<T: Output> Outputs for T {
    const FIELDS: &'static [FieldSpec] =
        &[FieldSpec { name: "", ty: T::TYPE, nullable: T::NULLABLE, doc: "", unit: "" }];
    type Gathered = T::Gathered;

    #[inline]
    fn with_rows(rows: usize) -> Self::Gathered {
        T::Gathered::with_rows(T::TYPE, rows)
    }

    #[inline]
    fn write(self, column: &mut Self::Gathered, row: usize) {
        Output::write(self, column, row);
    }

    #[inline]
    fn null(column: &mut Self::Gathered, row: usize) {
        column.null(row);
    }

    #[inline]
    fn into_columns(column: Self::Gathered) -> Vec<Column> {
        vec![column.into_column(T::TYPE)]
    }
}

/// Values of one width with room for every row, zero until written.
pub struct Fixed<T> {
    rows: usize,
    values: Vec<T>,
    /// One bit a row, 0 = null; empty until the first null.
    validity: Vec<u8>,
}

impl<T: Number> Fixed<T> {
    #[inline]
    fn put(&mut self, row: usize, value: T) {
        if let Some(slot) = self.values.get_mut(row) {
            *slot = value;
        }
    }
}

impl<T: Number> Gather for Fixed<T> {
    #[inline]
    fn with_rows(ty: Type, rows: usize) -> Self {
        let values = zeros(rows * ty.dim().max(1) as usize);
        Self { rows, values, validity: Vec::new() }
    }

    #[cold]
    fn null(&mut self, row: usize) {
        if self.validity.is_empty() {
            self.validity = vec![0xff; self.rows.div_ceil(8)];
        }
        self.validity[row >> 3] &= !(1 << (row & 7));
    }

    #[inline]
    fn into_column(self, ty: Type) -> Column {
        let validity = (!self.validity.is_empty()).then_some(self.validity);
        Column::of_values(ty, self.rows, T::values(self.values), validity)
    }
}

/// So many zeros. One is stored: in a guest, clearing memory is a call out of it.
#[inline]
fn zeros<T: Number>(len: usize) -> Vec<T> {
    if len == 1 { vec![T::default()] } else { vec![T::default(); len] }
}

/// A number that a column holds as it is.
pub trait Number: Copy + Default {
    /// A column's values of it.
    fn values(values: Vec<Self>) -> Values;
}

macro_rules! number {
    ($rust:ty, $values:ident) => {
        impl Number for $rust {
            fn values(values: Vec<Self>) -> Values {
                Values::$values(values)
            }
        }
    };
}

number!(i32, Int32);
number!(i64, Int64);
number!(f32, Float32);
number!(f64, Float64);

/// Bools, a bit each.
pub struct Bits(Fixed<u8>);

impl Number for u8 {
    fn values(values: Vec<Self>) -> Values {
        Values::Bits(values)
    }
}

impl Gather for Bits {
    #[inline]
    fn with_rows(_: Type, rows: usize) -> Self {
        Self(Fixed { rows, values: zeros(rows.div_ceil(8)), validity: Vec::new() })
    }

    fn null(&mut self, row: usize) {
        self.0.null(row);
    }

    #[inline]
    fn into_column(self, ty: Type) -> Column {
        self.0.into_column(ty)
    }
}

/// Columns of no fixed width grow by appending.
impl Gather for Column {
    fn with_rows(ty: Type, rows: usize) -> Self {
        Column::with_capacity(ty, rows)
    }

    fn null(&mut self, _: usize) {
        self.push_null();
    }

    fn into_column(self, _: Type) -> Column {
        self
    }
}

macro_rules! output {
    ($rust:ty, $ty:expr, $gathered:ty, |$value:ident, $column:ident, $row:ident| $write:expr) => {
        impl Output for $rust {
            const TYPE: Type = $ty;
            const NULLABLE: bool = false;
            type Gathered = $gathered;

            #[inline]
            fn write(self, $column: &mut Self::Gathered, $row: usize) {
                let $value = self;
                $write;
            }
        }
    };
}

output!(i32, Type::Int32, Fixed<i32>, |value, column, row| column.put(row, value));
output!(i64, Type::Int64, Fixed<i64>, |value, column, row| column.put(row, value));
output!(f32, Type::Float32, Fixed<f32>, |value, column, row| column.put(row, value));
output!(f64, Type::Float64, Fixed<f64>, |value, column, row| column.put(row, value));
output!(Timestamp, Type::Timestamp, Fixed<i64>, |value, column, row| column.put(row, value.0));
output!(bool, Type::Bool, Bits, |value, column, row| {
    if let Some(byte) = column.0.values.get_mut(row >> 3) {
        *byte |= u8::from(value) << (row & 7);
    }
});
output!(String, Type::Utf8, Column, |value, column, _row| column.push_utf8(&value));
output!(&'static str, Type::Utf8, Column, |value, column, _row| column.push_utf8(value));
output!(Vec<u8>, Type::Binary, Column, |value, column, _row| column.push_binary(&value));
output!(Vec<i64>, Type::ListInt64, Column, |value, column, _row| column.push_list_i64(&value));
output!(Vec<f64>, Type::ListFloat64, Column, |value, column, _row| column.push_list_f64(&value));
output!(Vec<String>, Type::ListUtf8, Column, |value, column, _row| column.push_list_utf8(value));

impl<const N: usize> Output for [f32; N] {
    const TYPE: Type = Type::Embedding(N as u32);
    const NULLABLE: bool = false;
    type Gathered = Fixed<f32>;

    #[inline]
    fn write(self, column: &mut Self::Gathered, row: usize) {
        if let Some(slot) = column.values.get_mut(row * N..(row + 1) * N) {
            slot.copy_from_slice(&self);
        }
    }
}

impl<T: Output> Output for Option<T> {
    const TYPE: Type = T::TYPE;
    const NULLABLE: bool = true;
    type Gathered = T::Gathered;

    #[inline]
    fn write(self, column: &mut Self::Gathered, row: usize) {
        match self {
            Some(value) => value.write(column, row),
            None => column.null(row),
        }
    }
}

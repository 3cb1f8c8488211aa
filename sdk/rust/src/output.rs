//! The types that a transform's results can have, and how each is written into columns.

use skewless_batch::{Column, Type};

use crate::Timestamp;
use crate::signature::FieldSpec;

/// A type that one output can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type that a transform can give",
    label = "not a feature type",
    note = "outputs are bool, i32, i64, f32, f64, String, &'static str, Vec<u8>, skewless::Timestamp, \
            [f32; N], Vec<i64>, Vec<f64>, Vec<String>, or an Option of one of these"
)]
pub trait Output {
    /// The column's type.
    const TYPE: Type;
    /// Whether it can be null.
    const NULLABLE: bool;

    /// Appends the value.
    fn write(self, column: &mut Column);
}

/// What one row of a transform gives: one value, or a struct with `#[derive(skewless::Outputs)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type that a transform can give",
    label = "neither a feature type nor a struct of them",
    note = "give one value (see `skewless::Output`) or a struct with #[derive(skewless::Outputs)]; \
            `Option` of either may be null, `Result` of either may fail"
)]
pub trait Outputs {
    /// Its columns; a single value's has no name, which the attribute gives.
    const FIELDS: &'static [FieldSpec];

    /// Appends one value to each column, in the order of `FIELDS`.
    fn write(self, columns: &mut [Column]);
}

impl<T: Output> Outputs for T {
    const FIELDS: &'static [FieldSpec] =
        &[FieldSpec { name: "", ty: T::TYPE, nullable: T::NULLABLE, doc: "", unit: "" }];

    #[inline]
    fn write(self, columns: &mut [Column]) {
        Output::write(self, &mut columns[0]);
    }
}

macro_rules! output {
    ($rust:ty, $ty:expr, |$value:ident, $column:ident| $write:expr) => {
        impl Output for $rust {
            const TYPE: Type = $ty;
            const NULLABLE: bool = false;

            #[inline]
            fn write(self, $column: &mut Column) {
                let $value = self;
                $write;
            }
        }
    };
}

output!(bool, Type::Bool, |value, column| column.push_bool(value));
output!(i32, Type::Int32, |value, column| column.push_i32(value));
output!(i64, Type::Int64, |value, column| column.push_i64(value));
output!(f32, Type::Float32, |value, column| column.push_f32(value));
output!(f64, Type::Float64, |value, column| column.push_f64(value));
output!(String, Type::Utf8, |value, column| column.push_utf8(&value));
output!(&'static str, Type::Utf8, |value, column| column.push_utf8(value));
output!(Vec<u8>, Type::Binary, |value, column| column.push_binary(&value));
output!(Timestamp, Type::Timestamp, |value, column| column.push_timestamp(value.0));
output!(Vec<i64>, Type::ListInt64, |value, column| column.push_list_i64(&value));
output!(Vec<f64>, Type::ListFloat64, |value, column| column.push_list_f64(&value));
output!(Vec<String>, Type::ListUtf8, |value, column| column.push_list_utf8(value));

impl<const N: usize> Output for [f32; N] {
    const TYPE: Type = Type::Embedding(N as u32);
    const NULLABLE: bool = false;

    #[inline]
    fn write(self, column: &mut Column) {
        column.push_embedding(&self);
    }
}

impl<T: Output> Output for Option<T> {
    const TYPE: Type = T::TYPE;
    const NULLABLE: bool = true;

    #[inline]
    fn write(self, column: &mut Column) {
        match self {
            Some(value) => value.write(column),
            None => column.push_null(),
        }
    }
}

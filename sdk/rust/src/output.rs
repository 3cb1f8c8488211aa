//! The types that a transform's results can have, and how each gathers into a column.
//!
//! Numbers, bools and embeddings are written where they will be read, if all outputs are such and none becomes null;
//! what has no fixed length is appended. Either way rows come in order, each exactly once.

use skewless_batch::{Column, Slots, Type};

use crate::Timestamp;
use crate::answer::{Answer, Part};
use crate::places::Places;
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
    type Gathered<'o>: Gather<'o>;

    /// Puts the value in its row, the next one.
    fn write(self, column: &mut Self::Gathered<'_>, row: usize);

    /// The column before its first row.
    #[inline]
    fn open<'o>(places: &mut Places<'o>) -> Self::Gathered<'o> {
        <Self::Gathered<'o> as Gather<'o>>::open(places, Self::TYPE)
    }

    /// Makes a row, the next one, null.
    #[inline]
    fn null(column: &mut Self::Gathered<'_>, row: usize) {
        column.null(row);
    }

    /// Whether the column, once every row was written, is in its place of the output batch.
    #[inline]
    fn in_place(column: &Self::Gathered<'_>) -> bool {
        column.in_place()
    }

    /// Hands the column over, once every row was written.
    #[inline]
    fn close<'o>(column: Self::Gathered<'o>, answer: &mut Answer<'o>) {
        answer.add(column.into_part(Self::TYPE));
    }
}

/// A column while it grows.
pub trait Gather<'o> {
    /// The column before its first row.
    fn open(places: &mut Places<'o>, ty: Type) -> Self;
    /// Makes a row, the next one, null.
    fn null(&mut self, row: usize);
    /// Whether all its rows are in their places.
    fn in_place(&self) -> bool;
    /// The column, once every row was written; of the type again, so that the compiler knows it here, too.
    fn into_part(self, ty: Type) -> Part<'o>;
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
    type Gathered<'o>;

    /// The columns before their first row.
    fn open<'o>(places: &mut Places<'o>) -> Self::Gathered<'o>;
    /// Puts one value in each column, in its row, the next one.
    fn write(self, columns: &mut Self::Gathered<'_>, row: usize);
    /// Makes a row, the next one, null in each column.
    fn null(columns: &mut Self::Gathered<'_>, row: usize);
    /// Whether each column, once every row was written, is in its place of the output batch.
    fn in_place(columns: &Self::Gathered<'_>) -> bool;
    /// Hands the columns over in the order of `FIELDS`.
    fn close<'o>(columns: Self::Gathered<'o>, answer: &mut Answer<'o>);

    /// Answers with the columns, once every row was written.
    #[inline]
    fn give<'o>(columns: Self::Gathered<'o>, answer: &mut Answer<'o>) {
        if !answer.settle(Self::in_place(&columns), Self::FIELDS.len()) {
            Self::close(columns, answer);
        }
    }
}

// Else the compiler reports that the type isn't an `Output` either, which says the same once more.
#[diagnostic::do_not_recommend]
impl<T: Output> Outputs for T {
    const FIELDS: &'static [FieldSpec] =
        &[FieldSpec { name: "", ty: T::TYPE, nullable: T::NULLABLE, doc: "", unit: "" }];
    type Gathered<'o> = <T as Output>::Gathered<'o>;

    #[inline]
    fn open<'o>(places: &mut Places<'o>) -> Self::Gathered<'o> {
        <T as Output>::open(places)
    }

    #[inline]
    fn write(self, column: &mut Self::Gathered<'_>, row: usize) {
        <T as Output>::write(self, column, row);
    }

    #[inline]
    fn null(column: &mut Self::Gathered<'_>, row: usize) {
        <T as Output>::null(column, row);
    }

    #[inline]
    fn in_place(column: &Self::Gathered<'_>) -> bool {
        <T as Output>::in_place(column)
    }

    #[inline]
    fn close<'o>(column: Self::Gathered<'o>, answer: &mut Answer<'o>) {
        <T as Output>::close(column, answer);
    }
}

/// Numbers and embeddings, in their places.
impl<'o, const N: usize> Gather<'o> for Slots<'o, N> {
    #[inline]
    fn open(places: &mut Places<'o>, ty: Type) -> Self {
        places.slots(ty)
    }

    #[inline]
    fn null(&mut self, row: usize) {
        Slots::null(self, row);
    }

    #[inline]
    fn in_place(&self) -> bool {
        !self.has_nulls()
    }

    fn into_part(self, ty: Type) -> Part<'o> {
        Part::Written(self.written(ty))
    }
}

/// Bools, a bit each.
pub struct Bits<'o>(Slots<'o, 1>);

impl<'o> Gather<'o> for Bits<'o> {
    #[inline]
    fn open(places: &mut Places<'o>, ty: Type) -> Self {
        Self(places.slots(ty))
    }

    #[inline]
    fn null(&mut self, row: usize) {
        self.0.null_bit(row);
    }

    #[inline]
    fn in_place(&self) -> bool {
        !self.0.has_nulls()
    }

    fn into_part(self, ty: Type) -> Part<'o> {
        Part::Written(self.0.written(ty))
    }
}

/// Columns of no fixed width grow by appending.
impl<'o> Gather<'o> for Column {
    fn open(places: &mut Places<'o>, ty: Type) -> Self {
        Column::with_capacity(ty, places.rows())
    }

    fn null(&mut self, _: usize) {
        self.push_null();
    }

    #[inline]
    fn in_place(&self) -> bool {
        false
    }

    fn into_part(self, _: Type) -> Part<'o> {
        Part::Column(self)
    }
}

macro_rules! number {
    ($rust:ty, $ty:expr, $bytes:literal, |$value:ident| $array:expr) => {
        impl Output for $rust {
            const TYPE: Type = $ty;
            const NULLABLE: bool = false;
            type Gathered<'o> = Slots<'o, $bytes>;

            #[inline]
            fn write(self, column: &mut Self::Gathered<'_>, row: usize) {
                let $value = self;
                column.put(row, $array);
            }
        }
    };
}

number!(i32, Type::Int32, 4, |value| value.to_le_bytes());
number!(i64, Type::Int64, 8, |value| value.to_le_bytes());
number!(f32, Type::Float32, 4, |value| value.to_le_bytes());
number!(f64, Type::Float64, 8, |value| value.to_le_bytes());
number!(Timestamp, Type::Timestamp, 8, |value| value.0.to_le_bytes());

impl Output for bool {
    const TYPE: Type = Type::Bool;
    const NULLABLE: bool = false;
    type Gathered<'o> = Bits<'o>;

    #[inline]
    fn write(self, column: &mut Self::Gathered<'_>, row: usize) {
        column.0.put_bit(row, self);
    }
}

impl<const N: usize> Output for [f32; N] {
    const TYPE: Type = Type::Embedding(N as u32);
    const NULLABLE: bool = false;
    type Gathered<'o> = Slots<'o, 4>;

    #[inline]
    fn write(self, column: &mut Self::Gathered<'_>, row: usize) {
        column.put_all(row, self.iter().map(|item| item.to_le_bytes()));
    }
}

macro_rules! appended {
    ($rust:ty, $ty:expr, |$value:ident, $column:ident| $push:expr) => {
        impl Output for $rust {
            const TYPE: Type = $ty;
            const NULLABLE: bool = false;
            type Gathered<'o> = Column;

            #[inline]
            fn write(self, $column: &mut Self::Gathered<'_>, _: usize) {
                let $value = self;
                $push;
            }
        }
    };
}

appended!(String, Type::Utf8, |value, column| column.push_utf8(&value));
appended!(&'static str, Type::Utf8, |value, column| column.push_utf8(value));
appended!(Vec<u8>, Type::Binary, |value, column| column.push_binary(&value));
appended!(Vec<i64>, Type::ListInt64, |value, column| column.push_list_i64(&value));
appended!(Vec<f64>, Type::ListFloat64, |value, column| column.push_list_f64(&value));
appended!(Vec<String>, Type::ListUtf8, |value, column| column.push_list_utf8(value));

impl<T: Output> Output for Option<T> {
    const TYPE: Type = T::TYPE;
    const NULLABLE: bool = true;
    type Gathered<'o> = <T as Output>::Gathered<'o>;

    #[inline]
    fn write(self, column: &mut Self::Gathered<'_>, row: usize) {
        match self {
            Some(value) => <T as Output>::write(value, column, row),
            None => <T as Output>::null(column, row),
        }
    }
}

//! Values that own themselves, and how to draw them: the slow and obvious side of the comparisons.

use proptest::prelude::*;
use skewless_batch::{Column, ColumnView, Type, Value};

#[derive(Clone, Debug)]
pub(crate) enum Owned {
    Null,
    Bool(bool),
    Int32(i32),
    Int64(i64),
    Float32(f32),
    Float64(f64),
    Utf8(String),
    Binary(Vec<u8>),
    Timestamp(i64),
    Embedding(Vec<f32>),
    ListInt64(Vec<i64>),
    ListFloat64(Vec<f64>),
    ListUtf8(Vec<String>),
}

impl Owned {
    /// Compares bit by bit with what a column holds.
    pub(crate) fn is(&self, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => *a == b,
            (Self::Int32(a), Value::Int32(b)) => *a == b,
            (Self::Int64(a), Value::Int64(b)) => *a == b,
            (Self::Timestamp(a), Value::Timestamp(b)) => *a == b,
            (Self::Float32(a), Value::Float32(b)) => a.to_bits() == b.to_bits(),
            (Self::Float64(a), Value::Float64(b)) => a.to_bits() == b.to_bits(),
            (Self::Utf8(a), Value::Utf8(b)) => a == b,
            (Self::Binary(a), Value::Binary(b)) => a == b,
            (Self::Embedding(a), Value::Embedding(b)) => {
                a.iter().map(|x| x.to_bits()).eq(b.iter().map(f32::to_bits))
                    && (0..=a.len())
                        .all(|i| a.get(i).map(|x| x.to_bits()) == b.get(i).map(f32::to_bits))
            }
            (Self::ListInt64(a), Value::ListInt64(b)) => {
                a.iter().copied().eq(b.iter()) && b.get(a.len()).is_none()
            }
            (Self::ListFloat64(a), Value::ListFloat64(b)) => {
                a.iter().map(|x| x.to_bits()).eq(b.iter().map(f64::to_bits))
            }
            (Self::ListUtf8(a), Value::ListUtf8(b)) => {
                a.iter().eq(b.iter()) && b.get(a.len()).is_none()
            }
            _ => false,
        }
    }

    pub(crate) fn push_to(&self, column: &mut Column) {
        match self {
            Self::Null => column.push_null(),
            Self::Bool(value) => column.push_bool(*value),
            Self::Int32(value) => column.push_i32(*value),
            Self::Int64(value) => column.push_i64(*value),
            Self::Float32(value) => column.push_f32(*value),
            Self::Float64(value) => column.push_f64(*value),
            Self::Utf8(value) => column.push_utf8(value),
            Self::Binary(value) => column.push_binary(value),
            Self::Timestamp(value) => column.push_timestamp(*value),
            Self::Embedding(value) => column.push_embedding(value),
            Self::ListInt64(value) => column.push_list_i64(value),
            Self::ListFloat64(value) => column.push_list_f64(value),
            Self::ListUtf8(value) => column.push_list_utf8(value),
        }
    }
}

pub(crate) fn build(ty: Type, values: &[Owned]) -> Column {
    let mut column = Column::new(ty);
    values.iter().for_each(|value| value.push_to(&mut column));
    column
}

/// Panics unless the view holds exactly these values, by every way to read it.
pub(crate) fn assert_holds(view: &ColumnView<'_>, ty: Type, values: &[Owned]) {
    assert_eq!(view.ty(), ty);
    assert_eq!(view.len(), values.len());
    assert_eq!(view.is_empty(), values.is_empty());
    let nulls = values.iter().filter(|value| matches!(value, Owned::Null)).count();
    assert_eq!(view.null_count(), nulls);
    assert_eq!(view.validity_bytes().is_some(), nulls > 0);
    for (row, value) in values.iter().enumerate() {
        let found = view.value(row);
        assert!(value.is(found), "row {row}: expected {value:?}, found {found:?}");
        assert_eq!(view.is_null(row), matches!(value, Owned::Null));
    }
}

pub(crate) fn types() -> impl Strategy<Value = Type> {
    prop_oneof![
        Just(Type::Bool),
        Just(Type::Int32),
        Just(Type::Int64),
        Just(Type::Float32),
        Just(Type::Float64),
        Just(Type::Utf8),
        Just(Type::Binary),
        Just(Type::Timestamp),
        (1u32..5).prop_map(Type::Embedding),
        Just(Type::ListInt64),
        Just(Type::ListFloat64),
        Just(Type::ListUtf8),
    ]
}

fn f32s() -> impl Strategy<Value = f32> {
    prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        Just(f32::NAN),
        Just(-0.0),
        Just(f32::INFINITY),
        Just(f32::from_bits(0xffc0_1234)),
    ]
}

fn f64s() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        Just(f64::NAN),
        Just(-0.0),
        Just(f64::NEG_INFINITY),
        Just(f64::from_bits(0xfff8_0000_0000_1234)),
    ]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z]{1,5}", "\\PC{0,6}", Just("żółw 🐢".to_owned())]
}

/// A value of the type that is not null.
pub(crate) fn value(ty: Type) -> BoxedStrategy<Owned> {
    use prop::collection::vec;
    match ty {
        Type::Bool => any::<bool>().prop_map(Owned::Bool).boxed(),
        Type::Int32 => any::<i32>().prop_map(Owned::Int32).boxed(),
        Type::Int64 => any::<i64>().prop_map(Owned::Int64).boxed(),
        Type::Float32 => f32s().prop_map(Owned::Float32).boxed(),
        Type::Float64 => f64s().prop_map(Owned::Float64).boxed(),
        Type::Utf8 => texts().prop_map(Owned::Utf8).boxed(),
        Type::Binary => vec(any::<u8>(), 0..9).prop_map(Owned::Binary).boxed(),
        Type::Timestamp => any::<i64>().prop_map(Owned::Timestamp).boxed(),
        Type::Embedding(dim) => vec(f32s(), dim as usize).prop_map(Owned::Embedding).boxed(),
        Type::ListInt64 => vec(any::<i64>(), 0..4).prop_map(Owned::ListInt64).boxed(),
        Type::ListFloat64 => vec(f64s(), 0..4).prop_map(Owned::ListFloat64).boxed(),
        Type::ListUtf8 => vec(texts(), 0..4).prop_map(Owned::ListUtf8).boxed(),
    }
}

/// Rows of a type: without nulls, with some, or mostly nulls.
pub(crate) fn rows(ty: Type, count: usize) -> impl Strategy<Value = Vec<Owned>> {
    prop_oneof![Just(0u32), Just(3), Just(30)].prop_flat_map(move |null_weight| {
        let row = prop_oneof![10 => value(ty), null_weight => Just(Owned::Null)];
        prop::collection::vec(row, count)
    })
}

pub(crate) type Columns = Vec<(Type, Vec<Owned>)>;

/// Rows and columns of a batch.
pub(crate) fn batch() -> impl Strategy<Value = (usize, Columns)> {
    (0usize..20, prop::collection::vec(types(), 0..6)).prop_flat_map(|(count, types)| {
        let columns: Vec<_> =
            types.into_iter().map(|ty| rows(ty, count).prop_map(move |rows| (ty, rows))).collect();
        (Just(count), columns)
    })
}

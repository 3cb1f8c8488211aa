//! Keys come back as they went in, compare as their values do, and none is a prefix of another.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::cmp::Ordering;

use proptest::prelude::*;
use skewless_batch::{Column, Type, Value};

use super::*;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Bool(bool),
    Int32(i32),
    Int64(i64),
    Utf8(String),
    Binary(Vec<u8>),
}

impl Part {
    fn ty(&self) -> Type {
        match self {
            Self::Bool(_) => Type::Bool,
            Self::Int32(_) => Type::Int32,
            Self::Int64(_) => Type::Int64,
            Self::Utf8(_) => Type::Utf8,
            Self::Binary(_) => Type::Binary,
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int32(value) => Value::Int32(*value),
            Self::Int64(value) => Value::Int64(*value),
            Self::Utf8(value) => Value::Utf8(value),
            Self::Binary(value) => Value::Binary(value),
        }
    }
}

fn encoded(parts: &[Part]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(parts.iter().all(|part| encode_value(part.value(), &mut out)));
    out
}

/// Bytes in which zeros, ones and 255 are common, as those are what the escape is about.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(0xFF), any::<u8>()], 0..6)
}

fn key() -> impl Strategy<Value = Vec<Part>> {
    let text =
        || bytes().prop_map(|bytes| Part::Utf8(String::from_utf8_lossy(&bytes).into_owned()));
    let int = || prop_oneof![Just(i64::MIN), Just(-1), Just(0), Just(i64::MAX), any::<i64>()];
    (text(), int(), bytes(), any::<i32>(), any::<bool>(), text()).prop_map(
        |(first, int64, binary, int32, bool, last)| {
            vec![
                first,
                Part::Int64(int64),
                Part::Binary(binary),
                Part::Int32(int32),
                Part::Bool(bool),
                last,
            ]
        },
    )
}

proptest! {
    #[test]
    fn keys_come_back(parts in key()) {
        let bytes = encoded(&parts);
        let mut columns: Vec<_> = parts.iter().map(|part| Column::new(part.ty())).collect();
        let mut longer = bytes.clone();
        longer.extend_from_slice(&[0xFF, 0, 1]);
        prop_assert_eq!(decode(&longer, &mut columns).unwrap(), bytes.len());
        for (column, part) in columns.iter().zip(&parts) {
            prop_assert_eq!(column.value(0), part.value());
        }
    }

    #[test]
    fn keys_compare_as_their_values_and_none_is_a_prefix(a in key(), b in key(), cut in 0_usize..6) {
        // Often equal up to a column, where order and prefixes are decided.
        let b: Vec<_> = a[..cut].iter().chain(&b[cut..]).cloned().collect();
        let (first, second) = (encoded(&a), encoded(&b));
        prop_assert_eq!(first.cmp(&second), a.cmp(&b));
        if a.cmp(&b) != Ordering::Equal {
            prop_assert!(!first.starts_with(&second) && !second.starts_with(&first));
        }
    }

    #[test]
    fn any_bytes_are_a_key_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let types = [Type::Utf8, Type::Int32, Type::Binary, Type::Bool, Type::Int64];
        let mut columns = types.map(Column::new);
        if let Ok(read) = decode(&bytes, &mut columns) {
            let mut again = Vec::new();
            prop_assert!(encode(&columns, 0, &mut again));
            prop_assert_eq!(&again[..], &bytes[..read]);
        }
    }
}

#[test]
fn a_null_or_a_float_is_no_key_and_leaves_nothing_behind() {
    let mut name = Column::new(Type::Utf8);
    name.push_utf8("a");
    for ty in [Type::Int64, Type::Float64] {
        let mut other = Column::new(ty);
        if ty == Type::Float64 {
            other.push_f64(1.0)
        } else {
            other.push_null()
        }
        let mut out = vec![7];
        assert!(!encode([&name, &other], 0, &mut out));
        assert_eq!(out, [7]);
    }
}

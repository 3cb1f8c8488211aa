//! Values of every type that Feast's are taken as, and those that aren't taken.

use skewless_batch::{Field, Value};
use skewless_catalog::visibility::Rule;
use skewless_catalog::{Fingerprint, KeyColumn, ViewId};

use skewless_proto::feast::core::FeatureSpecV2;
use skewless_proto::feast::types::value_type::Enum as ValueType;

use super::*;
use crate::feast::value_type::carried;

/// A view of one int64 key and one feature.
pub(in crate::feast::copy) fn view(key: Type, feature: Type) -> View {
    View {
        id: ViewId::default(),
        name: "v".to_owned(),
        doc: String::new(),
        entity: "e".to_owned(),
        keys: vec![KeyColumn { name: "id".to_owned(), ty: key }],
        features: vec![Field::new("f", feature, true)],
        rule: Rule::default(),
        source: None,
        fingerprint: Fingerprint::default(),
    }
}

/// The refusal of a row with this value, or the value that was taken.
fn taken(ty: Type, bytes: Option<Vec<u8>>) -> Result<String, Refusal> {
    let view = view(Type::Int64, ty);
    let wanted = Wanted::new(&view, &ViewNames { name: "v".to_owned(), ..ViewNames::default() });
    let key = EntityKey { values: vec![("id", KeyValue::Int64(1))], rest: &[] };
    let mut batch = Batch::new(&view);
    let row = FeastRow { key: &key, values: &[bytes], event_us: Some(5), created_us: None };
    batch.push(&wanted, &row)?;
    assert_eq!(
        (batch.rows.event_us.as_slice(), batch.rows.known_us.as_slice()),
        (&[5][..], &[5][..])
    );
    Ok(format!("{:?}", batch.rows.features[0].value(0)))
}

fn encoded(val: Val) -> Option<Vec<u8>> {
    Some(pb::Value { val: Some(val) }.encode_to_vec())
}

#[test]
fn a_value_is_taken_exactly() {
    let text = || "t".to_owned();
    for (ty, val, value) in [
        (Type::Bool, Val::BoolVal(true), Value::Bool(true)),
        (Type::Int32, Val::Int32Val(-1), Value::Int32(-1)),
        (Type::Int64, Val::Int64Val(i64::MIN), Value::Int64(i64::MIN)),
        (Type::Int64, Val::Int32Val(-1), Value::Int64(-1)),
        (Type::Float32, Val::FloatVal(0.1), Value::Float32(0.1)),
        (Type::Float64, Val::DoubleVal(-0.0), Value::Float64(-0.0)),
        (Type::Float64, Val::FloatVal(0.5), Value::Float64(0.5)),
        (Type::Utf8, Val::StringVal(text()), Value::Utf8("t")),
        (Type::Utf8, Val::UuidVal(text()), Value::Utf8("t")),
        (Type::Binary, Val::BytesVal(vec![0]), Value::Binary(&[0])),
        (Type::Timestamp, Val::UnixTimestampVal(-1), Value::Timestamp(-1_000_000)),
    ] {
        assert_eq!(taken(ty, encoded(val)), Ok(format!("{value:?}")), "{ty}");
    }
}

/// A value of Feast's type.
fn sample(ty: ValueType) -> Option<Val> {
    let text = || "t".to_owned();
    let texts = || pb::StringList { val: vec![text(), String::new()] };
    Some(match ty {
        ValueType::Bytes => Val::BytesVal(vec![0]),
        ValueType::String => Val::StringVal(text()),
        ValueType::Int32 => Val::Int32Val(-1),
        ValueType::Int64 => Val::Int64Val(-1),
        ValueType::Double => Val::DoubleVal(0.5),
        ValueType::Float => Val::FloatVal(0.5),
        ValueType::Bool => Val::BoolVal(true),
        ValueType::UnixTimestamp => Val::UnixTimestampVal(-1),
        ValueType::StringList => Val::StringListVal(texts()),
        ValueType::Int32List => Val::Int32ListVal(pb::Int32List { val: vec![-1] }),
        ValueType::Int64List => Val::Int64ListVal(pb::Int64List { val: vec![-1] }),
        ValueType::DoubleList => Val::DoubleListVal(pb::DoubleList { val: vec![0.5] }),
        ValueType::FloatList => Val::FloatListVal(pb::FloatList { val: vec![0.5] }),
        ValueType::BoolList => Val::BoolListVal(pb::BoolList { val: vec![true] }),
        ValueType::UnixTimestampList => Val::UnixTimestampListVal(pb::Int64List { val: vec![-1] }),
        ValueType::Json => Val::JsonVal(text()),
        ValueType::JsonList => Val::JsonListVal(texts()),
        ValueType::Uuid => Val::UuidVal(text()),
        ValueType::TimeUuid => Val::TimeUuidVal(text()),
        ValueType::UuidList => Val::UuidListVal(texts()),
        ValueType::TimeUuidList => Val::TimeUuidListVal(texts()),
        ValueType::Decimal => Val::DecimalVal(text()),
        ValueType::DecimalList => Val::DecimalListVal(texts()),
        _ => return None,
    })
}

#[test]
fn what_is_imported_is_what_is_copied() {
    let types = (0..100).filter_map(|number| ValueType::try_from(number).ok());
    let mut imported = 0;
    for ty in types {
        let column = FeatureSpecV2 { value_type: ty.into(), ..FeatureSpecV2::default() };
        match (carried(&column), sample(ty)) {
            (Ok(into), Some(val)) => {
                imported += 1;
                let came = taken(into.ty(), encoded(val));
                assert!(came.as_ref().is_ok_and(|came| came != "Null"), "{ty:?}: {came:?}");
            }
            (Err(_), None) => {}
            (carried, _) => panic!("{ty:?}: import and copy differ: {carried:?}"),
        }
    }
    assert_eq!(imported, 23);
}

#[test]
fn nothing_and_null_are_null_and_something_unknown_is_not() {
    let null = || Ok(format!("{:?}", Value::Null));
    assert_eq!(taken(Type::Int64, None), null());
    assert_eq!(taken(Type::Int64, Some(Vec::new())), null());
    assert_eq!(taken(Type::Int64, encoded(Val::NullVal(0))), null());
    let no_time = encoded(Val::UnixTimestampVal(i64::MIN));
    assert_eq!(taken(Type::Timestamp, no_time), null(), "NaT");
    // Field 99, which may be a kind of value of some later Feast.
    let reason =
        |bytes: &[u8]| taken(Type::Int64, Some(bytes.to_vec())).map_err(|refusal| refusal.reason);
    assert_eq!(reason(&[0x98, 0x06, 0x01]), Err(Reason::ValueDamaged));
    assert_eq!(reason(&[0]), Err(Reason::ValueDamaged));
    assert_eq!(reason(b"\x12\x05ab"), Err(Reason::ValueDamaged), "cut short");
}

#[test]
fn a_value_that_is_not_held_exactly_is_refused_with_what_came() {
    let list = |val: &[f32]| Val::FloatListVal(pb::FloatList { val: val.to_vec() });
    for (ty, val, reason, part) in [
        (Type::Float32, Val::DoubleVal(0.5), Reason::ValueType, "expected float32, came a double"),
        (Type::Int32, Val::Int64Val(1), Reason::ValueType, "expected int32, came an int64"),
        (Type::Utf8, Val::BytesVal(vec![]), Reason::ValueType, "came bytes"),
        (
            Type::Embedding(2),
            list(&[1.0]),
            Reason::ValueFits,
            "expected embedding[2], came 1 numbers",
        ),
        (Type::Timestamp, Val::UnixTimestampVal(i64::MAX), Reason::ValueFits, "out of range"),
        (Type::Timestamp, Val::UnixTimestampVal(i64::MIN + 1), Reason::ValueFits, "out of range"),
        (Type::Bool, Val::MapVal(pb::Map::default()), Reason::ValueType, "isn't stored here"),
    ] {
        let refusal = taken(ty, encoded(val)).err().unwrap_or_else(|| panic!("{ty} was taken"));
        assert_eq!(refusal.reason, reason, "{refusal:?}");
        assert!(
            refusal.detail.starts_with("feature `f`: ") && refusal.detail.contains(part),
            "{refusal:?}"
        );
    }
}

#[test]
fn a_row_is_taken_whole_or_not_at_all() {
    let view = view(Type::Utf8, Type::Int64);
    let names = ViewNames { name: "v".to_owned(), ..ViewNames::default() };
    let wanted = Wanted::new(&view, &names);
    let mut batch = Batch::new(&view);
    let good = EntityKey { values: vec![("id", KeyValue::Text("a"))], rest: &[] };
    let (int, text) = (encoded(Val::Int64Val(1)), encoded(Val::StringVal("1".to_owned())));
    let mut push = |key: &EntityKey<'_>, value: &Option<Vec<u8>>, event_us| {
        let row =
            FeastRow { key, values: std::slice::from_ref(value), event_us, created_us: Some(9) };
        let pushed = batch.push(&wanted, &row).map_err(|refusal| refusal.reason);
        (pushed, batch.len())
    };
    assert_eq!(push(&good, &int, Some(5)), (Ok(()), 1));
    assert_eq!(push(&good, &text, Some(5)), (Err(Reason::ValueType), 1));
    assert_eq!(push(&good, &int, None), (Err(Reason::Time), 1));
    assert_eq!(push(&good, &int, Some(i64::MAX)), (Err(Reason::Time), 1));
    for (values, reason) in [
        (vec![("id", KeyValue::Int64(1))], Reason::KeyType),
        (vec![("di", KeyValue::Text("a"))], Reason::OtherKeys),
        (vec![], Reason::OtherKeys),
        (vec![("id", KeyValue::Text("a")), ("more", KeyValue::Text("a"))], Reason::OtherKeys),
    ] {
        assert_eq!(push(&EntityKey { values, rest: &[] }, &int, Some(5)), (Err(reason), 1));
    }
    assert_eq!(push(&good, &int, Some(6)), (Ok(()), 2));
    assert_eq!(
        (batch.rows.keys[0].value(1), batch.rows.features[0].value(1)),
        (Value::Utf8("a"), Value::Int64(1))
    );
    assert_eq!((batch.rows.event_us, batch.rows.known_us), (vec![5, 6], vec![9, 9]));
}

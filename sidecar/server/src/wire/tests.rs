//! Every type there and back, and everything a hostile column can get wrong.
#![expect(clippy::unwrap_used, reason = "tests")]

use prost::Message;
use skewless_batch::{Column, Type};
use skewless_proto::v1 as pb;

use super::*;

pub(crate) const TYPES: [Type; 12] = [
    Type::Bool,
    Type::Int32,
    Type::Int64,
    Type::Float32,
    Type::Float64,
    Type::Utf8,
    Type::Binary,
    Type::Timestamp,
    Type::Embedding(3),
    Type::ListInt64,
    Type::ListFloat64,
    Type::ListUtf8,
];

/// A column with `rows` values; every `nulls`-th is null, none if 0.
pub(crate) fn sample(ty: Type, rows: usize, nulls: usize) -> Column {
    let mut column = Column::new(ty);
    for row in 0..rows {
        let i = row as i64 - 2;
        let f = i as f64 * 1.5;
        if nulls > 0 && row % nulls == 0 {
            column.push_null();
            continue;
        }
        match ty {
            Type::Bool => column.push_bool(row % 2 == 1),
            Type::Int32 => column.push_i32(if row == 1 { i32::MIN } else { i as i32 }),
            Type::Int64 => column.push_i64(if row == 1 { i64::MIN } else { i * 1_000_000 }),
            Type::Float32 => column.push_f32(if row == 1 { f32::NAN } else { f as f32 }),
            Type::Float64 => column.push_f64(if row == 1 { -0.0 } else { f }),
            Type::Utf8 => column.push_utf8(&"é".repeat(row)),
            Type::Binary => column.push_binary(&vec![0xff; row]),
            Type::Timestamp => column.push_timestamp(i * 1_000_000_007),
            Type::Embedding(dim) => column.push_embedding(&vec![f as f32; dim as usize]),
            Type::ListInt64 => column.push_list_i64(&vec![i; row]),
            Type::ListFloat64 => column.push_list_f64(&vec![f; row]),
            Type::ListUtf8 => column.push_list_utf8(vec!["x"; row]),
        }
    }
    column
}

#[test]
fn every_type_survives_the_wire_with_and_without_nulls() {
    for ty in TYPES {
        for (rows, nulls) in [(0, 0), (1, 0), (1, 1), (9, 0), (9, 2), (64, 3)] {
            let sent = sample(ty, rows, nulls);
            let bytes = column("c", &sent).encode_to_vec();
            let message = pb::Column::decode(bytes.as_slice()).unwrap();
            assert_eq!(rows_of(&message).unwrap(), rows, "{ty}");
            let mut got = Column::new(ty);
            decode_column(&message, rows, &mut got).unwrap();
            assert_eq!(got, sent, "{ty} {rows} {nulls}");
        }
    }
}

#[test]
fn codes_on_the_wire_are_the_codes_of_the_batch() {
    let numbers = TYPES.map(|ty| i32::from(ty.code()));
    let names = numbers.map(|number| pb::Type::try_from(number).unwrap().as_str_name());
    let texts = TYPES.map(|ty| ty.to_string().split(['[', '<']).next().unwrap().to_uppercase());
    for (name, text) in names.iter().zip(&texts) {
        assert!(name.contains(text.as_str()), "{name} {text}");
    }
}

fn refused(change: impl FnOnce(&mut pb::Column), ty: Type) -> String {
    let mut message = column("c", &sample(ty, 3, 2));
    change(&mut message);
    let mut out = Column::new(ty);
    let error = decode_column(&message, 3, &mut out).unwrap_err().to_string();
    assert!(out.is_empty(), "something was appended in spite of: {error}");
    error
}

#[test]
fn contradictions_are_refused_naming_column_and_field() {
    let cases: Vec<(String, &str)> = vec![
        (
            refused(|c| c.int64s.truncate(2), Type::Int64),
            "column `c`: expected 3 int64s for 3 rows of int64, came 2",
        ),
        (
            refused(|c| c.bools.push(true), Type::Int64),
            "column `c`: its values are expected in int64s only, came in bools, too",
        ),
        (
            refused(|c| c.validity = vec![0, 0].into(), Type::Int64),
            "column `c`: expected 1 bytes of validity for 3 rows, came 2",
        ),
        (
            refused(|c| c.float32s.truncate(8), Type::Embedding(3)),
            "column `c`: expected 9 float32s for 3 rows of embedding[3], came 8",
        ),
        (
            refused(|c| c.dim = 4, Type::Embedding(3)),
            "expected column `c` of type embedding[3], came embedding[4]",
        ),
        (
            refused(|c| c.dim = 0, Type::Embedding(3)),
            "column `c`: expected a dim from 1 to 65536, came 0",
        ),
        (refused(|c| c.dim = 7, Type::Utf8), "column `c`: expected no dim for utf8, came 7"),
        (refused(|c| c.r#type = 99, Type::Utf8), "column `c`: expected a type, came number 99"),
        (refused(|c| c.r#type = -1, Type::Utf8), "column `c`: expected a type, came number -1"),
        (refused(|c| c.r#type = 2, Type::Utf8), "expected column `c` of type utf8, came int32"),
        (
            refused(|c| c.lengths.push(0), Type::ListUtf8),
            "column `c`: expected 3 lengths for 3 rows of list<utf8>, came 4",
        ),
        (
            refused(|c| c.lengths = vec![u32::MAX; 3], Type::ListInt64),
            "column `c`: expected 12884901885 int64s for 3 rows of list<int64>, came 1",
        ),
    ];
    for (came, expected) in cases {
        assert_eq!(came, expected);
    }
}

#[test]
fn values_in_another_list_than_their_type_s_are_told_which_it_is() {
    let misplaced = |c: &mut pb::Column| c.int32s = c.int64s.drain(..).map(|v| v as i32).collect();
    let told = "column `c`: its values are expected in int64s, came in int32s";
    assert_eq!(refused(misplaced, Type::Int64), told);
    assert_eq!(refused(misplaced, Type::ListInt64), told);
    let time = |c: &mut pb::Column| c.int64s = c.timestamps.drain(..).collect();
    assert_eq!(
        refused(time, Type::Timestamp),
        "column `c`: its values are expected in timestamps, came in int64s"
    );
    // A key's values count the rows: there seem to be none.
    let mut key = column("k", &sample(Type::Utf8, 3, 2));
    key.binaries = key.strings.drain(..).map(Into::into).collect();
    let error = decode_column(&key, rows_of(&key).unwrap(), &mut Column::new(Type::Utf8));
    assert_eq!(
        error.unwrap_err().to_string(),
        "column `k`: its values are expected in strings, came in binaries"
    );
    let both = |c: &mut pb::Column| {
        (c.bools, c.strings) = (vec![true], c.int64s.iter().map(ToString::to_string).collect());
    };
    assert_eq!(
        refused(both, Type::Int64),
        "column `c`: its values are expected in int64s only, came in bools, strings, too"
    );
    // Where nothing came it may be that none was meant to.
    let none = refused(|c| c.int64s.clear(), Type::Int64);
    assert_eq!(none, "column `c`: expected 3 int64s for 3 rows of int64, came 0");
}

#[test]
fn times_out_of_range_are_refused_unless_their_row_is_null() {
    let error = refused(|c| c.timestamps[1] = i64::MAX, Type::Timestamp);
    assert!(error.starts_with("column `c`, row 1: "), "{error}");
    let mut message = column("c", &sample(Type::Timestamp, 3, 2));
    message.timestamps[0] = i64::MIN;
    decode_column(&message, 3, &mut Column::new(Type::Timestamp)).unwrap();
}

#[test]
fn a_message_is_measured_before_it_is_decoded() {
    let limits = ScanLimits { columns_max: 2, text_elements_max: 4 };
    let request = |columns: usize, strings: usize| {
        let text = pb::Column { strings: vec![String::new(); strings], ..pb::Column::default() };
        let mut keys = vec![pb::Column::default(); columns.saturating_sub(1)];
        keys.push(text);
        pb::GetFeaturesRequest { keys, ..pb::GetFeaturesRequest::default() }.encode_to_vec()
    };
    scan(&request(2, 4), &[3, 4], limits).unwrap();
    let over = scan(&request(3, 0), &[3, 4], limits).unwrap_err();
    assert_eq!(over.to_string(), "expected at most 2 columns (limits.columns_max), came more");
    let over = scan(&request(1, 5), &[3, 4], limits).unwrap_err();
    let expected =
        "expected at most 4 strings and byte strings (limits.text_elements_max), came more";
    assert_eq!(over.to_string(), expected);
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let limits = ScanLimits { columns_max: 2, text_elements_max: 4 };
    for bytes in [
        &b"\x1a\xff"[..],
        b"\x1b",
        b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x09\x00",
    ] {
        assert!(matches!(scan(bytes, &[3], limits), Err(WireError::Malformed(_))), "{bytes:?}");
    }
}

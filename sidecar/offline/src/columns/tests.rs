//! Tests of `columns.rs`: every type there and back, whole and sliced, with and without nulls.

use skewless_catalog::Status;

use super::*;

const TYPES: [Type; 12] = [
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

fn sample(ty: Type, rows: usize, nulls: bool) -> Column {
    let mut column = Column::new(ty);
    for row in 0..rows {
        let x = row as f64 * 1.5 - 3.0;
        let text = "ü".repeat(row % 4);
        if nulls && row % 3 == 1 {
            column.push_null();
            continue;
        }
        match ty {
            Type::Bool => column.push_bool(row % 2 == 0),
            Type::Int32 => column.push_i32(row as i32 - 4),
            Type::Int64 => column.push_i64(row as i64 - 4),
            Type::Float32 => column.push_f32(x as f32),
            Type::Float64 => column.push_f64(x),
            Type::Utf8 => column.push_utf8(&text),
            Type::Binary => column.push_binary(text.as_bytes()),
            Type::Timestamp => column.push_timestamp(row as i64 - 4),
            Type::Embedding(_) => column.push_embedding(&[x as f32, 0.0, f32::NAN]),
            Type::ListInt64 => column.push_list_i64(&vec![row as i64; row % 3]),
            Type::ListFloat64 => column.push_list_f64(&vec![x; row % 3]),
            Type::ListUtf8 => column.push_list_utf8((0..row % 3).map(|_| text.as_str())),
        }
    }
    column
}

#[test]
fn every_type_survives_the_way_there_and_back_whole_and_sliced() {
    for ty in TYPES {
        for nulls in [false, true] {
            let column = sample(ty, 37, nulls);
            let whole = array(&column.view(), "c").expect("columns are arrays");
            assert_eq!(whole.data_type(), &arrow_type(ty));
            assert_eq!(whole.null_count(), column.null_count());
            for (start, len) in [(0, 37), (1, 36), (8, 16), (13, 7), (36, 1), (5, 0)] {
                let mut back = sample(ty, 2, true);
                append(&mut back, &whole.slice(start, len), "c").expect("arrays are columns");
                assert_eq!(back.len(), 2 + len);
                for row in 0..len {
                    let (came, expected) = (back.value(2 + row), column.value(start + row));
                    assert_eq!(came, expected, "{ty} {nulls} {start} {row}");
                }
            }
        }
    }
}

#[test]
fn another_type_is_refused_with_the_columns_name() {
    let array = array(&sample(Type::Int32, 3, false).view(), "c").expect("columns are arrays");
    let error = column(&array, "speed", Type::Int64).expect_err("types differ").to_string();
    assert!(error.contains("`speed`") && error.contains("int64"), "{error}");
}

#[test]
fn statuses_become_their_numbers() {
    let mut all = Statuses::new();
    all.extend([Status::Present, Status::NullValue, Status::TransformFailed]);
    let codes = statuses(&all);
    assert_eq!(codes.as_primitive::<arrow::datatypes::UInt8Type>().values(), &[1, 2, 5]);
}

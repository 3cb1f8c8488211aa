//! Tests of `columns.rs`: every type there and back, whole and sliced, with and without nulls.

use skewless_catalog::Status;

use super::samples::{TYPES, sample};
use super::*;

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

//! Tests of `cast.rs`: every type that fits, every value that doesn't.

mod table;

use arrow::array::{
    BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Date64Array, DictionaryArray,
    FixedSizeBinaryArray, Float64Array, Int8Array, Int32Array, Int64Array, LargeListArray,
    LargeStringArray, StringArray, StringViewArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt64Array,
};
use arrow::compute::concat;
use arrow::datatypes::{Float64Type, Int16Type, Int64Type};

use super::*;

fn ok(array: impl Array + 'static, ty: Type) -> ArrayRef {
    let cast = cast(&(Arc::new(array) as ArrayRef), ty).expect("the cast fits");
    assert_eq!(cast.data_type(), &arrow_type(ty));
    cast
}

fn problem(array: impl Array + 'static, ty: Type) -> CastProblem {
    cast(&(Arc::new(array) as ArrayRef), ty).expect_err("the cast does not fit")
}

fn us(array: ArrayRef) -> Vec<Option<i64>> {
    array.as_primitive::<TimestampMicrosecondType>().iter().collect()
}

#[test]
fn timestamps_of_every_unit_and_zone_become_microseconds_utc() {
    let seconds = TimestampSecondArray::from(vec![Some(-1), None, Some(2)]);
    let expected = [Some(-1_000_000), None, Some(2_000_000)];
    assert_eq!(us(ok(seconds.clone(), Type::Timestamp)), expected);
    for zone in ["UTC", "+05:30", "Europe/Berlin", "America/New_York"] {
        assert_eq!(us(ok(seconds.clone().with_timezone(zone), Type::Timestamp)), expected);
    }
    let ms = TimestampMillisecondArray::from(vec![-1, 5]);
    assert_eq!(us(ok(ms, Type::Timestamp)), [Some(-1000), Some(5000)]);
    let raw = TimestampMicrosecondArray::from(vec![-1, 5]).with_timezone("-08:00");
    assert_eq!(us(ok(raw, Type::Timestamp)), [Some(-1), Some(5)]);
    let ns = TimestampNanosecondArray::from(vec![-1, 999, 1000, i64::MIN, i64::MAX]);
    let floor = [-1, 0, 1, i64::MIN.div_euclid(1000), i64::MAX / 1000].map(Some);
    assert_eq!(us(ok(ns, Type::Timestamp)), floor);
    let days = Date32Array::from(vec![-1, 1]);
    assert_eq!(us(ok(days, Type::Timestamp)), [Some(-86_400_000_000), Some(86_400_000_000)]);
    assert_eq!(
        us(ok(Date64Array::from(vec![86_400_000]), Type::Timestamp)),
        [Some(86_400_000_000)]
    );
}

#[test]
fn timestamps_out_of_range_are_named_and_the_limits_themselves_pass() {
    let first = -377_705_116_800_i64;
    let last = 253_402_300_799_i64;
    assert_eq!(ok(TimestampSecondArray::from(vec![first, last]), Type::Timestamp).len(), 2);
    for (row, far) in [(0, first - 1), (2, last + 1), (1, i64::MAX), (1, i64::MIN)] {
        let mut values = vec![0; 3];
        values[row] = far;
        let came = problem(TimestampSecondArray::from(values), Type::Timestamp);
        assert_eq!(came, CastProblem::Time { row, found: format!("{far} s") });
    }
    let came = problem(TimestampMicrosecondArray::from(vec![i64::MAX]), Type::Timestamp);
    assert_eq!(came, CastProblem::Time { row: 0, found: format!("{} us", i64::MAX) });
    let came = problem(Date32Array::from(vec![i32::MAX]), Type::Timestamp);
    assert_eq!(came, CastProblem::Time { row: 0, found: format!("{} days", i32::MAX) });
    // The value under a null is nobody's.
    let nulls = NullBuffer::from(vec![false]);
    let hidden = TimestampSecondArray::new(vec![i64::MAX].into(), Some(nulls));
    assert_eq!(us(ok(hidden, Type::Timestamp)), [None]);
}

#[test]
fn integers_widen_and_never_narrow() {
    let narrow = ok(Int8Array::from(vec![Some(-8), None]), Type::Int64);
    assert_eq!(narrow.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(-8), None]);
    ok(UInt8Array::from(vec![255]), Type::Int32);
    ok(Int32Array::from(vec![1]), Type::Int64);
    ok(UInt64Array::from(vec![i64::MAX as u64]), Type::Int64);
    let came = problem(UInt64Array::from(vec![Some(1), None, Some(u64::MAX)]), Type::Int64);
    let CastProblem::Value { row: 2, found, .. } = came else { panic!("{came:?}") };
    assert_eq!(found, u64::MAX.to_string());
    assert_eq!(problem(Int64Array::from(vec![1]), Type::Int32), CastProblem::Type);
    assert_eq!(problem(Int64Array::from(vec![1]), Type::Float64), CastProblem::Type);
    assert_eq!(problem(BooleanArray::from(vec![true]), Type::Int64), CastProblem::Type);
}

#[test]
fn floats_widen_and_never_narrow_and_keep_their_bits() {
    let one: ArrayRef = Arc::new(Float32Array::from(vec![1.0]));
    let half = arrow::compute::cast(&one, &DataType::Float16).expect("a half");
    assert_eq!(cast(&half, Type::Float32).expect("it widens").as_ref(), one.as_ref());
    let wide = ok(Float32Array::from(vec![f32::INFINITY, -0.0]), Type::Float64);
    let bits: Vec<u64> =
        wide.as_primitive::<Float64Type>().values().iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, [f64::INFINITY.to_bits(), (-0.0_f64).to_bits()]);
    assert_eq!(problem(Float64Array::from(vec![1.0]), Type::Float32), CastProblem::Type);
    let odd = f64::from_bits(0x7ff8_0000_0000_1234);
    let same = ok(Float64Array::from(vec![odd]), Type::Float64);
    assert_eq!(same.as_primitive::<Float64Type>().value(0).to_bits(), odd.to_bits());
}

#[test]
fn text_and_bytes_of_every_layout_fit() {
    let expected = StringArray::from(vec![Some("a"), None, Some("ü")]);
    let words = vec![Some("a"), None, Some("ü")];
    let dictionary: DictionaryArray<Int16Type> = words.clone().into_iter().collect();
    for array in [
        ok(expected.clone(), Type::Utf8),
        ok(LargeStringArray::from(words.clone()), Type::Utf8),
        ok(StringViewArray::from(words), Type::Utf8),
        ok(dictionary, Type::Utf8),
    ] {
        assert_eq!(array.as_string::<i32>(), &expected);
    }
    let bytes = BinaryArray::from_vec(vec![b"ab", b"\xff\x00"]);
    ok(bytes.clone(), Type::Binary);
    ok(BinaryViewArray::from_iter_values(vec![&b"ab"[..]]), Type::Binary);
    let fixed = FixedSizeBinaryArray::try_from_iter(vec![b"ab", b"\xff\x00"].into_iter());
    assert_eq!(ok(fixed.expect("equal lengths"), Type::Binary).as_binary::<i32>(), &bytes);
    assert_eq!(problem(bytes, Type::Utf8), CastProblem::Type);
}

#[test]
fn a_column_of_nothing_is_a_column_of_nulls_of_any_type() {
    for ty in [Type::Bool, Type::Utf8, Type::Timestamp, Type::Embedding(4), Type::ListUtf8] {
        let nothing = new_null_array(&DataType::Null, 3);
        let cast = cast(&nothing, ty).expect("nulls fit everywhere");
        assert_eq!((cast.data_type(), cast.null_count()), (&arrow_type(ty), 3));
    }
}

#[test]
fn lists_of_every_layout_fit_and_null_elements_do_not() {
    let rows = vec![Some(vec![Some(1), Some(2)]), None, Some(vec![]), Some(vec![Some(3)])];
    let list = ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(rows.clone());
    let large = LargeListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(rows);
    let expected = ok(list.clone(), Type::ListInt64);
    assert_eq!(&ok(large, Type::ListInt64), &expected);
    // A slice in the middle keeps only its own elements.
    let sliced = ok(list.slice(2, 2), Type::ListInt64);
    assert_eq!(sliced.as_list::<i32>().values().len(), 1);
    assert_eq!(&sliced, &expected.slice(2, 2));
    let holes = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1)]),
        Some(vec![Some(2), None]),
    ]);
    let came = problem(holes, Type::ListInt64);
    assert!(matches!(came, CastProblem::Value { row: 1, .. }), "{came:?}");
    let words = ListArray::new_null(element(DataType::Int64), 1);
    assert_eq!(problem(words, Type::ListUtf8), CastProblem::Type);
}

#[test]
fn embeddings_come_from_fixed_and_other_lists_of_the_right_length() {
    use arrow::datatypes::Float32Type;
    let rows = vec![Some(vec![Some(1.0), Some(2.0)]), None, Some(vec![Some(3.0), Some(4.0)])];
    let fixed = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(rows.clone(), 2);
    let free = ListArray::from_iter_primitive::<Float32Type, _, _>(rows);
    let expected = ok(fixed.clone(), Type::Embedding(2));
    assert_eq!(expected.null_count(), 1);
    assert_eq!(&ok(free.clone(), Type::Embedding(2)), &expected);
    assert_eq!(&ok(fixed.slice(1, 2), Type::Embedding(2)), &expected.slice(1, 2));
    assert_eq!(problem(fixed, Type::Embedding(3)), CastProblem::Type);
    let came = problem(free, Type::Embedding(3));
    let CastProblem::Value { row: 0, expected, found } = came else { panic!("{came:?}") };
    assert_eq!((expected.as_str(), found.as_str()), ("a list of 3 numbers", "a list of 2"));
    let wide = FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(
        vec![Some(vec![Some(1.0)])],
        1,
    );
    assert_eq!(problem(wide, Type::Embedding(1)), CastProblem::Type);
}

#[test]
fn elements_under_a_null_list_are_nobodys() {
    let nulls = NullBuffer::from(vec![true, false, true]);
    let list = ListArray::new(
        Arc::new(Field::new("item", DataType::UInt64, true)),
        OffsetBuffer::new(vec![0, 1, 2, 3].into()),
        Arc::new(UInt64Array::from(vec![1, u64::MAX, 3])),
        Some(nulls),
    );
    let cast = ok(list, Type::ListInt64);
    let expected = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1)]),
        None,
        Some(vec![Some(3)]),
    ]);
    assert_eq!(cast.as_list::<i32>().value(2).as_ref(), expected.value(2).as_ref());
    assert!(concat(&[&cast]).is_ok());
}

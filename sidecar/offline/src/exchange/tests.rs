//! Tests of `exchange.rs`: every type lent and handed over, and what doesn't fit.

#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::RecordBatchIterator;
use arrow::array::{Array, Float64Array, Int8Array, Int64Array, LargeStringArray, RecordBatch};
use arrow::datatypes::Schema;

use super::*;
use crate::columns::samples::{TYPES, sample};

#[test]
fn a_column_is_handed_over_and_lent_back_without_a_copy() {
    for ty in TYPES {
        for nulls in [false, true] {
            let column = sample(ty, 37, nulls);
            let values = column.values_bytes().as_ptr();
            let array = array_from(column.clone());
            assert_eq!(array.data_type(), &arrow_type(ty));
            let moved = array_from(column);
            let lent = [(fit(&moved, "c", ty).unwrap(), ty)];
            lend(&lent, &["c"], |views| {
                assert_eq!(views[0].values_bytes().as_ptr(), values, "{ty}: copied");
                let mut back = Column::new(ty);
                back.append(&views[0], 0..37);
                assert_eq!(back, sample(ty, 37, nulls), "{ty}");
            })
            .unwrap();
        }
    }
}

#[test]
fn narrower_numbers_and_other_texts_are_taken_and_what_would_lose_a_value_is_not() {
    let small: ArrayRef = Arc::new(Int8Array::from(vec![Some(1), None]));
    let column = column_from(&small, "a", Type::Int64).unwrap();
    assert_eq!((column.len(), column.null_count()), (2, 1));
    let large: ArrayRef = Arc::new(LargeStringArray::from(vec!["x"]));
    assert_eq!(column_from(&large, "a", Type::Utf8).unwrap().len(), 1);

    let wide: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let error = column_from(&wide, "a", Type::Float64).unwrap_err().to_string();
    assert_eq!(error, "column `a`: expected float64, came int64");
    let unsigned: ArrayRef = Arc::new(arrow::array::UInt64Array::from(vec![0, u64::MAX]));
    let error = column_from(&unsigned, "a", Type::Int64).unwrap_err().starting_at(10).to_string();
    assert!(error.starts_with("column `a`, row 11 (counted from 0)"), "{error}");
}

#[test]
fn a_frame_comes_back_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frame.parquet");
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Float64, true)]));
    let array: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), None]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array]).unwrap();
    let mut frame = RecordBatchIterator::new([Ok(batch.clone())], schema);
    write_frame(&path, &mut frame).unwrap();
    let read: Vec<_> = read_frame(&path).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, [batch]);
}

#[test]
fn every_type_of_ours_is_its_own_nearest() {
    for ty in TYPES {
        let array = array_from(sample(ty, 3, false));
        assert_eq!(type_for(array.data_type()), Some(ty));
    }
}

//! How many bytes each row of a batch holds, by its values and not by how they lie in memory: what chunks and
//! writes are cut by. The same rows have the same sizes, however they came in batches.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::DataType;

use crate::config::VARIABLE_BYTES_GUESS;

/// Adds the bytes of every row of `batch` to `sizes`, from its start.
pub(crate) fn add(batch: &RecordBatch, sizes: &mut [usize]) {
    batch.columns().iter().for_each(|column| add_array(column, sizes));
}

/// The bytes of every row of `batch`.
pub(crate) fn of(batch: &RecordBatch) -> Vec<usize> {
    let mut sizes = vec![0; batch.num_rows()];
    add(batch, &mut sizes);
    sizes
}

/// Rows from the start of `sizes` that hold at most `bytes_max` together; at least one, as a row can't be cut.
pub(crate) fn rows_within(sizes: impl IntoIterator<Item = usize>, bytes_max: usize) -> usize {
    let mut bytes = 0_usize;
    let fits = |size: &usize| {
        bytes = bytes.saturating_add(*size);
        bytes <= bytes_max
    };
    sizes.into_iter().take_while(fits).count().max(1)
}

/// Adds the bytes of every value of `array`, one a row.
fn add_array(array: &ArrayRef, sizes: &mut [usize]) {
    match array.data_type() {
        DataType::Utf8 => add_lengths(array.as_string::<i32>().value_offsets(), sizes),
        DataType::LargeUtf8 => add_lengths(array.as_string::<i64>().value_offsets(), sizes),
        DataType::Binary => add_lengths(array.as_binary::<i32>().value_offsets(), sizes),
        DataType::LargeBinary => add_lengths(array.as_binary::<i64>().value_offsets(), sizes),
        // A view's length is its lower half.
        DataType::Utf8View => add_views(array.as_string_view().views(), sizes),
        DataType::BinaryView => add_views(array.as_binary_view().views(), sizes),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            add_elements(list.values(), list.value_offsets(), sizes);
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            add_elements(list.values(), list.value_offsets(), sizes);
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            add_elements(&entries, map.value_offsets(), sizes);
        }
        DataType::FixedSizeList(_, length) => {
            let (list, length) =
                (array.as_fixed_size_list(), usize::try_from(*length).unwrap_or(0));
            // The values of a slice are sliced with it.
            let bounds: Vec<i64> = (0..=array.len()).map(|row| (row * length) as i64).collect();
            add_elements(list.values(), &bounds, sizes);
        }
        DataType::Struct(_) => {
            array.as_struct().columns().iter().for_each(|field| add_array(field, sizes));
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let mut values = vec![0; dictionary.values().len()];
            add_array(dictionary.values(), &mut values);
            for (size, key) in sizes.iter_mut().zip(dictionary.normalized_keys()) {
                *size += values.get(key).copied().unwrap_or(0);
            }
        }
        ty => {
            let bytes = match ty {
                DataType::Null => 0,
                DataType::Boolean => 1,
                DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or(0),
                other => other.primitive_width().unwrap_or(VARIABLE_BYTES_GUESS),
            };
            sizes.iter_mut().take(array.len()).for_each(|size| *size += bytes);
        }
    }
}

/// Values between neighbouring offsets, and the offset itself.
fn add_lengths<O: OffsetSizeTrait>(offsets: &[O], sizes: &mut [usize]) {
    for (size, bounds) in sizes.iter_mut().zip(offsets.windows(2)) {
        *size += (bounds[1] - bounds[0]).as_usize() + size_of::<O>();
    }
}

fn add_views(views: &[u128], sizes: &mut [usize]) {
    for (size, view) in sizes.iter_mut().zip(views) {
        *size += (*view as u32) as usize + size_of::<u128>();
    }
}

/// Elements between neighbouring offsets, and the offset itself.
fn add_elements<O: OffsetSizeTrait>(values: &ArrayRef, offsets: &[O], sizes: &mut [usize]) {
    let first = offsets.first().map_or(0, |first| first.as_usize());
    let last = offsets.last().map_or(first, |last| last.as_usize());
    let mut elements = vec![0; last - first];
    add_array(&values.slice(first, last - first), &mut elements);
    for (size, bounds) in sizes.iter_mut().zip(offsets.windows(2)) {
        let range = bounds[0].as_usize() - first..bounds[1].as_usize() - first;
        *size += elements[range].iter().sum::<usize>() + size_of::<O>();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, FixedSizeListArray,
        Int32Array, Int64Array, LargeStringArray, ListBuilder, MapBuilder, NullArray, StringArray,
        StringBuilder, StringViewArray, StructArray,
    };
    use arrow::datatypes::{Field, Float32Type, Int8Type, Schema};

    use super::*;

    fn sizes(array: ArrayRef) -> Vec<usize> {
        let field = Field::new("x", array.data_type().clone(), true);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]);
        of(&batch.expect("one column"))
    }

    #[test]
    fn every_type_is_measured_by_its_values() {
        let text = || ["", "1234567890", "123"];
        let dictionary: DictionaryArray<Int8Type> =
            ["long value", "s", "long value"].into_iter().collect();
        let mut lists = ListBuilder::new(StringBuilder::new());
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for items in [&["ab", "c"][..], &[], &["1234567"]] {
            lists.append_value(items.iter().map(Some));
            for item in items {
                maps.keys().append_value(item);
                maps.values().append_value("v");
            }
            maps.append(true).expect("keys and values");
        }
        let vectors = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
            vec![Some(vec![Some(1.0); 5]); 3],
            5,
        );
        let int: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let field = |name: &str, ty| Arc::new(Field::new(name, ty, true));
        let pair = StructArray::from(vec![
            (field("i", DataType::Int32), Arc::clone(&int)),
            (
                field("s", DataType::Utf8),
                Arc::new(StringArray::from_iter_values(text())) as ArrayRef,
            ),
        ]);
        let cases: Vec<(ArrayRef, [usize; 3])> = vec![
            (Arc::new(StringArray::from_iter_values(text())), [4, 14, 7]),
            (Arc::new(BinaryArray::from_iter_values(text())), [4, 14, 7]),
            (Arc::new(LargeStringArray::from_iter_values(text())), [8, 18, 11]),
            (Arc::new(StringViewArray::from_iter_values(text())), [16, 26, 19]),
            (Arc::new(lists.finish()), [4 + 6 + 5, 4, 4 + 11]),
            (Arc::new(maps.finish()), [4 + 11 + 10, 4, 4 + 16]),
            (Arc::new(vectors), [20 + 8, 28, 28]),
            (Arc::new(pair), [8, 18, 11]),
            (Arc::new(dictionary), [14, 5, 14]),
            (int, [4; 3]),
            (Arc::new(Int64Array::from(vec![1, 2, 3])), [8; 3]),
            (Arc::new(Decimal128Array::from(vec![1, 2, 3])), [16; 3]),
            (Arc::new(BooleanArray::from(vec![true; 3])), [1; 3]),
            (Arc::new(NullArray::new(3)), [0; 3]),
        ];
        for (array, expected) in cases {
            let ty = array.data_type().clone();
            assert_eq!(sizes(Arc::clone(&array)), expected, "{ty}");
            assert_eq!(sizes(array.slice(1, 2)), expected[1..], "a slice of {ty}");
        }
    }

    #[test]
    fn a_cut_holds_at_least_one_row() {
        assert_eq!(rows_within([5, 5, 5], 10), 2);
        assert_eq!(rows_within([5, 5, 5], 100), 3);
        assert_eq!(rows_within([5, 5, 5], 4), 1);
        assert_eq!(rows_within([usize::MAX, usize::MAX], usize::MAX - 1), 1);
    }
}

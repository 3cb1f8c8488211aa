//! Tests of `parquet_in.rs`: projection, casting, row numbers, old timestamps.

use std::path::Path;

use arrow::array::{AsArray, Int32Array, StringArray, UInt64Array};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::data_type::{Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::files::expand;

fn wanted(name: &str, ty: Type) -> Wanted {
    Wanted { name: name.to_owned(), ty }
}

fn open(folder: &Path, name: &str) -> Opened {
    let files = expand(folder, &[name.to_owned()]).expect("found");
    Opened::open(&files[0]).expect("opened")
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).expect("columns fit");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(3)).build();
    let file = File::create(path).expect("created");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

#[test]
fn columns_come_in_the_order_asked_for_even_twice_over_all_row_groups() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        &folder.path().join("a.parquet"),
        vec![
            ("x", Arc::new(Int32Array::from_iter_values(0..10))),
            ("y", Arc::new(StringArray::from_iter_values((0..10).map(|i| i.to_string())))),
            ("z", Arc::new(Int32Array::from_iter_values(10..20))),
        ],
    );
    let asked = [wanted("z", Type::Int64), wanted("x", Type::Int32), wanted("z", Type::Int32)];
    for all in [false, true] {
        let mut reader = open(folder.path(), "a.parquet").read(&asked, 4, all).expect("a reader");
        let (mut numbers, mut z) = (Vec::<u64>::new(), Vec::<i64>::new());
        while let Some(rows) = reader.next(BadRows::Refuse, &mut Rejects::new()).expect("rows") {
            assert_eq!(rows.raw.num_columns(), if all { 3 } else { 2 });
            assert_eq!(rows.columns.len(), 3);
            numbers.extend(&rows.numbers);
            z.extend(rows.columns[0].as_primitive::<Int64Type>().values());
        }
        assert_eq!(numbers, (0..10).collect::<Vec<u64>>());
        assert_eq!(z, (10..20).collect::<Vec<i64>>());
    }
}

#[test]
fn skipped_rows_are_counted_and_the_others_keep_their_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let big = u64::MAX;
    let values = UInt64Array::from(vec![big, 1, 2, big, big, 5, 6, big]);
    write(&folder.path().join("a.parquet"), vec![("x", Arc::new(values))]);
    let asked = [wanted("x", Type::Int64)];
    let mut reader = open(folder.path(), "a.parquet").read(&asked, 5, false).expect("a reader");
    let mut rejects = Rejects::new();
    let mut numbers = Vec::new();
    while let Some(rows) = reader.next(BadRows::Skip, &mut rejects).expect("rows") {
        assert_eq!(rows.numbers.len(), rows.columns[0].len());
        numbers.extend(rows.numbers);
    }
    assert_eq!(numbers, [1, 2, 5, 6]);
    assert_eq!(rejects, Rejects::from([(Reject::BadValue, 4)]));
}

#[test]
fn old_96_bit_timestamps_are_read_without_wrapping() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("spark.parquet");
    let schema = parse_message_type("message spark { REQUIRED INT96 time; }").expect("a schema");
    let file = File::create(&path).expect("created");
    let mut writer =
        SerializedFileWriter::new(file, Arc::new(schema), Default::default()).expect("a writer");
    // Julian day 2440588 is 1970-01-01; nanoseconds of an int64 end in the year 2262.
    let at = |day: u32, nanos: u64| {
        let mut value = Int96::new();
        value.set_data(nanos as u32, (nanos >> 32) as u32, day);
        value
    };
    let values = [at(2_440_588, 1_500_000), at(2_440_588 + 365_000, 0), at(2_440_587, 0)];
    let mut group = writer.next_row_group().expect("a row group");
    let mut column = group.next_column().expect("no error").expect("a column");
    column.typed::<Int96Type>().write_batch(&values, None, None).expect("written");
    column.close().expect("closed");
    group.close().expect("closed");
    writer.close().expect("closed");

    let asked = [wanted("time", Type::Timestamp)];
    let mut reader = open(folder.path(), "spark.parquet").read(&asked, 9, false).expect("a reader");
    let rows = reader.next(BadRows::Refuse, &mut Rejects::new()).expect("rows").expect("some");
    let us = rows.columns[0].as_primitive::<TimestampMicrosecondType>().values();
    assert_eq!(us, &[1500, 365_000 * 86_400_000_000, -86_400_000_000]);
}

#[test]
fn row_size_counts_text_by_what_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let text: Vec<String> = (0..100).map(|i| format!("{i:01000}")).collect();
    write(
        &folder.path().join("a.parquet"),
        vec![
            ("x", Arc::new(Int32Array::from_iter_values(0..100))),
            ("y", Arc::new(StringArray::from(text))),
        ],
    );
    let opened = open(folder.path(), "a.parquet");
    assert_eq!(opened.row_bytes(&[wanted("x", Type::Int64)]), 8);
    assert!(opened.row_bytes(&[wanted("y", Type::Utf8)]) >= 1000);
}

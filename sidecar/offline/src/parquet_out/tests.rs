//! Tests of `parquet_out.rs`: bytes that depend on rows alone, and a place that is kept clean.

use arrow::array::{Float64Array, StringArray};
use arrow::datatypes::{Field, Schema};

use super::*;

fn schema() -> SchemaRef {
    let fields = [("x", DataType::Float64), ("s", DataType::Utf8)];
    Arc::new(Schema::new(fields.map(|(name, ty)| Field::new(name, ty, true)).to_vec()))
}

fn rows(from: usize, to: usize) -> RecordBatch {
    let x = Float64Array::from_iter_values((from..to).map(|row| row as f64));
    let s = StringArray::from_iter_values((from..to).map(|row| format!("row {}", row % 97)));
    RecordBatch::try_new(schema(), vec![Arc::new(x), Arc::new(s)]).expect("columns fit")
}

#[test]
fn bytes_do_not_depend_on_how_rows_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first: Option<Vec<u8>> = None;
    for step in [1, 999, 8192, 10_000, 200_001] {
        let path = folder.path().join("out.parquet");
        let mut output = Output::create(&path, true, schema(), &Arc::default()).expect("created");
        let total = if step == 1 { 3000 } else { 200_001 };
        // Single rows first, the rest at once.
        for from in (0..total).step_by(step) {
            output.write(rows(from, (from + step).min(total))).expect("written");
        }
        if total < 200_001 {
            output.write(rows(total, 200_001)).expect("written");
        }
        assert_eq!(output.rows(), 200_001);
        let bytes = output.finish(vec![("k".to_owned(), "v".to_owned())]).expect("finished");
        let came = std::fs::read(&path).expect("there");
        assert_eq!(came.len() as u64, bytes);
        assert!(first.get_or_insert_with(|| came.clone()) == &came, "steps of {step}");
    }
}

#[test]
fn an_output_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.parquet");
    let mut output = Output::create(&path, false, schema(), &Arc::default()).expect("created");
    output.write(rows(0, 10)).expect("written");
    assert!(hidden(&path, "partial").exists());
    drop(output);
    assert!(!hidden(&path, "partial").exists() && !path.exists());
}

#[test]
fn a_folder_that_is_not_there_is_named_and_not_made() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), "").expect("written");
    for place in ["new", "new/er", "file"] {
        let path = folder.path().join(place).join("out.parquet");
        let came = Output::create(&path, false, schema(), &Arc::default()).map(|_| ());
        let named = folder.path().join(place).display().to_string();
        let Err(OfflineError::NoFolder { folder, .. }) = came else { panic!("{place}: {came:?}") };
        assert_eq!(folder, named);
    }
    assert!(!folder.path().join("new").exists());
}

#[test]
fn an_output_that_appears_meanwhile_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.parquet");
    let output = Output::create(&path, false, schema(), &Arc::default()).expect("created");
    std::fs::write(&path, "somebody else's").expect("written");
    let came = output.finish(Vec::new());
    assert!(matches!(came, Err(OfflineError::OutputExists { .. })), "{came:?}");
    assert_eq!(std::fs::read(&path).expect("there"), b"somebody else's");
}

#[test]
fn rows_of_a_group_are_a_power_of_two_within_bounds() {
    assert_eq!(power_of_two(0, 8192), 64);
    assert_eq!(power_of_two(5000, 8192), 4096);
    assert_eq!(power_of_two(1 << 30, 8192), 8192);
    assert_eq!(bytes_of(&arrow_embedding(1024)), 4096);
}

fn arrow_embedding(dim: u32) -> DataType {
    crate::cast::arrow_type(skewless_batch::Type::Embedding(dim))
}

#[test]
fn an_output_that_is_a_folder_or_named_as_one_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let there = folder.path().join("there");
    std::fs::create_dir(&there).expect("made");
    for path in [there, folder.path().join("new/")] {
        for overwrite in [false, true] {
            let came = Output::create(&path, overwrite, schema(), &Arc::default()).map(|_| ());
            assert!(matches!(came, Err(OfflineError::OutputIsFolder { .. })), "{came:?}");
        }
    }
    let left = std::fs::read_dir(folder.path()).expect("listed").count();
    assert_eq!(left, 1, "the folder that was there");
}

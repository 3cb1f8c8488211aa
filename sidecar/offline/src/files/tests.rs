//! Tests of `files.rs`: which files, in which order, and how many.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::config::SPINE_ROWS_MAX;

fn write(path: &Path, rows: i32) {
    let column: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
    let batch = RecordBatch::try_from_iter([("x", column)]).expect("columns fit");
    let file = File::create(path).expect("created");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

fn names(root: &Path, patterns: &[&str]) -> Vec<String> {
    let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    let files = expand(root, &patterns).expect("found");
    files.into_iter().map(|file| file.name).collect()
}

#[test]
fn files_come_in_the_order_of_patterns_then_paths_and_each_once() {
    let folder = tempfile::tempdir().expect("a folder");
    // A folder whose own name looks like a glob is taken literally.
    let root = folder.path().join("[x]");
    std::fs::create_dir_all(root.join("sub")).expect("created");
    for name in ["b.parquet", "a.parquet", "c.other", "sub/d.parquet"] {
        write(&root.join(name), 2);
    }
    assert_eq!(names(&root, &["*.parquet"]), ["a.parquet", "b.parquet"]);
    assert_eq!(names(&root, &["b.parquet", "*"]), ["b.parquet", "a.parquet", "c.other"]);
    assert_eq!(names(&root, &["sub", "c.other"]), ["sub/d.parquet", "c.other"]);
    assert_eq!(names(&root, &["**/*.parquet"]), ["a.parquet", "b.parquet", "sub/d.parquet"]);
    let absolute = root.join("sub/d.parquet").display().to_string();
    assert_eq!(names(&root, &[&absolute]), ["sub/d.parquet"]);
    let none = expand(&root, &["a.parquet".to_owned(), "z*".to_owned()]);
    assert!(matches!(none, Err(OfflineError::NoFiles { pattern }) if pattern == "z*"));
}

#[test]
fn more_than_a_limit_is_refused_by_name() {
    for (what, limit) in [
        ("input files", FILES_MAX as u64),
        ("rows in `x`", FILE_ROWS_MAX),
        ("spine rows", SPINE_ROWS_MAX),
    ] {
        assert!(within(what, limit, limit).is_ok());
        let message = within(what, limit + 1, limit).expect_err("one too many").to_string();
        assert!(message.contains(what) && message.contains(&limit.to_string()), "{message}");
    }
}

#[test]
fn a_changed_or_removed_file_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("a.parquet"), 2);
    let files = expand(folder.path(), &["a.parquet".to_owned()]).expect("found");
    assert!(files[0].check_unchanged().is_ok());
    write(&folder.path().join("a.parquet"), 2000);
    assert!(files[0].check_unchanged().is_err());
    std::fs::remove_file(folder.path().join("a.parquet")).expect("removed");
    assert!(files[0].check_unchanged().is_err());
}

//! The folder: who may open it, what version wrote it, what it says about itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rocksdb::{DB, Options};
use skewless_catalog::Status;
use skewless_catalog::visibility::Rule;
use skewless_store::{Store, StoreError};

use crate::fixture::{Shop, config, copy, given};

/// Everything below a folder with its bytes; folders have none.
fn everything(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
            found.insert(path, None);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.insert(path, Some(bytes));
        }
    }
    found
}

/// Refuses to open and to salvage the folder, and changes nothing in it; gives what the open said.
fn left_alone(dir: &Path) -> StoreError {
    let before = everything(dir);
    let refused = Store::open(dir, config()).err().unwrap();
    assert_eq!(everything(dir), before, "{refused}");
    let salvage = Store::salvage(dir, config()).unwrap_err();
    assert_eq!(everything(dir), before, "{salvage}");
    assert_eq!(salvage.to_string(), refused.to_string());
    refused
}

#[test]
fn a_second_store_on_the_folder_is_refused_in_this_process_and_in_another() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    let refused = Store::open(dir.path(), config()).err().unwrap();
    assert!(matches!(&refused, StoreError::Locked { dir: of } if of == dir.path()), "{refused}");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "shelf::opens_the_folder_it_is_told", "--nocapture"])
        .env("SKEWLESS_TEST_OPEN", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(said.contains("refused: expected to be the only one"), "{said}");
    assert!(said.contains(&dir.path().display().to_string()), "{said}");
    shop.apply(&[given(1, 1, 1)], 9);
    assert_eq!(shop.read(&[1], 9)[0].0, Status::Present);
}

/// The other process of the test above; by itself it opens a folder of its own.
#[test]
fn opens_the_folder_it_is_told() {
    let own = tempfile::tempdir().unwrap();
    let told = std::env::var_os("SKEWLESS_TEST_OPEN");
    let dir = told.clone().map_or(own.path().to_owned(), Into::into);
    match (told, Store::open(&dir, config())) {
        (None, opened) => assert!(opened.unwrap().1.created),
        (Some(_), Ok(_)) => println!("opened"),
        (Some(_), Err(error)) => println!("refused: {error}"),
    }
}

#[test]
fn another_format_is_refused_with_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    drop(Shop::open(dir.path(), Rule::default()));
    let families = DB::list_cf(&Options::default(), dir.path()).unwrap();
    let db = DB::open_cf(&Options::default(), dir.path(), families).unwrap();
    db.put_cf(db.cf_handle("meta").unwrap(), b"format", 2_u32.to_le_bytes()).unwrap();
    drop(db);
    let refused = Store::open(dir.path(), config()).err().unwrap();
    assert!(matches!(refused, StoreError::WrongFormat { expected: 1, came: 2, .. }), "{refused}");
}

#[test]
fn another_database_is_refused_and_left_alone() {
    for families in [&["default"][..], &["default", "theirs"], &["default", "meta"]] {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let db = DB::open_cf(&options, dir.path(), families).unwrap();
        db.put_cf(db.cf_handle(families.last().unwrap()).unwrap(), b"theirs", b"1").unwrap();
        drop(db);
        let refused = left_alone(dir.path());
        assert!(matches!(refused, StoreError::NotAStore { .. }), "{refused}");
    }
}

#[test]
fn a_folder_with_other_files_is_refused_and_left_alone() {
    for (files, named) in [
        (&["staging/sub/rows.csv", "staging/keep.txt", "staging/0/kept"][..], "(staging)"),
        (&["b.parquet", "a.parquet", "LOG", "c", "d"], "(LOG, a.parquet, b.parquet, ..)"),
        (&["LOG"], "(LOG)"),
        (&["app.log", ".git/HEAD"], "(app.log)"),
        (&["LOCK", "MANIFEST-000001", "salvaged-1/000004.log"], "(salvaged-1)"),
        (&["000009.sst", "x"], "(x)"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "precious").unwrap();
        }
        let refused = left_alone(dir.path());
        assert!(matches!(refused, StoreError::OtherFiles { .. }), "{refused}");
        let told = refused.to_string();
        for part in ["expected a store's folder or an empty one", named, "--store"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}

#[test]
fn a_folder_with_nothing_of_anybody_s_becomes_a_store() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("lost+found")).unwrap();
    std::fs::write(dir.path().join(".keep"), "").unwrap();
    let (_, report) = Store::open(dir.path(), config()).unwrap();
    assert!(report.created);
    assert!(dir.path().join("lost+found").exists() && dir.path().join(".keep").exists());
}

/// A kill may come at any moment of making a store: before CURRENT is there, before its own column family is, and before
/// that says its format.
#[test]
fn a_store_whose_making_was_cut_off_is_made() {
    let whole = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.create_if_missing(true);
    drop(DB::open(&options, whole.path()).unwrap());
    options.create_missing_column_families(true);
    let more = tempfile::tempdir().unwrap();
    drop(DB::open_cf(&options, more.path(), ["default", "meta"]).unwrap());
    for from in [&whole, &more] {
        let dir = tempfile::tempdir().unwrap();
        copy(from.path(), dir.path());
        let (_, report) = Store::open(dir.path(), config()).unwrap();
        assert!(!report.created && report.views == 0);
    }
    std::fs::rename(whole.path().join("CURRENT"), whole.path().join("000001.dbtmp")).unwrap();
    // RocksDB makes its first log after that.
    std::fs::remove_file(whole.path().join("000004.log")).unwrap();
    let (_, report) = Store::open(whole.path(), config()).unwrap();
    assert!(report.created);
}

#[test]
fn what_is_in_the_folder_of_unfinished_loads_and_is_none_stays() {
    let dir = tempfile::tempdir().unwrap();
    drop(Shop::open(dir.path(), Rule::default()));
    let staging = dir.path().join("staging");
    for folder in ["7", "mine"] {
        std::fs::create_dir_all(staging.join(folder)).unwrap();
        std::fs::write(staging.join(folder).join("0.sst"), "rows").unwrap();
    }
    let (_, report) = Store::open(dir.path(), config()).unwrap();
    assert_eq!(report.stagings_removed, 1);
    assert!(!staging.join("7").exists() && staging.join("mine/0.sst").exists());
}

#[test]
fn the_store_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (store, report) = Store::open(dir.path(), config()).unwrap();
    assert!(report.created && report.views == 0);
    // The version that Cargo.lock pins, with the checksum of every record in hardware.
    assert_eq!(report.rocksdb.version, "11.8.1");
    assert!(report.rocksdb.hardware_crc32c(), "{:?}", report.rocksdb);
    let shop = Shop::over(store, vec![crate::fixture::schema("v", Rule::default())]).unwrap();
    let many: Vec<_> = (0..500).map(|key| given(key, 1, key)).chain([given(1, 70, 1)]).collect();
    shop.apply(&many, 9);
    shop.store.flush().unwrap();
    let info = shop.store.info().unwrap();
    let [view] = &info.views[..] else { panic!("{info:?}") };
    assert_eq!((&view.view[..], view.generation), ("v", 1));
    assert_eq!((view.rows_estimate, view.pending_estimate), (500, 1));
    assert!(
        view.bytes > 500 * 8 && info.sequence >= 501 && info.next_due_us == Some(70),
        "{info:?}"
    );
    assert_eq!((info.salvages, info.background_errors, info.poisoned), (0, 0, None));
    assert_eq!(info.rocksdb, report.rocksdb);
}

//! The folder: who may open it, what version wrote it, what it says about itself.

use std::process::Command;

use rocksdb::{DB, Options};
use skewless_catalog::Status;
use skewless_catalog::visibility::Rule;
use skewless_store::{Store, StoreError};

use crate::fixture::{Shop, config, given};

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
    let dir = tempfile::tempdir().unwrap();
    let db = DB::open_default(dir.path()).unwrap();
    db.put(b"theirs", b"1").unwrap();
    drop(db);
    let refused = Store::open(dir.path(), config()).err().unwrap();
    assert!(matches!(refused, StoreError::NotAStore { .. }), "{refused}");
    let families = DB::list_cf(&Options::default(), dir.path()).unwrap();
    let db = DB::open_cf(&Options::default(), dir.path(), families).unwrap();
    assert_eq!(db.get(b"theirs").unwrap().unwrap(), b"1");
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

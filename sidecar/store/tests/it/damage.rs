//! Damaged files are refused or reported, never served: logs, tables, the pointer to the manifest.

use std::path::Path;

use skewless_catalog::Status;
use skewless_catalog::visibility::Rule;
use skewless_store::{SourceOffset, Store, StoreError};

use crate::fixture::{Shop, config, copy, files, given, rows};

const BATCHES: i64 = 60;

/// A store whose acknowledged rows are all in its log, copied as a kill would leave it.
fn killed(to: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    for key in 0..BATCHES {
        let source = Some(SourceOffset { source: "s".to_owned(), offset: key as u64 });
        shop.store.apply(shop.view(), &rows(&[given(key, 1, key)]), 9, source).unwrap();
    }
    copy(dir.path(), to);
}

fn log(dir: &Path) -> (std::path::PathBuf, Vec<u8>) {
    files(dir, ".log").into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap()
}

/// How many rows are there, from the first on; fails on a hole or a wrong value.
fn prefix(shop: &Shop) -> i64 {
    let keys: Vec<_> = (0..BATCHES).collect();
    let got = shop.read(&keys, 9);
    let there = got.iter().take_while(|one| one.0 == Status::Present).count();
    for (key, one) in got.iter().enumerate() {
        let expected = (key < there).then_some(key as i64);
        assert_eq!(one.1, expected, "key {key}");
    }
    there as i64
}

/// Whether a byte is part of the length of a record of the log, by RocksDB's format of logs: blocks of 32 KiB of records,
/// each a checksum (4), a length (2), a type (1), for types from 5 on the log's number (4), and its bytes.
fn in_a_length(log: &[u8], byte: usize) -> bool {
    const BLOCK: usize = 32 << 10;
    let mut at = 0;
    while at + 7 <= log.len() {
        if BLOCK - at % BLOCK < 7 {
            at = at.next_multiple_of(BLOCK);
            continue;
        }
        if (at + 4..at + 6).contains(&byte) {
            return true;
        }
        let header = if log[at + 6] >= 5 { 11 } else { 7 };
        at += header + usize::from(u16::from_le_bytes([log[at + 4], log[at + 5]]));
    }
    false
}

#[test]
fn a_bit_flipped_in_the_log_is_refused_and_salvage_keeps_what_is_before_it() {
    let master = tempfile::tempdir().unwrap();
    killed(master.path());
    let (_, bytes) = log(master.path());
    for step in 1..12 {
        let dir = tempfile::tempdir().unwrap();
        copy(master.path(), dir.path());
        let (path, mut damaged) = log(dir.path());
        let at = bytes.len() * step / 12;
        damaged[at] ^= 1 << (step % 8);
        std::fs::write(&path, damaged).unwrap();
        let refused = Store::open(dir.path(), config()).err();
        if refused.is_none() && in_a_length(&bytes, at) {
            // A record that seems to end after the file is a torn tail to RocksDB: cut off, never made up.
            assert!(prefix(&Shop::open(dir.path(), Rule::default())) < BATCHES, "byte {at}");
            continue;
        }
        let Some(StoreError::Corrupt { file, advice, .. }) = &refused else {
            panic!("byte {at} of {}: {refused:?}", bytes.len())
        };
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(file.contains(&name) && advice.contains("`skewless salvage`"), "{file}: {advice}");
        assert!(refused.as_ref().is_some_and(StoreError::is_salvageable));
        let report = Store::salvage(dir.path(), config()).unwrap();
        assert_eq!(report.salvages, 1);
        assert!(report.copies.join(&name).exists() && report.logs.iter().any(|log| log.0 == name));
        let shop = Shop::open(dir.path(), Rule::default());
        let there = prefix(&shop);
        assert!(there < BATCHES, "nothing was lost by a damaged log?");
        let offset = report.offsets.first().map_or(0, |of| of.1 as i64 + 1);
        assert_eq!(there, offset, "the offset must stand where the rows stand");
        assert_eq!(shop.store.info().unwrap().salvages, 1);
    }
}

#[test]
fn a_torn_log_opens_with_what_was_whole() {
    let master = tempfile::tempdir().unwrap();
    killed(master.path());
    let (_, bytes) = log(master.path());
    let mut before = 0;
    for step in 0..=12 {
        let dir = tempfile::tempdir().unwrap();
        copy(master.path(), dir.path());
        let (path, whole) = log(dir.path());
        std::fs::write(&path, &whole[..bytes.len() * step / 12]).unwrap();
        let there = prefix(&Shop::open(dir.path(), Rule::default()));
        assert!(there >= before);
        before = there;
    }
    assert_eq!(before, BATCHES);
}

#[test]
fn a_bit_flipped_in_a_table_gives_an_error_or_the_right_value() {
    let master = tempfile::tempdir().unwrap();
    let shop = Shop::open(master.path(), Rule::default());
    let many: Vec<_> = (0..BATCHES).map(|key| given(key, 1, key)).collect();
    shop.apply(&many, 9);
    shop.store.flush().unwrap();
    drop(shop);
    let tables = files(master.path(), ".sst");
    let (mut refused, mut wrong_reads) = (0, 0);
    for (table, bytes) in &tables {
        for step in 0..24 {
            let dir = tempfile::tempdir().unwrap();
            copy(master.path(), dir.path());
            let mut damaged = bytes.clone();
            damaged[bytes.len() * step / 24] ^= 1 << (step % 8);
            let name = table.file_name().unwrap();
            std::fs::write(dir.path().join(name), damaged).unwrap();
            match Shop::open_with(dir.path(), Rule::default(), config()) {
                Err(error) => {
                    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
                    refused += 1;
                }
                Ok(shop) => {
                    let keys: Vec<_> = (0..BATCHES).collect();
                    for key in keys {
                        match shop.try_read(&[key], 9) {
                            Ok(got) => assert_eq!(got, [(Status::Present, Some(key), 1)]),
                            Err(StoreError::Corrupt { file, .. }) => {
                                assert!(file.ends_with(&*name.to_string_lossy()), "{file}");
                                wrong_reads += 1;
                            }
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            }
        }
    }
    assert!(wrong_reads > 0, "no flip hit a row; {refused} refused at open");
}

#[test]
fn a_lost_pointer_to_the_manifest_is_no_empty_store() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    shop.apply(&[given(1, 1, 1)], 9);
    shop.store.flush().unwrap();
    drop(shop);
    std::fs::remove_file(dir.path().join("CURRENT")).unwrap();
    let refused = Store::open(dir.path(), config()).err().unwrap();
    assert!(matches!(&refused, StoreError::Corrupt { file, .. } if file == "CURRENT"), "{refused}");
    assert!(!refused.is_salvageable());
    // Nothing tells it from another program's file of this name.
    std::fs::write(dir.path().join("CURRENT"), "hi\n").unwrap();
    let unreadable = Store::open(dir.path(), config()).err().unwrap();
    for told in [refused.to_string(), unreadable.to_string()] {
        for part in ["CURRENT", "if it is your store, restore the folder", "another program's"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}

#[test]
fn a_damaged_manifest_is_named() {
    let dir = tempfile::tempdir().unwrap();
    drop(Shop::open(dir.path(), Rule::default()));
    let current = std::fs::read_to_string(dir.path().join("CURRENT")).unwrap();
    let path = dir.path().join(current.trim());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = Store::open(dir.path(), config()).err().unwrap();
    assert!(
        matches!(&refused, StoreError::Corrupt { file, .. } if file == current.trim()),
        "{refused}"
    );
}

#[test]
fn a_path_where_no_folder_can_be_says_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (path, came) in [(file.clone(), "came a file;"), (file.join("below"), "Not a directory")] {
        let error = Store::open(&path, config()).err().unwrap().to_string();
        for part in [&path.display().to_string(), "expected the folder of a store", came, "--store"]
        {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}

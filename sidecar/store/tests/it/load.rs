//! Bulk loads: what they keep, that a reader sees the old or the new, and what they refuse.

use std::sync::atomic::{AtomicBool, Ordering};

use skewless_catalog::Status;
use skewless_catalog::visibility::Rule;
use skewless_store::{CommitMode, CommitReport, StoreConfig, StoreError};

use crate::fixture::{Given, Shop, config, given, rows};

fn load(shop: &Shop, given: &[Given], mode: CommitMode, now_us: i64) -> CommitReport {
    let mut loader = shop.store.stage(shop.view(), now_us).unwrap();
    given.chunks(7).for_each(|chunk| loader.push(&rows(chunk)).unwrap());
    shop.store.commit(loader, mode, now_us).unwrap()
}

#[test]
fn a_merge_keeps_what_is_newer_and_a_replace_only_what_was_loaded() {
    for mode in [CommitMode::Merge, CommitMode::Replace] {
        let dir = tempfile::tempdir().unwrap();
        let shop = Shop::open(dir.path(), Rule::default());
        let dead = Given { deleted: true, value: None, ..given(5, 40, 0) };
        // Older, newer, tied, alone, a newer tombstone, waiting.
        let there = [
            given(1, 10, 1),
            given(2, 90, 2),
            given(3, 50, 3),
            given(4, 5, 4),
            dead,
            given(6, 150, 6),
        ];
        shop.apply(&there, 100);
        let loaded = [
            given(1, 15, 11),
            given(1, 20, 12),
            given(1, 20, 13),
            given(1, 12, 14),
            given(2, 30, 15),
            given(3, 50, 16),
            given(5, 20, 17),
            given(6, 120, 18),
            given(6, 20, 19),
        ];
        let report = load(&shop, &loaded, mode, 100);
        assert_eq!((report.rows, report.keys, report.pending, report.generation), (9, 5, 1, 2));
        let present = |value, event_us| (Status::Present, Some(value), event_us);
        let absent = (Status::NotFound, None, i64::MIN);
        let check = |shop: &Shop| match mode {
            CommitMode::Merge => {
                let kept =
                    [present(13, 20), present(2, 90), present(16, 50), present(4, 5), absent];
                assert_eq!(shop.read(&[1, 2, 3, 4, 5], 110), kept);
                assert_eq!(shop.read(&[6], 110), [present(19, 20)]);
            }
            CommitMode::Replace => {
                let new =
                    [present(13, 20), present(15, 30), present(16, 50), absent, present(17, 20)];
                assert_eq!(shop.read(&[1, 2, 3, 4, 5], 110), new);
                assert_eq!(shop.read(&[6], 110), [present(19, 20)]);
            }
        };
        check(&shop);
        drop(shop);
        let shop = Shop::open(dir.path(), Rule::default());
        check(&shop);
        assert_eq!(shop.read(&[6], 120), [present(18, 120)]);
        let last = if mode == CommitMode::Merge { present(6, 150) } else { present(18, 120) };
        assert_eq!(shop.read(&[6], 150), [last]);
        assert_eq!(report.kept, if mode == CommitMode::Merge { 3 } else { 0 });
    }
}

#[test]
fn a_load_of_many_files_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let small = StoreConfig { stage_bytes: 4_096, ..config() };
    let shop = Shop::open_with(dir.path(), Rule::default(), small).unwrap();
    let there: Vec<_> = (0..2_000).map(|key| given(key, 10 + key % 2 * 20, -key)).collect();
    shop.apply(&there, 100);
    // Every third key, between the two times; the same row waits twice.
    let loaded = (0..2_000).step_by(3);
    let loaded: Vec<_> = loaded
        .flat_map(|key| [given(key, 20, key), given(key, 200, 1), given(key, 200, 2)])
        .collect();
    load(&shop, &loaded, CommitMode::Merge, 100);
    let keys: Vec<_> = (0..2_000).collect();
    for (key, got) in keys.iter().zip(shop.read(&keys, 100)) {
        let new = key % 3 == 0 && key % 2 == 0;
        let expected = if new { (*key, 20) } else { (-key, 10 + key % 2 * 20) };
        assert_eq!(got, (Status::Present, Some(expected.0), expected.1), "{key}");
    }
    for (key, got) in keys.iter().zip(shop.read(&keys, 200)) {
        assert_eq!(got.1 == Some(2) && got.2 == 200, key % 3 == 0, "{key}: {got:?}");
    }
}

#[test]
fn readers_during_a_swap_see_old_or_new() {
    const KEYS: i64 = 60;
    const LOADS: i64 = 12;
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    let keys: Vec<_> = (0..KEYS).collect();
    let all = |value| (0..KEYS).map(|key| given(key, value, value)).collect::<Vec<_>>();
    shop.apply(&all(0), 0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = || {
            let mut seen = 0;
            let mut distinct = 0;
            while !done.load(Ordering::Relaxed) {
                let got = shop.read(&keys, LOADS);
                let value = got[0].1.unwrap();
                assert!(got.iter().all(|one| one.1 == Some(value)), "a mix: {got:?}");
                assert!(value >= seen, "went back from {seen} to {value}");
                distinct += i64::from(value > seen);
                seen = value;
            }
            distinct
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        for value in 1..=LOADS {
            // By turns a load and an apply, which must be seen whole just the same.
            if value % 3 == 0 {
                shop.apply(&all(value), LOADS);
            } else {
                let mode = if value % 2 == 0 { CommitMode::Merge } else { CommitMode::Replace };
                load(&shop, &all(value), mode, LOADS);
            }
        }
        done.store(true, Ordering::Relaxed);
        let distinct: i64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(distinct > 0, "the readers saw no change at all");
    });
    assert_eq!(shop.read(&[0], LOADS)[0].1, Some(LOADS));
}

#[test]
fn unsorted_rows_are_refused_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    shop.apply(&[given(1, 1, 1)], 9);
    let mut loader = shop.store.stage(shop.view(), 9).unwrap();
    loader.push(&rows(&[given(-1, 1, 2), given(3, 1, 2)])).unwrap();
    let refused = loader.push(&rows(&[given(2, 1, 2)])).unwrap_err();
    assert!(matches!(refused, StoreError::Unsorted { row: 2, .. }), "{refused}");
    drop(loader);
    assert_eq!(std::fs::read_dir(dir.path().join("staging")).unwrap().count(), 0);
    assert_eq!(shop.read(&[1, 3], 9).map_statuses(), [Status::Present, Status::NotFound]);
}

#[test]
fn an_empty_load_empties_or_keeps() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    shop.apply(&[given(1, 1, 1)], 9);
    load(&shop, &[], CommitMode::Merge, 9);
    assert_eq!(shop.read(&[1], 9).map_statuses(), [Status::Present]);
    load(&shop, &[], CommitMode::Replace, 9);
    assert_eq!(shop.read(&[1], 9).map_statuses(), [Status::NotFound]);
}

#[test]
fn a_load_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    shop.apply(&[given(1, 1, 1)], 9);
    drop(shop);
    // A row that a merge can't judge; it sorts after every key.
    let families = rocksdb::DB::list_cf(&rocksdb::Options::default(), dir.path()).unwrap();
    let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), dir.path(), &families).unwrap();
    db.put_cf(db.cf_handle("rows/v/1").unwrap(), [0xFF; 9], b"no row").unwrap();
    drop(db);
    let shop = Shop::open(dir.path(), Rule::default());
    for _ in 0..2 {
        let mut loader = shop.store.stage(shop.view(), 9).unwrap();
        loader.push(&rows(&[given(1, 2, 2), given(2, 2, 2)])).unwrap();
        let failed = shop.store.commit(loader, CommitMode::Merge, 9).unwrap_err();
        assert!(matches!(failed, StoreError::Corrupt { .. }), "{failed}");
        let left = rocksdb::DB::list_cf(&rocksdb::Options::default(), dir.path()).unwrap();
        assert_eq!(left.len(), families.len(), "{left:?}");
        assert_eq!(std::fs::read_dir(dir.path().join("staging")).unwrap().count(), 0);
    }
    assert_eq!(shop.read(&[1, 2], 9).map_statuses(), [Status::Present, Status::NotFound]);
    // A number is never used twice, not even that of a load that failed.
    assert_eq!(load(&shop, &[given(1, 3, 3)], CommitMode::Replace, 9).generation, 4);
}

trait Statuses {
    fn map_statuses(&self) -> Vec<Status>;
}

impl Statuses for Vec<crate::fixture::Got> {
    fn map_statuses(&self) -> Vec<Status> {
        self.iter().map(|got| got.0).collect()
    }
}

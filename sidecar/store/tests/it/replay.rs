//! What a crash leaves to replay is bounded in bytes of log, by `wal_bytes_max`, however much was written.

use std::path::Path;

use skewless_batch::{Column, Type};
use skewless_catalog::Status;
use skewless_catalog::visibility::Rule;
use skewless_store::{Rows, SourceOffset, Store, StoreConfig, ViewSchema};

use crate::fixture::{Shop, config, schema};

const BATCHES: i64 = 160;
const BATCH_ROWS: i64 = 100;
const VALUE_BYTES: usize = 1_000;
const LIMIT_BYTES: u64 = 1 << 20;

fn open(dir: &Path, wal_bytes_max: u64) -> Shop {
    // Memtables so small that their own limit never holds a log for long; the offsets' memtable never fills.
    let config = StoreConfig { wal_bytes_max, memtable_bytes: 64 << 10, ..config() };
    let (store, _) = Store::open(dir, config).unwrap();
    let features = vec![("value".to_owned(), Type::Utf8)];
    Shop::over(store, vec![ViewSchema { features, ..schema("v", Rule::default()) }]).unwrap()
}

fn batch(number: i64) -> Rows {
    let (mut keys, mut values) = (Column::new(Type::Int64), Column::new(Type::Utf8));
    for row in 0..BATCH_ROWS {
        keys.push_i64(number * BATCH_ROWS + row);
        values.push_utf8(&"x".repeat(VALUE_BYTES));
    }
    let times = vec![1; BATCH_ROWS as usize];
    let deleted = vec![false; BATCH_ROWS as usize];
    Rows {
        keys: vec![keys],
        event_us: times.clone(),
        known_us: times,
        deleted,
        features: vec![values],
    }
}

fn log_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let logs = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"));
    // One may be deleted between the listing and the look.
    logs.filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
}

/// Writes all batches; gives the most bytes of log that a kill after any of them would have left.
fn most_log_bytes(dir: &Path, wal_bytes_max: u64) -> u64 {
    let shop = open(dir, wal_bytes_max);
    let mut most = 0;
    for number in 0..BATCHES {
        let source = Some(SourceOffset { source: "s".to_owned(), offset: number as u64 });
        shop.store.apply(shop.view(), &batch(number), 9, source).unwrap();
        most = most.max(log_bytes(dir));
    }
    drop(shop);
    let shop = open(dir, wal_bytes_max);
    assert_eq!(shop.store.source_offset("s").unwrap(), Some(BATCHES as u64 - 1));
    for number in 0..BATCHES * BATCH_ROWS {
        assert_eq!(shop.read(&[number], 9)[0].0, Status::Present, "row {number}");
    }
    most
}

#[test]
fn what_a_crash_leaves_to_replay_is_bounded_in_bytes() {
    let written = BATCHES as u64 * BATCH_ROWS as u64 * VALUE_BYTES as u64;
    let dir = tempfile::tempdir().unwrap();
    let unbounded = most_log_bytes(dir.path(), 1 << 30);
    assert!(unbounded > written, "{unbounded} bytes of log for {written} written");
    let dir = tempfile::tempdir().unwrap();
    let bounded = most_log_bytes(dir.path(), LIMIT_BYTES);
    println!("{bounded} bytes of log at most, {unbounded} without the limit");
    // While the oldest memtables are being written out, writes go on: as much again, and a few memtables.
    assert!(bounded < 3 * LIMIT_BYTES, "{bounded} bytes of log at a limit of {LIMIT_BYTES}");
    assert!(bounded > LIMIT_BYTES / 2, "{bounded} bytes: something else holds the log down");
}

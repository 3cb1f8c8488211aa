//! What the store says about itself: per view and as a whole; for people, metrics and readiness.

use std::path::Path;
use std::sync::atomic::Ordering;

use rocksdb::IteratorMode;

use crate::error::StoreError;
use crate::fault::Fault;
use crate::hot::HotInfo;
use crate::live::{Family, Generation, Live, Shared};
use crate::meta::Meta;

/// RocksDB as it describes itself in its log when it opens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RocksInfo {
    /// Its version, such as `11.8.1`; empty if it didn't say.
    pub version: String,
    /// Whether CRC32C runs in hardware and how, such as `Supported on x86`; empty if it didn't say.
    pub crc32c: String,
}

impl RocksInfo {
    /// Whether the checksum of every log record and block runs in hardware.
    #[must_use]
    pub fn hardware_crc32c(&self) -> bool {
        self.crc32c.starts_with("Supported")
    }
}

/// The store as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreInfo {
    /// One per view, by name.
    pub views: Vec<ViewInfo>,
    /// The latest sequence.
    pub sequence: u64,
    /// Bytes of the block cache in use.
    pub cache_bytes: u64,
    /// Bytes the block cache may use.
    pub cache_bytes_max: u64,
    /// The hot rows.
    pub hot: HotInfo,
    /// When the next waiting row is due, microseconds UTC; `None` if none waits.
    pub next_due_us: Option<i64>,
    /// How often a damaged log was cut in this store's life.
    pub salvages: u64,
    /// Why writes are refused, if they are.
    pub fault: Option<Fault>,
    /// Errors of RocksDB in the background since the database was opened.
    pub background_errors: u64,
    /// The panic that ended the apply thread, if one did: not ready any more.
    pub poisoned: Option<String>,
    /// RocksDB's version and checksum.
    pub rocksdb: RocksInfo,
}

/// One view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewInfo {
    /// Its name.
    pub view: String,
    /// Its generation; greater after each bulk load.
    pub generation: u64,
    /// Whether it holds any row, or one that waits: exact.
    pub loaded: bool,
    /// Keys with a row, estimated by RocksDB.
    pub rows_estimate: u64,
    /// Rows that wait for their due time, estimated by RocksDB.
    pub pending_estimate: u64,
    /// Bytes on disk and in memtables.
    pub bytes: u64,
}

pub(crate) fn info(shared: &Shared) -> Result<StoreInfo, StoreError> {
    let live = shared.pinned()?;
    let mut views = Vec::new();
    for (stored, generation) in live.views() {
        let number = |family, name| number(shared, &live, family, name);
        views.push(ViewInfo {
            view: stored.view.clone(),
            generation: generation.number,
            loaded: has_rows(shared, &live, generation)?,
            rows_estimate: number(&generation.rows, "rocksdb.estimate-num-keys")?,
            pending_estimate: number(&generation.wait, "rocksdb.estimate-num-keys")?,
            bytes: number(&generation.rows, "rocksdb.total-sst-files-size")?
                + number(&generation.rows, "rocksdb.cur-size-all-mem-tables")?
                + number(&generation.wait, "rocksdb.total-sst-files-size")?,
        });
    }
    views.sort_by(|a, b| a.view.cmp(&b.view));
    let next_due_us = shared.next_due_us.load(Ordering::SeqCst);
    Ok(StoreInfo {
        views,
        sequence: live.db.latest_sequence_number(),
        cache_bytes: shared.cache.get_usage() as u64,
        cache_bytes_max: shared.config.cache_bytes as u64,
        hot: shared.hot.info(),
        next_due_us: (next_due_us != crate::pending::NEVER).then_some(next_due_us),
        salvages: Meta { db: &live.db, family: &live.meta }.salvages()?,
        fault: shared.fault(),
        background_errors: number(shared, &live, &live.meta, "rocksdb.background-errors")?,
        poisoned: shared.poisoned.get().cloned(),
        rocksdb: rocksdb(&shared.dir),
    })
}

/// Whether a generation holds any row.
pub(crate) fn has_rows(
    shared: &Shared,
    live: &Live,
    generation: &Generation,
) -> Result<bool, StoreError> {
    for family in [&generation.rows, &generation.wait] {
        if let Some(first) = live.db.iterator_cf(&family.handle, IteratorMode::Start).next() {
            return first.map(|_| true).map_err(|error| shared.rocks(error));
        }
    }
    Ok(false)
}

fn number(shared: &Shared, live: &Live, family: &Family, name: &str) -> Result<u64, StoreError> {
    let found = live.db.property_int_value_cf(&family.handle, name);
    Ok(found.map_err(|error| shared.rocks(error))?.unwrap_or(0))
}

/// Reads RocksDB's own log: the crate has no call for its version.
pub(crate) fn rocksdb(dir: &Path) -> RocksInfo {
    use std::io::Read;
    // What it says about itself is within the first kilobytes.
    const HEAD_BYTES: u64 = 64 << 10;
    let mut text = Vec::new();
    if let Ok(log) = std::fs::File::open(dir.join("LOG")) {
        // An unreadable log leaves the fields empty, which is what they then say.
        let _ = log.take(HEAD_BYTES).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let after = |word: &str| {
        let line = text.lines().find_map(|line| Some(line.split_once(word)?.1.trim().to_owned()));
        line.unwrap_or_default()
    };
    RocksInfo { version: after("RocksDB version:"), crc32c: after("Fast CRC32 supported:") }
}

//! Bulk load: sorted rows become files; not how these become the next generation of a view, which is `commit.rs`,
//! and not the reading of Parquet or the sorting, which are offline's.
//!
//! Life of a load: `stage` makes a folder in `<store>/staging`; `push` takes rows sorted by key (several
//! rows of one key are welcome: the newest due one is kept, those not due yet wait); files are written as
//! rows come; a commit takes them in. A dropped loader removes its folder.
//!
//! Limits: one file's rows are held in memory ([`crate::StoreConfig::stage_bytes`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rocksdb::SstFileWriter;
use skewless_catalog::visibility::Stamp;

use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::live::Shared;
use crate::rows::{Rows, encode};
use crate::views::ViewHandle;
use crate::{options, pending};

/// The folder of unfinished loads inside the store's.
pub(crate) const STAGING: &str = "staging";

/// What happens to the rows that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommitMode {
    /// Rows newer than the loaded ones by their stamp stay, and keys that the load doesn't have. The
    /// default: rows that were streamed in while the history was prepared are not lost.
    #[default]
    Merge,
    /// Only what was loaded is there afterwards.
    Replace,
}

/// What a load did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitReport {
    /// The view's new generation.
    pub generation: u64,
    /// Rows pushed.
    pub rows: u64,
    /// Keys with a due row among them.
    pub keys: u64,
    /// Rows among them that wait for their due time.
    pub pending: u64,
    /// Rows kept from the generation before; one that was written during the merge may count again.
    pub kept: u64,
    /// The store's sequence afterwards.
    pub sequence: u64,
}

/// A bulk load under way.
pub struct Loader {
    pub(crate) view: Arc<ViewHandle>,
    shared: Arc<Shared>,
    pub(crate) dir: PathBuf,
    now_us: i64,
    /// Finished rows of the next file, sorted.
    rows: Chunk,
    /// Rows that wait, in any order.
    waits: Chunk,
    /// Files of rows, none of whose keys are in another.
    pub(crate) row_files: Vec<PathBuf>,
    /// Files of rows that wait; of a key in several the last counts.
    pub(crate) wait_files: Vec<PathBuf>,
    /// The key being collected and its best row so far.
    key: Vec<u8>,
    best: Option<(Stamp, Vec<u8>)>,
    pub(crate) pushed: u64,
    pub(crate) keys: u64,
    pub(crate) pending: u64,
}

/// A key with its row; none for one that is to be removed.
pub(crate) type Entry = (Vec<u8>, Option<Vec<u8>>);

/// What the next file will hold.
#[derive(Default)]
pub(crate) struct Chunk {
    pub(crate) entries: Vec<Entry>,
    pub(crate) bytes: usize,
}

impl Chunk {
    pub(crate) fn add(&mut self, key: Vec<u8>, row: Option<Vec<u8>>) {
        self.bytes += key.len() + row.as_ref().map_or(0, Vec::len);
        self.entries.push((key, row));
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // What can't be removed now is removed at the next open.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Loader {
    pub(crate) fn new(
        shared: Arc<Shared>,
        view: Arc<ViewHandle>,
        now_us: i64,
    ) -> Result<Self, StoreError> {
        let number = shared.stagings.fetch_add(1, Ordering::Relaxed);
        let dir = shared.dir.join(STAGING).join(number.to_string());
        std::fs::create_dir_all(&dir).map_err(|error| StoreError::io(&dir, &error))?;
        Ok(Self {
            view,
            shared,
            dir,
            now_us,
            rows: Chunk::default(),
            waits: Chunk::default(),
            row_files: Vec::new(),
            wait_files: Vec::new(),
            key: Vec::new(),
            best: None,
            pushed: 0,
            keys: 0,
            pending: 0,
        })
    }

    /// Rows pushed so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.pushed
    }

    /// Takes more rows. Over all pushes their keys must not descend, in the order of
    /// [`crate::key`]; among rows of one key the order is that of arrival and breaks ties.
    pub fn push(&mut self, rows: &Rows) -> Result<(), StoreError> {
        let encoded = encode(&self.shared, &self.view, rows)?;
        for (key, row, stamp) in encoded.iter() {
            let after = self.key.as_slice().cmp(key);
            if after.is_gt() {
                let view = self.view.name().to_owned();
                return Err(StoreError::Unsorted { view, row: self.pushed });
            }
            if after.is_lt() || self.pushed == 0 {
                self.finish_key();
                self.key = key.to_vec();
            }
            let due_us = self.view.stored.rule.due_us(stamp);
            if due_us > self.now_us {
                let key = pending::wait_key(due_us, key, stamp.event_us, stamp.known_us);
                self.waits.add(key, Some(row.to_vec()));
                self.pending += 1;
            } else if self.best.as_ref().is_none_or(|(best, _)| stamp.replaces(best)) {
                self.best = Some((*stamp, row.to_vec()));
            }
            self.pushed += 1;
            self.write_full_chunks()?;
        }
        Ok(())
    }

    fn finish_key(&mut self) {
        if let Some((_, row)) = self.best.take() {
            self.rows.add(std::mem::take(&mut self.key), Some(row));
            self.keys += 1;
        }
    }

    fn write_full_chunks(&mut self) -> Result<(), StoreError> {
        let limit = self.shared.config.stage_bytes;
        if self.rows.bytes >= limit {
            self.write_rows()?;
        }
        if self.waits.bytes >= limit {
            self.write_waits()?;
        }
        Ok(())
    }

    fn write_rows(&mut self) -> Result<(), StoreError> {
        let path = self.dir.join(format!("rows-{}.sst", self.row_files.len()));
        write_file(&self.shared, &path, std::mem::take(&mut self.rows).entries)?;
        self.row_files.push(path);
        Ok(())
    }

    fn write_waits(&mut self) -> Result<(), StoreError> {
        let path = self.dir.join(format!("wait-{}.sst", self.wait_files.len()));
        let mut entries = std::mem::take(&mut self.waits).entries;
        // Stable: of the same row sent twice the later arrival is kept.
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.reverse();
        entries.dedup_by(|later, earlier| later.0 == earlier.0);
        entries.reverse();
        write_file(&self.shared, &path, entries)?;
        self.wait_files.push(path);
        Ok(())
    }

    /// Writes what is left to files.
    pub(crate) fn finish(&mut self) -> Result<(), StoreError> {
        self.finish_key();
        if !self.rows.entries.is_empty() {
            self.write_rows()?;
        }
        if !self.waits.entries.is_empty() {
            self.write_waits()?;
        }
        Ok(())
    }
}

/// Writes entries, whose keys ascend, to a file that RocksDB can take in.
pub(crate) fn write_file(
    shared: &Shared,
    path: &Path,
    entries: Vec<Entry>,
) -> Result<(), StoreError> {
    let config: &StoreConfig = &shared.config;
    let options = options::family(config, &shared.cache);
    let mut file = SstFileWriter::create(&options);
    file.open(path).map_err(|error| shared.rocks(error))?;
    for (key, row) in entries {
        let added = match row {
            Some(row) => file.put(key, row),
            None => file.delete(key),
        };
        added.map_err(|error| shared.rocks(error))?;
    }
    file.finish().map_err(|error| shared.rocks(error))
}

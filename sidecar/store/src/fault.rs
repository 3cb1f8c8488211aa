//! A disk that takes no writes: noticing it, refusing by its name, and getting well without a restart; not how a
//! folder is opened, which is `open.rs`'s.
//!
//! RocksDB stops writing after a failed write and goes on reading. After a full disk it resumes by itself if there
//! is much space again, after an I/O error never, and its C interface has no call to resume. So the way out is to
//! open the folder again in this process, which loses nothing that was acknowledged: that is all in the log. It is
//! only tried once the disk takes a file as large as the log, because opening writes as much; until then, and while
//! opening, reads go on (see `open.rs`).
//!
//! The state is one field of `Shared`. It is set by a write that failed and cleared by one that didn't, so it
//! can't say that the store is well while it refuses.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rocksdb::{WriteBatch, WriteOptions};

use crate::config::{HEAL_SPARE_BYTES, PROBE_CHUNK_BYTES};
use crate::error::StoreError;
use crate::live::{Access, Live, Shared};
use crate::meta::{self, Meta};
use crate::{open, options};

/// The file by which the disk is tried; a kill may leave it, and the next try overwrites it.
const PROBE: &str = "heal.probe";

/// Why the store refuses writes; reads go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whether the disk is full, so that freeing space mends it.
    pub full: bool,
    /// What failed last and what to do about it.
    pub message: String,
    /// Tries to get well that failed so far.
    pub attempts: u64,
}

/// The fault as the store keeps it.
pub(crate) struct Broken {
    error: StoreError,
    attempts: u64,
}

impl Shared {
    pub(crate) fn fault(&self) -> Option<Fault> {
        let broken = self.fault.load_full()?;
        let full = matches!(broken.error, StoreError::DiskFull { .. });
        Some(Fault { full, message: broken.error.to_string(), attempts: broken.attempts })
    }

    /// Writes a batch: the only way to write.
    pub(crate) fn write(
        &self,
        live: &Live,
        batch: WriteBatch,
        options: &WriteOptions,
    ) -> Result<(), StoreError> {
        self.writable(live)?;
        live.db.write_opt(batch, options).map_err(|error| self.broke(error))?;
        self.mended();
        Ok(())
    }

    /// Refuses while what is open can only be read.
    pub(crate) fn writable(&self, live: &Live) -> Result<(), StoreError> {
        if live.access == Access::Write {
            return Ok(());
        }
        let broken = self.fault.load_full();
        Err(broken.map_or_else(
            || StoreError::Closed { dir: self.dir.clone() },
            |broken| broken.error.clone(),
        ))
    }

    /// Notes that a write failed.
    pub(crate) fn broke(&self, error: rocksdb::Error) -> StoreError {
        let error = self.rocks(error);
        if matches!(error, StoreError::Disk { .. } | StoreError::DiskFull { .. }) {
            let before = self.fault.load_full();
            if before.is_none() {
                tracing::error!(dir = %self.dir.display(), %error, "writes are refused, reads go on");
            }
            let attempts = before.map_or(0, |broken| broken.attempts);
            self.fault.store(Some(Arc::new(Broken { error: error.clone(), attempts })));
        }
        error
    }

    fn mended(&self) {
        if self.fault.load().is_some() {
            self.fault.store(None);
            tracing::info!(dir = %self.dir.display(), "writes go on");
        }
    }
}

/// Makes a store that refuses writes write again; gives whether it did refuse. A failed try keeps everything, so it
/// may be repeated for as long as it takes. Runs on the apply thread.
pub(crate) fn heal(shared: &Arc<Shared>) -> Result<bool, StoreError> {
    let Some(broken) = shared.fault.load_full() else { return Ok(false) };
    let healed = try_to_heal(shared);
    if let Err(error) = &healed {
        let attempts = broken.attempts + 1;
        tracing::warn!(dir = %shared.dir.display(), %error, attempts, "writes are still refused, reads go on");
        shared.fault.store(Some(Arc::new(Broken { error: error.clone(), attempts })));
    }
    healed.map(|()| true)
}

fn try_to_heal(shared: &Arc<Shared>) -> Result<(), StoreError> {
    probe(&shared.dir)?;
    let live = shared.pinned()?;
    // RocksDB may have resumed by itself, or the error was not the database's own.
    if try_a_write(shared, &live).is_ok() {
        return Ok(());
    }
    drop(live);
    open::reopen(shared)?;
    let live = shared.pinned()?;
    try_a_write(shared, &live)
}

/// Writes durably what is there anyway.
fn try_a_write(shared: &Shared, live: &Live) -> Result<(), StoreError> {
    let mut batch = WriteBatch::default();
    Meta { db: &live.db, family: &live.meta }.put_format(&mut batch, meta::FORMAT);
    shared.write(live, batch, &options::write_durably())
}

/// Whether the disk takes as much as opening the folder writes: what is in the logs, and a little.
fn probe(dir: &Path) -> Result<(), StoreError> {
    let logs: u64 = open::logs(dir)?.iter().map(|(_, bytes)| bytes).sum();
    let path = dir.join(PROBE);
    let tried = fill(&path, logs + HEAL_SPARE_BYTES);
    // Its space is wanted; if it can't be removed, the next try overwrites it.
    let _ = std::fs::remove_file(&path);
    tried.map_err(|error| StoreError::disk(dir, &error))
}

fn fill(path: &Path, bytes: u64) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    // Not zeros, which some file systems don't store.
    let chunk: Vec<u8> = (0..PROBE_CHUNK_BYTES).map(|at| (at * 31 + at / 251) as u8).collect();
    let mut left = bytes;
    while left > 0 {
        let part = left.min(PROBE_CHUNK_BYTES as u64);
        file.write_all(&chunk[..part as usize])?;
        left -= part;
    }
    file.sync_all()
}

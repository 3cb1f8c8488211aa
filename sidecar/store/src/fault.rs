//! A disk that takes no writes: noticing it, refusing by its name, saying when it is over; not getting well, which
//! is RocksDB's own or a restart's (docs/decisions/0007-disk-errors.md).
//!
//! RocksDB stops writing after a failed write and goes on reading. After a full disk it resumes by itself, after an
//! I/O error it stays so until the folder is opened anew.
//!
//! The state is one field of `Shared`. It is set by a write that failed and cleared by one that didn't, so it can't
//! say that the store is well while it refuses. While it is set, each tick of the owner's clock tries a write.

use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rocksdb::{WriteBatch, WriteOptions};

use crate::error::StoreError;
use crate::live::{Live, Shared};
use crate::meta::{self, Meta};
use crate::options;

/// Why the store refuses writes; reads go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whether the disk is full, so that freeing space mends it; otherwise it failed.
    pub full: bool,
    /// What failed last and what to do about it.
    pub message: String,
}

impl Shared {
    pub(crate) fn fault(&self) -> Option<Fault> {
        let error = self.fault.load_full()?;
        let full = matches!(*error, StoreError::DiskFull { .. });
        Some(Fault { full, message: error.to_string() })
    }

    /// Writes a batch: the only way to write.
    pub(crate) fn write(
        &self,
        live: &Live,
        batch: WriteBatch,
        options: &WriteOptions,
    ) -> Result<(), StoreError> {
        live.db.write_opt(batch, options).map_err(|error| self.broke(error))?;
        if self.fault.load().is_some() {
            self.fault.store(None);
            tracing::info!(dir = %self.dir.display(), "writes go on");
        }
        Ok(())
    }

    /// Notes that a write failed; said once as long as it fails in the same way.
    pub(crate) fn broke(&self, error: rocksdb::Error) -> StoreError {
        let error = self.rocks(error);
        if matches!(error, StoreError::Disk { .. } | StoreError::DiskFull { .. }) {
            let before = self.fault.swap(Some(Arc::new(error.clone())));
            if before.is_none_or(|before| discriminant(&*before) != discriminant(&error)) {
                tracing::error!(dir = %self.dir.display(), %error, "writes are refused");
            }
        }
        error
    }
}

/// Looks whether writes go on, by writing what is there anyway; while RocksDB refuses, it does so without touching
/// the disk. Runs on the apply thread.
pub(crate) fn look_again(shared: &Arc<Shared>) {
    if shared.fault.load().is_none() {
        return;
    }
    let Ok(live) = shared.pinned() else { return };
    list_anew(shared, &live);
    let mut batch = WriteBatch::default();
    Meta { db: &live.db, family: &live.meta }.put_format(&mut batch, meta::FORMAT);
    // What came of it is in the fault.
    let _ = shared.write(&live, batch, &options::write_durably());
}

/// Has RocksDB write its list of files (MANIFEST) anew, if the one there may name a file that is gone: RocksDB
/// deletes a file that it couldn't take up, and if only the sync of the list failed, the list names it. Such a
/// folder can't be opened. After a failed write of the list the next one begins a new list, from what is in memory;
/// making a column family is such a write, and isn't refused while others are.
pub(crate) fn list_anew(shared: &Shared, live: &Live) {
    if !shared.list_in_doubt.load(Ordering::Relaxed) {
        return;
    }
    // A name of its own, as one whose dropping failed stays until the next open.
    let number = shared.stagings.fetch_add(1, Ordering::Relaxed);
    let name = format!("spare/{number}");
    let family = options::family(&shared.config, &shared.cache);
    let made = live.db.create_cf(&name, &family);
    let done = made.and_then(|()| {
        shared.list_in_doubt.store(false, Ordering::Relaxed);
        live.db.drop_cf(&name)
    });
    if let Err(error) = done {
        // Tried again at the next tick, if the list is still in doubt.
        tracing::debug!(dir = %shared.dir.display(), %name, %error, "the list of files was not written anew");
    }
}

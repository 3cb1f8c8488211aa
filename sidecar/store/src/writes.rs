//! One write batch being made: what was read, what will be written; the last word on each key.
//!
//! Reading comes first and may fail; deciding and putting can't, so half a command is never written.

use std::collections::HashMap;

use rocksdb::WriteBatch;
use skewless_catalog::visibility::Stamp;

use crate::apply::Verdict;
use crate::error::{RELOAD, StoreError};
use crate::live::{Live, Shared, StoredView};
use crate::meta::Meta;
use crate::options;
use crate::row::{self, Row};

/// Where a row is or will be.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct RowKey {
    /// [`StoredView::index`].
    pub(crate) view: usize,
    pub(crate) waits: bool,
    pub(crate) key: Vec<u8>,
}

/// What is there, and whether it must be written.
#[derive(Default)]
struct Entry {
    row: Option<Vec<u8>>,
    stamp: Option<Stamp>,
    husk: bool,
    dirty: bool,
}

/// What was read and what will be written, the last word on each key.
#[derive(Default)]
pub(crate) struct Writes {
    entries: HashMap<RowKey, Entry>,
    pub(crate) offsets: HashMap<String, u64>,
}

impl Writes {
    /// Reads what is there, unless this batch knows it already.
    pub(crate) fn load(
        &mut self,
        shared: &Shared,
        live: &Live,
        stored: &StoredView,
        row_key: &RowKey,
    ) -> Result<(), StoreError> {
        if self.entries.contains_key(row_key) {
            return Ok(());
        }
        let generation = live.generation(stored)?;
        let family = if row_key.waits { &generation.wait } else { &generation.rows };
        let found = live.db.get_pinned_cf(&family.handle, &row_key.key);
        let entry = match found.map_err(|error| shared.rocks(error))? {
            None => Entry::default(),
            Some(bytes) => {
                let row = Row::parse_times(&bytes)
                    .map_err(|error| corrupt_row(shared, &stored.view, &error))?;
                let (stamp, husk) = (Some(row.stamp()), row.husk);
                Entry { row: Some(bytes.to_vec()), stamp, husk, dirty: false }
            }
        };
        let row_key = RowKey { view: row_key.view, waits: row_key.waits, key: row_key.key.clone() };
        self.entries.insert(row_key, entry);
        Ok(())
    }

    /// Puts a row if it wins over what was loaded or put there before.
    pub(crate) fn upsert(&mut self, row_key: RowKey, row: Vec<u8>, stamp: &Stamp) -> Verdict {
        let waits = row_key.waits;
        let entry = self.entries.entry(row_key).or_default();
        let ties = entry.stamp.as_ref() == Some(stamp);
        // A husk was the same row, or one that tied with it; either way it is expired.
        if ties && (entry.husk || entry.row.as_ref() == Some(&row)) {
            return Verdict::Duplicate;
        }
        if entry.stamp.is_some_and(|there| !stamp.replaces(&there)) {
            return Verdict::Stale;
        }
        *entry = Entry { row: Some(row), stamp: Some(*stamp), husk: false, dirty: true };
        if waits { Verdict::Pending } else { Verdict::Applied }
    }

    pub(crate) fn remove(&mut self, row_key: RowKey) {
        self.entries.insert(row_key, Entry { dirty: true, ..Entry::default() });
    }

    pub(crate) fn write(self, shared: &Shared) -> Result<(), StoreError> {
        let live = shared.pinned()?;
        let mut batch = WriteBatch::default();
        for (row_key, entry) in &self.entries {
            let Some(Some(generation)) = live.generations.get(row_key.view) else { continue };
            let family = if row_key.waits { &generation.wait } else { &generation.rows };
            match &entry.row {
                _ if !entry.dirty => {}
                Some(row) => batch.put_cf(&family.handle, &row_key.key, row),
                None => batch.delete_cf(&family.handle, &row_key.key),
            }
        }
        let meta = Meta { db: &live.db, family: &live.meta };
        for (source, offset) in &self.offsets {
            meta.put_offset(&mut batch, source, *offset);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let written = shared.write(&live, batch, &options::write(&shared.config));
        self.mark(shared, &live, written.is_ok());
        // Of a write that failed it isn't known whether it will be there.
        let dirty = self.entries.iter().filter(|(_, entry)| entry.dirty);
        shared.changes.note(dirty.map(|(row_key, _)| row_key));
        written
    }

    /// Tells the hot rows what was written; after a write that failed, that it isn't known.
    fn mark(&self, shared: &Shared, live: &Live, written: bool) {
        let sequence = live.db.latest_sequence_number();
        let mut joined = Vec::new();
        let rows = self.entries.iter().filter(|(row_key, entry)| entry.dirty && !row_key.waits);
        for (row_key, entry) in rows {
            if let Some(Some(generation)) = live.generations.get(row_key.view) {
                let row = entry.row.as_deref().filter(|_| written);
                let key = (generation.hot, row_key.key.as_slice());
                shared.hot.mark(key, row, sequence, &mut joined);
            }
        }
        shared.hot.publish(sequence);
    }
}

pub(crate) fn corrupt_row(shared: &Shared, view: &str, error: &row::RowError) -> StoreError {
    StoreError::Corrupt {
        dir: shared.dir.clone(),
        file: format!("a row of view `{view}`"),
        detail: error.to_string(),
        advice: RELOAD,
    }
}

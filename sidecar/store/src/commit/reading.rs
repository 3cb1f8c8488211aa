//! What a merge reads: the old generation's rows that survive beside the loaded ones go to files; not when it reads
//! what, and why that is right, which the commit says.
//!
//! Cost: both generations are gone through once, side by side, and keys that were written meanwhile are got one by one.
//! Limits: [`super::Pace`] rows before the store's state is pinned anew, `stage_bytes` of kept rows in memory.

use std::path::PathBuf;

use rocksdb::DBRawIteratorWithThreadMode;

use super::{At, Merge, Sides};
use crate::changes::Keys;
use crate::error::StoreError;
use crate::live::{Db, Family, Shared};
use crate::loader::{Chunk, write_file};
use crate::row::Row;
use crate::writes::corrupt_row;

impl Merge {
    /// Reads all that is to be read beside writes.
    pub(super) fn read(&mut self, shared: &Shared) -> Result<(), StoreError> {
        while self.step(shared)? {}
        Ok(())
    }

    /// Reads a part of it; `false`: there is nothing left.
    pub(super) fn step(&mut self, shared: &Shared) -> Result<bool, StoreError> {
        if self.lost {
            return Ok(false);
        }
        if let Some(keys) = self.changed.take() {
            self.read_again(shared, &keys)?;
            return Ok(true);
        }
        if matches!(self.at, At::End) {
            return Ok(false);
        }
        // While there is room for what is written during it.
        if shared.changes.bytes() > self.pace.changed_bytes_max / 2 {
            self.changed = shared.changes.take();
            self.lost = self.changed.is_none();
            return Ok(true);
        }
        self.slice(shared)?;
        Ok(true)
    }

    /// Reads the next rows of the old generation.
    fn slice(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let sides = self.sides(shared)?;
        let (waits, from) = match std::mem::replace(&mut self.at, At::End) {
            At::Rows(from) => (false, from),
            At::Waits(from) => (true, from),
            At::End => return Ok(()),
        };
        let (old, new) = sides.families(waits);
        let mut olds = sides.live.db.raw_iterator_cf(&old.handle);
        let mut news = sides.live.db.raw_iterator_cf(&new.handle);
        olds.seek(&from);
        news.seek(&from);
        self.kept.begin(waits);
        for _ in 0..self.pace.rows {
            let (Some(key), Some(row)) = (olds.key(), olds.value()) else { break };
            while news.key().is_some_and(|at| at < key) {
                news.next();
            }
            let loaded = match (news.key(), news.value()) {
                (Some(at), Some(loaded)) if at == key => Some(loaded),
                _ => None,
            };
            if survives(shared, self.loader.view.name(), row, loaded)? {
                self.kept.add(key.to_vec(), Some(row.to_vec()));
                self.write(shared, false)?;
            }
            olds.next();
        }
        check(shared, &olds)?;
        check(shared, &news)?;
        self.at = match (olds.key(), waits) {
            (Some(key), false) => At::Rows(key.to_vec()),
            (Some(key), true) => At::Waits(key.to_vec()),
            (None, false) => At::Waits(Vec::new()),
            (None, true) => At::End,
        };
        if olds.key().is_none() {
            self.write(shared, true)?;
        }
        Ok(())
    }

    /// Reads keys that were written since they were read, or since the begin.
    pub(super) fn read_again(&mut self, shared: &Shared, keys: &Keys) -> Result<(), StoreError> {
        // What was read before comes before it.
        self.write(shared, true)?;
        for (waits, keys) in [(false, &keys.rows), (true, &keys.waits)] {
            let mut keys = keys.iter().peekable();
            while keys.peek().is_some() {
                let sides = self.sides(shared)?;
                self.kept.begin(waits);
                for key in keys.by_ref().take(self.pace.rows) {
                    self.read_key(shared, &sides, waits, key)?;
                    self.write(shared, false)?;
                }
            }
            self.write(shared, true)?;
        }
        Ok(())
    }

    fn read_key(
        &mut self,
        shared: &Shared,
        sides: &Sides,
        waits: bool,
        key: &[u8],
    ) -> Result<(), StoreError> {
        let get = |family: &Family| {
            let found = sides.live.db.get_pinned_cf(&family.handle, key);
            found.map_err(|error| shared.rocks(error))
        };
        let (old, new) = sides.families(waits);
        let (row, loaded) = (get(old)?, get(new)?);
        if let Some(row) = row {
            if survives(shared, self.loader.view.name(), &row, loaded.as_deref())? {
                self.kept.add(key.to_vec(), Some(row.to_vec()));
            }
        } else if waits && loaded.is_none() {
            // It waited and was promoted; it may have been kept before.
            self.kept.add(key.to_vec(), None);
        }
        Ok(())
    }

    /// Writes what was kept to a file if it is enough for one, or if this reading ends.
    fn write(&mut self, shared: &Shared, ends: bool) -> Result<(), StoreError> {
        let Kept { chunk, files, waits, readings, .. } = &mut self.kept;
        if !chunk.entries.is_empty() && (ends || chunk.bytes >= shared.config.stage_bytes) {
            let path = self.loader.dir.join(format!("kept-{}-{}.sst", readings, files.len()));
            write_file(shared, &path, std::mem::take(chunk).entries)?;
            files.push(KeptFile { path, waits: *waits, reading: *readings });
        }
        *readings += usize::from(ends);
        Ok(())
    }

    /// Reads everything anew. Only on the apply thread, where nothing is written meanwhile.
    pub(super) fn read_all(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let view = self.loader.view.name();
        tracing::warn!(%view, "too much is written to a view for a merge beside it: writes wait for the rest of it");
        self.kept = Kept { readings: self.kept.readings + 1, ..Kept::default() };
        self.at = At::Rows(Vec::new());
        while !matches!(self.at, At::End) {
            self.slice(shared)?;
        }
        Ok(())
    }
}

/// What the new generation keeps of the old one.
#[derive(Default)]
pub(super) struct Kept {
    /// What the next file will hold, and whether these are rows that wait.
    chunk: Chunk,
    waits: bool,
    /// In the order in which their rows were read.
    pub(super) files: Vec<KeptFile>,
    /// Readings that ended so far. A reading has each key once, in order.
    readings: usize,
    /// Rows kept, without those that wait.
    pub(super) count: u64,
}

pub(super) struct KeptFile {
    pub(super) path: PathBuf,
    pub(super) waits: bool,
    pub(super) reading: usize,
}

impl Kept {
    /// Says which kind is added; what was added of the other kind has been written.
    fn begin(&mut self, waits: bool) {
        self.waits = waits;
    }

    fn add(&mut self, key: Vec<u8>, row: Option<Vec<u8>>) {
        self.count += u64::from(!self.waits);
        self.chunk.add(key, row);
    }
}

/// Whether a row of the old generation is kept beside what was loaded for its key, which counts as arriving now.
fn survives(
    shared: &Shared,
    view: &str,
    row: &[u8],
    loaded: Option<&[u8]>,
) -> Result<bool, StoreError> {
    let stamp = |row: &[u8]| {
        let row = Row::parse_times(row).map_err(|error| corrupt_row(shared, view, &error))?;
        Ok::<_, StoreError>(row.stamp())
    };
    let there = stamp(row)?;
    Ok(match loaded {
        Some(loaded) => !stamp(loaded)?.replaces(&there),
        None => true,
    })
}

/// An iterator that met an error looks like one at its end.
fn check(shared: &Shared, scan: &DBRawIteratorWithThreadMode<'_, Db>) -> Result<(), StoreError> {
    scan.status().map_err(|error| shared.rocks(error))
}

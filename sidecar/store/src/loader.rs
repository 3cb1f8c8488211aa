//! Bulk load: sorted rows become files, files become the next generation of a view, one pointer is
//! swapped; not the reading of Parquet or the sorting, which are offline's.
//!
//! Life of a load: `stage` makes a folder in `<store>/staging`; `push` takes rows sorted by key (several
//! rows of one key are welcome: the newest due one is kept, those not due yet wait); files are written as
//! rows come; `commit` runs on the apply thread: the files are ingested into new column families, the
//! rows that must survive from the current generation are merged in, and `meta` is pointed at the new
//! generation in one synced write. Killed before that write, the old generation stays and the next
//! open drops what was left; after it, the new one is there. A dropped loader removes its folder.
//!
//! Limits: one file's rows are held in memory ([`crate::StoreConfig::stage_bytes`]); a merge
//! reads the current generation once while other writes wait in the queue.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rocksdb::{DBRawIteratorWithThreadMode, IngestExternalFileOptions, SstFileWriter, WriteBatch};
use skewless_catalog::visibility::Stamp;

use crate::apply::{promote, publish as publish_sequence};
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::live::{Db, Family, Generation, Live, Shared, Slot};
use crate::meta::{Meta, ViewRecord};
use crate::row::Row;
use crate::rows::{Rows, encode};
use crate::views::{ViewHandle, claim, create_generation, drop_generation};
use crate::writes::corrupt_row;
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
    /// Rows kept from the generation before.
    pub kept: u64,
    /// The store's sequence afterwards.
    pub sequence: u64,
}

/// A bulk load under way.
pub struct Loader {
    pub(crate) view: Arc<ViewHandle>,
    shared: Arc<Shared>,
    dir: PathBuf,
    now_us: i64,
    /// Finished rows of the next file, sorted.
    rows: Chunk,
    /// Rows that wait, in any order.
    waits: Chunk,
    row_files: Vec<PathBuf>,
    wait_files: Vec<PathBuf>,
    /// The key being collected and its best row so far.
    key: Vec<u8>,
    best: Option<(Stamp, Vec<u8>)>,
    pushed: u64,
    keys: u64,
    pending: u64,
}

#[derive(Default)]
struct Chunk {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl Chunk {
    fn add(&mut self, key: Vec<u8>, row: Vec<u8>) {
        self.bytes += key.len() + row.len();
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
            let due_us = self.view.slot.rule.due_us(stamp);
            let times = (stamp.event_us, stamp.known_us);
            if due_us > self.now_us {
                let key = pending::wait_key(due_us, key, stamp.event_us, stamp.known_us);
                self.waits.add(key, row.to_vec());
                self.pending += 1;
            } else if self.best.as_ref().is_none_or(|(of, _)| times >= (of.event_us, of.known_us)) {
                self.best = Some((*stamp, row.to_vec()));
            }
            self.pushed += 1;
            self.write_full_chunks()?;
        }
        Ok(())
    }

    fn finish_key(&mut self) {
        if let Some((_, row)) = self.best.take() {
            self.rows.add(std::mem::take(&mut self.key), row);
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

/// Makes a finished load the view's next generation. Runs on the apply thread.
pub(crate) fn commit(
    shared: &Arc<Shared>,
    loader: &Loader,
    mode: CommitMode,
    now_us: i64,
) -> Result<CommitReport, StoreError> {
    let slot = &loader.view.slot;
    if slot.retired.load(Ordering::Acquire) {
        return Err(StoreError::Retired { view: slot.view.clone() });
    }
    promote(shared, now_us)?;
    let live = shared.pinned()?;
    let old = live.generation(slot)?.clone();
    // Ingested files are durable at once; rows acknowledged before them must not be less so, and this syncs them.
    let number = claim(shared, &live)?;
    let made = match make(shared, &live, loader, mode, &old, number) {
        Ok(made) => made,
        Err(error) => {
            // Nothing points at it yet.
            drop_generation(shared, &live, &slot.view, number);
            return Err(error);
        }
    };
    let kept = made.kept;
    publish(shared, slot, made)?;
    publish_sequence(shared);
    drop_generation(shared, &live, &slot.view, old.number);
    // The load stands. A read that needs what is due asks for it again, and is told what is wrong.
    if let Err(error) = promote(shared, now_us) {
        tracing::error!(dir = %shared.dir.display(), %error, "rows that are due after a load wait on");
    }
    Ok(CommitReport {
        generation: number,
        rows: loader.pushed,
        keys: loader.keys,
        pending: loader.pending,
        kept,
        sequence: live.db.latest_sequence_number(),
    })
}

/// What readers will pin once `meta` points at it.
struct Made {
    next: Live,
    number: u64,
    /// No row that waits in it is due before this.
    due_us: i64,
    /// Rows of the old generation that it keeps.
    kept: u64,
}

/// Makes the next generation with all its rows, which nobody sees yet.
fn make(
    shared: &Shared,
    live: &Live,
    loader: &Loader,
    mode: CommitMode,
    old: &Generation,
    number: u64,
) -> Result<Made, StoreError> {
    let slot = &loader.view.slot;
    let generation = create_generation(shared, live, &slot.view, number, &slot.ttl_us)?;
    ingest(shared, &live.db, &generation.rows, &loader.row_files)?;
    ingest(shared, &live.db, &generation.wait, &loader.wait_files)?;
    let mut kept = 0;
    if mode == CommitMode::Merge {
        kept += keep(shared, live, loader, (&old.rows, &generation.rows), "kept-rows")?;
        keep(shared, live, loader, (&old.wait, &generation.wait), "kept-wait")?;
    }
    let mut next = live.successor();
    next.generations[slot.index] = Some(Arc::new(generation));
    let due_us = pending::next_due_us(shared, &next)?;
    Ok(Made { next, number, due_us, kept })
}

/// Points `meta`, then the readers, at the new generation. Only the write itself can fail: once it is in the log the
/// next open takes the new generation, so this process must not go on with the old one.
fn publish(shared: &Shared, slot: &Slot, made: Made) -> Result<(), StoreError> {
    let Made { next, number, due_us, .. } = made;
    let meta = Meta { db: &next.db, family: &next.meta };
    let mut batch = WriteBatch::default();
    let record = ViewRecord::new(number, &slot.keys, &slot.columns.load(), &slot.rule);
    meta.put_view(&mut batch, &slot.view, &record);
    let written = next.db.write_opt(batch, &options::write_durably());
    written.map_err(|error| shared.rocks(error))?;
    // Lowered before readers can see the waiting rows, never later than one of them.
    shared.next_due_us.fetch_min(due_us, Ordering::SeqCst);
    shared.live.store(Some(Arc::new(next)));
    Ok(())
}

fn ingest(shared: &Shared, db: &Db, family: &Family, files: &[PathBuf]) -> Result<(), StoreError> {
    let mut options = IngestExternalFileOptions::default();
    // A hard link instead of a copy: the staging folder is on the same file system.
    options.set_move_files(true);
    // One by one: files of waiting rows overlap, and of equal keys the later file must win.
    for file in files {
        let done = db.ingest_external_file_cf_opts(&family.handle, &options, vec![file]);
        done.map_err(|error| shared.rocks(error))?;
    }
    Ok(())
}

/// Adds to the new family what the old one has newer, or alone. Both are read once, in key order.
fn keep(
    shared: &Shared,
    live: &Live,
    loader: &Loader,
    (old, new): (&Family, &Family),
    name: &str,
) -> Result<u64, StoreError> {
    let mut files = Vec::new();
    let mut chunk = Chunk::default();
    let mut kept = 0;
    let mut write = |chunk: Chunk| -> Result<(), StoreError> {
        let path = loader.dir.join(format!("{name}-{}.sst", files.len()));
        write_file(shared, &path, chunk.entries)?;
        files.push(path);
        Ok(())
    };
    let mut olds = live.db.raw_iterator_cf(&old.handle);
    let mut news = live.db.raw_iterator_cf(&new.handle);
    olds.seek_to_first();
    news.seek_to_first();
    while let (Some(key), Some(row)) = (olds.key(), olds.value()) {
        while news.key().is_some_and(|at| at < key) {
            news.next();
        }
        let times = times(shared, loader, row)?;
        let wins = match (news.key(), news.value()) {
            (Some(at), Some(loaded)) if at == key => times > self::times(shared, loader, loaded)?,
            _ => true,
        };
        if wins {
            chunk.add(key.to_vec(), row.to_vec());
            kept += 1;
        }
        if chunk.bytes >= shared.config.stage_bytes {
            write(std::mem::take(&mut chunk))?;
        }
        olds.next();
    }
    check(shared, &olds)?;
    check(shared, &news)?;
    if !chunk.entries.is_empty() {
        write(chunk)?;
    }
    drop((olds, news));
    ingest(shared, &live.db, new, &files)?;
    Ok(kept)
}

fn times(shared: &Shared, loader: &Loader, row: &[u8]) -> Result<(i64, i64), StoreError> {
    let row = Row::parse_times(row);
    let row = row.map_err(|error| corrupt_row(shared, loader.view.name(), &error))?;
    Ok((row.event_us, row.known_us))
}

/// An iterator that met an error looks like one at its end.
fn check(shared: &Shared, scan: &DBRawIteratorWithThreadMode<'_, Db>) -> Result<(), StoreError> {
    scan.status().map_err(|error| shared.rocks(error))
}

fn write_file(
    shared: &Shared,
    path: &Path,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
) -> Result<(), StoreError> {
    let config: &StoreConfig = &shared.config;
    let options = options::family(config, &shared.cache);
    let mut file = SstFileWriter::create(&options);
    file.open(path).map_err(|error| shared.rocks(error))?;
    for (key, row) in entries {
        file.put(key, row).map_err(|error| shared.rocks(error))?;
    }
    file.finish().map_err(|error| shared.rocks(error))
}

#[cfg(test)]
mod tests;

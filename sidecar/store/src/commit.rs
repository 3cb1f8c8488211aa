//! Making a finished load its view's next generation; not the load's files, which are the loader's.
//!
//! A merge reads all of the old generation, which takes minutes for a large view, and must end in one moment. So the
//! reading is done on the caller's thread, beside writes and reads, and the apply thread takes only steps that are
//! short:
//!
//! 1. *Begin* (apply thread): promote what is due, claim a number, make the new generation's empty families, take the
//!    load's files into them, and note from now on which keys of the view are written (`changes.rs`).
//! 2. *Read* (caller): go through the old generation, some thousand rows at a time, and write what survives beside
//!    the loaded rows to files. Keys that were written meanwhile are read again, into files of their own.
//! 3. *Last* (apply thread): promote what is due and take the noted keys. If they are many, back to 2 with them, at
//!    most [`ROUNDS_MAX`] times. Else read them again too, take in all files in the order in which they were
//!    read, point `meta` and then the readers at the new generation, and drop the old one.
//!
//! # Why this is what it would be in one moment
//!
//! Nobody but this file writes to the new generation, and until the last step it holds the loaded rows only. Whether a
//! row of the old one survives is asked of these: it does if the load has no row of its key or one with an older
//! stamp (`reading.rs`). Say a key was read last at a moment *m*.
//!
//! * *It is read as it is in the end.* A write to it after *m* would have been noted after *m*, hence taken after *m*,
//!   by this thread or in the last step, and the key would have been read again. Writes before the begin are
//!   there to be read, as the apply thread that began had written them.
//! * *The last reading counts.* Files are taken in by the order of reading, and of one key RocksDB takes the file that
//!   came last. An earlier reading is never one that must be undone and isn't: a key's row is only ever replaced
//!   by one with no older stamp, so what once survived is followed by what survives; and a row that waited and was
//!   promoted since is noted as gone, and written as removed, unless the load has the very same.
//!
//! Ties stay right for the same reason: that a loaded row and an old one have the same stamp is decided against the
//! loaded row itself, never against something that was kept. Promoted rows and those no longer waiting change in one
//! batch, are noted together and so are taken together.
//!
//! # Failures
//!
//! Readers and writers use the old generation until the last step's one write to `meta`, which is synced, and with it
//! all of the log before it. Killed before that write, or after an error before it, the new generation is dropped, now or
//! at the next open. An error of that write itself leaves it: it may be in the log. After it nothing can fail.
//!
//! Limits: one commit at a time in a store; [`CHANGED_BYTES_MAX`] of keys written and not read again yet. If a
//! writer is so much faster that it is reached, the last step reads everything once more and all else waits, as long
//! as that takes: slow, and right.

mod reading;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rocksdb::{IngestExternalFileOptions, WriteBatch};

use crate::apply::{promote, publish as publish_sequence};
use crate::changes::Keys;
use crate::config::{CHANGED_BYTES_MAX, LAST_KEYS_MAX, MERGE_ROWS, ROUNDS_MAX};
use crate::error::StoreError;
use crate::fault::list_anew;
use crate::generation::{claim, create_generation, drop_generation, find_generation};
use crate::live::{Db, Family, Generation, Live, Shared, StoredView};
use crate::loader::{CommitMode, CommitReport, Loader};
use crate::meta::{Meta, ViewRecord, rows_family};
use crate::queue::Applier;
use crate::{options, pending};

use self::reading::Kept;

/// How much is done at once; tests have it small.
#[derive(Clone, Copy)]
struct Pace {
    /// Rows or keys read before the store's state is pinned anew.
    rows: usize,
    last_keys_max: usize,
    changed_bytes_max: usize,
}

const PACE: Pace =
    Pace { rows: MERGE_ROWS, last_keys_max: LAST_KEYS_MAX, changed_bytes_max: CHANGED_BYTES_MAX };

/// Makes a load whose files are finished the view's next generation. Blocks the caller until it is.
pub(crate) fn commit(
    shared: &Arc<Shared>,
    applier: &Applier,
    loader: Loader,
    mode: CommitMode,
    now_us: i64,
) -> Result<CommitReport, StoreError> {
    // A panic in another commit left nothing that this one relies on.
    let _alone = shared.committing.lock().unwrap_or_else(PoisonError::into_inner);
    let mut merge =
        applier.control(move |shared| Merge::begin(shared, loader, mode, now_us, PACE))?;
    let mut round = 1;
    loop {
        if let Err(error) = merge.read(shared) {
            // Should the apply thread be gone, the next open drops it.
            let _ = applier.control(move |shared| {
                merge.abandon(shared);
                Ok(())
            });
            return Err(error);
        }
        let again = round < ROUNDS_MAX;
        match applier.control(move |shared| merge.last(shared, now_us, again))? {
            Step::Done(report) => return Ok(report),
            Step::Changed(changed) => merge = *changed,
        }
        round += 1;
    }
}

/// A load on its way to be its view's next generation.
struct Merge {
    loader: Loader,
    mode: CommitMode,
    /// Of the new generation.
    number: u64,
    /// Of the old one.
    old: u64,
    pace: Pace,
    /// Where reading the old generation goes on.
    at: At,
    /// Keys to be read again.
    changed: Option<Keys>,
    /// Too many keys were written to be noted: all must be read where nothing is written.
    lost: bool,
    kept: Kept,
}

/// What is read next: from this key on.
enum At {
    Rows(Vec<u8>),
    Waits(Vec<u8>),
    End,
}

/// What the last step came to.
enum Step {
    Done(CommitReport),
    /// Too much was written meanwhile to be read in it.
    Changed(Box<Merge>),
}

/// What readers will pin once `meta` points at it.
struct Made {
    next: Live,
    /// No row that waits in it is due before this.
    due_us: i64,
}

/// Both generations as they are now.
struct Sides {
    live: Arc<Live>,
    old: Arc<Generation>,
    new: Generation,
}

impl Sides {
    fn families(&self, waits: bool) -> (&Family, &Family) {
        if waits { (&self.old.wait, &self.new.wait) } else { (&self.old.rows, &self.new.rows) }
    }
}

impl Merge {
    /// Runs on the apply thread.
    fn begin(
        shared: &Arc<Shared>,
        loader: Loader,
        mode: CommitMode,
        now_us: i64,
        pace: Pace,
    ) -> Result<Self, StoreError> {
        let stored = &loader.view.stored;
        if stored.retired.load(Ordering::Acquire) {
            return Err(StoreError::Retired { view: stored.view.clone() });
        }
        promote(shared, now_us)?;
        let live = shared.pinned()?;
        let old = live.generation(stored)?.number;
        let number = claim(shared, &live)?;
        if let Err(error) = take_in(shared, &live, &loader, number) {
            // Nothing points at it yet.
            drop_generation(shared, &live, &stored.view, number);
            list_anew(shared, &live);
            return Err(error);
        }
        let at = match mode {
            CommitMode::Merge => {
                shared.changes.start(stored.index, pace.changed_bytes_max);
                At::Rows(Vec::new())
            }
            CommitMode::Replace => At::End,
        };
        let (changed, lost, kept) = (None, false, Kept::default());
        Ok(Self { loader, mode, number, old, pace, at, changed, lost, kept })
    }

    /// Both generations; pinned for a moment only, so that neither swaps nor a closing wait for a merge.
    fn sides(&self, shared: &Shared) -> Result<Sides, StoreError> {
        let stored = &self.loader.view.stored;
        let live = shared.pinned()?;
        if stored.retired.load(Ordering::Acquire) {
            return Err(StoreError::Retired { view: stored.view.clone() });
        }
        let old = live.generation(stored)?.clone();
        // Only another commit drops what nobody points at, and there is none.
        let there = live.db.cf_handle(&rows_family(&stored.view, self.number)).is_some();
        if old.number != self.old || !there {
            return Err(StoreError::Closed { dir: shared.dir.clone() });
        }
        let new = find_generation(shared, &live.db, &stored.view, self.number)?;
        Ok(Sides { live, old, new })
    }

    /// Ends it, or gives back what there is still to read. Runs on the apply thread.
    fn last(mut self, shared: &Arc<Shared>, now_us: i64, again: bool) -> Result<Step, StoreError> {
        let made = match self.make(shared, now_us, again) {
            Ok(Some(made)) => made,
            Ok(None) => return Ok(Step::Changed(Box::new(self))),
            Err(error) => {
                self.abandon(shared);
                return Err(error);
            }
        };
        shared.changes.stop();
        let stored = &self.loader.view.stored;
        let db = made.next.db.clone();
        publish(shared, stored, self.number, made)?;
        publish_sequence(shared);
        if let Ok(live) = shared.pinned() {
            drop_generation(shared, &live, &stored.view, self.old);
        }
        // The load stands. A read that needs what is due asks for it again, and is told what is wrong.
        if let Err(error) = promote(shared, now_us) {
            tracing::error!(dir = %shared.dir.display(), %error, "rows that are due after a load wait on");
        }
        Ok(Step::Done(CommitReport {
            generation: self.number,
            rows: self.loader.pushed,
            keys: self.loader.keys,
            pending: self.loader.pending,
            kept: self.kept.count,
            sequence: db.latest_sequence_number(),
        }))
    }

    /// Makes the new generation whole; `None`, with the keys in `changed`, if too many were written for now.
    fn make(
        &mut self,
        shared: &Shared,
        now_us: i64,
        again: bool,
    ) -> Result<Option<Made>, StoreError> {
        self.sides(shared)?;
        promote(shared, now_us)?;
        if self.mode == CommitMode::Merge {
            match shared.changes.take() {
                Some(keys) if !self.lost && again && keys.len() > self.pace.last_keys_max => {
                    self.changed = Some(keys);
                    return Ok(None);
                }
                Some(keys) if !self.lost => self.read_again(shared, &keys)?,
                _ => self.read_all(shared)?,
            }
        }
        let Sides { live, new, .. } = self.sides(shared)?;
        for files in self.kept.files.chunk_by(|a, b| a.reading == b.reading) {
            let waits = files.first().is_some_and(|file| file.waits);
            let family = if waits { &new.wait } else { &new.rows };
            ingest(shared, &live.db, family, files.iter().map(|file| &file.path).collect())?;
        }
        let mut next = live.successor();
        next.generations[self.loader.view.stored.index] = Some(Arc::new(new));
        let due_us = pending::next_due_us(shared, &next)?;
        Ok(Some(Made { next, due_us }))
    }

    /// Drops what was made. Runs on the apply thread, before `meta` points at it.
    fn abandon(&self, shared: &Shared) {
        shared.changes.stop();
        // A database that is closed drops it when it is opened again.
        if let Ok(live) = shared.pinned() {
            drop_generation(shared, &live, self.loader.view.name(), self.number);
            list_anew(shared, &live);
        }
    }
}

/// Makes the new generation with the loaded rows alone.
fn take_in(shared: &Shared, live: &Live, loader: &Loader, number: u64) -> Result<(), StoreError> {
    let stored = &loader.view.stored;
    let new = create_generation(shared, live, &stored.view, number, &stored.ttl_us)?;
    if !loader.row_files.is_empty() {
        ingest(shared, &live.db, &new.rows, loader.row_files.iter().collect())?;
    }
    // One by one: they overlap, and of equal keys the later file must win.
    for file in &loader.wait_files {
        ingest(shared, &live.db, &new.wait, vec![file])?;
    }
    Ok(())
}

/// Takes files into a family. None of their keys may be in another of them.
fn ingest(
    shared: &Shared,
    db: &Db,
    family: &Family,
    files: Vec<&PathBuf>,
) -> Result<(), StoreError> {
    let mut options = IngestExternalFileOptions::default();
    // A hard link instead of a copy: the staging folder is on the same file system.
    options.set_move_files(true);
    let done = db.ingest_external_file_cf_opts(&family.handle, &options, files);
    done.map_err(|error| {
        shared.list_in_doubt.store(true, Ordering::Relaxed);
        shared.broke(error)
    })
}

/// Points `meta`, then the readers, at the new generation. Only the write itself can fail: once it is in the log the
/// next open takes the new generation, so this process must not go on with the old one.
fn publish(
    shared: &Shared,
    stored: &StoredView,
    number: u64,
    made: Made,
) -> Result<(), StoreError> {
    let Made { next, due_us } = made;
    let meta = Meta { db: &next.db, family: &next.meta };
    let mut batch = WriteBatch::default();
    let (about, columns) = (stored.about.load(), stored.columns.load());
    let record = ViewRecord::new(number, &about, &stored.keys, &columns, &stored.rule);
    meta.put_view(&mut batch, &stored.view, &record);
    shared.write(&next, batch, &options::write_durably())?;
    // Lowered before readers can see the waiting rows, never later than one of them.
    shared.next_due_us.fetch_min(due_us, Ordering::SeqCst);
    shared.live.store(Some(Arc::new(next)));
    Ok(())
}

#[cfg(test)]
mod tests;

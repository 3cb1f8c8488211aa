//! The one thread that writes: read, compare by stamp, write; not the queue before it (`queue.rs`), and not the encoding
//! of rows, which the caller's thread does before it queues.
//!
//! One writer makes read-compare-write exact without locks: of two rows of a key the greater
//! (event time, known time) stays, and on a tie the later arrival, whoever sent them and in whatever
//! order. Commands that wait together are written as one batch with one fsync; their source offsets are
//! in that batch. Rows that are not due at `now_us` wait (`pending.rs`) and are promoted here, when a reader wants it
//! (`promotion.rs`) or the clock says so.
//!
//! An offset is stored as it comes, that of a later command also after an earlier one of its source was refused. Only
//! a source that sends ahead of the answers can bring that about; a stream can't, as the server reads its next request
//! when the one before is written, and ends it at the first error. It can't be prevented here: what a full queue
//! refused, or the network lost, never came to this thread, and nothing says what should have come before. So
//! `ingest.proto` asks sources to wait.
//!
//! The short steps of a bulk load's commit and new definitions run on this thread too; commands wait meanwhile. A panic
//! here poisons the store: every later write is refused, loudly.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};

use skewless_catalog::visibility::Stamp;

use crate::config::GROUP_ROWS_MAX;
use crate::error::StoreError;
use crate::live::{Live, Shared, StoredView};
use crate::pending;
use crate::pending::KeyAndRow;
use crate::queue::{ApplyCommand, Command};
use crate::row::Row;
use crate::rows::Encoded;
use crate::writes::{RowKey, Writes, corrupt_row};

/// What became of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is the newest row of its key now.
    Applied,
    /// A newer row of its key was there.
    Stale,
    /// The very same row was there.
    Duplicate,
    /// It is not due yet and waits.
    Pending,
}

/// The answer to an apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// One per row.
    pub verdicts: Vec<Verdict>,
    /// The store's sequence after the rows were written.
    pub sequence: u64,
    /// Whether the rows survive loss of power (`true`) or only death of the process (`false`).
    pub synced: bool,
}

/// The apply thread's life.
pub(crate) fn run(shared: &Arc<Shared>, commands: &Receiver<Command>) {
    // Ends when the store is dropped, or with the first panic.
    while let Ok(first) = commands.recv() {
        let turn = catch_unwind(AssertUnwindSafe(|| turn(shared, first, commands)));
        if let Err(panic) = turn {
            let message = message(&*panic);
            tracing::error!(dir = %shared.dir.display(), %message, "the apply thread panicked; writes are refused");
            // Set once: this is the only place, and the thread ends here.
            let _ = shared.poisoned.set(message);
            shared.promotions.close();
            shared.tell_poisoned();
            return;
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned())
}

/// Takes what waits, up to a limit, and applies it as one group.
fn turn(shared: &Arc<Shared>, first: Command, commands: &Receiver<Command>) {
    let mut group = Group::default();
    let mut next = Some(first);
    while let Some(command) = next {
        group.promote(shared);
        match command {
            Command::Apply(command) => group.take(shared, *command),
            Command::Wake => {}
            Command::Control(run) => {
                group.finish(shared);
                run(shared);
            }
        }
        let full = group.rows >= GROUP_ROWS_MAX;
        next = if full { None } else { commands.try_recv().ok() };
    }
    group.finish(shared);
    publish(shared);
}

/// Says that what commands besides batches of rows wrote, such as schemas, is marked: it has no hot rows.
pub(crate) fn publish(shared: &Shared) {
    // It is closed only after this thread has ended.
    if let Ok(live) = shared.pinned() {
        shared.hot.publish(live.db.latest_sequence_number());
    }
}

type Answer = (SyncSender<Result<Applied, StoreError>>, Result<Vec<Verdict>, StoreError>);

/// Commands applied together.
#[derive(Default)]
pub(crate) struct Group {
    writes: Writes,
    answers: Vec<Answer>,
    rows: usize,
    /// The first failed write; everything in the group failed with it, and what comes later is refused unwritten: a
    /// group is all or nothing, so no offset in it is told of which a part before isn't there. Between groups that is
    /// the source's to see to, as said above.
    failed: Option<StoreError>,
}

impl Group {
    pub(crate) fn take(&mut self, shared: &Shared, command: ApplyCommand) {
        let ApplyCommand { stored, rows, now_us, source, reply } = command;
        self.rows += rows.len();
        let done = match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.judge(shared, &stored, &rows, now_us),
        };
        if let (Ok(_), Some(source)) = (&done, source) {
            self.writes.offsets.insert(source.source, source.offset);
        }
        self.answers.push((reply, done));
    }

    fn judge(
        &mut self,
        shared: &Shared,
        stored: &Arc<StoredView>,
        rows: &Encoded,
        now_us: i64,
    ) -> Result<Vec<Verdict>, StoreError> {
        if stored.retired.load(Ordering::Acquire) {
            return Err(StoreError::Retired { view: stored.view.clone() });
        }
        if shared.next_due_us.load(Ordering::SeqCst) <= now_us {
            self.write(shared)?;
            promote(shared, now_us)?;
        }
        let live = shared.pinned()?;
        let plan = |(key, row, stamp): (&[u8], &[u8], &Stamp)| {
            let due_us = stored.rule.due_us(stamp);
            let row_key = if due_us > now_us {
                let key = pending::wait_key(due_us, key, stamp.event_us, stamp.known_us);
                RowKey { view: stored.index, waits: true, key }
            } else {
                RowKey { view: stored.index, waits: false, key: key.to_vec() }
            };
            (row_key, row.to_vec(), *stamp, due_us)
        };
        let planned: Vec<_> = rows.iter().map(plan).collect();
        // All that can fail comes first, so that half a command is never written.
        for (row_key, ..) in &planned {
            self.writes.load(shared, &live, stored, row_key)?;
        }
        let mut verdicts = Vec::with_capacity(planned.len());
        for (row_key, row, stamp, due_us) in planned {
            if row_key.waits {
                // Before it is written, so that no reader can see it and miss it.
                shared.next_due_us.fetch_min(due_us, Ordering::SeqCst);
            }
            verdicts.push(self.writes.upsert(row_key, row, &stamp));
        }
        Ok(verdicts)
    }

    /// Promotes what readers want, if they want anything; what the group has read must be written before.
    fn promote(&mut self, shared: &Shared) {
        if let Some(t_us) = shared.promotions.begin() {
            shared.promotions.end(self.write(shared).and_then(|()| promote(shared, t_us)));
        }
    }

    fn write(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let written = std::mem::take(&mut self.writes).write(shared);
        if let Err(error) = &written {
            // Said once, when the store began to refuse: sources go on trying.
            if shared.fault.load().is_none() {
                tracing::error!(dir = %shared.dir.display(), %error, "a batch was not written");
            }
            self.failed.get_or_insert_with(|| error.clone());
        }
        written
    }

    /// Writes what is left and answers everyone.
    pub(crate) fn finish(&mut self, shared: &Shared) {
        // Noted in `failed`, which every answer carries.
        let _ = self.write(shared);
        let sequence = shared.pinned().map(|live| live.db.latest_sequence_number());
        let synced = shared.config.sync;
        for (reply, done) in self.answers.drain(..) {
            let answer = match (&self.failed, &sequence, done) {
                (_, _, Err(error)) => Err(error),
                (Some(error), ..) | (_, Err(error), _) => Err(error.clone()),
                (None, Ok(sequence), Ok(verdicts)) => {
                    Ok(Applied { verdicts, sequence: *sequence, synced })
                }
            };
            // The caller went away: its rows are applied all the same.
            let _ = reply.send(answer);
        }
        self.failed = None;
        self.rows = 0;
    }
}

/// Moves every waiting row that is due at `t_us` to the rows, some thousand or some megabytes at a time.
pub(crate) fn promote(shared: &Shared, t_us: i64) -> Result<(), StoreError> {
    if shared.next_due_us.load(Ordering::SeqCst) > t_us {
        return Ok(());
    }
    let live = shared.pinned()?;
    for (stored, _) in live.views() {
        loop {
            let due = pending::due(shared, &live, stored.index, t_us)?;
            promote_rows(shared, &live, stored, due.rows)?;
            if !due.more {
                break;
            }
        }
    }
    let next = pending::next_due_us(shared, &live)?;
    shared.next_due_us.store(next, Ordering::SeqCst);
    Ok(())
}

fn promote_rows(
    shared: &Shared,
    live: &Live,
    stored: &StoredView,
    due: Vec<KeyAndRow>,
) -> Result<(), StoreError> {
    let mut writes = Writes::default();
    for (wait_key, row) in due {
        let waiting = pending::parse(&wait_key);
        let key = waiting.ok_or_else(|| pending::corrupt(shared, &stored.view))?.key.to_vec();
        let stamp = Row::parse_times(&row)
            .map_err(|error| corrupt_row(shared, &stored.view, &error))?
            .stamp();
        let row_key = RowKey { view: stored.index, waits: false, key };
        writes.load(shared, live, stored, &row_key)?;
        writes.upsert(row_key, row.into_vec(), &stamp);
        writes.remove(RowKey { view: stored.index, waits: true, key: wait_key.into_vec() });
    }
    writes.write(shared)
}

//! The one thread that writes: read, compare by stamp, write; not the encoding of rows, which the
//! caller's thread does before it queues.
//!
//! One writer makes read-compare-write exact without locks: of two rows of a key the greater
//! (event time, known time) stays, and on a tie the later arrival, whoever sent them and in whatever
//! order. Commands that wait together are written as one batch with one fsync; their source offsets are
//! in that batch. Rows that are not due at `now_us` wait (`pending.rs`) and are promoted here.
//!
//! Limits: the queue ([`crate::StoreConfig::queue_commands_max`]) refuses when full. A bulk load's commit
//! and a reopening run on this thread too; commands wait meanwhile. A panic here poisons the store:
//! every later write is refused, loudly.

use std::any::Any;
use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rocksdb::WriteBatch;
use skewless_batch::{Column, Value};
use skewless_catalog::visibility::{Stamp, check_time};

use crate::config::{GROUP_ROWS_MAX, PROMOTE_ROWS_MAX, SOURCE_BYTES_MAX};
use crate::error::{RELOAD, StoreError};
use crate::live::{Live, Shared, Slot};
use crate::meta::Meta;
use crate::row::{self, Row};
use crate::views::ViewHandle;
use crate::{key, options, pending};

/// Rows of one view as they come: columns of equal length.
#[derive(Debug)]
pub struct Rows {
    /// The key columns, in the view's key order; no nulls.
    pub keys: Vec<Column>,
    /// Event time of each row, microseconds UTC.
    pub event_us: Vec<i64>,
    /// Known time of each row (created or ingested), microseconds UTC.
    pub known_us: Vec<i64>,
    /// Whether each row is a tombstone; its features are ignored.
    pub deleted: Vec<bool>,
    /// The features, in the catalog's order for this view.
    pub features: Vec<Column>,
}

/// Where a source stands once these rows are applied; stored in the same batch as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOffset {
    /// The source's name, at most [`SOURCE_BYTES_MAX`] bytes.
    pub source: String,
    /// Everything up to here was applied.
    pub offset: u64,
}

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

/// Rows encoded, checked against every limit.
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    rows: Vec<EncodedRow>,
}

pub(crate) struct EncodedRow {
    key: Range<usize>,
    row: Range<usize>,
    pub(crate) stamp: Stamp,
}

impl Encoded {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], &Stamp)> {
        let part = |range: &Range<usize>| &self.bytes[range.clone()];
        self.rows.iter().map(move |row| (part(&row.key), part(&row.row), &row.stamp))
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

pub(crate) enum Command {
    Apply(Box<ApplyCommand>),
    /// Promotes what is due at the time; the reply may be absent.
    Promote(i64, Option<SyncSender<Result<(), StoreError>>>),
    /// Anything rare that must not run beside a write.
    Control(Box<dyn FnOnce(&Arc<Shared>) + Send>),
}

pub(crate) struct ApplyCommand {
    slot: Arc<Slot>,
    rows: Encoded,
    now_us: i64,
    source: Option<SourceOffset>,
    reply: SyncSender<Result<Applied, StoreError>>,
}

/// The sending end of the queue and the thread behind it; dropping it ends the thread after what is
/// queued was applied.
pub(crate) struct Applier {
    shared: Arc<Shared>,
    queue: Option<SyncSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Applier {
    pub(crate) fn start(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let (queue, commands) = sync_channel(shared.config.queue_commands_max);
        let theirs = shared.clone();
        let run = move || run(&theirs, &commands);
        let thread = std::thread::Builder::new().name("store-apply".to_owned()).spawn(run);
        let thread = thread.map_err(|error| StoreError::io(&shared.dir, &error))?;
        Ok(Self { shared, queue: Some(queue), thread: Some(thread) })
    }

    /// Queues rows and waits until they are written. Refuses at once if the queue is full.
    pub(crate) fn apply(
        &self,
        view: &ViewHandle,
        rows: &Rows,
        now_us: i64,
        source: Option<SourceOffset>,
    ) -> Result<Applied, StoreError> {
        let now_us = in_time(view, None, now_us)?;
        check_source(source.as_ref())?;
        let rows = encode(&self.shared, view, rows)?;
        let (reply, answer) = sync_channel(1);
        let slot = view.slot.clone();
        let command = ApplyCommand { slot, rows, now_us, source, reply };
        self.offer(Command::Apply(Box::new(command)))?;
        answer.recv().unwrap_or_else(|_| Err(self.poisoned()))
    }

    /// Waits until every row due at `t_us` can be read.
    pub(crate) fn promote(&self, t_us: i64) -> Result<(), StoreError> {
        let (reply, answer) = sync_channel(1);
        self.send(Command::Promote(t_us, Some(reply)))?;
        answer.recv().unwrap_or_else(|_| Err(self.poisoned()))
    }

    /// Asks for promotion without waiting; a full queue promotes anyway, as it works.
    pub(crate) fn promote_soon(&self, t_us: i64) {
        // Full or poisoned: whoever needs the promotion asks again and is told.
        let _ = self.offer(Command::Promote(t_us, None));
    }

    /// Runs something on the apply thread and waits for its result.
    pub(crate) fn control<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Arc<Shared>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = sync_channel(1);
        self.send(Command::Control(Box::new(move |shared| {
            // The caller waits for it; if it went away, nobody needs the result.
            let _ = reply.send(run(shared));
        })))?;
        answer.recv().unwrap_or_else(|_| Err(self.poisoned()))
    }

    fn offer(&self, command: Command) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or_else(|| self.poisoned())?;
        queue.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => {
                StoreError::QueueFull { limit: self.shared.config.queue_commands_max }
            }
            TrySendError::Disconnected(_) => self.poisoned(),
        })
    }

    fn send(&self, command: Command) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or_else(|| self.poisoned())?;
        queue.send(command).map_err(|_| self.poisoned())
    }

    fn poisoned(&self) -> StoreError {
        let message = self.shared.poisoned.get().cloned();
        StoreError::Poisoned { message: message.unwrap_or_else(|| "it ended".to_owned()) }
    }
}

impl Drop for Applier {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was caught and noted; there is nothing else to learn here.
            let _ = thread.join();
        }
    }
}

/// Checks rows against the view and every limit and encodes them; nothing is queued yet.
pub(crate) fn encode(
    shared: &Shared,
    view: &ViewHandle,
    rows: &Rows,
) -> Result<Encoded, StoreError> {
    check_shape(shared, view, rows)?;
    let config = &shared.config;
    let columns = view.slot.columns.load();
    let mut features = vec![None; columns.list().len()];
    for (feature, place) in view.places.iter().enumerate() {
        features[place.column] = Some(feature);
    }
    let mut out = Encoded { bytes: Vec::new(), rows: Vec::with_capacity(rows.event_us.len()) };
    for row in 0..rows.event_us.len() {
        let event_us = in_time(view, Some(row), rows.event_us[row])?;
        let known_us = in_time(view, Some(row), rows.known_us[row])?;
        let start = out.bytes.len();
        if !key::encode(&rows.keys, row, &mut out.bytes) {
            return Err(StoreError::InvalidRows {
                view: view.name().to_owned(),
                row: Some(row),
                detail: "expected a key, came null".to_owned(),
            });
        }
        let middle = out.bytes.len();
        over("key_bytes_max", config.key_bytes_max, middle - start, view, row)?;
        if rows.deleted[row] {
            row::encode_deleted(event_us, known_us, &mut out.bytes);
        } else {
            let value = |column: usize| match features.get(column) {
                Some(Some(feature)) => rows.features[*feature].value(row),
                _ => Value::Null,
            };
            row::encode(&columns, event_us, known_us, value, &mut out.bytes);
        }
        let end = out.bytes.len();
        over("value_bytes_max", config.value_bytes_max, end - middle, view, row)?;
        over("batch_bytes_max", config.batch_bytes_max, end, view, row)?;
        let stamp = Stamp { event_us, known_us, position: 0 };
        out.rows.push(EncodedRow { key: start..middle, row: middle..end, stamp });
    }
    Ok(out)
}

fn check_shape(shared: &Shared, view: &ViewHandle, rows: &Rows) -> Result<(), StoreError> {
    let name = || view.name().to_owned();
    let count = rows.event_us.len();
    if count > shared.config.batch_rows_max {
        return Err(StoreError::OverLimit {
            name: "batch_rows_max",
            limit: shared.config.batch_rows_max as u64,
            came: count as u64,
            at: format!(" rows of view `{}`", view.name()),
        });
    }
    let wrong = |detail| Err(StoreError::InvalidRows { view: name(), row: None, detail });
    let (keys, features) = (view.keys(), view.features());
    if rows.keys.len() != keys.len() || rows.features.len() != features.len() {
        let (expected, came) =
            ((keys.len(), features.len()), (rows.keys.len(), rows.features.len()));
        return wrong(format!(
            "expected {} key and {} feature columns, came {} and {}",
            expected.0, expected.1, came.0, came.1
        ));
    }
    let lens = rows.keys.iter().chain(&rows.features).map(Column::len);
    let mut lens = lens.chain([rows.known_us.len(), rows.deleted.len()]);
    if let Some(came) = lens.find(|len| *len != count) {
        return wrong(format!("expected columns of {count} rows each, came one of {came}"));
    }
    let typed =
        keys.iter().enumerate().map(|(at, ty)| (format!("key column {at}"), *ty, &rows.keys[at]));
    let named = features.iter().zip(&rows.features);
    let named = named.map(|((name, ty), column)| (format!("feature `{name}`"), *ty, column));
    for (column, expected, found) in typed.chain(named) {
        if found.ty() != expected {
            return Err(StoreError::WrongType { view: name(), column, expected, came: found.ty() });
        }
    }
    Ok(())
}

fn over(
    name: &'static str,
    limit: usize,
    came: usize,
    view: &ViewHandle,
    row: usize,
) -> Result<(), StoreError> {
    if came <= limit {
        return Ok(());
    }
    let at = format!(" bytes in view `{}`, row {row}", view.name());
    Err(StoreError::OverLimit { name, limit: limit as u64, came: came as u64, at })
}

fn in_time(view: &ViewHandle, row: Option<usize>, us: i64) -> Result<i64, StoreError> {
    check_time(us).map_err(|error| StoreError::InvalidRows {
        view: view.name().to_owned(),
        row,
        detail: error.to_string(),
    })
}

fn check_source(source: Option<&SourceOffset>) -> Result<(), StoreError> {
    let came = source.map_or(0, |source| source.source.len());
    if came <= SOURCE_BYTES_MAX {
        return Ok(());
    }
    let at = " bytes in a source's name".to_owned();
    Err(StoreError::OverLimit {
        name: "SOURCE_BYTES_MAX",
        limit: SOURCE_BYTES_MAX as u64,
        came: came as u64,
        at,
    })
}

fn run(shared: &Arc<Shared>, commands: &Receiver<Command>) {
    // Ends when the store is dropped, or with the first panic.
    while let Ok(first) = commands.recv() {
        let turn = catch_unwind(AssertUnwindSafe(|| turn(shared, first, commands)));
        if let Err(panic) = turn {
            let message = message(&*panic);
            tracing::error!(dir = %shared.dir.display(), %message, "the apply thread panicked; writes are refused");
            // Set once: this is the only place, and the thread ends here.
            let _ = shared.poisoned.set(message);
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
        match command {
            Command::Apply(command) => group.take(shared, *command),
            Command::Promote(t_us, reply) => {
                let done = group.write(shared).and_then(|()| promote(shared, t_us));
                if let Some(reply) = reply {
                    // A reader that went away needs no answer.
                    let _ = reply.send(done);
                }
            }
            Command::Control(run) => {
                group.finish(shared);
                run(shared);
            }
        }
        let full = group.rows >= GROUP_ROWS_MAX;
        next = if full { None } else { next_waiting(commands) };
    }
    group.finish(shared);
}

fn next_waiting(commands: &Receiver<Command>) -> Option<Command> {
    match commands.try_recv() {
        Ok(command) => Some(command),
        Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
    }
}

type Answer = (SyncSender<Result<Applied, StoreError>>, Result<Vec<Verdict>, StoreError>);

/// Commands applied together.
#[derive(Default)]
struct Group {
    writes: Writes,
    answers: Vec<Answer>,
    rows: usize,
    /// The first failed write; everything in the group failed with it.
    failed: Option<StoreError>,
}

impl Group {
    fn take(&mut self, shared: &Shared, command: ApplyCommand) {
        let ApplyCommand { slot, rows, now_us, source, reply } = command;
        self.rows += rows.len();
        let done = self.judge(shared, &slot, &rows, now_us);
        if let (Ok(_), Some(source)) = (&done, source) {
            self.writes.offsets.insert(source.source, source.offset);
        }
        self.answers.push((reply, done));
    }

    fn judge(
        &mut self,
        shared: &Shared,
        slot: &Arc<Slot>,
        rows: &Encoded,
        now_us: i64,
    ) -> Result<Vec<Verdict>, StoreError> {
        if slot.retired.load(Ordering::Acquire) {
            return Err(StoreError::Retired { view: slot.view.clone() });
        }
        if shared.next_due_us.load(Ordering::SeqCst) <= now_us {
            self.write(shared)?;
            promote(shared, now_us)?;
        }
        let live = shared.pinned()?;
        let plan = |(key, row, stamp): (&[u8], &[u8], &Stamp)| {
            let due_us = slot.rule.due_us(stamp);
            let place = if due_us > now_us {
                let key = pending::wait_key(due_us, key, stamp.event_us, stamp.known_us);
                Place { slot: slot.index, waits: true, key }
            } else {
                Place { slot: slot.index, waits: false, key: key.to_vec() }
            };
            (place, row.to_vec(), *stamp, due_us)
        };
        let planned: Vec<_> = rows.iter().map(plan).collect();
        // All that can fail comes first, so that half a command is never written.
        for (place, ..) in &planned {
            self.writes.load(shared, &live, slot, place)?;
        }
        let mut verdicts = Vec::with_capacity(planned.len());
        for (place, row, stamp, due_us) in planned {
            if place.waits {
                // Before it is written, so that no reader can see it and miss it.
                shared.next_due_us.fetch_min(due_us, Ordering::SeqCst);
            }
            verdicts.push(self.writes.upsert(place, row, &stamp));
        }
        Ok(verdicts)
    }

    fn write(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let written = std::mem::take(&mut self.writes).write(shared);
        if let Err(error) = &written {
            tracing::error!(dir = %shared.dir.display(), %error, "a batch was not written");
            self.failed.get_or_insert_with(|| error.clone());
        }
        written
    }

    /// Writes what is left and answers everyone.
    fn finish(&mut self, shared: &Shared) {
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

/// Where a row is or will be.
#[derive(PartialEq, Eq, Hash)]
struct Place {
    slot: usize,
    waits: bool,
    key: Vec<u8>,
}

/// What is there, and whether it must be written.
#[derive(Default)]
struct Entry {
    row: Option<Vec<u8>>,
    times: Option<(i64, i64)>,
    husk: bool,
    dirty: bool,
}

/// What was read and what will be written, the last word on each key.
#[derive(Default)]
struct Writes {
    entries: HashMap<Place, Entry>,
    offsets: HashMap<String, u64>,
}

impl Writes {
    /// Reads what is at a place, unless this batch knows it already.
    fn load(
        &mut self,
        shared: &Shared,
        live: &Live,
        slot: &Slot,
        place: &Place,
    ) -> Result<(), StoreError> {
        if self.entries.contains_key(place) {
            return Ok(());
        }
        let generation = live.generation(slot)?;
        let family = if place.waits { &generation.wait } else { &generation.rows };
        let found = live.db.get_pinned_cf(&family.handle, &place.key);
        let entry = match found.map_err(|error| shared.rocks(error))? {
            None => Entry::default(),
            Some(bytes) => {
                let row = Row::parse_times(&bytes)
                    .map_err(|error| corrupt_row(shared, &slot.view, &error))?;
                let times = Some((row.event_us, row.known_us));
                let husk = row.husk;
                Entry { row: Some(bytes.to_vec()), times, husk, dirty: false }
            }
        };
        let place = Place { slot: place.slot, waits: place.waits, key: place.key.clone() };
        self.entries.insert(place, entry);
        Ok(())
    }

    /// Puts a row if it wins over what was loaded or put at its place before.
    fn upsert(&mut self, place: Place, row: Vec<u8>, stamp: &Stamp) -> Verdict {
        let waits = place.waits;
        let entry = self.entries.entry(place).or_default();
        let times = (stamp.event_us, stamp.known_us);
        let same = entry.times == Some(times) && entry.row.as_ref() == Some(&row);
        // A husk was the same row, or one that tied with it; either way it is expired.
        if same || entry.husk && entry.times == Some(times) {
            return Verdict::Duplicate;
        }
        if entry.times > Some(times) {
            return Verdict::Stale;
        }
        *entry = Entry { row: Some(row), times: Some(times), husk: false, dirty: true };
        if waits { Verdict::Pending } else { Verdict::Applied }
    }

    fn remove(&mut self, place: Place) {
        self.entries.insert(place, Entry { dirty: true, ..Entry::default() });
    }

    fn write(self, shared: &Shared) -> Result<(), StoreError> {
        let live = shared.pinned()?;
        let mut batch = WriteBatch::default();
        for (place, entry) in self.entries {
            let Some(Some(generation)) = live.generations.get(place.slot) else { continue };
            let family = if place.waits { &generation.wait } else { &generation.rows };
            match entry.row {
                _ if !entry.dirty => {}
                Some(row) => batch.put_cf(&family.handle, &place.key, row),
                None => batch.delete_cf(&family.handle, &place.key),
            }
        }
        let meta = Meta { db: &live.db, family: &live.meta };
        for (source, offset) in self.offsets {
            meta.put_offset(&mut batch, &source, offset);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let written = live.db.write_opt(batch, &options::write(&shared.config));
        written.map_err(|error| shared.rocks(error))
    }
}

/// Moves every waiting row that is due at `t_us` to the rows, some thousand at a time.
pub(crate) fn promote(shared: &Shared, t_us: i64) -> Result<(), StoreError> {
    if shared.next_due_us.load(Ordering::SeqCst) > t_us {
        return Ok(());
    }
    let live = shared.pinned()?;
    for (slot, _) in live.views() {
        loop {
            let due = pending::due(shared, &live, slot.index, t_us, PROMOTE_ROWS_MAX)?;
            let last = due.len() < PROMOTE_ROWS_MAX;
            promote_rows(shared, &live, slot, due)?;
            if last {
                break;
            }
        }
    }
    let next = pending::next_due_us(shared, &live)?;
    shared.next_due_us.store(next, Ordering::SeqCst);
    Ok(())
}

type KeyAndRow = (Box<[u8]>, Box<[u8]>);

fn promote_rows(
    shared: &Shared,
    live: &Live,
    slot: &Slot,
    due: Vec<KeyAndRow>,
) -> Result<(), StoreError> {
    let mut writes = Writes::default();
    for (wait_key, row) in due {
        let waiting = pending::parse(&wait_key);
        let key = waiting.ok_or_else(|| pending::corrupt(shared, &slot.view))?.key.to_vec();
        let times =
            Row::parse_times(&row).map_err(|error| corrupt_row(shared, &slot.view, &error))?;
        let stamp = Stamp { event_us: times.event_us, known_us: times.known_us, position: 0 };
        let place = Place { slot: slot.index, waits: false, key };
        writes.load(shared, live, slot, &place)?;
        writes.upsert(place, row.into_vec(), &stamp);
        writes.remove(Place { slot: slot.index, waits: true, key: wait_key.into_vec() });
    }
    writes.write(shared)
}

pub(crate) fn corrupt_row(shared: &Shared, view: &str, error: &row::RowError) -> StoreError {
    StoreError::Corrupt {
        dir: shared.dir.clone(),
        file: format!("a row of view `{view}`"),
        detail: error.to_string(),
        advice: RELOAD,
    }
}

#[cfg(test)]
mod tests;

//! The one thread that writes: read, compare by stamp, write; not the encoding of rows, which the
//! caller's thread does before it queues.
//!
//! One writer makes read-compare-write exact without locks: of two rows of a key the greater
//! (event time, known time) stays, and on a tie the later arrival, whoever sent them and in whatever
//! order. Commands that wait together are written as one batch with one fsync; their source offsets are
//! in that batch. Rows that are not due at `now_us` wait (`pending.rs`) and are promoted here, when a reader wants it
//! (`promotion.rs`) or the clock says so.
//!
//! Limits: the queue ([`crate::StoreConfig::queue_commands_max`]) refuses when full. The short steps
//! of a bulk load's commit and new definitions run on this thread too; commands wait meanwhile. A panic here poisons the store:
//! every later write is refused, loudly.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use skewless_catalog::visibility::Stamp;

use crate::config::{GROUP_ROWS_MAX, SOURCE_BYTES_MAX};
use crate::error::StoreError;
use crate::live::{Live, Shared, Slot};
use crate::pending;
use crate::pending::KeyAndRow;
use crate::promotion::Ticket;
use crate::row::Row;
use crate::rows::{Encoded, Rows, encode, in_time};
use crate::views::ViewHandle;
use crate::writes::{Place, Writes, corrupt_row};

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

pub(crate) type Control = Box<dyn FnOnce(&Arc<Shared>) + Send>;

pub(crate) enum Command {
    Apply(Box<ApplyCommand>),
    /// Wakes the thread, which promotes what is wanted (`promotion.rs`) before any command.
    Wake,
    /// Anything rare that must not run beside a write.
    Control(Control),
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

    /// Waits until every row due at `t_us` can be read, at most so long: the thread may be at a bulk load.
    pub(crate) fn promote(&self, t_us: i64, wait_max: Duration) -> Result<(), StoreError> {
        let ticket = self.ask(t_us)?;
        let waited = self.shared.promotions.wait(ticket, wait_max);
        waited.unwrap_or_else(|| match self.shared.poisoned.get() {
            Some(_) => Err(self.poisoned()),
            None => {
                let waited_ms = u64::try_from(wait_max.as_millis()).unwrap_or(u64::MAX);
                Err(StoreError::Busy { waited_ms })
            }
        })
    }

    /// Asks for promotion without waiting.
    pub(crate) fn promote_soon(&self, t_us: i64) {
        // Poisoned: whoever needs the promotion is told.
        let _ = self.ask(t_us);
    }

    fn ask(&self, t_us: i64) -> Result<Ticket, StoreError> {
        let ticket = self.shared.promotions.ask(t_us);
        if ticket.first {
            match self.offer(Command::Wake) {
                // What is in a full queue wakes the thread, too.
                Ok(()) | Err(StoreError::QueueFull { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ticket)
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

    /// Runs something on the apply thread without waiting for it.
    pub(crate) fn control_soon(&self, run: impl FnOnce(&Arc<Shared>) + Send + 'static) {
        // Full or poisoned: whoever asks, asks again.
        let _ = self.offer(Command::Control(Box::new(run)));
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

impl Applier {
    /// Ends the thread after what is queued was applied.
    pub(crate) fn stop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was caught and noted; there is nothing else to learn here.
            let _ = thread.join();
        }
    }
}

impl Drop for Applier {
    fn drop(&mut self) {
        self.stop();
    }
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
struct Group {
    writes: Writes,
    answers: Vec<Answer>,
    rows: usize,
    /// The first failed write; everything in the group failed with it, and what comes later is refused unwritten:
    /// else a source's offset would be stored of which a part before isn't there.
    failed: Option<StoreError>,
}

impl Group {
    fn take(&mut self, shared: &Shared, command: ApplyCommand) {
        let ApplyCommand { slot, rows, now_us, source, reply } = command;
        self.rows += rows.len();
        let done = match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.judge(shared, &slot, &rows, now_us),
        };
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

/// Moves every waiting row that is due at `t_us` to the rows, some thousand or some megabytes at a time.
pub(crate) fn promote(shared: &Shared, t_us: i64) -> Result<(), StoreError> {
    if shared.next_due_us.load(Ordering::SeqCst) > t_us {
        return Ok(());
    }
    let live = shared.pinned()?;
    for (slot, _) in live.views() {
        loop {
            let due = pending::due(shared, &live, slot.index, t_us)?;
            promote_rows(shared, &live, slot, due.rows)?;
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
    slot: &Slot,
    due: Vec<KeyAndRow>,
) -> Result<(), StoreError> {
    let mut writes = Writes::default();
    for (wait_key, row) in due {
        let waiting = pending::parse(&wait_key);
        let key = waiting.ok_or_else(|| pending::corrupt(shared, &slot.view))?.key.to_vec();
        let stamp = Row::parse_times(&row)
            .map_err(|error| corrupt_row(shared, &slot.view, &error))?
            .stamp();
        let place = Place { slot: slot.index, waits: false, key };
        writes.load(shared, live, slot, &place)?;
        writes.upsert(place, row.into_vec(), &stamp);
        writes.remove(Place { slot: slot.index, waits: true, key: wait_key.into_vec() });
    }
    writes.write(shared)
}

#[cfg(test)]
mod tests;

//! The queue before the one thread that writes, and that thread's beginning and end; not what it does (`apply.rs`).
//!
//! Rows are encoded here, on the caller's thread. Limits: the queue ([`crate::StoreConfig::queue_commands_max`]) refuses
//! when it is full; only what is rare waits for room in it.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::apply::{self, Applied};
use crate::config::SOURCE_BYTES_MAX;
use crate::error::StoreError;
use crate::live::{Shared, StoredView};
use crate::promotion::Ticket;
use crate::rows::{Encoded, Rows, encode, in_time};
use crate::views::ViewHandle;

/// Where a source stands once these rows are applied; stored in the same batch as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOffset {
    /// The source's name, at most [`SOURCE_BYTES_MAX`] bytes.
    pub source: String,
    /// Everything up to here was applied.
    pub offset: u64,
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
    pub(crate) stored: Arc<StoredView>,
    pub(crate) rows: Encoded,
    pub(crate) now_us: i64,
    pub(crate) source: Option<SourceOffset>,
    pub(crate) reply: SyncSender<Result<Applied, StoreError>>,
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
        let run = move || apply::run(&theirs, &commands);
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
        let stored = view.stored.clone();
        let command = ApplyCommand { stored, rows, now_us, source, reply };
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

#[cfg(test)]
mod tests;

//! Work without Python's lock that Ctrl-C ends; not what the work is.
//!
//! Only Python's main thread learns of signals, and only when it asks. Work that may be long is done on a thread of its
//! own, whose stack is known to hold a plugin's, while the calling one asks every [`ASK_EVERY`]. Work that can't be stopped
//! is left to itself ([`left_if_interrupted`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use pyo3::prelude::*;

/// How often a waiting thread looks for signals: often enough for a person.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// A thread's own stack in bytes, beside what plugins may use of it; debug builds need the more.
const STACK_BYTES: usize = 4 << 20;

/// Runs `work` on a thread of its own until it ends or a signal's handler raises; then `stop` is set and the work waited
/// for. `heard` is called while waiting, with Python's lock.
pub(crate) fn until_interrupted<T: Send>(
    py: Python<'_>,
    stop: &Arc<AtomicBool>,
    work: impl FnOnce() -> T + Send,
    mut heard: impl FnMut(Python<'_>) -> PyResult<()> + Send,
) -> PyResult<T> {
    py.detach(|| {
        std::thread::scope(|scope| {
            let (done, ended) = channel();
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            let thread = thread.spawn_scoped(scope, move || {
                let result = work();
                // It can't fail: the receiver is there until this thread has ended.
                let _ = done.send(());
                result
            })?;
            let mut raised = None;
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(ASK_EVERY) {
                if raised.is_none() {
                    let asked = Python::attach(|py| py.check_signals().and_then(|()| heard(py)));
                    if let Err(error) = asked {
                        stop.store(true, Ordering::Relaxed);
                        raised = Some(error);
                    }
                }
            }
            match (thread.join(), raised) {
                (_, Some(error)) => Err(error),
                (Ok(result), None) => Ok(result),
                (Err(panic), None) => std::panic::resume_unwind(panic),
            }
        })
    })
}

/// Runs `work` on a thread of its own until it ends or a signal's handler raises; then the work goes on, but nobody waits for
/// it.
pub(crate) fn left_if_interrupted<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    py.detach(|| {
        let (done, ended) = channel();
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = thread.spawn(move || {
            // Nobody waits any more if it can't be sent.
            let _ = done.send(work());
        })?;
        loop {
            match ended.recv_timeout(ASK_EVERY) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) => Python::attach(|py| py.check_signals())?,
                Err(RecvTimeoutError::Disconnected) => match thread.join() {
                    Err(panic) => std::panic::resume_unwind(panic),
                    Ok(()) => unreachable!("it sends before it ends"),
                },
            }
        }
    })
}

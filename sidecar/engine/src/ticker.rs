//! A thread that ticks an engine; the only one in this crate that waits for a clock, and only if asked.
//!
//! Limits: one tick per period at best; a loaded machine ticks late, which makes deadlines longer, never
//! shorter.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::engine::Engine;
use crate::error::EngineError;

/// Ticks an engine until it is dropped. Dropping waits for the thread, which takes no time.
#[derive(Debug)]
pub struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts to call [`Engine::tick`] once every `period`.
    pub fn start(engine: Engine, period: Duration) -> Result<Self, EngineError> {
        engine.set_tick_us(u64::try_from(period.as_micros()).unwrap_or(u64::MAX));
        let (stop, stopped) = channel::<()>();
        let tick = move || {
            while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                engine.tick();
            }
        };
        let thread = std::thread::Builder::new().name("skewless-tick".to_owned()).spawn(tick);
        let thread = thread.map_err(|e| EngineError::Ticker(e.to_string()))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread only ticks; it can't have panicked.
            drop(thread.join());
        }
    }
}

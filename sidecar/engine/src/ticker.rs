//! A thread that ticks an engine; the only one in this crate that waits for a clock, and only if asked.
//!
//! It ticks while plugins run and rests when none does: an idle process isn't woken a thousand times a second. What
//! that costs a call is one look at a byte that seldom changes.
//!
//! Limits: one tick per period at best; a loaded machine ticks late, which makes deadlines longer, never
//! shorter.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::engine::Engine;
use crate::error::EngineError;

/// Ticks an engine until it is dropped. Dropping waits for the thread, which takes no time.
#[derive(Debug)]
pub struct Ticker {
    engine: Engine,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts to call [`Engine::tick`] once every `period`, as long as there are calls. One ticker an engine
    /// at a time.
    pub fn start(engine: Engine, period: Duration) -> Result<Self, EngineError> {
        engine.set_tick_us(u64::try_from(period.as_micros()).unwrap_or(u64::MAX));
        let (rouse, roused) = channel::<()>();
        engine.demand().set_ticker(Some(rouse));
        let of = engine.clone();
        let tick = move || {
            // No call lasts longer than this, so none is running when none has begun for as long.
            let longest = of.config().deadline_ticks.saturating_add(1);
            let mut until_look = longest;
            loop {
                match roused.recv_timeout(period) {
                    Err(RecvTimeoutError::Timeout) => of.tick(),
                    // Left over from a rest that was over anyway.
                    Ok(()) => continue,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                until_look -= 1;
                if until_look > 0 {
                    continue;
                }
                until_look = longest;
                if of.demand().rest() && roused.recv().is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("skewless-tick".to_owned()).spawn(tick);
        let thread = thread.map_err(|e| EngineError::Ticker(e.to_string()))?;
        Ok(Self { engine, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.engine.demand().set_ticker(None);
        if let Some(thread) = self.thread.take() {
            // The thread only ticks; it can't have panicked.
            drop(thread.join());
        }
    }
}

/// There was a call since the ticker looked last.
const CALLED: u8 = 0;
/// There was none yet.
const QUIET: u8 = 1;
/// There was none for longer than a call may last: nobody ticks.
const RESTING: u8 = 2;

/// Whether an engine needs ticks: told by calls, looked at by the ticker.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    state: AtomicU8,
    ticker: Mutex<Option<Sender<()>>>,
}

impl Demand {
    /// A call begins: it is to be ticked.
    pub(crate) fn call(&self) {
        // Written at most once a look, so that threads share the byte's cache line. A value that is older than the
        // state's last change would have to be as old as the longest call.
        if self.state.load(Ordering::Relaxed) != CALLED {
            self.rouse();
        }
    }

    #[cold]
    fn rouse(&self) {
        if self.state.swap(CALLED, Ordering::AcqRel) == RESTING {
            let ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(ticker) = &*ticker {
                // Fails only when the ticker has ended.
                let _sent = ticker.send(());
            }
        }
    }

    /// After as many ticks as the longest call has: whether the ticker may rest until it is roused.
    fn rest(&self) -> bool {
        let exchange =
            |from, to| self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
        let rest = exchange(QUIET, RESTING).is_ok();
        if !rest {
            // Fails only when it is so already, which the next look finds.
            let _quiet = exchange(CALLED, QUIET);
        }
        rest
    }

    /// Whether nobody ticks, as there are no calls.
    pub(crate) fn resting(&self) -> bool {
        self.state.load(Ordering::Relaxed) == RESTING
    }

    fn set_ticker(&self, ticker: Option<Sender<()>>) {
        *self.ticker.lock().unwrap_or_else(PoisonError::into_inner) = ticker;
        self.state.store(CALLED, Ordering::Release);
    }
}

//! When a store that refuses writes is tried again: the clock of `store.heal`, which reads none; not what it does.
//!
//! Tried for as long as it takes, at growing intervals between two named limits (`life.heal_first_ms`,
//! `life.heal_ms_max`). The interval shrinks step by step while writes go well, not at once: on a disk that fills
//! up again and again the folder would otherwise be opened every second.

use std::sync::Arc;
use std::time::Duration;

use crate::sidecar::Sidecar;

/// Time to the next look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Backoff {
    wait_ms: u64,
    first_ms: u64,
    max_ms: u64,
}

impl Backoff {
    fn new(first_ms: u64, max_ms: u64) -> Self {
        Self { wait_ms: first_ms, first_ms, max_ms }
    }

    /// It was necessary to try.
    fn tried(&mut self) {
        self.wait_ms = self.wait_ms.saturating_mul(2).min(self.max_ms);
    }

    /// There was nothing to do.
    fn well(&mut self) {
        self.wait_ms = (self.wait_ms / 2).max(self.first_ms);
    }
}

/// Looks after the store until the sidecar drains.
pub(crate) async fn heal_store(sidecar: Arc<Sidecar>) {
    let life = &sidecar.config.life;
    let mut backoff = Backoff::new(life.heal_first_ms, life.heal_ms_max);
    loop {
        tokio::select! {
            () = sidecar.draining.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(backoff.wait_ms)) => {}
        }
        if sidecar.store.fault().is_none() {
            backoff.well();
            continue;
        }
        backoff.tried();
        let theirs = Arc::clone(&sidecar);
        let tried = tokio::task::spawn_blocking(move || theirs.store.heal()).await;
        // What went wrong is in the store's log line and in its fault.
        let outcome = if matches!(tried, Ok(Ok(_))) { "healed" } else { "failed" };
        sidecar.metrics.heal(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_shrink_while_all_is_well() {
        let mut backoff = Backoff::new(100, 450);
        let mut waits = vec![backoff.wait_ms];
        for well in [false, false, false, false, true, true, true] {
            if well {
                backoff.well()
            } else {
                backoff.tried()
            }
            waits.push(backoff.wait_ms);
        }
        assert_eq!(waits, [100, 200, 400, 450, 450, 225, 112, 100]);
    }
}

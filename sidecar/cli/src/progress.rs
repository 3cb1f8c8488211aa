//! Progress bars for people at a terminal; silent when nobody watches.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use skewless_offline::{Phase, Progress};

/// One bar that follows the phases of a job.
pub(crate) struct Bar {
    /// The phase shown and its bar.
    shown: Mutex<Option<(String, ProgressBar)>>,
}

impl Bar {
    pub(crate) fn new() -> Self {
        Self { shown: Mutex::new(None) }
    }

    /// `done` of `total` units of the phase `name`.
    pub(crate) fn show(&self, name: &str, done: u64, total: u64) {
        let mut shown = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if shown.as_ref().is_none_or(|(phase, _)| phase != name) {
            if let Some((_, bar)) = shown.take() {
                bar.finish_and_clear();
            }
            *shown = Some((name.to_owned(), bar(name, total)));
        }
        if let Some((_, bar)) = shown.as_ref() {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, bar)) = shown.take() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn report(&self, phase: &Phase, done: u64, total: u64) {
        let name = match phase {
            Phase::Digest => "hashing inputs".to_owned(),
            Phase::Join(view) => format!("joining {view}"),
            Phase::Compute => "computing".to_owned(),
            Phase::Load(view) => format!("loading {view}"),
        };
        self.show(&name, done, total);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A bar for one thing; `indicatif` draws nothing when standard error is no terminal.
fn bar(name: &str, total: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{msg:24} {bar:30} {percent:>3} %  {per_sec}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total).with_style(style).with_message(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

//! How a subcommand ends: exit codes, and what a person reads when it failed. Not the errors themselves.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::output::complain;
use crate::show;

/// The exit codes, as `skewless --help` shows them.
pub(crate) const CODES: &str = "\
Exit codes: 0 done; 1 failed; 2 the command line is wrong; 3 definitions have mistakes; 130 interrupted;
141 whoever read the output has gone.

Start with `skewless demo`, or with `skewless init my-features`.";

const FAILED: u8 = 1;
const DEFINITIONS: u8 = 3;
/// What shells use for a process that SIGINT ended.
const INTERRUPTED: u8 = 130;
/// What shells use for a process that SIGPIPE ended, as most are when `| head` has read enough.
const NOBODY_READS: u8 = 141;

/// The result of a subcommand.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a subcommand ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Definitions have this many mistakes; each was already shown.
    Definitions {
        mistakes: usize,
        /// The feature repo that has them.
        dir: PathBuf,
        /// What to do about it, if it isn't to mend the definitions.
        next: Option<String>,
    },
    /// The person stopped it.
    Interrupted,
    /// Whoever read standard output has gone: the reader's decision, not a failure to explain.
    NobodyReads,
    /// Anything else.
    Failed {
        /// What happened, with its causes.
        error: anyhow::Error,
        /// What to do about it, a whole sentence.
        next: Option<String>,
    },
}

impl Failure {
    /// A failure with what to do next.
    pub(crate) fn new(message: impl std::fmt::Display, next: impl Into<String>) -> Self {
        Self::Failed { error: anyhow::anyhow!("{message}"), next: Some(next.into()) }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed { error: error.into(), next: None }
    }
}

/// Adds what to do next to an error.
pub(crate) trait Next<T> {
    /// The error with a sentence that says what to do.
    fn or_next<S: Into<String>>(self, next: impl FnOnce() -> S) -> Outcome<T>;
}

impl<T, E: Into<anyhow::Error>> Next<T> for Result<T, E> {
    fn or_next<S: Into<String>>(self, next: impl FnOnce() -> S) -> Outcome<T> {
        self.map_err(|error| Failure::Failed { error: error.into(), next: Some(next().into()) })
    }
}

/// Tells the person how it ended, and the shell. `undone` says what the command would have done had the definitions no
/// mistakes.
pub(crate) fn code(outcome: Outcome, undone: Option<&str>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Definitions { mistakes, dir, next }) => {
            let mistakes = show::count(mistakes as u64, "mistake", "mistakes");
            let dir = show::path(&dir);
            let undone = undone.map_or_else(String::new, |undone| format!("; {undone}"));
            complain!("{mistakes} in the definitions in {dir}{undone}");
            show_next(next.as_deref());
            ExitCode::from(DEFINITIONS)
        }
        Err(Failure::Interrupted) => {
            complain!("interrupted; nothing half-done is left behind");
            ExitCode::from(INTERRUPTED)
        }
        Err(Failure::NobodyReads) => ExitCode::from(NOBODY_READS),
        Err(Failure::Failed { error, next }) => {
            complain!("error: {error:#}");
            show_next(next.as_deref());
            ExitCode::from(FAILED)
        }
    }
}

fn show_next(next: Option<&str>) {
    if let Some(next) = next {
        complain!(" next: {next}");
    }
}

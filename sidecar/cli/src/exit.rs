//! How a subcommand ends: exit codes, and what a person reads when it failed. Not the errors themselves.

use std::process::ExitCode;

/// The exit codes, as `skewless --help` shows them.
pub(crate) const CODES: &str = "\
Exit codes: 0 done; 1 failed; 2 the command line is wrong; 3 definitions have mistakes; 130 interrupted.

Start with `skewless demo`, or with `skewless init my-features`.";

const FAILED: u8 = 1;
const DEFINITIONS: u8 = 3;
/// What shells use for a process that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// The result of a subcommand.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a subcommand ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Definitions have this many mistakes; each was already shown.
    Definitions {
        mistakes: usize,
        /// What to do about it, if it isn't to mend the definitions.
        next: Option<String>,
    },
    /// The person stopped it.
    Interrupted,
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

/// Tells the person how it ended, and the shell.
pub(crate) fn code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Definitions { mistakes, next }) => {
            let s = if mistakes == 1 { "mistake" } else { "mistakes" };
            eprintln!("{mistakes} {s}; nothing was changed");
            show_next(next.as_deref());
            ExitCode::from(DEFINITIONS)
        }
        Err(Failure::Interrupted) => {
            eprintln!("interrupted; nothing half-done is left behind");
            ExitCode::from(INTERRUPTED)
        }
        Err(Failure::Failed { error, next }) => {
            // A closed pipe downstream (`| head`) is the reader's decision, not a failure to explain.
            if is_closed_pipe(&error) {
                return ExitCode::from(FAILED);
            }
            eprintln!("error: {error:#}");
            show_next(next.as_deref());
            ExitCode::from(FAILED)
        }
    }
}

fn show_next(next: Option<&str>) {
    if let Some(next) = next {
        eprintln!(" next: {next}");
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

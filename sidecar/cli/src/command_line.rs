//! A command line that can't be read, in clap's words, with the flag that was probably meant. Not what the flags are.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};
use skewless_catalog::names::nearest;

/// What other servers and clients call it, and what it is here: the first flag that the subcommand has.
const HABITS: [(&str, &[&str]); 11] = [
    ("port", &["tcp", "listen", "at"]),
    ("host", &["tcp", "listen", "at"]),
    ("bind", &["tcp", "listen"]),
    ("tcp", &["listen"]),
    ("listen", &["tcp"]),
    ("grpc", &["tcp", "listen", "at"]),
    ("address", &["tcp", "listen", "at"]),
    ("server", &["at"]),
    ("socket", &["unix", "at"]),
    ("metrics", &["http"]),
    ("output", &["out"]),
];

/// The error with the flag that an unknown one stands for, and without the tip that it may be meant as a value.
pub(crate) fn explained(
    mut error: clap::Error,
    cli: &Command,
    words: impl Iterator<Item = OsString>,
) -> clap::Error {
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(unknown)) if error.kind() == ErrorKind::UnknownArgument => {
            unknown
        }
        _ => return error,
    };
    let Some(unknown) = unknown.strip_prefix("--").map(str::to_owned) else { return error };
    if let Some(ContextValue::StyledStrs(mut tips)) = error.remove(ContextKind::Suggested) {
        tips.retain(|tip| !tip.to_string().contains(" as a value, use "));
        if !tips.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        }
    }
    if error.get(ContextKind::SuggestedArg).is_none()
        && let Some(meant) = meant(&unknown, subcommand(cli, words))
    {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(format!("--{meant}")));
    }
    error
}

/// The subcommand that the words begin with.
fn subcommand(cli: &Command, words: impl Iterator<Item = OsString>) -> &Command {
    let mut command = cli;
    for word in words {
        match command.find_subcommand(&word) {
            Some(below) => command = below,
            None => break,
        }
    }
    command
}

/// The flag of a command that an unknown one stands for.
fn meant(unknown: &str, command: &Command) -> Option<String> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let flags: Vec<&str> = shown.filter_map(Arg::get_long).collect();
    nearest(unknown, flags.iter().copied()).or_else(|| {
        let habit = nearest(unknown, HABITS.iter().map(|(word, _)| *word))?;
        let (_, ours) = HABITS.iter().find(|(word, _)| *word == habit)?;
        let ours = ours.iter().find(|flag| flags.contains(*flag))?;
        Some((*ours).to_owned())
    })
}

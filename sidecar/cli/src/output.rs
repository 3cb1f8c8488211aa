//! Where the words of a command go, the only way to both: `say!` a result to standard output, `complain!` to standard
//! error. The standard library's `println!` panics when whoever reads has gone, as after `| head`; here that ends the
//! command quietly. SIGPIPE stays ignored, or a client that goes away would end the sidecar.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use crate::exit::{Failure, Outcome};

/// Prints a line of the result; takes what `format!` takes.
macro_rules! say {
    ($($word:tt)*) => { $crate::output::line(format_args!($($word)*)) };
}

/// Prints a line for the person beside the result; takes what `format!` takes.
macro_rules! complain {
    ($($word:tt)*) => { $crate::output::aside(format_args!($($word)*)) };
}

pub(crate) use {complain, say};

/// See [`say!`].
pub(crate) fn line(words: Arguments<'_>) -> Outcome {
    writeln!(std::io::stdout().lock(), "{words}").map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::NobodyReads,
        _ => Failure::new(
            format!("can't write to standard output: {error}"),
            "see whether its disk has room, if it goes to a file",
        ),
    })
}

/// See [`complain!`]. If it can't be printed, nobody can be told so; the exit code still says how it ended.
pub(crate) fn aside(words: Arguments<'_>) {
    writeln!(std::io::stderr().lock(), "{words}").ok();
}

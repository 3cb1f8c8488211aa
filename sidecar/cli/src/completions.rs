//! `skewless completions`: what a shell needs to complete the command line.

use clap::CommandFactory;

use crate::exit::Outcome;
use crate::output::say;

/// Print a shell's completion script
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  skewless completions bash > ~/.local/share/bash-completion/completions/skewless"
)]
pub(crate) struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "skewless", &mut script);
    say!("{}", String::from_utf8_lossy(&script).trim_end())
}

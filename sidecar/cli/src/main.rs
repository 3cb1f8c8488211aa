//! The `skewless` command: what was typed, to the room that does it. One file a subcommand; no logic of
//! its own beyond talking to a person.
//!
//! Exit codes, the same for every subcommand, are in [`exit`].

// They panic when nobody reads any more: `say!` and `complain!` of `output.rs` don't.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod backfill;
mod bench;
mod check;
mod client;
mod command_line;
mod completions;
mod data;
mod demo;
mod diff;
mod exit;
mod feast;
mod get;
mod init;
mod interrupt;
mod load;
mod output;
#[cfg(test)]
mod page;
mod plugin;
mod progress;
mod repo;
mod report;
mod salvage;
mod serve;
mod settings;
mod show;
mod typed;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::exit::Outcome;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Features computed once: the same WebAssembly serves a model and makes its training data.
///
/// A feature repo is a folder of YAML definitions with the plugins (.wasm) they name. `check` it, `load`
/// its history into a store, `serve` it over gRPC, `get` vectors from it, and `backfill` training data that equals
/// them to the last bit. `demo` shows all of it on a year of flights.
#[derive(Parser)]
#[command(name = "skewless", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_long_help = exit::CODES, after_help = "Start with `skewless demo`, or with `skewless init my-features`.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Args),
    Check(check::Args),
    Diff(diff::Args),
    #[command(subcommand)]
    Plugin(plugin::Command),
    Load(load::Args),
    Serve(serve::Args),
    Get(get::Args),
    Backfill(backfill::Args),
    Salvage(salvage::Args),
    #[command(subcommand)]
    Feast(feast::Command),
    #[command(subcommand)]
    Bench(bench::Command),
    Demo(demo::Args),
    Completions(completions::Args),
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        command_line::explained(error, &Cli::command(), std::env::args_os().skip(1)).exit()
    });
    let command = cli.command;
    let undone = command.undone();
    exit::code(run(command), undone)
}

impl Command {
    /// What a person would otherwise wonder about when the definitions had mistakes.
    fn undone(&self) -> Option<&'static str> {
        match self {
            Command::Load(_) => Some("nothing was loaded"),
            Command::Serve(_) | Command::Feast(feast::Command::ServeTransformations(_)) => {
                Some("nothing is served")
            }
            Command::Backfill(_) => Some("nothing was written"),
            Command::Feast(feast::Command::Copy(_)) => Some("nothing was copied"),
            _ => None,
        }
    }
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Init(args) => init::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Plugin(command) => plugin::run(&command),
        Command::Load(args) => load::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Backfill(args) => backfill::run(&args),
        Command::Salvage(args) => salvage::run(&args),
        Command::Feast(command) => feast::run(&command),
        Command::Bench(command) => bench::run(&command),
        Command::Demo(args) => demo::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

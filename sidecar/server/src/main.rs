//! The slim binary for container images: the sidecar and nothing else; `skewless serve` is the same with
//! the other commands beside it.

use std::process::ExitCode;

use clap::Parser;
use skewless_server::shell::Flags;
use skewless_server::{StartError, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves features from definitions, plugins and an embedded store over gRPC.
///
/// Settings come from --config, then from the environment (SKEWLESS__LISTEN__TCP=...), then from the flags here.
///
/// Example: skewless-sidecar --config sidecar.toml --set limits.rows_max=1000
///
/// Exit codes: 0 ended after SIGTERM or SIGINT; 1 couldn't start; 2 wrong arguments or configuration.
#[derive(Parser, Debug)]
#[command(name = "skewless-sidecar", version)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

fn main() -> ExitCode {
    let Arguments { flags } = Arguments::parse();
    flags.log();
    let config = match flags.read() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let dir = config.repo_dir.clone();
    match run(config) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the sidecar couldn't start: {error}");
            if let StartError::Repo(error) = &error
                && let Some(next) = error.next_step(&dir)
            {
                eprintln!("next: {next}");
            }
            ExitCode::from(1)
        }
    }
}

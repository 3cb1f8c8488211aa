//! The slim binary for container images: the sidecar and nothing else; `skewless serve` is the same with
//! the other commands beside it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use skewless_server::{Config, Override, run};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves features from definitions, plugins and an embedded store over gRPC.
///
/// Example: skewless-sidecar --config sidecar.toml --set limits.rows_max=1000
///
/// Exit codes: 0 ended after SIGTERM or SIGINT; 1 couldn't start; 2 wrong arguments or configuration.
#[derive(Parser, Debug)]
#[command(name = "skewless-sidecar", version)]
struct Arguments {
    /// Configuration file (TOML); every key has a default.
    #[arg(long, env = "SKEWLESS_CONFIG")]
    config: Option<PathBuf>,
    /// Folder with the definitions and plugins [config: repo_dir].
    #[arg(long)]
    repo: Option<PathBuf>,
    /// Folder of the online store [config: store_dir].
    #[arg(long)]
    store: Option<PathBuf>,
    /// Any key of the configuration, e.g. listen.tcp=0.0.0.0:7667; may be repeated. The environment can do
    /// the same: SKEWLESS__LISTEN__TCP=0.0.0.0:7667.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Override::from_flag)]
    set: Vec<Override>,
    /// Logs as JSON lines instead of text.
    #[arg(long)]
    log_json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log(arguments.log_json);
    let config = match configuration(arguments) {
        Ok(config) => config,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match run(config) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the sidecar couldn't start: {error}");
            ExitCode::from(1)
        }
    }
}

fn configuration(arguments: Arguments) -> Result<Config, String> {
    let file = arguments.config.unwrap_or_default();
    let text = if file.as_os_str().is_empty() {
        String::new()
    } else {
        std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?
    };
    let mut overrides = Override::from_environment();
    overrides.extend(arguments.repo.map(|dir| Override::path("--repo", "repo_dir", &dir)));
    overrides.extend(arguments.store.map(|dir| Override::path("--store", "store_dir", &dir)));
    overrides.extend(arguments.set);
    Config::parse(&text, &file, &overrides).map_err(|error| error.to_string())
}

fn log(json: bool) {
    let filter = EnvFilter::try_from_env("SKEWLESS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    if json { log.json().init() } else { log.init() }
}

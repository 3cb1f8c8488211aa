//! The sidecar's configuration, as every subcommand that needs it finds it: a file, the environment, the
//! command line. What the keys mean is the server's.

use std::path::PathBuf;

use anyhow::Context;
use skewless_server::{Config, Override};

use crate::exit::{Next, Outcome};

/// Where settings come from.
#[derive(clap::Args, Debug)]
pub(crate) struct Settings {
    /// Configuration file of the sidecar (TOML); every key has a default
    #[arg(long, env = "SKEWLESS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any key of the configuration, such as limits.rows_max=1000; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Override::from_flag)]
    set: Vec<Override>,
}

impl Settings {
    /// The file, then the environment, then `flags`, then `--set`; the last wins.
    pub(crate) fn read(&self, flags: impl IntoIterator<Item = Override>) -> Outcome<Config> {
        let file = self.config.clone().unwrap_or_default();
        let text = match &self.config {
            None => String::new(),
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("can't read {}", file.display()))
                .or_next(|| "give the sidecar's configuration file with --config, or none")?,
        };
        let mut overrides = Override::from_environment();
        overrides.extend(flags);
        overrides.extend(self.set.iter().cloned());
        Config::parse(&text, &file, &overrides)
            .or_next(|| "mend the settings named above; every one is shown")
    }
}

//! What the sidecar's two shells, `skewless-sidecar` and `skewless serve`, have in common: flags, where settings are
//! found, and the log; not what the settings mean, nor how a failure is told.

use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError, Override};

/// The flags of a shell.
#[derive(clap::Args, Clone, Debug)]
pub struct Flags {
    /// Folder of the feature repo [default: .]
    #[arg(value_name = "REPO", conflicts_with = "repo")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// The same as REPO
    #[arg(long)]
    repo: Option<PathBuf>,
    /// Folder of the online store [default: .skewless/store]
    #[arg(long)]
    store: Option<PathBuf>,
    /// gRPC over TCP; empty for none [default: 127.0.0.1:7667]
    #[arg(long, value_name = "ADDRESS")]
    tcp: Option<String>,
    /// gRPC over a Unix socket
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
    /// Metrics and probes over HTTP; empty for none [default: 127.0.0.1:7668]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Log as JSON lines
    #[arg(long)]
    log_json: bool,
}

/// Where settings are found, for the shells and for every command that needs some.
#[derive(clap::Args, Clone, Debug)]
pub struct Settings {
    /// Configuration file of the sidecar (TOML); every key has a default
    #[arg(long, env = "SKEWLESS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any key of the configuration, such as limits.rows_max=1000; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Override::from_flag)]
    set: Vec<Override>,
}

/// Why settings can't be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can't be read.
    #[error("can't read {path}: {detail}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Settings that have mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Flags {
    /// The configuration that they mean.
    pub fn read(&self) -> Result<Config, SettingsError> {
        let repo = self.folder.clone().or_else(|| self.repo.clone());
        let paths = [
            ("--repo", "repo_dir", &repo),
            ("--store", "store_dir", &self.store),
            ("--unix", "listen.unix", &self.unix),
        ];
        let paths = paths.into_iter().filter_map(|(flag, key, path)| {
            path.as_ref().map(|path| Override::path(flag, key, path))
        });
        let addresses = [("--tcp", "listen.tcp", &self.tcp), ("--http", "listen.http", &self.http)];
        let addresses = addresses.into_iter().filter_map(|(flag, key, address)| {
            address.as_ref().map(|address| Override::new(flag, key, address))
        });
        self.settings.read(paths.chain(addresses))
    }

    /// Begins to log to standard error, once a process. `SKEWLESS_LOG` says what.
    pub fn log(&self) {
        let filter =
            EnvFilter::try_from_env("SKEWLESS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .with_writer(std::io::stderr)
            // It would tell them on standard error, and panic when that is what can't be written: whoever read the
            // log has gone, and the sidecar serves on without one.
            .log_internal_errors(false);
        if self.log_json { log.json().init() } else { log.init() }
    }
}

impl Settings {
    /// The file, then the environment, then `flags`, then `--set`; the last wins.
    pub fn read(&self, flags: impl IntoIterator<Item = Override>) -> Result<Config, SettingsError> {
        let file = self.config.clone().unwrap_or_default();
        let text = match &self.config {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path).map_err(|error| SettingsError::Read {
                path: path.clone(),
                detail: error.to_string(),
            })?,
        };
        let mut overrides = Override::from_environment();
        overrides.extend(flags);
        overrides.extend(self.set.iter().cloned());
        Ok(Config::parse(&text, &file, &overrides)?)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Shell {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn flags_are_stronger_than_the_file_and_set_is_the_strongest() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sidecar.toml");
        let text = "store_dir = \"a\"\n[listen]\ntcp = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\n";
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        let words = ["shell", "--config", file.as_str(), "--repo", ".", "--store", "b"];
        let more = ["--tcp", "127.0.0.1:3", "--unix", "u", "--set", "listen.tcp=127.0.0.1:4"];
        let shell = Shell::parse_from(words.into_iter().chain(more));
        let config = shell.flags.read().unwrap();
        assert_eq!(
            (config.repo_dir.as_path(), config.store_dir.as_path()),
            (Path::new("."), Path::new("b"))
        );
        let (tcp, http) = (config.listen.tcp.unwrap(), config.listen.http.unwrap());
        assert_eq!((tcp.port(), http.port()), (4, 2));
        assert_eq!(config.listen.unix.as_deref(), Some(Path::new("u")));
        for words in [["shell", "src"].as_slice(), &["shell", "--repo", "src"]] {
            let config = Shell::parse_from(words).flags.read().unwrap();
            assert_eq!(config.repo_dir, Path::new("src"));
        }
        assert!(Shell::try_parse_from(["shell", "src", "--repo", "src"]).is_err());
        let none = Shell::parse_from(["shell", "--config", "nowhere.toml"]).flags.read();
        assert!(
            matches!(none, Err(SettingsError::Read { path, .. }) if path == Path::new("nowhere.toml"))
        );
    }
}

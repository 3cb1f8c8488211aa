//! What the sidecar's two shells, `skewless-sidecar` and `skewless serve`, have in common: flags, where settings are
//! found, and the log; not what the settings mean, nor how a failure is told.

use std::ffi::OsStr;
use std::path::PathBuf;

use skewless_catalog::names::nearest;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};

use crate::config::{Config, ConfigError, Mistake, Override, shown};

/// The variable that says what is logged.
const LOG: &str = "SKEWLESS_LOG";
/// What is logged when it says nothing.
const LOG_DEFAULT: &str = "info";
/// What it may say.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

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
    /// The configuration that they mean. What is wrong with `SKEWLESS_LOG` is told with the rest.
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
        self.settings.read_to_serve(paths.chain(addresses))
    }

    /// Begins to log to standard error, once a process. `SKEWLESS_LOG` says what; if it can't, [`Flags::read`] refuses it.
    pub fn log(&self) {
        log(self.log_json);
    }
}

/// Begins to log to standard error, as JSON lines or for people, once a process. `SKEWLESS_LOG` says what.
pub fn log(json: bool) {
    let said = filter(std::env::var_os(LOG).as_deref());
    let filter = said.unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        // It would tell them on standard error, and panic when that is what can't be written: whoever read the
        // log has gone, and the sidecar serves on without one.
        .log_internal_errors(false);
    if json { log.json().init() } else { log.init() }
}

/// Settings that were read, refused as well if what is to be logged can't be.
fn with_log(
    read: Result<Config, SettingsError>,
    value: Option<&OsStr>,
) -> Result<Config, SettingsError> {
    let Err(message) = filter(value) else { return read };
    let mut mistakes = vec![Mistake { place: LOG.to_owned(), message }];
    match read {
        Err(error @ SettingsError::Read { .. }) => return Err(error),
        Err(SettingsError::Config(error)) => mistakes.extend(error.mistakes),
        Ok(_) => {}
    }
    Err(ConfigError { mistakes }.into())
}

/// What is logged, by what the variable says; an empty one says nothing, as a file of Docker Compose may leave it.
fn filter(value: Option<&OsStr>) -> Result<EnvFilter, String> {
    let text = value.unwrap_or_default();
    let text = text.to_str().ok_or("expected text in UTF-8, came other bytes")?;
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return Ok(EnvFilter::new(LOG_DEFAULT));
    }
    if let Some(part) = parts.iter().find(|part| !is_directive(part)) {
        return Err(no_directive(part));
    }
    EnvFilter::builder().parse(parts.join(",")).map_err(|_| no_directive(text))
}

/// Whether it says what to log. A word that is no level would be the name of a target: all others would be silent.
fn is_directive(part: &str) -> bool {
    if part.contains(['=', '[']) {
        !part.ends_with('=') && part.parse::<Directive>().is_ok()
    } else {
        part.parse::<LevelFilter>().is_ok()
    }
}

fn no_directive(part: &str) -> String {
    let (target, word) = part.rfind('=').map_or(("", part), |at| part.split_at(at + 1));
    let word = word.to_lowercase();
    let longer = LEVELS.into_iter().find(|level| word.starts_with(level)).map(str::to_owned);
    let meant = longer.or_else(|| nearest(&word, LEVELS));
    let meant = meant.map(|level| format!(" (did you mean `{target}{level}`?)"));
    format!(
        "expected error, warn, info, debug, trace or off, or a list with levels of targets such as \
         `info,skewless_server=debug`, came `{}`{}",
        shown(part),
        meant.unwrap_or_default()
    )
}

impl Settings {
    /// As [`Settings::read`], for a process that logs: what is wrong with `SKEWLESS_LOG` is told with the rest.
    pub fn read_to_serve(
        &self,
        flags: impl IntoIterator<Item = Override>,
    ) -> Result<Config, SettingsError> {
        with_log(self.read(flags), std::env::var_os(LOG).as_deref())
    }

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
    fn what_is_logged_is_said_by_levels_or_refused() {
        let filter = |text: &str| filter(Some(text.as_ref()));
        for (text, logged) in [("", "info"), (" , ", "info"), ("debug", "debug"), ("OFF", "off")] {
            assert_eq!(filter(text).unwrap().to_string(), logged, "{text}");
        }
        assert_eq!(super::filter(None).unwrap().to_string(), "info");
        let lists =
            ["info, skewless_server=trace", "skewless_server=2", "warn,[call{method=x}]=debug"];
        for text in lists {
            assert!(filter(text).is_ok(), "{text}");
        }
        for (text, ends) in [
            ("debgu", "came `debgu` (did you mean `debug`?)"),
            ("warning", "came `warning` (did you mean `warn`?)"),
            ("Trce", "came `Trce` (did you mean `trace`?)"),
            ("skewless_server", "came `skewless_server`"),
            ("info,skewless_server=trce", "(did you mean `skewless_server=trace`?)"),
            ("skewless_server=", "came `skewless_server=`"),
            ("a b=info=x", "came `a b=info=x`"),
        ] {
            let refused = filter(text).unwrap_err();
            assert!(refused.starts_with("expected error, warn, info, "), "{refused}");
            assert!(refused.ends_with(ends), "{ends}: {refused}");
        }
        assert!(filter(&"x".repeat(1_000)).unwrap_err().len() < 250);
    }

    #[test]
    fn a_wrong_log_is_refused_with_all_other_mistakes() {
        let said = |words: &[&str], log: &str| {
            let shell = Shell::parse_from([&["shell"][..], words].concat());
            with_log(shell.flags.read(), Some(log.as_ref())).map_err(|error| error.to_string())
        };
        assert!(said(&[], "debug").is_ok());
        let refused = said(&[], "debgu").unwrap_err();
        assert!(
            refused.starts_with("1 mistake in the configuration:\n  SKEWLESS_LOG: "),
            "{refused}"
        );
        let refused = said(&["--set", "store.sync=yes"], "debgu").unwrap_err();
        assert!(refused.starts_with("2 mistakes") && refused.contains("store.sync"), "{refused}");
        let refused = said(&["--config", "nowhere.toml"], "debgu").unwrap_err();
        assert!(refused.contains("nowhere.toml"), "{refused}");
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

//! The sidecar's configuration, as every subcommand that needs it finds it, with what to do if it can't be used.
//! Where it is found and what the keys mean is the server's.

use skewless_server::shell::SettingsError;
use skewless_server::{Config, Override};

use crate::exit::{Failure, Outcome};

pub(crate) use skewless_server::shell::Settings;

/// The file, then the environment, then `flags`, then `--set`; the last wins.
pub(crate) fn read(
    settings: &Settings,
    flags: impl IntoIterator<Item = Override>,
) -> Outcome<Config> {
    advised(settings.read(flags))
}

/// Adds what to do about settings that can't be used.
pub(crate) fn advised(read: Result<Config, SettingsError>) -> Outcome<Config> {
    read.map_err(|error| {
        let next = match &error {
            SettingsError::Read { .. } => {
                "give the sidecar's configuration file with --config, or none"
            }
            SettingsError::Config(_) => "mend the settings named above; every one is shown",
        };
        Failure::new(error, next)
    })
}

//! The languages that plugins are built of, and how a folder tells which one it has; not how each is compiled.

use std::path::Path;

/// What a plugin is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// A crate, with the SDK of `sdk/rust`.
    Rust,
    /// A module `plugin.py`, with the kit of `sdk/python`.
    Python,
    /// A module `plugin.js`, with the kit of `sdk/js`.
    JavaScript,
}

impl Language {
    /// Every language, in the order in which a folder is looked through.
    pub const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::JavaScript];

    /// The file by which a plugin's folder tells its language.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Python => "plugin.py",
            Self::JavaScript => "plugin.js",
        }
    }

    /// The language of a plugin's folder; `None`: it is no plugin's.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|language| folder.join(language.mark()).is_file())
    }
}

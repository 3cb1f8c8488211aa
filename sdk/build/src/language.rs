//! The languages that plugins are built of, and how a folder tells which one it has; not how each is compiled.

use std::path::Path;

/// What a plugin is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// A crate, with the SDK of `sdk/rust`.
    Rust,
}

impl Language {
    /// Every language, in the order in which a folder is looked through.
    pub const ALL: [Self; 1] = [Self::Rust];

    /// The file by which a plugin's folder tells its language.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
        }
    }

    /// The language of a plugin's folder; `None`: it is no plugin's.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|language| folder.join(language.mark()).is_file())
    }
}

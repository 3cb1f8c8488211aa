//! The languages that plugins are built of, and how a folder tells which one it has; not how each is compiled.

use std::path::Path;

/// What a plugin is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// A crate, with the SDK of `sdk/rust`.
    Rust,
    /// One C file beside `skewless.h` of `sdk/c`.
    C,
    /// One Zig file beside `skewless.zig` of `sdk/zig`.
    Zig,
    /// A module `plugin.py`, with the kit of `sdk/python`.
    Python,
    /// A module `plugin.js`, with the kit of `sdk/js`.
    JavaScript,
}

impl Language {
    /// Every language, in the order in which a folder is looked through.
    pub const ALL: [Self; 5] = [Self::Rust, Self::C, Self::Zig, Self::Python, Self::JavaScript];

    /// The file by which a plugin's folder tells its language.
    #[must_use]
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::C => "src/plugin.c",
            Self::Zig => "src/plugin.zig",
            Self::Python => "plugin.py",
            Self::JavaScript => "plugin.js",
        }
    }

    /// The language of a plugin's folder; `None`: it is no plugin's.
    #[must_use]
    pub fn of(folder: &Path) -> Option<Self> {
        Self::all_of(folder).next()
    }

    /// Every language that the folder has the file of.
    pub(crate) fn all_of(folder: &Path) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|language| folder.join(language.mark()).is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_its_language_by_one_file() {
        let folder = std::env::temp_dir().join(format!("skewless-language-{}", std::process::id()));
        for language in Language::ALL {
            let mark = folder.join(language.mark());
            std::fs::create_dir_all(mark.parent().expect("a folder")).expect("made");
            assert_eq!(Language::of(&folder), None);
            std::fs::write(&mark, "").expect("written");
            assert_eq!(Language::of(&folder), Some(language));
            std::fs::remove_dir_all(&folder).expect("removed");
        }
    }
}

//! `skewless plugin new`: a plugin that works, in a language of choice, with a feature repo around it, to change into one's
//! own. The files are in `starter/`: `repo` is the same for every language, and each language has a folder beside it.

use std::path::{Path, PathBuf};

use skewless_build::Language;
use skewless_catalog::limit::NAME_BYTES_MAX;
use skewless_catalog::names;

use crate::exit::{Failure, Outcome};
use crate::init;
use crate::output::say;

/// What the plugin is called in the starter's files: a name in every language, so that they are sources as they stand.
const PLACEHOLDER: &str = "my_plugin";

/// Path in the new folder, content.
type Files = &'static [(&'static str, &'static [u8])];

/// The feature repo around the plugin.
const REPO: Files = &[
    ("features.yaml", include_bytes!("../../starter/repo/features.yaml")),
    ("README.md", include_bytes!("../../starter/repo/README.md")),
    (".gitignore", include_bytes!("../../starter/repo/gitignore")),
    ("data/sample.py", include_bytes!("../../starter/repo/data/sample.py")),
    ("data/shops.parquet", include_bytes!("../../starter/repo/data/shops.parquet")),
    ("data/orders.parquet", include_bytes!("../../starter/repo/data/orders.parquet")),
    ("plugins/my_plugin/golden.jsonl", include_bytes!("../../starter/repo/golden.jsonl")),
];

/// A language that a plugin can be begun in.
struct Starter {
    language: Language,
    /// The word for `--lang`.
    word: &'static str,
    /// The file that an author changes.
    source: &'static str,
    /// What the README says of the language alone.
    about: &'static str,
    files: Files,
    /// Names that its tools would take for something of theirs.
    taken: &'static [&'static str],
}

/// Every language. `skewless plugin build` finds out which one a folder has by [`Language::of`].
const STARTERS: &[Starter] = &[
    Starter {
        language: Language::Rust,
        word: "rust",
        source: "plugins/my_plugin/src/lib.rs",
        about: include_str!("../../starter/rust/about.md"),
        files: &[
            ("plugins/my_plugin/Cargo.toml", include_bytes!("../../starter/rust/Cargo.toml.in")),
            ("plugins/my_plugin/src/lib.rs", include_bytes!("../../starter/rust/src/lib.rs")),
        ],
        taken: RUST_TAKEN,
    },
    Starter {
        language: Language::C,
        word: "c",
        source: "plugins/my_plugin/src/plugin.c",
        about: include_str!("../../starter/c/about.md"),
        files: &[
            ("plugins/my_plugin/src/plugin.c", include_bytes!("../../starter/c/plugin.c")),
            ("plugins/my_plugin/src/skewless.h", include_bytes!("../../../../sdk/c/skewless.h")),
        ],
        taken: &[],
    },
    Starter {
        language: Language::Zig,
        word: "zig",
        source: "plugins/my_plugin/src/plugin.zig",
        about: include_str!("../../starter/zig/about.md"),
        files: &[
            ("plugins/my_plugin/src/plugin.zig", include_bytes!("../../starter/zig/plugin.zig")),
            (
                "plugins/my_plugin/src/skewless.zig",
                include_bytes!("../../../../sdk/zig/skewless.zig"),
            ),
        ],
        taken: &[],
    },
    Starter {
        language: Language::Python,
        word: "python",
        source: "plugins/my_plugin/plugin.py",
        about: include_str!("../../starter/python/about.md"),
        files: &[
            ("plugins/my_plugin/plugin.py", include_bytes!("../../starter/python/plugin.py")),
            (
                "plugins/my_plugin/skewless_guest.py",
                include_bytes!("../../../../sdk/python/skewless_guest.py"),
            ),
            (
                "plugins/my_plugin/requirements.txt",
                include_bytes!("../../starter/python/requirements.txt"),
            ),
        ],
        taken: &[],
    },
    Starter {
        language: Language::JavaScript,
        word: "js",
        source: "plugins/my_plugin/plugin.js",
        about: include_str!("../../starter/js/about.md"),
        files: &[
            ("plugins/my_plugin/plugin.js", include_bytes!("../../starter/js/plugin.js")),
            ("plugins/my_plugin/skewless.js", include_bytes!("../../../../sdk/js/skewless.js")),
            ("plugins/my_plugin/package.json", include_bytes!("../../starter/js/package.json")),
        ],
        taken: &[],
    },
];

/// Words of the language, and crates that every crate has.
const RUST_TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "skewless",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Names that mean something else in the starter's definitions, or in any.
const DEFINED: &[&str] = &["shop_place", "request", "entity"];

/// Start a plugin that works, in the language of your choice
///
/// Makes a folder of that name: a feature repo with one plugin, which gives the great-circle distance between two points, its
/// golden rows, definitions that serve it, and sample data. The README in it has every command. A plugin for a repo that there
/// is: begin it anywhere, and move its folder out of plugins/ into that repo's plugins/.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  skewless plugin new trip_km --lang rust && cd trip_km && skewless plugin build plugins/trip_km && skewless check"
)]
pub(crate) struct Args {
    /// What the plugin is called, and the folder to make: a-z, 0-9 and _
    name: String,
    /// What it is written in
    #[arg(long, value_name = "LANGUAGE", default_value = STARTERS[0].word, value_parser = language())]
    lang: String,
    /// Folder of the plugin SDK's crate, for Rust
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// The words for `--lang`, so that a mistyped one is answered with the one that was meant.
fn language() -> clap::builder::PossibleValuesParser {
    STARTERS.iter().map(|starter| starter.word).collect::<Vec<_>>().into()
}

pub(crate) fn run(args: &Args) -> Outcome {
    let starter = STARTERS.iter().find(|starter| starter.word == args.lang);
    let starter = starter.expect("--lang takes no other word");
    let name = args.name.as_str();
    check_name(name, starter)?;
    let folder = Path::new(name);
    init::check_new(folder)?;
    let sdk = match starter.language {
        Language::Rust => init::sdk(args.sdk.as_deref())?.display().to_string(),
        // The kit is copied into the plugin's folder: it is one file, and a change of it is one of the plugin.
        Language::C | Language::Zig | Language::Python | Language::JavaScript => String::new(),
    };
    let filled = |text: &str| {
        let text = text.replace("{source}", starter.source);
        let text = text.replace("{about}", starter.about.trim_end());
        text.replace("{sdk}", &sdk).replace(PLACEHOLDER, name)
    };
    for (path, content) in REPO.iter().chain(starter.files) {
        let path = folder.join(path.replace(PLACEHOLDER, name));
        match std::str::from_utf8(content) {
            Ok(text) => init::write(&path, filled(text).as_bytes())?,
            Err(_) => init::write(&path, content)?,
        }
    }
    say!("made {name}; next:\n")?;
    say!("  cd {name}")?;
    say!("  skewless plugin build plugins/{name}")?;
    say!("  skewless plugin test plugins/{name}")?;
    say!("  skewless check")?;
    say!("  skewless load")?;
    say!("  skewless serve")?;
    say!("\nfrom another terminal in that folder:\n")?;
    say!("  skewless get delivery shop_id=1 --request lat=53.551086 --request lon=9.993682")?;
    say!("  skewless backfill delivery --spine data/orders.parquet --out training.parquet")?;
    say!("\nand read {name}/README.md")
}

/// The name becomes one in the source, in the definitions and of the file.
fn check_name(name: &str, starter: &Starter) -> Outcome {
    let refuse = |message: String, meant: Option<String>| {
        let example = meant.unwrap_or_else(|| "trip_km".to_owned());
        let next = format!("skewless plugin new {example} --lang {}", starter.word);
        Err(Failure::new(message, next))
    };
    if name.len() > NAME_BYTES_MAX {
        let came = name.len();
        return refuse(
            format!(
                "expected a name of at most {NAME_BYTES_MAX} bytes (NAME_BYTES_MAX), came {came}"
            ),
            None,
        );
    }
    if !names::is_identifier(name) {
        let meant = names::identifier_like(name);
        let hint =
            meant.as_ref().map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"));
        return refuse(
            format!(
                "expected a name of a-z, 0-9 and _ that begins with a letter, came `{name}`{hint}"
            ),
            meant,
        );
    }
    if starter.taken.contains(&name) {
        let message = format!("expected a name that is free in {}, came `{name}`", starter.word);
        return refuse(message, Some(format!("{name}_feature")));
    }
    if DEFINED.contains(&name) {
        let message = format!("expected a name that is free in definitions, came `{name}`");
        return refuse(message, Some(format!("{name}_feature")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_that_builds_can_be_begun_and_is_known_by_its_mark() {
        for language in Language::ALL {
            let starter = STARTERS.iter().find(|starter| starter.language == language);
            let starter = starter.unwrap_or_else(|| panic!("{language:?} can't be begun"));
            let mark = format!("plugins/my_plugin/{}", language.mark());
            assert!(starter.files.iter().any(|(path, _)| *path == mark), "{mark}");
            assert!(
                starter.files.iter().any(|(path, _)| *path == starter.source),
                "{}",
                starter.source
            );
            assert!(
                skewless_server::repo::source::MARKS.contains(&language.mark()),
                "{language:?}"
            );
        }
    }
}

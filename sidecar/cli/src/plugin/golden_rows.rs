//! Where a plugin's golden rows are, and reading them for a command; not what is done with them.

use std::path::{Path, PathBuf};

use anyhow::Context;
use skewless_build::Language;
use skewless_engine::Plugin;
use skewless_engine::golden::Golden;

use crate::exit::{Failure, Next, Outcome};
use crate::output::complain;
use crate::show;

/// The file of golden rows in a plugin's folder.
pub(super) const GOLDEN: &str = "golden.jsonl";
/// Most bytes of it, as it is read whole.
const GOLDEN_BYTES_MAX: u64 = 64 << 20;
/// Lines with mistakes that are shown; the rest are counted.
const MISTAKES_SHOWN: usize = 5;

/// The golden rows of a file, or of the plugin's folder if they are there, and where they were.
pub(super) fn read(
    asked: Option<&Path>,
    folder: &Path,
    plugin: &Plugin,
) -> Outcome<Option<(PathBuf, Golden)>> {
    match asked {
        Some(path) => read_file(path, plugin).map(Some),
        None => {
            let path = folder.join(GOLDEN);
            if path.is_file() { read_file(&path, plugin).map(Some) } else { Ok(None) }
        }
    }
}

/// The .wasm file and the folder of its crate: each is beside the other.
pub(super) fn places(given: &Path) -> Outcome<(PathBuf, PathBuf)> {
    if !given.is_dir() {
        return Ok((given.to_owned(), given.with_extension("")));
    }
    // A folder such as `.` has its name only when it is written out.
    let whole = given.canonicalize().unwrap_or_else(|_| given.to_owned());
    let wasm = match (given.file_name(), whole.file_name()) {
        (Some(_), _) => given.with_extension("wasm"),
        (None, Some(_)) => whole.with_extension("wasm"),
        (None, None) => return Err(Failure::new("expected a plugin's folder, came /", FOLDER)),
    };
    if !wasm.is_file() {
        let message = format!("expected the plugin at {}, came no such file", show::path(&wasm));
        let next = if Language::of(given).is_some() {
            format!("build it: skewless plugin build {}", given.display())
        } else {
            FOLDER.to_owned()
        };
        return Err(Failure::new(message, next));
    }
    Ok((wasm, given.to_owned()))
}

const FOLDER: &str =
    "give the folder of a plugin's crate, such as plugins/basket, or its .wasm file";

fn read_file(path: &Path, plugin: &Plugin) -> Outcome<(PathBuf, Golden)> {
    let shown = show::path(path);
    let bytes = path.metadata().map_or(0, |file| file.len());
    if bytes > GOLDEN_BYTES_MAX {
        let message = format!(
            "expected at most {GOLDEN_BYTES_MAX} bytes of golden rows in {shown}, came {bytes}"
        );
        return Err(Failure::new(message, "keep the rows that tell something"));
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("can't read {shown}"))
        .or_next(|| "give a file of golden rows, one JSON object a line")?;
    match Golden::read(&text, plugin.signature()) {
        Ok(golden) => Ok((path.to_owned(), golden)),
        Err(mistakes) => {
            for mistake in mistakes.iter().take(MISTAKES_SHOWN) {
                complain!("{shown}:{}: {}", mistake.line, mistake.message);
            }
            if mistakes.len() > MISTAKES_SHOWN {
                complain!("and {} more", mistakes.len() - MISTAKES_SHOWN);
            }
            let many = show::count(mistakes.len() as u64, "line", "lines");
            Err(Failure::new(
                format!(
                    "expected golden rows of `{}` in {shown}, came {many} that are none",
                    plugin.signature().name
                ),
                "mend the lines; `skewless plugin inspect` shows the plugin's inputs and outputs",
            ))
        }
    }
}

//! The source of a plugin, if it lies beside it: the crate in `plugins/basket` of `plugins/basket.wasm`, as
//! `skewless plugin build` puts it; not building it.
//!
//! Whether it was changed since is told by the files' times, in whole seconds: a copy or a checkout may set them to
//! anything, so it is a reason for a warning and for nothing more. At most [`FILES_MAX`] files are looked at.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Files and folders of a crate that are looked at.
pub const FILES_MAX: usize = 1_000;

/// Files by which a folder is known for a plugin's, one a language: those of `skewless-build`, which is no room below this one.
pub const MARKS: &[&str] =
    &["Cargo.toml", "src/plugin.c", "src/plugin.zig", "plugin.py", "plugin.js"];

/// Folders that hold no source of a plugin in Python or JavaScript.
const SKIPPED: &[&str] = &["__pycache__", "node_modules", "tests", "venv"];

/// Whether a folder is that of a plugin's source.
#[must_use]
pub fn is_crate(folder: &Path) -> bool {
    MARKS.iter().any(|mark| folder.join(mark).is_file())
}

/// The folder of a plugin's crate, if it lies beside the plugin's file.
#[must_use]
pub fn of(plugin: &Path) -> Option<PathBuf> {
    let folder = plugin.with_extension("");
    is_crate(&folder).then_some(folder)
}

/// The folder of a plugin's crate, if something in it was changed after the plugin's file.
#[must_use]
pub fn newer(plugin: &Path) -> Option<PathBuf> {
    let built_s = changed_s(plugin)?;
    let krate = of(plugin)?;
    let newest_s = files(&krate).iter().filter_map(|file| changed_s(file)).max()?;
    (newest_s > built_s).then_some(krate)
}

/// When a file was last changed, seconds since 1970.
fn changed_s(file: &Path) -> Option<u64> {
    let changed = std::fs::metadata(file).ok()?.modified().ok()?;
    Some(changed.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// What a crate is compiled from, or a module in Python or JavaScript. Tests, golden rows and the lock file, which `cargo test` may
/// write, are left out.
fn files(krate: &Path) -> Vec<PathBuf> {
    let is_module = ["plugin.py", "plugin.js"].iter().any(|mark| krate.join(mark).is_file());
    let (mut files, mut folders) = if is_module {
        (Vec::new(), vec![krate.to_owned()])
    } else {
        (vec![krate.join("Cargo.toml"), krate.join("build.rs")], vec![krate.join("src")])
    };
    let skipped = |name: &OsStr| is_module && SKIPPED.iter().any(|skipped| name == *skipped);
    let ending = |path: &Path| {
        path.extension().is_some_and(|end| end == "py" || end == "js" || end == "mjs")
    };
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if files.len() + folders.len() >= FILES_MAX {
                return files;
            }
            // Editors keep copies of what is open under such names.
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            match entry.file_type() {
                // A link isn't followed: it may lead in a circle.
                Ok(kind) if kind.is_dir() && !hidden && !skipped(&entry.file_name()) => {
                    folders.push(entry.path());
                }
                Ok(kind) if kind.is_file() && !hidden && (!is_module || ending(&entry.path())) => {
                    files.push(entry.path());
                }
                _ => {}
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    fn write(file: &Path, changed_ms: u64) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
        let changed = UNIX_EPOCH + Duration::from_millis(changed_ms);
        std::fs::File::options().write(true).open(file).unwrap().set_modified(changed).unwrap();
    }

    #[test]
    fn a_module_is_its_files_of_the_language_and_no_packages_or_tests() {
        let dir = tempfile::tempdir().unwrap();
        let (plugin, folder) = (dir.path().join("adds.wasm"), dir.path().join("adds"));
        write(&plugin, 5_000);
        for (file, is_newer) in [
            ("plugin.py", true),
            ("near/by.py", true),
            ("near/by.mjs", true),
            ("golden.jsonl", false),
            ("package-lock.json", false),
            ("tests/test_plugin.py", false),
            ("node_modules/a/b.js", false),
            ("__pycache__/plugin.py", false),
            (".venv/a.py", false),
        ] {
            write(&folder.join("plugin.py"), 1_000);
            write(&folder.join(file), 9_000);
            assert_eq!(newer(&plugin), is_newer.then(|| folder.clone()), "{file}");
            write(&folder.join(file), 1_000);
        }
    }

    #[test]
    fn a_source_is_newer_by_whole_seconds_of_what_is_compiled() {
        let dir = tempfile::tempdir().unwrap();
        let (plugin, krate) = (dir.path().join("adds.wasm"), dir.path().join("adds"));
        write(&plugin, 5_000);
        assert_eq!(newer(&plugin), None, "no source is known");
        for (file, changed_ms, is_newer) in [
            ("src/lib.rs", 4_000, false),
            ("Cargo.toml", 5_000, false),
            ("src/deep/er.rs", 5_999, false),
            ("golden.jsonl", 9_000, false),
            ("Cargo.lock", 9_000, false),
            ("target/a.rs", 9_000, false),
            ("src/.lib.rs.swp", 9_000, false),
            ("src/deep/er.rs", 6_000, true),
            ("src/deep/er.rs", 1_000, false),
            ("Cargo.toml", 6_000, true),
            ("Cargo.toml", 1_000, false),
            ("build.rs", 6_000, true),
        ] {
            write(&krate.join(file), changed_ms);
            assert_eq!(newer(&plugin), is_newer.then(|| krate.clone()), "{file} {changed_ms}");
        }
        std::fs::remove_file(&plugin).unwrap();
        assert_eq!(newer(&plugin), None);
    }
}

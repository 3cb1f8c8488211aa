//! Which folders the demo may empty: those that it made itself, as a mark in them says, and that nobody uses.
//! Every other folder of such a name is somebody's, whatever is in it.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use skewless_store::{Store, StoreConfig, StoreError};

use crate::exit::{Failure, Outcome};

/// The mark in a folder that the demo made, and may empty.
const MARK: &str = ".made-by-skewless-demo";
/// What a running demo holds in its output folder.
const LOCK: &str = ".skewless-demo.lock";

/// Takes the output folder for as long as the result lives, so that two demos don't mix.
pub(crate) fn take(out: &Path) -> Outcome<File> {
    std::fs::create_dir_all(out).with_context(|| format!("can't make {}", out.display()))?;
    let path = out.join(LOCK);
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("can't make {}", path.display()))?;
    if file.try_lock().is_err() {
        let message = format!("expected no other demo in {}, came one that runs", out.display());
        return Err(Failure::new(
            message,
            "wait for it or end it, or give another folder with --out",
        ));
    }
    Ok(file)
}

/// Refuses a folder that the demo must not empty, as it didn't make it.
pub(crate) fn check(folder: &Path) -> Outcome {
    if is_free(folder)? || folder.join(MARK).is_file() {
        return Ok(());
    }
    let message = format!(
        "expected no folder {}, or one that an earlier demo made (with {MARK} in it), came another; the demo would empty it",
        folder.display()
    );
    Err(Failure::new(
        message,
        "give another folder with --out; or remove this one yourself, if nothing in it is needed",
    ))
}

/// Refuses a store that somebody has open.
pub(crate) fn check_unused(store: &Path) -> Outcome {
    if !store.join("CURRENT").exists() {
        return Ok(());
    }
    match Store::open(store, StoreConfig::default()) {
        Err(error @ StoreError::Locked { .. }) => Err(Failure::Failed {
            error: error.into(),
            next: Some(
                "end the sidecar that serves it, such as that of `skewless demo --serve`, or give another folder with --out"
                    .to_owned(),
            ),
        }),
        // A damaged one is the demo's all the same, and is made anew.
        _ => Ok(()),
    }
}

/// Makes the folder, or empties the one that an earlier demo made.
pub(crate) fn clear(folder: &Path) -> Outcome {
    check(folder)?;
    let name = || format!("can't empty {}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(name)?;
    }
    std::fs::create_dir_all(folder).with_context(name)?;
    File::create(folder.join(MARK)).with_context(name)?;
    Ok(())
}

/// Whether there is no such folder, or nothing in it.
fn is_free(folder: &Path) -> Outcome<bool> {
    match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        entries => {
            let mut entries =
                entries.with_context(|| format!("can't read {}", folder.display()))?;
            Ok(entries.next().is_none())
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn said<T: std::fmt::Debug>(outcome: Outcome<T>) -> String {
        format!("{:?}", outcome.unwrap_err())
    }

    #[test]
    fn only_a_folder_that_the_demo_made_is_emptied() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("out/store");
        clear(&folder).unwrap();
        std::fs::write(folder.join("old"), "").unwrap();
        clear(&folder).unwrap();
        assert!(!folder.join("old").exists());
        std::fs::remove_file(folder.join(MARK)).unwrap();
        // Nothing in it: it can be taken, and is the demo's from then on.
        clear(&folder).unwrap();
        std::fs::remove_file(folder.join(MARK)).unwrap();
        std::fs::write(folder.join("mine"), "precious").unwrap();
        let complaint = said(clear(&folder));
        assert!(complaint.contains(MARK) && complaint.contains("--out"), "{complaint}");
        assert_eq!(std::fs::read(folder.join("mine")).unwrap(), b"precious");
    }

    #[test]
    fn an_output_folder_is_taken_by_one_demo_at_a_time() {
        let above = tempfile::tempdir().unwrap();
        let out = above.path().join("out");
        let taken = take(&out).unwrap();
        assert!(said(take(&out)).contains("other demo"));
        drop(taken);
        take(&out).unwrap();
    }
}

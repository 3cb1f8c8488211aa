//! What a feature repo that was made of Feast's definitions doesn't have: columns of its views that `skewless feast import` left
//! out, as nothing here holds their types. Feast's clients know them still and send them with each row; not what is done then.
//!
//! They stand in [`FILE`] beside the definitions, which the import writes and which may be absent. Of that file no more is read
//! here than `views`, and of each view `left_out`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use super::{RepoError, read_at_most};

/// The file's name. No definition file.
pub const FILE: &str = "feast.json";

/// Most bytes of it that are read: far more than 10,000 views of long names take.
pub const BYTES_MAX: u64 = 64 << 20;

/// Columns that were left out, by view.
#[derive(Default, Debug)]
pub struct LeftOut {
    views: BTreeMap<String, Of>,
}

/// Those of one view.
#[derive(Default, Deserialize, Debug)]
struct Of {
    #[serde(default)]
    left_out: BTreeSet<String>,
    /// Whether the log has told of it.
    #[serde(skip)]
    told: AtomicBool,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    views: BTreeMap<String, Of>,
}

impl LeftOut {
    /// What the file in `dir` says; nothing if there is none.
    pub(super) fn read(dir: &Path) -> Result<Self, RepoError> {
        let path = dir.join(FILE);
        let failed = |detail| RepoError::Read { path: path.clone(), detail };
        let bytes = match read_at_most(&path, BYTES_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let detail = format!("expected at most {BYTES_MAX} bytes (BYTES_MAX), came more");
                return Err(failed(detail));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        let written: Written = serde_json::from_slice(&bytes).map_err(|error| {
            failed(format!(
                "expected Feast's names as `skewless feast import` writes them, came: {error}; import anew, or remove the \
                 file if it isn't the import's"
            ))
        })?;
        Ok(Self { views: written.views })
    }

    /// Whether a column of a view was left out.
    #[must_use]
    pub fn has(&self, view: &str, column: &str) -> bool {
        self.views.get(view).is_some_and(|of| of.left_out.contains(column))
    }

    /// Says in the log, once, that columns of a view are passed over.
    pub(crate) fn tell(&self, view: &str) {
        let Some(of) = self.views.get(view) else { return };
        if !of.told.swap(true, Ordering::Relaxed) {
            let columns = of.left_out.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            tracing::info!(
                view,
                columns,
                "a client of Feast writes columns that the import left out ({FILE}): they are passed over"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn of(text: &str) -> Result<LeftOut, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        LeftOut::read(dir.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_import_left_out_is_known_by_view() {
        let left_out = of(
            r#"{"project": "p", "views": {"a": {"name": "A", "keys": {}, "features": {}, "left_out": ["m"]},
                "b": {"name": "b", "keys": {}, "features": {}}}}"#,
        )
        .unwrap();
        assert!(left_out.has("a", "m"));
        assert!(!left_out.has("a", "n") && !left_out.has("b", "m") && !left_out.has("c", "m"));
    }

    #[test]
    fn no_file_leaves_nothing_out_and_one_that_cannot_be_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(LeftOut::read(dir.path()).unwrap().views.is_empty());
        let refused = of("{\"views\": []}").unwrap_err();
        assert!(refused.contains(FILE) && refused.contains("`skewless feast import`"), "{refused}");
    }
}

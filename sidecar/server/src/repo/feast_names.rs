//! By which names Feast's clients call what a feature repo that was made of Feast's definitions declares, and which columns of
//! its views `skewless feast import` left out, as nothing here holds their types: those clients know them still and send them
//! with each row. Not what is done with them.
//!
//! They stand in [`FILE`] beside the definitions, which the import writes and which may be absent: then all names are the same.
//! A name that isn't there is the same, too, so that definitions may be changed by hand beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use super::{RepoError, read_at_most};

/// The file's name. No definition file.
pub const FILE: &str = "feast.json";

/// Most bytes of it that are read: far more than 10,000 views of long names take.
pub const BYTES_MAX: u64 = 64 << 20;

/// Feast's name of the key of views that have no entity; its only value is the empty text.
pub(crate) const DUMMY_KEY: &str = "__dummy_id";

/// Feast's names, by ours.
#[derive(Default, Debug)]
pub struct FeastNames {
    written: Written,
    /// Our names of views and transforms, by Feast's.
    heads: BTreeMap<String, String>,
    /// Those of services.
    services: BTreeMap<String, String>,
}

/// The file, as far as it is read here.
#[derive(Default, Deserialize, Debug)]
struct Written {
    #[serde(default)]
    views: BTreeMap<String, OfView>,
    #[serde(default)]
    transforms: BTreeMap<String, OfTransform>,
    #[serde(default)]
    join_keys: BTreeMap<String, String>,
    #[serde(default)]
    requests: BTreeMap<String, String>,
    #[serde(default)]
    services: BTreeMap<String, OfService>,
}

#[derive(Default, Deserialize, Debug)]
struct OfView {
    name: Option<String>,
    #[serde(default)]
    keys: BTreeMap<String, String>,
    #[serde(default)]
    features: BTreeMap<String, String>,
    #[serde(default)]
    left_out: BTreeSet<String>,
    /// Whether the log has told of what was left out.
    #[serde(skip)]
    told: AtomicBool,
}

#[derive(Deserialize, Debug)]
struct OfTransform {
    name: String,
    features: BTreeMap<String, String>,
    inputs: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize, Debug)]
struct OfService {
    name: String,
    features: BTreeMap<String, String>,
}

impl FeastNames {
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
        Self::of(&bytes).map_err(|error| {
            failed(format!(
                "expected Feast's names as `skewless feast import` writes them, came: {error}; import anew, or remove the \
                 file if it isn't the import's"
            ))
        })
    }

    /// The names in the text of such a file.
    pub fn of(text: &[u8]) -> Result<Self, serde_json::Error> {
        let written: Written = serde_json::from_slice(text)?;
        let views = written.views.iter();
        let views = views.filter_map(|(ours, of)| Some((of.name.clone()?, ours.clone())));
        let transforms =
            written.transforms.iter().map(|(ours, of)| (of.name.clone(), ours.clone()));
        let heads = views.chain(transforms).collect();
        let services =
            written.services.iter().map(|(ours, of)| (of.name.clone(), ours.clone())).collect();
        Ok(Self { written, heads, services })
    }

    /// Whether a column of a view was left out.
    #[must_use]
    pub fn has_left_out(&self, view: &str, column: &str) -> bool {
        self.written.views.get(view).is_some_and(|of| of.left_out.contains(column))
    }

    /// Says in the log, once, that columns of a view are passed over.
    pub(crate) fn tell(&self, view: &str) {
        let Some(of) = self.written.views.get(view) else { return };
        if !of.told.swap(true, Ordering::Relaxed) {
            let columns = of.left_out.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            tracing::info!(
                view,
                columns,
                "a client of Feast writes columns that the import left out ({FILE}): they are passed over"
            );
        }
    }

    /// Our name of a view or transform.
    #[must_use]
    pub fn head<'n>(&'n self, feast: &'n str) -> &'n str {
        self.heads.get(feast).map_or(feast, String::as_str)
    }

    /// Feast's name of a view.
    pub(crate) fn view<'n>(&'n self, ours: &'n str) -> &'n str {
        let of = self.written.views.get(ours).and_then(|of| of.name.as_deref());
        of.unwrap_or(ours)
    }

    /// Our name of a feature or output, of what we call so.
    pub(crate) fn feature<'n>(&'n self, head: &str, feast: &'n str) -> &'n str {
        let of_view = self.written.views.get(head).map(|of| &of.features);
        let names = of_view.or(self.written.transforms.get(head).map(|of| &of.features));
        let ours = names.and_then(|names| names.iter().find(|(_, theirs)| *theirs == feast));
        ours.map_or(feast, |(ours, _)| ours)
    }

    /// Our name of a service.
    pub(crate) fn service<'n>(&'n self, feast: &'n str) -> &'n str {
        self.services.get(feast).map_or(feast, String::as_str)
    }

    /// Feast's name of a feature of a view.
    pub(crate) fn theirs<'n>(&'n self, view: &str, feature: &'n str) -> &'n str {
        let of = self.written.views.get(view).and_then(|of| of.features.get(feature));
        of.map_or(feature, String::as_str)
    }

    /// Feast's name of a key column of a view.
    pub(crate) fn key_column<'n>(&'n self, view: &str, column: &'n str) -> &'n str {
        let of = self.written.views.get(view).and_then(|of| of.keys.get(column));
        of.map_or(column, String::as_str)
    }

    /// Feast's name of a join key.
    #[must_use]
    pub fn join_key<'n>(&'n self, ours: &'n str) -> &'n str {
        self.written.join_keys.get(ours).map_or(ours, String::as_str)
    }

    /// Feast's name of a value of the request.
    pub(crate) fn request<'n>(&'n self, ours: &'n str) -> &'n str {
        self.written.requests.get(ours).map_or(ours, String::as_str)
    }

    /// Feast's name of a transform's output.
    #[must_use]
    pub fn output<'n>(&'n self, transform: &str, ours: &'n str) -> &'n str {
        let of = self.written.transforms.get(transform).and_then(|of| of.features.get(ours));
        of.map_or(ours, String::as_str)
    }

    /// Feast's names of what a transform takes by this reference: `view:feature`, or that of a value of the request.
    pub fn inputs(&self, transform: &str, reference: &str) -> impl Iterator<Item = &str> {
        let of = self.written.transforms.get(transform).and_then(|of| of.inputs.get(reference));
        of.into_iter().flatten().map(String::as_str)
    }

    /// What Feast calls the feature that a service of ours has by this name: the view, or what the service calls it, and the
    /// feature.
    pub(crate) fn in_service(&self, service: &str, output: &str) -> Option<(&str, &str)> {
        self.written.services.get(service)?.features.get(output)?.split_once(':')
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn of(text: &str) -> Result<FeastNames, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        FeastNames::read(dir.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_import_left_out_is_known_by_view() {
        let left_out = of(
            r#"{"project": "p", "views": {"a": {"name": "A", "keys": {}, "features": {}, "left_out": ["m"]},
                "b": {"name": "b", "keys": {}, "features": {}}}}"#,
        )
        .unwrap();
        assert!(left_out.has_left_out("a", "m"));
        assert!(
            !left_out.has_left_out("a", "n")
                && !left_out.has_left_out("b", "m")
                && !left_out.has_left_out("c", "m")
        );
    }

    #[test]
    fn no_file_leaves_nothing_out_and_one_that_cannot_be_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(FeastNames::read(dir.path()).unwrap().written.views.is_empty());
        let refused = of("{\"views\": []}").unwrap_err();
        assert!(refused.contains(FILE) && refused.contains("`skewless feast import`"), "{refused}");
    }

    #[test]
    fn names_are_the_import_s_or_the_same() {
        let names = of(
            r#"{"project": "p",
                "views": {"stats": {"name": "Stats", "keys": {"id": "ID"}, "features": {"conv": "Conv"},
                                    "roles": {"a": {"ID": "A-ID"}}}},
                "transforms": {"rate": {"name": "Rate", "features": {"plus": "Plus"},
                                        "inputs": {"stats.conv": ["S:Conv", "Stats:Conv"], "request.add": ["Add"]}}},
                "join_keys": {"id": "ID"}, "requests": {"add": "Add"},
                "services": {"s_1": {"name": "S 1", "features": {"a__conv": "A:Conv"}}}}"#,
        )
        .unwrap();
        assert_eq!(
            (names.head("Stats"), names.head("Rate"), names.head("x")),
            ("stats", "rate", "x")
        );
        assert_eq!((names.view("stats"), names.view("x")), ("Stats", "x"));
        assert_eq!(
            (names.feature("stats", "Conv"), names.feature("rate", "Plus")),
            ("conv", "plus")
        );
        assert_eq!((names.feature("stats", "x"), names.feature("x", "Conv")), ("x", "Conv"));
        assert_eq!((names.theirs("stats", "conv"), names.theirs("stats", "x")), ("Conv", "x"));
        assert_eq!((names.key_column("stats", "id"), names.join_key("id")), ("ID", "ID"));
        assert_eq!((names.request("add"), names.request("x")), ("Add", "x"));
        assert_eq!((names.output("rate", "plus"), names.output("x", "plus")), ("Plus", "plus"));
        let inputs: Vec<_> = names.inputs("rate", "stats.conv").collect();
        assert_eq!(inputs, ["S:Conv", "Stats:Conv"]);
        assert_eq!((names.service("S 1"), names.service("s_1")), ("s_1", "s_1"));
        assert_eq!(names.in_service("s_1", "a__conv"), Some(("A", "Conv")));
        assert_eq!(names.in_service("s_1", "x").or(names.in_service("x", "a__conv")), None);
    }
}

//! `feast.json` beside imported definitions: by which names Feast calls what they declare. `import` writes it, `copy` finds
//! rows by it, and whoever answers Feast's clients knows names by it (the server's `feast_names.rs`); the definitions stand
//! without it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use skewless_catalog::View;

use crate::exit::{Next, Outcome};

/// Its name and the most bytes of it that are read. The sidecar reads it, too.
pub(crate) use skewless_server::repo::feast_names::{BYTES_MAX, FILE};

/// Feast's names of what is declared here.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Names {
    /// The Feast project.
    pub(crate) project: String,
    /// Views by our names.
    pub(crate) views: BTreeMap<String, ViewNames>,
    /// On-demand views by our names of the transforms.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) transforms: BTreeMap<String, TransformNames>,
    /// Join keys by the names that callers give them, those that keys are mapped to with them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) join_keys: BTreeMap<String, String>,
    /// Values of requests by our names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) requests: BTreeMap<String, String>,
    /// Feature services by our names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) services: BTreeMap<String, ServiceNames>,
}

/// Feast's names of an on-demand view.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransformNames {
    /// The view's.
    pub(crate) name: String,
    /// Outputs by our names.
    pub(crate) features: BTreeMap<String, String>,
    /// What it takes, by our references: `view:feature`, of a projection with another name `name:feature`, or the name of a
    /// value of the request.
    pub(crate) inputs: BTreeMap<String, BTreeSet<String>>,
}

/// Feast's names of a feature service.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceNames {
    /// The service's.
    pub(crate) name: String,
    /// Its features as `view:feature`, or `name:feature` of a projection with another name, by what the service calls them here.
    pub(crate) features: BTreeMap<String, String>,
}

/// Feast's names of a view and its columns.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewNames {
    /// The view's.
    pub(crate) name: String,
    /// Join keys by the names of our key columns.
    pub(crate) keys: BTreeMap<String, String>,
    /// Features by our names.
    pub(crate) features: BTreeMap<String, String>,
    /// Features that were left out, by Feast's names: its clients write them still.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) left_out: BTreeSet<String>,
    /// Join keys by the names that callers give them, where those aren't the key columns'.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) join_keys: BTreeMap<String, String>,
    /// By role: the join keys that stand for the view's own, by those.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) roles: BTreeMap<String, BTreeMap<String, String>>,
}

impl ViewNames {
    /// Of a view whose names are the same in Feast, as far as `known` doesn't say otherwise.
    pub(crate) fn of(view: &View, join_keys: &[String], known: Option<&ViewNames>) -> Self {
        let keys = view.keys.iter().zip(join_keys);
        let mut names = Self {
            name: view.name.clone(),
            keys: keys.map(|(key, join_key)| (key.name.clone(), join_key.clone())).collect(),
            features: view.features.iter().map(|f| (f.name.clone(), f.name.clone())).collect(),
            left_out: BTreeSet::new(),
            join_keys: BTreeMap::new(),
            roles: BTreeMap::new(),
        };
        if let Some(known) = known {
            names.name.clone_from(&known.name);
            names.keys.extend(known.keys.clone());
            names.features.extend(known.features.clone());
        }
        names
    }
}

/// The names beside the definitions in `repo`; `None` if there are none.
pub(crate) fn read(repo: &Path) -> Outcome<Option<Names>> {
    let path = repo.join(FILE);
    let shown = path.display();
    let next = || "import the Feast repo anew with `skewless feast import`, or remove the file if no name differs";
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Ok(found) if found.len() > BYTES_MAX => {
            let came = found.len();
            let error =
                anyhow::anyhow!("expected at most {BYTES_MAX} bytes in {shown}, came {came}");
            return Err(error).or_next(next);
        }
        _ => {}
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("can't read {shown}"));
    let names: Result<Names, _> = serde_json::from_str(&text.or_next(next)?);
    let names =
        names.with_context(|| format!("expected Feast's names as `import` wrote them in {shown}"));
    names.or_next(next).map(Some)
}

//! A Feast registry from its file; not what it means here. Registries that are no local file are refused with how to get one.
//!
//! Limit: [`BYTES_MAX`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use prost::Message;
use skewless_proto::feast::core::Registry;

use super::feature_store::{self, FeatureStore};
use crate::exit::{Failure, Next, Outcome};

/// Most bytes of a registry that are read: a hundred times those of a large one.
const BYTES_MAX: u64 = 256 << 20;

/// How to get a file of a registry that is none.
const TO_A_FILE: &str = "let Feast write it to a file, in the Feast repo: python -c \"import feast; \
     open('registry.pb', 'wb').write(feast.FeatureStore('.').registry.proto().SerializeToString())\", and import registry.pb \
     with --project";

/// A registry, and what is known about the Feast repo that it is of.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) registry: Registry,
    /// The file it was read from.
    pub(super) path: PathBuf,
    /// The Feast repo's folder, at which relative paths in it begin, if that is known.
    pub(super) repo: Option<PathBuf>,
    /// What the repo's `feature_store.yaml` says, if there is one.
    pub(super) store: Option<FeatureStore>,
}

/// The registry in a file, or of the Feast repo in a folder.
pub(super) fn find(path: &Path) -> Outcome<Found> {
    if !path.is_dir() {
        let repo = repo_of(path);
        let store = match &repo {
            // The file was named: what the folder around it says is a help, no more.
            Some(repo) => feature_store::read(repo).unwrap_or_default(),
            None => None,
        };
        return Ok(Found { registry: read(path)?, path: path.to_owned(), repo, store });
    }
    let Some(store) = feature_store::read(path)? else {
        let message = format!("expected {} in {}, came none", feature_store::FILE, path.display());
        return Err(Failure::new(message, "give the folder of a Feast repo, or a registry's file"));
    };
    if store.registry_type != "file" || store.registry.contains("://") {
        // Not the path: it may hold a password.
        let scheme = store.registry.split_once("://").map(|(scheme, _)| format!(" at {scheme}://"));
        let message = format!(
            "expected a registry in a local file, came one of type `{}`{}",
            store.registry_type,
            scheme.unwrap_or_default()
        );
        return Err(Failure::new(message, TO_A_FILE));
    }
    let file = path.join(&store.registry);
    let registry = read(&file).map_err(|failure| match failure {
        Failure::Failed { error, .. } if !file.exists() => Failure::Failed {
            error,
            next: Some(
                "make it with `feast apply` in the Feast repo, then import again".to_owned(),
            ),
        },
        failure => failure,
    })?;
    Ok(Found { registry, path: file, repo: Some(path.to_owned()), store: Some(store) })
}

/// The Feast repo around a registry's file: the folder that it is in, or the one above, as in `data/registry.db`.
fn repo_of(file: &Path) -> Option<PathBuf> {
    let file = std::path::absolute(file).ok()?;
    let near = file.ancestors().skip(1).take(2);
    near.map(Path::to_owned).find(|folder| folder.join(feature_store::FILE).is_file())
}

fn read(path: &Path) -> Outcome<Registry> {
    let shown = path.display();
    let bytes = std::fs::metadata(path).map_or(0, |found| found.len());
    if bytes > BYTES_MAX {
        let message =
            format!("expected a registry of at most {BYTES_MAX} bytes, came {bytes} in {shown}");
        return Err(Failure::new(message, NO_REGISTRY));
    }
    let bytes = std::fs::read(path)
        .with_context(|| format!("can't read {shown}"))
        .or_next(|| NO_REGISTRY)?;
    decode(&bytes).map_err(|(came, next)| {
        Failure::new(format!("expected a Feast registry in {shown}, came {came}"), next)
    })
}

const NO_REGISTRY: &str =
    "give the file that `registry:` in feature_store.yaml names, or the folder of the Feast repo";

/// The registry in these bytes; or what came instead, with what to do.
fn decode(bytes: &[u8]) -> Result<Registry, (String, &'static str)> {
    if bytes.is_empty() {
        return Err((
            "an empty file".to_owned(),
            "run `feast apply` in the Feast repo, then import again",
        ));
    }
    if bytes.starts_with(b"SQLite format 3\0") {
        return Err(("a SQLite database".to_owned(), TO_A_FILE));
    }
    if bytes.starts_with(b"{") && serde_json::from_slice::<serde_json::Value>(bytes).is_ok() {
        return Err(("JSON, as `feast registry-dump` prints it".to_owned(), TO_A_FILE));
    }
    let registry = Registry::decode(bytes)
        .map_err(|error| (format!("other or damaged bytes ({error})"), NO_REGISTRY))?;
    // Any bytes may be a message of unknown fields. Feast writes this version into files, and none when it makes the message
    // of a registry in a database.
    let of_database =
        registry.registry_schema_version.is_empty() && !projects(&registry).is_empty();
    if registry.registry_schema_version != "1" && !of_database {
        let came = format!(
            "one of schema version `{}`, not `1`",
            registry.registry_schema_version.escape_debug()
        );
        return Err((came, NO_REGISTRY));
    }
    Ok(registry)
}

/// The project to import: the one that was named, else the Feast repo's, else the only one.
pub(super) fn project(found: &Found, named: Option<&str>) -> Outcome<String> {
    let all = projects(&found.registry);
    let there = || match all.len() {
        0 => "it has none".to_owned(),
        _ => format!("its projects are: {}", all.iter().copied().collect::<Vec<_>>().join(", ")),
    };
    let named = named.or(found.store.as_ref().map(|store| store.project.as_str()));
    let shown = found.path.display();
    match (named, all.len()) {
        (Some(named), _) if all.contains(named) => Ok(named.to_owned()),
        (Some(named), _) => {
            let message = format!("expected project `{named}` in {shown}, came none of that name");
            Err(Failure::new(message, format!("{}; name one with --project", there())))
        }
        (None, 1) => Ok(all.iter().copied().collect()),
        (None, came) => {
            let message = format!("expected one project in {shown}, came {came}");
            Err(Failure::new(message, format!("{}; name one with --project", there())))
        }
    }
}

fn projects(registry: &Registry) -> BTreeSet<&str> {
    let Registry { entities, feature_views, feature_services, on_demand_feature_views, .. } =
        registry;
    let all = registry.projects.iter().flat_map(|project| &project.spec).map(|spec| &spec.name);
    let all = all.chain(entities.iter().flat_map(|entity| &entity.spec).map(|spec| &spec.project));
    let all = all.chain(feature_views.iter().flat_map(|view| &view.spec).map(|spec| &spec.project));
    let streams = registry.stream_feature_views.iter().flat_map(|view| &view.spec);
    let all = all.chain(streams.map(|spec| &spec.project));
    let on_demand = on_demand_feature_views.iter().flat_map(|view| &view.spec);
    let all = all.chain(on_demand.map(|spec| &spec.project));
    let services = feature_services.iter().flat_map(|service| &service.spec);
    let all = all.chain(services.map(|spec| &spec.project));
    all.map(String::as_str).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/interop/feast_import/fixtures/registry.db"
    ));

    fn said(bytes: &[u8]) -> String {
        decode(bytes)
            .map_or_else(|(came, next)| format!("{came}; {next}"), |_| "a registry".to_owned())
    }

    #[test]
    fn a_registry_that_feast_wrote_is_read_whole() {
        let registry = decode(REGISTRY).unwrap_or_else(|said| panic!("{said:?}"));
        assert_eq!(projects(&registry).into_iter().collect::<Vec<_>>(), ["Shop"]);
        assert!(registry.feature_views.len() > 3 && registry.stream_feature_views.len() == 1);
        assert!(registry.on_demand_feature_views.len() > 1 && registry.feature_services.len() > 1);
    }

    #[test]
    fn a_registry_of_a_database_has_no_version_and_is_read() {
        let mut registry = decode(REGISTRY).unwrap_or_else(|said| panic!("{said:?}"));
        registry.registry_schema_version.clear();
        assert_eq!(said(&registry.encode_to_vec()), "a registry");
    }

    #[test]
    fn a_registry_that_is_cut_short_is_damaged() {
        for missing in [1, 2, REGISTRY.len() / 2] {
            let said = said(&REGISTRY[..REGISTRY.len() - missing]);
            assert!(said.contains("damaged"), "{missing}: {said}");
        }
    }

    #[test]
    fn what_is_no_registry_is_named() {
        for (bytes, part) in [
            (&b""[..], "an empty file; run `feast apply`"),
            (b"SQLite format 3\0and so on", "a SQLite database; let Feast write it to a file"),
            (b"{\"entities\": []}", "JSON, as `feast registry-dump` prints it"),
            (b"project: shop\n", "other or damaged bytes"),
            (b"\x1a\x011", "a registry"),
            (b"\x1a\x012", "one of schema version `2`"),
            (b"\xd2\x0f\x01x", "one of schema version ``"),
        ] {
            assert!(said(bytes).contains(part), "{bytes:?}: {}", said(bytes));
        }
    }
}

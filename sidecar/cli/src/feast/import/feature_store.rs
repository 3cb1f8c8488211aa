//! `feature_store.yaml` of a Feast repo: which project it is and where its registry and online store are. Only that.
//!
//! Feast replaces `$NAME` and `${NAME}` by variables of the environment before it reads the file, and so does this. Limits:
//! [`BYTES_MAX`] and [`DEPTH_MAX`].

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use saphyr_parser::{Event, Parser};

use crate::exit::{Failure, Next, Outcome};

/// Its name in a Feast repo's folder.
pub(super) const FILE: &str = "feature_store.yaml";

/// A page of settings.
const BYTES_MAX: u64 = 1 << 20;

/// Its settings are two maps deep; options of stores may be a few more.
const DEPTH_MAX: usize = 32;

/// What it says, as far as it matters here.
#[derive(PartialEq, Default, Debug)]
pub(super) struct FeatureStore {
    pub(super) project: String,
    /// What stands after `registry:`, or after `path:` below it.
    pub(super) registry: String,
    /// "file" if nothing was said.
    pub(super) registry_type: String,
    /// "sqlite" if nothing was said, as in Feast; of a class, its path.
    pub(super) online_store: String,
    /// Where the SQLite file is, as it says.
    pub(super) online_path: String,
}

/// Reads the one in a folder; `None` if there is none.
pub(super) fn read(folder: &Path) -> Outcome<Option<FeatureStore>> {
    let path = folder.join(FILE);
    let shown = path.display();
    let bytes = match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        found => found.map_or(0, |found| found.len()),
    };
    if bytes > BYTES_MAX {
        let message = format!("expected at most {BYTES_MAX} bytes in {shown}, came {bytes}");
        return Err(Failure::new(message, REGISTRY_INSTEAD));
    }
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("can't read {shown}"))
        .or_next(|| REGISTRY_INSTEAD)?;
    let read = parse(&text, &|name| std::env::var(name).ok());
    read.map(Some).map_err(|why| Failure::new(format!("{shown}: {why}"), REGISTRY_INSTEAD))
}

const REGISTRY_INSTEAD: &str =
    "mend the file, or give the path of the registry's own file, with --project";

/// The settings in a text; `variable` gives a variable of the environment.
fn parse(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<FeatureStore, String> {
    let values = scalars(&expanded(text, variable))?;
    let get = |path: &str| values.get(path).cloned();
    let or = |path: &str, default: &str| get(path).unwrap_or_else(|| default.to_owned());
    let registry = get("registry").or_else(|| get("registry.path"));
    Ok(FeatureStore {
        project: get("project").ok_or("expected `project: NAME`, came none")?,
        registry: registry
            .filter(|path| !path.is_empty())
            .ok_or("expected `registry: PATH`, or `path` below it, came none")?,
        registry_type: or("registry.registry_type", "file"),
        online_store: get("online_store").unwrap_or_else(|| or("online_store.type", "sqlite")),
        online_path: or("online_store.path", "data/online.db"),
    })
}

/// A text with variables in their places, as Python's `os.path.expandvars` does: unknown ones stay as they are.
fn expanded(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let word = |text: &str| {
            text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
        };
        let (name, used) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => (&after[..word(after)], word(after)),
        };
        match variable(name).filter(|_| !name.is_empty()) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[at..at + 1 + used]),
        }
        rest = &after[used..];
    }
    out.push_str(rest);
    out
}

/// An open list or map: the path to it if it is a map, and of a map the key that waits for its value.
type Open = (Option<String>, Option<String>);

/// The scalars of the first document by their path, `a.b`; those in lists are left out.
fn scalars(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| format!("expected YAML: {error}"))?;
        match event {
            Event::Scalar(text, ..) => match open.last_mut() {
                Some((Some(_), key @ None)) => *key = Some(text.into_owned()),
                _ => {
                    if let Some(path) = place(&mut open) {
                        values.insert(path, text.into_owned());
                    }
                }
            },
            Event::MappingStart(..) => {
                let path = place(&mut open);
                open.push((path, None));
            }
            Event::SequenceStart(..) => {
                place(&mut open);
                open.push((None, None));
            }
            Event::MappingEnd | Event::SequenceEnd => _ = open.pop(),
            Event::Alias(_) => _ = place(&mut open),
            Event::DocumentEnd => break,
            _ => {}
        }
        if open.len() > DEPTH_MAX {
            return Err(format!("expected at most {DEPTH_MAX} levels, came more"));
        }
    }
    Ok(values)
}

/// Where a value that comes now belongs, if it isn't in a list; takes the key that waits for it.
fn place(open: &mut [Open]) -> Option<String> {
    let Some((path, key)) = open.last_mut() else { return Some(String::new()) };
    let key = key.take()?;
    let path = path.as_ref()?;
    Some(if path.is_empty() { key } else { format!("{path}.{key}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<FeatureStore, String> {
        parse(text, &|name| (name == "HOME_OF").then(|| "/srv".to_owned()))
    }

    #[test]
    fn a_registry_is_a_path_or_a_map_with_one() {
        let store = |registry: &str, registry_type: &str| {
            Ok(FeatureStore {
                project: "shop".to_owned(),
                registry: registry.to_owned(),
                registry_type: registry_type.to_owned(),
                online_store: "sqlite".to_owned(),
                online_path: "data/online.db".to_owned(),
            })
        };
        assert_eq!(
            parsed("project: shop\nregistry: data/registry.db\n"),
            store("data/registry.db", "file")
        );
        let map = "registry:\n  registry_type: sql\n  path: postgresql://a/b\nproject: shop\n";
        assert_eq!(parsed(map), store("postgresql://a/b", "sql"));
        let variables = "project: shop\nregistry: ${HOME_OF}/$HOME_OF/${NOT}/$NOT\n";
        assert_eq!(parsed(variables), store("/srv//srv/${NOT}/$NOT", "file"));
    }

    #[test]
    fn what_is_deeper_or_in_lists_is_passed_over() {
        let text = "\
project: shop
registry: r.db
online_store:
  type: redis
  hosts: [{path: no}, path]
  more: {path: {path: no}}
auth: {project: no, list: [project, no]}
";
        let store = parsed(text).unwrap_or_default();
        assert_eq!((store.project.as_str(), store.online_store.as_str()), ("shop", "redis"));
        assert_eq!(store.online_path, "data/online.db");
    }

    #[test]
    fn what_is_missing_or_no_yaml_is_told() {
        for (text, part) in [
            ("", "expected `project: NAME`"),
            ("project: a\n", "expected `registry: PATH`"),
            ("project: a\nregistry: ''\n", "expected `registry: PATH`"),
            ("project: [a\n", "expected YAML"),
        ] {
            let said = parsed(text).err().unwrap_or_default();
            assert!(said.contains(part), "{text:?}: {said}");
        }
        let deep = format!("project: a\nregistry: b\nx: {}{}", "[".repeat(99), "]".repeat(99));
        assert!(parsed(&deep).is_err_and(|said| said.contains("levels")), "too deep");
    }
}

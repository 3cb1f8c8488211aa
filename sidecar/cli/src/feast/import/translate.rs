//! A project of a Feast registry as definitions of ours, with everything that couldn't be carried over. Reads nothing but
//! the registry and looks at no data; whether the definitions hold is the catalog's to check.
//!
//! Everything is taken by name, sorted, so that the same registry gives the same files.

mod keys;
mod known;
mod services;
mod sources;
mod transforms;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use skewless_batch::Type;
use skewless_proto::feast::core::{EntitySpecV2, FeatureSpecV2, Registry};

use self::known::Known;
use super::definitions::Definitions;
use super::identifier::Given;
use crate::feast::names_file::Names;

/// The column of times in every spine, which nothing else may be called.
pub(super) const EVENT_TIMESTAMP: &str = "event_timestamp";

/// What is said about the way from Feast's definitions to ours, a line each.
#[derive(Default, Debug)]
pub(super) struct Findings {
    /// Names that aren't valid here, with those they have now.
    pub(super) renamed: Vec<String>,
    /// What isn't there any more, and why.
    pub(super) left_out: Vec<String>,
    /// What is there and means something a little different.
    pub(super) different: Vec<String>,
}

/// What was made of a project.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) definitions: Definitions,
    pub(super) names: Names,
    pub(super) findings: Findings,
}

/// Translates a project. Relative paths of its data begin at `root`, if that is known.
pub(super) fn translate(registry: &Registry, project: &str, root: Option<&Path>) -> Translated {
    let entities: BTreeMap<&str, &EntitySpecV2> = registry
        .entities
        .iter()
        .flat_map(|entity| &entity.spec)
        .filter(|spec| spec.project == project)
        .map(|spec| (spec.name.as_str(), spec))
        .collect();
    let known = Known::of(registry, project, &entities);
    let mut translator = Translator {
        project,
        root,
        heads: BTreeMap::new(),
        groups: BTreeMap::new(),
        asked: Asked {
            given: Given::without([EVENT_TIMESTAMP]).keeping(known.asked),
            ..Asked::default()
        },
        entity_names: Given::without(["request", "entity"]).keeping(entities.keys().copied()),
        head_names: Given::without(["request", "entity"]).keeping(known.heads),
        roles: known.roles,
        entities,
        out: Definitions::default(),
        names: Names { project: project.to_owned(), ..Names::default() },
        findings: Findings::default(),
    };
    translator.views(registry);
    translator.label_views(registry);
    translator.transforms(registry);
    translator.services(registry);
    translator.asked_names();
    translator.unused_entities();
    let Translator { out: definitions, names, findings, .. } = translator;
    Translated { definitions, names, findings }
}

struct Translator<'r> {
    project: &'r str,
    root: Option<&'r Path>,
    /// Feast's entities.
    entities: BTreeMap<&'r str, &'r EntitySpecV2>,
    /// What a reference may begin with, views and transforms, by Feast's names.
    heads: BTreeMap<String, Head>,
    /// Our entities by what makes them the same one.
    groups: BTreeMap<keys::Group, usize>,
    asked: Asked,
    entity_names: Given,
    head_names: Given,
    /// Every name that Feast has for a role.
    roles: BTreeSet<&'r str>,
    out: Definitions,
    names: Names,
    findings: Findings,
}

/// A view or transform that was carried over.
#[derive(Debug)]
struct Head {
    /// Its name.
    name: String,
    /// Of a view: index of its entity.
    entity: Option<usize>,
    /// Names and types of its columns by Feast's names.
    columns: BTreeMap<String, (String, Type)>,
}

/// What callers give: join keys and values of requests, which share one namespace.
#[derive(Default, Debug)]
struct Asked {
    given: Given,
    /// Join keys by Feast's name and our type's.
    join_keys: BTreeMap<(String, String), String>,
    /// Values of requests, likewise.
    requests: BTreeMap<(String, String), String>,
}

impl Translator<'_> {
    fn renamed(&mut self, what: &str, from: &str, to: &str) {
        if from != to {
            self.findings.renamed.push(format!("{what} `{from}` is `{to}`"));
        }
    }

    fn left_out(&mut self, what: impl std::fmt::Display, why: impl std::fmt::Display) {
        self.findings.left_out.push(format!("{what}: {why}"));
    }

    fn different(&mut self, what: impl std::fmt::Display, how: impl std::fmt::Display) {
        self.findings.different.push(format!("{what}: {how}"));
    }

    /// The reference to a column of a head, under a role.
    fn reference(&self, head: &Head, role: Option<&str>, column: &str) -> String {
        let role = role.map_or_else(String::new, |role| format!("[{role}]"));
        format!("{}{role}.{column}", head.name)
    }
}

/// A description in one line.
fn doc(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Columns by their names.
fn by_name(columns: &[FeatureSpecV2]) -> BTreeMap<&str, &FeatureSpecV2> {
    columns.iter().map(|column| (column.name.as_str(), column)).collect()
}

#[cfg(test)]
mod tests;

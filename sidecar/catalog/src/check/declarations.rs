//! Names: each declared once, none reserved, entities and views whole; fills the scope.

use std::collections::BTreeMap;

use skewless_batch::Type;

use super::{Checker, KnownPlugins};
use crate::catalog::{Certified, Plugins};
use crate::definition::{
    ColumnDef, EntityDef, JoinKeysDef, Name, SourceDef, TransformDef, ViewDef,
};
use crate::diagnostic::Span;
use crate::key::KEY_COLUMNS_MAX;
use crate::limit::{DEFINITIONS_MAX, VIEW_FEATURES_MAX};
use crate::names::{is_identifier, known_as, nearest};
use crate::plan::InstancePolicy;
use crate::scope::ViewScope;

/// The column of a spine, and the field of an ingested row, that holds the time.
pub(crate) const EVENT_TIMESTAMP: &str = "event_timestamp";

/// The heads of references that are no views or transforms.
const HEADS: [&str; 2] = ["request", "entity"];

impl Checker<'_> {
    /// Whether there are few enough definitions to look at them all.
    pub(super) fn within_limits(&mut self) -> bool {
        let definitions = self.definitions;
        let counts = [
            ("entities", definitions.entities.len()),
            ("views", definitions.views.len()),
            ("requests", definitions.requests.len()),
            ("transforms", definitions.transforms.len()),
            ("services", definitions.services.len()),
        ];
        for (kind, came) in counts {
            let folder = Span { file: usize::MAX, ..Span::default() };
            self.limit(folder, kind, "DEFINITIONS_MAX", DEFINITIONS_MAX, came);
        }
        counts.iter().all(|(_, came)| *came <= DEFINITIONS_MAX)
    }

    /// Checks entities, views and request columns and fills the scope with all names.
    pub(super) fn declarations(&mut self) {
        let definitions = self.definitions;
        let views = definitions.views.iter().map(|view| &view.name);
        let transforms = definitions.transforms.iter().map(|transform| &transform.name);
        self.once("view or transform", views.chain(transforms), &HEADS);
        self.once("entity", definitions.entities.iter().map(|entity| &entity.name), &HEADS);
        self.once("service", definitions.services.iter().map(|service| &service.name), &[]);
        let requests = definitions.requests.iter().map(|request| &request.column.name);
        self.once("request column", requests, &[EVENT_TIMESTAMP]);
        for entity in &definitions.entities {
            for name in known_as(&entity.name.value) {
                self.scope.entities.entry(name).or_default();
            }
        }
        self.join_keys();
        definitions.entities.iter().for_each(|entity| self.entity(entity));
        definitions.views.iter().for_each(|view| self.view(view));
        self.requests();
    }

    /// Asks for every transform's plugin and declares the outputs.
    pub(super) fn plugins(&mut self, plugins: &dyn Plugins) -> KnownPlugins {
        let mut known = KnownPlugins::new();
        for transform in &self.definitions.transforms {
            let name = &transform.name.value;
            if self.scope.transforms.contains_key(name) {
                continue; // A duplicate: reported, and the first one stands.
            }
            self.declare(name, None);
            let Some(plugin) = &transform.plugin else { continue };
            match plugins.lookup(&plugin.value) {
                Err(why) => {
                    let message = format!("expected a plugin at `{}`: {why}", plugin.value);
                    let meant = plugins.meant(&plugin.value);
                    self.findings.error_meaning(plugin.span, message, meant);
                }
                Ok(info) => {
                    if let Some(warning) = plugins.warning(&plugin.value) {
                        self.findings.warn(plugin.span, warning);
                    }
                    self.certified(transform, plugin, &info.certified, plugins);
                    let outputs = &info.signature.outputs;
                    for output in outputs.iter().filter(|output| !is_identifier(&output.name)) {
                        let message = format!(
                            "expected outputs named by a-z, 0-9 and _, came `{}` from plugin `{}`",
                            output.name, plugin.value
                        );
                        self.findings.error(plugin.span, message);
                    }
                    let types = outputs.iter().map(|output| (output.name.clone(), output.ty));
                    self.declare(name, Some(types.collect()));
                    known.insert(name.clone(), info);
                }
            }
        }
        known
    }

    /// Whether a transform may rely on its plugin's certificate, if it must have one. An instance that is reused must, unless
    /// the definition says that it needn't: then what a call left behind could change an answer.
    fn certified(
        &mut self,
        transform: &TransformDef,
        plugin: &Name,
        certified: &Certified,
        plugins: &dyn Plugins,
    ) {
        let reused = transform.policy == InstancePolicy::Reused;
        let required = transform.require_certificate.unwrap_or(reused);
        let (name, path) = (&transform.name.value, &plugin.value);
        let certify = || format!("`skewless plugin certify {}`", plugins.file(path));
        match certified {
            Certified::Yes => {}
            Certified::ByEngine { certified, here } if required => {
                let message = format!(
                    "plugin `{path}` was certified by engine {certified}, this is {here}: the certificate counts, but \
                     {} would renew it",
                    certify()
                );
                self.findings.warn(plugin.span, message);
            }
            Certified::Void(why) if !required => {
                let message =
                    format!("plugin `{path}` has a certificate that doesn't count: {why}");
                self.findings.warn(plugin.span, message);
            }
            Certified::No | Certified::Void(_) if required => {
                let came = match certified {
                    Certified::Void(why) => why.clone(),
                    _ => "came none".to_owned(),
                };
                let because = match transform.require_certificate {
                    Some(_) => format!("transform `{name}` requires"),
                    None => format!("`instance: reused` of transform `{name}` requires"),
                };
                let or = match transform.require_certificate {
                    Some(_) => "",
                    None => "; to do without, say `require_certificate: false`",
                };
                let message = format!(
                    "expected a certificate of plugin `{path}`, which {because}: {came}; \
                     {} makes one{or}",
                    certify()
                );
                self.findings.error(plugin.span, message);
            }
            Certified::No | Certified::Void(_) | Certified::ByEngine { .. } => {}
        }
    }

    /// Declares a transform's outputs under its names.
    fn declare(&mut self, transform: &str, outputs: Option<BTreeMap<String, Type>>) {
        for name in known_as(transform) {
            self.scope.transforms.insert(name, outputs.clone());
        }
    }

    /// Reports names that are reserved or declared before.
    pub(super) fn once<'n>(
        &mut self,
        kind: &str,
        names: impl Iterator<Item = &'n Name>,
        reserved: &[&str],
    ) {
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        for name in names {
            if reserved.contains(&name.value.as_str()) {
                let message =
                    format!("expected another name for the {kind}: `{}` is reserved", name.value);
                self.findings.error(name.span, message);
            }
            match seen.get(name.value.as_str()) {
                None => _ = seen.insert(&name.value, name.span),
                Some(first) => {
                    let first = self.findings.place(*first);
                    let message = format!(
                        "expected {kind} `{}` once, came twice; first in {first}",
                        name.value
                    );
                    self.findings.error(name.span, message);
                }
            }
        }
    }

    pub(super) fn limit(&mut self, at: Span, what: &str, limit: &str, max: usize, came: usize) {
        if came > max {
            self.findings
                .error(at, format!("expected at most {max} {what} ({limit}), came {came}"));
        }
    }

    /// Declares every join key; the same name must have the same type wherever it is used.
    fn join_keys(&mut self) {
        let mut declared: BTreeMap<&str, (Type, Span, &str)> = BTreeMap::new();
        for entity in &self.definitions.entities {
            let own = entity.keys.iter().map(|key| &key.name);
            let own: Vec<&Name> = match &entity.join_keys {
                Some(join_keys) => join_keys.names.iter().collect(),
                None => own.collect(),
            };
            let roles = entity.roles.iter().filter_map(|role| role.join_keys.as_ref());
            let lists = std::iter::once(own).chain(roles.map(|keys| keys.names.iter().collect()));
            for (name, key) in lists.flat_map(|list| list.into_iter().zip(&entity.keys)) {
                self.scope.join_keys.entry(name.value.clone()).or_insert(key.ty);
                let Some(ty) = key.ty else { continue };
                match declared.get(name.value.as_str()) {
                    None => _ = declared.insert(&name.value, (ty, name.span, &entity.name.value)),
                    Some((first, at, of)) if *first != ty => {
                        let message = format!(
                            "expected join key `{}` as {first}, as entity `{of}` has it in {}, came {ty}",
                            name.value,
                            self.findings.place(*at)
                        );
                        self.findings.error(name.span, message);
                    }
                    Some(_) => {}
                }
            }
        }
    }

    fn entity(&mut self, entity: &EntityDef) {
        let keys = entity.keys.iter().map(|key| &key.name);
        self.once("key", keys, &[EVENT_TIMESTAMP]);
        self.limit(entity.name.span, "keys", "KEY_COLUMNS_MAX", KEY_COLUMNS_MAX, entity.keys.len());
        self.once("role", entity.roles.iter().map(|role| &role.name), &[]);
        if let Some(join_keys) = &entity.join_keys {
            self.join_key_list(entity, join_keys);
        }
        let own: Vec<&str> = match &entity.join_keys {
            Some(join_keys) => join_keys.names.iter().map(|name| name.value.as_str()).collect(),
            None => entity.keys.iter().map(|key| key.name.value.as_str()).collect(),
        };
        for role in &entity.roles {
            let Some(join_keys) = &role.join_keys else { continue };
            self.join_key_list(entity, join_keys);
            if !own.is_empty() && join_keys.names.iter().map(|name| &name.value).eq(&own) {
                let message = format!(
                    "expected other join keys for role `{}`: entity `{}` itself is asked by ({})",
                    role.name.value,
                    entity.name.value,
                    own.join(", ")
                );
                self.findings.error(join_keys.span, message);
            }
        }
        let same = |known: &&EntityDef| known.name.value == entity.name.value;
        if self
            .definitions
            .entities
            .iter()
            .find(same)
            .is_some_and(|first| std::ptr::eq(first, entity))
        {
            let roles: Vec<String> =
                entity.roles.iter().map(|role| role.name.value.clone()).collect();
            for name in known_as(&entity.name.value) {
                self.scope.entities.insert(name, roles.clone());
            }
        }
    }

    fn join_key_list(&mut self, entity: &EntityDef, join_keys: &JoinKeysDef) {
        self.once("join key", join_keys.names.iter(), &[EVENT_TIMESTAMP]);
        let (expected, came) = (entity.keys.len(), join_keys.names.len());
        if expected != came && !entity.keys_broken && !join_keys.broken {
            let message = format!(
                "expected {expected} join keys, one per key of entity `{}`, came {came}",
                entity.name.value
            );
            self.findings.error(join_keys.span, message);
        }
    }

    fn view(&mut self, view: &ViewDef) {
        if let Some(entity) = &view.entity
            && !self.scope.entities.contains_key(&entity.value)
            && !self.scope.incomplete
            && !self.scope.nameless.entities
        {
            let known = self.scope.entities.keys().map(String::as_str);
            let meant = nearest(&entity.value, known);
            let message = format!("expected a declared entity, came `{}`", entity.value);
            self.findings.error_meaning(entity.span, message, meant);
        }
        self.once("feature", view.features.iter().map(|feature| &feature.name), &[EVENT_TIMESTAMP]);
        let features = view.features.len();
        self.limit(view.name.span, "features", "VIEW_FEATURES_MAX", VIEW_FEATURES_MAX, features);
        let entity = view.entity.as_ref().map(|entity| entity.value.as_str());
        let entities = &self.definitions.entities;
        let keys = entities.iter().find(|e| Some(e.name.value.as_str()) == entity);
        let keys: Vec<&ColumnDef> = keys.iter().flat_map(|entity| &entity.keys).collect();
        for feature in &view.features {
            if keys.iter().any(|key| key.name.value == feature.name.value) {
                let message = format!(
                    "expected another name for the feature: `{}` is a key of the view's entity",
                    feature.name.value
                );
                self.findings.error(feature.name.span, message);
            }
        }
        if let Some(source) = &view.source {
            self.source(source, &keys);
        }
        let features = view.features.iter().map(|f| (f.name.value.clone(), f.ty)).collect();
        let entity = view.entity.as_ref().map(|entity| entity.value.clone());
        let scope = ViewScope { entity, features, incomplete: view.features_broken };
        for name in known_as(&view.name.value) {
            self.scope.views.entry(name).or_insert_with(|| scope.clone());
        }
    }

    /// The columns that carry times and deletion are distinct and are no keys.
    fn source(&mut self, source: &SourceDef, keys: &[&ColumnDef]) {
        let columns = [&source.event_timestamp, &source.created_timestamp, &source.deleted];
        let mut seen: Vec<&str> = keys.iter().map(|key| key.name.value.as_str()).collect();
        for column in columns.into_iter().flatten() {
            if seen.contains(&column.value.as_str()) {
                let message = format!(
                    "expected a column of its own, came `{}`, which is a key or another column of the source",
                    column.value
                );
                self.findings.error(column.span, message);
            }
            seen.push(&column.value);
        }
    }

    fn requests(&mut self) {
        for request in &self.definitions.requests {
            let column = &request.column;
            if self.scope.join_keys.contains_key(&column.name.value) {
                let message = format!(
                    "expected another name for the request column: `{}` is a join key",
                    column.name.value
                );
                self.findings.error(column.name.span, message);
            }
            for name in known_as(&column.name.value) {
                self.scope.requests.entry(name).or_insert(column.ty);
            }
        }
    }
}

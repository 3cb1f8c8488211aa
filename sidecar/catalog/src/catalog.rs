//! The checked definitions of one feature repo with a plan per service; not their text.
//!
//! A catalog only exists when every check passed: whoever holds one needs no further validation. It
//! is immutable; a new version of the definitions is a new catalog. Everything in it is sorted by
//! name within its kind, so that the order of files and definitions has no meaning anywhere.

pub(crate) mod compile;

use std::sync::Arc;

use skewless_batch::Type;
use skewless_batch::signature::{Field, Signature};

use crate::diagnostic::Diagnostic;
use crate::fingerprint::{Digest, Fingerprint};
use crate::names;
use crate::plan::{InstancePolicy, KeyColumn, Plan, PlanError};
use crate::reference::{Binding, Reference};
use crate::scope::Scope;
use crate::visibility::Rule;

/// The text of one definition file; reading it is the caller's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFile {
    /// Path as messages shall show it.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// What the catalog needs to know about a plugin. Obtained without running it.
#[derive(Clone, PartialEq, Debug)]
pub struct PluginInfo {
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Its inputs and outputs.
    pub signature: Signature,
    /// What a certificate says of it.
    pub certified: Certified,
}

/// What is known of a plugin's certificate, by which `skewless plugin certify` says that each answer depends on its row
/// alone. Reading one is the caller's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Certified {
    /// There is none.
    #[default]
    No,
    /// It says so of this file, and this version of the engine has found it so.
    Yes,
    /// It says so of this file, but another version of the engine has found it so.
    ByEngine {
        /// The version of the engine that examined the plugin.
        certified: String,
        /// This one's.
        here: String,
    },
    /// There is one that doesn't count; a sentence says why.
    Void(String),
}

/// Finds plugins for the checker; the catalog itself reads no file and runs nothing.
pub trait Plugins {
    /// The plugin that a definition names by path (relative to the repo folder) or by
    /// `sha256:<hex>`; or a sentence saying why there is none.
    fn lookup(&self, plugin: &str) -> Result<PluginInfo, String>;

    /// The plugin that was probably meant by a name under which there is none, as a definition would name it.
    fn meant(&self, _plugin: &str) -> Option<String> {
        None
    }

    /// The file of a plugin that was found, as a person would type it in a command. A definition names it from the repo's
    /// folder, which needn't be the working folder, or by its digest.
    fn file(&self, plugin: &str) -> String {
        plugin.to_owned()
    }

    /// What a person should know about a plugin that was found, such as that its source was changed since.
    fn warning(&self, _plugin: &str) -> Option<String> {
        None
    }
}

/// Index of a view in [`Catalog::views`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ViewId(pub u32);

/// The checked definitions of one feature repo.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Entities by name.
    pub entities: Vec<Entity>,
    /// Views by name; [`ViewId`] is the index.
    pub views: Vec<View>,
    /// Request columns by name.
    pub requests: Vec<Request>,
    /// Transforms by name.
    pub transforms: Vec<Transform>,
    /// Services by name.
    pub services: Vec<Service>,
    /// Findings that don't make the definitions unusable, such as a transform nobody asks for.
    pub warnings: Vec<Diagnostic>,
    /// Content hash of everything above except warnings.
    pub fingerprint: Fingerprint,
    pub(crate) scope: Scope,
}

/// A thing features are about.
#[derive(Clone, PartialEq, Debug)]
pub struct Entity {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub doc: String,
    /// Key columns as they are called in data files.
    pub keys: Vec<KeyColumn>,
    /// Join-key names under which the entity itself is asked, parallel to `keys`.
    pub join_keys: Vec<String>,
    /// Other join-key names under which the same entity is asked.
    pub roles: Vec<Role>,
    /// Content hash.
    pub fingerprint: Fingerprint,
}

/// Another part the same entity plays, such as the destination airport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Role {
    /// The word in brackets: `view[role].feature`.
    pub name: String,
    /// Join-key names, parallel to the entity's keys.
    pub join_keys: Vec<String>,
}

/// Stored features of an entity.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    /// Its index in [`Catalog::views`]; not stable over versions of the definitions.
    pub id: ViewId,
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub doc: String,
    /// Name of its entity.
    pub entity: String,
    /// The entity's key columns, as they are called in data files.
    pub keys: Vec<KeyColumn>,
    /// The stored features in the order of the definition; always nullable.
    pub features: Vec<Field>,
    /// Which row may be seen when.
    pub rule: Rule,
    /// Where its history is; `None`: only ingested.
    pub source: Option<Source>,
    /// Content hash: key, features, rule, and the columns that carry times and deletion.
    pub fingerprint: Fingerprint,
}

/// Where a view's history is and which columns carry its times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// Paths or globs, relative to the repo folder.
    pub paths: Vec<String>,
    /// Column of the event time.
    pub event_timestamp: String,
    /// Column of the known time; `None`: a row was known when it happened.
    pub created_timestamp: Option<String>,
    /// Bool column that marks tombstones.
    pub deleted: Option<String>,
}

/// A value the caller gives with the request.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// Name, type, nullable, doc, unit.
    pub field: Field,
    /// Content hash.
    pub fingerprint: Fingerprint,
}

/// A plugin bound to its inputs.
#[derive(Clone, PartialEq, Debug)]
pub struct Transform {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub doc: String,
    /// The plugin as the definition names it: a path or `sha256:<hex>`.
    pub plugin: String,
    /// The plugin's identity.
    pub digest: Digest,
    /// The plugin's inputs and outputs.
    pub signature: Signature,
    /// How instances are treated between calls.
    pub policy: InstancePolicy,
    /// One binding per input of the signature, in its order.
    pub inputs: Vec<Binding>,
    /// Its place in one order in which every transform comes after those it needs.
    pub rank: usize,
    /// Content hash with all it depends on.
    pub fingerprint: Fingerprint,
}

/// The named, ordered list of features one model asks for.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub doc: String,
    /// What it asks for, in order: (output name, reference).
    pub features: Vec<(String, Reference)>,
    /// Content hash with all it depends on.
    pub fingerprint: Fingerprint,
    /// The compiled plan.
    pub plan: Arc<Plan>,
}

/// A name nobody declared.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a declared {kind}, came `{name}`{}", match did_you_mean { Some(s) => format!(" (did you mean `{s}`?)"), None => String::new() })]
pub struct UnknownName {
    /// What was looked for, such as `service` or `feature`.
    pub kind: &'static str,
    /// The name that came.
    pub name: String,
    /// The nearest declared name.
    pub did_you_mean: Option<String>,
}

impl Catalog {
    /// The compiled plan of a service.
    pub fn plan(&self, service: &str) -> Result<Arc<Plan>, UnknownName> {
        Ok(Arc::clone(&self.services[self.find_service(service)?].plan))
    }

    /// The index in [`Catalog::services`] of the service of this name; an error names the nearest.
    pub fn find_service(&self, name: &str) -> Result<usize, UnknownName> {
        let found = self.services.binary_search_by(|service| service.name.as_str().cmp(name));
        found.map_err(|_| unknown("service", name, self.services.iter().map(|s| &*s.name)))
    }

    /// The view of this name; an error names the nearest.
    pub fn find_view(&self, name: &str) -> Result<&View, UnknownName> {
        let names = self.views.iter().map(|view| &*view.name);
        self.view(name).ok_or_else(|| unknown("view", name, names))
    }

    /// The entity of this name; an error names the nearest.
    pub fn find_entity(&self, name: &str) -> Result<&Entity, UnknownName> {
        let names = self.entities.iter().map(|entity| &*entity.name);
        self.entity(name).ok_or_else(|| unknown("entity", name, names))
    }

    /// The transform of this name; an error names the nearest.
    pub fn find_transform(&self, name: &str) -> Result<&Transform, UnknownName> {
        let names = self.transforms.iter().map(|transform| &*transform.name);
        self.transform(name).ok_or_else(|| unknown("transform", name, names))
    }

    /// A plan for an ad hoc list of features, written as in a service; compiled anew each time.
    pub fn plan_of(&self, features: &[&str]) -> Result<Arc<Plan>, PlanError> {
        crate::plan::build::ad_hoc(self, features).map(Arc::new)
    }

    /// The view of this name.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<&View> {
        let index = self.views.binary_search_by(|view| view.name.as_str().cmp(name)).ok()?;
        Some(&self.views[index])
    }

    /// The entity of this name.
    #[must_use]
    pub fn entity(&self, name: &str) -> Option<&Entity> {
        let index = self.entities.binary_search_by(|e| e.name.as_str().cmp(name)).ok()?;
        Some(&self.entities[index])
    }

    /// The transform of this name.
    #[must_use]
    pub fn transform(&self, name: &str) -> Option<&Transform> {
        let index = self.transforms.binary_search_by(|t| t.name.as_str().cmp(name)).ok()?;
        Some(&self.transforms[index])
    }

    /// The request column of this name.
    #[must_use]
    pub fn request(&self, name: &str) -> Option<&Request> {
        let index = self.requests.binary_search_by(|r| r.field.name.as_str().cmp(name)).ok()?;
        Some(&self.requests[index])
    }

    /// Type of a join key, if an entity is asked under this name.
    #[must_use]
    pub fn join_key(&self, name: &str) -> Option<Type> {
        self.entities.iter().find_map(|entity| entity.join_key(name))
    }
}

fn unknown<'a>(
    kind: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> UnknownName {
    UnknownName { kind, name: name.to_owned(), did_you_mean: names::nearest(name, known) }
}

impl Entity {
    /// The join keys under a role; `None` for the entity itself.
    #[must_use]
    pub fn join_keys_of(&self, role: Option<&str>) -> Option<&[String]> {
        match role {
            None => Some(&self.join_keys),
            Some(role) => {
                self.roles.iter().find(|r| r.name == role).map(|r| r.join_keys.as_slice())
            }
        }
    }

    /// Type of a join key, if this entity is asked under the name.
    #[must_use]
    pub fn join_key(&self, name: &str) -> Option<Type> {
        let lists = std::iter::once(&self.join_keys).chain(self.roles.iter().map(|r| &r.join_keys));
        lists
            .flat_map(|list| list.iter().zip(&self.keys))
            .find(|(join_key, _)| *join_key == name)
            .map(|(_, key)| key.ty)
    }
}

impl View {
    /// The index of a feature.
    #[must_use]
    pub fn feature_index(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|feature| feature.name == name)
    }
}

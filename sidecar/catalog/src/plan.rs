//! A feature service compiled to indexes: lookups, steps, slots; not how it is read or run.
//!
//! A plan is built once, when definitions are loaded, and shared read-only. It holds names only for
//! errors, headers and people: running it needs none of them. Every value a request touches has a
//! *slot*, a column of the frame: stored features, request values, keys used as inputs, constants
//! and transform outputs alike. Only what the service needs is in it: a lookup per (view, role) that
//! is asked, the features that are asked, the transforms that are asked, in topological order.

pub(crate) mod build;

use skewless_batch::Type;
use skewless_batch::signature::Field;

use crate::catalog::{UnknownName, ViewId};
use crate::fingerprint::{Digest, Fingerprint};

/// A feature service compiled to indexes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// The service's name; empty for an ad hoc list of features.
    pub service: String,
    /// Content hash of the service with all it depends on.
    pub fingerprint: Fingerprint,
    /// Join-key columns the caller gives, in order of first use; the same names in gRPC and in a spine.
    pub keys: Vec<KeyColumn>,
    /// Request columns the caller gives.
    pub request: Vec<RequestColumn>,
    /// Keys that are also inputs or outputs: (index into `keys`, slot).
    pub key_slots: Vec<(usize, usize)>,
    /// Constants of the definitions: (slot, value).
    pub constants: Vec<(usize, Constant)>,
    /// What is read from the store, one per (view, role).
    pub lookups: Vec<Lookup>,
    /// Transforms in an order in which every input is ready before it is needed.
    pub steps: Vec<Step>,
    /// The answer's columns, in the service's order.
    pub outputs: Vec<Output>,
    /// Every column of the frame.
    pub slots: Vec<Slot>,
}

/// A join-key column the caller gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyColumn {
    /// The join key's name.
    pub name: String,
    /// Its type, one of [`crate::key::KEY_TYPES`].
    pub ty: Type,
}

/// A request column the caller gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestColumn {
    /// The name as declared, without `request.`.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Whether a row may leave it null.
    pub nullable: bool,
    /// The slot it is put into.
    pub slot: usize,
}

/// One read of one view under one role.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lookup {
    /// The view.
    pub view: ViewId,
    /// The view's name.
    pub view_name: String,
    /// The role under which the entity is asked; `None`: the entity itself.
    pub role: Option<String>,
    /// Indexes into [`Plan::keys`], in the view's key order.
    pub keys: Vec<usize>,
    /// What is taken: (feature index in the view, slot).
    pub features: Vec<(usize, usize)>,
}

/// One transform of a plan.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// The transform's name.
    pub transform: String,
    /// The plugin to run.
    pub digest: Digest,
    /// How its instances are treated between calls.
    pub policy: InstancePolicy,
    /// One slot per input of the plugin's signature, in the signature's order.
    pub inputs: Vec<usize>,
    /// The outputs that are needed: (output index in the signature, slot).
    pub outputs: Vec<(usize, usize)>,
    /// ALL outputs of the plugin's signature, in its order; `outputs` points into it.
    pub output_fields: Vec<Field>,
}

/// How a plugin's instance is treated between two calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum InstancePolicy {
    /// Every call finds the clean state of a fresh instance, by restoring its memory. The default.
    #[default]
    Reset,
    /// The instance is reused as the last call left it; for plugins known to be stateless.
    Reused,
    /// Every call gets a new instance.
    Fresh,
}

/// One column of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// The column's name: `view.feature`, `view[role].feature`, `transform.output`, `request.name`,
    /// `entity.name`, or the alias the service gives.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Where its values are.
    pub slot: usize,
    /// Whether a row may be without a value; false only for request columns that are not nullable.
    pub nullable: bool,
}

/// One column of a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slot {
    /// The reference that names it, for people.
    pub name: String,
    /// Its type.
    pub ty: Type,
}

/// A literal given as a transform's input.
#[derive(Clone, PartialEq, Debug)]
pub enum Constant {
    /// No value; only for a nullable input.
    Null,
    /// A bool.
    Bool(bool),
    /// A 32-bit integer.
    Int32(i32),
    /// A 64-bit integer.
    Int64(i64),
    /// A finite 32-bit float.
    Float32(f32),
    /// A finite 64-bit float.
    Float64(f64),
    /// A string.
    Utf8(String),
}

/// Why an ad hoc list of features is no plan.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// A name nobody declared, or a reference nobody can read.
    #[error(transparent)]
    UnknownName(#[from] UnknownName),
    /// The list is empty.
    #[error("expected at least one feature, came none")]
    NoFeatures,
    /// The same feature twice.
    #[error("expected each feature once, came `{name}` twice")]
    Duplicate {
        /// The feature.
        name: String,
    },
    /// More than a limit allows.
    #[error("expected at most {max} {what} ({limit}), came {came}")]
    OverLimit {
        /// What there is too much of.
        what: &'static str,
        /// The limit's name.
        limit: &'static str,
        /// The limit.
        max: usize,
        /// How many came.
        came: usize,
    },
}

impl InstancePolicy {
    /// The word of the definitions.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Reused => "reused",
            Self::Fresh => "fresh",
        }
    }
}

impl Plan {
    /// The index into [`Plan::request`] of a request column.
    #[must_use]
    pub fn request_index(&self, name: &str) -> Option<usize> {
        self.request.iter().position(|column| column.name == name)
    }

    /// The digests of the plugins the plan runs, each once, in order of first use.
    #[must_use]
    pub fn digests(&self) -> Vec<Digest> {
        let mut digests = Vec::new();
        for step in &self.steps {
            if !digests.contains(&step.digest) {
                digests.push(step.digest);
            }
        }
        digests
    }
}

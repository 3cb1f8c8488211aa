//! What the definition files say, each piece with its place; not yet checked against each other.
//!
//! A piece that could not be read is `None` and was reported where it was read: later checks pass
//! over it in silence, so that one mistake gives one message.

mod fields;
pub(crate) mod form;
pub(crate) mod read;

use skewless_batch::Type;

use crate::diagnostic::Span;
use crate::plan::InstancePolicy;
use crate::visibility::Boundary;

/// A piece of a definition with its place.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// A name as it was written.
pub(crate) type Name = Spanned<String>;

/// Everything all files of a folder declare.
#[derive(Default, Debug)]
pub(crate) struct Definitions {
    pub(crate) entities: Vec<EntityDef>,
    pub(crate) views: Vec<ViewDef>,
    pub(crate) requests: Vec<RequestDef>,
    pub(crate) transforms: Vec<TransformDef>,
    pub(crate) services: Vec<ServiceDef>,
    /// Some of a file could not be read: a name that seems unknown may stand there.
    pub(crate) incomplete: bool,
    /// Of which kinds there are definitions without a name.
    pub(crate) nameless: Nameless,
}

/// Kinds of definitions of which one or more can't be named: an unknown name of the kind may be theirs.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Nameless {
    pub(crate) entities: bool,
    /// Views or transforms: what stands at the head of a reference.
    pub(crate) heads: bool,
    pub(crate) requests: bool,
}

#[derive(Debug)]
pub(crate) struct EntityDef {
    pub(crate) name: Name,
    pub(crate) doc: String,
    pub(crate) keys: Vec<ColumnDef>,
    /// A key could not be read: their number is not known.
    pub(crate) keys_broken: bool,
    pub(crate) join_keys: Option<JoinKeysDef>,
    pub(crate) roles: Vec<RoleDef>,
}

/// Join-key names in the order of the entity's keys.
#[derive(Debug)]
pub(crate) struct JoinKeysDef {
    pub(crate) names: Vec<Name>,
    /// A name could not be read: their number is not known.
    pub(crate) broken: bool,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) struct RoleDef {
    pub(crate) name: Name,
    pub(crate) join_keys: Option<JoinKeysDef>,
}

/// A column with a type: an entity key, a feature or a request value.
#[derive(Debug)]
pub(crate) struct ColumnDef {
    pub(crate) name: Name,
    pub(crate) ty: Option<Type>,
    pub(crate) doc: String,
    pub(crate) unit: String,
}

#[derive(Debug)]
pub(crate) struct ViewDef {
    pub(crate) name: Name,
    pub(crate) doc: String,
    pub(crate) entity: Option<Name>,
    pub(crate) ttl_us: Option<i64>,
    pub(crate) boundary: Boundary,
    pub(crate) lag_us: i64,
    pub(crate) features: Vec<ColumnDef>,
    /// A feature could not be read: a name that seems unknown may be its.
    pub(crate) features_broken: bool,
    pub(crate) source: Option<SourceDef>,
}

#[derive(Debug)]
pub(crate) struct SourceDef {
    pub(crate) paths: Vec<Name>,
    pub(crate) event_timestamp: Option<Name>,
    pub(crate) created_timestamp: Option<Name>,
    pub(crate) deleted: Option<Name>,
}

#[derive(Debug)]
pub(crate) struct RequestDef {
    pub(crate) column: ColumnDef,
    pub(crate) nullable: bool,
}

#[derive(Debug)]
pub(crate) struct TransformDef {
    pub(crate) name: Name,
    pub(crate) doc: String,
    pub(crate) plugin: Option<Name>,
    pub(crate) policy: InstancePolicy,
    /// Whether the plugin must have a certificate; `None`: nothing was said.
    pub(crate) require_certificate: Option<bool>,
    pub(crate) inputs: Vec<InputDef>,
    /// Inputs could not be read: one that seems missing may be among them.
    pub(crate) inputs_broken: bool,
}

impl TransformDef {
    /// The plugin as it was written.
    pub(crate) fn plugin_name(&self) -> Option<String> {
        self.plugin.as_ref().map(|plugin| plugin.value.clone())
    }
}

#[derive(Debug)]
pub(crate) struct InputDef {
    pub(crate) name: Name,
    pub(crate) bound: Option<Spanned<Bound>>,
}

/// What an input is bound to, as written.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Bound {
    Reference(String),
    Literal(Literal),
}

/// A constant as written; its type is the input's.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

#[derive(Debug)]
pub(crate) struct ServiceDef {
    pub(crate) name: Name,
    pub(crate) doc: String,
    pub(crate) features: Vec<ServiceFeatureDef>,
}

#[derive(Debug)]
pub(crate) struct ServiceFeatureDef {
    pub(crate) reference: Name,
    pub(crate) alias: Option<Name>,
}

//! Definitions of ours as they are about to be written; not their text (`text.rs`), nor where they came from.

use skewless_batch::Type;

/// Everything that was carried over.
#[derive(Default, Debug)]
pub(super) struct Definitions {
    pub(super) entities: Vec<Entity>,
    pub(super) views: Vec<View>,
    pub(super) requests: Vec<Column>,
    pub(super) transforms: Vec<Transform>,
    pub(super) services: Vec<Service>,
}

#[derive(Debug)]
pub(super) struct Entity {
    pub(super) name: String,
    pub(super) doc: String,
    pub(super) keys: Vec<Key>,
    pub(super) roles: Vec<Role>,
}

/// A key of an entity: of one Feast join key.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Key {
    /// Feast's join key.
    pub(super) feast: String,
    /// As the data files call it.
    pub(super) column: String,
    /// As callers call it.
    pub(super) join_key: String,
    pub(super) ty: Type,
}

#[derive(Debug)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) join_keys: Vec<String>,
}

#[derive(Debug)]
pub(super) struct View {
    pub(super) name: String,
    pub(super) doc: String,
    pub(super) entity: String,
    pub(super) ttl_us: Option<i64>,
    pub(super) features: Vec<Column>,
    pub(super) source: Option<Source>,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) ty: Type,
    pub(super) doc: String,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) event_timestamp: String,
    pub(super) created_timestamp: Option<String>,
}

#[derive(Debug)]
pub(super) struct Transform {
    pub(super) name: String,
    pub(super) doc: String,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Column>,
    /// Feast's source of the function, if the registry has it.
    pub(super) source: Option<String>,
    /// What that takes and gives: "pandas", "python" or "substrait".
    pub(super) mode: String,
}

#[derive(Debug)]
pub(super) struct Input {
    pub(super) column: Column,
    /// What it is bound to.
    pub(super) reference: String,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) doc: String,
    /// References, each with the name that it gets if not its own.
    pub(super) features: Vec<(String, Option<String>)>,
}

impl Transform {
    /// Where its plugin will be, relative to the folder.
    pub(super) fn plugin(&self) -> String {
        format!("plugins/{}.wasm", self.name)
    }
}

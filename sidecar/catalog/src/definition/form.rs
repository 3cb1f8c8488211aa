//! The form of the definition files as tables: which fields a definition has; not their meaning.
//!
//! One table serves the reader and the JSON Schema, so that an editor accepts what the checker
//! accepts. A new field is a row here and a line in `read.rs`.

/// A kind of map in a definition file.
pub(crate) struct Form {
    /// What messages call it.
    pub(crate) kind: &'static str,
    /// Its fields.
    pub(crate) fields: &'static [FieldForm],
}

/// A field of a map.
pub(crate) struct FieldForm {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: Shape,
    pub(crate) doc: &'static str,
}

impl FieldForm {
    /// Whether other definitions lean on what the field holds.
    pub(crate) fn is_needed(&self) -> bool {
        self.required || matches!(self.shape, Shape::Maps(_))
    }
}

/// What a field holds.
pub(crate) enum Shape {
    /// `[a-z][a-z0-9_]*`.
    Identifier,
    /// Any text that is not empty.
    Text,
    /// Any text.
    Doc,
    /// A type.
    Type,
    /// A type that may be a key.
    KeyType,
    /// A duration.
    Duration,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A map.
    Map(&'static Form),
    /// A list of maps.
    Maps(&'static Form),
    /// A list of identifiers.
    Identifiers,
    /// A text or a list of texts.
    Texts,
    /// A reference.
    Reference,
    /// A list of references, each bare or a map.
    References(&'static Form),
    /// A map from input names to references or constants; the form is that of a written-out constant.
    Bindings(&'static Form),
}

const fn required(name: &'static str, shape: Shape, doc: &'static str) -> FieldForm {
    FieldForm { name, required: true, shape, doc }
}

const fn optional(name: &'static str, shape: Shape, doc: &'static str) -> FieldForm {
    FieldForm { name, required: false, shape, doc }
}

pub(crate) static FILE: Form = Form {
    kind: "a definition file",
    fields: &[
        optional("entities", Shape::Maps(&ENTITY), "The things features are about."),
        optional("views", Shape::Maps(&VIEW), "Stored features of entities."),
        optional("requests", Shape::Maps(&REQUEST), "Values the caller gives with a request."),
        optional("transforms", Shape::Maps(&TRANSFORM), "Plugins bound to their inputs."),
        optional("services", Shape::Maps(&SERVICE), "Ordered lists of features, one per model."),
    ],
};

const DOC: &str = "What it is, for people.";
const UNIT: &str = "Unit of the value, such as `km`.";

pub(crate) static ENTITY: Form = Form {
    kind: "an entity",
    fields: &[
        required("name", Shape::Identifier, "Name of the entity."),
        required("keys", Shape::Maps(&KEY), "Key columns, as data files call them; at most 8."),
        optional(
            "as",
            Shape::Identifiers,
            "Join-key names under which the entity itself is asked, one per key; default: the keys' names.",
        ),
        optional("roles", Shape::Maps(&ROLE), "Other join keys under which the entity is asked."),
        optional("doc", Shape::Doc, DOC),
    ],
};

pub(crate) static KEY: Form = Form {
    kind: "a key",
    fields: &[
        required("name", Shape::Identifier, "Name of the key column."),
        required("type", Shape::KeyType, "bool, int32, int64, utf8 or binary."),
        optional("doc", Shape::Doc, DOC),
    ],
};

pub(crate) static ROLE: Form = Form {
    kind: "a role",
    fields: &[
        required("name", Shape::Identifier, "The word in brackets: `view[role].feature`."),
        required("keys", Shape::Identifiers, "Join-key names, one per key of the entity."),
        optional("doc", Shape::Doc, DOC),
    ],
};

pub(crate) static VIEW: Form = Form {
    kind: "a view",
    fields: &[
        required("name", Shape::Identifier, "Name of the view."),
        required("entity", Shape::Identifier, "The entity its features are about."),
        optional("ttl", Shape::Duration, "Greatest age of a value, inclusive; default: any age."),
        optional(
            "boundary",
            Shape::Word(&["inclusive", "exclusive"]),
            "Whether a row may be seen at its own event time; default: inclusive.",
        ),
        optional("lag", Shape::Duration, "Time from known to visible; default: 0s."),
        required("features", Shape::Maps(&FEATURE), "The stored features; at most 1000."),
        optional("source", Shape::Map(&SOURCE), "Its history; default: only ingested."),
        optional("doc", Shape::Doc, DOC),
    ],
};

pub(crate) static FEATURE: Form = Form {
    kind: "a feature",
    fields: &[
        required("name", Shape::Identifier, "Name of the feature and of its column."),
        required("type", Shape::Type, "Type of the value; every stored feature may be null."),
        optional("doc", Shape::Doc, DOC),
        optional("unit", Shape::Doc, UNIT),
    ],
};

pub(crate) static SOURCE: Form = Form {
    kind: "a source",
    fields: &[
        required("path", Shape::Texts, "Parquet path or glob, or a list; relative to the folder."),
        required("event_timestamp", Shape::Text, "Column of the time the fact happened."),
        optional(
            "created_timestamp",
            Shape::Text,
            "Column of the time the fact became known; default: when it happened.",
        ),
        optional("deleted", Shape::Text, "Bool column that marks tombstones; default: none."),
    ],
};

pub(crate) static REQUEST: Form = Form {
    kind: "a request column",
    fields: &[
        required("name", Shape::Identifier, "Name of the column."),
        required("type", Shape::Type, "Type of the value."),
        optional("nullable", Shape::Flag, "Whether a row may leave it null; default: false."),
        optional("doc", Shape::Doc, DOC),
        optional("unit", Shape::Doc, UNIT),
    ],
};

pub(crate) static TRANSFORM: Form = Form {
    kind: "a transform",
    fields: &[
        required("name", Shape::Identifier, "Name of the transform."),
        required("plugin", Shape::Text, "Path of a .wasm relative to the folder, or sha256:<hex>."),
        optional(
            "instance",
            Shape::Word(&["reset", "reused", "fresh"]),
            "How instances are treated between calls; default: reset.",
        ),
        optional(
            "require_certificate",
            Shape::Flag,
            "Whether the plugin must have a certificate that it passed; default: true if instance is reused, else false.",
        ),
        required("inputs", Shape::Bindings(&CONSTANT), "One binding per input of the plugin."),
        optional("doc", Shape::Doc, DOC),
    ],
};

pub(crate) static CONSTANT: Form = Form {
    kind: "a constant",
    fields: &[required("constant", Shape::Doc, "The value, the same in every row.")],
};

pub(crate) static SERVICE: Form = Form {
    kind: "a service",
    fields: &[
        required("name", Shape::Identifier, "Name of the service."),
        required("features", Shape::References(&SERVICE_FEATURE), "What it answers, in order."),
        optional("doc", Shape::Doc, DOC),
    ],
};

pub(crate) static SERVICE_FEATURE: Form = Form {
    kind: "a feature of a service",
    fields: &[
        required("feature", Shape::Reference, "What is answered."),
        optional("as", Shape::Identifier, "Its name in the answer; default: the reference."),
    ],
};

//! Trees to definitions: fields, types, words and names; not references between definitions.

use std::collections::BTreeMap;

use skewless_batch::Type;

use super::form::{self, Form};
use super::{
    Bound, ColumnDef, Definitions, EntityDef, InputDef, JoinKeysDef, Literal, Name, RequestDef,
    RoleDef, ServiceDef, ServiceFeatureDef, SourceDef, Spanned, TransformDef, ViewDef,
};
use crate::diagnostic::{Findings, Span};
use crate::duration;
use crate::key::{KEY_TYPES, is_key_type};
use crate::limit::NAME_BYTES_MAX;
use crate::names::{self, nearest};
use crate::plan::InstancePolicy;
use crate::visibility::Boundary;
use crate::yaml::{Kind, Node, quote};

/// The names of the types, for suggestions.
pub(crate) const TYPE_NAMES: [&str; 12] = [
    "bool",
    "int32",
    "int64",
    "float32",
    "float64",
    "utf8",
    "binary",
    "timestamp",
    "embedding[16]",
    "list<int64>",
    "list<float64>",
    "list<utf8>",
];

/// What people coming from other systems write for a type, and what it is here.
const TYPE_HABITS: [(&str, &str); 12] = [
    ("string", "utf8"),
    ("str", "utf8"),
    ("text", "utf8"),
    ("int", "int64"),
    ("integer", "int64"),
    ("long", "int64"),
    ("float", "float64"),
    ("double", "float64"),
    ("boolean", "bool"),
    ("bytes", "binary"),
    ("datetime", "timestamp"),
    ("unix_timestamp", "timestamp"),
];

/// Adds what one document declares.
pub(crate) fn document(node: &Node, into: &mut Definitions, findings: &mut Findings<'_>) {
    if node.is_null() {
        return;
    }
    let mut reader = Reader { findings };
    let Some(file) = reader.map(node, &form::FILE) else { return };
    reader.each(&file, "entities", &form::ENTITY, |r, m| into.entities.extend(entity(r, m)));
    reader.each(&file, "views", &form::VIEW, |r, m| into.views.extend(view(r, m)));
    reader.each(&file, "requests", &form::REQUEST, |r, m| into.requests.extend(request(r, m)));
    reader.each(&file, "transforms", &form::TRANSFORM, |r, m| {
        into.transforms.extend(transform(r, m));
    });
    reader.each(&file, "services", &form::SERVICE, |r, m| into.services.extend(service(r, m)));
}

fn entity(reader: &mut Reader<'_, '_>, map: &Fields<'_>) -> Option<EntityDef> {
    let mut keys = Vec::new();
    let mut keys_broken = reader.each(map, "keys", &form::KEY, |r, m| {
        let key = column(r, m);
        if let Some(ty) = key.as_ref().and_then(|key| key.ty)
            && !is_key_type(ty)
        {
            let known = KEY_TYPES.map(|ty| ty.to_string()).join(", ");
            let at = m.get("type").map_or(m.span, |node| node.span);
            r.findings.error(at, format!("expected a key type ({known}), came `{ty}`"));
        }
        keys.push(key);
    });
    keys_broken |= keys.iter().any(Option::is_none);
    let keys: Vec<_> = keys.into_iter().flatten().collect();
    let mut roles = Vec::new();
    reader.each(map, "roles", &form::ROLE, |r, m| {
        if let Some(name) = r.identifier(m, "name") {
            roles.push(RoleDef { name, join_keys: r.identifiers(m, "keys") });
        }
    });
    let join_keys = reader.identifiers(map, "as");
    let doc = reader.doc(map, "doc");
    if let Some(node) = map.get("keys")
        && keys.is_empty()
        && !keys_broken
    {
        reader.findings.error(node.span, "expected at least one key, came none");
        keys_broken = true;
    }
    Some(EntityDef {
        name: reader.identifier(map, "name")?,
        doc,
        keys,
        keys_broken,
        join_keys,
        roles,
    })
}

fn view(reader: &mut Reader<'_, '_>, map: &Fields<'_>) -> Option<ViewDef> {
    let mut features = Vec::new();
    let mut features_broken =
        reader.each(map, "features", &form::FEATURE, |r, m| features.push(column(r, m)));
    features_broken |= map.get("features").is_none() || features.iter().any(Option::is_none);
    let features: Vec<_> = features.into_iter().flatten().collect();
    if let Some(node) = map.get("features")
        && features.is_empty()
        && !features_broken
    {
        reader.findings.error(node.span, "expected at least one feature, came none");
    }
    let source =
        map.get("source").and_then(|node| reader.map(node, &form::SOURCE)).map(|map| SourceDef {
            paths: reader.texts(&map, "path"),
            event_timestamp: reader.text(&map, "event_timestamp"),
            created_timestamp: reader.text(&map, "created_timestamp"),
            deleted: reader.text(&map, "deleted"),
        });
    let boundary = reader.word(map, "boundary", &["inclusive", "exclusive"]);
    let boundary = if boundary == Some(1) { Boundary::Exclusive } else { Boundary::Inclusive };
    let (ttl_us, lag_us) = (reader.duration(map, "ttl"), reader.duration(map, "lag"));
    Some(ViewDef {
        doc: reader.doc(map, "doc"),
        entity: reader.identifier(map, "entity"),
        ttl_us,
        boundary,
        lag_us: lag_us.unwrap_or(0),
        features,
        features_broken,
        source,
        name: reader.identifier(map, "name")?,
    })
}

fn request(reader: &mut Reader<'_, '_>, map: &Fields<'_>) -> Option<RequestDef> {
    let nullable = reader.word(map, "nullable", &["false", "true"]) == Some(1);
    Some(RequestDef { nullable, column: column(reader, map)? })
}

fn column(reader: &mut Reader<'_, '_>, map: &Fields<'_>) -> Option<ColumnDef> {
    let ty = reader.ty(map, "type");
    let (doc, unit) = (reader.doc(map, "doc"), reader.doc(map, "unit"));
    Some(ColumnDef { name: reader.identifier(map, "name")?, ty, doc, unit })
}

fn transform(reader: &mut Reader<'_, '_>, map: &Fields<'_>) -> Option<TransformDef> {
    let policy = match reader.word(map, "instance", &["reset", "reused", "fresh"]) {
        Some(1) => InstancePolicy::Reused,
        Some(2) => InstancePolicy::Fresh,
        _ => InstancePolicy::Reset,
    };
    let (inputs, inputs_broken) = inputs(reader, map);
    let plugin = reader.text(map, "plugin");
    if let Some(plugin) = &plugin
        && let Some(hex) = plugin.value.strip_prefix("sha256:")
        && let Err(error) = hex.parse::<crate::fingerprint::Digest>()
    {
        reader.findings.error(plugin.span, error.to_string());
    }
    Some(TransformDef {
        doc: reader.doc(map, "doc"),
        plugin,
        policy,
        inputs,
        inputs_broken,
        name: reader.identifier(map, "name")?,
    })
}

/// The bindings of a transform. `true`: some could not be read.
fn inputs(reader: &mut Reader<'_, '_>, map: &Fields<'_>) -> (Vec<InputDef>, bool) {
    let Some(node) = map.get("inputs") else { return (Vec::new(), true) };
    let entries = match &node.kind {
        Kind::Map(entries) => entries,
        _ if node.is_null() => return (Vec::new(), node.broken),
        _ => {
            let message =
                format!("expected a map of inputs to what they are bound to, came {}", node.came());
            reader.findings.error(node.span, message);
            return (Vec::new(), true);
        }
    };
    let mut seen = BTreeMap::new();
    let mut inputs = Vec::new();
    for (key, value) in entries {
        if let Some(first) = seen.insert(key.text.as_str(), key.span) {
            let message = format!(
                "expected each input once, came {} twice; first in {}",
                quote(&key.text),
                reader.findings.place(first)
            );
            reader.findings.error(key.span, message);
            continue;
        }
        let name = Spanned { value: key.text.clone(), span: key.span };
        inputs.push(InputDef { name, bound: bound(reader, value) });
    }
    (inputs, node.broken)
}

fn bound(reader: &mut Reader<'_, '_>, node: &Node) -> Option<Spanned<Bound>> {
    let span = node.span;
    let value = match &node.kind {
        Kind::Scalar { text, plain } => match literal(node, text, *plain) {
            Literal::Text(text) => Bound::Reference(text),
            literal => Bound::Literal(literal),
        },
        Kind::Map(_) => {
            let map = reader.map(node, &form::CONSTANT)?;
            let value = map.get("constant")?;
            let Kind::Scalar { text, plain } = &value.kind else {
                let message = format!("expected a number, bool or text, came {}", value.came());
                reader.findings.error(value.span, message);
                return None;
            };
            return Some(Spanned {
                value: Bound::Literal(literal(value, text, *plain)),
                span: value.span,
            });
        }
        Kind::List(_) => {
            reader.findings.error(
                span,
                "expected a reference such as view.feature or a constant, came a list",
            );
            return None;
        }
    };
    Some(Spanned { value, span })
}

fn literal(node: &Node, text: &str, plain: bool) -> Literal {
    let float_like = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    match text {
        _ if !plain => Literal::Text(text.to_owned()),
        _ if node.is_null() => Literal::Null,
        "true" => Literal::Bool(true),
        "false" => Literal::Bool(false),
        _ => {
            if let Ok(int) = text.parse() {
                Literal::Int(int)
            } else if let Some(float) = text.parse().ok().filter(|_| float_like) {
                Literal::Float(float)
            } else {
                Literal::Text(text.to_owned())
            }
        }
    }
}

fn service(reader: &mut Reader<'_, '_>, map: &Fields<'_>) -> Option<ServiceDef> {
    let mut features = Vec::new();
    if let Some(node) = map.get("features") {
        match &node.kind {
            Kind::List(items) => {
                features.extend(items.iter().filter_map(|item| service_feature(reader, item)));
                if items.is_empty() && !node.broken {
                    reader.findings.error(node.span, "expected at least one feature, came none");
                }
            }
            _ => reader
                .findings
                .error(node.span, format!("expected a list of features, came {}", node.came())),
        }
    }
    Some(ServiceDef {
        doc: reader.doc(map, "doc"),
        features,
        name: reader.identifier(map, "name")?,
    })
}

fn service_feature(reader: &mut Reader<'_, '_>, node: &Node) -> Option<ServiceFeatureDef> {
    if let Kind::Map(_) = node.kind {
        let map = reader.map(node, &form::SERVICE_FEATURE)?;
        let alias = reader.identifier(&map, "as");
        return Some(ServiceFeatureDef { reference: reader.text(&map, "feature")?, alias });
    }
    Some(ServiceFeatureDef {
        reference: reader.text_of(node, "a reference such as view.feature")?,
        alias: None,
    })
}

/// The fields of one map, unknown and repeated ones already reported.
struct Fields<'t> {
    entries: BTreeMap<&'static str, &'t Node>,
    span: Span,
}

impl<'t> Fields<'t> {
    fn get(&self, name: &str) -> Option<&'t Node> {
        self.entries.get(name).copied()
    }
}

struct Reader<'r, 'f> {
    findings: &'r mut Findings<'f>,
}

impl Reader<'_, '_> {
    /// The fields of a map by its form; reports what is not a map, unknown, repeated or missing.
    fn map<'t>(&mut self, node: &'t Node, form: &Form) -> Option<Fields<'t>> {
        let Kind::Map(nodes) = &node.kind else {
            let fields = form.fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
            let message =
                format!("expected {} as a map with {fields}; came {}", form.kind, node.came());
            self.findings.error(node.span, message);
            return None;
        };
        let mut entries: BTreeMap<&'static str, (&Node, Span)> = BTreeMap::new();
        for (key, value) in nodes {
            let Some(field) = form.fields.iter().find(|field| field.name == key.text) else {
                let known = form.fields.iter().map(|field| field.name);
                let message =
                    format!("expected a field of {}, came {}", form.kind, quote(&key.text));
                let meant = nearest(&key.text, known);
                self.findings.error_meaning(key.span, message, meant);
                continue;
            };
            match entries.get(field.name) {
                None => _ = entries.insert(field.name, (value, key.span)),
                Some((_, first)) => {
                    let first = self.findings.place(*first);
                    let message =
                        format!("expected `{}` once, came twice; first in {first}", field.name);
                    self.findings.error(key.span, message);
                }
            }
        }
        let missing = form.fields.iter().filter(|field| field.required && !node.broken);
        for field in missing.filter(|field| !entries.contains_key(field.name)) {
            // A field that is there under a mistyped name was reported once already.
            let mistyped = nodes.iter().any(|(key, _)| {
                nearest(&key.text, [field.name]).is_some()
                    && form.fields.iter().all(|field| field.name != key.text)
            });
            if !mistyped {
                let at = Span { len: node.span.len.min(1), ..node.span };
                self.findings
                    .error(at, format!("expected `{}` in {}, came none", field.name, form.kind));
            }
        }
        let entries = entries.into_iter().map(|(name, (node, _))| (name, node)).collect();
        Some(Fields { entries, span: node.span })
    }

    /// Reads each map of a list. `true`: some could not be read.
    fn each<'t>(
        &mut self,
        map: &Fields<'t>,
        field: &str,
        form: &Form,
        mut take: impl FnMut(&mut Self, &Fields<'t>),
    ) -> bool {
        let Some(node) = map.get(field) else { return false };
        let Kind::List(items) = &node.kind else {
            if node.is_null() {
                return node.broken;
            }
            let message = format!("expected a list for `{field}`, came {}", node.came());
            self.findings.error(node.span, message);
            return true;
        };
        let mut broken = node.broken;
        for item in items {
            match self.map(item, form) {
                Some(fields) => take(self, &fields),
                None => broken = true,
            }
            broken |= item.broken;
        }
        broken
    }

    fn text_of(&mut self, node: &Node, expected: &str) -> Option<Name> {
        match &node.kind {
            Kind::Scalar { text, .. } if !text.is_empty() && !node.is_null() => {
                Some(Spanned { value: text.clone(), span: node.span })
            }
            _ => {
                let came = if let Kind::Scalar { .. } = node.kind {
                    "nothing".to_owned()
                } else {
                    node.came()
                };
                self.findings.error(node.span, format!("expected {expected}, came {came}"));
                None
            }
        }
    }

    fn text(&mut self, map: &Fields<'_>, field: &str) -> Option<Name> {
        let node = map.get(field)?;
        self.text_of(node, &format!("a text for `{field}`"))
    }

    fn doc(&mut self, map: &Fields<'_>, field: &str) -> String {
        match map.get(field) {
            None => String::new(),
            Some(Node { kind: Kind::Scalar { text, .. }, .. }) => text.clone(),
            Some(node) => {
                let message = format!("expected a text for `{field}`, came {}", node.came());
                self.findings.error(node.span, message);
                String::new()
            }
        }
    }

    fn texts(&mut self, map: &Fields<'_>, field: &str) -> Vec<Name> {
        let Some(node) = map.get(field) else { return Vec::new() };
        let expected = format!("a text or a list of texts for `{field}`");
        let Kind::List(items) = &node.kind else {
            return self.text_of(node, &expected).into_iter().collect();
        };
        if items.is_empty() && !node.broken {
            self.findings.error(node.span, format!("expected {expected}, came an empty list"));
        }
        items.iter().filter_map(|item| self.text_of(item, &expected)).collect()
    }

    fn identifier(&mut self, map: &Fields<'_>, field: &str) -> Option<Name> {
        let node = map.get(field)?;
        self.identifier_of(node, field)
    }

    fn identifier_of(&mut self, node: &Node, field: &str) -> Option<Name> {
        let name = self.text_of(node, &format!("a name for `{field}`"))?;
        if name.value.len() > NAME_BYTES_MAX {
            let message = format!(
                "expected a name of at most {NAME_BYTES_MAX} bytes (NAME_BYTES_MAX), came {}",
                name.value.len()
            );
            self.findings.error(name.span, message);
            return None;
        }
        if !names::is_identifier(&name.value) {
            let message = format!(
                "expected a name of a-z, 0-9 and _ that begins with a letter, came {}",
                quote(&name.value)
            );
            self.findings.error_meaning(name.span, message, names::identifier_like(&name.value));
            return None;
        }
        Some(name)
    }

    fn identifiers(&mut self, map: &Fields<'_>, field: &str) -> Option<JoinKeysDef> {
        let node = map.get(field)?;
        let Kind::List(items) = &node.kind else {
            let message = format!("expected a list of names for `{field}`, came {}", node.came());
            self.findings.error(node.span, message);
            return None;
        };
        let read: Vec<_> = items.iter().map(|item| self.identifier_of(item, field)).collect();
        let broken = node.broken || read.iter().any(Option::is_none);
        Some(JoinKeysDef { names: read.into_iter().flatten().collect(), broken, span: node.span })
    }

    /// Index of the word that came.
    fn word(&mut self, map: &Fields<'_>, field: &str, words: &[&str]) -> Option<usize> {
        let node = map.get(field)?;
        if let Kind::Scalar { text, .. } = &node.kind {
            if let Some(index) = words.iter().position(|word| word == text) {
                return Some(index);
            }
            let meant = nearest(text, words.iter().copied());
            let message =
                format!("expected {} for `{field}`, came {}", words.join(" or "), node.came());
            self.findings.error_meaning(node.span, message, meant);
        } else {
            let message =
                format!("expected {} for `{field}`, came {}", words.join(" or "), node.came());
            self.findings.error(node.span, message);
        }
        None
    }

    fn duration(&mut self, map: &Fields<'_>, field: &str) -> Option<i64> {
        let text = self.text(map, field)?;
        duration::parse(&text.value)
            .map_err(|error| self.findings.error(text.span, format!("`{field}`: {error}")))
            .ok()
    }

    fn ty(&mut self, map: &Fields<'_>, field: &str) -> Option<Type> {
        let text = self.text(map, field)?;
        match text.value.parse() {
            Ok(ty) => Some(ty),
            Err(_) => {
                let habit =
                    TYPE_HABITS.iter().find(|(habit, _)| text.value.eq_ignore_ascii_case(habit));
                let meant = match habit {
                    Some((_, ours)) => Some((*ours).to_owned()),
                    None => nearest(&text.value.to_ascii_lowercase(), TYPE_NAMES),
                };
                let known = TYPE_NAMES.join(", ");
                let message = format!("expected a type ({known}), came {}", quote(&text.value));
                self.findings.error_meaning(text.span, message, meant);
                None
            }
        }
    }
}

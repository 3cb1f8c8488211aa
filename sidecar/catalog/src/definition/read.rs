//! Trees to definitions: fields, types, words and names; not references between definitions.

use std::collections::BTreeMap;

use super::fields::{Fields, Reader};
use super::form;
use super::{
    Bound, ColumnDef, Definitions, EntityDef, InputDef, Literal, RequestDef, RoleDef, ServiceDef,
    ServiceFeatureDef, SourceDef, Spanned, TransformDef, ViewDef,
};
use crate::diagnostic::Findings;
use crate::fingerprint::Digest;
use crate::key::{KEY_TYPES, is_key_type};
use crate::names::nearest;
use crate::plan::InstancePolicy;
use crate::visibility::Boundary;
use crate::yaml::{Key, Kind, Node, quote};

/// Adds what one document declares.
pub(crate) fn document(node: &Node, into: &mut Definitions, findings: &mut Findings<'_>) {
    if node.is_null() {
        return;
    }
    if let Kind::Map(entries) = &node.kind
        && !node.broken
        && is_foreign(entries)
    {
        return foreign(entries, into, findings);
    }
    let mut reader = Reader { findings };
    let Some(file) = reader.map(node, &form::FILE) else { return };
    let nameless = &mut into.nameless;
    nameless.entities |=
        named(&mut reader, &file, "entities", &form::ENTITY, &mut into.entities, entity);
    nameless.heads |= named(&mut reader, &file, "views", &form::VIEW, &mut into.views, view);
    nameless.requests |=
        named(&mut reader, &file, "requests", &form::REQUEST, &mut into.requests, request);
    nameless.heads |=
        named(&mut reader, &file, "transforms", &form::TRANSFORM, &mut into.transforms, transform);
    named(&mut reader, &file, "services", &form::SERVICE, &mut into.services, service);
}

/// Whether a document seems to be another tool's: nothing in it is like a field of a definition file, or such a field
/// holds a map where ours is a list, as `services` of Docker Compose does.
fn is_foreign(entries: &[(Key, Node)]) -> bool {
    let like_ours = |(key, value): &(Key, Node)| match is_field(key) {
        true => !matches!(value.kind, Kind::Map(_)),
        false => nearest(&key.text, form::FILE.fields.iter().map(|field| field.name)).is_some(),
    };
    !entries.is_empty() && !entries.iter().any(like_ours)
}

fn is_field(key: &Key) -> bool {
    form::FILE.fields.iter().any(|field| field.name == key.text)
}

/// Reports such a document, once, instead of each of its fields.
fn foreign(entries: &[(Key, Node)], into: &mut Definitions, findings: &mut Findings<'_>) {
    const SHOWN_MAX: usize = 4;
    let shown = entries.iter().take(SHOWN_MAX).map(|(key, _)| {
        let map = if is_field(key) { " (a map)" } else { "" };
        format!("{}{map}", quote(&key.text))
    });
    let shown: Vec<String> = shown.collect();
    let message = format!(
        "expected a definition file, with lists of entities, views, requests, transforms or services, came {}; a file \
         that is for another tool goes into a folder of its own: every *.yaml and *.yml directly here is read",
        shown.join(", ")
    );
    findings.error(entries[0].0.span, message);
    // It may be ours all the same: then its definitions are those that seem to be missing.
    let has = |name: &str| entries.iter().any(|(key, _)| key.text == name);
    into.nameless.entities |= has("entities");
    into.nameless.heads |= has("views") || has("transforms");
    into.nameless.requests |= has("requests");
}

/// Adds the definitions of one kind. `true`: some have no name that could be read.
fn named<'r, 'f, T>(
    reader: &mut Reader<'r, 'f>,
    file: &Fields<'_>,
    field: &str,
    form: &form::Form,
    into: &mut Vec<T>,
    read: fn(&mut Reader<'r, 'f>, &Fields<'_>) -> Option<T>,
) -> bool {
    let mut nameless = false;
    let broken = reader.each(file, field, form, |reader, map| match read(reader, map) {
        Some(definition) => into.push(definition),
        None => nameless = true,
    });
    broken || nameless
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
        name: reader.declared(map, "name")?,
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
        name: reader.declared(map, "name")?,
    })
}

fn request(reader: &mut Reader<'_, '_>, map: &Fields<'_>) -> Option<RequestDef> {
    let nullable = reader.word(map, "nullable", &["false", "true"]) == Some(1);
    let ty = reader.ty(map, "type");
    let (doc, unit) = (reader.doc(map, "doc"), reader.doc(map, "unit"));
    let column = ColumnDef { name: reader.declared(map, "name")?, ty, doc, unit };
    Some(RequestDef { nullable, column })
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
    let require_certificate = reader.word(map, "require_certificate", &["false", "true"]);
    let (inputs, inputs_broken) = inputs(reader, map);
    let plugin = reader.text(map, "plugin").filter(|plugin| {
        let hex = plugin.value.strip_prefix("sha256:").map(str::parse::<Digest>);
        if let Some(Err(error)) = &hex {
            reader.findings.error(plugin.span, error.to_string());
        }
        !matches!(hex, Some(Err(_)))
    });
    Some(TransformDef {
        doc: reader.doc(map, "doc"),
        plugin,
        policy,
        require_certificate: require_certificate.map(|word| word == 1),
        inputs,
        inputs_broken,
        name: reader.declared(map, "name")?,
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
    Some(ServiceDef { doc: reader.doc(map, "doc"), features, name: reader.declared(map, "name")? })
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

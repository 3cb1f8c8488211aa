//! The schema accepts what the reader accepts and refuses what it refuses, as far as it can know.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::catalog::SourceFile;
use crate::diagnostic::Findings;
use crate::yaml::{self, Kind, Node};

/// A YAML node as an editor's YAML server would see it.
fn json_of(node: &Node) -> Value {
    match &node.kind {
        Kind::List(items) => Value::Array(items.iter().map(json_of).collect()),
        Kind::Map(entries) => Value::Object(
            entries.iter().map(|(key, node)| (key.text.clone(), json_of(node))).collect(),
        ),
        Kind::Scalar { .. } if node.is_null() => Value::Null,
        Kind::Scalar { text, plain: true } => match text.as_str() {
            "true" | "false" => json!(text == "true"),
            _ => text.parse::<f64>().map_or_else(|_| json!(text), |number| json!(number)),
        },
        Kind::Scalar { text, .. } => json!(text),
    }
}

/// Judges by the keywords this schema uses; patterns are left to the editor.
fn accepts(schema: &Value, value: &Value) -> bool {
    let of_type = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    };
    let list = |keyword: &str| schema[keyword].as_array().cloned().unwrap_or_default();
    let type_fits = match &schema["type"] {
        Value::String(name) => of_type(name),
        Value::Array(names) => names.iter().any(|name| of_type(name.as_str().unwrap())),
        _ => true,
    };
    let words = list("enum");
    let any = list("anyOf");
    let fields_fit = value.as_object().is_none_or(|fields| {
        let required = list("required");
        required.iter().all(|name| fields.contains_key(name.as_str().unwrap()))
            && fields.iter().all(|(name, value)| match schema["properties"].get(name) {
                Some(property) => accepts(property, value),
                None => match &schema["additionalProperties"] {
                    Value::Bool(open) => *open,
                    Value::Null => true,
                    schema => accepts(schema, value),
                },
            })
    });
    let items_fit = value.as_array().is_none_or(|items| {
        items.len() as u64 >= schema["minItems"].as_u64().unwrap_or(0)
            && (schema["items"].is_null()
                || items.iter().all(|item| accepts(&schema["items"], item)))
    });
    let booleans_are_words = words.iter().any(|word| word == value);
    type_fits
        && (words.is_empty() || booleans_are_words)
        && (any.is_empty() || any.iter().any(|schema| accepts(schema, value)))
        && fields_fit
        && items_fit
}

fn documents(text: &str) -> Vec<Value> {
    let files = [SourceFile { path: "a.yaml".into(), text: text.into() }];
    let mut findings = Findings::new(&files);
    let (nodes, broken) = yaml::read(0, text, &mut findings);
    assert!(!broken, "{text}");
    nodes.iter().map(json_of).collect()
}

fn schema_value() -> Value {
    serde_json::from_str(&schema()).unwrap()
}

#[test]
fn the_documented_example_is_accepted() {
    let page = include_str!("../../../../docs/definitions.md");
    let example = page.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let documents = documents(example);
    assert_eq!(documents.len(), 1);
    assert!(accepts(&schema_value(), &documents[0]));
}

#[test]
fn mistakes_of_form_are_refused() {
    let schema = schema_value();
    for text in [
        "feature_views: []",
        "entities: [airport]",
        "entities: [{name: a}]",
        "entities: [{name: a, keys: [{name: k, type: float64}]}]",
        "views: [{name: v, entity: e, features: [], tll: 3h}]",
        "views: [{name: v, entity: e, features: [], boundary: never}]",
        "views: [{name: v, entity: e, features: [], source: {path: x}}]",
        "requests: [{name: r, type: bool, nullable: maybe}]",
        "transforms: [{name: t, plugin: p, inputs: [a]}]",
        "transforms: [{name: t, plugin: p, inputs: {a: [1]}}]",
        "transforms: [{name: t, plugin: p, inputs: {}, instance: pooled}]",
        "transforms: [{name: t, plugin: p, inputs: {}, require_certificate: maybe}]",
        "services: [{name: s, features: []}]",
        "services: [{name: s, features: [{as: x}]}]",
    ] {
        assert!(!accepts(&schema, &documents(text)[0]), "{text}");
    }
}

/// The forms hold every field the documentation names and the other way round.
#[test]
fn every_field_is_documented() {
    let page = include_str!("../../../../docs/definitions.md");
    for form in [
        &form::ENTITY,
        &form::VIEW,
        &form::REQUEST,
        &form::TRANSFORM,
        &form::SERVICE,
        &form::SOURCE,
    ] {
        for field in form.fields {
            assert!(page.contains(field.name), "{} of {}", field.name, form.kind);
            assert!(!field.doc.is_empty(), "{} of {}", field.name, form.kind);
        }
    }
}

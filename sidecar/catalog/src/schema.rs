//! The JSON Schema of definition files, for editors; made from the reader's own tables.
//!
//! Draft 2020-12. It knows fields, required ones, words and patterns; what definitions say about
//! each other only the checker knows.

use serde_json::{Map, Value, json};

use crate::definition::form::{self, FieldForm, Form, Shape};
use crate::key::KEY_TYPES;
use crate::limit::NAME_BYTES_MAX;

const TYPE_PATTERN: &str = "^(bool|int32|int64|float32|float64|utf8|binary|timestamp|\
     embedding\\[[1-9][0-9]*\\]|list<(int64|float64|utf8)>)$";
const DURATION_PATTERN: &str =
    "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?$";
const REFERENCE_PATTERN: &str = "^[a-z][a-z0-9_]*(\\[[a-z][a-z0-9_]*\\])?\\.[a-z][a-z0-9_]*$";

/// The schema as JSON text, indented.
#[must_use]
pub fn schema() -> String {
    let mut schema = map(&form::FILE);
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!("Skewless definitions"));
    format!("{:#}\n", Value::Object(schema))
}

fn map(form: &Form) -> Map<String, Value> {
    let properties: Map<String, Value> = form
        .fields
        .iter()
        .map(|field| (field.name.to_owned(), Value::Object(property(field))))
        .collect();
    let required: Vec<&str> =
        form.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = Map::new();
    schema.insert("type".into(), json!("object"));
    schema.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    schema.insert("additionalProperties".into(), json!(false));
    schema
}

fn property(field: &FieldForm) -> Map<String, Value> {
    let mut schema = shape(&field.shape);
    if !field.required
        && let Some(Value::String(ty)) = schema.get("type").cloned()
        && ty == "array"
    {
        schema.insert("type".into(), json!(["array", "null"]));
    }
    schema.insert("description".into(), json!(field.doc));
    schema
}

fn shape(shape: &Shape) -> Map<String, Value> {
    let identifier =
        json!({"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": NAME_BYTES_MAX});
    let reference = json!({"type": "string", "pattern": REFERENCE_PATTERN});
    let scalar = json!(["string", "number", "boolean", "null"]);
    let schema = match shape {
        Shape::Identifier => identifier,
        Shape::Text => json!({"type": "string", "minLength": 1}),
        Shape::Doc => json!({"type": scalar}),
        Shape::Type => json!({"type": "string", "pattern": TYPE_PATTERN}),
        Shape::KeyType => json!({"enum": KEY_TYPES.map(|ty| ty.to_string())}),
        Shape::Duration => json!({"type": "string", "pattern": DURATION_PATTERN}),
        Shape::Word(words) => json!({"enum": words}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Map(form) => Value::Object(map(form)),
        Shape::Maps(form) => json!({"type": "array", "items": map(form)}),
        Shape::Identifiers => json!({"type": "array", "minItems": 1, "items": identifier}),
        Shape::Texts => {
            let text = json!({"type": "string", "minLength": 1});
            json!({"anyOf": [text, {"type": "array", "minItems": 1, "items": text}]})
        }
        Shape::Reference => reference,
        Shape::References(form) => {
            json!({"type": "array", "minItems": 1, "items": {"anyOf": [reference, map(form)]}})
        }
        Shape::Bindings(form) => {
            let bound =
                json!({"anyOf": [reference, {"type": ["number", "boolean", "null"]}, map(form)]});
            json!({"type": ["object", "null"], "additionalProperties": bound})
        }
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;

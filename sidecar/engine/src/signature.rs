//! Reads and writes a plugin's signature as JSON; not the signature itself, which is in the batch crate.
//!
//! The form: `{"abi":1,"name":..,"version":..,"doc":..,"inputs":[{"name","type","nullable","doc",
//! "unit"}],"outputs":[..]}`. `doc`, `unit` and `version` may be left out, `nullable` too (false);
//! all but `doc` are without control characters, as they are shown;
//! fields this version doesn't know are ignored, so that a later SDK may add some.
//! The ABI version is looked at first: another version may have another form.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use skewless_batch::abi::ABI_VERSION;
use skewless_batch::{COLUMNS_MAX, Field, Signature, Type};

use crate::config::EngineConfig;
use crate::error::{PluginError, bounded};

/// The signature in a section's bytes.
pub(crate) fn parse(bytes: &[u8], bytes_max: usize) -> Result<Signature, PluginError> {
    let wrong = |message: String| PluginError::Signature(bounded(&message).to_owned());
    if bytes.len() > bytes_max {
        let came = bytes.len();
        return Err(wrong(format!(
            "{came} bytes, expected at most {bytes_max} (signature_bytes_max)"
        )));
    }
    let version: JsonVersion = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
    if version.abi != ABI_VERSION {
        return Err(PluginError::Abi { expected: ABI_VERSION, came: version.abi });
    }
    let json: JsonSignature = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
    let signature = Signature {
        abi: version.abi,
        name: json.name,
        version: json.version,
        doc: json.doc,
        inputs: fields("input", json.inputs).map_err(wrong)?,
        outputs: fields("output", json.outputs).map_err(wrong)?,
    };
    if signature.name.is_empty() {
        return Err(wrong("an empty name".to_owned()));
    }
    printable("the plugin's name", &signature.name).map_err(wrong)?;
    printable("the version", &signature.version).map_err(wrong)?;
    if signature.outputs.is_empty() {
        return Err(wrong("no outputs, expected at least one".to_owned()));
    }
    Ok(signature)
}

/// What is wrong with the JSON of a signature, by the limits of an engine that isn't configured; for who builds plugins.
pub fn check(json: &[u8]) -> Result<(), PluginError> {
    parse(json, EngineConfig::default().signature_bytes_max).map(|_| ())
}

/// The signature as the JSON of the section, for tools that make or show plugins.
#[must_use]
pub fn to_json(signature: &Signature) -> String {
    let fields = |of: &[Field]| of.iter().map(JsonField::from).collect();
    let json = JsonSignature {
        abi: signature.abi,
        name: signature.name.clone(),
        version: signature.version.clone(),
        doc: signature.doc.clone(),
        inputs: fields(&signature.inputs),
        outputs: fields(&signature.outputs),
    };
    serde_json::to_string(&json).expect("strings and booleans are always JSON")
}

#[derive(Deserialize)]
struct JsonVersion {
    abi: u32,
}

#[derive(Serialize, Deserialize)]
struct JsonSignature {
    abi: u32,
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    doc: String,
    inputs: Vec<JsonField>,
    outputs: Vec<JsonField>,
}

#[derive(Serialize, Deserialize)]
struct JsonField {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    #[serde(default)]
    nullable: bool,
    #[serde(default)]
    doc: String,
    #[serde(default)]
    unit: String,
}

impl From<&Field> for JsonField {
    fn from(field: &Field) -> Self {
        Self {
            name: field.name.clone(),
            ty: field.ty.to_string(),
            nullable: field.nullable,
            doc: field.doc.clone(),
            unit: field.unit.clone(),
        }
    }
}

fn fields(what: &str, json: Vec<JsonField>) -> Result<Vec<Field>, String> {
    // One output column is kept free for errors.
    if json.len() >= COLUMNS_MAX {
        return Err(format!("{} {what}s, expected fewer than {COLUMNS_MAX}", json.len()));
    }
    let mut names = HashSet::new();
    let field = |json: JsonField| {
        let JsonField { name, ty, nullable, doc, unit } = json;
        if name.is_empty() {
            return Err(format!("an {what} without a name"));
        }
        if !names.insert(name.clone()) {
            return Err(format!("{what} `{name}` twice"));
        }
        printable(&format!("the name of an {what}"), &name)?;
        printable(&format!("the unit of {what} `{name}`"), &unit)?;
        let ty: Type =
            ty.parse().map_err(|_| format!("type `{ty}` of {what} `{name}`, which is none"))?;
        Ok(Field { name, ty, nullable, doc, unit })
    };
    json.into_iter().map(field).collect()
}

/// Refuses text that a terminal would do something else with than show it in its line.
fn printable(what: &str, text: &str) -> Result<(), String> {
    match text.chars().any(char::is_control) {
        true => Err(format!("control characters in {what}, {text:?}")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        let error = parse(json.as_bytes(), 1 << 20).expect_err("a bad signature");
        assert!(error.to_string().contains(expected), "expected `{expected}` in `{error}`");
    }

    #[test]
    fn a_signature_goes_to_json_and_back() {
        let mut field = Field::new("x", Type::Embedding(4), true);
        (field.doc, field.unit) = ("what".into(), "km".into());
        let signature = Signature {
            abi: 1,
            name: "t".into(),
            version: "2".into(),
            doc: "d".into(),
            inputs: vec![field.clone()],
            outputs: vec![field, Field::new("y", Type::ListUtf8, false)],
        };
        assert_eq!(parse(to_json(&signature).as_bytes(), 1 << 20), Ok(signature));
    }

    #[test]
    fn optional_parts_may_be_left_out_and_unknown_ones_are_ignored() {
        let json =
            r#"{"abi":1,"name":"t","later":[],"inputs":[],"outputs":[{"name":"y","type":"bool"}]}"#;
        let signature = parse(json.as_bytes(), 1 << 20).expect("a signature");
        assert_eq!(signature.outputs, [Field::new("y", Type::Bool, false)]);
    }

    #[test]
    fn every_bad_signature_says_what_is_wrong() {
        let with = |inputs: &str, outputs: &str| {
            format!(r#"{{"abi":1,"name":"t","inputs":[{inputs}],"outputs":[{outputs}]}}"#)
        };
        let x = r#"{"name":"x","type":"int64"}"#;
        check("not json", "expected");
        check("\u{0}", "expected");
        check(r#"{"abi":2}"#, "expected abi 1, came 2");
        check(r#"{"abi":1,"name":"t"}"#, "missing field `inputs`");
        check(r#"{"abi":1,"name":"","inputs":[],"outputs":[]}"#, "an empty name");
        check(&with(x, ""), "no outputs");
        check(&with(&format!("{x},{x}"), x), "input `x` twice");
        check(&with(x, r#"{"name":"y","type":"int65"}"#), "type `int65` of output `y`");
        check(&with(r#"{"name":"","type":"int64"}"#, x), "an input without a name");
        check(&with(r#"{"name":"a\nb","type":"int64"}"#, x), r#"the name of an input, "a\nb""#);
        check(&with(r#"{"name":"a","type":"int64","unit":"\u001b"}"#, x), "the unit of input `a`");
        let red = r#"{"abi":1,"name":"a\u001b[31m","inputs":[],"outputs":[]}"#;
        check(red, r#"the plugin's name, "a\u{1b}[31m""#);
        let long = parse(with(x, x).as_bytes(), 10).expect_err("over the limit");
        assert!(long.to_string().contains("signature_bytes_max"));
        let many: Vec<_> =
            (0..COLUMNS_MAX).map(|i| format!(r#"{{"name":"c{i}","type":"bool"}}"#)).collect();
        check(&with(&many.join(","), x), "expected fewer than");
    }
}

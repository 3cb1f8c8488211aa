//! The JSON of a signature that the compiler writes is the JSON of that signature, whatever stands in it.

use serde_json::Value as Json;
use skewless::glue::{json, json_len};
use skewless::{FieldSpec, Signature, SignatureSpec, Type};

const fn field(name: &'static str, ty: Type, nullable: bool, doc: &'static str) -> FieldSpec {
    FieldSpec { name, ty, nullable, doc, unit: "µm/\"s\"" }
}

/// Everything that JSON escapes, and what it doesn't; every type.
const ODD: SignatureSpec = SignatureSpec {
    name: "quotes \" backslashes \\ slashes /",
    version: "1.0.0+\u{1}\u{1f}\u{7f}",
    doc: "lines\nand\r\ttabs \u{8}\u{c}\0, żółć, 日本, 🛫, \u{2028}, \u{feff}, </script>",
    inputs: &[
        field("bool", Type::Bool, false, ""),
        field("int32", Type::Int32, true, "\\"),
        field("int64", Type::Int64, false, "\""),
        field("float32", Type::Float32, false, "\n"),
        field("float64", Type::Float64, false, "\\\"\\\\n"),
        field("utf8", Type::Utf8, false, "é"),
        field("binary", Type::Binary, false, ""),
        field("timestamp", Type::Timestamp, false, ""),
        field("one", Type::Embedding(1), false, ""),
        field("ten", Type::Embedding(10), false, ""),
        field("many", Type::Embedding(65_536), false, ""),
        field("wholes", Type::ListInt64, false, ""),
        field("doubles", Type::ListFloat64, false, ""),
        field("texts", Type::ListUtf8, true, ""),
    ],
    outputs: &[field("a", Type::Bool, false, ""), field("b", Type::Bool, true, "")],
    outputs_nullable: false,
};
const ODD_LEN: usize = json_len(&ODD);
const ODD_JSON: [u8; ODD_LEN] = json(&ODD);

#[test]
fn any_text_comes_back_from_a_parser_as_it_was() {
    assert_eq!(parse(&ODD_JSON), ODD.signature());
}

#[test]
fn outputs_of_a_row_that_may_be_missing_are_all_nullable() {
    const SPEC: SignatureSpec = SignatureSpec { outputs_nullable: true, ..ODD };
    const LEN: usize = json_len(&SPEC);
    let parsed = parse(&json::<LEN>(&SPEC));
    assert!(parsed.outputs.iter().all(|output| output.nullable));
    assert_eq!(parsed, SPEC.signature());
}

/// Says "what" it is:
///
///   - a list, with a \ in it
///
/// and żółć.
#[skewless::transform(output = "miles", unit = "mi")]
fn documented(
    /// Of two
    /// lines.
    #[unit("km")]
    km: f64,
    bare: Option<i32>,
) -> f64 {
    km + f64::from(bare.unwrap_or(0))
}

#[test]
fn doc_comments_and_units_are_in_it() {
    const LEN: usize = json_len(&PLUGIN.spec);
    let signature = parse(&json::<LEN>(&PLUGIN.spec));
    assert_eq!(signature, PLUGIN.signature());
    assert_eq!(signature.name, "documented");
    assert_eq!(signature.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(signature.doc, "Says \"what\" it is:\n\n  - a list, with a \\ in it\n\nand żółć.");
    let [km, bare] = &signature.inputs[..] else { panic!("{:?}", signature.inputs) };
    assert_eq!((&*km.doc, &*km.unit, km.nullable), ("Of two\nlines.", "km", false));
    assert_eq!((&*bare.doc, &*bare.unit, bare.nullable), ("", "", true));
    assert_eq!((&*signature.outputs[0].name, &*signature.outputs[0].unit), ("miles", "mi"));
}

fn parse(bytes: &[u8]) -> Signature {
    let json: Json = serde_json::from_slice(bytes).expect("JSON");
    let text = |json: &Json, name: &str| json[name].as_str().expect(name).to_owned();
    let fields = |name: &str| {
        let fields = json[name].as_array().expect(name).iter();
        let field = fields.map(|field| skewless_batch::Field {
            name: text(field, "name"),
            ty: text(field, "type").parse().expect("a type"),
            nullable: field["nullable"].as_bool().expect("a bool"),
            doc: text(field, "doc"),
            unit: text(field, "unit"),
        });
        field.collect()
    };
    Signature {
        abi: json["abi"].as_u64().and_then(|abi| u32::try_from(abi).ok()).expect("a number"),
        name: text(&json, "name"),
        version: text(&json, "version"),
        doc: text(&json, "doc"),
        inputs: fields("inputs"),
        outputs: fields("outputs"),
    }
}

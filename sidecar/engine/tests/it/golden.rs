//! Golden rows: read as the SDK reads them, and run through the engine.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use skewless_batch::{Field, Signature, Type};
use skewless_engine::Worker;
use skewless_engine::golden::{self, GOLDEN_ROWS_MAX, Golden, GoldenDifference};

use crate::harness::{engine, load};

const VECTORS: &str = include_str!("../../../../sdk/vectors/golden.jsonl");

/// The signature that the vectors are lines for.
fn doubles() -> Signature {
    Signature {
        inputs: vec![Field::new("number", Type::Int64, true)],
        outputs: vec![Field::new("twice", Type::Int64, true)],
        ..Signature::default()
    }
}

fn mistakes(text: &str, signature: &Signature) -> Vec<(usize, String)> {
    let found = Golden::read(text, signature).err().unwrap_or_default();
    found.into_iter().map(|mistake| (mistake.line, mistake.message)).collect()
}

/// The other reader's test is in `sdk/rust/tests/it/golden.rs`.
#[test]
fn a_line_is_read_as_the_sdk_reads_it() {
    for vector in VECTORS.lines() {
        let vector: Json = serde_json::from_str(vector).unwrap();
        let line = vector["line"].as_str().unwrap();
        let says = vector["says"].as_str().map(|says| (1, says.to_owned()));
        assert_eq!(mistakes(line, &doubles()), Vec::from_iter(says), "{line}");
    }
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let text = "# nothing\n\n{}\n{\"in\": {}, \"out\": {}}\nno\n";
    let lines: Vec<usize> = mistakes(text, &doubles()).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [3, 5]);
    let none = mistakes("# nothing\n", &doubles());
    assert_eq!(none, [(0, "expected golden rows, came none".to_owned())]);
    let many = "{\"in\": {}, \"out\": {}}\n".repeat(GOLDEN_ROWS_MAX + 1);
    let found = mistakes(&many, &doubles());
    assert!(found[0].0 == GOLDEN_ROWS_MAX + 1 && found[0].1.contains("GOLDEN_ROWS_MAX"));
}

#[test]
fn rows_run_together_and_alone_and_each_difference_is_told_once() {
    let engine = engine();
    let mut worker = Worker::new(&engine);
    let rows = "\
{\"in\": {\"a\": 1, \"b\": 2}, \"out\": {\"sum\": 3.0}}
{\"in\": {\"a\": 1}, \"out\": {}}
{\"in\": {\"a\": 1, \"b\": \"NaN\"}, \"out\": {\"sum\": \"NaN\"}}
{\"in\": {\"a\": -0.0, \"b\": -0.0}, \"out\": {\"sum\": 0.0}}
{\"in\": {\"a\": -1, \"b\": 2}, \"error\": \"negative\"}
";
    let mut check = |name: &str| {
        let plugin = load(&engine, name);
        let golden = Golden::read(rows, plugin.signature()).unwrap();
        golden.check(&mut worker, &plugin).unwrap()
    };
    let told =
        |row, alone, message: &str| GoldenDifference { row, alone, message: message.to_owned() };
    assert_eq!(
        check("adds"),
        [
            told(3, false, "sum came as -0.0, expected 0.0"),
            told(4, false, "the row came with no error, expected the error `negative`"),
        ]
    );
    // The first row is the one at the front of both batches, so it differs in both; the second is null in both.
    let found = check("looks_at_the_first_row");
    assert_eq!(found[0], told(0, false, "sum came as 4.0, expected 3.0"));
    let found = check("fails_negative_rows");
    assert_eq!(found.iter().map(|one| one.row).collect::<Vec<_>>(), [1, 3]);
}

/// A field of every type. The other reader's test has the same lines.
#[test]
fn a_value_is_read_in_its_forms_and_what_is_none_is_refused_in_every_type() {
    let types = [
        ("yes", Type::Bool),
        ("small", Type::Int32),
        ("large", Type::Int64),
        ("single", Type::Float32),
        ("double", Type::Float64),
        ("text", Type::Utf8),
        ("bytes", Type::Binary),
        ("at", Type::Timestamp),
        ("pair", Type::Embedding(2)),
        ("wholes", Type::ListInt64),
        ("numbers", Type::ListFloat64),
        ("words", Type::ListUtf8),
    ];
    let fields: Vec<Field> = types.iter().map(|(name, ty)| Field::new(*name, *ty, true)).collect();
    let signature = Signature { inputs: fields.clone(), outputs: fields, ..Signature::default() };
    let mut refused = BTreeSet::new();
    for vector in include_str!("../../../../sdk/vectors/golden_types.jsonl").lines() {
        let vector: Json = serde_json::from_str(vector).unwrap();
        let (name, one, other) =
            (vector["name"].as_str().unwrap(), &vector["same"][0], &vector["same"][1]);
        for side in ["in", "out"] {
            let line = |value: &Json| {
                let mut row = json!({"in": {}, "out": {}});
                row[side][name] = value.clone();
                row.to_string()
            };
            let read = |value| Golden::read(&line(value), &signature).map(|golden| golden.inputs);
            if !other.is_null() {
                let shown = |value| golden::row(&signature.inputs, &read(value).unwrap(), 0, 1_000);
                assert_eq!(shown(one).to_string(), shown(other).to_string(), "{vector}");
                continue;
            }
            let found = mistakes(&line(one), &signature);
            let expected = format!("`{name}`: {one} is no ");
            assert!(found.len() == 1 && found[0].1.starts_with(&expected), "{vector}: {found:?}");
            refused.insert(name.to_owned());
        }
    }
    assert_eq!(refused.len(), types.len(), "a line of each type is refused");
}

/// What is printed of a row can be put into a golden file.
#[test]
fn a_row_of_data_is_shown_as_a_golden_row() {
    let types = [
        ("yes", Type::Bool, json!(true)),
        ("small", Type::Int32, json!(-7)),
        ("large", Type::Int64, json!(i64::MIN)),
        ("single", Type::Float32, json!(0.1)),
        ("zero", Type::Float64, json!(-0.0)),
        ("nan", Type::Float64, json!("NaN")),
        ("least", Type::Float64, json!(5e-324)),
        ("text", Type::Utf8, json!("say \"so\"")),
        ("bytes", Type::Binary, json!([0, 255])),
        ("at", Type::Timestamp, json!(-1)),
        ("pair", Type::Embedding(2), json!([0.5, "-inf"])),
        ("ints", Type::ListInt64, json!([])),
        ("doubles", Type::ListFloat64, json!([1.0, "inf"])),
        ("words", Type::ListUtf8, json!(["a", ""])),
        ("nothing", Type::Utf8, json!(null)),
    ];
    let inputs: Vec<Field> =
        types.iter().map(|(name, ty, _)| Field::new(*name, *ty, true)).collect();
    let signature = Signature { inputs, ..doubles() };
    let row: Json =
        types.iter().map(|(name, _, value)| (name.to_string(), value.clone())).collect();
    let line = json!({"in": row, "out": {}}).to_string();
    let golden = Golden::read(&line, &signature).unwrap();
    let shown = golden::row(&signature.inputs, &golden.inputs, 0, 1_000);
    assert_eq!(shown.to_string(), row.to_string());
    let cut = golden::row(&signature.inputs, &golden.inputs, 0, 4);
    assert_eq!(cut["text"], json!("... (12 bytes)"));
}

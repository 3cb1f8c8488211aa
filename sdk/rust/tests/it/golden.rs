//! Golden rows that are no golden rows: a misspelt key must not pass as a row that tests nothing.

use std::panic::catch_unwind;

#[skewless::transform(output = "twice")]
fn doubled(number: Option<i64>) -> Option<i64> {
    number.map(|number| number * 2)
}

/// What the check says of one line.
fn said(line: &str) -> Result<(), String> {
    catch_unwind(|| skewless::golden::check(&PLUGIN, line, "golden.jsonl"))
        .map_err(|panic| *panic.downcast::<String>().expect("a formatted message"))
}

#[test]
fn a_row_with_its_keys_is_checked() {
    assert_eq!(said(r#"{"in": {"number": 2}, "out": {"twice": 4}}"#), Ok(()));
    assert_eq!(said(r#"{"in": {}, "out": {}}"#), Ok(()), "null gives null");
    let wrong = said(r#"{"in": {"number": 2}, "out": {"twice": 5}}"#).expect_err("4 isn't 5");
    assert_eq!(wrong, "golden.jsonl:1: twice came as 4, expected 5");
}

#[test]
fn an_error_that_came_or_did_not_is_told_in_words() {
    let wrong = said(r#"{"in": {"number": 2}, "error": "odd"}"#).expect_err("it is even");
    assert_eq!(wrong, "golden.jsonl:1: the row came with no error, expected the error `odd`");
}

#[test]
fn a_name_that_the_signature_has_not_is_answered_with_those_it_has() {
    let wrong = said(r#"{"in": {"numbr": 2}, "out": {}}"#).expect_err("no such input");
    assert_eq!(
        wrong,
        "golden.jsonl:1: expected an input of the signature (number), came `numbr` (did you mean `number`?)"
    );
    let wrong = said(r#"{"in": {}, "out": {"kilometres": 2}}"#).expect_err("no such output");
    assert_eq!(
        wrong,
        "golden.jsonl:1: expected an output of the signature (twice), came `kilometres`"
    );
}

/// Values of each kind.
#[derive(skewless::Outputs)]
struct Kinds {
    yes: bool,
    half: f64,
    text: String,
    bytes: Vec<u8>,
    numbers: Vec<f64>,
    words: Vec<String>,
    pair: [f32; 2],
}

mod kinds {
    #[skewless::transform]
    fn of_each_kind(seed: f64) -> super::Kinds {
        super::Kinds {
            yes: true,
            half: seed / 2.0,
            text: "say \"so\"".to_owned(),
            bytes: vec![1, 255],
            numbers: vec![1.0, f64::NAN, f64::NEG_INFINITY],
            words: vec!["a".to_owned()],
            pair: [0.5, 1.0],
        }
    }
}

/// Each as a golden row would have it, so that it can be copied there.
#[test]
fn values_are_told_as_golden_rows_have_them() {
    let right = [
        ("yes", "true"),
        ("half", "5.0"),
        ("text", r#""say \"so\"""#),
        ("bytes", "[1, 255]"),
        ("numbers", r#"[1.0, "NaN", "-inf"]"#),
        ("words", r#"["a"]"#),
        ("pair", "[0.5, 1.0]"),
    ];
    let check = |wrong: Option<&str>| {
        let out = right.iter().filter(|(name, _)| Some(*name) != wrong);
        let out: Vec<String> = out.map(|(name, value)| format!("\"{name}\": {value}")).collect();
        let row = format!(r#"{{"in": {{"seed": 10}}, "out": {{{}}}}}"#, out.join(", "));
        catch_unwind(|| skewless::golden::check(&kinds::PLUGIN, &row, "golden.jsonl"))
            .map_err(|panic| *panic.downcast::<String>().expect("a formatted message"))
    };
    assert_eq!(check(None), Ok(()));
    for (name, value) in right {
        let said = format!("golden.jsonl:1: {name} came as {value}, expected null");
        assert_eq!(check(Some(name)), Err(said));
    }
}

#[test]
fn keys_that_mean_nothing_are_refused() {
    for (line, came) in [
        (r#"{"input": {"number": 2}, "output": {"twice": 5}}"#, "came `input`"),
        (r#"{"number": 2}"#, "came `number`"),
        (r#"{"in": {"number": 2}, "output": {"twice": 4}}"#, "came `output`"),
        (r#"{"in": 2, "out": {"twice": 4}}"#, "came `in`: 2"),
        (r#"{"in": {"number": 2}, "error": 7}"#, "came `error`: 7"),
        (r#"{"out": {}}"#, "came no `in`"),
        (r#"{"in": {}}"#, "came neither"),
        (r#"{"in": {}, "out": {}, "error": ""}"#, "came both"),
    ] {
        let refused = said(line).expect_err(line);
        let expected = "golden.jsonl:1: expected `in` with an object";
        assert!(refused.starts_with(expected) && refused.contains(came), "{line}: {refused}");
    }
}

/// The engine reads golden files, too, without this crate: the lines in this file are those that both must read alike.
#[test]
fn a_line_is_read_as_the_engine_reads_it() {
    for vector in include_str!("../../../vectors/golden.jsonl").lines() {
        let vector: serde_json::Value = serde_json::from_str(vector).expect("JSON");
        let line = vector["line"].as_str().expect("a line");
        let says = vector["says"].as_str().map(|says| format!("golden.jsonl:1: {says}"));
        assert_eq!(said(line).err(), says, "{line}");
    }
}

/// A value of every type, as it came.
#[derive(skewless::Outputs)]
struct Every {
    yes: Option<bool>,
    small: Option<i32>,
    large: Option<i64>,
    single: Option<f32>,
    double: Option<f64>,
    text: Option<String>,
    bytes: Option<Vec<u8>>,
    at: Option<skewless::Timestamp>,
    pair: Option<[f32; 2]>,
    wholes: Option<Vec<i64>>,
    numbers: Option<Vec<f64>>,
    words: Option<Vec<String>>,
}

mod every {
    #[skewless::transform]
    #[expect(clippy::too_many_arguments, reason = "one of each type")]
    fn gives_back(
        yes: Option<bool>,
        small: Option<i32>,
        large: Option<i64>,
        single: Option<f32>,
        double: Option<f64>,
        text: Option<&str>,
        bytes: Option<&[u8]>,
        at: Option<skewless::Timestamp>,
        pair: Option<[f32; 2]>,
        wholes: Option<Vec<i64>>,
        numbers: Option<Vec<f64>>,
        words: Option<Vec<&str>>,
    ) -> super::Every {
        super::Every {
            yes,
            small,
            large,
            single,
            double,
            text: text.map(str::to_owned),
            bytes: bytes.map(<[u8]>::to_vec),
            at,
            pair,
            wholes,
            numbers,
            words: words.map(|words| words.into_iter().map(str::to_owned).collect()),
        }
    }
}

/// What is none of a type was once an empty list on both sides, and tested nothing. The engine's test has the same lines.
#[test]
fn a_value_is_read_in_its_forms_and_what_is_none_is_refused_in_every_type() {
    let said = |line: String| {
        catch_unwind(|| skewless::golden::check(&every::PLUGIN, &line, "golden.jsonl"))
            .map_err(|panic| *panic.downcast::<String>().expect("a formatted message"))
    };
    for vector in include_str!("../../../vectors/golden_types.jsonl").lines() {
        let vector: serde_json::Value = serde_json::from_str(vector).expect("JSON");
        let (name, one, other) = (&vector["name"], &vector["same"][0], &vector["same"][1]);
        if !other.is_null() {
            let line = format!("{{\"in\": {{{name}: {one}}}, \"out\": {{{name}: {other}}}}}");
            assert_eq!(said(line), Ok(()), "{vector}");
            continue;
        }
        for line in [
            format!("{{\"in\": {{{name}: {one}}}, \"out\": {{}}}}"),
            format!("{{\"in\": {{}}, \"out\": {{{name}: {one}}}}}"),
        ] {
            let refused = said(line).expect_err("no value of the type");
            let name = name.as_str().expect("a name");
            let expected = format!("golden.jsonl:1: `{name}`: {one} is no ");
            assert!(refused.starts_with(&expected), "{vector}: {refused}");
        }
    }
}

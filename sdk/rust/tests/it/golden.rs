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
    assert!(wrong.contains("golden.jsonl:1: twice came as"), "{wrong}");
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

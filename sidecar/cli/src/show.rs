//! Typed values as people read them: text for tables, JSON for programs. The way back is in [`crate::typed`].

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use skewless_batch::Value;

/// A value as one word; null is `null`, text is bare, but for control characters.
pub(crate) fn text(value: Value<'_>) -> String {
    match value {
        Value::Utf8(text) => one_line(text),
        Value::Float32(float) => format!("{float:?}"),
        Value::Float64(float) => format!("{float:?}"),
        other => match json(other) {
            Json::String(text) => text,
            json => json.to_string(),
        },
    }
}

/// Text as it may go into a line of a terminal: control characters, such as a line's end or what would color the rest, by
/// their escapes.
pub(crate) fn one_line(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same of text that has lines.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |char| char == '\n')
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() && !kept(char) {
            true => shown.extend(char.escape_default()),
            false => shown.push(char),
        }
    }
    shown
}

/// A value as JSON. A float that is not finite is a string, as JSON has no such numbers.
pub(crate) fn json(value: Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => value.into(),
        Value::Int32(value) => value.into(),
        Value::Int64(value) => value.into(),
        Value::Float32(value) => float32(value),
        Value::Float64(value) => float64(value),
        Value::Utf8(text) => text.into(),
        Value::Binary(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("0x{digits}").into()
        }
        Value::Timestamp(us) => time(us).into(),
        Value::Embedding(floats) => floats.iter().map(float32).collect(),
        Value::ListInt64(ints) => ints.iter().collect(),
        Value::ListFloat64(doubles) => doubles.iter().map(float64).collect(),
        Value::ListUtf8(texts) => texts.iter().collect(),
    }
}

/// An instant in RFC 3339; outside the years that has, microseconds.
pub(crate) fn time(us: i64) -> String {
    match jiff::Timestamp::from_microsecond(us) {
        Ok(instant) => instant.to_string(),
        Err(_) => us.to_string(),
    }
}

/// A whole number with commas between its thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A number of things: `1 row`, `1,300 rows`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// What there is of a kind, for someone who named another: `the repo's views are: a, b`.
pub(crate) fn all(of: &str, kind: &str, names: &[&str]) -> String {
    match names {
        [] => format!("{of} has no {kind}"),
        names => format!("{of}'s {kind} are: {}", names.join(", ")),
    }
}

/// How long something took, in the unit that shows it.
pub(crate) fn duration(took: Duration) -> String {
    match took.as_millis() {
        0 => "less than 1 ms".to_owned(),
        ms @ 1..1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}

/// A path as a person would type it: without a `./` in front.
pub(crate) fn path(path: &Path) -> String {
    match path.strip_prefix(".") {
        Ok(rest) if rest.as_os_str().is_empty() => "this folder".to_owned(),
        Ok(rest) => rest.display().to_string(),
        Err(_) => path.display().to_string(),
    }
}

fn float64(value: f64) -> Json {
    if value.is_finite() { value.into() } else { format!("{value:?}").into() }
}

/// With the digits that float32 has, not those of its conversion to float64.
fn float32(value: f32) -> Json {
    let short = format!("{value:?}");
    match short.parse::<f64>() {
        Ok(number) if number.is_finite() => number.into(),
        _ => short.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(336_776), "336,776");
        assert_eq!(thousands(1_000_000), "1,000,000");
    }

    #[test]
    fn what_would_do_something_to_a_terminal_is_shown() {
        let text = "a\u{1b}[31mred\nü";
        assert_eq!(one_line(text), r"a\u{1b}[31mred\nü");
        assert_eq!(lines(text), "a\\u{1b}[31mred\nü");
        assert_eq!(super::text(Value::Utf8(text)), one_line(text));
    }

    #[test]
    fn one_thing_is_not_many() {
        let rows = |number| count(number, "row", "rows");
        assert_eq!([rows(0), rows(1), rows(1_300)], ["0 rows", "1 row", "1,300 rows"]);
    }

    #[test]
    fn a_short_time_is_not_nothing() {
        let shown = |us| duration(Duration::from_micros(us));
        assert_eq!(shown(999), "less than 1 ms");
        assert_eq!(shown(1_000), "1 ms");
        assert_eq!(shown(999_999), "999 ms");
        assert_eq!(shown(1_000_000), "1.0 s");
        assert_eq!(shown(72_340_000), "72.3 s");
    }

    #[test]
    fn a_path_is_shown_as_it_would_be_typed() {
        let shown = |text: &str| path(Path::new(text));
        assert_eq!(shown("."), "this folder");
        assert_eq!(shown("./plugins/a.wasm"), "plugins/a.wasm");
        assert_eq!(shown("../old"), "../old");
        assert_eq!(shown("/srv/features"), "/srv/features");
    }
}

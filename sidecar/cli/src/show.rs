//! Typed values as people read them: text for tables, JSON for programs. The way back is in [`crate::typed`].

use serde_json::Value as Json;
use skewless_batch::Value;

/// A value as one word; null is `null`, text is bare.
pub(crate) fn text(value: Value<'_>) -> String {
    match value {
        Value::Utf8(text) => text.to_owned(),
        Value::Float32(float) => format!("{float:?}"),
        Value::Float64(float) => format!("{float:?}"),
        other => match json(other) {
            Json::String(text) => text,
            json => json.to_string(),
        },
    }
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
}

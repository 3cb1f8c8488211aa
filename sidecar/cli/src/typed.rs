//! Values as people write them, to typed columns: words of the command line and JSON rows. The way back is
//! in [`crate::show`].
//!
//! | type | on the command line | in JSON |
//! |---|---|---|
//! | bool | `true`, `false` | the same |
//! | int32, int64 | `42` | a number, or a string of digits |
//! | float32, float64 | `1.5`, `1e3`, `NaN`, `inf`, `-inf` | a number, or one of those words |
//! | utf8 | the text | a string |
//! | binary | `0x` and hexadecimal digits | the same, as a string |
//! | timestamp | `2013-07-04T12:00:00Z`, a date, or microseconds since 1970 UTC | the same |
//! | embedding, lists | a JSON array | an array |
//!
//! Null is `null` in JSON; on the command line whoever reads the words decides.

use serde_json::Value as Json;
use skewless_batch::{Column, Type};

/// Why a text is no value of its type.
#[derive(Debug, thiserror::Error)]
#[error("expected {expected}, came `{came}`")]
pub(crate) struct BadValue {
    expected: String,
    came: String,
}

/// Appends what a person typed.
pub(crate) fn push_text(column: &mut Column, text: &str) -> Result<(), BadValue> {
    match column.ty() {
        Type::Utf8 => column.push_utf8(text),
        Type::Embedding(_) | Type::ListInt64 | Type::ListFloat64 | Type::ListUtf8 => {
            let json = serde_json::from_str(text).map_err(|_| bad(column.ty(), text))?;
            push_json(column, &json)?;
        }
        Type::Bool
        | Type::Int32
        | Type::Int64
        | Type::Float32
        | Type::Float64
        | Type::Binary
        | Type::Timestamp => {
            push_word(column, text)?;
        }
    }
    Ok(())
}

/// Appends one cell of a JSON row.
pub(crate) fn push_json(column: &mut Column, json: &Json) -> Result<(), BadValue> {
    let wrong = || bad(column.ty(), &json.to_string());
    match (column.ty(), json) {
        (_, Json::Null) => column.push_null(),
        (Type::Bool, Json::Bool(value)) => column.push_bool(*value),
        (Type::Utf8, Json::String(text)) => column.push_utf8(text),
        (
            Type::Int32 | Type::Int64 | Type::Float32 | Type::Float64 | Type::Timestamp,
            Json::Number(number),
        ) => {
            push_word(column, &number.to_string())?;
        }
        (Type::Utf8 | Type::Bool, _) => return Err(wrong()),
        (_, Json::String(text)) => push_word(column, text)?,
        (Type::Embedding(dim), Json::Array(items)) if items.len() == dim as usize => {
            let floats: Option<Vec<f32>> = items.iter().map(f32_of).collect();
            column.push_embedding(&floats.ok_or_else(wrong)?);
        }
        (Type::ListInt64, Json::Array(items)) => {
            let ints: Option<Vec<i64>> = items.iter().map(Json::as_i64).collect();
            column.push_list_i64(&ints.ok_or_else(wrong)?);
        }
        (Type::ListFloat64, Json::Array(items)) => {
            let floats: Option<Vec<f64>> = items.iter().map(Json::as_f64).collect();
            column.push_list_f64(&floats.ok_or_else(wrong)?);
        }
        (Type::ListUtf8, Json::Array(items)) => {
            let texts: Option<Vec<&str>> = items.iter().map(Json::as_str).collect();
            column.push_list_utf8(texts.ok_or_else(wrong)?);
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an embedding is float32; rounding is what was asked"
)]
fn f32_of(json: &Json) -> Option<f32> {
    json.as_f64().map(|value| value as f32)
}

fn push_word(column: &mut Column, text: &str) -> Result<(), BadValue> {
    let ty = column.ty();
    let wrong = |_| bad(ty, text);
    match ty {
        Type::Bool => column.push_bool(text.parse().map_err(|_| bad(ty, text))?),
        Type::Int32 => column.push_i32(text.parse().map_err(|_| bad(ty, text))?),
        Type::Int64 => column.push_i64(text.parse().map_err(|_| bad(ty, text))?),
        Type::Float32 => column.push_f32(text.parse().map_err(|_| bad(ty, text))?),
        Type::Float64 => column.push_f64(text.parse().map_err(|_| bad(ty, text))?),
        Type::Timestamp => column.push_timestamp(timestamp_us(text).ok_or(()).map_err(wrong)?),
        Type::Binary => column.push_binary(&bytes(text).ok_or(()).map_err(wrong)?),
        _ => return Err(bad(ty, text)),
    }
    Ok(())
}

/// An instant: RFC 3339, a date or date and time without zone (UTC), or microseconds since 1970.
pub(crate) fn timestamp_us(text: &str) -> Option<i64> {
    if let Ok(us) = text.parse::<i64>() {
        return Some(us);
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_microsecond());
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    let instant = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(instant.timestamp().as_microsecond())
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?;
    if !digits.is_ascii() || digits.len() % 2 != 0 {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

fn bad(ty: Type, came: &str) -> BadValue {
    let expected = match ty {
        Type::Timestamp => "a time such as 2013-07-04T12:00:00Z".to_owned(),
        Type::Binary => "bytes such as 0x00ff".to_owned(),
        Type::Embedding(dim) => format!("an array of {dim} numbers"),
        ty => ty.to_string(),
    };
    BadValue { expected, came: came.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show;

    #[test]
    fn what_is_shown_can_be_typed_again() {
        let words = [
            (Type::Bool, "true"),
            (Type::Int32, "-7"),
            (Type::Int64, "9223372036854775807"),
            (Type::Float32, "0.1"),
            (Type::Float64, "-0.0"),
            (Type::Float64, "NaN"),
            (Type::Utf8, "null"),
            (Type::Binary, "0x00ff"),
            (Type::Timestamp, "2013-07-04T12:00:00Z"),
            (Type::Embedding(2), "[1.0,0.5]"),
            (Type::ListInt64, "[1,2]"),
            (Type::ListFloat64, "[0.5]"),
            (Type::ListUtf8, "[\"a\"]"),
        ];
        for (ty, word) in words {
            let mut column = Column::new(ty);
            push_text(&mut column, word).unwrap_or_else(|error| panic!("{ty}: {error}"));
            assert_eq!(show::text(column.value(0)), word, "{ty}");
            let mut again = Column::new(ty);
            push_json(&mut again, &show::json(column.value(0)))
                .unwrap_or_else(|e| panic!("{ty}: {e}"));
            assert_eq!(again.value(0), column.value(0), "{ty}");
        }
    }

    #[test]
    fn a_wrong_word_names_what_was_expected() {
        for (ty, word, expected) in [
            (Type::Int32, "3000000000", "expected int32, came `3000000000`"),
            (Type::Timestamp, "noon", "expected a time such as 2013-07-04T12:00:00Z, came `noon`"),
            (Type::Binary, "0xabc", "expected bytes such as 0x00ff, came `0xabc`"),
            (Type::Embedding(2), "[1]", "expected an array of 2 numbers, came `[1]`"),
        ] {
            let error = push_text(&mut Column::new(ty), word).err().map(|e| e.to_string());
            assert_eq!(error.as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_time_without_zone_is_utc() {
        assert_eq!(timestamp_us("1970-01-02"), Some(86_400_000_000));
        assert_eq!(timestamp_us("1970-01-01T00:00:01"), Some(1_000_000));
        assert_eq!(timestamp_us("1970-01-01T01:00:00+01:00"), Some(0));
    }
}

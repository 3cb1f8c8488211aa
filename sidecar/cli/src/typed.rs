//! Values as people write them, to typed columns: words of the command line and JSON rows. The way back is
//! in [`crate::show`].
//!
//! | type | on the command line | in JSON |
//! |---|---|---|
//! | bool | `true`, `false` | the same |
//! | int32, int64 | `42` | a number |
//! | float32, float64 | `1.5`, `1e3`, `NaN`, `inf`, `-inf` | a number, or one of those words as a string |
//! | utf8 | the text | a string |
//! | binary | `0x` and hexadecimal digits | the same, as a string |
//! | timestamp | `2013-07-04T12:00:00Z`, a date, or microseconds since 1970 UTC | the same |
//! | embedding, lists | a JSON array | an array |
//!
//! Null is `null` in JSON; on the command line whoever reads the words decides.

use serde_json::Value as Json;
use skewless_batch::{Column, Type, words};

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
        (Type::Float32 | Type::Float64, Json::String(text)) if is_float_word(text) => {
            push_word(column, text)?;
        }
        (Type::Binary | Type::Timestamp, Json::String(text)) => push_word(column, text)?,
        (Type::Embedding(dim), Json::Array(items)) if items.len() == dim as usize => {
            let floats: Option<Vec<f32>> = items.iter().map(f32_of).collect();
            let floats = floats.ok_or_else(wrong)?;
            // A JSON number is finite: an infinity made of one is what float32 can't hold.
            let too_large = |(float, item): (&f32, &Json)| float.is_infinite() && item.is_number();
            if let Some(at) = floats.iter().zip(items).position(too_large) {
                return Err(out_of_range(Type::Float32, &items[at].to_string()));
            }
            column.push_embedding(&floats);
        }
        (Type::ListInt64, Json::Array(items)) => {
            let ints: Option<Vec<i64>> = items.iter().map(Json::as_i64).collect();
            column.push_list_i64(&ints.ok_or_else(wrong)?);
        }
        (Type::ListFloat64, Json::Array(items)) => {
            let floats: Option<Vec<f64>> = items.iter().map(f64_of).collect();
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
    f64_of(json).map(|value| value as f32)
}

fn f64_of(json: &Json) -> Option<f64> {
    let word = || json.as_str().filter(|text| is_float_word(text))?.parse::<f64>().ok();
    json.as_f64().or_else(word)
}

/// Whether a JSON string stands for a float that JSON has no number for, as `NaN` and `-inf` do.
fn is_float_word(text: &str) -> bool {
    text.parse::<f64>().is_ok() && !text.contains(|c: char| c.is_ascii_digit())
}

fn push_word(column: &mut Column, text: &str) -> Result<(), BadValue> {
    let ty = column.ty();
    let wrong = |_| bad(ty, text);
    match ty {
        Type::Bool => column.push_bool(text.parse().map_err(|_| bad(ty, text))?),
        Type::Int32 => column.push_i32(text.parse().map_err(|_| bad(ty, text))?),
        Type::Int64 => column.push_i64(text.parse().map_err(|_| bad(ty, text))?),
        Type::Float32 => {
            let value: f32 = text.parse().map_err(|_| bad(ty, text))?;
            column.push_f32(in_range(ty, value, value.is_infinite(), text)?);
        }
        Type::Float64 => {
            let value: f64 = text.parse().map_err(|_| bad(ty, text))?;
            column.push_f64(in_range(ty, value, value.is_infinite(), text)?);
        }
        Type::Timestamp => column.push_timestamp(timestamp_us(text).ok_or(()).map_err(wrong)?),
        Type::Binary => column.push_binary(&words::binary(text).ok_or(()).map_err(wrong)?),
        _ => return Err(bad(ty, text)),
    }
    Ok(())
}

/// A float as it was read, unless it is an infinity that nobody wrote: `1e400` is no `inf`.
fn in_range<T>(ty: Type, value: T, is_infinite: bool, text: &str) -> Result<T, BadValue> {
    if is_infinite && text.contains(|c: char| c.is_ascii_digit()) {
        return Err(out_of_range(ty, text));
    }
    Ok(value)
}

fn out_of_range(ty: Type, came: &str) -> BadValue {
    let most = if ty == Type::Float32 { "3.4e38" } else { "1.8e308" };
    BadValue {
        expected: format!("{ty}, at most {most} away from 0 (or the word inf)"),
        came: came.to_owned(),
    }
}

/// A value of the type, for showing how one is written on the command line.
pub(crate) fn example(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "true",
        Type::Int32 | Type::Int64 => "42",
        Type::Float32 | Type::Float64 => "1.5",
        Type::Utf8 => "text",
        Type::Binary => "0x00ff",
        Type::Timestamp => "2013-07-04T12:00:00Z",
        Type::Embedding(_) | Type::ListFloat64 => "[0.5,1.5]",
        Type::ListInt64 => "[1,2]",
        Type::ListUtf8 => "'[\"a\",\"b\"]'",
    }
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
    fn a_json_string_is_no_number_but_a_word_that_json_has_no_number_for() {
        let pushed = |ty, json: &str| {
            let mut column = Column::new(ty);
            let json: Json = serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"));
            push_json(&mut column, &json).map_err(|e| e.to_string())?;
            Ok::<_, String>(show::text(column.value(0)))
        };
        let refused =
            |expected: &str, came: &str| Err(format!("expected {expected}, came `{came}`"));
        for (ty, json, told) in [
            (Type::Int32, "\"12\"", refused("int32", "\"12\"")),
            (Type::Int64, "\"12\"", refused("int64", "\"12\"")),
            (Type::Float64, "\"1.5\"", refused("float64", "\"1.5\"")),
            (Type::Float32, "\"1.5\"", refused("float32", "\"1.5\"")),
            (Type::ListFloat64, "[\"1\"]", refused("list<float64>", "[\"1\"]")),
            (Type::Float32, "\"-inf\"", Ok("-inf".to_owned())),
            (Type::Float64, "\"NaN\"", Ok("NaN".to_owned())),
            (Type::ListFloat64, "[1,\"NaN\",\"inf\"]", Ok("[1.0,\"NaN\",\"inf\"]".to_owned())),
            (Type::Embedding(2), "[\"-inf\",0.5]", Ok("[\"-inf\",0.5]".to_owned())),
        ] {
            assert_eq!(pushed(ty, json), told, "{ty} {json}");
        }
    }

    /// An infinity is a value like others, but only for who writes one.
    #[test]
    fn a_float_out_of_range_is_no_infinity() {
        let pushed = |ty, word| push_text(&mut Column::new(ty), word).map_err(|e| e.to_string());
        for (ty, word, most) in [
            (Type::Float64, "1e400", "float64, at most 1.8e308"),
            (Type::Float64, "-1e400", "float64, at most 1.8e308"),
            (Type::Float32, "1e39", "float32, at most 3.4e38"),
            (Type::Embedding(2), "[0.5,1e39]", "float32, at most 3.4e38"),
        ] {
            let error = pushed(ty, word).err().unwrap_or_default();
            assert!(error.contains(most) && error.contains("1e"), "{ty} {word}: {error}");
        }
        for (ty, word) in [
            (Type::Float64, "inf"),
            (Type::Float64, "-inf"),
            (Type::Float32, "inf"),
            (Type::Float64, "1e308"),
            (Type::Float32, "3e38"),
        ] {
            assert_eq!(pushed(ty, word), Ok(()), "{ty} {word}");
        }
        let json: Json = serde_json::from_str("1e39").unwrap_or_default();
        assert!(push_json(&mut Column::new(Type::Float32), &json).is_err());
    }

    #[test]
    fn an_example_is_a_value_of_its_type() {
        for ty in [
            Type::Bool,
            Type::Int32,
            Type::Int64,
            Type::Float32,
            Type::Float64,
            Type::Utf8,
            Type::Binary,
            Type::Timestamp,
            Type::Embedding(2),
            Type::ListInt64,
            Type::ListFloat64,
            Type::ListUtf8,
        ] {
            let word = example(ty).trim_matches('\'');
            assert!(push_text(&mut Column::new(ty), word).is_ok(), "{ty}: {word}");
        }
    }

    #[test]
    fn a_time_without_zone_is_utc() {
        assert_eq!(timestamp_us("1970-01-02"), Some(86_400_000_000));
        assert_eq!(timestamp_us("1970-01-01T00:00:01"), Some(1_000_000));
        assert_eq!(timestamp_us("1970-01-01T01:00:00+01:00"), Some(0));
    }

    /// What golden rows take is the same instant here.
    #[test]
    fn an_instant_of_a_golden_row_is_the_same() {
        for text in [
            "2013-07-04T12:00:00Z",
            "2013-07-04t12:00:00z",
            "2013-07-04 12:00:00",
            "2013-07-04",
            "2012-02-29T23:59:59.25+02:00",
            "1900-03-01T00:00:00.000001-11:30",
            "0001-01-01",
            "9999-12-30T00:00:00Z",
        ] {
            let golden = words::timestamp(text);
            assert!(golden.is_some() && golden == timestamp_us(text), "{text}: {golden:?}");
        }
    }
}

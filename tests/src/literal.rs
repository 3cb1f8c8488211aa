//! One value as a person writes it in a scenario, of every type; not a format for data.
//!
//! `null` is null in every type. Texts are JSON strings, bytes `0x00ff`, times `2013-01-01T10:00:00.5` (UTC), lists
//! and embeddings `[1,2]`. Floats are decimal, `NaN`, `inf`, or bit by bit: `bits:0x7ff0000000000001`.

use anyhow::{Context, Result, anyhow, ensure};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use skewless_batch::{Column, Type};

/// Pushes a written value onto a column of its type.
pub fn push(column: &mut Column, text: &str) -> Result<()> {
    let ty = column.ty();
    if text == "null" {
        column.push_null();
        return Ok(());
    }
    push_value(column, text).with_context(|| format!("expected a value of type {ty}, came {text}"))
}

fn push_value(column: &mut Column, text: &str) -> Result<()> {
    match column.ty() {
        Type::Bool => column.push_bool(text.parse()?),
        Type::Int32 => column.push_i32(text.parse()?),
        Type::Int64 => column.push_i64(text.parse()?),
        Type::Float32 => column.push_f32(float32(text)?),
        Type::Float64 => column.push_f64(float64(text)?),
        Type::Utf8 => column.push_utf8(&serde_json::from_str::<String>(text)?),
        Type::Binary => column.push_binary(&bytes(text)?),
        Type::Timestamp => column.push_timestamp(micros(text.parse()?)?),
        Type::Embedding(dim) => {
            let values = elements(text)?.map(float32).collect::<Result<Vec<f32>>>()?;
            ensure!(values.len() == dim as usize, "{} elements came", values.len());
            column.push_embedding(&values);
        }
        Type::ListInt64 => {
            let values = elements(text)?.map(|value| Ok(value.parse()?));
            column.push_list_i64(&values.collect::<Result<Vec<i64>>>()?);
        }
        Type::ListFloat64 => {
            column.push_list_f64(&elements(text)?.map(float64).collect::<Result<Vec<f64>>>()?);
        }
        Type::ListUtf8 => {
            let values: Vec<String> = serde_json::from_str(text)?;
            column.push_list_utf8(values.iter().map(String::as_str));
        }
    }
    Ok(())
}

/// A time of the calendar, UTC, as microseconds since 1970.
pub fn micros(time: DateTime) -> Result<i64> {
    Ok(time.to_zoned(TimeZone::UTC)?.timestamp().as_microsecond())
}

fn elements(text: &str) -> Result<impl Iterator<Item = &str>> {
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let inside = inside.ok_or_else(|| anyhow!("expected [..]"))?;
    Ok(inside.split(',').map(str::trim).filter(|element| !element.is_empty()))
}

fn float64(text: &str) -> Result<f64> {
    match text.strip_prefix("bits:0x") {
        Some(digits) => Ok(f64::from_bits(u64::from_str_radix(digits, 16)?)),
        None => Ok(text.parse()?),
    }
}

fn float32(text: &str) -> Result<f32> {
    match text.strip_prefix("bits:0x") {
        Some(digits) => Ok(f32::from_bits(u32::from_str_radix(digits, 16)?)),
        None => Ok(text.parse()?),
    }
}

fn bytes(text: &str) -> Result<Vec<u8>> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.is_ascii());
    let digits = digits.ok_or_else(|| anyhow!("expected 0x and hexadecimal digits"))?;
    ensure!(digits.len().is_multiple_of(2), "expected two digits a byte");
    let byte = |at| Ok(u8::from_str_radix(&digits[at..at + 2], 16)?);
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// Words between white space, outside of quotes and brackets; a word that begins with `#` ends the line.
pub fn words(line: &str) -> Result<Vec<&str>> {
    let mut words = Vec::new();
    let (mut start, mut depth, mut quoted, mut escaped) = (None, 0i32, false, false);
    for (at, letter) in line.char_indices() {
        if quoted {
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            '#' if start.is_none() => return Ok(words),
            ' ' | '\t' if depth == 0 => {
                words.extend(start.take().map(|start: usize| &line[start..at]));
                continue;
            }
            '"' => quoted = true,
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        start = start.or(Some(at));
    }
    ensure!(!quoted, "a quote is never closed");
    ensure!(depth == 0, "brackets don't match");
    words.extend(start.map(|start| &line[start..]));
    Ok(words)
}

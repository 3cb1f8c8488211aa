//! One value as it came, and whether a column of ours can hold it; not where it came from.
//!
//! The rule: a value is taken if the column's type holds it exactly, whatever kind it came as; a float32 column takes the
//! nearest, as JSON and Python have no float32. Everything else is refused by the name of its kind.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use skewless_batch::{Column, Type};
use skewless_catalog::visibility::check_time;

/// Feast's mark of a timestamp that is none.
const NO_TIME: i64 = i64::MIN;
/// Up to here, and down to its negative, float64 holds every integer.
const EXACT_IN_FLOAT64: u64 = 1 << 53;
/// Least float64 above every int64.
const ABOVE_INT64: f64 = 9_223_372_036_854_775_808.0;

/// One value.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Cell<'a> {
    /// No value.
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Text that means itself.
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Seconds since 1970 UTC.
    Seconds(i64),
    /// A string of JSON, where it stands for bytes, times and floats that aren't finite, too.
    Quoted(Cow<'a, str>),
    /// Any value, written as text.
    Written(&'a str),
    Texts(&'a [String]),
    Bools(&'a [bool]),
    Int32s(&'a [i32]),
    Ints(&'a [i64]),
    Floats(&'a [f32]),
    Doubles(&'a [f64]),
    /// A list of JSON.
    List(Vec<Cell<'a>>),
    /// An integer that no type holds.
    Huge(u64),
    /// What no column holds, by the name of its kind.
    Other(&'static str),
}

/// Appends the value of a join key. As for Feast, a string of JSON that is an integer is that integer: its writers often have
/// their keys from text. Only as integers are written, though, so that a key has one text: `05` and `+5` are refused.
pub(super) fn append_key(cell: &Cell<'_>, out: &mut Column) -> Result<(), String> {
    match (cell, out.ty()) {
        (Cell::Quoted(text), Type::Int32 | Type::Int64) => match text.parse::<i64>() {
            Ok(value) if value.to_string() == **text => append(&Cell::Int(value), out),
            _ => Err(format!("the text {:?}", shortened(text))),
        },
        _ => append(cell, out),
    }
}

/// Whether it is pandas' word for a time that is none, as Feast's SDK writes it.
fn is_nat(cell: &Cell<'_>) -> bool {
    match cell {
        Cell::Text(text) | Cell::Written(text) => *text == "NaT",
        Cell::Quoted(text) => *text == "NaT",
        _ => false,
    }
}

/// Appends a value to a column; an error says what came instead. Nothing is appended then.
pub(super) fn append(cell: &Cell<'_>, out: &mut Column) -> Result<(), String> {
    if matches!(cell, Cell::Null | Cell::Seconds(NO_TIME)) {
        out.push_null();
        return Ok(());
    }
    // JSON and text have no kind for times, so that only the column tells the mark from a number, or from a word.
    if out.ty() == Type::Timestamp && (integer(cell) == Ok(NO_TIME) || is_nat(cell)) {
        out.push_null();
        return Ok(());
    }
    match out.ty() {
        Type::Bool => out.push_bool(boolean(cell)?),
        Type::Int32 => {
            let value = integer(cell)?;
            out.push_i32(
                i32::try_from(value).map_err(|_| format!("{value}, which it can't hold"))?,
            );
        }
        Type::Int64 => out.push_i64(integer(cell)?),
        Type::Float32 => out.push_f32(float32(cell)?),
        Type::Float64 => out.push_f64(float64(cell)?),
        Type::Utf8 => out.push_utf8(text(cell)?),
        Type::Binary => match cell {
            Cell::Bytes(bytes) => out.push_binary(bytes),
            Cell::Quoted(text) => out.push_binary(&base64(text)?),
            Cell::Written(text) => out.push_binary(&base64(text)?),
            _ => return Err(cell.kind()),
        },
        Type::Timestamp => out.push_timestamp(timestamp_us(cell)?),
        Type::Embedding(dim) => {
            let values = floats32(cell)?;
            if values.len() != dim as usize {
                return Err(format!("{} elements", values.len()));
            }
            out.push_embedding(&values);
        }
        Type::ListInt64 => out.push_list_i64(&integers(cell)?),
        Type::ListFloat64 => out.push_list_f64(&floats64(cell)?),
        Type::ListUtf8 => match cell {
            Cell::Texts(items) => out.push_list_utf8(*items),
            Cell::List(items) => {
                let items: Result<Vec<&str>, String> =
                    items.iter().map(text).map(in_list).collect();
                out.push_list_utf8(items?);
            }
            _ => return Err(cell.kind()),
        },
    }
    Ok(())
}

impl Cell<'_> {
    /// What it is, for a message.
    fn kind(&self) -> String {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) | Self::Quoted(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Seconds(_) => "a timestamp",
            Self::Written(text) => return format!("the text {:?}", shortened(text)),
            Self::Texts(_) => "a list of strings",
            Self::Bools(_) => "a list of bools",
            Self::Int32s(_) | Self::Ints(_) => "a list of integers",
            Self::Floats(_) | Self::Doubles(_) => "a list of floats",
            Self::List(_) => "a list",
            Self::Huge(value) => return format!("{value}, which no integer type holds"),
            Self::Other(kind) => kind,
        }
        .to_owned()
    }
}

/// As much of a text as a message shows.
fn shortened(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(end, _)| &text[..end])
}

fn in_list<T>(item: Result<T, String>) -> Result<T, String> {
    item.map_err(|came| format!("a list with {came} in it"))
}

fn boolean(cell: &Cell<'_>) -> Result<bool, String> {
    match cell {
        Cell::Bool(value) => Ok(*value),
        // As Python and everybody else write it.
        Cell::Written("true" | "True") => Ok(true),
        Cell::Written("false" | "False") => Ok(false),
        _ => Err(cell.kind()),
    }
}

fn integer(cell: &Cell<'_>) -> Result<i64, String> {
    match cell {
        Cell::Int(value) => Ok(*value),
        Cell::Float(value) => integral(*value),
        Cell::Written(text) => text.parse().map_err(|_| cell.kind()),
        _ => Err(cell.kind()),
    }
}

/// A float that is an integer: JSON and pandas write many so.
fn integral(value: f64) -> Result<i64, String> {
    if value.trunc() == value && (-ABOVE_INT64..ABOVE_INT64).contains(&value) {
        Ok(value as i64)
    } else {
        Err(format!("{value}"))
    }
}

fn float64(cell: &Cell<'_>) -> Result<f64, String> {
    match cell {
        Cell::Float(value) => Ok(*value),
        Cell::Int(value) if value.unsigned_abs() <= EXACT_IN_FLOAT64 => Ok(*value as f64),
        Cell::Int(value) => Err(format!("{value}, which float64 doesn't hold exactly")),
        Cell::Quoted(text) => match &**text {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(cell.kind()),
        },
        Cell::Written(text) => {
            let value: f64 = text.parse().map_err(|_| cell.kind())?;
            // One that is meant to be infinite has no digits.
            if value.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) {
                return Err(format!("{}, which is beyond float64", cell.kind()));
            }
            Ok(value)
        }
        _ => Err(cell.kind()),
    }
}

fn float32(cell: &Cell<'_>) -> Result<f32, String> {
    nearest32(float64(cell)?)
}

fn nearest32(value: f64) -> Result<f32, String> {
    let nearest = value as f32;
    if nearest.is_infinite() && value.is_finite() {
        return Err(format!("{value}, which is beyond float32"));
    }
    Ok(nearest)
}

fn text<'a>(cell: &'a Cell<'_>) -> Result<&'a str, String> {
    match cell {
        Cell::Text(text) | Cell::Written(text) => Ok(text),
        Cell::Quoted(text) => Ok(text),
        _ => Err(cell.kind()),
    }
}

fn base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("text that is no base64 ({error})"))
}

/// Microseconds since 1970 UTC of what is said in seconds or as ISO 8601, without a zone in UTC.
fn timestamp_us(cell: &Cell<'_>) -> Result<i64, String> {
    let us = match cell {
        Cell::Seconds(seconds) => of_seconds(*seconds)?,
        Cell::Int(_) | Cell::Float(_) => of_seconds(integer(cell)?)?,
        Cell::Written(text) => match text.parse() {
            Ok(seconds) => of_seconds(seconds)?,
            Err(_) => of_iso(text)?,
        },
        Cell::Text(text) => of_iso(text)?,
        Cell::Quoted(text) => of_iso(text)?,
        _ => return Err(cell.kind()),
    };
    check_time(us).map_err(|error| error.to_string())
}

fn of_seconds(seconds: i64) -> Result<i64, String> {
    seconds.checked_mul(1_000_000).ok_or_else(|| format!("{seconds} seconds since 1970"))
}

fn of_iso(text: &str) -> Result<i64, String> {
    let shown = || format!("{:?}, which is no time such as 2026-01-31T12:00:00Z", shortened(text));
    let time: prost_types::Timestamp = text.parse().map_err(|_| shown())?;
    let us = time.seconds.checked_mul(1_000_000);
    us.and_then(|us| us.checked_add(i64::from(time.nanos) / 1_000)).ok_or_else(shown)
}

fn integers<'a>(cell: &'a Cell<'_>) -> Result<Cow<'a, [i64]>, String> {
    match cell {
        Cell::Ints(items) => Ok(Cow::Borrowed(items)),
        Cell::Int32s(items) => Ok(items.iter().map(|item| i64::from(*item)).collect()),
        // There is no list of bools here: 0 and 1 stand for them.
        Cell::Bools(items) => Ok(items.iter().map(|item| i64::from(*item)).collect()),
        Cell::List(items) => items.iter().map(in_list_of_integers).map(in_list).collect(),
        _ => Err(cell.kind()),
    }
}

fn in_list_of_integers(item: &Cell<'_>) -> Result<i64, String> {
    match item {
        Cell::Bool(value) => Ok(i64::from(*value)),
        _ => integer(item),
    }
}

fn floats64<'a>(cell: &'a Cell<'_>) -> Result<Cow<'a, [f64]>, String> {
    match cell {
        Cell::Doubles(items) => Ok(Cow::Borrowed(items)),
        Cell::Floats(items) => Ok(items.iter().map(|item| f64::from(*item)).collect()),
        Cell::Int32s(items) => Ok(items.iter().map(|item| f64::from(*item)).collect()),
        Cell::Ints(items) => {
            items.iter().map(|item| float64(&Cell::Int(*item))).map(in_list).collect()
        }
        Cell::List(items) => items.iter().map(float64).map(in_list).collect(),
        _ => Err(cell.kind()),
    }
}

fn floats32<'a>(cell: &'a Cell<'_>) -> Result<Cow<'a, [f32]>, String> {
    match cell {
        Cell::Floats(items) => Ok(Cow::Borrowed(items)),
        _ => floats64(cell)?.iter().map(|item| nearest32(*item)).map(in_list).collect(),
    }
}

#[cfg(test)]
mod tests;

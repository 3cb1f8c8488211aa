//! Entity keys as bytes: order-preserving and prefix-free; not which types may be keys, which is the
//! catalog's to say.
//!
//! Bytes compare as the values do, column by column, and no key is the prefix of another, so keys
//! can be followed by other bytes without a length. Per column:
//!
//! | type | bytes |
//! |---|---|
//! | bool | `00` or `01` |
//! | int32, int64 | big-endian with the sign bit flipped |
//! | utf8, binary | the bytes with `00` written as `00 FF`, then `00 01` |
//!
//! Cost: one pass over the bytes into a buffer that is reused; no allocation when warm.

use skewless_batch::{Column, Type, Value};

/// Bytes that are not a key of the given types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the bytes of a key of the view's types, came something else at byte {at}")]
pub struct KeyError {
    /// Where.
    pub at: usize,
}

/// Adds the key in `row` of `columns` to `out`. `false`, with `out` as it was, if a column is null or
/// of a type that can't be a key.
pub fn encode<'a>(
    columns: impl IntoIterator<Item = &'a Column>,
    row: usize,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    for column in columns {
        if !encode_value(column.value(row), out) {
            out.truncate(start);
            return false;
        }
    }
    true
}

/// Adds one key column's value to `out`; `false` if it is null or of a type that can't be a key.
pub fn encode_value(value: Value<'_>, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Bool(value) => out.push(u8::from(value)),
        Value::Int32(value) => out.extend_from_slice(&(value as u32 ^ 1 << 31).to_be_bytes()),
        Value::Int64(value) => out.extend_from_slice(&ordered_i64(value)),
        Value::Utf8(value) => escape(value.as_bytes(), out),
        Value::Binary(value) => escape(value, out),
        _ => return false,
    }
    true
}

/// Reads one key of the given types from the start of `bytes` into `columns`, one value each. Gives
/// the number of bytes read.
pub fn decode(bytes: &[u8], columns: &mut [Column]) -> Result<usize, KeyError> {
    let mut at = 0;
    for column in columns {
        match column.ty() {
            Type::Bool => match take::<1>(bytes, &mut at)? {
                [value @ (0 | 1)] => column.push_bool(value == 1),
                _ => return Err(KeyError { at: at - 1 }),
            },
            Type::Int32 => {
                let value = u32::from_be_bytes(take(bytes, &mut at)?) ^ 1 << 31;
                column.push_i32(value as i32);
            }
            Type::Int64 => column.push_i64(from_ordered_i64(take(bytes, &mut at)?)),
            Type::Utf8 => {
                let start = at;
                let text = String::from_utf8(unescape(bytes, &mut at)?);
                column.push_utf8(&text.map_err(|_| KeyError { at: start })?);
            }
            Type::Binary => column.push_binary(&unescape(bytes, &mut at)?),
            _ => return Err(KeyError { at }),
        }
    }
    Ok(at)
}

/// A time or integer as bytes that compare as the number does.
pub(crate) fn ordered_i64(value: i64) -> [u8; 8] {
    (value as u64 ^ 1 << 63).to_be_bytes()
}

pub(crate) fn from_ordered_i64(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ 1 << 63) as i64
}

fn take<const N: usize>(bytes: &[u8], at: &mut usize) -> Result<[u8; N], KeyError> {
    let taken = bytes.get(*at..).and_then(|rest| rest.first_chunk::<N>());
    let taken = *taken.ok_or(KeyError { at: *at })?;
    *at += N;
    Ok(taken)
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 2);
    for part in bytes.split_inclusive(|byte| *byte == 0) {
        out.extend_from_slice(part);
        if part.last() == Some(&0) {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 1]);
}

fn unescape(bytes: &[u8], at: &mut usize) -> Result<Vec<u8>, KeyError> {
    let mut out = Vec::new();
    loop {
        match take::<1>(bytes, at)? {
            [0] => match take::<1>(bytes, at)? {
                [0xFF] => out.push(0),
                [1] => return Ok(out),
                _ => return Err(KeyError { at: *at - 1 }),
            },
            [byte] => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests;

//! One bit pattern for every NaN, so that results don't depend on which NaN a processor makes; and
//! the bytes of single values that parity compares. Infinities and -0.0 are left as they are.

use alloc::vec::Vec;

use crate::Value;

/// The bits of the one NaN of float32 columns.
pub const CANONICAL_NAN_F32: u32 = 0x7fc0_0000;
/// The bits of the one NaN of float64 columns.
pub const CANONICAL_NAN_F64: u64 = 0x7ff8_0000_0000_0000;

/// Replaces every NaN by [`CANONICAL_NAN_F32`]; branch-free, so it vectorises.
#[inline]
pub fn canonicalize_f32s(values: &mut [f32]) {
    for value in values {
        *value = if value.is_nan() { f32::from_bits(CANONICAL_NAN_F32) } else { *value };
    }
}

/// Replaces every NaN by [`CANONICAL_NAN_F64`]; branch-free, so it vectorises.
#[inline]
pub fn canonicalize_f64s(values: &mut [f64]) {
    for value in values {
        *value = if value.is_nan() { f64::from_bits(CANONICAL_NAN_F64) } else { *value };
    }
}

impl Value<'_> {
    /// Appends the bytes by which values are compared: 0 for null, otherwise 1 and the value:
    /// numbers little-endian, bool one byte, text and bytes with a u32 length before them, lists and
    /// embeddings with a u32 number of elements. NaNs keep their bits: a comparison hides nothing.
    pub fn canonical_bytes(&self, out: &mut Vec<u8>) {
        if matches!(self, Self::Null) {
            out.push(0);
            return;
        }
        out.push(1);
        match *self {
            Self::Null => {}
            Self::Bool(value) => out.push(u8::from(value)),
            Self::Int32(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Int64(value) | Self::Timestamp(value) => {
                out.extend_from_slice(&value.to_le_bytes());
            }
            Self::Float32(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Float64(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Utf8(value) => prefixed(out, value.as_bytes()),
            Self::Binary(value) => prefixed(out, value),
            Self::Embedding(value) => counted(out, value.len(), value.as_bytes()),
            Self::ListInt64(value) => counted(out, value.len(), value.as_bytes()),
            Self::ListFloat64(value) => counted(out, value.len(), value.as_bytes()),
            Self::ListUtf8(value) => {
                counted(out, value.len(), &[]);
                value.iter().for_each(|text| prefixed(out, text.as_bytes()));
            }
        }
    }
}

fn prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    counted(out, bytes.len(), bytes);
}

/// A column's offsets are i32, so a count always fits a u32.
fn counted(out: &mut Vec<u8>, count: usize, bytes: &[u8]) {
    out.extend_from_slice(&(count as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

//! The crate's only unsafe code: numbers seen as their bytes, aligned bytes seen as numbers, and
//! text that was checked before. Little-endian targets only (`lib.rs` refuses others), so that the
//! bytes in memory are the bytes of the layout.

use core::mem::{align_of, size_of, size_of_val};
use core::slice::from_raw_parts;

/// Numbers that have no padding and no invalid bit patterns.
pub(crate) trait Plain: Copy + sealed::Sealed {}

mod sealed {
    //! Closes [`super::Plain`]: its guarantee is about exactly these four types.
    pub(crate) trait Sealed {}
    impl Sealed for i32 {}
    impl Sealed for i64 {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Plain for i32 {}
impl Plain for i64 {}
impl Plain for f32 {}
impl Plain for f64 {}

/// The bytes of `items`.
#[expect(unsafe_code, reason = "seeing numbers as bytes saves a copy of every column")]
pub(crate) fn bytes_of<T: Plain>(items: &[T]) -> &[u8] {
    // SAFETY: `Plain` types have no padding, so every byte is initialised; u8 has alignment 1; the
    // pointer and the length in bytes are those of a live slice, borrowed for the same lifetime.
    unsafe { from_raw_parts(items.as_ptr().cast(), size_of_val(items)) }
}

/// The numbers in `bytes`; `None` if they are not aligned or not a whole number of items.
#[expect(unsafe_code, reason = "vectorised plugins read columns as slices of numbers")]
pub(crate) fn items_of<T: Plain>(bytes: &[u8]) -> Option<&[T]> {
    let aligned = bytes.as_ptr().addr().is_multiple_of(align_of::<T>());
    if !aligned || !bytes.len().is_multiple_of(size_of::<T>()) {
        return None;
    }
    // SAFETY: alignment and length were just checked; every bit pattern is a valid `Plain`; the
    // bytes are initialised and borrowed for the same lifetime.
    Some(unsafe { from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) })
}

/// `bytes` as text, unchecked in release builds.
///
/// # Safety
/// `bytes` are valid UTF-8.
#[expect(unsafe_code, reason = "text is checked once at parse, not at every access")]
pub(crate) unsafe fn text_of(bytes: &[u8]) -> &str {
    debug_assert!(core::str::from_utf8(bytes).is_ok(), "text was checked at parse");
    // SAFETY: the caller's promise.
    unsafe { core::str::from_utf8_unchecked(bytes) }
}

#[cfg(test)]
mod tests {
    //! The casts at every alignment and length.
    use super::*;
    use std::vec::Vec;

    #[test]
    fn numbers_are_their_little_endian_bytes() {
        assert_eq!(bytes_of(&[1i32, -2]), [1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
        assert_eq!(bytes_of(&[1.0f64]), 1.0f64.to_le_bytes());
        assert_eq!(bytes_of::<i64>(&[]), [0u8; 0]);
    }

    #[test]
    fn only_aligned_whole_items_are_seen_as_numbers() {
        let words: Vec<i64> = (0..8).collect();
        let bytes = bytes_of(&words);
        for start in 0..16 {
            for end in start..bytes.len() {
                let part = &bytes[start..end];
                let found = items_of::<i64>(part);
                let legal = start % 8 == 0 && (end - start) % 8 == 0;
                assert_eq!(found.is_some(), legal, "{start}..{end}");
                if let Some(items) = found {
                    assert_eq!(items, &words[start / 8..end / 8]);
                }
            }
        }
    }
}

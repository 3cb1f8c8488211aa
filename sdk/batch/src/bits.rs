//! Bitmaps in Arrow's order: bit `i` is bit `i % 8` of byte `i / 8`. Bits past the end are zero in
//! what this file writes, and ignored in what it reads.

use alloc::vec::Vec;

/// Bytes of a bitmap of `bits` bits.
pub(crate) const fn bytes_for(bits: usize) -> usize {
    bits.div_ceil(8)
}

/// Bit `index`; the bitmap is long enough.
#[inline]
pub(crate) fn get(bytes: &[u8], index: usize) -> bool {
    bytes[index >> 3] >> (index & 7) & 1 != 0
}

/// Sets bit `index` to 0; the bitmap is long enough.
pub(crate) fn clear(bytes: &mut [u8], index: usize) {
    bytes[index >> 3] &= !(1 << (index & 7));
}

/// Appends one bit to a bitmap of `len` bits.
#[inline]
pub(crate) fn push(bytes: &mut Vec<u8>, len: usize, bit: bool) {
    match bytes.last_mut() {
        Some(last) if len & 7 != 0 => *last |= u8::from(bit) << (len & 7),
        _ => bytes.push(u8::from(bit)),
    }
}

/// Appends `count` ones to a bitmap of `len` bits.
pub(crate) fn push_ones(bytes: &mut Vec<u8>, len: usize, count: usize) {
    if count == 0 {
        return;
    }
    if let (Some(last), true) = (bytes.last_mut(), len & 7 != 0) {
        *last |= 0xff << (len & 7);
    }
    bytes.resize(bytes_for(len + count), 0xff);
    trim(bytes, len + count);
}

/// Appends `count` bits of `source` from bit `start` on to a bitmap of `len` bits.
pub(crate) fn append(bytes: &mut Vec<u8>, len: usize, source: &[u8], start: usize, count: usize) {
    if count == 0 {
        return;
    }
    if len & 7 == 0 && start & 7 == 0 {
        bytes.extend_from_slice(&source[start >> 3..bytes_for(start + count)]);
        trim(bytes, len + count);
        return;
    }
    let mut done = 0;
    while done < count {
        let take = (count - done).min(8);
        let at = start + done;
        let next = source.get((at >> 3) + 1).copied().unwrap_or(0);
        let pair = u16::from_le_bytes([source[at >> 3], next]);
        let byte = (pair >> (at & 7)) as u8 & (0xff >> (8 - take));
        let shift = (len + done) & 7;
        match bytes.last_mut() {
            Some(last) if shift != 0 => {
                *last |= byte << shift;
                if shift + take > 8 {
                    bytes.push(byte >> (8 - shift));
                }
            }
            _ => bytes.push(byte),
        }
        done += take;
    }
}

/// Zero bits among the first `len` bits.
pub(crate) fn count_zeros(bytes: &[u8], len: usize) -> usize {
    let (words, rest) = bytes[..len / 8].as_chunks::<8>();
    let ones: usize = words.iter().map(|w| u64::from_le_bytes(*w).count_ones() as usize).sum();
    let rest: usize = rest.iter().map(|byte| byte.count_ones() as usize).sum();
    let last = if len & 7 == 0 { 0 } else { bytes[len >> 3] & (0xff >> (8 - (len & 7))) };
    len - ones - rest - last.count_ones() as usize
}

/// Zeroes the bits past `len` in the last byte of a bitmap of exactly that length.
pub(crate) fn trim(bytes: &mut [u8], len: usize) {
    if let (Some(last), true) = (bytes.last_mut(), len & 7 != 0) {
        *last &= 0xff >> (8 - (len & 7));
    }
}

#[cfg(test)]
mod tests {
    //! Bitmaps against a vector of bools.
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    fn pack(bits: &[bool]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (i, bit) in bits.iter().enumerate() {
            push(&mut bytes, i, *bit);
        }
        bytes
    }

    proptest! {
        #[test]
        fn append_is_a_push_of_each_bit(
            a in prop::collection::vec(any::<bool>(), 0..40),
            b in prop::collection::vec(any::<bool>(), 0..60),
            from in 0usize..60, to in 0usize..60, ones in 0usize..30,
        ) {
            let (from, to) = (from.min(b.len()).min(to), to.min(b.len()));
            let (from, to) = (from.min(to), to);
            let mut bytes = pack(&a);
            append(&mut bytes, a.len(), &pack(&b), from, to - from);
            let mut oracle = a.clone();
            oracle.extend_from_slice(&b[from..to]);
            prop_assert_eq!(&bytes, &pack(&oracle));
            push_ones(&mut bytes, oracle.len(), ones);
            oracle.extend(vec![true; ones]);
            prop_assert_eq!(&bytes, &pack(&oracle));
            prop_assert_eq!(count_zeros(&bytes, oracle.len()), oracle.iter().filter(|b| !**b).count());
            for (i, bit) in oracle.iter().enumerate() {
                prop_assert_eq!(get(&bytes, i), *bit);
            }
        }
    }
}

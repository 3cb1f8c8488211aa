//! MurmurHash3, 32 bits for x86, by which Feast names the fields of its Redis hashes. From the public-domain description and
//! constants of its author (Austin Appleby, aappleby/smhasher).

/// The hash of bytes, with seed 0.
pub(super) fn murmur3_32(bytes: &[u8]) -> u32 {
    let mut hash = 0_u32;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let block = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        hash ^= scrambled(block);
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let tail = chunks.remainder();
    if !tail.is_empty() {
        let mut block = [0; 4];
        block[..tail.len()].copy_from_slice(tail);
        hash ^= scrambled(u32::from_le_bytes(block));
    }
    // The length as 32 bits, as the definition has it.
    #[expect(clippy::cast_possible_truncation, reason = "the definition takes 32 bits of it")]
    let length = bytes.len() as u32;
    hash ^= length;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

fn scrambled(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `mmh3.hash(text, signed=False)` of mmh3 5.3, which Feast uses.
    const HASHES: [(&str, u32); 7] = [
        ("", 0),
        ("a", 0x3c25_69b2),
        ("ab", 0x9bbf_d75f),
        ("abc", 0xb3dd_93fa),
        ("abcd", 0x43ed_676a),
        ("driver_stats:conv_rate", 0x1410_73fa),
        ("Größe:ü", 0x862a_7b26),
    ];

    #[test]
    fn hashes_are_those_of_feast() {
        for (text, hash) in HASHES {
            assert_eq!(murmur3_32(text.as_bytes()), hash, "{text}");
        }
    }
}

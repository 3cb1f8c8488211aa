//! The hashing trick: strings of any vocabulary as numbers of a space of stated size (Weinberger et al., "Feature
//! Hashing for Large Scale Multitask Learning", 2009).
//!
//! The hash is XXH3-64 with seed 0 over the UTF-8 bytes. The bucket is the hash modulo the number of buckets, the
//! sign its topmost bit (0 = +1), so that collisions cancel rather than add up.

use skewless::Strings;
use xxhash_rust::xxh3::xxh3_64;

/// Largest space, so that a bucket is exact as a float32 too.
const BUCKETS_MAX: i32 = 1 << 24;

/// Where strings land.
#[derive(skewless::Outputs)]
pub struct Hashed {
    /// Bucket of the text, 0 to buckets - 1.
    pub bucket: Option<i32>,
    /// +1 or -1.
    pub sign: Option<i32>,
    /// The whole hash.
    pub hash: Option<i64>,
    /// Bucket of each word, in their order.
    pub word_buckets: Option<Vec<i64>>,
}

/// Hashes a text, and each of a list of words, into a feature space.
#[skewless::transform]
pub fn feature_hash(
    /// A text; null has no hash.
    text: Option<&str>,
    /// Further words, each hashed by itself; null gives null.
    words: Option<Strings<'_>>,
    /// Size of the space, 1 to 16777216.
    buckets: i32,
) -> Result<Hashed, &'static str> {
    if !(1..=BUCKETS_MAX).contains(&buckets) {
        return Err("expected buckets from 1 to 16777216");
    }
    let space = buckets as u64;
    let hash = text.map(|text| xxh3_64(text.as_bytes()));
    Ok(Hashed {
        bucket: hash.map(|hash| (hash % space) as i32),
        sign: hash.map(|hash| 1 - 2 * (hash >> 63) as i32),
        hash: hash.map(|hash| hash as i64),
        word_buckets: words.map(|words| {
            words.iter().map(|word| (xxh3_64(word.as_bytes()) % space) as i64).collect()
        }),
    })
}

#[cfg(test)]
skewless::golden!("../golden.jsonl");

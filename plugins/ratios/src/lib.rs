//! Ratio, difference, logarithms and a bucket of two numbers: what a model gets instead of raw counts, with every
//! question of nulls and zeros answered.
//!
//! A null part is unknown, so whatever needs it is null; a division by zero is null too, not infinite, because
//! models take nulls and choke on infinities.

use skewless::math::{ln, log1p};

/// Upper bounds of the buckets 0 to 7; a ratio above the last is in bucket 8.
const BOUNDS: [f64; 8] = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0];

/// What can be said about two numbers.
#[derive(skewless::Outputs)]
pub struct Ratios {
    /// part / whole; null if either is null or the whole is zero.
    pub ratio: Option<f64>,
    /// part - whole.
    pub difference: Option<f64>,
    /// Natural logarithm of the ratio; null unless the ratio is positive.
    pub log_ratio: Option<f64>,
    /// ln(1 + |part|) with the part's sign: tames long tails, defined everywhere.
    pub signed_log_part: Option<f64>,
    /// Number of the first bound (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 4) that the ratio doesn't exceed, else 8; -1 if
    /// there is no ratio.
    pub bucket: i32,
    /// Whether both numbers are there.
    pub complete: bool,
}

/// Ratio, difference, logarithms and bucket of two numbers.
#[skewless::transform]
pub fn ratios(
    /// The part.
    part: Option<f64>,
    /// The whole it is compared with.
    whole: Option<f64>,
) -> Ratios {
    let both = part.zip(whole);
    let ratio = both.filter(|(_, whole)| *whole != 0.0).map(|(part, whole)| part / whole);
    Ratios {
        ratio,
        difference: both.map(|(part, whole)| part - whole),
        log_ratio: ratio.filter(|ratio| *ratio > 0.0).map(ln),
        signed_log_part: part.map(|part| log1p(part.abs()).copysign(part)),
        bucket: ratio.filter(|ratio| !ratio.is_nan()).map_or(-1, bucket),
        complete: both.is_some(),
    }
}

fn bucket(ratio: f64) -> i32 {
    BOUNDS.iter().take_while(|bound| ratio > **bound).count() as i32
}

#[cfg(test)]
skewless::golden!("../golden.jsonl");

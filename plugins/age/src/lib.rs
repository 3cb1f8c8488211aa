//! How old something is at a moment, when only the year of its making is known: the smallest plugin here, and the
//! one to copy.

use skewless::Timestamp;

/// Mean length of a year of the Gregorian calendar, in microseconds: 365.2425 days.
const YEAR_US: f64 = 365.2425 * 86_400e6;

/// Age in years, counted from the middle of the year of making.
#[skewless::transform(output = "years", unit = "a")]
pub fn age(
    /// The moment.
    at: Timestamp,
    /// Year of making.
    made: i32,
) -> f64 {
    1970.0 + at.0 as f64 / YEAR_US - (f64::from(made) + 0.5)
}

#[cfg(test)]
skewless::golden!("../golden.jsonl");

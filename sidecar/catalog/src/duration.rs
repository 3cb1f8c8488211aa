//! Durations as definitions write them, `90s` or `1d12h`, in microseconds; not times.
//!
//! Limits: at most [`DURATION_US_MAX`]; never negative; whole numbers only.

use crate::limit::DURATION_US_MAX;

/// Units from great to small with their microseconds; in one duration they come in this order.
const UNITS: [(&str, i64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Why a text is no duration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DurationError {
    /// Not numbers with units.
    #[error(
        "expected a duration such as 90s, 30m, 3h or 1d12h (units d h m s ms us, great to small), came `{0}`"
    )]
    Syntax(String),
    /// Longer than the limit.
    #[error("expected a duration of at most 365000d (DURATION_US_MAX), came `{0}`")]
    TooLong(String),
}

/// Reads a duration into microseconds.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let syntax = || DurationError::Syntax(text.to_owned());
    let too_long = || DurationError::TooLong(text.to_owned());
    let mut rest = text;
    let mut total: i64 = 0;
    let mut units = UNITS.as_slice();
    if rest.is_empty() {
        return Err(syntax());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        let at = units.iter().position(|(name, _)| *name == unit).ok_or_else(syntax)?;
        if number.is_empty() {
            return Err(syntax());
        }
        let part = number.parse::<i64>().ok().and_then(|n| n.checked_mul(units[at].1));
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
        units = &units[at + 1..];
        rest = &rest[digits + letters..];
    }
    if total > DURATION_US_MAX { Err(too_long()) } else { Ok(total) }
}

/// Writes microseconds as a definition would.
#[must_use]
pub fn format(us: i64) -> String {
    let mut rest = us.max(0);
    let mut text = String::new();
    for (name, unit_us) in UNITS {
        if rest / unit_us > 0 {
            text.push_str(&format!("{}{name}", rest / unit_us));
            rest %= unit_us;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units_from_great_to_small() {
        for (text, us) in [
            ("0s", 0),
            ("90s", 90_000_000),
            ("1d12h", 129_600_000_000),
            ("5m30s250ms1us", 330_250_001),
            ("365000d", DURATION_US_MAX),
        ] {
            assert_eq!(parse(text), Ok(us), "{text}");
            assert_eq!(parse(&format(us)), Ok(us), "{text}");
        }
        for text in ["", "3", "h", "3 h", "-1s", "1.5h", "1h1d", "1h1h", "3x", "٣h", "1w", "+1s"] {
            assert_eq!(parse(text), Err(DurationError::Syntax(text.to_owned())), "{text}");
        }
        for text in ["365001d", "99999999999999999999d", "365000d1us", "9223372036854775807us1us"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

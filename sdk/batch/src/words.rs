//! Values that JSON has no form for, as people write them: binaries and instants; not the other types, which JSON has. One
//! reading for every file and command that people write rows in; a guest reads none, so it isn't part of one.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Type;

/// How a value of a type is written, for messages: its name, and an example where the name alone doesn't say it.
#[must_use]
pub fn form(ty: Type) -> String {
    match ty {
        Type::Binary => format!("{ty} (\"0x00ff\", or a list of bytes)"),
        Type::Timestamp => format!("{ty} (\"2013-07-04T12:00:00Z\", or microseconds since 1970)"),
        Type::Embedding(_) | Type::ListInt64 | Type::ListFloat64 | Type::ListUtf8 => {
            format!("{ty} (a list)")
        }
        ty => format!("{ty}"),
    }
}

/// Bytes: `0x` and two hexadecimal digits each.
#[must_use]
pub fn binary(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

/// Microseconds since 1970-01-01T00:00:00 UTC of an instant of the years 0 to 9999 as RFC 3339 has it, with at most six digits
/// after the second: what is finer would be lost. Without a zone, or without a time, it is UTC, or midnight.
#[must_use]
pub fn timestamp(text: &str) -> Option<i64> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let [year, month, day] = fields(date, b'-', [4, 2, 2])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    // Years begin in March here, so that a leap day is the last of its year.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before = years * 365 + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    // 719,468 days from the first of March of year 0 to the first of January of 1970.
    let midnight = (before + (months * 153 + 2) / 5 + day - 1 - 719_468) * 86_400_000_000;
    if rest.is_empty() {
        return Some(midnight);
    }
    let (time, rest) = (rest.strip_prefix(['T', 't', ' '])?.get(..8)?, rest.get(9..)?);
    let [hour, minute, second] = fields(time, b':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let digits = rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) if (1..=6).contains(&digits) => {
            (format!("{:0<6}", &rest[..digits]).parse::<i64>().ok()?, &rest[digits..])
        }
        Some(_) => return None,
        None => (0, rest),
    };
    let east = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), ..] => {
            let [hours, minutes] = fields(&zone[1..], b':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -60 } else { 60 }
        }
        _ => return None,
    };
    let seconds = hour * 3_600 + minute * 60 + second - east;
    Some(midnight + seconds * 1_000_000 + fraction)
}

/// Numbers of so many digits each, with a character between them.
fn fields<const N: usize>(text: &str, between: u8, widths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(char::from(between));
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn bytes_are_pairs_of_digits_after_0x() {
        assert_eq!(binary("0x"), Some(vec![]));
        assert_eq!(binary("0x00fF7a"), Some(vec![0, 255, 122]));
        for wrong in ["", "00ff", "0X00", "0x0", "0xabc", "0x+f", "0x 1", "0xżż", "0xzz"] {
            assert_eq!(binary(wrong), None, "{wrong}");
        }
    }

    /// The numbers are those of `date --utc --date=TEXT +%s%6N`.
    #[test]
    fn an_instant_is_read_to_the_microsecond() {
        for (text, us) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2013-07-04T12:00:00Z", 1_372_939_200_000_000),
            ("2013-07-04t12:00:00z", 1_372_939_200_000_000),
            ("2013-07-04 12:00:00", 1_372_939_200_000_000),
            ("2013-07-04", 1_372_896_000_000_000),
            ("2013-07-04T12:00:00.25+02:00", 1_372_932_000_250_000),
            ("2013-07-04T12:00:00.000001-00:30", 1_372_941_000_000_001),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("2012-02-29T00:00:00Z", 1_330_473_600_000_000),
            ("2000-02-29", 951_782_400_000_000),
            ("1900-03-01", -2_203_891_200_000_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
            ("0000-01-01", -62_167_219_200_000_000),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ] {
            assert_eq!(timestamp(text), Some(us), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for wrong in [
            "",
            "noon",
            "2013-7-4",
            "2013-13-01",
            "2013-00-01",
            "2013-02-29",
            "1900-02-29",
            "2013-06-31",
            "2013-07-00",
            "2013-07-04T",
            "2013-07-04T12",
            "2013-07-04T12:00",
            "2013-07-04T24:00:00Z",
            "2013-07-04T12:60:00Z",
            "2013-07-04T12:00:60Z",
            "2013-07-04T12:00:00.Z",
            "2013-07-04T12:00:00.1234567Z",
            "2013-07-04T12:00:00,5Z",
            "2013-07-04T12:00:00+2",
            "2013-07-04T12:00:00+02:00Z",
            "2013-07-04T12:00:00+24:00",
            "2013-07-04T12:00:00 UTC",
            "+013-07-04",
            "2013-07-0żT12:00:00Z",
        ] {
            assert_eq!(timestamp(wrong), None, "{wrong}");
        }
    }
}

//! Cyclic calendar features of a timestamp, without a time zone database: local time is UTC plus an offset
//! that the caller gives, so that a plugin needs no data that changes.
//!
//! Days to dates by the algorithm of Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013), in the
//! proleptic Gregorian calendar. Circles: an angle of 0 is midnight, Monday, the first of January.

use skewless::Timestamp;
use skewless::math::{cos, sin};

const DAY_US: i64 = 86_400_000_000;
const MINUTE_US: i64 = 60_000_000;
/// UTC offsets are between -18 and +18 hours (ISO 8601 as java.time reads it).
const OFFSET_MIN_MAX: i32 = 18 * 60;

/// Where a moment is on the clock, in the week and in the year.
#[derive(skewless::Outputs)]
pub struct Calendar {
    /// Year.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: i32,
    /// Day of the month, 1 to 31.
    pub day: i32,
    /// Day of the year, 1 to 366.
    pub day_of_year: i32,
    /// Day of the week, 1 (Monday) to 7 (Sunday).
    pub weekday: i32,
    /// Hour, 0 to 23.
    #[unit("h")]
    pub hour: i32,
    /// Minutes since midnight, with their fraction.
    #[unit("min")]
    pub minute_of_day: f64,
    /// Saturday or Sunday.
    pub is_weekend: bool,
    /// Sine of the time of day.
    pub day_sin: f64,
    /// Cosine of the time of day.
    pub day_cos: f64,
    /// Sine of the time of the week.
    pub week_sin: f64,
    /// Cosine of the time of the week.
    pub week_cos: f64,
    /// Sine of the day of the year.
    pub year_sin: f64,
    /// Cosine of the day of the year.
    pub year_cos: f64,
}

/// Calendar features of a moment, as whole numbers and as points on circles.
#[skewless::transform]
pub fn calendar(
    /// The moment.
    at: Timestamp,
    /// Offset of local time from UTC; null: UTC.
    #[unit("min")]
    utc_offset: Option<i32>,
) -> Result<Calendar, &'static str> {
    let offset = utc_offset.unwrap_or(0);
    if !(-OFFSET_MIN_MAX..=OFFSET_MIN_MAX).contains(&offset) {
        return Err("expected a utc_offset from -1080 to 1080 minutes");
    }
    let local = at.0.saturating_add(i64::from(offset) * MINUTE_US);
    let (days, in_day) = (local.div_euclid(DAY_US), local.rem_euclid(DAY_US));
    let (year, month, day) = date(days);
    let day_of_year = days - first_of_january(year) + 1;
    // 1970-01-01 was a Thursday.
    let weekday = (days + 3).rem_euclid(7);
    let of_day = in_day as f64 / DAY_US as f64;
    let of_week = (weekday as f64 + of_day) / 7.0;
    let year_days = first_of_january(year + 1) - first_of_january(year);
    let of_year = ((day_of_year - 1) as f64 + of_day) / year_days as f64;
    Ok(Calendar {
        year: year as i32,
        month: month as i32,
        day: day as i32,
        day_of_year: day_of_year as i32,
        weekday: weekday as i32 + 1,
        hour: (in_day / (60 * MINUTE_US)) as i32,
        minute_of_day: in_day as f64 / MINUTE_US as f64,
        is_weekend: weekday >= 5,
        day_sin: sin(turn(of_day)),
        day_cos: cos(turn(of_day)),
        week_sin: sin(turn(of_week)),
        week_cos: cos(turn(of_week)),
        year_sin: sin(turn(of_year)),
        year_cos: cos(turn(of_year)),
    })
}

fn turn(part: f64) -> f64 {
    part * core::f64::consts::TAU
}

/// Year, month and day of a number of days since 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    // Years begin in March, so that the leap day is a year's last; an era is 400 years.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to the first of January of a year.
fn first_of_january(year: i64) -> i64 {
    let before = year - 1;
    365 * before + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

#[cfg(test)]
skewless::golden!("../golden.jsonl");

//! Wind as an aircraft feels it: how much blows along its course, how much across.
//!
//! Directions as meteorologists give them: where the wind comes from, clockwise from north. A calm has no
//! direction; reports of it often leave the direction out, so speed 0 gives components of 0 without one.

use skewless::math::{cos, sin};

/// Components of the wind.
#[derive(skewless::Outputs)]
pub struct Wind {
    /// Against the course; negative: from behind. Unit of the speed.
    pub headwind: f64,
    /// Across the course, from the right; negative: from the left. Unit of the speed.
    pub crosswind: f64,
    /// How much gusts exceed the mean; null if none were reported.
    pub gust_excess: Option<f64>,
    /// Whether the wind comes from behind.
    pub is_tailwind: bool,
}

/// Head and cross wind on a course.
#[skewless::transform]
pub fn wind(
    /// Where the wind comes from; may be null in a calm.
    #[unit("deg")]
    direction: Option<f64>,
    /// Its speed, not negative.
    speed: f64,
    /// Speed of gusts, in the unit of the speed.
    gust: Option<f64>,
    /// Course of the aircraft.
    #[unit("deg")]
    course: f64,
) -> Result<Option<Wind>, String> {
    if speed < 0.0 {
        return Err(format!("expected a speed of 0 or more, came {speed:?}"));
    }
    let from = match direction {
        Some(direction) => direction,
        None if speed == 0.0 => course,
        None => return Ok(None),
    };
    let angle = (from - course).to_radians();
    let headwind = speed * cos(angle);
    Ok(Some(Wind {
        headwind,
        crosswind: speed * sin(angle),
        gust_excess: gust.map(|gust| gust - speed),
        is_tailwind: headwind < 0.0,
    }))
}

#[cfg(test)]
skewless::golden!("../golden.jsonl");

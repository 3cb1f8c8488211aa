//! Great-circle distance between two points on the Earth.
//!
//! Haversine formula on a sphere with the Earth's mean radius R1 = 6371.0088 km (IUGG; Moritz, "Geodetic Reference
//! System 1980"); an ellipsoid differs by up to 0.6 %.

use skewless::math::{asin, cos, sin, sqrt};

const EARTH_RADIUS_KM: f64 = 6371.0088;
/// Degrees times this are radians.
const RADIANS: f64 = 0.017453292519943295;

/// Great-circle distance between two points on the Earth.
///
/// A null in an argument that isn't an `Option` makes the row null; this function isn't called then.
#[skewless::transform(output = "km", unit = "km")]
pub fn my_plugin(
    /// Latitude of the start, north positive.
    #[unit("deg")]
    lat1: f64,
    /// Longitude of the start, east positive.
    #[unit("deg")]
    lon1: f64,
    /// Latitude of the end.
    #[unit("deg")]
    lat2: f64,
    /// Longitude of the end.
    #[unit("deg")]
    lon2: f64,
) -> Result<f64, &'static str> {
    // An error is one of this row; the others have their values.
    if lat1.abs() > 90.0 {
        return Err("expected lat1 from -90 to 90");
    }
    if lat2.abs() > 90.0 {
        return Err("expected lat2 from -90 to 90");
    }
    let half_phi = sin((lat2 - lat1) * RADIANS / 2.0);
    let half_lambda = sin((lon2 - lon1) * RADIANS / 2.0);
    let h = half_phi * half_phi + cos(lat1 * RADIANS) * cos(lat2 * RADIANS) * half_lambda * half_lambda;
    // Rounding may put h a hair above 1 for antipodes; `min` would make 1 of a NaN as well.
    Ok(2.0 * EARTH_RADIUS_KM * asin(sqrt(if h > 1.0 { 1.0 } else { h })))
}

// The rows of golden.jsonl, run natively by `cargo test`.
#[cfg(test)]
skewless::golden!("../golden.jsonl");

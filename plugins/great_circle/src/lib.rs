//! Great-circle distance and initial bearing between two points given by latitude and longitude.
//!
//! Haversine formula on a sphere with the Earth's mean radius R1 = 6371.0088 km (IUGG; Moritz, "Geodetic
//! Reference System 1980"): an ellipsoid differs by up to 0.6 %. Bearing: the direction of the great circle at
//! the start. At a pole, and between antipodes, it is what the formula gives.

use skewless::math::{asin, atan2, cos, sin, sqrt};

const EARTH_RADIUS_KM: f64 = 6371.0088;

/// Distance and direction.
#[derive(skewless::Outputs)]
pub struct GreatCircle {
    /// Length of the shortest way on the surface.
    #[unit("km")]
    pub km: f64,
    /// Direction at the start, clockwise from north, 0 to 360.
    #[unit("deg")]
    pub bearing: f64,
}

/// Great-circle distance and initial bearing between two points on the Earth.
#[skewless::transform]
pub fn great_circle(
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
) -> GreatCircle {
    let (phi1, phi2) = (lat1.to_radians(), lat2.to_radians());
    let (d_phi, d_lambda) = ((lat2 - lat1).to_radians(), (lon2 - lon1).to_radians());
    let (s_phi, s_lambda) = (sin(d_phi / 2.0), sin(d_lambda / 2.0));
    let h = s_phi * s_phi + cos(phi1) * cos(phi2) * s_lambda * s_lambda;
    let y = sin(d_lambda) * cos(phi2);
    let x = cos(phi1) * sin(phi2) - sin(phi1) * cos(phi2) * cos(d_lambda);
    let degrees = atan2(y, x).to_degrees();
    GreatCircle {
        // Rounding may put h a hair above 1 for antipodes; `min` would make 1 of a NaN as well.
        km: 2.0 * EARTH_RADIUS_KM * asin(sqrt(if h > 1.0 { 1.0 } else { h })),
        bearing: if degrees < 0.0 { degrees + 360.0 } else { degrees },
    }
}

#[cfg(test)]
skewless::golden!("../golden.jsonl");

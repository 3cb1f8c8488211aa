//! `transformed_conv_rate` of Feast's quickstart (`feast init`), as a plugin: side_by_side.py puts it where `skewless feast import` left a
//! stub.

/// What is computed of a row.
#[derive(skewless::Outputs)]
pub struct Row {
    /// The conversion rate with the first value of the request.
    pub conv_rate_plus_val1: Option<f64>,
    /// And with the second.
    pub conv_rate_plus_val2: Option<f64>,
}

/// Adds two values of the request to a driver's conversion rate.
#[skewless::transform(name = "transformed_conv_rate")]
pub fn compute(
    /// Of the driver's trips.
    conv_rate: Option<f32>,
    /// The first value.
    val_to_add: Option<i64>,
    /// The second.
    val_to_add_2: Option<i64>,
) -> Row {
    let plus = |value: Option<i64>| Some(f64::from(conv_rate?) + value? as f64);
    Row { conv_rate_plus_val1: plus(val_to_add), conv_rate_plus_val2: plus(val_to_add_2) }
}

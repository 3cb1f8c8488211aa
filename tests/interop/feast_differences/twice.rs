//! Doubles a value of the request, for the tests of what differs from Feast.

/// What came of it.
#[derive(skewless::Outputs)]
pub struct Twice {
    /// Twice the amount, EUR.
    pub double: f64,
}

/// Doubles an amount.
#[skewless::transform]
pub fn twice(
    /// EUR.
    amount: f64,
) -> Twice {
    Twice { double: amount * 2.0 }
}

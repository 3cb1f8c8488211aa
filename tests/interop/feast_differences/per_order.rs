//! What an order costs on average, for the tests of what differs from Feast: it fails where there were none, as Python's division does.

/// What came of it.
#[derive(skewless::Outputs)]
pub struct PerOrder {
    /// EUR an order.
    pub mean: Option<f64>,
}

/// The mean value of a customer's orders.
#[skewless::transform]
pub fn per_order(
    /// Number of orders.
    count: Option<i64>,
    /// Sum of them, EUR.
    spent: Option<f64>,
) -> Result<PerOrder, String> {
    let (Some(count), Some(spent)) = (count, spent) else {
        return Ok(PerOrder { mean: None });
    };
    if count == 0 {
        return Err("division by zero".to_owned());
    }
    Ok(PerOrder { mean: Some(spent / count as f64) })
}

//! How a new order compares with what its customer ordered before.

/// What is said about an order.
#[derive(skewless::Outputs)]
pub struct Basket {
    /// Mean value of the earlier orders, EUR; null if there was none.
    pub mean_amount: Option<f64>,
    /// The new order's value over that mean; null if there was none.
    pub ratio: Option<f64>,
    /// Whether it is the first order.
    pub first_order: bool,
}

/// Compares a new order with its customer's earlier ones.
///
/// A customer nobody knows has `orders` null, and counts as one without orders.
#[skewless::transform]
pub fn basket(
    /// Value of the new order, EUR.
    amount: f64,
    /// Number of earlier orders.
    orders: Option<i64>,
    /// Sum of earlier orders, EUR.
    spent: Option<f64>,
) -> Basket {
    let mean_amount = match (orders, spent) {
        (Some(orders), Some(spent)) if orders > 0 => Some(spent / orders as f64),
        _ => None,
    };
    let ratio = mean_amount.filter(|mean| *mean > 0.0).map(|mean| amount / mean);
    Basket { mean_amount, ratio, first_order: orders.unwrap_or(0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_compared_with_the_mean_of_the_earlier_ones() {
        let basket = basket(50.0, Some(4), Some(100.0));
        assert_eq!((basket.mean_amount, basket.ratio, basket.first_order), (Some(25.0), Some(2.0), false));
    }

    #[test]
    fn a_first_order_has_no_mean() {
        let basket = basket(50.0, None, None);
        assert_eq!((basket.mean_amount, basket.ratio, basket.first_order), (None, None, true));
    }
}

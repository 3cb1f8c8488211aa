//! A transform takes something.

#[skewless::transform]
fn wrong() -> f64 {
    1.0
}

fn main() {}

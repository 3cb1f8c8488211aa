//! An argument's name is an input's name, so it has one.

#[skewless::transform]
fn wrong((a, b): (f64, f64)) -> f64 {
    a + b
}

fn main() {}

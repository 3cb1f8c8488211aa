//! A feature has one type.

#[skewless::transform]
fn wrong<T: Into<f64>>(x: T) -> f64 {
    x.into()
}

fn main() {}

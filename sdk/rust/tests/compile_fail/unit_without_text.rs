//! A unit is a text.

#[skewless::transform]
fn wrong(
    #[unit(km)]
    x: f64,
) -> f64 {
    x
}

fn main() {}

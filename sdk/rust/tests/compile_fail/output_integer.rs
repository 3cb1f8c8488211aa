//! A result of an integer that no feature has.

#[skewless::transform]
fn wrong(x: f64) -> u8 {
    x as u8
}

fn main() {}

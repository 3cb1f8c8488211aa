//! An option that the attribute hasn't.

#[skewless::transform(title = "wrong")]
fn wrong(x: f64) -> f64 {
    x
}

fn main() {}

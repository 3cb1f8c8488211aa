//! A transform gives something.

#[skewless::transform]
fn wrong(x: f64) {
    let _ = x;
}

fn main() {}

//! A plugin has nothing to wait for.

#[skewless::transform]
async fn wrong(x: f64) -> f64 {
    x
}

fn main() {}

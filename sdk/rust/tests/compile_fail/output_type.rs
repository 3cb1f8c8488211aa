//! A result of a type that no feature has.

#[skewless::transform]
fn wrong(x: f64) -> std::time::Duration {
    std::time::Duration::from_secs_f64(x)
}

fn main() {}

//! A field of a type that no feature has.

/// Some results.
#[derive(skewless::Outputs)]
struct Wrong {
    fine: f64,
    wrong: u64,
}

#[skewless::transform]
fn wrong(x: f64) -> Wrong {
    Wrong { fine: x, wrong: 1 }
}

fn main() {}

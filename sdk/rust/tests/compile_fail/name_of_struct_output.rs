//! A struct's fields have names of their own.

/// Some results.
#[derive(skewless::Outputs)]
struct Fine {
    fine: f64,
}

#[skewless::transform(output = "wrong")]
fn wrong(x: f64) -> Fine {
    Fine { fine: x }
}

fn main() {}

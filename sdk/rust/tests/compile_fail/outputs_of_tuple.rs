//! Outputs are named after fields, so fields have names.

/// Some results.
#[derive(skewless::Outputs)]
struct Wrong(f64, f64);

fn main() {}

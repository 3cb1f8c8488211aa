//! A row of outputs is a struct.

/// Some results.
#[derive(skewless::Outputs)]
enum Wrong {
    One,
}

fn main() {}

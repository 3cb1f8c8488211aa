//! An argument of a type that no feature has: the compiler points at that type.

#[skewless::transform]
fn wrong(
    fine: f64,
    /// Features have no u8.
    wrong: u8,
) -> f64 {
    fine + f64::from(wrong)
}

fn main() {}

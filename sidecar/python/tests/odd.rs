//! A plugin that does what plugins shouldn't, for the tests of the Python package: by the number that it is given it
//! refuses, traps, or never ends.

/// What came of it.
#[derive(skewless::Outputs)]
pub struct Odd {
    /// Twice the number.
    pub twice: f64,
}

/// Doubles a number.
#[skewless::transform]
pub fn odd(
    /// Below zero: refused. 13: traps. 14: never ends.
    x: f64,
) -> Result<Odd, String> {
    if x < 0.0 {
        return Err(format!("expected a number of 0 or more, came {x:?}"));
    }
    if x == 13.0 {
        std::process::abort();
    }
    let mut turns = x;
    while turns == 14.0 {
        turns = std::hint::black_box(turns);
    }
    Ok(Odd { twice: x * 2.0 })
}

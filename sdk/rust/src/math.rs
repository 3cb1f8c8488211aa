//! Mathematical functions with the same bits everywhere: those of the `libm` crate, in Rust, in guests and
//! natively alike. The methods of `f64` are the platform's own when run natively (glibc and a guest's library differ
//! in the last places of some results), so a plugin whose tests should mean something uses
//! these. `+ - * /`, `sqrt`, `abs`, `floor`, `ceil`, `trunc` and comparisons are exact everywhere anyway.

pub use libm::{
    acos, asin, atan, atan2, cbrt, cos, cosh, exp, exp2, expm1, fmod, hypot, log as ln, log1p,
    log2, log10, pow, sin, sinh, tan, tanh,
};

/// The square root, rounded to nearest; exact everywhere.
#[must_use]
pub fn sqrt(x: f64) -> f64 {
    libm::sqrt(x)
}

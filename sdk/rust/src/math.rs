//! Mathematical functions with the same bits everywhere: those of the `libm` crate, in Rust, in guests and
//! natively alike. The methods of `f64` are the platform's own when run natively (glibc and a guest's library differ
//! in the last places of some results), so a plugin whose tests should mean something uses
//! these. `+ - * /`, `sqrt`, `abs`, `floor`, `ceil`, `trunc` and comparisons are exact everywhere anyway.
//!
//! Those exact ones are taken from `f64`, where a guest has an instruction for each: `libm` computes a root
//! bit by bit in a guest, which costs 30 ns instead of 2. The three functions that take a root inside
//! (`asin`, `acos`, `hypot`) are written out in `math/roots.rs` for the same reason; tests compare them with
//! `libm` bit by bit.

pub use libm::{
    atan, atan2, cbrt, cos, cosh, exp, exp2, expm1, fmod, log as ln, log1p, log2, log10, pow, sin,
    sinh, tan, tanh,
};

pub use roots::{acos, asin, hypot};

mod roots;

/// The square root, rounded to nearest; exact everywhere.
#[must_use]
#[inline]
pub fn sqrt(x: f64) -> f64 {
    x.sqrt()
}

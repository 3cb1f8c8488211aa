//! The functions that take a square root inside, with the bits of `libm`'s; no others.
//!
//! Inverse sine and cosine: the rational approximation of FreeBSD's msun (`e_asin.c`, `e_acos.c`; Sun
//! Microsystems, 1993), asin(x) = x + x R(x^2) for |x| < 1/2, and the half-angle identity
//! asin(x) = pi/2 - 2 asin(sqrt((1-x)/2)) beyond, with the root split in two so that the sum loses nothing.
//! Hypotenuse: musl's `hypot.c`, a root of squares that Dekker's product makes exact to twice the precision.

const PIO2_HI: f64 = f64::from_bits(0x3ff9_21fb_5444_2d18);
const PIO2_LO: f64 = f64::from_bits(0x3c91_a626_3314_5c07);
/// Far below the last place of pi/2: added as the originals do, where it raises "inexact".
const TINY: f64 = f64::from_bits(0x3870_0000_0000_0000);

/// Numerator of R, lowest power first.
const P: [f64; 6] = [
    f64::from_bits(0x3fc5_5555_5555_5555),
    f64::from_bits(0xbfd4_d612_03eb_6f7d),
    f64::from_bits(0x3fc9_c155_0e88_4455),
    f64::from_bits(0xbfa4_8228_b568_8f3b),
    f64::from_bits(0x3f49_efe0_7501_b288),
    f64::from_bits(0x3f02_3de1_0dfd_f709),
];
/// Denominator of R without its leading 1, lowest power first.
const Q: [f64; 4] = [
    f64::from_bits(0xc003_3a27_1c8a_2d4b),
    f64::from_bits(0x4000_2ae5_9c59_8ac8),
    f64::from_bits(0xbfe6_066c_1b8d_0159),
    f64::from_bits(0x3fb3_b8c5_b12e_9282),
];

/// (asin(x) - x) / x as a function of z = x^2, for x up to 1/2.
#[inline]
fn r(z: f64) -> f64 {
    let p = z * (P[0] + z * (P[1] + z * (P[2] + z * (P[3] + z * (P[4] + z * P[5])))));
    let q = 1.0 + z * (Q[0] + z * (Q[1] + z * (Q[2] + z * Q[3])));
    p / q
}

/// The number without the lower half of its bits.
#[inline]
fn upper(x: f64) -> f64 {
    f64::from_bits(x.to_bits() & 0xffff_ffff_0000_0000)
}

/// The upper half of |x|'s bits: exponent and 20 bits of mantissa, ordered as |x| is.
#[inline]
fn magnitude(x: f64) -> u32 {
    (x.to_bits() >> 32) as u32 & 0x7fff_ffff
}

/// Inverse sine in radians, -pi/2 to pi/2; NaN outside -1 to 1.
#[must_use]
pub fn asin(x: f64) -> f64 {
    let size = magnitude(x);
    if size >= 0x3ff0_0000 {
        return if x.abs() == 1.0 { x * PIO2_HI + TINY } else { f64::NAN };
    }
    if size < 0x3fe0_0000 {
        // Below 2^-26 the correction vanishes; subnormals take the long way, as they do in the original.
        let vanishes = (0x0010_0000..0x3e50_0000).contains(&size);
        return if vanishes { x } else { x + x * r(x * x) };
    }
    let z = (1.0 - x.abs()) * 0.5;
    let s = z.sqrt();
    let r = r(z);
    let angle = if size >= 0x3fef_3333 {
        PIO2_HI - (2.0 * (s + s * r) - PIO2_LO)
    } else {
        let f = upper(s);
        let c = (z - f * f) / (s + f);
        0.5 * PIO2_HI - (2.0 * s * r - (PIO2_LO - 2.0 * c) - (0.5 * PIO2_HI - 2.0 * f))
    };
    if x.is_sign_negative() { -angle } else { angle }
}

/// Inverse cosine in radians, 0 to pi; NaN outside -1 to 1.
#[must_use]
pub fn acos(x: f64) -> f64 {
    let size = magnitude(x);
    if size >= 0x3ff0_0000 {
        return if x == 1.0 {
            0.0
        } else if x == -1.0 {
            2.0 * PIO2_HI + TINY
        } else {
            f64::NAN
        };
    }
    if size < 0x3fe0_0000 {
        let vanishes = size <= 0x3c60_0000;
        return if vanishes { PIO2_HI + TINY } else { PIO2_HI - (x - (PIO2_LO - x * r(x * x))) };
    }
    if x.is_sign_negative() {
        let z = (1.0 + x) * 0.5;
        let s = z.sqrt();
        let w = r(z) * s - PIO2_LO;
        return 2.0 * (PIO2_HI - (s + w));
    }
    let z = (1.0 - x) * 0.5;
    let s = z.sqrt();
    let f = upper(s);
    let c = (z - f * f) / (s + f);
    let w = r(z) * s + c;
    2.0 * (f + w)
}

/// A square as the sum of two numbers, exactly (Dekker's product).
#[inline]
fn square(x: f64) -> (f64, f64) {
    /// 2^27 + 1: splits a mantissa in halves.
    const SPLIT: f64 = 134_217_729.0;
    let scaled = x * SPLIT;
    let upper = x - scaled + scaled;
    let lower = x - upper;
    let square = x * x;
    (square, upper * upper - square + 2.0 * upper * lower + lower * lower)
}

/// The length of the hypotenuse, sqrt(x^2 + y^2), without overflow on the way; infinite if a side is, even
/// beside a NaN.
#[must_use]
pub fn hypot(x: f64, y: f64) -> f64 {
    /// 2^700 and its inverse: keep squares within range.
    const LARGE: f64 = f64::from_bits(0x6bb0_0000_0000_0000);
    const SMALL: f64 = f64::from_bits(0x1430_0000_0000_0000);
    let (x, y) = (x.abs(), y.abs());
    // By bits, so that a NaN counts as the longer side.
    let (x, y) = if x.to_bits() < y.to_bits() { (y, x) } else { (x, y) };
    let (exponent_x, exponent_y) = (x.to_bits() >> 52, y.to_bits() >> 52);
    if exponent_y == 0x7ff {
        return y;
    }
    if exponent_x == 0x7ff || y == 0.0 {
        return x;
    }
    if exponent_x - exponent_y > 64 {
        return x + y;
    }
    let (scale, x, y) = if exponent_x > 0x3ff + 510 {
        (LARGE, x * SMALL, y * SMALL)
    } else if exponent_y < 0x3ff - 450 {
        (SMALL, x * LARGE, y * LARGE)
    } else {
        (1.0, x, y)
    };
    let (xx, x_rest) = square(x);
    let (yy, y_rest) = square(y);
    scale * (y_rest + x_rest + yy + xx).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Same bits, NaNs being one: the host makes them one.
    fn check(name: &str, arguments: [f64; 2], came: f64, expected: f64) {
        let same = came.to_bits() == expected.to_bits() || came.is_nan() && expected.is_nan();
        assert!(same, "{name} of {arguments:?}: expected {expected:e}, came {came:e}");
    }

    fn check_one(x: f64) {
        check("asin", [x, 0.0], asin(x), libm::asin(x));
        check("acos", [x, 0.0], acos(x), libm::acos(x));
        check("sqrt", [x, 0.0], x.sqrt(), libm::sqrt(x));
    }

    fn check_two(x: f64, y: f64) {
        check("hypot", [x, y], hypot(x, y), libm::hypot(x, y));
    }

    /// A fixed sequence of bits (SplitMix64, Steele et al. 2014).
    fn bits(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    #[test]
    fn the_bits_are_those_of_libm() {
        let mut state = 1;
        for _ in 0..300_000 {
            let (a, b) = (bits(&mut state), bits(&mut state));
            // Any bits at all, and numbers from -1.001 to 1.001, where the branches are.
            check_one(f64::from_bits(a));
            let unit = (a >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
            check_one(unit * 1.001);
            check_two(f64::from_bits(a), f64::from_bits(b));
            // Sides of like size, over the whole range of exponents.
            let scale = f64::from_bits((b % 2_046) << 52);
            check_two(unit * scale, (b as f64 / u64::MAX as f64) * scale);
        }
    }

    #[test]
    fn edges_have_the_bits_of_libm() {
        let around = |x: f64| [x.next_down(), x, x.next_up()];
        let edges = [0.0, 1.0, 0.5, 0.975, f64::MIN_POSITIVE, f64::MAX, f64::INFINITY, f64::NAN];
        let powers = (-1_074..1_024).map(|power| 2.0_f64.powi(power));
        let all: Vec<f64> = edges
            .into_iter()
            .chain(powers)
            .flat_map(around)
            .chain(
                (0x3fe0_0000_u64..0x3ff0_0001).step_by(997).map(|high| f64::from_bits(high << 32)),
            )
            .flat_map(|x| [x, -x])
            .collect();
        all.iter().for_each(|x| check_one(*x));
        for (index, x) in all.iter().enumerate() {
            all.iter().skip(index % 37).step_by(37).for_each(|y| check_two(*x, *y));
        }
    }
}

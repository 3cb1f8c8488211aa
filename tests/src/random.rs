//! A small seeded generator (SplitMix64) and values of every type, odd ones included; the same seed
//! gives the same story on every machine. Not a source of good randomness.

use skewless_batch::{Column, Type};

/// SplitMix64, after Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
pub struct Random(u64);

impl Random {
    /// A generator whose whole future is its seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of the items, all as likely; the slice is not empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// A float64: mostly of everyday size, now and then one of the odd ones.
    pub fn float64(&mut self) -> f64 {
        const ODD: [f64; 12] = [
            0.0,
            -0.0,
            1.0,
            90.0,
            -180.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
            f64::EPSILON,
        ];
        if self.one_in(8) {
            return *self.pick(&ODD);
        }
        if self.one_in(16) {
            // Any bit pattern at all: signalling NaNs and payloads among them.
            return f64::from_bits(self.bits());
        }
        (self.below(360_000_000) as f64 - 180_000_000.0) / 1e6
    }

    /// A text: short, empty, not ASCII, or long.
    pub fn text(&mut self) -> String {
        const PARTS: [&str; 8] = ["", "UA", "N14228", "EWR", "żółć", "日本", "🛫", "a b\tc"];
        let mut text = String::new();
        for _ in 0..self.below(4) {
            text.push_str(self.pick::<&str>(&PARTS));
        }
        if self.one_in(50) {
            text = text.repeat(40);
        }
        text
    }

    /// Pushes a value of the column's type; null once in `null_in` times.
    pub fn push(&mut self, column: &mut Column, null_in: u64) {
        if null_in > 0 && self.one_in(null_in) {
            return column.push_null();
        }
        match column.ty() {
            Type::Bool => column.push_bool(self.one_in(2)),
            Type::Int32 => {
                let value = *self.pick(&[0, 1, -1, 7, 2013, i32::MAX, i32::MIN]);
                column.push_i32(value);
            }
            Type::Int64 => {
                let small = self.below(5_000) as i64 - 2_500;
                let value = *self.pick(&[small, small, small, 0, i64::MAX, i64::MIN]);
                column.push_i64(value);
            }
            Type::Float32 => {
                let value = self.float64() as f32;
                column.push_f32(value);
            }
            Type::Float64 => column.push_f64(self.float64()),
            Type::Utf8 => column.push_utf8(&self.text()),
            Type::Binary => {
                let bytes: Vec<u8> = (0..self.below(20)).map(|_| self.bits() as u8).collect();
                column.push_binary(&bytes);
            }
            Type::Timestamp => {
                let near = 1_356_998_400_000_000 + self.below(31_536_000_000_000) as i64;
                let value = *self.pick(&[
                    near,
                    near,
                    near,
                    0,
                    -1,
                    -62_135_596_800_000_000,
                    253_402_300_799_999_999,
                ]);
                column.push_timestamp(value);
            }
            Type::Embedding(dim) => {
                let value: Vec<f32> = (0..dim).map(|_| self.float64() as f32).collect();
                column.push_embedding(&value);
            }
            Type::ListInt64 => {
                let value: Vec<i64> = (0..self.below(5)).map(|_| self.bits() as i64).collect();
                column.push_list_i64(&value);
            }
            Type::ListFloat64 => {
                let value: Vec<f64> = (0..self.below(5)).map(|_| self.float64()).collect();
                column.push_list_f64(&value);
            }
            Type::ListUtf8 => {
                let value: Vec<String> = (0..self.below(5)).map(|_| self.text()).collect();
                column.push_list_utf8(&value);
            }
        }
    }
}

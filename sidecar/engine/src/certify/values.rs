//! Columns to try a plugin with: everyday values and the ones at the ends of each type; not what is tried with them.
//!
//! Limits: [`CASE_BYTES_MAX`] of a case's values, [`LONG_BYTES_MAX`] of one of them.

use skewless_batch::{Column, Field, Type, Value};

use super::random::Random;
use super::script::Rows;

/// Most bytes that the values of one case have, roughly: more say nothing more, and take longer.
pub(super) const CASE_BYTES_MAX: usize = 4 << 20;
/// Bytes of a text or binary, or of a list's elements, that is long on purpose.
const LONG_BYTES_MAX: usize = 64 << 10;
/// Rows of a case, by turns: none, one, the neighbours of whole bytes of a bitmap, and what needs a larger memory.
const ROWS: [usize; super::CASES_MIN as usize] =
    [2, 0, 1, 3, 9, 64, 1, 17, 65, 7, 300, 2, 33, 1_000, 8, 5];
/// The case that has more rows than one call takes, as far as [`MANY_ROWS_MAX`] goes.
const MANY_ROWS_CASE: u32 = 10;
/// Most rows of any case. A call takes 8,192 unless configured.
const MANY_ROWS_MAX: usize = 10_000;

/// Which values columns are filled with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Values {
    /// Of everyday size, none of them null.
    Everyday,
    /// Also those at the ends of each type, and nulls.
    Extreme,
}

/// Columns of `rows` rows for these inputs, the same for the same seed; fewer rows if they would have more than about
/// `bytes_max` bytes together. Gives how many rows they have.
#[must_use]
pub fn columns(
    fields: &[Field],
    rows: usize,
    values: Values,
    seed: u64,
    bytes_max: usize,
) -> (usize, Vec<Column>) {
    let rows = fitting(fields, rows, bytes_max);
    (rows, fill(fields, rows, values, &mut Random::new(seed), bytes_max))
}

/// The rows of one case.
pub(super) fn case(fields: &[Field], case: u32, rows_max: usize, random: &mut Random) -> Rows {
    let len = fitting(fields, rows(case, rows_max), CASE_BYTES_MAX);
    Rows { len, columns: fill(fields, len, Values::Extreme, random, CASE_BYTES_MAX) }
}

/// How many rows a case has, if they fit.
pub(super) fn rows(case: u32, rows_max: usize) -> usize {
    match case {
        MANY_ROWS_CASE => rows_max.saturating_add(1).min(MANY_ROWS_MAX),
        case => ROWS[case as usize % ROWS.len()],
    }
}

/// As many of the rows as fit, by what their values have at least; one always does.
fn fitting(fields: &[Field], rows: usize, bytes_max: usize) -> usize {
    let row_bytes: usize = fields.iter().map(|field| field.ty.width().unwrap_or(16)).sum();
    rows.min((bytes_max / row_bytes.max(1)).max(1))
}

fn fill(
    fields: &[Field],
    rows: usize,
    values: Values,
    random: &mut Random,
    bytes_max: usize,
) -> Vec<Column> {
    let mut source = Source { random, long_bytes: bytes_max / 2 };
    let mut column = |field: &Field| {
        let mut column = Column::with_capacity(field.ty, rows);
        // Most columns have few nulls or none, some have nothing else.
        let nulls = if values == Values::Everyday { 0 } else { source.random.below(8) };
        for _ in 0..rows {
            match nulls {
                7 => column.push_null(),
                5 | 6 if source.random.one_in(3) => column.push_null(),
                _ if values == Values::Everyday => source.everyday(&mut column),
                _ => source.extreme(&mut column),
            }
        }
        // As the host would on the way in: payloads of NaNs are none of the plugin's business.
        column.canonicalize_nans();
        column
    };
    fields.iter().map(&mut column).collect()
}

const I64S: [i64; 12] = [
    0,
    1,
    -1,
    i64::MIN,
    i64::MAX,
    i64::MIN + 1,
    i64::MAX - 1,
    i32::MAX as i64 + 1,
    i32::MIN as i64 - 1,
    // Where float64 stops to hold every whole number.
    (1 << 53) + 1,
    -(1 << 53) - 1,
    1_000_000,
];

const I32S: [i32; 8] = [0, 1, -1, i32::MIN, i32::MAX, i32::MIN + 1, i32::MAX - 1, 2_013];

/// Midnight of year 1, the last microsecond of 9999, both ends of the type, a leap day, and around 1970.
const TIMES: [i64; 9] = [
    0,
    -1,
    1,
    -62_135_596_800_000_000,
    253_402_300_799_999_999,
    253_402_300_800_000_000,
    i64::MIN,
    i64::MAX,
    1_330_473_600_000_000,
];

/// Microseconds of a hundred years, half of them before 1970.
const YEARS_US: u64 = 100 * 31_557_600_000_000;

/// Zeros, ends, the smallest of each kind, and NaNs: quiet, negative, with a payload, signalling.
const F64_BITS: [u64; 18] = [
    0x0000_0000_0000_0000,
    0x8000_0000_0000_0000,
    0x3ff0_0000_0000_0000,
    0xbff0_0000_0000_0000,
    0x0000_0000_0000_0001,
    0x8000_0000_0000_0001,
    0x000f_ffff_ffff_ffff,
    0x0010_0000_0000_0000,
    0x7fef_ffff_ffff_ffff,
    0xffef_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x7ff8_0000_0000_0000,
    0xfff8_0000_0000_0000,
    0x7ff8_dead_beef_cafe,
    0x7ff0_0000_0000_0001,
    0x3cb0_0000_0000_0000,
    0x4340_0000_0000_0000,
];

const F32_BITS: [u32; 13] = [
    0x0000_0000,
    0x8000_0000,
    0x3f80_0000,
    0x0000_0001,
    0x807f_ffff,
    0x0080_0000,
    0x7f7f_ffff,
    0xff7f_ffff,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xffc0_beef,
    0x7f80_0001,
];

const TEXTS: [&str; 10] =
    ["", "a", "UA", "N14228", "żółć", "日本", "🛫", "e\u{301}", "a b\tc\n", "\0\u{10ffff}"];

/// Values, and how many bytes of long ones may still be given.
struct Source<'r> {
    random: &'r mut Random,
    long_bytes: usize,
}

impl Source<'_> {
    /// A value that any plugin meets.
    fn everyday(&mut self, column: &mut Column) {
        let number = self.random.below(360_000_000) as f64 / 1e6 - 180.0;
        let whole = self.random.below(5_000) as i64 - 2_500;
        match column.ty() {
            Type::Bool => column.push_bool(self.random.one_in(2)),
            Type::Int32 => column.push_i32(whole as i32),
            Type::Int64 => column.push_i64(whole),
            Type::Float32 => column.push_f32(number as f32),
            Type::Float64 => column.push_f64(number),
            Type::Utf8 => {
                let text = self.text(3);
                column.push_utf8(&text);
            }
            Type::Binary => {
                let text = self.text(3);
                column.push_binary(text.as_bytes());
            }
            // A moment of 2013.
            Type::Timestamp => {
                let us = self.random.bits() % 31_536_000_000_000;
                column.push_timestamp(1_356_998_400_000_000 + us as i64);
            }
            Type::Embedding(dim) => {
                let turn = self.random.below(1_000) as f32;
                let values: Vec<f32> =
                    (0..dim).map(|at| (turn + at as f32 * 0.618).fract()).collect();
                column.push_embedding(&values);
            }
            Type::ListInt64 => {
                let values: Vec<i64> =
                    (0..self.random.below(6) as i64).map(|n| n * whole).collect();
                column.push_list_i64(&values);
            }
            Type::ListFloat64 => {
                let values: Vec<f64> =
                    (0..self.random.below(6)).map(|n| n as f64 * number).collect();
                column.push_list_f64(&values);
            }
            Type::ListUtf8 => {
                let texts: Vec<String> = (0..self.random.below(6)).map(|_| self.text(2)).collect();
                column.push_list_utf8(&texts);
            }
        }
    }

    /// A value at an end of its type half of the time, an everyday one otherwise, now and then any bits at all.
    fn extreme(&mut self, column: &mut Column) {
        if self.random.one_in(2) {
            return self.everyday(column);
        }
        match column.ty() {
            Type::Bool => column.push_bool(self.random.one_in(2)),
            Type::Int32 => {
                let value = match self.random.below(4) {
                    0 => self.whole(32) as i32,
                    1 | 2 => self.one_bit_off(column, 32) as i32,
                    _ => self.random.pick(&I32S),
                };
                column.push_i32(value);
            }
            Type::Int64 => {
                let value = match self.random.below(4) {
                    0 => self.whole(64),
                    1 | 2 => self.one_bit_off(column, 64),
                    _ => self.random.pick(&I64S),
                };
                column.push_i64(value);
            }
            Type::Timestamp => {
                let value = match self.random.below(4) {
                    0 => (self.random.bits() % YEARS_US) as i64 - YEARS_US as i64 / 2,
                    1 => self.one_bit_off(column, 64),
                    _ => self.random.pick(&TIMES),
                };
                column.push_timestamp(value);
            }
            Type::Float32 => column.push_f32(self.float32()),
            Type::Float64 => column.push_f64(self.float64()),
            Type::Utf8 => {
                let text = if self.is_long() { self.long_text() } else { self.text(1) };
                column.push_utf8(&text);
            }
            Type::Binary => {
                let len = if self.is_long() { LONG_BYTES_MAX } else { self.random.below(20) };
                let bytes: Vec<u8> = (0..len).map(|_| self.random.bits() as u8).collect();
                column.push_binary(&bytes);
            }
            Type::Embedding(dim) => {
                let same = self.float32();
                let all_same = self.random.one_in(3);
                let mut value = || if all_same { same } else { self.float32() };
                let values: Vec<f32> = (0..dim).map(|_| value()).collect();
                column.push_embedding(&values);
            }
            Type::ListInt64 => {
                let len = self.list_len();
                let values: Vec<i64> = (0..len).map(|_| self.random.pick(&I64S)).collect();
                column.push_list_i64(&values);
            }
            Type::ListFloat64 => {
                let len = self.list_len();
                let values: Vec<f64> = (0..len).map(|_| self.float64()).collect();
                column.push_list_f64(&values);
            }
            Type::ListUtf8 => {
                let len = self.list_len();
                let texts: Vec<String> = (0..len).map(|_| self.text(1)).collect();
                column.push_list_utf8(&texts);
            }
        }
    }

    /// A whole number of so many bits or fewer, each as likely.
    fn whole(&mut self, bits: usize) -> i64 {
        let any = (self.random.bits() as i64) >> (64 - bits);
        any >> self.random.below(bits)
    }

    /// An earlier value of the column but for one of its bits: what keeps answers by a part of a number takes one for the
    /// other.
    fn one_bit_off(&mut self, column: &Column, bits: usize) -> i64 {
        let earlier = match column.len() {
            0 => 0,
            len => match column.value(self.random.below(len)) {
                Value::Int32(value) => i64::from(value),
                Value::Int64(value) | Value::Timestamp(value) => value,
                _ => 0,
            },
        };
        earlier ^ 1_i64 << self.random.below(bits)
    }

    fn float64(&mut self) -> f64 {
        let bits =
            if self.random.one_in(4) { self.random.bits() } else { self.random.pick(&F64_BITS) };
        f64::from_bits(bits)
    }

    fn float32(&mut self) -> f32 {
        let any = self.random.bits() as u32;
        f32::from_bits(if self.random.one_in(4) { any } else { self.random.pick(&F32_BITS) })
    }

    fn text(&mut self, parts_max: usize) -> String {
        (0..self.random.below(parts_max + 1)).map(|_| self.random.pick(&TEXTS)).collect()
    }

    fn long_text(&mut self) -> String {
        // Neither empty, which would stay so, nor longer than a word.
        let part = TEXTS[1 + self.random.below(TEXTS.len() - 1)];
        part.repeat(LONG_BYTES_MAX / part.len())
    }

    fn list_len(&mut self) -> usize {
        if self.is_long() { LONG_BYTES_MAX / 16 } else { self.random.below(3) }
    }

    /// Whether a value is to be long, as far as the case has room.
    fn is_long(&mut self) -> bool {
        let long = self.random.one_in(40) && self.long_bytes >= LONG_BYTES_MAX;
        if long {
            self.long_bytes -= LONG_BYTES_MAX;
        }
        long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<Field> {
        let types = [
            Type::Bool,
            Type::Int32,
            Type::Int64,
            Type::Float32,
            Type::Float64,
            Type::Utf8,
            Type::Binary,
            Type::Timestamp,
            Type::Embedding(3),
            Type::ListInt64,
            Type::ListFloat64,
            Type::ListUtf8,
        ];
        types.iter().map(|ty| Field::new(ty.to_string(), *ty, true)).collect()
    }

    #[test]
    fn a_case_is_the_same_for_the_same_seed() {
        let made = |seed| case(&fields(), 4, 8_192, &mut Random::of_case(seed, 4)).columns;
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn the_first_cases_have_no_row_one_row_and_more_rows_than_a_call() {
        let fields = [Field::new("a", Type::Float64, false)];
        let rows = |number| case(&fields, number, 100, &mut Random::of_case(1, number)).len;
        let rows: Vec<usize> = (0..super::super::CASES_MIN).map(rows).collect();
        assert!(rows.contains(&0) && rows.contains(&1) && rows.contains(&101), "{rows:?}");
    }

    #[test]
    fn ends_of_types_nulls_and_long_texts_come_up() {
        let seen = |test: &dyn Fn(&[Column]) -> bool| {
            (0..64).any(|number| {
                let Rows { columns, .. } =
                    case(&fields(), number, 64, &mut Random::of_case(1, number));
                test(&columns[..])
            })
        };
        let floats = |test: fn(f64) -> bool| seen(&|columns| columns[4].view().f64s().any(test));
        assert!(floats(f64::is_nan) && floats(f64::is_infinite) && floats(f64::is_subnormal));
        assert!(floats(|value| value == 0.0 && value.is_sign_negative()));
        assert!(seen(&|columns| columns[2].view().i64s().any(|value| value == i64::MIN)));
        let days = |at: usize, days: std::ops::Range<i64>| {
            seen(&|columns| columns[at].view().i64s().any(|value| days.contains(&value)))
        };
        assert!(days(2, 10_000..100_000) && days(2, -1 << 40..-1 << 36));
        let year = |year: i64| (year - 1_970) * 31_557_600_000_000;
        assert!(days(7, year(1_930)..year(1_940)) && days(7, year(1_999)..year(2_010)));
        assert!(seen(&|columns| columns[5].values_bytes().len() >= LONG_BYTES_MAX / 2));
        let all_null = |column: &Column| column.len() > 1 && column.null_count() == column.len();
        assert!(seen(&|columns| columns.iter().any(all_null)));
    }

    #[test]
    fn wide_rows_make_fewer_of_them() {
        let fields = [Field::new("a", Type::Embedding(65_536), false)];
        let (rows, columns) = columns(&fields, 1_000, Values::Everyday, 1, CASE_BYTES_MAX);
        assert_eq!((rows, columns[0].len()), (16, 16));
    }
}

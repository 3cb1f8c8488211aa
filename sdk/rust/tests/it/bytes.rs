//! The bytes of an output batch, which don't tell how it was made: outputs of one width that were written in place,
//! those that a null or an error took out of it, and those beside a text are byte by byte what encoding columns gives.

use skewless::{Col, Column, Plugin, RunError, Timestamp, Type};
use skewless_batch::{BATCH_BYTES_MAX, BatchError, encode_vec};

/// How a row ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Whole,
    /// The field that may be null is.
    Hole,
    /// There is no row of outputs.
    Nothing,
    Fails,
    /// A plain argument is null.
    Skipped,
}

const ENDS: [End; 4] = [End::Hole, End::Nothing, End::Fails, End::Skipped];
/// Rows at the edges of bytes, words and lines.
const EDGES: [usize; 8] = [1, 2, 7, 8, 9, 63, 64, 65];

/// One of every type of one width.
#[derive(skewless::Outputs)]
struct Row {
    flag: bool,
    small: i32,
    whole: Option<i64>,
    single: f32,
    double: f64,
    at: Timestamp,
    embedding: [f32; 3],
    last: bool,
}

fn row(x: i64) -> Row {
    Row {
        flag: x % 3 != 1,
        small: -(x as i32),
        whole: Some(i64::MIN + x),
        single: x as f32 + 0.5,
        double: -(x as f64),
        at: Timestamp(i64::MAX - x),
        embedding: [x as f32, 0.25, -1.0],
        last: true,
    }
}

/// Columns of the outputs as pushing makes them.
fn columns(ends: &[End]) -> Vec<Column> {
    let types = [
        Type::Bool,
        Type::Int32,
        Type::Int64,
        Type::Float32,
        Type::Float64,
        Type::Timestamp,
        Type::Embedding(3),
        Type::Bool,
    ];
    let mut columns = types.map(Column::new);
    for (x, end) in (1..).zip(ends) {
        let [flag, small, whole, single, double, at, embedding, last] = &mut columns;
        let row = row(x);
        if matches!(end, End::Whole | End::Hole) {
            flag.push_bool(row.flag);
            small.push_i32(row.small);
            match row.whole {
                Some(value) if *end == End::Whole => whole.push_i64(value),
                _ => whole.push_null(),
            }
            single.push_f32(row.single);
            double.push_f64(row.double);
            at.push_timestamp(row.at.0);
            embedding.push_embedding(&row.embedding);
            last.push_bool(row.last);
        } else {
            columns.iter_mut().for_each(Column::push_null);
        }
    }
    columns.into()
}

/// The messages of rows that fail, if any does.
fn errors(ends: &[End]) -> Option<Column> {
    let mut errors = Column::new(Type::Utf8);
    for (x, end) in (1..).zip(ends) {
        match end {
            End::Fails => errors.push_utf8(&message(x)),
            _ => errors.push_null(),
        }
    }
    (errors.null_count() < errors.len()).then_some(errors)
}

fn message(x: i64) -> String {
    format!("no row for {x}")
}

/// The input that has rows end so.
fn inputs(ends: &[End]) -> Vec<u8> {
    let (mut xs, mut codes) = (Column::new(Type::Int64), Column::new(Type::Int32));
    for (x, end) in (1..).zip(ends) {
        match end {
            End::Skipped => xs.push_null(),
            _ => xs.push_i64(x),
        }
        codes.push_i32(*end as i32);
    }
    encode_vec(ends.len(), &[xs.view(), codes.view()])
}

/// Compares a plugin's bytes with those of the columns that `expected` builds, for rows that all are whole, and with
/// one row that ends otherwise, in each place.
fn check(plugin: &Plugin, expected: impl Fn(&[End]) -> Vec<Column>) {
    let compare = |ends: &[End]| {
        let columns = expected(ends);
        let views: Vec<_> = columns.iter().map(Column::view).collect();
        let came = plugin.run_bytes(&inputs(ends)).expect("a run");
        assert!(came == encode_vec(ends.len(), &views), "{ends:?}");
    };
    for rows in 0..=70 {
        compare(&vec![End::Whole; rows]);
    }
    for rows in EDGES {
        for (other, at) in ENDS.into_iter().flat_map(|end| (0..rows).map(move |at| (end, at))) {
            let mut ends = vec![End::Whole; rows];
            ends[at] = other;
            compare(&ends);
        }
        for other in ENDS {
            compare(&vec![other; rows]);
        }
        let mixed: Vec<End> = (0..rows).map(|row| ENDS[row % ENDS.len()]).collect();
        compare(&mixed);
    }
}

mod numbers {
    use super::*;

    #[skewless::transform]
    fn numbers(x: i64, end: i32) -> Result<Option<Row>, String> {
        match end {
            _ if end == End::Hole as i32 => Ok(Some(Row { whole: None, ..row(x) })),
            _ if end == End::Nothing as i32 => Ok(None),
            _ if end == End::Fails as i32 => Err(message(x)),
            _ => Ok(Some(row(x))),
        }
    }

    #[test]
    fn numbers_are_the_bytes_that_encoding_gives() {
        check(&PLUGIN, |ends| columns(ends).into_iter().chain(errors(ends)).collect());
    }
}

mod beside_a_text {
    use super::*;

    /// Numbers around a text.
    #[derive(skewless::Outputs)]
    struct Mixed {
        flag: bool,
        text: String,
        whole: Option<i64>,
        at: Timestamp,
    }

    #[skewless::transform]
    fn mixed(x: i64, end: i32) -> Result<Option<Mixed>, String> {
        let Row { flag, whole, at, .. } = row(x);
        let mixed = Mixed { flag, text: message(x), whole, at };
        match end {
            _ if end == End::Hole as i32 => Ok(Some(Mixed { whole: None, ..mixed })),
            _ if end == End::Nothing as i32 => Ok(None),
            _ if end == End::Fails as i32 => Err(message(x)),
            _ => Ok(Some(mixed)),
        }
    }

    #[test]
    fn numbers_beside_a_text_are_the_bytes_that_encoding_gives() {
        check(&PLUGIN, |ends| {
            let mut text = Column::new(Type::Utf8);
            for (x, end) in (1..).zip(ends) {
                match end {
                    End::Whole | End::Hole => text.push_utf8(&message(x)),
                    _ => text.push_null(),
                }
            }
            let mut numbers = columns(ends);
            let (at, whole, flag) =
                (numbers.swap_remove(5), numbers.swap_remove(2), numbers.swap_remove(0));
            [flag, text, whole, at].into_iter().chain(errors(ends)).collect()
        });
    }
}

mod whole_columns {
    use super::*;

    #[skewless::transform(columns)]
    fn whole(x: Col<'_, i64>, end: Col<'_, i32>) -> Vec<Result<Option<i64>, String>> {
        let one = |(x, end): (Option<i64>, Option<i32>)| match end {
            _ if end == Some(End::Fails as i32) => Err(message(x.unwrap_or_default())),
            _ if end == Some(End::Whole as i32) => Ok(x.and_then(|x| row(x).whole)),
            _ => Ok(None),
        };
        x.iter().zip(end.iter()).map(one).collect()
    }

    #[test]
    fn a_function_of_columns_gives_the_bytes_that_encoding_gives() {
        check(&PLUGIN, |ends| {
            let whole = columns(ends).swap_remove(2);
            [whole].into_iter().chain(errors(ends)).collect()
        });
    }
}

mod too_large {
    use super::*;

    #[skewless::transform]
    fn widest(x: i64) -> [f32; 65_536] {
        panic!("called with {x}")
    }

    #[test]
    fn an_output_beyond_the_limit_is_refused_before_a_row_is_run() {
        let mut xs = Column::new(Type::Int64);
        (0..4_096).for_each(|x| xs.push_i64(x));
        let refused = PLUGIN.run_native(xs.len(), &[xs.view()]).expect_err("too large");
        // The values alone fill a batch; header and descriptor come on top.
        let expected = BATCH_BYTES_MAX + 128;
        assert!(
            matches!(refused, RunError::Output(BatchError::BytesLimit { found }) if found == expected),
            "{refused}"
        );
    }
}

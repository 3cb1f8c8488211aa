//! Rows made of other rows: such as differ from the one before in one value, and given ones mixed; not values themselves.
//!
//! Rows drawn apart differ in every column. What keeps its last answer and forgets to compare one of its inputs is only
//! seen by rows that differ in that one; what takes texts of a form that nobody guesses, only by ones that were given.

use skewless_batch::{Column, ColumnView, Type};

use super::random::Random;
use super::script::Rows;
use super::values::CASE_BYTES_MAX;

/// One row in so many is like the one before but for one column.
const LIKE_ONE_IN: usize = 3;
/// Of those, one in so many has the other zero in that column, if it holds floats.
const ZERO_ONE_IN: usize = 4;
/// One value in so many is taken from another given row than the rest of its row.
const OTHER_ONE_IN: usize = 8;

/// Makes some rows like the one before them but for one column.
pub(super) fn neighbours(rows: Rows, random: &mut Random) -> Rows {
    let Rows { len, columns } = rows;
    if len < 2 || columns.is_empty() {
        return Rows { len, columns };
    }
    // Behind the rows of a column of floats stand its two zeros.
    let (plus, minus) = (len as u32, len as u32 + 1);
    let mut from: Vec<Vec<u32>> = columns.iter().map(|_| (0..len as u32).collect()).collect();
    for row in 1..len {
        if !random.one_in(LIKE_ONE_IN) {
            continue;
        }
        let changed = random.below(columns.len());
        for (_, from) in from.iter_mut().enumerate().filter(|(column, _)| *column != changed) {
            from[row] = from[row - 1];
        }
        if is_float(&columns[changed]) && random.one_in(ZERO_ONE_IN) {
            (from[changed][row - 1], from[changed][row]) =
                if random.one_in(2) { (plus, minus) } else { (minus, plus) };
        }
    }
    let take = |(mut column, from): (Column, Vec<u32>)| {
        push_zeros(&mut column);
        taken(&column.view(), &from)
    };
    Rows { len, columns: columns.into_iter().zip(from).map(take).collect() }
}

/// So many rows of the given ones, of which there is at least one, now and then with a value of another; fewer if they
/// would have more than about [`CASE_BYTES_MAX`].
pub(super) fn mixed(given: &Rows, len: usize, random: &mut Random) -> Rows {
    let bytes: usize = given.columns.iter().map(|column| column.values_bytes().len()).sum();
    let len = len.min((CASE_BYTES_MAX / (bytes / given.len).max(1)).max(1));
    let mut from: Vec<Vec<u32>> = given.columns.iter().map(|_| Vec::with_capacity(len)).collect();
    for _ in 0..len {
        let row = random.below(given.len) as u32;
        for from in &mut from {
            let other = random.one_in(OTHER_ONE_IN);
            from.push(if other { random.below(given.len) as u32 } else { row });
        }
    }
    let columns = given.columns.iter().zip(&from);
    Rows { len, columns: columns.map(|(column, from)| taken(&column.view(), from)).collect() }
}

fn is_float(column: &Column) -> bool {
    matches!(column.ty(), Type::Float32 | Type::Float64)
}

fn push_zeros(column: &mut Column) {
    match column.ty() {
        Type::Float32 => [0.0, -0.0].into_iter().for_each(|zero| column.push_f32(zero)),
        Type::Float64 => [0.0, -0.0].into_iter().for_each(|zero| column.push_f64(zero)),
        _ => {}
    }
}

/// Copies of some rows, in this order.
pub(super) fn taken(column: &ColumnView<'_>, rows: &[u32]) -> Column {
    let mut taken = Column::with_capacity(column.ty(), rows.len());
    for run in rows.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        taken.append(column, run[0] as usize..run[0] as usize + run.len());
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: impl IntoIterator<Item = f64>) -> Column {
        let mut column = Column::new(Type::Float64);
        values.into_iter().for_each(|value| column.push_f64(value));
        column
    }

    fn values(column: &Column) -> Vec<u64> {
        column.view().f64s().map(f64::to_bits).collect()
    }

    #[test]
    fn neighbours_differ_in_each_column_alone_and_in_nothing_but_the_sign_of_zero() {
        let column = |from: i32| floats((0..300).map(|n| f64::from(from + n)));
        let rows = Rows { len: 300, columns: vec![column(1), column(1_000), column(2_000)] };
        let rows = neighbours(rows, &mut Random::new(1));
        let columns: Vec<Vec<u64>> = rows.columns.iter().map(values).collect();
        let (mut alone, mut zeros) = ([0; 3], 0);
        for row in 1..rows.len {
            let differs = |column: &usize| columns[*column][row - 1] != columns[*column][row];
            if let [one] = (0..3).filter(differs).collect::<Vec<_>>()[..] {
                alone[one] += 1;
                let [before, after] = [row - 1, row].map(|row| f64::from_bits(columns[one][row]));
                zeros += usize::from(before == after);
            }
        }
        assert!(alone.iter().all(|times| *times > 10) && zeros > 5, "{alone:?}, {zeros}");
    }

    #[test]
    fn given_rows_come_again_and_with_values_of_each_other() {
        let given = Rows { len: 2, columns: vec![floats([1.0, 2.0]), floats([10.0, 20.0])] };
        let rows = mixed(&given, 200, &mut Random::new(1));
        let [a, b] = &rows.columns[..] else { panic!("two columns") };
        let whole = a.view().f64s().zip(b.view().f64s()).filter(|(a, b)| a * 10.0 == *b).count();
        assert!(rows.len == 200 && (120..200).contains(&whole), "{whole}");
        let long = "x".repeat(CASE_BYTES_MAX / 2);
        let mut texts = Column::new(Type::Utf8);
        texts.push_utf8(&long);
        let given = Rows { len: 1, columns: vec![texts] };
        assert_eq!(mixed(&given, 200, &mut Random::new(1)).len, 2, "no more bytes than in a case");
    }
}

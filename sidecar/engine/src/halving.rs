//! How a row comes to fail alone: rows that break together are tried again in halves. The one rule for a program's
//! steps and for a plugin run alone; not what is tried, and not which errors blame the rows ([`CallError::may_split`]).
//!
//! Cost: `2 n - 1` calls for `n` rows at the most, as halving makes a tree with `n` leaves. Each call for a part of the
//! rows takes a copy of them, so `n log n` rows are copied in all, and only after a failure or above the limit.

use std::ops::Range;

use skewless_batch::{Column, ColumnView};

use crate::error::CallError;

/// What came of trying rows together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tried {
    /// They passed, or failed for good.
    Settled,
    /// Fewer of them could fare better.
    Broke,
}

/// Has `attempt` try the rows in order, at most `rows_max` (not 0) at once, and halves of what breaks. An error ends it.
/// One row must not break: there is no half of it.
pub(crate) fn in_halves<E>(
    rows: Range<usize>,
    rows_max: usize,
    attempt: &mut impl FnMut(&Range<usize>) -> Result<Tried, E>,
) -> Result<(), E> {
    if rows.is_empty() {
        return Ok(());
    }
    if rows.len() <= rows_max && attempt(&rows)? == Tried::Settled {
        return Ok(());
    }
    debug_assert!(rows.len() > 1, "one row is settled");
    // Whole calls first: what is longer than a call is cut at a multiple of rows_max, so that the last call is the only
    // short one.
    let calls = rows.len().div_ceil(rows_max);
    let left = if calls > 1 { calls / 2 * rows_max } else { rows.len() / 2 };
    let middle = rows.start + left;
    in_halves(rows.start..middle, rows_max, attempt)?;
    in_halves(middle..rows.end, rows_max, attempt)
}

/// Whether rows that failed with this are to be tried in halves.
pub(crate) fn may_halve(rows: &Range<usize>, error: &CallError) -> bool {
    rows.len() > 1 && error.may_split()
}

/// Copies of columns with these rows only.
pub(crate) fn cut<'v>(
    columns: impl IntoIterator<Item = ColumnView<'v>>,
    rows: &Range<usize>,
) -> Vec<Column> {
    let copy = |view: ColumnView<'v>| {
        let mut column = Column::with_capacity(view.ty(), rows.len());
        column.append(&view, rows.clone());
        column
    };
    columns.into_iter().map(copy).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// The ranges that are tried, as first and last row, if the given rows break.
    fn tried(rows: usize, rows_max: usize, bad: &[usize]) -> Vec<(usize, usize)> {
        let mut tried = Vec::new();
        let Ok(()) = in_halves::<Infallible>(0..rows, rows_max, &mut |range| {
            tried.push((range.start, range.end - 1));
            let breaks = range.len() > 1 && bad.iter().any(|row| range.contains(row));
            Ok(if breaks { Tried::Broke } else { Tried::Settled })
        });
        tried
    }

    #[test]
    fn rows_that_break_are_tried_in_halves_until_each_is_alone() {
        assert!(tried(0, 4, &[]).is_empty());
        assert_eq!(tried(4, 4, &[]), [(0, 3)]);
        assert_eq!(tried(4, 4, &[2]), [(0, 3), (0, 1), (2, 3), (2, 2), (3, 3)]);
        assert_eq!(tried(8, 8, &[0, 1, 2, 3, 4, 5, 6, 7]).len(), 2 * 8 - 1);
    }

    #[test]
    fn more_rows_than_a_call_takes_are_cut_into_whole_calls() {
        assert_eq!(tried(10, 4, &[]), [(0, 3), (4, 7), (8, 9)]);
        assert_eq!(tried(10, 4, &[9]), [(0, 3), (4, 7), (8, 9), (8, 8), (9, 9)]);
    }

    #[test]
    fn an_error_ends_it() {
        let mut calls = 0;
        let ended = in_halves(0..8, 2, &mut |range| {
            calls += 1;
            if range.start == 2 { Err("enough") } else { Ok(Tried::Settled) }
        });
        assert_eq!((ended, calls), (Err("enough"), 2));
    }
}

//! Judged rows into a frame's columns; not which row wins, nor where it was found.
//!
//! Rows lie one after the other, a frame lies column by column. Rows that are at hand together are turned a column at
//! a time: what the column is like is looked at once for all of them, and its values are written next to each other.
//! A value of a fixed width whose row has no null before it, as nearly all are, is a copy from a place that was
//! known when the plan was bound. What may be null, text, bytes and lists are taken row by row, each with its checks.
//!
//! Cost: one look a feature, whatever the number of rows, and one copy a value; statuses are counted, not listed.

use skewless_catalog::{FrameSlot, Status};

use crate::row::{Place, Row, RowError, RowScratch};

/// What was found for a key, judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// [`Row::NONE`] if there is none.
    pub(crate) row: Row<'a>,
    /// The status that stands for its values; `None`: they are given.
    pub(crate) absent: Option<Status>,
}

impl Seen<'_> {
    /// No row.
    pub(crate) const NOTHING: Seen<'static> =
        Seen { row: Row::NONE, absent: Some(Status::NotFound) };
}

/// Adds a row to each feature's slot for each that was seen, in their order. The slots have the places' types.
pub(crate) fn push(
    features: &[(Place, usize)],
    seen: &[Seen<'_>],
    slots: &mut [FrameSlot],
    scratch: &mut RowScratch,
) -> Result<(), RowError> {
    for alike in seen.chunk_by(|one, next| one.absent == next.absent) {
        match alike[0].absent {
            Some(status) => {
                for (_, slot) in features {
                    slots[*slot].push_absent(status, alike.len());
                }
            }
            None => push_given(features, alike, slots, scratch)?,
        }
    }
    Ok(())
}

fn push_given(
    features: &[(Place, usize)],
    seen: &[Seen<'_>],
    slots: &mut [FrameSlot],
    scratch: &mut RowScratch,
) -> Result<(), RowError> {
    let whole = seen.iter().map(|seen| seen.row.columns_before_null()).min().unwrap_or(0);
    for (place, slot) in features {
        let slot = &mut slots[*slot];
        let present = place.column < whole || seen.iter().all(|seen| seen.row.has(place));
        if present
            && slot.column.append_scattered(seen.len(), |row| seen[row].row.fixed_from(place))
        {
            slot.status.push_many(Status::Present, seen.len());
            continue;
        }
        for seen in seen {
            let present = seen.row.push_into(place, &mut slot.column, scratch)?;
            slot.status.push(if present { Status::Present } else { Status::NullValue });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! Many rows at once against one value after the other.
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use skewless_batch::{Column, encode_vec};
    use skewless_catalog::frame::Statuses;

    use super::*;
    use crate::row::tests::{columns, encoded, values};

    /// Nulls of a row, how many columns it has, and what stands for its values.
    fn any_row() -> impl Strategy<Value = (u64, u16, usize, Option<Status>)> {
        let nulls = prop_oneof![4 => Just(0_u16), 1 => any::<u16>()];
        let known = prop_oneof![4 => Just(12_usize), 1 => 0_usize..12];
        let absent = prop_oneof![
            6 => Just(None),
            1 => Just(Some(Status::NotFound)),
            1 => Just(Some(Status::OutsideMaxAge)),
        ];
        (any::<u64>(), nulls, known, absent)
    }

    fn slots(features: &[(Place, usize)]) -> Vec<FrameSlot> {
        let slot = |(place, _): &(Place, usize)| FrameSlot {
            column: Column::new(place.ty),
            status: Statuses::new(),
        };
        features.iter().map(slot).collect()
    }

    fn push_each(
        features: &[(Place, usize)],
        seen: &Seen<'_>,
        slots: &mut [FrameSlot],
        scratch: &mut RowScratch,
    ) {
        for (place, slot) in features {
            let slot = &mut slots[*slot];
            let status = match seen.absent {
                Some(status) => {
                    slot.column.push_null();
                    status
                }
                None if seen.row.push_into(place, &mut slot.column, scratch).unwrap() => {
                    Status::Present
                }
                None => Status::NullValue,
            };
            slot.status.push(status);
        }
    }

    proptest! {
        #[test]
        fn rows_turned_together_are_rows_taken_one_by_one(
            rows in prop::collection::vec(any_row(), 0..24), together in 1_usize..20,
        ) {
            let all = columns(12);
            let bytes: Vec<_> = rows
                .iter()
                .map(|(seed, nulls, known, _)| encoded(&columns(*known), &values(*seed, *nulls)))
                .collect();
            let seen: Vec<_> = rows
                .iter()
                .zip(&bytes)
                .map(|((.., absent), bytes)| Seen {
                    row: Row::parse(bytes, &all).unwrap(),
                    absent: *absent,
                })
                .collect();
            // In another order than in the row.
            let places = all.places().iter().rev().enumerate();
            let features: Vec<_> = places.map(|(slot, place)| (*place, slot)).collect();
            let (mut turned, mut expected) = (slots(&features), slots(&features));
            let scratch = &mut RowScratch::default();
            for seen in seen.chunks(together) {
                push(&features, seen, &mut turned, scratch).unwrap();
            }
            seen.iter().for_each(|seen| push_each(&features, seen, &mut expected, scratch));
            for (turned, expected) in turned.iter().zip(&expected) {
                prop_assert_eq!(&turned.column, &expected.column);
                prop_assert_eq!(&turned.status, &expected.status);
                prop_assert_eq!(
                    encode_vec(seen.len(), &[turned.column.view()]),
                    encode_vec(seen.len(), &[expected.column.view()])
                );
            }
        }
    }

    #[test]
    fn no_row_has_a_value() {
        let columns = columns(12);
        assert_eq!(Seen::NOTHING.absent, Some(Status::NotFound));
        assert!(columns.places().iter().all(|place| !Row::NONE.has(place)));
        assert_eq!(Row::NONE.columns_before_null(), 0);
    }
}

//! Rows come back bit for bit, whatever the types; damaged ones are refused, never misread.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use skewless_catalog::frame::{FrameSlot, Statuses};

use super::*;
use crate::values::{Seen, push};

const TYPES: [Type; 12] = [
    Type::Bool,
    Type::Utf8,
    Type::Int32,
    Type::Int64,
    Type::ListUtf8,
    Type::Float32,
    Type::Embedding(3),
    Type::Float64,
    Type::Binary,
    Type::ListInt64,
    Type::Timestamp,
    Type::ListFloat64,
];

pub(crate) fn columns(count: usize) -> Columns {
    Columns::new(TYPES[..count].iter().map(|ty| (ty.to_string(), *ty)).collect())
}

/// One value of each type made from a seed; `None` at set bits of `nulls`.
pub(crate) fn values(seed: u64, nulls: u16) -> Vec<Column> {
    let text = "sé".repeat((seed % 4) as usize);
    TYPES
        .iter()
        .enumerate()
        .map(|(at, ty)| {
            let mut column = Column::new(*ty);
            if nulls >> at & 1 == 1 {
                column.push_null();
                return column;
            }
            let float = f64::from_bits(seed.rotate_left(at as u32 * 5));
            match ty {
                Type::Bool => column.push_bool(seed & 1 == 1),
                Type::Utf8 => column.push_utf8(&text),
                Type::Int32 => column.push_i32(seed as i32),
                Type::Int64 => column.push_i64(seed as i64),
                Type::Timestamp => column.push_timestamp(seed as i64),
                Type::Float32 => column.push_f32(f32::from_bits(seed as u32)),
                Type::Float64 => column.push_f64(float),
                Type::Binary => column.push_binary(&seed.to_le_bytes()[..(seed % 9) as usize]),
                Type::Embedding(_) => column.push_embedding(&[f32::NAN, -0.0, seed as f32]),
                Type::ListInt64 => {
                    column.push_list_i64(&[seed as i64, i64::MIN][..(seed % 3) as usize])
                }
                Type::ListFloat64 => {
                    column.push_list_f64(&[float, f64::NAN][..(seed % 3) as usize])
                }
                Type::ListUtf8 => {
                    column.push_list_utf8(["", &text, "\0"][..(seed % 4) as usize].iter().copied());
                }
            }
            column
        })
        .collect()
}

pub(crate) fn encoded(columns: &Columns, values: &[Column]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(columns, -5, 7, |column| values[column].value(0), &mut out);
    out
}

fn decoded(bytes: &[u8], columns: &Columns) -> Result<Vec<Column>, RowError> {
    let row = Row::parse(bytes, columns)?;
    let mut scratch = RowScratch::default();
    let read = |place: &Place| {
        let mut column = Column::new(place.ty);
        let present = row.push_into(place, &mut column, &mut scratch)?;
        assert_eq!(present, !column.is_null(0));
        Ok(column)
    };
    let decoded: Result<Vec<Column>, RowError> = columns.places().iter().map(read).collect();
    assert_eq!(decoded_at_once(row, columns), decoded);
    decoded
}

/// By the way a read takes.
fn decoded_at_once(row: Row<'_>, columns: &Columns) -> Result<Vec<Column>, RowError> {
    let places = columns.places().iter().enumerate();
    let features: Vec<_> = places.map(|(slot, place)| (*place, slot)).collect();
    let slot = |(place, _): &(Place, usize)| FrameSlot {
        column: Column::new(place.ty),
        status: Statuses::new(),
    };
    let mut slots: Vec<_> = features.iter().map(slot).collect();
    let seen = [Seen { row, absent: None }];
    push(&features, &seen, &mut slots, &mut RowScratch::default())?;
    Ok(slots.into_iter().map(|slot| slot.column).collect())
}

proptest! {
    #[test]
    fn rows_come_back(seed in any::<u64>(), nulls in any::<u16>()) {
        let (columns, values) = (columns(12), values(seed, nulls));
        let bytes = encoded(&columns, &values);
        let row = Row::parse(&bytes, &columns).unwrap();
        prop_assert_eq!((row.event_us, row.known_us, row.deleted, row.husk), (-5, 7, false, false));
        for (column, value) in decoded(&bytes, &columns).unwrap().iter().zip(&values) {
            prop_assert_eq!(column.value(0), value.value(0));
        }
    }

    #[test]
    fn an_older_row_has_nulls_for_newer_columns_and_a_newer_one_is_refused(
        seed in any::<u64>(), older in 0_usize..12,
    ) {
        let (few, all, values) = (columns(older), columns(12), values(seed, 0));
        let read = decoded(&encoded(&few, &values), &all).unwrap();
        for (at, column) in read.iter().enumerate() {
            let expected = if at < older { values[at].value(0) } else { Value::Null };
            prop_assert_eq!(column.value(0), expected);
        }
        let refused = decoded(&encoded(&all, &values), &few).unwrap_err();
        prop_assert_eq!(refused, RowError::Schema { known: older, came: 12 });
    }

    #[test]
    fn a_flipped_bit_is_refused(seed in any::<u64>(), nulls in any::<u16>(), at in any::<prop::sample::Index>()) {
        let columns = columns(12);
        let mut bytes = encoded(&columns, &values(seed, nulls));
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Row::parse(&bytes, &columns).is_err());
    }

    #[test]
    fn a_row_that_lies_about_itself_never_panics(
        seed in any::<u64>(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        // The checksum is made right again, so that only the bounds checks stand guard.
        let columns = columns(12);
        let mut bytes = encoded(&columns, &values(seed, 0));
        let place = HEADER_BYTES + at.index(bytes.len() - HEADER_BYTES);
        bytes[place] = byte;
        bytes.truncate(HEADER_BYTES + cut.index(bytes.len() - HEADER_BYTES + 1));
        seal(0, &mut bytes);
        let _ = decoded(&bytes, &columns);
    }
}

#[test]
fn columns_before_the_first_null_are_counted() {
    let columns = columns(12);
    let before = |nulls: u16| {
        Row::parse(&encoded(&columns, &values(1, nulls)), &columns).unwrap().columns_before_null()
    };
    for first in 0..12 {
        assert_eq!(before(1 << first), first);
        assert_eq!(before(1 << first | 1 << 11), first);
    }
    assert_eq!(before(0), 12);
}

#[test]
fn an_unknown_layout_or_flag_is_refused() {
    let columns = columns(1);
    let good = encoded(&columns, &values(1, 0));
    for (at, byte) in [(0, LAYOUT + 1), (1, 4)] {
        let mut bytes = good.clone();
        bytes[at] = byte;
        seal(0, &mut bytes);
        assert!(matches!(Row::parse(&bytes, &columns), Err(RowError::Version { .. })));
    }
}

#[test]
fn tombstones_and_husks_keep_their_times_only() {
    let columns = columns(12);
    let mut tombstone = Vec::new();
    encode_deleted(3, 4, &mut tombstone);
    let row = Row::parse(&tombstone, &columns).unwrap();
    assert_eq!((row.event_us, row.known_us, row.deleted, row.husk), (3, 4, true, false));
    let husk = husk(5, 6);
    let row = Row::parse(&husk, &columns).unwrap();
    assert_eq!((row.event_us, row.known_us, row.deleted, row.husk), (5, 6, false, true));
    assert!(columns.places().iter().all(|place| !row.has(place)));
}

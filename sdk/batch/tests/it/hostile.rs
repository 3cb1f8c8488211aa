//! Bytes from someone who means harm: parse refuses, or everything that can be read is safe to read.

use proptest::prelude::*;
use skewless_batch::layout::{HEADER_BYTES, MAGIC};
use skewless_batch::{BatchView, Column, ColumnView, encode_vec};

use crate::model::{batch, build};

/// Reads all that can be read; a panic or an overrun is the failure.
fn exercise(bytes: &[u8]) -> bool {
    let Ok(batch) = BatchView::parse(bytes) else { return false };
    let mut copies = Vec::new();
    for index in 0..batch.columns() {
        let view = batch.column(index);
        let mut out = Vec::new();
        for row in 0..batch.rows() {
            view.canonical_value_bytes(row, &mut out);
            let _ = format!("{:?}", view.value(row));
        }
        let _ = (view.i32_slice(), view.i64_slice(), view.f32_slice(), view.f64_slice());
        let _ = view.f64s().map(f64::to_bits).fold(0, u64::wrapping_add);
        let mut copy = Column::new(view.ty());
        copy.append(&view, 0..batch.rows());
        copy.canonicalize_nans();
        copies.push(copy);
    }
    // What was accepted can be written again, and that is a fixed point.
    let views: Vec<ColumnView<'_>> = (0..batch.columns()).map(|i| batch.column(i)).collect();
    let again = encode_vec(batch.rows(), &views);
    let reparsed = BatchView::parse(&again).expect("what was encoded is a batch");
    for (index, view) in views.iter().enumerate() {
        let other = reparsed.column(index);
        assert!((0..batch.rows()).all(|row| view.value(row) == other.value(row)));
    }
    true
}

/// Numbers at which arithmetic on positions breaks, when it does.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0u32..200,
        (0u32..40).prop_map(|n| n * 64),
        (0u32..=32).prop_map(|n| (1u64 << n).wrapping_sub(1) as u32),
        (0u32..32).prop_map(|n| 1 << n),
        (0u32..9).prop_map(|n| u32::MAX - n),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_behind_a_plausible_header_never_harm(
        tail in prop::collection::vec(any::<u8>(), 0..400), rows in 0u32..20, columns in 0u32..6,
    ) {
        exercise(&tail);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        bytes.extend_from_slice(&rows.to_le_bytes());
        bytes.extend_from_slice(&columns.to_le_bytes());
        bytes.extend_from_slice(&(HEADER_BYTES as u32 + tail.len() as u32).to_le_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(&tail);
        exercise(&bytes);
    }

    #[test]
    fn mutated_batches_never_harm(
        (count, columns) in batch(),
        numbers in prop::collection::vec((any::<prop::sample::Index>(), number()), 0..3),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..3),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let built: Vec<Column> = columns.iter().map(|(ty, rows)| build(*ty, rows)).collect();
        let views: Vec<ColumnView<'_>> = built.iter().map(Column::view).collect();
        let mut bytes = encode_vec(count, &views);
        prop_assert!(exercise(&bytes), "an unharmed batch is accepted");
        for (place, number) in numbers {
            let at = place.index(bytes.len() / 4) * 4;
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        for (place, bit) in flips {
            let at = place.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(place) = cut {
            bytes.truncate(place.index(bytes.len()));
        }
        exercise(&bytes);
    }

    #[test]
    fn mutated_descriptors_never_harm(
        (count, columns) in batch(),
        numbers in prop::collection::vec((0usize..48, any::<prop::sample::Index>(), number()), 1..3),
    ) {
        let built: Vec<Column> = columns.iter().map(|(ty, rows)| build(*ty, rows)).collect();
        let views: Vec<ColumnView<'_>> = built.iter().map(Column::view).collect();
        let mut bytes = encode_vec(count, &views);
        for (at, column, number) in numbers {
            if columns.is_empty() {
                continue;
            }
            let at = HEADER_BYTES + 48 * column.index(columns.len()) + at / 4 * 4;
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        exercise(&bytes);
    }
}

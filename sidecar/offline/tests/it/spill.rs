//! A history larger than the memory limit is sorted on disk, within the limit, to the same bytes.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use skewless_offline::{BackfillOptions, BackfillReport, config};

use crate::world::{Dice, PlaceRow, S, SpineRow, World, ask, place, spine_columns, write};

/// Rows of history; with their text about 100 MB, more than the smallest memory limit.
const ROWS: u64 = 400_000;

fn world() -> World {
    let world = World::empty();
    let dice = &mut Dice(1);
    for file in 0..4 {
        let rows: Vec<PlaceRow> = (0..ROWS / 4)
            .map(|_| {
                let time = dice.roll(1000) as i64 * S;
                PlaceRow {
                    place: format!("place {}", dice.roll(5000)),
                    time,
                    created: Some(time + dice.roll(5) as i64 * S),
                    deleted: Some(dice.one_in(50)),
                    f: Some(dice.roll(1000) as f64),
                    s: Some(format!("{:0180}", dice.roll(1_000_000_000))),
                    e: None,
                }
            })
            .collect();
        world.places(&format!("a/{file}.parquet"), &rows);
    }
    let asks: Vec<_> = (0..60_000)
        .map(|_| ask(&format!("place {}", dice.roll(5500)), dice.roll(1100) as i64 * S))
        .collect();
    world.spine("spine.parquet", &asks);
    world
}

fn run(world: &World, memory_bytes: u64) -> (BackfillReport, Vec<u8>) {
    run_with(world, memory_bytes, config::WORKERS_DEFAULT)
}

fn run_with(world: &World, memory_bytes: u64, workers: usize) -> (BackfillReport, Vec<u8>) {
    let options =
        BackfillOptions { memory_bytes, workers, overwrite: true, ..BackfillOptions::default() };
    let report = world.backfill("wide", options).unwrap();
    (report, std::fs::read(world.path("out.parquet")).unwrap())
}

#[test]
fn memory_bounds_the_sorts_and_never_shows_in_the_output() {
    let world = world();
    let (large, expected) = run(&world, 2 << 30);
    assert_eq!(large.sorts.spill_files, 0);
    let (small, bytes) = run(&world, config::MEMORY_BYTES_MIN);
    assert!(small.sorts.spilled_bytes > config::MEMORY_BYTES_MIN, "{:?}", small.sorts);
    assert!(small.sorts.peak_bytes <= config::MEMORY_BYTES_MIN, "{:?}", small.sorts);
    assert!(large.sorts.peak_bytes > config::MEMORY_BYTES_MIN, "{:?}", large.sorts);
    assert!(bytes == expected, "{} and {} bytes", bytes.len(), expected.len());
    assert!(!world.listing().iter().any(|name| name.starts_with('.')));
}

#[test]
fn a_few_huge_rows_among_many_small_ones_fit_too() {
    let world = World::empty();
    let rows: Vec<PlaceRow> = (0..3000)
        .map(|i| PlaceRow {
            s: Some("x".repeat(if i % 100 == 0 { 400_000 } else { 10 })),
            ..crate::world::place(&format!("p{}", i % 7), i * S, 0.0)
        })
        .collect();
    world.places("a/0.parquet", &rows);
    let asks: Vec<_> = (0..50).map(|i| ask(&format!("p{}", i % 7), i * 50 * S)).collect();
    world.spine("spine.parquet", &asks);
    let (small, bytes) = run(&world, config::MEMORY_BYTES_MIN);
    let (_, expected) = run(&world, 1 << 30);
    assert!(bytes == expected);
    assert!(small.sorts.peak_bytes <= config::MEMORY_BYTES_MIN, "{:?}", small.sorts);
}

/// Text that no compression makes small, a different one each time.
fn noise(dice: &mut Dice, bytes: usize) -> String {
    (0..bytes / 8).map(|_| format!("{:08x}", dice.roll(1 << 32))).collect()
}

/// Writes a spine with a text of the given size in each row.
fn spine_with_notes(world: &World, asks: &[SpineRow], bytes_of: impl Fn(usize) -> usize) {
    let dice = &mut Dice(7);
    let notes: Vec<String> = (0..asks.len()).map(|row| noise(dice, bytes_of(row))).collect();
    let mut columns = spine_columns(asks);
    let notes: ArrayRef = Arc::new(StringArray::from_iter_values(&notes));
    columns.push(("note", notes));
    write(&world.path("spine.parquet"), &columns);
}

#[test]
fn wide_spine_rows_are_cut_into_chunks_that_fit_the_memory() {
    let world = World::empty();
    world.places("a/0.parquet", &(0..50).map(|i| place("p", i * S, 0.5)).collect::<Vec<_>>());
    let asks: Vec<_> = (0..2_000).map(|i| ask("p", i % 70 * S)).collect();
    spine_with_notes(&world, &asks, |_| 100_000);
    let (large, expected) = run(&world, 2 << 30);
    assert!(large.sorts.peak_bytes > config::MEMORY_BYTES_MIN, "{:?}", large.sorts);
    for workers in [1, 2, 5] {
        let (small, bytes) = run_with(&world, config::MEMORY_BYTES_MIN, workers);
        let peak = small.sorts.peak_bytes;
        assert!(peak <= config::MEMORY_BYTES_MIN, "{workers} workers: {:?}", small.sorts);
        assert!(bytes == expected, "{workers} workers: {} bytes", bytes.len());
    }
}

#[test]
fn wide_answers_are_cut_into_chunks_that_fit_the_memory() {
    let world = World::empty();
    let dice = &mut Dice(3);
    let rows: Vec<PlaceRow> = (0..200)
        .map(|i| PlaceRow { s: Some(noise(dice, 30_000)), ..place(&format!("p{i}"), i * S, 0.0) })
        .collect();
    world.places("a/0.parquet", &rows);
    let asks: Vec<_> =
        (0..5_000).map(|i| ask(&format!("p{}", i % 200), (i % 200 + 3) * S)).collect();
    world.spine("spine.parquet", &asks);
    let (large, expected) = run(&world, 2 << 30);
    assert!(large.sorts.peak_bytes > config::MEMORY_BYTES_MIN, "{:?}", large.sorts);
    let (small, bytes) = run(&world, config::MEMORY_BYTES_MIN);
    assert!(small.sorts.peak_bytes <= config::MEMORY_BYTES_MIN, "{:?}", small.sorts);
    assert!(bytes == expected);
}

/// What is read at once is guessed from the mean, and mended when the rows are not like it.
#[test]
fn a_few_huge_rows_of_a_spine_among_many_small_ones_fit_too() {
    let world = World::empty();
    world.places("a/0.parquet", &[place("p", S, 0.5)]);
    let asks: Vec<_> = (0..20_000).map(|i| ask("p", i % 9 * S)).collect();
    let size = |row| match row {
        7_000..7_200 => 60_000,
        row if row % 1_000 == 0 => 40_000,
        _ => 8,
    };
    spine_with_notes(&world, &asks, size);
    let (small, bytes) = run(&world, config::MEMORY_BYTES_MIN);
    assert!(small.sorts.peak_bytes <= config::MEMORY_BYTES_MIN, "{:?}", small.sorts);
    assert!(bytes == run(&world, 1 << 30).1);
}

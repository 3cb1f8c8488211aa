//! A history larger than the memory limit is sorted on disk, within the limit, to the same bytes.

use skewless_offline::{BackfillOptions, BackfillReport, config};

use crate::world::{Dice, PlaceRow, S, World, ask};

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
    let options = BackfillOptions { memory_bytes, overwrite: true, ..BackfillOptions::default() };
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

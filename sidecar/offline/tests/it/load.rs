//! Bulk loads: what is in the store afterwards is what a backfill says was visible then.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampSecondArray};
use skewless_catalog::Frame;
use skewless_offline::{
    BackfillOptions, BadRows, CancelFlag, LoadOptions, LoadReport, LoadRequest, OfflineError,
    Reject, Silent, load,
};
use skewless_store::{CommitMode, ReadScratch, Store, StoreConfig};

use crate::world::{Dice, PlaceRow, S, SpineRow, World, ask, place, place_columns, write};

fn store(world: &World) -> Store {
    Store::open(world.path("store"), StoreConfig::default()).unwrap().0
}

fn load_view(
    world: &World,
    store: &Store,
    view: &str,
    now_us: i64,
    options: LoadOptions,
) -> Result<LoadReport, OfflineError> {
    let views = store.set_views(&world.catalog).unwrap();
    load(&LoadRequest {
        catalog: &world.catalog,
        view,
        repo: world.dir.path(),
        store,
        handle: views.by_name(view).unwrap_or(&views.views()[0]),
        now_us,
        mode: CommitMode::Merge,
        options,
        spill_folder: world.dir.path(),
        progress: Arc::new(Silent),
        cancel: CancelFlag::new(),
    })
}

/// A frame as the store fills it for the asks' keys at `t_us`.
fn served(world: &World, store: &Store, service: &str, asks: &[SpineRow], t_us: i64) -> Frame {
    let plan = world.catalog.plan(service).unwrap();
    let views = store.set_views(&world.catalog).unwrap();
    let mut frame = Frame::new(&plan);
    frame.reset(asks.len());
    for (key, column) in plan.keys.iter().zip(&mut frame.keys) {
        for ask in asks {
            let text = match key.name.as_str() {
                "place" => &ask.place,
                "dest" => &ask.dest,
                "k" => &ask.k,
                _ => &None,
            };
            match (key.name.as_str(), text, ask.u) {
                ("u", _, Some(u)) => column.push_i64(u),
                (_, Some(text), _) => column.push_utf8(text),
                _ => column.push_null(),
            }
        }
    }
    frame.complete(&plan).unwrap();
    let bound = views.bind(&plan).unwrap();
    store.read(&bound, t_us, &mut frame, &mut ReadScratch::default()).unwrap();
    frame
}

fn bytes(view: skewless_batch::ColumnView<'_>, row: usize) -> Vec<u8> {
    let mut out = Vec::new();
    view.canonical_value_bytes(row, &mut out);
    out
}

#[test]
fn a_loaded_view_answers_at_that_time_and_later_as_a_backfill_of_those_times() {
    for seed in 0..8 {
        let world = World::empty();
        let dice = &mut Dice(seed);
        let mut rows: Vec<PlaceRow> = (0..400)
            .map(|i| {
                let time = dice.roll(60) as i64 * S;
                PlaceRow {
                    created: dice.pick(&[Some(time), Some(time + S), Some(time + 7 * S), None]),
                    deleted: Some(dice.one_in(6)),
                    f: (!dice.one_in(5)).then_some(i as f64),
                    ..place(&format!("p{}", dice.roll(30)), time, i as f64)
                }
            })
            .collect();
        world.places("a/0.parquet", &rows.split_off(150));
        world.places("a/1.parquet", &rows);
        let store = store(&world);
        let now = 30 * S;
        let report = load_view(&world, &store, "a", now, LoadOptions::default()).unwrap();
        assert_eq!((report.read.rows_read, report.commit.rows), (400, 400));
        assert!(report.commit.pending > 0 && report.read.rejects.is_empty());
        assert_eq!(report.read.files.len(), 2);
        for t in [now, now + 1, now + 5 * S, now + 33 * S, now + 60 * S] {
            let asks: Vec<_> = (0..35).map(|i| ask(&format!("p{i}"), t)).collect();
            let frame = served(&world, &store, "wide", &asks, t);
            world.spine("spine.parquet", &asks);
            let answers = world.answers("wide", BackfillOptions::default());
            let plan = world.catalog.plan("wide").unwrap();
            for (feature, output) in answers.features.iter().zip(&plan.outputs) {
                let slot = &frame.slots[output.slot];
                let statuses = feature.statuses.as_ref();
                assert!(statuses.is_some_and(|all| slot.status == *all), "seed {seed} t {t}");
                for row in 0..asks.len() {
                    let (offline, online) = (feature.column.view(), slot.column.view());
                    assert_eq!(bytes(offline, row), bytes(online, row), "seed {seed} t {t} {row}");
                }
            }
        }
    }
}

/// Much memory makes large batches of rows; the store takes so many bytes at once, whatever the memory.
#[test]
fn wide_rows_are_handed_to_the_store_in_parts_that_it_takes_however_much_memory_there_is() {
    let world = World::empty();
    let row =
        |i: i64| PlaceRow { s: Some(format!("{i:016384}")), ..place(&format!("p{i}"), 0, 1.0) };
    let rows: Vec<_> = (0..2_000).map(row).collect();
    world.places("a/0.parquet", &rows);
    let config = StoreConfig { batch_bytes_max: 16 << 20, ..StoreConfig::default() };
    let (store, _) = Store::open(world.path("store"), config).unwrap();
    for memory_bytes in [LoadOptions::default().memory_bytes, 8 << 30] {
        let options = LoadOptions { memory_bytes, ..LoadOptions::default() };
        let report = load_view(&world, &store, "a", 9 * S, options).unwrap();
        assert_eq!((report.commit.rows, report.commit.keys), (2_000, 2_000), "{memory_bytes}");
    }
}

#[test]
fn bad_rows_refuse_the_load_and_change_nothing_unless_skipping_is_asked_for() {
    let world = World::empty();
    let store = store(&world);
    load_view(&world, &store, "a", 0, LoadOptions::default()).unwrap();
    let rows: Vec<_> = (0..6).map(|i| place(&format!("p{i}"), i * S, i as f64)).collect();
    let mut columns = place_columns(&rows);
    let set = |columns: &mut Vec<(&'static str, ArrayRef)>, name, array| {
        columns.iter_mut().find(|(column, _)| *column == name).unwrap().1 = array;
    };
    let far = 253_402_300_800;
    let times = vec![Some(0), Some(far), None, Some(3), Some(far), Some(5)];
    set(&mut columns, "time", Arc::new(TimestampSecondArray::from(times)));
    let keys = vec![Some("p0"), Some("p1"), Some("p2"), None, Some("p4"), Some("p5")];
    set(&mut columns, "place", Arc::new(arrow::array::StringArray::from(keys)));
    write(&world.path("a/0.parquet"), &columns);

    let refused = load_view(&world, &store, "a", 100 * S, LoadOptions::default());
    assert!(matches!(refused, Err(OfflineError::TimeOutOfRange { row: 1, .. })), "{refused:?}");
    let asks: Vec<_> = (0..6).map(|i| ask(&format!("p{i}"), 9 * S)).collect();
    let status = |frame: &Frame| frame.slots[0].status.iter().map(|s| s as u8).collect::<Vec<_>>();
    assert_eq!(status(&served(&world, &store, "plain", &asks, 9 * S)), [3; 6]);

    let options = LoadOptions { bad_rows: BadRows::Skip, ..LoadOptions::default() };
    let report = load_view(&world, &store, "a", 9 * S, options).unwrap();
    assert_eq!((report.read.rows_read, report.commit.rows, report.commit.keys), (6, 2, 2));
    let rejects: Vec<_> = report.read.rejects.into_iter().collect();
    let expected = [(Reject::TimeOutOfRange, 2), (Reject::NullTime, 1), (Reject::NullKey, 1)];
    assert_eq!(rejects, expected);
    assert_eq!(status(&served(&world, &store, "plain", &asks, 9 * S)), [1, 3, 3, 3, 3, 1]);
}

#[test]
fn a_load_that_is_cancelled_or_of_an_unknown_view_changes_nothing() {
    let world = World::empty();
    world.places("a/0.parquet", &[place("p", 0, 1.0)]);
    let store = store(&world);
    let views = store.set_views(&world.catalog).unwrap();
    let before = world.listing();
    let cancel = CancelFlag::new();
    cancel.cancel();
    let cancelled = load(&LoadRequest {
        catalog: &world.catalog,
        view: "a",
        repo: world.dir.path(),
        store: &store,
        handle: views.by_name("a").unwrap(),
        now_us: 9 * S,
        mode: CommitMode::Replace,
        options: LoadOptions::default(),
        spill_folder: world.dir.path(),
        progress: Arc::new(Silent),
        cancel,
    });
    assert!(matches!(cancelled, Err(OfflineError::Cancelled)), "{cancelled:?}");
    let unknown = load_view(&world, &store, "nothing", 0, LoadOptions::default());
    assert!(matches!(unknown, Err(OfflineError::UnknownView { .. })), "{unknown:?}");
    let without = load_view(&world, &store, "streamed", 0, LoadOptions::default());
    assert!(matches!(without, Err(OfflineError::NoSource { .. })), "{without:?}");
    let small = LoadOptions { memory_bytes: 1, ..LoadOptions::default() };
    let small = load_view(&world, &store, "a", 0, small);
    assert!(matches!(small, Err(OfflineError::MemoryTooSmall { .. })), "{small:?}");
    assert_eq!(world.listing(), before);
    let frame = served(&world, &store, "plain", &[ask("p", 9 * S)], 9 * S);
    assert_eq!(frame.slots[0].status[0] as u8, 3);
}

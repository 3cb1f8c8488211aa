//! How a backfill starts, stops and fails: nothing half-written, nothing lost.

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use skewless_engine::{Engine, EngineConfig, Ticker};
use skewless_offline::{
    BACKFILL_TICK, BackfillOptions, CancelFlag, OfflineError, Phase, Progress, Silent,
    backfill_limits, config,
};

use crate::world::{S, SpineRow, World, ask, place};

fn world() -> World {
    let world = World::empty();
    let rows: Vec<_> = (0..2000).map(|i| place("p", i * S, i as f64)).collect();
    world.places("a/0.parquet", &rows);
    let asks: Vec<_> = (0..2000).map(|i| ask("p", (i + 2) * S)).collect();
    world.spine("spine.parquet", &asks);
    world
}

/// Cancels when a phase has got far enough.
struct CancelAt {
    phase: fn(&Phase) -> bool,
    done: u64,
    cancel: CancelFlag,
}

impl Progress for CancelAt {
    fn report(&self, phase: &Phase, done: u64, _total: u64) {
        if (self.phase)(phase) && done >= self.done {
            self.cancel.cancel();
        }
    }
}

#[test]
fn a_cancelled_backfill_leaves_nothing_behind_and_can_be_run_again() {
    let world = world();
    let before = world.listing();
    for (phase, done) in [
        ((|phase| matches!(phase, Phase::Digest)) as fn(&Phase) -> bool, 1),
        (|phase| matches!(phase, Phase::Join(_)), 1),
        (|phase| matches!(phase, Phase::Compute), 0),
        (|phase| matches!(phase, Phase::Compute), 1000),
    ] {
        let cancel = CancelFlag::new();
        let progress = Arc::new(CancelAt { phase, done, cancel: cancel.clone() });
        let options = BackfillOptions { chunk_rows: 100, ..BackfillOptions::default() };
        let came = world.watched("plain", options, progress, cancel);
        assert!(matches!(came, Err(OfflineError::Cancelled)), "{came:?}");
        assert_eq!(world.listing(), before);
    }
    world.backfill("plain", BackfillOptions::default()).unwrap();
    assert_eq!(world.answers("plain", BackfillOptions::default()).rows, 2000);
}

/// Cancels some ticks after computing has begun.
struct CancelLater {
    engine: Engine,
    cancel: CancelFlag,
}

impl Progress for CancelLater {
    fn report(&self, phase: &Phase, done: u64, _total: u64) {
        if *phase == Phase::Compute && done == 0 {
            let (engine, cancel) = (self.engine.clone(), self.cancel.clone());
            let begun = engine.ticks();
            std::thread::spawn(move || {
                while engine.ticks() < begun + 200 {
                    std::thread::yield_now();
                }
                cancel.cancel();
            });
        }
    }
}

#[test]
fn a_backfill_whose_plugin_never_ends_stops_when_it_is_cancelled() {
    // As in a backfill: 30 s a call, and each of the chunks' rows would have as long once more.
    let limits =
        EngineConfig { deadline_ticks: 30_000, instances_max: 8, ..EngineConfig::default() };
    let world = World::under(limits);
    let _ticker = Ticker::start(world.engine.clone(), Duration::from_millis(1)).unwrap();
    let asks: Vec<_> = (0..500).map(|i| SpineRow { r: Some(1.0), ..ask("p", i * S) }).collect();
    world.spine("spine.parquet", &asks);
    let before = world.listing();
    let cancel = CancelFlag::new();
    let progress = CancelLater { engine: world.engine.clone(), cancel: cancel.clone() };
    let options = BackfillOptions { chunk_rows: 100, ..BackfillOptions::default() };
    let begun = Instant::now();
    let came = world.watched("stuck", options, Arc::new(progress), cancel);
    assert!(matches!(came, Err(OfflineError::Cancelled)), "{came:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for a call's deadline");
    assert_eq!(world.listing(), before);
}

#[test]
fn an_existing_output_is_kept_unless_overwriting_is_asked_for_and_succeeds() {
    let world = world();
    let out = world.path("out.parquet");
    std::fs::write(&out, "precious").unwrap();
    let refused = world.backfill("plain", BackfillOptions::default());
    assert!(matches!(refused, Err(OfflineError::OutputExists { .. })), "{refused:?}");
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");

    // Overwriting, but the spine turns out bad: the old output stays.
    let overwrite = BackfillOptions { overwrite: true, ..BackfillOptions::default() };
    let mut spine = crate::world::spine_columns(&[ask("p", S), ask("p", 2 * S)]);
    let times = arrow::array::TimestampSecondArray::from(vec![1, i64::MAX]);
    spine[3].1 = Arc::new(times);
    crate::world::write(&world.path("spine.parquet"), &spine);
    let before = world.listing();
    let failed = world.backfill("plain", overwrite.clone());
    assert!(matches!(failed, Err(OfflineError::TimeOutOfRange { row: 1, .. })), "{failed:?}");
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
    assert_eq!(world.listing(), before);

    world.spine("spine.parquet", &[ask("p", S)]);
    assert_eq!(world.backfill("plain", overwrite).unwrap().rows, 1);
}

#[test]
fn an_input_is_never_overwritten_whatever_name_it_has() {
    let world = world();
    let spine = std::fs::read(world.path("spine.parquet")).unwrap();
    std::os::unix::fs::symlink(world.path("spine.parquet"), world.path("out.parquet")).unwrap();
    let overwrite = BackfillOptions { overwrite: true, ..BackfillOptions::default() };
    let refused = world.backfill("plain", overwrite);
    assert!(matches!(refused, Err(OfflineError::OutputIsInput { .. })), "{refused:?}");
    assert_eq!(std::fs::read(world.path("spine.parquet")).unwrap(), spine);
}

#[test]
fn the_remains_of_a_killed_backfill_are_cleared_away() {
    let world = world();
    std::fs::write(world.path(".out.parquet.partial"), "half a file").unwrap();
    std::fs::create_dir_all(world.path(".out.parquet.spill/datafusion-x")).unwrap();
    std::fs::write(world.path(".out.parquet.spill/datafusion-x/0"), "a run").unwrap();
    let report = world.backfill("plain", BackfillOptions::default()).unwrap();
    assert_eq!(report.rows, 2000);
    let listing = world.listing();
    assert!(!listing.iter().any(|name| name.starts_with('.')), "{listing:?}");
}

#[test]
fn two_backfills_of_one_output_do_not_mix() {
    let world = world();
    let partial = File::create(world.path(".out.parquet.partial")).unwrap();
    partial.lock().unwrap();
    let came = world.backfill("plain", BackfillOptions::default());
    assert!(matches!(came, Err(OfflineError::OutputBusy { .. })), "{came:?}");
    drop(partial);

    std::fs::create_dir_all(world.path(".out.parquet.spill")).unwrap();
    let spill = File::create(world.path(".out.parquet.spill/lock")).unwrap();
    spill.lock().unwrap();
    let came = world.backfill("plain", BackfillOptions::default());
    assert!(matches!(came, Err(OfflineError::SpillBusy { .. })), "{came:?}");
    drop(spill);
    world.backfill("plain", BackfillOptions::default()).unwrap();
}

#[test]
fn a_file_that_changes_while_it_is_read_fails_the_backfill() {
    /// Appends to a file when computing starts.
    struct Meddle(std::path::PathBuf);
    impl Progress for Meddle {
        fn report(&self, phase: &Phase, done: u64, _total: u64) {
            if phase == &Phase::Compute && done == 0 {
                let mut bytes = std::fs::read(&self.0).unwrap();
                bytes.push(0);
                std::fs::write(&self.0, bytes).unwrap();
            }
        }
    }
    let world = world();
    let meddle = Arc::new(Meddle(world.path("a/0.parquet")));
    let came = world.watched("plain", BackfillOptions::default(), meddle, CancelFlag::new());
    assert!(matches!(came, Err(OfflineError::InputChanged { .. })), "{came:?}");
    assert!(!world.path("out.parquet").exists());
}

#[test]
fn progress_ends_every_phase_at_its_total() {
    struct Record(Mutex<Vec<(Phase, u64, u64)>>);
    impl Progress for Record {
        fn report(&self, phase: &Phase, done: u64, total: u64) {
            self.0.lock().unwrap().push((phase.clone(), done, total));
        }
    }
    let world = world();
    let record = Arc::new(Record(Mutex::default()));
    let options = BackfillOptions { chunk_rows: 300, ..BackfillOptions::default() };
    world.watched("plain", options, record.clone(), CancelFlag::new()).unwrap();
    let seen = record.0.lock().unwrap();
    let history = std::fs::metadata(world.path("a/0.parquet")).unwrap().len();
    let spine = std::fs::metadata(world.path("spine.parquet")).unwrap().len();
    for (phase, total) in [
        (Phase::Digest, history + spine),
        (Phase::Join("a".to_owned()), 2000),
        (Phase::Compute, 2000),
    ] {
        let of_phase: Vec<_> = seen.iter().filter(|(of, ..)| *of == phase).collect();
        assert!(of_phase.is_sorted_by_key(|(_, done, _)| *done), "{of_phase:?}");
        assert_eq!(of_phase.last().unwrap(), &&(phase, total, total));
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let world = world();
    let with = |change: fn(&mut BackfillOptions)| {
        let mut options = BackfillOptions::default();
        change(&mut options);
        world.backfill("plain", options).unwrap_err().to_string()
    };
    let small = with(|options| options.memory_bytes = config::MEMORY_BYTES_MIN - 1);
    assert!(small.contains("67108863") && small.contains("67108864"), "{small}");
    for (change, name) in [
        ((|options| options.workers = 0) as fn(&mut BackfillOptions), "workers is 0"),
        (|options| options.workers = config::WORKERS_MAX + 1, "workers is 65, expected 1 to 64"),
        (|options| options.chunk_rows = 0, "chunk_rows is 0"),
        (|options| options.chunk_rows = config::CHUNK_ROWS_MAX + 1, "chunk_rows is 1048577"),
    ] {
        let message = with(change);
        assert!(message.contains(name), "{message}");
    }
    assert!(!world.path("out.parquet").exists());
}

#[test]
fn an_engine_with_too_few_instances_for_the_workers_is_refused() {
    let limits = EngineConfig { instances_max: 3, ..EngineConfig::default() };
    let world = World::under(limits.clone());
    world.spine("spine.parquet", &[SpineRow { r: Some(1.0), ..ask("p", S) }]);
    let run = |workers| {
        let options = BackfillOptions { workers, overwrite: true, ..BackfillOptions::default() };
        world.backfill("strict", options)
    };
    run(3).unwrap();
    let message = run(4).unwrap_err().to_string();
    assert!(message.contains("engine.instances_max is 3, expected at least 4"), "{message}");
    let enough = backfill_limits(&limits, BACKFILL_TICK, 4);
    assert!(enough.instances_max >= 4);
}

#[test]
fn spilling_has_a_limit_of_disk() {
    let world = World::empty();
    let row = |i: i64| crate::world::PlaceRow {
        s: Some(format!("{:0500}", i)),
        ..place(&format!("p{}", i % 1000), i, 0.0)
    };
    world.places("a/0.parquet", &(0..100_000).map(row).collect::<Vec<_>>());
    world.spine("spine.parquet", &[ask("p1", S)]);
    let options = BackfillOptions {
        memory_bytes: config::MEMORY_BYTES_MIN,
        spill_bytes_max: 1 << 20,
        ..BackfillOptions::default()
    };
    let came = world.watched("wide", options, Arc::new(Silent), CancelFlag::new());
    let message = came.unwrap_err().to_string();
    assert!(message.contains("history of view `a`"), "{message}");
    assert!(!world.listing().iter().any(|name| name.starts_with('.') || name == "out.parquet"));
}

//! What a backfill's output looks like: rows, columns, statuses, provenance.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, DictionaryArray, RecordBatch};
use arrow::datatypes::Int32Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};
use skewless_batch::{Type, Value};
use skewless_catalog::Status;
use skewless_catalog::frame::FAILURES_MAX;
use skewless_engine::EngineConfig;
use skewless_offline::{AsOf, BackfillOptions, LimitsUsed, provenance, read_columns};

use crate::world::{LAG, NO_TIME, S, TTL, World, ask, place, spine_columns, write};

fn read(world: &World, name: &str) -> Vec<RecordBatch> {
    let file = File::open(world.path(name)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

#[test]
fn spine_columns_are_carried_through_as_they_are_before_the_features() {
    let world = World::empty();
    world.places("a/0.parquet", &[place("p", S, 1.5)]);
    let mut columns = spine_columns(&[ask("p", 9 * S), ask("q", 9 * S)]);
    let words: DictionaryArray<Int32Type> = vec!["x", "y"].into_iter().collect();
    columns.push(("word", Arc::new(words)));
    let money = Decimal128Array::from(vec![Some(1), None]).with_precision_and_scale(9, 2).unwrap();
    columns.push(("money", Arc::new(money) as ArrayRef));
    write(&world.path("spine.parquet"), &columns);
    let options = BackfillOptions { statuses: true, ..BackfillOptions::default() };
    world.backfill("plain", options).unwrap();

    let (spine, output) = (read(&world, "spine.parquet"), read(&world, "out.parquet"));
    let names: Vec<_> = output[0].schema().fields().iter().map(|f| f.name().clone()).collect();
    let carried = columns.iter().map(|(name, _)| *name);
    let expected: Vec<_> = carried.chain(["a.f", "a.f__status"]).collect();
    assert_eq!(names, expected);
    for (at, (name, _)) in columns.iter().enumerate() {
        assert_eq!(output[0].column(at), spine[0].column(at), "{name}");
    }
    let labels = read_columns(&world.path("out.parquet"), &[("label".to_owned(), Type::Int64)]);
    assert_eq!(labels.unwrap()[0].value(1), Value::Int64(7));
}

#[test]
fn without_statuses_there_are_only_features() {
    let world = World::empty();
    world.spine("spine.parquet", &[ask("p", 9 * S)]);
    world.backfill("wide", BackfillOptions::default()).unwrap();
    let schema = read(&world, "out.parquet")[0].schema();
    let names: Vec<_> = schema.fields().iter().skip(8).map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["a.f", "a.s"]);
    let features = skewless_offline::read_features(&world.path("out.parquet")).unwrap();
    assert!(features.features.iter().all(|feature| feature.statuses.is_none()));
}

#[test]
fn an_empty_spine_gives_an_empty_output_and_an_empty_history_finds_nothing() {
    let world = World::empty();
    world.spine("spine.parquet", &[]);
    let report = world.backfill("all", BackfillOptions::default()).unwrap();
    assert_eq!((report.rows, report.history_rows), (0, 0));
    assert_eq!(world.answers("all", BackfillOptions::default()).features[0].column.len(), 0);
    world.spine("spine.parquet", &[ask("p", S), ask("p", 2 * S)]);
    let answers = world.answers("all", BackfillOptions::default());
    assert_eq!(answers.features[0].statuses, Some(vec![Status::NotFound; 2]));
}

#[test]
fn a_transform_that_breaks_on_a_row_fails_that_row_and_the_report_says_so() {
    let world = World::empty();
    let rows: Vec<_> = (0..100)
        .map(|i| crate::world::SpineRow { r: Some(f64::from(i % 50) - 1.0), ..ask("p", S) })
        .collect();
    world.spine("spine.parquet", &rows);
    let options = BackfillOptions { chunk_rows: 30, ..BackfillOptions::default() };
    let report = world.backfill("strict", options.clone()).unwrap();
    assert_eq!(
        (report.features[0].present, report.features[0].transform_failed),
        (98, 2),
        "{:?}",
        report.failures
    );
    assert_eq!(report.failures_total, 2);
    let [failure] = report.failures.as_slice() else { panic!("{:?}", report.failures) };
    assert_eq!(failure.transform, "picky");
    // One trap is like the other, in whatever chunks they are: the first row stands for both.
    assert_eq!((failure.row, failure.count), (Some(0), 2));
    let [picky] = report.transforms.as_slice() else { panic!("{:?}", report.transforms) };
    assert_eq!((picky.transform.as_str(), picky.failed, picky.left_out), ("picky", 2, 0));
    assert!(!picky.gave_nothing());
    std::fs::remove_file(world.path("out.parquet")).unwrap();
    let answers = world.answers("strict", options);
    for (row, status) in answers.features[0].statuses.as_ref().unwrap().iter().enumerate() {
        assert_eq!(*status == Status::TransformFailed, row % 50 == 0, "row {row}");
    }
}

#[test]
fn a_report_keeps_a_bounded_number_of_failures_but_counts_all() {
    let world = World::empty();
    let rows = vec![crate::world::SpineRow { r: Some(-1.0), ..ask("p", S) }; 100];
    world.spine("spine.parquet", &rows);
    let report = world.backfill("strict", BackfillOptions::default()).unwrap();
    assert_eq!(report.failures_total, 100);
    let [failure] = report.failures.as_slice() else { panic!("{:?}", report.failures) };
    assert_eq!((failure.row, failure.count), (Some(0), FAILURES_MAX as u64));
    assert_eq!(report.transforms[0].failed, 100);
    assert!(report.transforms[0].gave_nothing());
}

#[test]
fn rows_of_a_spine_without_a_time_are_counted_and_find_nothing() {
    let world = World::empty();
    world.places("a/0.parquet", &[place("p", S, 1.5)]);
    let times = [9 * S, NO_TIME, 9 * S, NO_TIME, NO_TIME];
    world.spine("spine.parquet", &times.map(|t| ask("p", t)));
    for chunk_rows in [8192, 2] {
        let options = BackfillOptions { chunk_rows, overwrite: true, ..Default::default() };
        let report = world.backfill("plain", options).unwrap();
        assert_eq!((report.rows, report.rows_without_time), (5, 3), "{chunk_rows} rows a chunk");
        assert_eq!((report.features[0].present, report.features[0].not_found), (2, 3));
    }
}

#[test]
fn nulls_in_keys_of_a_spine_are_counted_for_each_key_of_the_service() {
    let world = World::empty();
    world.places("a/0.parquet", &[place("p", S, 1.5)]);
    let nowhere = || crate::world::SpineRow { place: None, ..ask("p", 9 * S) };
    let without_u = crate::world::SpineRow { u: None, ..ask("p", 9 * S) };
    let rows = [nowhere(), ask("p", 9 * S), nowhere(), without_u, nowhere()];
    world.spine("spine.parquet", &rows);
    let nulls = |service: &str, chunk_rows| {
        let options = BackfillOptions { chunk_rows, overwrite: true, ..Default::default() };
        let report = world.backfill(service, options).unwrap();
        let keys = report.null_keys.iter().map(|null| (null.key.clone(), null.rows));
        (keys.collect::<BTreeMap<_, _>>(), report.features[0].not_found)
    };
    let of = |keys: &[(&str, u64)]| {
        keys.iter().map(|(key, rows)| ((*key).to_owned(), *rows)).collect::<BTreeMap<_, _>>()
    };
    for chunk_rows in [8192, 2] {
        assert_eq!(nulls("plain", chunk_rows), (of(&[("place", 3)]), 3), "{chunk_rows} a chunk");
        let all = of(&[("place", 3), ("dest", 0), ("u", 1), ("k", 0)]);
        assert_eq!(nulls("all", chunk_rows), (all, 3), "{chunk_rows} a chunk");
    }
}

#[test]
fn the_footer_says_where_the_output_came_from() {
    let world = World::empty();
    world.places("a/1.parquet", &[place("p", S, 1.5)]);
    world.spine("spine.parquet", &[ask("p", 9 * S)]);
    world
        .backfill("all", BackfillOptions { statuses: true, ..BackfillOptions::default() })
        .unwrap();
    let provenance = provenance(&world.path("out.parquet")).unwrap();
    let plan = world.catalog.plan("all").unwrap();
    assert_eq!(provenance.service, "all");
    assert_eq!(provenance.plan_fingerprint, plan.fingerprint.to_string());
    assert_eq!(provenance.catalog_fingerprint, world.catalog.fingerprint.to_string());
    assert_eq!(provenance.skewless, env!("CARGO_PKG_VERSION"));
    assert_eq!(provenance.transforms.len(), 1);
    assert_eq!(provenance.transforms[0].plugin, plan.steps[0].digest.to_string());
    assert_eq!((provenance.as_of, provenance.rows), (AsOf::AsServed, 1));
    assert!(provenance.statuses);
    let [a, b] = provenance.views.as_slice() else { panic!("{:?}", provenance.views) };
    assert_eq!((a.ttl_us, a.lag_us, a.boundary.as_str()), (Some(TTL), LAG, "inclusive"));
    assert_eq!(a.created_timestamp.as_deref(), Some("created"));
    assert_eq!((b.ttl_us, b.lag_us, b.boundary.as_str()), (None, 0, "exclusive"));
    assert_eq!(b.created_timestamp, None);
    let paths: Vec<_> = a.files.iter().map(|file| (file.path.as_str(), file.rows)).collect();
    assert_eq!(paths, [("a/0.parquet", 0), ("a/1.parquet", 1)]);
    let bytes = std::fs::read(world.path("a/1.parquet")).unwrap();
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&a.files[1].sha256, a.files[1].bytes), (&digest, bytes.len() as u64));
    let features: Vec<_> =
        provenance.features.iter().map(|f| (f.name.as_str(), f.ty.as_str())).collect();
    assert_eq!(features[2], ("a.e", "embedding[3]"));

    let options = BackfillOptions { as_known_now: true, ..BackfillOptions::default() };
    assert_eq!(world.answers("plain", options).provenance.as_of, AsOf::AsKnownNow);
}

#[test]
fn the_footer_names_every_limit_that_can_fail_a_row() {
    let limits = EngineConfig {
        memory_bytes_max: 8 << 20,
        table_elements_max: 77,
        stack_bytes_max: 64 << 10,
        input_bytes_max: 3_000_000,
        output_bytes_max: 4_000_000,
        deadline_ticks: 1234,
        ..EngineConfig::default()
    };
    let world = World::under(limits);
    let rows = [crate::world::SpineRow { r: Some(1.0), ..ask("p", S) }];
    world.spine("spine.parquet", &rows);
    world.backfill("strict", BackfillOptions::default()).unwrap();
    let expected = LimitsUsed {
        memory_bytes_max: 8 << 20,
        table_elements_max: 77,
        stack_bytes_max: 64 << 10,
        input_bytes_max: 3_000_000,
        output_bytes_max: 4_000_000,
        deadline_ticks: 1234,
        tick_us: None,
    };
    assert_eq!(provenance(&world.path("out.parquet")).unwrap().limits, expected);
}

#[test]
fn the_same_backfill_gives_the_same_bytes_whoever_works_and_however_it_is_cut() {
    let world = World::empty();
    let places: Vec<_> = (0..30_000)
        .map(|i| place(&format!("p{}", i % 700), (i * 7919 % 9000) * S, i as f64))
        .collect();
    world.places("a/0.parquet", &places[..10_000]);
    world.places("a/1.parquet", &places[10_000..]);
    let asks: Vec<_> =
        (0..20_000).map(|i| ask(&format!("p{}", i * 31 % 800), (i * 104_729 % 9000) * S)).collect();
    world.spine("spine0.parquet", &asks[..3]);
    world.spine("spine1.parquet", &asks[3..]);
    let mut first: Option<Vec<u8>> = None;
    for (workers, chunk_rows) in [(1, 8192), (2, 8192), (3, 1000), (2, 77), (1, 20_000)] {
        let options =
            BackfillOptions { workers, chunk_rows, overwrite: true, ..Default::default() };
        world.backfill("all", options).unwrap();
        let bytes = std::fs::read(world.path("out.parquet")).unwrap();
        match &first {
            None => first = Some(bytes),
            Some(first) => assert!(first == &bytes, "{workers} workers, {chunk_rows} rows"),
        }
    }
}

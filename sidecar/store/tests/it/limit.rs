//! Every limit refuses by its name, and nothing of what it refused is written.

use skewless_batch::{Column, Type};
use skewless_catalog::Status;
use skewless_catalog::frame::EVENT_NONE_US;
use skewless_catalog::visibility::{Rule, TIME_MAX_US};
use skewless_store::{Rows, SourceOffset, Store, StoreConfig, StoreError, ViewSchema};

use crate::fixture::{Shop, config, given, got, key, rows, schema};

fn name(error: StoreError) -> &'static str {
    let StoreError::OverLimit { name, .. } = error else { panic!("{error}") };
    name
}

fn texts(key: &str, value: &str, count: usize) -> Rows {
    let mut columns = [Column::new(Type::Utf8), Column::new(Type::Utf8)];
    for _ in 0..count {
        columns[0].push_utf8(key);
        columns[1].push_utf8(value);
    }
    let [keys, features] = columns;
    let (times, deleted) = (vec![1; count], vec![false; count]);
    Rows {
        keys: vec![keys],
        event_us: times.clone(),
        known_us: times,
        deleted,
        features: vec![features],
    }
}

#[test]
fn rows_over_a_limit_are_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let small = StoreConfig {
        batch_rows_max: 3,
        batch_bytes_max: 4_096,
        value_bytes_max: 2_000,
        key_bytes_max: 16,
        ..config()
    };
    let (store, _) = Store::open(dir.path(), small).unwrap();
    let features = vec![("value".to_owned(), Type::Utf8)];
    let schema =
        ViewSchema { keys: vec![key("id", Type::Utf8)], features, ..schema("v", Rule::default()) };
    let shop = Shop::over(store, vec![schema]).unwrap();
    let apply = |rows: &Rows| shop.store.apply(shop.view(), rows, 9, None);
    let long = "x".repeat(2_000);
    assert_eq!(name(apply(&texts("k", "v", 4)).unwrap_err()), "batch_rows_max");
    assert_eq!(name(apply(&texts("k", &long[..1_900], 3)).unwrap_err()), "batch_bytes_max");
    assert_eq!(name(apply(&texts("k", &long, 1)).unwrap_err()), "value_bytes_max");
    assert_eq!(name(apply(&texts(&long[..15], "v", 1)).unwrap_err()), "key_bytes_max");
    apply(&texts(&long[..14], "v", 3)).unwrap();
    let source = Some(SourceOffset { source: "s".repeat(1_025), offset: 1 });
    let refused = shop.store.apply(shop.view(), &texts("k", "v", 1), 9, source).unwrap_err();
    assert_eq!(name(refused), "SOURCE_BYTES_MAX");
    let mut frame = skewless_catalog::Frame::new(&shop.plan);
    frame.reset(3);
    [&long[..14], &long[..15], "k"].iter().for_each(|key| frame.keys[0].push_utf8(key));
    shop.store
        .read(&shop.bound, 9, &mut frame, &mut skewless_store::ReadScratch::default())
        .unwrap();
    assert_eq!(frame.slots[0].status, [Status::Present, Status::NotFound, Status::NotFound]);
}

#[test]
fn rows_of_the_wrong_shape_are_refused_whole() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    let good = || rows(&[given(1, 1, 1), given(2, 1, 2)]);
    let mut broken: Vec<(Rows, &str)> = Vec::new();
    let mut case = |change: &dyn Fn(&mut Rows), says| {
        let mut rows = good();
        change(&mut rows);
        broken.push((rows, says));
    };
    case(&|rows| rows.keys[0].push_i64(3), "2 rows");
    case(&|rows| rows.known_us.truncate(1), "2 rows");
    case(&|rows| rows.features.clear(), "1 key and 1 feature");
    case(&|rows| rows.features[0] = Column::new(Type::Int64), "2 rows");
    case(&|rows| rows.event_us[1] = TIME_MAX_US + 1, "row 1: expected a time");
    case(&|rows| rows.known_us[1] = i64::MIN, "row 1: expected a time");
    case(
        &|rows| {
            rows.keys[0] = Column::new(Type::Utf8);
            ["a", "b"].iter().for_each(|key| rows.keys[0].push_utf8(key));
        },
        "key column 0 of type int64, came utf8",
    );
    case(
        &|rows| {
            rows.keys[0].clear();
            rows.keys[0].push_i64(1);
            rows.keys[0].push_null();
        },
        "row 1: expected a key, came null",
    );
    for (rows, says) in broken {
        let refused = shop.store.apply(shop.view(), &rows, 9, None).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
    assert_eq!(shop.read(&[1, 2], 9).iter().filter(|got| got.0 != Status::NotFound).count(), 0);
}

#[test]
fn too_many_columns_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), config()).unwrap();
    let features = (0..=u16::MAX as usize).map(|at| (format!("f{at}"), Type::Bool)).collect();
    let wide = ViewSchema { features, ..schema("v", Rule::default()) };
    assert_eq!(name(Shop::over(store, vec![wide]).err().unwrap()), "COLUMNS_MAX");
}

#[test]
fn more_rows_fall_due_at_once_than_one_batch_holds() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    let many = 2 * skewless_store::config::PROMOTE_ROWS_MAX as i64 + 5;
    let waiting: Vec<_> = (0..many).map(|key| given(key, 100 + key % 3, key)).collect();
    shop.apply(&waiting, 10);
    let keys: Vec<_> = (0..many).collect();
    let due = |t_us| shop.read(&keys, t_us).iter().filter(|got| got.1.is_some()).count() as i64;
    assert_eq!((due(99), due(100), due(102)), (0, (many + 2) / 3, many));
    assert_eq!(shop.store.info().unwrap().next_due_us, None);
}

#[test]
fn a_forgotten_loader_does_not_keep_the_folder_locked() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    let loader = shop.store.stage(shop.view(), 9).unwrap();
    drop(shop);
    Shop::open(dir.path(), Rule::default());
    drop(loader);
}

#[test]
fn a_small_question_for_large_rows_is_refused_while_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let small = StoreConfig { read_bytes_max: 50_000, ..config() };
    let (store, _) = Store::open(dir.path(), small).unwrap();
    let features = vec![("value".to_owned(), Type::Utf8)];
    let schema =
        ViewSchema { keys: vec![key("id", Type::Utf8)], features, ..schema("v", Rule::default()) };
    let shop = Shop::over(store, vec![schema]).unwrap();
    shop.store.apply(shop.view(), &texts("k", &"x".repeat(1_000), 1), 9, None).unwrap();
    let read = |rows: usize| {
        let mut frame = skewless_catalog::Frame::new(&shop.plan);
        frame.reset(rows);
        (0..rows).for_each(|_| frame.keys[0].push_utf8("k"));
        shop.store.read(&shop.bound, 9, &mut frame, &mut skewless_store::ReadScratch::default())
    };
    read(40).unwrap();
    assert_eq!(name(read(60).unwrap_err()), "read_bytes_max");
    read(1).unwrap();
}

#[test]
fn too_many_views_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), StoreConfig { views_max: 1, ..config() }).unwrap();
    let two = ["v", "w"].map(|name| schema(name, Rule::default()));
    assert_eq!(name(Shop::over(store, two.into()).err().unwrap()), "views_max");
}

#[test]
fn views_that_left_the_definitions_count_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), StoreConfig { views_max: 2, ..config() }).unwrap();
    let apply = |names: &[&str]| {
        store.set_schemas(names.iter().map(|name| schema(name, Rule::default())).collect())
    };
    apply(&["a", "b"]).unwrap();
    let refused = apply(&["b", "c"]).err().unwrap();
    let says = refused.to_string();
    assert!(says.contains("came 3 views, 1 of which are stored") && says.contains("`a`"), "{says}");
    assert!(says.contains("raise views_max"), "{says}");
    assert_eq!(name(refused), "views_max");
    // Nothing was made of what was refused, and what fits goes on.
    assert_eq!(store.info().unwrap().views.len(), 2);
    apply(&["b"]).unwrap();
    apply(&["a", "b"]).unwrap();
}

#[test]
fn every_mistake_of_a_configuration_is_reported_at_once() {
    let wrong = StoreConfig {
        cache_bytes: 0,
        hot_bytes: 1,
        queue_commands_max: 0,
        value_bytes_max: 2 << 30,
        read_bytes_max: 2 << 30,
        background_threads: 0,
        read_behind_us_max: -1,
        ..config()
    };
    let dir = tempfile::tempdir().unwrap();
    let Err(StoreError::Config { mistakes }) = Store::open(dir.path(), wrong) else { panic!() };
    let names = [
        "cache_bytes",
        "hot_bytes",
        "queue_commands_max",
        "value_bytes_max",
        "read_bytes_max",
        "background_threads",
        "read_behind_us_max",
    ];
    assert_eq!(mistakes.len(), names.len());
    assert!(names.iter().all(|name| mistakes.iter().any(|mistake| mistake.contains(name))));
}

#[test]
fn a_frame_of_another_plan_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    let scratch = &mut skewless_store::ReadScratch::default();
    let mut frame = skewless_catalog::Frame::new(&skewless_catalog::Plan::default());
    let refused = shop.store.read(&shop.bound, 9, &mut frame, scratch).unwrap_err();
    assert!(matches!(refused, StoreError::WrongFrame { what: "join keys", expected: 1, came: 0 }));
    let mut frame = skewless_catalog::Frame::new(&shop.plan);
    frame.reset(2);
    frame.keys[0].push_i64(1);
    let refused = shop.store.read(&shop.bound, 9, &mut frame, scratch).unwrap_err();
    assert!(matches!(refused, StoreError::WrongFrame { expected: 2, came: 1, .. }), "{refused}");
    let mut frame = skewless_catalog::Frame::new(&shop.plan);
    frame.reset(1);
    frame.keys[0].push_i64(1);
    frame.slots[0].column = Column::new(Type::Float64);
    let refused = shop.store.read(&shop.bound, 9, &mut frame, scratch).unwrap_err();
    let expected = "view `v`: expected slot 0 of type int64, came float64";
    assert_eq!(refused.to_string(), expected);
}

/// What was in the frame before a read doesn't matter.
#[test]
fn a_frame_that_was_not_reset_is_filled_anew() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    shop.apply(&[given(1, 5, 7)], 9);
    let scratch = &mut skewless_store::ReadScratch::default();
    let mut frame = skewless_catalog::Frame::new(&shop.plan);
    frame.reset(2);
    [1, 2].into_iter().for_each(|key| frame.keys[0].push_i64(key));
    for _ in 0..2 {
        shop.store.read(&shop.bound, 9, &mut frame, scratch).unwrap();
        let expected = [(Status::Present, Some(7), 5), (Status::NotFound, None, EVENT_NONE_US)];
        assert_eq!([got(&frame, 0, 0), got(&frame, 0, 1)], expected);
        assert_eq!((frame.slots[0].column.len(), frame.lookups[0].len()), (2, 2));
    }
}

//! Definitions change under stored rows: what stays readable, what starts empty, and that it is said.

use skewless_batch::{Column, Type, Value};
use skewless_catalog::visibility::{Boundary, Rule};
use skewless_catalog::{Frame, Status};
use skewless_store::{ReadScratch, Rows, SchemaChange, Store, StoreError, ViewSchema};

use crate::fixture::{Shop, config, given, key, plan, rows, schema};

fn with(features: &[(&str, Type)]) -> ViewSchema {
    let features = features.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).collect();
    ViewSchema { features, ..schema("v", Rule::default()) }
}

fn read(store: &Store, schema: ViewSchema) -> Vec<(Status, Option<i64>)> {
    let plan = plan(&[&schema]);
    let bound = store.set_schemas(vec![schema]).unwrap().bind(&plan).unwrap();
    let mut frame = Frame::new(&plan);
    frame.reset(1);
    frame.keys[0].push_i64(1);
    store.read(&bound, 99, &mut frame, &mut ReadScratch::default()).unwrap();
    let value = |value| if let Value::Int64(value) = value { Some(value) } else { None };
    frame.slots.iter().map(|slot| (slot.status[0], value(slot.column.value(0)))).collect()
}

#[test]
fn an_added_feature_is_null_in_older_rows_and_a_removed_one_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    shop.apply(&[given(1, 1, 5)], 9);
    let wider = with(&[("added", Type::Int64), ("value", Type::Int64)]);
    let views = shop.store.set_schemas(vec![wider.clone()]).unwrap();
    let extended =
        SchemaChange::Extended { view: "v".to_owned(), features: vec!["added".to_owned()] };
    assert_eq!(views.changes(), [extended]);
    let absent = (Status::NullValue, None);
    assert_eq!(read(&shop.store, wider.clone()), [absent, (Status::Present, Some(5))]);
    // The set bound before still reads and writes, beside the new one.
    shop.apply(&[given(2, 2, 6)], 9);
    assert_eq!(shop.read(&[1, 2], 99)[1], (Status::Present, Some(6), 2));
    let mut both = rows(&[given(1, 3, 7)]);
    let mut added = Column::new(Type::Int64);
    added.push_i64(70);
    both.features.insert(0, added);
    shop.store.apply(views.by_name("v").unwrap(), &both, 9, None).unwrap();
    assert_eq!(shop.read(&[1], 99), [(Status::Present, Some(7), 3)]);
    drop((shop, views));
    let (store, _) = Store::open(dir.path(), config()).unwrap();
    assert_eq!(read(&store, with(&[("added", Type::Int64)])), [(Status::Present, Some(70))]);
    assert_eq!(read(&store, wider), [(Status::Present, Some(70)), (Status::Present, Some(7))]);
}

#[test]
fn another_entity_type_or_due_time_starts_empty_and_says_why() {
    let exclusive = Rule { boundary: Boundary::Exclusive, ..Rule::default() };
    let lagging = Rule { lag_us: 5, ..Rule::default() };
    let keyed = ViewSchema { keys: vec![key("id", Type::Utf8)], ..schema("v", Rule::default()) };
    let moved = ViewSchema { entity: "person".to_owned(), ..schema("v", Rule::default()) };
    let cases = [
        (moved, "entity thing -> person"),
        (with(&[("value", Type::Utf8)]), "type of value int64 -> utf8"),
        (schema("v", exclusive), "boundary"),
        (schema("v", lagging), "lag"),
        (keyed, "key"),
    ];
    for (changed, why) in cases {
        let dir = tempfile::tempdir().unwrap();
        let shop = Shop::open(dir.path(), Rule::default());
        shop.apply(&[given(1, 1, 5)], 9);
        let views = shop.store.set_schemas(vec![changed]).unwrap();
        let [SchemaChange::Emptied { reason, .. }] = views.changes() else {
            panic!("{:?}", views.changes())
        };
        assert!(reason.contains(why), "{reason}");
        // What is in flight reads the old rows to its end, but can't write them.
        assert_eq!(shop.read(&[1], 9), [(Status::Present, Some(5), 1)]);
        let refused = shop.store.apply(shop.view(), &rows(&[given(1, 2, 6)]), 9, None);
        assert!(matches!(refused, Err(StoreError::Retired { .. })));
        drop((shop, views));
        let (_, report) = Store::open(dir.path(), config()).unwrap();
        assert_eq!((report.views, report.families_dropped), (1, 0));
    }
}

#[test]
fn a_view_that_left_the_definitions_is_kept_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    shop.apply(&[given(1, 1, 5)], 9);
    let views = shop.store.set_schemas(vec![schema("w", Rule::default())]).unwrap();
    let (w, v) = ("w".to_owned(), "v".to_owned());
    assert_eq!(
        views.changes(),
        [SchemaChange::Created { view: w }, SchemaChange::Unused { view: v }]
    );
    let back = shop.store.set_schemas(vec![schema("v", Rule::default())]).unwrap();
    assert!(!back.changes().contains(&SchemaChange::Created { view: "v".to_owned() }));
    assert_eq!(shop.read(&[1], 9), [(Status::Present, Some(5), 1)]);
}

#[test]
fn every_type_goes_in_and_comes_out() {
    let dir = tempfile::tempdir().unwrap();
    let types = [
        Type::Bool,
        Type::Int32,
        Type::Int64,
        Type::Float32,
        Type::Float64,
        Type::Utf8,
        Type::Binary,
        Type::Timestamp,
        Type::Embedding(2),
        Type::ListInt64,
        Type::ListFloat64,
        Type::ListUtf8,
    ];
    let features: Vec<_> = types.iter().map(|ty| (ty.to_string(), *ty)).collect();
    let keys = vec![key("id", Type::Utf8), key("flag", Type::Bool)];
    let schema = ViewSchema { keys, features, ..schema("v", Rule::default()) };
    let (store, _) = Store::open(dir.path(), config()).unwrap();
    let shop = Shop::over(store, vec![schema]).unwrap();
    let mut features = types.map(Column::new);
    features[0].push_bool(true);
    features[1].push_i32(-1);
    features[2].push_i64(i64::MIN);
    features[3].push_f32(-0.0);
    features[4].push_f64(f64::NAN);
    features[5].push_utf8("é");
    features[6].push_binary(&[0, 255]);
    features[7].push_timestamp(12);
    features[8].push_embedding(&[1.0, f32::INFINITY]);
    features[9].push_list_i64(&[]);
    features[10].push_list_f64(&[0.1]);
    features[11].push_list_utf8(["", "a"]);
    features.iter_mut().for_each(Column::push_null);
    let mut keys = vec![Column::new(Type::Utf8), Column::new(Type::Bool)];
    for flag in [false, true] {
        keys[0].push_utf8("k");
        keys[1].push_bool(flag);
    }
    let (times, deleted) = (vec![1, 1], vec![false, false]);
    let rows =
        Rows { keys, event_us: times.clone(), known_us: times, deleted, features: features.into() };
    shop.store.apply(shop.view(), &rows, 9, None).unwrap();
    let mut frame = Frame::new(&shop.plan);
    frame.reset(2);
    for flag in [true, false] {
        frame.keys[0].push_utf8("k");
        frame.keys[1].push_bool(flag);
    }
    shop.store.read(&shop.bound, 9, &mut frame, &mut ReadScratch::default()).unwrap();
    for (slot, column) in frame.slots.iter().zip(&rows.features) {
        assert_eq!(slot.column.value(1), column.value(0));
        assert_eq!(slot.status, [Status::NullValue, Status::Present]);
        assert!(slot.column.is_null(0));
    }
}

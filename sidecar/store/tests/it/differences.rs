//! What `diff` asks for is what the store does: every kind of change of a view, told by the one and then made to
//! rows that are stored.

use skewless_batch::{Column, Type, Value};
use skewless_catalog::{
    Catalog, Effect, Frame, Misfit, PluginInfo, Plugins, SourceFile, Status, ViewSchema, check,
    diff,
};
use skewless_store::{ReadScratch, Rows, SchemaChange, Store, ViewSet};

use crate::fixture::config;

const DEFINITIONS: &str = "\
entities:
  - {name: thing, keys: [{name: id, type: int64}]}
  - {name: person, keys: [{name: who, type: int64}]}
views:
  - name: v
    doc: Of things.
    entity: thing
    ttl: 1h
    boundary: inclusive
    lag: 1s
    features:
      - {name: value, type: int64, unit: km}
      - {name: other, type: float64}
    source: {path: data/v.parquet, event_timestamp: time}
services:
  - {name: s, features: [v.value]}
";
/// Key columns in place of `thing`'s one.
const ROUTE: &str =
    "{name: origin, type: int64}, {name: dest, type: int64}, {name: carrier, type: utf8}";
const EVENT_US: i64 = 1_000_000_000;
const NOW_US: i64 = EVENT_US + 10_000_000;

/// What a change makes of a row stored before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Row {
    /// It is given as before.
    Stays,
    /// It is given, but for the feature of this name, which it doesn't have.
    Lacks(&'static str),
    /// The view is empty.
    Goes,
}

use Effect::{Backfill, Breaking, Immediate, Load};
use Row::{Goes, Lacks, Stays};

/// From, to, what diff asks for, what becomes of the rows.
type Case = (&'static str, &'static str, &'static [Effect], Row);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("boundary: inclusive",                       "boundary: exclusive",          &[Load],           Goes),
    ("lag: 1s",                                   "lag: 2s",                      &[Load],           Goes),
    ("value, type: int64",                        "value, type: int32",           &[Load, Breaking], Goes),
    ("other, type: float64",                      "other, type: float32",         &[Load, Breaking], Goes),
    ("id, type: int64",                           "id, type: utf8",               &[Load, Breaking], Goes),
    // Keys of the same type, but of other things.
    ("entity: thing",                             "entity: person",               &[Load, Breaking], Goes),
    ("{name: id, type",                           "{name: ident, type",           &[Breaking],       Stays),
    ("    features:\n",                           "    features:\n      - {name: new, type: utf8}\n", &[Load], Lacks("new")),
    ("      - {name: other, type: float64}\n",    "",                             &[Breaking],       Stays),
    ("value, type: int64, unit: km}\n      - {name: other, type: float64}", "other, type: float64}\n      - {name: value, type: int64, unit: km}", &[Immediate], Stays),
    ("unit: km",                                  "unit: mi",                     &[Backfill],       Stays),
    // Rows that were too old before may be husks.
    ("ttl: 1h",                                   "ttl: 2h",                      &[Load],           Stays),
    ("    ttl: 1h\n",                             "",                             &[Load],           Stays),
    ("ttl: 1h",                                   "ttl: 30m",                     &[Backfill],       Stays),
    // The store doesn't know where rows came from; they are of another source now.
    ("data/v.parquet",                            "data/w.parquet",               &[Load],           Stays),
    ("event_timestamp: time",                     "event_timestamp: at",          &[Load],           Stays),
    ("event_timestamp: time}",                    "event_timestamp: time, created_timestamp: at}", &[Load], Stays),
    ("event_timestamp: time}",                    "event_timestamp: time, deleted: gone}", &[Load],  Stays),
    ("    source: {path: data/v.parquet, event_timestamp: time}\n", "",           &[Immediate],      Stays),
    ("Of things.",                                "Of other things.",             &[],               Stays),
];

/// Changes of an entity of [`ROUTE`]'s keys.
#[rustfmt::skip]
const CASES_OF_KEYS: &[Case] = &[
    ("origin, type: int64}, {name: dest", "dest, type: int64}, {name: origin", &[Load, Breaking], Goes),
    // Keys of other types change places: no key of the one is one of the other.
    ("dest, type: int64}, {name: carrier, type: utf8}", "carrier, type: utf8}, {name: dest, type: int64}", &[Load, Breaking], Goes),
    // The names alone change places.
    ("dest, type: int64}, {name: carrier", "carrier, type: int64}, {name: dest", &[Load, Breaking], Goes),
    // One has another name, the others are what they were.
    ("{name: dest",                       "{name: to",                          &[Breaking],       Stays),
    ("{name: carrier",                    "{name: airline",                     &[Breaking],       Stays),
    // One of each type.
    ("dest, type: int64}, {name: carrier", "to, type: int64}, {name: airline",  &[Breaking],       Stays),
    // Nothing tells which is which.
    ("origin, type: int64}, {name: dest", "dest, type: int64}, {name: to",      &[Load, Breaking], Goes),
    ("origin, type: int64}, {name: dest", "from, type: int64}, {name: to",      &[Load, Breaking], Goes),
    ("dest, type: int64}, {name: carrier", "to, type: int64}, {name: dest",     &[Load, Breaking], Goes),
];

struct NoPlugins;

impl Plugins for NoPlugins {
    fn lookup(&self, _plugin: &str) -> Result<PluginInfo, String> {
        Err("there are none".to_owned())
    }
}

fn catalog(text: &str) -> Catalog {
    let file = SourceFile { path: "a.yaml".to_owned(), text: text.to_owned() };
    check(&[file], &NoPlugins).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes:?}"))
}

/// A store of the definitions with one row: each key 1, value 5, other 0.5.
fn stored(catalog: &Catalog) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), config()).unwrap();
    let views = store.set_views(catalog).unwrap();
    let types = catalog.view("v").unwrap().keys.iter().map(|key| key.ty);
    let mut keys: Vec<Column> = types.map(Column::new).collect();
    keys.iter_mut().for_each(push_one);
    let mut features = vec![Column::new(Type::Int64), Column::new(Type::Float64)];
    features[0].push_i64(5);
    features[1].push_f64(0.5);
    let (times, deleted) = (vec![EVENT_US], vec![false]);
    let rows = Rows { keys, event_us: times.clone(), known_us: times, deleted, features };
    store.apply(views.by_name("v").unwrap(), &rows, NOW_US, None).unwrap();
    (dir, store)
}

fn push_one(key: &mut Column) {
    match key.ty() {
        Type::Int64 => key.push_i64(1),
        _ => key.push_utf8("1"),
    }
}

/// What a reader of one feature gets for keys of 1 under a catalog's definitions.
fn read(store: &Store, views: &ViewSet, catalog: &Catalog, feature: &str) -> (Status, Option<i64>) {
    let reference = format!("v.{feature}");
    let plan = catalog.plan_of(&[reference.as_str()]).unwrap();
    let bound = views.bind(&plan).unwrap();
    let mut frame = Frame::new(&plan);
    frame.reset(1);
    frame.keys.iter_mut().for_each(push_one);
    store.read(&bound, NOW_US, &mut frame, &mut ReadScratch::default()).unwrap();
    let slot = &frame.slots[0];
    let value = if let Value::Int64(value) = slot.column.value(0) { Some(value) } else { None };
    (slot.status[0], value)
}

#[test]
fn diff_asks_for_what_the_store_does() {
    let of_keys = DEFINITIONS.replacen("{name: id, type: int64}", ROUTE, 1);
    let cases = CASES.iter().map(|case| (DEFINITIONS, case));
    let cases = cases.chain(CASES_OF_KEYS.iter().map(|case| (of_keys.as_str(), case)));
    for (definitions, &(from, to, expected, row)) in cases {
        let case = format!("{from} -> {to}");
        assert!(definitions.contains(from), "{case}");
        let (old, new) = (catalog(definitions), catalog(&definitions.replacen(from, to, 1)));

        let changes = diff(&old, &new);
        let mut asked: Vec<Effect> = changes.iter().map(|change| change.effect).collect();
        asked.sort();
        asked.dedup();
        assert_eq!(asked, expected, "{case}: {changes:?}");

        let (_dir, store) = stored(&old);
        let views = store.set_views(&new).unwrap();
        let emptied =
            views.changes().iter().any(|change| matches!(change, SchemaChange::Emptied { .. }));
        let came = match read(&store, &views, &new, "value") {
            (Status::NotFound, None) if emptied => Goes,
            (Status::Present, Some(5)) if !emptied => match views.changes() {
                [] => Stays,
                [SchemaChange::Extended { features, .. }] => {
                    assert_eq!(features, &["new"], "{case}");
                    assert_eq!(read(&store, &views, &new, "new"), (Status::NullValue, None));
                    Lacks("new")
                }
                other => panic!("{case}: {other:?}"),
            },
            other => panic!("{case}: {other:?}, emptied: {emptied}"),
        };
        assert_eq!(came, row, "{case}");

        // What the store can't give by its rows is asked for, and both go by the same word.
        assert!(row == Stays || asked.contains(&Load), "{case}");
        let [before, after] = [&old, &new].map(|of| ViewSchema::from(of.view("v").unwrap()));
        let misfits = after.misfits(&before);
        assert_eq!(misfits.iter().any(Misfit::empties), emptied, "{case}");
        for misfit in &misfits {
            let told = |change: &&skewless_catalog::Change| {
                change.effect == Load && change.what == misfit.to_string()
            };
            assert_eq!(changes.iter().filter(told).count(), 1, "{case}: {misfit}");
        }
    }
}

/// Why a raised TTL asks for a load though the store keeps the rows.
#[test]
fn a_raised_ttl_does_not_bring_back_what_was_compacted_away() {
    const LATER_US: i64 = 100 * 3_600_000_000;
    let old = catalog(DEFINITIONS);
    let new = catalog(&DEFINITIONS.replace("    ttl: 1h\n", ""));
    let (_dir, store) = stored(&old);
    store.flush().unwrap();
    store.tick(LATER_US);
    store.reclaim().unwrap();
    let views = store.set_views(&new).unwrap();
    assert!(views.changes().is_empty());
    assert_eq!(read(&store, &views, &new, "value"), (Status::OutsideMaxAge, None));
    assert!(diff(&old, &new).iter().any(|change| change.effect == Load));
}

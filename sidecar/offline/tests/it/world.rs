//! A small feature repo with two views, written to Parquet from plain rows; and a backfill of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListBuilder, Float32Builder, Float64Array, Int32Array,
    Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use skewless_catalog::{Catalog, Certified, Digest, PluginInfo, Plugins, SourceFile, check};
use skewless_engine::{Engine, EngineConfig, Plugin, Program};
use skewless_offline::{
    BackfillOptions, BackfillReport, BackfillRequest, CancelFlag, Features, OfflineError, Progress,
    Silent, backfill, read_features,
};

/// One second in microseconds.
pub(crate) const S: i64 = 1_000_000;
/// TTL of view `a`.
pub(crate) const TTL: i64 = 10 * S;
/// A spine row's time when it has none.
pub(crate) const NO_TIME: i64 = i64::MIN;
/// Lag of view `a`.
pub(crate) const LAG: i64 = 2 * S;

const DEFINITIONS: &str = r#"
entities:
  - name: place
    keys: [{name: place, type: utf8}]
    roles: [{name: dest, keys: [dest]}]
  - name: pair
    keys: [{name: u, type: int64}, {name: k, type: utf8}]
views:
  - name: a
    entity: place
    ttl: 10s
    lag: 2s
    features:
      - {name: f, type: float64}
      - {name: s, type: utf8}
      - {name: e, type: "embedding[3]"}
    source: {path: a/*.parquet, event_timestamp: time, created_timestamp: created, deleted: deleted}
  - name: b
    entity: pair
    boundary: exclusive
    features:
      - {name: n, type: int64}
      - {name: l, type: list<utf8>}
    source: {path: [b0.parquet, b1.parquet], event_timestamp: time}
  - name: streamed
    entity: place
    features: [{name: x, type: float64}]
requests:
  - {name: r, type: float64, nullable: true}
  - {name: must, type: float64}
transforms:
  - name: same
    plugin: same.wasm
    inputs: {x: a.f}
  - name: picky
    plugin: picky.wasm
    inputs: {x: request.must}
  - name: stuck
    plugin: stuck.wasm
    inputs: {x: request.must}
services:
  - name: all
    features: [a.f, a.s, a.e, "a[dest].f", b.n, b.l, request.r, same.y]
  - name: strict
    features: [picky.y]
  - name: stuck
    features: [stuck.y]
  - name: live
    features: [streamed.x]
  - name: plain
    features: [a.f]
  - name: wide
    features: [a.f, a.s]
"#;

/// Gives its input back.
const SAME: &str = r#"(module
  (memory (export "memory") 64)
  (func (export "skewless_reserve") (param i32) (result i32)
    (if (result i32) (i32.gt_u (local.get 0) (i32.const 2000000))
      (then (i32.const 0)) (else (i32.const 64))))
  (func (export "skewless_transform") (param i32 i32) (result i64)
    (memory.copy (i32.const 2097152) (local.get 0) (local.get 1))
    (i64.or (i64.const 0x20000000000000) (i64.extend_i32_u (local.get 1))))
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"same\",\"inputs\":[{\"name\":\"x\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"y\",\"type\":\"float64\",\"nullable\":true}]}"))"#;

/// Gives its input back, but traps if a number in it is negative.
const PICKY: &str = r#"(module
  (memory (export "memory") 64)
  (func (export "skewless_reserve") (param i32) (result i32)
    (if (result i32) (i32.gt_u (local.get 0) (i32.const 2000000))
      (then (i32.const 0)) (else (i32.const 64))))
  (func (export "skewless_transform") (param $at i32) (param $len i32) (result i64)
    (local $value i32) (local $rows i32)
    (local.set $value (i32.add (local.get $at) (i32.load offset=96 (local.get $at))))
    (local.set $rows (i32.load offset=8 (local.get $at)))
    (block $done
      (loop $row
        (br_if $done (i32.eqz (local.get $rows)))
        (if (f64.lt (f64.load (local.get $value)) (f64.const 0)) (then (unreachable)))
        (local.set $value (i32.add (local.get $value) (i32.const 8)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $row)))
    (memory.copy (i32.const 2097152) (local.get $at) (local.get $len))
    (i64.or (i64.const 0x20000000000000) (i64.extend_i32_u (local.get $len))))
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"picky\",\"inputs\":[{\"name\":\"x\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"y\",\"type\":\"float64\",\"nullable\":true}]}"))"#;

/// Never ends.
const STUCK: &str = r#"(module
  (memory (export "memory") 2)
  (func (export "skewless_reserve") (param i32) (result i32) (i32.const 65536))
  (func (export "skewless_transform") (param i32 i32) (result i64) (loop $again (br $again)) (i64.const 0))
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"stuck\",\"inputs\":[{\"name\":\"x\",\"type\":\"float64\",\"nullable\":true}],\"outputs\":[{\"name\":\"y\",\"type\":\"float64\",\"nullable\":true}]}"))"#;

/// A row of view `a`.
#[derive(Clone, Debug)]
pub(crate) struct PlaceRow {
    pub(crate) place: String,
    pub(crate) time: i64,
    pub(crate) created: Option<i64>,
    pub(crate) deleted: Option<bool>,
    pub(crate) f: Option<f64>,
    pub(crate) s: Option<String>,
    pub(crate) e: Option<[f32; 3]>,
}

/// A row of view `b`.
#[derive(Clone, Debug)]
pub(crate) struct PairRow {
    pub(crate) u: i64,
    pub(crate) k: String,
    pub(crate) time: i64,
    pub(crate) n: Option<i64>,
    pub(crate) l: Option<Vec<String>>,
}

/// A row of a spine; a time below every time that is accepted stands for none.
#[derive(Clone, Debug)]
pub(crate) struct SpineRow {
    pub(crate) place: Option<String>,
    pub(crate) dest: Option<String>,
    pub(crate) u: Option<i64>,
    pub(crate) k: Option<String>,
    pub(crate) t: i64,
    pub(crate) r: Option<f64>,
    pub(crate) label: i32,
}

/// A row of view `a` whose created timestamp is its event time.
pub(crate) fn place(place: &str, time: i64, f: f64) -> PlaceRow {
    PlaceRow {
        place: place.to_owned(),
        time,
        created: Some(time),
        deleted: None,
        f: Some(f),
        s: Some(format!("s{f}")),
        e: Some([f as f32, 0.0, 1.0]),
    }
}

/// A spine row that asks for a place alone.
pub(crate) fn ask(place: &str, t: i64) -> SpineRow {
    let place = Some(place.to_owned());
    SpineRow {
        dest: place.clone(),
        place,
        u: Some(0),
        k: Some(String::new()),
        t,
        r: None,
        label: 7,
    }
}

/// A feature repo in a folder of its own, with its engine and plugins.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) catalog: Catalog,
    pub(crate) engine: Engine,
    plugins: Vec<Plugin>,
}

struct Known<'a>(&'a [(&'a str, Plugin)]);

impl Plugins for Known<'_> {
    fn lookup(&self, plugin: &str) -> Result<PluginInfo, String> {
        let found = self.0.iter().find(|(name, _)| *name == plugin);
        let (_, found) = found.ok_or("no such plugin")?;
        let (digest, signature) = (*found.digest(), found.signature().clone());
        Ok(PluginInfo { digest, signature, certified: Certified::No })
    }
}

impl World {
    pub(crate) fn new() -> World {
        World::under(EngineConfig::default())
    }

    /// A world whose engine has these limits.
    pub(crate) fn under(limits: EngineConfig) -> World {
        let engine = Engine::new(limits).unwrap();
        let load = |wat| engine.load(&wat::parse_str(wat).unwrap(), None).unwrap();
        let known =
            [("same.wasm", load(SAME)), ("picky.wasm", load(PICKY)), ("stuck.wasm", load(STUCK))];
        let file = SourceFile { path: "features.yaml".to_owned(), text: DEFINITIONS.to_owned() };
        let catalog = check(&[file], &Known(&known)).unwrap();
        let plugins = known.into_iter().map(|(_, plugin)| plugin).collect();
        World { dir: tempfile::tempdir().unwrap(), catalog, engine, plugins }
    }

    /// A world in which both views have a history without rows.
    pub(crate) fn empty() -> World {
        let world = World::new();
        world.places("a/0.parquet", &[]);
        world.pairs("b0.parquet", &[]);
        world.pairs("b1.parquet", &[]);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn program(&self, service: &str) -> Program {
        let plan = self.catalog.plan(service).unwrap();
        let plugin = |digest: &Digest| self.plugins.iter().find(|p| p.digest() == digest).cloned();
        Program::bind(&plan, &plugin).unwrap()
    }

    pub(crate) fn places(&self, name: &str, rows: &[PlaceRow]) {
        write(&self.path(name), &place_columns(rows));
    }

    pub(crate) fn pairs(&self, name: &str, rows: &[PairRow]) {
        let mut l = ListBuilder::new(StringBuilder::new());
        for row in rows {
            l.append_option(row.l.as_ref().map(|l| l.iter().map(Some)));
        }
        let time = rows.iter().map(|row| row.time).collect::<Vec<_>>();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("k", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.k)))),
            ("l", Arc::new(l.finish())),
            ("time", Arc::new(TimestampMicrosecondArray::from(time))),
            ("n", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.n)))),
            ("u", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.u)))),
        ];
        write(&self.path(name), &columns);
    }

    pub(crate) fn spine(&self, name: &str, rows: &[SpineRow]) {
        write(&self.path(name), &spine_columns(rows));
    }

    /// Backfills service `service` over `spine*.parquet` into `out.parquet`.
    pub(crate) fn backfill(
        &self,
        service: &str,
        options: BackfillOptions,
    ) -> Result<BackfillReport, OfflineError> {
        self.watched(service, options, Arc::new(Silent), CancelFlag::new())
    }

    pub(crate) fn watched(
        &self,
        service: &str,
        options: BackfillOptions,
        progress: Arc<dyn Progress>,
        cancel: CancelFlag,
    ) -> Result<BackfillReport, OfflineError> {
        let program = self.program(service);
        backfill(&BackfillRequest {
            catalog: &self.catalog,
            program: &program,
            engine: &self.engine,
            repo: self.dir.path(),
            spine: vec![self.path("spine*.parquet").display().to_string()],
            output: self.path("out.parquet"),
            options,
            progress,
            cancel,
        })
    }

    /// Backfills and reads the result back.
    pub(crate) fn answers(&self, service: &str, options: BackfillOptions) -> Features {
        let options = BackfillOptions { statuses: true, overwrite: true, ..options };
        self.backfill(service, options).unwrap();
        read_features(&self.path("out.parquet")).unwrap()
    }

    /// The names of everything in the folder, hidden files too.
    pub(crate) fn listing(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn place_columns(rows: &[PlaceRow]) -> Vec<(&'static str, ArrayRef)> {
    let mut e = FixedSizeListBuilder::new(Float32Builder::new(), 3);
    for row in rows {
        e.values().append_slice(&row.e.unwrap_or([9.0; 3]));
        e.append(row.e.is_some());
    }
    let times = |of: fn(&PlaceRow) -> Option<i64>| {
        TimestampMicrosecondArray::from(rows.iter().map(of).collect::<Vec<_>>())
    };
    vec![
        ("unused", Arc::new(Int32Array::from(vec![1; rows.len()]))),
        ("created", Arc::new(times(|row| row.created).with_timezone("UTC"))),
        ("time", Arc::new(times(|row| Some(row.time)).with_timezone("UTC"))),
        ("place", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.place)))),
        ("deleted", Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.deleted)))),
        ("f", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.f)))),
        ("s", Arc::new(StringArray::from_iter(rows.iter().map(|row| row.s.as_ref())))),
        ("e", Arc::new(e.finish())),
    ]
}

pub(crate) fn spine_columns(rows: &[SpineRow]) -> Vec<(&'static str, ArrayRef)> {
    let text = |of: fn(&SpineRow) -> Option<&String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(rows.iter().map(of)))
    };
    let t = rows.iter().map(|row| (row.t != NO_TIME).then_some(row.t)).collect::<Vec<_>>();
    vec![
        ("label", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.label)))),
        ("place", text(|row| row.place.as_ref())),
        ("dest", text(|row| row.dest.as_ref())),
        ("event_timestamp", Arc::new(TimestampMicrosecondArray::from(t).with_timezone("UTC"))),
        ("u", Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.u)))),
        ("k", text(|row| row.k.as_ref())),
        ("r", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.r)))),
        ("must", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.r)))),
    ]
}

/// Writes columns in small row groups.
pub(crate) fn write(path: &Path, columns: &[(&str, ArrayRef)]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.iter().map(|(name, array)| (*name, array.clone(), true)),
    )
    .unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(50_000)).build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Small, seeded, the same everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize].clone()
    }
}

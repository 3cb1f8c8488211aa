//! F2: a read of the store into a frame, over RocksDB's own get of the same rows; not ingest, not disks, as
//! everything fits the block cache, and not hot rows, which are `hot.rs`'s.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DataBlockIndexType, Options};
use skewless_batch::{Column, Type};
use skewless_catalog::visibility::Rule;
use skewless_catalog::{Frame, KeyColumn, Lookup, Plan, Slot, ViewId};
use skewless_store::{CommitMode, ReadScratch, Rows, Store, StoreConfig, ViewSchema, ViewSet, key};

use crate::report::{Goal, Line, Table};
use crate::rounds::per_call;

const ROWS: u64 = 50_000;
pub(crate) const NOW_US: i64 = 1_000_000;
const KEYS: [usize; 4] = [1, 10, 100, 500];
const WIDTHS: [usize; 2] = [10, 100];

pub(crate) fn measure(rounds: usize) -> Result<Vec<Table>> {
    let mut lines = Vec::new();
    for width in WIDTHS {
        let folder = tempfile::tempdir()?;
        let (ours, raw) = (folder.path().join("ours"), folder.path().join("raw"));
        load(&ours, width, ROWS)?;
        copy(&ours, &raw)?;
        let raw = Raw::open(&raw)?;
        let mut read = Reader::open(&ours, width, 0)?;
        for keys in KEYS {
            lines.extend(compare(rounds, &raw, &mut read, width, keys)?);
        }
    }
    let method = format!(
        "Floor: `rocksdb` with the same options over a copy of the same files, for each key the encoding of the key and one \
         `get_pinned_cf` (or, for all keys, one `batched_multi_get_cf`), no snapshot, nothing decoded. Ours: `Store::read` into \
         a frame: one snapshot, the visibility rule, a typed column and a status per feature. {ROWS} rows with an int64 key, \
         keys uniform, all in the block cache, no hot rows, no writes. Times are per key."
    );
    let heads = ["raw RocksDB", "store.read"];
    Ok(vec![Table { title: "F2: the store over raw RocksDB", method, heads, ratios: true, lines }])
}

fn compare(
    rounds: usize,
    raw: &Raw,
    read: &mut Reader,
    width: usize,
    keys: usize,
) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (batched, how) in [(false, "get_pinned"), (true, "multi_get")] {
        let (mut left, mut right) = (Draw::of(0, ROWS), Draw::of(0, ROWS));
        let mut buffers = Buffers::default();
        let pair = per_call(
            rounds,
            || raw.get(&mut left, keys, batched, &mut buffers),
            || read.read(&mut right, keys),
        )?;
        let pair = pair.divided(keys as f64);
        let line = Line::new(format!("{width} float64 a row, {keys} by {how}"), "ns", pair);
        lines.push(if batched { line } else { line.goal(Goal::RatioAtMost(1.3)) });
        if keys == 1 {
            break; // a batch of one is no floor: it is slower
        }
    }
    Ok(lines)
}

/// A fixed sequence of keys: the same for both.
pub(crate) struct Draw {
    state: u64,
    from: u64,
    keys: u64,
}

impl Draw {
    /// From so many keys, the first of which is `from`.
    pub(crate) fn of(from: u64, keys: u64) -> Self {
        Self { state: 1, from, keys }
    }

    pub(crate) fn next(&mut self) -> i64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.from + (self.state >> 33) % self.keys) as i64
    }
}

pub(crate) struct Reader {
    pub(crate) store: Arc<Store>,
    pub(crate) views: ViewSet,
    bound: skewless_store::StorePlan,
    frame: Frame,
    scratch: ReadScratch,
}

impl Reader {
    pub(crate) fn open(dir: &Path, width: usize, hot_bytes: usize) -> Result<Self> {
        let (store, _) = Store::open(dir, StoreConfig { hot_bytes, ..StoreConfig::default() })?;
        let plan = plan(width);
        let views = store.set_schemas(vec![schema(width)])?;
        let bound = views.bind(&plan)?;
        let (frame, scratch) = (Frame::new(&plan), ReadScratch::default());
        let store = Arc::new(store);
        Ok(Self { store, views, bound, frame, scratch })
    }

    pub(crate) fn read(&mut self, draw: &mut Draw, keys: usize) -> Result<()> {
        self.read_keys((0..keys).map(|_| draw.next()))
    }

    pub(crate) fn read_keys(&mut self, keys: impl ExactSizeIterator<Item = i64>) -> Result<()> {
        self.frame.reset(keys.len());
        keys.for_each(|key| self.frame.keys[0].push_i64(key));
        self.store.read(&self.bound, NOW_US, &mut self.frame, &mut self.scratch)?;
        black_box(&self.frame);
        Ok(())
    }
}

pub(crate) struct Raw {
    db: DB,
    family: String,
}

pub(crate) struct Buffers {
    column: Column,
    keys: Vec<Vec<u8>>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { column: Column::new(Type::Int64), keys: Vec::new() }
    }
}

impl Raw {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let mut table = BlockBasedOptions::default();
        let bytes = StoreConfig::default().cache_bytes;
        table.set_block_cache(&Cache::new_hyper_clock_cache(bytes, 0));
        table.set_bloom_filter(10.0, false);
        table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        table.set_data_block_hash_ratio(0.75);
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        let names = DB::list_cf(&Options::default(), dir)?;
        let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
        let db = DB::open_cf_descriptors(&Options::default(), dir, families)?;
        let family = names.iter().find(|name| name.starts_with("rows/v/"));
        let family = family.context("expected a column family of rows")?.clone();
        Ok(Self { db, family })
    }

    pub(crate) fn get(
        &self,
        draw: &mut Draw,
        keys: usize,
        batched: bool,
        buffers: &mut Buffers,
    ) -> Result<()> {
        let family = self.db.cf_handle(&self.family).context("expected a column family of rows")?;
        let Buffers { column, keys: bytes } = buffers;
        column.clear();
        bytes.resize_with(keys, Vec::new);
        for (row, bytes) in bytes.iter_mut().enumerate() {
            column.push_i64(draw.next());
            bytes.clear();
            key::encode([&*column], row, bytes);
            if !batched {
                black_box(self.db.get_pinned_cf(&family, &*bytes)?.map(|found| found.len()));
            }
        }
        if batched {
            for found in self.db.batched_multi_get_cf(&family, &*bytes, false) {
                black_box(found?.map(|found| found.len()));
            }
        }
        Ok(())
    }
}

fn schema(width: usize) -> ViewSchema {
    let features = (0..width).map(|at| (format!("f{at}"), Type::Float64)).collect();
    let (name, entity) = ("v".to_owned(), "thing".to_owned());
    let keys = vec![("id".to_owned(), Type::Int64)];
    ViewSchema { name, entity, keys, features, rule: Rule::default() }
}

fn plan(width: usize) -> Plan {
    Plan {
        keys: vec![KeyColumn { name: "key".to_owned(), ty: Type::Int64 }],
        slots: schema(width).features.into_iter().map(|(name, ty)| Slot { name, ty }).collect(),
        lookups: vec![Lookup {
            view: ViewId(0),
            view_name: "v".to_owned(),
            role: None,
            keys: vec![0],
            features: (0..width).map(|at| (at, at)).collect(),
        }],
        ..Plan::default()
    }
}

pub(crate) fn load(dir: &Path, width: usize, rows: u64) -> Result<()> {
    let (store, _) = Store::open(dir, StoreConfig::default())?;
    let views = store.set_schemas(vec![schema(width)])?;
    let mut loader = store.stage(views.by_name("v")?, NOW_US)?;
    let keys: Vec<_> = (0..rows as i64).collect();
    for chunk in keys.chunks(10_000) {
        loader.push(&rows_of(chunk, width, 1))?;
    }
    store.commit(loader, CommitMode::Replace, NOW_US)?;
    store.flush()?;
    Ok(())
}

/// A row for each key, all of one event time.
pub(crate) fn rows_of(keys: &[i64], width: usize, event_us: i64) -> Rows {
    let mut key = Column::new(Type::Int64);
    keys.iter().for_each(|of| key.push_i64(*of));
    let mut features: Vec<_> = (0..width).map(|_| Column::new(Type::Float64)).collect();
    for (at, column) in features.iter_mut().enumerate() {
        keys.iter().for_each(|of| column.push_f64(*of as f64 + at as f64));
    }
    let (times, deleted) = (vec![event_us; keys.len()], vec![false; keys.len()]);
    Rows { keys: vec![key], event_us: times.clone(), known_us: times, deleted, features }
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

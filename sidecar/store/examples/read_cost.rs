//! Measures a read of 1, 10 and 100 keys against raw RocksDB over the same files; not a test.
//!
//!     cargo run --release -p skewless-store --example read_cost [rows]
//!
//! One view of twelve float64 features (100 bytes), loaded in bulk, all in the block cache; keys are drawn
//! by a fixed generator. "raw" is RocksDB with the same options: a loop of `get_pinned_cf`, and for many
//! keys `batched_multi_get_cf`, no snapshot, nothing decoded. "hot" has all rows hot, or a thousand of them;
//! "view" asks for no feature, so that finding the row is all there is. Prints the median and the best of
//! the slices.

use std::error::Error;
use std::time::Instant;

use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DataBlockIndexType, Options};
use skewless_batch::{Column, Type};
use skewless_catalog::visibility::Rule;
use skewless_catalog::{Frame, KeyColumn, Lookup, Plan, Slot, ViewId};
use skewless_store::{CommitMode, ReadScratch, Rows, Store, StoreConfig, ViewSchema, key};

const FEATURES: usize = 12;
const SLICES: usize = 9;
const HOT_BYTES: usize = 512 << 20;
const NOW_US: i64 = 1_000_000;

/// A fixed sequence of keys: the same for every way of reading.
struct Draw {
    state: u64,
    rows: u64,
}

impl Draw {
    fn next(&mut self) -> i64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.state >> 33) % self.rows) as i64
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let rows: u64 = std::env::args().nth(1).map_or(Ok(200_000), |rows| rows.parse())?;
    let dir = std::env::temp_dir().join(format!("skewless-read-cost-{}", std::process::id()));
    let plan = load(&dir, rows)?;
    println!(
        "{rows} rows of {FEATURES} float64; nanoseconds a key: median (best) of {SLICES} slices"
    );
    let view = without_features(plan.clone());
    for keys in [1, 10, 100] {
        let figure = |plan: &Plan, hot_bytes, from: u64, rows| {
            ours(&dir, plan, hot_bytes, from, rows, keys).map(line)
        };
        println!("{keys:>4} keys");
        println!("  raw get_pinned {}", line(raw(&dir, rows, keys, false)?));
        println!("  raw multi_get {}", line(raw(&dir, rows, keys, true)?));
        println!("  store {}, view {}", figure(&plan, 0, 0, rows)?, figure(&view, 0, 0, rows)?);
        for (what, from, rows) in
            [("hot", 0, rows), ("hot 1,000", 0, 1_000), ("absent 1,000", rows, 1_000)]
        {
            println!(
                "  {what} {}, view {}",
                figure(&plan, HOT_BYTES, from, rows)?,
                figure(&view, HOT_BYTES, from, rows)?
            );
        }
        println!("  absent, each once {}", figure(&plan, HOT_BYTES, rows, 1 << 40)?);
        println!("  absent, hot rows off {}", figure(&plan, 0, rows, 1 << 40)?);
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// The same lookups for none of their features.
fn without_features(mut plan: Plan) -> Plan {
    plan.slots.clear();
    plan.lookups.iter_mut().for_each(|lookup| lookup.features.clear());
    plan
}

fn line((median, best): (u128, u128)) -> String {
    format!("{median} ({best})")
}

fn schema() -> ViewSchema {
    let features = (0..FEATURES).map(|at| (format!("f{at}"), Type::Float64)).collect();
    ViewSchema { name: "v".to_owned(), keys: vec![Type::Int64], features, rule: Rule::default() }
}

fn load(dir: &std::path::Path, rows: u64) -> Result<Plan, Box<dyn Error>> {
    let (store, _) = Store::open(dir, StoreConfig::default())?;
    let views = store.set_schemas(vec![schema()])?;
    let view = views.by_name("v")?;
    let mut loader = store.stage(view, NOW_US)?;
    let keys: Vec<_> = (0..rows as i64).collect();
    for chunk in keys.chunks(10_000) {
        let mut key = Column::new(Type::Int64);
        chunk.iter().for_each(|of| key.push_i64(*of));
        let mut features: Vec<_> = (0..FEATURES).map(|_| Column::new(Type::Float64)).collect();
        for (at, column) in features.iter_mut().enumerate() {
            chunk.iter().for_each(|of| column.push_f64(*of as f64 + at as f64));
        }
        let (times, deleted) = (vec![1; chunk.len()], vec![false; chunk.len()]);
        loader.push(&Rows {
            keys: vec![key],
            event_us: times.clone(),
            known_us: times,
            deleted,
            features,
        })?;
    }
    store.commit(loader, CommitMode::Replace, NOW_US)?;
    store.flush()?;
    let mut plan = Plan::default();
    plan.keys.push(KeyColumn { name: "key".to_owned(), ty: Type::Int64 });
    plan.slots = schema().features.into_iter().map(|(name, ty)| Slot { name, ty }).collect();
    plan.lookups.push(Lookup {
        view: ViewId(0),
        view_name: "v".to_owned(),
        role: None,
        keys: vec![0],
        features: (0..FEATURES).map(|at| (at, at)).collect(),
    });
    Ok(plan)
}

fn ours(
    dir: &std::path::Path,
    plan: &Plan,
    hot_bytes: usize,
    from: u64,
    rows: u64,
    keys: usize,
) -> Result<(u128, u128), Box<dyn Error>> {
    let (store, _) = Store::open(dir, StoreConfig { hot_bytes, ..StoreConfig::default() })?;
    let bound = store.set_schemas(vec![schema()])?.bind(plan)?;
    let (mut frame, mut scratch) = (Frame::new(plan), ReadScratch::default());
    let mut draw = Draw { state: 1, rows };
    let from = from as i64;
    // Hot if they can be: every row once, in both block cache and hot rows.
    for start in (0..if rows < 1 << 40 { rows } else { 0 }).step_by(1_000) {
        frame.reset(1_000);
        (0..1_000).for_each(|at| frame.keys[0].push_i64(from + start as i64 + at));
        store.read(&bound, NOW_US, &mut frame, &mut scratch)?;
    }
    slices(keys, || {
        frame.reset(keys);
        (0..keys).for_each(|_| frame.keys[0].push_i64(from + draw.next()));
        store.read(&bound, NOW_US, &mut frame, &mut scratch)?;
        Ok(())
    })
}

fn raw(
    dir: &std::path::Path,
    rows: u64,
    keys: usize,
    batched: bool,
) -> Result<(u128, u128), Box<dyn Error>> {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_hyper_clock_cache(StoreConfig::default().cache_bytes, 0));
    table.set_bloom_filter(10.0, false);
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    table.set_data_block_hash_ratio(0.75);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    let names = DB::list_cf(&Options::default(), dir)?;
    let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
    let db = DB::open_cf_descriptors(&Options::default(), dir, families)?;
    let name = names.iter().find(|name| name.starts_with("rows/v/")).ok_or("no rows")?;
    let family = db.cf_handle(name).ok_or("no rows")?;
    let mut draw = Draw { state: 1, rows };
    let (mut column, mut bytes) = (Column::new(Type::Int64), vec![Vec::new(); keys]);
    slices(keys, || {
        column.clear();
        for (row, bytes) in bytes.iter_mut().enumerate() {
            column.push_i64(draw.next());
            bytes.clear();
            key::encode([&column], row, bytes);
        }
        if batched {
            for found in db.batched_multi_get_cf(&family, &bytes, false) {
                std::hint::black_box(found?.ok_or("absent")?.len());
            }
        } else {
            for key in &bytes {
                std::hint::black_box(db.get_pinned_cf(&family, key)?.ok_or("absent")?.len());
            }
        }
        Ok(())
    })
}

/// Nanoseconds a key, median and best of the slices, after one slice to warm up.
fn slices(
    keys: usize,
    mut call: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<(u128, u128), Box<dyn Error>> {
    let calls = 200_000 / keys;
    let mut found = Vec::new();
    for _ in 0..=SLICES {
        let start = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        found.push(start.elapsed().as_nanos() / (calls * keys) as u128);
    }
    let mut measured = found.split_off(1);
    measured.sort_unstable();
    Ok((measured[SLICES / 2], measured[0]))
}

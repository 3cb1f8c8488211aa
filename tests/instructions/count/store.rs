//! A read of one view through `Store::read`, RocksDB included; not writes, not disks: every block is cached.

use std::hint::black_box;

use anyhow::{Result, ensure};
use skewless_catalog::{Frame, Status};
use skewless_store::{ReadScratch, Store, StoreConfig};

use crate::fixtures::{FIRST_KEY, Fixtures, NOW_US, ROWS};
use crate::one_view::{plan, schema};
use crate::paths::Work;

/// Enough for all rows, and no more than RocksDB would touch under Valgrind.
const CACHE_BYTES: usize = 32 << 20;

pub(crate) fn config() -> StoreConfig {
    StoreConfig { cache_bytes: CACHE_BYTES, ..StoreConfig::default() }
}

/// So many keys at once, others with every call.
pub(crate) fn read(fixtures: &Fixtures, width: usize, keys: usize) -> Result<Work> {
    let (store, _) = Store::open(fixtures.store(width), config())?;
    let plan = plan(width);
    let bound = store.set_schemas(vec![schema(width)])?.bind(&plan)?;
    let (mut frame, mut scratch) = (Frame::new(&plan), ReadScratch::default());
    let mut read = move |from: usize, step: usize, keys: usize| -> Result<()> {
        frame.reset(keys);
        let key = |at: usize| FIRST_KEY + ((from + at * step) % ROWS) as i64;
        (0..keys).for_each(|at| frame.keys[0].push_i64(key(at)));
        store.read(&bound, NOW_US, &mut frame, &mut scratch)?;
        ensure!(frame.slots[width - 1].status.all(Status::Present));
        black_box(&frame);
        Ok(())
    };
    // Every block into the cache.
    (0..ROWS).step_by(100).try_for_each(|from| read(from, 1, 100))?;
    let mut from = 0;
    Ok(Box::new(move || {
        from += 211;
        read(from, 17, keys)
    }))
}

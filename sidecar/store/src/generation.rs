//! A generation's number and its two column families: made, found, dropped; not what is in them, and not which one
//! readers use (`live.rs`).

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use rocksdb::WriteBatch;

use crate::apply::publish;
use crate::error::{RELOAD, StoreError};
use crate::live::{Db, Family, Generation, Live, Shared};
use crate::meta::{Meta, rows_family, wait_family};
use crate::options;

/// Takes a generation's number, durably, before anything is made under it: no other generation ever has it. If the
/// write that points at this one fails, the log may hold it all the same, and the next open goes by it.
///
/// The sync is of the whole log. And where writes are refused, nothing further is tried.
pub(crate) fn claim(shared: &Shared, live: &Live) -> Result<u64, StoreError> {
    let meta = Meta { db: &live.db, family: &live.meta };
    let number = meta.next_generation()?;
    let mut batch = WriteBatch::default();
    meta.put_next(&mut batch, number + 1);
    shared.write(live, batch, &options::write_durably())?;
    publish(shared);
    Ok(number)
}

/// Creates the two column families of a generation; both are orphans until `meta` points at them.
pub(crate) fn create_generation(
    shared: &Shared,
    live: &Live,
    view: &str,
    number: u64,
    ttl_us: &Arc<AtomicI64>,
) -> Result<Generation, StoreError> {
    let clock_us = shared.clock_us.clone();
    let rows = options::rows(&shared.config, &shared.cache, ttl_us.clone(), clock_us);
    let wait = options::family(&shared.config, &shared.cache);
    for (name, options) in [(rows_family(view, number), rows), (wait_family(view, number), wait)] {
        live.db.create_cf(&name, &options).map_err(|error| shared.broke(error))?;
    }
    find_generation(shared, &live.db, view, number)
}

pub(crate) fn find_generation(
    shared: &Shared,
    db: &Arc<Db>,
    view: &str,
    number: u64,
) -> Result<Generation, StoreError> {
    let family = |name: String| {
        Family::find(db, &name).ok_or_else(|| StoreError::Corrupt {
            dir: shared.dir.clone(),
            file: "the store's manifest".to_owned(),
            detail: format!("column family {name} of view `{view}` is missing"),
            advice: RELOAD,
        })
    };
    let rows = family(rows_family(view, number))?;
    let wait = family(wait_family(view, number))?;
    Ok(Generation { number, rows, wait, hot: shared.hot.next_generation() })
}

/// Gives a generation's disk space back once its last reader is gone.
pub(crate) fn drop_generation(shared: &Shared, live: &Live, view: &str, number: u64) {
    for name in [rows_family(view, number), wait_family(view, number)] {
        // One that was refused half-way may not have it.
        if live.db.cf_handle(&name).is_none() {
            continue;
        }
        if let Err(error) = live.db.drop_cf(&name) {
            let error = shared.broke(error);
            // It stays as an orphan and is dropped at the next open.
            tracing::warn!(dir = %shared.dir.display(), %name, %error, "generation not dropped");
        }
    }
}

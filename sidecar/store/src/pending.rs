//! Rows whose due time has not come: how they are keyed and found; not when they are promoted, which
//! is the apply thread's (`apply.rs`) and the reader's (`read.rs`) to agree.
//!
//! Key: due time (8 bytes), entity key, event time (8), known time (8), all ordered; value: the row. So
//! a scan gives what is due next, and the same row sent twice waits once.
//!
//! `Shared::next_due_us` is never later than the due time of a waiting row: it is lowered before such
//! a row is written, and raised only after all that was due has been written to the rows.

use rocksdb::{Direction, IteratorMode};

use crate::config::{PROMOTE_BYTES_MAX, PROMOTE_ROWS_MAX};
use crate::error::{RELOAD, StoreError};
use crate::key::{from_ordered_i64, ordered_i64};
use crate::live::{Live, Shared};

/// No row waits.
pub(crate) const NEVER: i64 = i64::MAX;
const TIMES_BYTES: usize = 16;

/// A waiting row's key and the row.
pub(crate) type KeyAndRow = (Box<[u8]>, Box<[u8]>);

/// Waiting rows that are due.
#[derive(Default)]
pub(crate) struct Due {
    pub(crate) rows: Vec<KeyAndRow>,
    /// Whether a limit ended them: there may be more.
    pub(crate) more: bool,
}

/// A waiting row's key taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Waiting<'a> {
    pub(crate) due_us: i64,
    pub(crate) key: &'a [u8],
}

pub(crate) fn wait_key(due_us: i64, key: &[u8], event_us: i64, known_us: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + key.len() + TIMES_BYTES);
    out.extend_from_slice(&ordered_i64(due_us));
    out.extend_from_slice(key);
    out.extend_from_slice(&ordered_i64(event_us));
    out.extend_from_slice(&ordered_i64(known_us));
    out
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Waiting<'_>> {
    let (due, rest) = bytes.split_first_chunk::<8>()?;
    let key = rest.get(..rest.len().checked_sub(TIMES_BYTES)?)?;
    Some(Waiting { due_us: from_ordered_i64(*due), key })
}

/// The due time of the row that is due first, in all views; [`NEVER`] if none waits.
pub(crate) fn next_due_us(shared: &Shared, live: &Live) -> Result<i64, StoreError> {
    let mut next = NEVER;
    for (stored, generation) in live.views() {
        let mut scan = live.db.iterator_cf(&generation.wait.handle, IteratorMode::Start);
        if let Some(entry) = scan.next() {
            let (key, _) = entry.map_err(|error| shared.rocks(error))?;
            let waiting = parse(&key).ok_or_else(|| corrupt(shared, &stored.view))?;
            next = next.min(waiting.due_us);
        }
    }
    Ok(next)
}

/// Waiting rows of one view due at `t_us`, in order of their due time: as many as one batch takes.
pub(crate) fn due(
    shared: &Shared,
    live: &Live,
    index: usize,
    t_us: i64,
) -> Result<Due, StoreError> {
    let mut found = Due::default();
    let mut bytes = 0;
    let (Some(Some(stored)), Some(Some(generation))) =
        (live.stored.get(index), live.generations.get(index))
    else {
        return Ok(found);
    };
    let start = IteratorMode::From(&[], Direction::Forward);
    for entry in live.db.iterator_cf(&generation.wait.handle, start) {
        let (key, value) = entry.map_err(|error| shared.rocks(error))?;
        let waiting = parse(&key).ok_or_else(|| corrupt(shared, &stored.view))?;
        if waiting.due_us > t_us {
            break;
        }
        if found.rows.len() == PROMOTE_ROWS_MAX || bytes >= PROMOTE_BYTES_MAX {
            found.more = true;
            break;
        }
        bytes += key.len() + value.len();
        found.rows.push((key, value));
    }
    Ok(found)
}

pub(crate) fn corrupt(shared: &Shared, view: &str) -> StoreError {
    StoreError::Corrupt {
        dir: shared.dir.clone(),
        file: format!("a waiting row of view `{view}`"),
        detail: "its key is too short".to_owned(),
        advice: RELOAD,
    }
}

//! All lookups of one answer at one sequence; not which row wins, which was settled when it was written.
//!
//! A read pins the current generations and takes one RocksDB snapshot. It starts again if a swap came
//! between the two, if a waiting row fell due (it is promoted first), or if a row it found is due only
//! after the time asked (it was applied since; the read then moves its time forward to it and
//! [`ReadScratch::as_of_us`] says so). What it gives is exactly what the rule gives at `as_of_us`.
//!
//! Cost: per key one encode into a reused buffer, one get, one copy of each value into its column. Nothing
//! is allocated per feature; per lookup RocksDB's batched get allocates its result vectors.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::Guard;
use rocksdb::ReadOptions;
use skewless_catalog::frame::EVENT_NONE_US;
use skewless_catalog::visibility::{Judged, Newest, Stamp};
use skewless_catalog::{Frame, Status};

use crate::apply::Applier;
use crate::config::READ_ATTEMPTS_MAX;
use crate::error::StoreError;
use crate::key;
use crate::live::{Live, Shared};
use crate::row::{Columns, Row, RowScratch};
use crate::views::{BoundLookup, StorePlan};
use crate::writes::corrupt_row;

/// From this many keys of one view on, one batched get is used. Measured as `./dev bench -- store` does: for one
/// key it is slower than a single get (3.1 us against 2.3 us), for ten about even, for a hundred 10 to 30 % faster.
const BATCH_KEYS_MIN: usize = 8;

/// Memory reused between the reads of one worker.
#[derive(Debug, Default)]
pub struct ReadScratch {
    keys: Vec<u8>,
    /// Per lookup and row where its key is in `keys`; empty for a null key.
    spans: Vec<(usize, usize)>,
    values: RowScratch,
    as_of_us: i64,
}

impl ReadScratch {
    /// The time the last read answers exactly, microseconds UTC: the time asked, or a little later if a
    /// newer row of a key that was read had been applied meanwhile.
    #[must_use]
    pub fn as_of_us(&self) -> i64 {
        self.as_of_us
    }
}

/// A moment in a lookup's life, for whoever has a clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookupPhase {
    /// Its rows are about to be looked for.
    Start,
    /// Its values are in the frame.
    End,
}

/// Fills every lookup of the plan; gives the sequence it was read at.
pub(crate) fn read(
    shared: &Shared,
    applier: &Applier,
    plan: &StorePlan,
    t_us: i64,
    frame: &mut Frame,
    scratch: &mut ReadScratch,
    moment: &mut dyn FnMut(usize, LookupPhase),
) -> Result<u64, StoreError> {
    check_frame(plan, frame)?;
    encode_keys(shared, plan, frame, scratch);
    let mut as_of_us = t_us;
    for _ in 0..READ_ATTEMPTS_MAX {
        let live = shared.live()?;
        let Some(pinned) = live.as_ref() else { continue };
        if shared.next_due_us.load(Ordering::SeqCst) <= as_of_us {
            // Not while pinning, which would make a reopening wait for us.
            drop(live);
            applier.promote(as_of_us)?;
            continue;
        }
        let snapshot = pinned.db.snapshot();
        let same = shared.live.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, pinned));
        if !same || shared.next_due_us.load(Ordering::SeqCst) <= as_of_us {
            continue;
        }
        let mut options = ReadOptions::default();
        options.set_snapshot(&snapshot);
        let mut pass =
            Pass { shared, live: &live, options, as_of_us, ahead_us: as_of_us, bytes: 0 };
        for (index, lookup) in plan.lookups.iter().enumerate() {
            moment(index, LookupPhase::Start);
            pass.lookup(index, lookup, frame, scratch)?;
            moment(index, LookupPhase::End);
            if pass.ahead_us > t_us.saturating_add(shared.config.read_behind_us_max) {
                let view = lookup.view.name().to_owned();
                return Err(StoreError::ReadInThePast { view, t_us, least_us: pass.ahead_us });
            }
        }
        if pass.ahead_us == as_of_us {
            scratch.as_of_us = as_of_us;
            return Ok(snapshot.sequence_number());
        }
        as_of_us = pass.ahead_us;
    }
    Err(StoreError::Overtaken { attempts: READ_ATTEMPTS_MAX })
}

fn check_frame(plan: &StorePlan, frame: &Frame) -> Result<(), StoreError> {
    let counts = [
        ("join keys", plan.keys.len(), frame.keys.len()),
        ("slots", plan.slots.len(), frame.slots.len()),
        ("lookups", plan.lookups.len(), frame.lookups.len()),
    ];
    for (what, expected, came) in counts {
        if expected != came {
            return Err(StoreError::WrongFrame { what, expected, came });
        }
    }
    for (column, (name, ty)) in frame.keys.iter().zip(&plan.keys) {
        if column.len() != frame.rows {
            let (expected, came) = (frame.rows, column.len());
            return Err(StoreError::WrongFrame { what: "rows of join keys", expected, came });
        }
        if column.ty() != *ty {
            let (column, expected, came) = (format!("join key `{name}`"), *ty, column.ty());
            return Err(StoreError::WrongType { view: String::new(), column, expected, came });
        }
    }
    for lookup in &plan.lookups {
        for (place, slot) in &lookup.features {
            let came = frame.slots[*slot].column.ty();
            if came != place.ty {
                return Err(StoreError::WrongType {
                    view: lookup.view.name().to_owned(),
                    column: format!("slot {slot}"),
                    expected: place.ty,
                    came,
                });
            }
        }
    }
    Ok(())
}

/// Encodes every key once; a read that starts again uses them again.
fn encode_keys(shared: &Shared, plan: &StorePlan, frame: &Frame, scratch: &mut ReadScratch) {
    scratch.keys.clear();
    scratch.spans.clear();
    for lookup in &plan.lookups {
        for row in 0..frame.rows {
            let start = scratch.keys.len();
            let columns = lookup.keys.iter().map(|key| &frame.keys[*key]);
            key::encode(columns, row, &mut scratch.keys);
            // No row with such a key was ever accepted: it is looked for no further.
            if scratch.keys.len() - start > shared.config.key_bytes_max {
                scratch.keys.truncate(start);
            }
            scratch.spans.push((start, scratch.keys.len()));
        }
    }
}

/// One attempt at one snapshot.
struct Pass<'a> {
    shared: &'a Shared,
    live: &'a Guard<Option<Arc<Live>>>,
    options: ReadOptions,
    as_of_us: i64,
    /// The greatest due time of a row found, if it is after `as_of_us`.
    ahead_us: i64,
    /// Bytes of the rows found so far.
    bytes: usize,
}

impl Pass<'_> {
    fn lookup(
        &mut self,
        index: usize,
        lookup: &BoundLookup,
        frame: &mut Frame,
        scratch: &mut ReadScratch,
    ) -> Result<(), StoreError> {
        let Some(live) = self.live.as_ref() else {
            return Err(StoreError::Closed { dir: self.shared.dir.clone() });
        };
        frame.lookups[index].clear();
        for (_, slot) in &lookup.features {
            frame.slots[*slot].column.clear();
            frame.slots[*slot].status.clear();
        }
        let generation = live.generation(&lookup.view.slot)?;
        // After the snapshot: a row with a new column is written after the column is known.
        let columns = lookup.view.slot.columns.load();
        let ReadScratch { keys, spans, values, .. } = scratch;
        let spans = &spans[index * frame.rows..][..frame.rows];
        let rocks = |error| self.shared.rocks(error);
        if frame.rows < BATCH_KEYS_MIN {
            for &(start, end) in spans {
                let found = if start == end {
                    None
                } else {
                    let key = &keys[start..end];
                    live.db
                        .get_pinned_cf_opt(&generation.rows.handle, key, &self.options)
                        .map_err(rocks)?
                };
                self.row(index, lookup, &columns, found.as_deref(), frame, values)?;
            }
            return Ok(());
        }
        let asked = spans.iter().filter(|(start, end)| start != end);
        let asked = asked.map(|&(start, end)| &keys[start..end]);
        let found =
            live.db.batched_multi_get_cf_opt(&generation.rows.handle, asked, false, &self.options);
        let mut found = found.into_iter();
        for (start, end) in spans {
            let found = if start == end { None } else { found.next() };
            let found = found.transpose().map_err(|error| self.shared.rocks(error))?.flatten();
            self.row(index, lookup, &columns, found.as_deref(), frame, values)?;
        }
        Ok(())
    }

    /// Judges one row and pushes its values or their absence.
    fn row(
        &mut self,
        index: usize,
        lookup: &BoundLookup,
        columns: &Columns,
        bytes: Option<&[u8]>,
        frame: &mut Frame,
        values: &mut RowScratch,
    ) -> Result<(), StoreError> {
        self.bytes += bytes.map_or(0, <[u8]>::len);
        if self.bytes > self.shared.config.read_bytes_max {
            return Err(StoreError::OverLimit {
                name: "read_bytes_max",
                limit: self.shared.config.read_bytes_max as u64,
                came: self.bytes as u64,
                at: format!(" bytes of rows or more, in view `{}`", lookup.view.name()),
            });
        }
        let corrupt = |error| corrupt_row(self.shared, lookup.view.name(), &error);
        let row = bytes.map(|bytes| Row::parse(bytes, columns)).transpose().map_err(corrupt)?;
        let rule = &lookup.view.rule;
        if let Some(row) = &row {
            let stamp = Stamp { event_us: row.event_us, known_us: row.known_us, position: 0 };
            self.ahead_us = self.ahead_us.max(rule.due_us(&stamp));
        }
        let newest =
            row.as_ref().map(|row| Newest { event_us: row.event_us, deleted: row.deleted });
        let mut judged = rule.judge(newest, self.as_of_us);
        if row.as_ref().is_some_and(|row| row.husk) {
            // Its values are gone, even if the TTL was raised since.
            judged = Judged::OutsideMaxAge;
        }
        let event_us = match judged {
            Judged::NotFound => EVENT_NONE_US,
            _ => row.as_ref().map_or(EVENT_NONE_US, |row| row.event_us),
        };
        frame.lookups[index].push(event_us);
        for (place, slot) in &lookup.features {
            let slot = &mut frame.slots[*slot];
            match (&judged, &row) {
                (Judged::Visible, Some(row)) => {
                    let present =
                        row.push_into(place, &mut slot.column, values).map_err(corrupt)?;
                    slot.status.push(if present { Status::Present } else { Status::NullValue });
                }
                (Judged::OutsideMaxAge, _) => slot.push_absent(Status::OutsideMaxAge),
                _ => slot.push_absent(Status::NotFound),
            }
        }
        Ok(())
    }
}

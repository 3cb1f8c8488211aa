//! All lookups of one answer at one sequence; not which row wins, which was settled when it was written.
//!
//! A read pins the current generations and one state of the rows, which hot rows and RocksDB share
//! (`hot/state.rs`). It starts again if a swap came between the two, if a waiting row fell due (it is
//! promoted first), if the state went on before RocksDB was asked for a row that isn't hot, or if a row
//! it found is due only after the time asked (it was applied since; the read then moves its time forward
//! to it and [`ReadScratch::as_of_us`] says so). What it gives is exactly what the rule gives at `as_of_us`.
//!
//! Cost: per key one encode into a reused buffer, one look at the hot rows, for the others one get, and one
//! copy of each value into its column. Nothing is allocated per feature; per lookup RocksDB's batched get
//! allocates its result vectors.

use std::sync::atomic::Ordering;
use std::time::Duration;

use skewless_catalog::Frame;
use skewless_catalog::frame::EVENT_NONE_US;
use skewless_catalog::visibility::Judged;

use crate::config::{READ_ATTEMPTS_MAX, READ_WAIT};
use crate::error::StoreError;
use crate::hot::{self, Held, HotRow, HotScratch, Spot, State};
use crate::key;
use crate::live::{Generation, Live, Shared};
use crate::queue::Applier;
use crate::row::{Columns, Row, RowError, RowScratch};
use crate::values::{self, Seen};
use crate::views::{BoundLookup, StorePlan};
use crate::writes::corrupt_row;

/// From this many keys of one view on, one batched get is used. Measured as `./dev bench -- store` does: for one
/// key it is slower than a single get (3.1 us against 2.3 us), for ten about even, for a hundred 10 to 30 % faster.
const BATCH_KEYS_MIN: usize = 8;

/// Hot rows found before the first of them is decoded, so that their memory is waited for together. Of what
/// one thread holds at once, arc-swap has eight for nothing; the pinned pointers of the server are among them.
const HELD_AT_ONCE: usize = 6;

/// Rows of a batched get that are put into the frame together: enough that what is done a column counts for little,
/// few enough that rows of a hundred numbers stay in the nearest cache meanwhile.
const TURNED_AT_ONCE: usize = 16;

/// Memory reused between the reads of one worker.
#[derive(Debug)]
pub struct ReadScratch {
    keys: Vec<u8>,
    /// Per lookup and row where its key is in `keys`; empty for a null key.
    spans: Vec<(usize, usize)>,
    values: RowScratch,
    hot: HotScratch,
    as_of_us: i64,
    wait_max: Duration,
}

impl Default for ReadScratch {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            spans: Vec::new(),
            values: RowScratch::default(),
            hot: HotScratch::default(),
            as_of_us: 0,
            wait_max: READ_WAIT,
        }
    }
}

impl ReadScratch {
    /// The time the last read answers exactly, microseconds UTC: the time asked, or a little later if a
    /// newer row of a key that was read had been applied meanwhile.
    #[must_use]
    pub fn as_of_us(&self) -> i64 {
        self.as_of_us
    }

    /// Sets how long a read may wait for rows that fell due to be moved, for the reads after it; 10 s unless set.
    pub fn wait_at_most(&mut self, wait: Duration) {
        self.wait_max = wait;
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
    let mut overtaken = false;
    for _ in 0..READ_ATTEMPTS_MAX {
        let live = shared.live()?;
        let Some(pinned) = live.as_ref() else { continue };
        if shared.next_due_us.load(Ordering::SeqCst) <= as_of_us {
            // Not while pinning: it may have to wait, and old generations would stay as long.
            drop(live);
            applier.promote(as_of_us, scratch.wait_max)?;
            continue;
        }
        let state = match overtaken {
            true => State::of_snapshot(shared, pinned),
            false => State::newest(shared, pinned),
        };
        if !state.is_settled(shared, pinned, as_of_us) {
            continue;
        }
        let sequence = state.sequence();
        let mut pass = Pass::new(shared, pinned, state, as_of_us);
        overtaken = false;
        for (index, lookup) in plan.lookups.iter().enumerate() {
            moment(index, LookupPhase::Start);
            if !pass.lookup(index, lookup, frame, scratch)? {
                overtaken = true;
                break;
            }
            moment(index, LookupPhase::End);
            if pass.ahead_us > t_us.saturating_add(shared.config.read_behind_us_max) {
                let view = lookup.view.name().to_owned();
                return Err(StoreError::ReadInThePast { view, t_us, least_us: pass.ahead_us });
            }
        }
        shared.hot.count(pass.hits, pass.misses, &mut scratch.hot);
        if overtaken {
            continue;
        }
        if pass.ahead_us == as_of_us {
            scratch.as_of_us = as_of_us;
            return Ok(sequence);
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
    Ok(())
}

/// Empties a lookup's part of the frame: what an attempt that failed left there. Checks the slots' types on the way.
fn clear(index: usize, lookup: &BoundLookup, frame: &mut Frame) -> Result<(), StoreError> {
    frame.lookups[index].clear();
    for (place, at) in &lookup.features {
        let slot = &mut frame.slots[*at];
        if slot.column.ty() != place.ty {
            return Err(StoreError::WrongType {
                view: lookup.view.name().to_owned(),
                column: format!("slot {at}"),
                expected: place.ty,
                came: slot.column.ty(),
            });
        }
        // A frame that was just reset, as it nearly always was, is only looked at.
        if !slot.column.is_empty() || !slot.status.is_empty() {
            slot.column.clear();
            slot.status.clear();
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

/// What was found for a key.
enum Found<'a> {
    Nothing,
    /// In RocksDB.
    Stored(&'a [u8]),
    /// Among the hot rows, where it was put after it was checked.
    Hot(&'a [u8]),
}

impl<'a> Found<'a> {
    fn stored(bytes: Option<&'a [u8]>) -> Self {
        bytes.map_or(Self::Nothing, Self::Stored)
    }

    fn hot(bytes: Option<&'a [u8]>) -> Self {
        bytes.map_or(Self::Nothing, Self::Hot)
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Stored(bytes) | Self::Hot(bytes) => bytes.len(),
        }
    }

    fn parse(&self, columns: &Columns) -> Result<Option<Row<'a>>, RowError> {
        match self {
            Self::Nothing => Ok(None),
            Self::Stored(bytes) => Row::parse(bytes, columns).map(Some),
            Self::Hot(bytes) => Row::parse_checked(bytes, columns).map(Some),
        }
    }
}

/// One attempt at one state.
struct Pass<'a> {
    shared: &'a Shared,
    live: &'a Live,
    state: State<'a>,
    as_of_us: i64,
    /// The greatest due time of a row found, if it is after `as_of_us`.
    ahead_us: i64,
    /// Bytes of the rows found so far.
    bytes: usize,
    hits: u64,
    misses: u64,
}

/// One lookup of a pass: what all of its rows share.
struct Asked<'a> {
    index: usize,
    lookup: &'a BoundLookup,
    generation: &'a Generation,
    columns: &'a Columns,
    keys: &'a [u8],
    /// Per row where its key is; empty for none.
    spans: &'a [(usize, usize)],
    /// Per row its place among the hot rows; none if they are switched off.
    spots: &'a [Spot],
}

impl Asked<'_> {
    /// The key of a row; empty for none.
    fn key(&self, row: usize) -> &[u8] {
        let (start, end) = self.spans[row];
        &self.keys[start..end]
    }
}

impl<'a> Pass<'a> {
    fn new(shared: &'a Shared, live: &'a Live, state: State<'a>, as_of_us: i64) -> Self {
        let (ahead_us, bytes, hits, misses) = (as_of_us, 0, 0, 0);
        Self { shared, live, state, as_of_us, ahead_us, bytes, hits, misses }
    }

    /// Fills one lookup. `false`: the state has gone on, so that RocksDB can't be asked for it.
    fn lookup(
        &mut self,
        index: usize,
        lookup: &BoundLookup,
        frame: &mut Frame,
        scratch: &mut ReadScratch,
    ) -> Result<bool, StoreError> {
        clear(index, lookup, frame)?;
        let generation = self.live.generation(&lookup.view.stored)?;
        // After the state: a row with a new column is written after the column is known.
        let columns = lookup.view.stored.columns.load();
        let ReadScratch { keys, spans, values, hot, .. } = scratch;
        let spans = &spans[index * frame.rows..][..frame.rows];
        let mut spots = std::mem::take(&mut hot.spots);
        let all = spans.iter().map(|&(start, end)| &keys[start..end]);
        self.shared.hot.approach(generation.hot, all, &mut spots);
        let asked =
            Asked { index, lookup, generation, columns: &columns, keys, spans, spots: &spots };
        let hits = self.hot_rows(&asked, frame, values)?;
        let rest = frame.rows - hits;
        let done = if rest >= BATCH_KEYS_MIN {
            self.batched_rows(&asked, hits, frame, values, hot)?
        } else if rest > 0 {
            self.single_rows(&asked, hits, frame, values, hot)?
        } else {
            true
        };
        hot.spots = spots;
        Ok(done)
    }

    /// The hot row of a row's key, if it has one and hot rows may be used.
    fn find(&self, asked: &Asked<'_>, row: usize) -> Option<Held> {
        let key = asked.key(row);
        let spot = asked.spots.get(row).filter(|_| self.state.uses_hot() && !key.is_empty())?;
        self.shared.hot.find(*spot, (asked.generation.hot, key), self.state.sequence())
    }

    /// What is known of a row without RocksDB: its hot row, or that without a key there is nothing to find. `None`:
    /// RocksDB must be asked.
    fn known<'h>(
        &mut self,
        asked: &Asked<'_>,
        row: usize,
        held: Option<&'h HotRow>,
    ) -> Option<Found<'h>> {
        match held {
            Some(held) => {
                self.hits += 1;
                Some(Found::hot(hot::row(held)))
            }
            None => asked.key(row).is_empty().then_some(Found::Nothing),
        }
    }

    /// Fills rows from the hot ones, up to the first that isn't among them; gives how many.
    fn hot_rows(
        &mut self,
        asked: &Asked<'_>,
        frame: &mut Frame,
        values: &mut RowScratch,
    ) -> Result<usize, StoreError> {
        for first in (0..asked.spans.len()).step_by(HELD_AT_ONCE) {
            let rows = first..asked.spans.len().min(first + HELD_AT_ONCE);
            let held: [_; HELD_AT_ONCE] = std::array::from_fn(|at| {
                if rows.contains(&(first + at)) { self.find(asked, first + at) } else { None }
            });
            let mut seen = [Seen::NOTHING; HELD_AT_ONCE];
            let mut known = 0;
            for ((row, held), seen) in rows.clone().zip(&held).zip(&mut seen) {
                let held = held.as_ref().and_then(|held| held.as_ref());
                let Some(found) = self.known(asked, row, held) else { break };
                *seen = self.judge(asked, found, frame)?;
                known += 1;
            }
            self.push(asked, &seen[..known], frame, values)?;
            if known < rows.len() {
                return Ok(first + known);
            }
        }
        Ok(asked.spans.len())
    }

    /// Fills the rows from `first` on, each from the hot ones or by a get.
    fn single_rows(
        &mut self,
        asked: &Asked<'_>,
        first: usize,
        frame: &mut Frame,
        values: &mut RowScratch,
        hot: &mut HotScratch,
    ) -> Result<bool, StoreError> {
        for row in first..asked.spans.len() {
            let held = self.find(asked, row);
            let held = held.as_ref().and_then(|held| held.as_ref());
            if let Some(found) = self.known(asked, row, held) {
                self.row(asked, found, frame, values)?;
                continue;
            }
            let Some(options) = self.state.options() else { return Ok(false) };
            let family = &asked.generation.rows.handle;
            let found = self.live.db.get_pinned_cf_opt(family, asked.key(row), options);
            let found = found.map_err(|error| self.shared.rocks(error))?;
            self.stored(asked, row, found.as_deref(), frame, values, hot)?;
        }
        Ok(true)
    }

    /// Fills the rows from `first` on from the hot ones and by one batched get of those that aren't.
    fn batched_rows(
        &mut self,
        asked: &Asked<'_>,
        first: usize,
        frame: &mut Frame,
        values: &mut RowScratch,
        hot: &mut HotScratch,
    ) -> Result<bool, StoreError> {
        let rows = first..asked.spans.len();
        let mut held = std::mem::take(&mut hot.held);
        held.clear();
        held.extend(rows.clone().map(|row| self.find(asked, row)?.as_ref().cloned()));
        let Some(options) = self.state.options() else { return Ok(false) };
        // What RocksDB is asked for, in order: what `known` doesn't know.
        let missing = || {
            let rows = rows.clone().zip(&held);
            rows.filter(move |(row, held)| held.is_none() && !asked.key(*row).is_empty())
                .map(|(row, _)| row)
        };
        let keys = missing().map(|row| asked.key(row));
        let family = &asked.generation.rows.handle;
        let found = self.live.db.batched_multi_get_cf_opt(family, keys, false, options);
        let found: Vec<_> = found
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| self.shared.rocks(error))?;
        let mut gets = found.iter();
        let mut seen = [Seen::NOTHING; TURNED_AT_ONCE];
        for (at, held) in held.chunks(TURNED_AT_ONCE).enumerate() {
            let block = first + at * TURNED_AT_ONCE..;
            for ((row, held), seen) in block.zip(held).zip(&mut seen) {
                let found = self.known(asked, row, held.as_ref()).unwrap_or_else(|| {
                    self.misses += 1;
                    Found::stored(gets.next().and_then(|found| found.as_deref()))
                });
                *seen = self.judge(asked, found, frame)?;
            }
            self.push(asked, &seen[..held.len()], frame, values)?;
        }
        for (row, found) in missing().zip(&found) {
            self.keep(asked, row, found.as_deref(), hot);
        }
        held.clear();
        hot.held = held;
        Ok(true)
    }

    /// Fills a row with what RocksDB gave, and keeps that hot now that it was checked.
    fn stored(
        &mut self,
        asked: &Asked<'_>,
        row: usize,
        found: Option<&[u8]>,
        frame: &mut Frame,
        values: &mut RowScratch,
        hot: &mut HotScratch,
    ) -> Result<(), StoreError> {
        self.misses += 1;
        self.row(asked, Found::stored(found), frame, values)?;
        self.keep(asked, row, found, hot);
        Ok(())
    }

    /// Keeps what RocksDB gave hot, now that it was checked.
    fn keep(&self, asked: &Asked<'_>, row: usize, found: Option<&[u8]>, hot: &mut HotScratch) {
        if let Some(spot) = asked.spots.get(row) {
            let (key, sequence) = ((asked.generation.hot, asked.key(row)), self.state.sequence());
            self.shared.hot.fill(*spot, key, found, sequence, &mut hot.joined);
        }
    }

    /// Judges one row and pushes its values or their absence.
    fn row(
        &mut self,
        asked: &Asked<'_>,
        found: Found<'_>,
        frame: &mut Frame,
        values: &mut RowScratch,
    ) -> Result<(), StoreError> {
        let seen = self.judge(asked, found, frame)?;
        self.push(asked, &[seen], frame, values)
    }

    /// Checks and judges one row and notes its event time. Its values are still to be pushed.
    fn judge<'f>(
        &mut self,
        asked: &Asked<'_>,
        found: Found<'f>,
        frame: &mut Frame,
    ) -> Result<Seen<'f>, StoreError> {
        let &Asked { index, lookup, columns, .. } = asked;
        self.bytes += found.bytes();
        if self.bytes > self.shared.config.read_bytes_max {
            return Err(StoreError::OverLimit {
                name: "read_bytes_max",
                limit: self.shared.config.read_bytes_max as u64,
                came: self.bytes as u64,
                at: format!(" bytes of rows or more, in view `{}`", lookup.view.name()),
            });
        }
        let row = found.parse(columns);
        let row = row.map_err(|error| corrupt_row(self.shared, lookup.view.name(), &error))?;
        let rule = &lookup.view.rule;
        if let Some(row) = &row {
            self.ahead_us = self.ahead_us.max(rule.due_us(&row.stamp()));
        }
        let judged = rule.judge(row.as_ref().map(Row::newest), self.as_of_us);
        let event_us = match judged {
            Judged::NotFound => EVENT_NONE_US,
            _ => row.as_ref().map_or(EVENT_NONE_US, |row| row.event_us),
        };
        frame.lookups[index].push(event_us);
        // Without a row the rule gives nothing.
        Ok(row.map_or(Seen::NOTHING, |row| Seen { row, absent: judged.absent() }))
    }

    /// Pushes the values of rows that were judged, or their absence.
    fn push(
        &self,
        asked: &Asked<'_>,
        seen: &[Seen<'_>],
        frame: &mut Frame,
        values: &mut RowScratch,
    ) -> Result<(), StoreError> {
        let lookup = asked.lookup;
        values::push(&lookup.features, seen, &mut frame.slots, values)
            .map_err(|error| corrupt_row(self.shared, lookup.view.name(), &error))
    }
}

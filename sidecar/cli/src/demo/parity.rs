//! The proof: every row of the spine is asked of a live sidecar over gRPC, as of its own time, and every
//! byte is compared with the backfill's. Not a test double: the same server, store and engine as in
//! production, with a clock that is moved by hand.
//!
//! History is played in the order in which it became known. For each time that flights are scheduled at,
//! the clock is set, what became known since is ingested, and the features of those flights are asked. The year
//! is cut into as many parts as there are cores; each has its own store and sidecar, and plays the history before
//! its part first.
//!
//! Cost: one call per scheduled minute (127,000), each about 0.2 ms. Memory: the features of the year.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use skewless_batch::Column;
use skewless_catalog::{Plan, Status};
use skewless_offline::{CancelFlag, FeatureColumn, Features};
use skewless_proto::v1;
use skewless_server::wire;

use super::history::{History, pick};
use super::live::Live;
use crate::exit::{Failure, Outcome};
use crate::show;

/// Rows of one GetFeatures: below the sidecar's default `limits.rows_max`.
const ASK_ROWS: usize = 1_024;
/// Mismatches that are told in full.
const TOLD_MAX: usize = 10;

/// The spine in memory, by row.
pub(crate) struct Spine {
    pub(crate) times_us: Vec<i64>,
    /// Parallel to [`Plan::keys`].
    pub(crate) keys: Vec<Column>,
    /// Parallel to [`Plan::request`].
    pub(crate) request: Vec<Column>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) rows: u64,
    pub(crate) values: u64,
    pub(crate) calls: u64,
    pub(crate) mismatches: u64,
    /// The first of them, in words.
    pub(crate) told: Vec<String>,
}

impl Compared {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.values += other.values;
        self.calls += other.calls;
        self.mismatches += other.mismatches;
        self.told.extend(other.told);
        self.told.truncate(TOLD_MAX);
    }
}

/// What every part of the year shares.
pub(crate) struct Proof<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) spine: &'a Spine,
    pub(crate) histories: &'a [History],
    /// The backfill's answers, by spine row, with statuses.
    pub(crate) backfilled: &'a Features,
    pub(crate) cancel: &'a CancelFlag,
    /// Rows compared so far, for progress.
    pub(crate) done: &'a AtomicU64,
}

/// Cuts the spine's rows, ordered by time, into parts of about the same size; rows of one time stay together.
pub(crate) fn parts(times_us: &[i64], order: &[usize], count: usize) -> Vec<Range<usize>> {
    let mut cuts = vec![0];
    for part in 1..count {
        let mut cut = order.len() * part / count;
        while cut > 0 && cut < order.len() && times_us[order[cut]] == times_us[order[cut - 1]] {
            cut += 1;
        }
        cuts.push(cut);
    }
    cuts.push(order.len());
    cuts.windows(2).map(|pair| pair[0]..pair[1]).filter(|part| !part.is_empty()).collect()
}

impl Proof<'_> {
    /// Plays history and compares the spine rows `rows`, which are in order of time, against the sidecar.
    pub(crate) async fn play(&self, rows: &[usize], live: &mut Live) -> Outcome<Compared> {
        let mut compared = Compared::default();
        let mut played = vec![0; self.histories.len()];
        let mut at = 0;
        while at < rows.len() {
            if self.cancel.is_cancelled() {
                return Err(Failure::Interrupted);
            }
            let time_us = self.spine.times_us[rows[at]];
            let same = rows[at..].iter().take(ASK_ROWS);
            let same = same.take_while(|row| self.spine.times_us[**row] == time_us).count();
            live.clock.advance(time_us);
            for (history, played) in self.histories.iter().zip(&mut played) {
                history.play_until(time_us, played, live).await?;
            }
            let asked = &rows[at..at + same];
            let answer = live.ask(self.question(asked)).await?;
            compared.calls += 1;
            self.compare(asked, &answer, &mut compared)?;
            self.done.fetch_add(asked.len() as u64, Ordering::Relaxed);
            at += same;
        }
        Ok(compared)
    }

    fn question(&self, rows: &[usize]) -> v1::GetFeaturesRequest {
        let take = |name: &str, of: &Column| wire::column(name, &pick(of, rows));
        let keys = self.plan.keys.iter().zip(&self.spine.keys);
        let request = self.plan.request.iter().zip(&self.spine.request);
        v1::GetFeaturesRequest {
            wanted: Some(v1::get_features_request::Wanted::Service(self.plan.service.clone())),
            keys: keys.map(|(key, column)| take(&key.name, column)).collect(),
            request: request.map(|(field, column)| take(&field.name, column)).collect(),
            ..Default::default()
        }
    }

    /// Compares value by value: the canonical bytes (floats by their bits) and the status.
    fn compare(
        &self,
        rows: &[usize],
        answer: &v1::GetFeaturesResponse,
        compared: &mut Compared,
    ) -> Outcome {
        let (expected, came) = (self.backfilled.features.len(), answer.columns.len());
        if expected != came || answer.rows as usize != rows.len() {
            let message = format!(
                "expected {} rows of {expected} features from the sidecar, came {} of {came}",
                rows.len(),
                answer.rows
            );
            return Err(Failure::new(
                message,
                "was the repo changed while the demo ran? run it again",
            ));
        }
        compared.rows += rows.len() as u64;
        let (mut online, mut offline) = (Vec::new(), Vec::new());
        for (feature, answered) in self.backfilled.features.iter().zip(&answer.columns) {
            let message = answered.column.clone().unwrap_or_default();
            let mut column = Column::new(feature.column.ty());
            wire::decode_column(&message, rows.len(), &mut column)?;
            for (at, row) in rows.iter().enumerate() {
                online.clear();
                offline.clear();
                column.view().canonical_value_bytes(at, &mut online);
                feature.column.view().canonical_value_bytes(*row, &mut offline);
                let status = status_of(&answered.statuses, at);
                compared.values += 1;
                if online != offline
                    || status != offline_status(feature, *row)
                    || message.name != feature.name
                {
                    compared.mismatches += 1;
                    if compared.told.len() < TOLD_MAX {
                        compared.told.push(self.tell(feature, *row, &column, at, status));
                    }
                }
            }
        }
        Ok(())
    }

    /// A mismatch in words: which flight, which feature, both values.
    fn tell(
        &self,
        feature: &FeatureColumn,
        row: usize,
        online: &Column,
        at: usize,
        status: Option<Status>,
    ) -> String {
        let keys: Vec<String> = self
            .plan
            .keys
            .iter()
            .zip(&self.spine.keys)
            .map(|(key, column)| format!("{}={}", key.name, show::text(column.value(row))))
            .collect();
        let name = |status: Option<Status>| status.map_or("no status", Status::name);
        format!(
            "row {row} ({} at {}), {}: sidecar {} {}, backfill {} {}",
            keys.join(" "),
            show::time(self.spine.times_us[row]),
            feature.name,
            show::text(online.value(at)),
            name(status),
            show::text(feature.column.value(row)),
            name(offline_status(feature, row)),
        )
    }
}

/// Joins what the parts of the year found.
pub(crate) fn sum(parts: impl IntoIterator<Item = Compared>) -> Compared {
    parts.into_iter().fold(Compared::default(), |mut all, part| {
        all.add(part);
        all
    })
}

/// The status the sidecar gave; no statuses at all mean that every row is present.
fn status_of(statuses: &[u8], row: usize) -> Option<Status> {
    if statuses.is_empty() {
        Some(Status::Present)
    } else {
        statuses.get(row).and_then(|code| Status::from_u8(*code))
    }
}

/// The status the backfill wrote.
fn offline_status(feature: &FeatureColumn, row: usize) -> Option<Status> {
    feature.statuses.as_ref().and_then(|statuses| statuses.get(row).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_hold_every_row_once_and_keep_rows_of_one_time_together() {
        let times_us = [1, 1, 2, 2, 2, 2, 3, 4];
        let order: Vec<usize> = (0..times_us.len()).collect();
        for count in 1..6 {
            let parts = parts(&times_us, &order, count);
            let rows: Vec<usize> = parts.iter().cloned().flatten().collect();
            assert_eq!(rows, order);
            for pair in parts.windows(2) {
                assert_ne!(times_us[pair[0].end - 1], times_us[pair[1].start]);
            }
        }
        assert!(parts(&[], &[], 2).is_empty());
    }
}

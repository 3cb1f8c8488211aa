//! What became known when: a view's whole history in memory, and sent to a sidecar up to a time.

use std::path::Path;

use skewless_batch::Column;
use skewless_catalog::{Catalog, Plan, View};
use skewless_proto::v1;
use skewless_server::wire;

use super::live::Live;
use crate::exit::{Failure, Outcome};

/// Rows of one Ingest: below the sidecar's default `limits.ingest_rows_max`.
const INGEST_ROWS: usize = 8_192;

/// A view's history in memory, by the time it became known.
pub(crate) struct History {
    view: String,
    key_names: Vec<String>,
    feature_names: Vec<String>,
    keys: Vec<Column>,
    features: Vec<Column>,
    event_us: Vec<i64>,
    known_us: Vec<i64>,
    /// Rows of the files, ordered by when they became known; rows of one instant keep their order.
    order: Vec<usize>,
}

/// Reads the histories of the views that a plan looks up.
pub(crate) fn histories(catalog: &Catalog, plan: &Plan, repo: &Path) -> Outcome<Vec<History>> {
    let mut names: Vec<&str> =
        plan.lookups.iter().map(|lookup| lookup.view_name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .iter()
        .filter_map(|name| catalog.view(name))
        .map(|view| History::read(view, repo))
        .collect()
}

impl History {
    fn read(view: &View, repo: &Path) -> Outcome<Self> {
        let Some(source) = &view.source else {
            let message = format!("view {} has no source", view.name);
            return Err(Failure::new(message, "the demo's repo must name its files"));
        };
        let named = |name: &String, ty| (name.clone(), ty);
        let mut columns: Vec<_> = view.keys.iter().map(|key| named(&key.name, key.ty)).collect();
        columns.extend(view.features.iter().map(|feature| named(&feature.name, feature.ty)));
        let times = columns.len();
        columns.push(named(&source.event_timestamp, skewless_batch::Type::Timestamp));
        columns.extend(
            source
                .created_timestamp
                .as_ref()
                .map(|name| named(name, skewless_batch::Type::Timestamp)),
        );
        let mut read = Vec::new();
        for file in skewless_offline::expand(repo, &source.paths)? {
            let part = skewless_offline::read_columns(&file.path, &columns)?;
            if read.is_empty() {
                read = part;
            } else {
                read.iter_mut().zip(&part).for_each(|(all, part): (&mut Column, _)| {
                    all.append(&part.view(), 0..part.len())
                });
            }
        }
        let instants = |column: &Column| {
            (0..column.len()).map(|row| column.view().timestamp_at(row)).collect()
        };
        let event_us: Vec<i64> = instants(&read[times]);
        let known_us: Vec<i64> = read.get(times + 1).map_or_else(|| event_us.clone(), instants);
        let mut order: Vec<usize> = (0..known_us.len()).collect();
        order.sort_by_key(|row| known_us[*row]);
        read.truncate(times);
        let features = read.split_off(view.keys.len());
        Ok(Self {
            view: view.name.clone(),
            key_names: view.keys.iter().map(|key| key.name.clone()).collect(),
            feature_names: view.features.iter().map(|feature| feature.name.clone()).collect(),
            keys: read,
            features,
            event_us,
            known_us,
            order,
        })
    }

    /// Ingests what became known up to `time_us` and wasn't played yet.
    pub(crate) async fn play_until(
        &self,
        time_us: i64,
        played: &mut usize,
        live: &mut Live,
    ) -> Outcome {
        loop {
            let rest = &self.order[*played..];
            let due = rest
                .iter()
                .take(INGEST_ROWS)
                .take_while(|row| self.known_us[**row] <= time_us)
                .count();
            if due == 0 {
                return Ok(());
            }
            live.ingest(self.rows(&rest[..due])).await?;
            *played += due;
        }
    }

    fn rows(&self, rows: &[usize]) -> v1::IngestRequest {
        let take = |(name, column): (&String, &Column)| wire::column(name, &pick(column, rows));
        v1::IngestRequest {
            view: self.view.clone(),
            keys: self.key_names.iter().zip(&self.keys).map(take).collect(),
            event_us: rows.iter().map(|row| self.event_us[*row]).collect(),
            known_us: rows.iter().map(|row| self.known_us[*row]).collect(),
            features: self.feature_names.iter().zip(&self.features).map(take).collect(),
            ..Default::default()
        }
    }
}

/// The values of these rows.
pub(crate) fn pick(of: &Column, rows: &[usize]) -> Column {
    let mut picked = Column::with_capacity(of.ty(), rows.len());
    let view = of.view();
    rows.iter().for_each(|row| picked.push_from(&view, *row));
    picked
}

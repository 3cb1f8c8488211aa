//! Rows as a caller gives them, checked against every limit and encoded; not the writing of them.
//!
//! Runs on the caller's thread: the apply thread only compares and writes. A mistake in one row refuses
//! all of them, before anything is queued.

use std::ops::Range;

use skewless_batch::{Column, Value};
use skewless_catalog::visibility::{Stamp, check_time};

use crate::error::StoreError;
use crate::live::Shared;
use crate::views::ViewHandle;
use crate::{key, row};

/// Rows of one view as they come: columns of equal length.
#[derive(Debug)]
pub struct Rows {
    /// The key columns, in the view's key order; no nulls.
    pub keys: Vec<Column>,
    /// Event time of each row, microseconds UTC.
    pub event_us: Vec<i64>,
    /// Known time of each row (created or ingested), microseconds UTC.
    pub known_us: Vec<i64>,
    /// Whether each row is a tombstone; its features are ignored.
    pub deleted: Vec<bool>,
    /// The features, in the catalog's order for this view.
    pub features: Vec<Column>,
}

/// Rows encoded, checked against every limit.
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    rows: Vec<EncodedRow>,
}

pub(crate) struct EncodedRow {
    key: Range<usize>,
    row: Range<usize>,
    pub(crate) stamp: Stamp,
}

impl Encoded {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], &Stamp)> {
        let part = |range: &Range<usize>| &self.bytes[range.clone()];
        self.rows.iter().map(move |row| (part(&row.key), part(&row.row), &row.stamp))
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// Checks rows against the view and every limit and encodes them; nothing is queued yet.
pub(crate) fn encode(
    shared: &Shared,
    view: &ViewHandle,
    rows: &Rows,
) -> Result<Encoded, StoreError> {
    check_shape(shared, view, rows)?;
    let config = &shared.config;
    let columns = view.stored.columns.load();
    let mut features = vec![None; columns.list().len()];
    for (feature, place) in view.places.iter().enumerate() {
        features[place.column] = Some(feature);
    }
    let mut out = Encoded { bytes: Vec::new(), rows: Vec::with_capacity(rows.event_us.len()) };
    for row in 0..rows.event_us.len() {
        let event_us = in_time(view, Some(row), rows.event_us[row])?;
        let known_us = in_time(view, Some(row), rows.known_us[row])?;
        let start = out.bytes.len();
        if !key::encode(&rows.keys, row, &mut out.bytes) {
            return Err(StoreError::InvalidRows {
                view: view.name().to_owned(),
                row: Some(row),
                detail: "expected a key, came null".to_owned(),
            });
        }
        let middle = out.bytes.len();
        over("key_bytes_max", config.key_bytes_max, middle - start, view, row)?;
        if rows.deleted[row] {
            row::encode_deleted(event_us, known_us, &mut out.bytes);
        } else {
            let value = |column: usize| match features.get(column) {
                Some(Some(feature)) => rows.features[*feature].value(row),
                _ => Value::Null,
            };
            row::encode(&columns, event_us, known_us, value, &mut out.bytes);
        }
        let end = out.bytes.len();
        over("value_bytes_max", config.value_bytes_max, end - middle, view, row)?;
        over("batch_bytes_max", config.batch_bytes_max, end, view, row)?;
        let stamp = Stamp::arriving(event_us, known_us);
        out.rows.push(EncodedRow { key: start..middle, row: middle..end, stamp });
    }
    Ok(out)
}

fn check_shape(shared: &Shared, view: &ViewHandle, rows: &Rows) -> Result<(), StoreError> {
    let name = || view.name().to_owned();
    let count = rows.event_us.len();
    if count > shared.config.batch_rows_max {
        return Err(StoreError::OverLimit {
            name: "batch_rows_max",
            limit: shared.config.batch_rows_max as u64,
            came: count as u64,
            at: format!(" rows of view `{}`", view.name()),
        });
    }
    let wrong = |detail| Err(StoreError::InvalidRows { view: name(), row: None, detail });
    let (keys, features) = (view.keys(), view.features());
    if rows.keys.len() != keys.len() || rows.features.len() != features.len() {
        let (expected, came) =
            ((keys.len(), features.len()), (rows.keys.len(), rows.features.len()));
        return wrong(format!(
            "expected {} key and {} feature columns, came {} and {}",
            expected.0, expected.1, came.0, came.1
        ));
    }
    let lens = rows.keys.iter().chain(&rows.features).map(Column::len);
    let mut lens = lens.chain([rows.known_us.len(), rows.deleted.len()]);
    if let Some(came) = lens.find(|len| *len != count) {
        return wrong(format!("expected columns of {count} rows each, came one of {came}"));
    }
    let typed =
        keys.iter().enumerate().map(|(at, ty)| (format!("key column {at}"), *ty, &rows.keys[at]));
    let named = features.iter().zip(&rows.features);
    let named = named.map(|((name, ty), column)| (format!("feature `{name}`"), *ty, column));
    for (column, expected, found) in typed.chain(named) {
        if found.ty() != expected {
            return Err(StoreError::WrongType { view: name(), column, expected, came: found.ty() });
        }
    }
    Ok(())
}

fn over(
    name: &'static str,
    limit: usize,
    came: usize,
    view: &ViewHandle,
    row: usize,
) -> Result<(), StoreError> {
    if came <= limit {
        return Ok(());
    }
    let at = format!(" bytes in view `{}`, row {row}", view.name());
    Err(StoreError::OverLimit { name, limit: limit as u64, came: came as u64, at })
}

pub(crate) fn in_time(view: &ViewHandle, row: Option<usize>, us: i64) -> Result<i64, StoreError> {
    check_time(us).map_err(|error| StoreError::InvalidRows {
        view: view.name().to_owned(),
        row,
        detail: error.to_string(),
    })
}

//! Rows of a view from the wire into the store's form, checked whole before any is given on; shared by ingest
//! and bulk load.

use skewless_batch::Column;
use skewless_catalog::View;
use skewless_catalog::visibility::check_time;
use skewless_proto::v1 as pb;
use skewless_store::Rows;

use crate::get_features::refuse_unknown;
use crate::status::ServeError;
use crate::wire;

/// Rows as they came.
pub(crate) struct Came<'a> {
    pub(crate) keys: &'a [pb::Column],
    pub(crate) event_us: &'a [i64],
    pub(crate) known_us: &'a [i64],
    pub(crate) deleted: &'a [u8],
    pub(crate) features: &'a [pb::Column],
}

/// The known time of rows that say none.
#[derive(Clone, Copy)]
pub(crate) enum Known {
    /// This time: rows become known when they are ingested.
    At(i64),
    /// Their event time: history without a known time was known when it happened.
    Event,
}

impl Came<'_> {
    /// The rows, if every one of them can be applied.
    pub(crate) fn rows(
        &self,
        view: &View,
        rows_max: usize,
        known: Known,
    ) -> Result<Rows, ServeError> {
        let rows = self.event_us.len();
        if rows > rows_max {
            let limit = "limits.ingest_rows_max";
            return Err(ServeError::OverLimit { what: "rows", limit, max: rows_max, came: rows });
        }
        refuse_unknown(
            "key column",
            "keys",
            self.keys,
            view.keys.iter().map(|key| key.name.as_str()),
        )?;
        let features = view.features.iter().map(|field| field.name.as_str());
        refuse_unknown("feature", "features", self.features, features)?;
        Ok(Rows {
            keys: self.keys(view, rows)?,
            event_us: times("event_us", self.event_us)?,
            known_us: self.known(rows, known)?,
            deleted: self.deleted(rows)?,
            features: self.features(view, rows)?,
        })
    }

    fn keys(&self, view: &View, rows: usize) -> Result<Vec<Column>, ServeError> {
        let mut keys = Vec::with_capacity(view.keys.len());
        for key in &view.keys {
            let came =
                self.keys.iter().find(|column| column.name == key.name).ok_or_else(|| {
                    ServeError::Field(format!(
                        "expected key column `{}` of type {} in keys, came none",
                        key.name, key.ty
                    ))
                })?;
            let mut column = Column::new(key.ty);
            wire::decode_column(came, rows, &mut column)?;
            if let Some(row) = (0..rows).find(|&row| column.is_null(row)) {
                let name = &key.name;
                return Err(ServeError::Field(format!(
                    "expected a key in column `{name}`, row {row}, came null"
                )));
            }
            keys.push(column);
        }
        Ok(keys)
    }

    fn known(&self, rows: usize, known: Known) -> Result<Vec<i64>, ServeError> {
        match (self.known_us.len(), known) {
            (0, Known::At(now_us)) => Ok(vec![now_us; rows]),
            (0, Known::Event) => Ok(self.event_us.to_vec()),
            (came, _) if came != rows => Err(ServeError::Field(format!(
                "expected {rows} known_us, as many as event_us, or none, came {came}"
            ))),
            _ => times("known_us", self.known_us),
        }
    }

    fn deleted(&self, rows: usize) -> Result<Vec<bool>, ServeError> {
        let bitmap = rows.div_ceil(8);
        match self.deleted.len() {
            0 => Ok(vec![false; rows]),
            came if came != bitmap => Err(ServeError::Field(format!(
                "expected {bitmap} bytes of deleted for {rows} rows, or none, came {came}"
            ))),
            _ => Ok((0..rows).map(|row| self.deleted[row / 8] & (1 << (row % 8)) != 0).collect()),
        }
    }

    fn features(&self, view: &View, rows: usize) -> Result<Vec<Column>, ServeError> {
        let mut features = Vec::with_capacity(view.features.len());
        for field in &view.features {
            let mut column = Column::new(field.ty);
            match self.features.iter().find(|came| came.name == field.name) {
                Some(came) => wire::decode_column(came, rows, &mut column)?,
                None => column.push_nulls(rows),
            }
            column.canonicalize_nans();
            features.push(column);
        }
        Ok(features)
    }
}

fn times(field: &str, times_us: &[i64]) -> Result<Vec<i64>, ServeError> {
    for (row, &us) in times_us.iter().enumerate() {
        check_time(us)
            .map_err(|error| ServeError::Field(format!("{field}, row {row}: {error}")))?;
    }
    Ok(times_us.to_vec())
}

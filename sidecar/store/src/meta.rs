//! The `meta` column family: format, pointers to generations, schemas, source offsets; not rows.
//!
//! | key | value |
//! |---|---|
//! | `format` | u32 LE, [`FORMAT`] |
//! | `next` | u64 LE, the next generation's number; numbers are never used twice, not even after a failure |
//! | `salvages` | u64 LE, how often a damaged log was cut |
//! | `view/<name>` | JSON: generation, entity, key types and names, columns in order of their first definition, boundary, lag |
//! | `source/<name>` | u64 LE, the offset applied up to |

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};
use skewless_batch::Type;
use skewless_catalog::visibility::{Boundary, Rule};

use crate::error::{RELOAD, StoreError};
use crate::live::{About, Db, Family};
use crate::row::Columns;

/// The version of everything on disk that isn't a row's own layout.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const FAMILY: &str = "meta";

const KEY_FORMAT: &[u8] = b"format";
const KEY_NEXT: &[u8] = b"next";
const KEY_SALVAGES: &[u8] = b"salvages";

/// What is stored of a view.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(crate) struct ViewRecord {
    pub(crate) generation: u64,
    /// Older versions didn't write it.
    #[serde(default)]
    pub(crate) entity: Option<String>,
    /// Types.
    pub(crate) keys: Vec<String>,
    /// Older versions didn't write them.
    #[serde(default)]
    pub(crate) key_names: Option<Vec<String>>,
    pub(crate) columns: Vec<(String, String)>,
    pub(crate) exclusive: bool,
    pub(crate) lag_us: i64,
}

impl ViewRecord {
    pub(crate) fn new(
        generation: u64,
        about: &About,
        keys: &[Type],
        columns: &Columns,
        rule: &Rule,
    ) -> Self {
        let text = |(name, ty): &(String, Type)| (name.clone(), ty.to_string());
        Self {
            generation,
            entity: about.entity.clone(),
            keys: keys.iter().map(ToString::to_string).collect(),
            key_names: about.keys.clone(),
            columns: columns.list().iter().map(text).collect(),
            exclusive: rule.boundary == Boundary::Exclusive,
            lag_us: rule.lag_us,
        }
    }

    pub(crate) fn rule(&self) -> Rule {
        let boundary = if self.exclusive { Boundary::Exclusive } else { Boundary::Inclusive };
        Rule { boundary, ttl_us: None, lag_us: self.lag_us }
    }

    pub(crate) fn about(&self) -> About {
        About { entity: self.entity.clone(), keys: self.key_names.clone() }
    }

    /// Key types and columns; `None` if a type is not one of ours.
    pub(crate) fn types(&self) -> Option<(Vec<Type>, Columns)> {
        let keys = self.keys.iter().map(|ty| ty.parse().ok()).collect::<Option<_>>()?;
        let parse = |(name, ty): &(String, String)| Some((name.clone(), ty.parse().ok()?));
        Some((keys, Columns::new(self.columns.iter().map(parse).collect::<Option<_>>()?)))
    }
}

/// Names of a generation's two column families.
pub(crate) fn rows_family(view: &str, generation: u64) -> String {
    format!("rows/{view}/{generation}")
}

/// The view whose rows a column family of this name holds.
pub(crate) fn view_of_rows(family: &str) -> Option<&str> {
    Some(family.strip_prefix("rows/")?.rsplit_once('/')?.0)
}

pub(crate) fn wait_family(view: &str, generation: u64) -> String {
    format!("wait/{view}/{generation}")
}

/// The `meta` family of an open database.
pub(crate) struct Meta<'a> {
    pub(crate) db: &'a Db,
    pub(crate) family: &'a Family,
}

impl Meta<'_> {
    pub(crate) fn format(&self) -> Result<Option<u32>, StoreError> {
        Ok(self
            .bytes(KEY_FORMAT)?
            .and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?))))
    }

    pub(crate) fn next_generation(&self) -> Result<u64, StoreError> {
        Ok(self.number(KEY_NEXT)?.unwrap_or(1))
    }

    pub(crate) fn salvages(&self) -> Result<u64, StoreError> {
        Ok(self.number(KEY_SALVAGES)?.unwrap_or(0))
    }

    pub(crate) fn offset(&self, source: &str) -> Result<Option<u64>, StoreError> {
        self.number(source_key(source).as_bytes())
    }

    /// Every source with its offset.
    pub(crate) fn offsets(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let number = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
        let found = self.under("source/")?.into_iter();
        Ok(found.filter_map(|(name, bytes)| Some((name, number(&bytes)?))).collect())
    }

    /// Every view with its record.
    pub(crate) fn views(&self) -> Result<Vec<(String, ViewRecord)>, StoreError> {
        self.under("view/")?
            .into_iter()
            .map(|(name, bytes)| {
                let record =
                    serde_json::from_slice(&bytes).map_err(|error| StoreError::Corrupt {
                        dir: self.db.path().to_owned(),
                        file: format!("record of view `{name}`"),
                        detail: error.to_string(),
                        advice: RELOAD,
                    })?;
                Ok((name, record))
            })
            .collect()
    }

    pub(crate) fn put_format(&self, batch: &mut WriteBatch, format: u32) {
        batch.put_cf(&self.family.handle, KEY_FORMAT, format.to_le_bytes());
    }

    pub(crate) fn put_next(&self, batch: &mut WriteBatch, next: u64) {
        batch.put_cf(&self.family.handle, KEY_NEXT, next.to_le_bytes());
    }

    pub(crate) fn put_salvages(&self, batch: &mut WriteBatch, salvages: u64) {
        batch.put_cf(&self.family.handle, KEY_SALVAGES, salvages.to_le_bytes());
    }

    pub(crate) fn put_offset(&self, batch: &mut WriteBatch, source: &str, offset: u64) {
        batch.put_cf(&self.family.handle, source_key(source), offset.to_le_bytes());
    }

    pub(crate) fn put_view(&self, batch: &mut WriteBatch, view: &str, record: &ViewRecord) {
        // A map of strings and numbers always has a JSON form.
        let json = serde_json::to_vec(record).unwrap_or_default();
        batch.put_cf(&self.family.handle, format!("view/{view}"), json);
    }

    fn bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.db.get_cf(&self.family.handle, key);
        found.map_err(|error| StoreError::from_rocks(self.db.path(), &error))
    }

    fn number(&self, key: &[u8]) -> Result<Option<u64>, StoreError> {
        Ok(self.bytes(key)?.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))))
    }

    fn under(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut found = Vec::new();
        let from = rocksdb::IteratorMode::From(prefix.as_bytes(), rocksdb::Direction::Forward);
        for entry in self.db.iterator_cf(&self.family.handle, from) {
            let (key, value) =
                entry.map_err(|error| StoreError::from_rocks(self.db.path(), &error))?;
            let Some(name) = key.strip_prefix(prefix.as_bytes()) else { break };
            found.push((String::from_utf8_lossy(name).into_owned(), value.into_vec()));
        }
        Ok(found)
    }
}

fn source_key(source: &str) -> String {
    format!("source/{source}")
}

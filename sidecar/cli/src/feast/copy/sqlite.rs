//! Feast's SQLite online store: a table `project_view` a view, a line of it a feature of an entity. Read in pages, so that
//! Feast can go on writing in between.
//!
//! Times. Feast writes an event time as whole seconds since 1970, but takes the time's UTC clock for one of its machine's
//! zone (`infra/online_stores/sqlite.py` of feast-dev/feast 0.67: a naive datetime's `timestamp()`). So they are right where
//! that zone is UTC, and else have to be read with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use jiff::tz::TimeZone;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::Copier;
use super::key;
use super::refusal::Reason;
use super::rows::{FeastRow, ROWS_MAX, Wanted};
use super::source_count::SourceCount;
use crate::exit::{Failure, Next, Outcome};

/// How long to wait while Feast writes.
const BUSY: Duration = Duration::from_secs(10);

/// An open store.
pub(super) struct Sqlite {
    db: Connection,
    project: String,
    zone: TimeZone,
    shown: String,
}

impl Sqlite {
    pub(super) fn open(path: &Path, project: &str, zone: TimeZone) -> Outcome<Self> {
        let shown = path.display().to_string();
        let next = || "give the path of Feast's SQLite online store, `path` under `online_store` in feature_store.yaml";
        if !path.is_file() {
            return Err(Failure::new(
                format!("expected a SQLite file at {shown}, came none"),
                next(),
            ));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(path, flags).and_then(|db| {
            db.busy_timeout(BUSY)?;
            // Nothing of the file is read before this.
            db.query_row("SELECT count(*) FROM sqlite_master", (), |_| Ok(()))?;
            Ok(db)
        });
        let db = opened.with_context(|| format!("can't read {shown} as SQLite")).or_next(next)?;
        Ok(Self { db, project: project.to_owned(), zone, shown })
    }

    /// Tables of the project that are of none of the wanted views, with their rows.
    pub(super) fn others(&self, wanted: &[Wanted<'_>]) -> Outcome<BTreeMap<String, u64>> {
        self.advised(|| {
            let prefix = format!("{}_", self.project);
            let mut tables = self
                .db
                .prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")?;
            let mut names = tables.query(())?;
            let mut others = BTreeMap::new();
            while let Some(row) = names.next()? {
                let name: String = row.get(0)?;
                let Some(view) = name.strip_prefix(&prefix) else { continue };
                if wanted.iter().all(|wanted| wanted.feast != view) {
                    let rows = self.count(&name).unwrap_or(0);
                    others.insert(view.to_owned(), rows);
                }
            }
            Ok(others)
        })
    }

    /// Copies a view's rows, and counts them; `None` if it has no table.
    pub(super) fn copy(
        &self,
        wanted: &Wanted<'_>,
        copier: &mut Copier<'_, '_>,
    ) -> Outcome<Option<SourceCount>> {
        let table = format!("{}_{}", self.project, wanted.feast);
        let there = self.advised(|| {
            let find = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
            self.db.query_row(find, (&table,), |_| Ok(())).optional()
        })?;
        if there.is_none() {
            return Ok(None);
        }
        let total = self.advised(|| self.count(&table))?;
        // Keys that are no bytes stand before all others, and are no keys.
        let no_keys = format!(
            "SELECT count(DISTINCT entity_key) FROM {} WHERE entity_key <= x''",
            quoted(&table)
        );
        let no_keys = self.advised(|| self.number(&no_keys))?;
        (0..no_keys).for_each(|_| copier.refuse(Reason::KeyDamaged.into()));
        let mut after = Vec::new();
        let mut done = no_keys;
        while let Some(last) = self.advised(|| self.page_end(&table, &after))? {
            let rows = self.advised(|| self.page(&table, &after, &last, wanted))?;
            for row in &rows {
                let Entity { key, values, event_us, created_us } = row;
                match key::decode(key) {
                    Ok(key) if key.rest.is_empty() => {
                        let (event_us, created_us) = (*event_us, *created_us);
                        copier.take(&FeastRow { key: &key, values, event_us, created_us })?;
                    }
                    Ok(_) => copier.refuse(Reason::KeyDamaged.into()),
                    Err(reason) => copier.refuse(reason.into()),
                }
            }
            done += rows.len() as u64;
            copier.job.progress(&wanted.view.name, done, total)?;
            after = last;
        }
        copier.flush()?;
        let after = self.advised(|| self.count(&table))?;
        let of = format!("rows of Feast's view `{}`", wanted.feast);
        Ok(Some(SourceCount::exact(of, total, after, copier.totals.read)))
    }

    fn count(&self, table: &str) -> rusqlite::Result<u64> {
        let count = format!("SELECT count(DISTINCT entity_key) FROM {}", quoted(table));
        self.number(&count)
    }

    fn number(&self, select: &str) -> rusqlite::Result<u64> {
        let number: i64 = self.db.query_row(select, (), |row| row.get(0))?;
        Ok(number.max(0).unsigned_abs())
    }

    /// The last key of the page that begins after a key; `None`: there is nothing after it.
    fn page_end(&self, table: &str, after: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
        let end = format!(
            "SELECT max(entity_key) FROM (SELECT DISTINCT entity_key FROM {} WHERE entity_key > ?1 ORDER BY entity_key LIMIT ?2)",
            quoted(table)
        );
        self.db.query_row(&end, (after, ROWS_MAX as i64), |row| row.get(0))
    }

    fn page(
        &self,
        table: &str,
        after: &[u8],
        last: &[u8],
        wanted: &Wanted<'_>,
    ) -> rusqlite::Result<Vec<Entity>> {
        let select = format!(
            "SELECT entity_key, feature_name, value, event_ts, created_ts FROM {} \
             WHERE entity_key > ?1 AND entity_key <= ?2 ORDER BY entity_key",
            quoted(table)
        );
        let mut select = self.db.prepare(&select)?;
        let mut lines = select.query((after, last))?;
        let mut entities: Vec<Entity> = Vec::new();
        while let Some(line) = lines.next()? {
            // Others stand before all bytes, and were counted.
            let ValueRef::Blob(key) = line.get_ref(0)? else { continue };
            if entities.last().is_none_or(|entity| entity.key != key) {
                let values = vec![None; wanted.features.len()];
                entities.push(Entity {
                    key: key.to_owned(),
                    values,
                    event_us: None,
                    created_us: None,
                });
            }
            let Some(entity) = entities.last_mut() else { continue };
            let name = line.get_ref(1)?;
            let feature = wanted
                .features
                .iter()
                .position(|feature| name.as_str().is_ok_and(|name| name == feature));
            if let Some(feature) = feature {
                entity.values[feature] = match line.get_ref(2)? {
                    ValueRef::Blob(bytes) => Some(bytes.to_vec()),
                    ValueRef::Null => None,
                    // No message of Feast's begins with this byte, so it is refused as damaged.
                    _ => Some(vec![0]),
                };
            }
            // Feast writes all features of a row at one time; where some came later, the row is as late.
            let event_us = self.time(line.get_ref(3)?);
            if entity.event_us.is_none() || event_us > entity.event_us {
                entity.event_us = event_us;
                entity.created_us = self.time(line.get_ref(4)?);
            }
        }
        Ok(entities)
    }

    /// A time as Feast writes it, or as an older one did: text of a UTC clock.
    fn time(&self, value: ValueRef<'_>) -> Option<i64> {
        let seconds = match value {
            ValueRef::Integer(seconds) => seconds,
            ValueRef::Text(text) => {
                return crate::typed::timestamp_us(std::str::from_utf8(text).ok()?);
            }
            ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => return None,
        };
        let clock = self.zone.to_datetime(jiff::Timestamp::from_second(seconds).ok()?);
        TimeZone::UTC.to_timestamp(clock).ok().map(jiff::Timestamp::as_microsecond)
    }

    fn advised<T>(&self, read: impl FnOnce() -> rusqlite::Result<T>) -> Outcome<T> {
        read()
            .with_context(|| format!("can't read {}", self.shown))
            .or_next(|| "see that it is Feast's SQLite online store and isn't damaged, then copy again: nothing is copied twice")
    }
}

/// A row that is being put together of its features.
struct Entity {
    key: Vec<u8>,
    values: Vec<Option<Vec<u8>>>,
    event_us: Option<i64>,
    created_us: Option<i64>,
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;

//! Feast's Redis online store: a hash an entity key, whose name is the key's bytes and the project. Of each view it has a field
//! `_ts:view` with the event time, and of each feature one that is named by 4 bytes: the hash of `view:feature`
//! (`infra/online_stores/redis.py` of feast-dev/feast 0.67).
//!
//! Keys are scanned, so Feast can go on writing. A scan may give a key twice: then its rows are read twice, and the second
//! time they are there already.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Context;
use prost::Message;
use redis::{Client, Connection};

use super::key::{self, EntityKey};
use super::murmur::murmur3_32;
use super::refusal::Reason;
use super::rows::{FeastRow, Wanted};
use super::source_count::SourceCount;
use super::{Copier, Totals};
use crate::exit::{Failure, Next, Outcome};
use crate::output::complain;

/// Keys that are asked for at once: a hash may have some hundred values.
const KEYS_AT_ONCE: usize = 500;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The field of a hash that has a view's event time begins so.
const TIME_OF: &[u8] = b"_ts:";

/// The name of a feature's field.
type Field = [u8; 4];

/// A hash: values by fields.
type Hash = HashMap<Vec<u8>, Vec<u8>>;

/// What was there besides the wanted rows.
#[derive(Default, Debug)]
pub(super) struct Others {
    /// Rows of other views of the project, by Feast's names.
    pub(super) views: BTreeMap<String, u64>,
    /// Keys that are none of the project's.
    pub(super) foreign: u64,
}

/// An open store.
pub(super) struct Redis {
    connection: Connection,
    project: String,
    shown: String,
}

impl Redis {
    /// Connects to `redis://[user:password@]host:port/db`.
    pub(super) fn open(url: &str, project: &str) -> Outcome<Self> {
        // The URL itself isn't shown: it may hold a password.
        let next = || "give the address as redis://HOST:PORT/DB, with user and password before the host if it asks for them";
        let client = Client::open(url).context("expected the address of a Redis").or_next(next)?;
        let shown = client.get_connection_info().addr().to_string();
        let connected = client.get_connection_with_timeout(CONNECT_TIMEOUT);
        let connected = connected.and_then(|connection| {
            connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            connection.set_write_timeout(Some(ANSWER_TIMEOUT))?;
            Ok(connection)
        });
        let connection =
            connected.with_context(|| format!("no Redis answers at {shown}")).or_next(next)?;
        Ok(Self { connection, project: project.to_owned(), shown })
    }

    /// Copies the rows of all wanted views.
    pub(super) fn copy(
        &mut self,
        layouts: &Layouts,
        copiers: &mut [Copier<'_, '_>],
    ) -> Outcome<(Others, SourceCount)> {
        self.mind_clusters()?;
        let total = self.keys()?;
        let mut others = Others::default();
        let (mut cursor, mut done) = (0_u64, 0_u64);
        loop {
            let (next, keys): (u64, Vec<Vec<u8>>) = self.ask(|connection| {
                redis::cmd("SCAN").arg(cursor).arg("COUNT").arg(KEYS_AT_ONCE).query(connection)
            })?;
            done += keys.len() as u64;
            let keys: Vec<(&Vec<u8>, Found<'_>)> = keys
                .iter()
                .filter_map(|bytes| Some((bytes, ours(bytes, &self.project, &mut others)?)))
                .collect();
            let names: Vec<&Vec<u8>> = keys.iter().map(|(bytes, _)| *bytes).collect();
            let hashes = self.hashes(&names)?;
            for ((_, found), hash) in keys.iter().zip(&hashes) {
                layouts.give(found, hash, copiers, &mut others)?;
            }
            if let Some(copier) = copiers.first() {
                copier.job.progress("keys", done.min(total), total)?;
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        copiers.iter_mut().try_for_each(Copier::flush)?;
        // Those that are over are counted until Redis finds them, and not scanned.
        let (after, may_be_over) = (self.keys()?, self.expiring()?);
        let least = after.saturating_sub(may_be_over);
        let of = format!("keys of the Redis at {}", self.shown);
        let count = SourceCount { of, before: total, after, read: done, least, most: u64::MAX };
        Ok((others, count))
    }

    /// As many keys as there are, of whatever kind.
    fn keys(&mut self) -> Outcome<u64> {
        self.ask(|connection| redis::cmd("DBSIZE").query(connection))
    }

    /// As many keys as will be over some day.
    fn expiring(&mut self) -> Outcome<u64> {
        let info: String =
            self.ask(|connection| redis::cmd("INFO").arg("keyspace").query(connection))?;
        Ok(expiring(&info))
    }

    fn hashes(&mut self, keys: &[&Vec<u8>]) -> Outcome<Vec<Hash>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.cmd("HGETALL").arg(key.as_slice());
        }
        self.ask(|connection| pipe.query(connection))
    }

    /// Says so if this is one node of several: then the others' rows aren't here.
    fn mind_clusters(&mut self) -> Outcome {
        let info: String =
            self.ask(|connection| redis::cmd("INFO").arg("cluster").query(connection))?;
        if info.contains("cluster_enabled:1") {
            complain!(
                "warning: {} is a node of a Redis Cluster: only its own rows are copied; copy from every master",
                self.shown
            );
        }
        Ok(())
    }

    fn ask<T>(&mut self, ask: impl FnOnce(&mut Connection) -> redis::RedisResult<T>) -> Outcome<T> {
        let shown = &self.shown;
        ask(&mut self.connection)
            .with_context(|| format!("the Redis at {shown} refused or broke off"))
            .or_next(
                || "see that it runs and may be read, then copy again: nothing is copied twice",
            )
    }
}

/// A key of the project.
#[derive(PartialEq, Debug)]
enum Found<'k> {
    Key(EntityKey<'k>),
    /// One of an older serialization version, which isn't read.
    Old,
}

/// A key of the project, taken apart; counts what is none.
fn ours<'k>(bytes: &'k [u8], project: &str, others: &mut Others) -> Option<Found<'k>> {
    match key::decode(bytes) {
        Ok(key) if key.rest == project.as_bytes() && !key.values.is_empty() => {
            Some(Found::Key(key))
        }
        Err(Reason::KeyVersion) if bytes.ends_with(project.as_bytes()) => Some(Found::Old),
        _ => {
            others.foreign += 1;
            None
        }
    }
}

/// Where the rows of wanted views are in hashes.
pub(super) struct Layouts {
    views: Vec<Layout>,
}

struct Layout {
    /// Join keys, sorted.
    join_keys: Vec<String>,
    /// The view's name in Feast.
    name: String,
    time: Vec<u8>,
    fields: Vec<Field>,
}

impl Layouts {
    /// The layouts, parallel to the views; an error if two features share a field.
    pub(super) fn of(wanted: &[Wanted<'_>]) -> Outcome<Self> {
        let layout = |wanted: &Wanted<'_>| Layout {
            join_keys: wanted.sorted_join_keys().into_iter().map(str::to_owned).collect(),
            name: wanted.feast.clone(),
            time: [TIME_OF, wanted.feast.as_bytes()].concat(),
            fields: wanted.features.iter().map(|feature| field(&wanted.feast, feature)).collect(),
        };
        let views: Vec<Layout> = wanted.iter().map(layout).collect();
        let mut taken: HashMap<(&[String], Field), (usize, usize)> = HashMap::new();
        for (at, view) in views.iter().enumerate() {
            for (feature, field) in view.fields.iter().enumerate() {
                let other = taken.insert((view.join_keys.as_slice(), *field), (at, feature));
                if let Some((other, other_feature)) = other {
                    let shown = |view: usize, feature: usize| {
                        format!("{}:{}", wanted[view].feast, wanted[view].features[feature])
                    };
                    let (one, two) = (shown(other, other_feature), shown(at, feature));
                    let message = format!(
                        "`{one}` and `{two}` have the same field in Feast's Redis hashes, so each was written over the other"
                    );
                    let next = format!(
                        "load view `{}` from its history with `skewless load`, and name the others to copy",
                        wanted[at].view.name
                    );
                    return Err(Failure::new(message, next));
                }
            }
        }
        Ok(Self { views })
    }

    /// Gives the rows in a hash to the views' copiers.
    fn give(
        &self,
        found: &Found<'_>,
        hash: &Hash,
        copiers: &mut [Copier<'_, '_>],
        others: &mut Others,
    ) -> Outcome {
        for name in hash.keys().filter_map(|field| field.strip_prefix(TIME_OF)) {
            let known = self.views.iter().any(|view| view.name.as_bytes() == name);
            if !known {
                *others.views.entry(String::from_utf8_lossy(name).into_owned()).or_default() += 1;
            }
        }
        for (view, copier) in self.views.iter().zip(copiers) {
            let Some(time) = hash.get(&view.time) else { continue };
            let Found::Key(key) = found else {
                copier.refuse(Reason::KeyVersion.into());
                continue;
            };
            let values: Vec<Option<Vec<u8>>> =
                view.fields.iter().map(|field| hash.get(field.as_slice()).cloned()).collect();
            copier.take(&FeastRow {
                key,
                values: &values,
                event_us: event_us(time),
                created_us: None,
            })?;
        }
        Ok(())
    }
}

/// What Redis says of its databases, `db0:keys=5,expires=2,avg_ttl=9` a line, as the sum of those that expire.
fn expiring(info: &str) -> u64 {
    let words = info.lines().flat_map(|line| line.split(','));
    words.filter_map(|word| word.strip_prefix("expires=")?.trim().parse::<u64>().ok()).sum()
}

/// The name of a feature's field: the hash, least significant byte first.
fn field(view: &str, feature: &str) -> Field {
    murmur3_32(format!("{view}:{feature}").as_bytes()).to_le_bytes()
}

/// An event time, a `google.protobuf.Timestamp`, to the microsecond.
fn event_us(bytes: &[u8]) -> Option<i64> {
    let time = prost_types::Timestamp::decode(bytes).ok()?;
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    time.seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1_000))
}

impl Others {
    /// What wasn't copied, a line each.
    pub(super) fn lines(&self, totals: &Totals) -> Vec<String> {
        let mut lines = Vec::new();
        if self.foreign > 0 && totals.read() == 0 {
            lines.push(format!("{} keys there are none of the project's", self.foreign));
        }
        lines
    }
}

#[cfg(test)]
mod tests;

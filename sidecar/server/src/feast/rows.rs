//! Rows that Feast's clients write, as an ingest of ours; not how they were written on the wire.
//!
//! A row has its join keys, its features and the time of its event; the time it was created, if it says one, is our known
//! time. Feast finds both times by the view's source, so ours do, too, and by the names that its own clients send.

use skewless_batch::Type;
use skewless_catalog::{Catalog, View, names};
use skewless_proto::v1 as ours;

use super::request::{Columns, Target, came_as, rows};
use crate::repo::feast_names::{DUMMY_KEY, FeastNames};
use crate::status::ServeError;

/// What the column of the event time is called, unless the view's source calls it otherwise.
const EVENT: &str = "event_timestamp";
/// What the column of the time of creation is called: Feast's `remote` store sends the first, its examples have the other.
const CREATED: [&str; 2] = ["created", "created_timestamp"];

/// The columns of a view as those of its rows are called.
struct Known<'a> {
    /// Names of the keys: in files, in requests, and in Feast.
    keys: Vec<[&'a str; 3]>,
    event: Vec<&'a str>,
    created: Vec<&'a str>,
}

impl<'a> Known<'a> {
    fn of(catalog: &'a Catalog, view: &'a View, feast: &'a FeastNames) -> Result<Self, ServeError> {
        let entity = catalog.find_entity(&view.entity)?;
        let keys = view.keys.iter().zip(&entity.join_keys);
        let theirs = |key| feast.key_column(&view.name, key);
        let keys = keys.map(|(key, join_key)| [&*key.name, &**join_key, theirs(&key.name)]);
        let source = view.source.as_ref();
        let event = source.map(|source| &*source.event_timestamp);
        let created = source.and_then(|source| source.created_timestamp.as_deref());
        // A feature may be called like a time of somebody else's.
        let free = |name: &&str| !view.features.iter().any(|feature| feature.name == *name);
        Ok(Self {
            keys: keys.collect(),
            event: event.into_iter().chain([EVENT]).filter(free).collect(),
            created: created.into_iter().chain(CREATED).filter(free).collect(),
        })
    }
}

/// The ingest of a view's rows. What isn't said of their creation is `now_us`; columns that an import left out are passed
/// over.
pub(super) fn ingest(
    catalog: &Catalog,
    view: &View,
    feast: &FeastNames,
    columns: &dyn Columns,
    now_us: i64,
    rows_max: usize,
) -> Result<ours::IngestRequest, ServeError> {
    let lengths = columns.lengths();
    let rows = rows(lengths)?.unwrap_or(0);
    if rows > rows_max {
        let limit = "limits.ingest_rows_max";
        return Err(ServeError::OverLimit { what: "rows", limit, max: rows_max, came: rows });
    }
    let known = Known::of(catalog, view, feast)?;
    let came = |name: &str| lengths.iter().any(|(came, _)| came == name);
    let first_of =
        |names: &[&str]| names.iter().find(|name| came(name)).map(|name| (*name).to_owned());
    let mut keys = Vec::with_capacity(view.keys.len());
    for (key, called) in view.keys.iter().zip(&known.keys) {
        keys.push(match came_as(lengths, *called) {
            Some(name) => Target::key(name, key.ty),
            None if called[2] == DUMMY_KEY => Target::dummy(key.ty, rows),
            None => return Err(missing("join key", called[1], key.ty)),
        });
    }
    let event = first_of(&known.event).ok_or_else(|| {
        let name = known.event.first().copied().unwrap_or(EVENT);
        missing("the event time in column", name, Type::Timestamp)
    })?;
    let mut times = vec![Target::new(&event, Type::Timestamp)];
    times.extend(first_of(&known.created).map(|name| Target::new(&name, Type::Timestamp)));
    let (mut features, mut names) = (Vec::new(), Vec::new());
    for feature in &view.features {
        let called = [&*feature.name, feast.theirs(&view.name, &feature.name)];
        if let Some(name) = came_as(lengths, called) {
            features.push(Target::new(name, feature.ty));
            names.push(&feature.name);
        }
    }
    refuse_unknown(view, &known, feast, lengths, &[&keys, &times, &features])?;
    columns.fill(&mut keys)?;
    columns.fill(&mut times)?;
    columns.fill(&mut features)?;
    let event_us = times_us(&times[0], None)?;
    let known_us = times.get(1).map(|created| times_us(created, Some(now_us))).transpose()?;
    let keys = keys.iter().zip(&view.keys);
    Ok(ours::IngestRequest {
        view: view.name.clone(),
        keys: keys.map(|(target, key)| target.wire(&key.name)).collect(),
        event_us,
        known_us: known_us.unwrap_or_default(),
        features: features.iter().zip(names).map(|(target, name)| target.wire(name)).collect(),
        ..ours::IngestRequest::default()
    })
}

fn missing(kind: &str, name: &str, ty: Type) -> ServeError {
    ServeError::Field(format!("expected {kind} `{name}` of type {ty}, came none"))
}

/// Refuses columns that the view doesn't have and never had in Feast.
fn refuse_unknown(
    view: &View,
    known: &Known<'_>,
    feast: &FeastNames,
    lengths: &[(String, usize)],
    taken: &[&[Target]],
) -> Result<(), ServeError> {
    let is_taken = |name: &str| taken.iter().copied().flatten().any(|target| target.name == name);
    let mut others = lengths.iter().map(|(name, _)| name).filter(|name| !is_taken(name)).peekable();
    if others.peek().is_none() {
        return Ok(());
    }
    let Some(name) = others.find(|name| !feast.has_left_out(&view.name, name)) else {
        feast.tell(&view.name);
        return Ok(());
    };
    let features = view.features.iter().map(|feature| &*feature.name);
    let keys = known.keys.iter().map(|[_, join_key, _]| *join_key);
    let all = features.chain(keys).chain(known.event.iter().chain(&known.created).copied());
    let meant = names::nearest(name, all.filter(|all| *all != name));
    let meant = meant.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    Err(ServeError::Field(format!(
        "expected only columns of view `{}`, each by one name, came column `{name}`{meant}; don't send it, or declare it as a \
         feature (what `skewless feast import` leaves out is passed over)",
        view.name
    )))
}

/// The times of a column; a null is `absent`, or refused.
fn times_us(of: &Target, absent: Option<i64>) -> Result<Vec<i64>, ServeError> {
    let view = of.column.view();
    let time = |row| match (view.is_null(row), absent) {
        (false, _) => Ok(view.timestamp_at(row)),
        (true, Some(us)) => Ok(us),
        (true, None) => Err(ServeError::Field(format!(
            "expected an event time in column `{}`, row {row}, came null",
            of.name
        ))),
    };
    (0..view.len()).map(time).collect()
}

//! What a client of Feast asks for, and its columns as a request of ours; not how either was written on the wire.
//!
//! Columns are told by name only: join keys and what transforms want of the request come mixed. What the plan wants is
//! taken. A column that it doesn't want is passed over if a key or request column of that name is declared, as one client
//! asks many services with the same row; it is refused if it isn't, as it may be a misspelt one that is.

use skewless_batch::{Column, Type};
use skewless_catalog::{Catalog, Plan, names};
use skewless_proto::v1 as ours;

use super::cell::{Cell, append, append_key};
use super::names::reference;
use crate::metrics::Metrics;
use crate::repo::feast_names::{DUMMY_KEY, FeastNames};
use crate::snapshot::{Served, Snapshot};
use crate::status::ServeError;
use crate::wire;
use std::slice;
use std::sync::Arc;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Ask {
    pub(super) service: Option<String>,
    /// Feast's references.
    pub(super) features: Vec<String>,
    pub(super) full_feature_names: bool,
    pub(super) view_metadata: bool,
}

/// Columns as they came.
pub(super) trait Columns {
    /// The names with the number of values, each name once.
    fn lengths(&self) -> &[(String, usize)];
    /// Fills those that are wanted and came.
    fn fill(&self, wanted: &mut [Target]) -> Result<(), ServeError>;
}

/// A column that is wanted.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) column: Column,
    /// Whether rows are looked up by it.
    is_key: bool,
}

impl Target {
    pub(super) fn new(name: &str, ty: Type) -> Self {
        Self { name: name.to_owned(), column: Column::new(ty), is_key: false }
    }

    /// One by which rows are looked up.
    pub(super) fn key(name: &str, ty: Type) -> Self {
        Self { is_key: true, ..Self::new(name, ty) }
    }

    /// The key of a view without entity, which didn't come: the same in every row.
    pub(super) fn dummy(ty: Type, rows: usize) -> Self {
        let mut column = Column::new(ty);
        (0..rows).for_each(|_| column.push_utf8(""));
        Self { name: DUMMY_KEY.to_owned(), column, is_key: true }
    }

    /// Appends a value, or says why not.
    pub(super) fn append(&mut self, row: usize, cell: &Cell<'_>) -> Result<(), String> {
        let append = if self.is_key { append_key } else { append };
        append(cell, &mut self.column).map_err(|came| {
            format!("column `{}`, row {row}: expected {}, came {came}", self.name, self.column.ty())
        })
    }

    /// As a column of ours, which is called so.
    pub(super) fn wire(&self, name: &str) -> ours::Column {
        wire::column(name, &self.column)
    }
}

impl Ask {
    /// The plan of what is asked for.
    pub(super) fn plan(
        &self,
        snapshot: &Snapshot,
        metrics: &Metrics,
    ) -> Result<Arc<Served>, ServeError> {
        match (&self.service, self.features.is_empty()) {
            // As in Feast, features that are listed beside a service mean nothing.
            (Some(name), _) => snapshot.service(snapshot.feast.service(name)),
            (None, false) => {
                let features: Result<Vec<String>, ServeError> = self
                    .features
                    .iter()
                    .map(|feature| reference(feature, &snapshot.feast))
                    .collect();
                snapshot.ad_hoc(&features?, metrics)
            }
            (None, true) => Err(ServeError::Field(
                "expected a feature_service or features, came neither".to_owned(),
            )),
        }
    }
}

/// The request of a plan, of columns as they came.
pub(super) fn request(
    snapshot: &Snapshot,
    plan: &Plan,
    columns: &dyn Columns,
    rows_max: usize,
) -> Result<ours::GetFeaturesRequest, ServeError> {
    let feast = &snapshot.feast;
    let lengths = columns.lengths();
    let rows = rows(lengths)?.unwrap_or(0);
    if rows > rows_max {
        let limit = "limits.rows_max";
        return Err(ServeError::OverLimit { what: "rows", limit, max: rows_max, came: rows });
    }
    refuse_undeclared(&snapshot.catalog, feast, lengths)?;
    let mut keys = Vec::with_capacity(plan.keys.len());
    for key in &plan.keys {
        let theirs = feast.join_key(&key.name);
        keys.push(match came_as(lengths, [&key.name, theirs]) {
            Some(came) => Target::key(came, key.ty),
            None if theirs == DUMMY_KEY => Target::dummy(key.ty, rows),
            None => return Err(missing(theirs, key.ty)),
        });
    }
    let (mut request, mut called) = (Vec::with_capacity(plan.request.len()), Vec::new());
    for column in &plan.request {
        match came_as(lengths, [&column.name, feast.request(&column.name)]) {
            Some(came) => {
                request.push(Target::new(came, column.ty));
                called.push(&column.name);
            }
            None if column.nullable => {}
            None => {
                let name = feast.request(&column.name).to_owned();
                return Err(ServeError::NoRequestColumn { name, ty: column.ty });
            }
        }
    }
    match keys.iter().enumerate().any(|(at, key)| keys[..at].iter().any(|k| k.name == key.name)) {
        false => columns.fill(&mut keys)?,
        // A join key that has two types in Feast is two keys here, of one column.
        true => keys.iter_mut().try_for_each(|key| columns.fill(slice::from_mut(key)))?,
    }
    columns.fill(&mut request)?;
    let keys = keys.iter().zip(&plan.keys);
    let request = request.iter().zip(called);
    Ok(ours::GetFeaturesRequest {
        keys: keys.map(|(target, key)| target.wire(&key.name)).collect(),
        request: request.map(|(target, name)| target.wire(name)).collect(),
        ..ours::GetFeaturesRequest::default()
    })
}

/// The first of these names by which a column came.
pub(super) fn came_as<'n, const N: usize>(
    lengths: &[(String, usize)],
    names: [&'n str; N],
) -> Option<&'n str> {
    names.into_iter().find(|name| lengths.iter().any(|(came, _)| came == name))
}

fn missing(name: &str, ty: Type) -> ServeError {
    ServeError::Field(format!("expected join key `{name}` of type {ty} in entities, came none"))
}

/// The number of values of every column; none if there is no column.
pub(super) fn rows(lengths: &[(String, usize)]) -> Result<Option<usize>, ServeError> {
    let Some((first, rows)) = lengths.first() else { return Ok(None) };
    match lengths.iter().find(|(_, len)| len != rows) {
        None => Ok(Some(*rows)),
        Some((name, came)) => Err(ServeError::Field(format!(
            "expected {rows} values in column `{name}`, as many as in `{first}`, came {came}"
        ))),
    }
}

/// Refuses columns that no definition knows.
fn refuse_undeclared(
    catalog: &Catalog,
    feast: &FeastNames,
    lengths: &[(String, usize)],
) -> Result<(), ServeError> {
    let roles = |entity: &'_ skewless_catalog::Entity| {
        let roles = entity.roles.iter().flat_map(|role| role.join_keys.clone());
        entity.join_keys.iter().cloned().chain(roles).collect::<Vec<_>>()
    };
    let keys: Vec<String> = catalog.entities.iter().flat_map(roles).collect();
    let requests = catalog.requests.iter().map(|request| &*request.field.name);
    let of_keys = keys.iter().flat_map(|key| [&**key, feast.join_key(key)]);
    let known: Vec<&str> =
        of_keys.chain(requests.flat_map(|request| [request, feast.request(request)])).collect();
    for (name, _) in lengths {
        if !known.contains(&name.as_str()) {
            let meant = names::nearest(name, known.iter().copied());
            let meant = meant.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
            return Err(ServeError::Field(format!(
                "expected join keys and request columns that are declared, came column `{name}`{meant}"
            )));
        }
    }
    Ok(())
}

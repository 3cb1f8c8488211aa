//! Stored rows under new definitions: which views keep theirs, which start empty; not how handles and plans find them
//! (`views.rs`).
//!
//! A view keeps its rows unless a [`Misfit`] of the old definition's rows under the new one empties it; `diff` goes by
//! the same. *Adding* a feature keeps them: older rows have it as NULL_VALUE, just as a history file without that
//! column gives nulls. *Removing* one keeps them, and so does *another name* of one key. *Another entity*, *another type*
//! of a key or feature, keys that *changed places*, or other due times, make every stored row unreadable or wrong: the
//! view starts empty in a new generation, and [`ViewSet::changes`] says so. Plans bound before go on reading the old one
//! until they are dropped.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rocksdb::WriteBatch;
use skewless_catalog::visibility::Rule;
use skewless_catalog::{Catalog, Misfit, ViewSchema};

use crate::error::StoreError;
use crate::generation::{claim, create_generation, drop_generation, find_generation};
use crate::live::{About, Live, Shared, StoredView};
use crate::meta::{Meta, ViewRecord};
use crate::options;
use crate::row::{COLUMNS_MAX, Columns};
use crate::ttl::NO_TTL;
use crate::views::{ViewHandle, ViewSet};

/// What applying definitions did to one view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaChange {
    /// A view the store didn't have; it is empty.
    Created {
        /// The view.
        view: String,
    },
    /// Features were added; stored rows have them as NULL_VALUE.
    Extended {
        /// The view.
        view: String,
        /// The new features.
        features: Vec<String>,
    },
    /// The stored rows don't fit the new definition: the view is empty and wants a bulk load.
    Emptied {
        /// The view.
        view: String,
        /// What changed.
        reason: String,
    },
    /// The store holds rows of a view that the definitions don't have. They are kept.
    Unused {
        /// The view.
        view: String,
    },
}

/// The schemas of a catalog's views, by their [`skewless_catalog::ViewId`].
pub(crate) fn schemas(catalog: &Catalog) -> Vec<ViewSchema> {
    catalog.views.iter().map(ViewSchema::from).collect()
}

/// Makes the store fit the schemas. Runs on the apply thread.
pub(crate) fn install(shared: &Shared, schemas: &[ViewSchema]) -> Result<ViewSet, StoreError> {
    let live = shared.pinned()?;
    let mut next = live.successor();
    let mut changes = Vec::new();
    let mut batch = WriteBatch::default();
    let mut emptied = Vec::new();
    let mut described = Vec::new();
    let meta = Meta { db: &live.db, family: &live.meta };
    check_limits(shared, &live, schemas)?;
    for schema in schemas {
        let old = next.current.get(&schema.name).and_then(|index| next.stored[*index].clone());
        let reason = old.as_ref().map(|stored| emptied_by(stored, schema));
        match (old, reason) {
            (Some(stored), Some(None)) => {
                cool(shared, &mut next, &stored, schema)?;
                let (columns, added) = extend(&stored, schema)?;
                let about = About::from(schema);
                if !added.is_empty() || **stored.about.load() != about {
                    let generation = next.generation(&stored)?.number;
                    let record =
                        ViewRecord::new(generation, &about, &stored.keys, &columns, &stored.rule);
                    meta.put_view(&mut batch, &schema.name, &record);
                    described.push((stored, columns, about));
                }
                if !added.is_empty() {
                    let view = schema.name.clone();
                    changes.push(SchemaChange::Extended { view, features: added });
                }
            }
            (old, reason) => {
                let number = claim(shared, &live)?;
                let index = create(shared, &mut next, schema, number)?;
                let stored = next.stored[index].clone();
                if let Some(stored) = stored {
                    let (about, columns) = (stored.about.load(), stored.columns.load());
                    let record =
                        ViewRecord::new(number, &about, &stored.keys, &columns, &stored.rule);
                    meta.put_view(&mut batch, &schema.name, &record);
                }
                let view = schema.name.clone();
                changes.push(match reason.flatten() {
                    Some(reason) => SchemaChange::Emptied { view, reason },
                    None => SchemaChange::Created { view },
                });
                emptied.extend(old);
            }
        }
    }
    for view in next.current.keys() {
        if !schemas.iter().any(|schema| schema.name == *view) {
            changes.push(SchemaChange::Unused { view: view.clone() });
        }
    }
    if !batch.is_empty() {
        shared.write(&live, batch, &options::write_durably())?;
    }
    for (stored, columns, about) in described {
        stored.columns.store(Arc::new(columns));
        stored.about.store(Arc::new(about));
    }
    for stored in &emptied {
        stored.retired.store(true, Ordering::Release);
        drop_families(shared, &next, stored);
    }
    let_go(&mut next);
    let handles =
        schemas.iter().map(|schema| ViewHandle::bind(&next, schema)).collect::<Result<_, _>>()?;
    shared.live.store(Some(Arc::new(next)));
    Ok(ViewSet { handles, changes: changes.into() })
}

/// Stored views that left the definitions count too: they keep their column families.
fn check_limits(shared: &Shared, live: &Live, schemas: &[ViewSchema]) -> Result<(), StoreError> {
    let defined: HashSet<&str> = schemas.iter().map(|schema| schema.name.as_str()).collect();
    let mut unused: Vec<&str> = live.current.keys().map(String::as_str).collect();
    unused.retain(|view| !defined.contains(view));
    unused.sort_unstable();
    let (limit, came) = (shared.config.views_max, schemas.len() + unused.len());
    if came > limit {
        return Err(StoreError::OverLimit {
            name: "views_max",
            limit: limit as u64,
            came: came as u64,
            at: unused_views(&unused),
        });
    }
    for schema in schemas {
        check_columns(schema, schema.features.len())?;
    }
    Ok(())
}

/// Which views are stored only, and what can be done about them.
fn unused_views(unused: &[&str]) -> String {
    /// Names in one message: more would hide what to do.
    const NAMES_MAX: usize = 8;
    if unused.is_empty() {
        return " views".to_owned();
    }
    let names: Vec<_> = unused.iter().take(NAMES_MAX).map(|view| format!("`{view}`")).collect();
    let more = unused.len() - names.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        " views, {} of which are stored but in no definition: {}{more}; raise views_max, define them again, or load what is defined into a new folder",
        unused.len(),
        names.join(", ")
    )
}

fn check_columns(schema: &ViewSchema, came: usize) -> Result<(), StoreError> {
    if came <= COLUMNS_MAX {
        return Ok(());
    }
    let (limit, came) = (COLUMNS_MAX as u64, came as u64);
    let at = format!(" features of view `{}` over its life", schema.name);
    Err(StoreError::OverLimit { name: "COLUMNS_MAX", limit, came, at })
}

/// Why the view's rows can't be read by this schema; `None` if they can.
fn emptied_by(stored: &StoredView, schema: &ViewSchema) -> Option<String> {
    // A store that an older version wrote doesn't say all of it: then its rows are taken to be of this schema's.
    let (about, next) = (stored.about.load(), About::from(schema));
    let names = about.keys.as_ref().or(next.keys.as_ref());
    let name = |at: usize| {
        names.and_then(|names: &Vec<String>| names.get(at)).cloned().unwrap_or_default()
    };
    let old = ViewSchema {
        name: stored.view.clone(),
        entity: about.entity.as_ref().unwrap_or(&schema.entity).clone(),
        keys: stored.keys.iter().enumerate().map(|(at, ty)| (name(at), *ty)).collect(),
        features: stored.columns.load().list().to_vec(),
        rule: stored.rule,
    };
    let misfits = schema.misfits(&old).into_iter().filter(Misfit::empties);
    let reasons: Vec<String> = misfits.map(|misfit| misfit.to_string()).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Leaves the view's hot rows behind if its TTL changes: compaction may have made husks of what they still
/// have whole, and a raised TTL must not bring back some of it.
fn cool(
    shared: &Shared,
    next: &mut Live,
    stored: &StoredView,
    schema: &ViewSchema,
) -> Result<(), StoreError> {
    if stored.ttl_us.load(Ordering::Relaxed) != schema.rule.ttl_us.unwrap_or(NO_TTL) {
        let number = next.generation(stored)?.number;
        let generation = find_generation(shared, &next.db, &stored.view, number)?;
        next.generations[stored.index] = Some(Arc::new(generation));
    }
    Ok(())
}

/// The columns with those of the schema's features that are new, and the names of these.
fn extend(stored: &StoredView, schema: &ViewSchema) -> Result<(Columns, Vec<String>), StoreError> {
    let mut columns = Columns::clone(&stored.columns.load());
    let mut added = Vec::new();
    for (name, ty) in &schema.features {
        if columns.find(name, *ty).is_none() {
            columns.push(name.clone(), *ty);
            added.push(name.clone());
        }
    }
    check_columns(schema, columns.list().len())?;
    Ok((columns, added))
}

/// Makes an empty generation for a schema and points `next` at it. Gives the view's index.
fn create(
    shared: &Shared,
    next: &mut Live,
    schema: &ViewSchema,
    number: u64,
) -> Result<usize, StoreError> {
    let ttl_us = Arc::new(AtomicI64::new(NO_TTL));
    let generation = create_generation(shared, next, &schema.name, number, &ttl_us)?;
    let index = next.stored.len();
    let rule = Rule { ttl_us: None, ..schema.rule };
    let columns = Columns::new(schema.features.clone());
    let keys = schema.keys.iter().map(|(_, ty)| *ty).collect();
    let about = About::from(schema);
    let stored = StoredView::new(index, &schema.name, about, keys, rule, ttl_us, columns);
    next.stored.push(Some(Arc::new(stored)));
    next.generations.push(Some(Arc::new(generation)));
    next.current.insert(schema.name.clone(), index);
    Ok(index)
}

fn drop_families(shared: &Shared, live: &Live, stored: &StoredView) {
    if let Ok(generation) = live.generation(stored) {
        drop_generation(shared, live, &stored.view, generation.number);
    }
}

fn let_go(next: &mut Live) {
    for index in 0..next.stored.len() {
        let unbound = next.stored[index].as_ref().is_some_and(|stored| {
            stored.retired.load(Ordering::Acquire) && Arc::strong_count(&stored.token) == 1
        });
        if unbound {
            next.stored[index] = None;
            next.generations[index] = None;
        }
    }
}

#[cfg(test)]
mod tests;

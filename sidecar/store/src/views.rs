//! Definitions bound to what is stored: names and feature indexes become places; not reading itself.
//!
//! A view keeps its rows unless a [`Misfit`] of the old definition's rows under the new one empties it; `diff` goes by
//! the same. *Adding* a feature keeps them: older rows have it as NULL_VALUE, just as a history file without that
//! column gives nulls. *Removing* one keeps them, and so does *another name* of one key. *Another entity*, *another type*
//! of a key or feature, keys that *changed places*, or other due times, make every stored row unreadable or wrong: the
//! view starts empty in a new generation, and [`ViewSet::changes`] says so. Plans bound before go on reading the old one
//! until they are dropped.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use rocksdb::WriteBatch;
use skewless_batch::Type;
use skewless_catalog::visibility::Rule;
use skewless_catalog::{Catalog, Misfit, Plan, ViewId, ViewSchema};

use crate::apply::publish;
use crate::error::StoreError;
use crate::live::{About, Family, Generation, Live, Shared, Slot};
use crate::meta::{Meta, ViewRecord, rows_family, wait_family};
use crate::options;
use crate::row::{COLUMNS_MAX, Columns, Place};
use crate::ttl::NO_TTL;

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

/// A view of one catalog, bound to its rows. Cheap to clone in its `Arc`.
pub struct ViewHandle {
    pub(crate) slot: Arc<Slot>,
    /// The catalog's rule, with its TTL.
    pub(crate) rule: Rule,
    pub(crate) features: Vec<(String, Type)>,
    /// Per feature its place in a row.
    pub(crate) places: Vec<Place>,
    _token: Arc<()>,
}

/// The views of one catalog.
#[derive(Clone)]
pub struct ViewSet {
    handles: Arc<[Arc<ViewHandle>]>,
    changes: Arc<[SchemaChange]>,
}

/// A plan's lookups bound to stored rows; made once per plan and catalog.
pub struct StorePlan {
    pub(crate) lookups: Vec<BoundLookup>,
    pub(crate) keys: Vec<(String, Type)>,
    pub(crate) slots: Vec<Type>,
}

pub(crate) struct BoundLookup {
    pub(crate) view: Arc<ViewHandle>,
    /// Indexes into the frame's keys.
    pub(crate) keys: Vec<usize>,
    /// Where a value is and which slot it goes to.
    pub(crate) features: Vec<(Place, usize)>,
}

impl ViewHandle {
    /// The view's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.slot.view
    }

    /// The catalog's rule for this view.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// Types of the key columns.
    #[must_use]
    pub fn keys(&self) -> &[Type] {
        &self.slot.keys
    }

    /// Names and types of the features, as the catalog has them.
    #[must_use]
    pub fn features(&self) -> &[(String, Type)] {
        &self.features
    }
}

impl ViewSet {
    /// The view of this id in the catalog the set was made from.
    pub fn view(&self, id: ViewId) -> Result<&Arc<ViewHandle>, StoreError> {
        let found = self.handles.get(id.0 as usize);
        found.ok_or_else(|| StoreError::UnknownView { view: format!("#{}", id.0) })
    }

    /// The view of this name.
    pub fn by_name(&self, name: &str) -> Result<&Arc<ViewHandle>, StoreError> {
        let found = self.handles.iter().find(|handle| handle.name() == name);
        found.ok_or_else(|| StoreError::UnknownView { view: name.to_owned() })
    }

    /// Every view, by [`ViewId`].
    #[must_use]
    pub fn views(&self) -> &[Arc<ViewHandle>] {
        &self.handles
    }

    /// What applying this catalog did to the stored views.
    #[must_use]
    pub fn changes(&self) -> &[SchemaChange] {
        &self.changes
    }

    /// Binds a plan of the same catalog, so that reads look nothing up by name.
    pub fn bind(&self, plan: &Plan) -> Result<StorePlan, StoreError> {
        let lookups = plan.lookups.iter().map(|lookup| {
            let view = self.view(lookup.view)?;
            if view.name() != lookup.view_name {
                return Err(StoreError::UnknownView { view: lookup.view_name.clone() });
            }
            let place = |&(feature, slot): &(usize, usize)| {
                let place = view.places.get(feature).copied();
                place.map(|place| (place, slot)).ok_or(StoreError::WrongFrame {
                    what: "features",
                    expected: view.places.len(),
                    came: feature,
                })
            };
            let features = lookup.features.iter().map(place).collect::<Result<_, _>>()?;
            Ok(BoundLookup { view: view.clone(), keys: lookup.keys.clone(), features })
        });
        Ok(StorePlan {
            lookups: lookups.collect::<Result<_, _>>()?,
            keys: plan.keys.iter().map(|key| (key.name.clone(), key.ty)).collect(),
            slots: plan.slots.iter().map(|slot| slot.ty).collect(),
        })
    }
}

/// The schemas of a catalog's views, by [`ViewId`].
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
        let old = next.current.get(&schema.name).and_then(|index| next.slots[*index].clone());
        let reason = old.as_ref().map(|slot| emptied_by(slot, schema));
        match (old, reason) {
            (Some(slot), Some(None)) => {
                cool(shared, &mut next, &slot, schema)?;
                let (columns, added) = extend(&slot, schema)?;
                let about = About::from(schema);
                if !added.is_empty() || **slot.about.load() != about {
                    let generation = next.generation(&slot)?.number;
                    let record =
                        ViewRecord::new(generation, &about, &slot.keys, &columns, &slot.rule);
                    meta.put_view(&mut batch, &schema.name, &record);
                    described.push((slot, columns, about));
                }
                if !added.is_empty() {
                    let view = schema.name.clone();
                    changes.push(SchemaChange::Extended { view, features: added });
                }
            }
            (old, reason) => {
                let number = claim(shared, &live)?;
                let index = create(shared, &mut next, schema, number)?;
                let slot = next.slots[index].clone();
                if let Some(slot) = slot {
                    let (about, columns) = (slot.about.load(), slot.columns.load());
                    let record = ViewRecord::new(number, &about, &slot.keys, &columns, &slot.rule);
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
    for (slot, columns, about) in described {
        slot.columns.store(Arc::new(columns));
        slot.about.store(Arc::new(about));
    }
    for slot in &emptied {
        slot.retired.store(true, Ordering::Release);
        drop_families(shared, &next, slot);
    }
    let_go(&mut next);
    let handles = schemas.iter().map(|schema| handle(&next, schema)).collect::<Result<_, _>>()?;
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

/// Why the slot's rows can't be read by this schema; `None` if they can.
fn emptied_by(slot: &Slot, schema: &ViewSchema) -> Option<String> {
    // A store that an older version wrote doesn't say all of it: then its rows are taken to be of this schema's.
    let (about, next) = (slot.about.load(), About::from(schema));
    let names = about.keys.as_ref().or(next.keys.as_ref());
    let name = |at: usize| {
        names.and_then(|names: &Vec<String>| names.get(at)).cloned().unwrap_or_default()
    };
    let stored = ViewSchema {
        name: slot.view.clone(),
        entity: about.entity.as_ref().unwrap_or(&schema.entity).clone(),
        keys: slot.keys.iter().enumerate().map(|(at, ty)| (name(at), *ty)).collect(),
        features: slot.columns.load().list().to_vec(),
        rule: slot.rule,
    };
    let misfits = schema.misfits(&stored).into_iter().filter(Misfit::empties);
    let reasons: Vec<String> = misfits.map(|misfit| misfit.to_string()).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Leaves the view's hot rows behind if its TTL changes: compaction may have made husks of what they still
/// have whole, and a raised TTL must not bring back some of it.
fn cool(
    shared: &Shared,
    next: &mut Live,
    slot: &Slot,
    schema: &ViewSchema,
) -> Result<(), StoreError> {
    if slot.ttl_us.load(Ordering::Relaxed) != schema.rule.ttl_us.unwrap_or(NO_TTL) {
        let number = next.generation(slot)?.number;
        let generation = find_generation(shared, &next.db, &slot.view, number)?;
        next.generations[slot.index] = Some(Arc::new(generation));
    }
    Ok(())
}

/// The columns with those of the schema's features that are new, and the names of these.
fn extend(slot: &Slot, schema: &ViewSchema) -> Result<(Columns, Vec<String>), StoreError> {
    let mut columns = Columns::clone(&slot.columns.load());
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

/// Makes an empty generation for a schema and points `next` at it. Gives its slot's index.
fn create(
    shared: &Shared,
    next: &mut Live,
    schema: &ViewSchema,
    number: u64,
) -> Result<usize, StoreError> {
    let ttl_us = Arc::new(AtomicI64::new(NO_TTL));
    let generation = create_generation(shared, next, &schema.name, number, &ttl_us)?;
    let index = next.slots.len();
    let rule = Rule { ttl_us: None, ..schema.rule };
    let columns = Columns::new(schema.features.clone());
    let keys = schema.keys.iter().map(|(_, ty)| *ty).collect();
    let slot = new_slot(index, &schema.name, About::from(schema), keys, rule, ttl_us, columns);
    next.slots.push(Some(Arc::new(slot)));
    next.generations.push(Some(Arc::new(generation)));
    next.current.insert(schema.name.clone(), index);
    Ok(index)
}

pub(crate) fn new_slot(
    index: usize,
    view: &str,
    about: About,
    keys: Vec<Type>,
    rule: Rule,
    ttl_us: Arc<AtomicI64>,
    columns: Columns,
) -> Slot {
    Slot {
        index,
        view: view.to_owned(),
        about: ArcSwap::from_pointee(about),
        keys,
        rule,
        ttl_us,
        columns: ArcSwap::from_pointee(columns),
        retired: AtomicBool::new(false),
        token: Arc::new(()),
    }
}

/// Takes a generation's number, durably, before anything is made under it: no other generation ever has it. If the
/// write that points at this one fails, the log may hold it all the same, and the next open goes by it.
///
/// The sync is of the whole log. And where writes are refused, nothing further is tried.
pub(crate) fn claim(shared: &Shared, live: &Live) -> Result<u64, StoreError> {
    let meta = Meta { db: &live.db, family: &live.meta };
    let number = meta.next_generation()?;
    let mut batch = WriteBatch::default();
    meta.put_next(&mut batch, number + 1);
    shared.write(live, batch, &options::write_durably())?;
    publish(shared);
    Ok(number)
}

/// Creates the two column families of a generation; both are orphans until `meta` points at them.
pub(crate) fn create_generation(
    shared: &Shared,
    live: &Live,
    view: &str,
    number: u64,
    ttl_us: &Arc<AtomicI64>,
) -> Result<Generation, StoreError> {
    let clock_us = shared.clock_us.clone();
    let rows = options::rows(&shared.config, &shared.cache, ttl_us.clone(), clock_us);
    let wait = options::family(&shared.config, &shared.cache);
    for (name, options) in [(rows_family(view, number), rows), (wait_family(view, number), wait)] {
        live.db.create_cf(&name, &options).map_err(|error| shared.broke(error))?;
    }
    find_generation(shared, &live.db, view, number)
}

pub(crate) fn find_generation(
    shared: &Shared,
    db: &Arc<crate::live::Db>,
    view: &str,
    number: u64,
) -> Result<Generation, StoreError> {
    let family = |name: String| {
        Family::find(db, &name).ok_or_else(|| StoreError::Corrupt {
            dir: shared.dir.clone(),
            file: "the store's manifest".to_owned(),
            detail: format!("column family {name} of view `{view}` is missing"),
            advice: crate::error::RELOAD,
        })
    };
    let rows = family(rows_family(view, number))?;
    let wait = family(wait_family(view, number))?;
    Ok(Generation { number, rows, wait, hot: shared.hot.next_generation() })
}

/// Gives a generation's disk space back once its last reader is gone.
pub(crate) fn drop_generation(shared: &Shared, live: &Live, view: &str, number: u64) {
    for name in [rows_family(view, number), wait_family(view, number)] {
        // One that was refused half-way may not have it.
        if live.db.cf_handle(&name).is_none() {
            continue;
        }
        if let Err(error) = live.db.drop_cf(&name) {
            let error = shared.broke(error);
            // It stays as an orphan and is dropped at the next open.
            tracing::warn!(dir = %shared.dir.display(), %name, %error, "generation not dropped");
        }
    }
}

fn drop_families(shared: &Shared, live: &Live, slot: &Slot) {
    if let Ok(generation) = live.generation(slot) {
        drop_generation(shared, live, &slot.view, generation.number);
    }
}

fn let_go(next: &mut Live) {
    for index in 0..next.slots.len() {
        let unbound = next.slots[index].as_ref().is_some_and(|slot| {
            slot.retired.load(Ordering::Acquire) && Arc::strong_count(&slot.token) == 1
        });
        if unbound {
            next.slots[index] = None;
            next.generations[index] = None;
        }
    }
}

fn handle(live: &Live, schema: &ViewSchema) -> Result<Arc<ViewHandle>, StoreError> {
    let unknown = || StoreError::UnknownView { view: schema.name.clone() };
    let index = *live.current.get(&schema.name).ok_or_else(unknown)?;
    let slot = live.slots[index].clone().ok_or_else(unknown)?;
    slot.ttl_us.store(schema.rule.ttl_us.unwrap_or(NO_TTL), Ordering::Relaxed);
    let columns = slot.columns.load();
    let place = |(name, ty): &(String, Type)| columns.find(name, *ty).ok_or_else(unknown);
    let places = schema.features.iter().map(place).collect::<Result<_, _>>()?;
    Ok(Arc::new(ViewHandle {
        _token: slot.token.clone(),
        slot: slot.clone(),
        rule: schema.rule,
        features: schema.features.clone(),
        places,
    }))
}

#[cfg(test)]
mod tests;

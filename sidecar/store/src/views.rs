//! Views and plans bound to what is stored: names and feature indexes become places; not reading itself, and not what
//! new definitions do to stored rows (`schema.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use skewless_batch::Type;
use skewless_catalog::visibility::Rule;
use skewless_catalog::{Plan, ViewId, ViewSchema};

use crate::error::StoreError;
use crate::live::{Live, StoredView};
use crate::row::Place;
use crate::schema::SchemaChange;
use crate::ttl::NO_TTL;

/// A view of one catalog, bound to its rows. Cheap to clone in its `Arc`.
pub struct ViewHandle {
    pub(crate) stored: Arc<StoredView>,
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
    pub(crate) handles: Arc<[Arc<ViewHandle>]>,
    pub(crate) changes: Arc<[SchemaChange]>,
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
    /// What is current of a view, bound to its definition.
    pub(crate) fn bind(live: &Live, schema: &ViewSchema) -> Result<Arc<Self>, StoreError> {
        let unknown = || StoreError::UnknownView { view: schema.name.clone() };
        let index = *live.current.get(&schema.name).ok_or_else(unknown)?;
        let stored = live.stored[index].clone().ok_or_else(unknown)?;
        stored.ttl_us.store(schema.rule.ttl_us.unwrap_or(NO_TTL), Ordering::Relaxed);
        let columns = stored.columns.load();
        let place = |(name, ty): &(String, Type)| columns.find(name, *ty).ok_or_else(unknown);
        let places = schema.features.iter().map(place).collect::<Result<_, _>>()?;
        Ok(Arc::new(Self {
            _token: stored.token.clone(),
            stored: stored.clone(),
            rule: schema.rule,
            features: schema.features.clone(),
            places,
        }))
    }

    /// The view's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.stored.view
    }

    /// The catalog's rule for this view.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// Types of the key columns.
    #[must_use]
    pub fn keys(&self) -> &[Type] {
        &self.stored.keys
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

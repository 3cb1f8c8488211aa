//! Feast's views of stored features, from batches and from streams, as views of ours.

use std::collections::BTreeMap;

use prost_types::Duration;
use skewless_batch::Type;
use skewless_catalog::limit::{DURATION_US_MAX, VIEW_FEATURES_MAX};
use skewless_proto::feast::core::{DataSource, FeatureSpecV2, Registry};

use super::super::definitions::{Column, View};
use super::super::identifier::{Given, identifier};
use super::keys::DUMMY_KEY;
use super::sources::{self, Found};
use super::{EVENT_TIMESTAMP, Head, Translator, doc};
use crate::feast::names_file::ViewNames;
use crate::feast::value_type::{Carried, carried};

/// A view of stored features, of either kind.
pub(super) struct Stored<'r> {
    pub(super) name: &'r str,
    pub(super) entities: &'r [String],
    pub(super) entity_columns: &'r [FeatureSpecV2],
    features: &'r [FeatureSpecV2],
    description: &'r str,
    ttl: Option<&'r Duration>,
    batch_source: Option<&'r DataSource>,
    stream_source: Option<&'r DataSource>,
    online: bool,
    disabled: bool,
    /// What computes its values from the source's, if something does.
    computed_by: Option<&'static str>,
}

impl<'r> Translator<'r> {
    pub(super) fn views(&mut self, registry: &'r Registry) {
        let mut views = stored(registry, self.project);
        views.sort_by_key(|view| view.name);
        views.iter().for_each(|view| self.view(view));
    }

    pub(super) fn label_views(&mut self, registry: &Registry) {
        let specs = registry.label_views.iter().flat_map(|view| &view.spec);
        let mut names: Vec<&str> = specs
            .filter(|spec| spec.project == self.project)
            .map(|spec| spec.name.as_str())
            .collect();
        names.sort_unstable();
        for name in names {
            self.left_out(
                format!("label view `{name}`"),
                "labels are no features; keep them beside the spine",
            );
        }
    }

    fn view(&mut self, view: &Stored<'r>) {
        let shown = format!("view `{}`", view.name);
        let features = self.features(view);
        let keys = match self.join_keys(view) {
            Ok(keys) => keys,
            Err(why) => return self.left_out(shown, why),
        };
        if features.is_empty() {
            return self.left_out(shown, "it has no feature of a type that is stored here");
        }
        if features.len() > VIEW_FEATURES_MAX {
            let came = features.len();
            let why = format!(
                "expected at most {VIEW_FEATURES_MAX} features (VIEW_FEATURES_MAX), came {came}"
            );
            return self.left_out(shown, why);
        }
        let source = match view.computed_by {
            Some(what) => {
                Err(format!("what it holds is made of the source by {what}, which isn't run here"))
            }
            None => sources::source(view.batch_source, self.root)
                .and_then(|found| usable(found, &keys, &features)),
        };
        let columns = source.as_ref().ok().map(|(_, columns)| columns.as_slice());
        let entity = self.entity(view, &keys, columns);
        let source = match source {
            Ok((source, _)) => Some(source),
            Err(why) => {
                self.left_out(format!("source of view `{}`", view.name), why);
                None
            }
        };
        self.said_of(view);
        let name = self.head_names.give(view.name);
        self.renamed("view", view.name, &name);
        let columns = self.columns(view, entity, &features, &name);
        let of = &self.out.entities[entity];
        let names = ViewNames {
            name: view.name.to_owned(),
            keys: of.keys.iter().map(|key| (key.column.clone(), key.feast.clone())).collect(),
            features: features
                .iter()
                .zip(&columns)
                .map(|((feature, _), column)| (column.name.clone(), feature.name.clone()))
                .collect(),
            left_out: view
                .features
                .iter()
                .filter(|feature| carried(feature).is_err())
                .map(|feature| feature.name.clone())
                .collect(),
            join_keys: of
                .keys
                .iter()
                .filter(|key| key.join_key != key.column)
                .map(|key| (key.join_key.clone(), key.feast.clone()))
                .collect(),
            // Those come when services and on-demand views have been read.
            roles: BTreeMap::new(),
        };
        let head = Head {
            name: name.clone(),
            entity: Some(entity),
            columns: features
                .iter()
                .zip(&columns)
                .map(|((feature, _), column)| {
                    (feature.name.clone(), (column.name.clone(), column.ty))
                })
                .collect(),
        };
        let view_of_ours = View {
            name: name.clone(),
            doc: doc(view.description),
            entity: of.name.clone(),
            ttl_us: self.ttl(view),
            features: columns,
            source,
        };
        self.out.views.push(view_of_ours);
        self.names.views.insert(name, names);
        self.heads.insert(view.name.to_owned(), head);
    }

    /// The features whose types are stored here.
    fn features(&mut self, view: &Stored<'r>) -> Vec<(&'r FeatureSpecV2, Carried)> {
        let mut features: Vec<(&FeatureSpecV2, Carried)> = Vec::new();
        for feature in view.features {
            let shown = format!("feature `{}` of view `{}`", feature.name, view.name);
            match carried(feature) {
                Ok(ty) => {
                    if let Carried::Wider(_, how) = ty {
                        self.different(shown, how);
                    }
                    features.push((feature, ty));
                }
                Err(name) => self.left_out(shown, format!("type {name} is not stored here")),
            }
        }
        features
    }

    /// The features as columns of ours, with names that are free beside the entity's keys.
    fn columns(
        &mut self,
        view: &Stored<'_>,
        entity: usize,
        features: &[(&FeatureSpecV2, Carried)],
        name: &str,
    ) -> Vec<Column> {
        let keys = self.out.entities[entity].keys.iter().map(|key| key.column.as_str());
        let known = features.iter().map(|(feature, _)| feature.name.as_str());
        let mut given = Given::without(keys.chain([EVENT_TIMESTAMP])).keeping(known);
        let mut columns = Vec::new();
        for (feature, ty) in features {
            let own = given.give(&feature.name);
            if own != feature.name {
                let what = format!("feature of view `{}`", view.name);
                self.renamed(&what, &feature.name, &format!("{name}.{own}"));
            }
            columns.push(Column { name: own, ty: ty.ty(), doc: doc(&feature.description) });
        }
        columns
    }

    /// What a view does in Feast beyond holding rows.
    fn said_of(&mut self, view: &Stored<'_>) {
        let shown = format!("view `{}`", view.name);
        if let Some(stream) = view.stream_source {
            let how = format!(
                "its rows also come from {} in Feast; send them by Ingest",
                sources::kind(stream)
            );
            self.different(&shown, how);
        }
        if !view.online {
            self.different(&shown, "it is not online in Feast; here it is served once it has rows");
        }
        if view.disabled {
            self.different(&shown, "it is disabled in Feast; here it is served once it has rows");
        }
    }

    fn ttl(&mut self, view: &Stored<'_>) -> Option<i64> {
        let ttl = view.ttl.filter(|ttl| ttl.seconds > 0 || ttl.nanos > 0)?;
        let us = ttl
            .seconds
            .checked_mul(1_000_000)
            .and_then(|us| us.checked_add((ttl.nanos / 1_000).into()));
        let us = us.filter(|us| *us <= DURATION_US_MAX);
        if us.is_none() {
            let how = "its TTL is longer than 1,000 years; here it has none";
            self.different(format!("view `{}`", view.name), how);
        }
        us
    }
}

/// The source, and its key columns, if its columns are called as the definitions call them.
fn usable(
    found: Found<'_>,
    keys: &[(String, Type)],
    features: &[(&FeatureSpecV2, Carried)],
) -> Result<(super::super::definitions::Source, Vec<String>), String> {
    let mut columns: Vec<String> = Vec::new();
    for (key, _) in keys {
        if key == DUMMY_KEY {
            return Err(
                "the view has no entity in Feast, so its files have no column of keys; write them with a column `dummy_id` of \
                 empty texts, and name them as its `source`"
                    .to_owned(),
            );
        }
        let column = found.column(key);
        if identifier(column) != column || column == EVENT_TIMESTAMP {
            return Err(format!(
                "its key column `{column}` can't be called so here; write it with a name of a-z, 0-9 and _"
            ));
        }
        columns.push(column.to_owned());
    }
    for (feature, _) in features {
        let column = found.column(&feature.name);
        let name = &feature.name;
        if column != name
            || identifier(name) != *name
            || name == EVENT_TIMESTAMP
            || columns.contains(name)
        {
            return Err(format!(
                "a feature is called as its column here, and column `{column}` of feature `{name}` isn't or can't be; \
                 write the files with the names of the view's features"
            ));
        }
    }
    let Found { source, .. } = found;
    let times = std::iter::once(&source.event_timestamp).chain(&source.created_timestamp);
    for time in times {
        if columns.contains(time) {
            return Err(format!(
                "`{time}` is a key and a time at once; write the time as a column of its own"
            ));
        }
    }
    if source.created_timestamp.as_ref() == Some(&source.event_timestamp) {
        let source = super::super::definitions::Source { created_timestamp: None, ..source };
        return Ok((source, columns));
    }
    Ok((source, columns))
}

/// Every view of stored features of a project.
fn stored<'r>(registry: &'r Registry, project: &str) -> Vec<Stored<'r>> {
    let batches = registry.feature_views.iter().flat_map(|view| &view.spec);
    let batches = batches.filter(|spec| spec.project == project).map(|spec| Stored {
        name: &spec.name,
        entities: &spec.entities,
        entity_columns: &spec.entity_columns,
        features: &spec.features,
        description: &spec.description,
        ttl: spec.ttl.as_ref(),
        batch_source: spec.batch_source.as_ref(),
        stream_source: spec.stream_source.as_ref(),
        online: spec.online,
        disabled: spec.disabled,
        computed_by: match (&spec.feature_transformation, spec.source_views.is_empty()) {
            (Some(_), _) => Some("a transformation"),
            (None, false) => Some("other views"),
            (None, true) => None,
        },
    });
    let streams = registry.stream_feature_views.iter().flat_map(|view| &view.spec);
    let streams = streams.filter(|spec| spec.project == project).map(|spec| Stored {
        name: &spec.name,
        entities: &spec.entities,
        entity_columns: &spec.entity_columns,
        features: &spec.features,
        description: &spec.description,
        ttl: spec.ttl.as_ref(),
        batch_source: spec.batch_source.as_ref(),
        stream_source: spec.stream_source.as_ref(),
        online: spec.online,
        disabled: spec.disabled,
        computed_by: match (
            spec.aggregations.is_empty(),
            &spec.feature_transformation,
            &spec.user_defined_function,
        ) {
            (false, _, _) => Some("aggregations"),
            (true, None, None) => None,
            (true, _, _) => Some("a transformation"),
        },
    });
    batches.chain(streams).collect()
}

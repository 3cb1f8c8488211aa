//! The names that a project has, by the namespaces that they will be given in: before any is given, so that those that are
//! valid here stay as they are. What becomes of each is `keys.rs`, `views.rs`, `transforms.rs` and `services.rs`.

use std::collections::{BTreeMap, BTreeSet};

use skewless_proto::feast::core::data_source::Options;
use skewless_proto::feast::core::on_demand_source::Source;
use skewless_proto::feast::core::{EntitySpecV2, OnDemandFeatureViewSpec, Registry};

/// Names of Feast's.
pub(super) struct Known<'r> {
    /// Of views and on-demand views.
    pub(super) heads: BTreeSet<&'r str>,
    /// Of what callers give: join keys, those that they are mapped to, and values of requests.
    pub(super) asked: BTreeSet<&'r str>,
    /// Of projections: what roles are called.
    pub(super) roles: BTreeSet<&'r str>,
}

impl<'r> Known<'r> {
    pub(super) fn of(
        registry: &'r Registry,
        project: &str,
        entities: &BTreeMap<&'r str, &'r EntitySpecV2>,
    ) -> Self {
        let batches = registry.feature_views.iter().flat_map(|view| &view.spec);
        let batches = batches.map(|spec| (&spec.project, &spec.name));
        let streams = registry.stream_feature_views.iter().flat_map(|view| &view.spec);
        let streams = streams.map(|spec| (&spec.project, &spec.name));
        let on_demand = registry.on_demand_feature_views.iter().flat_map(|view| &view.spec);
        let on_demand: Vec<&OnDemandFeatureViewSpec> =
            on_demand.filter(|spec| spec.project == project).collect();
        let heads = batches.chain(streams).filter(|(of, _)| *of == project).map(|(_, name)| name);
        let heads = heads.chain(on_demand.iter().map(|spec| &spec.name)).map(String::as_str);
        let keys = entities.values().map(|spec| match spec.join_key.as_str() {
            "" => spec.name.as_str(),
            key => key,
        });
        let services = registry.feature_services.iter().flat_map(|service| &service.spec);
        let services = services.filter(|spec| spec.project == project);
        let projections = || services.clone().flat_map(|spec| &spec.features);
        let mapped = projections().flat_map(|of| of.join_key_map.values()).map(String::as_str);
        let aliases = projections().map(|of| of.feature_view_name_alias.as_str());
        let values = on_demand.iter().flat_map(|spec| values(spec));
        Self {
            heads: heads.collect(),
            asked: keys.chain(mapped).chain(values).collect(),
            roles: aliases.filter(|alias| !alias.is_empty()).collect(),
        }
    }
}

/// Names of the request values that an on-demand view takes.
pub(super) fn values(spec: &OnDemandFeatureViewSpec) -> impl Iterator<Item = &str> {
    let sources = spec.sources.values().flat_map(|source| &source.source);
    let columns = sources.flat_map(|source| match source {
        Source::RequestDataSource(source) => match &source.options {
            Some(Options::RequestDataOptions(options)) => options.schema.as_slice(),
            _ => &[],
        },
        _ => &[],
    });
    columns.map(|column| column.name.as_str())
}

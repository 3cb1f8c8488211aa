//! Feast's feature services, feature by feature in their order.

use std::collections::BTreeSet;

use skewless_catalog::limit::SERVICE_FEATURES_MAX;
use skewless_proto::feast::core::{FeatureServiceSpec, FeatureViewProjection, Registry};

use super::super::definitions::Service;
use super::super::identifier::Given;
use super::{EVENT_TIMESTAMP, Translator, doc};
use crate::feast::names_file::ServiceNames;

/// What Feast calls a projection in the full names of its features.
pub(super) fn called(projection: &FeatureViewProjection) -> &str {
    match projection.feature_view_name_alias.as_str() {
        "" => &projection.feature_view_name,
        alias => alias,
    }
}

impl<'r> Translator<'r> {
    pub(super) fn services(&mut self, registry: &'r Registry) {
        let specs = registry.feature_services.iter().flat_map(|service| &service.spec);
        let mut specs: Vec<&FeatureServiceSpec> =
            specs.filter(|spec| spec.project == self.project).collect();
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        // First every role: its join keys are names that no output may have.
        for projection in specs.iter().flat_map(|spec| &spec.features) {
            self.role_of(projection).ok();
        }
        let mut given = Given::default().keeping(specs.iter().map(|spec| spec.name.as_str()));
        for spec in specs {
            let name = given.give(&spec.name);
            self.renamed("service", &spec.name, &name);
            self.service(spec, name);
        }
    }

    fn service(&mut self, spec: &FeatureServiceSpec, name: String) {
        let shown = format!("service `{}`", spec.name);
        let mut features: Vec<(String, Option<String>)> = Vec::new();
        let mut names = ServiceNames { name: spec.name.clone(), ..ServiceNames::default() };
        let asked = self.asked.join_keys.values().chain(self.asked.requests.values());
        let mut outputs = Given::without(asked.map(String::as_str).chain([EVENT_TIMESTAMP]));
        let mut seen = BTreeSet::new();
        for projection in &spec.features {
            let view = &projection.feature_view_name;
            let alias = Some(&projection.feature_view_name_alias);
            let alias = alias.filter(|alias| !alias.is_empty() && *alias != view);
            if let Some(version) = projection.version_tag {
                let how = format!(
                    "it asks for version {version} of `{view}`; here for the one that is declared"
                );
                self.different(&shown, how);
            }
            for feature in &projection.feature_columns {
                let wanted = format!("{view}:{}", feature.name);
                let reference = match self.projected(projection, &feature.name) {
                    Ok(reference) => reference,
                    Err(why) => {
                        self.left_out(format!("`{wanted}` of {shown}"), why);
                        continue;
                    }
                };
                let called_so =
                    alias.map(|alias| outputs.make(&format!("{alias}__{}", feature.name)));
                let output = called_so.clone().unwrap_or_else(|| reference.clone());
                if !seen.insert(output.clone()) {
                    self.left_out(format!("`{wanted}` of {shown}"), "the service has it already");
                    continue;
                }
                names.features.insert(output, format!("{}:{}", called(projection), feature.name));
                features.push((reference, called_so));
            }
        }
        if features.is_empty() {
            return self.left_out(shown, "nothing that it asks for was carried over");
        }
        if features.len() > SERVICE_FEATURES_MAX {
            let came = features.len();
            let why = format!(
                "expected at most {SERVICE_FEATURES_MAX} features (SERVICE_FEATURES_MAX), came {came}"
            );
            return self.left_out(shown, why);
        }
        self.names.services.insert(name.clone(), names);
        self.out.services.push(Service { name, doc: doc(&spec.description), features });
    }

    /// The reference to a feature of a projection; or why there is none.
    pub(super) fn projected(
        &mut self,
        projection: &FeatureViewProjection,
        feature: &str,
    ) -> Result<String, String> {
        let role = self.role_of(projection)?;
        let view = &projection.feature_view_name;
        let head = self.heads.get(view).ok_or_else(|| format!("`{view}` was not carried over"))?;
        let (column, _) = head
            .columns
            .get(feature)
            .ok_or_else(|| format!("`{view}:{feature}` was not carried over"))?;
        Ok(self.reference(head, role.as_deref(), column))
    }

    /// The role in which a projection asks its view's entity.
    fn role_of(&mut self, projection: &FeatureViewProjection) -> Result<Option<String>, String> {
        let entity = self.heads.get(&projection.feature_view_name).and_then(|head| head.entity);
        match entity {
            Some(entity) => {
                self.role(entity, &projection.feature_view_name_alias, &projection.join_key_map)
            }
            None => Ok(None),
        }
    }
}

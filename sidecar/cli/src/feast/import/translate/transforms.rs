//! Feast's on-demand views as transforms whose plugins are still to be written: what they take and give is carried over, what
//! they compute is Python, which is kept as text for whoever writes it.

use std::collections::{BTreeMap, BTreeSet};

use skewless_proto::feast::core::data_source::Options;
use skewless_proto::feast::core::feature_transformation_v2::Transformation;
use skewless_proto::feast::core::on_demand_source::Source;
use skewless_proto::feast::core::{
    FeatureSpecV2, FeatureViewProjection, OnDemandFeatureViewSpec, Registry,
};

use super::super::definitions::{Column, Input, Transform};
use super::super::identifier::Given;
use super::known::values;
use super::services::called;
use super::{EVENT_TIMESTAMP, Head, Translator, doc};
use crate::feast::names_file::TransformNames;
use crate::feast::value_type::{Carried, carried};

/// Feast's names for what a transform takes, by our references.
type InputNames = BTreeMap<String, BTreeSet<String>>;

/// Words of Rust that can't be written as names at all, not even as `r#word`.
const NO_NAMES: [&str; 3] = ["crate", "self", "super"];

impl<'r> Translator<'r> {
    pub(super) fn transforms(&mut self, registry: &'r Registry) {
        let specs = registry.on_demand_feature_views.iter().flat_map(|view| &view.spec);
        let mut specs: Vec<&OnDemandFeatureViewSpec> =
            specs.filter(|spec| spec.project == self.project).collect();
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        specs.into_iter().for_each(|spec| self.transform(spec));
    }

    fn transform(&mut self, spec: &OnDemandFeatureViewSpec) {
        let shown = format!("on-demand view `{}`", spec.name);
        let (inputs, input_names) = self.inputs(spec, &shown);
        if inputs.is_empty() {
            return self.left_out(shown, "nothing that it takes could be carried over");
        }
        let given = Given::without(NO_NAMES.into_iter().chain([EVENT_TIMESTAMP]));
        let mut given = given.keeping(spec.features.iter().map(|feature| feature.name.as_str()));
        let mut outputs = Vec::new();
        for feature in &spec.features {
            let Some(ty) = self.carried(feature, "output", &shown) else { continue };
            let name = given.give(&feature.name);
            self.renamed(&format!("output of {shown}"), &feature.name, &name);
            outputs.push((
                &feature.name,
                Column { name, ty: ty.ty(), doc: doc(&feature.description) },
            ));
        }
        if outputs.is_empty() {
            return self.left_out(shown, "nothing that it gives is of a type that there is here");
        }
        let name = self.head_names.give(&spec.name);
        self.renamed("on-demand view", &spec.name, &name);
        let how = format!("its Python isn't run here; write plugins/{name}, whose README says how");
        self.different(&shown, how);
        if !spec.aggregations.is_empty() {
            self.different(
                &shown,
                "it has aggregations, which the plugin has to compute of what it takes",
            );
        }
        if spec.write_to_online_store {
            self.different(
                &shown,
                "it is computed when its source is written in Feast, and when it is asked for here",
            );
        }
        if spec.disabled {
            self.different(&shown, "it is disabled in Feast");
        }
        let names = TransformNames {
            name: spec.name.clone(),
            features: outputs
                .iter()
                .map(|(feast, column)| (column.name.clone(), (*feast).clone()))
                .collect(),
            inputs: input_names,
        };
        self.names.transforms.insert(name.clone(), names);
        let columns = outputs
            .iter()
            .map(|(feast, column)| ((*feast).clone(), (column.name.clone(), column.ty)));
        let head = Head { name: name.clone(), entity: None, columns: columns.collect() };
        let (source, mode) = code(spec);
        self.out.transforms.push(Transform {
            name,
            doc: doc(&spec.description),
            inputs,
            outputs: outputs.into_iter().map(|(_, column)| column).collect(),
            source,
            mode,
        });
        self.heads.insert(spec.name.clone(), head);
    }

    /// What it takes: features of views in the order of their names, then values of requests. And Feast's names for these.
    fn inputs(&mut self, spec: &OnDemandFeatureViewSpec, shown: &str) -> (Vec<Input>, InputNames) {
        let mut sources: Vec<&Source> =
            spec.sources.values().flat_map(|source| &source.source).collect();
        sources.sort_by(|a, b| place(a).cmp(&place(b)));
        let columns = sources.iter().flat_map(|source| match source {
            Source::FeatureView(view) => {
                view.spec.as_ref().map_or(&[][..], |spec| spec.features.as_slice())
            }
            Source::FeatureViewProjection(projection) => projection.feature_columns.as_slice(),
            Source::RequestDataSource(_) => &[],
        });
        let known = columns.map(|column| column.name.as_str()).chain(values(spec));
        let mut given = Given::without(NO_NAMES).keeping(known);
        let (mut inputs, mut names) = (Vec::new(), InputNames::new());
        for source in sources {
            match source {
                Source::FeatureView(view) => {
                    let Some(spec) = &view.spec else { continue };
                    let projection = FeatureViewProjection {
                        feature_view_name: spec.name.clone(),
                        feature_columns: spec.features.clone(),
                        ..FeatureViewProjection::default()
                    };
                    self.of_view(&projection, shown, &mut given, (&mut inputs, &mut names));
                }
                Source::FeatureViewProjection(projection) => {
                    self.of_view(projection, shown, &mut given, (&mut inputs, &mut names));
                }
                Source::RequestDataSource(source) => {
                    let Some(Options::RequestDataOptions(options)) = &source.options else {
                        continue;
                    };
                    for column in &options.schema {
                        let Some((name, ty)) = self.request(column, shown) else { continue };
                        let own = given.give(&column.name);
                        let reference = format!("request.{name}");
                        names.entry(reference.clone()).or_default().insert(column.name.clone());
                        let column = Column { name: own, ty, doc: doc(&column.description) };
                        inputs.push(Input { column, reference });
                    }
                }
            }
        }
        (inputs, names)
    }

    fn of_view(
        &mut self,
        projection: &FeatureViewProjection,
        shown: &str,
        given: &mut Given,
        (inputs, names): (&mut Vec<Input>, &mut InputNames),
    ) {
        let from = &projection.feature_view_name;
        for feature in &projection.feature_columns {
            let reference = match self.projected(projection, &feature.name) {
                Ok(reference) => reference,
                Err(why) => {
                    self.left_out(format!("input `{from}:{}` of {shown}", feature.name), why);
                    continue;
                }
            };
            let Ok(ty) = carried(feature) else { continue };
            // Feast, too, tells features of the same name apart like this.
            let name = match given.has(&feature.name) {
                true => given.make(&format!("{from}__{}", feature.name)),
                false => given.give(&feature.name),
            };
            let column = Column { name, ty: ty.ty(), doc: doc(&feature.description) };
            let called = format!("{}:{}", called(projection), feature.name);
            names.entry(reference.clone()).or_default().insert(called);
            inputs.push(Input { column, reference });
        }
    }

    /// The value of a request with a name of ours, declared if it wasn't.
    fn request(
        &mut self,
        column: &FeatureSpecV2,
        shown: &str,
    ) -> Option<(String, skewless_batch::Type)> {
        let ty = self.carried(column, "request value", shown)?.ty();
        let known = (column.name.clone(), ty.to_string());
        if let Some(name) = self.asked.requests.get(&known) {
            return Some((name.clone(), ty));
        }
        let name = self.asked.given.give(&column.name);
        self.renamed("request value", &column.name, &name);
        self.asked.requests.insert(known, name.clone());
        self.out.requests.push(Column { name: name.clone(), ty, doc: doc(&column.description) });
        Some((name, ty))
    }

    fn carried(&mut self, column: &FeatureSpecV2, what: &str, shown: &str) -> Option<Carried> {
        let what = format!("{what} `{}` of {shown}", column.name);
        match carried(column) {
            Ok(Carried::Wider(ty, how)) => {
                self.different(what, how);
                Some(Carried::Wider(ty, how))
            }
            Ok(ty) => Some(ty),
            Err(name) => {
                self.left_out(what, format!("there is no type {name} here"));
                None
            }
        }
    }
}

/// By what sources are sorted: the map that Feast has them in has no order.
fn place(source: &Source) -> (u8, &str) {
    match source {
        Source::FeatureView(view) => (0, view.spec.as_ref().map_or("", |spec| spec.name.as_str())),
        Source::FeatureViewProjection(projection) => (0, &projection.feature_view_name),
        Source::RequestDataSource(source) => (1, &source.name),
    }
}

/// The function's source and what it takes: "pandas", "python" or "substrait".
fn code(spec: &OnDemandFeatureViewSpec) -> (Option<String>, String) {
    let new = spec.feature_transformation.as_ref().and_then(|new| new.transformation.as_ref());
    let (text, mode) = match new {
        Some(Transformation::UserDefinedFunction(function)) => {
            (Some(&function.body_text), function.mode.as_str())
        }
        Some(Transformation::SubstraitTransformation(_)) => (None, "substrait"),
        None => (spec.user_defined_function.as_ref().map(|old| &old.body_text), "pandas"),
    };
    let mode = if spec.mode.is_empty() { mode } else { spec.mode.as_str() };
    (text.filter(|text| !text.is_empty()).cloned(), mode.to_owned())
}

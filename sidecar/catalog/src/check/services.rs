//! Services: what they ask for and how they name it; and definitions nobody asks for.

use std::collections::BTreeSet;

use super::declarations::EVENT_TIMESTAMP;
use super::{AskedServices, BoundTransforms, Checker};
use crate::definition::{Name, ServiceDef};
use crate::limit::SERVICE_FEATURES_MAX;
use crate::reference::{Binding, Reference};

impl Checker<'_> {
    /// Resolves what every service asks for.
    pub(super) fn services(&mut self) -> AskedServices {
        let mut asked = AskedServices::new();
        for service in &self.definitions.services {
            let features = self.service(service);
            asked.entry(service.name.value.clone()).or_insert(features);
        }
        asked
    }

    fn service(&mut self, service: &ServiceDef) -> Vec<(String, Reference)> {
        let came = service.features.len();
        self.limit(
            service.name.span,
            "features",
            "SERVICE_FEATURES_MAX",
            SERVICE_FEATURES_MAX,
            came,
        );
        let mut outputs: Vec<Name> = Vec::new();
        let mut features = Vec::new();
        for feature in &service.features {
            let name = feature.alias.as_ref().unwrap_or(&feature.reference);
            outputs.push(name.clone());
            if let Some(alias) = &feature.alias {
                self.alias(alias);
            }
            if let Some(resolved) = self.resolve(&feature.reference) {
                features.push((name.value.clone(), resolved.reference));
            }
        }
        self.once("output", outputs.iter(), &[EVENT_TIMESTAMP]);
        features
    }

    /// A backfill's output holds the spine's columns beside the answer's: they need distinct names.
    fn alias(&mut self, alias: &Name) {
        let name = &alias.value;
        let kind =
            match (self.scope.join_keys.contains_key(name), self.scope.requests.contains_key(name))
            {
                (true, _) => "a join key",
                (_, true) => "a request column",
                _ => return,
            };
        let message = format!(
            "expected another name for the output: `{name}` is {kind}, which a spine has as its own column"
        );
        self.findings.error(alias.span, message);
    }

    /// Warns of definitions without effect on any service.
    pub(super) fn unused(&mut self, bound: &BoundTransforms, asked: &AskedServices) {
        let mut waiting: Vec<&Reference> =
            asked.values().flatten().map(|(_, reference)| reference).collect();
        let (mut views, mut transforms, mut requests) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        while let Some(reference) = waiting.pop() {
            match reference {
                Reference::Feature { view, .. } => _ = views.insert(view.as_str()),
                Reference::Request(name) => _ = requests.insert(name.as_str()),
                Reference::JoinKey(_) => {}
                Reference::Output { transform, .. } if transforms.insert(transform.as_str()) => {
                    let inputs = bound.get(transform).into_iter().flat_map(|(_, inputs)| inputs);
                    waiting.extend(inputs.filter_map(|input| match input {
                        Binding::Reference(reference) => Some(reference),
                        Binding::Constant(_) => None,
                    }));
                }
                Reference::Output { .. } => {}
            }
        }
        let definitions = self.definitions;
        let entities: BTreeSet<&str> = definitions
            .views
            .iter()
            .flat_map(|view| &view.entity)
            .map(|e| e.value.as_str())
            .collect();
        // Without a service that is said once, not of each definition that none asks for.
        if !definitions.services.is_empty() {
            let of_requests = definitions.requests.iter().map(|r| &r.column.name);
            self.idle("view", definitions.views.iter().map(|view| &view.name), &views);
            self.idle("transform", definitions.transforms.iter().map(|t| &t.name), &transforms);
            self.idle("request column", of_requests, &requests);
        }
        for entity in definitions.entities.iter().map(|entity| &entity.name) {
            if !entities.contains(entity.value.as_str()) {
                self.findings.warn(entity.span, format!("entity `{}` has no view", entity.value));
            }
        }
    }

    fn idle<'n>(
        &mut self,
        kind: &str,
        names: impl Iterator<Item = &'n Name>,
        used: &BTreeSet<&str>,
    ) {
        for name in names.filter(|name| !used.contains(name.value.as_str())) {
            self.findings.warn(name.span, format!("no service asks for {kind} `{}`", name.value));
        }
    }
}

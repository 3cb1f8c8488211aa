//! Builds a plan from a checked catalog: slots, lookups, steps in topological order.
//!
//! Deterministic: the same definitions give the same plan, whatever their order in files. Keys,
//! request columns and lookups come in order of first use: first by the service's own features, then
//! by the transforms in the order in which they run.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use skewless_batch::Type;

use crate::catalog::{Catalog, Transform, UnknownName};
use crate::fingerprint::Fingerprint;
use crate::limit::{PLAN_SLOTS_MAX, SERVICE_FEATURES_MAX};
use crate::plan::{
    Constant, KeyColumn, Lookup, Output, Plan, PlanError, RequestColumn, Slot, Step,
};
use crate::reference::{Binding, Reference};

/// Compiles a service: its name, fingerprint and (output name, reference) in order.
pub(crate) fn service(
    catalog: &Catalog,
    name: &str,
    fingerprint: Fingerprint,
    features: &[(String, Reference)],
) -> Result<Plan, PlanError> {
    let mut builder = Builder::new(catalog);
    for (_, reference) in features {
        if !matches!(reference, Reference::Output { .. }) {
            builder.slot(reference);
        }
    }
    builder.steps(features.iter().map(|(_, reference)| reference));
    for (name, reference) in features {
        builder.output(name, reference);
    }
    let mut plan = builder.plan;
    plan.service = name.to_owned();
    plan.fingerprint = fingerprint;
    within("slots", "PLAN_SLOTS_MAX", PLAN_SLOTS_MAX, plan.slots.len())?;
    Ok(plan)
}

/// Compiles a list of references as clients write them.
pub(crate) fn ad_hoc(catalog: &Catalog, features: &[&str]) -> Result<Plan, PlanError> {
    if features.is_empty() {
        return Err(PlanError::NoFeatures);
    }
    within("features", "SERVICE_FEATURES_MAX", SERVICE_FEATURES_MAX, features.len())?;
    let mut resolved = Vec::with_capacity(features.len());
    let mut seen = BTreeSet::new();
    for text in features {
        let unknown = |kind, name: &str, did_you_mean| {
            PlanError::UnknownName(UnknownName { kind, name: name.to_owned(), did_you_mean })
        };
        let found = catalog.scope.resolve(text).map_err(|wrong| {
            // The whole reference with the culprit mended, so that it can be pasted.
            let meant = wrong.meant.map(|meant| {
                let (before, rest) = text.split_at(wrong.from);
                format!("{before}{meant}{}", rest.strip_prefix(&wrong.name).unwrap_or_default())
            });
            unknown(wrong.kind, text, meant)
        })?;
        let found = found.ok_or_else(|| unknown("feature", text, None))?;
        if !seen.insert(found.reference.clone()) {
            return Err(PlanError::Duplicate { name: (*text).to_owned() });
        }
        resolved.push((found.reference.to_string(), found.reference));
    }
    let fingerprint = crate::fingerprint::content::of_service(catalog, "", &resolved);
    service(catalog, "", fingerprint, &resolved)
}

fn within(
    what: &'static str,
    limit: &'static str,
    max: usize,
    came: usize,
) -> Result<(), PlanError> {
    if came > max { Err(PlanError::OverLimit { what, limit, max, came }) } else { Ok(()) }
}

/// A plan while it grows. Every reference was checked: what is not declared was refused before.
struct Builder<'a> {
    catalog: &'a Catalog,
    plan: Plan,
    slots: HashMap<Reference, usize>,
    keys: HashMap<String, usize>,
    lookups: HashMap<(String, Option<String>), usize>,
}

impl<'a> Builder<'a> {
    fn new(catalog: &'a Catalog) -> Self {
        Self {
            catalog,
            plan: Plan::default(),
            slots: HashMap::new(),
            keys: HashMap::new(),
            lookups: HashMap::new(),
        }
    }

    /// The slot of a reference, made at first use. Transform outputs are made by `steps`.
    fn slot(&mut self, reference: &Reference) -> usize {
        if let Some(slot) = self.slots.get(reference) {
            return *slot;
        }
        let slot = match reference {
            Reference::Feature { view, role, feature } => {
                self.feature(reference, view, role.as_deref(), feature)
            }
            Reference::Request(name) => self.request(reference, name),
            Reference::JoinKey(name) => self.join_key(reference, name),
            Reference::Output { .. } => unreachable!("steps make the slots of transform outputs"),
        };
        self.slots.insert(reference.clone(), slot);
        slot
    }

    fn new_slot(&mut self, name: String, ty: Type) -> usize {
        self.plan.slots.push(Slot { name, ty });
        self.plan.slots.len() - 1
    }

    fn feature(
        &mut self,
        reference: &Reference,
        view: &str,
        role: Option<&str>,
        feature: &str,
    ) -> usize {
        let view = self.catalog.view(view).expect("a checked reference names a declared view");
        let index = view.feature_index(feature).expect("a checked reference names its feature");
        let slot = self.new_slot(reference.to_string(), view.features[index].ty);
        let lookup = self.lookup(view, role);
        self.plan.lookups[lookup].features.push((index, slot));
        slot
    }

    fn lookup(&mut self, view: &crate::catalog::View, role: Option<&str>) -> usize {
        let id = (view.name.clone(), role.map(str::to_owned));
        if let Some(lookup) = self.lookups.get(&id) {
            return *lookup;
        }
        let entity = self.catalog.entity(&view.entity).expect("a checked view has an entity");
        let join_keys = entity.join_keys_of(role).expect("a checked reference names its role");
        let keys = join_keys.iter().zip(&entity.keys).map(|(name, key)| self.key(name, key.ty));
        let lookup = Lookup {
            view: view.id,
            view_name: view.name.clone(),
            role: id.1.clone(),
            keys: keys.collect(),
            features: Vec::new(),
        };
        self.plan.lookups.push(lookup);
        self.lookups.insert(id, self.plan.lookups.len() - 1);
        self.plan.lookups.len() - 1
    }

    fn key(&mut self, name: &str, ty: Type) -> usize {
        if let Some(key) = self.keys.get(name) {
            return *key;
        }
        self.plan.keys.push(KeyColumn { name: name.to_owned(), ty });
        self.keys.insert(name.to_owned(), self.plan.keys.len() - 1);
        self.plan.keys.len() - 1
    }

    fn join_key(&mut self, reference: &Reference, name: &str) -> usize {
        let ty = self.catalog.join_key(name).expect("a checked reference names a join key");
        let key = self.key(name, ty);
        let slot = self.new_slot(reference.to_string(), ty);
        self.plan.key_slots.push((key, slot));
        slot
    }

    fn request(&mut self, reference: &Reference, name: &str) -> usize {
        let request = self.catalog.request(name).expect("a checked reference names a request");
        let slot = self.new_slot(reference.to_string(), request.field.ty);
        let (ty, nullable) = (request.field.ty, request.field.nullable);
        self.plan.request.push(RequestColumn { name: name.to_owned(), ty, nullable, slot });
        slot
    }

    fn constant(&mut self, transform: &Transform, input: usize, constant: &Constant) -> usize {
        let field = &transform.signature.inputs[input];
        let slot = self.new_slot(format!("{}({})", transform.name, field.name), field.ty);
        self.plan.constants.push((slot, constant.clone()));
        slot
    }

    /// Adds the transforms that the references need, directly or through others.
    fn steps<'r>(&mut self, references: impl Iterator<Item = &'r Reference>) {
        let catalog = self.catalog;
        let mut waiting: Vec<&Reference> = references.collect();
        let mut wanted: BTreeMap<(usize, &str), BTreeSet<usize>> = BTreeMap::new();
        while let Some(reference) = waiting.pop() {
            let Reference::Output { transform, output } = reference else { continue };
            let transform =
                catalog.transform(transform).expect("a checked reference names its transform");
            let output = transform
                .signature
                .output_index(output)
                .expect("a checked reference names its output");
            let outputs = wanted.entry((transform.rank, &transform.name)).or_insert_with(|| {
                waiting.extend(transform.inputs.iter().filter_map(|input| match input {
                    Binding::Reference(reference) => Some(reference),
                    Binding::Constant(_) => None,
                }));
                BTreeSet::new()
            });
            outputs.insert(output);
        }
        for ((_, name), outputs) in wanted {
            let transform = catalog.transform(name).expect("it was found by this name above");
            self.step(transform, &outputs);
        }
    }

    fn step(&mut self, transform: &Transform, outputs: &BTreeSet<usize>) {
        let inputs = transform.inputs.iter().enumerate().map(|(at, input)| match input {
            Binding::Reference(reference) => self.slot(reference),
            Binding::Constant(constant) => self.constant(transform, at, constant),
        });
        let inputs = inputs.collect();
        let mut slots = Vec::with_capacity(outputs.len());
        for &at in outputs {
            let field = &transform.signature.outputs[at];
            let reference =
                Reference::Output { transform: transform.name.clone(), output: field.name.clone() };
            let slot = self.new_slot(reference.to_string(), field.ty);
            self.slots.insert(reference, slot);
            slots.push((at, slot));
        }
        self.plan.steps.push(Step {
            transform: transform.name.clone(),
            digest: transform.digest,
            policy: transform.policy,
            inputs,
            outputs: slots,
            output_fields: transform.signature.outputs.clone(),
        });
    }

    fn output(&mut self, name: &str, reference: &Reference) {
        let slot = self.slots[reference];
        let nullable = match reference {
            Reference::Request(name) => {
                self.catalog.request(name).is_none_or(|request| request.field.nullable)
            }
            _ => true,
        };
        let ty = self.plan.slots[slot].ty;
        self.plan.outputs.push(Output { name: name.to_owned(), ty, slot, nullable });
    }
}

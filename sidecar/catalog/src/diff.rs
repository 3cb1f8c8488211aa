//! What differs between two versions of a catalog, and what must be done about it.
//!
//! Semantic, not textual: formatting, comments, docs and the order of definitions are no changes. A
//! change in one definition is told once for each thing it asks for, with the services whose answers it touches. A
//! renamed definition is one removed and one added. What asks for a load is the store's own word: [`Misfit`].

mod report;

use std::collections::BTreeSet;
use std::fmt;

use skewless_batch::{Field, Signature};

use crate::catalog::{Catalog, Entity, Request, Service, Transform, View};
use crate::duration;
use crate::fingerprint::Digest;
use crate::misfit::{Misfit, ViewSchema};
use crate::plan::Constant;
use crate::reference::Binding;

pub use report::report;

/// Digits of a plugin's digest that are shown: enough to tell two of them apart, and to find one.
const DIGEST_DIGITS: usize = 12;

/// What a change asks of whoever applies the new version. Ordered from harmless to breaking.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Effect {
    /// Takes effect at once; nothing to do.
    Immediate,
    /// Answers change from now on: training data of the services named must be backfilled anew.
    Backfill,
    /// Stored rows no longer fit, or don't hold all that is asked: the view must be loaded anew, then backfilled.
    Load,
    /// Callers or models that rely on the old version stop working: an answer's columns, their
    /// types or their order change, or what a caller must give.
    Breaking,
}

/// One difference between two versions of a catalog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What kind of definition: `entity`, `view`, `request`, `transform` or `service`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What changed, such as `ttl 3h -> 1h`.
    pub what: String,
    /// What it asks for.
    pub effect: Effect,
    /// Services touched, by name: those of the new version, and removed ones.
    pub services: Vec<String>,
}

/// Every difference, sorted by kind in order of dependency, then by name.
#[must_use]
pub fn diff(old: &Catalog, new: &Catalog) -> Vec<Change> {
    let mut differ = Differ { old, new, changes: Vec::new() };
    pairs(&old.entities, &new.entities, |entity| &entity.name)
        .for_each(|pair| differ.whole("entity", pair, |e| &e.name, Differ::entity));
    pairs(&old.views, &new.views, |view| &view.name)
        .for_each(|pair| differ.whole("view", pair, |v| &v.name, Differ::view));
    pairs(&old.requests, &new.requests, |request| &request.field.name)
        .for_each(|pair| differ.whole("request", pair, |r| &r.field.name, Differ::request));
    pairs(&old.transforms, &new.transforms, |transform| &transform.name)
        .for_each(|pair| differ.whole("transform", pair, |t| &t.name, Differ::transform));
    pairs(&old.services, &new.services, |service| &service.name)
        .for_each(|pair| differ.whole("service", pair, |s| &s.name, Differ::service));
    differ.changes
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind, self.name, self.what)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Immediate => "nothing to do",
            Self::Backfill => "backfill anew",
            Self::Load => "load, then backfill anew",
            Self::Breaking => "breaks callers or models",
        })
    }
}

struct Differ<'a> {
    old: &'a Catalog,
    new: &'a Catalog,
    changes: Vec<Change>,
}

/// A definition in the old version, the new one, or both.
type Pair<'a, T> = (Option<&'a T>, Option<&'a T>);

impl<'a> Differ<'a> {
    /// Tells of a definition added, removed, or changed in itself.
    fn whole<T>(
        &mut self,
        kind: &'static str,
        pair: Pair<'a, T>,
        name: fn(&T) -> &String,
        inside: fn(&mut Self, &'a T, &'a T),
    ) {
        match pair {
            (Some(old), Some(new)) => inside(self, old, new),
            (None, Some(new)) => {
                let effect = if kind == "view" { Effect::Load } else { Effect::Immediate };
                self.tell(kind, name(new), "added".to_owned(), effect);
            }
            (Some(old), None) => {
                let breaking = kind == "service" || kind == "request";
                let effect = if breaking { Effect::Breaking } else { Effect::Immediate };
                self.tell(kind, name(old), "removed".to_owned(), effect);
            }
            (None, None) => {}
        }
    }

    fn entity(&mut self, old: &'a Entity, new: &'a Entity) {
        let name = &new.name;
        if old.keys != new.keys {
            let show = |of: &Entity| {
                of.keys
                    .iter()
                    .map(|key| format!("{} {}", key.name, key.ty))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            self.changed("entity", name, "keys", show(old), show(new), Effect::Breaking);
        }
        let joins = |of: &Entity| of.join_keys.join(", ");
        self.changed("entity", name, "join keys", joins(old), joins(new), Effect::Breaking);
        for (old, new) in pairs(&old.roles, &new.roles, |role| &role.name) {
            match (old, new) {
                (None, Some(role)) => {
                    let what = format!("role {} added", role.name);
                    self.tell("entity", name, what, Effect::Immediate);
                }
                (Some(role), None) => {
                    let what = format!("role {} removed", role.name);
                    self.tell("entity", name, what, Effect::Breaking);
                }
                (Some(old), Some(new)) => {
                    let what = format!("join keys of role {}", new.name);
                    let (old, new) = (old.join_keys.join(", "), new.join_keys.join(", "));
                    self.changed("entity", name, &what, old, new, Effect::Breaking);
                }
                (None, None) => {}
            }
        }
    }

    fn view(&mut self, old: &'a View, new: &'a View) {
        let name = &new.name;
        let entity = |of: &View| of.entity.clone();
        self.changed("view", name, "entity", entity(old), entity(new), Effect::Breaking);
        let misfits = ViewSchema::from(new).misfits(&ViewSchema::from(old));
        for misfit in &misfits {
            // Only an added feature leaves the services alone that don't use it.
            let part = match misfit {
                Misfit::Added { feature } => Some(feature.as_str()),
                _ => None,
            };
            self.tell_part("view", name, part, misfit.to_string(), Effect::Load);
        }
        if !misfits.iter().any(|misfit| matches!(misfit, Misfit::Ttl { .. })) {
            // Lowered: what is no longer given is in the store all the same.
            let ttl =
                |of: &View| of.rule.ttl_us.map_or_else(|| "none".to_owned(), duration::format);
            self.changed("view", name, "ttl", ttl(old), ttl(new), Effect::Backfill);
        }
        self.features(old, new);
        self.source(old, new);
    }

    /// What callers and models see of changed features; what their stored rows lack is a [`Misfit`].
    fn features(&mut self, old: &'a View, new: &'a View) {
        let name = &new.name;
        for (was, is) in pairs(&old.features, &new.features, |feature| &feature.name) {
            match (was, is) {
                (Some(was), None) => {
                    let what = format!("feature {} removed", was.name);
                    self.tell_part("view", name, Some(&was.name), what, Effect::Breaking);
                }
                (Some(was), Some(is)) => {
                    let part = Some(is.name.as_str());
                    if was.ty != is.ty {
                        let what = format!("type of {} {} -> {}", is.name, was.ty, is.ty);
                        self.tell_part("view", name, part, what, Effect::Breaking);
                    }
                    if was.unit != is.unit {
                        let what = format!("unit of {} `{}` -> `{}`", is.name, was.unit, is.unit);
                        self.tell_part("view", name, part, what, Effect::Backfill);
                    }
                }
                (None, _) => {}
            }
        }
        let order = |of: &View, other: &View| {
            let kept = of.features.iter().filter(|f| other.feature_index(&f.name).is_some());
            kept.map(|feature| feature.name.clone()).collect::<Vec<_>>().join(", ")
        };
        let (from, to) = (order(old, new), order(new, old));
        // Rows and files hold them by name, and a service has an order of its own.
        self.changed("view", name, "order of features", from, to, Effect::Immediate);
    }

    fn source(&mut self, old: &'a View, new: &'a View) {
        let name = &new.name;
        let (old, new) = match (&old.source, &new.source) {
            (Some(old), Some(new)) => (old, new),
            (None, None) => return,
            (None, Some(_)) => {
                return self.tell("view", name, "source added".into(), Effect::Load);
            }
            (Some(_), None) => {
                return self.tell("view", name, "source removed".into(), Effect::Immediate);
            }
        };
        let (from, to) = (old.paths.join(", "), new.paths.join(", "));
        self.changed("view", name, "source path", from, to, Effect::Load);
        let or_none = |column: &Option<String>| column.clone().unwrap_or_else(|| "none".to_owned());
        for (what, from, to) in [
            ("event_timestamp", old.event_timestamp.clone(), new.event_timestamp.clone()),
            ("created_timestamp", or_none(&old.created_timestamp), or_none(&new.created_timestamp)),
            ("deleted", or_none(&old.deleted), or_none(&new.deleted)),
        ] {
            self.changed("view", name, what, from, to, Effect::Load);
        }
    }

    fn request(&mut self, old: &'a Request, new: &'a Request) {
        let (old, new) = (&old.field, &new.field);
        let name = &new.name;
        let (from, to) = (old.ty.to_string(), new.ty.to_string());
        self.changed("request", name, "type", from, to, Effect::Breaking);
        // To take nulls where none were taken breaks nobody.
        let effect = if new.nullable { Effect::Immediate } else { Effect::Breaking };
        let (from, to) = (old.nullable.to_string(), new.nullable.to_string());
        self.changed("request", name, "nullable", from, to, effect);
        self.changed("request", name, "unit", old.unit.clone(), new.unit.clone(), Effect::Backfill);
    }

    fn transform(&mut self, old: &'a Transform, new: &'a Transform) {
        let name = &new.name;
        if old.digest != new.digest {
            let short = |digest: &Digest| digest.to_string()[..DIGEST_DIGITS].to_owned();
            let (from, to) = (short(&old.digest), short(&new.digest));
            let same = if same_contract(&old.signature, &new.signature) {
                "; same signature, so its values may differ or not"
            } else {
                ""
            };
            let what = format!("plugin {from} -> {to}{same}");
            self.tell("transform", name, what, Effect::Backfill);
        }
        let (from, to) = (old.policy.word().to_owned(), new.policy.word().to_owned());
        self.changed("transform", name, "instance", from, to, Effect::Backfill);
        let bindings = |of: &Transform| {
            let bound = of.signature.inputs.iter().zip(&of.inputs);
            bound.map(|(field, binding)| (field.name.clone(), show(binding))).collect::<Vec<_>>()
        };
        let (old_inputs, new_inputs) = (bindings(old), bindings(new));
        for (was, is) in pairs(&old_inputs, &new_inputs, |(name, _)| name) {
            let shown =
                |of: Option<&(String, String)>| of.map_or("none".to_owned(), |(_, to)| to.clone());
            let Some((input, _)) = was.or(is) else { continue };
            let what = format!("input {input}");
            self.changed("transform", name, &what, shown(was), shown(is), Effect::Backfill);
        }
        for (was, is) in pairs(&old.signature.outputs, &new.signature.outputs, |field| &field.name)
        {
            match (was, is) {
                (None, Some(is)) => {
                    let what = format!("output {} added", is.name);
                    self.tell_part("transform", name, Some(&is.name), what, Effect::Immediate);
                }
                (Some(was), None) => {
                    let what = format!("output {} removed", was.name);
                    self.tell_part("transform", name, Some(&was.name), what, Effect::Breaking);
                }
                (Some(was), Some(is)) if was.ty != is.ty => {
                    let what = format!("type of output {} {} -> {}", is.name, was.ty, is.ty);
                    self.tell_part("transform", name, Some(&is.name), what, Effect::Breaking);
                }
                (Some(_), Some(_)) => {}
                (None, None) => {}
            }
        }
    }

    fn service(&mut self, old: &'a Service, new: &'a Service) {
        let name = &new.name;
        for (was, is) in pairs(&old.features, &new.features, |(output, _)| output) {
            match (was, is) {
                (None, Some((output, _))) => {
                    self.tell("service", name, format!("{output} added"), Effect::Breaking);
                }
                (Some((output, _)), None) => {
                    self.tell("service", name, format!("{output} removed"), Effect::Breaking);
                }
                (Some((_, was)), Some((output, is))) => {
                    let (from, to) = (was.to_string(), is.to_string());
                    self.changed("service", name, output, from, to, Effect::Backfill);
                }
                (None, None) => {}
            }
        }
        let order = |of: &Service, other: &Service| {
            let there = |output: &String| other.features.iter().any(|(known, _)| known == output);
            let kept = of.features.iter().filter(|(output, _)| there(output));
            kept.map(|(output, _)| output.clone()).collect::<Vec<_>>().join(", ")
        };
        let (from, to) = (order(old, new), order(new, old));
        self.changed("service", name, "order of features", from, to, Effect::Breaking);
        let needs = |of: &Service| {
            let keys = of.plan.keys.iter().map(|key| key.name.clone());
            let request = of.plan.request.iter().map(|column| format!("request.{}", column.name));
            keys.chain(request).collect::<BTreeSet<_>>()
        };
        let added: Vec<_> = needs(new).difference(&needs(old)).cloned().collect();
        if !added.is_empty() {
            let what = format!("now needs {}", added.join(", "));
            self.tell("service", name, what, Effect::Breaking);
        }
    }

    fn changed(
        &mut self,
        kind: &'static str,
        name: &str,
        what: &str,
        from: String,
        to: String,
        effect: Effect,
    ) {
        if from != to {
            self.tell(kind, name, format!("{what} {from} -> {to}"), effect);
        }
    }

    fn tell(&mut self, kind: &'static str, name: &str, what: String, effect: Effect) {
        self.tell_part(kind, name, None, what, effect);
    }

    /// Tells of a change that touches only the services that use one feature or output.
    fn tell_part(
        &mut self,
        kind: &'static str,
        name: &str,
        part: Option<&str>,
        what: String,
        effect: Effect,
    ) {
        let touched = |catalog: &Catalog| {
            let touched = catalog
                .services
                .iter()
                .filter(|service| touches(catalog, service, kind, name, part));
            touched.map(|service| service.name.clone()).collect::<BTreeSet<_>>()
        };
        let services = touched(self.old).union(&touched(self.new)).cloned().collect();
        self.changes.push(Change { kind, name: name.to_owned(), what, effect, services });
    }
}

/// Whether a service's plan holds the definition, or the feature or output of it.
fn touches(
    catalog: &Catalog,
    service: &Service,
    kind: &str,
    name: &str,
    part: Option<&str>,
) -> bool {
    let plan = &service.plan;
    let is = |known: &str| part.is_none_or(|part| part == known);
    match kind {
        "service" => service.name == name,
        "transform" => plan.steps.iter().filter(|step| step.transform == name).any(|step| {
            part.is_none() || step.outputs.iter().any(|(at, _)| is(&step.output_fields[*at].name))
        }),
        "view" => plan.lookups.iter().filter(|lookup| lookup.view_name == name).any(|lookup| {
            let view = &catalog.views[lookup.view.0 as usize];
            lookup.features.iter().any(|(at, _)| is(&view.features[*at].name))
        }),
        "request" => plan.request_index(name).is_some(),
        _ => plan.lookups.iter().any(|lookup| catalog.views[lookup.view.0 as usize].entity == name),
    }
}

fn show(binding: &Binding) -> String {
    match binding {
        Binding::Reference(reference) => reference.to_string(),
        Binding::Constant(constant) => match constant {
            Constant::Null => "null".to_owned(),
            Constant::Bool(value) => value.to_string(),
            Constant::Int32(value) => value.to_string(),
            Constant::Int64(value) => value.to_string(),
            Constant::Float32(value) => format!("{value:?}"),
            Constant::Float64(value) => format!("{value:?}"),
            Constant::Utf8(value) => format!("{value:?}"),
        },
    }
}

/// Whether a plugin asks and gives the same columns as another; what it computes may differ.
fn same_contract(old: &Signature, new: &Signature) -> bool {
    let fields = |of: &[Field], other: &[Field]| {
        let alike = |(a, b): (&Field, &Field)| {
            (&a.name, a.ty, a.nullable, &a.unit) == (&b.name, b.ty, b.nullable, &b.unit)
        };
        of.len() == other.len() && of.iter().zip(other).all(alike)
    };
    fields(&old.inputs, &new.inputs) && fields(&old.outputs, &new.outputs)
}

/// Definitions of the two versions side by side, by name, each name once.
fn pairs<'a, T>(
    old: &'a [T],
    new: &'a [T],
    name: fn(&T) -> &String,
) -> impl Iterator<Item = Pair<'a, T>> + use<'a, T> {
    let mut by_name: std::collections::BTreeMap<&str, Pair<'a, T>> =
        std::collections::BTreeMap::new();
    for definition in old {
        by_name.entry(name(definition)).or_default().0 = Some(definition);
    }
    for definition in new {
        by_name.entry(name(definition)).or_default().1 = Some(definition);
    }
    by_name.into_values()
}

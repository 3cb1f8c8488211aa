//! Checked definitions to a catalog: sorts, fingerprints, compiles plans; finds no more mistakes but
//! plans over a limit or without any input.

use std::sync::Arc;

use skewless_batch::signature::Field;

use super::{Catalog, Entity, Request, Role, Service, Source, Transform, View, ViewId};
use crate::check::{AskedServices, BoundTransforms, KnownPlugins};
use crate::definition::{ColumnDef, Definitions, EntityDef, JoinKeysDef, Name, ViewDef};
use crate::diagnostic::Findings;
use crate::fingerprint::{Fingerprint, content};
use crate::plan::{KeyColumn, Plan, build};
use crate::scope::Scope;
use crate::visibility::Rule;

/// Compiles definitions in which no check found an error.
pub(crate) fn catalog(
    definitions: &Definitions,
    scope: Scope,
    plugins: KnownPlugins,
    mut bound: BoundTransforms,
    mut asked: AskedServices,
    findings: &mut Findings<'_>,
) -> Catalog {
    let mut catalog = Catalog { scope, ..Catalog::default() };
    catalog.entities = definitions.entities.iter().map(entity).collect();
    catalog.entities.sort_by(|a, b| a.name.cmp(&b.name));
    catalog.views = definitions.views.iter().map(|of| view(of, &catalog.entities)).collect();
    catalog.views.sort_by(|a, b| a.name.cmp(&b.name));
    for (index, view) in catalog.views.iter_mut().enumerate() {
        view.id = ViewId(u32::try_from(index).expect("DEFINITIONS_MAX is within u32"));
    }
    catalog.requests =
        definitions.requests.iter().map(|of| request(&of.column, of.nullable)).collect();
    catalog.requests.sort_by(|a, b| a.field.name.cmp(&b.field.name));
    for of in &definitions.transforms {
        let (name, policy) = (of.name.value.clone(), of.policy);
        let (Some(info), Some((rank, inputs)), Some(plugin)) =
            (plugins.get(&name), bound.remove(&name), &of.plugin)
        else {
            continue;
        };
        let (digest, signature) = (info.digest, info.signature.clone());
        let (doc, plugin, fingerprint) =
            (of.doc.clone(), plugin.value.clone(), Fingerprint::default());
        let transform =
            Transform { name, doc, plugin, digest, signature, policy, inputs, rank, fingerprint };
        catalog.transforms.push(transform);
    }
    catalog.transforms.sort_by(|a, b| a.name.cmp(&b.name));
    fingerprint_transforms(&mut catalog);
    for of in &definitions.services {
        let (name, doc) = (of.name.value.clone(), of.doc.clone());
        let features = asked.remove(&name).unwrap_or_default();
        let fingerprint = content::of_service(&catalog, &name, &features);
        let plan = Arc::new(plan(&catalog, &of.name, fingerprint, &features, findings));
        catalog.services.push(Service { name, doc, features, fingerprint, plan });
    }
    catalog.services.sort_by(|a, b| a.name.cmp(&b.name));
    catalog.fingerprint = content::of_catalog(&catalog);
    catalog
}

fn entity(of: &EntityDef) -> Entity {
    let keys = of
        .keys
        .iter()
        .filter_map(|key| Some(KeyColumn { name: key.name.value.clone(), ty: key.ty? }));
    let names = |of: &JoinKeysDef| of.names.iter().map(|name| name.value.clone()).collect();
    let own = || of.keys.iter().map(|key| key.name.value.clone()).collect();
    let roles = of.roles.iter().filter_map(|role| {
        Some(Role { name: role.name.value.clone(), join_keys: names(role.join_keys.as_ref()?) })
    });
    let mut entity = Entity {
        name: of.name.value.clone(),
        doc: of.doc.clone(),
        keys: keys.collect(),
        join_keys: of.join_keys.as_ref().map_or_else(own, names),
        roles: roles.collect(),
        fingerprint: Fingerprint::default(),
    };
    entity.fingerprint = content::of_entity(&entity);
    entity
}

fn view(of: &ViewDef, entities: &[Entity]) -> View {
    let entity = of.entity.as_ref().map_or_else(String::new, |entity| entity.value.clone());
    let keys = entities.iter().find(|known| known.name == entity).map(|known| known.keys.clone());
    let source = of.source.as_ref().and_then(|source| {
        let text = |name: &Name| name.value.clone();
        Some(Source {
            paths: source.paths.iter().map(text).collect(),
            event_timestamp: text(source.event_timestamp.as_ref()?),
            created_timestamp: source.created_timestamp.as_ref().map(text),
            deleted: source.deleted.as_ref().map(text),
        })
    });
    let mut view = View {
        id: ViewId::default(),
        name: of.name.value.clone(),
        doc: of.doc.clone(),
        entity,
        keys: keys.unwrap_or_default(),
        features: of.features.iter().filter_map(|feature| field(feature, true)).collect(),
        rule: Rule { boundary: of.boundary, ttl_us: of.ttl_us, lag_us: of.lag_us },
        source,
        fingerprint: Fingerprint::default(),
    };
    view.fingerprint = content::of_view(&view);
    view
}

fn request(of: &ColumnDef, nullable: bool) -> Request {
    let field = field(of, nullable).expect("a checked column has a type");
    let fingerprint = content::of_request(&field);
    Request { field, fingerprint }
}

fn field(of: &ColumnDef, nullable: bool) -> Option<Field> {
    let (name, doc, unit) = (of.name.value.clone(), of.doc.clone(), of.unit.clone());
    Some(Field { name, ty: of.ty?, nullable, doc, unit })
}

/// In topological order, because a transform's fingerprint contains those of its inputs.
fn fingerprint_transforms(catalog: &mut Catalog) {
    let mut order: Vec<usize> = (0..catalog.transforms.len()).collect();
    order.sort_by_key(|index| catalog.transforms[*index].rank);
    for index in order {
        let fingerprint = content::of_transform(catalog, &catalog.transforms[index]);
        catalog.transforms[index].fingerprint = fingerprint;
    }
}

fn plan(
    catalog: &Catalog,
    name: &Name,
    fingerprint: Fingerprint,
    features: &[(String, crate::reference::Reference)],
    findings: &mut Findings<'_>,
) -> Plan {
    match build::service(catalog, &name.value, fingerprint, features) {
        Ok(plan) => {
            if plan.keys.is_empty() && plan.request.is_empty() {
                let message = format!(
                    "expected service `{}` to need a key or a request value; it is made of constants alone",
                    name.value
                );
                findings.error(name.span, message);
            }
            plan
        }
        Err(error) => {
            findings.error(name.span, format!("service `{}`: {error}", name.value));
            Plan::default()
        }
    }
}

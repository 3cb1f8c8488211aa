//! What is hashed for each kind of definition; changing any of it needs a new version in its domain.
//!
//! A service depends on the features it uses, not on the views that hold them: adding a feature to a
//! view leaves the services alone that don't ask for it.

use skewless_batch::signature::Field;

use super::{Canon, Fingerprint};
use crate::catalog::{Catalog, Entity, Source, Transform, View};
use crate::plan::{Constant, KeyColumn};
use crate::reference::{Binding, Reference};
use crate::visibility::Boundary;

pub(crate) fn of_entity(entity: &Entity) -> Fingerprint {
    let mut canon = Canon::new("entity.v1");
    canon.text(&entity.name);
    keys(&mut canon, &entity.keys);
    texts(&mut canon, &entity.join_keys);
    let mut roles: Vec<_> = entity.roles.iter().collect();
    roles.sort_by(|a, b| a.name.cmp(&b.name));
    canon.count(roles.len());
    for role in roles {
        canon.text(&role.name);
        texts(&mut canon, &role.join_keys);
    }
    canon.finish()
}

pub(crate) fn of_view(view: &View) -> Fingerprint {
    let mut canon = Canon::new("view.v1");
    rows(&mut canon, view);
    canon.count(view.features.len());
    for feature in &view.features {
        field(&mut canon, feature);
    }
    canon.finish()
}

pub(crate) fn of_request(request: &Field) -> Fingerprint {
    let mut canon = Canon::new("request.v1");
    field(&mut canon, request);
    canon.finish()
}

/// Needs the fingerprints of the transforms it depends on, hence is called in topological order.
pub(crate) fn of_transform(catalog: &Catalog, transform: &Transform) -> Fingerprint {
    let mut canon = Canon::new("transform.v1");
    canon.text(&transform.name).digest(&transform.digest).text(transform.policy.word());
    canon.count(transform.inputs.len());
    for (input, binding) in transform.signature.inputs.iter().zip(&transform.inputs) {
        canon.text(&input.name);
        match binding {
            Binding::Reference(to) => canon.text("reference").fingerprint(&reference(catalog, to)),
            Binding::Constant(value) => constant(canon.text("constant"), value),
        };
    }
    canon.finish()
}

pub(crate) fn of_service(
    catalog: &Catalog,
    name: &str,
    features: &[(String, Reference)],
) -> Fingerprint {
    let mut canon = Canon::new("service.v1");
    canon.text(name).count(features.len());
    for (output, to) in features {
        canon.text(output).fingerprint(&reference(catalog, to));
    }
    canon.finish()
}

pub(crate) fn of_catalog(catalog: &Catalog) -> Fingerprint {
    let mut canon = Canon::new("catalog.v1");
    list(&mut canon, catalog.entities.iter().map(|entity| &entity.fingerprint));
    list(&mut canon, catalog.views.iter().map(|view| &view.fingerprint));
    list(&mut canon, catalog.requests.iter().map(|request| &request.fingerprint));
    list(&mut canon, catalog.transforms.iter().map(|transform| &transform.fingerprint));
    list(&mut canon, catalog.services.iter().map(|service| &service.fingerprint));
    canon.finish()
}

/// Content of one reference with all it depends on.
fn reference(catalog: &Catalog, to: &Reference) -> Fingerprint {
    let mut canon = Canon::new("reference.v1");
    canon.text(&to.to_string());
    match to {
        Reference::Feature { view, role, feature } => {
            let view = catalog.view(view).expect("a checked reference names a declared view");
            rows(&mut canon, view);
            let index = view.feature_index(feature).expect("a checked reference names its feature");
            field(&mut canon, &view.features[index]);
            let entity = catalog.entity(&view.entity).expect("a checked view has an entity");
            let join_keys = entity.join_keys_of(role.as_deref());
            texts(&mut canon, join_keys.expect("a checked reference names its role"));
        }
        Reference::Output { transform, .. } => {
            let transform = catalog.transform(transform).expect("a checked reference is declared");
            canon.fingerprint(&transform.fingerprint);
        }
        Reference::Request(name) => {
            let request = catalog.request(name).expect("a checked reference names a request");
            canon.fingerprint(&request.fingerprint);
        }
        Reference::JoinKey(name) => {
            let ty = catalog.join_key(name).expect("a checked reference names a join key");
            canon.text(&ty.to_string());
        }
    }
    canon.finish()
}

/// What decides about a view's rows, whichever feature is taken: name, key, rule, meaning of columns.
fn rows(canon: &mut Canon, view: &View) {
    canon.text(&view.name).text(&view.entity);
    keys(canon, &view.keys);
    canon.text(match view.rule.boundary {
        Boundary::Inclusive => "inclusive",
        Boundary::Exclusive => "exclusive",
    });
    canon.option(view.rule.ttl_us).int(view.rule.lag_us);
    let Some(Source { event_timestamp, created_timestamp, deleted, .. }) = &view.source else {
        canon.text("no source");
        return;
    };
    canon.text("source").text(event_timestamp);
    for column in [created_timestamp, deleted] {
        canon.count(usize::from(column.is_some())).text(column.as_deref().unwrap_or_default());
    }
}

fn field(canon: &mut Canon, field: &Field) {
    canon.text(&field.name).text(&field.ty.to_string()).text(&field.unit);
    canon.int(i64::from(field.nullable));
}

fn constant<'c>(canon: &'c mut Canon, value: &Constant) -> &'c mut Canon {
    match value {
        Constant::Null => canon.text("null"),
        Constant::Bool(value) => canon.text("bool").int(i64::from(*value)),
        Constant::Int32(value) => canon.text("int32").int(i64::from(*value)),
        Constant::Int64(value) => canon.text("int64").int(*value),
        Constant::Float32(value) => canon.text("float32").int(i64::from(value.to_bits())),
        Constant::Float64(value) => canon.text("float64").bytes(&value.to_bits().to_le_bytes()),
        Constant::Utf8(value) => canon.text("utf8").text(value),
    }
}

fn keys(canon: &mut Canon, keys: &[KeyColumn]) {
    canon.count(keys.len());
    for key in keys {
        canon.text(&key.name).text(&key.ty.to_string());
    }
}

fn texts(canon: &mut Canon, texts: &[String]) {
    canon.count(texts.len());
    for text in texts {
        canon.text(text);
    }
}

fn list<'f>(canon: &mut Canon, fingerprints: impl ExactSizeIterator<Item = &'f Fingerprint>) {
    canon.count(fingerprints.len());
    for fingerprint in fingerprints {
        canon.fingerprint(fingerprint);
    }
}

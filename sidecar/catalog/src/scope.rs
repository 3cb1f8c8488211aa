//! Which names are declared and what a reference means among them; not how definitions are read.
//!
//! The checker and an ad hoc list of features resolve references by this one file.

use std::collections::BTreeMap;

use skewless_batch::Type;

use crate::definition::Nameless;
use crate::names::nearest;
use crate::reference::{Parts, Reference};

/// Every declared name that a reference may contain.
///
/// A type is `None` where it could not be read or where a plugin is missing: a mistake reported
/// elsewhere.
#[derive(Clone, Default, Debug)]
pub(crate) struct Scope {
    pub(crate) views: BTreeMap<String, ViewScope>,
    /// Outputs per transform; `None`: its plugin is not known.
    pub(crate) transforms: BTreeMap<String, Option<BTreeMap<String, Type>>>,
    pub(crate) requests: BTreeMap<String, Option<Type>>,
    pub(crate) join_keys: BTreeMap<String, Option<Type>>,
    /// Roles per entity.
    pub(crate) entities: BTreeMap<String, Vec<String>>,
    /// Not every definition could be read: an unknown name may stand in the unread part.
    pub(crate) incomplete: bool,
    /// Kinds of definitions of which some have no name.
    pub(crate) nameless: Nameless,
}

#[derive(Clone, Default, Debug)]
pub(crate) struct ViewScope {
    pub(crate) entity: Option<String>,
    pub(crate) features: BTreeMap<String, Option<Type>>,
    /// Not every feature could be read.
    pub(crate) incomplete: bool,
}

/// A reference that means something.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Resolved {
    pub(crate) reference: Reference,
    /// `None`: not known because of a mistake reported elsewhere.
    pub(crate) ty: Option<Type>,
}

/// A reference that means nothing.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Unresolved {
    /// What was looked for.
    pub(crate) kind: &'static str,
    /// The name that is the culprit.
    pub(crate) name: String,
    /// Byte offset of the culprit in the reference.
    pub(crate) from: usize,
    /// The sentence.
    pub(crate) message: String,
    /// What was probably meant.
    pub(crate) meant: Option<String>,
}

impl Scope {
    /// What a reference means. `Ok(None)`: can't be told because of a mistake reported elsewhere.
    pub(crate) fn resolve(&self, text: &str) -> Result<Option<Resolved>, Unresolved> {
        let Some(parts) = Parts::of(text) else {
            let meant = self.nearest_feature(text);
            return Err(Unresolved {
                kind: "reference",
                name: text.to_owned(),
                from: 0,
                message: format!(
                    "expected a reference (view.feature, view[role].feature, transform.output, \
                     request.name or entity.join_key), came {}",
                    crate::yaml::quote(text)
                ),
                meant,
            });
        };
        let found = match parts.head {
            "request" => {
                let unread = self.nameless.requests;
                self.simple(parts, "request column", &self.requests, unread, Reference::Request)
            }
            "entity" => {
                let unread = self.nameless.entities;
                self.simple(parts, "join key", &self.join_keys, unread, Reference::JoinKey)
            }
            head => match (self.views.get(head), self.transforms.get(head)) {
                (Some(_), Some(_)) => return Ok(None), // Declared twice: reported there.
                (Some(view), None) => return self.feature(parts, view),
                (None, Some(outputs)) => self.output(parts, outputs.as_ref()),
                (None, None) => return self.unknown_head(parts),
            },
        };
        if let (Some(role), false) = (parts.role, self.views.contains_key(parts.head)) {
            let message =
                format!("expected a role only at a view, came `[{role}]` at `{}`", parts.head);
            return Err(unresolved("role", role, parts.head.len() + 1, message, None));
        }
        found
    }

    fn simple(
        &self,
        parts: Parts<'_>,
        kind: &'static str,
        names: &BTreeMap<String, Option<Type>>,
        unread: bool,
        reference: fn(String) -> Reference,
    ) -> Result<Option<Resolved>, Unresolved> {
        if let Some(ty) = names.get(parts.tail) {
            return Ok(Some(Resolved { reference: reference(parts.tail.to_owned()), ty: *ty }));
        }
        if self.incomplete || unread {
            return Ok(None);
        }
        let message = format!("expected a declared {kind}, came `{}`", parts.tail);
        let meant = nearest(parts.tail, names.keys().map(String::as_str));
        Err(unresolved(kind, parts.tail, parts.head.len() + 1, message, meant))
    }

    fn feature(&self, parts: Parts<'_>, view: &ViewScope) -> Result<Option<Resolved>, Unresolved> {
        // Of an entity that isn't known, no role is; the features are all the same.
        let roles = view.entity.as_ref().and_then(|entity| self.entities.get(entity));
        if let (Some(role), Some(roles), Some(entity)) = (parts.role, roles, &view.entity)
            && !roles.iter().any(|known| known == role)
        {
            let message = format!(
                "expected a role of entity `{entity}` ({}), came `{role}`",
                if roles.is_empty() { "it has none".to_owned() } else { roles.join(", ") }
            );
            let meant = nearest(role, roles.iter().map(String::as_str));
            return Err(unresolved("role", role, parts.head.len() + 1, message, meant));
        }
        let Some(ty) = view.features.get(parts.tail) else {
            if view.incomplete {
                return Ok(None);
            }
            let message =
                format!("expected a feature of view `{}`, came `{}`", parts.head, parts.tail);
            let meant = nearest(parts.tail, view.features.keys().map(String::as_str));
            return Err(unresolved("feature", parts.tail, tail_at(parts), message, meant));
        };
        let reference = Reference::Feature {
            view: parts.head.to_owned(),
            role: parts.role.map(str::to_owned),
            feature: parts.tail.to_owned(),
        };
        Ok(Some(Resolved { reference, ty: *ty }))
    }

    fn output(
        &self,
        parts: Parts<'_>,
        outputs: Option<&BTreeMap<String, Type>>,
    ) -> Result<Option<Resolved>, Unresolved> {
        let reference =
            Reference::Output { transform: parts.head.to_owned(), output: parts.tail.to_owned() };
        let Some(outputs) = outputs else {
            return Ok(Some(Resolved { reference, ty: None }));
        };
        if let Some(ty) = outputs.get(parts.tail) {
            return Ok(Some(Resolved { reference, ty: Some(*ty) }));
        }
        let known = outputs.keys().map(String::as_str);
        let message = format!(
            "expected an output of transform `{}` ({}), came `{}`",
            parts.head,
            known.clone().collect::<Vec<_>>().join(", "),
            parts.tail
        );
        Err(unresolved("output", parts.tail, tail_at(parts), message, nearest(parts.tail, known)))
    }

    fn unknown_head(&self, parts: Parts<'_>) -> Result<Option<Resolved>, Unresolved> {
        if self.incomplete || self.nameless.heads {
            return Ok(None);
        }
        let known = self.views.keys().chain(self.transforms.keys()).map(String::as_str);
        let meant = nearest(parts.head, known.chain(["request", "entity"]));
        let message = format!("expected a declared view or transform, came `{}`", parts.head);
        Err(unresolved("view or transform", parts.head, 0, message, meant))
    }

    /// For a bare name: the reference that ends in it, if there is exactly one.
    fn nearest_feature(&self, name: &str) -> Option<String> {
        let views = self.views.iter().flat_map(|(view, scope)| {
            scope.features.keys().map(move |feature| (view.as_str(), feature.as_str()))
        });
        let transforms = self.transforms.iter().flat_map(|(transform, outputs)| {
            let outputs = outputs.iter().flat_map(BTreeMap::keys);
            outputs.map(move |output| (transform.as_str(), output.as_str()))
        });
        let requests = self.requests.keys().map(|name| ("request", name.as_str()));
        let mut same = views.chain(transforms).chain(requests).filter(|(_, tail)| *tail == name);
        let (head, tail) = same.next()?;
        same.next().is_none().then(|| format!("{head}.{tail}"))
    }
}

fn unresolved(
    kind: &'static str,
    name: &str,
    from: usize,
    message: String,
    meant: Option<String>,
) -> Unresolved {
    Unresolved { kind, name: name.to_owned(), from, message, meant }
}

/// Byte offset of the last name in the reference.
fn tail_at(parts: Parts<'_>) -> usize {
    parts.head.len() + parts.role.map_or(0, |role| role.len() + 2) + 1
}

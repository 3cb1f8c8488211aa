//! The fields of one map by its form: texts, names, words, durations, types; not which there are.

use std::collections::BTreeMap;

use skewless_batch::Type;

use super::form::Form;
use super::{JoinKeysDef, Name, Spanned};
use crate::diagnostic::{Findings, Span};
use crate::duration;
use crate::limit::NAME_BYTES_MAX;
use crate::names::{self, nearest};
use crate::yaml::{Kind, Node, quote};

/// The names of the types, for suggestions.
pub(crate) const TYPE_NAMES: [&str; 12] = [
    "bool",
    "int32",
    "int64",
    "float32",
    "float64",
    "utf8",
    "binary",
    "timestamp",
    "embedding[16]",
    "list<int64>",
    "list<float64>",
    "list<utf8>",
];

/// What people coming from other systems write for a type, and what it is here.
const TYPE_HABITS: [(&str, &str); 12] = [
    ("string", "utf8"),
    ("str", "utf8"),
    ("text", "utf8"),
    ("int", "int64"),
    ("integer", "int64"),
    ("long", "int64"),
    ("float", "float64"),
    ("double", "float64"),
    ("boolean", "bool"),
    ("bytes", "binary"),
    ("datetime", "timestamp"),
    ("unix_timestamp", "timestamp"),
];

/// The fields of one map, unknown and repeated ones already reported.
pub(super) struct Fields<'t> {
    entries: BTreeMap<&'static str, &'t Node>,
    pub(super) span: Span,
}

impl<'t> Fields<'t> {
    pub(super) fn get(&self, name: &str) -> Option<&'t Node> {
        self.entries.get(name).copied()
    }
}

/// Reads fields and reports what is wrong with them.
pub(super) struct Reader<'r, 'f> {
    pub(super) findings: &'r mut Findings<'f>,
}

impl Reader<'_, '_> {
    /// The fields of a map by its form; reports what is not a map, unknown, repeated or missing.
    pub(super) fn map<'t>(&mut self, node: &'t Node, form: &Form) -> Option<Fields<'t>> {
        let Kind::Map(nodes) = &node.kind else {
            let fields = form.fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
            let message =
                format!("expected {} as a map with {fields}; came {}", form.kind, node.came());
            self.findings.error(node.span, message);
            return None;
        };
        let mut entries: BTreeMap<&'static str, (&Node, Span)> = BTreeMap::new();
        let mut mistyped: Vec<(&'static str, (&Node, Span))> = Vec::new();
        for (key, value) in nodes {
            let Some(field) = form.fields.iter().find(|field| field.name == key.text) else {
                let known = form.fields.iter().map(|field| field.name);
                let message =
                    format!("expected a field of {}, came {}", form.kind, quote(&key.text));
                let meant = nearest(&key.text, known);
                let needed = form.fields.iter().filter(|field| field.is_needed());
                let needed =
                    needed.map(|field| field.name).find(|name| meant.as_deref() == Some(*name));
                mistyped.extend(needed.map(|name| (name, (value, key.span))));
                self.findings.error_meaning(key.span, message, meant);
                continue;
            };
            match entries.get(field.name) {
                None => _ = entries.insert(field.name, (value, key.span)),
                Some((_, first)) => {
                    let first = self.findings.place(*first);
                    let message =
                        format!("expected `{}` once, came twice; first in {first}", field.name);
                    self.findings.error(key.span, message);
                }
            }
        }
        // Read as what was meant, or all that refers to it would seem wrong as well.
        for (name, found) in mistyped {
            entries.entry(name).or_insert(found);
        }
        let missing = form.fields.iter().filter(|field| field.required && !node.broken);
        for field in missing.filter(|field| !entries.contains_key(field.name)) {
            // A field that is there under a mistyped name was reported once already.
            let mistyped = nodes.iter().any(|(key, _)| {
                nearest(&key.text, [field.name]).is_some()
                    && form.fields.iter().all(|field| field.name != key.text)
            });
            if !mistyped {
                let at = Span { len: node.span.len.min(1), ..node.span };
                self.findings
                    .error(at, format!("expected `{}` in {}, came none", field.name, form.kind));
            }
        }
        let entries = entries.into_iter().map(|(name, (node, _))| (name, node)).collect();
        Some(Fields { entries, span: node.span })
    }

    /// Reads each map of a list. `true`: some could not be read.
    pub(super) fn each<'t>(
        &mut self,
        map: &Fields<'t>,
        field: &str,
        form: &Form,
        mut take: impl FnMut(&mut Self, &Fields<'t>),
    ) -> bool {
        let Some(node) = map.get(field) else { return false };
        let Kind::List(items) = &node.kind else {
            if node.is_null() {
                return node.broken;
            }
            let message = format!("expected a list for `{field}`, came {}", node.came());
            self.findings.error(node.span, message);
            return true;
        };
        let mut broken = node.broken;
        for item in items {
            match self.map(item, form) {
                Some(fields) => take(self, &fields),
                None => broken = true,
            }
            broken |= item.broken;
        }
        broken
    }

    pub(super) fn text_of(&mut self, node: &Node, expected: &str) -> Option<Name> {
        match &node.kind {
            Kind::Scalar { text, .. } if !text.is_empty() && !node.is_null() => {
                Some(Spanned { value: text.clone(), span: node.span })
            }
            _ => {
                let came = if let Kind::Scalar { .. } = node.kind {
                    "nothing".to_owned()
                } else {
                    node.came()
                };
                self.findings.error(node.span, format!("expected {expected}, came {came}"));
                None
            }
        }
    }

    pub(super) fn text(&mut self, map: &Fields<'_>, field: &str) -> Option<Name> {
        let node = map.get(field)?;
        self.text_of(node, &format!("a text for `{field}`"))
    }

    pub(super) fn doc(&mut self, map: &Fields<'_>, field: &str) -> String {
        match map.get(field) {
            None => String::new(),
            Some(Node { kind: Kind::Scalar { text, .. }, .. }) => text.clone(),
            Some(node) => {
                let message = format!("expected a text for `{field}`, came {}", node.came());
                self.findings.error(node.span, message);
                String::new()
            }
        }
    }

    pub(super) fn texts(&mut self, map: &Fields<'_>, field: &str) -> Vec<Name> {
        let Some(node) = map.get(field) else { return Vec::new() };
        let expected = format!("a text or a list of texts for `{field}`");
        let Kind::List(items) = &node.kind else {
            return self.text_of(node, &expected).into_iter().collect();
        };
        if items.is_empty() && !node.broken {
            self.findings.error(node.span, format!("expected {expected}, came an empty list"));
        }
        items.iter().filter_map(|item| self.text_of(item, &expected)).collect()
    }

    /// A name that is declared here. One that can't stand is reported, and given all the same: what refers to it is
    /// no mistake of its own.
    pub(super) fn declared(&mut self, map: &Fields<'_>, field: &str) -> Option<Name> {
        let node = map.get(field)?;
        let name = self.text_of(node, &format!("a name for `{field}`"))?;
        self.check_identifier(&name);
        Some(name)
    }

    pub(super) fn identifier(&mut self, map: &Fields<'_>, field: &str) -> Option<Name> {
        let node = map.get(field)?;
        self.identifier_of(node, field)
    }

    fn identifier_of(&mut self, node: &Node, field: &str) -> Option<Name> {
        let name = self.text_of(node, &format!("a name for `{field}`"))?;
        self.check_identifier(&name).then_some(name)
    }

    /// Whether a name can stand; reports it if not.
    fn check_identifier(&mut self, name: &Name) -> bool {
        if name.value.len() > NAME_BYTES_MAX {
            let message = format!(
                "expected a name of at most {NAME_BYTES_MAX} bytes (NAME_BYTES_MAX), came {}",
                name.value.len()
            );
            self.findings.error(name.span, message);
            return false;
        }
        if !names::is_identifier(&name.value) {
            let message = format!(
                "expected a name of a-z, 0-9 and _ that begins with a letter, came {}",
                quote(&name.value)
            );
            self.findings.error_meaning(name.span, message, names::identifier_like(&name.value));
            return false;
        }
        true
    }

    pub(super) fn identifiers(&mut self, map: &Fields<'_>, field: &str) -> Option<JoinKeysDef> {
        let node = map.get(field)?;
        let Kind::List(items) = &node.kind else {
            let message = format!("expected a list of names for `{field}`, came {}", node.came());
            self.findings.error(node.span, message);
            return None;
        };
        let read: Vec<_> = items.iter().map(|item| self.identifier_of(item, field)).collect();
        let broken = node.broken || read.iter().any(Option::is_none);
        Some(JoinKeysDef { names: read.into_iter().flatten().collect(), broken, span: node.span })
    }

    /// Index of the word that came.
    pub(super) fn word(&mut self, map: &Fields<'_>, field: &str, words: &[&str]) -> Option<usize> {
        let node = map.get(field)?;
        if let Kind::Scalar { text, .. } = &node.kind {
            if let Some(index) = words.iter().position(|word| word == text) {
                return Some(index);
            }
            let meant = match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "true" if words.contains(&"true") => Some("true".to_owned()),
                "no" | "off" | "false" if words.contains(&"false") => Some("false".to_owned()),
                word => nearest(word, words.iter().copied()),
            };
            let message =
                format!("expected {} for `{field}`, came {}", words.join(" or "), node.came());
            self.findings.error_meaning(node.span, message, meant);
        } else {
            let message =
                format!("expected {} for `{field}`, came {}", words.join(" or "), node.came());
            self.findings.error(node.span, message);
        }
        None
    }

    pub(super) fn duration(&mut self, map: &Fields<'_>, field: &str) -> Option<i64> {
        let text = self.text(map, field)?;
        duration::parse(&text.value)
            .map_err(|error| self.findings.error(text.span, format!("`{field}`: {error}")))
            .ok()
    }

    pub(super) fn ty(&mut self, map: &Fields<'_>, field: &str) -> Option<Type> {
        let text = self.text(map, field)?;
        match text.value.parse() {
            Ok(ty) => Some(ty),
            Err(_) => {
                let habit =
                    TYPE_HABITS.iter().find(|(habit, _)| text.value.eq_ignore_ascii_case(habit));
                let meant = match habit {
                    Some((_, ours)) => Some((*ours).to_owned()),
                    None => nearest(&text.value.to_ascii_lowercase(), TYPE_NAMES),
                };
                let known = TYPE_NAMES.join(", ");
                let message = format!("expected a type ({known}), came {}", quote(&text.value));
                self.findings.error_meaning(text.span, message, meant);
                None
            }
        }
    }
}

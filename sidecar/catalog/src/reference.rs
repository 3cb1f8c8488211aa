//! References of the definitions, `view[role].feature` and the like; not what they resolve to.
//!
//! Limits: a reference is at most three names of [`crate::limit::NAME_BYTES_MAX`] bytes each.

use std::fmt;

use crate::plan::Constant;

/// What a transform's input or a service's feature refers to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reference {
    /// `view.feature` or `view[role].feature`.
    Feature {
        /// The view's name.
        view: String,
        /// The role, if not the entity itself.
        role: Option<String>,
        /// The feature's name.
        feature: String,
    },
    /// `transform.output`.
    Output {
        /// The transform's name.
        transform: String,
        /// The output's name.
        output: String,
    },
    /// `request.name`.
    Request(String),
    /// `entity.join_key`.
    JoinKey(String),
}

/// What a transform's input is bound to.
#[derive(Clone, PartialEq, Debug)]
pub enum Binding {
    /// A value that differs by row.
    Reference(Reference),
    /// The same value in every row.
    Constant(Constant),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feature { view, role: None, feature } => write!(f, "{view}.{feature}"),
            Self::Feature { view, role: Some(role), feature } => {
                write!(f, "{view}[{role}].{feature}")
            }
            Self::Output { transform, output } => write!(f, "{transform}.{output}"),
            Self::Request(name) => write!(f, "request.{name}"),
            Self::JoinKey(name) => write!(f, "entity.{name}"),
        }
    }
}

/// A reference taken apart but not resolved, with the byte range of each part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) head: &'a str,
    pub(crate) role: Option<&'a str>,
    pub(crate) tail: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes `head.tail` or `head[role].tail` apart; `None` if it is neither.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let (before, tail) = text.split_once('.')?;
        let (head, role) = match before.split_once('[') {
            None => (before, None),
            Some((head, rest)) => (head, Some(rest.strip_suffix(']')?)),
        };
        let names = [Some(head), role, Some(tail)];
        let named =
            names.into_iter().flatten().all(|name| !name.is_empty() && !name.contains(SYNTAX));
        named.then_some(Self { head, role, tail })
    }
}

/// What no name in a reference contains.
const SYNTAX: [char; 5] = ['.', '[', ']', ' ', '\n'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_two_or_three_names() {
        let parts = |head, role, tail| Some(Parts { head, role, tail });
        assert_eq!(Parts::of("a.b"), parts("a", None, "b"));
        assert_eq!(Parts::of("a[r].b"), parts("a", Some("r"), "b"));
        for wrong in [
            "",
            "a",
            ".",
            "a.",
            ".b",
            "a.b.c",
            "a[].b",
            "a[r]b",
            "a[r.b",
            "ar].b",
            "[r].b",
            "a[r][s].b",
            "a b.c",
            "a[r].[b",
        ] {
            assert_eq!(Parts::of(wrong), None, "{wrong}");
        }
    }
}

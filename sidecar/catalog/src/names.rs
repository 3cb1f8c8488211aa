//! References of the definitions, `view[role].feature` and the like, and the nearest known name.
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

/// The known name nearest to a mistaken one, if it is near enough to be meant.
///
/// Near enough: at most a third of its letters wrong (at least one, transpositions count once).
pub(crate) fn nearest<'a>(
    mistaken: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let letters = mistaken.chars().count();
    let most_wrong = (letters / 3).max(1);
    known
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(letters) <= most_wrong)
        .map(|name| (strsim::osa_distance(mistaken, name), name))
        .filter(|(wrong, _)| *wrong <= most_wrong)
        .min()
        .map(|(_, name)| name.to_owned())
}

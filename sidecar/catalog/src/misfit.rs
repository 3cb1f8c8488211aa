//! What about rows stored under one definition of a view doesn't fit another; not how rows are stored.
//!
//! The store starts a view empty by this, and `diff` asks for a load by it: neither has a list of its own.

use std::fmt;

use skewless_batch::Type;

use crate::catalog::View;
use crate::duration;
use crate::visibility::{Boundary, Rule};

/// What a view's rows look like in a store, and when they may be seen.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewSchema {
    /// The view's name; its address in the store over versions of the definitions.
    pub name: String,
    /// What its rows are about, by name.
    pub entity: String,
    /// Names and types of the key columns, in the order in which a key is made of them.
    pub keys: Vec<(String, Type)>,
    /// Names and types of the features, in the definition's order.
    pub features: Vec<(String, Type)>,
    /// Which row may be seen when.
    pub rule: Rule,
}

/// One thing that rows stored under an older definition don't have as a newer one wants it. Each asks for a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// Rows about something else, whose keys may look alike: a row would be found under the key of a stranger. A
    /// renamed entity is another one, too, as nothing tells the two apart.
    Entity {
        /// The older entity.
        was: String,
        /// The newer entity.
        is: String,
    },
    /// Keys of other types: no row is found under its key any more.
    Keys {
        /// The older types.
        was: Vec<Type>,
        /// The newer types.
        is: Vec<Type>,
    },
    /// Keys of the same types whose names tell that they are, or may be, others: rows would be found under swapped
    /// keys. One key with a new name is the same key; of two that changed, of the same type or one with the name the
    /// other had, nothing tells which is which.
    KeyNames {
        /// The older names.
        was: Vec<String>,
        /// The newer names.
        is: Vec<String>,
    },
    /// Rows became visible at other times: of each key the store kept the one row that was due then.
    Boundary {
        /// The older boundary.
        was: Boundary,
        /// The newer boundary.
        is: Boundary,
    },
    /// As for a boundary.
    Lag {
        /// The older lag in microseconds.
        was_us: i64,
        /// The newer lag in microseconds.
        is_us: i64,
    },
    /// Values of another type.
    Retyped {
        /// The feature.
        feature: String,
        /// The older type.
        was: Type,
        /// The newer type.
        is: Type,
    },
    /// A feature that older rows don't have: they give null for it.
    Added {
        /// The feature.
        feature: String,
    },
    /// Older values are asked for than were kept: compaction may have dropped them.
    Ttl {
        /// The older TTL in microseconds.
        was_us: i64,
        /// The newer, greater TTL in microseconds; `None`: any age.
        is_us: Option<i64>,
    },
}

impl From<&View> for ViewSchema {
    fn from(view: &View) -> Self {
        Self {
            name: view.name.clone(),
            entity: view.entity.clone(),
            keys: view.keys.iter().map(|key| (key.name.clone(), key.ty)).collect(),
            features: view.features.iter().map(|field| (field.name.clone(), field.ty)).collect(),
            rule: view.rule,
        }
    }
}

impl ViewSchema {
    /// What about rows stored as `old` doesn't fit this schema, in a fixed order; empty if nothing.
    ///
    /// `old` may have features that this schema no longer has: they are in older rows and do no harm.
    #[must_use]
    pub fn misfits(&self, old: &Self) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        if old.entity != self.entity {
            misfits.push(Misfit::Entity { was: old.entity.clone(), is: self.entity.clone() });
        }
        misfits.extend(self.misfit_of_keys(old));
        if old.rule.boundary != self.rule.boundary {
            misfits.push(Misfit::Boundary { was: old.rule.boundary, is: self.rule.boundary });
        }
        if old.rule.lag_us != self.rule.lag_us {
            misfits.push(Misfit::Lag { was_us: old.rule.lag_us, is_us: self.rule.lag_us });
        }
        misfits.extend(self.features.iter().filter_map(|(name, is)| old.misfit_of(name, *is)));
        if let Some(was_us) = old.rule.ttl_us
            && self.rule.ttl_us.is_none_or(|is_us| is_us > was_us)
        {
            misfits.push(Misfit::Ttl { was_us, is_us: self.rule.ttl_us });
        }
        misfits
    }

    fn misfit_of_keys(&self, old: &Self) -> Option<Misfit> {
        let types = |of: &Self| of.keys.iter().map(|(_, ty)| *ty).collect::<Vec<_>>();
        let (was, is) = (types(old), types(self));
        if was != is {
            return Some(Misfit::Keys { was, is });
        }
        let pairs = old.keys.iter().zip(&self.keys);
        let renamed: Vec<_> = pairs.filter(|(was, is)| was != is).collect();
        let mixed_up = renamed.iter().enumerate().any(|(at, (was, _))| {
            let mut others = renamed.iter().enumerate().filter(|(other, _)| *other != at);
            others.any(|(_, (_, is))| was.0 == is.0 || was.1 == is.1)
        });
        let names = |of: &Self| of.keys.iter().map(|(name, _)| name.clone()).collect();
        mixed_up.then(|| Misfit::KeyNames { was: names(old), is: names(self) })
    }

    fn misfit_of(&self, feature: &str, is: Type) -> Option<Misfit> {
        let stored = self.features.iter().find(|(name, _)| name == feature);
        let feature = feature.to_owned();
        match stored {
            None => Some(Misfit::Added { feature }),
            Some(&(_, was)) => (was != is).then_some(Misfit::Retyped { feature, was, is }),
        }
    }
}

impl Misfit {
    /// Whether no older row can be used: a store starts the view empty. Otherwise it keeps the rows, which give
    /// all but what this names.
    #[must_use]
    pub fn empties(&self) -> bool {
        match self {
            Self::Entity { .. }
            | Self::Keys { .. }
            | Self::KeyNames { .. }
            | Self::Boundary { .. }
            | Self::Lag { .. }
            | Self::Retyped { .. } => true,
            Self::Added { .. } | Self::Ttl { .. } => false,
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entity { was, is } => write!(f, "entity {was} -> {is}"),
            Self::Keys { was, is } => write!(f, "key types {} -> {}", types(was), types(is)),
            Self::KeyNames { was, is } => {
                write!(f, "key names {} -> {}", was.join(", "), is.join(", "))
            }
            Self::Boundary { was, is } => write!(f, "boundary {} -> {}", word(*was), word(*is)),
            Self::Lag { was_us, is_us } => {
                write!(f, "lag {} -> {}", duration::format(*was_us), duration::format(*is_us))
            }
            Self::Retyped { feature, was, is } => write!(f, "type of {feature} {was} -> {is}"),
            Self::Added { feature } => write!(f, "feature {feature} added"),
            Self::Ttl { was_us, is_us } => {
                let is = is_us.map_or_else(|| "none".to_owned(), duration::format);
                write!(f, "ttl {} -> {is}", duration::format(*was_us))
            }
        }
    }
}

fn types(types: &[Type]) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn word(boundary: Boundary) -> &'static str {
    match boundary {
        Boundary::Inclusive => "inclusive",
        Boundary::Exclusive => "exclusive",
    }
}

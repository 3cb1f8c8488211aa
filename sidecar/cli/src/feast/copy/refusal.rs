//! Why a row of Feast's can't be taken, and how many there were of each.

use std::collections::BTreeMap;

/// Why; each has its count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Reason {
    /// An entity key of serialization version 2 or older.
    KeyVersion,
    /// An entity key that is none, or cut short.
    KeyDamaged,
    /// An entity key of other join keys than the view's.
    OtherKeys,
    /// A key's value of another type than the view's key.
    KeyType,
    /// A value that is no message of Feast's, or of a kind that came after 0.67.
    ValueDamaged,
    /// A value of another type than the feature's.
    ValueType,
    /// A value of the right type that the feature's can't hold, such as a vector of another length.
    ValueFits,
    /// No event time, or one that is out of range.
    Time,
    /// Something that the store refuses.
    Store,
}

impl Reason {
    /// As it is shown beside its count.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::KeyVersion => "entity key of serialization version 2 or older",
            Self::KeyDamaged => "entity key that can't be read",
            Self::OtherKeys => "entity key of other join keys than the view's",
            Self::KeyType => "entity key of another type than the view's",
            Self::ValueDamaged => "value that can't be read",
            Self::ValueType => "value of another type than the feature's",
            Self::ValueFits => "value that the feature's type can't hold",
            Self::Time => "no event time, or one out of range",
            Self::Store => "refused by the store",
        }
    }

    /// What to do about such rows.
    pub(super) fn next(self) -> &'static str {
        match self {
            Self::KeyVersion => {
                "set `entity_key_serialization_version: 3` in feature_store.yaml and materialize the views again in Feast"
            }
            Self::KeyDamaged | Self::ValueDamaged => {
                "materialize the view again in Feast, or load it from its history with `skewless load`"
            }
            Self::OtherKeys | Self::KeyType | Self::ValueType | Self::ValueFits => {
                "import the Feast repo as it is now, and see that nothing was changed in the view's keys and types since"
            }
            Self::Time => "write the row again in Feast with a time",
            Self::Store => "see the limits under `store` in docs/configuration.md",
        }
    }
}

/// A row that can't be taken, with what is wrong.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    /// What was expected and what came; may be empty.
    pub(super) detail: String,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: String::new() }
    }
}

/// Refused rows by reason, each with the first one's detail.
#[derive(Default, Debug)]
pub(super) struct Refused(BTreeMap<Reason, (u64, String)>);

impl Refused {
    pub(super) fn add(&mut self, refusal: Refusal) {
        self.0.entry(refusal.reason).or_insert((0, refusal.detail)).0 += 1;
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().map(|(count, _)| count).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Reason, u64, &str)> {
        self.0.iter().map(|(reason, (count, detail))| (*reason, *count, detail.as_str()))
    }
}

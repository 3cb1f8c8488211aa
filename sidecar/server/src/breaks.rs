//! Which breaks of plugins the log has told of: the first of each transform and reason; the metric counts the others.
//!
//! Looked at only when a call broke. Limits: as many entries as the definitions have transforms, each with the few
//! reasons there are.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use skewless_catalog::Step;
use skewless_engine::CallError;

use crate::metrics::short;

/// The breaks of one snapshot that the log has told of.
#[derive(Default)]
pub(crate) struct Breaks {
    told: Mutex<HashMap<String, Vec<&'static str>>>,
}

impl Breaks {
    /// Warns of a call that broke, if it is the first of its transform for this reason.
    pub(crate) fn tell(&self, step: &Step, reason: &'static str, error: Option<&CallError>) {
        if self.is_first(&step.transform, reason) {
            let error = error.map(ToString::to_string).unwrap_or_default();
            tracing::warn!(
                transform = %step.transform,
                plugin = %short(&step.digest),
                reason,
                %error,
                "a transform broke; its next breaks for this reason are only counted, in skewless_transform_breaks_total"
            );
        }
    }

    fn is_first(&self, transform: &str, reason: &'static str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.get_mut(transform) {
            Some(reasons) if reasons.contains(&reason) => return false,
            Some(reasons) => reasons.push(reason),
            None => _ = told.insert(transform.to_owned(), vec![reason]),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_transform_is_told_of_once_for_each_reason() {
        let breaks = Breaks::default();
        for (transform, reason) in [("a", "trap"), ("b", "trap"), ("a", "deadline")] {
            assert!(breaks.is_first(transform, reason), "{transform} {reason}");
            assert!(!breaks.is_first(transform, reason), "{transform} {reason}");
        }
        assert!(!breaks.is_first("a", "trap"));
    }
}

//! What failed in a backfill, for a person: per transform how many rows, and each different message once, with the
//! first row that had it. Counts of rows are complete; messages are kept up to limits.

use skewless_engine::StepReport;

use crate::config::FAILURES_KEPT_MAX;

/// How many rows of a transform failed, and why its features may be missing though it didn't.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransformCounts {
    /// The transform.
    pub transform: String,
    /// Rows it failed for: by its own word, or because it broke.
    pub failed: u64,
    /// Rows it wasn't called for, as another transform had failed that it takes from.
    pub left_out: u64,
    /// Whether any of its outputs has a value in any row.
    pub gave_any: bool,
}

impl TransformCounts {
    /// Whether no row has a value of it, and not only for others' failures or for want of inputs: it failed, too.
    #[must_use]
    pub fn gave_nothing(&self) -> bool {
        self.failed > 0 && !self.gave_any
    }
}

/// Failures of a transform with one message, for a person to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformFailure {
    /// The transform.
    pub transform: String,
    /// The first such row of the spine, from 0 over all its files; none if a whole chunk failed.
    pub row: Option<u64>,
    /// What the plugin or the engine said.
    pub message: String,
    /// How many of the failures whose messages were kept say this. Of a chunk the first
    /// [`FAILURES_MAX`](skewless_catalog::frame::FAILURES_MAX) are kept.
    pub count: u64,
}

/// Gathers what failed, chunk by chunk in the spine's order.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    pub(crate) transforms: Vec<TransformCounts>,
    pub(crate) kept: Vec<TransformFailure>,
}

impl Failures {
    /// For these transforms, in the order of the plan's steps.
    pub(crate) fn of<'a>(transforms: impl Iterator<Item = &'a str>) -> Failures {
        let none = |name: &str| TransformCounts {
            transform: name.to_owned(),
            ..TransformCounts::default()
        };
        Failures { transforms: transforms.map(none).collect(), kept: Vec::new() }
    }

    /// Counts a chunk's rows, one report a step; `gave` says whether a step gave any of them a value.
    pub(crate) fn count(&mut self, reports: &[StepReport], gave: impl Fn(usize) -> bool) {
        for (step, (counts, report)) in self.transforms.iter_mut().zip(reports).enumerate() {
            counts.failed += report.rows_failed as u64;
            counts.left_out += report.rows_left_out as u64;
            counts.gave_any = counts.gave_any || gave(step);
        }
    }

    /// Keeps the message of one failure.
    pub(crate) fn keep(&mut self, step: usize, row: Option<u64>, message: &str) {
        let transform = &self.transforms[step].transform;
        let same =
            |kept: &&mut TransformFailure| kept.transform == *transform && kept.message == message;
        if let Some(kept) = self.kept.iter_mut().find(same) {
            kept.count += 1;
        } else if self.kept.len() < FAILURES_KEPT_MAX {
            let (transform, message) = (transform.clone(), message.to_owned());
            self.kept.push(TransformFailure { transform, row, message, count: 1 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_messages_of_one_transform_are_one_with_the_first_row_and_a_count() {
        let mut failures = Failures::of(["a", "b"].into_iter());
        for (step, row, message) in
            [(0, 3, "broke"), (1, 3, "broke"), (0, 4, "late"), (0, 9, "broke"), (1, 9, "broke")]
        {
            failures.keep(step, Some(row), message);
        }
        let kept: Vec<_> = failures
            .kept
            .iter()
            .map(|kept| (kept.transform.as_str(), kept.row, kept.message.as_str(), kept.count))
            .collect();
        let expected =
            [("a", Some(3), "broke", 2), ("b", Some(3), "broke", 2), ("a", Some(4), "late", 1)];
        assert_eq!(kept, expected);
    }

    #[test]
    fn different_messages_are_kept_up_to_the_limit_and_rows_counted_beyond_it() {
        let mut failures = Failures::of(["a"].into_iter());
        let rows = FAILURES_KEPT_MAX as u64 + 9;
        for row in 0..rows {
            failures.keep(0, Some(row), &format!("broke at {row}"));
        }
        failures.keep(0, Some(rows), "broke at 0");
        assert_eq!(failures.kept.len(), FAILURES_KEPT_MAX);
        assert_eq!((failures.kept[0].row, failures.kept[0].count), (Some(0), 2));
        let report = StepReport { rows_failed: 30, rows_left_out: 2, ..StepReport::default() };
        failures.count(&[report], |_| false);
        failures.count(&[report], |_| false);
        assert_eq!((failures.transforms[0].failed, failures.transforms[0].left_out), (60, 4));
        assert!(failures.transforms[0].gave_nothing());
        failures.count(&[report], |_| true);
        failures.count(&[report], |_| false);
        assert!(!failures.transforms[0].gave_nothing());
    }

    #[test]
    fn a_transform_gave_nothing_if_it_failed_and_no_row_has_a_value() {
        let counts = |failed, gave_any| TransformCounts { failed, gave_any, ..Default::default() };
        assert!(counts(5, false).gave_nothing());
        assert!(!counts(4, true).gave_nothing());
        assert!(
            !counts(0, false).gave_nothing(),
            "others failed, or nothing was there to compute with"
        );
    }
}

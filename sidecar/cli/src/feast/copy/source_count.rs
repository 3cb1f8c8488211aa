//! What the store that is read says how much it has, against what was read of it: the count that this command didn't make
//! itself.
//!
//! Feast may write meanwhile. So a difference is a failure only if the store says the same before and after.

use crate::exit::{Failure, Outcome};
use crate::show;

/// One count of the source's, and ours.
#[derive(PartialEq, Debug)]
pub(super) struct SourceCount {
    /// Of what, as in "rows of Feast's view `orders`".
    pub(super) of: String,
    pub(super) before: u64,
    pub(super) after: u64,
    /// As many as were read.
    pub(super) read: u64,
    /// As few as may be read although `after` are there: some may be over by now.
    pub(super) least: u64,
    /// As many as may be read: some may be given twice.
    pub(super) most: u64,
}

impl SourceCount {
    /// A count that has to be met exactly.
    pub(super) fn exact(of: String, before: u64, after: u64, read: u64) -> Self {
        Self { of, before, after, read, least: after, most: after }
    }

    fn fits(&self) -> bool {
        (self.least..=self.most).contains(&self.read)
    }

    /// What should be known of a store that was written to; `None`: nothing.
    pub(super) fn aside(&self) -> Option<String> {
        let Self { of, before, after, read, .. } = self;
        if self.fits() && read < after {
            let (less, of) = (show::thousands(after - read), of);
            return Some(format!(
                "{less} {of} weren't read: as they expire, they may be over by now, which it finds late; if they aren't, \
                 copy again"
            ));
        }
        let (before, after, read) =
            (show::thousands(*before), show::thousands(*after), show::thousands(*read));
        (!self.fits() && self.before != self.after).then(|| {
            format!(
                "warning: there were {before} {of} and there are {after} now, {read} were read: they are being written \
                 to, so run the same once more after the last write"
            )
        })
    }

    /// Refuses to call it a whole copy if the store stayed as it was and something else was read.
    pub(super) fn judge(&self) -> Outcome {
        if self.fits() || self.before != self.after {
            return Ok(());
        }
        let (after, read) = (show::thousands(self.after), show::thousands(self.read));
        Err(Failure::new(
            format!("expected {after} {}, as many as the store says, came {read}", self.of),
            "copy again: nothing is copied twice; if it is the same, the store is damaged or this is a bug in Skewless: \
             please report it",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(count: &SourceCount) -> (Option<String>, Option<String>) {
        (count.aside(), count.judge().err().map(|failure| format!("{failure:?}")))
    }

    #[test]
    fn what_the_store_has_is_what_must_be_read() {
        let exact =
            |before, after, read| said(&SourceCount::exact("rows".to_owned(), before, after, read));
        assert_eq!(exact(3, 3, 3), (None, None));
        assert_eq!(exact(2, 3, 3), (None, None), "the new one was seen, too");
        for read in [2, 4] {
            let (aside, failure) = exact(3, 3, read);
            assert_eq!(aside, None);
            let failure = failure.unwrap_or_default();
            assert!(
                failure
                    .contains(&format!("expected 3 rows, as many as the store says, came {read}")),
                "{failure}"
            );
        }
        let (aside, failure) = exact(3, 5, 3);
        assert_eq!(failure, None);
        assert!(
            aside
                .unwrap_or_default()
                .contains("there were 3 rows and there are 5 now, 3 were read")
        );
    }

    #[test]
    fn keys_that_are_over_or_given_twice_are_no_difference() {
        let redis = |read| {
            let count = SourceCount {
                of: "keys".to_owned(),
                before: 9,
                after: 9,
                read,
                least: 7,
                most: u64::MAX,
            };
            said(&count).1.is_some()
        };
        assert_eq!([6, 7, 9, 12].map(redis), [true, false, false, false]);
        let aside = |read, least| {
            SourceCount { of: "keys".to_owned(), before: 9, after: 9, read, least, most: u64::MAX }
                .aside()
        };
        assert!(aside(1, 0).is_some_and(|line| line.starts_with("8 keys weren't read: as they")));
        assert_eq!((aside(9, 0), aside(6, 7)), (None, None));
    }
}

//! The one rule: which stored row of a key may be seen at time `t`; not storage, not a join.
//!
//! The online read, the ingest path and the offline point-in-time join all call this file and hold
//! no second copy of it. The rule has two halves that can be used apart:
//!
//! 1. *Due.* A row may be seen from [`Rule::due_us`] on: not before its event time (one microsecond
//!    later under an exclusive boundary) and not before it was known plus the view's availability
//!    lag. Rows of one key are totally ordered by [`Stamp`]; among the rows that are due at `t` the
//!    greatest stamp wins, whatever the order of arrival: [`Stamp::replaces`].
//! 2. *Judge.* Of the winner, [`Rule::judge`] says what a reader at `t` gets: nothing (no winner, or
//!    the winner is a tombstone), a value too old for the view's TTL, or the value. What stands in for a value
//!    that isn't given is [`Judged::absent`].
//!
//! Limits: every time is int64 microseconds since 1970-01-01 UTC within [`TIME_MIN_US`] and
//! [`TIME_MAX_US`]; arithmetic saturates, so a rule never panics whatever it is given.

use crate::frame::Status;

/// The least time accepted at any edge: the first microsecond of the year -9999.
///
/// Chosen with [`TIME_MAX_US`] so that the difference of two times, and a time plus any duration the
/// definitions accept, fits int64 without saturating.
pub const TIME_MIN_US: i64 = -377_705_116_800_000_000;

/// The greatest time accepted at any edge: the last microsecond of 9999-12-31 UTC.
pub const TIME_MAX_US: i64 = 253_402_300_799_999_999;

/// Whether a row may be seen at the very microsecond of its event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Boundary {
    /// `event <= t`: for state, such as the latest weather report. The default.
    #[default]
    Inclusive,
    /// `event < t`: for aggregates over the stream that also holds the label event, which would
    /// otherwise leak itself into its own features.
    Exclusive,
}

/// The visibility rule of one feature view.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rule {
    /// Whether a row may be seen at its own event time.
    pub boundary: Boundary,
    /// Greatest age in microseconds at which a value is still given; inclusive. `None`: any age.
    pub ttl_us: Option<i64>,
    /// Microseconds between a row being known and a reader being able to see it; not negative.
    pub lag_us: i64,
}

/// The place of a row in the total order of the rows of one key.
///
/// The derived order is the order of the rule: event time, then known time, then position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stamp {
    /// When the fact happened, microseconds UTC.
    pub event_us: i64,
    /// When it became known: the created timestamp, or the time of ingestion, microseconds UTC.
    pub known_us: i64,
    /// Where it stood in its source: its number in a history. Online 0, as rows are compared in the order they
    /// arrive; see [`Stamp::arriving`].
    pub position: u64,
}

/// The row that won: the greatest stamp among the rows that are due.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Newest {
    /// Its event time, microseconds UTC.
    pub event_us: i64,
    /// Whether it is a tombstone.
    pub deleted: bool,
    /// Whether its values were dropped after it expired. A history has no such rows.
    pub husk: bool,
}

/// What a reader is told about one key of one view at one time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Judged {
    /// No row is due, or the newest due row is a tombstone.
    NotFound,
    /// The newest due row is older than the TTL.
    OutsideMaxAge,
    /// The newest due row is to be given.
    Visible,
}

/// A time outside the range every edge accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected a time from year -9999 to 9999 in microseconds UTC, came {us}")]
pub struct TimeOutOfRange {
    /// The time that came, microseconds UTC.
    pub us: i64,
}

impl Stamp {
    /// The stamp of a row that is compared with those that arrived before it, and is thus after them in position.
    #[must_use]
    pub const fn arriving(event_us: i64, known_us: i64) -> Self {
        Self { event_us, known_us, position: 0 }
    }

    /// Whether this row, given or arriving after `other`, wins over it: unless the other's stamp is greater.
    #[must_use]
    pub fn replaces(&self, other: &Self) -> bool {
        self >= other
    }
}

impl Judged {
    /// The status that stands for a value that isn't given; `None`: the value is.
    #[must_use]
    pub fn absent(self) -> Option<Status> {
        match self {
            Self::NotFound => Some(Status::NotFound),
            Self::OutsideMaxAge => Some(Status::OutsideMaxAge),
            Self::Visible => None,
        }
    }
}

impl Rule {
    /// The first `t` at which the row may be seen:
    /// `max(event (+1 us if exclusive), known + lag)`, saturating.
    #[must_use]
    pub fn due_us(&self, stamp: &Stamp) -> i64 {
        self.due_as_known_now_us(stamp).max(stamp.known_us.saturating_add(self.lag_us))
    }

    /// Like [`Rule::due_us`], but as if every row had been known when it happened.
    ///
    /// Only for a backfill that explicitly asks for "as known now"; never for serving.
    #[must_use]
    pub fn due_as_known_now_us(&self, stamp: &Stamp) -> i64 {
        match self.boundary {
            Boundary::Inclusive => stamp.event_us,
            Boundary::Exclusive => stamp.event_us.saturating_add(1),
        }
    }

    /// What a reader at `t_us` gets, given the greatest stamp among the rows due at `t_us`.
    ///
    /// A tombstone is NotFound at any age. The TTL is inclusive: `t - event <= ttl` is visible. A husk is
    /// OutsideMaxAge even if the TTL was raised since: its values are gone.
    #[must_use]
    pub fn judge(&self, newest: Option<Newest>, t_us: i64) -> Judged {
        let Some(newest) = newest else { return Judged::NotFound };
        if newest.husk {
            return Judged::OutsideMaxAge;
        }
        if newest.deleted {
            return Judged::NotFound;
        }
        match self.ttl_us {
            Some(ttl_us) if t_us.saturating_sub(newest.event_us) > ttl_us => Judged::OutsideMaxAge,
            _ => Judged::Visible,
        }
    }
}

/// Refuses a time that no edge accepts; gives it back otherwise.
pub fn check_time(us: i64) -> Result<i64, TimeOutOfRange> {
    if (TIME_MIN_US..=TIME_MAX_US).contains(&us) { Ok(us) } else { Err(TimeOutOfRange { us }) }
}

#[cfg(test)]
mod tests;

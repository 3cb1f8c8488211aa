//! The statuses of a column's rows; not what they mean.
//!
//! Nearly always all rows of a column have the same one, `PRESENT` most of all: then only that one and a
//! count are kept, which is what makes a frame of a hundred columns small enough for the nearest cache.

use std::ops::Index;

use super::Status;

/// One status per row.
#[derive(Clone, Debug)]
pub struct Statuses {
    /// The status of every row while `each` is empty.
    same: Status,
    rows: usize,
    /// One entry per row from the first on that differs; its memory is kept.
    each: Vec<Status>,
}

impl Statuses {
    /// Of no rows.
    #[must_use]
    pub const fn new() -> Self {
        Self { same: Status::Present, rows: 0, each: Vec::new() }
    }

    /// Number of rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Memory held besides the struct itself, in bytes; capacity, not length.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.each.capacity() * size_of::<Status>()
    }

    /// Removes all rows and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.rows = 0;
        if !self.each.is_empty() {
            self.each.clear();
        }
    }

    /// Adds a row.
    #[inline]
    pub fn push(&mut self, status: Status) {
        self.push_many(status, 1);
    }

    /// Adds `rows` rows of the same status.
    #[inline]
    pub fn push_many(&mut self, status: Status, rows: usize) {
        if self.rows == 0 {
            self.same = status;
        } else if !self.each.is_empty() || (status != self.same && rows > 0) {
            return self.push_each(status, rows);
        }
        self.rows += rows;
    }

    #[cold]
    fn push_each(&mut self, status: Status, rows: usize) {
        if self.each.is_empty() {
            self.each.resize(self.rows, self.same);
        }
        self.rows += rows;
        self.each.resize(self.rows, status);
    }

    /// The row's status, if there is such a row.
    #[inline]
    #[must_use]
    pub fn get(&self, row: usize) -> Option<Status> {
        if self.each.is_empty() {
            (row < self.rows).then_some(self.same)
        } else {
            self.each.get(row).copied()
        }
    }

    /// Whether every row has this status; true if there is none.
    #[inline]
    #[must_use]
    pub fn all(&self, status: Status) -> bool {
        if self.each.is_empty() {
            self.rows == 0 || self.same == status
        } else {
            self.each.iter().all(|each| *each == status)
        }
    }

    /// Whether any row has this status.
    #[inline]
    #[must_use]
    pub fn contains(&self, status: Status) -> bool {
        if self.each.is_empty() {
            self.rows > 0 && self.same == status
        } else {
            self.each.contains(&status)
        }
    }

    /// The rows' statuses in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Status> + Clone + '_ {
        let (same, each) = (self.same, self.each.as_slice());
        (0..self.rows).map(move |row| each.get(row).copied().unwrap_or(same))
    }
}

impl Default for Statuses {
    fn default() -> Self {
        Self::new()
    }
}

impl Extend<Status> for Statuses {
    fn extend<I: IntoIterator<Item = Status>>(&mut self, statuses: I) {
        statuses.into_iter().for_each(|status| self.push(status));
    }
}

/// Panics if there is no such row.
impl Index<usize> for Statuses {
    type Output = Status;

    fn index(&self, row: usize) -> &Status {
        if self.each.is_empty() && row < self.rows { &self.same } else { &self.each[row] }
    }
}

impl PartialEq for Statuses {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Statuses {}

impl PartialEq<[Status]> for Statuses {
    fn eq(&self, other: &[Status]) -> bool {
        self.iter().eq(other.iter().copied())
    }
}

impl<const N: usize> PartialEq<[Status; N]> for Statuses {
    fn eq(&self, other: &[Status; N]) -> bool {
        self == other.as_slice()
    }
}

impl PartialEq<Vec<Status>> for Statuses {
    fn eq(&self, other: &Vec<Status>) -> bool {
        self == other.as_slice()
    }
}

#[cfg(test)]
mod tests {
    //! Against a plain list.
    use proptest::prelude::*;

    use super::*;

    fn status() -> impl Strategy<Value = Status> {
        // Mostly the same, as in life.
        prop_oneof![
            8 => Just(Status::Present),
            1 => Just(Status::NullValue),
            1 => Just(Status::NotFound),
            1 => Just(Status::TransformFailed),
        ]
    }

    proptest! {
        #[test]
        fn they_are_a_list(
            first in prop::collection::vec((status(), 0usize..4), 0..4),
            rest in prop::collection::vec((status(), 0usize..4), 0..12),
        ) {
            let (mut statuses, mut list) = (Statuses::new(), Vec::new());
            // What was there before a clear doesn't matter.
            first.iter().for_each(|(status, rows)| statuses.push_many(*status, *rows));
            statuses.clear();
            for (status, rows) in rest {
                statuses.push_many(status, rows);
                list.extend(vec![status; rows]);
            }
            prop_assert_eq!(&statuses, &list);
            prop_assert_eq!(statuses.len(), list.len());
            for (row, status) in list.iter().enumerate() {
                prop_assert_eq!(statuses[row], *status);
            }
            prop_assert_eq!(statuses.get(list.len()), None);
            for status in [Status::Present, Status::NullValue, Status::NotFound] {
                prop_assert_eq!(statuses.contains(status), list.contains(&status));
                prop_assert_eq!(statuses.all(status), list.iter().all(|each| *each == status));
            }
        }
    }
}

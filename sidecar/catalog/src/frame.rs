//! The reusable buffer one plan runs over: keys, slots, statuses; not the code that fills or runs it.
//!
//! A frame is made once per worker and plan and reused: [`Frame::reset`] empties every column and
//! keeps its memory, so that a warm request allocates nothing per feature. Its life is always the
//! same, online and offline:
//!
//! 1. `reset(rows)`; 2. the caller fills `keys` and the request slots' columns; 3. [`Frame::complete`]
//!    checks them and derives statuses, key slots and constants; 4. the store or the join fills the
//!    lookups' slots, statuses and event times; 5. the engine fills the steps' outputs.
//!
//! The rule of a frame: a slot's value whose status is not [`Status::Present`] is a null in its
//! column, and each column is as long as `rows` once its writer is done.

use skewless_batch::{Column, Value};

pub use statuses::Statuses;

use crate::plan::{Constant, Plan};

mod statuses;

/// Most failures kept with their message; the rest are only counted.
///
/// A failing plugin fails every row of every request: the messages are for a person, who reads a few.
pub const FAILURES_MAX: usize = 64;

/// Event time of a lookup that found nothing.
pub const EVENT_NONE_US: i64 = i64::MIN;

/// What is known about one value of an answer.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// There is a value.
    Present = 1,
    /// The value is known to be null.
    NullValue = 2,
    /// No row of this key is visible, or the key is null.
    NotFound = 3,
    /// The newest visible row is older than the view's TTL.
    OutsideMaxAge = 4,
    /// The transform that makes this value failed for this row.
    TransformFailed = 5,
}

/// One column of a frame with a status per row.
#[derive(Debug)]
pub struct FrameSlot {
    /// The values; a null wherever the status is not [`Status::Present`].
    pub column: Column,
    /// One status per row.
    pub status: Statuses,
}

/// Why a step failed, for a person to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Index into [`Plan::steps`].
    pub step: usize,
    /// The row that failed; `None`: the step failed for every row.
    pub row: Option<usize>,
    /// What the plugin or the engine said.
    pub message: String,
}

/// The reusable buffer one plan runs over.
#[derive(Debug)]
pub struct Frame {
    /// Rows of the request or chunk.
    pub rows: usize,
    /// One column per [`Plan::keys`], `rows` long, filled by the caller.
    pub keys: Vec<Column>,
    /// One slot per [`Plan::slots`].
    pub slots: Vec<FrameSlot>,
    /// Per [`Plan::lookups`] one event time per row in microseconds UTC, [`EVENT_NONE_US`] if no row
    /// is visible.
    pub lookups: Vec<Vec<i64>>,
    /// The first [`FAILURES_MAX`] failures; write through [`Frame::fail`].
    pub failures: Vec<Failure>,
    /// How many failures there were in all.
    pub failures_total: usize,
}

/// Keys or request values that the plan can't run over.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// A join key column has another length than the frame.
    #[error("expected {expected} values of join key `{name}`, came {came}")]
    KeyRows {
        /// The join key.
        name: String,
        /// Rows of the frame.
        expected: usize,
        /// Values that came.
        came: usize,
    },
    /// A request column has another length than the frame; 0 if it was not given at all.
    #[error("expected {expected} values of request column `{name}`, came {came}")]
    RequestRows {
        /// The request column.
        name: String,
        /// Rows of the frame.
        expected: usize,
        /// Values that came.
        came: usize,
    },
    /// A request column that is not nullable holds a null.
    #[error(
        "expected a value of request column `{name}` in row {row}, came null; it is not declared nullable (`nullable: true` under `requests`)"
    )]
    RequestNull {
        /// The request column.
        name: String,
        /// The first row that is null.
        row: usize,
    },
}

impl Frame {
    /// An empty frame with the plan's columns.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let slot = |ty| FrameSlot { column: Column::new(ty), status: Statuses::new() };
        Self {
            rows: 0,
            keys: plan.keys.iter().map(|key| Column::new(key.ty)).collect(),
            slots: plan.slots.iter().map(|of| slot(of.ty)).collect(),
            lookups: plan.lookups.iter().map(|_| Vec::new()).collect(),
            failures: Vec::new(),
            failures_total: 0,
        }
    }

    /// Empties every column and status for `rows` new rows; keeps their memory.
    pub fn reset(&mut self, rows: usize) {
        self.rows = rows;
        self.keys.iter_mut().for_each(Column::clear);
        for slot in &mut self.slots {
            slot.column.clear();
            slot.status.clear();
        }
        self.lookups.iter_mut().for_each(Vec::clear);
        self.failures.clear();
        self.failures_total = 0;
    }

    /// Checks the keys and request columns the caller gave and fills what follows from them: request
    /// statuses, key slots and constants. NaNs of request columns become the canonical NaN.
    ///
    /// A nullable request column that was not given at all (length 0) is filled with nulls.
    pub fn complete(&mut self, plan: &Plan) -> Result<(), FrameError> {
        for (column, key) in self.keys.iter().zip(&plan.keys) {
            if column.len() != self.rows {
                let (name, expected) = (key.name.clone(), self.rows);
                return Err(FrameError::KeyRows { name, expected, came: column.len() });
            }
        }
        for request in &plan.request {
            self.complete_request(&request.name, request.nullable, request.slot)?;
        }
        for &(key, slot) in &plan.key_slots {
            let slot = &mut self.slots[slot];
            slot.column.clear();
            slot.column.append(&self.keys[key].view(), 0..self.rows);
            slot.derive_status();
        }
        for (slot, constant) in &plan.constants {
            self.slots[*slot].fill(self.rows, constant);
        }
        Ok(())
    }

    /// Notes a failure of a step; keeps the message of the first [`FAILURES_MAX`].
    pub fn fail(&mut self, step: usize, row: Option<usize>, message: impl Into<String>) {
        self.failures_total += 1;
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(Failure { step, row, message: message.into() });
        }
    }

    fn complete_request(
        &mut self,
        name: &str,
        nullable: bool,
        slot: usize,
    ) -> Result<(), FrameError> {
        let rows = self.rows;
        let slot = &mut self.slots[slot];
        if slot.column.is_empty() && nullable {
            (0..rows).for_each(|_| slot.column.push_null());
        }
        if slot.column.len() != rows {
            let (name, came) = (name.to_owned(), slot.column.len());
            return Err(FrameError::RequestRows { name, expected: rows, came });
        }
        if !nullable && let Some(row) = (0..rows).find(|&row| slot.column.is_null(row)) {
            return Err(FrameError::RequestNull { name: name.to_owned(), row });
        }
        slot.column.canonicalize_nans();
        slot.derive_status();
        Ok(())
    }
}

impl FrameSlot {
    /// Derives a status per row from the nulls of the column.
    pub fn derive_status(&mut self) {
        self.status.clear();
        let status = |null| if null { Status::NullValue } else { Status::Present };
        if self.column.null_count() == 0 {
            self.status.push_many(Status::Present, self.column.len());
            return;
        }
        self.status.extend((0..self.column.len()).map(|row| status(self.column.is_null(row))));
    }

    /// Adds rows without a value.
    pub fn push_absent(&mut self, status: Status, rows: usize) {
        debug_assert_ne!(status, Status::Present, "an absent value has no present status");
        self.column.push_nulls(rows);
        self.status.push_many(status, rows);
    }

    fn fill(&mut self, rows: usize, constant: &Constant) {
        self.column.clear();
        self.status.clear();
        self.column.reserve(rows);
        for _ in 0..rows {
            match constant {
                Constant::Null => self.column.push_null(),
                Constant::Bool(value) => self.column.push_bool(*value),
                Constant::Int32(value) => self.column.push_i32(*value),
                Constant::Int64(value) => self.column.push_i64(*value),
                Constant::Float32(value) => self.column.push_f32(*value),
                Constant::Float64(value) => self.column.push_f64(*value),
                Constant::Utf8(value) => self.column.push_utf8(value),
            }
        }
        let status =
            if matches!(constant, Constant::Null) { Status::NullValue } else { Status::Present };
        self.status.push_many(status, rows);
    }
}

impl Status {
    /// The status of this number on the wire, if it is one.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Present,
            2 => Self::NullValue,
            3 => Self::NotFound,
            4 => Self::OutsideMaxAge,
            5 => Self::TransformFailed,
            _ => return None,
        })
    }

    /// The name as it is written in answers and documentation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Present => "PRESENT",
            Self::NullValue => "NULL_VALUE",
            Self::NotFound => "NOT_FOUND",
            Self::OutsideMaxAge => "OUTSIDE_MAX_AGE",
            Self::TransformFailed => "TRANSFORM_FAILED",
        }
    }

    /// [`Status::Present`] for a value, [`Status::NullValue`] for a null.
    #[must_use]
    pub fn of(value: &Value<'_>) -> Self {
        if matches!(value, Value::Null) { Self::NullValue } else { Self::Present }
    }
}

#[cfg(test)]
mod tests;

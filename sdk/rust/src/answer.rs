//! The output batch: its columns once they are whole, and the messages of rows that failed; the bytes are the
//! batch crate's.

use core::fmt::{Display, Write as _};

use skewless_batch::abi::CallStatus;
use skewless_batch::{Column, ColumnView, Type};

/// The columns a transform gives, and the messages of rows that failed.
#[derive(Default)]
pub struct Answer {
    columns: Vec<Column>,
    /// One entry per row up to the last that failed, null = fine; made when the first row fails.
    errors: Option<Column>,
    message: String,
}

impl Answer {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Answer {
        Answer::default()
    }

    /// Notes that a row failed, and why; its outputs are the caller's to make null. Rows come in order.
    #[cold]
    pub fn failed(&mut self, row: usize, error: impl Display) {
        let mut message = core::mem::take(&mut self.message);
        message.clear();
        // Writing to a String can't fail; an error of Display itself leaves what it wrote.
        let _ = write!(message, "{error}");
        let errors = self.errors.get_or_insert_with(|| Column::new(Type::Utf8));
        errors.push_nulls(row.saturating_sub(errors.len()));
        errors.push_utf8(&message);
        self.message = message;
    }

    /// Takes over the columns, once every row was written.
    pub fn take(&mut self, columns: Vec<Column>) {
        self.columns = columns;
    }

    /// Fills up the errors and checks that every row was answered.
    pub(crate) fn finish(&mut self, rows: usize) -> Result<(), CallStatus> {
        if let Some(errors) = &mut self.errors {
            errors.push_nulls(rows.saturating_sub(errors.len()));
        }
        let whole = self.columns.iter().chain(&self.errors).all(|column| column.len() == rows);
        if whole { Ok(()) } else { Err(CallStatus::Failed) }
    }

    /// The output columns, and the errors last if there are any.
    pub(crate) fn views(&self) -> Vec<ColumnView<'_>> {
        let mut views = Vec::with_capacity(self.columns.len() + 1);
        views.extend(self.columns.iter().chain(&self.errors).map(Column::view));
        views
    }

    /// The columns and the errors, for the native runner.
    pub(crate) fn into_parts(self) -> (Vec<Column>, Option<Column>) {
        (self.columns, self.errors)
    }
}

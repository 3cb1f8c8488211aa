//! The output batch while it grows, a row or a column at a time; the bytes are the batch crate's.

use core::fmt::{Display, Write as _};

use skewless_batch::abi::CallStatus;
use skewless_batch::{Column, ColumnView, Type, encode_iter, encoded_len_iter};

use crate::output::Outputs;
use crate::signature::SignatureSpec;

/// The columns a transform writes, and the messages of rows that failed.
pub struct Answer {
    columns: Vec<Column>,
    /// One entry per row, null = fine; made when the first row fails.
    errors: Option<Column>,
    rows: usize,
    message: String,
}

impl Answer {
    /// Empty columns with room for `rows` rows.
    #[must_use]
    pub fn new(signature: &SignatureSpec, rows: usize) -> Answer {
        let column = |ty| Column::with_capacity(ty, rows);
        Answer {
            columns: signature.outputs.iter().map(|field| column(field.ty)).collect(),
            errors: None,
            rows: 0,
            message: String::new(),
        }
    }

    /// Appends a row of values.
    #[inline]
    pub fn row(&mut self, outputs: impl Outputs) {
        outputs.write(&mut self.columns);
        self.done(None);
    }

    /// Appends a row of nulls.
    pub fn null_row(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
        self.done(None);
    }

    /// Appends a row that failed.
    pub fn failed_row(&mut self, error: impl Display) {
        let mut message = core::mem::take(&mut self.message);
        message.clear();
        // Writing to a String can't fail; an error of Display itself leaves what it wrote.
        let _ = write!(message, "{error}");
        self.columns.iter_mut().for_each(Column::push_null);
        self.done(Some(&message));
        self.message = message;
    }

    #[inline]
    fn done(&mut self, error: Option<&str>) {
        self.rows += 1;
        if self.errors.is_some() || error.is_some() {
            self.note(error);
        }
    }

    #[cold]
    fn note(&mut self, error: Option<&str>) {
        let errors = self.errors.get_or_insert_with(|| Column::new(Type::Utf8));
        while errors.len() + 1 < self.rows {
            errors.push_null();
        }
        match error {
            Some(message) => errors.push_utf8(message),
            None => errors.push_null(),
        }
    }

    /// Checks that every row was answered.
    pub(crate) fn finish(&self, rows: usize) -> Result<(), CallStatus> {
        let whole = self.views().all(|column| column.len() == rows);
        if whole { Ok(()) } else { Err(CallStatus::Failed) }
    }

    /// The output columns, and the errors last if there are any.
    pub(crate) fn views(&self) -> impl ExactSizeIterator<Item = ColumnView<'_>> + Clone {
        let all: Vec<_> = self.columns.iter().chain(&self.errors).map(Column::view).collect();
        all.into_iter()
    }

    /// The output batch's length in bytes.
    pub(crate) fn encoded_len(&self, rows: usize) -> usize {
        encoded_len_iter(rows, self.views())
    }

    /// Writes the output batch; `out` is as long as [`Answer::encoded_len`] says.
    pub(crate) fn encode(&self, rows: usize, out: &mut [u8]) -> Result<usize, CallStatus> {
        encode_iter(rows, self.views(), out).map_err(|_| CallStatus::Failed)
    }

    /// The columns and the errors, for the native runner.
    pub(crate) fn into_parts(self) -> (Vec<Column>, Option<Column>) {
        (self.columns, self.errors)
    }
}

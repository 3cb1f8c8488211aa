//! What a call answers: the output batch, if all of it lies in its place; else its columns once they are whole, and
//! the messages of rows that failed, to be encoded. The bytes are the batch crate's.

use core::fmt::{Display, Write as _};

use skewless_batch::{Column, ColumnView, Type, Written};

use crate::places::Places;

/// The outputs of a transform, and the messages of rows that failed.
pub struct Answer<'o> {
    places: Places<'o>,
    /// Whether the places hold the whole batch.
    in_place: bool,
    /// The columns, unless they are in place.
    parts: Vec<Part<'o>>,
    /// One entry per row up to the last that failed, null = fine; made when the first row fails.
    errors: Option<Column>,
    message: String,
}

/// A column of the output batch, before it is encoded.
pub enum Part<'o> {
    /// Of one width, from where its rows were written.
    Written(Written<'o>),
    /// Of any type.
    Column(Column),
}

impl Part<'_> {
    pub(crate) fn view(&self) -> ColumnView<'_> {
        match self {
            Self::Written(written) => written.view(),
            Self::Column(column) => column.view(),
        }
    }
}

impl<'o> Answer<'o> {
    /// Nothing yet.
    pub(crate) fn new(places: Places<'o>) -> Self {
        Self { places, in_place: false, parts: Vec::new(), errors: None, message: String::new() }
    }

    /// Where outputs of one width are written.
    pub fn places(&mut self) -> &mut Places<'o> {
        &mut self.places
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

    /// Settles whether the places hold the whole batch, and says so: they do if all of the `outputs` columns are there
    /// and no row failed. Otherwise each column is to be [added](Self::add).
    pub(crate) fn settle(&mut self, in_place: bool, outputs: usize) -> bool {
        self.in_place = in_place && self.errors.is_none();
        if !self.in_place {
            self.parts.reserve_exact(outputs + 1);
        }
        self.in_place
    }

    /// Takes over the next column.
    pub(crate) fn add(&mut self, part: Part<'o>) {
        self.parts.push(part);
    }

    /// The columns to encode, and the errors last if there are any; `None`: the batch is whole in its place.
    pub(crate) fn finish(&mut self, rows: usize) -> Option<&[Part<'o>]> {
        if self.in_place {
            return None;
        }
        if let Some(mut errors) = self.errors.take() {
            errors.push_nulls(rows.saturating_sub(errors.len()));
            self.parts.push(Part::Column(errors));
        }
        Some(&self.parts)
    }
}

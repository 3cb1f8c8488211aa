//! Whole runs of rows at a time: appending a part of another column, slices in and out, NaNs. The
//! cost of an append is a copy of the buffers; only foreign columns that keep values in the slots of
//! nulls are walked row by row.

use alloc::vec::Vec;
use core::ops::Range;

use super::{Column, Values, WRONG_TYPE, offset};
use crate::view::{bug, i32_at, slice};
use crate::{BatchView, ColumnView, Type, bits, canonical};

/// In bulk.
impl Column {
    /// Appends rows `rows` of a column of the same type: a copy of the buffers, except that what is
    /// in the slots of nulls is left out. Panics if the type is another one or rows are missing.
    pub fn append(&mut self, view: &ColumnView<'_>, rows: Range<usize>) {
        if view.ty != self.ty {
            bug(WRONG_TYPE);
        }
        if rows.start > rows.end || rows.end > view.rows {
            bug("the column has no such rows");
        }
        let Some(validity) = view.validity else {
            self.append_values(view, rows.clone());
            if self.null_count > 0 {
                bits::push_ones(&mut self.validity, self.rows, rows.len());
            }
            self.rows += rows.len();
            return;
        };
        if self.ty.has_offsets() && !view.clean {
            // Null slots may hold values that must not be copied.
            rows.for_each(|row| self.push_from(view, row));
            return;
        }
        let first = self.rows;
        self.append_values(view, rows.clone());
        if !view.clean {
            for row in rows.clone().filter(|row| !bits::get(validity, *row)) {
                self.zero_slot(first + row - rows.start);
            }
        }
        if self.null_count == 0 {
            self.validity.clear();
            bits::push_ones(&mut self.validity, 0, first);
        }
        bits::append(&mut self.validity, first, validity, rows.start, rows.len());
        self.rows += rows.len();
        self.null_count = bits::count_zeros(&self.validity, self.rows);
    }

    /// Appends column `index` of a batch if it has numbers or bools and neither has nulls, as is mostly so; says whether
    /// it did. For few rows, for which [`Column::append`] and the view it takes cost more than the values. Panics
    /// if the type is another one.
    pub fn append_numbers(&mut self, batch: &BatchView<'_>, index: usize) -> bool {
        if batch.column_type(index) != self.ty {
            bug(WRONG_TYPE);
        }
        let (bytes, validity) = batch.values_and_validity(index);
        if self.offsets.is_some() || self.null_count > 0 || !validity.is_empty() {
            return false;
        }
        match &mut self.values {
            Values::Bits(values) => bits::append(values, self.rows, bytes, 0, batch.rows()),
            Values::Int32(values) => {
                values.extend(bytes.as_chunks().0.iter().map(|item| i32::from_le_bytes(*item)));
            }
            Values::Int64(values) => {
                values.extend(bytes.as_chunks().0.iter().map(|item| i64::from_le_bytes(*item)));
            }
            Values::Float32(values) => {
                values.extend(bytes.as_chunks().0.iter().map(|item| f32::from_le_bytes(*item)));
            }
            Values::Float64(values) => {
                values.extend(bytes.as_chunks().0.iter().map(|item| f64::from_le_bytes(*item)));
            }
            Values::Text(_) | Values::Bytes(_) => return false,
        }
        self.rows += batch.rows();
        true
    }

    /// Appends a row for each of `rows` values that lie apart, none of them null, if the type has one width; says
    /// whether it did. `value(row)` begins with the row's value in little-endian, a bool as one byte that is 1 or
    /// not. For many columns of few rows: what the column is like is looked at once. Panics if a value is cut short.
    #[inline]
    pub fn append_scattered<'v>(&mut self, rows: usize, value: impl Fn(usize) -> &'v [u8]) -> bool {
        if self.offsets.is_some() {
            return false;
        }
        match &mut self.values {
            Values::Bits(values) => (0..rows).for_each(|row| {
                bits::push(values, self.rows + row, head::<1>(value(row)) == [1]);
            }),
            Values::Int32(values) => {
                values.extend((0..rows).map(|row| i32::from_le_bytes(head(value(row)))));
            }
            Values::Int64(values) => {
                values.extend((0..rows).map(|row| i64::from_le_bytes(head(value(row)))));
            }
            Values::Float32(values) if self.ty == Type::Float32 => {
                values.extend((0..rows).map(|row| f32::from_le_bytes(head(value(row)))));
            }
            Values::Float32(values) => {
                let width = self.ty.dim() as usize * 4;
                for row in 0..rows {
                    let items = slice(value(row), 0, width).as_chunks::<4>().0;
                    values.extend(items.iter().map(|item| f32::from_le_bytes(*item)));
                }
            }
            Values::Float64(values) => {
                values.extend((0..rows).map(|row| f64::from_le_bytes(head(value(row)))));
            }
            Values::Text(_) | Values::Bytes(_) => return false,
        }
        self.extended(rows);
        true
    }

    /// A column of values that were gathered elsewhere; a bit of `validity` per row, LSB first, 0 = null.
    /// What is in the slots of nulls is zeroed. Panics if the type has offsets or is no fit for the
    /// values, or if lengths contradict each other.
    #[must_use]
    pub fn of_values(ty: Type, rows: usize, values: Values, validity: Option<Vec<u8>>) -> Self {
        let mut column = Self::new(ty);
        let fits = core::mem::discriminant(&column.values) == core::mem::discriminant(&values);
        if ty.has_offsets() || !fits {
            bug(WRONG_TYPE);
        }
        let len = match &values {
            Values::Bits(values) => (values.len() == bits::bytes_for(rows)).then_some(rows),
            Values::Bytes(_) | Values::Text(_) => None,
            Values::Int32(values) => Some(values.len()),
            Values::Int64(values) => Some(values.len()),
            Values::Float32(values) => Some(values.len()),
            Values::Float64(values) => Some(values.len()),
        };
        let lengths = validity.as_ref().is_none_or(|bits| bits.len() == bits::bytes_for(rows));
        if len != rows.checked_mul(ty.dim().max(1) as usize) || !lengths {
            bug("there is a value and a bit of validity for each row");
        }
        column.rows = rows;
        column.values = values;
        if let Values::Bits(values) = &mut column.values {
            bits::trim(values, rows);
        }
        if let Some(mut validity) = validity {
            bits::trim(&mut validity, rows);
            column.null_count = bits::count_zeros(&validity, rows);
            (0..rows)
                .filter(|row| !bits::get(&validity, *row))
                .for_each(|row| column.zero_slot(row));
            column.validity = validity;
        }
        column
    }

    /// Replaces every NaN by the canonical one: 0x7ff8000000000000 or 0x7fc00000. Columns without
    /// floats are left alone.
    #[inline]
    pub fn canonicalize_nans(&mut self) {
        match &mut self.values {
            Values::Float32(values) => canonical::canonicalize_f32s(values),
            Values::Float64(values) => canonical::canonicalize_f64s(values),
            _ => {}
        }
    }

    /// Values of a float32 column or elements of embeddings; panics for other types. Slots of nulls
    /// are among them.
    pub fn f32s_mut(&mut self) -> &mut [f32] {
        self.touched |= self.null_count > 0;
        self.f32_values()
    }

    /// Values of a float64 column or elements of lists; panics for other types. Slots of nulls are
    /// among them.
    pub fn f64s_mut(&mut self) -> &mut [f64] {
        self.touched |= self.null_count > 0;
        self.f64_values()
    }

    /// Appends float64 values without nulls; panics for other types.
    pub fn extend_f64s(&mut self, values: &[f64]) {
        self.expect(Type::Float64);
        self.f64_values().extend_from_slice(values);
        self.extended(values.len());
    }

    /// Appends float32 values without nulls; panics for other types.
    pub fn extend_f32s(&mut self, values: &[f32]) {
        self.expect(Type::Float32);
        self.f32_values().extend_from_slice(values);
        self.extended(values.len());
    }

    /// Appends int64 or timestamp values without nulls; panics for other types.
    pub fn extend_i64s(&mut self, values: &[i64]) {
        if !matches!(self.ty, Type::Int64 | Type::Timestamp) {
            bug(WRONG_TYPE);
        }
        self.i64_values().extend_from_slice(values);
        self.extended(values.len());
    }

    /// Appends int32 values without nulls; panics for other types.
    pub fn extend_i32s(&mut self, values: &[i32]) {
        match &mut self.values {
            Values::Int32(own) => own.extend_from_slice(values),
            _ => bug(WRONG_TYPE),
        }
        self.extended(values.len());
    }

    /// Appends nulls: zero or empty slots.
    pub fn push_nulls(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let rows = self.rows + count;
        match (&mut self.offsets, &mut self.values) {
            (Some(offsets), _) => {
                let end = offsets.rows.last().copied().unwrap_or(0);
                offsets.rows.resize(rows + 1, end);
            }
            // Bits past the end are zero already.
            (None, Values::Bits(values)) => values.resize(bits::bytes_for(rows), 0),
            (None, Values::Int32(values)) => values.resize(rows, 0),
            (None, Values::Int64(values)) => values.resize(rows, 0),
            (None, Values::Float32(values)) => {
                values.resize(rows * self.ty.dim().max(1) as usize, 0.0);
            }
            (None, Values::Float64(values)) => values.resize(rows, 0.0),
            (None, Values::Text(_) | Values::Bytes(_)) => {}
        }
        if self.null_count == 0 {
            self.validity.clear();
            bits::push_ones(&mut self.validity, 0, self.rows);
        }
        self.validity.resize(bits::bytes_for(rows), 0);
        self.null_count += count;
        self.rows = rows;
    }
}

impl Column {
    #[inline]
    fn extended(&mut self, rows: usize) {
        if self.null_count > 0 {
            bits::push_ones(&mut self.validity, self.rows, rows);
        }
        self.rows += rows;
    }

    /// Zeroes an existing slot of a type without offsets.
    fn zero_slot(&mut self, row: usize) {
        match &mut self.values {
            Values::Bits(values) => bits::clear(values, row),
            Values::Int32(values) => values[row] = 0,
            Values::Int64(values) => values[row] = 0,
            Values::Float32(values) => {
                let width = self.ty.dim().max(1) as usize;
                values[row * width..(row + 1) * width].fill(0.0);
            }
            Values::Float64(values) => values[row] = 0.0,
            Values::Text(_) | Values::Bytes(_) => {}
        }
    }

    /// Copies values and offsets of rows that hold nothing in null slots, or that have no offsets.
    fn append_values(&mut self, view: &ColumnView<'_>, rows: Range<usize>) {
        let (mut start, mut end) = (rows.start, rows.end);
        let base = self.elements();
        if let Some(offsets) = &mut self.offsets {
            (start, end) = (i32_at(view.offsets, rows.start), i32_at(view.offsets, rows.end));
            offsets.rows.reserve(rows.len());
            for row in rows.clone() {
                let to = i32_at(view.offsets, row + 1) - start + base;
                offsets.rows.push(offset(to));
            }
        }
        let items = |width: usize| slice(view.values, start * width, end * width);
        match &mut self.values {
            Values::Bits(values) => {
                bits::append(values, self.rows, view.values, rows.start, rows.len());
            }
            Values::Int32(values) => {
                values.extend(items(4).as_chunks().0.iter().map(|item| i32::from_le_bytes(*item)));
            }
            Values::Int64(values) => {
                values.extend(items(8).as_chunks().0.iter().map(|item| i64::from_le_bytes(*item)));
            }
            Values::Float32(values) => {
                let items = items(4 * self.ty.dim().max(1) as usize);
                values.extend(items.as_chunks().0.iter().map(|item| f32::from_le_bytes(*item)));
            }
            Values::Float64(values) => {
                values.extend(items(8).as_chunks().0.iter().map(|item| f64::from_le_bytes(*item)));
            }
            Values::Bytes(values) => values.extend_from_slice(items(1)),
            Values::Text(values) => {
                if let (Type::ListUtf8, Some(offsets)) = (self.ty, &mut self.offsets) {
                    let from = i32_at(view.inner_offsets, start);
                    for element in start..end {
                        let to = i32_at(view.inner_offsets, element + 1) - from + values.len();
                        offsets.inner.push(offset(to));
                    }
                    (start, end) = (from, i32_at(view.inner_offsets, end));
                }
                match view.text.get(start..end) {
                    Some(text) => values.push_str(text),
                    None => bug("text offsets were checked"),
                }
            }
        }
    }
}

/// The value that bytes begin with.
#[inline]
fn head<const N: usize>(bytes: &[u8]) -> [u8; N] {
    match bytes.first_chunk::<N>() {
        Some(head) => *head,
        None => bug("the bytes hold a whole value"),
    }
}

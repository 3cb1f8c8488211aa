//! The batch of one row of numbers: its bytes are known but for the values, so they are made once and copied. All
//! that isn't one row of numbers, none of them null, is left to `encode.rs`; the bytes are the same.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::encode::{copy, encode_vec};
use crate::layout::Cursor;
use crate::{COLUMNS_MAX, Column, ColumnView, Type, check};

/// Values wider than a number are many, and copying them twice costs more than encoding does.
const WIDTH_MAX: usize = 8;
const ZEROS: &[u8] = &[0; WIDTH_MAX];

/// A batch of one row without its values.
#[derive(Clone, Debug)]
pub struct OneRow {
    bytes: Box<[u8]>,
    values: Box<[ValueAt]>,
}

/// Where a column's value is.
#[derive(Clone, Copy, Debug)]
struct ValueAt {
    ty: Type,
    at: usize,
    width: usize,
}

impl OneRow {
    /// The row with one value of each of these types; `None` if one of them isn't a number or a bool.
    #[must_use]
    pub fn new(types: &[Type]) -> Option<Self> {
        if types.len() > COLUMNS_MAX {
            return None;
        }
        let mut cursor = Cursor::new(types.len());
        let mut values = Vec::with_capacity(types.len());
        for &ty in types {
            check::ty(0, ty).ok()?;
            let width = match ty {
                Type::Bool => 1,
                _ => ty.width().filter(|width| *width <= WIDTH_MAX)?,
            };
            cursor.column();
            values.push(ValueAt { ty, at: cursor.buffer(width), width });
        }
        let zero = |value: &ValueAt| ColumnView {
            ty: value.ty,
            rows: 1,
            null_count: 0,
            validity: None,
            offsets: &[],
            inner_offsets: &[],
            values: &ZEROS[..value.width],
            text: "",
            clean: true,
        };
        let views: Vec<ColumnView<'_>> = values.iter().map(zero).collect();
        let bytes = encode_vec(1, &views).into_boxed_slice();
        Some(Self { bytes, values: values.into_boxed_slice() })
    }

    /// Bytes of the batch.
    #[inline]
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether these columns are such a row: of its types, with one value each, none of them null.
    #[inline]
    #[must_use]
    pub fn holds<'c>(&self, columns: impl ExactSizeIterator<Item = &'c Column>) -> bool {
        let fits = |(column, value): (&Column, &ValueAt)| {
            column.len() == 1 && column.null_count() == 0 && column.ty() == value.ty
        };
        columns.len() == self.values.len() && columns.zip(self.values.iter()).all(fits)
    }

    /// Writes the batch of columns that it [holds](Self::holds) into `out`. Panics if that has another length than
    /// [`Self::byte_len`].
    #[inline]
    pub fn write<'c>(&self, columns: impl Iterator<Item = &'c Column>, out: &mut [u8]) {
        out.copy_from_slice(&self.bytes);
        for (column, value) in columns.zip(self.values.iter()) {
            if let Some(out) = out.get_mut(value.at..value.at + value.width) {
                copy(out, column.values_bytes());
            }
        }
    }
}

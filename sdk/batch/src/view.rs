//! A borrowed column that was checked: read by row, in bulk, or as raw buffers. It owns nothing and
//! can't be built from unchecked bytes. Getters of a wrong type or a row past the end panic or give
//! a meaningless value, never unsoundness; [`ColumnView::value`] is the getter that knows the type.

use alloc::vec::Vec;

use crate::{BatchError, Doubles, Floats, Ints, Strings, Type, Value, bits, cast, check};

/// A column of a batch or of a [`Column`](crate::Column). Copy it freely.
#[derive(Clone, Copy, Debug)]
pub struct ColumnView<'a> {
    pub(crate) ty: Type,
    pub(crate) rows: usize,
    pub(crate) null_count: usize,
    /// Present only if there are nulls.
    pub(crate) validity: Option<&'a [u8]>,
    pub(crate) offsets: &'a [u8],
    pub(crate) inner_offsets: &'a [u8],
    pub(crate) values: &'a [u8],
    /// The values again, if the type is text.
    pub(crate) text: &'a str,
    /// Null slots are zero or empty and no stray bits are set: the buffers can be copied as they are.
    pub(crate) clean: bool,
}

/// A column's buffers as little-endian bytes, not checked yet; empty where the type has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// LSB-first bitmap, 1 = valid, exactly `rows` bits rounded up to bytes; `None` = no nulls.
    pub validity: Option<&'a [u8]>,
    /// `rows + 1` i32 for text, bytes and lists.
    pub offsets: &'a [u8],
    /// `elements + 1` i32 for lists of text.
    pub inner_offsets: &'a [u8],
    /// The values; for bool a bitmap.
    pub values: &'a [u8],
}

impl<'a> ColumnView<'a> {
    /// Checks buffers that come from elsewhere (Arrow, for example) as `parse` checks a batch's.
    ///
    /// # Errors
    /// The first thing that is wrong, with column index 0.
    pub fn new(ty: Type, rows: usize, parts: Parts<'a>) -> Result<Self, BatchError> {
        check::ty(0, ty)?;
        let null_count = check::buffers(0, ty, rows, &parts)?;
        Ok(Self::checked(ty, rows, null_count, parts))
    }

    /// A view of buffers that passed `check::buffers`.
    pub(crate) fn checked(ty: Type, rows: usize, null_count: usize, parts: Parts<'a>) -> Self {
        let text = if ty.is_text() { check::text_of_checked(parts.values) } else { "" };
        Self {
            ty,
            rows,
            null_count,
            validity: parts.validity.filter(|_| null_count > 0),
            offsets: parts.offsets,
            inner_offsets: parts.inner_offsets,
            values: parts.values,
            text,
            clean: null_count == 0 && ty != Type::Bool,
        }
    }

    /// The type.
    #[must_use]
    pub const fn ty(&self) -> Type {
        self.ty
    }

    /// Number of rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Number of nulls.
    #[must_use]
    pub const fn null_count(&self) -> usize {
        self.null_count
    }

    /// Whether the row is null.
    #[inline]
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        match self.validity {
            Some(validity) => !bits::get(validity, row),
            None => false,
        }
    }

    /// The row's value or null. Panics if there is no such row.
    #[must_use]
    pub fn value(&self, row: usize) -> Value<'a> {
        if row >= self.rows {
            bug("the column has no such row");
        }
        if self.is_null(row) {
            return Value::Null;
        }
        match self.ty {
            Type::Bool => Value::Bool(self.bool_at(row)),
            Type::Int32 => Value::Int32(self.i32_at(row)),
            Type::Int64 => Value::Int64(self.i64_at(row)),
            Type::Float32 => Value::Float32(self.f32_at(row)),
            Type::Float64 => Value::Float64(self.f64_at(row)),
            Type::Utf8 => Value::Utf8(self.utf8_at(row)),
            Type::Binary => Value::Binary(self.binary_at(row)),
            Type::Timestamp => Value::Timestamp(self.timestamp_at(row)),
            Type::Embedding(_) => Value::Embedding(self.embedding_at(row)),
            Type::ListInt64 => Value::ListInt64(self.list_i64_at(row)),
            Type::ListFloat64 => Value::ListFloat64(self.list_f64_at(row)),
            Type::ListUtf8 => Value::ListUtf8(self.list_utf8_at(row)),
        }
    }

    /// Appends the bytes by which parity compares the row's value: [`Value::canonical_bytes`].
    pub fn canonical_value_bytes(&self, row: usize, out: &mut Vec<u8>) {
        self.value(row).canonical_bytes(out);
    }

    /// The validity bitmap, LSB first, 1 = valid; `None` if there are no nulls.
    #[must_use]
    pub const fn validity_bytes(&self) -> Option<&'a [u8]> {
        self.validity
    }

    /// The values buffer; a bitmap for bool. Slots of nulls may hold anything.
    #[must_use]
    pub const fn values_bytes(&self) -> &'a [u8] {
        self.values
    }

    /// `len() + 1` i32 offsets, or nothing if the type has none.
    #[must_use]
    pub const fn offsets_bytes(&self) -> &'a [u8] {
        self.offsets
    }

    /// For lists of text: `elements + 1` i32 offsets into the values.
    #[must_use]
    pub const fn inner_offsets_bytes(&self) -> &'a [u8] {
        self.inner_offsets
    }
}

/// Values by row, of a row that is not null (the slot of a null holds anything, mostly zero).
impl<'a> ColumnView<'a> {
    /// A bool.
    #[inline]
    #[must_use]
    pub fn bool_at(&self, row: usize) -> bool {
        bits::get(self.values, row)
    }

    /// An int32.
    #[inline]
    #[must_use]
    pub fn i32_at(&self, row: usize) -> i32 {
        i32::from_le_bytes(array_at(self.values, row * 4))
    }

    /// An int64 (or a timestamp).
    #[inline]
    #[must_use]
    pub fn i64_at(&self, row: usize) -> i64 {
        i64::from_le_bytes(array_at(self.values, row * 8))
    }

    /// Microseconds since 1970 UTC.
    #[inline]
    #[must_use]
    pub fn timestamp_at(&self, row: usize) -> i64 {
        self.i64_at(row)
    }

    /// A float32.
    #[inline]
    #[must_use]
    pub fn f32_at(&self, row: usize) -> f32 {
        f32::from_le_bytes(array_at(self.values, row * 4))
    }

    /// A float64.
    #[inline]
    #[must_use]
    pub fn f64_at(&self, row: usize) -> f64 {
        f64::from_le_bytes(array_at(self.values, row * 8))
    }

    /// Text.
    #[inline]
    #[must_use]
    pub fn utf8_at(&self, row: usize) -> &'a str {
        let (start, end) = self.span(row);
        match self.text.get(start..end) {
            Some(text) => text,
            None => bug("text offsets were checked"),
        }
    }

    /// Bytes; of a text column its UTF-8.
    #[inline]
    #[must_use]
    pub fn binary_at(&self, row: usize) -> &'a [u8] {
        let (start, end) = self.span(row);
        slice(self.values, start, end)
    }

    /// An embedding.
    #[inline]
    #[must_use]
    pub fn embedding_at(&self, row: usize) -> Floats<'a> {
        let width = self.ty.dim() as usize * 4;
        Floats::from_bytes(slice(self.values, row * width, (row + 1) * width))
    }

    /// A list of int64.
    #[inline]
    #[must_use]
    pub fn list_i64_at(&self, row: usize) -> Ints<'a> {
        let (start, end) = self.span(row);
        Ints::from_bytes(slice(self.values, start * 8, end * 8))
    }

    /// A list of float64.
    #[inline]
    #[must_use]
    pub fn list_f64_at(&self, row: usize) -> Doubles<'a> {
        let (start, end) = self.span(row);
        Doubles::from_bytes(slice(self.values, start * 8, end * 8))
    }

    /// A list of text.
    #[inline]
    #[must_use]
    pub fn list_utf8_at(&self, row: usize) -> Strings<'a> {
        let (start, end) = self.span(row);
        Strings::packed(slice(self.inner_offsets, start * 4, end * 4 + 4), self.text)
    }

    /// Where the row begins and ends: in bytes for text and bytes, in elements for lists.
    #[inline]
    pub(crate) fn span(&self, row: usize) -> (usize, usize) {
        (i32_at(self.offsets, row), i32_at(self.offsets, row + 1))
    }
}

/// Values in bulk: of all rows, nulls' slots included; of embeddings and lists all elements.
impl<'a> ColumnView<'a> {
    /// Int32 values.
    pub fn i32s(&self) -> impl ExactSizeIterator<Item = i32> + Clone + use<'a> {
        self.values.as_chunks::<4>().0.iter().map(|item| i32::from_le_bytes(*item))
    }

    /// Int64 or timestamp values, elements of lists of int64.
    pub fn i64s(&self) -> impl ExactSizeIterator<Item = i64> + Clone + use<'a> {
        self.values.as_chunks::<8>().0.iter().map(|item| i64::from_le_bytes(*item))
    }

    /// Float32 values, elements of embeddings.
    pub fn f32s(&self) -> impl ExactSizeIterator<Item = f32> + Clone + use<'a> {
        self.values.as_chunks::<4>().0.iter().map(|item| f32::from_le_bytes(*item))
    }

    /// Float64 values, elements of lists of float64.
    pub fn f64s(&self) -> impl ExactSizeIterator<Item = f64> + Clone + use<'a> {
        self.values.as_chunks::<8>().0.iter().map(|item| f64::from_le_bytes(*item))
    }

    /// Int32 values in place, if this is an int32 column aligned in memory.
    #[must_use]
    pub fn i32_slice(&self) -> Option<&'a [i32]> {
        matches!(self.ty, Type::Int32).then(|| cast::items_of(self.values)).flatten()
    }

    /// Int64 or timestamp values or list elements in place, if aligned in memory.
    #[must_use]
    pub fn i64_slice(&self) -> Option<&'a [i64]> {
        matches!(self.ty, Type::Int64 | Type::Timestamp | Type::ListInt64)
            .then(|| cast::items_of(self.values))
            .flatten()
    }

    /// Float32 values or embedding elements in place, if aligned in memory.
    #[must_use]
    pub fn f32_slice(&self) -> Option<&'a [f32]> {
        matches!(self.ty, Type::Float32 | Type::Embedding(_))
            .then(|| cast::items_of(self.values))
            .flatten()
    }

    /// Float64 values or list elements in place, if aligned in memory.
    #[must_use]
    pub fn f64_slice(&self) -> Option<&'a [f64]> {
        matches!(self.ty, Type::Float64 | Type::ListFloat64)
            .then(|| cast::items_of(self.values))
            .flatten()
    }
}

/// `N` bytes from `start` on; the caller's range was checked.
#[inline]
pub(crate) fn array_at<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    match bytes.get(start..).and_then(<[u8]>::first_chunk) {
        Some(array) => *array,
        None => bug("the column has no such row"),
    }
}

/// Offset `index`; checked offsets are not negative.
#[inline]
pub(crate) fn i32_at(bytes: &[u8], index: usize) -> usize {
    i32::from_le_bytes(array_at(bytes, index * 4)) as usize
}

#[inline]
pub(crate) fn slice(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    match bytes.get(start..end) {
        Some(part) => part,
        None => bug("the column has no such row"),
    }
}

/// A caller's mistake: panics without any formatting, which keeps plugins small.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn bug(what: &'static str) -> ! {
    panic!("{}", what)
}

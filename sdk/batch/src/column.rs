//! A column that owns its values: the buffer of the online hot path. Pushing allocates only when
//! capacity is missing, [`Column::clear`] keeps it, and the null bitmap exists only from the first
//! null on. Limit: text, bytes and elements of one column stay below 2^31 (offsets are i32); more is
//! a bug of the caller, whose batches are bounded long before, and panics.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::view::bug;
use crate::{ColumnView, Type, TypeMismatch, Value, bits, cast};

mod bulk;

/// An owned, growable column. Null slots hold zeros, or nothing in text, bytes and lists.
#[derive(Clone, Debug)]
pub struct Column {
    ty: Type,
    rows: usize,
    null_count: usize,
    /// Empty while there are no nulls.
    validity: Vec<u8>,
    /// Present if the type has offsets. Apart, so that a column of numbers stays within two cache lines.
    offsets: Option<Box<Offsets>>,
    values: Values,
    /// Some null slot may hold a value: `set_null` or a mutable slice was used.
    touched: bool,
}

/// Where rows of text, bytes and lists end.
#[derive(Clone, Debug)]
struct Offsets {
    /// `rows + 1` entries.
    rows: Vec<i32>,
    /// One entry more than elements for lists of text, else none.
    inner: Vec<i32>,
}

impl Offsets {
    fn clear(&mut self) {
        self.rows.truncate(1);
        self.inner.truncate(1);
    }
}

/// A column's values, by their form in memory.
#[derive(Clone, Debug)]
pub enum Values {
    /// Bool: LSB-first bitmap.
    Bits(Vec<u8>),
    /// Int32.
    Int32(Vec<i32>),
    /// Int64, timestamps, elements of lists of int64.
    Int64(Vec<i64>),
    /// Float32, elements of embeddings.
    Float32(Vec<f32>),
    /// Float64, elements of lists of float64.
    Float64(Vec<f64>),
    /// Utf8, elements of lists of utf8, one after the other.
    Text(String),
    /// Binary, one after the other.
    Bytes(Vec<u8>),
}

impl Column {
    /// An empty column; allocates nothing but the first offset. Panics on an embedding dimension
    /// outside its limit.
    #[must_use]
    pub fn new(ty: Type) -> Self {
        if crate::check::ty(0, ty).is_err() {
            bug("an embedding has 1 to EMBEDDING_DIM_MAX elements");
        }
        let values = match ty {
            Type::Bool => Values::Bits(Vec::new()),
            Type::Int32 => Values::Int32(Vec::new()),
            Type::Int64 | Type::Timestamp | Type::ListInt64 => Values::Int64(Vec::new()),
            Type::Float32 | Type::Embedding(_) => Values::Float32(Vec::new()),
            Type::Float64 | Type::ListFloat64 => Values::Float64(Vec::new()),
            Type::Utf8 | Type::ListUtf8 => Values::Text(String::new()),
            Type::Binary => Values::Bytes(Vec::new()),
        };
        let inner = if ty == Type::ListUtf8 { vec![0] } else { Vec::new() };
        Self {
            ty,
            rows: 0,
            null_count: 0,
            validity: Vec::new(),
            offsets: ty.has_offsets().then(|| Box::new(Offsets { rows: vec![0], inner })),
            values,
            touched: false,
        }
    }

    /// An empty column with room for `rows` rows; see [`Column::reserve`].
    #[must_use]
    pub fn with_capacity(ty: Type, rows: usize) -> Self {
        let mut column = Self::new(ty);
        column.reserve(rows);
        column
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

    /// Removes all rows and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.rows = 0;
        self.null_count = 0;
        self.touched = false;
        self.validity.clear();
        if let Some(offsets) = &mut self.offsets {
            offsets.clear();
        }
        match &mut self.values {
            Values::Bits(values) | Values::Bytes(values) => values.clear(),
            Values::Int32(values) => values.clear(),
            Values::Int64(values) => values.clear(),
            Values::Float32(values) => values.clear(),
            Values::Float64(values) => values.clear(),
            Values::Text(values) => values.clear(),
        }
    }

    /// Makes room for `rows` more rows; of text, bytes and lists only for their offsets.
    pub fn reserve(&mut self, rows: usize) {
        if let Some(offsets) = &mut self.offsets {
            offsets.rows.reserve(rows);
            return;
        }
        match &mut self.values {
            Values::Bits(values) => values.reserve(bits::bytes_for(rows)),
            Values::Int32(values) => values.reserve(rows),
            Values::Int64(values) => values.reserve(rows),
            Values::Float32(values) => values.reserve(rows * self.ty.dim().max(1) as usize),
            Values::Float64(values) => values.reserve(rows),
            Values::Text(_) | Values::Bytes(_) => {}
        }
    }

    /// Memory held by the column's buffers, in bytes; capacity, not length.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        let values = match &self.values {
            Values::Bits(values) | Values::Bytes(values) => values.capacity(),
            Values::Int32(values) => values.capacity() * 4,
            Values::Int64(values) => values.capacity() * 8,
            Values::Float32(values) => values.capacity() * 4,
            Values::Float64(values) => values.capacity() * 8,
            Values::Text(values) => values.capacity(),
        };
        let offsets = self.offsets.as_ref();
        let offsets = offsets.map_or(0, |of| of.rows.capacity() + of.inner.capacity());
        values + self.validity.capacity() + offsets * 4
    }

    /// The row's value or null. Panics if there is no such row.
    #[must_use]
    pub fn value(&self, row: usize) -> Value<'_> {
        self.view().value(row)
    }

    /// Whether the row is null. Panics if there are nulls but no such row.
    #[inline]
    #[must_use]
    pub fn is_null(&self, row: usize) -> bool {
        self.null_count > 0 && !bits::get(&self.validity, row)
    }

    /// The values as bytes, as [`ColumnView::values_bytes`] gives them.
    #[inline]
    #[must_use]
    pub fn values_bytes(&self) -> &[u8] {
        match &self.values {
            Values::Bits(values) | Values::Bytes(values) => values,
            Values::Int32(values) => cast::bytes_of(values),
            Values::Int64(values) => cast::bytes_of(values),
            Values::Float32(values) => cast::bytes_of(values),
            Values::Float64(values) => cast::bytes_of(values),
            Values::Text(values) => values.as_bytes(),
        }
    }

    /// The column as it is now.
    #[must_use]
    pub fn view(&self) -> ColumnView<'_> {
        let text = if let Values::Text(values) = &self.values { values.as_str() } else { "" };
        ColumnView {
            ty: self.ty,
            rows: self.rows,
            null_count: self.null_count,
            validity: (self.null_count > 0).then_some(self.validity.as_slice()),
            offsets: self.offsets.as_ref().map_or(&[], |of| cast::bytes_of(&of.rows)),
            inner_offsets: self.offsets.as_ref().map_or(&[], |of| cast::bytes_of(&of.inner)),
            values: self.values_bytes(),
            text,
            clean: !self.touched,
        }
    }

    /// Gives the buffers away: validity (if there are nulls), offsets, inner offsets, values; for a
    /// hand-over to Arrow without a copy.
    #[must_use]
    pub fn into_buffers(self) -> (Option<Vec<u8>>, Vec<i32>, Vec<i32>, Values) {
        let validity = (self.null_count > 0).then_some(self.validity);
        let (rows, inner) = self.offsets.map_or_else(Default::default, |of| (of.rows, of.inner));
        (validity, rows, inner, self.values)
    }
}

/// Row by row.
impl Column {
    /// Appends a value.
    ///
    /// # Errors
    /// The value has another type than the column; nothing is appended.
    pub fn push(&mut self, value: Value<'_>) -> Result<(), TypeMismatch> {
        match value.ty() {
            Some(found) if found != self.ty => {
                return Err(TypeMismatch { expected: self.ty, found });
            }
            _ => {}
        }
        match value {
            Value::Null => self.push_null(),
            Value::Bool(value) => self.push_bool(value),
            Value::Int32(value) => self.push_i32(value),
            Value::Int64(value) => self.push_i64(value),
            Value::Float32(value) => self.push_f32(value),
            Value::Float64(value) => self.push_f64(value),
            Value::Utf8(value) => self.push_utf8(value),
            Value::Binary(value) => self.push_binary(value),
            Value::Timestamp(value) => self.push_timestamp(value),
            Value::Embedding(value) => {
                self.f32_values().extend(value.iter());
                self.pushed();
            }
            Value::ListInt64(value) => {
                self.i64_values().extend(value.iter());
                self.pushed_elements();
            }
            Value::ListFloat64(value) => {
                self.f64_values().extend(value.iter());
                self.pushed_elements();
            }
            Value::ListUtf8(value) => self.push_list_utf8(value.iter()),
        }
        Ok(())
    }

    /// Appends a null: a zero or empty slot.
    pub fn push_null(&mut self) {
        self.push_nulls(1);
    }

    /// Appends a bool. Panics if the column has another type, as do the other typed pushes.
    #[inline]
    pub fn push_bool(&mut self, value: bool) {
        match &mut self.values {
            Values::Bits(values) => bits::push(values, self.rows, value),
            _ => bug(WRONG_TYPE),
        }
        self.pushed();
    }

    /// Appends an int32.
    #[inline]
    pub fn push_i32(&mut self, value: i32) {
        match &mut self.values {
            Values::Int32(values) => values.push(value),
            _ => bug(WRONG_TYPE),
        }
        self.pushed();
    }

    /// Appends an int64.
    #[inline]
    pub fn push_i64(&mut self, value: i64) {
        self.expect(Type::Int64);
        self.i64_values().push(value);
        self.pushed();
    }

    /// Appends a timestamp, microseconds since 1970 UTC.
    #[inline]
    pub fn push_timestamp(&mut self, value_us: i64) {
        self.expect(Type::Timestamp);
        self.i64_values().push(value_us);
        self.pushed();
    }

    /// Appends a float32.
    #[inline]
    pub fn push_f32(&mut self, value: f32) {
        self.expect(Type::Float32);
        self.f32_values().push(value);
        self.pushed();
    }

    /// Appends a float64.
    #[inline]
    pub fn push_f64(&mut self, value: f64) {
        self.expect(Type::Float64);
        self.f64_values().push(value);
        self.pushed();
    }

    /// Appends text.
    #[inline]
    pub fn push_utf8(&mut self, value: &str) {
        self.expect(Type::Utf8);
        match &mut self.values {
            Values::Text(values) => values.push_str(value),
            _ => bug(WRONG_TYPE),
        }
        self.pushed_elements();
    }

    /// Appends bytes.
    #[inline]
    pub fn push_binary(&mut self, value: &[u8]) {
        match &mut self.values {
            Values::Bytes(values) => values.extend_from_slice(value),
            _ => bug(WRONG_TYPE),
        }
        self.pushed_elements();
    }

    /// Appends an embedding. Panics also if its number of elements is not the type's dimension.
    pub fn push_embedding(&mut self, value: &[f32]) {
        self.expect(Type::Embedding(value.len() as u32));
        self.f32_values().extend_from_slice(value);
        self.pushed();
    }

    /// Appends a list of int64.
    pub fn push_list_i64(&mut self, value: &[i64]) {
        self.expect(Type::ListInt64);
        self.i64_values().extend_from_slice(value);
        self.pushed_elements();
    }

    /// Appends a list of float64.
    pub fn push_list_f64(&mut self, value: &[f64]) {
        self.expect(Type::ListFloat64);
        self.f64_values().extend_from_slice(value);
        self.pushed_elements();
    }

    /// Appends a list of text.
    pub fn push_list_utf8<I: IntoIterator<Item: AsRef<str>>>(&mut self, value: I) {
        self.expect(Type::ListUtf8);
        let (Values::Text(text), Some(offsets)) = (&mut self.values, &mut self.offsets) else {
            bug(WRONG_TYPE)
        };
        for item in value {
            text.push_str(item.as_ref());
            offsets.inner.push(offset(text.len()));
        }
        self.pushed_elements();
    }

    /// Appends row `row` of a column of the same type. Panics if the type is another one.
    pub fn push_from(&mut self, view: &ColumnView<'_>, row: usize) {
        if self.push(view.value(row)).is_err() || view.ty != self.ty {
            bug(WRONG_TYPE);
        }
    }

    /// Makes an existing row null. Panics if there is no such row.
    pub fn set_null(&mut self, row: usize) {
        if row >= self.rows {
            bug("the column has no such row");
        }
        if self.is_null(row) {
            return;
        }
        if self.null_count == 0 {
            self.validity.clear();
            bits::push_ones(&mut self.validity, 0, self.rows);
        }
        bits::clear(&mut self.validity, row);
        self.null_count += 1;
        self.touched = true;
    }
}

impl Column {
    /// Counts a pushed value as valid.
    #[inline]
    fn pushed(&mut self) {
        if self.null_count > 0 {
            bits::push(&mut self.validity, self.rows, true);
        }
        self.rows += 1;
    }

    /// The same, for types with offsets.
    #[inline]
    fn pushed_elements(&mut self) {
        self.push_offset();
        self.pushed();
    }

    /// Notes where the row just appended ends.
    #[inline]
    fn push_offset(&mut self) {
        let end = self.elements();
        match &mut self.offsets {
            Some(offsets) => offsets.rows.push(offset(end)),
            None => bug(WRONG_TYPE),
        }
    }

    /// Where the next row's elements begin.
    #[inline]
    fn elements(&self) -> usize {
        match &self.values {
            Values::Text(_) if self.ty == Type::ListUtf8 => {
                self.offsets.as_ref().map_or(0, |of| of.inner.len() - 1)
            }
            Values::Text(values) => values.len(),
            Values::Bytes(values) | Values::Bits(values) => values.len(),
            Values::Int32(values) => values.len(),
            Values::Int64(values) => values.len(),
            Values::Float32(values) => values.len(),
            Values::Float64(values) => values.len(),
        }
    }

    fn expect(&self, ty: Type) {
        if self.ty != ty {
            bug(WRONG_TYPE);
        }
    }

    #[inline]
    fn i64_values(&mut self) -> &mut Vec<i64> {
        match &mut self.values {
            Values::Int64(values) => values,
            _ => bug(WRONG_TYPE),
        }
    }

    #[inline]
    fn f32_values(&mut self) -> &mut Vec<f32> {
        match &mut self.values {
            Values::Float32(values) => values,
            _ => bug(WRONG_TYPE),
        }
    }

    #[inline]
    fn f64_values(&mut self) -> &mut Vec<f64> {
        match &mut self.values {
            Values::Float64(values) => values,
            _ => bug(WRONG_TYPE),
        }
    }
}

/// Equal types and equal values row by row, floats by bits.
impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.view(), other.view());
        self.ty == other.ty
            && self.rows == other.rows
            && (0..self.rows).all(|row| a.value(row) == b.value(row))
    }
}

impl Eq for Column {}

const WRONG_TYPE: &str = "the value's type is not the column's";

/// A position as an offset.
#[inline]
fn offset(position: usize) -> i32 {
    match i32::try_from(position) {
        Ok(offset) => offset,
        Err(_) => bug("a column holds less than 2^31 bytes or elements"),
    }
}

//! Between Arrow arrays and [`skewless_batch`] columns. Both follow Arrow's memory rules, so each way
//! copies whole buffers; no value is looked at. Arrays are of the type [`arrow_type`] gives.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, FixedSizeListArray,
    ListArray, PrimitiveArray, StringArray, UInt8Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use skewless_batch::{Column, ColumnView, Parts, Type};
use skewless_catalog::frame::Statuses;

use crate::OfflineError;
use crate::cast::{arrow_type, element, type_name};

/// A new column with the values of `array`; `name` is for the message only.
pub(crate) fn column(array: &ArrayRef, name: &str, ty: Type) -> Result<Column, OfflineError> {
    let mut column = Column::with_capacity(ty, array.len());
    append(&mut column, array, name)?;
    Ok(column)
}

/// Adds the values of `array` to `column`.
pub(crate) fn append(
    column: &mut Column,
    array: &ArrayRef,
    name: &str,
) -> Result<(), OfflineError> {
    let ty = column.ty();
    let failed = |reason: String| OfflineError::Convert { column: name.to_owned(), ty, reason };
    if array.data_type() != &arrow_type(ty) {
        return Err(failed(format!("expected {ty}, came {}", type_name(array.data_type()))));
    }
    let buffers = Buffers::of(array, ty);
    let view = ColumnView::new(ty, array.len(), buffers.parts())
        .map_err(|error| failed(error.to_string()))?;
    column.append(&view, 0..array.len());
    Ok(())
}

/// An array's buffers as the batch layout wants them: starting at row 0, offsets from 0.
pub(crate) struct Buffers<'a> {
    validity: Option<Cow<'a, [u8]>>,
    offsets: Cow<'a, [u8]>,
    inner_offsets: Cow<'a, [u8]>,
    values: Cow<'a, [u8]>,
}

impl<'a> Buffers<'a> {
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            validity: self.validity.as_deref(),
            offsets: &self.offsets,
            inner_offsets: &self.inner_offsets,
            values: &self.values,
        }
    }

    pub(crate) fn of(array: &'a ArrayRef, ty: Type) -> Buffers<'a> {
        const NONE: Cow<'static, [u8]> = Cow::Borrowed(&[]);
        let validity = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let validity = validity.map(|nulls| bitmap(nulls.inner()));
        let mut buffers = Buffers { validity, offsets: NONE, inner_offsets: NONE, values: NONE };
        match ty {
            Type::Bool => buffers.values = bitmap(array.as_boolean().values()),
            Type::Int32 => buffers.values = numbers::<Int32Type>(array),
            Type::Int64 => buffers.values = numbers::<Int64Type>(array),
            Type::Float32 => buffers.values = numbers::<Float32Type>(array),
            Type::Float64 => buffers.values = numbers::<Float64Type>(array),
            Type::Timestamp => buffers.values = numbers::<TimestampMicrosecondType>(array),
            Type::Utf8 => {
                let text = array.as_string::<i32>();
                let (offsets, from, to) = offsets(text.offsets());
                buffers.offsets = offsets;
                buffers.values = Cow::Borrowed(&text.values().as_slice()[from..to]);
            }
            Type::Binary => {
                let bytes = array.as_binary::<i32>();
                let (offsets, from, to) = offsets(bytes.offsets());
                buffers.offsets = offsets;
                buffers.values = Cow::Borrowed(&bytes.values().as_slice()[from..to]);
            }
            Type::Embedding(_) => {
                let values = array.as_fixed_size_list().values();
                buffers.values = numbers::<Float32Type>(values);
            }
            Type::ListInt64 | Type::ListFloat64 => {
                let list = array.as_list::<i32>();
                let (offsets, from, to) = offsets(list.offsets());
                buffers.offsets = offsets;
                let all = match ty {
                    Type::ListInt64 => numbers::<Int64Type>(list.values()),
                    _ => numbers::<Float64Type>(list.values()),
                };
                buffers.values = part(all, from * 8, to * 8);
            }
            Type::ListUtf8 => {
                let list = array.as_list::<i32>();
                let (outer, from, to) = offsets(list.offsets());
                buffers.offsets = outer;
                let text = list.values().as_string::<i32>();
                let inner = text.offsets().slice(from, to - from);
                let (inner, from, to) = offsets(&inner);
                buffers.inner_offsets = Cow::Owned(inner.into_owned());
                buffers.values = Cow::Borrowed(&text.values().as_slice()[from..to]);
            }
        }
        buffers
    }
}

fn numbers<T: ArrowPrimitiveType>(array: &dyn Array) -> Cow<'_, [u8]> {
    Cow::Borrowed(array.as_primitive::<T>().values().inner().as_slice())
}

fn part(bytes: Cow<'_, [u8]>, from: usize, to: usize) -> Cow<'_, [u8]> {
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[from..to]),
        Cow::Owned(bytes) => Cow::Owned(bytes[from..to].to_vec()),
    }
}

/// A bitmap from its first bit on, exactly as many bytes as it needs.
fn bitmap(bits: &BooleanBuffer) -> Cow<'_, [u8]> {
    let bytes = bits.len().div_ceil(8);
    if bits.offset().is_multiple_of(8) {
        let start = bits.offset() / 8;
        return Cow::Borrowed(&bits.inner().as_slice()[start..start + bytes]);
    }
    Cow::Owned(bits.sliced().as_slice()[..bytes].to_vec())
}

/// Offsets from 0 on as bytes, and the range of elements they span.
fn offsets(offsets: &OffsetBuffer<i32>) -> (Cow<'_, [u8]>, usize, usize) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let bytes = if first == 0 {
        Cow::Borrowed(offsets.inner().inner().as_slice())
    } else {
        let moved = offsets.iter().flat_map(|offset| (offset - first).to_le_bytes());
        Cow::Owned(moved.collect())
    };
    (bytes, first as usize, last as usize)
}

/// The values of a column as an array of [`arrow_type`]; one copy of each buffer.
pub(crate) fn array(view: &ColumnView<'_>, name: &str) -> Result<ArrayRef, OfflineError> {
    let ty = view.ty();
    let rows = view.len();
    let nulls = view
        .validity_bytes()
        .map(|bytes| NullBuffer::new(BooleanBuffer::new(Buffer::from(bytes), 0, rows)));
    let values = Buffer::from(view.values_bytes());
    let failed = |error: arrow::error::ArrowError| OfflineError::Convert {
        column: name.to_owned(),
        ty,
        reason: error.to_string(),
    };
    Ok(match ty {
        Type::Bool => Arc::new(BooleanArray::new(BooleanBuffer::new(values, 0, rows), nulls)),
        Type::Int32 => primitive::<Int32Type>(values, nulls),
        Type::Int64 => primitive::<Int64Type>(values, nulls),
        Type::Float32 => primitive::<Float32Type>(values, nulls),
        Type::Float64 => primitive::<Float64Type>(values, nulls),
        Type::Timestamp => {
            let values = ScalarBuffer::<i64>::from(values);
            let array = PrimitiveArray::<TimestampMicrosecondType>::new(values, nulls);
            Arc::new(array.with_timezone("UTC"))
        }
        Type::Utf8 => {
            let offsets = read_offsets(view.offsets_bytes());
            Arc::new(StringArray::try_new(offsets, values, nulls).map_err(failed)?)
        }
        Type::Binary => {
            let offsets = read_offsets(view.offsets_bytes());
            Arc::new(BinaryArray::try_new(offsets, values, nulls).map_err(failed)?)
        }
        Type::Embedding(dim) => {
            let size = i32::try_from(dim).unwrap_or(i32::MAX);
            let values = primitive::<Float32Type>(values, None);
            let field = element(DataType::Float32);
            let list = FixedSizeListArray::try_new_with_length(field, size, values, nulls, rows);
            Arc::new(list.map_err(failed)?)
        }
        Type::ListInt64 => list(view, DataType::Int64, primitive::<Int64Type>(values, None), nulls),
        Type::ListFloat64 => {
            list(view, DataType::Float64, primitive::<Float64Type>(values, None), nulls)
        }
        Type::ListUtf8 => {
            let inner = read_offsets(view.inner_offsets_bytes());
            let text = StringArray::try_new(inner, values, None).map_err(failed)?;
            list(view, DataType::Utf8, Arc::new(text), nulls)
        }
    })
}

/// Statuses as the uint8 column an output has for them.
pub(crate) fn statuses(statuses: &Statuses) -> ArrayRef {
    Arc::new(UInt8Array::from_iter_values(statuses.iter().map(|status| status as u8)))
}

fn primitive<T: ArrowPrimitiveType>(values: Buffer, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::<T::Native>::from(values), nulls))
}

fn read_offsets(bytes: &[u8]) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::<i32>::from(Buffer::from(bytes)))
}

fn list(
    view: &ColumnView<'_>,
    of: DataType,
    elements: ArrayRef,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let offsets = read_offsets(view.offsets_bytes());
    Arc::new(ListArray::new(element(of), offsets, elements, nulls))
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

//! Frames of other programs (Arrow record batches, as Python has them) as columns of ours and back; not how they come
//! into this process, which is the caller's.
//!
//! Cost: a column that has our type already is lent as it lies, and our columns are handed over with their buffers: no
//! value is copied either way. What has another type is cast by the rules that history and spines are read by, which is
//! one copy.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeListArray, ListArray,
    PrimitiveArray, RecordBatchReader, StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use skewless_batch::{Column, ColumnView, Type, Values};

use crate::OfflineError;
use crate::cast::{CastProblem, arrow_type, cast, element, type_name};
use crate::columns;
use crate::config::CHUNK_ROWS_DEFAULT;

/// Why a frame's column can't be had as the type wanted. Rows count from 0 within the array given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnfitColumn {
    /// The whole column has a type that doesn't fit.
    #[error("column `{column}`: expected {expected}, came {found}")]
    Type {
        /// The column.
        column: String,
        /// The type wanted.
        expected: Type,
        /// The type that came, in the words of the definitions.
        found: String,
    },
    /// One value doesn't fit.
    #[error("column `{column}`, row {row} (counted from 0): expected {expected}, came {found}")]
    Value {
        /// The column.
        column: String,
        /// The row.
        row: usize,
        /// What was expected.
        expected: String,
        /// What came.
        found: String,
    },
    /// The array contradicts itself.
    #[error(
        "column `{column}`: expected an Arrow array of {ty}, came one that is broken: {reason}"
    )]
    Broken {
        /// The column.
        column: String,
        /// Its type.
        ty: Type,
        /// What is wrong with it.
        reason: String,
    },
}

impl UnfitColumn {
    /// The same of an array that began at this row of a longer one.
    #[must_use]
    pub fn starting_at(mut self, first: usize) -> Self {
        if let Self::Value { row, .. } = &mut self {
            *row += first;
        }
        self
    }
}

/// `array` in the one Arrow type that values of `ty` are held in; as it is, if it has that type already.
pub fn fit(array: &ArrayRef, column: &str, ty: Type) -> Result<ArrayRef, UnfitColumn> {
    cast(array, ty).map_err(|problem| {
        let column = column.to_owned();
        match problem {
            CastProblem::Type => {
                UnfitColumn::Type { column, expected: ty, found: type_name(array.data_type()) }
            }
            CastProblem::Value { row, expected, found } => {
                UnfitColumn::Value { column, row, expected, found }
            }
            CastProblem::Time { row, found } => {
                let expected = "a time between the years -9999 and 9999".to_owned();
                UnfitColumn::Value { column, row, expected, found }
            }
        }
    })
}

/// Calls `with` with views of arrays that [`fit`] gave, one a type, without copying their values.
pub fn lend<R>(
    arrays: &[(ArrayRef, Type)],
    names: &[&str],
    with: impl FnOnce(&[ColumnView<'_>]) -> R,
) -> Result<R, UnfitColumn> {
    let buffers: Vec<_> =
        arrays.iter().map(|(array, ty)| columns::Buffers::of(array, *ty)).collect();
    let views: Result<Vec<_>, _> = arrays
        .iter()
        .zip(&buffers)
        .zip(names)
        .map(|(((array, ty), buffers), name)| {
            ColumnView::new(*ty, array.len(), buffers.parts()).map_err(|error| {
                let (column, reason) = ((*name).to_owned(), error.to_string());
                UnfitColumn::Broken { column, ty: *ty, reason }
            })
        })
        .collect();
    Ok(with(&views?))
}

/// A column of ours with the values of any array that fits; one copy.
pub fn column_from(array: &ArrayRef, name: &str, ty: Type) -> Result<Column, UnfitColumn> {
    let fitting = fit(array, name, ty)?;
    lend(&[(fitting, ty)], &[name], |views| {
        let mut column = Column::with_capacity(ty, array.len());
        column.append(&views[0], 0..array.len());
        column
    })
}

/// The field of a column of ours. Nullable, whatever a plugin says of its outputs: a row that fails is null.
#[must_use]
pub fn field_for(name: &str, ty: Type) -> Field {
    Field::new(name, arrow_type(ty), true)
}

/// The type of ours in which a frame's column is nearest held; none if there is no such.
#[must_use]
pub fn type_for(found: &DataType) -> Option<Type> {
    use DataType as D;
    Some(match found {
        D::Boolean => Type::Bool,
        D::Int8 | D::Int16 | D::Int32 | D::UInt8 | D::UInt16 => Type::Int32,
        D::Int64 | D::UInt32 | D::UInt64 => Type::Int64,
        D::Float16 | D::Float32 => Type::Float32,
        D::Float64 => Type::Float64,
        D::Utf8 | D::LargeUtf8 | D::Utf8View => Type::Utf8,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => Type::Binary,
        D::Timestamp(..) | D::Date32 | D::Date64 => Type::Timestamp,
        D::Dictionary(_, value) => return type_for(value),
        D::FixedSizeList(of, size) if of.data_type() == &D::Float32 => {
            Type::Embedding(u32::try_from(*size).ok()?)
        }
        D::List(of) | D::LargeList(of) | D::FixedSizeList(of, _) => {
            match type_for(of.data_type())? {
                Type::Int32 | Type::Int64 => Type::ListInt64,
                Type::Float32 | Type::Float64 => Type::ListFloat64,
                Type::Utf8 => Type::ListUtf8,
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// A column's values as an array; its buffers are handed over.
#[must_use]
pub fn array_from(column: Column) -> ArrayRef {
    let (ty, rows) = (column.ty(), column.len());
    let (validity, offsets, inner, values) = column.into_buffers();
    let nulls =
        validity.map(|bits| NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows)));
    // Numbers have none.
    let offsets = || OffsetBuffer::new(ScalarBuffer::from(offsets));
    match values {
        Values::Bits(bits) => {
            Arc::new(BooleanArray::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows), nulls))
        }
        Values::Int32(values) => numbers::<Int32Type>(values, nulls),
        Values::Int64(values) => match ty {
            Type::Timestamp => {
                let values = ScalarBuffer::from(values);
                let times = PrimitiveArray::<TimestampMicrosecondType>::new(values, nulls);
                Arc::new(times.with_timezone("UTC"))
            }
            Type::ListInt64 => {
                let elements = numbers::<Int64Type>(values, None);
                Arc::new(ListArray::new(element(DataType::Int64), offsets(), elements, nulls))
            }
            _ => numbers::<Int64Type>(values, nulls),
        },
        Values::Float32(values) => match ty {
            Type::Embedding(dim) => {
                let elements = numbers::<Float32Type>(values, None);
                // An embedding has at most 65,536 elements.
                let (field, size) = (element(DataType::Float32), dim as i32);
                Arc::new(FixedSizeListArray::new(field, size, elements, nulls))
            }
            _ => numbers::<Float32Type>(values, nulls),
        },
        Values::Float64(values) => match ty {
            Type::ListFloat64 => {
                let elements = numbers::<Float64Type>(values, None);
                Arc::new(ListArray::new(element(DataType::Float64), offsets(), elements, nulls))
            }
            _ => numbers::<Float64Type>(values, nulls),
        },
        Values::Text(text) => {
            let bytes = Buffer::from_vec(text.into_bytes());
            match ty {
                Type::ListUtf8 => {
                    let inner = OffsetBuffer::new(ScalarBuffer::from(inner));
                    let elements = Arc::new(StringArray::new(inner, bytes, None));
                    Arc::new(ListArray::new(element(DataType::Utf8), offsets(), elements, nulls))
                }
                _ => Arc::new(StringArray::new(offsets(), bytes, nulls)),
            }
        }
        Values::Bytes(bytes) => {
            Arc::new(BinaryArray::new(offsets(), Buffer::from_vec(bytes), nulls))
        }
    }
}

fn numbers<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls))
}

/// Writes a frame to a Parquet file, for a spine that isn't in one. An existing file is replaced.
pub fn write_frame(path: &Path, frame: &mut dyn RecordBatchReader) -> Result<(), OfflineError> {
    let file = std::fs::File::create(path).map_err(|e| OfflineError::io("create", path, e))?;
    let failed =
        |reason: String| OfflineError::Parquet { file: path.display().to_string(), reason };
    let mut writer = ArrowWriter::try_new(file, frame.schema(), None)
        .map_err(|error| failed(error.to_string()))?;
    for batch in frame {
        let batch = batch.map_err(|error| failed(error.to_string()))?;
        writer.write(&batch).map_err(|error| failed(error.to_string()))?;
    }
    writer.close().map(|_| ()).map_err(|error| failed(error.to_string()))
}

/// Reads any Parquet file as a frame, a chunk of rows at a time.
pub fn read_frame(path: &Path) -> Result<Box<dyn RecordBatchReader + Send>, OfflineError> {
    let file = std::fs::File::open(path).map_err(|e| OfflineError::io("open", path, e))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(CHUNK_ROWS_DEFAULT).build());
    let failed =
        |reason: String| OfflineError::Parquet { file: path.display().to_string(), reason };
    Ok(Box::new(reader.map_err(|error| failed(error.to_string()))?))
}

#[cfg(test)]
mod tests;

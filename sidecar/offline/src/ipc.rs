//! Files in Arrow's IPC format that lie in memory, as a message brings them, as columns of ours and back; not what the
//! columns are for, and not files on disk.
//!
//! What comes is believed to be hostile. Before anything is decoded, the file's own description of itself is held against
//! its bytes (`shape.rs`): Arrow's reader would panic on types that are none, and read a block as often as it is named.
//! Only the columns that are wanted are decoded, with Arrow's own validation; whatever types the others have.
//!
//! Taken is what history and spines may have, and numbers as Feast's door takes them (`exact.rs`). Not taken, each by its
//! name: streams, compressed buffers (a few bytes may stand for a thousand times as many), dictionaries that come in
//! parts, unions and run-end encoding.
//!
//! Limits: those of [`IpcLimits`], and [`UNPACKED_BYTES_MAX`]. Cost: columns of our types are copied once, others twice.

mod exact;
mod shape;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::writer::FileWriter;
use skewless_batch::{Column, ColumnView, Type};

use self::shape::Shape;
use crate::OfflineError;
use crate::cast::{element, type_name};
use crate::columns;
use crate::exchange::{UnfitColumn, lend, type_for};

/// Bytes that dictionaries and views of one file may stand for, as columns without them: sixteen times the longest message
/// that is taken by default.
pub const UNPACKED_BYTES_MAX: usize = 64 << 20;

/// What a file may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpcLimits {
    /// Rows of all batches together.
    pub rows_max: usize,
    /// Columns, those within others counted, too.
    pub columns_max: usize,
}

/// Why a file can't be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IpcError {
    /// It is something else.
    #[error(
        "expected a file in Arrow's IPC format (not a stream), which begins and ends with ARROW1, came {found}"
    )]
    NoFile {
        /// What it is.
        found: String,
    },
    /// It contradicts itself or is cut off.
    #[error("expected a whole file in Arrow's IPC format, came a broken one: {reason}")]
    Broken {
        /// What is wrong with it.
        reason: String,
    },
    /// It has something that isn't taken.
    #[error("expected {expected}, came {found}")]
    NotTaken {
        /// What would have been.
        expected: &'static str,
        /// What it has.
        found: String,
    },
    /// It has more than a limit allows.
    #[error("expected at most {max} {what}, came {came}")]
    TooMany {
        /// Of what.
        what: IpcLimit,
        /// The limit.
        max: usize,
        /// How much there is; at least, if it wasn't counted to the end.
        came: usize,
    },
    /// A column doesn't fit.
    #[error(transparent)]
    Unfit(#[from] UnfitColumn),
}

/// Which limit a file is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpcLimit {
    /// [`IpcLimits::rows_max`].
    Rows,
    /// [`IpcLimits::columns_max`].
    Columns,
    /// [`UNPACKED_BYTES_MAX`].
    UnpackedBytes,
}

impl std::fmt::Display for IpcLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rows => "rows",
            Self::Columns => "columns",
            Self::UnpackedBytes => "bytes of dictionaries and views without them",
        })
    }
}

fn broken(reason: impl std::fmt::Display) -> IpcError {
    IpcError::Broken { reason: reason.to_string() }
}

/// A file whose shape was checked.
pub struct IpcFile {
    shape: Shape,
}

/// Some columns of a file.
pub struct IpcColumns {
    batches: Vec<RecordBatch>,
}

impl IpcFile {
    /// Checks a file's shape; no value is looked at.
    pub fn open(bytes: bytes::Bytes, limits: IpcLimits) -> Result<Self, IpcError> {
        Shape::of(Buffer::from(bytes), limits).map(|shape| Self { shape })
    }

    /// Rows of all batches together.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.rows
    }

    /// The columns' names, in their order; a name may come twice.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.shape.schema.fields().iter().map(|field| field.name().as_str())
    }

    /// Decodes columns, each named by its index in the file and wanted once, as the type that is wanted of it.
    pub fn columns(&self, wanted: &[(usize, Type)]) -> Result<IpcColumns, IpcError> {
        for &(at, expected) in wanted {
            let field = self.shape.schema.field(at);
            if !readable(field.data_type()) {
                let (column, found) = (field.name().clone(), type_name(field.data_type()));
                return Err(UnfitColumn::Type { column, expected, found }.into());
            }
        }
        // What the checks before don't know of and Arrow's reader doesn't foresee is the file's doing, too.
        let decoded = catch_unwind(AssertUnwindSafe(|| self.decode(wanted)));
        decoded.unwrap_or_else(|_| Err(broken("Arrow's reader can't take it")))
    }

    fn decode(&self, wanted: &[(usize, Type)]) -> Result<IpcColumns, IpcError> {
        let schema = Arc::clone(&self.shape.schema);
        let mut decoder = FileDecoder::new(schema, self.shape.version);
        for piece in &self.shape.dictionaries {
            decoder.read_dictionary(&piece.block, &piece.bytes).map_err(said)?;
        }
        let decoder = decoder.with_projection(wanted.iter().map(|(at, _)| *at).collect());
        let mut batches = Vec::with_capacity(self.shape.batches.len());
        let mut unpacked = 0_usize;
        for piece in &self.shape.batches {
            let batch = decoder.read_record_batch(&piece.block, &piece.bytes).map_err(said)?;
            let batch = batch.ok_or_else(|| broken("a message of no kind"))?;
            for array in batch.columns() {
                unpacked = unpacked.saturating_add(unpacked_bytes(array));
            }
            if unpacked > UNPACKED_BYTES_MAX {
                let (what, max) = (IpcLimit::UnpackedBytes, UNPACKED_BYTES_MAX);
                return Err(IpcError::TooMany { what, max, came: unpacked });
            }
            batches.push(batch);
        }
        Ok(IpcColumns { batches })
    }
}

impl IpcColumns {
    /// Appends all rows of a column, which is named by its index among those that were wanted.
    pub fn append(&self, at: usize, name: &str, out: &mut Column) -> Result<(), UnfitColumn> {
        let mut first = 0;
        for batch in &self.batches {
            let array = batch.column(at);
            let fitting = exact::fit(array, name, out.ty());
            let fitting = fitting.map_err(|error| error.starting_at(first))?;
            lend(&[(fitting, out.ty())], &[name], |views| {
                out.append(&views[0], 0..array.len());
            })?;
            first += array.len();
        }
        Ok(())
    }
}

/// Writes columns, all of so many rows, as a file with one batch: its readers at Feast take the first alone. Embeddings
/// become lists, as Feast's servers know no others.
pub fn write(columns: &[(String, ColumnView<'_>)], rows: usize) -> Result<Vec<u8>, OfflineError> {
    let arrays = columns.iter().map(|(name, view)| {
        let array = columns::array(view, name)?;
        Ok(match view.ty() {
            Type::Embedding(dim) => as_list(&array, dim as usize),
            _ => array,
        })
    });
    let arrays: Vec<ArrayRef> = arrays.collect::<Result<_, OfflineError>>()?;
    let fields = columns.iter().zip(&arrays);
    let fields = fields.map(|((name, _), array)| Field::new(name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let failed = |error: ArrowError| {
        OfflineError::Worker(format!("an answer can't be written as Arrow: {error}"))
    };
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options);
    let mut writer = FileWriter::try_new(Vec::new(), &schema).map_err(failed)?;
    writer.write(&batch.map_err(failed)?).map_err(failed)?;
    writer.into_inner().map_err(failed)
}

/// What Arrow's reader says of a file.
fn said(error: ArrowError) -> IpcError {
    broken(error)
}

/// Whether there is a type of ours that values of this one can be, so that it needs decoding.
fn readable(found: &DataType) -> bool {
    found == &DataType::Null || type_for(found).is_some()
}

/// Bytes of values that the file has fewer times than the array: those of dictionaries and views.
fn unpacked_bytes(array: &ArrayRef) -> usize {
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        let values = dictionary.values();
        if values.is_empty() {
            return 0;
        }
        let keys = dictionary.normalized_keys();
        let valid = keys.iter().enumerate().filter(|(row, _)| !dictionary.keys().is_null(*row));
        return valid.map(|(_, key)| value_bytes(values, *key)).sum();
    }
    match array.data_type() {
        DataType::Utf8View | DataType::BinaryView => {
            (0..array.len()).map(|row| value_bytes(array, row)).sum()
        }
        DataType::List(_) => unpacked_bytes(array.as_list::<i32>().values()),
        DataType::LargeList(_) => unpacked_bytes(array.as_list::<i64>().values()),
        DataType::FixedSizeList(..) => unpacked_bytes(array.as_fixed_size_list().values()),
        _ => 0,
    }
}

fn value_bytes(values: &ArrayRef, at: usize) -> usize {
    match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().value(at).len(),
        DataType::LargeUtf8 => values.as_string::<i64>().value(at).len(),
        DataType::Binary => values.as_binary::<i32>().value(at).len(),
        DataType::LargeBinary => values.as_binary::<i64>().value(at).len(),
        DataType::Utf8View => values.as_string_view().value(at).len(),
        DataType::BinaryView => values.as_binary_view().value(at).len(),
        DataType::FixedSizeBinary(width) => usize::try_from(*width).unwrap_or(0),
        // Numbers, times and bools.
        _ => size_of::<i64>(),
    }
}

fn as_list(array: &ArrayRef, dim: usize) -> ArrayRef {
    let embeddings = array.as_fixed_size_list();
    let offsets = OffsetBuffer::from_repeated_length(dim, embeddings.len());
    let elements = Arc::clone(embeddings.values());
    let nulls = embeddings.nulls().cloned();
    Arc::new(ListArray::new(element(DataType::Float32), offsets, elements, nulls))
}

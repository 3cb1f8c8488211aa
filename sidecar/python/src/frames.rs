//! Frames between Python and Arrow by the C data interface (PyCapsules), without a copy; not what is in them.
//!
//! <https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html>

use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::array::{
    Array, RecordBatch, RecordBatchIterator, RecordBatchOptions, RecordBatchReader, StructArray,
};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList, PyTuple};
use skewless_batch::Column;
use skewless_offline::exchange;

use crate::errors::{Failure, Kind};
use crate::values;

const STREAM: &CStr = c"arrow_array_stream";
const SCHEMA: &CStr = c"arrow_schema";
const ARRAY: &CStr = c"arrow_array";

/// Rows of a frame that comes, batch by batch.
pub(crate) type Reader = Box<dyn RecordBatchReader + Send>;

/// The frame that a Python object gives.
pub(crate) fn reader(frame: &Bound<'_, PyAny>) -> PyResult<Reader> {
    if let Some(export) = frame.getattr_opt(intern!(frame.py(), "__arrow_c_stream__"))? {
        let capsule = export.call0()?;
        let stream = ArrowArrayStreamReader::try_new(taken_stream(&capsule)?);
        return Ok(Box::new(stream.map_err(|error| broken(&error))?));
    }
    if let Some(export) = frame.getattr_opt(intern!(frame.py(), "__arrow_c_array__"))? {
        let pair = export.call0()?.cast_into::<PyTuple>()?;
        let batch = taken_batch(&pair.get_item(0)?, &pair.get_item(1)?)?;
        let schema = batch.schema();
        return Ok(Box::new(RecordBatchIterator::new([Ok(batch)], schema)));
    }
    let came = frame.get_type().name()?;
    Err(Failure::new(Kind::Input, format!("expected a frame, came {came}"))
        .next("give a pyarrow Table or RecordBatch, a pandas or polars DataFrame, or any object with __arrow_c_stream__; rows as dicts go to `.rows`")
        .into())
}

/// What a stream of batches said when it broke off.
pub(crate) fn broken(error: &ArrowError) -> Failure {
    Failure::new(Kind::Input, format!("expected a frame by Arrow's C interface, came: {error}"))
}

#[expect(unsafe_code, reason = "C's data interface is pointers")]
fn taken_stream(capsule: &Bound<'_, PyAny>) -> PyResult<FFI_ArrowArrayStream> {
    let stream: NonNull<FFI_ArrowArrayStream> = pointer(capsule, STREAM)?;
    // SAFETY: a capsule of this name holds such a struct; taking it leaves an empty one behind, which the capsule's
    // destructor knows for released.
    Ok(unsafe { FFI_ArrowArrayStream::from_raw(stream.as_ptr()) })
}

#[expect(unsafe_code, reason = "C's data interface is pointers")]
fn taken_batch(schema: &Bound<'_, PyAny>, array: &Bound<'_, PyAny>) -> PyResult<RecordBatch> {
    let schema: NonNull<FFI_ArrowSchema> = pointer(schema, SCHEMA)?;
    let array: NonNull<FFI_ArrowArray> = pointer(array, ARRAY)?;
    // SAFETY: capsules of these names hold such structs; the array is taken as a stream is, the schema is only read while
    // its capsule lives.
    let data = unsafe { from_ffi(FFI_ArrowArray::from_raw(array.as_ptr()), schema.as_ref()) };
    let data = data.map_err(|error| broken(&error))?;
    if !matches!(data.data_type(), arrow::datatypes::DataType::Struct(_)) {
        let came = data.data_type().to_string();
        return Err(Failure::new(
            Kind::Input,
            format!("expected a frame, came one array of {came}"),
        )
        .next("give a RecordBatch or a Table, with a column for each input")
        .into());
    }
    let rows = StructArray::from(data);
    if rows.null_count() > 0 {
        let message = "expected a frame, came an array of structs with nulls among them";
        return Err(Failure::new(Kind::Input, message).into());
    }
    Ok(RecordBatch::from(rows))
}

fn pointer<T>(capsule: &Bound<'_, PyAny>, name: &CStr) -> PyResult<NonNull<T>> {
    let capsule = capsule.cast::<PyCapsule>()?;
    Ok(capsule.pointer_checked(Some(name))?.cast())
}

/// All rows of a frame, in memory.
pub(crate) fn collected(reader: Reader) -> PyResult<Batches> {
    let schema = reader.schema();
    let batches: Result<Vec<_>, _> = reader.collect();
    Ok(Batches { schema, batches: batches.map_err(|error| broken(&error))? })
}

/// A frame of columns of ours, all `rows` long.
pub(crate) fn of_columns<'a>(
    columns: impl Iterator<Item = (&'a str, Column)>,
    rows: usize,
) -> PyResult<Batches> {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns
        .map(|(name, column)| {
            (exchange::field_for(name, column.ty()), exchange::array_from(column))
        })
        .unzip();
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options);
    Ok(Batches { schema, batches: vec![batch.map_err(|error| broken(&error))?] })
}

/// Record batches in memory, to be taken by any program that speaks Arrow.
#[pyclass(frozen, module = "skewless._skewless")]
pub(crate) struct Batches {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
}

#[pymethods]
impl Batches {
    /// Takes a frame into memory, as it is.
    #[new]
    fn new(py: Python<'_>, frame: &Bound<'_, PyAny>) -> PyResult<Self> {
        let reader = reader(frame)?;
        py.detach(|| collected(reader))
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // It is a wish only; who asks casts.
        drop(requested_schema);
        let batches = self.batches.clone().into_iter().map(Ok);
        let reader = RecordBatchIterator::new(batches, Arc::clone(&self.schema));
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), STREAM)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(self.schema.as_ref());
        PyCapsule::new_with_value(py, schema.map_err(|error| broken(&error))?, SCHEMA)
    }

    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Names of the columns.
    #[getter]
    fn names(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Types of the columns, in the words of the definitions.
    #[getter]
    fn types(&self) -> Vec<String> {
        let word =
            |field: &Arc<arrow::datatypes::Field>| match exchange::type_for(field.data_type()) {
                Some(ty) => ty.to_string(),
                None => field.data_type().to_string(),
            };
        self.schema.fields().iter().map(word).collect()
    }

    /// The columns of these names only, in their order.
    fn select(&self, names: Vec<String>) -> PyResult<Self> {
        let index = |name: &String| self.schema.index_of(name).map_err(|error| broken(&error));
        let indices = names.iter().map(index).collect::<Result<Vec<_>, _>>()?;
        let schema = self.schema.project(&indices).map_err(|error| broken(&error))?;
        let batches: Result<Vec<_>, _> =
            self.batches.iter().map(|batch| batch.project(&indices)).collect();
        let batches = batches.map_err(|error| broken(&error))?;
        Ok(Self { schema: Arc::new(schema), batches })
    }

    /// Rows `start` to `stop` as dicts.
    fn rows<'py>(
        &self,
        py: Python<'py>,
        start: usize,
        stop: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let rows = PyList::empty(py);
        let mut first = 0;
        for batch in &self.batches {
            let from = start.clamp(first, first + batch.num_rows()) - first;
            let to = stop.clamp(first, first + batch.num_rows()) - first;
            if from < to {
                add_rows(&rows, &batch.slice(from, to - from))?;
            }
            first += batch.num_rows();
        }
        Ok(rows)
    }
}

fn add_rows(rows: &Bound<'_, PyList>, batch: &RecordBatch) -> PyResult<()> {
    let py = rows.py();
    let dicts: Vec<_> = (0..batch.num_rows()).map(|_| PyDict::new(py)).collect();
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let ty = exchange::type_for(field.data_type());
        let column = ty.and_then(|ty| exchange::column_from(array, field.name(), ty).ok());
        for (row, dict) in dicts.iter().enumerate() {
            match &column {
                Some(column) => {
                    dict.set_item(field.name(), values::to_python(py, column.value(row))?)?;
                }
                None if array.is_null(row) => dict.set_item(field.name(), py.None())?,
                // A type that features don't have, carried through from a spine: as text.
                None => {
                    let text = arrow::util::display::array_value_to_string(array, row);
                    dict.set_item(field.name(), text.map_err(|error| broken(&error))?)?;
                }
            }
        }
    }
    dicts.into_iter().try_for_each(|dict| rows.append(dict))
}

//! Frames between Python and Arrow by the C data interface (PyCapsules), without a copy; not what is in them.
//!
//! <https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html>

use std::ffi::CStr;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchIterator, RecordBatchOptions,
    RecordBatchReader, StructArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Int64Type, Schema, SchemaRef, TimeUnit, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};
use pyo3::exceptions::PyKeyboardInterrupt;
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
    reader_or(frame, "")
}

/// The same; `or` says what else could be given, and how.
pub(crate) fn reader_or(frame: &Bound<'_, PyAny>, or: &str) -> PyResult<Reader> {
    if let Some(export) = frame.getattr_opt(intern!(frame.py(), "__arrow_c_stream__"))? {
        let capsule = export.call0()?;
        let Ok(capsule) = capsule.cast_into::<PyCapsule>() else {
            return Err(no_capsule(frame, "__arrow_c_stream__"));
        };
        let stream = ArrowArrayStreamReader::try_new(taken_stream(&capsule)?);
        let stream = stream.map_err(|error| match error.to_string().contains(NO_SCHEMA) {
            true => one_column(&class_of(frame)),
            false => broken(&error),
        });
        return Ok(Box::new(stream?));
    }
    if let Some(export) = frame.getattr_opt(intern!(frame.py(), "__arrow_c_array__"))? {
        let came = export.call0()?;
        let Ok(pair) = came.cast_into::<PyTuple>() else {
            return Err(no_capsule(frame, "__arrow_c_array__"));
        };
        let batch = taken_batch(&pair.get_item(0)?, &pair.get_item(1)?)?;
        let schema = batch.schema();
        return Ok(Box::new(RecordBatchIterator::new([Ok(batch)], schema)));
    }
    let came = frame.get_type().name()?;
    Err(Failure::new(Kind::Input, format!("expected a frame, came {came}"))
        .next(format!("give a pyarrow Table or RecordBatch, a pandas or polars DataFrame, or any object with __arrow_c_stream__{or}"))
        .into())
}

/// What Arrow says of a stream whose items aren't structs: a series, or a column of a table.
const NO_SCHEMA: &str = "Unable to interpret C data struct as a Schema";

fn one_column(came: &str) -> Failure {
    let message = format!("expected a frame, came one column ({came})");
    let next = "give a frame that has it as a column: a series has `.to_frame(\"NAME\")`";
    Failure::new(Kind::Input, message).next(next)
}

fn class_of(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map(|name| name.to_string()).unwrap_or_default()
}

fn no_capsule(frame: &Bound<'_, PyAny>, export: &str) -> PyErr {
    let came = class_of(frame);
    let message = format!("expected a frame, came {came}, whose {export} gives no capsules");
    let next = "give an object whose method is as Arrow's PyCapsule interface has it";
    Failure::new(Kind::Input, message).next(next).into()
}

/// What a stream that Python may be behind of said when it broke off.
pub(crate) fn broke_off(py: Python<'_>, error: &ArrowError) -> PyErr {
    interrupted(py, &error.to_string()).unwrap_or_else(|| broken(error).into())
}

/// Ctrl-C, if that is why a stream broke off. When it falls into Python's code behind a stream, no more than its name comes
/// out of that.
pub(crate) fn interrupted(py: Python<'_>, said: &str) -> Option<PyErr> {
    match py.check_signals() {
        Err(raised) => Some(raised),
        Ok(()) => said.contains("KeyboardInterrupt").then(|| PyKeyboardInterrupt::new_err(())),
    }
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
        return Err(one_column(&format!("an array of {came}")).into());
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
    let batches = batches.map_err(|error| Python::attach(|py| broke_off(py, &error)))?;
    Ok(Batches { schema, batches })
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
            let value = match &column {
                Some(column) => values::to_python(py, column.value(row))?,
                None => carried(py, array, row)?,
            };
            dict.set_item(field.name(), value)?;
        }
    }
    dicts.into_iter().try_for_each(|dict| rows.append(dict))
}

/// A value of a column that as a whole is none of ours, carried through from a spine: where a number or a time has no place
/// in our type, the number itself, of times in microseconds; and as text what is of another type.
fn carried<'py>(py: Python<'py>, array: &ArrayRef, row: usize) -> PyResult<Bound<'py, PyAny>> {
    // A column of nothing but nulls has no bitmap that says so.
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return Ok(py.None().into_bound(py));
    }
    let whole = array.slice(row, 1);
    let ty = exchange::type_for(array.data_type());
    if let Some(column) = ty.and_then(|ty| exchange::column_from(&whole, "", ty).ok()) {
        return values::to_python(py, column.value(0));
    }
    let integer = |value: i128| Ok(value.into_pyobject(py)?.into_any());
    let elements = match array.data_type() {
        DataType::UInt64 => return integer(array.as_primitive::<UInt64Type>().value(row).into()),
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            return integer(i128::from(days) * 86_400_000_000);
        }
        DataType::Date64 => {
            return integer(i128::from(array.as_primitive::<Date64Type>().value(row)) * 1_000);
        }
        DataType::Timestamp(unit, _) => {
            let counts = arrow::compute::cast(&whole, &DataType::Int64);
            let counts = counts.map_err(|error| broken(&error))?;
            let count = i128::from(counts.as_primitive::<Int64Type>().value(0));
            return integer(match unit {
                TimeUnit::Second => count * 1_000_000,
                TimeUnit::Millisecond => count * 1_000,
                TimeUnit::Microsecond => count,
                TimeUnit::Nanosecond => count.div_euclid(1_000),
            });
        }
        DataType::List(_) => array.as_list::<i32>().value(row),
        DataType::LargeList(_) => array.as_list::<i64>().value(row),
        DataType::FixedSizeList(..) => array.as_fixed_size_list().value(row),
        _ => {
            let text = arrow::util::display::array_value_to_string(array, row);
            return Ok(text.map_err(|error| broken(&error))?.into_pyobject(py)?.into_any());
        }
    };
    let items = (0..elements.len()).map(|at| carried(py, &elements, at));
    Ok(PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)?.into_any())
}

//! Single values between Python and columns, for rows that people write and read; frames go by Arrow (`frames.rs`).
//!
//! Only what loses nothing is taken: a bool is no number, a float no integer, a number no text, and a whole number, a
//! decimal or a fraction no float unless it is one exactly. Two things are rounded, as everywhere here: a float32 is the
//! nearest to what was written, and nanoseconds are cut. A datetime without a zone is UTC, as a timestamp without a zone is
//! everywhere here.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use skewless_batch::{Column, Type, Value};

/// A value as Python has it: times as datetimes in UTC, or as microseconds outside of the years that those have.
pub(crate) fn to_python<'py>(py: Python<'py>, value: Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
        Value::Int32(value) => value.into_pyobject(py)?.into_any(),
        Value::Int64(value) => value.into_pyobject(py)?.into_any(),
        Value::Float32(value) => PyFloat::new(py, value.into()).into_any(),
        Value::Float64(value) => PyFloat::new(py, value).into_any(),
        Value::Utf8(value) => PyString::new(py, value).into_any(),
        Value::Binary(value) => PyBytes::new(py, value).into_any(),
        Value::Timestamp(us) => datetime(py, us)?,
        Value::Embedding(value) => PyList::new(py, value.iter())?.into_any(),
        Value::ListInt64(value) => PyList::new(py, value.iter())?.into_any(),
        Value::ListFloat64(value) => PyList::new(py, value.iter())?.into_any(),
        Value::ListUtf8(value) => PyList::new(py, value.iter())?.into_any(),
    })
}

/// Appends a Python value; if it is none of the column's type, says what was expected and what came.
pub(crate) fn push(column: &mut Column, value: &Bound<'_, PyAny>) -> PyResult<Result<(), String>> {
    if is_null(value)? {
        column.push_null();
        return Ok(Ok(()));
    }
    Ok(match pushed(column, value)? {
        Some(()) => Ok(()),
        None => Err(format!("expected {}, came {}", column.ty(), shown(value))),
    })
}

/// `None` if the value is of another type, or doesn't fit.
fn pushed(column: &mut Column, value: &Bound<'_, PyAny>) -> PyResult<Option<()>> {
    let ty = column.ty();
    let done = match ty {
        Type::Bool => value.extract().ok().map(|value| column.push_bool(value)),
        Type::Int32 => whole(value)
            .and_then(|value| i32::try_from(value).ok())
            .map(|value| column.push_i32(value)),
        Type::Int64 => whole(value).map(|value| column.push_i64(value)),
        // A float32 is the nearest to what was written, as everywhere.
        Type::Float32 => float(value).map(|value| column.push_f32(value as f32)),
        Type::Float64 => float(value).map(|value| column.push_f64(value)),
        Type::Utf8 => {
            value.extract::<std::borrow::Cow<'_, str>>().ok().map(|value| column.push_utf8(&value))
        }
        Type::Binary => value
            .extract::<std::borrow::Cow<'_, [u8]>>()
            .ok()
            .filter(|_| !value.is_instance_of::<PyList>())
            .map(|value| column.push_binary(&value)),
        Type::Timestamp => microseconds(value)?.map(|us| column.push_timestamp(us)),
        Type::Embedding(dim) => {
            let floats = items(value, float)?;
            floats.filter(|floats| floats.len() == dim as usize).map(|floats| {
                let floats: Vec<f32> = floats.into_iter().map(|value| value as f32).collect();
                column.push_embedding(&floats);
            })
        }
        Type::ListInt64 => items(value, whole)?.map(|values| column.push_list_i64(&values)),
        Type::ListFloat64 => items(value, float)?.map(|values| column.push_list_f64(&values)),
        Type::ListUtf8 => items(value, |item| item.extract::<String>().ok())?
            .map(|values| column.push_list_utf8(&values)),
    };
    Ok(done)
}

/// None, and what pandas writes for it.
fn is_null(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if value.is_none() {
        return Ok(true);
    }
    let class = value.get_type().name()?;
    // numpy's is a datetime64 like others, and shown as pandas' is.
    let numpy = class == "datetime64" && value.str()?.to_str()? == "NaT";
    Ok(class == "NAType" || class == "NaTType" || numpy)
}

fn whole(value: &Bound<'_, PyAny>) -> Option<i64> {
    // numpy's integers have __index__; so has a bool, which is none.
    if is_bool(value) {
        return None;
    }
    value.extract().ok()
}

fn float(value: &Bound<'_, PyAny>) -> Option<f64> {
    if is_bool(value) || value.is_instance_of::<PyString>() {
        return None;
    }
    let float: f64 = value.extract().ok()?;
    // Python compares them as the numbers they are.
    let exact = value.is_instance_of::<PyFloat>() || float.is_nan() || value.eq(float).ok()?;
    exact.then_some(float)
}

fn is_bool(value: &Bound<'_, PyAny>) -> bool {
    let class = value.get_type().name();
    value.is_instance_of::<PyBool>() || class.is_ok_and(|class| class == "bool_" || class == "bool")
}

fn items<T>(
    value: &Bound<'_, PyAny>,
    item: impl Fn(&Bound<'_, PyAny>) -> Option<T>,
) -> PyResult<Option<Vec<T>>> {
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyDict>() {
        return Ok(None);
    }
    let Ok(iterator) = value.try_iter() else { return Ok(None) };
    iterator.map(|of| of.map(|of| item(&of))).collect()
}

/// A value as it is put into a message.
pub(crate) fn shown(value: &Bound<'_, PyAny>) -> String {
    const CHARS_MAX: usize = 60;
    let class = value.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    let text = value.repr().map(|text| text.to_string()).unwrap_or_default();
    let mut cut: String = text.chars().take(CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{class} `{cut}`")
}

static EPOCH: PyOnceLock<(Py<PyAny>, Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();

/// 1970 in UTC, a timedelta of a microsecond, and UTC.
fn epoch<'py>(
    py: Python<'py>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let (epoch, microsecond, utc) = EPOCH.get_or_try_init(py, || {
        let module = py.import("datetime")?;
        let utc = module.getattr("timezone")?.getattr("utc")?;
        let named = PyDict::new(py);
        named.set_item("tzinfo", &utc)?;
        let epoch = module.getattr("datetime")?.call((1970, 1, 1), Some(&named))?;
        let microsecond = module.getattr("timedelta")?.call1((0, 0, 1))?;
        Ok::<_, PyErr>((epoch.unbind(), microsecond.unbind(), utc.unbind()))
    })?;
    Ok((epoch.bind(py).clone(), microsecond.bind(py).clone(), utc.bind(py).clone()))
}

fn datetime(py: Python<'_>, us: i64) -> PyResult<Bound<'_, PyAny>> {
    let (epoch, microsecond, _) = epoch(py)?;
    let moved = microsecond.mul(us).and_then(|delta| epoch.add(delta));
    match moved {
        Ok(time) => Ok(time),
        Err(_) => Ok(us.into_pyobject(py)?.into_any()),
    }
}

/// A datetime, a date, an ISO 8601 text or microseconds.
fn microseconds(value: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    if value.is_instance_of::<PyInt>() {
        return Ok(whole(value));
    }
    if value.get_type().name()? == "datetime64" {
        let us = value.call_method1("astype", ("datetime64[us]",))?;
        return us.call_method1("astype", ("int64",))?.extract().map(Some);
    }
    // numpy's integers.
    if let Some(us) = whole(value) {
        return Ok(Some(us));
    }
    let py = value.py();
    let module = py.import("datetime")?;
    let (class, date) = (module.getattr("datetime")?, module.getattr("date")?);
    let time = if value.is_instance(&class)? {
        value.clone()
    } else if value.is_instance(&date)? {
        let midnight = module.getattr("time")?.call0()?;
        class.call_method1("combine", (value, midnight))?
    } else if let Ok(text) = value.cast::<PyString>() {
        // Python before 3.11 doesn't know the Z.
        let text = text.to_string().replace('Z', "+00:00");
        match class.call_method1("fromisoformat", (text,)) {
            Ok(time) => time,
            Err(_) => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    let (epoch, microsecond, utc) = epoch(py)?;
    let time = if time.getattr("tzinfo")?.is_none() {
        let named = PyDict::new(py);
        named.set_item("tzinfo", utc)?;
        time.call_method("replace", (), Some(&named))?
    } else {
        time
    };
    time.sub(epoch)?.call_method1("__floordiv__", (microsecond,))?.extract().map(Some)
}

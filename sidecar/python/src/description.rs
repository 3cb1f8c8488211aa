//! What a service or a view wants, as its sidecar says, and rows and frames held against it; not the asking, which is
//! `client.rs`'s.

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use pyo3::prelude::*;
use skewless_batch::{Column, Type};
use skewless_offline::exchange;
use skewless_proto::v1;

use crate::client::odd;
use crate::errors::Failure;
use crate::frames::{self, Batches};
use crate::wanted::{Wanted, WantedField, unfit};

/// What a service or a view wants, as its sidecar says.
#[pyclass(frozen, module = "skewless._skewless")]
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) keys: Vec<WantedField>,
    /// Request values of a service, features of a view.
    pub(crate) values: Vec<WantedField>,
    pub(crate) features: Vec<WantedField>,
    pub(crate) is_service: bool,
}

#[pymethods]
impl Description {
    /// Keys, as `(name, type, nullable)`.
    #[getter]
    fn keys(&self) -> Vec<(String, String, bool)> {
        described(&self.keys)
    }

    /// Request values of a service.
    #[getter]
    fn request(&self) -> Vec<(String, String, bool)> {
        described(if self.is_service { &self.values } else { &[] })
    }

    /// Features.
    #[getter]
    fn features(&self) -> Vec<(String, String, bool)> {
        described(&self.features)
    }

    /// Rows that are dicts as a frame; for a view with these columns of times.
    fn rows(&self, rows: &Bound<'_, PyAny>, times: Vec<(String, bool)>) -> PyResult<Batches> {
        let fields = self.wanted(&times);
        let (owner, noun) = self.words();
        let wanted = Wanted { owner: &owner, noun, fields: &fields };
        let (count, columns) = wanted.columns_of(rows)?;
        // Of no rows all columns are there: none of them lacks a value.
        let given = fields.iter().zip(columns).filter(|(_, (given, _))| *given || count == 0);
        frames::of_columns(given.map(|(field, (_, column))| (&*field.name, column)), count)
    }
}

impl Description {
    /// Keys and values, and these columns of times.
    pub(crate) fn wanted(&self, times: &[(String, bool)]) -> Vec<WantedField> {
        let times = times.iter().map(|(name, nullable)| WantedField {
            name: name.clone(),
            ty: Type::Timestamp,
            nullable: *nullable,
        });
        self.keys.iter().chain(&self.values).cloned().chain(times).collect()
    }

    fn words(&self) -> (String, &'static str) {
        let kind = if self.is_service { "service" } else { "view" };
        (format!("{kind} `{}`", self.name), "column")
    }

    /// A frame's columns as these fields, each as long as the frame; none where it has none. `first` is the row at which
    /// the frame begins in a longer one.
    pub(crate) fn columns(
        &self,
        frame: &Batches,
        fields: &[WantedField],
        first: usize,
    ) -> Result<Vec<Option<Column>>, Failure> {
        let (owner, noun) = self.words();
        let wanted = Wanted { owner: &owner, noun, fields };
        let chosen = wanted.chosen(&frame.schema)?;
        let column = |(field, at): (&WantedField, Option<usize>)| {
            let Some(at) = at else { return Ok(None) };
            let parts: Vec<&dyn Array> =
                frame.batches.iter().map(|batch| batch.column(at).as_ref()).collect();
            if parts.is_empty() {
                return Ok(Some(Column::new(field.ty)));
            }
            let whole: ArrayRef = concat(&parts).map_err(|error| frames::broken(&error))?;
            let column = exchange::column_from(&whole, &field.name, field.ty);
            column.map(Some).map_err(|error| unfit(error, first))
        };
        fields.iter().zip(chosen).map(column).collect()
    }
}

fn described(fields: &[WantedField]) -> Vec<(String, String, bool)> {
    fields.iter().map(|of| (of.name.clone(), of.ty.to_string(), of.nullable)).collect()
}

/// Fields of a message; `nullable` if all of them are, or none.
pub(crate) fn fields(
    of: &[v1::Field],
    nullable: Option<bool>,
) -> Result<Vec<WantedField>, Failure> {
    of.iter()
        .map(|field| {
            let code = u8::try_from(field.r#type).ok();
            let ty = code.and_then(|code| Type::from_code(code, field.dim));
            let ty = ty.ok_or_else(|| {
                odd(format!("expected a type for `{}`, came number {}", field.name, field.r#type))
            })?;
            let nullable = nullable.unwrap_or(field.nullable);
            Ok(WantedField { name: field.name.clone(), ty, nullable })
        })
        .collect()
}

//! The columns that a plugin, a service or a view wants, found in a frame or in rows that are dicts; what is missing,
//! unknown or of another type is refused with what was probably meant.

use arrow::datatypes::Schema;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use skewless_batch::{Column, Field, Type};
use skewless_catalog::names::nearest;
use skewless_offline::exchange::UnfitColumn;

use crate::errors::{Failure, Kind};
use crate::values::{push, shown};

/// A column.
#[derive(Clone)]
pub(crate) struct WantedField {
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// Whether it may be left out, and is null then.
    pub(crate) nullable: bool,
}

impl From<&Field> for WantedField {
    fn from(field: &Field) -> Self {
        Self { name: field.name.clone(), ty: field.ty, nullable: field.nullable }
    }
}

/// The columns wanted, and in which words it is said that there are others.
pub(crate) struct Wanted<'a> {
    /// `the plugin`.
    pub(crate) owner: &'a str,
    /// `input`.
    pub(crate) noun: &'a str,
    pub(crate) fields: &'a [WantedField],
}

impl Wanted<'_> {
    fn listed(&self) -> String {
        let fields: Vec<_> = self
            .fields
            .iter()
            .map(|of| format!("{} ({}{})", of.name, of.ty, if of.nullable { "?" } else { "" }))
            .collect();
        format!("{}'s {}s are {}", self.owner, self.noun, fields.join(", "))
    }

    fn unknown(&self, row: usize, name: &str) -> Failure {
        let near = nearest(name, self.fields.iter().map(|field| field.name.as_str()));
        let near = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
        let (owner, noun) = (self.owner, self.noun);
        let message = format!("row {row} (counted from 0): {owner} has no {noun} `{name}`{near}");
        Failure::new(Kind::Input, message).next(self.listed())
    }

    /// Rows that are dicts as columns, each with whether any row has it; what a row lacks is null.
    pub(crate) fn columns_of(
        &self,
        rows: &Bound<'_, PyAny>,
    ) -> PyResult<(usize, Vec<(bool, Column)>)> {
        let fields = self.fields;
        let mut columns: Vec<_> =
            fields.iter().map(|field| (false, Column::new(field.ty))).collect();
        let mut count = 0;
        for (number, row) in rows.try_iter()?.enumerate() {
            let row = row?;
            let Ok(row) = row.cast::<PyDict>() else {
                let message =
                    format!("row {number} (counted from 0): expected a dict, came {}", shown(&row));
                return Err(Failure::new(Kind::Input, message).next(self.listed()).into());
            };
            for name in row.keys() {
                let Ok(name) = name.extract::<String>() else {
                    let message = format!(
                        "row {number} (counted from 0): expected names that are text, came {}",
                        shown(&name)
                    );
                    return Err(Failure::new(Kind::Input, message).next(self.listed()).into());
                };
                if !fields.iter().any(|field| field.name == name) {
                    return Err(self.unknown(number, &name).into());
                }
            }
            for (field, (given, column)) in fields.iter().zip(&mut columns) {
                let Some(value) = row.get_item(&field.name)? else {
                    column.push_null();
                    continue;
                };
                *given = true;
                if let Err(error) = push(column, &value)? {
                    let message =
                        format!("row {number} (counted from 0), `{}`: {error}", field.name);
                    return Err(Failure::new(Kind::Input, message).next("mend the row").into());
                }
            }
            count += 1;
        }
        let lacking = fields.iter().zip(&columns).find(|(of, (given, _))| !given && !of.nullable);
        match lacking {
            Some((field, _)) if count > 0 => {
                let message = format!(
                    "expected values for all {}s that can't be null, came none for `{}`",
                    self.noun, field.name
                );
                let next = format!("{}; give nulls if they are meant", self.listed());
                Err(Failure::new(Kind::Input, message).next(next).into())
            }
            _ => Ok((count, columns)),
        }
    }

    /// Where each column is in a frame; none if it is nowhere and may be null.
    pub(crate) fn chosen(&self, schema: &Schema) -> Result<Vec<Option<usize>>, Failure> {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let is_wanted = |name: &&str| self.fields.iter().any(|field| field.name == *name);
        let unused: Vec<&str> = names.iter().copied().filter(|name| !is_wanted(name)).collect();
        let mut chosen = Vec::with_capacity(self.fields.len());
        for field in self.fields {
            let mut found = names.iter().enumerate().filter(|(_, name)| **name == field.name);
            let at = found.next().map(|(at, _)| at);
            if found.next().is_some() {
                let message = format!("expected one column `{}`, came several", field.name);
                return Err(Failure::new(Kind::Input, message));
            }
            if at.is_none() {
                let near = nearest(&field.name, unused.iter().copied());
                // A column that may be null is left out knowingly, unless it was misspelt.
                if !field.nullable || near.is_some() {
                    return Err(self.missing(field, near, &names));
                }
            }
            chosen.push(at);
        }
        if chosen.iter().all(Option::is_none) && !chosen.is_empty() && !names.is_empty() {
            let (owner, noun) = (self.owner, self.noun);
            let message =
                format!("expected a column that is a {noun} of {owner}, came {}", names.join(", "));
            return Err(Failure::new(Kind::Input, message).next(self.listed()));
        }
        Ok(chosen)
    }

    fn missing(&self, field: &WantedField, near: Option<String>, names: &[&str]) -> Failure {
        let mark = if field.nullable { "?" } else { "" };
        let mut message =
            format!("expected a column `{}` ({}{mark}), came none", field.name, field.ty);
        let next = match near {
            Some(near) => {
                message.push_str(&format!(" (did you mean `{near}`?)"));
                format!("rename `{near}` to `{}`; {}", field.name, self.listed())
            }
            None if names.is_empty() => self.listed(),
            None => format!("{}; the frame has {}", self.listed(), names.join(", ")),
        };
        Failure::new(Kind::Input, message).next(next)
    }
}

/// A frame's column that can't be had as its type, or one of its values; `first` is the row at which the part began.
pub(crate) fn unfit(error: UnfitColumn, first: usize) -> Failure {
    let next = match &error {
        // Neither pandas nor polars has a type of this name.
        UnfitColumn::Type { column, expected: Type::Embedding(dim), .. } => format!(
            "make `{column}` lists of {dim} float32: in pandas frame[\"{column}\"] = [numpy.asarray(value, \"float32\") \
             for value in frame[\"{column}\"]], in polars frame.with_columns(polars.col(\"{column}\")\
             .cast(polars.Array(polars.Float32, {dim}))), in pyarrow a column of pyarrow.list_(pyarrow.float32(), {dim})"
        ),
        UnfitColumn::Type { column, expected, .. } => {
            format!("cast `{column}` to {expected}: only types that lose nothing are converted")
        }
        UnfitColumn::Value { .. } => "mend the row".to_owned(),
        UnfitColumn::Broken { .. } => "make the frame anew".to_owned(),
    };
    Failure::new(Kind::Input, error.starting_at(first)).next(next)
}

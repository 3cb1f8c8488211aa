//! Golden rows through the real engine: the file that `skewless::golden!` reads natively, and rows of data in its
//! form; not the SDK's own reading, which runs without a sandbox.
//!
//! The form is told in `sdk/rust/src/golden.rs`. It is read a second time here because the SDK and the engine share
//! no room that knows JSON: plugins lean on the SDK, and nothing of the sidecar may. `sdk/vectors/golden.jsonl` holds
//! what both must say of a line.
//!
//! Limit: [`GOLDEN_ROWS_MAX`] rows.

use serde_json::{Map, Number, Value as Json};
use skewless_batch::{Column, ColumnView, Field, Signature, Type, Value, words};
use skewless_catalog::names::nearest;

use crate::error::{CallError, bounded};
use crate::plugin::Plugin;
use crate::worker::{PluginOutput, Worker};

/// Most golden rows of a file. They are written by hand or by a small program, and each is run several times.
pub const GOLDEN_ROWS_MAX: usize = 10_000;

/// Rows with the outputs they must give.
#[derive(Clone, Debug)]
pub struct Golden {
    /// Line of each row in its file, from 1.
    pub lines: Vec<usize>,
    /// One column per input of the signature.
    pub inputs: Vec<Column>,
    outputs: Vec<Column>,
    errors: Vec<Option<String>>,
}

/// A line that is no golden row of the plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GoldenMistake {
    /// The line, from 1; 0: the file as a whole.
    pub line: usize,
    /// What was expected and what came.
    pub message: String,
}

/// A golden row that gave something else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GoldenDifference {
    /// Index of the row in [`Golden::lines`].
    pub row: usize,
    /// Whether it was alone in its batch.
    pub alone: bool,
    /// What came and what was expected, in words.
    pub message: String,
}

impl Golden {
    /// Reads the text of a golden file; every mistake at once.
    pub fn read(text: &str, signature: &Signature) -> Result<Self, Vec<GoldenMistake>> {
        let mut golden = Self {
            lines: Vec::new(),
            inputs: empty(&signature.inputs),
            outputs: empty(&signature.outputs),
            errors: Vec::new(),
        };
        let mut mistakes = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if golden.lines.len() == GOLDEN_ROWS_MAX {
                let message = format!(
                    "expected at most {GOLDEN_ROWS_MAX} golden rows (GOLDEN_ROWS_MAX), came more"
                );
                mistakes.push(GoldenMistake { line: at + 1, message });
                break;
            }
            golden.lines.push(at + 1);
            if let Err(message) = golden.push(line, signature) {
                mistakes.push(GoldenMistake { line: at + 1, message });
            }
        }
        if golden.lines.is_empty() {
            let message = "expected golden rows, came none".to_owned();
            mistakes.push(GoldenMistake { line: 0, message });
        }
        if mistakes.is_empty() { Ok(golden) } else { Err(mistakes) }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// Runs all rows as one batch and then each alone; gives the first difference of each row.
    pub fn check(
        &self,
        worker: &mut Worker,
        plugin: &Plugin,
    ) -> Result<Vec<GoldenDifference>, CallError> {
        let fields = &plugin.signature().outputs;
        let views: Vec<ColumnView<'_>> = self.inputs.iter().map(Column::view).collect();
        let together = worker.run_rows(plugin, self.rows(), &views)?;
        let mut differences = Vec::new();
        for row in 0..self.rows() {
            let mut message = self.difference(row, fields, &together, row);
            let alone = message.is_none();
            if alone {
                let one = views.iter().map(|view| {
                    let mut column = Column::new(view.ty());
                    column.append(view, row..row + 1);
                    column
                });
                let one: Vec<Column> = one.collect();
                let one: Vec<ColumnView<'_>> = one.iter().map(Column::view).collect();
                let came = worker.run_rows(plugin, 1, &one)?;
                message = self.difference(row, fields, &came, 0);
            }
            differences.extend(message.map(|message| GoldenDifference { row, alone, message }));
        }
        Ok(differences)
    }

    /// Appends a row; what is wrong with it otherwise.
    fn push(&mut self, line: &str, signature: &Signature) -> Result<(), String> {
        let row: Map<String, Json> = match serde_json::from_str(line) {
            Ok(Json::Object(row)) => row,
            Ok(_) => return Err("expected an object".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        if let Some(why) = misshapen(&row) {
            return Err(why);
        }
        push_side(&row, "in", &signature.inputs, &mut self.inputs)?;
        push_side(&row, "out", &signature.outputs, &mut self.outputs)?;
        let error = row.get("error").and_then(Json::as_str);
        // The engine keeps no more of a message.
        self.errors.push(error.map(|error| bounded(error).to_owned()));
        Ok(())
    }

    fn difference(
        &self,
        row: usize,
        fields: &[Field],
        came: &PluginOutput,
        at: usize,
    ) -> Option<String> {
        let (error, expected) = (came.errors[at].as_deref(), self.errors[row].as_deref());
        if error != expected {
            let (came, expected) = (ending(error), ending(expected));
            return Some(format!("the row came with {came}, expected {expected}"));
        }
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for (field, (came, expected)) in fields.iter().zip(came.columns.iter().zip(&self.outputs)) {
            here.clear();
            there.clear();
            came.value(at).canonical_bytes(&mut here);
            expected.value(row).canonical_bytes(&mut there);
            if here != there {
                let (came, expected) = (json(came.value(at)), json(expected.value(row)));
                return Some(format!("{} came as {came}, expected {expected}", field.name));
            }
        }
        None
    }
}

/// A row of columns in the form of golden rows, so that it can be copied there. A value of more than `bytes_max` bytes
/// is a text that says how long it is.
#[must_use]
pub fn row(fields: &[Field], columns: &[Column], row: usize, bytes_max: usize) -> Json {
    let cell = |column: &Column| {
        let value = json(column.value(row));
        let bytes = value.to_string().len();
        if bytes > bytes_max { format!("... ({bytes} bytes)").into() } else { value }
    };
    let cells =
        fields.iter().zip(columns).map(|(field, column)| (field.name.clone(), cell(column)));
    Json::Object(cells.collect())
}

/// A value in the form of golden rows.
fn json(value: Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => value.into(),
        Value::Int32(value) => value.into(),
        Value::Int64(value) | Value::Timestamp(value) => value.into(),
        Value::Float32(value) => number(&format!("{value:?}")),
        Value::Float64(value) => number(&format!("{value:?}")),
        Value::Utf8(text) => text.into(),
        Value::Binary(bytes) => bytes.iter().map(|byte| Json::from(*byte)).collect(),
        Value::Embedding(values) => {
            values.iter().map(|value| json(Value::Float32(value))).collect()
        }
        Value::ListInt64(values) => values.iter().map(Json::from).collect(),
        Value::ListFloat64(values) => {
            values.iter().map(|value| json(Value::Float64(value))).collect()
        }
        Value::ListUtf8(values) => values.iter().map(Json::from).collect(),
    }
}

/// The shortest digits of a float, or its name, which JSON has as a text only.
fn number(digits: &str) -> Json {
    let finite = digits.parse().ok().and_then(Number::from_f64);
    finite.map_or_else(|| digits.into(), Json::Number)
}

fn empty(fields: &[Field]) -> Vec<Column> {
    fields.iter().map(|field| Column::new(field.ty)).collect()
}

/// What is wrong with a row's own keys: one that is misspelt would leave its side empty, and test nothing.
fn misshapen(row: &Map<String, Json>) -> Option<String> {
    let expected = "expected `in` with an object, and `out` with an object or `error` with a text";
    for (key, value) in row {
        let fits = match key.as_str() {
            "in" | "out" => value.is_object(),
            "error" => value.is_string(),
            _ => false,
        };
        if !fits {
            return Some(format!("{expected}, came `{key}`: {value}"));
        }
    }
    let has = |key| row.contains_key(key);
    match (has("in"), has("out"), has("error")) {
        (false, ..) => Some(format!("{expected}, came no `in`")),
        (true, true, true) => Some(format!("{expected}, came both `out` and `error`")),
        (true, false, false) => Some(format!("{expected}, came neither `out` nor `error`")),
        (true, true, false) | (true, false, true) => None,
    }
}

/// Appends one side of a row to its columns.
fn push_side(
    row: &Map<String, Json>,
    side: &str,
    fields: &[Field],
    columns: &mut [Column],
) -> Result<(), String> {
    let given = row.get(side).and_then(Json::as_object);
    let mut names = given.into_iter().flat_map(Map::keys);
    if let Some(name) = names.find(|name| fields.iter().all(|field| field.name != **name)) {
        let what = if side == "in" { "input" } else { "output" };
        let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let meant = nearest(name, known.iter().copied());
        let meant = meant.map_or_else(String::new, |known| format!(" (did you mean `{known}`?)"));
        let known = known.join(", ");
        return Err(format!("expected an {what} of the signature ({known}), came `{name}`{meant}"));
    }
    for (field, column) in fields.iter().zip(columns) {
        match given.and_then(|given| given.get(&field.name)) {
            None | Some(Json::Null) => column.push_null(),
            Some(value) => push(column, value).ok_or_else(|| {
                format!("`{}`: {value} is no {}", field.name, words::form(field.ty))
            })?,
        }
    }
    Ok(())
}

/// How a row ended.
fn ending(error: Option<&str>) -> String {
    error.map_or_else(|| "no error".to_owned(), |error| format!("the error `{error}`"))
}

/// Appends a value; `None` if it is none of the column's type.
fn push(column: &mut Column, value: &Json) -> Option<()> {
    let list = || Some(value.as_array()?.iter());
    match column.ty() {
        Type::Bool => column.push_bool(value.as_bool()?),
        Type::Int32 => column.push_i32(i32::try_from(value.as_i64()?).ok()?),
        Type::Int64 => column.push_i64(value.as_i64()?),
        Type::Float32 => column.push_f32(float(value)? as f32),
        Type::Float64 => column.push_f64(float(value)?),
        Type::Utf8 => column.push_utf8(value.as_str()?),
        Type::Timestamp => {
            let written = || words::timestamp(value.as_str()?);
            column.push_timestamp(value.as_i64().or_else(written)?);
        }
        Type::Binary => {
            let bytes: Option<Vec<u8>> = match value.as_str() {
                Some(text) => words::binary(text),
                None => list()?.map(|byte| u8::try_from(byte.as_u64()?).ok()).collect(),
            };
            column.push_binary(&bytes?);
        }
        Type::Embedding(dim) => {
            let values: Option<Vec<f32>> = list()?.map(|v| Some(float(v)? as f32)).collect();
            column.push_embedding(&values.filter(|values| values.len() == dim as usize)?);
        }
        Type::ListInt64 => {
            let values: Option<Vec<i64>> = list()?.map(Json::as_i64).collect();
            column.push_list_i64(&values?);
        }
        Type::ListFloat64 => {
            let values: Option<Vec<f64>> = list()?.map(float).collect();
            column.push_list_f64(&values?);
        }
        Type::ListUtf8 => {
            let values: Option<Vec<&str>> = list()?.map(Json::as_str).collect();
            column.push_list_utf8(values?);
        }
    }
    Some(())
}

/// A number, or the name of one that JSON has not.
fn float(value: &Json) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    }
}

//! Golden rows: a text file beside a plugin with inputs and the outputs they must give, bit for bit.
//!
//! One JSON object a line: `{"in": {"km": 1.609344}, "out": {"miles": 1.0}}`, or `"error": "..."` instead
//! of `"out"` for a row that must fail with that message; nothing else. A name left out is null. Numbers are exact
//! (Rust reads the shortest decimal that names a float back to the same bits); `"NaN"`, `"inf"`, `"-inf"` are
//! floats too. Timestamps are microseconds or as RFC 3339 has them (`"2013-07-04T12:00:00Z"`), binaries lists of bytes or
//! `"0x00ff"`, as `skewless plugin run` takes and prints them. Lines that begin with `#` are comments.
//! All rows run as one batch and then each alone.

#[cfg(not(target_arch = "wasm32"))]
pub use native::check;

/// Runs a plugin's golden rows as tests: `skewless::golden!("golden.jsonl")`, the path relative to the file
/// that says it.
#[macro_export]
macro_rules! golden {
    ($path:literal) => {
        #[test]
        fn golden_rows() {
            $crate::golden::check(&PLUGIN, include_str!($path), $path);
        }
    };
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use serde_json::{Map, Value as Json};
    use skewless_batch::{Column, ColumnView, Field, Type, Value, words};

    use crate::plugin::Plugin;

    /// Checks every golden row of a text. Panics with file, line and difference of the first that is wrong.
    pub fn check(plugin: &Plugin, text: &str, path: &str) {
        let signature = plugin.signature();
        let rows: Vec<(usize, Map<String, Json>)> = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|(at, line)| match serde_json::from_str(line) {
                Ok(Json::Object(row)) => match misshapen(&row) {
                    None => (at + 1, row),
                    Some(why) => panic!("{path}:{}: {why}", at + 1),
                },
                Ok(_) => panic!("{path}:{}: expected an object", at + 1),
                Err(error) => panic!("{path}:{}: {error}", at + 1),
            })
            .collect();
        assert!(!rows.is_empty(), "{path} has no golden row");
        run(plugin, &signature.inputs, &signature.outputs, &rows, path);
        for row in rows.chunks(1) {
            run(plugin, &signature.inputs, &signature.outputs, row, path);
        }
    }

    /// What is wrong with a row's own keys: one that is misspelt would leave its side empty, and test nothing.
    fn misshapen(row: &Map<String, Json>) -> Option<String> {
        let expected =
            "expected `in` with an object, and `out` with an object or `error` with a text";
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

    fn run(
        plugin: &Plugin,
        inputs: &[Field],
        outputs: &[Field],
        rows: &[(usize, Map<String, Json>)],
        path: &str,
    ) {
        let given = columns(inputs, rows, "in", path);
        let views: Vec<ColumnView<'_>> = given.iter().map(Column::view).collect();
        let ran = plugin.run_native(rows.len(), &views).unwrap_or_else(|e| panic!("{path}: {e}"));
        let expected = columns(outputs, rows, "out", path);
        for (row, (line, golden)) in rows.iter().enumerate() {
            let (came, expected_error) =
                (ran.errors[row].as_deref(), golden.get("error").and_then(Json::as_str));
            assert!(
                came == expected_error,
                "{path}:{line}: the row came with {}, expected {}",
                ending(came),
                ending(expected_error)
            );
            for (field, (came, expected)) in outputs.iter().zip(ran.columns.iter().zip(&expected)) {
                let (mut here, mut there) = (Vec::new(), Vec::new());
                came.value(row).canonical_bytes(&mut here);
                expected.value(row).canonical_bytes(&mut there);
                assert!(
                    here == there,
                    "{path}:{line}: {} came as {}, expected {}",
                    field.name,
                    shown(came.value(row)),
                    shown(expected.value(row))
                );
            }
        }
    }

    fn columns(
        fields: &[Field],
        rows: &[(usize, Map<String, Json>)],
        side: &str,
        path: &str,
    ) -> Vec<Column> {
        let mut columns: Vec<Column> = fields.iter().map(|field| Column::new(field.ty)).collect();
        for (line, row) in rows {
            let empty = Map::new();
            let given = row.get(side).and_then(Json::as_object).unwrap_or(&empty);
            if let Some(name) = given.keys().find(|name| fields.iter().all(|f| f.name != **name)) {
                panic!("{path}:{line}: {}", unknown(name, side, fields));
            }
            for (field, column) in fields.iter().zip(&mut columns) {
                match given.get(&field.name) {
                    None | Some(Json::Null) => column.push_null(),
                    Some(value) => push(column, value).unwrap_or_else(|| {
                        let form = words::form(field.ty);
                        panic!("{path}:{line}: `{}`: {value} is no {form}", field.name)
                    }),
                }
            }
        }
        columns
    }

    /// How a row ended.
    fn ending(error: Option<&str>) -> String {
        error.map_or_else(|| "no error".to_owned(), |error| format!("the error `{error}`"))
    }

    /// A value as a golden row has it, so that it can be copied there.
    fn shown(value: Value<'_>) -> String {
        match value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int32(value) => value.to_string(),
            Value::Int64(value) | Value::Timestamp(value) => value.to_string(),
            Value::Float32(value) => number(value.is_finite(), &format!("{value:?}")),
            Value::Float64(value) => number(value.is_finite(), &format!("{value:?}")),
            Value::Utf8(text) => Json::from(text).to_string(),
            Value::Binary(bytes) => list(bytes.iter().map(u8::to_string)),
            Value::Embedding(values) => {
                list(values.iter().map(|value| shown(Value::Float32(value))))
            }
            Value::ListInt64(values) => list(values.iter().map(|value| value.to_string())),
            Value::ListFloat64(values) => {
                list(values.iter().map(|value| shown(Value::Float64(value))))
            }
            Value::ListUtf8(values) => list(values.iter().map(|value| shown(Value::Utf8(value)))),
        }
    }

    /// The shortest digits of a float, or its name, which JSON has as a text only.
    fn number(finite: bool, digits: &str) -> String {
        if finite { digits.to_owned() } else { format!("\"{digits}\"") }
    }

    fn list(items: impl Iterator<Item = String>) -> String {
        format!("[{}]", items.collect::<Vec<_>>().join(", "))
    }

    /// A name that the signature hasn't, with those that it has.
    fn unknown(name: &str, side: &str, fields: &[Field]) -> String {
        let what = if side == "in" { "input" } else { "output" };
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let most_wrong = (name.chars().count() / 3).max(1);
        let nearest = names
            .iter()
            .map(|known| (letters_wrong(name, known), known))
            .filter(|(wrong, _)| *wrong <= most_wrong)
            .min();
        let meant =
            nearest.map_or_else(String::new, |(_, known)| format!(" (did you mean `{known}`?)"));
        let known = names.join(", ");
        format!("expected an {what} of the signature ({known}), came `{name}`{meant}")
    }

    /// How many letters have to be put in, left out or changed to make one text of the other (Levenshtein's distance).
    fn letters_wrong(one: &str, other: &str) -> usize {
        let other: Vec<char> = other.chars().collect();
        let mut row: Vec<usize> = (0..=other.len()).collect();
        for (at, letter) in one.chars().enumerate() {
            let mut before = at;
            row[0] = at + 1;
            for (column, there) in other.iter().enumerate() {
                let changed = before + usize::from(letter != *there);
                before = row[column + 1];
                row[column + 1] = changed.min(before + 1).min(row[column] + 1);
            }
        }
        row[other.len()]
    }

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
}

//! `skewless plugin run`: rows through a plugin, by the engine that serves; for trying it out.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::{Map, Value as Json};
use skewless_batch::{Column, Field};
use skewless_engine::{Engine, Ticker, Worker};

use crate::exit::{Failure, Next, Outcome};
use crate::output::say;
use crate::settings::{self, Settings};
use crate::{data, show, typed};

/// Run rows through a plugin
///
/// Rows come from a Parquet file, or as JSON: an array of objects, or one object a line. What a row lacks is null; an
/// input that all rows lack is refused unless it may be null. Floats that JSON has no number for are strings: "NaN",
/// "inf" and "-inf". Prints one JSON object a row: the plugin's outputs, or "error" with its message. A row fails only if
/// it fails alone, as when it is served, and under the limits of the sidecar's configuration. In messages the
/// first row is row 0.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  echo '{\"lat1\":40.69,\"lon1\":-74.17,\"lat2\":29.98,\"lon2\":-95.34}' \\\n    | skewless plugin run plugins/great_circle.wasm"
)]
pub(crate) struct Args {
    /// The .wasm file
    plugin: PathBuf,
    /// A .parquet file or JSON; standard input when not given
    rows: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// How a float is written that is no JSON number.
const FLOATS: &str = "JSON has no number for them: write \"NaN\", \"inf\" and \"-inf\" as strings";

/// What rows may be.
const ROWS: &str = "give a JSON array of objects, one object a line, or a Parquet file";

pub(crate) fn run(args: &Args) -> Outcome {
    let config = settings::read(&args.settings, [])?;
    let engine = Engine::new(config.engine)?;
    let plugin = super::load(&engine, &args.plugin, &config.cache_dir)?;
    let inputs = &plugin.signature().inputs;
    let (rows, columns) = match &args.rows {
        Some(path) => from_file(path, inputs)?,
        None => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            if is_parquet(&bytes) {
                let next =
                    format!("give the file: skewless plugin run {} FILE", args.plugin.display());
                let message = "expected JSON rows on standard input, came Parquet";
                return Err(Failure::new(message, next));
            }
            from_json(&text(bytes)?, inputs)?
        }
    };
    let views: Vec<_> = columns.iter().map(Column::view).collect();
    let _ticker = Ticker::start(engine.clone(), Duration::from_micros(config.life.tick_us))?;
    let output = Worker::new(&engine).run_rows(&plugin, rows, &views)?;
    for row in 0..rows {
        let mut line = Map::new();
        if let Some(message) = output.errors.get(row).and_then(Option::as_ref) {
            line.insert("error".to_owned(), message.as_str().into());
        } else {
            for (field, column) in plugin.signature().outputs.iter().zip(&output.columns) {
                line.insert(field.name.clone(), show::json(column.value(row)));
            }
        }
        say!("{}", Json::Object(line))?;
    }
    Ok(())
}

/// Rows of a file, Parquet or JSON, as columns of these inputs.
pub(super) fn from_file(path: &Path, inputs: &[Field]) -> Outcome<(usize, Vec<Column>)> {
    if path.extension().is_some_and(|extension| extension == "parquet") {
        return from_parquet(path, inputs);
    }
    let bytes = std::fs::read(path)
        .with_context(|| format!("can't read {}", path.display()))
        .or_next(|| "give a .parquet file or one with JSON rows")?;
    // A file says itself what it is, whatever it is called.
    if is_parquet(&bytes) { from_parquet(path, inputs) } else { from_json(&text(bytes)?, inputs) }
}

/// Refuses rows of which none has an input that can't be null: all outputs would be null without a word, and it's
/// mostly another name that is meant.
fn refuse_lacking(inputs: &[Field], has: impl Fn(&str) -> bool, what: &str) -> Outcome {
    let lacking = inputs.iter().filter(|field| !field.nullable && !has(&field.name));
    let lacking: Vec<_> = lacking.map(|field| format!("`{}`", field.name)).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let inputs: Vec<_> = inputs
        .iter()
        .map(|field| {
            format!("{} ({}{})", field.name, field.ty, if field.nullable { "?" } else { "" })
        })
        .collect();
    Err(Failure::new(
        format!(
            "expected {what} for all inputs that can't be null, came none for {}",
            lacking.join(", ")
        ),
        format!("its inputs are {}; give nulls if they are meant", inputs.join(", ")),
    ))
}

/// Whether a file begins as Parquet does.
fn is_parquet(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PAR1")
}

fn text(bytes: Vec<u8>) -> Outcome<String> {
    String::from_utf8(bytes)
        .map_err(|error| anyhow::anyhow!("expected JSON rows, came no UTF-8 text: {error}"))
        .or_next(|| ROWS)
}

fn from_parquet(path: &Path, inputs: &[Field]) -> Outcome<(usize, Vec<Column>)> {
    let names = skewless_offline::column_names(path).map_err(data::failure)?;
    let wanted: Vec<_> = inputs
        .iter()
        .filter(|field| names.contains(&field.name))
        .map(|field| (field.name.clone(), field.ty))
        .collect();
    if wanted.is_empty() {
        let inputs: Vec<_> = inputs.iter().map(|field| field.name.as_str()).collect();
        let message =
            format!("expected a column that is an input of the plugin, came {}", names.join(", "));
        return Err(Failure::new(message, format!("its inputs are {}", inputs.join(", "))));
    }
    refuse_lacking(inputs, |name| names.iter().any(|there| there == name), "columns")?;
    let read = skewless_offline::read_columns(path, &wanted).map_err(data::failure)?;
    let rows = read.first().map_or(0, Column::len);
    let mut read = wanted.iter().map(|(name, _)| name).zip(read).peekable();
    let columns = inputs.iter().map(|field| match read.next_if(|(name, _)| **name == field.name) {
        Some((_, column)) => column,
        None => {
            let mut missing = Column::new(field.ty);
            missing.push_nulls(rows);
            missing
        }
    });
    Ok((rows, columns.collect()))
}

/// Whether NaN or an infinity stands in JSON as if it were a number, as Python and JavaScript write them.
fn has_bare_float(text: &str) -> bool {
    let words = text.split([',', ':', '[', ']', '}']);
    let mut bare = words.map(|word| word.trim().trim_start_matches('-').to_ascii_lowercase());
    bare.any(|word| ["nan", "inf", "infinity"].contains(&word.as_str()))
}

/// The objects of an array, or those that stand one after the other.
fn objects(text: &str) -> anyhow::Result<Vec<Map<String, Json>>> {
    let mut rows = Vec::new();
    let mut json = serde_json::Deserializer::from_str(text);
    let read = if text.trim_start().starts_with('[') {
        let read = json.deserialize_seq(Objects(&mut rows));
        if read.is_ok() {
            json.end()?;
        }
        read
    } else {
        json.into_iter().try_for_each(|row| row.map(|row| rows.push(row)))
    };
    read.with_context(|| format!("expected JSON in row {} (counted from 0)", rows.len()))?;
    Ok(rows)
}

/// Takes the objects of an array, so that those before one that can't be read are known.
struct Objects<'a>(&'a mut Vec<Map<String, Json>>);

impl<'de> Visitor<'de> for Objects<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element()? {
            self.0.push(row);
        }
        Ok(())
    }
}

fn from_json(text: &str, inputs: &[Field]) -> Outcome<(usize, Vec<Column>)> {
    let next = || if has_bare_float(text) { FLOATS } else { ROWS };
    let rows = objects(text).or_next(next)?;
    let mut columns: Vec<Column> = inputs.iter().map(|field| Column::new(field.ty)).collect();
    for (number, row) in rows.iter().enumerate() {
        if let Some(unknown) =
            row.keys().find(|name| !inputs.iter().any(|field| &field.name == *name))
        {
            let names: Vec<_> = inputs.iter().map(|field| field.name.as_str()).collect();
            let message =
                format!("row {number} (counted from 0): the plugin has no input `{unknown}`");
            return Err(Failure::new(message, format!("its inputs are {}", names.join(", "))));
        }
        for (field, column) in inputs.iter().zip(&mut columns) {
            let cell = row.get(&field.name).unwrap_or(&Json::Null);
            typed::push_json(column, cell).map_err(|error| {
                let name = &field.name;
                let message = format!("row {number} (counted from 0), `{name}`: {error}");
                Failure::new(message, "mend the row")
            })?;
        }
    }
    // After misspelt names, which are the usual cause, were told.
    if !rows.is_empty() {
        refuse_lacking(inputs, |name| rows.iter().any(|row| row.contains_key(name)), "values")?;
    }
    Ok((rows.len(), columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skewless_batch::Type;

    fn inputs() -> Vec<Field> {
        let field = |name: &str, ty| Field {
            name: name.to_owned(),
            ty,
            nullable: true,
            doc: String::new(),
            unit: String::new(),
        };
        vec![field("a", Type::Int64), field("b", Type::Utf8)]
    }

    #[test]
    fn rows_are_an_array_or_lines_and_a_missing_cell_is_null() {
        for text in ["[{\"a\":1},{\"b\":\"x\",\"a\":2}]", "{\"a\":1}\n{\"b\":\"x\",\"a\":2}\n"] {
            let (rows, columns) =
                from_json(text, &inputs()).unwrap_or_else(|failure| panic!("{failure:?}"));
            assert_eq!(rows, 2);
            assert_eq!(
                (0..2).map(|row| show::text(columns[0].value(row))).collect::<Vec<_>>(),
                ["1", "2"]
            );
            assert!(columns[1].is_null(0) && !columns[1].is_null(1));
        }
    }

    /// A null is given knowingly, and a row may lack what another has.
    #[test]
    fn an_input_that_every_row_lacks_is_refused_unless_it_may_be_null() {
        let mut inputs = inputs();
        inputs[0].nullable = false;
        for text in ["{\"a\":1}", "{\"a\":null}", "{\"b\":\"x\"}{\"a\":1}", "[]", ""] {
            assert!(from_json(text, &inputs).is_ok(), "{text}");
        }
        let Err(Failure::Failed { error, next }) = from_json("{\"b\":\"x\"}{}", &inputs) else {
            panic!("no row has `a`");
        };
        let expected = "expected values for all inputs that can't be null, came none for `a`";
        assert_eq!(error.to_string(), expected);
        let next = next.unwrap_or_default();
        assert_eq!(next, "its inputs are a (int64), b (utf8?); give nulls if they are meant");
    }

    #[test]
    fn a_wrong_row_is_named() {
        for (text, part) in [
            ("{\"c\":1}", "no input `c`"),
            ("{\"a\":1}{\"a\":\"x\"}", "row 1 (counted from 0), `a`: expected int64"),
            ("{\"a\":\"12\"}", "row 0 (counted from 0), `a`: expected int64, came `\"12\"`"),
            ("{\"a\":1} {\"a\":\n", "expected JSON in row 1 (counted from 0)"),
            ("[{\"a\":1},{\"a\":2},{\"a\":]", "expected JSON in row 2 (counted from 0)"),
            ("[{\"a\":1},7]", "expected JSON in row 1 (counted from 0)"),
            ("[{\"a\":1}] x", "trailing characters"),
            ("{\"a\": NaN}", "as strings"),
            ("[{\"b\":\"x\",\"a\":-Infinity}]", "as strings"),
            ("{\"b\":\"NaN\", a}", "give a JSON array of objects"),
        ] {
            let failure = from_json(text, &inputs()).err();
            assert!(format!("{failure:?}").contains(part), "{failure:?}");
        }
    }
}

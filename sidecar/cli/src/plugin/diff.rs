//! `skewless plugin diff`: what two versions of a plugin give for the same rows, and where they differ.

use std::path::{Path, PathBuf};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value as Json, json};
use skewless_batch::{Column, ColumnView, Field, Type, Value};
use skewless_engine::{Engine, Plugin, PluginOutput, Worker, golden};
use skewless_offline::CancelFlag;

use super::run::from_file;
use crate::exit::{Failure, Outcome};
use crate::interrupt;
use crate::output::say;
use crate::progress::Bar;
use crate::settings::{self, Settings};
use crate::show;

/// Show where two versions of a plugin give different outputs for the same rows
///
/// Rows come from a Parquet file, or as JSON, as for `skewless plugin run`; each version takes the inputs it has. Outputs
/// are compared by name, to the last bit. Shows for each how many rows differ and by how much at most, the first of
/// them, counted from 0, and how the values of both are spread. Ends with 0 if every output of every row is the same,
/// with 1 if not.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  skewless plugin diff old/basket.wasm plugins/basket.wasm --rows data/orders.parquet"
)]
pub(crate) struct Args {
    /// The .wasm file of the old version
    old: PathBuf,
    /// The .wasm file of the new version
    new: PathBuf,
    /// A .parquet file or JSON
    #[arg(long, value_name = "FILE")]
    rows: PathBuf,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Rows that differ and are shown of each output.
const ROWS_SHOWN: usize = 3;
/// Bytes of a value that is shown.
const SHOWN_BYTES_MAX: usize = 256;

pub(crate) fn run(args: &Args) -> Outcome {
    let config = settings::read(&args.settings, [])?;
    let (engine, _ticker) = super::engine(&config)?;
    let load = |path: &Path| super::load(&engine, path, &config.cache_dir);
    let (old, new) = (load(&args.old)?, load(&args.new)?);
    let inputs = inputs(&old, &new)?;
    let (rows, columns) = from_file(&args.rows, &inputs)?;
    if rows == 0 {
        let message = format!("expected rows in {}, came none", show::path(&args.rows));
        return Err(Failure::new(message, "give rows: two versions are the same for none"));
    }
    let mut report = Report::new(&old, &new);
    compare(&engine, [&old, &new], &inputs, rows, &columns, &mut report)?;
    let given = Given { rows, inputs: &inputs, columns: &columns };
    if args.json {
        say!("{:#}", report.to_json([&old, &new], &given))?;
    } else {
        print(&report, [&old, &new], &given)?;
    }
    if report.same() {
        return Ok(());
    }
    let rows = show::count(rows as u64, "row", "rows");
    let came = match report.rows_differ {
        0 => "another set of outputs".to_owned(),
        differ => format!("others: {} of {rows} differ", show::thousands(differ)),
    };
    Err(Failure::new(
        format!("expected the same outputs, came {came}"),
        "if they are meant to, a new backfill takes them over; `skewless diff` tells which services",
    ))
}

/// The rows that both were given.
struct Given<'a> {
    rows: usize,
    inputs: &'a [Field],
    columns: &'a [Column],
}

/// What differs, for a person.
fn print(report: &Report, [old, new]: [&Plugin; 2], given: &Given<'_>) -> Outcome {
    for (word, plugin) in [("old", old), ("new", new)] {
        let signature = plugin.signature();
        say!("{word} {} {}, sha256:{}", signature.name, signature.version, plugin.digest())?;
    }
    for (word, here, there) in [("gone", old, new), ("new", new, old)] {
        for field in lacking(here, there) {
            say!("{word}: input {} ({})", field.name, field.ty)?;
        }
    }
    report.print(given)?;
    if report.same() {
        say!("no difference in {}", show::count(given.rows as u64, "row", "rows"))?;
    }
    Ok(())
}

/// The inputs of one that the other hasn't.
fn lacking<'a>(here: &'a Plugin, there: &'a Plugin) -> impl Iterator<Item = &'a Field> {
    let lacks = |field: &&Field| there.signature().input_index(&field.name).is_none();
    here.signature().inputs.iter().filter(lacks)
}

/// The inputs of both, each once.
fn inputs(old: &Plugin, new: &Plugin) -> Outcome<Vec<Field>> {
    let mut inputs = old.signature().inputs.clone();
    for field in &new.signature().inputs {
        match inputs.iter_mut().find(|input| input.name == field.name) {
            None => inputs.push(field.clone()),
            Some(input) if input.ty == field.ty => input.nullable &= field.nullable,
            Some(input) => {
                let message = format!(
                    "expected input `{}` of one type, came {} in the old version, {} in the new one",
                    field.name, input.ty, field.ty
                );
                let next =
                    "no row fits both; run each with `skewless plugin run` on rows of its own";
                return Err(Failure::new(message, next));
            }
        }
    }
    Ok(inputs)
}

/// Runs all rows through both, some at a time.
fn compare(
    engine: &Engine,
    plugins: [&Plugin; 2],
    inputs: &[Field],
    rows: usize,
    columns: &[Column],
    report: &mut Report,
) -> Outcome {
    let cancel = interrupt::flag()?;
    let bar = Bar::new();
    let mut workers = plugins.map(|_| Worker::stoppable(engine, cancel.shared()));
    let step = engine.config().rows_max;
    for start in (0..rows).step_by(step) {
        let range = start..rows.min(start + step);
        let mut outputs = Vec::with_capacity(2);
        for (plugin, worker) in plugins.iter().zip(&mut workers) {
            let given = plugin.signature().inputs.iter().map(|field| {
                let at = inputs.iter().position(|input| input.name == field.name);
                let column = &columns[at.expect("all inputs of both are among them")];
                let mut part = Column::with_capacity(column.ty(), range.len());
                part.append(&column.view(), range.clone());
                part
            });
            let given: Vec<Column> = given.collect();
            let views: Vec<ColumnView<'_>> = given.iter().map(Column::view).collect();
            let output = worker.run_rows(plugin, range.len(), &views);
            outputs.push(stopped(&cancel, output)?);
        }
        report.add(start, &outputs[0], &outputs[1]);
        bar.show("comparing", range.end as u64, rows as u64);
    }
    bar.clear();
    Ok(())
}

/// The result, unless somebody has stopped it: then rows may say so instead of what they are.
fn stopped<T, E: Into<anyhow::Error>>(cancel: &CancelFlag, result: Result<T, E>) -> Outcome<T> {
    if cancel.is_cancelled() {
        return Err(Failure::Interrupted);
    }
    Ok(result?)
}

/// What differs.
struct Report {
    outputs: Vec<Compared>,
    /// Outputs that only one version has, and those of another type: name, old and new type.
    apart: Vec<(String, Option<Type>, Option<Type>)>,
    /// The first rows of which one failed, or both otherwise: row, old and new message.
    errors: Vec<(usize, Option<String>, Option<String>)>,
    errors_differ: u64,
    rows_differ: u64,
}

/// An output that both versions have.
struct Compared {
    name: String,
    ty: Type,
    old: usize,
    new: usize,
    differ: u64,
    /// The first rows that differ: row, old and new value as JSON.
    first: Vec<(usize, Json, Json)>,
    /// The largest differences, with their rows.
    absolute: Option<(f64, usize)>,
    relative: Option<(f64, usize)>,
    spread: [Spread; 2],
}

/// How numbers are spread.
#[derive(Default)]
struct Spread {
    nulls: u64,
    numbers: u64,
    sum: f64,
    range: Option<(f64, f64)>,
}

impl Report {
    fn new(old: &Plugin, new: &Plugin) -> Self {
        let (old, new) = (&old.signature().outputs, &new.signature().outputs);
        let position = |of: &[Field], name: &str| of.iter().position(|field| field.name == name);
        let mut report = Self {
            outputs: Vec::new(),
            apart: Vec::new(),
            errors: Vec::new(),
            errors_differ: 0,
            rows_differ: 0,
        };
        for (at, field) in old.iter().enumerate() {
            match position(new, &field.name) {
                None => report.apart.push((field.name.clone(), Some(field.ty), None)),
                Some(there) if new[there].ty == field.ty => report.outputs.push(Compared {
                    name: field.name.clone(),
                    ty: field.ty,
                    old: at,
                    new: there,
                    differ: 0,
                    first: Vec::new(),
                    absolute: None,
                    relative: None,
                    spread: Default::default(),
                }),
                Some(there) => {
                    let (was, is) = (Some(field.ty), Some(new[there].ty));
                    report.apart.push((field.name.clone(), was, is));
                }
            }
        }
        for field in new.iter().filter(|field| position(old, &field.name).is_none()) {
            report.apart.push((field.name.clone(), None, Some(field.ty)));
        }
        report
    }

    fn same(&self) -> bool {
        self.rows_differ == 0 && self.apart.is_empty()
    }

    /// Adds rows that begin at `start`.
    fn add(&mut self, start: usize, old: &PluginOutput, new: &PluginOutput) {
        for at in 0..old.errors.len() {
            let (row, mut differs) = (start + at, false);
            if old.errors[at] != new.errors[at] {
                differs = true;
                self.errors_differ += 1;
                if self.errors.len() < ROWS_SHOWN {
                    self.errors.push((row, old.errors[at].clone(), new.errors[at].clone()));
                }
            }
            for output in &mut self.outputs {
                let (was, is) =
                    (old.columns[output.old].value(at), new.columns[output.new].value(at));
                differs |= output.add(row, was, is);
            }
            self.rows_differ += u64::from(differs);
        }
    }

    fn print(&self, given: &Given<'_>) -> Outcome {
        for (name, was, is) in &self.apart {
            match (was, is) {
                (Some(was), Some(is)) => say!("another type: output {name} ({was} -> {is})")?,
                (Some(was), None) => say!("gone: output {name} ({was})")?,
                (None, Some(is)) => say!("new: output {name} ({is})")?,
                (None, None) => {}
            }
        }
        say!("")?;
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header([
            "output",
            "rows that differ",
            "largest difference",
            "relative",
            "nulls",
            "min",
            "mean",
            "max",
        ]);
        for output in &self.outputs {
            table.add_row(output.line());
        }
        say!("{table}")?;
        if self.errors_differ > 0 {
            let of = show::count(given.rows as u64, "row", "rows");
            say!("errors differ in {} of {of}", show::thousands(self.errors_differ))?;
        }
        let row_shown = |row: usize| golden::row(given.inputs, given.columns, row, SHOWN_BYTES_MAX);
        let told = |error: &Option<String>| {
            error.as_ref().map_or_else(|| "no error".to_owned(), |error| format!("`{error}`"))
        };
        for (row, was, is) in &self.errors {
            say!("row {row} {}\n  error: {} -> {}", row_shown(*row), told(was), told(is))?;
        }
        for output in &self.outputs {
            for (row, was, is) in &output.first {
                let (name, was, is) = (&output.name, shown(was), shown(is));
                say!("row {row} {}\n  {name}: {was} -> {is}", row_shown(*row))?;
            }
        }
        Ok(())
    }

    /// The same for a program, with whole values.
    fn to_json(&self, [old, new]: [&Plugin; 2], given: &Given<'_>) -> Json {
        let plugin = |plugin: &Plugin| {
            let signature = plugin.signature();
            let digest = plugin.digest().to_string();
            json!({ "name": signature.name, "version": signature.version, "digest": digest })
        };
        let field = |field: &Field| json!({ "name": field.name, "type": field.ty.to_string() });
        let row = |row: usize| {
            let cells = given.inputs.iter().zip(given.columns);
            let cell = |(field, column): (&Field, &Column)| {
                (field.name.clone(), show::json(column.value(row)))
            };
            Json::Object(cells.map(cell).collect())
        };
        let first = |(at, was, is): &(usize, Json, Json)| json!({ "row": at, "inputs": row(*at), "old": was, "new": is });
        let error = |(at, was, is): &(usize, Option<String>, Option<String>)| json!({ "row": at, "inputs": row(*at), "old": was, "new": is });
        let output = |output: &Compared| {
            json!({
                "name": output.name,
                "type": output.ty.to_string(),
                "rows_differ": output.differ,
                "largest_difference": output.absolute.map(largest),
                "largest_relative": output.relative.map(largest),
                "old": output.spread[0].to_json(),
                "new": output.spread[1].to_json(),
                "first": output.first.iter().map(first).collect::<Vec<_>>(),
            })
        };
        let apart = |(name, was, is): &(String, Option<Type>, Option<Type>)| {
            let ty = |ty: &Option<Type>| ty.map(|ty| ty.to_string());
            json!({ "name": name, "old": ty(was), "new": ty(is) })
        };
        json!({
            "old": plugin(old),
            "new": plugin(new),
            "same": self.same(),
            "rows": given.rows,
            "rows_differ": self.rows_differ,
            "errors_differ": self.errors_differ,
            "errors": self.errors.iter().map(error).collect::<Vec<_>>(),
            "outputs": self.outputs.iter().map(output).collect::<Vec<_>>(),
            "other_outputs": self.apart.iter().map(apart).collect::<Vec<_>>(),
            "inputs_gone": lacking(old, new).map(field).collect::<Vec<_>>(),
            "inputs_new": lacking(new, old).map(field).collect::<Vec<_>>(),
        })
    }
}

impl Compared {
    /// Adds a row; says whether it differs.
    fn add(&mut self, row: usize, was: Value<'_>, is: Value<'_>) -> bool {
        self.spread[0].add(was);
        self.spread[1].add(is);
        if was == is {
            return false;
        }
        self.differ += 1;
        if self.first.len() < ROWS_SHOWN {
            self.first.push((row, show::json(was), show::json(is)));
        }
        if let (Some(was), Some(is)) = (number(was), number(is)) {
            let absolute = (was - is).abs();
            let largest = was.abs().max(is.abs());
            keep_larger(&mut self.absolute, absolute, row);
            keep_larger(
                &mut self.relative,
                if largest > 0.0 { absolute / largest } else { 0.0 },
                row,
            );
        }
        true
    }

    fn line(&self) -> [String; 8] {
        let [old, new] = &self.spread;
        let none = || "-".to_owned();
        let at = |text: String, row: usize| format!("{text} (row {row})");
        let pair = |of: fn(&Spread) -> Option<f64>| match (of(old), of(new)) {
            (None, None) => none(),
            (was, is) => {
                let told =
                    |value: Option<f64>| value.map_or_else(none, |value| format!("{value:?}"));
                let (was, is) = (told(was), told(is));
                if was == is { was } else { format!("{was} -> {is}") }
            }
        };
        let nulls = if old.nulls == new.nulls {
            show::thousands(old.nulls)
        } else {
            format!("{} -> {}", show::thousands(old.nulls), show::thousands(new.nulls))
        };
        [
            self.name.clone(),
            show::thousands(self.differ),
            self.absolute.map_or_else(none, |(by, row)| at(format!("{by:?}"), row)),
            self.relative.map_or_else(none, |(by, row)| at(format!("{by:.3e}"), row)),
            nulls,
            pair(|spread| spread.range.map(|(min, _)| min)),
            pair(Spread::mean),
            pair(|spread| spread.range.map(|(_, max)| max)),
        ]
    }
}

impl Spread {
    fn add(&mut self, value: Value<'_>) {
        self.nulls += u64::from(value.is_null());
        let Some(number) = number(value) else { return };
        self.numbers += 1;
        self.sum += number;
        let (min, max) = self.range.unwrap_or((number, number));
        self.range = Some((min.min(number), max.max(number)));
    }

    fn mean(&self) -> Option<f64> {
        (self.numbers > 0).then(|| self.sum / self.numbers as f64)
    }

    fn to_json(&self) -> Json {
        let (min, max) = (self.range.map(|(min, _)| min), self.range.map(|(_, max)| max));
        json!({ "nulls": self.nulls, "min": min, "mean": self.mean(), "max": max })
    }
}

/// A value as a finite number, as far as it is one; of bools the mean is the share that is true.
fn number(value: Value<'_>) -> Option<f64> {
    let number = match value {
        Value::Bool(value) => f64::from(u8::from(value)),
        Value::Int32(value) => f64::from(value),
        Value::Int64(value) | Value::Timestamp(value) => value as f64,
        Value::Float32(value) => f64::from(value),
        Value::Float64(value) => value,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn keep_larger(largest: &mut Option<(f64, usize)>, by: f64, row: usize) {
    if largest.is_none_or(|(most, _)| by > most) {
        *largest = Some((by, row));
    }
}

/// A difference and where it is.
fn largest((by, row): (f64, usize)) -> Json {
    json!({ "by": by, "row": row })
}

/// A value as text, cut where it would fill the screen.
fn shown(value: &Json) -> String {
    let text = value.to_string();
    if text.len() > SHOWN_BYTES_MAX { format!("... ({} bytes)", text.len()) } else { text }
}

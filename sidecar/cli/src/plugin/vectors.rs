//! The test vectors of the batch layout (`sdk/vectors`) through a plugin that gives back what it takes, in any language: what
//! comes out must be what went in. Not what makes the vectors, nor what holds them to their descriptions: the batch crate's tests do.
//!
//! Limit: [`VECTOR_BYTES_MAX`] bytes of one file.

use std::path::{Path, PathBuf};

use anyhow::Context;
use skewless_batch::{BatchView, Column, ColumnView, Field, Signature};
use skewless_catalog::InstancePolicy;
use skewless_engine::certify::{Values, columns};
use skewless_engine::{Engine, Lane, Plugin, Worker};

use crate::exit::{Failure, Next, Outcome};
use crate::output::say;
use crate::show;

/// Bytes of one vector's file; the longest has some 10,000.
const VECTOR_BYTES_MAX: u64 = 1 << 20;
/// Rows of the last batch, in one call if the engine's `rows_max` allows it.
const MANY_ROWS: usize = 65_536;
/// Bytes of that batch.
const BATCH_BYTES_MAX: usize = 256 << 20;
/// Bytes of a column of the one with values at the ends of their types. Half of them are those of a few long ones, which
/// are in one call.
const EXTREME_BYTES_MAX: usize = 2 << 20;
/// What the values that no vector gives are made from.
const SEED: u64 = 1;
/// Each of them; of a component, which is a new instance in every call but of the second, the first would only be the third once more.
const POLICIES: [InstancePolicy; 3] =
    [InstancePolicy::Reset, InstancePolicy::Reused, InstancePolicy::Fresh];

/// Runs every vector of a folder; fails at the first that comes back otherwise.
pub(super) fn run(folder: &Path, engine: &Engine, plugin: &Plugin) -> Outcome {
    let signature = plugin.signature();
    let lacks = |output: &&Field| {
        !signature.inputs.iter().any(|input| input.name == output.name && input.ty == output.ty)
    };
    if let Some(output) = signature.outputs.iter().find(lacks) {
        let message = format!(
            "expected a plugin that gives back what it takes, came `{}` with an output `{}` ({}) that is no input",
            signature.name, output.name, output.ty
        );
        return Err(Failure::new(
            message,
            "leave --vectors out, or give such a plugin, as tests/programs/echo is",
        ));
    }
    let mut worker = Worker::new(engine);
    let (files, mut columns_run) = (files(folder)?, 0);
    for file in &files {
        let bytes = unhex(file)?;
        let batch = BatchView::parse(&bytes)
            .with_context(|| show::path(file))
            .or_next(|| "give the folder sdk/vectors as it is in the source of Skewless")?;
        for index in 0..batch.columns() {
            let given = batch.column(index);
            let takes = |field: &Field| field.ty == given.ty() && field.nullable;
            let Some(input) = signature.inputs.iter().position(takes) else {
                return Err(Failure::new(
                    format!(
                        "expected a nullable input of every type of the vectors, came `{}` without one of {}, which {} needs",
                        signature.name,
                        given.ty(),
                        show::path(file)
                    ),
                    "give the plugin one more input, and an output of the same name and type",
                ));
            };
            let inputs = around(signature, input, &given);
            same(&mut worker, plugin, given.len(), &inputs).map_err(|why| different(file, &why))?;
            columns_run += 1;
        }
    }
    let inputs = &signature.inputs;
    let everyday = columns(inputs, MANY_ROWS, Values::Everyday, SEED, BATCH_BYTES_MAX);
    same(&mut worker, plugin, everyday.0, &everyday.1)
        .map_err(|why| different(Path::new("a batch of many rows"), &why))?;
    let rows = everyday.0;
    same(&mut worker, plugin, rows, &extreme(inputs, rows))
        .map_err(|why| different(Path::new("a batch of many extreme rows"), &why))?;
    let (name, files) = ("vectors", show::count(files.len() as u64, "vector", "vectors"));
    let ran = show::count(columns_run, "column", "columns");
    let rows = show::thousands(rows as u64);
    say!("{name:<17}{:<14}{ran} of {files}, and {rows} rows", "pass")
}

fn different(file: &Path, why: &str) -> Failure {
    Failure::new(
        format!("expected {} to come back as it is, came otherwise: {why}", show::path(file)),
        "mend how the plugin's language reads and writes batches; sdk/wit/CORE.md, section 4, has the layout",
    )
}

/// The inputs of a batch of which a vector gives one: everyday values in those that may not be null, nulls in the others.
fn around(signature: &Signature, at: usize, given: &ColumnView<'_>) -> Vec<Column> {
    let rows = given.len();
    let fill = |(index, field): (usize, &Field)| {
        let mut column = Column::new(field.ty);
        if index == at {
            column.append(given, 0..rows);
            // As the host makes them on both sides.
            column.canonicalize_nans();
        } else if field.nullable {
            (0..rows).for_each(|_| column.push_null());
        } else {
            let field = std::slice::from_ref(field);
            let (_, made) = columns(field, rows, Values::Everyday, SEED, BATCH_BYTES_MAX);
            made.into_iter().for_each(|made| column = made);
        }
        column
    };
    signature.inputs.iter().enumerate().map(fill).collect()
}

/// Many rows with values at the ends of their types and nulls, but where none may be: that would make all outputs null.
fn extreme(inputs: &[Field], rows: usize) -> Vec<Column> {
    let column = |(number, field): (u64, &Field)| {
        let values = if field.nullable { Values::Extreme } else { Values::Everyday };
        let field = std::slice::from_ref(field);
        let (_, mut made) = columns(field, rows, values, SEED + number, EXTREME_BYTES_MAX);
        made.pop()
    };
    (0..).zip(inputs).filter_map(column).collect()
}

/// Runs a batch under every policy and compares what comes back; what is different otherwise.
fn same(
    worker: &mut Worker,
    plugin: &Plugin,
    rows: usize,
    inputs: &[Column],
) -> Result<(), String> {
    let signature = plugin.signature();
    let views: Vec<ColumnView<'_>> = inputs.iter().map(Column::view).collect();
    let first = usize::from(plugin.facts().lane == Lane::Component);
    for policy in POLICIES.into_iter().skip(first) {
        if rows == 0 {
            worker.run_no_rows(plugin, policy).map_err(|error| format!("{error} ({policy:?})"))?;
        }
        let came = worker
            .run_plugin_as(plugin, policy, rows, &views)
            .map_err(|error| error.to_string())?;
        if let Some((row, error)) =
            came.errors.iter().enumerate().find_map(|(row, error)| Some((row, error.as_ref()?)))
        {
            return Err(format!("row {row} failed ({policy:?}): {error}"));
        }
        for (field, column) in signature.outputs.iter().zip(&came.columns) {
            let Some(input) = signature.input_index(&field.name) else { continue };
            let (column, given) = (column.view(), views[input]);
            let (mut here, mut there) = (Vec::new(), Vec::new());
            for row in 0..rows {
                here.clear();
                there.clear();
                column.value(row).canonical_bytes(&mut here);
                given.value(row).canonical_bytes(&mut there);
                if here != there {
                    let (came, expected) =
                        (show::json(column.value(row)), show::json(given.value(row)));
                    return Err(format!(
                        "{} of row {row} came as {came}, expected {expected} ({policy:?})",
                        field.name
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The valid vectors of the folder, or of a folder that is itself one of them.
fn files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let valid =
        if folder.join("valid").is_dir() { folder.join("valid") } else { folder.to_owned() };
    let entries = std::fs::read_dir(&valid)
        .with_context(|| format!("can't read {}", show::path(&valid)))
        .or_next(|| "give the folder sdk/vectors of the source of Skewless")?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "hex")).collect();
    files.sort();
    if files.is_empty() {
        let message = format!("expected test vectors (*.hex) in {}, came none", show::path(&valid));
        return Err(Failure::new(message, "give the folder sdk/vectors of the source of Skewless"));
    }
    Ok(files)
}

/// The bytes of a file of hexadecimal digits.
fn unhex(path: &Path) -> Outcome<Vec<u8>> {
    let wrong = |came: String| {
        let message = format!("expected hexadecimal digits in {}, came {came}", show::path(path));
        Failure::new(message, "give the folder sdk/vectors as it is in the source of Skewless")
    };
    let bytes = path.metadata().map_or(0, |file| file.len());
    if bytes > VECTOR_BYTES_MAX {
        return Err(wrong(format!(
            "{bytes} bytes, more than {VECTOR_BYTES_MAX} (VECTOR_BYTES_MAX)"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
    bytes
        .filter(|_| digits.len().is_multiple_of(2))
        .ok_or_else(|| wrong("something else".to_owned()))
}

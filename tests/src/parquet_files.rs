//! Stories as Parquet files and backfills' outputs as columns, by arrow-rs alone: it shares no line
//! with the offline room's own conversion, so it would notice a change there.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, FixedSizeListBuilder, Float32Builder,
    Float64Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{
    Field, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt8Type,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use skewless_batch::{Column, Type, Value};

use crate::random::Random;
use crate::story::{Asks, History, Named};

/// Writes a view's history into `files` files, rows shuffled over all of them. Rows of one key that are
/// tied on event and known time keep their order of arrival, which is what settles the tie.
pub fn write_history(folder: &Path, history: &History, files: usize, seed: u64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let order = shuffled(history, seed);
    // A history in which nothing happened is one file without rows.
    let (chunk, none) = (order.len().div_ceil(files).max(1), [&order[..0]]);
    let parts = order.chunks(chunk).chain(none.into_iter().filter(|_| order.is_empty()));
    for (number, rows) in parts.enumerate() {
        let mut columns = Vec::new();
        for (name, column) in history.keys.iter().chain(&history.features) {
            columns.push((name.clone(), array(column, rows)?));
        }
        columns.push(("happened".to_owned(), times(&history.event_us, rows)));
        columns.push(("arrived".to_owned(), times(&history.known_us, rows)));
        let mut gone = BooleanBuilder::new();
        rows.iter().for_each(|row| gone.append_value(history.deleted[*row]));
        columns.push(("gone".to_owned(), Arc::new(gone.finish())));
        write(&folder.join(format!("part-{number}.parquet")), columns)?;
    }
    Ok(())
}

/// Writes the questions as a spine.
pub fn write_spine(path: &Path, asks: &Asks) -> Result<()> {
    let rows: Vec<usize> = (0..asks.t_us.len()).collect();
    let mut columns = vec![("event_timestamp".to_owned(), times(&asks.t_us, &rows))];
    for (name, column) in asks.keys.iter().chain(&asks.request) {
        columns.push((name.clone(), array(column, &rows)?));
    }
    write(path, columns)
}

/// One feature as a backfill wrote it.
pub struct Written {
    /// The feature's name.
    pub name: String,
    /// Its values.
    pub column: Column,
    /// Its statuses, a byte a row.
    pub statuses: Vec<u8>,
}

/// The features of a backfill's output, each with its `<feature>__status` column.
pub fn read_features(path: &Path, wanted: &[(String, Type)]) -> Result<Vec<Written>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()?;
    let mut features: Vec<Written> = wanted
        .iter()
        .map(|(name, ty)| Written {
            name: name.clone(),
            column: Column::new(*ty),
            statuses: Vec::new(),
        })
        .collect();
    for batch in reader {
        let batch = batch?;
        let named = |name: &str| {
            let has = || format!("{} has no column {name}", path.display());
            batch.column_by_name(name).cloned().with_context(has)
        };
        for feature in &mut features {
            append(&named(&feature.name)?, &mut feature.column)
                .with_context(|| feature.name.clone())?;
            let statuses = named(&format!("{}__status", feature.name))?;
            let statuses = statuses.as_primitive_opt::<UInt8Type>().context("a uint8 status")?;
            feature.statuses.extend(statuses.values().iter());
        }
    }
    Ok(features)
}

fn shuffled(history: &History, seed: u64) -> Vec<usize> {
    let mut random = Random::new(seed);
    let mut order: Vec<usize> = (0..history.event_us.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at as u64 + 1) as usize);
    }
    // Within each group of ties, the places stay and the rows go back to their order of arrival.
    let mut groups = std::collections::BTreeMap::<_, Vec<usize>>::new();
    for (place, row) in order.iter().enumerate() {
        let mut key = Vec::new();
        for (_, column) in &history.keys {
            column.value(*row).canonical_bytes(&mut key);
        }
        let tie = (key, history.event_us[*row], history.known_us[*row]);
        groups.entry(tie).or_default().push(place);
    }
    for places in groups.values() {
        let mut rows: Vec<usize> = places.iter().map(|place| order[*place]).collect();
        rows.sort_unstable();
        for (place, row) in places.iter().zip(rows) {
            order[*place] = row;
        }
    }
    order
}

fn write(path: &Path, columns: Vec<(String, ArrayRef)>) -> Result<()> {
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

fn times(times_us: &[i64], rows: &[usize]) -> ArrayRef {
    let mut builder = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    rows.iter().for_each(|row| builder.append_value(times_us[*row]));
    Arc::new(builder.finish())
}

/// The given rows of a column as an Arrow array.
fn array(column: &Column, rows: &[usize]) -> Result<ArrayRef> {
    macro_rules! plain {
        ($builder:expr, $variant:ident) => {{
            let mut builder = $builder;
            for row in rows {
                match column.value(*row) {
                    Value::$variant(value) => builder.append_value(value),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    macro_rules! list {
        ($values:expr, $variant:ident) => {{
            let mut builder = ListBuilder::new($values);
            for row in rows {
                let Value::$variant(list) = column.value(*row) else {
                    builder.append_null();
                    continue;
                };
                list.iter().for_each(|value| builder.values().append_value(value));
                builder.append(true);
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    Ok(match column.ty() {
        Type::Bool => plain!(BooleanBuilder::new(), Bool),
        Type::Int32 => plain!(Int32Builder::new(), Int32),
        Type::Int64 => plain!(Int64Builder::new(), Int64),
        Type::Float32 => plain!(Float32Builder::new(), Float32),
        Type::Float64 => plain!(Float64Builder::new(), Float64),
        Type::Utf8 => plain!(StringBuilder::new(), Utf8),
        Type::Binary => plain!(BinaryBuilder::new(), Binary),
        Type::Timestamp => {
            plain!(TimestampMicrosecondBuilder::new().with_timezone("UTC"), Timestamp)
        }
        Type::Embedding(dim) => embeddings(column, rows, i32::try_from(dim)?),
        Type::ListInt64 => list!(Int64Builder::new(), ListInt64),
        Type::ListFloat64 => list!(Float64Builder::new(), ListFloat64),
        Type::ListUtf8 => list!(StringBuilder::new(), ListUtf8),
    })
}

fn embeddings(column: &Column, rows: &[usize], dim: i32) -> ArrayRef {
    let field = Field::new("item", arrow::datatypes::DataType::Float32, true);
    let mut builder = FixedSizeListBuilder::new(Float32Builder::new(), dim).with_field(field);
    for row in rows {
        match column.value(*row) {
            Value::Embedding(value) => {
                value.iter().for_each(|value| builder.values().append_value(value));
                builder.append(true);
            }
            _ => {
                (0..dim).for_each(|_| builder.values().append_value(0.0));
                builder.append(false);
            }
        }
    }
    Arc::new(builder.finish())
}

/// Appends an Arrow array of the type that the contract names for the column's.
fn append(array: &ArrayRef, column: &mut Column) -> Result<()> {
    let of = || format!("{} came as {}", column_type(column), array.data_type());
    macro_rules! push {
        (|$row:ident| $push:expr) => {
            for $row in 0..array.len() {
                if array.is_null($row) { column.push_null() } else { $push }
            }
        };
    }
    let missing = of();
    match column.ty() {
        Type::Bool => {
            let values = array.as_boolean_opt().context(missing)?;
            push!(|row| column.push_bool(values.value(row)));
        }
        Type::Int32 => {
            let values = array.as_primitive_opt::<Int32Type>().context(missing)?;
            push!(|row| column.push_i32(values.value(row)));
        }
        Type::Int64 => {
            let values = array.as_primitive_opt::<Int64Type>().context(missing)?;
            push!(|row| column.push_i64(values.value(row)));
        }
        Type::Float32 => {
            let values = array.as_primitive_opt::<Float32Type>().context(missing)?;
            push!(|row| column.push_f32(values.value(row)));
        }
        Type::Float64 => {
            let values = array.as_primitive_opt::<Float64Type>().context(missing)?;
            push!(|row| column.push_f64(values.value(row)));
        }
        Type::Utf8 => {
            let values = array.as_string_opt::<i32>().context(missing)?;
            push!(|row| column.push_utf8(values.value(row)));
        }
        Type::Binary => {
            let values = array.as_binary_opt::<i32>().context(missing)?;
            push!(|row| column.push_binary(values.value(row)));
        }
        Type::Timestamp => {
            let values = array.as_primitive_opt::<TimestampMicrosecondType>().context(missing)?;
            push!(|row| column.push_timestamp(values.value(row)));
        }
        Type::Embedding(dim) => {
            let values = array.as_fixed_size_list_opt().context(missing)?;
            ensure!(values.value_length() == i32::try_from(dim)?, "an embedding of another length");
            push!(|row| {
                let value = values.value(row);
                column.push_embedding(value.as_primitive::<Float32Type>().values());
            });
        }
        Type::ListInt64 => {
            let values = array.as_list_opt::<i32>().context(missing)?;
            push!(|row| {
                let value = values.value(row);
                column.push_list_i64(value.as_primitive::<Int64Type>().values());
            });
        }
        Type::ListFloat64 => {
            let values = array.as_list_opt::<i32>().context(missing)?;
            push!(|row| {
                let value = values.value(row);
                column.push_list_f64(value.as_primitive::<Float64Type>().values());
            });
        }
        Type::ListUtf8 => {
            let values = array.as_list_opt::<i32>().context(missing)?;
            push!(|row| {
                let value = values.value(row);
                let texts = value.as_string::<i32>();
                column.push_list_utf8((0..texts.len()).map(|index| texts.value(index)));
            });
        }
    }
    Ok(())
}

fn column_type(column: &Column) -> Type {
    column.ty()
}

/// A column by its name.
pub fn named<'a>(columns: &'a [Named], name: &str) -> Option<&'a Column> {
    columns.iter().find(|(column, _)| column == name).map(|(_, column)| column)
}

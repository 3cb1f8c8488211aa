//! Columns to and from the messages of `skewless.v1`, written against the contract alone, as a
//! client would: it shares no line with the server's own conversion, so it would notice a change.

use anyhow::{Context, Result, bail, ensure};
use skewless_batch::{Column, ColumnView, Type, Value};
use skewless_proto::v1 as pb;

/// Rows `from..to` of a column as a message.
#[must_use]
pub fn to_message(name: &str, column: &ColumnView<'_>, from: usize, to: usize) -> pb::Column {
    let mut message = pb::Column {
        name: name.to_owned(),
        r#type: code(column.ty()) as i32,
        dim: column.ty().dim(),
        ..pb::Column::default()
    };
    let mut validity = vec![0u8; (to - from).div_ceil(8)];
    for (at, row) in (from..to).enumerate() {
        let value = column.value(row);
        if !value.is_null() {
            validity[at / 8] |= 1 << (at % 8);
        }
        push(&mut message, column.ty(), &value);
    }
    if (from..to).any(|row| column.is_null(row)) {
        message.validity = validity.into();
    }
    message
}

fn push(message: &mut pb::Column, ty: Type, value: &Value<'_>) {
    match (ty, value) {
        (Type::Bool, Value::Bool(value)) => message.bools.push(*value),
        (Type::Bool, _) => message.bools.push(false),
        (Type::Int32, Value::Int32(value)) => message.int32s.push(*value),
        (Type::Int32, _) => message.int32s.push(0),
        (Type::Int64, Value::Int64(value)) => message.int64s.push(*value),
        (Type::Int64, _) => message.int64s.push(0),
        (Type::Float32, Value::Float32(value)) => message.float32s.push(*value),
        (Type::Float32, _) => message.float32s.push(0.0),
        (Type::Float64, Value::Float64(value)) => message.float64s.push(*value),
        (Type::Float64, _) => message.float64s.push(0.0),
        (Type::Utf8, Value::Utf8(value)) => message.strings.push((*value).to_owned()),
        (Type::Utf8, _) => message.strings.push(String::new()),
        (Type::Binary, Value::Binary(value)) => message.binaries.push(value.to_vec().into()),
        (Type::Binary, _) => message.binaries.push(Vec::new().into()),
        (Type::Timestamp, Value::Timestamp(value)) => message.timestamps.push(*value),
        (Type::Timestamp, _) => message.timestamps.push(0),
        (Type::Embedding(_), Value::Embedding(value)) => message.float32s.extend(value.iter()),
        (Type::Embedding(dim), _) => {
            message.float32s.extend(std::iter::repeat_n(0.0, dim as usize));
        }
        (Type::ListInt64, Value::ListInt64(value)) => {
            message.lengths.push(value.len() as u32);
            message.int64s.extend(value.iter());
        }
        (Type::ListFloat64, Value::ListFloat64(value)) => {
            message.lengths.push(value.len() as u32);
            message.float64s.extend(value.iter());
        }
        (Type::ListUtf8, Value::ListUtf8(value)) => {
            message.lengths.push(value.len() as u32);
            message.strings.extend(value.iter().map(str::to_owned));
        }
        (Type::ListInt64 | Type::ListFloat64 | Type::ListUtf8, _) => message.lengths.push(0),
    }
}

/// A message's values appended to a column of the same type; `rows` is how many it must have.
pub fn append(message: &pb::Column, rows: usize, column: &mut Column) -> Result<()> {
    let name = &message.name;
    ensure!(message.r#type == code(column.ty()) as i32, "{name} is of another type than asked");
    let valid = |row: usize| {
        message.validity.is_empty() || message.validity[row / 8] & (1 << (row % 8)) != 0
    };
    let mut at = 0; // in the elements of a list
    for row in 0..rows {
        let missing = || format!("{name} has no entry for row {row}");
        let length = message.lengths.get(row).copied().unwrap_or_default() as usize;
        let elements = at..at + length;
        at += length;
        if !valid(row) {
            column.push_null();
            continue;
        }
        match column.ty() {
            Type::Bool => column.push_bool(*message.bools.get(row).with_context(missing)?),
            Type::Int32 => column.push_i32(*message.int32s.get(row).with_context(missing)?),
            Type::Int64 => column.push_i64(*message.int64s.get(row).with_context(missing)?),
            Type::Float32 => column.push_f32(*message.float32s.get(row).with_context(missing)?),
            Type::Float64 => column.push_f64(*message.float64s.get(row).with_context(missing)?),
            Type::Utf8 => column.push_utf8(message.strings.get(row).with_context(missing)?),
            Type::Binary => column.push_binary(message.binaries.get(row).with_context(missing)?),
            Type::Timestamp => {
                column.push_timestamp(*message.timestamps.get(row).with_context(missing)?);
            }
            Type::Embedding(dim) => {
                let dim = dim as usize;
                let values = message.float32s.get(row * dim..(row + 1) * dim);
                column.push_embedding(values.with_context(missing)?);
            }
            Type::ListInt64 => {
                column.push_list_i64(message.int64s.get(elements).with_context(missing)?);
            }
            Type::ListFloat64 => {
                column.push_list_f64(message.float64s.get(elements).with_context(missing)?);
            }
            Type::ListUtf8 => {
                column.push_list_utf8(message.strings.get(elements).with_context(missing)?);
            }
        }
    }
    if rows == 0 && !message.validity.is_empty() {
        bail!("{name} has no row but a validity bitmap");
    }
    Ok(())
}

fn code(ty: Type) -> pb::Type {
    match ty {
        Type::Bool => pb::Type::Bool,
        Type::Int32 => pb::Type::Int32,
        Type::Int64 => pb::Type::Int64,
        Type::Float32 => pb::Type::Float32,
        Type::Float64 => pb::Type::Float64,
        Type::Utf8 => pb::Type::Utf8,
        Type::Binary => pb::Type::Binary,
        Type::Timestamp => pb::Type::Timestamp,
        Type::Embedding(_) => pb::Type::Embedding,
        Type::ListInt64 => pb::Type::ListInt64,
        Type::ListFloat64 => pb::Type::ListFloat64,
        Type::ListUtf8 => pb::Type::ListUtf8,
    }
}

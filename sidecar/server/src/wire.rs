//! Columns between the wire and a batch, believing nothing that came; not which columns a call needs.
//!
//! A message is looked through before it is decoded ([`scan`]), as a few bytes on the wire can ask for
//! much memory: an empty `Column` is 2 bytes there and 300 here. After that every length, dimension,
//! validity bitmap and timestamp is checked against the number of rows, and only then values move.
//!
//! Cost: the scan reads tags and lengths, never values; a column without nulls is copied in one piece.

use skewless_batch::{Column, Doubles, Floats, Ints, Type, Value};
use skewless_catalog::visibility::{TimeOutOfRange, check_time};
use skewless_proto::v1 as pb;

/// What is wrong with something that came over the wire.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    /// More of something than a limit allows; nothing was decoded.
    #[error("expected at most {max} {what} ({limit}), came more")]
    Over {
        /// Of what.
        what: &'static str,
        /// The limit's name.
        limit: &'static str,
        /// The limit.
        max: usize,
    },
    /// The bytes are no message.
    #[error("expected a protobuf message, came: {0}")]
    Malformed(String),
    /// A column has another type than it must have.
    #[error("expected column `{column}` of type {expected}, came {came}")]
    WrongType {
        /// The column.
        column: String,
        /// The declared type.
        expected: Type,
        /// The type that came.
        came: String,
    },
    /// A column that contradicts itself or the number of rows.
    #[error("column `{column}`: {detail}")]
    Column {
        /// The column.
        column: String,
        /// What was expected and what came.
        detail: String,
    },
    /// A timestamp that no calendar of ours has.
    #[error("column `{column}`, row {row}: {error}")]
    Time {
        /// The column.
        column: String,
        /// The row.
        row: usize,
        /// Which time.
        error: TimeOutOfRange,
    },
}

/// How much a message may hold, checked before it is decoded.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimits {
    /// Columns (and other sub-messages).
    pub columns_max: usize,
    /// Strings and byte strings.
    pub text_elements_max: usize,
}

/// Looks through an encoded message without decoding it. `messages` are the numbers of the top-level
/// fields that hold sub-messages.
pub fn scan(bytes: &[u8], messages: &[u32], limits: ScanLimits) -> Result<(), WireError> {
    let (mut columns, mut elements) = (0usize, 0usize);
    for_each_field(bytes, &mut |number, payload| {
        let Some(inner) = payload.filter(|_| messages.contains(&number)) else { return Ok(()) };
        columns += 1;
        if columns > limits.columns_max {
            let (what, max) = ("columns", limits.columns_max);
            return Err(WireError::Over { what, limit: "limits.columns_max", max });
        }
        for_each_field(inner, &mut |_, payload| {
            elements += usize::from(payload.is_some());
            if elements > limits.text_elements_max {
                let (what, max) = ("strings and byte strings", limits.text_elements_max);
                return Err(WireError::Over { what, limit: "limits.text_elements_max", max });
            }
            Ok(())
        })
    })
}

/// Calls `each` with every field's number and, if it is length-delimited, its bytes.
pub(crate) fn for_each_field<'a>(
    mut bytes: &'a [u8],
    each: &mut dyn FnMut(u32, Option<&'a [u8]>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let number = u32::try_from(tag >> 3).map_err(|_| malformed("a field number too large"))?;
        let payload = match tag & 7 {
            0 => varint(&mut bytes).map(|_| None)?,
            1 => take(&mut bytes, 8).map(|_| None)?,
            2 => {
                let len = usize::try_from(varint(&mut bytes)?);
                Some(take(&mut bytes, len.map_err(|_| malformed("a length too large"))?)?)
            }
            5 => take(&mut bytes, 4).map(|_| None)?,
            wire_type => return Err(malformed(&format!("wire type {wire_type}"))),
        };
        each(number, payload)?;
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, WireError> {
    prost::encoding::decode_varint(bytes).map_err(|error| malformed(&error.to_string()))
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], WireError> {
    let (head, tail) =
        bytes.split_at_checked(len).ok_or_else(|| malformed("a field longer than the message"))?;
    *bytes = tail;
    Ok(head)
}

fn malformed(detail: &str) -> WireError {
    WireError::Malformed(detail.to_owned())
}

/// The type a column says it has; an error names the column.
pub fn type_of(column: &pb::Column) -> Result<Type, WireError> {
    let code = u8::try_from(column.r#type).ok();
    let ty = code.and_then(|code| Type::from_code(code, column.dim));
    let ty =
        ty.ok_or_else(|| wrong(column, format!("expected a type, came number {}", column.r#type)))?;
    match ty {
        Type::Embedding(dim) if !(1..=skewless_batch::EMBEDDING_DIM_MAX).contains(&dim) => {
            let max = skewless_batch::EMBEDDING_DIM_MAX;
            Err(wrong(column, format!("expected a dim from 1 to {max}, came {dim}")))
        }
        Type::Embedding(_) => Ok(ty),
        _ if column.dim != 0 => {
            Err(wrong(column, format!("expected no dim for {ty}, came {}", column.dim)))
        }
        _ => Ok(ty),
    }
}

/// How many rows a column claims to have, by its entries.
pub fn rows_of(column: &pb::Column) -> Result<usize, WireError> {
    Ok(match type_of(column)? {
        Type::Bool => column.bools.len(),
        Type::Int32 => column.int32s.len(),
        Type::Int64 => column.int64s.len(),
        Type::Float32 => column.float32s.len(),
        Type::Float64 => column.float64s.len(),
        Type::Utf8 => column.strings.len(),
        Type::Binary => column.binaries.len(),
        Type::Timestamp => column.timestamps.len(),
        Type::Embedding(dim) => column.float32s.len() / dim as usize,
        Type::ListInt64 | Type::ListFloat64 | Type::ListUtf8 => column.lengths.len(),
    })
}

/// Checks a column against its declared type and the number of rows and appends it to `out`, which has
/// that type. Nothing is appended on an error.
pub fn decode_column(column: &pb::Column, rows: usize, out: &mut Column) -> Result<(), WireError> {
    let expected = out.ty();
    let came = type_of(column)?;
    if came != expected {
        let (column, came) = (column.name.clone(), came.to_string());
        return Err(WireError::WrongType { column, expected, came });
    }
    check(column, came, rows).map_err(|error| misplaced(column, came).unwrap_or(error))?;
    append(column, came, rows, out);
    Ok(())
}

/// Whether bit `row` of a bitmap is set; an empty bitmap has every bit set.
fn valid(column: &pb::Column, row: usize) -> bool {
    column.validity.is_empty() || column.validity[row / 8] & (1 << (row % 8)) != 0
}

fn check(column: &pb::Column, ty: Type, rows: usize) -> Result<(), WireError> {
    let bitmap = rows.div_ceil(8);
    if !column.validity.is_empty() && column.validity.len() != bitmap {
        let came = column.validity.len();
        return Err(wrong(
            column,
            format!("expected {bitmap} bytes of validity for {rows} rows, came {came}"),
        ));
    }
    let entries = check_lengths(column, ty, rows)?;
    let used = field_of(ty);
    for (field, came) in lists(column) {
        let expected = if field == used { entries } else { 0 };
        if came != expected {
            let detail =
                format!("expected {expected} {field} for {rows} rows of {ty}, came {came}");
            return Err(wrong(column, detail));
        }
    }
    for (row, &us) in column.timestamps.iter().enumerate() {
        if let Err(error) = check_time(us)
            && valid(column, row)
        {
            return Err(WireError::Time { column: column.name.clone(), row, error });
        }
    }
    Ok(())
}

/// What is wrong with values in another list than their type's, if that is what is wrong with a column that was refused:
/// told by counts alone, it would be a riddle.
fn misplaced(column: &pb::Column, ty: Type) -> Option<WireError> {
    let used = field_of(ty);
    let filled = lists(column).into_iter().filter_map(|(field, came)| (came > 0).then_some(field));
    let (own, others): (Vec<_>, Vec<_>) = filled.partition(|field| *field == used);
    let came = others.first()?;
    let detail = match own.is_empty() {
        true => format!("its values are expected in {used}, came in {came}"),
        false => {
            format!("its values are expected in {used} only, came in {}, too", others.join(", "))
        }
    };
    Some(wrong(column, detail))
}

/// The lists that values may come in, with how many are in each.
fn lists(column: &pb::Column) -> [(&'static str, usize); 8] {
    [
        ("bools", column.bools.len()),
        ("int32s", column.int32s.len()),
        ("int64s", column.int64s.len()),
        ("float32s", column.float32s.len()),
        ("float64s", column.float64s.len()),
        ("strings", column.strings.len()),
        ("binaries", column.binaries.len()),
        ("timestamps", column.timestamps.len()),
    ]
}

/// Checks the lengths of lists; gives the number of entries that the type's field must have.
fn check_lengths(column: &pb::Column, ty: Type, rows: usize) -> Result<usize, WireError> {
    let list = matches!(ty, Type::ListInt64 | Type::ListFloat64 | Type::ListUtf8);
    let expected = if list { rows } else { 0 };
    if column.lengths.len() != expected {
        let came = column.lengths.len();
        return Err(wrong(
            column,
            format!("expected {expected} lengths for {rows} rows of {ty}, came {came}"),
        ));
    }
    let entries = match ty {
        Type::Embedding(dim) => rows.checked_mul(dim as usize),
        _ if list => {
            column.lengths.iter().try_fold(0usize, |sum, &len| sum.checked_add(len as usize))
        }
        _ => Some(rows),
    };
    entries.ok_or_else(|| wrong(column, "expected fewer elements than can be counted".to_owned()))
}

fn field_of(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "bools",
        Type::Int32 => "int32s",
        Type::Int64 | Type::ListInt64 => "int64s",
        Type::Float32 | Type::Embedding(_) => "float32s",
        Type::Float64 | Type::ListFloat64 => "float64s",
        Type::Utf8 | Type::ListUtf8 => "strings",
        Type::Binary => "binaries",
        Type::Timestamp => "timestamps",
    }
}

/// Appends a checked column.
fn append(column: &pb::Column, ty: Type, rows: usize, out: &mut Column) {
    out.reserve(rows);
    if column.validity.is_empty() && append_whole(column, ty, out) {
        return;
    }
    let mut at = 0;
    for row in 0..rows {
        let len = match ty {
            Type::Embedding(dim) => dim as usize,
            _ => column.lengths.get(row).map_or(1, |len| *len as usize),
        };
        let entries = at..at + len;
        at = entries.end;
        if !valid(column, row) {
            out.push_null();
            continue;
        }
        match ty {
            Type::Bool => out.push_bool(column.bools[row]),
            Type::Int32 => out.push_i32(column.int32s[row]),
            Type::Int64 => out.push_i64(column.int64s[row]),
            Type::Float32 => out.push_f32(column.float32s[row]),
            Type::Float64 => out.push_f64(column.float64s[row]),
            Type::Utf8 => out.push_utf8(&column.strings[row]),
            Type::Binary => out.push_binary(&column.binaries[row]),
            Type::Timestamp => out.push_timestamp(column.timestamps[row]),
            Type::Embedding(_) => out.push_embedding(&column.float32s[entries]),
            Type::ListInt64 => out.push_list_i64(&column.int64s[entries]),
            Type::ListFloat64 => out.push_list_f64(&column.float64s[entries]),
            Type::ListUtf8 => out.push_list_utf8(&column.strings[entries]),
        }
    }
}

/// Appends columns of numbers without nulls in one piece.
fn append_whole(column: &pb::Column, ty: Type, out: &mut Column) -> bool {
    match ty {
        Type::Int32 => out.extend_i32s(&column.int32s),
        Type::Int64 => out.extend_i64s(&column.int64s),
        Type::Float32 => out.extend_f32s(&column.float32s),
        Type::Float64 => out.extend_f64s(&column.float64s),
        _ => return false,
    }
    true
}

/// The wire's form of a batch column, for clients; the server encodes answers in `encode.rs`.
#[must_use]
pub fn column(name: &str, of: &Column) -> pb::Column {
    let ty = of.ty();
    let mut column = pb::Column {
        name: name.to_owned(),
        r#type: i32::from(ty.code()),
        dim: ty.dim(),
        ..pb::Column::default()
    };
    if of.null_count() > 0 {
        let mut validity = vec![0u8; of.len().div_ceil(8)];
        for row in (0..of.len()).filter(|&row| !of.is_null(row)) {
            validity[row / 8] |= 1 << (row % 8);
        }
        column.validity = validity.into();
    }
    for row in 0..of.len() {
        push(&mut column, ty, of.value(row));
    }
    column
}

fn push(column: &mut pb::Column, ty: Type, value: Value<'_>) {
    let mut len = 0;
    match (ty, value) {
        (Type::Bool, value) => column.bools.push(matches!(value, Value::Bool(true))),
        (Type::Int32, Value::Int32(value)) => column.int32s.push(value),
        (Type::Int32, _) => column.int32s.push(0),
        (Type::Int64, Value::Int64(value)) => column.int64s.push(value),
        (Type::Int64, _) => column.int64s.push(0),
        (Type::Float32, Value::Float32(value)) => column.float32s.push(value),
        (Type::Float32, _) => column.float32s.push(0.0),
        (Type::Float64, Value::Float64(value)) => column.float64s.push(value),
        (Type::Float64, _) => column.float64s.push(0.0),
        (Type::Utf8, Value::Utf8(value)) => column.strings.push(value.to_owned()),
        (Type::Utf8, _) => column.strings.push(String::new()),
        (Type::Binary, Value::Binary(value)) => column.binaries.push(value.to_vec().into()),
        (Type::Binary, _) => column.binaries.push(bytes::Bytes::new()),
        (Type::Timestamp, Value::Timestamp(value)) => column.timestamps.push(value),
        (Type::Timestamp, _) => column.timestamps.push(0),
        (Type::Embedding(_), Value::Embedding(value)) => {
            column.float32s.extend(Floats::iter(&value))
        }
        (Type::Embedding(dim), _) => column.float32s.extend(std::iter::repeat_n(0.0, dim as usize)),
        (Type::ListInt64, Value::ListInt64(value)) => {
            len = value.len();
            column.int64s.extend(Ints::iter(&value));
        }
        (Type::ListFloat64, Value::ListFloat64(value)) => {
            len = value.len();
            column.float64s.extend(Doubles::iter(&value));
        }
        (Type::ListUtf8, Value::ListUtf8(value)) => {
            len = value.len();
            column.strings.extend(value.iter().map(str::to_owned));
        }
        (Type::ListInt64 | Type::ListFloat64 | Type::ListUtf8, _) => {}
    }
    if matches!(ty, Type::ListInt64 | Type::ListFloat64 | Type::ListUtf8) {
        column.lengths.push(u32::try_from(len).unwrap_or(u32::MAX));
    }
}

fn wrong(column: &pb::Column, detail: String) -> WireError {
    WireError::Column { column: column.name.clone(), detail }
}

#[cfg(test)]
pub(crate) mod tests;

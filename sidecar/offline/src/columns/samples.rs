//! Columns of every type, for tests.

use skewless_batch::{Column, Type};

pub(crate) const TYPES: [Type; 12] = [
    Type::Bool,
    Type::Int32,
    Type::Int64,
    Type::Float32,
    Type::Float64,
    Type::Utf8,
    Type::Binary,
    Type::Timestamp,
    Type::Embedding(3),
    Type::ListInt64,
    Type::ListFloat64,
    Type::ListUtf8,
];

pub(crate) fn sample(ty: Type, rows: usize, nulls: bool) -> Column {
    let mut column = Column::new(ty);
    for row in 0..rows {
        let x = row as f64 * 1.5 - 3.0;
        let text = "ü".repeat(row % 4);
        if nulls && row % 3 == 1 {
            column.push_null();
            continue;
        }
        match ty {
            Type::Bool => column.push_bool(row % 2 == 0),
            Type::Int32 => column.push_i32(row as i32 - 4),
            Type::Int64 => column.push_i64(row as i64 - 4),
            Type::Float32 => column.push_f32(x as f32),
            Type::Float64 => column.push_f64(x),
            Type::Utf8 => column.push_utf8(&text),
            Type::Binary => column.push_binary(text.as_bytes()),
            Type::Timestamp => column.push_timestamp(row as i64 - 4),
            Type::Embedding(_) => column.push_embedding(&[x as f32, 0.0, f32::NAN]),
            Type::ListInt64 => column.push_list_i64(&vec![row as i64; row % 3]),
            Type::ListFloat64 => column.push_list_f64(&vec![x; row % 3]),
            Type::ListUtf8 => column.push_list_utf8((0..row % 3).map(|_| text.as_str())),
        }
    }
    column
}

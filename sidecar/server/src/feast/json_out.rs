//! An answer as JSON, as Feast's server writes it: plain values, bytes in base64, floats that aren't finite as text; not
//! what is in it (`answer.rs`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use skewless_batch::{ColumnView, Type};

use super::answer::Answer;
use super::value::seconds;
use crate::status::ServeError;

impl Answer<'_> {
    /// The answer as JSON.
    pub(super) fn json(&self) -> Result<Vec<u8>, ServeError> {
        let mut out = Vec::new();
        out.extend_from_slice(b"{\"metadata\":{\"feature_names\":");
        let names: Vec<&str> = self.columns.iter().map(|shown| &*shown.name).collect();
        put(&names, &mut out);
        if let Some(views) = &self.views {
            out.extend_from_slice(b",\"feature_view_metadata\":");
            list(views.len(), &mut out, |at, out| {
                out.extend_from_slice(b"{\"name\":");
                put(views[at], out);
                out.push(b'}');
                Ok(())
            })?;
        }
        out.extend_from_slice(b"},\"results\":");
        let rows = self.frame.rows;
        list(self.columns.len(), &mut out, |at, out| {
            let from = self.columns[at].from;
            let values = self.values(from);
            out.extend_from_slice(b"{\"values\":");
            list(rows, out, |row, out| {
                put_value(&values, row, out);
                self.check(out.len())
            })?;
            out.extend_from_slice(b",\"statuses\":");
            list(rows, out, |row, out| {
                put(self.status(from, row).as_str_name(), out);
                self.check(out.len())
            })?;
            out.extend_from_slice(b",\"event_timestamps\":");
            list(rows, out, |row, out| {
                put(&self.event(from, row).to_string(), out);
                self.check(out.len())
            })?;
            out.push(b'}');
            Ok(())
        })?;
        out.extend_from_slice(b",\"status\":true}");
        self.check(out.len())?;
        Ok(out)
    }
}

/// Writes a list of so many items.
fn list(
    len: usize,
    out: &mut Vec<u8>,
    mut item: impl FnMut(usize, &mut Vec<u8>) -> Result<(), ServeError>,
) -> Result<(), ServeError> {
    out.push(b'[');
    for at in 0..len {
        if at > 0 {
            out.push(b',');
        }
        item(at, out)?;
    }
    out.push(b']');
    Ok(())
}

fn put<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a vector grows, and text and numbers have a form");
}

fn put_value(view: &ColumnView<'_>, row: usize, out: &mut Vec<u8>) {
    if view.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match view.ty() {
        Type::Bool => put(&view.bool_at(row), out),
        Type::Int32 => put(&view.i32_at(row), out),
        Type::Int64 => put(&view.i64_at(row), out),
        Type::Float32 => put_float(view.f32_at(row).into(), out),
        Type::Float64 => put_float(view.f64_at(row), out),
        Type::Utf8 => put(view.utf8_at(row), out),
        Type::Binary => put(&STANDARD.encode(view.binary_at(row)), out),
        Type::Timestamp => put(&seconds(view.timestamp_at(row)), out),
        Type::Embedding(_) => {
            put_items(view.embedding_at(row).iter().map(f64::from), out, put_float)
        }
        Type::ListInt64 => {
            put_items(view.list_i64_at(row).iter(), out, |item, out| put(&item, out))
        }
        Type::ListFloat64 => put_items(view.list_f64_at(row).iter(), out, put_float),
        Type::ListUtf8 => put_items(view.list_utf8_at(row).iter(), out, put),
    }
}

fn put_items<T>(
    items: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    put_one: impl Fn(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put_one(item, out);
    }
    out.push(b']');
}

/// A float32 is written as the float64 that it is, so that whoever reads float64 has the very same value.
fn put_float(value: f64, out: &mut Vec<u8>) {
    match value {
        value if value.is_finite() => put(&value, out),
        value if value.is_nan() => put("NaN", out),
        value if value > 0.0 => put("Infinity", out),
        _ => put("-Infinity", out),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use skewless_batch::Column;

    use super::*;

    #[test]
    fn values_are_written_as_feast_writes_them() {
        let mut cases = Vec::new();
        let mut add = |ty, json: &'static str, push: &dyn Fn(&mut Column)| {
            let mut column = Column::new(ty);
            push(&mut column);
            cases.push((column, json));
        };
        add(Type::Bool, "true", &|column| column.push_bool(true));
        add(Type::Int64, "9223372036854775807", &|column| column.push_i64(i64::MAX));
        add(Type::Float32, "0.10000000149011612", &|column| column.push_f32(0.1));
        add(Type::Float64, "0.1", &|column| column.push_f64(0.1));
        add(Type::Float64, "\"NaN\"", &|column| column.push_f64(f64::NAN));
        add(Type::Float64, "\"-Infinity\"", &|column| column.push_f64(f64::NEG_INFINITY));
        add(Type::Utf8, "\"a\\\"é\\n\"", &|column| column.push_utf8("a\"é\n"));
        add(Type::Binary, "\"AP8=\"", &|column| column.push_binary(&[0, 255]));
        add(Type::Timestamp, "-1", &|column| column.push_timestamp(-1));
        add(Type::Embedding(2), "[0.5,\"Infinity\"]", &|column| {
            column.push_embedding(&[0.5, f32::INFINITY]);
        });
        add(Type::ListInt64, "[1,2]", &|column| column.push_list_i64(&[1, 2]));
        add(Type::ListFloat64, "[]", &|column| column.push_list_f64(&[]));
        add(Type::ListUtf8, "[\"a\",\"\"]", &|column| column.push_list_utf8(["a", ""]));
        add(Type::Utf8, "null", &|column| column.push_null());
        for (column, json) in cases {
            let mut out = Vec::new();
            put_value(&column.view(), 0, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), json, "{}", column.ty());
        }
    }
}

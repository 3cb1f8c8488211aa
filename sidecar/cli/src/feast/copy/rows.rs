//! Feast's rows as rows of ours: keys and values to typed columns, exactly or not at all.

use prost::Message;
use skewless_batch::{Column, Type};
use skewless_catalog::View;
use skewless_catalog::visibility::check_time;
use skewless_proto::feast::types as pb;
use skewless_proto::feast::types::value::Val;
use skewless_store::Rows;

use super::key::{EntityKey, KeyValue};
use super::refusal::{Reason, Refusal};
use crate::feast::names_file::ViewNames;

/// Rows that are written at once.
pub(super) const ROWS_MAX: usize = 4_096;
/// Bytes of values that are written at once: a sidecar takes messages of 16 MiB by default, and one row more may come.
const BYTES_MAX: usize = 4 << 20;
/// Strings and byte strings that are written at once, for the same reason: a sidecar takes 262,144 by default.
const TEXTS_MAX: usize = 100_000;

const SECOND_US: i64 = 1_000_000;
/// Feast's mark of a timestamp that is none, pandas' NaT.
const NO_TIME: i64 = i64::MIN;

/// A view to copy, with what Feast calls it.
pub(super) struct Wanted<'c> {
    pub(super) view: &'c View,
    /// Feast's name of the view.
    pub(super) feast: String,
    /// Feast's join keys, parallel to the view's keys.
    pub(super) join_keys: Vec<String>,
    /// Feast's features, parallel to the view's.
    pub(super) features: Vec<String>,
}

impl<'c> Wanted<'c> {
    pub(super) fn new(view: &'c View, names: &ViewNames) -> Self {
        let or_own =
            |known: Option<&String>, own: &str| known.cloned().unwrap_or_else(|| own.to_owned());
        Self {
            view,
            feast: names.name.clone(),
            join_keys: view
                .keys
                .iter()
                .map(|key| or_own(names.keys.get(&key.name), &key.name))
                .collect(),
            features: view
                .features
                .iter()
                .map(|f| or_own(names.features.get(&f.name), &f.name))
                .collect(),
        }
    }

    /// Feast's join keys as they stand in a key.
    pub(super) fn sorted_join_keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.join_keys.iter().map(String::as_str).collect();
        keys.sort_unstable();
        keys
    }
}

/// A row as it came.
pub(super) struct FeastRow<'a> {
    pub(super) key: &'a EntityKey<'a>,
    /// Bytes of a value for each of the view's features; `None`: there is none.
    pub(super) values: &'a [Option<Vec<u8>>],
    pub(super) event_us: Option<i64>,
    /// When it was made; its event time if that isn't known.
    pub(super) created_us: Option<i64>,
}

/// Rows of a view that wait to be written.
pub(super) struct Batch {
    pub(super) rows: Rows,
    /// One row, before it is known whether all of it can be taken.
    keys: Vec<Column>,
    features: Vec<Column>,
    bytes: usize,
    texts: usize,
}

impl Batch {
    pub(super) fn new(view: &View) -> Self {
        let keys = || view.keys.iter().map(|key| Column::new(key.ty)).collect();
        let features = || view.features.iter().map(|field| Column::new(field.ty)).collect();
        Self {
            rows: Rows {
                keys: keys(),
                event_us: Vec::new(),
                known_us: Vec::new(),
                deleted: Vec::new(),
                features: features(),
            },
            keys: keys(),
            features: features(),
            bytes: 0,
            texts: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.event_us.len()
    }

    /// Whether it is time to write it.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= ROWS_MAX || self.bytes >= BYTES_MAX || self.texts >= TEXTS_MAX
    }

    pub(super) fn clear(&mut self) {
        let Rows { keys, event_us, known_us, deleted, features } = &mut self.rows;
        keys.iter_mut().chain(features).for_each(Column::clear);
        event_us.clear();
        known_us.clear();
        deleted.clear();
        (self.bytes, self.texts) = (0, 0);
    }

    /// Adds a row, whole or not at all.
    pub(super) fn push(&mut self, wanted: &Wanted<'_>, row: &FeastRow<'_>) -> Result<(), Refusal> {
        self.keys.iter_mut().chain(&mut self.features).for_each(Column::clear);
        key(wanted, row.key, &mut self.keys)?;
        let event_us = row.event_us.filter(|us| check_time(*us).is_ok()).ok_or(Reason::Time)?;
        let known_us = row.created_us.unwrap_or(event_us);
        let known_us = check_time(known_us).map_err(|_| Reason::Time)?;
        for ((bytes, column), name) in
            row.values.iter().zip(&mut self.features).zip(&wanted.features)
        {
            feature(bytes.as_deref(), name, column)?;
        }
        for bytes in row.values.iter().flatten() {
            self.bytes += bytes.len();
        }
        let texts = self.keys.iter().chain(&self.features);
        self.texts +=
            texts.filter(|column| matches!(column.ty(), Type::Utf8 | Type::Binary)).count();
        // At least one byte of the message each.
        let lists = row
            .values
            .iter()
            .zip(&self.features)
            .filter(|(_, column)| column.ty() == Type::ListUtf8);
        self.texts += lists.map(|(bytes, _)| bytes.as_ref().map_or(0, Vec::len) / 2).sum::<usize>();
        let into = self.rows.keys.iter_mut().chain(&mut self.rows.features);
        for (into, from) in into.zip(self.keys.iter().chain(&self.features)) {
            into.push_from(&from.view(), 0);
        }
        self.rows.event_us.push(event_us);
        self.rows.known_us.push(known_us);
        self.rows.deleted.push(false);
        Ok(())
    }
}

fn key(wanted: &Wanted<'_>, key: &EntityKey<'_>, columns: &mut [Column]) -> Result<(), Refusal> {
    let named =
        |name: &String| key.values.iter().find(|(named, _)| named == name).map(|(_, value)| *value);
    if key.values.len() != wanted.join_keys.len() {
        return Err(other_keys(wanted, key));
    }
    for (name, column) in wanted.join_keys.iter().zip(columns) {
        let value = named(name).ok_or_else(|| other_keys(wanted, key))?;
        let ty = column.ty();
        match (ty, value) {
            (Type::Utf8, KeyValue::Text(text)) => column.push_utf8(text),
            (Type::Binary, KeyValue::Bytes(bytes)) => column.push_binary(bytes),
            (Type::Int32, KeyValue::Int32(int)) => column.push_i32(int),
            (Type::Int64, KeyValue::Int32(int)) => column.push_i64(int.into()),
            (Type::Int64, KeyValue::Int64(int)) => column.push_i64(int),
            (_, came) => {
                let came = match came {
                    KeyValue::Bytes(_) => "bytes",
                    KeyValue::Text(_) => "a string",
                    KeyValue::Int32(_) => "an int32",
                    KeyValue::Int64(_) => "an int64",
                    KeyValue::Time(_) => "a time",
                };
                let detail = format!("join key `{name}`: expected {ty}, came {came}");
                return Err(Refusal { reason: Reason::KeyType, detail });
            }
        }
    }
    Ok(())
}

fn other_keys(wanted: &Wanted<'_>, key: &EntityKey<'_>) -> Refusal {
    let came: Vec<&str> = key.values.iter().map(|(name, _)| *name).collect();
    let (expected, came) = (wanted.sorted_join_keys().join(", "), came.join(", "));
    Refusal { reason: Reason::OtherKeys, detail: format!("expected ({expected}), came ({came})") }
}

fn feature(bytes: Option<&[u8]>, name: &str, column: &mut Column) -> Result<(), Refusal> {
    let Some(bytes) = bytes else {
        column.push_null();
        return Ok(());
    };
    let refused =
        |reason, what: String| Refusal { reason, detail: format!("feature `{name}`: {what}") };
    let value = pb::Value::decode(bytes).map_err(|_| {
        refused(Reason::ValueDamaged, "expected a value of Feast's, came other bytes".to_owned())
    })?;
    let Some(val) = value.val else {
        // Nothing set is a null; something that isn't known isn't.
        if !bytes.is_empty() {
            return Err(refused(
                Reason::ValueDamaged,
                "expected a kind of value of Feast 0.67, came another".to_owned(),
            ));
        }
        column.push_null();
        return Ok(());
    };
    append(&val, column)
        .map_err(|(reason, came)| refused(reason, format!("expected {}, came {came}", column.ty())))
}

/// Appends a value, if the column's type holds it exactly; else why not, and what came.
fn append(val: &Val, column: &mut Column) -> Result<(), (Reason, String)> {
    match (column.ty(), val) {
        (_, Val::NullVal(_)) => column.push_null(),
        (Type::Bool, Val::BoolVal(value)) => column.push_bool(*value),
        (Type::Int32, Val::Int32Val(value)) => column.push_i32(*value),
        (Type::Int64, Val::Int64Val(value)) => column.push_i64(*value),
        (Type::Int64, Val::Int32Val(value)) => column.push_i64((*value).into()),
        (Type::Float32, Val::FloatVal(value)) => column.push_f32(*value),
        (Type::Float64, Val::DoubleVal(value)) => column.push_f64(*value),
        (Type::Float64, Val::FloatVal(value)) => column.push_f64((*value).into()),
        (
            Type::Utf8,
            Val::StringVal(text)
            | Val::JsonVal(text)
            | Val::UuidVal(text)
            | Val::TimeUuidVal(text)
            | Val::DecimalVal(text),
        ) => column.push_utf8(text),
        (Type::Binary, Val::BytesVal(bytes)) => column.push_binary(bytes),
        (Type::Timestamp, Val::UnixTimestampVal(NO_TIME)) => column.push_null(),
        (Type::Timestamp, Val::UnixTimestampVal(seconds)) => {
            let us = seconds.checked_mul(SECOND_US).filter(|us| check_time(*us).is_ok());
            let came =
                || (Reason::ValueFits, format!("{seconds} s since 1970, which is out of range"));
            column.push_timestamp(us.ok_or_else(came)?);
        }
        (Type::Embedding(dim), Val::FloatListVal(list)) => {
            if list.val.len() != dim as usize {
                return Err((Reason::ValueFits, format!("{} numbers", list.val.len())));
            }
            column.push_embedding(&list.val);
        }
        (Type::ListInt64, Val::Int64ListVal(list) | Val::UnixTimestampListVal(list)) => {
            column.push_list_i64(&list.val);
        }
        (Type::ListInt64, Val::BoolListVal(list)) => {
            let numbers: Vec<i64> = list.val.iter().map(|value| i64::from(*value)).collect();
            column.push_list_i64(&numbers);
        }
        (Type::ListInt64, Val::Int32ListVal(list)) => {
            let wide: Vec<i64> = list.val.iter().map(|value| i64::from(*value)).collect();
            column.push_list_i64(&wide);
        }
        (Type::ListFloat64, Val::DoubleListVal(list)) => column.push_list_f64(&list.val),
        (Type::ListFloat64, Val::FloatListVal(list)) => {
            let wide: Vec<f64> = list.val.iter().map(|value| f64::from(*value)).collect();
            column.push_list_f64(&wide);
        }
        (
            Type::ListUtf8,
            Val::StringListVal(list)
            | Val::JsonListVal(list)
            | Val::UuidListVal(list)
            | Val::TimeUuidListVal(list)
            | Val::DecimalListVal(list),
        ) => column.push_list_utf8(&list.val),
        (_, other) => return Err((Reason::ValueType, kind(other).to_owned())),
    }
    // As the server does with what it is sent: there is one NaN.
    column.canonicalize_nans();
    Ok(())
}

/// What a value is called in a message.
fn kind(val: &Val) -> &'static str {
    match val {
        Val::BytesVal(_) => "bytes",
        Val::StringVal(_) => "a string",
        Val::Int32Val(_) => "an int32",
        Val::Int64Val(_) => "an int64",
        Val::DoubleVal(_) => "a double",
        Val::FloatVal(_) => "a float",
        Val::BoolVal(_) => "a bool",
        Val::UnixTimestampVal(_) => "a time",
        Val::BytesListVal(_) => "a list of bytes",
        Val::StringListVal(_) => "a list of strings",
        Val::Int32ListVal(_) => "a list of int32",
        Val::Int64ListVal(_) => "a list of int64",
        Val::DoubleListVal(_) => "a list of doubles",
        Val::FloatListVal(_) => "a list of floats",
        Val::BoolListVal(_) => "a list of bools",
        Val::UnixTimestampListVal(_) => "a list of times",
        _ => "a value of a type that isn't stored here",
    }
}

#[cfg(test)]
pub(super) mod tests;

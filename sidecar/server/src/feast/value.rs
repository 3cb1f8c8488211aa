//! Feast's `Value` to one value as it came, and back from a column of ours; not which kinds are refused, which is told
//! before anything is decoded (`scan.rs`).

use skewless_batch::{ColumnView, Type};
use skewless_proto::feast::types as pb;
use skewless_proto::feast::types::value::Val;

use super::cell::Cell;

/// Microseconds in a second.
const SECOND_US: i64 = 1_000_000;

/// A value as it came.
pub(super) fn cell(value: &pb::Value) -> Cell<'_> {
    match &value.val {
        None | Some(Val::NullVal(_)) => Cell::Null,
        Some(Val::BytesVal(bytes)) => Cell::Bytes(bytes),
        Some(
            Val::StringVal(text)
            | Val::JsonVal(text)
            | Val::UuidVal(text)
            | Val::TimeUuidVal(text)
            | Val::DecimalVal(text),
        ) => Cell::Text(text),
        Some(Val::Int32Val(value)) => Cell::Int((*value).into()),
        Some(Val::Int64Val(value)) => Cell::Int(*value),
        Some(Val::DoubleVal(value)) => Cell::Float(*value),
        Some(Val::FloatVal(value)) => Cell::Float((*value).into()),
        Some(Val::BoolVal(value)) => Cell::Bool(*value),
        Some(Val::UnixTimestampVal(seconds)) => Cell::Seconds(*seconds),
        Some(
            Val::StringListVal(list)
            | Val::JsonListVal(list)
            | Val::UuidListVal(list)
            | Val::TimeUuidListVal(list)
            | Val::DecimalListVal(list),
        ) => Cell::Texts(&list.val),
        Some(Val::Int32ListVal(list)) => Cell::Int32s(&list.val),
        // Times are seconds since 1970.
        Some(Val::Int64ListVal(list) | Val::UnixTimestampListVal(list)) => Cell::Ints(&list.val),
        Some(Val::BoolListVal(list)) => Cell::Bools(&list.val),
        Some(Val::DoubleListVal(list)) => Cell::Doubles(&list.val),
        Some(Val::FloatListVal(list)) => Cell::Floats(&list.val),
        Some(_) => Cell::Other("a kind of value that no column holds"),
    }
}

/// The value of a row; of no kind if there is none.
pub(super) fn value(view: &ColumnView<'_>, row: usize) -> pb::Value {
    if view.is_null(row) {
        return pb::Value::default();
    }
    let val = match view.ty() {
        Type::Bool => Val::BoolVal(view.bool_at(row)),
        Type::Int32 => Val::Int32Val(view.i32_at(row)),
        Type::Int64 => Val::Int64Val(view.i64_at(row)),
        Type::Float32 => Val::FloatVal(view.f32_at(row)),
        Type::Float64 => Val::DoubleVal(view.f64_at(row)),
        Type::Utf8 => Val::StringVal(view.utf8_at(row).to_owned()),
        Type::Binary => Val::BytesVal(view.binary_at(row).to_vec()),
        Type::Timestamp => Val::UnixTimestampVal(seconds(view.timestamp_at(row))),
        Type::Embedding(_) => {
            Val::FloatListVal(pb::FloatList { val: view.embedding_at(row).iter().collect() })
        }
        Type::ListInt64 => {
            Val::Int64ListVal(pb::Int64List { val: view.list_i64_at(row).iter().collect() })
        }
        Type::ListFloat64 => {
            Val::DoubleListVal(pb::DoubleList { val: view.list_f64_at(row).iter().collect() })
        }
        Type::ListUtf8 => {
            let items = view.list_utf8_at(row).iter();
            Val::StringListVal(pb::StringList { val: items.map(str::to_owned).collect() })
        }
    };
    pb::Value { val: Some(val) }
}

/// Whole seconds since 1970, as Feast's timestamps are: what is finer is cut off, towards the past.
pub(super) fn seconds(us: i64) -> i64 {
    us.div_euclid(SECOND_US)
}

/// A time to the microsecond.
pub(super) fn timestamp(us: i64) -> prost_types::Timestamp {
    let nanos = us.rem_euclid(SECOND_US) as i32 * 1_000;
    prost_types::Timestamp { seconds: us.div_euclid(SECOND_US), nanos }
}

#[cfg(test)]
mod tests {
    use skewless_batch::Column;

    use super::super::cell::append;
    use super::*;

    #[test]
    fn a_value_of_every_type_comes_back_as_it_went() {
        let mut columns = Vec::new();
        let mut add = |ty, push: &dyn Fn(&mut Column)| {
            let mut column = Column::new(ty);
            push(&mut column);
            column.push_null();
            columns.push(column);
        };
        add(Type::Bool, &|column| column.push_bool(true));
        add(Type::Int32, &|column| column.push_i32(-5));
        add(Type::Int64, &|column| column.push_i64(i64::MIN));
        add(Type::Float32, &|column| column.push_f32(0.1));
        add(Type::Float64, &|column| column.push_f64(0.1));
        add(Type::Utf8, &|column| column.push_utf8("é"));
        add(Type::Binary, &|column| column.push_binary(&[0, 255]));
        add(Type::Timestamp, &|column| column.push_timestamp(-3 * SECOND_US));
        add(Type::Embedding(2), &|column| column.push_embedding(&[0.5, -0.0]));
        add(Type::ListInt64, &|column| column.push_list_i64(&[i64::MAX]));
        add(Type::ListFloat64, &|column| column.push_list_f64(&[]));
        add(Type::ListUtf8, &|column| column.push_list_utf8(["a", ""]));
        for column in columns {
            let mut back = Column::new(column.ty());
            for row in 0..2 {
                let value = value(&column.view(), row);
                assert_eq!(append(&cell(&value), &mut back), Ok(()), "{value:?}");
                assert_eq!(back.value(row), column.value(row), "{}", column.ty());
            }
        }
    }

    #[test]
    fn a_time_before_1970_is_cut_towards_the_past() {
        assert_eq!((seconds(-1), seconds(1_999_999)), (-1, 1));
        assert_eq!(timestamp(-1), prost_types::Timestamp { seconds: -1, nanos: 999_999_000 });
    }
}

//! Feast's types of columns beside ours. Values are in [`crate::feast::copy`].
//!
//! A type is carried over if every value of it can be, unchanged or in a wider type that holds it exactly.

use skewless_batch::{EMBEDDING_DIM_MAX, Type};
use skewless_proto::feast::core::FeatureSpecV2;
use skewless_proto::feast::types::value_type::Enum as ValueType;

/// Our type for a column of Feast's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carried {
    /// It holds the same values.
    As(Type),
    /// It holds them, and more; a sentence says what differs.
    Wider(Type, &'static str),
}

impl Carried {
    pub(crate) fn ty(self) -> Type {
        match self {
            Self::As(ty) | Self::Wider(ty, _) => ty,
        }
    }
}

/// Our type for a column, or the name of Feast's type if there is none.
pub(crate) fn carried(column: &FeatureSpecV2) -> Result<Carried, String> {
    let Ok(ty) = ValueType::try_from(column.value_type) else {
        return Err(format!("number {}", column.value_type));
    };
    let dim = u32::try_from(column.vector_length).ok();
    let dim = dim.filter(|dim| (1..=EMBEDDING_DIM_MAX).contains(dim));
    Ok(match (ty, dim) {
        (ValueType::Bool, _) => Carried::As(Type::Bool),
        (ValueType::Int32, _) => Carried::As(Type::Int32),
        (ValueType::Int64, _) => Carried::As(Type::Int64),
        (ValueType::Float, _) => Carried::As(Type::Float32),
        (ValueType::Double, _) => Carried::As(Type::Float64),
        (ValueType::String, _) => Carried::As(Type::Utf8),
        (ValueType::Bytes, _) => Carried::As(Type::Binary),
        (ValueType::UnixTimestamp, _) => Carried::As(Type::Timestamp),
        (ValueType::Int64List, _) => Carried::As(Type::ListInt64),
        (ValueType::DoubleList, _) => Carried::As(Type::ListFloat64),
        (ValueType::StringList, _) => Carried::As(Type::ListUtf8),
        (ValueType::JsonList, _) => Carried::Wider(Type::ListUtf8, "JSON is its text, list<utf8>"),
        (ValueType::UuidList | ValueType::TimeUuidList, _) => {
            Carried::Wider(Type::ListUtf8, "a UUID is its text, list<utf8>")
        }
        (ValueType::DecimalList, _) => {
            Carried::Wider(Type::ListUtf8, "a decimal is its text, list<utf8>")
        }
        (ValueType::FloatList, Some(dim)) => Carried::As(Type::Embedding(dim)),
        (ValueType::FloatList, None) => Carried::Wider(
            Type::ListFloat64,
            "FLOAT_LIST without a vector length is list<float64>; if all are of one length, `embedding[length]` is \
             smaller and faster",
        ),
        (ValueType::BoolList, _) => {
            Carried::Wider(Type::ListInt64, "BOOL_LIST is list<int64>, of 0 and 1")
        }
        (ValueType::UnixTimestampList, _) => Carried::Wider(
            Type::ListInt64,
            "UNIX_TIMESTAMP_LIST is list<int64>, seconds since 1970",
        ),
        (ValueType::Int32List, _) => Carried::Wider(Type::ListInt64, "INT32_LIST is list<int64>"),
        (ValueType::Json, _) => Carried::Wider(Type::Utf8, "JSON is its text, utf8"),
        (ValueType::Uuid | ValueType::TimeUuid, _) => {
            Carried::Wider(Type::Utf8, "a UUID is its text, utf8")
        }
        (ValueType::Decimal, _) => Carried::Wider(Type::Utf8, "a decimal is its text, utf8"),
        _ => return Err(ty.as_str_name().to_owned()),
    })
}

/// Our type for a key, or the name of Feast's type if none of ours can be a key for it.
pub(crate) fn carried_key(column: &FeatureSpecV2) -> Result<Type, String> {
    match ValueType::try_from(column.value_type) {
        Ok(ValueType::String) => Ok(Type::Utf8),
        Ok(ValueType::Bytes) => Ok(Type::Binary),
        Ok(ValueType::Int32) => Ok(Type::Int32),
        Ok(ValueType::Int64) => Ok(Type::Int64),
        Ok(ty) => Err(ty.as_str_name().to_owned()),
        Err(_) => Err(format!("number {}", column.value_type)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(ty: ValueType, vector_length: i32) -> FeatureSpecV2 {
        FeatureSpecV2 { value_type: ty.into(), vector_length, ..FeatureSpecV2::default() }
    }

    #[test]
    fn a_vector_of_known_length_is_an_embedding() {
        let ty = |length| carried(&column(ValueType::FloatList, length)).map(Carried::ty);
        assert_eq!(ty(384), Ok(Type::Embedding(384)));
        for no_length in [0, -1, i32::MAX] {
            assert_eq!(ty(no_length), Ok(Type::ListFloat64), "{no_length}");
        }
    }

    #[test]
    fn a_type_that_is_not_stored_here_is_named() {
        for (ty, name) in [
            (ValueType::Map, "MAP"),
            (ValueType::Struct, "STRUCT"),
            (ValueType::DecimalSet, "DECIMAL_SET"),
            (ValueType::BytesList, "BYTES_LIST"),
            (ValueType::Invalid, "INVALID"),
        ] {
            assert_eq!(carried(&column(ty, 0)), Err(name.to_owned()));
        }
        let unknown = FeatureSpecV2 { value_type: 4711, ..FeatureSpecV2::default() };
        assert_eq!(carried(&unknown), Err("number 4711".to_owned()));
        assert_eq!(carried_key(&unknown), Err("number 4711".to_owned()));
        assert_eq!(
            carried_key(&column(ValueType::UnixTimestamp, 0)),
            Err("UNIX_TIMESTAMP".to_owned())
        );
    }
}

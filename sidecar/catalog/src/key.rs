//! Which types may be an entity key, and how many key columns there may be; not the bytes on disk.
//!
//! The store decides how a key is encoded; this file only says what a key is, so that definitions,
//! requests and spines agree. Floats, timestamps, lists and embeddings are no keys: equality of a
//! key must be plain equality of its bytes, and a float has -0.0 and NaN to spoil that.

use skewless_batch::Type;

/// Most key columns of one entity. More than a handful is a modelling mistake, and every one of
/// them is in every stored row's key.
pub const KEY_COLUMNS_MAX: usize = 8;

/// The types an entity key column may have.
pub const KEY_TYPES: [Type; 5] = [Type::Bool, Type::Int32, Type::Int64, Type::Utf8, Type::Binary];

/// Whether a column of this type may be an entity key.
#[must_use]
pub fn is_key_type(ty: Type) -> bool {
    KEY_TYPES.contains(&ty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_with_plain_equality_are_keys() {
        for ty in [Type::Float32, Type::Float64, Type::Timestamp, Type::Embedding(4)] {
            assert!(!is_key_type(ty), "{ty}");
        }
        for ty in [Type::ListInt64, Type::ListFloat64, Type::ListUtf8] {
            assert!(!is_key_type(ty), "{ty}");
        }
        for ty in KEY_TYPES {
            assert!(is_key_type(ty), "{ty}");
        }
    }
}

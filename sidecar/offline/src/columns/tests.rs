//! Tests of `columns.rs`.

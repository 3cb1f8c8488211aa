//! Tests of `sort.rs`.

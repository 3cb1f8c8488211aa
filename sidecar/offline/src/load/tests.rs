//! Tests of `load.rs`.

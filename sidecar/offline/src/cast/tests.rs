//! Tests of `cast.rs`.

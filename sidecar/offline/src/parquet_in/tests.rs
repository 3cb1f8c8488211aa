//! Tests of `parquet_in.rs`.

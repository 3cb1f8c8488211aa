//! Tests of `parquet_out.rs`.

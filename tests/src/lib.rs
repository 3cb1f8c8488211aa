//! The end-to-end harness: stories (definitions, histories, questions), told online to a live sidecar
//! and offline to a backfill, and compared. The tests themselves are in `it/`, the benches in `bench/`.

pub mod compare;
pub mod literal;
pub mod offline;
pub mod online;
pub mod parquet_files;
pub mod plugins;
pub mod random;
pub mod scenario;
pub mod story;
pub mod wire;

//! Builds a plugin crate into one reproducible .wasm file.

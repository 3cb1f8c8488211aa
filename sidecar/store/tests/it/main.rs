//! The store from outside, on real RocksDB in temporary folders: one file a concern.
#![expect(clippy::unwrap_used, reason = "tests")]

mod damage;
mod differences;
mod fixture;
mod hot;
mod kill;
mod limit;
mod load;
mod newest;
mod schema;
mod shelf;

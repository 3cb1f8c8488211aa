//! The store from outside, on real RocksDB in temporary folders: one file a concern.
#![expect(clippy::unwrap_used, reason = "tests")]

mod damage;
mod differences;
#[cfg(target_os = "linux")]
mod disk;
mod fixture;
mod hot;
mod kill;
mod limit;
mod load;
mod newest;
#[cfg(target_os = "linux")]
mod power;
#[cfg(target_os = "linux")]
mod priority;
mod replay;
mod schema;
mod shelf;
#[cfg(target_os = "linux")]
mod shim;

//! The embedded online store; the only home of RocksDB.

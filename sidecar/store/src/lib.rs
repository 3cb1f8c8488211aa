//! The embedded online store; the only home of RocksDB.
//!
//! It keeps, per entity key, the newest row that is due, and answers all lookups of one response at
//! one sequence. It is not a history (offline's Parquet is), it computes nothing, and it reads no
//! clock: every time is an argument.
//!
//! * A view's rows live in two column families per *generation*: `rows/<view>/<n>`, one row per
//!   key, and `wait/<view>/<n>`, rows whose due time has not come, ordered by it. A bulk load builds
//!   the next generation beside the current one, which goes on being read and written, and swaps a pointer in `meta`.
//! * One thread applies: it reads, compares by the total order of
//!   [`skewless_catalog::visibility::Stamp`], and writes; so late data never overwrites newer data.
//! * Readers hold no lock: they pin the current pointers and one state of the rows, and start again
//!   if a swap or a due row came between.
//! * Rows that are asked for often are *hot*: kept in front of RocksDB, with the sequence they are right at
//!   (`hot.rs`). A read asks RocksDB, by a snapshot of the same state, for the others only.
//!
//! Cost of a read, sketched: for keys that are hot some tenths of a microsecond each; for others one snapshot
//! (a RocksDB mutex, ~0.1 us), one `ReadOptions`, then about 2.5 us a key for data in the block cache;
//! nothing is allocated per feature.
//! `./dev bench -- store` measures it against raw RocksDB.
//!
//! Limits are in [`config`].

pub mod config;
pub mod key;

mod apply;
mod changes;
mod commit;
mod error;
mod fault;
mod folder;
mod generation;
mod hot;
mod info;
mod live;
mod loader;
mod meta;
mod open;
mod options;
mod pending;
mod promotion;
mod queue;
mod read;
mod row;
mod rows;
mod salvage;
mod schema;
mod store;
mod ttl;
mod values;
mod views;
mod writes;

pub use apply::{Applied, Verdict};
pub use config::StoreConfig;
pub use error::StoreError;
pub use fault::Fault;
pub use hot::HotInfo;
pub use info::{RocksInfo, StoreInfo, ViewInfo};
pub use loader::{CommitMode, CommitReport, Loader};
pub use open::OpenReport;
pub use queue::SourceOffset;
pub use read::{LookupPhase, ReadScratch};
pub use rows::Rows;
pub use salvage::SalvageReport;
pub use schema::SchemaChange;
pub use skewless_catalog::ViewSchema;
pub use store::Store;
pub use views::{StorePlan, ViewHandle, ViewSet};

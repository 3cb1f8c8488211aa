//! Parquet, point-in-time join, backfill, bulk load; the only home of Arrow and DataFusion.
//!
//! [`backfill`] answers every row of a spine as serving would have answered at the row's time, and
//! [`load`] puts a view's history into the online store. Both read history the same way, and neither
//! decides what is visible when: that is `skewless_catalog::visibility`.
//!
//! Sorting, spilling and threads are here; gRPC, clocks and the environment are not: a caller hands
//! in the time, the memory limit, the folders. Nothing is async; a call blocks until it is done, and
//! must not be made from async code.

mod backfill;
mod cast;
mod columns;
mod compute;
pub mod config;
mod cut;
mod error;
pub mod exchange;
mod failures;
mod features_in;
mod files;
mod fill;
mod history;
pub mod ipc;
mod join;
mod load;
mod memory;
mod order;
mod parquet_in;
mod parquet_out;
mod plugin_limits;
mod progress;
mod provenance;
mod row_bytes;
mod sort;
mod spine;

pub use backfill::{
    BackfillOptions, BackfillReport, BackfillRequest, FeatureCounts, NullKey, backfill,
    status_column,
};
pub use error::OfflineError;
pub use failures::{TransformCounts, TransformFailure};
pub use features_in::{
    FeatureColumn, FeatureReader, Features, column_names, read_columns, read_features,
};
pub use files::{FileDigest, InputFile, expand};
pub use load::{
    HistoryRead, HistoryRequest, LoadOptions, LoadReport, LoadRequest, load, sorted_history,
};
pub use parquet_in::{BadRows, Reject, Rejects};
pub use plugin_limits::{BACKFILL_TICK, LimitsUsed, backfill_limits};
pub use progress::{CancelFlag, Phase, Progress, Silent};
pub use provenance::{
    AsOf, FeatureWritten, KEY as PROVENANCE_KEY, Provenance, TransformUsed,
    VERSION as PROVENANCE_VERSION, ViewUsed, provenance,
};
pub use sort::SortStats;
pub use spine::EVENT_TIMESTAMP;

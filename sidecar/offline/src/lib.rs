//! Parquet, point-in-time join, backfill, bulk load; the only home of Arrow and DataFusion.

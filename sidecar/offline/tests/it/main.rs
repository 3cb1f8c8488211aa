//! The offline room through its public door: scenarios in, Parquet out.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod bad_input;
mod life;
mod load;
mod oracle;
mod output;
mod spill;
mod world;

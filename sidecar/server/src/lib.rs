//! The sidecar's server: gRPC services, ingest, reload, administration, metrics and probes; no features
//! are computed here and nothing is stored here: it brings `store`, `engine` and `catalog` together.
//!
//! [`Server::start`] is the whole sidecar as a library; the binaries `skewless-sidecar` and `skewless serve`
//! are its only shells and share [`shell`]. Where to look: a request's whole life is `get_features.rs`, what is served is
//! `snapshot.rs`, every limit is [`config`], errors become statuses in `status.rs`.
//!
//! Whoever serves needs a clock and sockets: those of `skewless-sidecar` are here, and the rooms below get the time as an argument.

pub mod config;
pub mod repo;
pub mod shell;
pub mod stages;
pub mod transformations;
pub mod wire;

mod admin;
mod admission;
mod blocking;
mod breaks;
mod clock;
mod cost;
mod encode;
mod feast;
mod get_features;
mod guard;
mod http;
mod http2;
mod ingest;
mod life;
mod listen;
mod load;
mod metrics;
mod outbox;
mod pool;
mod reading;
mod rows;
mod rpc;
mod sidecar;
mod snapshot;
#[cfg(test)]
mod specimen;
mod status;
mod stream;
mod unary;
mod warm;

pub use clock::Clock;
pub use config::{Config, ConfigError, Override};
pub use life::{Addresses, Running, Server, Shutdown, StartError, run};
pub use snapshot::SnapshotError;
pub use status::{Overload, ServeError};

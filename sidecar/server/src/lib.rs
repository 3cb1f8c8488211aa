//! The sidecar's server: gRPC services, ingest, reload, administration, metrics and probes; no features
//! are computed here and nothing is stored here: it brings `store`, `engine` and `catalog` together.
//!
//! [`Server::start`] is the whole sidecar as a library; the binaries `skewless-sidecar` and `skewless serve`
//! are its only shells and share [`shell`]. Where to look: a request's whole life is `get_features.rs`, what is served is
//! [`snapshot`], every limit is [`config`], errors become statuses in [`status`].
//!
//! This is the only room with a clock, sockets and threads of its own; all others get them as arguments.

pub mod clock;
pub mod config;
pub mod life;
pub mod metrics;
pub mod repo;
pub mod shell;
pub mod snapshot;
pub mod stages;
pub mod status;
pub mod wire;

mod admin;
mod admission;
mod blocking;
mod cost;
mod encode;
mod get_features;
mod guard;
mod http;
mod ingest;
mod listen;
mod load;
mod outbox;
mod pool;
mod rows;
mod rpc;
mod sidecar;
mod stream;
mod warm;

pub use clock::Clock;
pub use config::{Config, ConfigError, Override};
pub use life::{Addresses, Running, Server, StartError, run};

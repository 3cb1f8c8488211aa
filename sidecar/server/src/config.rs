//! Every limit and default of the sidecar, with unit and reason, and how a configuration file becomes
//! one valid [`Config`]; not the limits of store and engine themselves, which are theirs.
//!
//! The file is TOML. Every key is in one table ([`Config::fields`]), so that a file, `--set key=value` and
//! `SKEWLESS__SECTION__KEY=value` mean the same, and so that every mistake is found in one start: unknown
//! keys, wrong types, values out of range, paths that lack, settings that contradict each other.

mod field;
#[cfg(test)]
mod page;
mod parse;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;

use skewless_catalog::limit;
use skewless_engine::EngineConfig;
use skewless_store::StoreConfig;

pub(crate) use parse::shown;
pub use parse::{ConfigError, Mistake, Override};

/// Everything a sidecar needs to know to start.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Folder with the definitions and plugins. Default: the working folder.
    pub repo_dir: PathBuf,
    /// Folder of the online store; made if it is missing. Default `.skewless/store`.
    pub store_dir: PathBuf,
    /// Folder of compiled plugins; may be deleted at any time. Default `.skewless/cache`.
    pub cache_dir: PathBuf,
    /// Where it can be reached.
    pub listen: Listen,
    /// What one client, and all of them, may ask for.
    pub limits: Limits,
    /// Starting, ending, threads.
    pub life: Life,
    /// The store's limits.
    pub store: StoreConfig,
    /// The plugin host's limits.
    pub engine: EngineConfig,
}

/// Addresses and who may do what on them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// gRPC over TCP. Default `127.0.0.1:7667`; port 0 takes any free one; empty: none.
    pub tcp: Option<SocketAddr>,
    /// gRPC over a Unix socket; a path of at most 100 bytes. Default none.
    pub unix: Option<PathBuf>,
    /// Metrics and probes over plain HTTP. Default `127.0.0.1:7668`; empty: none. `/livez`: 200 as long as the
    /// process runs. `/readyz`: 200 if it should be sent calls, else 503 with the reason: it is starting or draining,
    /// or its store accepts no more writes; the same as gRPC's health. `/metrics`: OpenMetrics text.
    pub http: Option<SocketAddr>,
    /// Feast's calls over plain HTTP, for its SDK's `remote` online store and for whoever posts to `feast serve`. Default
    /// none; Feast's own port is 6566. Features are answered to whoever reaches it, rows taken as `listen.ingest` says.
    /// Feast's gRPC calls need no address of their own: they are answered where ours are.
    pub feast_http: Option<SocketAddr>,
    /// Who reaches the calls of `AdminService` that change something: `Apply`, `Flush`, `Load`. Default `local`:
    /// they can replace what is served. Its calls that only read (`List`, `Describe`, `Plugins`, `SnapshotInfo`) are
    /// answered wherever `GetFeatures` is, as `skewless get` and `bench serve` need them. With `off` none of its calls
    /// is answered, those that only read neither.
    pub admin: Reach,
    /// Who reaches `IngestService`, and Feast's calls that write. Default `local`: they can change what is served.
    pub ingest: Reach,
}

/// On which addresses a service is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// `off`: nowhere.
    Off,
    /// `local`: on the Unix socket, and on TCP if that is bound to loopback. One bound to `0.0.0.0` isn't,
    /// whoever asks there.
    Local,
    /// `everywhere`: also on a TCP address that other machines can reach. Whoever reaches the port may
    /// use it, as there is no authentication yet: that is why it has to be said.
    Everywhere,
}

/// What one client, and all of them, may ask for. Reaching one is `RESOURCE_EXHAUSTED` with its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Rows (entities) of one GetFeatures. Default 4,096: about 20 ms of one core, during which that core
    /// answers nobody else.
    pub rows_max: usize,
    /// Rows of one Ingest request. Default 16,384: a few MiB, applied in about 0.1 s.
    pub ingest_rows_max: usize,
    /// Columns of one request. Default 4,096, as in a batch.
    pub columns_max: usize,
    /// Strings and byte strings of one request. Default 262,144: each costs 24 bytes or more in memory
    /// but only 2 on the wire, so bytes alone wouldn't bound it.
    pub text_elements_max: usize,
    /// Bytes of one request message. Default 4 MiB: 4,096 rows of 1 KiB.
    pub request_bytes_max: usize,
    /// Bytes of one answer. Default 64 MiB; gRPC libraries' own default for clients is 4 MiB.
    pub response_bytes_max: usize,
    /// Bytes of one Ingest message. Default 16 MiB.
    pub ingest_bytes_max: usize,
    /// GetFeatures calls being received or worked on at once, of all connections. Default 64: computing is
    /// bounded by cores, the rest leaves room for messages that are still arriving. One more waits.
    pub requests_in_flight_max: usize,
    /// GetFeatures calls waiting to be begun; one more is refused at once, before it is decoded. Default
    /// 1,024: a burst, not a backlog. A waiting call holds its headers only.
    pub queue_max: usize,
    /// Time a GetFeatures call may wait to be begun, milliseconds; then it is refused, or at once if those before it
    /// take longer as it goes. Default 200: a longer queue would make every answer late, and the client may ask
    /// another sidecar; a container held back by its quota, 100 ms at a time, refuses nothing yet.
    pub queue_wait_ms_max: u64,
    /// Time a message may take to arrive once its call is begun, milliseconds. Default 5,000: 4 MiB at 1
    /// MB/s. A client that sends slowly, or nothing, holds no place for longer. Of Feast's HTTP calls the body comes first
    /// and takes no place meanwhile; all bodies together have `requests_in_flight_max` times `request_bytes_max`.
    pub receive_ms_max: u64,
    /// Time a client may take to take a whole answer, milliseconds; then its connection is closed, which
    /// frees what the answer holds. Default 10,000: 64 MiB at 7 MB/s.
    pub send_ms_max: u64,
    /// Bytes of all answers that clients haven't taken yet; beyond it calls are refused. Default 256 MiB:
    /// four of the largest answers, which clients that read at once never see together.
    pub unsent_bytes_max: usize,
    /// Unary calls of `IngestService` being worked on at once, of all connections; and as many of `AdminService`'s
    /// that only read, counted apart, so that neither keeps the other out. Default 256: decided before anything is
    /// decoded, so that a flood costs a rejection each and no memory.
    pub in_flight_max: usize,
    /// IngestStream calls at once. Default 64: they live long, so they are counted apart.
    pub ingest_streams_max: usize,
    /// Time the client of a stream (IngestStream, Load) may be silent, milliseconds; then the stream is ended and
    /// its place is free. Default 300,000: a source with less to say opens another stream, and `skewless load`
    /// says that it is still there.
    pub stream_idle_ms_max: u64,
    /// Connections at once, each listener. Default 1,024: a connection holds buffers of some 100 KiB.
    pub connections_max: usize,
    /// Calls at once on one connection; a client library waits beyond it. Default 256.
    pub streams_per_connection_max: u32,
    /// Bytes of one call's headers. Default 16 KiB, as in hyper.
    pub header_bytes_max: u32,
    /// Calls of one connection that the server had to reset because they broke HTTP/2, before the
    /// connection is closed. Default 256. gRPC's library would set no limit (a known way to keep a server
    /// busy).
    pub local_reset_streams_max: usize,
    /// Calls of one connection that its client reset before they were looked at, before the connection is
    /// closed. Default 20, as in hyper.
    pub pending_reset_streams_max: usize,
    /// Plans of ad hoc feature lists that are kept; the least recently used is forgotten. Default 256.
    pub ad_hoc_plans_max: usize,
    /// Time a call may take if its client gives no deadline, milliseconds. Default 10,000.
    pub deadline_ms: u64,
    /// Longest time a client's deadline may ask for, milliseconds; a longer one is cut. Default 60,000.
    pub deadline_ms_max: u64,
    /// Bytes of one definition file. Default 4 MiB, and never more: the checker's own limit
    /// (`FILE_BYTES_MAX`).
    pub definition_bytes_max: u64,
    /// Definition files in the feature repo. Default 1,000, and never more: the checker's own limit
    /// (`FILES_MAX`).
    pub definition_files_max: usize,
    /// Connections of the HTTP port at once. Default 64: a few probes and scrapers. One more ends the
    /// oldest, so that no slow client can keep a probe out.
    pub http_connections_max: usize,
    /// Time of one connection of the HTTP port, from its first byte to its last, milliseconds; each answers one
    /// request. Default 5,000.
    pub http_ms_max: u64,
    /// Bytes of a request to the HTTP port. Default 16 KiB, as for gRPC; at least 8 KiB, hyper's least.
    pub http_header_bytes_max: usize,
}

/// Starting, ending, threads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Life {
    /// Time that calls in flight have to end after SIGTERM, milliseconds. Default 20,000: less than the
    /// 30 s after which Kubernetes kills.
    pub grace_ms: u64,
    /// Threads that answer calls; 0: one for each core. Default 0. Calls are computed on them, as handing
    /// one over costs more than most calls.
    pub threads: usize,
    /// Interval of the plugin host's deadline clock, microseconds. Default 1,000: `engine.deadline_ticks`
    /// counts in it.
    pub tick_us: u64,
    /// Silence after which a connection is asked whether it lives, milliseconds. Default 30,000. Ends
    /// connections of clients that vanished.
    pub keepalive_ms: u64,
    /// Time a silent client has to answer that, milliseconds; then its connection is closed. Default
    /// 10,000: longer than a network's worst hiccup.
    pub keepalive_timeout_ms: u64,
    /// Time between two looks for rows that have become due, milliseconds. Default 1,000; a read finds
    /// them by itself, this only keeps them few.
    pub promote_ms: u64,
}

impl Config {
    /// Threads that answer calls; see [`Life::threads`].
    pub(crate) fn threads(&self) -> usize {
        match self.life.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            repo_dir: PathBuf::from("."),
            store_dir: PathBuf::from(".skewless/store"),
            cache_dir: PathBuf::from(".skewless/cache"),
            listen: Listen::default(),
            limits: Limits::default(),
            life: Life::default(),
            store: StoreConfig::default(),
            engine: EngineConfig::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            tcp: Some(SocketAddr::from(([127, 0, 0, 1], 7667))),
            unix: None,
            http: Some(SocketAddr::from(([127, 0, 0, 1], 7668))),
            feast_http: None,
            admin: Reach::Local,
            ingest: Reach::Local,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows_max: 4_096,
            ingest_rows_max: 16_384,
            columns_max: 4_096,
            text_elements_max: 262_144,
            request_bytes_max: 4 << 20,
            response_bytes_max: 64 << 20,
            ingest_bytes_max: 16 << 20,
            requests_in_flight_max: 64,
            queue_max: 1_024,
            queue_wait_ms_max: 200,
            receive_ms_max: 5_000,
            send_ms_max: 10_000,
            unsent_bytes_max: 256 << 20,
            in_flight_max: 256,
            ingest_streams_max: 64,
            stream_idle_ms_max: 300_000,
            connections_max: 1_024,
            streams_per_connection_max: 256,
            header_bytes_max: 16 << 10,
            local_reset_streams_max: 256,
            pending_reset_streams_max: 20,
            ad_hoc_plans_max: 256,
            deadline_ms: 10_000,
            deadline_ms_max: 60_000,
            definition_bytes_max: limit::FILE_BYTES_MAX as u64,
            definition_files_max: limit::FILES_MAX,
            http_connections_max: 64,
            http_ms_max: 5_000,
            http_header_bytes_max: 16 << 10,
        }
    }
}

impl Default for Life {
    fn default() -> Self {
        Self {
            grace_ms: 20_000,
            threads: 0,
            tick_us: 1_000,
            keepalive_ms: 30_000,
            keepalive_timeout_ms: 10_000,
            promote_ms: 1_000,
        }
    }
}

impl Reach {
    /// Whether the service is answered on a listener that only this machine reaches (`local`) or that
    /// others reach, too.
    #[must_use]
    pub fn allows(self, local: bool) -> bool {
        match self {
            Self::Off => false,
            Self::Local => local,
            Self::Everywhere => true,
        }
    }
}

//! The table of configuration keys: name, place, and which values are possible; not the file's syntax.

use std::net::SocketAddr;
use std::path::PathBuf;

use skewless_catalog::limit;

use super::{Config, Reach};

/// Where a value goes and what it may be.
pub(super) enum Target<'a> {
    Usize(&'a mut usize, usize, usize),
    U32(&'a mut u32, u32, u32),
    U64(&'a mut u64, u64, u64),
    I64(&'a mut i64, i64, i64),
    I32(&'a mut i32, i32, i32),
    Bool(&'a mut bool),
    Path(&'a mut PathBuf),
    OptionalPath(&'a mut Option<PathBuf>),
    Address(&'a mut Option<SocketAddr>),
    Reach(&'a mut Reach),
}

/// Largest count or size in bytes that makes sense anywhere: 2^40.
const MANY: usize = 1 << 40;
/// A day in milliseconds: no wait is longer.
const DAY_MS: u64 = 86_400_000;

impl Config {
    /// Every key with its place in the configuration.
    pub(super) fn fields(&mut self) -> Vec<(&'static str, Target<'_>)> {
        use Target::{Address, Bool, I32, I64, OptionalPath, Path, U32, U64, Usize};
        let (listen, limits, life) = (&mut self.listen, &mut self.limits, &mut self.life);
        let (store, engine) = (&mut self.store, &mut self.engine);
        vec![
            ("repo_dir", Path(&mut self.repo_dir)),
            ("store_dir", Path(&mut self.store_dir)),
            ("cache_dir", Path(&mut self.cache_dir)),
            ("listen.tcp", Address(&mut listen.tcp)),
            ("listen.unix", OptionalPath(&mut listen.unix)),
            ("listen.http", Address(&mut listen.http)),
            ("listen.feast_http", Address(&mut listen.feast_http)),
            ("listen.admin", Target::Reach(&mut listen.admin)),
            ("listen.ingest", Target::Reach(&mut listen.ingest)),
            ("limits.rows_max", Usize(&mut limits.rows_max, 1, 1 << 20)),
            ("limits.ingest_rows_max", Usize(&mut limits.ingest_rows_max, 1, 1 << 20)),
            ("limits.columns_max", Usize(&mut limits.columns_max, 1, 4_096)),
            ("limits.text_elements_max", Usize(&mut limits.text_elements_max, 1, 1 << 26)),
            ("limits.request_bytes_max", Usize(&mut limits.request_bytes_max, 1_024, 1 << 30)),
            ("limits.response_bytes_max", Usize(&mut limits.response_bytes_max, 1_024, 1 << 31)),
            ("limits.ingest_bytes_max", Usize(&mut limits.ingest_bytes_max, 1_024, 1 << 30)),
            (
                "limits.requests_in_flight_max",
                Usize(&mut limits.requests_in_flight_max, 1, 1 << 16),
            ),
            ("limits.queue_max", Usize(&mut limits.queue_max, 0, 1 << 20)),
            ("limits.queue_wait_ms_max", U64(&mut limits.queue_wait_ms_max, 1, DAY_MS)),
            ("limits.receive_ms_max", U64(&mut limits.receive_ms_max, 1, DAY_MS)),
            ("limits.send_ms_max", U64(&mut limits.send_ms_max, 1, DAY_MS)),
            ("limits.unsent_bytes_max", Usize(&mut limits.unsent_bytes_max, 1, MANY)),
            ("limits.in_flight_max", Usize(&mut limits.in_flight_max, 1, 1 << 20)),
            ("limits.ingest_streams_max", Usize(&mut limits.ingest_streams_max, 1, 1 << 16)),
            ("limits.stream_idle_ms_max", U64(&mut limits.stream_idle_ms_max, 1, DAY_MS)),
            ("limits.connections_max", Usize(&mut limits.connections_max, 1, 1 << 20)),
            (
                "limits.streams_per_connection_max",
                U32(&mut limits.streams_per_connection_max, 1, 1 << 16),
            ),
            ("limits.header_bytes_max", U32(&mut limits.header_bytes_max, 1_024, 1 << 20)),
            (
                "limits.local_reset_streams_max",
                Usize(&mut limits.local_reset_streams_max, 1, 1 << 16),
            ),
            (
                "limits.pending_reset_streams_max",
                Usize(&mut limits.pending_reset_streams_max, 1, 1 << 16),
            ),
            ("limits.ad_hoc_plans_max", Usize(&mut limits.ad_hoc_plans_max, 1, 1 << 16)),
            ("limits.deadline_ms", U64(&mut limits.deadline_ms, 1, DAY_MS)),
            ("limits.deadline_ms_max", U64(&mut limits.deadline_ms_max, 1, DAY_MS)),
            (
                "limits.definition_bytes_max",
                U64(&mut limits.definition_bytes_max, 1_024, limit::FILE_BYTES_MAX as u64),
            ),
            (
                "limits.definition_files_max",
                Usize(&mut limits.definition_files_max, 1, limit::FILES_MAX),
            ),
            ("limits.http_connections_max", Usize(&mut limits.http_connections_max, 1, 1 << 16)),
            ("limits.http_ms_max", U64(&mut limits.http_ms_max, 1, DAY_MS)),
            (
                "limits.http_header_bytes_max",
                Usize(&mut limits.http_header_bytes_max, 8_192, 1 << 20),
            ),
            ("life.grace_ms", U64(&mut life.grace_ms, 0, DAY_MS)),
            ("life.threads", Usize(&mut life.threads, 0, 1_024)),
            ("life.tick_us", U64(&mut life.tick_us, 100, 1_000_000)),
            ("life.keepalive_ms", U64(&mut life.keepalive_ms, 100, DAY_MS)),
            ("life.keepalive_timeout_ms", U64(&mut life.keepalive_timeout_ms, 100, DAY_MS)),
            ("life.promote_ms", U64(&mut life.promote_ms, 1, DAY_MS)),
            ("store.cache_bytes", Usize(&mut store.cache_bytes, 0, MANY)),
            ("store.hot_bytes", Usize(&mut store.hot_bytes, 0, MANY)),
            ("store.sync", Bool(&mut store.sync)),
            ("store.queue_commands_max", Usize(&mut store.queue_commands_max, 0, MANY)),
            ("store.batch_rows_max", Usize(&mut store.batch_rows_max, 0, MANY)),
            ("store.batch_bytes_max", Usize(&mut store.batch_bytes_max, 0, MANY)),
            ("store.value_bytes_max", Usize(&mut store.value_bytes_max, 0, MANY)),
            ("store.key_bytes_max", Usize(&mut store.key_bytes_max, 0, MANY)),
            ("store.views_max", Usize(&mut store.views_max, 0, MANY)),
            ("store.stage_bytes", Usize(&mut store.stage_bytes, 0, MANY)),
            ("store.read_bytes_max", Usize(&mut store.read_bytes_max, 0, MANY)),
            ("store.read_behind_us_max", I64(&mut store.read_behind_us_max, i64::MIN, i64::MAX)),
            ("store.expired_keep_us", I64(&mut store.expired_keep_us, i64::MIN, i64::MAX)),
            ("store.memtable_bytes", Usize(&mut store.memtable_bytes, 0, MANY)),
            ("store.wal_bytes_max", U64(&mut store.wal_bytes_max, 0, MANY as u64)),
            ("store.background_threads", I32(&mut store.background_threads, i32::MIN, 1_024)),
            ("engine.memory_bytes_max", Usize(&mut engine.memory_bytes_max, 0, MANY)),
            ("engine.table_elements_max", Usize(&mut engine.table_elements_max, 0, MANY)),
            ("engine.stack_bytes_max", Usize(&mut engine.stack_bytes_max, 0, MANY)),
            ("engine.output_bytes_max", Usize(&mut engine.output_bytes_max, 0, MANY)),
            ("engine.input_bytes_max", Usize(&mut engine.input_bytes_max, 0, MANY)),
            ("engine.rows_max", Usize(&mut engine.rows_max, 0, MANY)),
            ("engine.module_bytes_max", Usize(&mut engine.module_bytes_max, 0, MANY)),
            ("engine.signature_bytes_max", Usize(&mut engine.signature_bytes_max, 0, MANY)),
            ("engine.instances_max", U32(&mut engine.instances_max, 0, u32::MAX)),
            ("engine.warm_instances_max", Usize(&mut engine.warm_instances_max, 0, MANY)),
            ("engine.deadline_ticks", U64(&mut engine.deadline_ticks, 0, MANY as u64)),
            ("engine.reset_bytes_max", Usize(&mut engine.reset_bytes_max, 0, MANY)),
            ("engine.keep_resident_bytes", Usize(&mut engine.keep_resident_bytes, 0, MANY)),
        ]
    }
}

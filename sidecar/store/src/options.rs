//! RocksDB's options, each with its reason; not our own limits, which are in `config.rs`.
//!
//! Point lookups of small rows are all we do: the defaults would cost eight times as much a hit and
//! forty times as much a miss.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, DataBlockIndexType, Env, LogLevel,
    Options, WriteOptions,
};

use crate::config::StoreConfig;
use crate::ttl::ExpireFactory;

/// Options of the whole database.
pub(crate) fn database(config: &StoreConfig, recovery: DBRecoveryMode) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    // Compaction gives way to threads that answer calls: on a core that both want, a slice of its is longer than a hundred
    // answers. What writes out memtables keeps its priority, as writes wait for it. Threads are the process's, so the last
    // to set this decides, and all set the same.
    if let Ok(mut environment) = Env::new() {
        environment.lower_thread_pool_cpu_priority();
        options.set_env(&environment);
    }
    options.create_missing_column_families(true);
    // A store that can't trust a file must say so at once.
    options.set_paranoid_checks(true);
    // The default (point in time) takes a flipped bit for the end of the log and silently drops what
    // was acknowledged after it; this mode refuses it, and still opens a log torn by a kill.
    options.set_wal_recovery_mode(recovery);
    // Bounds the replay after a crash. `wal_bytes_per_sync` stays 0: it would leave holes in the log.
    options.set_max_total_wal_size(config.wal_bytes_max);
    // Few background threads: readers wait for cores, not for disks.
    options.set_max_background_jobs(config.background_threads);
    options.set_max_subcompactions(1);
    // Opening a table on a read costs a hundred times a read: keep all open.
    options.set_max_open_files(-1);
    // One thread writes: the machinery for concurrent writers only costs.
    options.set_allow_concurrent_memtable_write(false);
    options.set_enable_write_thread_adaptive_yield(false);
    // RocksDB's own log, bounded: it carries the version and what happened, for support.
    options.set_log_level(LogLevel::Info);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 << 20);
    // Statistics text in that log every ten minutes is of no use to anyone here.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

/// Options of a view's rows.
pub(crate) fn rows(
    config: &StoreConfig,
    cache: &Cache,
    ttl_us: Arc<AtomicI64>,
    clock_us: Arc<AtomicI64>,
) -> Options {
    let mut options = family(config, cache);
    options.set_compaction_filter_factory(ExpireFactory::new(
        ttl_us,
        clock_us,
        config.expired_keep_us,
    ));
    options
}

/// Options of rows that wait, of `meta` and of RocksDB's own default family.
pub(crate) fn family(config: &StoreConfig, cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_block_based_table_factory(&table(cache));
    options.set_write_buffer_size(config.memtable_bytes);
    options.set_max_write_buffer_number(4);
    // A bloom filter over whole keys for the memtable too: a miss there is most lookups' first step.
    options.set_memtable_prefix_bloom_ratio(0.05);
    options.set_memtable_whole_key_filtering(true);
    options.set_level_compaction_dynamic_level_bytes(true);
    // The last level stays filtered (not optimize_filters_for_hits): unknown entities are common,
    // and a miss costs 0.5 us with a filter and 20 us without.
    //
    // LZ4 only on the last level, where nine tenths of the data are: feature rows shrink by a quarter to
    // a half on disk, and a block in the cache is uncompressed anyway.
    options.set_compression_type(DBCompressionType::None);
    options.set_bottommost_compression_type(DBCompressionType::Lz4);
    options
}

fn table(cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    // 4 KiB, one page: smaller blocks cost index memory and were no faster.
    table.set_block_size(4 << 10);
    // 10 bits a key: 1 % false positives; turns a miss from 20 us into 0.5 us.
    table.set_bloom_filter(10.0, false);
    table.set_whole_key_filtering(true);
    // A hash index inside each block: a fifth less CPU a lookup than binary search.
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    table.set_data_block_hash_ratio(0.75);
    // Index and filters stay in memory outside the cache: 18 MB for ten million rows, and no lookup
    // of theirs can be evicted by data.
    table.set_cache_index_and_filter_blocks(false);
    table.set_format_version(6);
    table
}

/// One cache for all views with a size limit. The clock cache takes no lock on a hit.
pub(crate) fn cache(config: &StoreConfig) -> Cache {
    Cache::new_hyper_clock_cache(config.cache_bytes, 0)
}

/// How a batch is written: see [`StoreConfig::sync`].
pub(crate) fn write(config: &StoreConfig) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(config.sync);
    options
}

/// For pointers and schemas: these are rare, and always survive.
pub(crate) fn write_durably() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

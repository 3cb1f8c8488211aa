//! Every limit and default of the store, each with its unit and reason; not RocksDB's own options,
//! which are in `options.rs`.

use std::time::Duration;

use crate::error::StoreError;

/// Limits and defaults of one store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreConfig {
    /// Bytes of the block cache shared by all views. Default 512 MiB: a view that fits is read from
    /// memory (2.8 us a key); what doesn't fit costs a read from the page cache (5 us) or the disk.
    pub cache_bytes: usize,
    /// Bytes of the hot rows in front of the block cache, their index included. Default 256 MiB: a million
    /// rows of ten numbers; a hit costs a twentieth of one in the block cache. 0 switches them off;
    /// less than 1 MiB isn't worth their index.
    pub hot_bytes: usize,
    /// What an acknowledged write survives. `true`: loss of power, as every batch is followed by an
    /// fsync (0.2 to 0.5 ms, shared by the commands that wait together). `false` (default): death of
    /// the process by any signal, but not of the machine; the source replays from its offset.
    pub sync: bool,
    /// Commands that may wait for the apply thread. Default 1,024: at 100 rows each, half a second
    /// of work; more would only hide that the source is faster than the disk.
    pub queue_commands_max: usize,
    /// Rows in one apply call. Default 65,536: bounds one batch in memory and its time in the queue.
    pub batch_rows_max: usize,
    /// Bytes of keys and rows in one apply call. Default 64 MiB; a batch is held in memory three
    /// times (encoded, compared, written).
    pub batch_bytes_max: usize,
    /// Bytes of one encoded row. Default 1 MiB: a 65,536-dimensional embedding is 256 KiB; larger
    /// rows evict everything else from the cache.
    pub value_bytes_max: usize,
    /// Bytes of one encoded key. Default 4,096: keys are held in every index and filter block.
    pub key_bytes_max: usize,
    /// Views in one store, those that left the definitions included. Default 1,024: each is two column
    /// families with their own memtables.
    pub views_max: usize,
    /// Bytes of rows that a bulk load collects before it writes a file. Default 64 MiB, RocksDB's
    /// usual file size: large enough to keep files few, small enough to hold in memory.
    pub stage_bytes: usize,
    /// Bytes of stored rows that one read may copy into its frame. Default 64 MiB, the most a sidecar
    /// answers by default: decided while reading, as a small question can ask for many large rows.
    pub read_bytes_max: usize,
    /// Microseconds that a read's time may lie before a row already applied. Default 60 s. Only the
    /// newest row of a key is kept, so an earlier time can't be answered exactly: within this limit
    /// the read moves its time forward and says so, beyond it is refused.
    pub read_behind_us_max: i64,
    /// Microseconds an expired row is kept whole after its TTL. Default 1 h: requests in flight
    /// and clocks that step back a little still find the value.
    pub expired_keep_us: i64,
    /// Bytes of one view's memtable before it is written out. Default 16 MiB, with the bound on the
    /// WAL it keeps a start after a crash under half a second.
    pub memtable_bytes: usize,
    /// Bytes of WAL after which the oldest memtables are written out. Default 32 MiB: replay costs
    /// about 4 us a row, so 32 MiB of 100-byte rows is about one second at worst.
    pub wal_bytes_max: u64,
    /// Background threads for flush and compaction. Default 2: more would compete with readers,
    /// whose slowest answers are those that wait for a core.
    pub background_threads: i32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 512 << 20,
            hot_bytes: 256 << 20,
            sync: false,
            queue_commands_max: 1_024,
            batch_rows_max: 65_536,
            batch_bytes_max: 64 << 20,
            value_bytes_max: 1 << 20,
            key_bytes_max: 4_096,
            views_max: 1_024,
            stage_bytes: 64 << 20,
            read_bytes_max: 64 << 20,
            read_behind_us_max: 60_000_000,
            expired_keep_us: 3_600_000_000,
            memtable_bytes: 16 << 20,
            wal_bytes_max: 32 << 20,
            background_threads: 2,
        }
    }
}

/// Least cache that RocksDB's clock cache can shard sensibly: 1 MiB.
pub const CACHE_BYTES_MIN: usize = 1 << 20;

/// Least hot rows that are worth their index: 1 MiB.
pub const HOT_BYTES_MIN: usize = 1 << 20;

/// Bytes of key and row together up to which a row is kept hot. A larger one, such as an embedding of a
/// thousand dimensions, costs more to copy than to find, and would push out dozens of others.
pub const HOT_ROW_BYTES_MAX: usize = 4 << 10;

/// Most that `value_bytes_max` may be set to: offsets inside a row are 32 bits, with room to spare.
pub const VALUE_BYTES_MOST: usize = 1 << 30;

/// Most that `read_bytes_max` may be set to, one byte less than 2 GiB: a column's offsets are 31 bits, and all rows
/// of one read may go into one column.
pub const READ_BYTES_MOST: usize = (1 << 31) - 1;

/// How long a read waits for rows that fell due to be moved, unless it is told otherwise: what a sidecar takes for a
/// request by default.
pub const READ_WAIT: Duration = Duration::from_secs(10);

/// Times a read starts again because a swap, a due row or a newer row came between. Each needs a
/// write to the same keys within microseconds; a hundred in a row mean something else is wrong.
pub const READ_ATTEMPTS_MAX: usize = 100;

/// Rows promoted from waiting in one write batch: some megabytes, and a few tens of milliseconds.
pub const PROMOTE_ROWS_MAX: usize = 10_000;

/// Bytes of keys and rows from which on a batch of promoted rows takes no more of them: 16 MiB. Each is held up to
/// three times (found, compared, written), and rows may be up to `value_bytes_max`, so that rows alone bound nothing.
pub const PROMOTE_BYTES_MAX: usize = 16 << 20;

/// Rows of the old generation, or keys written meanwhile, that a merge reads before it pins the store's state anew:
/// some tens of milliseconds, for which a generation that was swapped out stays.
pub const MERGE_ROWS: usize = 10_000;

/// Keys written during a merge that its last step reads again, while everything else waits: ten milliseconds or so.
/// If there are more, they are read beside writes first.
pub const LAST_KEYS_MAX: usize = 1_000;

/// Times a merge reads again what was written meanwhile, before its last step does however much it is. Each time there
/// is less, unless rows are written faster than they are read; then more times don't help.
pub const ROUNDS_MAX: usize = 8;

/// Bytes of keys written during a merge and not read again yet: 64 MiB, some 700,000 keys. Half of it lets it read
/// these before it goes on; beyond it they are let go, and the last step reads everything.
pub const CHANGED_BYTES_MAX: usize = 64 << 20;

/// Rows of waiting commands that are written as one batch, so that they share one fsync.
pub const GROUP_ROWS_MAX: usize = 10_000;

/// Bytes of a source's name.
pub const SOURCE_BYTES_MAX: usize = 1_024;

impl StoreConfig {
    /// Every mistake in the configuration as one sentence each; empty if there is none.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut least = |name: &str, least: usize, came: usize| {
            if came < least {
                found.push(format!("expected {name} of at least {least}, came {came}"));
            }
        };
        least("cache_bytes", CACHE_BYTES_MIN, self.cache_bytes);
        least("queue_commands_max", 1, self.queue_commands_max);
        least("batch_rows_max", 1, self.batch_rows_max);
        least("batch_bytes_max", 4_096, self.batch_bytes_max);
        least("value_bytes_max", 64, self.value_bytes_max);
        least("key_bytes_max", 16, self.key_bytes_max);
        least("views_max", 1, self.views_max);
        least("read_bytes_max", 64, self.read_bytes_max);
        least("stage_bytes", 4_096, self.stage_bytes);
        least("memtable_bytes", 64 << 10, self.memtable_bytes);
        if (1..HOT_BYTES_MIN).contains(&self.hot_bytes) {
            let came = self.hot_bytes;
            found.push(format!(
                "expected hot_bytes of at least {HOT_BYTES_MIN}, or 0 for none, came {came}"
            ));
        }
        if self.wal_bytes_max == 0 {
            found.push("expected wal_bytes_max of at least 1, came 0".to_owned());
        }
        if self.background_threads < 1 {
            let came = self.background_threads;
            found.push(format!("expected background_threads of at least 1, came {came}"));
        }
        for (name, most, came) in [
            ("value_bytes_max", VALUE_BYTES_MOST, self.value_bytes_max),
            ("read_bytes_max", READ_BYTES_MOST, self.read_bytes_max),
        ] {
            if came > most {
                found.push(format!("expected {name} of at most {most}, came {came}"));
            }
        }
        for (name, came) in [
            ("read_behind_us_max", self.read_behind_us_max),
            ("expired_keep_us", self.expired_keep_us),
        ] {
            if came < 0 {
                found.push(format!("expected {name} of at least 0, came {came}"));
            }
        }
        found
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let mistakes = self.mistakes();
        if mistakes.is_empty() { Ok(()) } else { Err(StoreError::Config { mistakes }) }
    }
}

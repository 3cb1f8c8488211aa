//! Reclaims expired rows while RocksDB compacts; not the rule, which is judged at every read.
//!
//! An expired row is not removed but shrunk to a husk with its times: a reader still gets
//! OUTSIDE_MAX_AGE, and late data still loses against it. RocksDB applies filters whatever snapshots
//! exist; that is harmless, as a row is only shrunk `expired_keep_us` after every reader at a current
//! time would call it expired anyway. The clock is the owner's: `clock_us`, set by [`crate::Store::tick`].
//!
//! Limits: it sees only what is compacted; nothing here can panic, as that would abort the process.

use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rocksdb::CompactionDecision;
use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};

use crate::row::{self, HEADER_BYTES, Row};

/// The TTL of a view that has none.
pub(crate) const NO_TTL: i64 = i64::MAX;

/// Makes a filter per compaction.
pub(crate) struct ExpireFactory {
    ttl_us: Arc<AtomicI64>,
    clock_us: Arc<AtomicI64>,
    keep_us: i64,
}

pub(crate) struct Expire {
    /// Rows with an event time before this are shrunk.
    before_us: i64,
    husk: [u8; HEADER_BYTES],
}

impl ExpireFactory {
    pub(crate) fn new(ttl_us: Arc<AtomicI64>, clock_us: Arc<AtomicI64>, keep_us: i64) -> Self {
        Self { ttl_us, clock_us, keep_us }
    }
}

impl CompactionFilterFactory for ExpireFactory {
    type Filter = Expire;

    fn create(&mut self, _context: CompactionFilterContext) -> Expire {
        let ttl_us = self.ttl_us.load(Ordering::Relaxed);
        let clock_us = self.clock_us.load(Ordering::Relaxed);
        let before_us = match ttl_us {
            NO_TTL => i64::MIN,
            ttl_us => clock_us.saturating_sub(ttl_us).saturating_sub(self.keep_us),
        };
        Expire { before_us, husk: [0; HEADER_BYTES] }
    }

    fn name(&self) -> &CStr {
        c"skewless.expire"
    }
}

impl CompactionFilter for Expire {
    fn filter(&mut self, _level: u32, _key: &[u8], value: &[u8]) -> CompactionDecision {
        // What can't be read is left as it is: the reader reports it.
        let Ok(found) = Row::parse_times(value) else { return CompactionDecision::Keep };
        if found.event_us >= self.before_us || found.husk || found.deleted {
            return CompactionDecision::Keep;
        }
        self.husk = row::husk(found.event_us, found.known_us);
        CompactionDecision::Change(self.husk_static())
    }

    fn name(&self) -> &CStr {
        c"skewless.expire"
    }
}

impl Expire {
    #[expect(unsafe_code, reason = "the crate asks for 'static where RocksDB copies at once")]
    fn husk_static(&self) -> &'static [u8] {
        // SAFETY: RocksDB's C wrapper copies the bytes into its own string before the callback that
        // `filter` is called from returns, and this filter, which holds them, outlives that call and
        // is used by one thread. `expired_rows_become_husks` compares the bytes that come back.
        unsafe { std::slice::from_raw_parts(self.husk.as_ptr(), HEADER_BYTES) }
    }
}

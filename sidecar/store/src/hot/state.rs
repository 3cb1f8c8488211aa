//! The one state an attempt of a read reads, in RocksDB and in the hot rows alike; not which rows it reads.
//!
//! As long as every key is hot there is no snapshot: the state is the newest one, if all of it was marked.
//! RocksDB is asked for the first key that isn't, by a snapshot; it is of the same state if nothing was
//! written meanwhile, and if something was the read starts again, by snapshot from the start. That can't
//! be overtaken by writes. A batch that is committed but not marked, some microseconds, is the one moment
//! in which hot rows aren't used at all: those of before it would answer after a snapshot saw it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rocksdb::{ReadOptions, SnapshotWithThreadMode};

use crate::live::{Db, Live, Shared};

pub(crate) struct State<'a> {
    db: &'a Db,
    sequence: u64,
    /// Whether hot rows may be used.
    hot: bool,
    // Order matters: the options point at the snapshot.
    snapshot: Option<(ReadOptions, SnapshotWithThreadMode<'a, Db>)>,
}

impl<'a> State<'a> {
    /// The newest state.
    pub(crate) fn newest(shared: &Shared, live: &'a Live) -> Self {
        let through = shared.hot.through();
        // Loaded after it, so that at this moment nothing was there that wasn't marked.
        if shared.hot.is_on() && live.db.latest_sequence_number() == through {
            return Self { db: &live.db, sequence: through, hot: true, snapshot: None };
        }
        Self::of_snapshot(shared, live)
    }

    /// The newest state, held by a snapshot.
    pub(crate) fn of_snapshot(shared: &Shared, live: &'a Live) -> Self {
        let snapshot = take(&live.db);
        let sequence = snapshot.1.sequence_number();
        let hot = shared.hot.is_on() && shared.hot.through() >= sequence;
        Self { db: &live.db, sequence, hot, snapshot: Some(snapshot) }
    }

    /// Whether in this state these are the current generations and no row waits that is due at the time.
    ///
    /// A row that waits in this state lowered the next due time before it was written. It is raised again only
    /// after the promotion was published, which the last look would see.
    pub(crate) fn is_settled(&self, shared: &Shared, live: &Arc<Live>, as_of_us: i64) -> bool {
        let same = shared.live.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, live));
        same && shared.next_due_us.load(Ordering::SeqCst) > as_of_us
            && shared.hot.through() <= self.sequence
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn uses_hot(&self) -> bool {
        self.hot
    }

    /// How RocksDB is asked for this state; `None` if it has gone on and can't be asked any more.
    pub(crate) fn options(&mut self) -> Option<&ReadOptions> {
        let (options, snapshot) = self.snapshot.get_or_insert_with(|| take(self.db));
        (snapshot.sequence_number() == self.sequence).then_some(options)
    }
}

fn take(db: &Db) -> (ReadOptions, SnapshotWithThreadMode<'_, Db>) {
    let snapshot = db.snapshot();
    let mut options = ReadOptions::default();
    options.set_snapshot(&snapshot);
    (options, snapshot)
}

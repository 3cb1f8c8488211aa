//! `gate.rs` itself, compiled once more over loom's types and run in the interleavings that memory may show with up to two preemptions;
//! not the shelf, the read or RocksDB, which stands here as one number.
//!
//! Two keys of one bucket: batch 1 writes both, batch 2 only the first. So the value of a key at a sequence is
//! known, and a reader that is given a row can tell whether it is of the state it reads.

use loom::sync::Arc;
use loom::sync::atomic::Ordering::{Acquire, Release};
use loom::thread;

use gate::{Bucket, Kept, Marked};
use sync::{AtomicU64, Row};

#[path = "gate.rs"]
#[expect(dead_code, reason = "when a line of cache comes is not the model's to say")]
#[expect(clippy::duplicate_mod, reason = "the very code that serves, over loom's types")]
mod gate;

mod sync {
    //! What `gate.rs` stands on when it is modelled.

    use std::sync::PoisonError;

    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};

    pub(super) const WAYS: usize = 2;

    /// Small enough for a cell of one word.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Row {
        pub(super) key: [u8; 1],
        pub(super) since: u64,
        pub(super) value: u64,
    }

    pub(super) type Key<'a> = &'a [u8];
    pub(super) type Held = Option<Row>;

    #[derive(Default)]
    pub(super) struct Cell(AtomicU64);

    impl Cell {
        pub(super) fn load(&self) -> Held {
            let word = self.0.load(Ordering::Acquire);
            let byte = |at: u32| word >> (8 * at) & 0xFF;
            (word != 0).then(|| Row { key: [byte(0) as u8], since: byte(1), value: byte(2) })
        }

        pub(super) fn swap(&self, row: Option<Row>) -> Option<Row> {
            let word =
                row.map_or(0, |row| u64::from(row.key[0]) | row.since << 8 | row.value << 16);
            let before = self.load();
            self.0.swap(word, Ordering::AcqRel);
            before
        }
    }

    #[derive(Default)]
    pub(super) struct Lock(loom::sync::Mutex<u64>);

    type Guard<'a> = loom::sync::MutexGuard<'a, u64>;

    impl Lock {
        pub(super) fn lock(&self) -> Guard<'_> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        pub(super) fn try_lock(&self) -> Option<Guard<'_>> {
            self.0.try_lock().ok()
        }
    }
}

impl Kept for Row {
    fn is_of(&self, key: &[u8]) -> bool {
        self.key == key
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn since(&self) -> u64 {
        self.since
    }
}

/// Batch 1 writes it.
const SECOND: u8 = 1;
/// Both batches write it.
const FIRST: u8 = 2;
const TAG: u8 = 7;

/// What `key` is at a sequence.
fn value_at(key: u8, sequence: u64) -> u64 {
    if key == FIRST { sequence } else { sequence.min(1) }
}

struct World {
    /// Sequence of the last batch that was committed: all that RocksDB is here.
    committed: AtomicU64,
    marked: Marked,
    bucket: Bucket,
}

impl World {
    fn new() -> Arc<Self> {
        let (committed, marked) = (AtomicU64::new(0), Marked::new(0));
        Arc::new(Self { committed, marked, bucket: Bucket::default() })
    }

    /// A snapshot: its sequence, which says what every key is.
    fn snapshot(&self) -> u64 {
        self.committed.load(Acquire)
    }

    fn write(&self, sequence: u64, keys: &[u8], publish_first: bool) {
        self.committed.store(sequence, Release);
        if publish_first {
            self.marked.publish(sequence);
        }
        for key in keys {
            let row = Row { key: [*key], since: sequence, value: value_at(*key, sequence) };
            // The first batch takes rows away, the second replaces them.
            let next = |_: &Row| (sequence > 1).then_some(row);
            self.bucket.mark(TAG, &[*key], sequence, next);
        }
        self.marked.publish(sequence);
    }

    /// Reads a key by a snapshot and keeps what came, as of `since`.
    fn fill(&self, key: u8, since: impl FnOnce(u64) -> u64) {
        let sequence = self.snapshot();
        let value = value_at(key, sequence);
        // Nobody needs to know whether it was kept, or what went for it.
        let _ = self.bucket.fill(TAG, Row { key: [key], since: since(sequence), value });
    }

    /// Reads both keys where a read may use hot rows; what it is given must be of its state.
    fn read(&self) {
        let snapshot = self.snapshot();
        let through = self.marked.through();
        if through < snapshot {
            return;
        }
        self.check(snapshot);
        if self.snapshot() == through {
            assert!(through >= snapshot, "a read went back");
            self.check(through);
        }
    }

    fn check(&self, sequence: u64) {
        for key in [FIRST, SECOND] {
            if let Some(row) = self.bucket.find(TAG, &[key], sequence).flatten() {
                let expected = value_at(key, sequence);
                assert_eq!(row.value, expected, "a row of another state");
            }
        }
    }
}

fn run(world: impl Fn() -> Arc<World> + Sync + Send + 'static, publish_first: bool, honest: bool) {
    let mut model = loom::model::Builder::new();
    // Two switches that nothing forces, in any place, are what every known race here needs; three take minutes.
    model.preemption_bound = Some(2);
    model.check(move || {
        let world = world();
        let (writes, fills) = (world.clone(), world.clone());
        let writer = thread::spawn(move || {
            writes.write(1, &[FIRST, SECOND], publish_first);
            writes.write(2, &[FIRST], publish_first);
        });
        let filler = thread::spawn(move || {
            // One of the two goes if they are there.
            let _ = fills.bucket.evict();
            fills.fill(FIRST, |sequence| if honest { sequence } else { fills.marked.through() });
        });
        world.read();
        writer.join().unwrap_or_else(|_| panic!("the writer panicked"));
        filler.join().unwrap_or_else(|_| panic!("the filler panicked"));
        world.read();
    });
}

/// A world in which both keys are hot from the start.
fn warm() -> Arc<World> {
    let world = World::new();
    world.fill(FIRST, |sequence| sequence);
    world.fill(SECOND, |sequence| sequence);
    world
}

#[test]
fn no_interleaving_gives_a_row_of_another_state() {
    run(World::new, false, true);
}

#[test]
fn no_interleaving_with_rows_that_were_hot_gives_a_row_of_another_state() {
    run(warm, false, true);
}

/// The race everyone has at first: a row is kept as if it were of the moment it is put, not of that it was read.
#[test]
#[should_panic(expected = "a row of another state")]
fn the_model_catches_a_fill_that_forgets_when_it_read() {
    run(World::new, false, false);
}

#[test]
#[should_panic(expected = "a row of another state")]
fn the_model_catches_a_writer_that_publishes_before_it_marks() {
    run(warm, true, true);
}

//! What can only be provoked from inside: a full queue, a panic on the apply thread, a write that fails within a group.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;

use skewless_batch::{Column, Type};
use skewless_catalog::ViewSchema;
use skewless_catalog::visibility::Rule;

use super::*;
use crate::apply::{Group, Verdict};
use crate::config::{PROMOTE_BYTES_MAX, StoreConfig};
use crate::meta::Meta;
use crate::schema::install;
use crate::views::ViewSet;
use crate::{open, pending};

fn start(queue_commands_max: usize) -> (tempfile::TempDir, Applier, ViewSet) {
    start_with(queue_commands_max, vec![])
}

fn start_with(
    queue_commands_max: usize,
    features: Vec<(String, Type)>,
) -> (tempfile::TempDir, Applier, ViewSet) {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { queue_commands_max, cache_bytes: 1 << 20, ..StoreConfig::default() };
    let (shared, _) = open::open(dir.path(), config).unwrap();
    let applier = Applier::start(shared).unwrap();
    let schema = schema(features);
    let views = applier.control(move |shared| install(shared, &[schema])).unwrap();
    (dir, applier, views)
}

fn schema(features: Vec<(String, Type)>) -> ViewSchema {
    ViewSchema {
        name: "view".to_owned(),
        entity: "thing".to_owned(),
        keys: vec![("id".to_owned(), Type::Int64)],
        features,
        rule: Rule::default(),
    }
}

fn row() -> Rows {
    let mut key = Column::new(Type::Int64);
    key.push_i64(1);
    let (event_us, known_us, deleted) = (vec![1], vec![1], vec![false]);
    Rows { keys: vec![key], event_us, known_us, deleted, features: vec![] }
}

/// Keeps the apply thread, which is there when this returns, until what it gives is dropped; then it does `last`.
fn hold(applier: &Applier, last: impl FnOnce() + Send + 'static) -> SyncSender<()> {
    let (go, wait) = sync_channel::<()>(0);
    let (entered, inside) = channel();
    applier.control_soon(move |_| {
        entered.send(()).unwrap();
        wait.recv().unwrap_or(());
        last();
    });
    inside.recv().unwrap();
    go
}

#[test]
fn a_full_queue_refuses_and_loses_nothing() {
    let (_dir, applier, views) = start(1);
    let view = views.by_name("view").unwrap();
    let (entered, inside) = channel();
    let (release, released) = channel::<()>();
    std::thread::scope(|scope| {
        let blocking = scope.spawn(|| {
            applier.control(move |_| {
                entered.send(()).unwrap();
                released.recv().unwrap();
                Ok(())
            })
        });
        inside.recv().unwrap();
        applier.offer(Command::Wake).unwrap();
        let refused = applier.apply(view, &row(), 10, None).unwrap_err();
        assert!(matches!(refused, StoreError::QueueFull { limit: 1 }), "{refused}");
        release.send(()).unwrap();
        blocking.join().unwrap().unwrap();
    });
    applier.promote(0, std::time::Duration::MAX).unwrap();
    assert_eq!(applier.apply(view, &row(), 10, None).unwrap().verdicts, [Verdict::Applied]);
}

#[test]
fn a_panic_poisons_the_store_and_says_so() {
    let (_dir, applier, views) = start(4);
    let view = views.by_name("view").unwrap();
    applier.apply(view, &row(), 10, None).unwrap();
    let lost = applier.control::<()>(|_| panic!("a defect")).unwrap_err();
    assert!(matches!(lost, StoreError::Poisoned { .. }), "{lost}");
    let refused = applier.apply(view, &row(), 10, None).unwrap_err();
    assert!(
        matches!(&refused, StoreError::Poisoned { message } if message == "a defect"),
        "{refused}"
    );
}

#[test]
fn a_read_waits_for_due_rows_no_longer_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let (shared, _) = open::open(dir.path(), StoreConfig::default()).unwrap();
    let applier = Applier::start(shared).unwrap();
    // As a bulk load does, this keeps the thread.
    let go = hold(&applier, || ());
    let refused = applier.promote(0, std::time::Duration::from_millis(30)).unwrap_err();
    assert!(matches!(refused, StoreError::Busy { waited_ms: 30 }), "{refused}");
    drop(go);
    applier.promote(0, std::time::Duration::MAX).unwrap();
}

/// It needs no place in the queue, so nobody has to tell it that there is one.
#[test]
fn a_read_that_finds_the_queue_full_is_served_as_soon_as_the_thread_goes_on() {
    let (_dir, applier, _views) = start(1);
    let go = hold(&applier, || ());
    applier.offer(Command::Wake).unwrap();
    let full = applier.offer(Command::Wake).unwrap_err();
    assert!(matches!(full, StoreError::QueueFull { limit: 1 }), "{full}");
    let refused = applier.promote(0, Duration::from_millis(30)).unwrap_err();
    assert!(matches!(refused, StoreError::Busy { waited_ms: 30 }), "{refused}");
    std::thread::scope(|scope| {
        let readers = [0, 1, 2].map(|t_us| {
            let applier = &applier;
            scope.spawn(move || applier.promote(t_us, Duration::MAX))
        });
        drop(go);
        readers.into_iter().for_each(|reader| reader.join().unwrap().unwrap());
    });
}

/// Whether they are waiting already when it happens or come later.
#[test]
fn a_panic_lets_go_of_reads_that_wait() {
    let (_dir, applier, _views) = start(4);
    let go = hold(&applier, || panic!("a defect"));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| applier.promote(0, Duration::MAX));
        drop(go);
        let refused = reader.join().unwrap().unwrap_err();
        assert!(
            matches!(&refused, StoreError::Poisoned { message } if message == "a defect"),
            "{refused}"
        );
    });
}

/// Else readers of due rows would make the queue refuse rows.
#[test]
fn reads_that_wait_take_one_place_in_the_queue_however_many_they_are() {
    let (_dir, applier, _views) = start(2);
    let go = hold(&applier, || ());
    (0..9).for_each(|t_us| applier.promote_soon(t_us));
    applier.offer(Command::Wake).unwrap();
    let full = applier.offer(Command::Wake).unwrap_err();
    assert!(matches!(full, StoreError::QueueFull { limit: 2 }), "{full}");
    drop(go);
}

#[test]
fn one_batch_of_promoted_rows_is_bounded_in_bytes() {
    const ROWS: i64 = 50;
    const ROW_BYTES: usize = 1_000_000;
    let (_dir, applier, views) = start_with(4, vec![("value".to_owned(), Type::Binary)]);
    let view = views.by_name("view").unwrap();
    for at in 0..ROWS {
        let (mut key, mut value) = (Column::new(Type::Int64), Column::new(Type::Binary));
        key.push_i64(at);
        value.push_binary(&vec![7; ROW_BYTES]);
        let (event_us, known_us, deleted) = (vec![50], vec![50], vec![false]);
        let rows = Rows { keys: vec![key], event_us, known_us, deleted, features: vec![value] };
        assert_eq!(applier.apply(view, &rows, 10, None).unwrap().verdicts, [Verdict::Pending]);
    }
    let due = |t_us| {
        let index = view.stored.index;
        applier.control(move |shared| pending::due(shared, &*shared.pinned()?, index, t_us))
    };
    let first = due(50).unwrap();
    let bytes: usize = first.rows.iter().map(|(key, row)| key.len() + row.len()).sum();
    assert!(first.more && first.rows.len() < ROWS as usize, "{} rows", first.rows.len());
    assert!(bytes >= PROMOTE_BYTES_MAX && bytes - ROW_BYTES < PROMOTE_BYTES_MAX + 100, "{bytes}");
    applier.promote(50, std::time::Duration::MAX).unwrap();
    let rest = due(i64::MAX).unwrap();
    assert!(rest.rows.is_empty() && !rest.more, "{} rows wait on", rest.rows.len());
}

/// Else a source that sends ahead would be told that what failed is there.
#[test]
fn after_a_failed_write_the_rest_of_the_group_is_refused_and_no_offset_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { cache_bytes: 1 << 20, ..StoreConfig::default() };
    let (shared, _) = open::open(dir.path(), config).unwrap();
    let views = install(&shared, &[schema(vec![])]).unwrap();
    let view = views.by_name("view").unwrap();
    let command = |offset| {
        let (reply, answer) = sync_channel(1);
        let rows = encode(&shared, view, &row()).unwrap();
        let source = Some(SourceOffset { source: "s".to_owned(), offset });
        let stored = view.stored.clone();
        (ApplyCommand { stored, rows, now_us: 10, source, reply }, answer)
    };
    let [(first, one), (second, two), (third, three)] = [1, 2, 3].map(command);
    let mut group = Group::default();
    group.take(&shared, first);
    // Something is due, so what was taken is written before that is promoted; and just this write fails.
    shared.next_due_us.store(0, Ordering::SeqCst);
    let live = shared.live.swap(None);
    group.take(&shared, second);
    shared.live.store(live);
    group.take(&shared, third);
    group.finish(&shared);
    for answer in [one, two, three] {
        let refused = answer.recv().unwrap().unwrap_err();
        assert!(matches!(refused, StoreError::Closed { .. }), "{refused}");
    }
    let live = shared.pinned().unwrap();
    let meta = Meta { db: &live.db, family: &live.meta };
    assert_eq!(meta.offset("s").unwrap(), None);
    // The next group begins anew.
    let (again, answer) = command(3);
    group.take(&shared, again);
    group.finish(&shared);
    assert_eq!(answer.recv().unwrap().unwrap().verdicts, [Verdict::Applied]);
    assert_eq!(meta.offset("s").unwrap(), Some(3));
}

//! The newest due row wins whatever the order of arrival; checked against a slow obvious oracle.

use proptest::prelude::*;
use skewless_catalog::Status;
use skewless_catalog::frame::EVENT_NONE_US;
use skewless_catalog::visibility::{Boundary, Judged, Newest, Rule, Stamp};
use skewless_store::{SourceOffset, Verdict};

use crate::fixture::{Given, Got, Shop, given, rows};

/// Everything that arrived, in order; asked by scanning all of it.
#[derive(Default)]
struct Oracle {
    arrived: Vec<Given>,
}

impl Oracle {
    fn read(&self, rule: Rule, key: i64, t_us: i64) -> Got {
        let of_key = self.arrived.iter().enumerate().filter(|(_, row)| row.key == key);
        let stamped = of_key.map(|(at, row)| {
            let (event_us, known_us) = (row.event_us, row.known_us);
            (Stamp { event_us, known_us, position: at as u64 }, row)
        });
        let due = stamped.filter(|(stamp, _)| rule.due_us(stamp) <= t_us);
        let newest = due.max_by_key(|(stamp, _)| *stamp).map(|(_, row)| row);
        let judged = newest.map(|row| Newest { event_us: row.event_us, deleted: row.deleted });
        match (rule.judge(judged, t_us), newest) {
            (Judged::Visible, Some(row)) => match row.value {
                Some(value) => (Status::Present, Some(value), row.event_us),
                None => (Status::NullValue, None, row.event_us),
            },
            (Judged::OutsideMaxAge, Some(row)) => (Status::OutsideMaxAge, None, row.event_us),
            _ => (Status::NotFound, None, EVENT_NONE_US),
        }
    }
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let boundary = prop_oneof![Just(Boundary::Inclusive), Just(Boundary::Exclusive)];
    (boundary, proptest::option::of(0_i64..30), 0_i64..10)
        .prop_map(|(boundary, ttl_us, lag_us)| Rule { boundary, ttl_us, lag_us })
}

fn any_row() -> impl Strategy<Value = Given> {
    // Few keys and times, so that late, tied, duplicate, dead and waiting rows are all common.
    (0_i64..3, 0_i64..60, 0_i64..4, proptest::bool::weighted(0.1), proptest::option::of(0_i64..3))
        .prop_map(|(key, event_us, after, deleted, value)| {
            let value = if deleted { None } else { value };
            Given { key, event_us, known_us: event_us + after * 5, deleted, value }
        })
}

/// Steps of the clock with what arrives at each.
fn any_history() -> impl Strategy<Value = Vec<(i64, Vec<Given>)>> {
    proptest::collection::vec((0_i64..12, proptest::collection::vec(any_row(), 0..6)), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn reads_agree_with_a_scan_of_all_history(rule in any_rule(), history in any_history()) {
        let dir = tempfile::tempdir().unwrap();
        let mut shop = Shop::open(dir.path(), rule);
        let mut oracle = Oracle::default();
        let mut now_us = 0;
        let keys = [2, 0, 1, 3, 0];
        for (at, (step_us, arriving)) in history.into_iter().enumerate() {
            now_us += step_us;
            oracle.arrived.extend(arriving.iter().cloned());
            shop.apply(&arriving, now_us);
            if at % 4 == 3 {
                drop(shop);
                shop = Shop::open(dir.path(), rule);
            }
            for t_us in [now_us, now_us + 3] {
                now_us = t_us;
                let expected: Vec<_> = keys.iter().map(|key| oracle.read(rule, *key, t_us)).collect();
                prop_assert_eq!(shop.read(&keys, t_us), expected, "at {}", t_us);
            }
        }
        // Long after everything is due, and with the batched read of many keys.
        let many: Vec<_> = keys.iter().copied().cycle().take(40).collect();
        let expected: Vec<_> = many.iter().map(|key| oracle.read(rule, *key, 100)).collect();
        prop_assert_eq!(shop.read(&many, 100), expected);
    }

    #[test]
    fn any_order_of_arrival_gives_the_same_state(
        rows in proptest::collection::vec(any_row(), 0..30), order in any::<u64>(), split in 1_usize..9,
    ) {
        // Without ties, which arrival decides: every stamp of a key once.
        let mut unique = rows;
        unique.sort_by_key(|row| (row.key, row.event_us, row.known_us));
        unique.dedup_by_key(|row| (row.key, row.event_us, row.known_us));
        let mut shuffled = unique.clone();
        shuffled.sort_by_key(|row| {
            let seed = (row.key as u64) << 32 | (row.event_us as u64) << 16 | row.known_us as u64;
            (seed ^ order).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        });
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, second) =
            (Shop::open(one.path(), Rule::default()), Shop::open(other.path(), Rule::default()));
        first.apply(&unique, 50);
        shuffled.chunks(split).for_each(|chunk| { second.apply(chunk, 50); });
        for t_us in [50, 60, 100] {
            prop_assert_eq!(first.read(&[0, 1, 2], t_us), second.read(&[0, 1, 2], t_us));
        }
    }
}

#[test]
fn verdicts_say_what_became_of_each_row() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    let batch =
        [given(1, 10, 1), given(1, 5, 2), given(1, 10, 1), given(1, 10, 3), given(1, 200, 4)];
    use Verdict::{Applied, Duplicate, Pending, Stale};
    assert_eq!(shop.apply(&batch, 100), [Applied, Stale, Duplicate, Applied, Pending]);
    assert_eq!(shop.apply(&[given(1, 200, 4), given(1, 10, 3)], 100), [Duplicate, Duplicate]);
    assert_eq!(shop.read(&[1], 199), [(Status::Present, Some(3), 10)]);
    assert_eq!(shop.read(&[1], 200), [(Status::Present, Some(4), 200)]);
    assert_eq!(shop.apply(&[given(1, 150, 9)], 201), [Stale]);
}

#[test]
fn a_waiting_row_survives_a_restart_and_falls_due_by_the_tick() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    assert_eq!(shop.apply(&[given(1, 50, 7)], 10), [Verdict::Pending]);
    drop(shop);
    let shop = Shop::open(dir.path(), Rule::default());
    assert_eq!(shop.store.info().unwrap().next_due_us, Some(50));
    shop.store.tick(60);
    // Before anything is read, as a read promotes by itself.
    let promoted = (0..100_000).any(|_| {
        std::thread::yield_now();
        shop.store.info().unwrap().next_due_us.is_none()
    });
    assert!(promoted, "the tick promoted nothing");
    assert_eq!(shop.read(&[1], 60), [(Status::Present, Some(7), 50)]);
}

#[test]
fn source_offsets_stand_where_the_rows_stand() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    assert_eq!(shop.store.source_offset("s").unwrap(), None);
    let offset = |offset| Some(SourceOffset { source: "s".to_owned(), offset });
    shop.store.apply(shop.view(), &rows(&[given(1, 1, 1)]), 9, offset(41)).unwrap();
    drop(shop);
    let shop = Shop::open(dir.path(), Rule::default());
    assert_eq!(shop.store.source_offset("s").unwrap(), Some(41));
    let mut bad = rows(&[given(2, 1, 1)]);
    bad.keys[0].clear();
    bad.keys[0].push_null();
    shop.store.apply(shop.view(), &bad, 9, offset(42)).unwrap_err();
    assert_eq!(shop.store.source_offset("s").unwrap(), Some(41));
}

#[test]
fn a_read_overtaken_by_newer_rows_says_so_or_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    shop.apply(&[given(1, 10, 1)], 10);
    shop.apply(&[given(1, 5_000, 2)], 5_000);
    let mut frame = skewless_catalog::Frame::new(&shop.plan);
    frame.reset(1);
    frame.keys[0].push_i64(1);
    let mut scratch = skewless_store::ReadScratch::default();
    shop.store.read(&shop.bound, 4_990, &mut frame, &mut scratch).unwrap();
    assert_eq!(scratch.as_of_us(), 5_000);
    assert_eq!(crate::fixture::got(&frame, 0, 0), (Status::Present, Some(2), 5_000));
    let t_us = 5_000 - shop_config().read_behind_us_max - 1;
    let refused = shop.try_read(&[1], t_us).unwrap_err();
    assert!(
        matches!(refused, skewless_store::StoreError::ReadInThePast { least_us: 5_000, .. }),
        "{refused}"
    );
}

#[test]
fn a_timed_read_says_when_each_lookup_starts_and_ends_in_every_attempt() {
    use skewless_store::LookupPhase::{End, Start};
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    shop.apply(&[given(1, 5_000, 2)], 5_000);
    // At 4,990 the row found is of a later time, so that the read starts again.
    for (t_us, expected) in
        [(5_000, vec![(0, Start), (0, End)]), (4_990, [(0, Start), (0, End)].repeat(2))]
    {
        let mut frame = skewless_catalog::Frame::new(&shop.plan);
        frame.reset(1);
        frame.keys[0].push_i64(1);
        let (mut scratch, mut said) = (skewless_store::ReadScratch::default(), Vec::new());
        let moment = &mut |lookup, phase| said.push((lookup, phase));
        shop.store.read_timed(&shop.bound, t_us, &mut frame, &mut scratch, moment).unwrap();
        assert_eq!(said, expected, "at {t_us}");
    }
}

fn shop_config() -> skewless_store::StoreConfig {
    crate::fixture::config()
}

#[test]
fn null_keys_are_not_found_and_repeated_keys_are_all_answered() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), Rule::default());
    shop.apply(&[given(1, 1, 11), given(2, 1, 22)], 9);
    for repeat in [1, 30] {
        let mut frame = skewless_catalog::Frame::new(&shop.plan);
        frame.reset(3 * repeat);
        for _ in 0..repeat {
            frame.keys[0].push_i64(2);
            frame.keys[0].push_null();
            frame.keys[0].push_i64(1);
        }
        let scratch = &mut skewless_store::ReadScratch::default();
        shop.store.read(&shop.bound, 9, &mut frame, scratch).unwrap();
        for at in 0..repeat {
            assert_eq!(crate::fixture::got(&frame, 0, 3 * at), (Status::Present, Some(22), 1));
            let absent = (Status::NotFound, None, EVENT_NONE_US);
            assert_eq!(crate::fixture::got(&frame, 0, 3 * at + 1), absent);
            assert_eq!(crate::fixture::got(&frame, 0, 3 * at + 2), (Status::Present, Some(11), 1));
        }
    }
}

#[test]
fn expired_rows_become_husks_and_stay_outside_max_age() {
    let dir = tempfile::tempdir().unwrap();
    let rule = Rule { ttl_us: Some(100), ..Rule::default() };
    let config = skewless_store::StoreConfig { expired_keep_us: 50, ..shop_config() };
    let shop = Shop::open_with(dir.path(), rule, config).unwrap();
    shop.apply(&[given(1, 10, 1), given(2, 200, 2)], 200);
    shop.store.flush().unwrap();
    shop.store.tick(161);
    shop.store.reclaim().unwrap();
    let (old, young) = ((Status::OutsideMaxAge, None, 10), (Status::Present, Some(2), 200));
    assert_eq!(shop.read(&[1, 2], 300), [old, young]);
    // Late data still loses against the husk, newer data still wins.
    assert_eq!(
        shop.apply(&[given(1, 9, 5), given(1, 10, 6)], 300),
        [Verdict::Stale, Verdict::Duplicate]
    );
    assert_eq!(shop.read(&[1], 300), [old]);
    // The value is really gone: a raised TTL doesn't bring it back.
    drop(shop);
    let forever = Rule { ttl_us: None, ..rule };
    let shop = Shop::open(dir.path(), forever);
    assert_eq!(shop.read(&[1, 2], 300), [old, young]);
    assert_eq!(shop.apply(&[given(1, 250, 8)], 300), [Verdict::Applied]);
    assert_eq!(shop.read(&[1], 300), [(Status::Present, Some(8), 250)]);
}

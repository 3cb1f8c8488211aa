//! Hot rows change nothing but the time a read takes: every answer is the one of RocksDB alone at its sequence.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use proptest::prelude::*;
use skewless_catalog::visibility::{Judged, Newest, Rule, Stamp};
use skewless_catalog::{Frame, Status};
use skewless_store::{CommitMode, HotInfo, ReadScratch, StoreConfig};

use crate::fixture::{Given, Got, Shop, config, given, got, rows, schema};

const ABSENT: Got = (Status::NotFound, None, i64::MIN);

fn off() -> StoreConfig {
    StoreConfig { hot_bytes: 0, ..config() }
}

fn hot(shop: &Shop) -> HotInfo {
    shop.store.info().unwrap().hot
}

/// A read with all it says: the sequence, the time answered and the answers.
fn read(shop: &Shop, keys: &[i64], t_us: i64) -> (u64, i64, Vec<Got>) {
    let mut frame = Frame::new(&shop.plan);
    frame.reset(keys.len());
    keys.iter().for_each(|key| frame.keys[0].push_i64(*key));
    let mut scratch = ReadScratch::default();
    let sequence = shop.store.read(&shop.bound, t_us, &mut frame, &mut scratch).unwrap();
    let got = (0..keys.len()).map(|row| got(&frame, 0, row)).collect();
    (sequence, scratch.as_of_us(), got)
}

fn load(shop: &Shop, given: &[Given], mode: CommitMode, now_us: i64) -> u64 {
    let mut sorted = given.to_vec();
    sorted.sort_by_key(|row| row.key);
    let mut loader = shop.store.stage(shop.view(), now_us).unwrap();
    loader.push(&rows(&sorted)).unwrap();
    shop.store.commit(loader, mode, now_us).unwrap().sequence
}

/// TTLs that a view may be given while it has rows.
const TTL_US: std::ops::Range<i64> = 5..60;
/// By how much a TTL may grow and every row of the new one still be there. RocksDB compacts when it likes, so a row that
/// was out of a shorter TTL for longer may have been shrunk in one store and not yet in the other.
const EXPIRED_KEEP_US: i64 = TTL_US.end - TTL_US.start;

#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<Given>),
    Load(Vec<Given>, bool),
    Reclaim,
    Restart,
    Ttl(i64),
}

fn any_rows() -> impl Strategy<Value = Vec<Given>> {
    let row = (0_i64..6, 0_i64..80, 0_i64..20, proptest::bool::weighted(0.15), 0_i64..9).prop_map(
        |(key, event_us, after_us, deleted, value)| {
            let value = (!deleted && value > 0).then_some(value);
            Given { key, event_us, known_us: event_us + after_us, deleted, value }
        },
    );
    proptest::collection::vec(row, 0..8)
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any_rows().prop_map(Step::Apply),
        2 => (any_rows(), any::<bool>()).prop_map(|(rows, merge)| Step::Load(rows, merge)),
        2 => Just(Step::Reclaim),
        1 => Just(Step::Restart),
        1 => TTL_US.prop_map(Step::Ttl),
    ]
}

fn take(
    shop: Shop,
    step: &Step,
    rule: &mut Rule,
    now_us: i64,
    dir: &std::path::Path,
    config: &StoreConfig,
) -> Shop {
    match step {
        Step::Apply(given) => {
            shop.apply(given, now_us);
        }
        Step::Load(given, merge) => {
            let mode = if *merge { CommitMode::Merge } else { CommitMode::Replace };
            load(&shop, given, mode, now_us);
        }
        Step::Reclaim => {
            shop.store.tick(now_us);
            shop.store.reclaim().unwrap();
        }
        Step::Restart => {
            drop(shop);
            return Shop::open_with(dir, *rule, config.clone()).unwrap();
        }
        Step::Ttl(ttl_us) => {
            rule.ttl_us = Some(*ttl_us);
            return Shop::over(shop.store, vec![schema("v", *rule)]).unwrap();
        }
    }
    shop
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_the_same_with_hot_rows_and_without(
        lag_us in 0_i64..10,
        ttl_us in proptest::option::of(TTL_US),
        steps in proptest::collection::vec((0_i64..8, any_step()), 1..40),
    ) {
        let configs = [config(), off()].map(|config| StoreConfig { expired_keep_us: EXPIRED_KEEP_US, ..config });
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut rules = [Rule { lag_us, ttl_us, ..Rule::default() }; 2];
        let open = |at: usize| Shop::open_with(dirs[at].path(), rules[at], configs[at].clone()).unwrap();
        let mut shops = (open(0), open(1));
        let mut now_us = 0;
        for (step_us, step) in &steps {
            now_us += step_us;
            shops = (
                take(shops.0, step, &mut rules[0], now_us, dirs[0].path(), &configs[0]),
                take(shops.1, step, &mut rules[1], now_us, dirs[1].path(), &configs[1]),
            );
            // Some twice, some absent, and again when hot; by single gets and by batched ones.
            for keys in [&[3, 0, 1, 0, 9][..], &[4], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 0], &[3, 0, 1, 0, 9]] {
                let [on, off] = [&shops.0, &shops.1].map(|shop| read(shop, keys, now_us));
                prop_assert_eq!(on, off, "{:?} at {}", step, now_us);
            }
        }
        prop_assert!(hot(&shops.0).hits > 0);
        prop_assert_eq!(hot(&shops.1), HotInfo::default());
    }
}

/// A row that arrived, and between which two sequences.
struct Arrived {
    given: Given,
    /// In the store at this sequence.
    by: u64,
    /// Not in the store at this sequence.
    not_by: u64,
}

/// What a read of the rows' key at a sequence and time must give, by a scan; `None` if what was in the store
/// then isn't known.
fn scan(arrived: &[Arrived], rule: Rule, sequence: u64, t_us: i64) -> Option<Got> {
    let of_key = arrived.iter().filter(|row| row.not_by < sequence);
    let mut there = Vec::new();
    for row in of_key {
        if row.by > sequence {
            return None;
        }
        let (event_us, known_us) = (row.given.event_us, row.given.known_us);
        there.push((Stamp { event_us, known_us, position: 0 }, &row.given));
    }
    let due = there.into_iter().filter(|(stamp, _)| rule.due_us(stamp) <= t_us);
    let newest = due.max_by_key(|(stamp, _)| *stamp).map(|(_, row)| row);
    let newest_of =
        |row: &Given| Newest { event_us: row.event_us, deleted: row.deleted, husk: false };
    let judged = newest.map(newest_of);
    Some(match (rule.judge(judged, t_us), newest) {
        (Judged::Visible, Some(row)) => (Status::Present, row.value, row.event_us),
        (Judged::OutsideMaxAge, Some(row)) => (Status::OutsideMaxAge, None, row.event_us),
        _ => ABSENT,
    })
}

/// Two keys are always written together with equal values and times, among others; readers ask for both, and a
/// third. Every answer must be that of a scan of all that was in the store at its sequence, at its time.
#[test]
fn readers_beside_a_writer_are_given_one_state_and_the_right_one() {
    const BATCHES: i64 = 600;
    let dir = tempfile::tempdir().unwrap();
    let rule = Rule { ttl_us: Some(200), ..Rule::default() };
    let shop = Shop::open(dir.path(), rule);
    let mut arrived: HashMap<i64, Vec<Arrived>> = HashMap::new();
    let (clock_us, done) = (AtomicI64::new(0), AtomicBool::new(false));
    let answers = AtomicU64::new(0);
    let reader = |batched: bool| {
        let mut keys = vec![1, 2, 3];
        if batched {
            keys.extend(4..16);
        }
        let (mut last, mut seen) = (0, Vec::new());
        while !done.load(Ordering::Acquire) {
            let (sequence, t_us, got) = read(&shop, &keys, clock_us.load(Ordering::Acquire));
            assert!(sequence >= last, "went back from {last} to {sequence}");
            last = sequence;
            assert_eq!(got[0], got[1], "torn at {sequence}");
            seen.push((sequence, t_us, got));
            answers.fetch_add(1, Ordering::Release);
        }
        (keys, seen)
    };
    std::thread::scope(|scope| {
        let reader = &reader;
        let readers = [false, true, false].map(|batched| scope.spawn(move || reader(batched)));
        let mut before = 0;
        for batch in 0..BATCHES {
            let now_us = batch * 3;
            clock_us.store(now_us, Ordering::Release);
            // Now and then a row that waits for some steps, a tombstone, a third key alone, a load.
            let wait_us = if batch % 5 == 0 { 7 } else { 0 };
            let deleted = batch % 11 == 0;
            let pair = |key| Given {
                deleted,
                value: (!deleted).then_some(batch),
                ..given(key, now_us + wait_us, batch)
            };
            let mut given = if batch % 4 == 3 { Vec::new() } else { vec![pair(1), pair(2)] };
            given.push(crate::fixture::given(3 + batch % 13, now_us, -batch));
            let after = if batch % 50 == 49 {
                // At the sequence of its own last write a load may not be there: readers are pointed at
                // the new generation just after.
                load(&shop, &given, CommitMode::Merge, now_us) + 1
            } else {
                shop.store.apply(shop.view(), &rows(&given), now_us, None).unwrap().sequence
            };
            for given in given {
                let of_key = arrived.entry(given.key).or_default();
                of_key.push(Arrived { given, by: after, not_by: before });
            }
            before = shop.store.info().unwrap().sequence;
            // Some answers to every batch, so that all of this really happens side by side.
            let wanted = answers.load(Ordering::Acquire) + 5;
            while answers.load(Ordering::Acquire) < wanted {
                assert!(!readers.iter().any(|reader| reader.is_finished()), "a reader ended");
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Release);
        let (mut checked, mut known) = (0, HashMap::new());
        for reader in readers {
            let (keys, seen) = reader.join().unwrap();
            for (sequence, t_us, got) in seen {
                for (key, got) in keys.iter().zip(got) {
                    // Readers are quick: most ask for what another has asked for, too.
                    let expected = *known
                        .entry((*key, sequence, t_us))
                        .or_insert_with(|| scan(&arrived[key], rule, sequence, t_us));
                    checked += u64::from(expected.is_some());
                    let right = expected.is_none_or(|expected| expected == got);
                    assert!(right, "key {key} at {sequence}, {t_us}: {expected:?}, came {got:?}");
                }
            }
        }
        assert!(checked > 10_000, "only {checked} answers could be checked");
    });
    let info = hot(&shop);
    assert!(info.hits > 1_000 && info.misses > 100, "{info:?}");
}

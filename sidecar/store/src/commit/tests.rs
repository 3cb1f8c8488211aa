//! What can only be provoked from inside: damage that a commit meets half-way, and what comes between its steps.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use proptest::prelude::*;
use skewless_batch::{Column, Type, Value};
use skewless_catalog::visibility::Rule;
use skewless_catalog::{Frame, KeyColumn, Lookup, Plan, Slot, Status, ViewId};

use super::*;
use crate::{
    ReadScratch, Rows, Store, StoreConfig, StorePlan, Verdict, ViewHandle, ViewSchema, ViewSet,
};

/// Key, event time, value: a row that is known at its event time.
type Given = (i64, i64, i64);

/// A store with views of one key and one feature.
struct Shop {
    store: Store,
    views: ViewSet,
    plan: Plan,
    bound: StorePlan,
}

impl Shop {
    fn open(dir: &Path, names: &[&str]) -> Self {
        let config = StoreConfig { cache_bytes: 4 << 20, hot_bytes: 1 << 20, ..Default::default() };
        let (store, _) = Store::open(dir, config).unwrap();
        let schema = |name: &&str| ViewSchema {
            name: (*name).to_owned(),
            entity: "thing".to_owned(),
            keys: vec![("id".to_owned(), Type::Int64)],
            features: vec![("value".to_owned(), Type::Int64)],
            rule: Rule::default(),
        };
        let views = store.set_schemas(names.iter().map(schema).collect()).unwrap();
        let mut plan = Plan::default();
        plan.keys.push(KeyColumn { name: "key".to_owned(), ty: Type::Int64 });
        for (id, name) in names.iter().enumerate() {
            plan.slots.push(Slot { name: format!("{name}.value"), ty: Type::Int64 });
            plan.lookups.push(Lookup {
                view: ViewId(id as u32),
                view_name: (*name).to_owned(),
                role: None,
                keys: vec![0],
                features: vec![(0, id)],
            });
        }
        let bound = views.bind(&plan).unwrap();
        Self { store, views, plan, bound }
    }

    fn view(&self, name: &str) -> &Arc<ViewHandle> {
        self.views.by_name(name).unwrap()
    }

    fn apply(&self, view: &str, given: &[Given], now_us: i64) -> Vec<Verdict> {
        self.store.apply(self.view(view), &rows(given), now_us, None).unwrap().verdicts
    }

    /// A load whose files are finished.
    fn stage(&self, view: &str, given: &[Given], now_us: i64) -> Loader {
        let mut loader = self.store.stage(self.view(view), now_us).unwrap();
        loader.push(&rows(given)).unwrap();
        loader.finish().unwrap();
        loader
    }

    /// A merge that has begun and read nothing yet.
    fn begin(&self, loader: Loader, now_us: i64, pace: Pace) -> Box<Merge> {
        let begin = move |shared: &Arc<Shared>| {
            Merge::begin(shared, loader, CommitMode::Merge, now_us, pace)
        };
        Box::new(self.store.applier.control(begin).unwrap())
    }

    /// Reads what is left and tries the last step; the merge again if too much was written.
    fn last(
        &self,
        mut merge: Box<Merge>,
        now_us: i64,
        again: bool,
    ) -> Result<CommitReport, Box<Merge>> {
        merge.read(&self.store.shared).unwrap();
        let last = move |shared: &Arc<Shared>| merge.last(shared, now_us, again);
        match self.store.applier.control(last).unwrap() {
            Step::Done(report) => Ok(report),
            Step::Changed(merge) => Err(merge),
        }
    }

    /// Per view the values of some keys; none for a key that isn't found.
    fn read(&self, keys: &[i64], t_us: i64) -> Vec<Vec<Option<i64>>> {
        let mut frame = Frame::new(&self.plan);
        frame.reset(keys.len());
        keys.iter().for_each(|key| frame.keys[0].push_i64(*key));
        self.store.read(&self.bound, t_us, &mut frame, &mut ReadScratch::default()).unwrap();
        let value = |slot: usize, row: usize| match frame.slots[slot].column.value(row) {
            Value::Int64(value) if frame.slots[slot].status[row] == Status::Present => Some(value),
            _ => None,
        };
        let views = 0..self.plan.lookups.len();
        views.map(|slot| (0..keys.len()).map(|row| value(slot, row)).collect()).collect()
    }

    /// Writes to, or deletes from, a view's waiting rows what no command would.
    fn tamper(&self, view: &str, key: &[u8], row: Option<&[u8]>) {
        let live = self.store.shared.pinned().unwrap();
        let wait = &live.generation(&self.view(view).stored).unwrap().wait.handle;
        match row {
            Some(row) => live.db.put_cf(wait, key, row).unwrap(),
            None => live.db.delete_cf(wait, key).unwrap(),
        }
    }
}

fn rows(given: &[Given]) -> Rows {
    let (mut key, mut value) = (Column::new(Type::Int64), Column::new(Type::Int64));
    for row in given {
        key.push_i64(row.0);
        value.push_i64(row.2);
    }
    let event_us: Vec<i64> = given.iter().map(|row| row.1).collect();
    let deleted = vec![false; given.len()];
    Rows { keys: vec![key], known_us: event_us.clone(), event_us, deleted, features: vec![value] }
}

#[test]
fn a_commit_that_fails_at_another_view_loses_no_row_acknowledged_later() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), &["v", "w"]);
    shop.apply("v", &[(1, 1, 1)], 9);
    // No key of a waiting row: what is due next can't be said.
    shop.tamper("w", b"bad", Some(b"row"));
    let loader = shop.stage("v", &[(1, 2, 2)], 9);
    let failed = shop.store.commit(loader, CommitMode::Merge, 9).unwrap_err();
    assert!(matches!(failed, StoreError::Corrupt { .. }), "{failed}");
    shop.apply("v", &[(2, 3, 3)], 9);
    assert_eq!(shop.read(&[1, 2], 9)[0], [Some(1), Some(3)]);
    shop.tamper("w", b"bad", None);
    drop(shop);
    let shop = Shop::open(dir.path(), &["v", "w"]);
    assert_eq!(shop.read(&[1, 2], 9)[0], [Some(1), Some(3)]);
}

/// What the test of a merge in steps compares stores by: the values of all keys at some moments.
const KEYS: [i64; 6] = [0, 1, 2, 3, 4, 5];

const SLOW: Pace = Pace { rows: 2, last_keys_max: 1, changed_bytes_max: 10_000 };

#[test]
fn rows_are_written_and_fall_due_while_a_merge_reads() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), &["v", "w"]);
    shop.apply("v", &[(0, 1, 1), (1, 1, 2), (2, 1, 3), (3, 1, 4), (4, 20, 5)], 9);
    shop.apply("w", &[(0, 1, 10), (1, 15, 11)], 9);
    let mut merge = shop.begin(shop.stage("v", &[(0, 2, 6), (5, 2, 7)], 9), 9, SLOW);
    assert!(merge.step(&shop.store.shared).unwrap());
    // Half-way nothing has changed for readers, and rows of both views fall due.
    let before = [Some(1), Some(2), Some(3), Some(4), None, None];
    assert_eq!(shop.read(&KEYS, 9), [before, [Some(10), None, None, None, None, None]]);
    assert_eq!(shop.read(&[1, 4], 20), [[Some(2), Some(5)], [Some(11), None]]);
    // Written behind the merge and before it.
    shop.apply("v", &[(1, 8, 8), (3, 8, 9)], 20);
    assert_eq!(shop.read(&[1, 3], 20)[0], [Some(8), Some(9)]);
    let Err(merge) = shop.last(merge, 20, true) else { panic!("more keys than one were written") };
    shop.apply("v", &[(2, 30, 10)], 20);
    let report = shop.last(merge, 20, true).unwrap_or_else(|_| panic!("one key was written"));
    assert_eq!((report.rows, report.keys, report.generation), (2, 2, 3));
    let after = [Some(6), Some(8), Some(3), Some(9), Some(5), Some(7)];
    for round in 0..2 {
        assert_eq!(shop.read(&KEYS, 20)[0], after, "{round}");
        shop.apply("w", &[(3, round, round)], 20);
    }
    assert_eq!(shop.read(&[2], 30)[0], [Some(10)]);
    drop(shop);
    let shop = Shop::open(dir.path(), &["v", "w"]);
    assert_eq!(shop.read(&[2, 1], 30)[0], [Some(10), Some(8)]);
}

#[test]
fn a_merge_that_is_given_up_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path(), &["v"]);
    shop.apply("v", &[(0, 1, 1)], 9);
    let mut merge = shop.begin(shop.stage("v", &[(0, 2, 6)], 9), 9, SLOW);
    assert!(merge.step(&shop.store.shared).unwrap());
    // Another type empties the view: what the merge reads isn't the view's any more.
    let changed = ViewSchema {
        name: "v".to_owned(),
        entity: "thing".to_owned(),
        keys: vec![("id".to_owned(), Type::Int64)],
        features: vec![("value".to_owned(), Type::Utf8)],
        rule: Rule::default(),
    };
    shop.store.set_schemas(vec![changed]).unwrap();
    let failed = merge.read(&shop.store.shared).unwrap_err();
    assert!(matches!(failed, StoreError::Retired { .. }), "{failed}");
    let last = move |shared: &Arc<Shared>| merge.last(shared, 9, false);
    let failed = shop.store.applier.control(last).err().unwrap();
    assert!(matches!(failed, StoreError::Retired { .. }), "{failed}");
    let left = Db::list_cf(&rocksdb::Options::default(), dir.path()).unwrap();
    assert_eq!(left.len(), 4, "{left:?}");
    assert_eq!(shop.store.shared.changes.bytes(), 0);
}

/// What happens between two looks of a merge.
#[derive(Debug, Clone)]
enum Between {
    Apply(Vec<Given>),
    /// Time passes, and what is due by then is read.
    Read(i64),
    /// The merge reads a part.
    Step,
    /// The last step is tried.
    Last,
}

fn any_given(keys: std::ops::Range<i64>) -> impl Strategy<Value = Vec<Given>> {
    // Few times, so that ties, late rows and rows that wait are all common.
    proptest::collection::vec((keys, 0_i64..40, 0_i64..4), 0..6)
}

fn any_between() -> impl Strategy<Value = Between> {
    prop_oneof![
        5 => any_given(0..6).prop_map(Between::Apply),
        2 => (0_i64..6).prop_map(Between::Read),
        5 => Just(Between::Step),
        1 => Just(Between::Last),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The other store has no merge until the end, and then all of it in one moment.
    #[test]
    fn a_merge_beside_writes_is_what_it_would_be_in_one_moment(
        there in any_given(0..6), loaded in any_given(0..6),
        between in proptest::collection::vec(any_between(), 0..30),
        afterwards in any_given(0..6),
        (rows, last_keys_max, small) in (1_usize..4, 0_usize..4, any::<bool>()),
    ) {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [mut stepwise, mut atonce] = [&dirs[0], &dirs[1]].map(|dir| Shop::open(dir.path(), &["v"]));
        let mut loaded = loaded;
        loaded.sort_by_key(|row| row.0);
        let mut now_us = 15;
        let both = |shops: [&Shop; 2], given: &[Given], now_us| {
            let [a, b] = shops.map(|shop| shop.apply("v", given, now_us));
            prop_assert_eq!(a, b);
            Ok(())
        };
        both([&stepwise, &atonce], &there, now_us)?;
        // A small limit makes it lose sight of what is written.
        let changed_bytes_max = if small { 300 } else { 10_000 };
        let pace = Pace { rows, last_keys_max, changed_bytes_max };
        let loader = stepwise.stage("v", &loaded, now_us);
        let other = atonce.stage("v", &loaded, now_us);
        let mut merge = Some(stepwise.begin(loader, now_us, pace));
        for what in &between {
            match what {
                Between::Apply(given) => both([&stepwise, &atonce], given, now_us)?,
                Between::Read(after_us) => {
                    now_us += after_us;
                    prop_assert_eq!(stepwise.read(&KEYS, now_us), atonce.read(&KEYS, now_us));
                }
                Between::Step => {
                    if let Some(merge) = &mut merge {
                        merge.step(&stepwise.store.shared).unwrap();
                    }
                }
                Between::Last => {
                    let Some(begun) = merge.take() else { continue };
                    match stepwise.last(begun, now_us, true) {
                        Err(changed) => merge = Some(changed),
                        // Ended: what comes after it comes after the other's, too.
                        Ok(_) => break,
                    }
                }
            }
        }
        if let Some(merge) = merge.take() {
            prop_assert!(stepwise.last(merge, now_us, false).is_ok());
        }
        atonce.store.commit(other, CommitMode::Merge, now_us).unwrap();
        prop_assert_eq!(stepwise.read(&KEYS, now_us), atonce.read(&KEYS, now_us));
        both([&stepwise, &atonce], &afterwards, now_us)?;
        prop_assert_eq!(stepwise.read(&KEYS, now_us), atonce.read(&KEYS, now_us));
        drop((stepwise, atonce));
        [stepwise, atonce] = [&dirs[0], &dirs[1]].map(|dir| Shop::open(dir.path(), &["v"]));
        for t_us in [now_us, now_us + 5, now_us + 20, now_us + 60] {
            prop_assert_eq!(stepwise.read(&KEYS, t_us), atonce.read(&KEYS, t_us), "at {}", t_us);
        }
    }
}

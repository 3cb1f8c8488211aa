//! What can only be provoked from inside: damage that a commit meets half-way, and what comes between its steps.
#![expect(clippy::unwrap_used, reason = "tests")]

use skewless_batch::{Column, Type, Value};
use skewless_catalog::visibility::Rule;
use skewless_catalog::{Frame, KeyColumn, Lookup, Plan, Slot as FrameSlot, Status, ViewId};

use super::*;
use crate::views::ViewSchema;
use crate::{ReadScratch, Store, StorePlan, ViewSet};

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
            keys: vec![Type::Int64],
            features: vec![("value".to_owned(), Type::Int64)],
            rule: Rule::default(),
        };
        let views = store.set_schemas(names.iter().map(schema).collect()).unwrap();
        let mut plan = Plan::default();
        plan.keys.push(KeyColumn { name: "key".to_owned(), ty: Type::Int64 });
        for (id, name) in names.iter().enumerate() {
            plan.slots.push(FrameSlot { name: format!("{name}.value"), ty: Type::Int64 });
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

    fn apply(&self, view: &str, given: &[Given], now_us: i64) {
        self.store.apply(self.view(view), &rows(given), now_us, None).unwrap();
    }

    fn stage(&self, view: &str, given: &[Given], now_us: i64) -> Loader {
        let mut loader = self.store.stage(self.view(view), now_us).unwrap();
        loader.push(&rows(given)).unwrap();
        loader
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
        let wait = &live.generation(&self.view(view).slot).unwrap().wait.handle;
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

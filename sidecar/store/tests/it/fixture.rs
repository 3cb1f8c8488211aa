//! A small store with one or two views, and reads of it in one line.

use std::path::Path;
use std::sync::Arc;

use skewless_batch::{Column, Type, Value};
use skewless_catalog::visibility::Rule;
use skewless_catalog::{Frame, KeyColumn, Lookup, Plan, Slot, Status, ViewId};
use skewless_store::{
    ReadScratch, Rows, Store, StoreConfig, StoreError, StorePlan, ViewHandle, ViewSchema, ViewSet,
};
use tempfile::TempDir;

/// One row of the view `v`: key, value, times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) key: i64,
    pub(crate) event_us: i64,
    pub(crate) known_us: i64,
    pub(crate) deleted: bool,
    /// `None`: a null.
    pub(crate) value: Option<i64>,
}

/// What a read of one key gives: status, value, event time.
pub(crate) type Got = (Status, Option<i64>, i64);

pub(crate) fn given(key: i64, event_us: i64, value: i64) -> Given {
    Given { key, event_us, known_us: event_us, deleted: false, value: Some(value) }
}

pub(crate) fn rows(given: &[Given]) -> Rows {
    let (mut key, mut value) = (Column::new(Type::Int64), Column::new(Type::Int64));
    for row in given {
        key.push_i64(row.key);
        match row.value {
            Some(of) => value.push_i64(of),
            None => value.push_null(),
        }
    }
    Rows {
        keys: vec![key],
        event_us: given.iter().map(|row| row.event_us).collect(),
        known_us: given.iter().map(|row| row.known_us).collect(),
        deleted: given.iter().map(|row| row.deleted).collect(),
        features: vec![value],
    }
}

pub(crate) fn config() -> StoreConfig {
    StoreConfig { cache_bytes: 4 << 20, hot_bytes: 1 << 20, ..StoreConfig::default() }
}

pub(crate) fn key(name: &str, ty: Type) -> (String, Type) {
    (name.to_owned(), ty)
}

pub(crate) fn schema(name: &str, rule: Rule) -> ViewSchema {
    let features = vec![("value".to_owned(), Type::Int64)];
    let (name, entity) = (name.to_owned(), "thing".to_owned());
    ViewSchema { name, entity, keys: vec![key("id", Type::Int64)], features, rule }
}

/// A plan that asks every feature of the given views, each by the same key.
pub(crate) fn plan(views: &[&ViewSchema]) -> Plan {
    let mut plan = Plan::default();
    for (at, (_, ty)) in views[0].keys.iter().enumerate() {
        plan.keys.push(KeyColumn { name: format!("key{at}"), ty: *ty });
    }
    for (id, view) in views.iter().enumerate() {
        let first = plan.slots.len();
        let slot = |(name, ty): &(String, Type)| Slot { name: name.clone(), ty: *ty };
        plan.slots.extend(view.features.iter().map(slot));
        plan.lookups.push(Lookup {
            view: ViewId(id as u32),
            view_name: view.name.clone(),
            role: None,
            keys: (0..plan.keys.len()).collect(),
            features: (0..view.features.len()).map(|at| (at, first + at)).collect(),
        });
    }
    plan
}

/// A store with the view `v`, ready to read.
pub(crate) struct Shop {
    pub(crate) store: Store,
    pub(crate) views: ViewSet,
    pub(crate) plan: Plan,
    pub(crate) bound: StorePlan,
}

impl Shop {
    pub(crate) fn open(dir: &Path, rule: Rule) -> Self {
        Self::open_with(dir, rule, config()).unwrap()
    }

    pub(crate) fn open_with(
        dir: &Path,
        rule: Rule,
        config: StoreConfig,
    ) -> Result<Self, StoreError> {
        let (store, _) = Store::open(dir, config)?;
        Self::over(store, vec![schema("v", rule)])
    }

    pub(crate) fn over(store: Store, schemas: Vec<ViewSchema>) -> Result<Self, StoreError> {
        let plan = plan(&schemas.iter().collect::<Vec<_>>());
        let views = store.set_schemas(schemas)?;
        let bound = views.bind(&plan)?;
        Ok(Self { store, views, plan, bound })
    }

    pub(crate) fn view(&self) -> &Arc<ViewHandle> {
        self.views.by_name("v").unwrap()
    }

    pub(crate) fn apply(&self, given: &[Given], now_us: i64) -> Vec<skewless_store::Verdict> {
        self.store.apply(self.view(), &rows(given), now_us, None).unwrap().verdicts
    }

    pub(crate) fn read(&self, keys: &[i64], t_us: i64) -> Vec<Got> {
        self.try_read(keys, t_us).unwrap()
    }

    pub(crate) fn try_read(&self, keys: &[i64], t_us: i64) -> Result<Vec<Got>, StoreError> {
        let mut frame = Frame::new(&self.plan);
        frame.reset(keys.len());
        keys.iter().for_each(|key| frame.keys[0].push_i64(*key));
        self.store.read(&self.bound, t_us, &mut frame, &mut ReadScratch::default())?;
        Ok((0..keys.len()).map(|row| got(&frame, 0, row)).collect())
    }
}

pub(crate) fn got(frame: &Frame, lookup: usize, row: usize) -> Got {
    let slot = &frame.slots[lookup];
    let value = match slot.column.value(row) {
        Value::Int64(value) => Some(value),
        _ => None,
    };
    (slot.status[row], value, frame.lookups[lookup][row])
}

/// A folder on the disk that cargo builds on, where a sync is one and files live in blocks and a journal; that of
/// [`tempfile::tempdir`] may be in memory.
pub(crate) fn on_disk() -> TempDir {
    // Without links, as `shim.rs` compares paths.
    let above = Path::new(env!("CARGO_TARGET_TMPDIR")).canonicalize().unwrap();
    tempfile::tempdir_in(above).unwrap()
}

/// Copies the files of a store as they are on disk now: what a kill would leave behind.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && entry.file_name() != "LOCK" {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Files of a store with this ending, with their bytes; empty ones left out.
pub(crate) fn files(dir: &Path, ending: &str) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .filter(|(_, bytes)| !bytes.is_empty())
        .collect();
    found.sort();
    found
}

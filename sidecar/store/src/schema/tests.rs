//! What definitions do to records of views that only older versions wrote.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use skewless_batch::Type;

use super::*;
use crate::config::StoreConfig;
use crate::open;

fn opened(dir: &Path) -> Arc<Shared> {
    let config = StoreConfig { cache_bytes: 1 << 20, ..StoreConfig::default() };
    open::open(dir, config).unwrap().0
}

fn about(entity: &str) -> ViewSchema {
    let features = vec![("value".to_owned(), Type::Int64)];
    let (name, entity) = ("v".to_owned(), entity.to_owned());
    ViewSchema { name, entity, keys: vec![Type::Int64], features, rule: Rule::default() }
}

#[test]
fn a_view_stored_without_its_entity_keeps_its_rows_and_is_of_the_next_one_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let shared = opened(dir.path());
    install(&shared, &[about("thing")]).unwrap();
    let live = shared.pinned().unwrap();
    let meta = Meta { db: &live.db, family: &live.meta };
    let (name, mut record) = meta.views().unwrap().remove(0);
    assert_eq!(record.entity.take().as_deref(), Some("thing"));
    let mut batch = WriteBatch::default();
    meta.put_view(&mut batch, &name, &record);
    shared.write(&live, batch, &options::write_durably()).unwrap();
    drop((live, shared));

    let shared = opened(dir.path());
    assert_eq!(install(&shared, &[about("thing")]).unwrap().changes(), []);
    drop(shared);
    let shared = opened(dir.path());
    let views = install(&shared, &[about("person")]).unwrap();
    let reason = "entity thing -> person".to_owned();
    assert_eq!(views.changes(), [SchemaChange::Emptied { view: "v".to_owned(), reason }]);
}

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

fn about(entity: &str, keys: &[&str]) -> ViewSchema {
    let features = vec![("value".to_owned(), Type::Int64)];
    let (name, entity) = ("v".to_owned(), entity.to_owned());
    let keys = keys.iter().map(|key| ((*key).to_owned(), Type::Utf8)).collect();
    ViewSchema { name, entity, keys, features, rule: Rule::default() }
}

/// What the definitions do, in a process of their own.
fn changes(dir: &Path, schema: ViewSchema) -> Vec<SchemaChange> {
    install(&opened(dir), &[schema]).unwrap().changes().to_vec()
}

/// Makes the one view's record what an older version wrote.
fn rewrite(dir: &Path, older: impl FnOnce(&mut ViewRecord)) {
    let shared = opened(dir);
    let live = shared.pinned().unwrap();
    let meta = Meta { db: &live.db, family: &live.meta };
    let (name, mut record) = meta.views().unwrap().remove(0);
    older(&mut record);
    let mut batch = WriteBatch::default();
    meta.put_view(&mut batch, &name, &record);
    shared.write(&live, batch, &options::write_durably()).unwrap();
}

fn emptied(reason: &str) -> [SchemaChange; 1] {
    [SchemaChange::Emptied { view: "v".to_owned(), reason: reason.to_owned() }]
}

#[test]
fn a_view_stored_without_its_entity_keeps_its_rows_and_is_of_the_next_one_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    changes(dir.path(), about("thing", &["id"]));
    rewrite(dir.path(), |record| {
        assert_eq!(record.entity.take().as_deref(), Some("thing"));
    });
    assert_eq!(changes(dir.path(), about("thing", &["id"])), []);
    let came = changes(dir.path(), about("person", &["id"]));
    assert_eq!(came, emptied("entity thing -> person"));
}

#[test]
fn a_view_stored_without_names_of_its_keys_keeps_its_rows_and_has_the_next_ones_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    changes(dir.path(), about("route", &["origin", "dest"]));
    rewrite(dir.path(), |record| {
        let names = ["origin", "dest"].map(str::to_owned).to_vec();
        assert_eq!(record.key_names.take(), Some(names));
    });
    assert_eq!(changes(dir.path(), about("route", &["origin", "dest"])), []);
    let came = changes(dir.path(), about("route", &["dest", "origin"]));
    assert_eq!(came, emptied("key names origin, dest -> dest, origin"));
}

/// What isn't known of older records hides no key that is gone.
#[test]
fn a_view_stored_without_names_of_its_keys_is_emptied_by_fewer_keys() {
    let dir = tempfile::tempdir().unwrap();
    changes(dir.path(), about("route", &["origin", "dest"]));
    rewrite(dir.path(), |record| record.key_names = None);
    let came = changes(dir.path(), about("route", &["origin"]));
    assert_eq!(came, emptied("key types utf8, utf8 -> utf8"));
}

/// Else keys that change places after it would be compared with names that are long gone.
#[test]
fn a_renamed_key_is_known_by_its_new_name_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    changes(dir.path(), about("route", &["origin", "dest"]));
    assert_eq!(changes(dir.path(), about("route", &["origin", "to"])), []);
    assert_eq!(changes(dir.path(), about("route", &["from", "to"])), []);
    let came = changes(dir.path(), about("route", &["to", "from"]));
    assert_eq!(came, emptied("key names from, to -> to, from"));
}

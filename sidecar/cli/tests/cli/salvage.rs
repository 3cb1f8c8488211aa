//! A damaged store from the outside: refused with the command that mends it, looked at, salvaged, served.

use std::path::Path;

use skewless_batch::{Column, Type};
use skewless_catalog::{Catalog, PluginInfo, Plugins, SourceFile, check};
use skewless_store::{Rows, SourceOffset, Store, StoreConfig};

use crate::{Sidecar, done, refused, skewless};

const DEFINITIONS: &str = "\
entities: [{name: customer, keys: [{name: customer_id, type: int64}]}]
views: [{name: spending, entity: customer, features: [{name: spent, type: int64}]}]
services: [{name: risk, features: [spending.spent]}]
";
const CUSTOMERS: i64 = 60;

struct NoPlugins;

impl Plugins for NoPlugins {
    fn lookup(&self, _plugin: &str) -> Result<PluginInfo, String> {
        Err("there are none".to_owned())
    }
}

/// A feature repo whose store has one row a customer, all in its log, as a kill would leave it.
fn killed() -> tempfile::TempDir {
    let repo = tempfile::tempdir().unwrap();
    std::fs::write(repo.path().join("features.yaml"), DEFINITIONS).unwrap();
    let file = SourceFile { path: "features.yaml".to_owned(), text: DEFINITIONS.to_owned() };
    let catalog: Catalog = check(&[file], &NoPlugins).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), StoreConfig::default()).unwrap();
    let views = store.set_views(&catalog).unwrap();
    for customer in 0..CUSTOMERS {
        let (mut key, mut spent) = (Column::new(Type::Int64), Column::new(Type::Int64));
        key.push_i64(customer);
        spent.push_i64(customer);
        let (keys, features) = (vec![key], vec![spent]);
        let rows =
            Rows { keys, event_us: vec![1], known_us: vec![1], deleted: vec![false], features };
        let source = SourceOffset { source: "orders".to_owned(), offset: customer as u64 };
        store.apply(views.by_name("spending").unwrap(), &rows, 9, Some(source)).unwrap();
    }
    let to = repo.path().join(".skewless/store");
    std::fs::create_dir_all(&to).unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && entry.file_name() != "LOCK" {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    repo
}

/// The largest log of a store, with its bytes.
fn log(store: &Path) -> (std::path::PathBuf, Vec<u8>) {
    let files = std::fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    let read = logs.map(|path| (path.clone(), std::fs::read(path).unwrap()));
    read.max_by_key(|(_, bytes)| bytes.len()).unwrap()
}

#[test]
fn a_damaged_log_is_refused_salvaged_when_asked_twice_and_served() {
    let repo = killed();
    let repo = repo.path();
    let store = repo.join(".skewless/store");
    let (path, mut bytes) = log(&store);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();

    let serve: &[&str] = &["serve", "--tcp", "127.0.0.1:0", "--http", ""];
    for words in [serve, &["load", "spending"]] {
        let complaint = refused(&skewless(repo, words), 1);
        assert!(
            complaint.contains("`skewless salvage`") && complaint.contains(name),
            "{complaint}"
        );
        assert!(!complaint.contains("next: "), "the error says what to do\n{complaint}");
    }

    let complaint = refused(&skewless(repo, &["salvage"]), 1);
    for part in [name, "nothing was changed", "loses everything", "next: run ", " --yes"] {
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(!store.join("salvaged-1").exists());

    let said = done(&skewless(repo, &["salvage", "--yes"]));
    for part in [".skewless/store opens again", "salvaged: 1", "salvaged-1", name] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert_eq!(std::fs::read(store.join("salvaged-1").join(name)).unwrap(), bytes);
    let offset = said.lines().find_map(|line| line.trim().strip_prefix("orders: ")).unwrap();
    let offset: i64 = offset.parse().unwrap();
    assert!(offset < CUSTOMERS - 1, "nothing was lost by a damaged log?\n{said}");
    let said = done(&skewless(repo, &["salvage", "--yes"]));
    assert!(said.contains("nothing to salvage"), "{said}");

    let sidecar = Sidecar::start(repo);
    let customers = [0, offset, offset + 1].map(|id| format!("customer_id={id}"));
    let mut words = vec!["get", "risk", "--json", "--at", "unix:sidecar.sock"];
    words.extend(customers.iter().map(String::as_str));
    let said = done(&skewless(repo, &words));
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["rows"][0]["features"]["spending.spent"], 0, "{said}");
    assert_eq!(json["rows"][1]["features"]["spending.spent"], offset, "{said}");
    assert_eq!(json["rows"][2]["missing"]["spending.spent"], "NOT_FOUND", "{said}");
    let complaint = refused(&skewless(repo, &["salvage", "--yes"]), 1);
    assert!(complaint.contains("LOCK") && complaint.contains("stop its sidecar"), "{complaint}");
    sidecar.stop();
}

#[test]
fn a_folder_without_a_store_is_not_made_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    for name in ["empty", "none"] {
        let complaint = refused(&skewless(folder.path(), &["salvage", "--store", name]), 1);
        assert!(complaint.contains("expected a store in ") && complaint.contains("--store"));
        assert!(complaint.contains(name), "{complaint}");
    }
    assert_eq!(std::fs::read_dir(folder.path().join("empty")).unwrap().count(), 0);
    assert!(!folder.path().join("none").exists());
}

/// As `serve` finds it.
#[test]
fn the_store_is_the_configuration_s_unless_it_is_given() {
    let repo = killed();
    let folder = tempfile::tempdir().unwrap();
    let toml = format!("store_dir = \"{}\"\n", repo.path().join(".skewless/store").display());
    std::fs::write(folder.path().join("sidecar.toml"), toml).unwrap();
    let said = done(&skewless(folder.path(), &["salvage", "--config", "sidecar.toml"]));
    assert!(said.contains("nothing to salvage"), "{said}");
}

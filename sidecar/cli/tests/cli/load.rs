//! `load` from the outside: into the store that `serve` with the same settings has, under the same limits.

use std::path::Path;

use crate::{Sidecar, command, done, refused, repo_that_adds, skewless};

const DEFINITIONS: &str = "\
entities: [{name: customer, keys: [{name: customer_id, type: int64}]}]
views:
  - name: customer_orders
    entity: customer
    features: [{name: spent, type: float64}]
    source: {path: data/customer_orders.parquet, event_timestamp: event_timestamp}
  - {name: visits, entity: customer, features: [{name: pages, type: int64}]}
requests: [{name: amount, type: float64}]
transforms: [{name: adds, plugin: plugins/adds.wasm, inputs: {a: request.amount, b: customer_orders.spent}}]
services: [{name: risk, features: [adds.sum, visits.pages]}]
";
const SUM: &str = "(f64.add (local.get $a) (local.get $b))";

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_load_goes_into_the_store_that_is_served() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    std::fs::write(repo.join("sidecar.toml"), "store_dir = \"online/rows\"\n").unwrap();
    let told = done(&skewless(repo, &["load", "--config", "sidecar.toml"]));
    assert!(told.contains("50 keys"), "{told}");
    assert!(!repo.join(".skewless/store").exists(), "a store was made that nobody serves");
    assert_eq!(names(&repo.join("online")), ["rows"], "what was spilled is left");
    assert!(!repo.join("online/rows/load").exists(), "something was spilled into the store");
    let sidecar = Sidecar::start_with(repo, &["--http", "", "--config", "sidecar.toml"]);
    let words = ["get", "risk", "customer_id=7", "-r", "amount=1", "--json"];
    let json = done(&skewless(repo, &[&words[..], &["--at", "unix:sidecar.sock"]].concat()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["rows"][0]["features"]["adds.sum"].is_f64(), "{json}");
    sidecar.stop();

    done(&command(repo, &["load"]).env("SKEWLESS_CONFIG", "sidecar.toml").output().unwrap());
    done(&skewless(repo, &["load", "--config", "sidecar.toml", "--store", "other"]));
    assert!(repo.join("other/CURRENT").exists(), "--store is stronger than the file");
}

#[test]
fn a_load_keeps_to_the_store_s_limits() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let complaint = refused(&skewless(repo, &["load", "--set", "store.views_max=1"]), 1);
    assert!(complaint.contains("at most 1 (views_max), came 2"), "{complaint}");
    let mut load = command(repo, &["load"]);
    let complaint = refused(&load.env("SKEWLESS__STORE__VIEWS_MAX", "1").output().unwrap(), 1);
    assert!(complaint.contains("views_max"), "{complaint}");
    done(&skewless(repo, &["load", "--set", "store.views_max=2"]));
}

#[test]
fn a_mistyped_view_is_answered_with_the_nearest_and_all_others() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let complaint = refused(&skewless(repo.path(), &["load", "customer_order"]), 1);
    for part in ["did you mean `customer_orders`?", "next: ", "customer_orders, visits"] {
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
}

//! `load` from the outside: into the store that `serve` with the same settings has, under the same limits.

use std::path::Path;

use crate::{DEFINITIONS, SUM, Sidecar, command, done, refused, repo_that_adds, skewless};

/// With a view that has no history.
fn repo_with_visits() -> tempfile::TempDir {
    let visits =
        "  - {name: visits, entity: customer, features: [{name: pages, type: int64}]}\nrequests:";
    let definitions = DEFINITIONS.replace("requests:", visits);
    repo_that_adds(&definitions.replace("[adds.sum]", "[adds.sum, visits.pages]"), SUM)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_load_goes_into_the_store_that_is_served() {
    let repo = repo_with_visits();
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
    let repo = repo_with_visits();
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
    let repo = repo_with_visits();
    let complaint = refused(&skewless(repo.path(), &["load", "customer_order"]), 1);
    for part in ["did you mean `customer_orders`?", "next: ", "customer_orders, visits"] {
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
}

//! The feature repo as it is found and looked through: both ways to name it, what isn't one, one with nothing in it,
//! and plugins that are older than their source.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::cli::messages::{says, set_changed};
use crate::{DEFINITIONS, SUM, Sidecar, command, done, refused, repo_that_adds, skewless};

/// A folder with a feature repo called `shop` in it.
fn above_shop(definitions: &str) -> tempfile::TempDir {
    let above = tempfile::tempdir().unwrap();
    std::fs::rename(repo_that_adds(definitions, SUM).path(), above.path().join("shop")).unwrap();
    above
}

/// The whole log of a sidecar that is ended as soon as it serves.
fn log_of_a_start(repo: &Path) -> String {
    let words = ["serve", "--tcp", "", "--http", "", "--unix", "sidecar.sock"];
    let mut child = command(repo, &words).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut sidecar = Sidecar { child, ready: String::new() };
    let mut log = String::new();
    for line in lines.map_while(Result::ok) {
        if line.contains("sidecar.sock") && sidecar.ready.is_empty() {
            sidecar.ready.clone_from(&line);
            sidecar.signal("TERM");
        }
        log.push_str(&line);
        log.push('\n');
    }
    assert_eq!(sidecar.child.wait().unwrap().code(), Some(0), "{log}");
    log
}

fn warned(repo: &Path, words: &[&str]) -> String {
    let output = skewless(repo, words);
    done(&output);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_repo_is_named_with_or_without_its_flag() {
    let above = above_shop(&DEFINITIONS.replace("adds.sum", "adds.product"));
    let above = above.path();
    let serve = ["serve", "--tcp", "127.0.0.1:0", "--http", ""];
    for command in [&["check"][..], &serve] {
        for named in [&["shop"][..], &["--repo", "shop"]] {
            let complaint = refused(&skewless(above, &[command, named].concat()), 3);
            says(&complaint, &["1 mistake in the definitions in shop"]);
        }
        refused(&skewless(above, &[command, &["shop", "--repo", "shop"]].concat()), 2);
    }
    let next = "next: `shop` is a folder with definitions, and goes with --repo: skewless ";
    says(
        &refused(&skewless(above, &["load", "shop"]), 1),
        &["expected definitions", &format!("{next}load --repo shop\n")],
    );
    let backfill = ["backfill", "shop", "--spine", "spine.parquet", "--out", "out.parquet"];
    says(
        &refused(&skewless(above, &backfill), 1),
        &["expected definitions", &format!("{next}backfill --repo shop\n")],
    );
    let complaint = refused(&skewless(above, &["get", "risk", "--repo", "shop"]), 2);
    says(&complaint, &["a running sidecar is asked, not a folder", "--at"]);
}

#[test]
fn a_file_instead_of_its_folder_is_answered_with_the_folder() {
    let above = above_shop(DEFINITIONS);
    let (above, shop) = (above.path(), above.path().join("shop"));
    for words in [&["check"][..], &["load", "--repo"]] {
        let complaint = refused(&skewless(above, &[words, &["shop/features.yaml"]].concat()), 1);
        says(&complaint, &["expected the folder of a feature repo, came a file"]);
        says(&complaint, &["next: give the folder that it is in: shop\n"]);
        let complaint = refused(&skewless(&shop, &[words, &["features.yaml"]].concat()), 1);
        says(&complaint, &["next: give the folder that it is in: .\n"]);
    }
    let complaint = refused(&skewless(above, &["serve", "--repo", "shop/features.yaml"]), 1);
    says(&complaint, &["\n  repo_dir: expected a folder with definitions", "which is a file"]);
}

/// Such as one that `>` of a shell wrote over.
#[test]
fn a_file_of_definitions_that_holds_none_is_a_mistake_in_them() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    std::fs::write(repo.join("features.yaml"), b"PAR1\xff\xfe").unwrap();
    for words in [&["check"][..], &["serve", "--tcp", "127.0.0.1:0", "--http", ""]] {
        let complaint = refused(&skewless(repo, words), 3);
        says(&complaint, &["features.yaml: expected UTF-8 text, came "]);
        says(&complaint, &["1 mistake in the definitions in this folder"]);
        assert!(!complaint.contains("skewless init"), "{complaint}");
    }
}

#[test]
fn a_repo_with_nothing_in_it_is_no_silence() {
    let repo = repo_that_adds("# nothing yet\n", SUM);
    let repo = repo.path();
    says(&warned(repo, &["check"]), &["nothing is defined"]);
    let said = done(&skewless(repo, &["load"]));
    says(&said, &["no view has a source, so nothing was loaded"]);
    assert!(!repo.join(".skewless/store").exists(), "a store was made for nothing");
    let views = "views: [{name: visits, entity: customer, features: [{name: pages, type: int64}]}]";
    let entities = "entities: [{name: customer, keys: [{name: id, type: int64}]}]";
    std::fs::write(repo.join("features.yaml"), format!("{entities}\n{views}\n")).unwrap();
    assert!(!warned(repo, &["check"]).contains("nothing is defined"));
    let said = done(&skewless(repo, &["load"]));
    says(&said, &["no view has a source, so nothing was loaded"]);
}

#[test]
fn a_plugin_that_is_older_than_its_source_is_warned_of_and_goes_on() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let source = repo.join("plugins/adds/src/lib.rs");
    std::fs::create_dir_all(repo.join("plugins/adds/src")).unwrap();
    for file in [&repo.join("plugins/adds/Cargo.toml"), &source] {
        std::fs::write(file, "").unwrap();
        set_changed(file, 1_000);
    }
    set_changed(&repo.join("plugins/adds.wasm"), 2_000);
    let backfill = ["backfill", "risk", "--spine", "data/orders.parquet", "--out", "out.parquet"];
    let backfill = [&backfill[..], &["--overwrite"]].concat();
    let older = "plugin `plugins/adds.wasm` is older than its source";
    for (changed_s, is_older) in [(2_000, false), (2_001, true)] {
        set_changed(&source, changed_s);
        for told in [warned(repo, &["check"]), warned(repo, &backfill), log_of_a_start(repo)] {
            assert_eq!(told.contains(older), is_older, "{told}");
        }
    }
    says(&log_of_a_start(repo), &["features.yaml:", "`skewless plugin build plugins/adds`"]);
}

#[test]
fn init_says_every_step_to_an_answer_and_training_data() {
    let above = tempfile::tempdir().unwrap();
    let said = done(&skewless(above.path(), &["init", "shop"]));
    let steps = ["cd shop", "plugin build", "check", "load", "serve", "get order_risk", "backfill"];
    let mut rest = said.as_str();
    for step in steps {
        let at = rest.find(step).unwrap_or_else(|| panic!("{step} is missing in\n{said}"));
        rest = &rest[at..];
    }
}

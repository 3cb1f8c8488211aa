//! `backfill` from the outside: whose limits it runs under, and where it writes.

use std::path::Path;

use crate::{command, done, refused, repo_that_adds, skewless};

const DEFINITIONS: &str = "\
requests: [{name: amount, type: float64}]
transforms: [{name: grows, plugin: plugins/adds.wasm, inputs: {a: request.amount, b: request.amount}}]
services: [{name: growing, features: [grows.sum]}]
";

/// Takes as many pages of memory as the order's amount says.
const GROWS: &str = "(drop (memory.grow (i32.trunc_sat_f64_u (local.get $a)))) (f64.add (local.get $a) (local.get $b))";

/// 2 MiB: 32 pages.
const LESS_MEMORY: &str = "engine.memory_bytes_max=2097152";

fn backfill(repo: &Path, more: &[&str]) -> std::process::Output {
    let words = [
        "backfill",
        "growing",
        "--spine",
        "data/orders.parquet",
        "--out",
        "out.parquet",
        "--overwrite",
    ];
    skewless(repo, &[words.as_slice(), more].concat())
}

#[test]
fn a_backfill_runs_under_the_limits_that_serve_would_have() {
    let repo = repo_that_adds(DEFINITIONS, GROWS);
    let repo = repo.path();
    let written = || std::fs::read(repo.join("out.parquet")).unwrap();
    let usual = done(&backfill(repo, &[]));
    assert!(!usual.contains("failed"), "{usual}");
    let usual = written();

    let output = backfill(repo, &["--set", LESS_MEMORY]);
    let warned = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        warned.contains("warning: ") && warned.contains(" of 1,000 values failed ("),
        "{warned}"
    );
    let less = done(&output);
    assert!(less.contains("  transform grows failed for "));
    assert!(less.contains(" of 1,000 rows, counted from 0:\n"), "{less}");
    assert!(less.contains("grows.sum: ") && less.contains(" failed"), "{less}");
    assert!(less.contains("may have 2097152 (engine.memory_bytes_max)"), "{less}");
    let less = written();
    assert_ne!(less, usual);

    std::fs::write(repo.join("sidecar.toml"), "[engine]\nmemory_bytes_max = 2097152\n").unwrap();
    done(&backfill(repo, &["--config", "sidecar.toml"]));
    assert_eq!(written(), less, "--config says the same as --set");
    for (name, value) in
        [("SKEWLESS_CONFIG", "sidecar.toml"), ("SKEWLESS__ENGINE__MEMORY_BYTES_MAX", "2097152")]
    {
        let words = [
            "backfill",
            "growing",
            "--spine",
            "data/orders.parquet",
            "--out",
            "env.parquet",
            "--overwrite",
        ];
        done(&command(repo, &words).env(name, value).output().unwrap());
        assert_eq!(std::fs::read(repo.join("env.parquet")).unwrap(), less, "{name}");
    }
}

#[test]
fn the_repo_is_the_configuration_s_unless_it_is_given() {
    let repo = repo_that_adds(DEFINITIONS, GROWS);
    let elsewhere = tempfile::tempdir().unwrap();
    let toml = format!("repo_dir = \"{}\"\n", repo.path().display());
    std::fs::write(elsewhere.path().join("sidecar.toml"), toml).unwrap();
    let spine = repo.path().join("data/orders.parquet").display().to_string();
    let words = [
        "backfill",
        "growing",
        "--spine",
        &spine,
        "--out",
        "out.parquet",
        "--config",
        "sidecar.toml",
    ];
    done(&skewless(elsewhere.path(), &words));
    let complaint =
        refused(&skewless(elsewhere.path(), &[words.as_slice(), &["--repo", "none"]].concat()), 1);
    assert!(complaint.contains("none: ") && complaint.contains("skewless init"), "{complaint}");
}

#[test]
fn a_mistake_in_the_settings_is_named_as_serve_names_it() {
    let repo = repo_that_adds(DEFINITIONS, GROWS);
    let complaint = refused(&backfill(repo.path(), &["--set", "engine.memory_byte_max=1"]), 1);
    for part in
        ["--set engine.memory_byte_max", "did you mean `engine.memory_bytes_max`?", " next: "]
    {
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
    let complaint = refused(&backfill(repo.path(), &["--config", "none.toml"]), 1);
    assert!(complaint.contains("none.toml") && complaint.contains("--config"), "{complaint}");
}

#[test]
fn a_folder_for_the_output_that_is_not_there_is_not_made() {
    let repo = repo_that_adds(DEFINITIONS, GROWS);
    let words = ["backfill", "growing", "--spine", "data/orders.parquet", "--out", "a/b/c.parquet"];
    let complaint = refused(&skewless(repo.path(), &words), 1);
    for part in
        ["a/b/c.parquet", "expected a folder `a/b`, came none", "next: make it with `mkdir -p a/b`"]
    {
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
    assert!(!repo.path().join("a").exists());
    std::fs::create_dir_all(repo.path().join("a/b")).unwrap();
    done(&skewless(repo.path(), &words));
}

/// A script that goes on with such an output would train on nothing.
#[test]
fn a_transform_that_fails_for_every_row_ends_with_1_and_is_told_once() {
    let repo = repo_that_adds(DEFINITIONS, "unreachable");
    let output = backfill(repo.path(), &[]);
    let complaint = refused(&output, 1);
    for part in [
        "warning: 1,000 of 1,000 values failed (100.0 %) and are null in the output",
        "error: transform `grows` failed and gave no row a value",
        " next: see the messages above",
    ] {
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
    let said = String::from_utf8_lossy(&output.stdout);
    for part in [
        "grows.sum: 1,000 failed",
        "transform grows failed for 1,000 of 1,000 rows, counted from 0:",
        "written to out.parquet",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert_eq!(said.matches("plugin trapped: ").count(), 1, "{said}");
    assert!(said.contains("    row 0 and "), "{said}");
    assert!(said.contains(" rows whose messages were not kept\n"), "{said}");
    assert!(repo.path().join("out.parquet").exists());
}

#[test]
fn a_spine_whose_times_are_none_says_how_to_make_them() {
    let repo = repo_that_adds(DEFINITIONS, GROWS);
    for (column, found, next) in [
        (
            "amount",
            "came float64",
            " next: make timestamps of the numbers, with pandas: df[\"amount\"] = ",
        ),
        ("returned", "came bool", " next: write `returned` as a timestamp"),
    ] {
        let complaint = refused(&backfill(repo.path(), &["--event-timestamp", column]), 1);
        assert!(
            complaint.contains("expected timestamp, ") && complaint.contains(found),
            "{complaint}"
        );
        assert!(complaint.contains(next), "{next}\n{complaint}");
    }
}

#[test]
fn an_output_that_is_a_folder_is_refused_and_one_of_another_name_is_warned_of() {
    let repo = repo_that_adds(DEFINITIONS, GROWS);
    let repo = repo.path();
    let to = |out: &str, more: &[&str]| {
        let words = ["backfill", "growing", "--spine", "data/orders.parquet", "--out", out];
        skewless(repo, &[&words[..], more].concat())
    };
    let (without, with): (&[&str], &[&str]) = (&[], &["--overwrite"]);
    for more in [without, with] {
        let complaint = refused(&to("data/", more), 1);
        for part in [
            "`data/` can't be written: expected a file, came a folder\n",
            " next: give a file, such as --out data/training.parquet\n",
        ] {
            assert!(complaint.contains(part), "{part}\n{complaint}");
        }
    }
    let warned = |out: &str| {
        let output = to(out, &[]);
        done(&output);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let expected = "warning: training.csv will hold Parquet, not csv: ";
    assert!(warned("training.csv").starts_with(expected));
    assert!(!warned("training.2024").contains("will hold Parquet"));
}

/// A feature that isn't found is null: such an output is a spine with nulls.
#[test]
fn nulls_of_a_spine_are_warned_of_in_keys_and_refused_in_requests() {
    let view = "\
views:
  - name: customer_orders
    entity: customer
    ttl: 1us
    boundary: exclusive
    features: [{name: spent, type: float64}, {name: orders, type: int64}]
    source: {path: data/customer_orders.parquet, event_timestamp: event_timestamp}
";
    let entity = |more: &str| {
        format!(
            "entities: [{{name: customer, keys: [{{name: customer_id, type: int64}}]{more}}}]\n"
        )
    };
    let gaps = "services: [{name: gaps, features: [{feature: customer_orders.orders, as: shop_id}, \
                {feature: customer_orders.spent, as: worth}]}]\n";
    let repo = repo_that_adds(&format!("{}{view}{gaps}", entity("")), GROWS);
    let repo = repo.path();
    let backfill = |service: &str, spine: &str, out: &str| {
        skewless(repo, &["backfill", service, "--spine", spine, "--out", out])
    };
    let output = backfill("gaps", "data/orders.parquet", "gaps.parquet");
    done(&output);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("no key in"));
    let asked = "requests: [{name: worth, type: float64}]
services: [{name: stored, features: [customer_orders.orders]}, {name: asked, features: [request.worth]}]
";
    let definitions = format!("{}{view}{asked}", entity(", as: [shop_id]"));
    std::fs::write(repo.join("features.yaml"), definitions).unwrap();
    let output = backfill("stored", "gaps.parquet", "stored.parquet");
    let said = done(&output);
    assert!(said.contains("customer_orders.orders: 1,000 not found"), "{said}");
    let warned = String::from_utf8_lossy(&output.stderr);
    let expected = "warning: 1,000 rows have no key in `shop_id`: no stored feature of that key is found there\n";
    assert!(warned.contains(expected), "{warned}");
    let complaint = refused(&backfill("asked", "gaps.parquet", "asked.parquet"), 1);
    for part in [
        "`gaps.parquet`, column `worth`, row 0 (counted from 0): expected a value",
        " next: give the row a value, or leave it out; a request value that may be null",
    ] {
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
    assert!(!complaint.contains("--skip-bad-rows"), "that is of a load\n{complaint}");
}

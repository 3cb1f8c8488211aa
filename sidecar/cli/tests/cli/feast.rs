//! The way from Feast from the outside: a registry and an online store that real Feast wrote
//! (`tests/interop/feast_import/make_fixtures.py`), imported, copied, and served.

use std::path::{Path, PathBuf};

use crate::{Sidecar, done, refused, skewless};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/feast_import/fixtures")
}

/// A Feast repo of the fixtures, and what was imported of it: without its on-demand view, whose plugin isn't built here.
fn imported() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let feast = folder.path().join("feast");
    std::fs::create_dir(&feast).unwrap();
    for name in ["registry.db", "online.db"] {
        std::fs::copy(fixtures().join(name), feast.join(name)).unwrap();
    }
    let yaml =
        "project: Shop\nregistry: registry.db\nonline_store: {type: sqlite, path: online.db}\n";
    std::fs::write(feast.join("feature_store.yaml"), yaml).unwrap();
    let told = done(&skewless(folder.path(), &["feast", "import", "feast", "--out", "ours"]));
    (folder, told)
}

/// The definitions without what needs a plugin.
fn without_transforms(repo: &Path) {
    let path = repo.join("features.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("\nrequests:").unwrap();
    let (_, services) = rest.split_once("\nservices:").unwrap();
    let services: String = services
        .lines()
        .filter(|line| !line.contains("basket."))
        .map(|l| format!("{l}\n"))
        .collect();
    std::fs::write(path, format!("{before}\nservices:{services}")).unwrap();
}

#[test]
fn a_feast_repo_becomes_a_repo_that_passes_the_check() {
    let (folder, told) = imported();
    for part in [
        "made ours of project Shop: 5 entities, 6 views, 2 request values, 1 transform, 1 service; next:",
        "skewless plugin build plugins/basket",
        "(add `--at ADDRESS` if ours is served already):\n\n  skewless feast copy --from sqlite://",
        "view `Place-Visits` is `place_visits`",
        "view `nothing`: it has no feature of a type that is stored here",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let repo = folder.path().join("ours");
    let definitions = std::fs::read_to_string(repo.join("features.yaml")).unwrap();
    assert!(
        definitions.contains("  - {name: amount, type: float64, nullable: true}\n"),
        "{definitions}"
    );
    let mut names: Vec<_> = std::fs::read_dir(&repo)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".gitignore", "IMPORTED.md", "feast.json", "features.yaml", "plugins"]);
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "something is left beside: {left:?}");
    let imported = std::fs::read_to_string(repo.join("IMPORTED.md")).unwrap();
    assert!(
        imported.contains("## Left out") && imported.contains("`orders:more` of service `Risk v1`"),
        "{imported}"
    );
    let complaint = refused(&skewless(&repo, &["check"]), 3);
    assert!(complaint.contains("next: skewless plugin build plugins/basket"), "{complaint}");
    without_transforms(&repo);
    done(&skewless(&repo, &["check"]));
}

#[test]
fn an_import_changes_nothing_where_something_is() {
    let folder = tempfile::tempdir().unwrap();
    let registry = fixtures().join("registry.db");
    let registry = registry.to_str().unwrap();
    std::fs::create_dir(folder.path().join("ours")).unwrap();
    done(&skewless(folder.path(), &["feast", "import", registry, "--out", "ours"]));
    let complaint =
        refused(&skewless(folder.path(), &["feast", "import", registry, "--out", "ours"]), 1);
    assert!(complaint.contains("ours is not empty"), "{complaint}");
    for (words, part) in [
        (
            vec!["feast", "import", registry, "--out", "new", "--project", "shop"],
            "its projects are: Shop",
        ),
        (vec!["feast", "import", "none.db", "--out", "new"], "can't read none.db"),
        (vec!["feast", "import", ".", "--out", "new"], "expected feature_store.yaml"),
    ] {
        let complaint = refused(&skewless(folder.path(), &words), 1);
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
    assert!(!folder.path().join("new").exists());
}

#[test]
fn registries_that_are_no_file_are_refused_with_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    for registry in
        ["{registry_type: sql, path: 'postgresql://u:secret@h/d'}", "s3://bucket/registry.db"]
    {
        let yaml = format!("project: shop\nregistry: {registry}\n");
        std::fs::write(folder.path().join("feature_store.yaml"), yaml).unwrap();
        let complaint =
            refused(&skewless(folder.path(), &["feast", "import", ".", "--out", "new"]), 1);
        assert!(
            complaint.contains("SerializeToString()") && !complaint.contains("secret"),
            "{complaint}"
        );
    }
}

#[test]
fn rows_are_copied_counted_and_served_and_copied_again_without_effect() {
    let (folder, _) = imported();
    let repo = folder.path().join("ours");
    without_transforms(&repo);
    let from = format!("sqlite://{}", folder.path().join("feast/online.db").display());
    let copy = ["feast", "copy", "--from", &from];
    let output = skewless(&repo, &copy);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = refused(&output, 1);
    for part in [
        "orders: 5 rows read, 3 written (3 newest now, 0 older than what is there, 0 there already, 0 due later), 2 refused",
        "orders: 1 row refused: value of another type than the feature's; the first: feature `large`: expected int64, came a string",
        "orders: 1 row refused: value that the feature's type can't hold",
        "weather: 4 rows read, 1 written",
        "weather: 1 row refused: entity key of serialization version 2 or older",
        "weather: 1 row refused: entity key that can't be read",
        "weather: 1 row refused: no event time, or one out of range",
        "place_visits: 1 row read, 1 written",
        "loyalty: 1 row read, 1 written",
        "everywhere: 1 row read, 1 written",
        "clicks: 0 rows read, 0 written",
    ] {
        assert!(told.contains(part), "{part}\n{told}\n{complaint}");
    }
    assert!(
        complaint.contains("5 rows were refused") && complaint.contains("--skip-bad-rows"),
        "{complaint}"
    );
    let again = done(&skewless(&repo, &[&copy[..], &["--skip-bad-rows"]].concat()));
    assert!(again.contains("orders: 5 rows read, 3 written (0 newest now, 0 older than what is there, 3 there already"), "{again}");

    let sidecar = Sidecar::start_with(&repo, &["--http", ""]);
    let at = ["--at", "unix:sidecar.sock"];
    let served = done(&skewless(&repo, &[&copy[..], &["--skip-bad-rows"], &at].concat()));
    assert!(served.contains("orders: 5 rows read, 3 written (0 newest now, 0 older than what is there, 3 there already"), "{served}");
    let asked = [
        "get",
        "risk_v1",
        "customer_id=1",
        "start_id=Ulm",
        "goal_id=Bonn",
        "place_id=Ulm",
        "--json",
    ];
    let json = done(&skewless(&repo, &[&asked[..], &at].concat()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let row = &json["rows"][0];
    assert_eq!(row["features"]["orders.large"], i64::MIN, "{json}");
    assert_eq!(row["features"]["orders.flag"], true, "{json}");
    assert_eq!(row["features"]["start__wind"], 3.5, "{json}");
    assert_eq!(row["missing"]["goal__wind"], "NOT_FOUND", "{json}");
    assert_eq!(row["features"]["place_visits.n7dvisits"], 7, "{json}");
    assert_eq!(row["features"]["loyalty.points"], 12, "{json}");
    assert_eq!(row["event_times"]["orders"], "2026-03-01T12:00:00Z", "{json}");
    sidecar.stop();
}

#[test]
fn a_row_over_a_limit_costs_itself_alone_in_both_places() {
    let (folder, _) = imported();
    let repo = folder.path().join("ours");
    without_transforms(&repo);
    let from = format!("sqlite://{}", folder.path().join("feast/online.db").display());
    let limit = ["--set", "store.value_bytes_max=200"];
    let copy = ["feast", "copy", "--from", &from, "orders", "loyalty"];
    let said = |output: &std::process::Output| {
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = refused(output, 1);
        for part in [
            "orders: 5 rows read, 1 written",
            "orders: 2 rows refused: refused by the store; the first: expected at most 200 (value_bytes_max), came ",
            "loyalty: 1 row read, 1 written",
        ] {
            assert!(told.contains(part), "{part}\n{told}\n{complaint}");
        }
    };
    said(&skewless(&repo, &[&copy[..], &["--store", "aside"], &limit].concat()));
    let sidecar = Sidecar::start_with(&repo, &[&["--http", ""][..], &limit].concat());
    said(&skewless(&repo, &[&copy[..], &["--at", "unix:sidecar.sock"]].concat()));
    sidecar.stop();
}

#[test]
fn a_copy_of_nothing_is_a_failure() {
    let (folder, _) = imported();
    let repo = folder.path().join("ours");
    without_transforms(&repo);
    let from = format!("sqlite://{}", folder.path().join("feast/online.db").display());
    let none = ["feast", "copy", "--from", &from, "--project", "shop"];
    let complaint = refused(&skewless(&repo, &none), 1);
    assert!(
        complaint.contains("nothing was copied") && complaint.contains("--project"),
        "{complaint}"
    );
    let part = done(&skewless(&repo, &["feast", "copy", "loyalty", "--from", &from]));
    assert!(part.contains("loyalty: 1 row read") && !part.contains("orders:"), "{part}");
    let zone = ["feast", "copy", "--from", &from, "--zone", "Europe/Nowhere"];
    assert!(
        refused(&skewless(&repo, &zone), 2).contains("expected a time zone such as Europe/Berlin")
    );
    for (from, part) in [
        ("rediss://h:1/0", "TLS"),
        ("mysql://h/d", "came `mysql://`"),
        ("redis://127.0.0.1:1/0", "no Redis answers"),
    ] {
        let complaint = refused(&skewless(&repo, &["feast", "copy", "--from", from]), 1);
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
}

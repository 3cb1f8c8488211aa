//! `plugin new`: what it makes works as it stands, and what it refuses. Languages that want a compiler of their own are built
//! by tests/interop/guests.sh.

use std::path::Path;

use skewless_batch::{Column, Type};

use crate::{command, done, refused, skewless};

/// The README's steps in a plugin of Rust, but for the sidecar: `tests/interop/guests.sh` asks one.
#[test]
fn a_new_plugin_is_built_tested_and_makes_training_data() {
    // One folder for all runs, so that a second one builds the crate alone.
    let above = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new");
    std::fs::create_dir_all(&above).unwrap();
    let lock = std::fs::File::create(above.join("lock")).unwrap();
    lock.lock().unwrap();
    let repo = above.join("trip_km");
    std::fs::remove_dir_all(&repo).ok();
    let said = done(&skewless(&above, &["plugin", "new", "trip_km"]));
    assert!(said.starts_with("made trip_km; next:"), "{said}");
    for path in files(&repo) {
        let text = std::fs::read(repo.join(&path)).unwrap();
        let text = String::from_utf8_lossy(&text);
        for left in ["my_plugin", "{about}", "{source}", "{sdk}"] {
            assert!(!text.contains(left) && !path.contains("my_plugin"), "{path} has {left}");
        }
    }
    // The versions that the workspace has: they are on this machine, so no network is asked.
    let lock_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    std::fs::copy(lock_file, repo.join("plugins/trip_km/Cargo.lock")).unwrap();

    let complaint = refused(&skewless(&repo, &["check"]), 3);
    assert!(complaint.contains("skewless plugin build plugins/trip_km"), "{complaint}");
    let target = above.join("target");
    let words = ["plugin", "build", "plugins/trip_km"];
    done(&command(&repo, &words).env("CARGO_TARGET_DIR", &target).output().unwrap());
    // A machine that is busy with other tests is no reason to call a row late.
    let patient = ["--cases", "16", "--set", "engine.deadline_ticks=5000"];
    let words = [&["plugin", "test", "plugins/trip_km"][..], &patient].concat();
    let tested = done(&skewless(&repo, &words));
    assert!(tested.contains("11 rows of plugins/trip_km/golden.jsonl"), "{tested}");
    let checked = done(&skewless(&repo, &["check"]));
    assert!(
        checked.contains("delivery: 5 features; keys: shop_id; request values: lat, lon"),
        "{checked}"
    );

    let words =
        ["backfill", "delivery", "--spine", "data/orders.parquet", "--out", "training.parquet"];
    let backfilled = done(&skewless(&repo, &words));
    assert!(backfilled.contains("8 rows, 5 features"), "{backfilled}");

    let words = ["plugin", "bench", "plugins/trip_km", "--native", "--time", "1"];
    let bench = |more: &[&str]| {
        let mut bench = command(&repo, &[&words, more].concat());
        done(&bench.env("CARGO_TARGET_DIR", &target).output().unwrap())
    };
    let table = bench(&[]);
    let heads = table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(heads.ends_with("fresh native reset / native"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&bench(&["--json"])).unwrap();
    for batch in json["batches"].as_array().unwrap() {
        assert!(batch["ns_a_row"]["native"].as_f64().unwrap() > 0.0, "{json}");
    }
}

/// The plugin in a language that a compiler of its own is needed for is all there, and without that compiler the build says how to get it.
#[test]
fn a_new_plugin_in_c_or_zig_has_its_kit_and_says_what_compiles_it() {
    let folder = tempfile::tempdir().unwrap();
    for (language, kit) in [("c", "skewless.h"), ("zig", "skewless.zig")] {
        let name = format!("trip_{language}");
        done(&skewless(folder.path(), &["plugin", "new", &name, "--lang", language]));
        let repo = folder.path().join(&name);
        let source =
            std::fs::read_to_string(repo.join(format!("plugins/{name}/src/plugin.{language}")))
                .unwrap();
        assert!(source.contains(&format!("\"{name}\"")) && source.contains(kit), "{source}");
        assert!(repo.join(format!("plugins/{name}/src/{kit}")).is_file());
        let complaint = refused(&skewless(&repo, &["check"]), 3);
        assert!(
            complaint.contains(&format!("skewless plugin build plugins/{name}")),
            "{complaint}"
        );
        let source = format!("plugins/{name}");
        let build = ["plugin", "build", &source];
        let alone = command(&repo, &build).env("PATH", folder.path()).output().unwrap();
        let complaint = refused(&alone, 1);
        assert!(complaint.contains(".venv/bin/pip install ziglang"), "{complaint}");
        let output = skewless(&repo, &[&build[..], &["--component"]].concat());
        assert!(refused(&output, 1).contains("leave --component out"));
    }
}

#[test]
fn a_plugin_with_an_interpreter_in_it_lies_beside_its_kit_and_says_what_its_build_needs() {
    let folder = tempfile::tempdir().unwrap();
    for (language, source, kit, needs) in [
        ("python", "plugin.py", "skewless_guest.py", "python3 was not found on the PATH"),
        ("js", "plugin.js", "skewless.js", "npm install @bytecodealliance/componentize-js@0.23.0"),
    ] {
        let name = format!("trip_{language}");
        done(&skewless(folder.path(), &["plugin", "new", &name, "--lang", language]));
        let repo = folder.path().join(&name);
        let plugin = repo.join("plugins").join(&name);
        let text = std::fs::read_to_string(plugin.join(source)).unwrap();
        assert!(text.contains(&format!("\"{name}\"")), "{text}");
        let source = format!("plugins/{name}");
        let words = ["plugin", "build", &source];
        let build = || command(&repo, &words).env("PATH", folder.path()).output().unwrap();
        let complaint = refused(&build(), 1);
        assert!(complaint.contains(needs), "{complaint}");
        std::fs::remove_file(plugin.join(kit)).unwrap();
        let complaint = refused(&build(), 1);
        assert!(complaint.contains(&format!("expected the kit {kit} in ")), "{complaint}");
    }
}

/// Whoever replaces a crate by another language may forget its Cargo.toml.
#[test]
fn a_folder_of_two_languages_is_not_built_as_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("both/src")).unwrap();
    for file in ["Cargo.toml", "src/plugin.c"] {
        std::fs::write(folder.path().join("both").join(file), "").unwrap();
    }
    let complaint = refused(&skewless(folder.path(), &["plugin", "build", "both"]), 1);
    assert!(complaint.contains("came Cargo.toml, src/plugin.c: remove those"), "{complaint}");
}

/// The program that gives back what it takes, through the vectors; and what is no such program.
#[test]
fn test_vectors_come_back_as_they_went_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (vectors, echo) = (root.join("sdk/vectors"), root.join("tests/programs/echo"));
    let (vectors, echo) = (vectors.to_str().unwrap(), echo.to_str().unwrap());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("echo");
    let words = ["plugin", "build", echo, "--out-dir", "."];
    done(&command(folder.path(), &words).env("CARGO_TARGET_DIR", target).output().unwrap());
    let test = |plugin: &str, vectors: &str| {
        let words = ["plugin", "test", plugin, "--cases", "0", "--vectors", vectors];
        skewless(folder.path(), &[&words[..], &["--set", "engine.deadline_ticks=5000"]].concat())
    };
    let said = done(&test("echo.wasm", vectors));
    assert!(said.contains("vectors          pass") && said.contains("and 65,536 rows"), "{said}");
    std::fs::write(folder.path().join("bad.hex"), "xyz").unwrap();
    let complaint = refused(&test("echo.wasm", "."), 1);
    assert!(complaint.contains("expected hexadecimal digits in bad.hex"), "{complaint}");
    let adds = wat::parse_file(root.join("tests/programs/adds.wat")).unwrap();
    std::fs::write(folder.path().join("adds.wasm"), adds).unwrap();
    let complaint = refused(&test("adds.wasm", vectors), 1);
    assert!(complaint.contains("expected a plugin that gives back what it takes"), "{complaint}");
}

/// A suite that finds nothing would pass everything: guests that give back a float64, each with one flaw.
#[test]
fn test_vectors_find_a_lost_sign_a_lost_null_and_a_trap_without_rows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let adds = std::fs::read_to_string(root.join("tests/programs/adds.wat")).unwrap();
    let changed = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "no {from}");
        text.replacen(from, to, 1)
    };
    let sum = "(f64.add (local.get $a) (local.get $b))";
    let other =
        "(call $valid (local.get $in) (i32.add (local.get $in) (i32.const 112)) (local.get $i))";
    let gives_back = changed(&adds, r#"\"sum\""#, r#"\"a\""#);
    let gives_back = changed(&gives_back, sum, "(local.get $a)");
    let gives_back = changed(&gives_back, other, "(i32.const 1)");
    let first =
        "(call $valid (local.get $in) (i32.add (local.get $in) (i32.const 64)) (local.get $i))";
    let rows = "(local.set $n (i32.load offset=8 (local.get $in)))";
    let flaws = [
        ("whole", gives_back.clone(), None),
        (
            "sign",
            changed(&gives_back, "f64) (local.get $a))", "f64) (f64.abs (local.get $a)))"),
            Some(
                "float64.hex to come back as it is, came otherwise: a of row 2 came as 0.0, expected -0.0",
            ),
        ),
        (
            "null",
            changed(&gives_back, first, "(i32.const 1)"),
            Some(
                "float64.hex to come back as it is, came otherwise: a of row 1 came as 0.0, expected null",
            ),
        ),
        (
            "trap",
            changed(
                &gives_back,
                rows,
                &format!("{rows} (if (i32.eqz (local.get $n)) (then unreachable))"),
            ),
            Some("no_rows.hex to come back as it is, came otherwise: plugin trapped"),
        ),
    ];
    let vectors = folder.path().join("vectors");
    std::fs::create_dir(&vectors).unwrap();
    let float64 = root.join("sdk/vectors/valid/float64.hex");
    std::fs::copy(float64, vectors.join("float64.hex")).unwrap();
    let bytes = skewless_batch::encode_vec(0, &[Column::new(Type::Float64).view()]);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(vectors.join("no_rows.hex"), digits).unwrap();
    for (name, text, expected) in flaws {
        std::fs::write(folder.path().join("a.wasm"), wat::parse_str(text).unwrap()).unwrap();
        let words = ["plugin", "test", "a.wasm", "--cases", "0", "--vectors", "vectors"];
        let words = [&words[..], &["--set", "engine.deadline_ticks=5000"]].concat();
        let output = skewless(folder.path(), &words);
        match expected {
            None => assert!(done(&output).contains("vectors          pass"), "{name}"),
            Some(expected) => {
                let complaint = refused(&output, 1);
                assert!(complaint.contains(expected), "{name}: {complaint}");
            }
        }
    }
}

/// Every file below a folder, by its path in it.
fn files(folder: &Path) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found
}

#[test]
fn a_name_that_is_none_is_refused_with_one_that_is() {
    let folder = tempfile::tempdir().unwrap();
    let long = "a".repeat(129);
    for (name, expected, next) in [
        (
            "Trip-KM",
            "begins with a letter, came `Trip-KM` (did you mean `trip_km`?)",
            "plugin new trip_km --lang rust",
        ),
        ("2nd", "came `2nd` (did you mean `nd`?)", "plugin new nd "),
        ("../trip", "came `../trip` (did you mean `trip`?)", "plugin new trip "),
        ("", "begins with a letter, came ``", "plugin new trip_km "),
        (
            "match",
            "expected a name that is free in rust, came `match`",
            "plugin new match_feature ",
        ),
        (
            "request",
            "expected a name that is free in definitions, came `request`",
            "plugin new request_feature ",
        ),
        (
            &long,
            "expected a name of at most 128 bytes (NAME_BYTES_MAX), came 129",
            "plugin new trip_km ",
        ),
    ] {
        let complaint = refused(&skewless(folder.path(), &["plugin", "new", name]), 1);
        assert!(complaint.contains(expected), "{name}: {complaint}");
        assert!(complaint.contains(&format!(" next: skewless {next}")), "{name}: {complaint}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "something was made");
}

#[test]
fn a_new_plugin_leaves_alone_what_is_there_and_needs_a_language_that_is_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("trip")).unwrap();
    std::fs::write(folder.path().join("trip/mine"), "precious").unwrap();
    std::fs::write(folder.path().join("flat"), "precious").unwrap();
    let complaint = refused(&skewless(folder.path(), &["plugin", "new", "trip"]), 1);
    assert!(complaint.contains("trip is not empty"), "{complaint}");
    assert_eq!(folder.path().join("trip").read_dir().unwrap().count(), 1);
    let complaint = refused(&skewless(folder.path(), &["plugin", "new", "flat"]), 1);
    assert!(complaint.contains("flat is a file"), "{complaint}");
    let words = ["plugin", "new", "far", "--lang", "rut"];
    let complaint = refused(&skewless(folder.path(), &words), 2);
    assert!(complaint.contains("similar value exists: 'rust'"), "{complaint}");
    let words = ["plugin", "new", "far", "--sdk", "nowhere"];
    let complaint = refused(&skewless(folder.path(), &words), 1);
    assert!(complaint.contains("no plugin SDK at nowhere"), "{complaint}");
    assert!(!folder.path().join("far").exists());
}

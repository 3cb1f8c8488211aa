//! `plugin test`, `certify`, `diff` and `bench`, and definitions that want a certificate.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};

use crate::{
    DEFINITIONS, SUM, command, done, listens_to_interrupts, refused, repo_that_adds, skewless,
};

/// A machine that is busy with other tests is no reason to call a row late.
const PATIENT: [&str; 2] = ["--set", "engine.deadline_ticks=5000"];
const ADDS: &str = "plugins/adds.wasm";

fn says(text: &str, parts: &[&str]) {
    // Mistakes in definitions are drawn with a bar before each line that a long message is broken into.
    let flat = text.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(flat.contains(part), "expected `{part}` in\n{text}");
    }
}

/// Puts a program of `tests/programs` in the place of the plugin.
fn put(repo: &Path, program: &str, plugin: &str) {
    let wat = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs");
    let wasm = wat::parse_file(wat.join(format!("{program}.wat"))).unwrap();
    std::fs::write(repo.join(plugin), wasm).unwrap();
}

fn certify(repo: &Path, more: &[&str]) -> Output {
    let words = ["plugin", "certify", ADDS, "--cases", "16"];
    skewless(repo, &[&words[..], &PATIENT, more].concat())
}

fn test(repo: &Path, more: &[&str]) -> Output {
    let words = ["plugin", "test", ADDS, "--cases", "16"];
    skewless(repo, &[&words[..], &PATIENT, more].concat())
}

/// As one that takes dates: what is made for it gives no value, and golden rows in its folder do.
#[test]
fn a_plugin_that_answers_no_row_is_certified_by_its_golden_rows() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    put(repo, "answers_one_number", ADDS);
    let complaint = refused(&certify(repo, &[]), 1);
    let next =
        "give golden rows that it answers, in plugins/adds/golden.jsonl or with --golden FILE";
    says(&complaint, &["expected at least one row in 100 to give a value", "came 0 of", next]);
    std::fs::create_dir_all(repo.join("plugins/adds")).unwrap();
    let rows = r#"{"in": {"a": 20131005.25, "b": 1}, "out": {"sum": 20131006.25}}"#;
    std::fs::write(repo.join("plugins/adds/golden.jsonl"), rows).unwrap();
    // By its folder as well as by its file: it counts its calls, which now is seen.
    for plugin in [ADDS, "plugins/adds"] {
        let words = ["plugin", "certify", plugin, "--cases", "16"];
        let complaint = refused(&skewless(repo, &[&words[..], &PATIENT].concat()), 1);
        says(&complaint, &["found broken:", "repeated_calls"]);
    }
}

#[test]
fn a_certificate_lets_a_plugin_be_reused_until_it_is_built_anew() {
    let reused = DEFINITIONS.replace("inputs: {a", "instance: reused, inputs: {a");
    let repo = repo_that_adds(&reused, SUM);
    let repo = repo.path();
    let backfill = ["backfill", "risk", "--spine", "data/orders.parquet", "--out", "out.parquet"];
    let commands: [&[&str]; 3] =
        [&["check"], &backfill, &["serve", "--tcp", "127.0.0.1:0", "--http", ""]];
    let refuses = |came: &str| {
        for words in commands {
            let complaint = refused(&skewless(repo, words), 3);
            says(
                &complaint,
                &["expected a certificate of plugin", came, "skewless plugin certify"],
            );
        }
    };
    refuses("came none");
    let said = done(&certify(repo, &[]));
    says(&said, &["16 cases", "seed 1", "no_imports pass", "batch_split pass", "threads pass"]);
    says(&said, &["passed; the certificate is plugins/adds.certificate.json"]);
    done(&skewless(repo, &["check"]));
    done(&skewless(repo, &backfill));

    let certificate = repo.join("plugins/adds.certificate.json");
    let text = std::fs::read_to_string(&certificate).unwrap();
    let older = text.replace(&format!("\"{}\"", env!("CARGO_PKG_VERSION")), "\"0.0.0\"");
    assert_ne!(text, older);
    std::fs::write(&certificate, older).unwrap();
    let output = skewless(repo, &["check"]);
    done(&output);
    says(&String::from_utf8_lossy(&output.stderr), &["was certified by engine 0.0.0"]);

    std::fs::write(&certificate, text).unwrap();
    put(repo, "fails_negative_rows", ADDS);
    refuses("the plugin was built anew since");
    // What was found with more memory than usual holds where there is as much.
    let more = ["--set", "engine.memory_bytes_max=134217728"];
    done(&certify(repo, &more));
    refuses(
        "expected engine.memory_bytes_max of at least 134217728, with which the plugin was examined, came 67108864",
    );
    done(&skewless(repo, &[&["check"][..], &more].concat()));
    done(&certify(repo, &[]));
    done(&skewless(repo, &["check"]));
    let unless = reused.replace("instance: reused", "instance: reused, require_certificate: false");
    std::fs::write(repo.join("features.yaml"), unless).unwrap();
    std::fs::remove_file(&certificate).unwrap();
    done(&skewless(repo, &["check"]));
}

#[test]
fn a_broken_plugin_gets_no_pass_and_the_calls_that_break_it_are_shown() {
    let required = DEFINITIONS.replace("inputs: {a", "require_certificate: true, inputs: {a");
    let repo = repo_that_adds(&required, SUM);
    let repo = repo.path();
    for (program, what) in [
        ("keeps_state_in_memory", "a row's answer depends on the calls before it"),
        ("looks_at_the_first_row", "a row's answer depends on the rows it is in a batch with"),
        ("leaks_the_row_before", "a row's answer depends on"),
        ("reads_what_was_left", "a row's answer depends on the calls before it"),
    ] {
        put(repo, program, ADDS);
        let output = certify(repo, &[]);
        let complaint = refused(&output, 1);
        says(
            &complaint,
            &["found broken: ", "adds.certificate.json says so", "next: make each answer"],
        );
        let said = String::from_utf8_lossy(&output.stdout);
        says(&said, &["FAILED", "deterministic pass", what, "call 1 with", "expected {\"out\""]);
        says(&refused(&skewless(repo, &["check"]), 3), &["came one that failed"]);
    }
    // No setting keeps rows from having neighbours.
    put(repo, "looks_at_the_first_row", ADDS);
    let output = certify(repo, &["--set", "engine.rows_max=1"]);
    says(&refused(&output, 1), &["found broken: ", "batch_split"]);

    put(repo, "grows_a_page_a_call", ADDS);
    let output = certify(repo, &[]);
    says(&refused(&output, 1), &["found broken: reused_instance; "]);
    says(
        &String::from_utf8_lossy(&output.stdout),
        &["first 1,018 calls that aren't shown", "call 1024 with 1 row", "bytes of memory"],
    );

    // A limit that keeps a plugin from being loaded is told as the setting that lets it.
    let adds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs/adds.wat");
    let adds = std::fs::read_to_string(adds).unwrap();
    let large = adds.replace("(memory (export \"memory\") 1", "(memory (export \"memory\") 1100");
    assert_ne!(adds, large);
    std::fs::write(repo.join(ADDS), wat::parse_str(large).unwrap()).unwrap();
    let complaint = refused(&certify(repo, &[]), 1);
    says(
        &complaint,
        &[
            "at most 67108864 bytes (engine.memory_bytes_max), came 72089600",
            "`--set engine.memory_bytes_max=268435456`",
        ],
    );
    done(&certify(repo, &["--set", "engine.memory_bytes_max=268435456"]));

    put(repo, "loops_on_negative", ADDS);
    let words = ["plugin", "certify", ADDS, "--cases", "16", "--out", "judged.json"];
    let output = skewless(repo, &[&words[..], &["--set", "engine.deadline_ticks=20"]].concat());
    says(&refused(&output, 1), &["found broken: limits; judged.json says so", "next: do less"]);
    says(
        &String::from_utf8_lossy(&output.stdout),
        &["row_order not finished", "ran past its deadline"],
    );
    let judged = std::fs::read_to_string(repo.join("judged.json")).unwrap();
    let judged: serde_json::Value = serde_json::from_str(&judged).unwrap();
    assert_eq!(judged["result"], "fail");

    put(repo, "imports_a_clock", ADDS);
    says(&refused(&certify(repo, &[]), 1), &["expected no imports, came"]);
    put(repo, "adds", ADDS);
    let output = certify(repo, &["--out", "nowhere/x.json"]);
    says(
        &refused(&output, 1),
        &[
            "can't write nowhere/x.json: expected a folder `nowhere`",
            "next: give another --out FILE",
        ],
    );
}

#[test]
fn golden_rows_run_through_the_file_and_differences_name_their_line() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let output = test(repo, &[]);
    says(&done(&output), &["row_order pass", "null_columns pass"]);
    says(
        &String::from_utf8_lossy(&output.stderr),
        &["no golden rows: there is no plugins/adds/golden.jsonl"],
    );

    std::fs::create_dir(repo.join("plugins/adds")).unwrap();
    let golden = repo.join("plugins/adds/golden.jsonl");
    std::fs::write(&golden, "# sums\n{\"in\": {\"a\": 1, \"b\": 2}, \"out\": {\"sum\": 3.0}}\n")
        .unwrap();
    for plugin in [ADDS, "plugins/adds", "plugins/adds/"] {
        let words = ["plugin", "test", plugin, "--cases", "4"];
        let said = done(&skewless(repo, &[&words[..], &PATIENT].concat()));
        says(&said, &["golden_rows pass 1 row of plugins/adds/golden.jsonl", "batch_split pass"]);
    }
    std::fs::write(&golden, "\n{\"in\": {\"a\": 1, \"b\": 2}, \"out\": {\"sum\": 4.0}}\n").unwrap();
    let output = test(repo, &[]);
    says(
        &refused(&output, 1),
        &["1 golden row came out otherwise", "next: mend the plugin or the rows"],
    );
    let said = String::from_utf8_lossy(&output.stdout);
    says(&said, &["golden.jsonl:2: sum came as 3.0, expected 4.0", "{\"a\":1.0,\"b\":2.0}"]);

    std::fs::write(&golden, "{\"in\": {\"c\": 1}, \"out\": {}}\n").unwrap();
    let complaint = refused(&test(repo, &[]), 1);
    says(&complaint, &["golden.jsonl:1: expected an input of the signature (a, b), came `c`"]);
    let complaint = refused(&test(repo, &["--golden", "none.jsonl"]), 1);
    says(&complaint, &["can't read none.jsonl", "next: give a file of golden rows"]);

    std::fs::remove_file(&golden).unwrap();
    put(repo, "leaks_the_row_before", ADDS);
    let output = test(repo, &[]);
    says(&refused(&output, 1), &["found broken: "]);
    says(&String::from_utf8_lossy(&output.stdout), &["FAILED", "came {\"out\""]);
    std::fs::remove_file(repo.join(ADDS)).unwrap();
    std::fs::write(repo.join("plugins/adds/Cargo.toml"), "").unwrap();
    let complaint = refused(&skewless(repo, &["plugin", "test", "plugins/adds"]), 1);
    says(
        &complaint,
        &["expected the plugin at plugins/adds.wasm", "skewless plugin build plugins/adds"],
    );
}

#[test]
fn two_versions_are_compared_on_the_same_rows() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    put(repo, "adds", "old.wasm");
    put(repo, "fails_negative_rows", "new.wasm");
    let rows = "{\"a\":1,\"b\":2}\n{\"a\":3,\"b\":4}\n";
    std::fs::write(repo.join("rows.json"), rows).unwrap();
    let diff =
        || skewless(repo, &["plugin", "diff", "old.wasm", "new.wasm", "--rows", "rows.json"]);
    says(&done(&diff()), &["no difference in 2 rows", "sum 0", "3.0 5.0 7.0"]);

    std::fs::write(repo.join("rows.json"), format!("{rows}{{\"a\":-1,\"b\":2}}\n")).unwrap();
    let output = diff();
    says(&refused(&output, 1), &["expected the same outputs, came others: 1 of 3 rows differ"]);
    let said = String::from_utf8_lossy(&output.stdout);
    says(
        &said,
        &["errors differ in 1 of 3 rows", "row 2 {\"a\":-1.0,\"b\":2.0}", "sum: 1.0 -> null"],
    );
    says(&said, &["error: no error -> `negative`", "0 -> 1"]);

    std::fs::write(repo.join("rows.json"), rows).unwrap();
    put(repo, "looks_at_the_first_row", "new.wasm");
    let output = diff();
    refused(&output, 1);
    let said = String::from_utf8_lossy(&output.stdout);
    says(&said, &["row 0", "sum: 3.0 -> 4.0", "1.0 (row 0)", "2.500e-1 (row 0)", "3.0 -> 4.0"]);

    // For a program: the same, with whole values.
    let json = |output: &Output| serde_json::from_slice::<Json>(&output.stdout).unwrap();
    let diff_json = || {
        let words = ["plugin", "diff", "old.wasm", "new.wasm", "--rows", "rows.json", "--json"];
        skewless(repo, &words)
    };
    let output = diff_json();
    refused(&output, 1);
    let said = json(&output);
    assert_eq!((&said["same"], &said["rows"]), (&json!(false), &json!(2)));
    assert_eq!((&said["rows_differ"], &said["errors_differ"]), (&json!(2), &json!(0)));
    let sum = &said["outputs"][0];
    assert_eq!((&sum["name"], &sum["rows_differ"]), (&json!("sum"), &json!(2)));
    assert_eq!(sum["largest_relative"], json!({ "by": 0.25, "row": 0 }));
    assert_eq!(sum["old"], json!({ "nulls": 0, "min": 3.0, "mean": 5.0, "max": 7.0 }));
    let first = json!({ "row": 0, "inputs": { "a": 1.0, "b": 2.0 }, "old": 3.0, "new": 4.0 });
    assert_eq!(sum["first"][0], first);

    put(repo, "adds", "new.wasm");
    let said = json(&diff_json());
    assert_eq!((&said["same"], &said["rows_differ"]), (&json!(true), &json!(0)));
    assert_eq!(said["old"]["digest"], said["new"]["digest"]);
    put(repo, "fails_negative_rows", "new.wasm");
    std::fs::write(repo.join("rows.json"), "{\"a\":-1,\"b\":2}\n").unwrap();
    let said = json(&diff_json());
    let error =
        json!({ "row": 0, "inputs": { "a": -1.0, "b": 2.0 }, "old": null, "new": "negative" });
    assert_eq!((&said["errors_differ"], &said["errors"]), (&json!(1), &json!([error])));
    std::fs::write(repo.join("rows.json"), rows).unwrap();

    // Another name is another output.
    let adds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs/adds.wat");
    let adds = std::fs::read_to_string(adds).unwrap();
    let renamed = adds.replace("\\\"sum\\\"", "\\\"total\\\"");
    assert_ne!(adds, renamed);
    std::fs::write(repo.join("new.wasm"), wat::parse_str(renamed).unwrap()).unwrap();
    let output = diff();
    says(&refused(&output, 1), &["expected the same outputs, came another set of outputs"]);
    let said = String::from_utf8_lossy(&output.stdout);
    says(&said, &["gone: output sum (float64)", "new: output total (float64)"]);
    let others = json(&diff_json())["other_outputs"].clone();
    let (gone, new) = (
        json!({ "name": "sum", "old": "float64", "new": null }),
        json!({ "name": "total", "old": null, "new": "float64" }),
    );
    assert_eq!(others, json!([gone, new]));
    std::fs::write(repo.join("rows.json"), "").unwrap();
    says(&refused(&diff(), 1), &["expected rows in rows.json, came none"]);
}

#[test]
fn a_bench_has_a_figure_for_each_batch_and_policy() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let said = done(&skewless(repo.path(), &["plugin", "bench", ADDS, "--time", "1"]));
    says(&said, &["nanoseconds a row", "rows a call reused reset fresh"]);
    for rows in ["1", "10", "100", "1,024", "8,192", "65,536"] {
        let line = said.lines().find(|line| line.split_whitespace().next() == Some(rows));
        let figures = line.unwrap_or_else(|| panic!("{rows}\n{said}")).split_whitespace().count();
        assert_eq!(figures, 4, "{said}");
    }
    let output = skewless(repo.path(), &["plugin", "bench", ADDS, "--time", "1", "--json"]);
    let said: Json = serde_json::from_str(&done(&output)).unwrap();
    assert_eq!(said["name"], "t");
    let batches = said["batches"].as_array().unwrap();
    let rows: Vec<_> = batches.iter().map(|batch| batch["rows"].as_u64().unwrap()).collect();
    assert_eq!(rows, [1, 10, 100, 1_024, 8_192, 65_536]);
    for batch in batches {
        assert_eq!(batch["rows_failed"], 0, "{said}");
        for policy in ["reused", "reset", "fresh"] {
            assert!(batch["ns_a_row"][policy].as_f64().unwrap() > 0.0, "{said}");
        }
        assert_eq!(batch["ns_a_row"].get("native"), None, "{said}");
    }
    std::fs::create_dir_all(repo.path().join("plugins/adds/src")).unwrap();
    std::fs::write(repo.path().join("plugins/adds/src/plugin.c"), "").unwrap();
    let words = ["plugin", "bench", "plugins/adds", "--native"];
    let complaint = refused(&skewless(repo.path(), &words), 1);
    says(&complaint, &["expected a crate in Rust in", "came src/plugin.c"]);
}

/// Ctrl-C in a long examination writes no certificate, and can't be mistaken for a pass.
#[test]
fn an_interrupted_examination_leaves_nothing_behind() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let mut child = command(repo, &["plugin", "certify", ADDS, "--cases", "100000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let id = child.id().to_string();
    while !listens_to_interrupts(&id) && child.try_wait().unwrap().is_none() {}
    Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let left = std::fs::read_dir(repo.join("plugins")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["adds.wasm"]);
}

/// Components have a pool of instances of their own, which is reserved when the first is loaded: what is in the file is not to blame.
#[test]
fn address_space_that_is_used_up_is_no_fault_of_the_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs");
    let run = |name: &str| {
        let wasm = wat::parse_file(programs.join(format!("{name}.wat"))).unwrap();
        std::fs::write(folder.path().join("a.wasm"), wasm).unwrap();
        std::fs::write(folder.path().join("rows.jsonl"), "{\"a\": 1, \"b\": 2}").unwrap();
        // Room for one pool of so many instances, not for two.
        let line = r#"ulimit -v 50000000 && exec "$0" plugin run a.wasm rows.jsonl --set engine.instances_max=8"#;
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", line, env!("CARGO_BIN_EXE_skewless")]).current_dir(folder.path());
        shell.output().unwrap()
    };
    assert_eq!(done(&run("adds")), "{\"sum\":3.0}\n");
    let complaint = refused(&run("component_answers"), 1);
    assert!(
        complaint.contains("expected a host that can reserve the instance pool"),
        "{complaint}"
    );
    assert!(
        complaint.contains("(ulimit -v)") && !complaint.contains("build it anew"),
        "{complaint}"
    );
}

//! Mistakes of authors, and that the compiler points at the author's own words, in ours. Each case in
//! `compile_fail` has an `.expected` file: line, column and message of the error, then the texts beside it that
//! are ours. What else a compiler says is its own and changes from version to version.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// An error as far as it can be ours.
#[derive(Debug)]
struct Found {
    message: String,
    /// `line:column` of the places it points at.
    places: Vec<String>,
    /// Labels of the places, notes and helps.
    texts: Vec<String>,
}

#[test]
fn mistakes_are_reported_at_the_authors_words() {
    let cases = cases();
    assert!(cases.len() >= 17, "cases are missing: {cases:?}");
    let found = compiled(&cases);
    let mut wrong = String::new();
    for (name, path) in &cases {
        let errors = found.get(name).map_or(&[][..], Vec::as_slice);
        let expected = std::fs::read_to_string(path.with_extension("expected"));
        let expected = expected.unwrap_or_else(|error| panic!("{name}.expected: {error}"));
        if !errors.iter().any(|error| is_as(error, &expected)) {
            writeln!(wrong, "{name}: expected\n{expected}came {errors:#?}\n").expect("a text");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn is_as(error: &Found, expected: &str) -> bool {
    let mut lines = expected.lines();
    let (place, message) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
    error.message == message
        && error.places.iter().any(|at| at == place)
        && lines.all(|text| error.texts.iter().any(|said| said == text.trim()))
}

/// Name and source of each case.
fn cases() -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let files =
        std::fs::read_dir(&folder).expect("the cases").map(|entry| entry.expect("a file").path());
    let sources = files.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let named = |path: PathBuf| (path.file_stem().expect("a name").display().to_string(), path);
    sources.map(named).collect()
}

/// Compiles all cases as programs of one crate, each to its end; gives their errors.
fn compiled(cases: &BTreeMap<String, PathBuf>) -> BTreeMap<String, Vec<Found>> {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut manifest = format!(
        "[package]\nname = \"cases\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         skewless = {{ package = \"skewless-sdk\", path = {kit:?} }}\n"
    );
    for (name, path) in cases {
        writeln!(manifest, "[[bin]]\nname = \"{name}\"\npath = {path:?}").expect("a text");
    }
    std::fs::write(folder.join("Cargo.toml"), manifest).expect("a manifest");
    // The versions that the workspace has: they are on this machine, so no network is asked.
    std::fs::copy(kit.join("../../Cargo.lock"), folder.join("Cargo.lock")).expect("a lock file");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["check", "--offline", "--keep-going", "--bins", "--message-format", "json"])
        .arg("--target-dir")
        .arg(folder.join("target"))
        .current_dir(&folder)
        .output()
        .expect("cargo");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("could not compile"), "expected every case to fail: {said}");
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut found: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).expect("cargo's message");
        let case = message["target"]["name"].as_str().unwrap_or_default();
        if cases.contains_key(case) && message["message"]["level"] == "error" {
            found.entry(case.to_owned()).or_default().push(read(&message["message"]));
        }
    }
    found
}

fn read(message: &Value) -> Found {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (spans, children) = (list(&message["spans"]), list(&message["children"]));
    let primary = spans.iter().filter(|span| span["is_primary"] == true);
    let labels = spans.iter().filter_map(|span| text(&span["label"]));
    Found {
        message: text(&message["message"]).unwrap_or_default(),
        places: primary
            .map(|span| format!("{}:{}", span["line_start"], span["column_start"]))
            .collect(),
        texts: labels.chain(children.iter().filter_map(|child| text(&child["message"]))).collect(),
    }
}

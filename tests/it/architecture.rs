//! The rules of the house, read off `cargo metadata` and the sources: which room may lean on which,
//! where the heavy dependencies live, and what is deliberately absent. ARCHITECTURE.md says why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Our crates and the ones of ours that each may depend on. `plugins/*` and the guest programs under
/// `tests/programs` are plugins: they lean on the SDK alone.
const ARROWS: &[(&str, &[&str])] = &[
    ("skewless-batch", &[]),
    ("skewless-build", &[]),
    ("skewless-sdk-macros", &[]),
    ("skewless-sdk", &["skewless-batch", "skewless-sdk-macros"]),
    ("skewless-proto", &[]),
    ("skewless-catalog", &["skewless-batch"]),
    ("skewless-engine", &["skewless-batch", "skewless-catalog"]),
    ("skewless-store", &["skewless-batch", "skewless-catalog"]),
    (
        "skewless-offline",
        &["skewless-batch", "skewless-catalog", "skewless-engine", "skewless-store"],
    ),
    (
        "skewless-server",
        &[
            "skewless-batch",
            "skewless-catalog",
            "skewless-engine",
            "skewless-proto",
            "skewless-store",
        ],
    ),
    (
        "skewless",
        &[
            "skewless-batch",
            "skewless-build",
            "skewless-catalog",
            "skewless-engine",
            "skewless-offline",
            "skewless-proto",
            "skewless-server",
            "skewless-store",
        ],
    ),
    // A leaf, as the command is. Of the server it takes what the command takes: the one reading of feature repos and
    // settings, and columns on the wire.
    (
        "skewless-python",
        &[
            "skewless-batch",
            "skewless-catalog",
            "skewless-engine",
            "skewless-offline",
            "skewless-proto",
            "skewless-server",
        ],
    ),
];
/// Crates of nothing but tests and measurements: they lean on what they like, and nothing on them.
const TESTS: &[&str] = &["skewless-tests", "skewless-instructions"];
const PLUGIN_ARROWS: &[&str] = &["skewless-sdk"];

/// What a room's tests may lean on beside its arrows: how plugins are built and written, never
/// another room of the sidecar.
const TEST_ARROWS: &[&str] = &["skewless-build", "skewless-sdk", "skewless-batch"];

/// Heavy dependencies, by prefix of the crate's name, and the only rooms that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("wasmtime", &["skewless-engine"]),
    ("rocksdb", &["skewless-store"]),
    // Frames of Python come and go as Arrow's C structs.
    ("arrow", &["skewless-offline", "skewless-python"]),
    ("parquet", &["skewless-offline"]),
    ("datafusion", &["skewless-offline"]),
    ("axum", &["skewless-server"]),
    ("hyper", &["skewless-server"]),
    ("tonic-health", &["skewless-server"]),
    ("tonic-reflection", &["skewless-server"]),
    ("tonic", &["skewless-server", "skewless-proto", "skewless", "skewless-python"]),
    // Offline drives DataFusion's sort, which is a stream of futures.
    ("tokio", &["skewless-server", "skewless-offline", "skewless", "skewless-python"]),
    ("clap", &["skewless-server", "skewless"]),
    // The stores of others, read once by a command: no room of the sidecar leans on a second database.
    ("rusqlite", &["skewless"]),
    ("redis", &["skewless"]),
    ("pyo3", &["skewless-python"]),
];

/// Crates that must not be reachable from a room at all, however indirectly.
const ABSENT: &[(&str, &[&str])] = &[
    ("skewless-server", &["arrow", "parquet", "datafusion", "pyo3", "rusqlite", "redis"]),
    ("skewless", &["pyo3"]),
    ("skewless-catalog", &["wasmtime", "rocksdb", "tokio", "tonic", "arrow", "parquet"]),
    ("skewless-engine", &["rocksdb", "tokio", "tonic", "arrow", "parquet"]),
    ("skewless-store", &["wasmtime", "tokio", "tonic", "arrow", "parquet"]),
    ("skewless-batch", &["serde", "libc"]),
    ("skewless-sdk", &["wasmtime", "rocksdb", "tokio", "tonic", "arrow", "parquet"]),
];

/// Rooms below the server: their clock, randomness and environment are arguments.
const PURE_ROOMS: &[&str] = &[
    "sdk/batch/src",
    "sdk/rust/src",
    "sidecar/catalog/src",
    "sidecar/engine/src",
    "sidecar/store/src",
    "sidecar/offline/src",
];
const IMPURE: &[&str] =
    &["SystemTime::now", "Instant::now", "Utc::now", "env::var", "rand::", "getrandom"];

const JUNK_DRAWERS: &[&str] = &["core", "common", "utils", "util", "helpers", "types", "misc"];

const LINES_MAX: usize = 700;

#[test]
fn our_crates_lean_only_on_the_rooms_they_may() -> Result<()> {
    let wrong = House::read()?.wrong_arrows();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn heavy_dependencies_stay_in_their_rooms() -> Result<()> {
    let house = House::read()?;
    let wrong = [house.wrong_homes(), house.reached()].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_source_file_says_why_it_exists_and_stays_readable() -> Result<()> {
    let mut wrong = Vec::new();
    for path in sources(&root(), "")? {
        let text = std::fs::read_to_string(&path)?;
        let shown = path.display();
        if !text.starts_with("//! ") {
            wrong.push(format!("{shown}:1 is not a `//!` line that says why the file exists"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{shown} has {lines} lines, more than {LINES_MAX}"));
        }
        let noun = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") => path.parent().and_then(Path::file_name),
            _ => path.file_stem(),
        };
        if noun.and_then(|noun| noun.to_str()).is_some_and(|noun| JUNK_DRAWERS.contains(&noun)) {
            wrong.push(format!("{shown} is named after a junk drawer: {JUNK_DRAWERS:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn nothing_below_the_server_reads_a_clock_or_the_environment() -> Result<()> {
    let mut wrong = Vec::new();
    for room in PURE_ROOMS {
        for path in sources(&root(), room)? {
            if path.components().any(|part| part.as_os_str() == "tests")
                || path.file_stem().is_some_and(|stem| stem == "tests")
            {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            for (number, found) in impure(&text) {
                wrong.push(format!("{}:{number} reads {found}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Lines of a file, from 1, that read what they mustn't, but for comments and the module of tests at its end.
fn impure(text: &str) -> Vec<(usize, &'static str)> {
    let tests = text.lines().collect::<Vec<_>>();
    let tests = tests.windows(2).position(|lines| {
        lines[0] == "#[cfg(test)]" && lines[1].starts_with("mod ") && lines[1].ends_with('{')
    });
    let code = text
        .lines()
        .take(tests.unwrap_or(usize::MAX))
        .map(|line| line.split("//").next().unwrap_or_default());
    let found = |line: &str| IMPURE.iter().find(|word| line.contains(**word)).copied();
    (1..).zip(code).filter_map(|(number, line)| Some((number, found(line)?))).collect()
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() -> Result<()> {
    let house = House::read()?;
    for (name, package) in &house.ours {
        let manifest = package["manifest_path"].as_str().context("a manifest path")?;
        let text = std::fs::read_to_string(manifest)?;
        ensure!(
            text.contains("[lints]\nworkspace = true"),
            "{name}: {manifest} doesn't say `[lints] workspace = true`"
        );
    }
    Ok(())
}

#[test]
fn the_batch_crate_needs_no_standard_library() -> Result<()> {
    let lib = std::fs::read_to_string(root().join("sdk/batch/src/lib.rs"))?;
    ensure!(lib.lines().any(|line| line == "#![no_std]"), "sdk/batch is not no_std");
    Ok(())
}

#[test]
fn nothing_that_was_built_is_committed() -> Result<()> {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output()?;
    ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout)?;
    let built =
        |path: &&str| path.split('/').any(|part| part == "target") || path.ends_with(".wasm");
    let built: Vec<&str> = listed.lines().filter(built).collect();
    ensure!(built.is_empty() && listed.lines().count() > 100, "{built:?}");
    Ok(())
}

#[test]
fn the_rules_catch_a_breach() -> Result<()> {
    assert!(is_of("arrow-array", "arrow") && is_of("arrow", "arrow"));
    let word = IMPURE[0];
    let elsewhere = format!("#[cfg(test)]\nmod tests;\n{word}\n// {word}\n");
    assert_eq!(impure(&elsewhere), [(3, word)], "tests in another file end no code");
    assert_eq!(impure(&format!("a\n#[cfg(test)]\nmod tests {{\n{word}\n}}\n")), []);
    assert!(!is_of("arrowhead", "arrow"));
    assert!(PURE_ROOMS.iter().all(|room| root().join(room).is_dir()), "a pure room has moved");
    assert!(sources(&root(), "sidecar").is_ok_and(|files| files.len() > 20), "no sources are seen");

    let breach = |room: &str, dependency: &str| -> Result<Vec<String>> {
        let mut house = House::read()?;
        let package = house.ours.get_mut(room).context("a room")?;
        let list = package["dependencies"].as_array_mut().context("dependencies")?;
        list.push(serde_json::json!({"name": dependency, "kind": null}));
        Ok([house.wrong_arrows(), house.wrong_homes()].concat())
    };
    for (room, dependency) in [
        ("skewless-engine", "skewless-store"),
        ("skewless-server", "skewless-offline"),
        ("skewless-sdk", "skewless-catalog"),
        ("age", "skewless-batch"),
        ("skewless-catalog", "wasmtime"),
        ("skewless-server", "parquet"),
        ("skewless", "rocksdb"),
        ("skewless-store", "tokio-util"),
        ("skewless-offline", "rusqlite"),
        ("skewless-server", "redis"),
        ("skewless", "skewless-python"),
        ("skewless-offline", "pyo3"),
    ] {
        let found = breach(room, dependency)?;
        ensure!(
            found.len() == 1 && found[0].contains(dependency),
            "{room} -> {dependency}: {found:?}"
        );
    }
    Ok(())
}

/// The workspace as cargo resolves it.
#[derive(Clone)]
struct House {
    ours: BTreeMap<String, Value>,
    /// Package id to name, and to the ids of what it needs to run (no test dependencies).
    names: BTreeMap<String, String>,
    needs: BTreeMap<String, Vec<String>>,
}

impl House {
    /// Asks cargo once for all tests: it reads a thousand manifests.
    fn read() -> Result<House> {
        static READ: OnceLock<Result<House, String>> = OnceLock::new();
        let read = READ.get_or_init(|| House::ask().map_err(|error| format!("{error:#}")));
        read.clone().map_err(anyhow::Error::msg)
    }

    fn ask() -> Result<House> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(root())
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let members: BTreeSet<&str> = strings(&metadata["workspace_members"]).collect();
        let mut house =
            House { ours: BTreeMap::new(), names: BTreeMap::new(), needs: BTreeMap::new() };
        for package in list(&metadata["packages"]) {
            let (Some(id), Some(name)) = (package["id"].as_str(), package["name"].as_str()) else {
                continue;
            };
            house.names.insert(id.to_owned(), name.to_owned());
            if members.contains(id) {
                house.ours.insert(name.to_owned(), package.clone());
            }
        }
        for node in list(&metadata["resolve"]["nodes"]) {
            let needs = list(&node["deps"])
                .filter(|need| list(&need["dep_kinds"]).any(|kind| kind["kind"].is_null()))
                .filter_map(|need| need["pkg"].as_str().map(str::to_owned))
                .collect();
            house.needs.insert(node["id"].as_str().unwrap_or_default().to_owned(), needs);
        }
        Ok(house)
    }

    fn wrong_arrows(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, package) in &self.ours {
            let Some(allowed) = self.allowed(name) else {
                wrong
                    .push(format!("{name} is in no row of ARROWS: a new crate is a design change"));
                continue;
            };
            for dependency in dependencies(package) {
                let in_tests = dependency.kind == "dev";
                let fine = !self.ours.contains_key(&dependency.name)
                    || allowed.contains(&dependency.name.as_str())
                    || (in_tests && TEST_ARROWS.contains(&dependency.name.as_str()));
                if !fine {
                    wrong.push(format!(
                        "{name} -> {} is not an arrow of the house",
                        dependency.name
                    ));
                }
            }
        }
        wrong
    }

    /// Heavy dependencies named outside their homes.
    fn wrong_homes(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, package) in self.ours.iter().filter(|(name, _)| !TESTS.contains(&name.as_str()))
        {
            for dependency in dependencies(package).filter(|dependency| dependency.kind != "dev") {
                let home = HOMES.iter().find(|(prefix, _)| is_of(&dependency.name, prefix));
                if let Some((_, rooms)) = home
                    && !rooms.contains(&name.as_str())
                {
                    wrong.push(format!("{name} -> {}: its home is {rooms:?}", dependency.name));
                }
            }
        }
        wrong
    }

    /// Crates that a room reaches, however indirectly, and must not.
    fn reached(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, absent) in ABSENT {
            for reached in self.closure(name) {
                if absent.iter().any(|prefix| is_of(&reached, prefix)) {
                    wrong.push(format!("{name} reaches {reached}, however indirectly"));
                }
            }
        }
        wrong
    }

    fn allowed(&self, name: &str) -> Option<Vec<&str>> {
        if TESTS.contains(&name) {
            return Some(self.ours.keys().map(String::as_str).collect());
        }
        let manifest = self.ours[name]["manifest_path"].as_str()?;
        if manifest.contains("/plugins/") || manifest.contains("/tests/programs/") {
            return Some(PLUGIN_ARROWS.to_vec());
        }
        ARROWS.iter().find(|(room, _)| *room == name).map(|(_, to)| to.to_vec())
    }

    /// Names of everything that a crate of ours links, however indirectly.
    fn closure(&self, name: &str) -> BTreeSet<String> {
        let start = self.ours.get(name).and_then(|package| package["id"].as_str());
        let mut open: Vec<&str> = start.into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            for need in self.needs.get(id).into_iter().flatten() {
                if seen.insert(need.clone()) {
                    open.push(need);
                }
            }
        }
        seen.iter().filter_map(|id| self.names.get(id).cloned()).collect()
    }
}

struct Dependency {
    name: String,
    kind: String,
}

fn dependencies(package: &Value) -> impl Iterator<Item = Dependency> {
    list(&package["dependencies"]).filter_map(|dependency| {
        Some(Dependency {
            name: dependency["name"].as_str()?.to_owned(),
            kind: dependency["kind"].as_str().unwrap_or("normal").to_owned(),
        })
    })
}

/// Is this crate `prefix`, or one of its family (`prefix-something`)?
fn is_of(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    list(value).filter_map(Value::as_str)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Every Rust source below a folder of the checkout, build output and hidden folders left out.
fn sources(root: &Path, below: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![root.join(below)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "out" {
                    open.push(path);
                }
            } else if name.ends_with(".rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

//! The built command from the outside: help, exit codes, what is printed, and the whole way from `init` to
//! training data. What the rooms compute is tested in the rooms.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cli {
    mod backfill;
    mod bench;
    mod docs;
    mod feast;
    mod load;
    mod messages;
    mod new;
    mod pages;
    mod pipes;
    mod plugin;
    pub(crate) mod python;
    pub(crate) mod readme;
    mod repos;
    mod salvage;
    mod transformations;
}

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const SUBCOMMANDS: [&str; 25] = [
    "init",
    "check",
    "diff",
    "plugin",
    "plugin new",
    "plugin build",
    "plugin inspect",
    "plugin run",
    "plugin test",
    "plugin certify",
    "plugin diff",
    "plugin bench",
    "load",
    "serve",
    "get",
    "backfill",
    "salvage",
    "feast",
    "feast import",
    "feast copy",
    "feast serve-transformations",
    "bench",
    "bench serve",
    "demo",
    "completions",
];

/// A view with a history and a transform that adds to it, for [`repo_that_adds`].
const DEFINITIONS: &str = "\
entities: [{name: customer, keys: [{name: customer_id, type: int64}]}]
views:
  - name: customer_orders
    entity: customer
    features: [{name: spent, type: float64}]
    source: {path: data/customer_orders.parquet, event_timestamp: event_timestamp}
requests: [{name: amount, type: float64}]
transforms: [{name: adds, plugin: plugins/adds.wasm, inputs: {a: request.amount, b: customer_orders.spent}}]
services: [{name: risk, features: [adds.sum]}]
";
/// The sum in `tests/programs/adds.wat`.
const SUM: &str = "(f64.add (local.get $a) (local.get $b))";

/// A feature repo of the template's data and these definitions, with a plugin that is `tests/programs/adds.wat` but for
/// the sum, in plugins/adds.wasm.
fn repo_that_adds(definitions: &str, sum: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let adds = std::fs::read_to_string(here.join("../../tests/programs/adds.wat")).unwrap();
    assert!(adds.contains(SUM));
    let wasm = wat::parse_str(adds.replace(SUM, sum)).unwrap();
    for made in ["plugins", "data"] {
        std::fs::create_dir(folder.path().join(made)).unwrap();
    }
    std::fs::write(folder.path().join("plugins/adds.wasm"), wasm).unwrap();
    std::fs::write(folder.path().join("features.yaml"), definitions).unwrap();
    for name in ["orders.parquet", "customer_orders.parquet"] {
        let data = here.join("template/data").join(name);
        std::fs::copy(data, folder.path().join("data").join(name)).unwrap();
    }
    folder
}

fn skewless(folder: &Path, words: &[&str]) -> Output {
    command(folder, words).stdin(Stdio::null()).output().unwrap()
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skewless"));
    command.args(words).current_dir(folder).env("NO_COLOR", "1");
    // Whoever runs the tests may have settings of their own.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"SKEWLESS") {
            command.env_remove(name);
        }
    }
    command
}

/// What it printed, if it ended with 0.
fn done(output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    out.into_owned()
}

/// What it complained about, if it ended with `code`.
fn refused(output: &Output, code: i32) -> String {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{err}");
    err
}

#[test]
fn every_help_has_an_example() {
    let here = Path::new(".");
    for subcommand in SUBCOMMANDS {
        let words: Vec<&str> = subcommand.split(' ').chain(["--help"]).collect();
        let help = done(&skewless(here, &words));
        assert!(help.contains("Example"), "{subcommand}\n{help}");
        assert!(help.contains(&format!("skewless {}", subcommand)), "{subcommand}\n{help}");
    }
    let help = done(&skewless(here, &["--help"]));
    assert!(help.contains("Exit codes"), "{help}");
    for name in SUBCOMMANDS.iter().filter(|name| !name.contains(' ')) {
        assert!(help.contains(&format!("  {name} ")), "{name}\n{help}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    refused(&skewless(Path::new("."), &["chekc"]), 2);
    let complaint = refused(&skewless(Path::new("."), &["load", "--memory", "lots"]), 2);
    assert!(complaint.contains("expected bytes such as 512M"), "{complaint}");
}

#[test]
fn a_flag_that_is_none_is_answered_with_the_one_that_was_meant() {
    let asked: [(&[&str], &str); 5] = [
        (&["serve", "--prot", "3"], "'--tcp'"),
        (&["serve", "--port=3"], "'--tcp'"),
        (&["get", "risk", "--port", "3"], "'--at'"),
        (&["backfill", "risk", "--spin", "a.parquet"], "'--spine'"),
        (&["plugin", "diff", "--row", "a.parquet"], "'--rows'"),
    ];
    for (words, meant) in asked {
        let complaint = refused(&skewless(Path::new("."), words), 2);
        assert!(complaint.contains(&format!("argument exists: {meant}")), "{complaint}");
        assert!(!complaint.contains("as a value"), "{complaint}");
    }
    let complaint = refused(&skewless(Path::new("."), &["serve", "--quite-another"]), 2);
    assert!(!complaint.contains("tip: "), "{complaint}");
}

#[test]
fn completions_name_the_subcommands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = done(&skewless(Path::new("."), &["completions", shell]));
        assert!(script.contains("backfill"), "{shell}");
    }
}

#[test]
fn check_shows_every_mistake_with_its_line_and_ends_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let text = "entities:\n  - name: plane\n    keys: [{name: tailnum, type: string}]\nviews:\n  - name: planes\n    entity: plaen\n    features: [{name: seats, type: int64}]\n";
    std::fs::write(folder.path().join("features.yaml"), text).unwrap();
    let complaint = refused(&skewless(folder.path(), &["check"]), 3);
    for part in [
        "features.yaml:3:",
        "type: string",
        "`utf8`",
        "features.yaml:6:",
        "entity: plaen",
        "`plane`",
        "2 mistakes in the definitions in this folder\n",
    ] {
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
}

#[test]
fn check_of_no_repo_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let complaint = refused(&skewless(folder.path(), &["check"]), 1);
    let lines: Vec<&str> = complaint.lines().collect();
    assert!(
        lines[0].starts_with("error: expected definitions (*.yaml or *.yml) in "),
        "{complaint}"
    );
    assert_eq!(lines[1..], [" next: give the folder of a feature repo; `skewless init` makes one"]);
}

#[test]
fn init_leaves_a_folder_that_is_not_empty_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "").unwrap();
    let complaint = refused(&skewless(folder.path(), &["init", "."]), 1);
    assert!(complaint.contains("not empty"), "{complaint}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

#[test]
fn init_below_a_file_says_what_is_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "precious").unwrap();
    for path in ["mine", "mine/shop"] {
        let complaint = refused(&skewless(folder.path(), &["init", path]), 1);
        let expected = format!(
            "error: expected a folder to make, came {path}: mine is a file\n next: give a folder that doesn't exist yet\n"
        );
        assert_eq!(complaint, expected);
    }
    assert_eq!(std::fs::read(folder.path().join("mine")).unwrap(), b"precious");
}

#[test]
fn get_without_a_sidecar_says_how_to_start_one() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["get", "order_risk", "customer_id=7", "--at", "unix:none.sock"];
    let complaint = refused(&skewless(folder.path(), &words), 1);
    assert!(complaint.contains("skewless serve"), "{complaint}");
}

#[test]
fn the_json_schema_is_json() {
    let schema = done(&skewless(Path::new("."), &["check", "--schema"]));
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(schema.to_string().contains("boundary"));
}

#[test]
fn the_demo_proves_a_day_of_flights() {
    let folder = tempfile::tempdir().unwrap();
    let said = done(&skewless(folder.path(), &["demo", "--days", "1", "--out", "out"]));
    let number = |what: &str| {
        let line =
            said.lines().find(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{said}"));
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap()
    };
    assert!(number("features ") >= 40 && number("compared ") > 40 * 800, "{said}");
    assert_eq!(number("mismatches "), 0, "{said}");
    let written = |name: &str| std::fs::read(folder.path().join("out").join(name)).unwrap();
    assert!(written("departure_delay.parquet").starts_with(b"PAR1"));
    let picture = String::from_utf8(written("departure_delay.svg")).unwrap();
    assert!(picture.contains("<svg") && picture.contains("mean departure delay"));
}

#[test]
fn the_demo_leaves_a_store_alone_that_it_did_not_make_or_that_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("out/store");
    std::fs::create_dir_all(&store).unwrap();
    std::fs::write(store.join("mine"), "precious").unwrap();
    let demo = || refused(&skewless(folder.path(), &["demo", "--days", "1"]), 1);
    let complaint = demo();
    for part in ["out/store", ".made-by-skewless-demo", "came another", "next: ", "--out"] {
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
    assert_eq!(std::fs::read(store.join("mine")).unwrap(), b"precious");
    std::fs::rename(store.join("mine"), store.join(".made-by-skewless-demo")).unwrap();
    let config = skewless_store::StoreConfig::default();
    let (held, _) = skewless_store::Store::open(&store, config).unwrap();
    let complaint = demo();
    for part in ["out/store", "LOCK is held", "next: ", "demo --serve", "--out"] {
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
    assert!(store.join("CURRENT").exists(), "it was removed");
    drop(held);
}

/// The README of the template, step by step. One test, as building the plugin is the slow part.
#[test]
fn a_new_feature_repo_goes_all_the_way() {
    let above = tempfile::tempdir().unwrap();
    done(&skewless(above.path(), &["init", "shop"]));
    let repo = above.path().join("shop");

    done(&skewless(&repo, &["plugin", "build", "plugins/basket"]));
    let inspected = done(&skewless(&repo, &["plugin", "inspect", "plugins/basket.wasm"]));
    for part in [
        "first_order",
        "sha256:",
        "imports    none",
        "skewless_transform",
        "rustc 1.",
        "skewless-sdk 0.",
    ] {
        assert!(inspected.contains(part), "{part}: {inspected}");
    }
    assert_eq!(
        ran(&repo),
        "{\"mean_amount\":25.0,\"ratio\":2.0,\"first_order\":false}\n{\"mean_amount\":null,\"ratio\":null,\"first_order\":true}\n"
    );

    let checked = done(&skewless(&repo, &["check"]));
    assert!(
        checked.contains("order_risk: 6 features; keys: customer_id; request values: amount"),
        "{checked}"
    );
    same_but_for_the_ttl(above.path());
    cli::readme::says_how_a_change_is_seen(&repo);

    let loaded = done(&skewless(&repo, &["load"]));
    assert!(loaded.contains("customer_orders: 1,300 rows read, 50 keys"), "{loaded}");
    served(&repo);

    let words =
        ["backfill", "order_risk", "--spine", "data/orders.parquet", "--out", "training.parquet"];
    let backfilled = done(&skewless(&repo, &words));
    assert!(backfilled.contains("1,000 rows, 6 features"), "{backfilled}");
    let before = std::fs::read(repo.join("training.parquet")).unwrap();
    let complaint = refused(&skewless(&repo, &words), 1);
    assert!(complaint.contains("--overwrite"), "{complaint}");
    assert_eq!(std::fs::read(repo.join("training.parquet")).unwrap(), before);
    done(&skewless(&repo, &[words.as_slice(), &["--overwrite"]].concat()));
    interrupted(&repo);
}

/// Whether a process has a handler for SIGINT, number 2: before, it would just be killed.
fn listens_to_interrupts(id: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 0b10 != 0)
}

/// Ctrl-C in a backfill leaves nothing behind, and can't be mistaken for success.
fn interrupted(repo: &Path) {
    let words =
        ["backfill", "order_risk", "--spine", "data/orders.parquet", "--out", "stopped.parquet"];
    let before = std::fs::read_dir(repo).unwrap().count();
    // Whether the signal comes before the end is chance, so it is tried until it did.
    let stopped = (0..200).any(|_| {
        let mut child =
            command(repo, &words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let id = child.id().to_string();
        while !listens_to_interrupts(&id) && child.try_wait().unwrap().is_none() {}
        Command::new("kill").args(["-INT", &id]).status().unwrap();
        let code = child.wait().unwrap().code();
        let out = repo.join("stopped.parquet");
        match code {
            Some(0) => std::fs::remove_file(out).unwrap(),
            _ => assert!(!out.exists(), "ended with {code:?} and an output"),
        }
        code == Some(130)
    });
    assert!(stopped, "not one of 200 backfills was interrupted in time");
    assert_eq!(std::fs::read_dir(repo).unwrap().count(), before, "something was left behind");
}

/// Two rows through the plugin alone.
fn ran(repo: &Path) -> String {
    let mut child = command(repo, &["plugin", "run", "plugins/basket.wasm"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let rows = b"{\"amount\":50,\"orders\":4,\"spent\":100}\n{\"amount\":1}\n";
    child.stdin.take().unwrap().write_all(rows).unwrap();
    done(&child.wait_with_output().unwrap())
}

fn same_but_for_the_ttl(above: &Path) {
    assert!(done(&skewless(above, &["diff", "shop", "shop"])).contains("no difference"));
    std::fs::create_dir_all(above.join("changed/plugins")).unwrap();
    let text = std::fs::read_to_string(above.join("shop/features.yaml")).unwrap();
    let changed = text.replace("ttl: 36500d", "ttl: 30d");
    std::fs::write(above.join("changed/features.yaml"), changed).unwrap();
    std::fs::copy(
        above.join("shop/plugins/basket.wasm"),
        above.join("changed/plugins/basket.wasm"),
    )
    .unwrap();
    for (before, after, expected) in [
        (
            "shop",
            "changed",
            "backfill anew: order_risk\n  view customer_orders: ttl 36500d -> 30d\n",
        ),
        (
            "changed",
            "shop",
            "load, then backfill anew: order_risk\n  view customer_orders: ttl 30d -> 36500d\n",
        ),
    ] {
        assert_eq!(done(&skewless(above, &["diff", before, after])), expected);
    }
}

/// Serves the loaded store on a Unix socket and asks it.
fn served(repo: &Path) {
    let words = ["--http", "", "--set", "listen.tcp=127.0.0.1:0"];
    let sidecar = Sidecar::start_with(repo, &words);
    let at = ["--at", "unix:sidecar.sock"];
    let ask = |words: &[&str]| skewless(repo, &[&["get", "order_risk"], words, &at].concat());

    let table = done(&ask(&["customer_id=7", "--request", "amount=120"]));
    assert!(table.contains("35.701") && table.contains("basket.first_order"), "{table}");
    // A newcomer's first question is answered with values, whichever customer it is about.
    let customers: Vec<_> = (1..=50).map(|customer| format!("customer_id={customer}")).collect();
    let mut words: Vec<&str> = customers.iter().map(String::as_str).collect();
    words.extend(["--request", "amount=120"]);
    let table = done(&ask(&words));
    assert!(!table.contains("OUTSIDE_MAX_AGE") && !table.contains("NOT_FOUND"), "{table}");
    cli::python::asks_what_our_own_client_asks(repo, &sidecar);
    // The store is the sidecar's now: a load goes through it, or not at all.
    let complaint = refused(&skewless(repo, &["load"]), 1);
    assert!(complaint.contains("--at"), "{complaint}");
    let loaded = done(&skewless(repo, &[&["load", "--replace"][..], &at].concat()));
    assert!(loaded.contains("customer_orders: 1,300 rows read, 50 keys"), "{loaded}");
    let json =
        done(&ask(&["customer_id=7", "customer_id=99", "--request", "amount=120", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["rows"][1]["missing"]["customer_orders.orders"], "NOT_FOUND");
    assert_eq!(json["rows"][0]["features"]["basket.first_order"], false);
    assert_eq!(json["rows"][0]["features"]["request.amount"], 120.0);

    for (words, part) in [
        (vec!["customer_id=7"], "`amount` (float64) is missing"),
        (vec!["customer_id=x", "--request", "amount=1"], "`customer_id`: expected int64, came `x`"),
        (vec!["customer_id=x", "--request", "amount=1"], "such as customer_id=42"),
        (vec!["customer_id=7", "--request", "amount=1e400"], "float64, at most 1.8e308"),
        (vec!["customer_id=7", "--request", "amount=x"], "such as --request amount=1.5"),
        (vec!["customer=7", "--request", "amount=1"], "its keys are: customer_id"),
    ] {
        let complaint = refused(&ask(&words), 1);
        assert!(complaint.contains(part), "{part}\n{complaint}");
    }
    let definitions = repo.join("features.yaml");
    let text = std::fs::read_to_string(&definitions).unwrap();
    // The sample ends in 2024.
    std::fs::write(&definitions, text.replace("ttl: 36500d", "ttl: 30d")).unwrap();
    sidecar.signal("HUP");
    let until = Instant::now() + Duration::from_secs(30);
    while !done(&ask(&["customer_id=7", "--request", "amount=120"])).contains("OUTSIDE_MAX_AGE") {
        assert!(Instant::now() < until, "the definitions weren't read again");
    }
    std::fs::write(&definitions, text).unwrap();
    let unknown = skewless(repo, &[&["get", "order_risc"], at.as_slice()].concat());
    assert!(refused(&unknown, 1).contains("order_risk"));
    sidecar.stop();
}

/// A sidecar that ends with the test, however the test ends.
struct Sidecar {
    child: Child,
    /// The line of its log that says where it answers.
    ready: String,
}

impl Sidecar {
    /// Longest wait until it serves: far above what any machine needs.
    const BOUND: Duration = Duration::from_secs(60);

    /// Starts it and waits until it says that it serves.
    fn start(repo: &Path) -> Self {
        Self::start_with(repo, &["--http", ""])
    }

    /// As [`Sidecar::start`], with more words on the command line.
    fn start_with(repo: &Path, more: &[&str]) -> Self {
        // A machine that runs many tests at once lets a call wait for longer than the default.
        let patient = ["--set", "limits.queue_wait_ms_max=60000"];
        let words =
            [&["serve", "--tcp", "", "--unix", "sidecar.sock"], &patient[..], more].concat();
        let mut child = command(repo, &words).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut sidecar = Self { child, ready: String::new() };
        let (said, heard) = std::sync::mpsc::channel();
        // To the end, so that it never waits for a reader; from some line on nobody listens.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| {
                said.send(line).ok();
            });
        });
        let until = Instant::now() + Self::BOUND;
        let mut seen = String::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match heard.recv_timeout(left) {
                Ok(line) if line.contains("sidecar.sock") => {
                    sidecar.ready = line;
                    return sidecar;
                }
                Ok(line) => seen.push_str(&format!("{line}\n")),
                Err(error) => panic!("it doesn't serve ({error}): {seen}"),
            }
        }
    }

    /// The address of its HTTP port.
    fn http(&self) -> &str {
        self.address("http")
    }

    /// What its log says it has bound under this name.
    fn address(&self, name: &str) -> &str {
        let named = |word: &&str| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        let word = self.ready.split(' ').find(named);
        &word.unwrap_or_else(|| panic!("no {name} in `{}`", self.ready))[name.len() + 1..]
    }

    fn signal(&self, name: &str) {
        let (id, name) = (self.child.id().to_string(), format!("-{name}"));
        assert!(Command::new("kill").args([&name, &id]).status().unwrap().success());
    }

    /// SIGTERM; it must end by itself with 0.
    fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

//! Readers that go away: `| head` ends a command quietly, and a sidecar serves on without whoever read its log.

use std::process::Stdio;
use std::time::Instant;

use crate::{DEFINITIONS, SUM, Sidecar, command, done, refused, repo_that_adds, skewless};

/// A pipe that nobody reads any more.
fn nobody_reads() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    std::fs::write(repo.join("rows.json"), "{\"a\":1,\"b\":2}").unwrap();
    std::fs::write(repo.join("golden.jsonl"), "{\"in\":{},\"out\":{}}\n").unwrap();
    let commands: [&[&str]; 14] = [
        &["check", "--schema"],
        &["check"],
        &["diff", ".", "."],
        &["plugin", "inspect", "plugins/adds.wasm"],
        &["plugin", "inspect", "--json", "plugins/adds.wasm"],
        &["plugin", "run", "plugins/adds.wasm", "rows.json"],
        &["plugin", "test", "plugins/adds.wasm", "--golden", "golden.jsonl", "--cases", "1"],
        &["plugin", "certify", "plugins/adds.wasm", "--cases", "16"],
        &["plugin", "diff", "plugins/adds.wasm", "plugins/adds.wasm", "--rows", "rows.json"],
        &["plugin", "bench", "plugins/adds.wasm", "--time", "1"],
        &["load"],
        &["backfill", "risk", "--spine", "data/orders.parquet", "--out", "out.parquet"],
        &["completions", "bash"],
        &["init", "new"],
    ];
    for words in commands {
        let mut command = command(repo, words);
        let output = command.stdin(Stdio::null()).stdout(nobody_reads()).output().unwrap();
        // What a shell makes of SIGPIPE.
        let complaint = refused(&output, 141);
        assert_eq!(complaint, "", "{words:?}");
    }
    assert!(repo.join("out.parquet").exists(), "what was done before is kept");
}

#[test]
fn a_load_whose_reader_has_gone_loads_every_view() {
    let second = "  - name: customer_history
    entity: customer
    features: [{name: orders, type: int64}]
    source: {path: data/customer_orders.parquet, event_timestamp: event_timestamp}
requests:";
    let definitions = DEFINITIONS
        .replace("requests:", second)
        .replace("[adds.sum]", "[adds.sum, customer_history.orders]");
    let repo = repo_that_adds(&definitions, SUM);
    let repo = repo.path();
    let ended = command(repo, &["load"]).stdout(nobody_reads()).status().unwrap();
    assert_eq!(ended.code(), Some(141));
    let sidecar = Sidecar::start(repo);
    let get = ["get", "risk", "customer_id=7", "-r", "amount=1", "--at", "unix:sidecar.sock"];
    let table = done(&skewless(repo, &get));
    assert!(table.contains("customer_history.orders") && !table.contains("NOT_FOUND"), "{table}");
    sidecar.stop();
}

#[test]
fn complaints_that_nobody_reads_change_no_exit_code() {
    let repo = repo_that_adds(&DEFINITIONS.replace("adds.sum", "adds.product"), SUM);
    let empty = tempfile::tempdir().unwrap();
    for (folder, code) in [(repo.path(), 3), (empty.path(), 1)] {
        let mut check = command(folder, &["check"]);
        let ended = check.stdout(Stdio::null()).stderr(nobody_reads()).status().unwrap();
        assert_eq!(ended.code(), Some(code));
    }
}

#[test]
fn a_sidecar_whose_log_nobody_reads_serves_on() {
    let repo = repo_that_adds(DEFINITIONS, SUM);
    let repo = repo.path();
    let words = ["serve", "--tcp", "", "--http", "", "--unix", "sidecar.sock"];
    let child = command(repo, &words).stderr(nobody_reads()).spawn().unwrap();
    let mut sidecar = Sidecar { child, ready: String::new() };
    let get = ["get", "risk", "customer_id=7", "-r", "amount=1", "--at", "unix:sidecar.sock"];
    let until = Instant::now() + Sidecar::BOUND;
    // It can't say when it is ready, so it is asked until it answers.
    while !skewless(repo, &get).status.success() {
        assert_eq!(sidecar.child.try_wait().unwrap(), None, "it ended");
        assert!(Instant::now() < until, "it doesn't answer");
    }
    let ended = command(repo, &get).stdout(nobody_reads()).status().unwrap();
    assert_eq!(ended.code(), Some(141));
    sidecar.stop();
}

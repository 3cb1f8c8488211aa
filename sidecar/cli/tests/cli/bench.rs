//! `skewless bench serve` against a real sidecar: that every call is accounted for, that a stall shows in the
//! figures, and what bad input is told. A proxy between the two stalls by what the load does, not by time.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::{Sidecar, command, done, listens_to_interrupts, refused, skewless};

/// Features without a plugin, of a store without rows: nothing has to be built or loaded.
const DEFINITIONS: &str = "\
entities:
  - {name: user, keys: [{name: user_id, type: int64}]}
views:
  - name: profile
    entity: user
    features: [{name: orders, type: int64}]
requests:
  - {name: amount, type: float64, nullable: true}
services:
  - name: risk
    features: [profile.orders, request.amount]
";
const KEYS: &str = "user_id,amount\n1,2.5\n2,\n3,4\n";
/// Longest wait for anything: far above what any machine needs.
const BOUND: Duration = Duration::from_secs(60);

struct Bench {
    folder: tempfile::TempDir,
    _sidecar: Sidecar,
}

impl Bench {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("features.yaml"), DEFINITIONS).unwrap();
        std::fs::write(folder.path().join("keys.csv"), KEYS).unwrap();
        let sidecar = Sidecar::start(folder.path());
        Self { folder, _sidecar: sidecar }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, at: &str, words: &[&str]) -> Output {
        let first = ["bench", "serve", "risk", "--keys", "keys.csv", "--out", "out", "--at", at];
        skewless(self.path(), &[&first, words].concat())
    }

    fn summary(&self) -> Json {
        let text = std::fs::read_to_string(self.path().join("out/summary.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

fn count(summary: &Json, name: &str) -> u64 {
    summary[name].as_u64().unwrap_or_else(|| panic!("{name} in {summary:#}"))
}

#[test]
fn every_call_that_was_due_is_one_record() {
    let bench = Bench::start();
    let words = ["--rate", "200", "--duration", "1s", "--warmup", "500ms", "--arrivals", "fixed"];
    let more = ["--connections", "3", "--threads", "2", "--entities", "2", "--timeout", "60s"];
    let said = bench.run("unix:sidecar.sock", &[&words[..], &more].concat());
    let warned = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(warned.contains("50 % of the values are NOT_FOUND"), "{warned}");
    let table = done(&said);
    for part in ["offered", "achieved", "unsent", "p99.99", "from sending", "lateness"] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    let summary = bench.summary();
    let counts = ["offered", "answered", "unsent", "failed"].map(|name| count(&summary, name));
    assert_eq!(counts, [200, 200, 0, 0], "{summary:#}");
    assert_eq!(summary["ended_early"], false);
    assert!(summary["latency_us"]["p50"].as_f64() > Some(0.0), "{summary:#}");
    assert_eq!(summary["until_refused_us"]["p50"], Json::Null, "{summary:#}");
    assert!(count(&summary, "answers_within") > 0, "{summary:#}");
    let table = std::fs::read_to_string(bench.path().join("out/latency.hgrm")).unwrap();
    assert!(table.contains("Total count    =            200]"), "{table}");
}

#[test]
fn a_stall_shows_in_the_percentiles_as_everyones_wait() {
    let bench = Bench::start();
    // From the 50th call on no answer comes until 100 more were sent: a caller that waits for an answer
    // before it asks again would wait for ever.
    let proxy = Proxy::start(bench.path(), Stall { from: 50, until: Some(150) });
    let words = ["--rate", "200", "--duration", "2s", "--warmup", "0s", "--arrivals", "fixed"];
    let more = ["--connections", "1", "--timeout", "60s"];
    let said = bench.run(&proxy.at, &[&words[..], &more].concat());
    done(&said);
    let summary = bench.summary();
    let counts = ["offered", "answered", "unsent", "failed"].map(|name| count(&summary, name));
    assert_eq!(counts, [400, 400, 0, 0], "{summary:#}");
    // Calls 50 to 99 were due at least 50 calls, a quarter of a second, before the stall ended: 12.5 %.
    let p90_us = summary["latency_us"]["p90"].as_f64().unwrap();
    assert!(p90_us >= 240_000.0, "{summary:#}");
}

#[test]
fn what_cannot_be_sent_is_counted_and_not_sent_later() {
    let bench = Bench::start();
    let proxy = Proxy::start(bench.path(), Stall { from: 50, until: None });
    let words = ["--rate", "200", "--duration", "2s", "--warmup", "0s", "--concurrency", "10"];
    let said =
        bench.run(&proxy.at, &[&words[..], &["--connections", "1", "--timeout", "1s"]].concat());
    let table = done(&said);
    assert!(table.contains("no answer in time"), "{table}");
    assert!(table.contains("Percentiles are of the answered calls only"), "{table}");
    let summary = bench.summary();
    let [offered, answered, unsent, failed] =
        ["offered", "answered", "unsent", "failed"].map(|name| count(&summary, name));
    assert_eq!(offered, answered + unsent + failed, "{summary:#}");
    assert!(answered <= 60 && unsent > 0 && failed >= 10, "{summary:#}");
    assert_eq!(summary["errors"]["no answer in time"]["calls"], failed);
}

#[test]
fn ctrl_c_ends_a_load_with_what_was_measured() {
    let bench = Bench::start();
    let proxy = Proxy::start(bench.path(), Stall { from: usize::MAX, until: None });
    let words = ["bench", "serve", "risk", "--keys", "keys.csv", "--out", "out", "--at", &proxy.at];
    let more = ["--rate", "200", "--duration", "1h", "--warmup", "0s"];
    let mut load = command(bench.path(), &[&words[..], &more].concat());
    let load = load.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = load.id().to_string();
    proxy.wait_for_calls(100);
    assert!(listens_to_interrupts(&id));
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let said = load.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(130), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(String::from_utf8_lossy(&said.stdout).contains("Ended early"));
    let summary = bench.summary();
    assert_eq!(summary["ended_early"], true);
    assert!(count(&summary, "answered") > 0, "{summary:#}");
    assert!(summary["duration_seconds"].as_f64() < Some(3_600.0), "{summary:#}");
}

#[test]
fn a_load_that_cannot_be_is_refused_with_what_to_do() {
    let bench = Bench::start();
    let at = ["--at", "unix:sidecar.sock"];
    let ask = |service: &str, keys: &str, text: &str| {
        std::fs::write(bench.path().join(keys), text).unwrap();
        let words = ["bench", "serve", service, "--keys", keys];
        refused(&skewless(bench.path(), &[&words[..], &at].concat()), 1)
    };
    let complaint = ask("risc", "good.csv", KEYS);
    assert!(complaint.contains("risk") && complaint.contains("next:"), "{complaint}");
    let complaint = ask("risk", "wrong.csv", "user,amount\n1,2\n");
    assert!(complaint.contains("`user_id` (int64)") && complaint.contains("`user`"), "{complaint}");
    let complaint = ask("risk", "empty.csv", "user_id,amount\n");
    assert!(complaint.contains("expected rows in empty.csv, came none"), "{complaint}");
    let complaint = ask("risk", "typed.csv", "user_id\n1\nseven\n");
    assert!(complaint.contains("typed.csv:3") && complaint.contains("came `seven`"), "{complaint}");
    let complaint = ask("risk", "broken.parquet", "PAR1 and nothing");
    assert!(complaint.contains("broken.parquet"), "{complaint}");
    let words = ["bench", "serve", "risk", "--keys", "none.csv"];
    let complaint = refused(&skewless(bench.path(), &[&words[..], &at].concat()), 1);
    assert!(complaint.contains("none.csv"), "{complaint}");
    let words = ["bench", "serve", "risk", "--keys", "good.csv", "--at", "unix:nobody.sock"];
    assert!(refused(&skewless(bench.path(), &words), 1).contains("skewless serve"));
    let words = ["bench", "serve", "risk", "--keys", "good.csv", "--rate", "0"];
    assert!(refused(&skewless(bench.path(), &words), 2).contains("calls a second above 0"));
}

/// When answers are held back, by how many calls a connection has carried.
#[derive(Clone, Copy)]
struct Stall {
    from: usize,
    /// For ever if none.
    until: Option<usize>,
}

impl Stall {
    fn holds(self, calls: usize) -> bool {
        calls >= self.from && self.until.is_none_or(|until| calls < until)
    }
}

/// Forwards bytes between TCP and the sidecar's socket, and counts the calls by their HTTP/2 frames.
struct Proxy {
    at: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Calls of all connections.
    all: Mutex<usize>,
    more: Condvar,
}

impl Proxy {
    fn start(folder: &Path, stall: Stall) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let counts = Arc::new(Counts::default());
        let (socket, all) = (folder.join("sidecar.sock"), Arc::clone(&counts));
        // Ends with the test's process; a connection ends with the load.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                client.set_nodelay(true).unwrap();
                let server = UnixStream::connect(&socket).unwrap();
                let calls = Arc::new((Mutex::new(0), Condvar::new()));
                let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (seen, all) = (Arc::clone(&calls), Arc::clone(&all));
                std::thread::spawn(move || forward_calls(up, server, &seen, &all));
                std::thread::spawn(move || forward_answers(down, client, &calls, stall));
            }
        });
        Self { at, counts }
    }

    fn wait_for_calls(&self, calls: usize) {
        let until = Instant::now() + BOUND;
        let mut all = self.counts.all.lock().unwrap();
        while *all < calls {
            assert!(Instant::now() < until, "{} calls of {calls} came", *all);
            (all, _) = self.counts.more.wait_timeout(all, BOUND).unwrap();
        }
    }
}

type Calls = (Mutex<usize>, Condvar);

fn forward_calls(mut from: TcpStream, mut to: UnixStream, calls: &Calls, all: &Counts) {
    let mut frames = Frames::default();
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let new = frames.headers_in(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
        *calls.0.lock().unwrap() += new;
        calls.1.notify_all();
        *all.all.lock().unwrap() += new;
        all.more.notify_all();
    }
    // Whoever waits for more calls goes on: none will come.
    *calls.0.lock().unwrap() = usize::MAX;
    calls.1.notify_all();
    to.shutdown(Shutdown::Both).ok();
}

fn forward_answers(mut from: UnixStream, mut to: TcpStream, calls: &Calls, stall: Stall) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let mut seen = calls.0.lock().unwrap();
        while stall.holds(*seen) && *seen != usize::MAX {
            seen = calls.1.wait(seen).unwrap();
        }
        drop(seen);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}

/// Finds the frames of one direction of HTTP/2: a preface of 24 bytes, then frames with a head of nine.
struct Frames {
    skip: usize,
    head: Vec<u8>,
}

impl Default for Frames {
    fn default() -> Self {
        Self { skip: 24, head: Vec::new() }
    }
}

impl Frames {
    /// How many HEADERS frames begin here; a client sends one a call.
    fn headers_in(&mut self, mut bytes: &[u8]) -> usize {
        let mut found = 0;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return found;
            }
            let wanted = (9 - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..wanted]);
            bytes = &bytes[wanted..];
            if let [high, middle, low, kind, _, _, _, _, _] = self.head[..] {
                let [high, middle, low] = [high, middle, low].map(usize::from);
                self.skip = (high << 16) | (middle << 8) | low;
                found += usize::from(kind == 1);
                self.head.clear();
            }
        }
    }
}

//! The binary `skewless-sidecar` as a process of its own, with what it logs: for tests that signal it, take its disk
//! away or read its log.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use crate::*;

/// Definitions without a plugin.
pub(crate) const SIMPLE: &str = "\
entities:
  - {name: airport, keys: [{name: faa, type: utf8}]}
views:
  - {name: weather, entity: airport, features: [{name: wind, type: float64}, {name: sky, type: utf8}]}
services:
  - {name: numbers, features: [weather.wind]}
";

/// A feature repo of [`SIMPLE`] under `dir`.
pub(crate) fn repo(dir: &Path) {
    std::fs::create_dir_all(dir.join("repo")).unwrap();
    std::fs::write(dir.join("repo/features.yaml"), SIMPLE).unwrap();
}

/// A process that doesn't outlive its test.
pub(crate) struct Process {
    child: Child,
    pub(crate) log: Arc<Log>,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
}

/// What it has logged so far.
#[derive(Default)]
pub(crate) struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    /// Waits until a line has all these parts, for at most thirty seconds; gives the line.
    pub(crate) fn wait_for(&self, parts: &[&str]) -> String {
        let found = |lines: &Vec<String>| {
            lines.iter().find(|line| parts.iter().all(|part| line.contains(part))).cloned()
        };
        let lines = self.lines.lock().unwrap();
        let wait = Duration::from_secs(30);
        let (lines, _) =
            self.more.wait_timeout_while(lines, wait, |lines| found(lines).is_none()).unwrap();
        found(&lines).unwrap_or_else(|| panic!("expected {parts:?} in {lines:#?}"))
    }

    /// How many lines have this part.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|line| line.contains(part))
    }
}

impl Process {
    /// Starts it over `dir/repo` and `dir/store` and waits until it serves.
    pub(crate) fn start(dir: &Path, set: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skewless-sidecar"));
        command.arg("--repo").arg(dir.join("repo")).arg("--store").arg(dir.join("store"));
        let cache = format!("cache_dir={}", dir.join("cache").display());
        let always =
            ["listen.tcp=127.0.0.1:0", "listen.http=127.0.0.1:0", "engine.instances_max=32"];
        command.arg("--set").arg(cache);
        for set in always.iter().chain(set) {
            command.arg("--set").arg(set);
        }
        change(&mut command);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (lines, theirs) = (BufReader::new(child.stderr.take().unwrap()).lines(), log.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                theirs.lines.lock().unwrap().push(line);
                theirs.more.notify_all();
            }
        });
        let ready = log.wait_for(&["ready", "tcp=", "http="]);
        let address = |name: &str| -> SocketAddr {
            let (_, rest) = ready.split_once(&format!("{name}=")).unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        let (grpc, http) = (address("tcp"), address("http"));
        assert!(ready.contains(&format!(" pid={} ", child.id())), "whom to signal: {ready}");
        assert!(!ready.contains("unix"), "none is bound: {ready}");
        Self { child, log, grpc, http }
    }

    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::new(format!("http://{}", self.grpc)).unwrap().connect().await.unwrap()
    }

    pub(crate) fn metrics(&self) -> String {
        http(self.http, "/metrics").unwrap().1
    }

    /// Asks it to read its definitions again.
    pub(crate) fn hang_up(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

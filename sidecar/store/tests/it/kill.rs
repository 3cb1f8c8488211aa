//! `kill -9` at random moments of applying and bulk loading: what was acknowledged is there, nothing is torn.
//!
//! The child is this very test program, started again with a folder in its environment. It applies batches and
//! loads generations for ever and says on its standard output what was acknowledged; the parent kills it after
//! some of these lines, opens the folder and checks all of it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use skewless_catalog::Status;
use skewless_catalog::visibility::Rule;
use skewless_store::{CommitMode, SourceOffset};

use crate::fixture::{Shop, config, given, on_disk, rows};

const FOLDER: &str = "SKEWLESS_TEST_KILL";
const CYCLES: u64 = 60;
/// Fewer where every load waits for a disk that syncs.
const CYCLES_ON_DISK: u64 = 12;
/// One in so many cycles or more must have been killed while a load was under way, acknowledged or not yet.
const LOADS_ONE_IN: u64 = 6;
const KEYS: i64 = 40;

/// What the child does at step `n`: all keys get the value `n`, by a batch or by a load.
fn step(shop: &Shop, n: i64) {
    let all: Vec<_> = (0..KEYS).map(|key| given(key, n, n)).collect();
    if n % 4 == 3 {
        let mut loader = shop.store.stage(shop.view(), n).unwrap();
        all.chunks(9).for_each(|chunk| loader.push(&rows(chunk)).unwrap());
        let mode = if n % 8 == 3 { CommitMode::Merge } else { CommitMode::Replace };
        shop.store.commit(loader, mode, n).unwrap();
    } else {
        let source = Some(SourceOffset { source: "s".to_owned(), offset: n as u64 });
        shop.store.apply(shop.view(), &rows(&all), n, source).unwrap();
    }
}

/// The value that every key has; fails if they differ.
fn value(shop: &Shop, t_us: i64) -> Option<i64> {
    let keys: Vec<_> = (0..KEYS).collect();
    let got = shop.read(&keys, t_us);
    assert!(got.iter().all(|one| *one == got[0]), "torn: {got:?}");
    assert!(matches!(got[0].0, Status::Present | Status::NotFound), "{:?}", got[0]);
    got[0].1
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    survives(tempfile::tempdir().unwrap().path(), CYCLES);
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment_on_a_disk() {
    survives(on_disk().path(), CYCLES_ON_DISK);
}

fn survives(dir: &Path, cycles: u64) {
    let mut acknowledged = 0;
    let mut in_loads = 0;
    let mut seed = 0x5EED_u64;
    for cycle in 0..cycles {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lines = 1 + (seed >> 33) % 12;
        // Left to chance, a few cycles may have no kill that falls into a load.
        let aims = cycle % (LOADS_ONE_IN / 2) == 0;
        acknowledged = run_and_kill(dir, lines, aims, seed >> 40 & 0xFFFF).max(acknowledged);
        in_loads += u64::from(acknowledged % 4 == 2);
        let shop = Shop::open(dir, Rule::default());
        let found = value(&shop, i64::from(u32::MAX)).unwrap_or(0);
        // The step after the last acknowledged one may have been written before the kill.
        let allowed = acknowledged..=acknowledged + 1;
        assert!(
            allowed.contains(&found),
            "cycle {cycle}: acknowledged {acknowledged}, found {found}"
        );
        let offset = shop.store.source_offset("s").unwrap().map_or(0, |offset| offset as i64);
        let batch = if found % 4 == 3 { found - 1 } else { found };
        assert_eq!(offset, batch, "cycle {cycle}: the offset doesn't stand where the rows stand");
        let families = rocksdb::DB::list_cf(&rocksdb::Options::default(), dir).unwrap();
        assert_eq!(families.len(), 4, "cycle {cycle}: orphans {families:?}");
        assert!(!dir.join("staging").exists(), "cycle {cycle}: staging left");
        acknowledged = found;
    }
    assert!(acknowledged > cycles as i64, "the child got nowhere");
    assert!(in_loads >= cycles / LOADS_ONE_IN, "only {in_loads} kills fell into a load");
}

/// Lets the child acknowledge some steps, and go on to the one before a load if it is aimed at; spins a little so that
/// the kill falls anywhere in the next one, kills it, and gives the last step it acknowledged.
fn run_and_kill(dir: &Path, lines: u64, aims: bool, spins: u64) -> i64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::steps_for_ever_in_the_folder_it_is_told", "--nocapture"])
        .env(FOLDER, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let number = |line: String| line.strip_prefix("ack ").and_then(|number| number.parse().ok());
    let mut last = 0;
    let mut seen = 0;
    while seen < lines || aims && last % 4 != 2 {
        let line = out.next().expect("the child ended by itself").unwrap();
        if let Some(number) = number(line) {
            (last, seen) = (number, seen + 1);
        }
    }
    for spin in 0..spins * 8 {
        std::hint::black_box(spin);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it still said before it died was acknowledged too.
    out.map_while(Result::ok).filter_map(number).fold(last, i64::max)
}

/// The child of the test above; by itself it takes eight steps in a folder of its own.
#[test]
fn steps_for_ever_in_the_folder_it_is_told() {
    let told = std::env::var_os(FOLDER);
    // Not made by the child that is killed: nobody would remove it.
    let own = told.is_none().then(|| tempfile::tempdir().unwrap());
    let dir =
        own.as_ref().map_or_else(|| told.clone().unwrap().into(), |own| own.path().to_owned());
    let shop = Shop::open_with(&dir, Rule::default(), config()).unwrap();
    let mut last = value(&shop, i64::from(u32::MAX)).unwrap_or(0);
    while told.is_some() || last < 8 {
        last += 1;
        step(&shop, last);
        if told.is_some() {
            // Straight to the pipe: a buffered line would be lost with the process.
            let mut out = std::io::stdout().lock();
            writeln!(out, "ack {last}").and_then(|()| out.flush()).unwrap();
        }
    }
    assert_eq!(value(&shop, last), Some(last));
}

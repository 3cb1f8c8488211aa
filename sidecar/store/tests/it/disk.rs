//! Disks that are full or fail, under a real process: reads go on, writes are refused by their name, the store gets
//! well without a restart as soon as the disk does, and nothing acknowledged is lost, at whichever call it fails.
//!
//! The child is this very test program, started again on a disk that fails when it is told to. It does what it reads
//! from its standard input and says what came of it; the parent knows what must be there.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use skewless_catalog::visibility::Rule;
use skewless_store::{CommitMode, SourceOffset, StoreConfig, StoreError};

use crate::fixture::{Shop, config, given, rows};
use crate::shim::{EIO, ENOSPC, Shim};

const FOLDER: &str = "SKEWLESS_TEST_DISK";
const SYNC: &str = "SKEWLESS_TEST_DISK_SYNC";
const KEYS: i64 = 40;
/// More calls than a healing takes that writes, syncs, creates or renames.
const HEALING_CALLS: u64 = 60;

/// A child that doesn't outlive its test.
pub(crate) struct Obedient {
    child: Child,
    words: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Drop for Obedient {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Obedient {
    pub(crate) fn start(shim: &Shim, folder: &Path, sync: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "disk::does_what_it_is_told", "--nocapture"]);
        command.env(FOLDER, folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        if sync {
            command.env(SYNC, "1");
        }
        let mut child = shim.preload(&mut command, folder).stderr(Stdio::null()).spawn().unwrap();
        let words = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, words, answers }
    }

    /// Says something and gives the answer.
    pub(crate) fn tell(&mut self, words: &str) -> String {
        writeln!(self.words, "{words}").unwrap();
        loop {
            let line = self.answers.next().expect("the child ended by itself").unwrap();
            if let Some((_, answer)) = line.split_once("answer ") {
                return answer.to_owned();
            }
        }
    }

    fn is(&mut self, value: i64) {
        assert_eq!(self.tell("value"), value.to_string());
    }

    fn expect(&mut self, words: &str, begins: &str) {
        let answer = self.tell(words);
        assert!(answer.starts_with(begins), "{words}: expected {begins}, came {answer}");
    }
}

#[test]
fn a_disk_that_refuses_writes_costs_no_read_and_no_acknowledged_row() {
    for (error, kind) in [(ENOSPC, "full"), (EIO, "failed")] {
        let dir = tempfile::tempdir().unwrap();
        let shim = Shim::new().unwrap();
        let mut store = Obedient::start(&shim, dir.path(), false);
        (1..=5).for_each(|n| store.expect(&format!("apply {n}"), "done"));
        store.expect("load 6", "done");
        store.expect("apply 7", "done");
        store.expect("fault", "none");
        shim.fail(error, 0).unwrap();
        for n in 8..11 {
            store.expect(&format!("apply {n}"), &format!("refused: the disk {kind}"));
            store.expect(&format!("load {n}"), &format!("refused: the disk {kind}"));
            store.is(7);
            store.expect("heal", &format!("refused: the disk {kind}"));
        }
        store.expect("fault", &format!("{kind} after 3 tries"));
        store.is(7);
        shim.mend().unwrap();
        store.expect("heal", "done true");
        store.expect("fault", "none");
        store.expect("heal", "done false");
        store.is(7);
        store.expect("apply 11", "done");
        store.expect("load 12", "done");
        store.expect("apply 13", "done");
        store.is(13);
        drop(store);
        assert_eq!(value(&Shop::open(dir.path(), Rule::default())), Ok(13), "after a kill");
    }
}

#[test]
fn a_row_that_falls_due_meanwhile_is_waited_for_and_not_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let shim = Shim::new().unwrap();
    let mut store = Obedient::start(&shim, dir.path(), false);
    store.expect("apply 1", "done");
    store.is(1);
    store.expect("wait 2", "done");
    shim.fail(EIO, 0).unwrap();
    // It is due at the time that is read, but moving it is a write.
    store.expect("value", "refused: the disk failed");
    store.expect("heal", "refused: the disk failed");
    shim.mend().unwrap();
    store.expect("heal", "done true");
    store.is(2);
}

#[test]
fn a_healing_that_fails_at_any_call_may_be_tried_again() {
    for error in [ENOSPC, EIO] {
        let dir = tempfile::tempdir().unwrap();
        let shim = Shim::new().unwrap();
        let mut store = Obedient::start(&shim, dir.path(), true);
        let mut last = 1;
        store.expect("load 1", "done");
        let mut failed = 0;
        for calls in 0..=HEALING_CALLS {
            shim.fail(error, 0).unwrap();
            store.expect(&format!("apply {}", last + 1), "refused");
            shim.fail(error, calls).unwrap();
            let healed = store.tell("heal");
            store.is(last);
            shim.mend().unwrap();
            let whole = healed.starts_with("done");
            failed += u64::from(!whole);
            store.expect("heal", if whole { "done" } else { "done true" });
            store.is(last);
            last += 2;
            store.expect(&format!("apply {last}"), "done");
            store.is(last);
            assert!(whole || calls < HEALING_CALLS, "more calls than are tried here: {healed}");
        }
        println!("{failed} healings failed");
        assert!(failed > HEALING_CALLS / 4, "only {failed} healings failed");
        drop(store);
        assert_eq!(value(&Shop::open(dir.path(), Rule::default())), Ok(last), "after a kill");
    }
}

#[test]
fn a_load_that_fails_at_any_call_is_there_whole_or_not_at_all() {
    for error in [ENOSPC, EIO] {
        let dir = tempfile::tempdir().unwrap();
        let shim = Shim::new().unwrap();
        let mut store = Obedient::start(&shim, dir.path(), false);
        let mut there = 1;
        store.expect("apply 1", "done");
        for calls in 0.. {
            let n = calls as i64 + 2;
            shim.fail(error, calls).unwrap();
            let loaded = store.tell(&format!("load {n}"));
            shim.mend().unwrap();
            // What failed after the load was acknowledged, the dropping of the old rows, is no matter.
            let done = loaded.starts_with("done");
            there = if done { n } else { there };
            assert!(done || loaded.starts_with("refused: the disk"), "{calls} calls: {loaded}");
            store.is(there);
            store.expect("heal", "done");
            store.is(there);
            // Whatever a refused load left in the log must not come back when the folder is opened.
            store.expect("restart", "done");
            store.is(there);
            if done {
                assert!(calls > 5, "a load of {calls} calls writes nothing durably");
                println!("a load takes {calls} calls");
                break;
            }
        }
    }
}

/// What all keys have; torn or refused otherwise.
pub(crate) fn value(shop: &Shop) -> Result<i64, String> {
    let keys: Vec<_> = (0..KEYS).collect();
    let got = shop.try_read(&keys, i64::from(u32::MAX)).map_err(|error| refused(&error))?;
    if got.iter().any(|one| *one != got[0]) {
        return Err(format!("torn: {got:?}"));
    }
    Ok(got[0].1.unwrap_or(0))
}

fn refused(error: &StoreError) -> String {
    let kind = match error {
        StoreError::DiskFull { .. } => "the disk full".to_owned(),
        StoreError::Disk { .. } => "the disk failed".to_owned(),
        other => format!("{other:?}"),
    };
    format!("refused: {kind}: {error}")
}

/// Does one thing to the store and says what came of it.
fn obey(shop: &Shop, word: &str, n: i64) -> Result<String, StoreError> {
    let all: Vec<_> = (0..KEYS).map(|key| given(key, n, n)).collect();
    match word {
        "apply" => {
            let source = Some(SourceOffset { source: "s".to_owned(), offset: n as u64 });
            shop.store.apply(shop.view(), &rows(&all), n, source)?;
        }
        "wait" => {
            shop.store.apply(shop.view(), &rows(&all), n - 1, None)?;
        }
        "load" => {
            let mut loader = shop.store.stage(shop.view(), n)?;
            loader.push(&rows(&all))?;
            let mode = if n % 2 == 0 { CommitMode::Merge } else { CommitMode::Replace };
            shop.store.commit(loader, mode, n)?;
        }
        "heal" => return Ok(format!("done {}", shop.store.heal()?)),
        "fault" => {
            let kind = |full| if full { "full" } else { "failed" };
            return Ok(shop.store.fault().map_or("none".to_owned(), |fault| {
                format!("{} after {} tries", kind(fault.full), fault.attempts)
            }));
        }
        "value" => return Ok(value(shop).map_or_else(|torn| torn, |value| value.to_string())),
        other => panic!("told to {other}"),
    }
    Ok("done".to_owned())
}

/// The child of the tests above; by itself it has nothing to do.
#[test]
fn does_what_it_is_told() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let config = StoreConfig { sync: std::env::var_os(SYNC).is_some(), ..config() };
    let open = || Shop::open_with(Path::new(&folder), Rule::default(), config.clone()).unwrap();
    let mut shop = Some(open());
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (word, n) = line.split_once(' ').unwrap_or((&line, "0"));
        let answer = if word == "restart" {
            drop(shop.take());
            shop = Some(open());
            "done".to_owned()
        } else {
            obey(shop.as_ref().unwrap(), word, n.parse().unwrap())
                .unwrap_or_else(|error| refused(&error))
        };
        println!("answer {answer}");
    }
}

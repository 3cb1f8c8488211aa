//! Disks that are full or fail, under a real process: reads go on, writes are refused by their name, and nothing that
//! was acknowledged is lost or torn, at whichever call the disk begins to fail. After a full disk writes go on by
//! themselves, after an I/O error once the process was started again.
//!
//! The child is this very test program, started again on a disk that fails when it is told to. It does what it reads
//! from its standard input and says what came of it; the parent knows what must be there.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use skewless_catalog::visibility::Rule;
use skewless_store::{CommitMode, SourceOffset, StoreConfig, StoreError};

use crate::fixture::{Shop, config, given, on_disk, rows};
use crate::shim::{EIO, ENOSPC, Shim};

const FOLDER: &str = "SKEWLESS_TEST_DISK";
const SYNC: &str = "SKEWLESS_TEST_DISK_SYNC";
const KEYS: i64 = 40;
/// How disks refuse writes, and the word for it.
const KINDS: [(i32, &str); 2] = [(ENOSPC, "full"), (EIO, "failed")];
/// RocksDB looks every five seconds whether there is space again.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Between two questions of one wait: without a pause they would take two cores from what is waited for.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// Fewer calls than a load takes that writes and syncs its rows, the list of files and the pointer.
const LOAD_CALLS_MIN: u64 = 6;

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

    /// Says something again and again until the answer begins like this.
    fn until(&mut self, words: &str, begins: &str) {
        let start = Instant::now();
        loop {
            let answer = self.tell(words);
            if answer.starts_with(begins) {
                return;
            }
            assert!(start.elapsed() < WAIT_MAX, "{words}: waited for {begins}, came {answer}");
            std::thread::park_timeout(ASK_EVERY);
        }
    }
}

#[test]
fn a_disk_that_refuses_writes_costs_no_read_and_no_acknowledged_row() {
    for (error, kind) in KINDS {
        let dir = on_disk();
        let shim = Shim::new().unwrap();
        let refusal = format!("refused: the disk {kind}");
        let mut store = Obedient::start(&shim, dir.path(), false);
        (1..=5).for_each(|n| store.expect(&format!("apply {n}"), "done"));
        store.expect("load 6", "done");
        store.expect("apply 7", "done");
        store.expect("fault", "none");
        shim.fail(error, 0).unwrap();
        for n in 8..11 {
            store.expect(&format!("apply {n}"), &refusal);
            store.expect(&format!("load {n}"), &refusal);
            store.expect("tick", kind);
            store.expect("fault", kind);
            store.is(7);
        }
        drop(store);
        shim.mend().unwrap();
        let shop = Shop::open(dir.path(), Rule::default());
        assert_eq!(value(&shop), Ok(7), "after a kill");
        assert_eq!(shop.store.source_offset("s").unwrap(), Some(7));
        assert_eq!(shop.store.fault(), None);
        obey(&shop, "apply", 11).unwrap();
        assert_eq!(value(&shop), Ok(11));
    }
}

#[test]
fn after_a_full_disk_writes_go_on_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let shim = Shim::new().unwrap();
    let mut store = Obedient::start(&shim, dir.path(), false);
    let mut n = 1;
    store.expect("apply 1", "done");
    // Found by a batch that is sent again, by a load that is, and by the clock alone.
    for way in ["apply", "load", "tick"] {
        shim.fail(ENOSPC, 0).unwrap();
        store.expect(&format!("apply {}", n + 1), "refused: the disk full");
        store.expect("fault", "full");
        store.is(n);
        shim.mend().unwrap();
        match way {
            "tick" => store.until("tick", "none"),
            way => {
                n += 1;
                store.until(&format!("{way} {n}"), "done");
            }
        }
        store.expect("fault", "none");
        store.is(n);
        n += 1;
        store.expect(&format!("apply {n}"), "done");
        store.is(n);
    }
    drop(store);
    assert_eq!(value(&Shop::open(dir.path(), Rule::default())), Ok(n), "after a kill");
}

#[test]
fn after_an_io_error_writes_are_refused_until_a_restart() {
    let dir = on_disk();
    let shim = Shim::new().unwrap();
    let mut store = Obedient::start(&shim, dir.path(), false);
    store.expect("apply 1", "done");
    shim.fail(EIO, 0).unwrap();
    store.expect("apply 2", "refused: the disk failed");
    shim.mend().unwrap();
    for words in ["tick", "fault"] {
        store.expect(words, "failed");
        store.expect("apply 2", "refused: the disk failed");
        store.expect("load 2", "refused: the disk failed");
        store.is(1);
    }
    drop(store);
    let mut store = Obedient::start(&shim, dir.path(), false);
    store.is(1);
    store.expect("apply 2", "done");
    store.expect("load 3", "done");
    store.is(3);
}

#[test]
fn a_row_that_falls_due_meanwhile_is_waited_for_and_not_left_out() {
    for (error, kind) in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let shim = Shim::new().unwrap();
        let mut store = Obedient::start(&shim, dir.path(), false);
        store.expect("apply 1", "done");
        store.is(1);
        store.expect("wait 2", "done");
        shim.fail(error, 0).unwrap();
        // It is due at the time that is read, but moving it is a write.
        store.expect("value", &format!("refused: the disk {kind}"));
        shim.mend().unwrap();
        if error == ENOSPC {
            store.until("value", "2");
        }
        drop(store);
        assert_eq!(value(&Shop::open(dir.path(), Rule::default())), Ok(2), "after a kill");
    }
}

/// A store that holds 1 and is told to load `n` on a disk that fails after so many calls, and is well again
/// afterwards; and whether the load was acknowledged.
fn fail_a_load(shim: &Shim, dir: &Path, error: i32, calls: u64, n: i64) -> (Obedient, bool) {
    let mut store = Obedient::start(shim, dir, false);
    store.expect("apply 1", "done");
    shim.fail(error, calls).unwrap();
    let loaded = store.tell(&format!("load {n}"));
    let done = loaded.starts_with("done");
    assert!(done || loaded.starts_with("refused: the disk"), "{calls} calls: {loaded}");
    store.is(if done { n } else { 1 });
    shim.mend().unwrap();
    store.is(if done { n } else { 1 });
    // What failed after the load was acknowledged, the dropping of the old rows, is no matter.
    assert!(!done || calls >= LOAD_CALLS_MIN, "a load of {calls} calls writes nothing durably");
    (store, done)
}

#[test]
fn a_load_that_fails_at_any_call_is_there_whole_or_not_at_all() {
    for (error, kind) in KINDS {
        let shim = Shim::new().unwrap();
        let mut unopened = 0;
        for calls in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let n = calls as i64 + 2;
            let (store, done) = fail_a_load(&shim, dir.path(), error, calls, n);
            // Killed before the next tick.
            drop(store);
            let found = Obedient::start(&shim, dir.path(), false).tell("value");
            if !done && found.starts_with("refused: corrupt") {
                // The list of files names one that was deleted, and there was no time to write it anew.
                assert!(found.contains(".sst"), "{calls} calls: {found}");
                unopened += 1;
            } else {
                // A pointer whose sync failed may be in the log.
                let whole = found == n.to_string() || !done && found == "1";
                assert!(whole, "{calls} calls, acknowledged {done}: {found}");
            }
            if done {
                println!(
                    "a disk that {kind}: {unopened} of {calls} refused loads left a folder that can't be opened"
                );
                break;
            }
        }
    }
}

#[test]
fn a_load_that_failed_at_any_call_leaves_a_folder_that_opens_if_the_disk_was_well_at_a_tick() {
    for (error, _) in KINDS {
        let shim = Shim::new().unwrap();
        for calls in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let n = calls as i64 + 2;
            let (mut store, done) = fail_a_load(&shim, dir.path(), error, calls, n);
            store.tell("tick");
            // Queued after what the tick does. Writes may still be refused.
            let again = store.tell(&format!("load {}", n + 1));
            let there = match (again.as_str(), done) {
                ("done", _) => n + 1,
                (_, true) => n,
                (_, false) => 1,
            };
            let refused = again.starts_with("refused: the disk");
            assert!(again == "done" || refused, "{calls} calls: {again}");
            store.is(there);
            drop(store);
            let found = Obedient::start(&shim, dir.path(), false).tell("value");
            let whole = found == there.to_string() || there == 1 && found == n.to_string();
            assert!(whole, "{calls} calls, acknowledged {done}, then {again}: {found}");
            if done {
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
        StoreError::Corrupt { .. } => "corrupt".to_owned(),
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
        "fault" => return Ok(fault(shop)),
        "tick" => {
            shop.store.tick(n);
            return Ok(fault(shop));
        }
        "value" => return Ok(value(shop).map_or_else(|torn| torn, |value| value.to_string())),
        other => panic!("told to {other}"),
    }
    Ok("done".to_owned())
}

fn fault(shop: &Shop) -> String {
    let kind = |full| if full { "full" } else { "failed" };
    shop.store.fault().map_or("none", |fault| kind(fault.full)).to_owned()
}

/// The child of the tests above; by itself it has nothing to do.
#[test]
fn does_what_it_is_told() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let config = StoreConfig { sync: std::env::var_os(SYNC).is_some(), ..config() };
    let mut shop = None;
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (word, n) = line.split_once(' ').unwrap_or((&line, "0"));
        let answer = opened(&mut shop, Path::new(&folder), &config)
            .and_then(|shop| obey(shop, word, n.parse().unwrap()))
            .unwrap_or_else(|error| refused(&error));
        println!("answer {answer}");
    }
}

/// Opened at the first word, so that a refusal is an answer.
fn opened<'a>(
    shop: &'a mut Option<Shop>,
    folder: &Path,
    config: &StoreConfig,
) -> Result<&'a Shop, StoreError> {
    let open = match shop.take() {
        Some(open) => open,
        None => Shop::open_with(folder, Rule::default(), config.clone())?,
    };
    Ok(shop.insert(open))
}

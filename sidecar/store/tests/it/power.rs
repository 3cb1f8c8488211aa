//! Loss of power: everything that was not made durable is gone. With `sync` no acknowledged row is.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use skewless_catalog::visibility::Rule;

use crate::disk::{Obedient, value};
use crate::fixture::{Shop, on_disk};
use crate::shim::Shim;

#[test]
fn with_sync_what_was_acknowledged_survives_loss_of_power() {
    let mut lost_without = 0;
    for sync in [true, false] {
        // Where a sync does something.
        let dir = if sync { on_disk() } else { tempfile::tempdir().unwrap() };
        for steps in 1..12 {
            let shim = Shim::new().unwrap();
            let before = sizes(dir.path());
            let mut store = Obedient::start(&shim, dir.path(), sync);
            let first: i64 = store.tell("value").parse().unwrap();
            let last = first + steps;
            for n in first + 1..=last {
                // A load is durable in itself, so the last step is none: the log must carry it.
                let load = n % 4 == 3 && n != last;
                let words = format!("{} {n}", if load { "load" } else { "apply" });
                assert!(store.tell(&words).starts_with("done"), "{words}");
            }
            drop(store);
            lose_power(&shim, dir.path(), before);
            let found = value(&Shop::open(dir.path(), Rule::default())).unwrap();
            if sync {
                assert_eq!(found, last, "{steps} steps");
            } else {
                lost_without += last - found;
            }
        }
    }
    assert!(lost_without > 0, "nothing is lost without sync: this test loses no power");
}

/// The files of a folder by inode, with their bytes.
fn sizes(dir: &Path) -> HashMap<u64, u64> {
    let data = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
    data.filter(|data| data.is_file()).map(|data| (data.ino(), data.len())).collect()
}

/// Cuts every file of the folder to what had reached the disk; what was there before the process began had. Names
/// survive: file systems keep those in a journal.
fn lose_power(shim: &Shim, dir: &Path, mut durable: HashMap<u64, u64>) {
    for line in std::fs::read_to_string(&shim.synced).unwrap().lines() {
        let (inode, bytes) = line.split_once(' ').unwrap();
        durable.insert(inode.parse().unwrap(), bytes.parse().unwrap());
    }
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let data = std::fs::metadata(&path).unwrap();
        let bytes = durable.get(&data.ino()).copied().unwrap_or(0);
        if data.is_file() && bytes < data.len() {
            std::fs::File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
        }
    }
}

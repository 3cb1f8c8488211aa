//! Who gives way on a core that several want: RocksDB's threads for compaction, and nobody else.

use std::fs;

use crate::fixture::{Shop, config, given};
use skewless_catalog::visibility::Rule;

/// Name and niceness of each of this process's threads.
fn threads() -> Vec<(String, i32)> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let threads = tasks.filter_map(|task| {
        // A thread of another test may end meanwhile.
        let stat = fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        // The 19th field of `proc_pid_stat(5)`; the third is the first behind the name.
        Some((name.to_lowercase(), rest.split(' ').nth(16)?.parse().ok()?))
    });
    threads.collect()
}

#[test]
fn threads_for_compaction_give_way_to_all_others() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open_with(dir.path(), Rule::default(), config()).unwrap();
    for value in 1..4 {
        shop.apply(&[given(1, 10 * value, value)], 200);
        shop.store.flush().unwrap();
    }
    shop.store.reclaim().unwrap();
    let threads = threads();
    let usual = threads.iter().map(|(_, nice)| *nice).min().unwrap();
    let (low, others): (Vec<_>, Vec<_>) =
        threads.into_iter().partition(|(name, _)| name.starts_with("rocksdb:low"));
    assert!(low.iter().any(|(_, nice)| *nice == 19), "{low:?}");
    assert!(others.iter().any(|(name, _)| name.starts_with("rocksdb:high")), "{others:?}");
    assert!(others.iter().all(|(_, nice)| *nice == usual), "{others:?}");
}

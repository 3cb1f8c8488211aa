//! F4: reads of hot rows over RocksDB's own get of the same rows, and over reads without hot rows beside a
//! writer; not how many rows are hot in a real day, which is the caller's traffic to say.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;

use crate::one_view::{VIEW, copy};
use crate::report::{Goal, Line, Table};
use crate::rounds::{Pair, interleave, per_call};
use crate::store::{Buffers, Draw, NOW_US, Raw, Reader, load, rows_of};

const ROWS: u64 = 1_000_000;
const HOTTEST: u64 = 1_000;
const WIDTH: usize = 10;
/// Room for all rows.
const HOT_BYTES: usize = 512 << 20;
/// Every so often so many rows: 50,000 a second.
const BATCH_ROWS: i64 = 500;
const BATCH_EVERY: Duration = Duration::from_millis(10);
/// Reads a turn beside the writer: enough for the slowest thousandth of them to be some.
const READS: usize = 20_000;

pub(crate) fn measure(rounds: usize) -> Result<Vec<Table>> {
    let folder = tempfile::tempdir()?;
    let [hot, cold, raw] = ["hot", "cold", "raw"].map(|name| folder.path().join(name));
    load(&hot, WIDTH, ROWS)?;
    copy(&hot, &cold)?;
    copy(&hot, &raw)?;
    Ok(vec![alone(rounds, &hot, &raw)?, beside_writes(rounds, &hot, &cold)?])
}

fn alone(rounds: usize, hot: &Path, raw: &Path) -> Result<Table> {
    let raw = Raw::open(raw)?;
    let mut read = Reader::open(hot, WIDTH, HOT_BYTES)?;
    for start in (0..ROWS as i64).step_by(1_000) {
        read.read_keys((0..1_000_i32).map(|at| start + i64::from(at)))?;
    }
    let mut lines = Vec::new();
    let cases = [
        ("any of 1,000,000 rows", 0, ROWS, 1, Some(300.0)),
        ("any of 1,000,000 rows", 0, ROWS, 100, Some(250.0)),
        ("any of 1,000 rows", 0, HOTTEST, 1, None),
        ("any of 1,000 rows", 0, HOTTEST, 100, Some(60.0)),
        ("any of 1,000 absent keys", ROWS, HOTTEST, 1, Some(700.0)),
        ("absent keys, each once", ROWS, u64::MAX >> 24, 1, Some(700.0)),
    ];
    for (what, from, span, keys, goal) in cases {
        let (mut left, mut right) = (Draw::of(from, span), Draw::of(from, span));
        let mut buffers = Buffers::default();
        let pair = per_call(
            rounds,
            || raw.get(&mut left, keys, false, &mut buffers),
            || read.read(&mut right, keys),
        )?;
        let line = Line::new(format!("{what}, {keys} a read"), "ns", pair.divided(keys as f64));
        lines.push(match goal {
            Some(goal) => line.goal(Goal::AtMost(goal)),
            None => line,
        });
    }
    let method = format!(
        "Floor: `rocksdb` with the same options over a copy of the same files, for each key one `get_pinned_cf`, no snapshot, \
         nothing decoded. Ours: `Store::read` into a frame with {} MiB for hot rows, in which all rows were read before. {ROWS} \
         rows of {WIDTH} float64 with an int64 key, uniform, no writes. Times are per key.",
        HOT_BYTES >> 20
    );
    let heads = ["raw RocksDB", "store.read"];
    Ok(Table { title: "Hot rows over raw RocksDB", method, heads, ratios: false, lines })
}

fn beside_writes(rounds: usize, hot: &Path, cold: &Path) -> Result<Table> {
    let mut hot = Reader::open(hot, WIDTH, HOT_BYTES)?;
    let mut cold = Reader::open(cold, WIDTH, 0)?;
    let event_us = AtomicI64::new(2);
    let mut lines = Vec::new();
    for keys in [1, 100] {
        let mut names = Vec::new();
        let mut pairs: Vec<Pair> = Vec::new();
        for writes in [false, true] {
            let found = interleave(
                rounds,
                || slowest(&mut cold, keys, writes, &event_us),
                || slowest(&mut hot, keys, writes, &event_us),
            )?;
            let beside = if writes { "50,000 rows/s written" } else { "no writes" };
            for (rank, pair) in ["median", "99 %", "99.9 %"].into_iter().zip(found) {
                names.push(format!("{keys} of 1,000 rows, {beside}, {rank}"));
                pairs.push(pair);
            }
        }
        lines.extend(names.into_iter().zip(pairs).map(|(name, pair)| Line::new(name, "us", pair)));
    }
    let method = format!(
        "Floor: `Store::read` without hot rows; ours: with {} MiB for them; over copies of the same files. Wall time of each of \
         {READS} reads a turn, of any of the first 1,000 rows. The writer applies {BATCH_ROWS} newer rows, a tenth of them of those, \
         every {} ms through `Store::apply`.",
        HOT_BYTES >> 20,
        BATCH_EVERY.as_millis()
    );
    let title = "Hot rows: reads with them over reads without, beside a writer";
    Ok(Table { title, method, heads: ["without", "with"], ratios: true, lines })
}

/// Microseconds of the median, 99th and 99.9th percentile read.
fn slowest(read: &mut Reader, keys: usize, writes: bool, event_us: &AtomicI64) -> Result<[f64; 3]> {
    let mut times = Histogram::<u64>::new(3)?;
    let mut draw = Draw::of(0, HOTTEST);
    let done = AtomicBool::new(!writes);
    let (store, view) = (read.store.clone(), read.views.by_name(VIEW)?.clone());
    std::thread::scope(|scope| -> Result<()> {
        let writer = scope.spawn(|| -> Result<()> {
            let mut next = Instant::now();
            let mut draw = Draw::of(0, ROWS);
            while !done.load(Ordering::Acquire) {
                let keys: Vec<_> = (0..BATCH_ROWS)
                    .map(|at| if at % 10 == 0 { draw.next() % HOTTEST as i64 } else { draw.next() })
                    .collect();
                let time_us = event_us.fetch_add(1, Ordering::Relaxed);
                store.apply(&view, &rows_of(&keys, WIDTH, time_us), NOW_US, None)?;
                next += BATCH_EVERY;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            Ok(())
        });
        let read = (0..READS).try_for_each(|_| -> Result<()> {
            let start = Instant::now();
            read.read(&mut draw, keys)?;
            Ok(times.record(start.elapsed().as_nanos() as u64)?)
        });
        done.store(true, Ordering::Release);
        writer.join().map_err(|_| anyhow!("the writer panicked")).context("writing")??;
        read
    })?;
    Ok([50.0, 99.0, 99.9].map(|rank| times.value_at_percentile(rank) as f64 / 1_000.0))
}

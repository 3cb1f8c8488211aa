//! The benches: what we cost over a floor that is measured in the same run; not absolute times, which
//! mean nothing on another machine, nor load tests.
//!
//!     ./dev bench                       # everything, a few minutes, tables on stdout
//!     ./dev bench -- --write            # and into docs/PERFORMANCE.md
//!     ./dev bench -- --rounds 5 served  # fewer rounds; only one of served, hot, store, boundary
//!
//! Floor and ours take turns within one process (`rounds.rs`), under the allocator that the binaries ship
//! with. Limit: client and server share the machine's cores, as a sidecar and its model do.

mod boundary;
mod conditions;
mod echo;
mod hot;
mod load;
mod report;
mod rounds;
mod served;
mod store;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use mimalloc::MiMalloc;

use crate::conditions::Conditions;
use crate::report::Table;

/// Turns of each pair unless `--rounds` says otherwise: enough for quartiles to mean something.
const ROUNDS: usize = 21;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Result<()> {
    let asked = Asked::parse(std::env::args().skip(1))?;
    let conditions = Conditions::start(asked.rounds);
    let mut tables: Vec<Table> = Vec::new();
    for (name, measure) in PARTS {
        if asked.parts.is_empty() || asked.parts.iter().any(|part| part == name) {
            eprintln!("measuring: {name}");
            tables.extend(measure(asked.rounds).context(*name)?);
        }
    }
    let report = report::markdown(&conditions.end(), &tables);
    println!("{report}");
    if asked.write {
        ensure!(asked.parts.is_empty(), "expected all parts with --write, came {:?}", asked.parts);
        report::write(&report)?;
    }
    Ok(())
}

type Measure = fn(usize) -> Result<Vec<Table>>;

const PARTS: &[(&str, Measure)] = &[
    ("boundary", boundary::measure),
    ("store", store::measure),
    ("hot", hot::measure),
    ("served", served::measure),
];

struct Asked {
    rounds: usize,
    write: bool,
    parts: Vec<String>,
}

impl Asked {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut asked = Self { rounds: ROUNDS, write: false, parts: Vec::new() };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {} // cargo's own
                "--write" => asked.write = true,
                "--rounds" => {
                    let rounds = words.next().context("expected a number after --rounds")?;
                    asked.rounds = rounds.parse()?;
                    ensure!(asked.rounds > 0, "expected at least one round");
                }
                part => {
                    let known = PARTS.iter().any(|(name, _)| *name == part);
                    ensure!(
                        known,
                        "expected --write, --rounds, served, hot, store or boundary, came {part}"
                    );
                    asked.parts.push(part.to_owned());
                }
            }
        }
        Ok(asked)
    }
}

/// Heap allocations of all threads while `work` runs. RocksDB's own, in C++, aren't seen.
fn allocations(work: impl FnOnce() -> Result<()>) -> Result<u64> {
    ALLOCATIONS.store(0, Ordering::Relaxed);
    COUNTS.store(true, Ordering::SeqCst);
    let done = work();
    COUNTS.store(false, Ordering::SeqCst);
    done.map(|()| ALLOCATIONS.load(Ordering::Relaxed))
}

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The binaries' allocator, which counts when asked to; otherwise one load of a flag is all it adds.
struct Counting;

impl Counting {
    fn count() {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[expect(unsafe_code, reason = "an allocator is an unsafe trait")]
// SAFETY: every call goes to mimalloc unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }
}

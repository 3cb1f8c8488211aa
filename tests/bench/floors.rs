//! The benches: what we cost over a floor that is measured in the same run; not absolute times, which
//! mean nothing on another machine.
//!
//!     ./dev bench                          # everything, the usual rows, tables on stdout
//!     ./dev bench --short                  # fewer rounds and rows, a few minutes
//!     ./dev bench --full                   # every row of every matrix
//!     ./dev bench --only f1,f3             # some parts
//!     ./dev bench --write                  # also into docs/PERFORMANCE.md and docs/performance/
//!     ./dev bench --rounds 5               # another number of rounds
//!
//! Floor and ours take turns within one process (`rounds.rs`), under the allocator that the binaries ship
//! with; F6, overload and tail start processes of this same program. Limit: client and server share the machine's
//! cores, as a sidecar and its model do; only overload and tail give each side one of its own.

#![cfg_attr(
    test,
    expect(
        unused_imports,
        dead_code,
        reason = "what is shared with the command has tests, which a bench has no harness for"
    )
)]

#[path = "../../sidecar/cli/src/bench/alarm.rs"]
mod alarm;
mod apart;
mod arrivals;
mod backfill;
mod boundary;
mod calls;
mod conditions;
mod copies;
mod cores;
#[path = "../../sidecar/cli/src/bench/draw.rs"]
#[expect(dead_code, reason = "the command draws with skew and by fixed gaps, too")]
mod draw;
mod echo;
mod handler;
#[path = "../../sidecar/cli/src/bench/hgrm.rs"]
mod hgrm;
mod hot;
mod load;
#[path = "../instructions/count/one_step.rs"]
mod one_step;
#[path = "../instructions/count/one_view.rs"]
mod one_view;
#[path = "../../sidecar/cli/src/bench/open_loop.rs"]
mod open_loop;
mod overload;
mod peers;
mod plot;
mod process;
mod python;
#[path = "../../sidecar/cli/src/bench/raw.rs"]
mod raw;
mod report;
mod rounds;
mod startup;
mod store;
mod tail;
mod world;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use mimalloc::MiMalloc;

use crate::conditions::Conditions;
use crate::report::Part;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some(copies::CHILD) => return copies::child(),
        Some(startup::EMPTY | startup::SIDECAR) => return startup::child(&words),
        Some(apart::CHILD) => return apart::child(&words),
        _ => {}
    }
    let asked = Asked::parse(words.into_iter())?;
    for (name, measure) in PARTS {
        let wanted = match &asked.parts[..] {
            [] => match *name {
                "peers" => peers::are_there(),
                "python" => python::is_there(),
                _ => true,
            },
            parts => parts.iter().any(|part| part == name),
        };
        if !wanted {
            continue;
        }
        eprintln!("measuring: {name}");
        let conditions = Conditions::start(asked.mode);
        let part = measure(asked.mode).context(*name)?;
        let section = report::markdown(&conditions.end(), &part);
        println!("{section}");
        if asked.write {
            report::write(name, &part, &section)?;
        }
    }
    Ok(())
}

type Measure = fn(Mode) -> Result<Part>;

/// The parts by the names they have in the report, in its order.
const PARTS: &[(&str, Measure)] = &[
    ("f1", |mode| {
        let mut part = calls::measure(mode)?;
        let under_load = arrivals::measure(mode)?;
        part.tables.extend(under_load.tables);
        part.plots.extend(under_load.plots);
        part.histograms.extend(under_load.histograms);
        Ok(part)
    }),
    ("f2", |mode| store::measure(mode.rounds).map(Part::from)),
    ("hot", |mode| hot::measure(mode.rounds).map(Part::from)),
    ("f3", boundary::measure),
    ("f4", backfill::measure),
    ("f5", handler::measure),
    ("f6", startup::measure),
    ("overload", overload::measure),
    ("tail", tail::measure),
    ("peers", peers::measure),
    ("python", python::measure),
];

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    /// Turns of each pair.
    pub(crate) rounds: usize,
    pub(crate) scale: Scale,
}

/// Which rows of the tables are measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scale {
    /// To see that all works, and roughly where it stands.
    Short,
    /// What the report has.
    Usual,
    /// Every row of every matrix.
    Full,
}

impl Scale {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Usual => "usual rows",
            Self::Full => "all rows",
        }
    }

    /// Turns of each pair unless `--rounds` says otherwise: enough for quartiles to mean something.
    fn rounds(self) -> usize {
        match self {
            Self::Short => 5,
            Self::Usual | Self::Full => 21,
        }
    }

    /// One of three, in the order of the scales.
    pub(crate) fn pick<T>(self, short: T, usual: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Usual => usual,
            Self::Full => full,
        }
    }
}

struct Asked {
    mode: Mode,
    write: bool,
    /// All of them if empty.
    parts: Vec<String>,
}

impl Asked {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let (mut scale, mut rounds, mut write, mut parts) = (Scale::Usual, None, false, Vec::new());
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {} // cargo's own
                "--write" => write = true,
                "--short" => scale = Scale::Short,
                "--full" => scale = Scale::Full,
                "--rounds" => {
                    let many = words.next().context("expected a number after --rounds")?;
                    let many: usize = many.parse().context("expected a number after --rounds")?;
                    ensure!(many > 0, "expected at least one round, came 0");
                    rounds = Some(many);
                }
                "--only" => {
                    let names = words.next().context("expected names after --only, as f1,f3")?;
                    for name in names.split(',') {
                        let known: Vec<&str> = PARTS.iter().map(|(known, _)| *known).collect();
                        ensure!(known.contains(&name), "expected one of {known:?}, came {name}");
                        parts.push(name.to_owned());
                    }
                }
                other => anyhow::bail!(
                    "expected --short, --full, --only, --rounds or --write, came {other}"
                ),
            }
        }
        let rounds = rounds.unwrap_or(scale.rounds());
        Ok(Self { mode: Mode { rounds, scale }, write, parts })
    }
}

/// Heap allocations of all threads while `work` runs, and their bytes. RocksDB's own, in C++, aren't seen.
fn allocations(work: impl FnOnce() -> Result<()>) -> Result<[u64; 2]> {
    ALLOCATIONS.store(0, Ordering::Relaxed);
    BYTES.store(0, Ordering::Relaxed);
    COUNTS.store(true, Ordering::SeqCst);
    let done = work();
    COUNTS.store(false, Ordering::SeqCst);
    done.map(|()| [ALLOCATIONS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed)])
}

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The binaries' allocator, which counts when asked to; otherwise one load of a flag is all it adds.
struct Counting;

impl Counting {
    fn count(bytes: usize) {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

#[expect(unsafe_code, reason = "an allocator is an unsafe trait")]
// SAFETY: every call goes to mimalloc unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size);
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }
}

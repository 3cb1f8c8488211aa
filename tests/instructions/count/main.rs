//! The gate on instructions: named paths of a request, counted by Valgrind's Callgrind and held against
//! `baseline.toml`; not times, which `floors` measures, and not caches or branches.
//!
//!     ./dev instructions                        # count all paths and judge; CI runs it
//!     ./dev instructions --write "why"          # and write what has moved into the baseline
//!     ./dev instructions --keep FOLDER PATH..   # count these only; keep profiles for callgrind_annotate
//!
//! Each path runs in a process of its own, so that no count depends on another; only what happens inside
//! [`counted_piece`] on its thread is counted. The build is set in `./dev`: our crates optimised as they are shipped, but
//! without link-time optimisation; the dependencies as the tests already have them.
//!
//! What it hides: Valgrind shows a processor of its own and the C library is told to use its plainest copies, and an
//! instruction is an instruction, whether it waits for memory or not. So a count says that work was added, never how
//! long it takes.

mod callgrind;
mod engine;
mod fixtures;
mod one_step;
mod one_view;
mod paths;
mod request;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use skewless_instructions::{BASELINE, Baseline, Machine, Verdict, WRITE, complaint};

use crate::callgrind::Counter;
use crate::fixtures::Fixtures;

/// The allocator that the binaries ship with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Set by `./dev`: counts of another build mean nothing.
const BUILT: &str = "SKEWLESS_COUNTED_BUILD";

/// Calls that are counted; a count is their mean.
const CALLS: u64 = 20;
/// Calls before those: pools are filled, lazy things are made, the allocator has its pages.
const CALLS_BEFORE: u64 = 20;

/// The path on which every run shows that the gate can fail, and the calls more that are 5 % more work.
const PLANTED_IN: &str = "encode/1x120";
const PLANTED_CALLS: u64 = CALLS / 20;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if(|word| word == callgrind::CHILD).is_some() {
        return paths::run_counted(words);
    }
    let asked = Asked::parse(words)?;
    ensure!(
        std::env::var_os(BUILT).is_some() && !cfg!(debug_assertions),
        "expected to be built and run by ./dev instructions, as counts are of its build"
    );
    let folder = tempfile::tempdir()?;
    let fixtures = Fixtures::make(folder.path())?;
    let counter = Counter::new(&fixtures, asked.keep.as_deref())?;
    if asked.keep.is_some() {
        return asked.paths.iter().try_for_each(|path| {
            println!("{path:<34} {:>10}", counter.count(path, CALLS)? / CALLS);
            Ok(())
        });
    }
    let counts = counter.all(paths::names())?;
    let planted = counter.count(PLANTED_IN, CALLS + PLANTED_CALLS)? / CALLS;
    let machine = callgrind::machine(&fixtures)?;
    show_that_it_can_fail(&machine, &counts, planted)?;
    judge(&machine, &counts, asked.reason.as_deref())
}

/// Holds 5 % more work against what was just counted, by the very means of the gate.
fn show_that_it_can_fail(
    machine: &Machine,
    counts: &BTreeMap<String, u64>,
    planted: u64,
) -> Result<()> {
    let now = Baseline::default().renewed(machine, counts, "counted just now")?;
    let mut more = counts.clone();
    more.insert(PLANTED_IN.to_owned(), planted);
    let judged = now.judge(&more);
    let caught: Vec<_> = judged.iter().filter(|judged| judged.verdict != Verdict::Kept).collect();
    ensure!(
        matches!(&caught[..], [one] if one.path == PLANTED_IN && one.verdict == Verdict::Risen),
        "expected the gate to catch 5 % more work in {PLANTED_IN} and nothing else, came {caught:?}"
    );
    println!("planted 5 % more work is caught: {}", caught[0].line().trim());
    Ok(())
}

fn judge(machine: &Machine, counts: &BTreeMap<String, u64>, reason: Option<&str>) -> Result<()> {
    let text = match std::fs::read_to_string(BASELINE) {
        // The first counts ever; a gate without its file must not pass.
        Err(_) if reason.is_some() => String::new(),
        text => text.with_context(|| format!("{BASELINE}, which {WRITE} makes"))?,
    };
    let baseline = Baseline::parse(&text).context(BASELINE)?;
    let others = baseline.other_machine(machine);
    let mut judged = baseline.judge(counts);
    println!("{:<34} {:>10} {:>9}", "path", "a call", "baseline");
    judged.iter().for_each(|judged| println!("{}", judged.line()));
    if let Some(reason) = reason {
        let renewed = baseline.renewed(machine, counts, reason)?;
        let moved =
            renewed.paths.iter().filter(|(path, new)| baseline.paths.get(*path) != Some(new));
        println!("{} of {} paths are written to {}", moved.count(), counts.len(), BASELINE);
        return Ok(std::fs::write(BASELINE, renewed.text())?);
    }
    if !others.is_empty() {
        let rule = "!".repeat(100);
        println!(
            "{rule}\nNOTHING WAS COMPARED: these counts are of another machine than the baseline's\n  {}",
            others.join("\n  ")
        );
        println!(
            "the paths did run; to compare, use the baseline's versions or count anew with them:\n  {}\n{rule}",
            WRITE
        );
        // Which paths there are doesn't depend on the machine.
        judged.retain(|judged| matches!(judged.verdict, Verdict::New | Verdict::Gone));
    }
    match complaint(&judged) {
        None => Ok(()),
        Some(complaint) => bail!("{complaint}"),
    }
}

struct Asked {
    reason: Option<String>,
    keep: Option<PathBuf>,
    paths: Vec<String>,
}

impl Asked {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut asked = Self { reason: None, keep: None, paths: Vec::new() };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--write" => {
                    let reason = words.next().filter(|reason| !reason.trim().is_empty());
                    asked.reason = Some(reason.context("expected a reason after --write")?);
                }
                "--keep" => {
                    let folder = words.next().context("expected a folder after --keep")?;
                    asked.keep = Some(folder.into());
                }
                path if paths::names().any(|known| known == path) => {
                    asked.paths.push(path.to_owned());
                }
                came => {
                    let known: Vec<_> = paths::names().collect();
                    bail!("expected --write, --keep or one of {}, came {came}", known.join(", "));
                }
            }
        }
        ensure!(
            asked.keep.is_some() != asked.paths.is_empty(),
            "expected --keep FOLDER together with paths: the gate judges all of them"
        );
        Ok(asked)
    }
}

/// What is counted: Callgrind collects while this function runs. Its name is the marker.
#[inline(never)]
fn counted_piece(work: &mut dyn FnMut() -> Result<()>, calls: u64) -> Result<()> {
    for _ in 0..calls {
        work()?;
    }
    Ok(())
}

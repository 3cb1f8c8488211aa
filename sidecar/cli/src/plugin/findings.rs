//! What an examination found, as a person reads it; not the examination, which is the engine's.

use std::fmt::Write;

use skewless_catalog::InstancePolicy;
use skewless_engine::Plugin;
use skewless_engine::certify::{self, CertifyError, Fault, Findings, Property, Request};

use crate::exit::{Failure, Outcome};
use crate::interrupt;
use crate::output::{complain, say};
use crate::progress::Bar;
use crate::show;

/// Threads that call at once: enough to get in each other's way on any machine, few enough for a small one.
const THREADS: usize = 4;
/// Rows of a call that are shown; the certificate has all.
const ROWS_SHOWN: usize = 6;
/// Calls that are shown, the last ones; the certificate has more.
const CALLS_SHOWN: usize = 6;

/// Examines with a bar for whoever watches; Ctrl-C ends it.
pub(super) fn examine(
    plugin: &Plugin,
    seed: u64,
    cases: u32,
    given: (usize, &[skewless_batch::Column]),
) -> Outcome<Findings> {
    let cancel = interrupt::flag()?;
    let bar = Bar::new();
    let request = Request { seed, cases, threads: THREADS, given, stop: cancel.shared() };
    let found = certify::examine(plugin, &request, &mut |done| {
        bar.show("examining", u64::from(done), u64::from(cases));
    });
    bar.clear();
    found.map_err(|error| match error {
        CertifyError::Stopped => Failure::Interrupted,
        CertifyError::Host(_) | CertifyError::Thread(_) => Failure::new(
            error,
            "try again when the machine has room, or raise engine.instances_max",
        ),
        CertifyError::Given { .. } => error.into(),
    })
}

/// A line for each of these properties, then what breaks them.
pub(super) fn print(findings: &Findings, shown: &[Property]) -> Outcome {
    for check in findings.checks.iter().filter(|check| shown.contains(&check.property)) {
        let result = match (&check.fault, check.finished) {
            (Some(_), _) => "FAILED",
            (None, true) => "pass",
            (None, false) => "not finished",
        };
        let what = match check.property {
            Property::Imports => String::new(),
            Property::Limits | Property::Answers => show::count(check.runs, "row", "rows"),
            _ => show::count(check.runs, "run", "runs"),
        };
        let line = format!("{:<17}{result:<14}{what}", check.property.word());
        say!("{}", line.trim_end())?;
    }
    if let Some((row, message)) = &findings.first_broke {
        complain!(
            "note: {} broke alone, which is allowed but dear and hard to read for whoever asks: better to return an \
             error. The first was {row}: {message}",
            show::count(findings.rows_broke, "row", "rows")
        );
    }
    match smallest(findings) {
        Some((property, fault)) => say!("\n{}", text(property, fault)),
        None => Ok(()),
    }
}

/// How many properties are broken, in words; empty if none is.
pub(super) fn broken(findings: &Findings) -> String {
    let words: Vec<&str> = findings.faults().map(|(property, _)| property.word()).collect();
    words.join(", ")
}

/// What to do about the breach that is shown.
pub(super) fn next(findings: &Findings) -> &'static str {
    match smallest(findings) {
        Some((Property::Limits, _)) => {
            "do less for such a row, or refuse it with an error. If it needs as much, raise the setting that is named above: here \
             with --set NAME=NUMBER, and in the sidecar's configuration; for a certificate only engine.memory_bytes_max may be \
             above its default"
        }
        Some((Property::Answers, _)) => {
            "build the plugin with the SDK, or see sdk/wit/CORE.md for what an answer must be"
        }
        _ => {
            "make each answer depend on its own row alone: no `static`, no row before or after, nothing left in memory; \
             the calls above show it again"
        }
    }
}

/// The fault that takes the least reading.
fn smallest(findings: &Findings) -> Option<(Property, &Fault)> {
    let size = |fault: &Fault| {
        let rows: usize = fault.calls.iter().map(Vec::len).sum();
        (fault.once_only, fault.calls_before + rows, fault.calls_before + fault.calls.len())
    };
    findings.faults().min_by_key(|(_, fault)| size(fault))
}

fn text(property: Property, fault: &Fault) -> String {
    let mut text = format!("{}: {}\n", property.word(), fault.what);
    let instance = match fault.policy {
        InstancePolicy::Reused => "one instance, reused",
        InstancePolicy::Reset => "one instance, reset between the calls",
        InstancePolicy::Fresh => "a new instance for each call",
    };
    // Writing to a String can't fail.
    let mut line = |words: std::fmt::Arguments<'_>| _ = writeln!(text, "{words}");
    if fault.once_only {
        line(format_args!("  (it came once; the same calls, made again, gave what was expected)"));
    }
    line(format_args!("  {instance}:"));
    let last = fault.calls.len().saturating_sub(1);
    let hidden = fault.calls.len().saturating_sub(CALLS_SHOWN);
    let before = fault.calls_before;
    if before + hidden > 0 {
        let calls = show::count((before + hidden) as u64, "call", "calls");
        line(format_args!("  first {calls} that aren't shown, then"));
    }
    for (number, call) in fault.calls.iter().enumerate().skip(hidden) {
        // Of the last call the row in question must be among those shown.
        let first = if number == last { fault.row.saturating_sub(ROWS_SHOWN - 1) } else { 0 };
        let rows = call.len() as u64;
        line(format_args!(
            "  call {} with {}",
            before + number + 1,
            show::count(rows, "row", "rows")
        ));
        for (at, row) in call.iter().enumerate().skip(first).take(ROWS_SHOWN) {
            let mark = if number == last && at == fault.row { ">" } else { " " };
            line(format_args!("  {mark} {row}"));
        }
        let hidden = call.len().saturating_sub(ROWS_SHOWN);
        if hidden > 0 {
            line(format_args!("    and {hidden} more"));
        }
    }
    line(format_args!("  expected {}", fault.expected));
    line(format_args!("  came     {}", fault.came));
    text.trim_end().to_owned()
}

//! What a request may cost in instructions: the committed baseline, and the verdict on a count; not the
//! counting, which is in `count/`.
//!
//! The baseline is a ratchet: a path may differ from it by [`TOLERANCE`], up or down. Whoever makes a path
//! dearer writes the new count and why into the file, in the same commit; whoever makes it cheaper writes
//! the new count too, or the gain could be lost again unseen. Small rises can't add up, as a count within
//! the tolerance leaves the file as it is.
//!
//! Counts are of one compiler, C library, RocksDB build and processor as Valgrind shows it ([`Machine`]);
//! with others nothing is compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, anyhow, ensure};
use toml::de::{DeTable, DeValue};

/// By which part a count may differ from its baseline: enough for hash tables that come to lie differently,
/// too little for a copy or an allocation a feature.
pub const TOLERANCE: f64 = 0.03;

/// The committed file.
pub const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.toml");

/// The command that writes new counts.
pub const WRITE: &str = "./dev instructions --write \"why\"";

/// What counts depend on beside our sources, by name.
pub type Machine = BTreeMap<String, String>;

/// The committed counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Baseline {
    /// What they were made with.
    pub machine: Machine,
    /// By path.
    pub paths: BTreeMap<String, Entry>,
}

/// One path's count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Instructions of one call.
    pub instructions: u64,
    /// Why it is what it is; never empty.
    pub reason: String,
}

/// What is to be said of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Within the tolerance.
    Kept,
    /// Dearer than it may be.
    Risen,
    /// Cheaper than the baseline says.
    Fallen,
    /// Not in the baseline.
    New,
    /// In the baseline, but there is no such path.
    Gone,
}

/// A verdict and the numbers behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// The path.
    pub path: String,
    /// What the baseline says.
    pub before: Option<u64>,
    /// What was counted.
    pub now: Option<u64>,
    /// Whether that is well.
    pub verdict: Verdict,
}

impl Baseline {
    /// Reads the file; an entry without a reason is refused.
    pub fn parse(text: &str) -> Result<Self> {
        let table = DeTable::parse(text).map_err(|error| anyhow!("{error}"))?;
        let mut baseline = Self::default();
        for (name, value) in table.get_ref() {
            let table = value.get_ref().as_table();
            let table = table.with_context(|| format!("expected a table, came {name}"))?;
            match name.get_ref().as_ref() {
                "machine" => {
                    for (name, value) in table {
                        let value = value.get_ref().as_str().context("expected strings")?;
                        baseline.machine.insert(name.get_ref().to_string(), value.to_owned());
                    }
                }
                "paths" => {
                    for (path, value) in table {
                        let path = path.get_ref().to_string();
                        let entry = Entry::parse(value.get_ref());
                        let entry = entry.with_context(|| format!("path {path}"))?;
                        baseline.paths.insert(path, entry);
                    }
                }
                came => return Err(anyhow!("expected machine and paths, came {came}")),
            }
        }
        Ok(baseline)
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "# Instructions of one call of each named path; what they are is in count/paths.rs.\n\
             # Checked by `./dev instructions`, which CI runs; rewritten by `{WRITE}`.\n\n[machine]\n"
        );
        for (name, value) in &self.machine {
            let _ = writeln!(text, "{name} = {}", quoted(value));
        }
        for (path, entry) in &self.paths {
            let _ = write!(
                text,
                "\n[paths.{}]\ninstructions = {}\nreason = {}\n",
                quoted(path),
                entry.instructions,
                quoted(&entry.reason)
            );
        }
        text
    }

    /// What in `machine` differs from what the counts were made with; empty if they can be compared.
    #[must_use]
    pub fn other_machine(&self, machine: &Machine) -> Vec<String> {
        let names: std::collections::BTreeSet<_> =
            self.machine.keys().chain(machine.keys()).collect();
        let of = |machine: &Machine, name: &str| {
            machine.get(name).cloned().unwrap_or_else(|| "nothing".to_owned())
        };
        names
            .into_iter()
            .map(|name| (name, of(&self.machine, name), of(machine, name)))
            .filter(|(_, before, now)| before != now)
            .map(|(name, before, now)| format!("{name}: the baseline has {before}, this is {now}"))
            .collect()
    }

    /// A verdict on every path, counted or in the baseline.
    #[must_use]
    pub fn judge(&self, counts: &BTreeMap<String, u64>) -> Vec<Judged> {
        let names: std::collections::BTreeSet<_> = self.paths.keys().chain(counts.keys()).collect();
        names
            .into_iter()
            .map(|path| {
                let before = self.paths.get(path).map(|entry| entry.instructions);
                let now = counts.get(path).copied();
                Judged { path: path.clone(), before, now, verdict: verdict(before, now) }
            })
            .collect()
    }

    /// The baseline with what has moved or is new counted anew, for this reason; what has not moved stays. Of
    /// another machine everything is new.
    pub fn renewed(
        &self,
        machine: &Machine,
        counts: &BTreeMap<String, u64>,
        reason: &str,
    ) -> Result<Self> {
        ensure!(!reason.trim().is_empty(), "expected a reason, came none: {WRITE}");
        let same = self.other_machine(machine).is_empty();
        let mut new = Self { machine: machine.clone(), paths: BTreeMap::new() };
        for (path, &instructions) in counts {
            let before = self.paths.get(path).filter(|_| same);
            let kept = before.filter(|before| {
                verdict(Some(before.instructions), Some(instructions)) == Verdict::Kept
            });
            let entry = Entry { instructions, reason: reason.trim().to_owned() };
            new.paths.insert(path.clone(), kept.cloned().unwrap_or(entry));
        }
        Ok(new)
    }
}

impl Entry {
    fn parse(value: &DeValue<'_>) -> Result<Self> {
        let table = value.as_table().context("expected a table")?;
        let field = |name: &str| {
            let value = table.get(name).map(|value| value.get_ref());
            value.with_context(|| format!("expected `{name}`, came none"))
        };
        let count = field("instructions")?.as_integer().context("expected a number")?;
        let instructions = count.as_str().replace('_', "").parse()?;
        let reason = field("reason")?.as_str().context("expected a reason")?.trim().to_owned();
        ensure!(!reason.is_empty(), "expected a reason for its count, came an empty one");
        Ok(Self { instructions, reason })
    }
}

impl Judged {
    /// One line for a person.
    #[must_use]
    pub fn line(&self) -> String {
        let now = self.now.map_or_else(|| "-".to_owned(), |now| now.to_string());
        let change = match (self.before, self.now) {
            (Some(before), Some(now)) => {
                format!("{:+.2} %", (now as f64 / before as f64 - 1.0) * 100.0)
            }
            _ => String::new(),
        };
        let said = match self.verdict {
            Verdict::Kept => "",
            Verdict::Risen => "  RISEN",
            Verdict::Fallen => "  FALLEN",
            Verdict::New => "  NEW",
            Verdict::Gone => "  GONE",
        };
        format!("{:<34} {now:>10} {change:>9}{said}", self.path)
    }
}

/// What to do about the verdicts; `None` if all is well.
#[must_use]
pub fn complaint(judged: &[Judged]) -> Option<String> {
    let paths = |verdict| {
        let of = judged.iter().filter(|judged| judged.verdict == verdict);
        of.map(|judged| judged.path.as_str()).collect::<Vec<_>>().join(", ")
    };
    let percent = TOLERANCE * 100.0;
    let mut text = String::new();
    for (verdict, what) in [
        (Verdict::Risen, format!("cost more than {percent} % more instructions than the baseline")),
        (
            Verdict::Fallen,
            format!(
                "cost more than {percent} % less: tighten the baseline, or the gain can be lost unseen"
            ),
        ),
        (Verdict::New, "are not in the baseline".to_owned()),
        (Verdict::Gone, "are in the baseline and exist no more".to_owned()),
    ] {
        let paths = paths(verdict);
        if !paths.is_empty() {
            let _ = writeln!(text, "{paths}: {what}");
        }
    }
    if text.is_empty() {
        return None;
    }
    let _ = write!(
        text,
        "if that is meant, commit the new counts with their reason in the same commit: {WRITE}"
    );
    Some(text)
}

fn verdict(before: Option<u64>, now: Option<u64>) -> Verdict {
    match (before, now) {
        (None, _) => Verdict::New,
        (_, None) => Verdict::Gone,
        (Some(before), Some(now)) => {
            let (before, now) = (before as f64, now as f64);
            if now > before * (1.0 + TOLERANCE) {
                Verdict::Risen
            } else if now < before * (1.0 - TOLERANCE) {
                Verdict::Fallen
            } else {
                Verdict::Kept
            }
        }
    }
}

/// Instructions that a profile of Callgrind holds.
pub fn total(profile: &str) -> Result<u64> {
    let line = |name: &str| profile.lines().rev().find_map(|line| line.strip_prefix(name));
    let total = line("totals:").or_else(|| line("summary:"));
    let total = total.context("expected a line `totals:` of Callgrind, came none")?.trim();
    let total: u64 = total.parse().with_context(|| format!("expected a number, came {total}"))?;
    ensure!(total > 0, "expected instructions, Callgrind counted none: was the marker renamed?");
    Ok(total)
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char.is_control() => quoted.push(' '),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;

//! Tables, plots and histograms as files, and the generated sections of `docs/PERFORMANCE.md`, one a part; not
//! what the numbers mean, which is written by hand around them.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use skewless_tests::plugins::root;

use crate::hgrm;
use crate::plot::{Plot, svg};
use crate::rounds::Pair;

/// The folder of plots and histograms, beside the page.
const FOLDER: &str = "performance";

/// What one part of the bench measured.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) tables: Vec<Table>,
    /// By the name of their file, without its end.
    pub(crate) plots: Vec<(String, Plot)>,
    /// Nanoseconds, by the name of their file, without its end.
    pub(crate) histograms: Vec<(String, Histogram<u64>)>,
}

impl From<Vec<Table>> for Part {
    fn from(tables: Vec<Table>) -> Self {
        Self { tables, ..Self::default() }
    }
}

/// Comparisons of one kind.
pub(crate) struct Table {
    pub(crate) title: &'static str,
    /// What the floor is and how it was measured.
    pub(crate) method: String,
    /// Heads of the columns of floor and ours.
    pub(crate) heads: [&'static str; 2],
    /// Whether our figures are shown over the floor's; else by themselves.
    pub(crate) ratios: bool,
    pub(crate) lines: Vec<Line>,
}

/// One comparison.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) pair: Pair,
    pub(crate) goal: Option<Goal>,
}

/// What we want to be true of a line.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// Of the ratio.
    RatioAtMost(f64),
    /// Of the ratio.
    RatioAtLeast(f64),
    /// Of our own figure.
    AtMost(f64),
}

impl Line {
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, pair: Pair) -> Self {
        Self { what: what.into(), unit, pair, goal: None }
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    fn row(&self, as_ratio: bool) -> String {
        let (floor, ours) = (Spread::of(&self.pair.floor), Spread::of(&self.pair.ours));
        let ratios = Spread::of(&self.pair.ratios());
        let unit = self.unit;
        let median = |spread: Option<Spread>| {
            let figure = spread.map(|spread| format!("{} {unit}", short(spread.median)));
            figure.unwrap_or_default().trim_end().to_owned()
        };
        let shown = if as_ratio { ratios } else { ours };
        let shown =
            shown.map_or_else(String::new, |spread| spread.shown(if as_ratio { "x" } else { "" }));
        let (bound, met) = match self.goal {
            None => (String::new(), None),
            Some(Goal::RatioAtMost(bound)) => {
                (format!("at most {bound}x"), ratios.map(|spread| spread.median <= bound))
            }
            Some(Goal::RatioAtLeast(bound)) => {
                (format!("at least {bound}x"), ratios.map(|spread| spread.median >= bound))
            }
            Some(Goal::AtMost(bound)) => {
                (format!("at most {bound} {unit}"), ours.map(|spread| spread.median <= bound))
            }
        };
        let met = met.map_or("", |met| if met { ": met" } else { ": **missed**" });
        let ours = if as_ratio { format!(" {} |", median(ours)) } else { String::new() };
        let unit = if as_ratio || unit.is_empty() { String::new() } else { format!(" {unit}") };
        format!("| {} | {} |{ours} {shown}{unit} | {bound}{met} |", self.what, median(floor))
    }
}

/// Median and quartiles.
#[derive(Clone, Copy)]
struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    /// Of no rounds there is none.
    fn of(rounds: &[f64]) -> Option<Self> {
        let mut sorted = rounds.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |part: f64| sorted[(last as f64 * part).round() as usize];
        Some(Self { low: at(0.25), median: at(0.5), high: at(0.75) })
    }

    fn shown(self, sign: &str) -> String {
        let Self { low, median, high } = self;
        if low == high {
            return format!("**{}{sign}**", short(median));
        }
        format!("**{}{sign}** ({} to {})", short(median), short(low), short(high))
    }
}

/// Three digits, as more would be noise; whole numbers above.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 10_000.0 => format!("{:.1}k", value / 1_000.0),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A part as a section: tables, pictures, raw histograms, and what it was measured under.
pub(crate) fn markdown(conditions: &[(&'static str, String)], part: &Part) -> String {
    let mut text = String::new();
    for table in &part.tables {
        let [floor, ours] = table.heads;
        let _ = write!(text, "## {}\n\n{}\n\n", table.title, table.method);
        if table.ratios {
            let _ = writeln!(text, "| | {floor} | {ours} | ratio (quartiles) | goal |");
            let _ = writeln!(text, "|---|---|---|---|---|");
        } else {
            let _ = writeln!(text, "| | {floor} | {ours} (quartiles) | goal |");
            let _ = writeln!(text, "|---|---|---|---|");
        }
        for line in &table.lines {
            let _ = writeln!(text, "{}", line.row(table.ratios));
        }
        text.push('\n');
    }
    for (name, plot) in &part.plots {
        let _ = writeln!(text, "![{}]({FOLDER}/{name}.svg)\n", plot.title);
    }
    if !part.histograms.is_empty() {
        let names = part.histograms.iter().map(|(name, histogram)| {
            format!("[{name}]({FOLDER}/{name}.hgrm) ({} calls)", histogram.len())
        });
        let names: Vec<String> = names.collect();
        let _ = writeln!(text, "Raw histograms, milliseconds: {}.\n", names.join(", "));
    }
    let conditions = conditions.iter().map(|(name, value)| format!("{name}: {value}"));
    let conditions: Vec<String> = conditions.collect();
    let _ = writeln!(text, "Conditions of this part: {}.", conditions.join("; "));
    text
}

/// Replaces one part's section of the page, and its files.
pub(crate) fn write(name: &str, part: &Part, section: &str) -> Result<()> {
    let folder = root().join("docs").join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    for (file, plot) in &part.plots {
        std::fs::write(folder.join(format!("{file}.svg")), svg(plot))?;
    }
    for (file, histogram) in &part.histograms {
        let mut bytes = Vec::new();
        hgrm::table(histogram, &mut bytes)?;
        std::fs::write(folder.join(format!("{file}.hgrm")), bytes)?;
    }
    let path = root().join("docs/PERFORMANCE.md");
    let page = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let (before, rest) = page.split_once(&begin).with_context(|| format!("expected {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("expected {end}"))?;
    std::fs::write(&path, format!("{before}{begin}\n\n{section}\n{end}{after}"))?;
    eprintln!("wrote {name} to {}", path.display());
    Ok(())
}

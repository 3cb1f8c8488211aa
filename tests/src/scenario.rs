//! A scenario file: a story small enough to read, with the answer that each question must get. Not for stories
//! made up from a seed (`story.rs`), whose answers nobody wrote down.
//!
//! ```text
//! # The title: what this scenario shows.
//! entities: [...]                        definitions as in a feature repo, with exactly one service
//! ---
//! day 2013-01-01                         the day of the times that have none
//! row rides 10:00:00 known=10:00:05 driver_id=1 trips=5 [deleted]
//! ask 10:05:00 driver_id=1 -> rides.trips=5
//! ask 11:05:00 driver_id=1 -> rides.trips=OUTSIDE_MAX_AGE
//! ```
//!
//! A file is read top to bottom and time never goes back: rows stand in order of arrival, which is the order of their
//! known times (the event time if none is given), and a row below a question becomes known after it. A feature that a
//! row leaves out is null. A question names every key and request column and expects every feature of the service: a
//! value, which means PRESENT, or one of the other statuses. [`crate::literal`] says how values are written. A
//! plugin is one of [`crate::plugins`]. A view's source is what a story's is:
//! `{path: data/<view>/*.parquet, event_timestamp: happened, created_timestamp: arrived, deleted: gone}`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::civil::{Date, DateTime, Time};
use skewless_batch::{Column, Value};
use skewless_catalog::Status;

use crate::literal::{micros, push, words};
use crate::offline;
use crate::parquet_files::Written;
use crate::story::{Asks, History, PluginFile, Story};

/// Statuses that a file can expect in the place of a value.
const WITHOUT_VALUE: [Status; 4] =
    [Status::NullValue, Status::NotFound, Status::OutsideMaxAge, Status::TransformFailed];

/// A story and its answers.
pub struct Scenario {
    /// What the scenario shows, in the file's words.
    pub title: String,
    /// What happened and what was asked.
    pub story: Story,
    /// The answers, a feature at a time, in the service's order.
    pub expected: Vec<Written>,
    /// The line of each question, from 1.
    pub lines: Vec<usize>,
}

impl Scenario {
    /// Reads a file's text; every error begins with `file:line`.
    pub fn parse(file: &str, text: &str, plugins: &[PluginFile]) -> Result<Scenario> {
        let title = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let title = title.with_context(|| format!("{file}:1: expected a title: `# ...`"))?;
        let at = text.lines().position(|line| line == "---").map(|at| at + 1);
        let at = at.with_context(|| format!("{file}:1: expected a line `---` somewhere"))?;
        let definitions: Vec<&str> = text.lines().take(at - 1).collect();
        let mut reading = Reading::begin(file, definitions.join("\n") + "\n", plugins)?;
        for (number, line) in text.lines().enumerate().skip(at) {
            let number = number + 1;
            reading.line(number, line).with_context(|| format!("{file}:{number}"))?;
        }
        let Reading { story, expected, lines, .. } = reading;
        ensure!(!lines.is_empty(), "{file}:{at}: expected a line `ask` below it, came none");
        Ok(Scenario { title: title.trim_end_matches('.').to_owned(), story, expected, lines })
    }

    /// Every answer that isn't the expected one bit for bit, in words that begin with `file:line`.
    pub fn differences(&self, who: &str, told: &[Written]) -> Result<Vec<String>> {
        ensure!(told.len() == self.expected.len(), "{who} gave {} features", told.len());
        let mut differences = Vec::new();
        for (expected, told) in self.expected.iter().zip(told) {
            let (name, rows) = (&expected.name, self.lines.len());
            ensure!(*name == told.name, "{who} gave {} in the place of {name}", told.name);
            let lengths = [told.column.len(), told.statuses.len()];
            ensure!(lengths == [rows; 2], "{who} gave {lengths:?} answers to {rows} questions");
            for (row, line) in self.lines.iter().enumerate() {
                if bytes(expected, row) != bytes(told, row) {
                    differences.push(format!(
                        "{}:{line}: {name}: expected {}, {who} said {}",
                        self.story.name,
                        shown(expected, row),
                        shown(told, row)
                    ));
                }
            }
        }
        Ok(differences)
    }
}

fn bytes(of: &Written, row: usize) -> Vec<u8> {
    let mut bytes = vec![of.statuses[row]];
    of.column.value(row).canonical_bytes(&mut bytes);
    bytes
}

fn shown(of: &Written, row: usize) -> String {
    let status = Status::from_u8(of.statuses[row]).map_or("no status", Status::name);
    match of.column.value(row) {
        Value::Null => status.to_owned(),
        Value::Float64(value) => format!("{value:?} (bits:{:#x}) {status}", value.to_bits()),
        Value::Float32(value) => format!("{value:?} (bits:{:#x}) {status}", value.to_bits()),
        value => format!("{value:?} {status}"),
    }
}

/// What has been read so far.
struct Reading {
    story: Story,
    expected: Vec<Written>,
    lines: Vec<usize>,
    day: Option<Date>,
    row_us: i64,
    ask_us: i64,
}

impl Reading {
    /// The definitions are read; views and questions are empty yet.
    fn begin(file: &str, definitions: String, plugins: &[PluginFile]) -> Result<Reading> {
        let named = |plugin: &&PluginFile| definitions.contains(&format!("/{}", plugin.file));
        let mut story = Story {
            name: file.to_owned(),
            plugins: plugins.iter().filter(named).cloned().collect(),
            definitions,
            histories: Vec::new(),
            asks: Asks::default(),
            service: String::new(),
        };
        let catalog = offline::catalog(&story)?;
        let [service] = catalog.services.as_slice() else {
            bail!("{file}:1: expected one service, came {}", catalog.services.len());
        };
        story.service.clone_from(&service.name);
        story.histories.extend(catalog.views.iter().map(|view| {
            History {
                view: view.name.clone(),
                keys: view.keys.iter().map(|key| (key.name.clone(), Column::new(key.ty))).collect(),
                event_us: Vec::new(),
                known_us: Vec::new(),
                deleted: Vec::new(),
                features: view
                    .features
                    .iter()
                    .map(|field| (field.name.clone(), Column::new(field.ty)))
                    .collect(),
            }
        }));
        let plan = &service.plan;
        story.asks.keys.extend(plan.keys.iter().map(|k| (k.name.clone(), Column::new(k.ty))));
        story.asks.request.extend(plan.request.iter().map(|r| (r.name.clone(), Column::new(r.ty))));
        let expected = offline::outputs(plan).into_iter().map(|(name, ty)| Written {
            name,
            column: Column::new(ty),
            statuses: Vec::new(),
        });
        let (row_us, ask_us) = (i64::MIN, i64::MIN);
        let expected = expected.collect();
        Ok(Reading { story, expected, lines: Vec::new(), day: None, row_us, ask_us })
    }

    fn line(&mut self, number: usize, line: &str) -> Result<()> {
        match words(line)?.as_slice() {
            [] => Ok(()),
            ["day", day] => {
                self.day =
                    Some(day.parse().with_context(|| format!("expected a day, came {day}"))?);
                Ok(())
            }
            ["row", view, happened, rest @ ..] => self.row(view, happened, rest),
            ["ask", at, rest @ ..] => {
                self.ask(at, rest)?;
                self.lines.push(number);
                Ok(())
            }
            [other, ..] => {
                bail!("expected `day`, `row` or `ask` with what belongs to it, came `{other}`")
            }
        }
    }

    fn row(&mut self, view: &str, happened: &str, rest: &[&str]) -> Result<()> {
        let event_us = self.time(happened)?;
        let (deleted, rest) = match rest {
            [rest @ .., "[deleted]"] => (true, rest),
            rest => (false, rest),
        };
        let mut cells = cells(rest)?;
        let known_us = cells.remove("known").map_or(Ok(event_us), |known| self.time(known))?;
        ensure!(known_us >= self.row_us, "expected rows in the order in which they became known");
        ensure!(
            known_us > self.ask_us,
            "expected a row that becomes known after the question above it"
        );
        self.row_us = known_us;
        let history = self.story.histories.iter_mut().find(|history| history.view == view);
        let history = history.ok_or_else(|| anyhow!("expected a declared view, came `{view}`"))?;
        for (name, column) in &mut history.keys {
            let cell = cells.remove(name.as_str());
            push(column, cell.with_context(|| format!("expected key `{name}`, came none"))?)?;
        }
        for (name, column) in &mut history.features {
            push(column, cells.remove(name.as_str()).unwrap_or("null")).context(name.clone())?;
        }
        history.event_us.push(event_us);
        history.known_us.push(known_us);
        history.deleted.push(deleted);
        nothing_left(&cells)
    }

    fn ask(&mut self, at: &str, rest: &[&str]) -> Result<()> {
        let t_us = self.time(at)?;
        ensure!(
            t_us >= self.row_us.max(self.ask_us),
            "expected a time that is not before the line above"
        );
        self.ask_us = t_us;
        let arrow = rest.iter().position(|word| *word == "->");
        let arrow = arrow.context("expected `->` and the answer, came none")?;
        let mut given = cells(&rest[..arrow])?;
        let asks = &mut self.story.asks;
        for (name, column) in asks.keys.iter_mut().chain(&mut asks.request) {
            let cell = given.remove(name.as_str());
            push(column, cell.with_context(|| format!("expected `{name}`, came none"))?)?;
        }
        asks.t_us.push(t_us);
        nothing_left(&given)?;
        let mut answer = cells(&rest[arrow + 1..])?;
        for expected in &mut self.expected {
            let name = expected.name.as_str();
            let cell = answer.remove(name);
            let cell =
                cell.with_context(|| format!("expected an answer for `{name}`, came none"))?;
            let status = WITHOUT_VALUE.into_iter().find(|status| status.name() == cell);
            match status {
                Some(_) => expected.column.push_null(),
                None => push(&mut expected.column, cell).context(expected.name.clone())?,
            }
            ensure!(cell != "null", "expected a value or a status for `{name}`, came null");
            expected.statuses.push(status.unwrap_or(Status::Present) as u8);
        }
        nothing_left(&answer)
    }

    /// A time of the day, or with its day.
    fn time(&self, text: &str) -> Result<i64> {
        let expected = || format!("expected a time, came {text}");
        if text.contains('T') {
            return micros(text.parse::<DateTime>().with_context(expected)?);
        }
        let time: Time = text.parse().with_context(expected)?;
        let day =
            self.day.with_context(|| format!("expected a line `day` above the time {text}"))?;
        micros(day.to_datetime(time))
    }
}

/// `name=value` words by name.
fn cells<'a>(words: &[&'a str]) -> Result<BTreeMap<&'a str, &'a str>> {
    let mut cells = BTreeMap::new();
    for word in words {
        let cell = word.split_once('=');
        let (name, value) = cell.with_context(|| format!("expected name=value, came `{word}`"))?;
        ensure!(cells.insert(name, value).is_none(), "`{name}` came twice");
    }
    Ok(cells)
}

fn nothing_left(cells: &BTreeMap<&str, &str>) -> Result<()> {
    match cells.keys().next() {
        Some(name) => bail!("`{name}` is not declared here"),
        None => Ok(()),
    }
}

//! Whether a plugin is what its contract says: within its limits, and a function of each row alone; looked for with
//! rows made for it, so that what isn't found may still be there.
//!
//! One measure serves all: what a row is alone in a new instance. Then the same rows are given again, in other orders,
//! cut otherwise, into instances that have answered before, from several threads, and every answer is compared with
//! that measure by its canonical bytes. A plugin that counts its calls, looks at the first row of a batch, leaks a row
//! through a buffer or reads what an earlier call left differs somewhere. What differs is made small ([`Fault`]).
//!
//! Rows are a function of the seed, and no clock is read, so the same plugin gives the same findings again; only
//! whether a row is in time depends on the machine, and a late row is tried several times.
//!
//! Limits: [`CASES_MAX`] cases, at most 10,000 rows and 4 MiB each; [`THREADS_MAX`] threads. The caller can end it.

mod likened;
mod no_rows;
mod orders;
mod random;
mod script;
mod shrink;
mod values;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::Value as Json;
use skewless_batch::Column;
use skewless_catalog::InstancePolicy;

use crate::error::CallError;
use crate::golden;
use crate::plugin::Plugin;
use crate::worker::PluginOutput;
use orders::{all, pieces, sample, scripts};
use random::Random;
use script::{Alone, Difference, Rows, Script, Subject, is_limit};

pub use values::{Values, columns};

/// Fewest cases that show every size of batch, and so the fewest that a certificate should rest on.
pub const CASES_MIN: u32 = 16;
/// Most cases of one examination. A small plugin takes about 10 ms for one.
pub const CASES_MAX: u32 = 100_000;
/// One row in so many of those that might must give a value.
pub const ANSWERED_ONE_IN: u64 = 100;
/// Most threads; each has one instance.
pub const THREADS_MAX: usize = 64;

const POLICIES: [InstancePolicy; 3] =
    [InstancePolicy::Reused, InstancePolicy::Reset, InstancePolicy::Fresh];
/// Calls of the longest life that an instance is given: one that leaves 16 KiB behind in each fills the 64 MiB that it may
/// have unless configured. They are less than a tenth of the work of the fewest cases, so a slow plugin needs no other
/// bound.
const LONG_CALLS: usize = 4_096;
/// Different rows of those calls. They are small, so that only what is left behind can fill a memory.
const LONG_ROWS_MAX: usize = 8;
/// Bytes of those rows together, roughly.
const LONG_ROWS_BYTES_MAX: usize = 64 << 10;
/// Calls that a fault tells, the last ones. Only the long run has more.
const CALLS_TOLD_MAX: usize = 100;
/// Of so many cases one is of given rows, if there are some.
const GIVEN_CASE_EACH: u32 = 3;
/// Rows of a case that are tried with columns of nulls.
const NULL_ROWS_MAX: usize = 100;
/// Bytes of a value in a fault; what is longer is told by its length.
const SHOWN_BYTES_MAX: usize = 1_024;
/// Stack of an examining thread besides the guest's, in bytes.
const STACK_BYTES: usize = 2 << 20;

/// What is examined, and how thoroughly.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What the rows are made from.
    pub seed: u64,
    /// How many batches of rows are made.
    pub cases: u32,
    /// Threads that call at once; at most [`THREADS_MAX`] are taken.
    pub threads: usize,
    /// Rows that are examined before those that are made, such as golden ones: how many, and a column per input.
    pub given: (usize, &'a [Column]),
    /// Ends it early when it is set.
    pub stop: Arc<AtomicBool>,
}

/// Something the contract says of every plugin.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Property {
    /// It imports nothing.
    Imports,
    /// No row alone takes more than the engine's limits.
    Limits,
    /// What it answers is a batch of its signature.
    Answers,
    /// The same row gives the same answer in two new instances.
    Deterministic,
    /// The same batch gives the same answer when it is given again.
    RepeatedCalls,
    /// An instance that has answered others answers as a new one.
    ReusedInstance,
    /// Rows in another order give the same answers.
    RowOrder,
    /// A batch cut anywhere gives the same answers.
    BatchSplit,
    /// Several threads get the same answers.
    Threads,
    /// Columns of nothing but nulls change no other row, and a null where none may be gives nulls.
    NullColumns,
}

/// What was found of one property.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    /// The property.
    pub property: Property,
    /// How often it was looked for: rows for [`Property::Limits`] and [`Property::Answers`], else runs of calls.
    pub runs: u64,
    /// The first breach, made small.
    pub fault: Option<Fault>,
    /// Whether all cases were tried, or a breach came first that left no use in trying more.
    pub finished: bool,
}

/// Calls that show a breach: made one after the other of one new worker under the policy, the last one answers a row
/// otherwise than was expected.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// What is wrong, in a sentence.
    pub what: String,
    /// How the instance is treated between the calls.
    pub policy: InstancePolicy,
    /// Whether it came once only: made again, the same calls gave what was expected.
    pub once_only: bool,
    /// How many calls of a row each come before those that are told: what takes a thousand calls isn't read call by call.
    pub calls_before: usize,
    /// Rows of each call, as golden rows have their `in`.
    pub calls: Vec<Vec<Json>>,
    /// Which row of the last call, from 0.
    pub row: usize,
    /// What it gives alone in a new instance, as golden rows have it: `{"out": ..}` or `{"error": ..}`.
    pub expected: Json,
    /// What it gave.
    pub came: Json,
}

/// What an examination found.
#[derive(Clone, PartialEq, Debug)]
pub struct Findings {
    /// One per property, in the order of [`Property::ALL`].
    pub checks: Vec<Check>,
    /// Cases that were tried, given rows included.
    pub cases: u32,
    /// Rows in them.
    pub rows: u64,
    /// How many of those might give a value, as no input is null that may not be.
    pub rows_answerable: u64,
    /// How many of those gave one, rather than nothing but nulls or an error.
    pub rows_answered: u64,
    /// Rows that trapped alone or were refused as a batch: answers like others, but dear ones, and hard to read.
    pub rows_broke: u64,
    /// The first of them, as a golden row's `in`, and what the engine said.
    pub first_broke: Option<(Json, String)>,
}

/// Why there are no findings.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertifyError {
    /// It was told to stop.
    #[error("stopped before all cases were tried")]
    Stopped,
    /// The host couldn't make a call.
    #[error(transparent)]
    Host(CallError),
    /// The host couldn't start a thread.
    #[error("expected to start a thread, came: {0}")]
    Thread(String),
    /// Rows were given that are none of the plugin's.
    #[error("expected {expected} columns of given rows, as the plugin has inputs, came {came}")]
    Given {
        /// Inputs of the signature.
        expected: usize,
        /// Columns that came.
        came: usize,
    },
}

impl From<CallError> for CertifyError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Stopped => Self::Stopped,
            error => Self::Host(error),
        }
    }
}

impl Property {
    /// All of them, in the order in which a reader wants them.
    pub const ALL: [Self; 10] = [
        Self::Imports,
        Self::Limits,
        Self::Answers,
        Self::Deterministic,
        Self::RepeatedCalls,
        Self::ReusedInstance,
        Self::RowOrder,
        Self::BatchSplit,
        Self::Threads,
        Self::NullColumns,
    ];

    /// Its name in a certificate.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Imports => "no_imports",
            Self::Limits => "limits",
            Self::Answers => "well_formed",
            Self::Deterministic => "deterministic",
            Self::RepeatedCalls => "repeated_calls",
            Self::ReusedInstance => "reused_instance",
            Self::RowOrder => "row_order",
            Self::BatchSplit => "batch_split",
            Self::Threads => "threads",
            Self::NullColumns => "null_columns",
        }
    }

    /// What is so when it doesn't hold, as far as the calls that show it don't say more.
    fn breach(self) -> &'static str {
        match self {
            Self::Imports => "the plugin imports something",
            Self::Limits => "a row alone takes more than a limit allows",
            Self::Answers => "an answer isn't a batch of the signature",
            Self::Deterministic => "the same row gives two answers in two new instances",
            Self::RepeatedCalls => "the same batch, given again, has another answer",
            Self::ReusedInstance => "a row's answer depends on the calls before it",
            Self::RowOrder => {
                "a row's answer depends on the rows around it: another order changes it"
            }
            Self::BatchSplit => "a row's answer depends on the rows it is in a batch with",
            Self::Threads => "a row's answer is another one when several threads call",
            Self::NullColumns => "a column of nulls changes what a row gives",
        }
    }
}

impl Findings {
    /// Whether every property was looked for to the end, and no breach was found.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.answered_enough()
            && self.checks.iter().all(|check| check.finished && check.fault.is_none())
    }

    /// Whether so many rows gave a value that something can be said of what the plugin gives. Of one that takes texts of
    /// some form, rows must be given.
    #[must_use]
    pub fn answered_enough(&self) -> bool {
        answered_enough(self.rows_answerable, self.rows_answered)
    }

    /// The breaches.
    pub fn faults(&self) -> impl Iterator<Item = (Property, &Fault)> {
        self.checks.iter().filter_map(|check| Some((check.property, check.fault.as_ref()?)))
    }
}

pub(crate) fn answered_enough(answerable: u64, answered: u64) -> bool {
    answered.saturating_mul(ANSWERED_ONE_IN) >= answerable
}

/// Examines a plugin; `progress` is told how many of the cases have been tried. Ends early when there is no use in going
/// on: a row that reaches a limit may take seconds, again and again.
pub fn examine(
    plugin: &Plugin,
    request: &Request<'_>,
    progress: &mut dyn FnMut(u32),
) -> Result<Findings, CertifyError> {
    let subject = Subject { plugin, stop: &request.stop };
    let mut examination = Examination::new(subject, request.threads);
    let fields = &plugin.signature().inputs;
    let (len, given) = request.given;
    let mut given = Rows { len, columns: given.to_vec() };
    if len > 0 {
        if given.columns.len() != fields.len() {
            return Err(CertifyError::Given { expected: fields.len(), came: given.columns.len() });
        }
        given.columns.iter_mut().for_each(Column::canonicalize_nans);
        examination.case(&given, &mut Random::new(request.seed))?;
    }
    let rows_max = plugin.engine().config().rows_max;
    for case in 0..request.cases.min(CASES_MAX) {
        if examination.is_hopeless() {
            break;
        }
        let mut random = Random::of_case(request.seed, case);
        let rows = if given.len > 0 && case % GIVEN_CASE_EACH == GIVEN_CASE_EACH - 1 {
            likened::mixed(&given, values::rows(case, rows_max), &mut random)
        } else {
            values::case(fields, case, rows_max, &mut random)
        };
        examination.case(&likened::neighbours(rows, &mut random), &mut random)?;
        progress(case + 1);
    }
    if !examination.is_hopeless() {
        let (seed, bytes_max) = (request.seed, LONG_ROWS_BYTES_MAX);
        let (len, columns) = columns(fields, LONG_ROWS_MAX, Values::Everyday, seed, bytes_max);
        let rows = Rows { len, columns };
        examination.long(&rows)?;
        return examination.end_with_no_rows(&rows);
    }
    Ok(examination.end())
}

struct Examination<'a> {
    subject: Subject<'a>,
    threads: usize,
    findings: Findings,
}

impl<'a> Examination<'a> {
    fn new(subject: Subject<'a>, threads: usize) -> Self {
        let check = |property| Check { property, runs: 0, fault: None, finished: false };
        let mut findings = Findings {
            checks: Property::ALL.map(check).to_vec(),
            cases: 0,
            rows: 0,
            rows_answerable: 0,
            rows_answered: 0,
            rows_broke: 0,
            first_broke: None,
        };
        // A plugin that imports something isn't loaded at all, so this one doesn't.
        findings.checks[0].runs = 1;
        findings.checks[0].finished = true;
        Self { subject, threads: threads.clamp(1, THREADS_MAX), findings }
    }

    fn end(mut self) -> Findings {
        let hopeless = self.is_hopeless();
        for check in &mut self.findings.checks {
            check.finished |= !hopeless || check.fault.is_some();
        }
        self.findings
    }

    /// Whether rows alone break the contract already: then each further one may cost a deadline, and nothing can be
    /// compared with it.
    fn is_hopeless(&self) -> bool {
        self.findings
            .faults()
            .any(|(property, _)| matches!(property, Property::Limits | Property::Answers))
    }

    fn check(&mut self, property: Property) -> &mut Check {
        self.findings
            .checks
            .iter_mut()
            .find(|check| check.property == property)
            .expect("there is a check of every property")
    }

    /// Everything about one batch of rows.
    fn case(&mut self, rows: &Rows, random: &mut Random) -> Result<(), CertifyError> {
        self.findings.cases += 1;
        self.findings.rows += rows.len as u64;
        let Some(alone) = self.alone(rows)? else { return Ok(()) };
        let (answerable, answered) = self.answers(rows, &alone);
        self.findings.rows_answerable += answerable;
        self.findings.rows_answered += answered;
        self.twice_alone(rows, &alone, random)?;
        for (property, script) in scripts(rows.len, random) {
            self.script(property, &script, rows, &alone)?;
        }
        self.together(rows, &alone, random)?;
        self.nulls(rows, random)
    }

    /// What each row is alone; `None` if one breaks the contract, which is noted.
    fn alone(&mut self, rows: &Rows) -> Result<Option<PluginOutput>, CertifyError> {
        let Alone { output, broke, first_broke, at_fault } = self.subject.alone(rows)?;
        let tried = output.errors.len() + usize::from(at_fault.is_some());
        for property in [Property::Limits, Property::Answers] {
            self.check(property).runs += tried as u64;
        }
        if let Some((row, error)) = at_fault {
            let property = if is_limit(&error) { Property::Limits } else { Property::Answers };
            let expected = Json::from("an answer, or an error of the row");
            let came = serde_json::json!({ "error": error.to_string() });
            let fault = self.fault_of_row(property, rows, row, expected, came);
            self.check(property).fault.get_or_insert(fault);
            return Ok(None);
        }
        self.findings.rows_broke += broke;
        if let Some(error) = first_broke
            && self.findings.first_broke.is_none()
        {
            let message = error.to_string();
            let row = output
                .errors
                .iter()
                .position(|e| e.as_deref() == Some(crate::error::bounded(&message)));
            let row = row.map_or(Json::Null, |row| self.input(rows, row));
            self.findings.first_broke = Some((row, message));
        }
        self.null_rule(rows, &output);
        Ok(Some(output))
    }

    /// A null in an input that can't be null makes all outputs null, and fails nothing.
    fn null_rule(&mut self, rows: &Rows, alone: &PluginOutput) {
        let fields = &self.subject.plugin.signature().inputs;
        let strict: Vec<&Column> = fields
            .iter()
            .zip(&rows.columns)
            .filter(|(field, column)| !field.nullable && column.null_count() > 0)
            .map(|(_, column)| column)
            .collect();
        if strict.is_empty() {
            return;
        }
        let breach = |row: &usize| {
            let null = strict.iter().any(|column| column.is_null(*row));
            let answered = alone.columns.iter().any(|column| !column.is_null(*row));
            null && (answered || alone.errors[*row].is_some())
        };
        let found = (0..rows.len).find(breach);
        self.check(Property::NullColumns).runs += 1;
        if let Some(row) = found {
            let expected = Json::from("nulls, as an input is null that can't be");
            let came = answer(self.subject.plugin, alone, row);
            let fault = self.fault_of_row(Property::NullColumns, rows, row, expected, came);
            self.check(Property::NullColumns).fault.get_or_insert(fault);
        }
    }

    /// How many rows might give a value, and how many of them did.
    fn answers(&self, rows: &Rows, alone: &PluginOutput) -> (u64, u64) {
        let fields = &self.subject.plugin.signature().inputs;
        let null = |row: usize| {
            let mut inputs = fields.iter().zip(&rows.columns);
            inputs.any(|(field, column)| !field.nullable && column.is_null(row))
        };
        let answered = |row: &usize| {
            alone.errors[*row].is_none() && alone.columns.iter().any(|column| !column.is_null(*row))
        };
        let answerable: Vec<usize> = (0..rows.len).filter(|row| !null(*row)).collect();
        let answers = answerable.iter().copied().filter(answered).count();
        (answerable.len() as u64, answers as u64)
    }

    /// Some rows alone in new instances once more.
    fn twice_alone(
        &mut self,
        rows: &Rows,
        alone: &PluginOutput,
        random: &mut Random,
    ) -> Result<(), CertifyError> {
        if self.check(Property::Deterministic).fault.is_some() {
            return Ok(());
        }
        let sample = sample(rows.len, random);
        let again = self.subject.alone(&rows.only(&sample))?;
        self.again(rows, alone, &sample, again);
        Ok(())
    }

    /// Compares what some rows are alone the second time with the first.
    fn again(&mut self, rows: &Rows, alone: &PluginOutput, sample: &[u32], again: Alone) {
        self.check(Property::Deterministic).runs += 1;
        let mut same = script::Same::default();
        let tried = again.output.errors.len();
        let at = (0..tried).find(|at| !same.rows(alone, sample[*at] as usize, &again.output, *at));
        if let Some(at) = at {
            let row = sample[at] as usize;
            let expected = answer(self.subject.plugin, alone, row);
            let came = answer(self.subject.plugin, &again.output, at);
            let fault = self.fault_of_row(Property::Deterministic, rows, row, expected, came);
            self.check(Property::Deterministic).fault = Some(fault);
        } else if let Some((at, error)) = again.at_fault {
            // The first time it broke no limit and told no lie.
            let row = sample[at] as usize;
            let expected = answer(self.subject.plugin, alone, row);
            let came = serde_json::json!({ "error": error.to_string() });
            let fault = self.fault_of_row(Property::Deterministic, rows, row, expected, came);
            self.check(Property::Deterministic).fault = Some(fault);
        }
    }

    /// One script, unless its property has been found broken.
    fn script(
        &mut self,
        property: Property,
        script: &Script,
        rows: &Rows,
        alone: &PluginOutput,
    ) -> Result<(), CertifyError> {
        if self.check(property).fault.is_some() {
            return Ok(());
        }
        self.check(property).runs += 1;
        if let Some(difference) = self.subject.run(script, rows, alone)? {
            self.differs(property, script, rows, alone, &difference)?;
        }
        Ok(())
    }

    /// One instance that answers row after row for long: what each call leaves behind adds up.
    fn long(&mut self, rows: &Rows) -> Result<(), CertifyError> {
        let Some(alone) = self.alone(rows)? else { return Ok(()) };
        // A row that traps would end the instance, and with it what it has gathered.
        let mut lasting = all(rows.len);
        lasting.retain(|row| alone.errors[*row as usize].is_none());
        if lasting.is_empty() {
            lasting = all(rows.len);
        }
        let calls = lasting.iter().cycle().take(LONG_CALLS).map(|row| vec![*row]).collect();
        let script = Script { policy: InstancePolicy::Reused, calls };
        self.script(Property::ReusedInstance, &script, rows, &alone)
    }

    /// The rows from several threads at once, each in an order and in pieces of its own.
    fn together(
        &mut self,
        rows: &Rows,
        alone: &PluginOutput,
        random: &mut Random,
    ) -> Result<(), CertifyError> {
        if self.check(Property::Threads).fault.is_some() {
            return Ok(());
        }
        self.check(Property::Threads).runs += 1;
        let scripts: Vec<Script> = (0..self.threads)
            .map(|thread| {
                let mut order = all(rows.len);
                random.shuffle(&mut order);
                let policy = POLICIES[thread % POLICIES.len()];
                Script { policy, calls: pieces(&order, random) }
            })
            .collect();
        let subject = self.subject;
        // A thread's stack holds the guest's.
        let stack_bytes = STACK_BYTES + subject.plugin.engine().config().stack_bytes_max;
        let found: Vec<Result<Option<Difference>, CertifyError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = scripts
                .iter()
                .map(|script| {
                    let thread = std::thread::Builder::new().stack_size(stack_bytes);
                    thread.spawn_scoped(scope, move || subject.run(script, rows, alone))
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| match thread {
                    Ok(thread) => {
                        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                    }
                    Err(error) => Err(CertifyError::Thread(error.to_string())),
                })
                .collect()
        });
        for (script, found) in scripts.iter().zip(found) {
            if let Some(difference) = found? {
                return self.differs(Property::Threads, script, rows, alone, &difference);
            }
        }
        Ok(())
    }

    /// The rows beside themselves with one column of nulls, and with nothing but nulls.
    fn nulls(&mut self, rows: &Rows, random: &mut Random) -> Result<(), CertifyError> {
        let inputs = rows.columns.len();
        if rows.len == 0 || inputs == 0 || self.is_hopeless() {
            return Ok(());
        }
        let some = rows.only(&all(rows.len.min(NULL_ROWS_MAX)));
        let one = random.below(inputs);
        for nulled in [one..one + 1, 0..inputs] {
            let mut both = Rows { len: some.len * 2, columns: some.columns.clone() };
            for (index, column) in both.columns.iter_mut().enumerate() {
                if nulled.contains(&index) {
                    column.push_nulls(some.len);
                } else {
                    column.append(&some.columns[index].view(), 0..some.len);
                }
            }
            let Some(alone) = self.alone(&both)? else { return Ok(()) };
            let mut mixed = all(both.len);
            let (whole, null) = (mixed[..some.len].to_vec(), mixed[some.len..].to_vec());
            random.shuffle(&mut mixed);
            for policy in POLICIES {
                let calls = vec![whole.clone(), null.clone(), mixed.clone()];
                let script = Script { policy, calls };
                self.script(Property::NullColumns, &script, &both, &alone)?;
            }
        }
        Ok(())
    }

    /// Notes a difference, made small.
    fn differs(
        &mut self,
        property: Property,
        script: &Script,
        rows: &Rows,
        alone: &PluginOutput,
        difference: &Difference,
    ) -> Result<(), CertifyError> {
        let plugin = self.subject.plugin;
        let fault = match shrink::shrink(self.subject, script, rows, alone)? {
            Some(shown) => {
                let (call, at) = (shown.difference.call, shown.difference.at);
                let of = |row: &u32| self.input(&shown.rows, *row as usize);
                let calls_before = (call + 1).saturating_sub(CALLS_TOLD_MAX);
                let calls = shown.script.calls.iter().take(call + 1).skip(calls_before);
                Fault {
                    what: shape(&shown.script.calls).to_owned(),
                    policy: shown.script.policy,
                    once_only: false,
                    calls_before,
                    calls: calls.map(|call| call.iter().map(of).collect()).collect(),
                    row: at,
                    expected: answer(plugin, &shown.alone, shown.script.calls[call][at] as usize),
                    came: answer(plugin, &shown.difference.came, at),
                }
            }
            None => {
                let row = script.calls[difference.call][difference.at] as usize;
                let expected = answer(plugin, alone, row);
                let came = answer(plugin, &difference.came, difference.at);
                let fault = self.fault_of_row(property, rows, row, expected, came);
                Fault { policy: script.policy, once_only: true, ..fault }
            }
        };
        self.check(property).fault = Some(fault);
        Ok(())
    }

    /// A fault that one row alone in a new instance shows.
    fn fault_of_row(
        &self,
        property: Property,
        rows: &Rows,
        row: usize,
        expected: Json,
        came: Json,
    ) -> Fault {
        Fault {
            what: property.breach().to_owned(),
            policy: InstancePolicy::Fresh,
            once_only: false,
            calls_before: 0,
            calls: vec![vec![self.input(rows, row)]],
            row: 0,
            expected,
            came,
        }
    }

    fn input(&self, rows: &Rows, row: usize) -> Json {
        let fields = &self.subject.plugin.signature().inputs;
        golden::row(fields, &rows.columns, row, SHOWN_BYTES_MAX)
    }
}

/// What calls say that were made as few and as small as can be: it tells more than the property they were found for.
fn shape(calls: &[Vec<u32>]) -> &'static str {
    match calls {
        [_, .., last] if last.len() == 1 => "a row's answer depends on the calls before it",
        [_, _, ..] => {
            "a row's answer depends on the calls before it and on the rows it is in a batch with"
        }
        [only] if only.len() > 1 => "a row's answer depends on the rows it is in a batch with",
        _ => "the same row gives two answers",
    }
}

/// A row's answer as a golden row has it.
fn answer(plugin: &Plugin, output: &PluginOutput, row: usize) -> Json {
    match &output.errors[row] {
        Some(error) => serde_json::json!({ "error": error }),
        None => {
            let fields = &plugin.signature().outputs;
            serde_json::json!({ "out": golden::row(fields, &output.columns, row, SHOWN_BYTES_MAX) })
        }
    }
}

#[cfg(test)]
mod tests;

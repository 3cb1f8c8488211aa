//! Calls of one worker, one after the other, and the first row that came otherwise than it does alone; not which calls
//! are made, and not what is said of them.
//!
//! What a row is alone in a new instance is the measure of everything: the contract makes each answer a function of
//! its row, so other rows, other calls and other instances can't change it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skewless_batch::Column;
use skewless_catalog::InstancePolicy;

use super::CertifyError;
use super::likened::taken;
use crate::abi::Inputs;
use crate::error::CallError;
use crate::halving::{Tried, cut, in_halves, may_halve};
use crate::plugin::Plugin;
use crate::worker::{PluginOutput, Worker};

/// How often a row that is late is tried again before that is held against it: on a busy machine a thread may wait for
/// longer than a deadline.
const LATE_TRIES: u32 = 3;

/// Input columns with their length, which a plugin without inputs has, too.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) len: usize,
    pub(super) columns: Vec<Column>,
}

/// A plugin and the flag that ends the calls.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) plugin: &'a Plugin,
    pub(super) stop: &'a Arc<AtomicBool>,
}

/// Calls of one worker under one policy; each has the numbers of its rows, in its order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Script {
    pub(super) policy: InstancePolicy,
    pub(super) calls: Vec<Vec<u32>>,
}

/// What each row is alone.
#[derive(Debug)]
pub(super) struct Alone {
    /// As many rows as were tried: all, unless one broke the contract.
    pub(super) output: PluginOutput,
    /// Rows that trapped or were refused, and the first one's error.
    pub(super) broke: u64,
    pub(super) first_broke: Option<CallError>,
    /// The row that broke the contract, and how.
    pub(super) at_fault: Option<(usize, CallError)>,
}

/// The first row of a script that came otherwise than alone.
#[derive(Debug)]
pub(super) struct Difference {
    /// Index of its call.
    pub(super) call: usize,
    /// Its place in the call.
    pub(super) at: usize,
    /// The whole answer of the call.
    pub(super) came: PluginOutput,
}

impl Rows {
    /// Copies of some rows, in this order.
    pub(super) fn pick(&self, rows: &[u32]) -> Vec<Column> {
        self.columns.iter().map(|column| taken(&column.view(), rows)).collect()
    }

    /// The same with these rows only.
    pub(super) fn only(&self, rows: &[u32]) -> Self {
        Self { len: rows.len(), columns: self.pick(rows) }
    }
}

impl Script {
    /// How many rows a call has; 0 if there is no such call.
    pub(super) fn rows_of(&self, call: usize) -> usize {
        self.calls.get(call).map_or(0, Vec::len)
    }
}

impl Subject<'_> {
    fn worker(&self) -> Worker {
        Worker::stoppable(self.plugin.engine(), Arc::clone(self.stop))
    }

    /// Each of these rows alone in a new instance.
    pub(super) fn alone(&self, rows: &Rows) -> Result<Alone, CertifyError> {
        let output = PluginOutput::empty(self.plugin);
        let mut alone = Alone { output, broke: 0, first_broke: None, at_fault: None };
        let mut worker = self.worker();
        for row in 0..rows.len {
            match self.one(&mut worker, &rows.pick(&[row as u32]))? {
                Ok(answer) => alone.output.append(answer),
                Err(error) if breaks_the_contract(&error) => {
                    alone.at_fault = Some((row, error));
                    return Ok(alone);
                }
                Err(error) => {
                    alone.broke += 1;
                    alone.output.fail(&error);
                    alone.first_broke.get_or_insert(error);
                }
            }
        }
        Ok(alone)
    }

    /// The first difference of a script, which begins with a new worker. One that only was late is tried again.
    pub(super) fn run(
        &self,
        script: &Script,
        rows: &Rows,
        alone: &PluginOutput,
    ) -> Result<Option<Difference>, CertifyError> {
        let mut tries = 0;
        loop {
            match self.run_once(script, rows, alone)? {
                Some((_, true)) if tries < LATE_TRIES => tries += 1,
                found => return Ok(found.map(|(difference, _)| difference)),
            }
        }
    }

    /// As [`Self::run`], and whether a row of the call was late.
    fn run_once(
        &self,
        script: &Script,
        rows: &Rows,
        alone: &PluginOutput,
    ) -> Result<Option<(Difference, bool)>, CertifyError> {
        let mut worker = self.worker();
        let mut same = Same::default();
        for (call, given) in script.calls.iter().enumerate() {
            let columns = rows.pick(given);
            let (came, late) = self.together(&mut worker, script.policy, given.len(), &columns)?;
            // A call without rows has no row that could differ.
            for (at, &row) in given.iter().enumerate() {
                if !same.rows(alone, row as usize, &came, at) {
                    return Ok(Some((Difference { call, at, came }, late)));
                }
            }
        }
        Ok(None)
    }

    /// One row in a new instance.
    fn one(
        &self,
        worker: &mut Worker,
        columns: &[Column],
    ) -> Result<Result<PluginOutput, CallError>, CertifyError> {
        let mut tries = 0;
        loop {
            match self.call(worker, InstancePolicy::Fresh, 1, columns) {
                Err(CallError::Deadline { .. }) if tries < LATE_TRIES => tries += 1,
                Err(error) if !error.may_split() => return Err(error.into()),
                decided => return Ok(decided),
            }
        }
    }

    /// The first call without rows that isn't answered: of a new worker, and once more after a call of the first of these
    /// rows; what was called until then, and what came. Nobody who serves makes such a call, but it is one of the contract.
    pub(super) fn no_rows(
        &self,
        policy: InstancePolicy,
        rows: &Rows,
    ) -> Result<Option<(Vec<usize>, CallError)>, CertifyError> {
        let mut worker = self.worker();
        let (none, one) = (rows.pick(&[]), rows.pick(&[0]));
        let mut called = Vec::new();
        for (len, columns) in [(0, &none), (1, &one), (0, &none)] {
            called.push(len);
            let mut tries = 0;
            loop {
                match self.call(&mut worker, policy, len, columns) {
                    Err(CallError::Deadline { .. }) if tries < LATE_TRIES => tries += 1,
                    Err(error) if !error.may_split() => return Err(error.into()),
                    Err(error) if len == 0 => return Ok(Some((called, error))),
                    _ => break,
                }
            }
        }
        Ok(None)
    }

    /// Rows in one call; those that break together in halves, as everywhere. Also says whether a row alone was late.
    fn together(
        &self,
        worker: &mut Worker,
        policy: InstancePolicy,
        rows: usize,
        columns: &[Column],
    ) -> Result<(PluginOutput, bool), CertifyError> {
        if rows == 0 {
            // It may leave something behind. Whether it is answered is looked for apart ([`Self::no_rows`]).
            return match self.call(worker, policy, 0, columns) {
                Err(error) if !error.may_split() => Err(error.into()),
                answered => {
                    Ok((answered.unwrap_or_else(|_| PluginOutput::empty(self.plugin)), false))
                }
            };
        }
        let mut output = PluginOutput::empty(self.plugin);
        let mut late = false;
        let rows_max = self.plugin.engine().config().rows_max;
        in_halves(0..rows, rows_max, &mut |range: &Range<usize>| -> Result<Tried, CertifyError> {
            let part = cut(columns.iter().map(Column::view), range);
            match self.call(worker, policy, range.len(), &part) {
                Ok(answer) => output.append(answer),
                Err(error) if may_halve(range, &error) => return Ok(Tried::Broke),
                Err(error) if error.may_split() => {
                    late |= matches!(error, CallError::Deadline { .. });
                    output.fail(&error);
                }
                Err(error) => return Err(error.into()),
            }
            Ok(Tried::Settled)
        })?;
        Ok((output, late))
    }

    /// One call, also of no rows, which [`Worker::run_plugin_as`] wouldn't make.
    fn call(
        &self,
        worker: &mut Worker,
        policy: InstancePolicy,
        rows: usize,
        columns: &[Column],
    ) -> Result<PluginOutput, CallError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(CallError::Stopped);
        }
        let mut output = PluginOutput::empty(self.plugin);
        let ticks = self.plugin.engine().config().deadline_ticks;
        let inputs = Inputs::Columns(columns);
        worker.call(self.plugin, policy, ticks, rows, inputs, |batch, errors| {
            output.take(batch, errors);
        })?;
        output.columns.iter_mut().for_each(Column::canonicalize_nans);
        Ok(output)
    }
}

/// Whether a row that fails so alone is a breach, rather than a failure of its own: a limit or a lie. A trap is an answer
/// like others, if a dear one.
fn breaks_the_contract(error: &CallError) -> bool {
    is_limit(error) || error.word() == "lie"
}

/// Whether an error of a row alone is that of a limit.
pub(super) fn is_limit(error: &CallError) -> bool {
    use skewless_batch::abi::CallStatus;
    match error {
        CallError::Deadline { .. }
        | CallError::Stack { .. }
        | CallError::Memory { .. }
        | CallError::Table { .. }
        | CallError::OutputBytes { .. }
        | CallError::NoRoom { .. } => true,
        CallError::Status { code } => *code == CallStatus::OutOfMemory.code(),
        _ => false,
    }
}

/// Compares rows by their canonical bytes; kept for its memory.
#[derive(Default)]
pub(super) struct Same {
    here: Vec<u8>,
    there: Vec<u8>,
}

impl Same {
    pub(super) fn rows(
        &mut self,
        expected: &PluginOutput,
        row: usize,
        came: &PluginOutput,
        at: usize,
    ) -> bool {
        if expected.errors[row] != came.errors[at] {
            return false;
        }
        self.here.clear();
        self.there.clear();
        for (expected, came) in expected.columns.iter().zip(&came.columns) {
            expected.value(row).canonical_bytes(&mut self.here);
            came.value(at).canonical_bytes(&mut self.there);
        }
        self.here == self.there
    }
}

//! From a script that shows a fault to a small one that still does: fewer calls, fewer rows, plainer values.
//!
//! Limits: [`ATTEMPTS_MAX`] runs, [`LONG_ATTEMPTS_MAX`] of more than [`SHORT_CALLS_MAX`] calls. What is left then is shown
//! as it is.

use skewless_batch::{Column, Doubles, Field, Ints, Strings, Type, Value};

use super::CertifyError;
use super::script::{Difference, Rows, Script, Subject};
use crate::worker::PluginOutput;

/// Most runs for one fault; some hundreds find what there is to find.
const ATTEMPTS_MAX: u32 = 1_500;
/// Most runs for a fault that takes more than [`SHORT_CALLS_MAX`] calls: each may take as long as hundreds of others, and
/// calls that add up can't be left out.
const LONG_ATTEMPTS_MAX: u32 = 40;
/// Most calls of all that is tried but the long run.
const SHORT_CALLS_MAX: usize = 200;
/// Rows of which the values are made plainer. More are not read cell by cell.
const PLAIN_ROWS_MAX: usize = 8;

/// A fault that can be shown again from nothing: these calls of a new worker, of which the last one's row differs.
pub(super) struct Shown {
    pub(super) script: Script,
    pub(super) rows: Rows,
    pub(super) alone: PluginOutput,
    pub(super) difference: Difference,
}

/// Makes a script small. `None`: run again it shows nothing.
pub(super) fn shrink(
    subject: Subject<'_>,
    script: &Script,
    rows: &Rows,
    alone: &PluginOutput,
) -> Result<Option<Shown>, CertifyError> {
    let mut shrinker = Shrinker { subject, attempts: ATTEMPTS_MAX };
    let mut script = script.clone();
    let Some(found) = shrinker.fails(&script, rows, alone)? else { return Ok(None) };
    script.calls.truncate(found.call + 1);
    if script.calls.len() > SHORT_CALLS_MAX {
        shrinker.attempts = LONG_ATTEMPTS_MAX;
    }
    loop {
        let before = script.calls.clone();
        shrinker.fewer_calls(&mut script, rows, alone)?;
        shrinker.fewer_rows(&mut script, rows, alone)?;
        if script.calls == before || shrinker.attempts == 0 {
            break;
        }
    }
    let (mut script, mut rows) = compact(&script, rows);
    shrinker.plainer(&mut script, &mut rows)?;
    let (script, rows) = compact(&script, &rows);
    let alone = subject.alone(&rows)?;
    if alone.at_fault.is_some() {
        return Ok(None);
    }
    let alone = alone.output;
    let Some(difference) = subject.run(&script, &rows, &alone)? else { return Ok(None) };
    Ok(Some(Shown { script, rows, alone, difference }))
}

struct Shrinker<'a> {
    subject: Subject<'a>,
    attempts: u32,
}

impl Shrinker<'_> {
    /// The difference that a script still shows.
    fn fails(
        &mut self,
        script: &Script,
        rows: &Rows,
        alone: &PluginOutput,
    ) -> Result<Option<Difference>, CertifyError> {
        if self.attempts == 0 {
            return Ok(None);
        }
        self.attempts -= 1;
        self.subject.run(script, rows, alone)
    }

    /// Takes the smaller script if it still shows the fault.
    fn keep(
        &mut self,
        script: &mut Script,
        mut less: Script,
        rows: &Rows,
        alone: &PluginOutput,
    ) -> Result<bool, CertifyError> {
        let Some(found) = self.fails(&less, rows, alone)? else { return Ok(false) };
        less.calls.truncate(found.call + 1);
        *script = less;
        Ok(true)
    }

    /// Leaves out calls before the last, many at once first.
    fn fewer_calls(
        &mut self,
        script: &mut Script,
        rows: &Rows,
        alone: &PluginOutput,
    ) -> Result<(), CertifyError> {
        let mut chunk = script.calls.len();
        while chunk > 0 && self.attempts > 0 {
            let mut at = 0;
            while at + 1 < script.calls.len() {
                let end = (at + chunk).min(script.calls.len() - 1);
                let mut less = script.clone();
                less.calls.drain(at..end);
                if !self.keep(script, less, rows, alone)? {
                    at = end;
                }
            }
            chunk /= 2;
        }
        Ok(())
    }

    /// Leaves out rows of each call, the last call first; one row stays in each, as no call that serves has none.
    fn fewer_rows(
        &mut self,
        script: &mut Script,
        rows: &Rows,
        alone: &PluginOutput,
    ) -> Result<(), CertifyError> {
        for call in (0..script.calls.len()).rev() {
            let mut chunk = script.rows_of(call) / 2;
            while chunk > 0 {
                let mut at = 0;
                while at < script.rows_of(call) && script.rows_of(call) > 1 {
                    let end = (at + chunk).min(script.rows_of(call));
                    let mut less = script.clone();
                    less.calls[call].drain(at..end);
                    if less.calls[call].is_empty() || !self.keep(script, less, rows, alone)? {
                        at = end;
                    }
                }
                chunk /= 2;
            }
        }
        Ok(())
    }

    /// Puts plain values in the place of others, as far as the fault stays.
    fn plainer(&mut self, script: &mut Script, rows: &mut Rows) -> Result<(), CertifyError> {
        if rows.len > PLAIN_ROWS_MAX {
            return Ok(());
        }
        let subject = self.subject;
        for (index, field) in subject.plugin.signature().inputs.iter().enumerate() {
            for row in 0..rows.len {
                for plain in plain(field) {
                    if self.attempts == 0 || rows.columns[index].value(row) == plain {
                        break;
                    }
                    let changed = with(rows, index, row, plain);
                    let alone = subject.alone(&changed)?;
                    if alone.at_fault.is_some() {
                        continue;
                    }
                    let same = script.clone();
                    if self.keep(script, same, &changed, &alone.output)? {
                        *rows = changed;
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The same rows with another value in one cell.
fn with(rows: &Rows, index: usize, row: usize, value: Value<'_>) -> Rows {
    let mut changed = rows.clone();
    let (old, mut new) = (rows.columns[index].view(), Column::new(rows.columns[index].ty()));
    for at in 0..rows.len {
        if at == row {
            new.push(value).expect("a plain value is of its field's type");
        } else {
            new.push_from(&old, at);
        }
    }
    changed.columns[index] = new;
    changed
}

/// Values that distract nobody, the plainest first; none for embeddings, which have no short form.
fn plain(field: &Field) -> Vec<Value<'static>> {
    match field.ty {
        Type::Bool => vec![Value::Bool(false)],
        Type::Int32 => vec![Value::Int32(0), Value::Int32(1)],
        Type::Int64 => vec![Value::Int64(0), Value::Int64(1)],
        Type::Float32 => vec![Value::Float32(0.0), Value::Float32(1.0)],
        Type::Float64 => vec![Value::Float64(0.0), Value::Float64(1.0)],
        Type::Utf8 => vec![Value::Utf8(""), Value::Utf8("a")],
        Type::Binary => vec![Value::Binary(&[])],
        Type::Timestamp => vec![Value::Timestamp(0)],
        Type::Embedding(_) => Vec::new(),
        Type::ListInt64 => vec![Value::ListInt64(Ints::from(&[] as &[i64]))],
        Type::ListFloat64 => vec![Value::ListFloat64(Doubles::from(&[] as &[f64]))],
        Type::ListUtf8 => vec![Value::ListUtf8(Strings::from(&[] as &[&'static str]))],
    }
}

/// The script with the rows that it has only, numbered anew.
fn compact(script: &Script, rows: &Rows) -> (Script, Rows) {
    let mut used: Vec<u32> = script.calls.concat();
    used.sort_unstable();
    used.dedup();
    let number = |row: &u32| used.partition_point(|used| used < row) as u32;
    let calls = script.calls.iter().map(|call| call.iter().map(number).collect()).collect();
    (Script { policy: script.policy, calls }, rows.only(&used))
}

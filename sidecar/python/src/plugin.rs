//! `skewless.Plugin`: a plugin's file, run by the engine that serves, on frames and on rows; not the engine.
//!
//! Cost of a frame, beside the engine's own call: nothing is copied in where Arrow's column has the input's type, nothing
//! out. A frame is cut into calls of [`ROWS_MAX`] rows; every row's answer is
//! the same however it is cut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList};
use skewless_batch::{Column, ColumnView, Field, Type};
use skewless_engine::{CallError, EngineError, PluginError, PluginOutput, Worker};
use skewless_offline::exchange::{self, UnfitColumn};

use crate::errors::{Failure, Kind};
use crate::frames::{self, Batches};
use crate::interrupt::{left_if_interrupted, until_interrupted};
use crate::process::{LoadError, Loaded, Process};
use crate::values;
use crate::wanted::{WantedField, unfit};

/// Rows of a call: as many as the engine takes at once, so that it needn't cut them, which is a copy.
const ROWS_MAX: usize = 8_192;

/// Bytes of a file from which on it is told that its machine code isn't kept: one with an interpreter takes 20 s to a
/// minute to compile, a small one some tenths of a second.
const TOLD_BYTES_MIN: usize = 1 << 20;

/// Messages of failed rows that are kept of one call; all are counted.
const MESSAGES_MAX: usize = 1_000;

/// Rows that failed, counted from 0, and why.
pub(crate) type Messages = Vec<(usize, String)>;

/// A plugin and its file's bytes.
#[pyclass(frozen, module = "skewless._skewless")]
pub(crate) struct Plugin {
    wasm: Arc<[u8]>,
    loaded: Mutex<Arc<Loaded>>,
}

/// What a frame's rows gave.
struct Answer {
    batches: Vec<RecordBatch>,
    rows: usize,
    failed: usize,
    messages: Messages,
}

#[pymethods]
impl Plugin {
    #[new]
    fn new(py: Python<'_>, wasm: &[u8]) -> PyResult<Self> {
        let wasm: Arc<[u8]> = wasm.into();
        let loaded = load(py, &wasm)?;
        if wasm.len() >= TOLD_BYTES_MIN {
            tell_of_no_folder(py)?;
        }
        Ok(Self { wasm, loaded: Mutex::new(loaded) })
    }

    /// The file.
    #[getter]
    fn wasm<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.wasm)
    }

    /// SHA-256 of the file.
    #[getter]
    fn digest(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.loaded(py)?.plugin.digest().to_string())
    }

    /// `(abi, name, version, doc, inputs, outputs)`; a field is `(name, type, nullable, doc, unit)`.
    #[getter]
    fn signature<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let loaded = self.loaded(py)?;
        let of = loaded.plugin.signature();
        let fields = |fields: &[Field]| -> Vec<_> {
            fields
                .iter()
                .map(|of| {
                    (
                        of.name.clone(),
                        of.ty.to_string(),
                        of.nullable,
                        of.doc.clone(),
                        of.unit.clone(),
                    )
                })
                .collect()
        };
        let (inputs, outputs) = (fields(&of.inputs), fields(&of.outputs));
        let tuple = (of.abi, &of.name, &of.version, &of.doc, inputs, outputs);
        Ok(tuple.into_pyobject(py)?.into_any())
    }

    /// Runs a frame; gives `(frame, rows failed, messages of the first)`.
    fn run(
        &self,
        py: Python<'_>,
        frame: &Bound<'_, PyAny>,
    ) -> PyResult<(Batches, usize, Messages)> {
        let loaded = self.loaded(py)?;
        let mut reader = frames::reader_or(frame, "; rows as dicts go to `.rows`")?;
        let schema = Arc::clone(&loaded.outputs);
        let inputs = loaded.wanted().chosen(&reader.schema())?;
        let mut answer = Answer::new();
        let on_main = on_main_thread(py)?;
        while let Some(batch) = py.detach(|| reader.next()) {
            let batch = batch.map_err(|error| frames::broke_off(py, &error))?;
            if batch.num_rows() > 0 {
                answer.add(py, &loaded, &inputs, &schema, &batch, on_main)?;
            }
        }
        let Answer { batches, failed, messages, .. } = answer;
        Ok((Batches { schema, batches }, failed, messages))
    }

    /// Whether both run the same compiled code.
    fn same_code(&self, py: Python<'_>, other: &Self) -> PyResult<bool> {
        Ok(Arc::ptr_eq(&self.loaded(py)?, &other.loaded(py)?))
    }

    /// What the engine's calls cost alone, of rows that are columns already: nanoseconds of each of some rounds. For
    /// `tests/bench/python/wheel.py`, which says what Python and Arrow add.
    fn engine_ns(
        &self,
        py: Python<'_>,
        frame: &Bound<'_, PyAny>,
        rounds: usize,
    ) -> PyResult<Vec<u128>> {
        let loaded = self.loaded(py)?;
        let reader = frames::reader(frame)?;
        let chosen = loaded.wanted().chosen(&reader.schema())?;
        py.detach(|| {
            let batches = frames::collected(reader)?.batches;
            let mut parts = Vec::new();
            for batch in &batches {
                for start in (0..batch.num_rows()).step_by(ROWS_MAX) {
                    let part = part(batch, start);
                    let columns = arrays(&loaded, &chosen, &part).and_then(|arrays| {
                        let column = |((array, ty), field): (&(ArrayRef, Type), &WantedField)| {
                            exchange::column_from(array, &field.name, *ty)
                        };
                        arrays.iter().zip(&loaded.inputs).map(column).collect::<Result<Vec<_>, _>>()
                    });
                    parts.push((part.num_rows(), columns.map_err(|error| unfit(error, 0))?));
                }
            }
            let mut took = Vec::with_capacity(rounds);
            for _ in 0..rounds {
                let start = Instant::now();
                for (rows, columns) in &parts {
                    let views: Vec<_> = columns.iter().map(Column::view).collect();
                    let output: Result<_, Broke> = Process::current()
                        .run(|worker| worker.run_rows(&loaded.plugin, *rows, &views));
                    std::hint::black_box(output?);
                }
                took.push(start.elapsed().as_nanos());
            }
            Ok(took)
        })
    }

    /// Runs rows, each a dict; gives `(dicts, rows failed, messages of the first)`.
    fn run_rows<'py>(
        &self,
        py: Python<'py>,
        rows: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyList>, usize, Messages)> {
        let loaded = self.loaded(py)?;
        let signature = loaded.plugin.signature();
        let (count, columns) = loaded.wanted().columns_of(rows)?;
        let stop = Arc::new(AtomicBool::new(false));
        let work = || {
            let views: Vec<_> = columns.iter().map(|(_, column)| column.view()).collect();
            run_stoppable(&loaded, count, &views, &stop)
        };
        let output = until_interrupted(py, &stop, work, |_| Ok(()))??;
        let dicts = PyList::empty(py);
        for row in 0..count {
            let dict = PyDict::new(py);
            for (field, column) in signature.outputs.iter().zip(&output.columns) {
                dict.set_item(&field.name, values::to_python(py, column.value(row))?)?;
            }
            dicts.append(dict)?;
        }
        let mut answer = Answer::new();
        answer.note(&output, 0);
        Ok((dicts, answer.failed, answer.messages))
    }
}

impl Plugin {
    /// The plugin compiled for this process; after a fork, anew.
    fn loaded(&self, py: Python<'_>) -> PyResult<Arc<Loaded>> {
        // Never waited for: who holds it is of this process and has Python's lock, or isn't there any more.
        if let Ok(known) = self.loaded.try_lock()
            && known.is_here()
        {
            return Ok(Arc::clone(&known));
        }
        let loaded = load(py, &self.wasm)?;
        if let Ok(mut known) = self.loaded.try_lock() {
            // The parent's is never freed here: its threads, which that would wait for, are not there.
            std::mem::forget(std::mem::replace(&mut *known, Arc::clone(&loaded)));
        }
        Ok(loaded)
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let loaded = self.loaded.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !loaded.is_here() {
            // As in `loaded`: one count too many keeps it.
            std::mem::forget(Arc::clone(loaded));
        }
    }
}

fn load(py: Python<'_>, wasm: &Arc<[u8]>) -> PyResult<Arc<Loaded>> {
    // The compiler can't be stopped. What it makes is kept, for who asks again.
    let file = Arc::clone(wasm);
    let loaded = left_if_interrupted(py, move || Process::current().load(&file))?;
    loaded.map_err(|error| match error {
        LoadError::Engine(error) => no_engine(error).into(),
        LoadError::Plugin(error) => not_loaded(error).into(),
    })
}

/// What to tell where no plugin can be run.
pub(crate) fn no_engine(error: EngineError) -> Failure {
    Failure::new(Kind::Host, error).next(
        "see whether the address space is limited (ulimit -v); each process that runs plugins reserves some, and more for \
         those with an interpreter",
    )
}

/// What to tell of a file that isn't loaded.
pub(crate) fn not_loaded(error: PluginError) -> Failure {
    match error {
        PluginError::Host(error) => no_engine(error),
        error => {
            let next = advice(&error);
            Failure::new(Kind::Plugin, error).next(next)
        }
    }
}

/// What to do about a file that isn't loaded.
fn advice(error: &PluginError) -> &'static str {
    use PluginError as E;
    match error {
        E::NotWasm => "give a plugin's .wasm file; `skewless plugin build` makes one of its source",
        E::Invalid(_) => {
            "give the whole file, as it was built; if it is whole, build it anew with `skewless plugin build`"
        }
        E::Import { .. } => {
            "a plugin has no clock, files or network: leave out what wants them, and build it with `skewless plugin build`"
        }
        E::Abi { expected, came } if came > expected => {
            "the plugin was built for a newer Skewless: upgrade this package, or build the plugin with the SDK of this version"
        }
        E::TooLarge { .. } | E::Memory { .. } | E::Table { .. } => {
            "let it do with less: the package runs plugins under the sidecar's default limits"
        }
        _ => "build it anew with `skewless plugin build`",
    }
}

/// Warns, once a process, if compiled plugins aren't kept for later processes.
fn tell_of_no_folder(py: Python<'_>) -> PyResult<()> {
    static TOLD: AtomicBool = AtomicBool::new(false);
    let Some(why) = Process::current().code().folder_refused() else { return Ok(()) };
    if TOLD.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let message = format!("compiled plugins aren't kept, so each process compiles its own: {why}");
    let class = py.import("skewless._errors")?.getattr("SkewlessWarning")?;
    let warned = (message, class, 3);
    py.import("warnings")?.call_method1("warn", warned).map(drop)
}

impl Answer {
    fn new() -> Self {
        Self { batches: Vec::new(), rows: 0, failed: 0, messages: Vec::new() }
    }

    /// Runs a batch, in calls.
    fn add(
        &mut self,
        py: Python<'_>,
        loaded: &Arc<Loaded>,
        inputs: &[Option<usize>],
        schema: &SchemaRef,
        batch: &RecordBatch,
        on_main: bool,
    ) -> PyResult<()> {
        for start in (0..batch.num_rows()).step_by(ROWS_MAX) {
            let part = part(batch, start);
            let first = self.rows;
            let arrays = arrays(loaded, inputs, &part).map_err(|error| unfit(error, first))?;
            let output = run_part(py, loaded, &arrays, part.num_rows(), on_main)?;
            self.note(&output, first);
            let columns = output.columns.into_iter().map(exchange::array_from).collect();
            let rows = RecordBatch::try_new_with_options(
                Arc::clone(schema),
                columns,
                &arrow::array::RecordBatchOptions::new().with_row_count(Some(part.num_rows())),
            );
            self.batches.push(rows.map_err(|error| frames::broken(&error))?);
            self.rows += part.num_rows();
            if on_main {
                py.check_signals()?;
            }
        }
        Ok(())
    }

    fn note(&mut self, output: &PluginOutput, first: usize) {
        for (row, message) in output.errors.iter().enumerate() {
            let Some(message) = message else { continue };
            self.failed += 1;
            if self.messages.len() < MESSAGES_MAX {
                self.messages.push((first + row, message.clone()));
            }
        }
    }
}

/// A batch's rows from `start` on, as many as a call takes.
fn part(batch: &RecordBatch, start: usize) -> RecordBatch {
    if batch.num_rows() <= ROWS_MAX {
        return batch.clone();
    }
    batch.slice(start, ROWS_MAX.min(batch.num_rows() - start))
}

/// The inputs' arrays, in the order of the signature, each of its input's type.
fn arrays(
    loaded: &Loaded,
    inputs: &[Option<usize>],
    part: &RecordBatch,
) -> Result<Vec<(ArrayRef, Type)>, UnfitColumn> {
    let array = |(field, at): (&WantedField, &Option<usize>)| match at {
        Some(at) => Ok((exchange::fit(part.column(*at), &field.name, field.ty)?, field.ty)),
        None => {
            let ty = exchange::field_for(&field.name, field.ty);
            Ok((new_null_array(ty.data_type(), part.num_rows()), field.ty))
        }
    };
    loaded.inputs.iter().zip(inputs).map(array).collect()
}

/// One call's rows, without Python's lock.
///
/// On the main thread, on which Ctrl-C must be heard, a call that takes long is stopped and done again on another thread,
/// while the main one listens: so the usual call pays nothing for it.
fn run_part(
    py: Python<'_>,
    loaded: &Arc<Loaded>,
    arrays: &[(ArrayRef, Type)],
    rows: usize,
    on_main: bool,
) -> PyResult<PluginOutput> {
    let names: Vec<&str> = loaded.inputs.iter().map(|field| field.name.as_str()).collect();
    let lent = |run: &mut (dyn FnMut(&[ColumnView<'_>]) -> Result<PluginOutput, Broke> + Send)| {
        exchange::lend(arrays, &names, run).map_err(|error| Broke::Input(unfit(error, 0)))?
    };
    let process = Process::current();
    let first = py.detach(|| {
        lent(&mut |views| {
            if on_main {
                process.run_watched(|worker| worker.run_rows(&loaded.plugin, rows, views))
            } else {
                process.run(|worker| worker.run_rows(&loaded.plugin, rows, views))
            }
        })
    });
    match first {
        Err(Broke::Call(CallError::Stopped)) => {}
        first => return Ok(first?),
    }
    let stop = Arc::new(AtomicBool::new(false));
    let work = || lent(&mut |views| run_stoppable(loaded, rows, views, &stop));
    Ok(until_interrupted(py, &stop, work, |_| Ok(()))??)
}

fn run_stoppable(
    loaded: &Loaded,
    rows: usize,
    views: &[ColumnView<'_>],
    stop: &Arc<AtomicBool>,
) -> Result<PluginOutput, Broke> {
    let engine = Process::current().engine()?;
    let mut worker = Worker::stoppable(&engine, Arc::clone(stop));
    Ok(worker.run_rows(&loaded.plugin, rows, views)?)
}

/// Only there signals are heard.
fn on_main_thread(py: Python<'_>) -> PyResult<bool> {
    static ASK: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
    let (main, this) = ASK.get_or_try_init(py, || {
        let threading = py.import("threading")?;
        let of = |name: &str| threading.getattr(name).map(Bound::unbind);
        Ok::<_, PyErr>((of("main_thread")?, of("get_ident")?))
    })?;
    this.bind(py).call0()?.eq(main.bind(py).call0()?.getattr(intern!(py, "ident"))?)
}

/// Why a call gave no answer.
enum Broke {
    Input(Failure),
    Call(CallError),
    Host(EngineError),
}

impl From<CallError> for Broke {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<EngineError> for Broke {
    fn from(error: EngineError) -> Self {
        Self::Host(error)
    }
}

impl From<Broke> for PyErr {
    fn from(broke: Broke) -> Self {
        match broke {
            Broke::Input(failure) => failure.into(),
            Broke::Call(error) => Failure::new(Kind::Transform, error).into(),
            Broke::Host(error) => Failure::new(Kind::Host, error).into(),
        }
    }
}

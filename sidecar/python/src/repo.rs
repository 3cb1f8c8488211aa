//! `skewless.FeatureRepo`: a feature repo's definitions, and backfills of its services in process; not how either is
//! done, which is the catalog's and offline's, nor where files lie, which the package's Python half decides.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use skewless_batch::Type;
use skewless_catalog::names::nearest;
use skewless_catalog::{Diagnostic, Plan};
use skewless_engine::{CompileCache, DirCache, Engine, EngineConfig, Plugin, Program, Ticker};
use skewless_offline::{
    BACKFILL_TICK, BackfillOptions, BackfillReport, BackfillRequest, CancelFlag, OfflineError,
    Phase, Progress, backfill, backfill_limits, exchange,
};
use skewless_server::repo::{self, RepoError, RepoLimits};
use skewless_server::{Config, Override};

use crate::errors::{Failure, Kind};
use crate::frames::{self, Batches};
use crate::interrupt::until_interrupted;
use crate::plugin::{Messages, no_engine, not_loaded};
use crate::process::{Process, compiles_in_parallel};
use crate::ready::{Computed, Readies, Ready};
use crate::wanted::{Wanted, WantedField};

/// Compiled plugins are kept here, in the repo, as the `skewless` command does; may be deleted at any time.
const CACHE: &str = ".skewless/cache";

/// Threads that may compute a service at once.
const COMPUTING_MAX: usize = 16;

/// A checked feature repo.
#[pyclass(frozen, module = "skewless._skewless")]
pub(crate) struct FeatureRepo {
    dir: PathBuf,
    repo: repo::Repo,
    config: Config,
    ready: Readies,
}

#[pymethods]
impl FeatureRepo {
    /// Reads and checks it. `config` and `settings` are the sidecar's configuration, as the `skewless` command takes it.
    #[new]
    fn new(
        py: Python<'_>,
        dir: PathBuf,
        config: Option<PathBuf>,
        settings: Vec<(String, String)>,
    ) -> PyResult<Self> {
        py.detach(|| {
            let config = settings_of(&dir, config.as_deref(), &settings)?;
            let limits = RepoLimits {
                definition_bytes_max: config.limits.definition_bytes_max,
                definition_files_max: config.limits.definition_files_max,
            };
            let read = repo::read(&dir, limits, &config.engine);
            let repo = read.map_err(|error| refused(error, &dir))?;
            Ok(Self { dir, repo, config, ready: Readies::default() })
        })
    }

    /// Warnings of the check, and views whose history isn't there.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        let catalog = &self.repo.catalog;
        let mut warnings: Vec<_> = catalog.warnings.iter().map(Diagnostic::to_string).collect();
        for view in &catalog.views {
            for path in view.source.iter().flat_map(|source| &source.paths) {
                let found = skewless_offline::expand(&self.dir, std::slice::from_ref(path));
                if matches!(found, Err(OfflineError::NoFiles { .. })) {
                    warnings.push(format!(
                        "view {}: no file matches its source {path}; `load` and `backfill` will need one",
                        view.name
                    ));
                }
            }
        }
        warnings
    }

    /// Fingerprint of all definitions.
    #[getter]
    fn fingerprint(&self) -> String {
        self.repo.catalog.fingerprint.to_string()
    }

    /// Dicts of `name`, `doc`, `keys`, `request`, `features`, `views`, `transforms`, `fingerprint`.
    #[getter]
    fn services<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for service in &self.repo.catalog.services {
            let plan = &service.plan;
            let dict = named(py, &service.name, &service.doc)?;
            let keys: Vec<_> = plan.keys.iter().map(|key| field(&key.name, key.ty, true)).collect();
            let request: Vec<_> =
                plan.request.iter().map(|of| field(&of.name, of.ty, of.nullable)).collect();
            let features: Vec<_> =
                plan.outputs.iter().map(|of| field(&of.name, of.ty, true)).collect();
            let mut views: Vec<_> = plan.lookups.iter().map(|of| of.view_name.clone()).collect();
            views.dedup();
            let transforms: Vec<_> = plan.steps.iter().map(|of| of.transform.clone()).collect();
            dict.set_item("keys", keys)?;
            dict.set_item("request", request)?;
            dict.set_item("features", features)?;
            dict.set_item("views", views)?;
            dict.set_item("transforms", transforms)?;
            dict.set_item("fingerprint", plan.fingerprint.to_string())?;
            list.append(dict)?;
        }
        Ok(list)
    }

    /// Dicts of `name`, `doc`, `entity`, `keys`, `features`, `sources`, `fingerprint`.
    #[getter]
    fn views<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for view in &self.repo.catalog.views {
            let dict = named(py, &view.name, &view.doc)?;
            let keys: Vec<_> =
                view.keys.iter().map(|key| field(&key.name, key.ty, false)).collect();
            let features: Vec<_> = view
                .features
                .iter()
                .map(|of| {
                    (of.name.clone(), of.ty.to_string(), true, of.doc.clone(), of.unit.clone())
                })
                .collect();
            let sources: Vec<_> =
                view.source.iter().flat_map(|source| source.paths.iter().cloned()).collect();
            dict.set_item("entity", &view.entity)?;
            dict.set_item("keys", keys)?;
            dict.set_item("features", features)?;
            dict.set_item("sources", sources)?;
            dict.set_item("fingerprint", view.fingerprint.to_string())?;
            list.append(dict)?;
        }
        Ok(list)
    }

    /// Dicts of `name`, `doc`, `plugin`, `digest`, `inputs`, `outputs`, `fingerprint`.
    #[getter]
    fn transforms<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for transform in &self.repo.catalog.transforms {
            let dict = named(py, &transform.name, &transform.doc)?;
            let fields = |fields: &[skewless_batch::Field]| -> Vec<_> {
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
            dict.set_item("plugin", &transform.plugin)?;
            dict.set_item("digest", transform.digest.to_string())?;
            dict.set_item("inputs", fields(&transform.signature.inputs))?;
            dict.set_item("outputs", fields(&transform.signature.outputs))?;
            dict.set_item("fingerprint", transform.fingerprint.to_string())?;
            list.append(dict)?;
        }
        Ok(list)
    }

    /// A transform's plugin file.
    fn plugin<'py>(&self, py: Python<'py>, transform: &str) -> PyResult<Bound<'py, PyBytes>> {
        let transforms = &self.repo.catalog.transforms;
        let found = transforms.iter().find(|of| of.name == transform);
        let wasm = found.and_then(|of| self.repo.plugins.get(&of.digest));
        let wasm = wasm.ok_or_else(|| {
            let names: Vec<_> = transforms.iter().map(|of| of.name.as_str()).collect();
            unknown("transform", transform, &names)
        })?;
        Ok(PyBytes::new(py, wasm))
    }

    /// Rows that people wrote, as a spine of this service.
    fn spine(
        &self,
        service: &str,
        rows: &Bound<'_, PyAny>,
        event_timestamp: &str,
    ) -> PyResult<Batches> {
        let plan = self.plan(service)?;
        let row_field =
            |name: &str, ty, nullable| WantedField { name: name.to_owned(), ty, nullable };
        let keys = plan.keys.iter().map(|key| row_field(&key.name, key.ty, false));
        let request = plan.request.iter().map(|of| row_field(&of.name, of.ty, of.nullable));
        let time = row_field(event_timestamp, Type::Timestamp, false);
        let fields: Vec<_> = keys.chain(request).chain([time]).collect();
        let owner = format!("service `{service}`");
        let wanted = Wanted { owner: &owner, noun: "column", fields: &fields };
        let (count, columns) = wanted.columns_of(rows)?;
        // What no row has is left out: it may be null, or columns_of had refused it.
        let given = fields.iter().zip(columns).filter(|(_, (given, _))| *given);
        frames::of_columns(given.map(|(field, (_, column))| (&*field.name, column)), count)
    }

    /// Computes a service that reads no view over a frame, as its backfill would; gives
    /// `(frame, failures, messages of the first)`.
    fn compute(
        &self,
        py: Python<'_>,
        service: &str,
        frame: &Bound<'_, PyAny>,
    ) -> PyResult<(Batches, usize, Messages)> {
        let reader = frames::reader(frame)?;
        let frame = py.detach(|| frames::collected(reader))?;
        let stop = Arc::new(AtomicBool::new(false));
        let ready = match self.ready.find(service) {
            Some(ready) => ready,
            None => {
                let made = until_interrupted(py, &stop, || self.make_ready(service), |_| Ok(()))??;
                self.ready.keep(service, Arc::new(made))
            }
        };
        let mut worker = ready.shared().worker();
        let stop = Arc::clone(worker.stop());
        let work = || ready.compute(service, &frame, &mut worker);
        let computed = until_interrupted(py, &stop, work, |_| Ok(()));
        ready.shared().give_back(worker);
        let Computed { batches, failed, messages } = computed??;
        Ok((batches, failed, messages))
    }

    /// Backfills a service; gives a report. `progress` is called with what it does, how much is done, and of how much.
    #[expect(clippy::too_many_arguments, reason = "the Python half names them")]
    fn backfill<'py>(
        &self,
        py: Python<'py>,
        service: &str,
        spine: Vec<String>,
        out: PathBuf,
        event_timestamp: String,
        statuses: bool,
        as_known_now: bool,
        overwrite: bool,
        memory_bytes: Option<u64>,
        workers: Option<usize>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let plan = self.plan(service)?;
        let workers =
            workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let cancel = CancelFlag::new();
        let heard = Arc::new(Heard::default());
        let defaults = BackfillOptions::default();
        let event_column = event_timestamp.clone();
        let options = BackfillOptions {
            event_timestamp,
            memory_bytes: memory_bytes.unwrap_or(defaults.memory_bytes),
            workers,
            statuses,
            as_known_now,
            overwrite,
            ..defaults
        };
        let work = || {
            let (engine, _ticker) = self.engine(workers)?;
            let cache = DirCache::open(&self.dir.join(CACHE)).ok();
            let cache = cache.as_ref().map(|cache| cache as &dyn CompileCache);
            let program = self.program(&engine, &plan, cache)?;
            let report = backfill(&BackfillRequest {
                catalog: &self.repo.catalog,
                program: &program,
                engine: &engine,
                repo: &self.dir,
                spine,
                output: out,
                options,
                progress: Arc::clone(&heard) as Arc<dyn Progress>,
                cancel: cancel.clone(),
            });
            report.map_err(|error| spine_refused(&error, &event_column))
        };
        let progress = progress.map(Bound::unbind);
        let tell = |py: Python<'_>| match (&progress, heard.last()) {
            (Some(progress), Some((what, done, total))) => {
                progress.call1(py, (what, done, total)).map(drop)
            }
            _ => Ok(()),
        };
        let report = until_interrupted(py, &cancel.shared(), work, tell)??;
        tell(py)?;
        reported(py, &report)
    }
}

impl FeatureRepo {
    fn plan(&self, service: &str) -> Result<Arc<Plan>, Failure> {
        self.repo.catalog.plan(service).map_err(|error| {
            let services = &self.repo.catalog.services;
            let names: Vec<_> = services.iter().map(|service| service.name.as_str()).collect();
            let next = match names.is_empty() {
                true => "the repo has no services".to_owned(),
                false => format!("the repo's services are {}", names.join(", ")),
            };
            Failure::new(Kind::Input, error).next(next)
        })
    }

    fn make_ready(&self, service: &str) -> Result<Ready, Failure> {
        let plan = self.plan(service)?;
        if !plan.lookups.is_empty() {
            let message = format!("expected a service that reads no view, came `{service}`");
            return Err(Failure::new(Kind::Input, message).next("backfill it"));
        }
        let process = Process::current();
        let shared = process.engines().of(self.limits(COMPUTING_MAX)).map_err(no_engine)?;
        // The folder may be another in each process, and be gone after it.
        let program = self.program(shared.engine(), &plan, Some(process.code()))?;
        Ok(Ready::new(shared, program))
    }

    /// An engine that gives `workers` threads what a sidecar with this configuration would.
    fn engine(&self, workers: usize) -> Result<(Engine, Ticker), Failure> {
        let made = Engine::new(self.limits(workers))
            .and_then(|engine| Ok((engine.clone(), Ticker::start(engine, BACKFILL_TICK)?)));
        made.map_err(no_engine)
    }

    fn limits(&self, workers: usize) -> EngineConfig {
        let serving_tick = Duration::from_micros(self.config.life.tick_us);
        let serving = EngineConfig {
            parallel_compilation: compiles_in_parallel(),
            ..self.config.engine.clone()
        };
        backfill_limits(&serving, serving_tick, workers)
    }

    fn program(
        &self,
        engine: &Engine,
        plan: &Arc<Plan>,
        cache: Option<&dyn CompileCache>,
    ) -> Result<Program, Failure> {
        let mut plugins: Vec<Plugin> = Vec::new();
        for digest in plan.digests() {
            let Some(wasm) = self.repo.plugins.get(&digest) else { continue };
            plugins.push(engine.load(wasm, cache).map_err(not_loaded)?);
        }
        let find = |digest: &_| plugins.iter().find(|plugin| plugin.digest() == digest).cloned();
        Program::bind(plan, &find).map_err(|error| Failure::new(Kind::Plugin, error))
    }
}

/// How far a backfill is, for the thread that may tell.
#[derive(Default)]
struct Heard(Mutex<Option<(Phase, u64, u64)>>);

impl Heard {
    fn last(&self) -> Option<(String, u64, u64)> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        last.map(|(phase, done, total)| {
            let what = match phase {
                Phase::Digest => "hashing".to_owned(),
                Phase::Join(view) => format!("joining {view}"),
                Phase::Compute => "computing".to_owned(),
                Phase::Load(view) => format!("loading {view}"),
            };
            (what, done, total)
        })
    }
}

impl Progress for Heard {
    fn report(&self, phase: &Phase, done: u64, total: u64) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((phase.clone(), done, total));
    }
}

type Described = (String, String, bool, String, String);

fn field(name: &str, ty: Type, nullable: bool) -> Described {
    (name.to_owned(), ty.to_string(), nullable, String::new(), String::new())
}

fn named<'py>(py: Python<'py>, name: &str, doc: &str) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", name)?;
    dict.set_item("doc", doc)?;
    Ok(dict)
}

fn unknown(kind: &str, name: &str, names: &[&str]) -> Failure {
    let near = nearest(name, names.iter().copied());
    let near = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
    let message = format!("expected a declared {kind}, came `{name}`{near}");
    Failure::new(Kind::Input, message).next(format!("the repo's {kind}s are {}", names.join(", ")))
}

fn settings_of(
    dir: &Path,
    file: Option<&Path>,
    settings: &[(String, String)],
) -> Result<Config, Failure> {
    let text = match file {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Kind::Input, format!("can't read {}: {error}", path.display()))
                .next("give the sidecar's configuration file as config, or none")
        })?,
    };
    let mut overrides = Override::from_environment();
    // A folder that isn't there is explained by reading the repo, not as a mistake in the configuration.
    if dir.is_dir() {
        overrides.push(Override::path("FeatureRepo", "repo_dir", dir));
    }
    overrides.extend(settings.iter().map(|(key, value)| Override {
        origin: "settings".to_owned(),
        key: key.clone(),
        value: value.clone(),
    }));
    Config::parse(&text, file.unwrap_or(Path::new("")), &overrides).map_err(|error| {
        Failure::new(Kind::Input, error).next("mend the settings named above; every one is shown")
    })
}

fn refused(error: RepoError, dir: &Path) -> Failure {
    let next = error.next_step(dir);
    let message = error.to_string();
    match error {
        RepoError::Definitions { diagnostics, .. } => {
            let failure = Failure::new(Kind::Definitions(diagnostics), message);
            Failure { next, ..failure }
        }
        RepoError::Read { .. } | RepoError::Empty { .. } => Failure::new(Kind::Input, message)
            .next("give the folder of a feature repo; `skewless init` makes one"),
    }
}

/// What a backfill refused: as [`offline`] has it, and of a column that isn't there what was probably meant.
fn spine_refused(error: &OfflineError, event_timestamp: &str) -> Failure {
    let mut failure = offline(error);
    if let OfflineError::MissingColumn { column, available, .. } = error {
        let near = nearest(column, available.split(", "));
        if let Some(near) = &near {
            failure.message.push_str(&format!(" (did you mean `{near}`?)"));
        }
        let time = column == event_timestamp;
        failure.next = Some(match (near, time) {
            (Some(near), false) => format!("rename `{near}` to `{column}`"),
            (Some(near), true) => format!("give event_timestamp=\"{near}\" if that has the times"),
            (None, false) => format!("add a column `{column}`"),
            (None, true) => format!(
                "add a column `{column}`, or name another column of times with event_timestamp"
            ),
        });
    }
    failure
}

/// What offline refused, with what to do where that is known here.
fn offline(error: &OfflineError) -> Failure {
    use OfflineError as E;
    let next = match error {
        E::MissingColumn { column, .. } => Some(format!("add a column `{column}`")),
        E::WrongType { column, expected, .. } => {
            Some(format!("make `{column}` a column of {expected}: only types that lose nothing are converted"))
        }
        E::BadValue { .. } | E::TimeOutOfRange { .. } => {
            Some("mend the row, or the column's declared type".to_owned())
        }
        E::NullValue { .. } => Some(
            "give the row a value, or leave it out; a request value that may be null is declared with `nullable: true`"
                .to_owned(),
        ),
        E::OutputExists { .. } => Some("give another out, or overwrite=True".to_owned()),
        E::MemoryTooSmall { .. } => Some("give memory=64 << 20 or more".to_owned()),
        E::OutOfMemory { .. } => Some("give more memory".to_owned()),
        E::Io { .. } => {
            Some("see whether the path is there, may be used, and its disk has room".to_owned())
        }
        E::BadSetting { .. } => Some("give a value within that range".to_owned()),
        _ => None,
    };
    let failure = Failure::new(Kind::Backfill, error);
    Failure { next, ..failure }
}

fn reported<'py>(py: Python<'py>, report: &BackfillReport) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("rows", report.rows)?;
    dict.set_item("bytes", report.bytes)?;
    dict.set_item("history_rows", report.history_rows)?;
    dict.set_item("rows_without_time", report.rows_without_time)?;
    let keys = PyDict::new(py);
    for null in report.null_keys.iter().filter(|null| null.rows > 0) {
        keys.set_item(&null.key, null.rows)?;
    }
    dict.set_item("rows_without_key", keys)?;
    let features = PyDict::new(py);
    for feature in &report.features {
        let counts = PyDict::new(py);
        counts.set_item("present", feature.present)?;
        counts.set_item("null_value", feature.null_value)?;
        counts.set_item("not_found", feature.not_found)?;
        counts.set_item("outside_max_age", feature.outside_max_age)?;
        counts.set_item("transform_failed", feature.transform_failed)?;
        features.set_item(&feature.name, counts)?;
    }
    dict.set_item("features", features)?;
    let gave_nothing = report.transforms.iter().filter(|of| of.gave_nothing());
    let gave_nothing: Vec<_> = gave_nothing.map(|of| of.transform.as_str()).collect();
    dict.set_item("gave_nothing", gave_nothing)?;
    let failures: Vec<_> = report
        .failures
        .iter()
        .map(|of| (of.transform.as_str(), of.row, of.message.as_str(), of.count))
        .collect();
    dict.set_item("failures", failures)?;
    dict.set_item("failures_total", report.failures_total)?;
    dict.set_item("fingerprint", &report.provenance.plan_fingerprint)?;
    Ok(dict)
}

/// A Parquet file's rows.
#[pyfunction]
pub(crate) fn read_parquet(py: Python<'_>, path: PathBuf) -> PyResult<Batches> {
    py.detach(|| {
        let reader = exchange::read_frame(&path).map_err(|error| offline(&error))?;
        frames::collected(reader)
    })
}

/// Writes a frame to a Parquet file.
#[pyfunction]
pub(crate) fn write_parquet(
    py: Python<'_>,
    frame: &Bound<'_, PyAny>,
    path: PathBuf,
) -> PyResult<()> {
    let mut reader = frames::reader(frame)?;
    let written = py.detach(|| exchange::write_frame(&path, &mut *reader));
    written.map_err(|error| {
        let raised = frames::interrupted(py, &error.to_string());
        raised.unwrap_or_else(|| offline(&error).into())
    })
}

//! A backfill's whole life, top to bottom: find and check everything, hash the inputs, join every
//! view's history to the spine, run the plan chunk by chunk, write one Parquet file with its
//! provenance. The plan, the engine and the visibility rule are the ones that serve.
//!
//! Every spine row gives exactly one output row, in spine order. The output's bytes depend on the
//! inputs and the options that [`Provenance`] names, never on memory, workers or chunk size.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use skewless_catalog::visibility::Boundary;
use skewless_catalog::{Catalog, Plan, View, ViewId};
use skewless_engine::{Engine, Program};

use crate::OfflineError;
use crate::cast::arrow_type;
use crate::compute::{self, Computed};
use crate::config::{
    CHUNK_ROWS_DEFAULT, CHUNK_ROWS_MAX, MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MIN,
    SPILL_BYTES_MAX_DEFAULT, WORKERS_DEFAULT, WORKERS_MAX,
};
use crate::failures::{TransformCounts, TransformFailure};
use crate::files::{Digester, FileDigest, InputFile};
use crate::history::{Counts, History, HistoryOptions};
use crate::join::{Found, answer_schema, join};
use crate::memory::{Budget, Ledger};
use crate::parquet_in::BadRows;
use crate::parquet_out::{Output, hidden};
use crate::plugin_limits::{self, LimitsUsed};
use crate::progress::{CancelFlag, Phase, Progress};
use crate::provenance::{self, AsOf, FeatureWritten, Provenance, TransformUsed, ViewUsed};
use crate::sort::{Job, SortSpec, SortStats, batch_rows};
use crate::spine::{EVENT_TIMESTAMP, Spine};

/// What to backfill.
pub struct BackfillRequest<'a> {
    /// The definitions; the views' sources are read from here.
    pub catalog: &'a Catalog,
    /// The plan with its plugins: what a service computes.
    pub program: &'a Program,
    /// The engine of those plugins, with the limits of [`backfill_limits`](crate::backfill_limits).
    pub engine: &'a Engine,
    /// The folder that relative source paths of the definitions start from.
    pub repo: &'a Path,
    /// Paths, folders or globs of the spine's Parquet files; relative ones start at the working
    /// folder.
    pub spine: Vec<String>,
    /// The Parquet file to write.
    pub output: PathBuf,
    /// Everything that has a default.
    pub options: BackfillOptions,
    /// Hears how far it is.
    pub progress: Arc<dyn Progress>,
    /// Stops it.
    pub cancel: CancelFlag,
}

/// How to backfill.
#[derive(Clone, Debug)]
pub struct BackfillOptions {
    /// The spine's column of the time each row asks for.
    pub event_timestamp: String,
    /// Memory for sorts, joins, chunks and writer together, bytes; at least [`MEMORY_BYTES_MIN`].
    /// Instances of plugins come on top, bounded by the engine.
    pub memory_bytes: u64,
    /// Threads that run the plan, 1 to [`WORKERS_MAX`].
    pub workers: usize,
    /// Rows of a chunk, 1 to [`CHUNK_ROWS_MAX`].
    pub chunk_rows: usize,
    /// Whether to write a `<feature>__status` column (uint8, see
    /// [`Status`](skewless_catalog::Status)) beside each feature.
    pub statuses: bool,
    /// Whether rows count from their event time on, whenever they became known. Not what serving
    /// would have said; the provenance says so.
    pub as_known_now: bool,
    /// Whether an existing output may be replaced.
    pub overwrite: bool,
    /// Folder for spilled sorts; the output's own when not given.
    pub spill_folder: Option<PathBuf>,
    /// Bytes of disk that one sort may spill at most.
    pub spill_bytes_max: u64,
}

impl Default for BackfillOptions {
    fn default() -> BackfillOptions {
        BackfillOptions {
            event_timestamp: EVENT_TIMESTAMP.to_owned(),
            memory_bytes: MEMORY_BYTES_DEFAULT,
            workers: WORKERS_DEFAULT,
            chunk_rows: CHUNK_ROWS_DEFAULT,
            statuses: false,
            as_known_now: false,
            overwrite: false,
            spill_folder: None,
            spill_bytes_max: SPILL_BYTES_MAX_DEFAULT,
        }
    }
}

/// What a backfill did.
#[derive(Clone, Debug)]
pub struct BackfillReport {
    /// Rows written: the spine's.
    pub rows: u64,
    /// Size of the output, bytes.
    pub bytes: u64,
    /// Rows of history read, over all views.
    pub history_rows: u64,
    /// Rows of the spine without a time, for which no stored feature is found.
    pub rows_without_time: u64,
    /// Per key of the service in how many rows of the spine it is null: no stored feature of that key is found there.
    pub null_keys: Vec<NullKey>,
    /// Per feature column how many rows have which status.
    pub features: Vec<FeatureCounts>,
    /// Per transform, in the order they ran, for how many rows it failed.
    pub transforms: Vec<TransformCounts>,
    /// How often transforms failed.
    pub failures_total: u64,
    /// The first [`FAILURES_KEPT_MAX`](crate::config::FAILURES_KEPT_MAX) different failures.
    pub failures: Vec<TransformFailure>,
    /// What the sorts needed.
    pub sorts: SortStats,
    /// What the footer says.
    pub provenance: Provenance,
}

/// In how many rows of the spine a key is null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NullKey {
    /// The key's column.
    pub key: String,
    /// Rows.
    pub rows: u64,
}

/// How many rows of a feature have which status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureCounts {
    /// The feature column.
    pub name: String,
    /// A value is there.
    pub present: u64,
    /// The value is null.
    pub null_value: u64,
    /// No row was visible.
    pub not_found: u64,
    /// The newest row was too old.
    pub outside_max_age: u64,
    /// The transform failed for the row.
    pub transform_failed: u64,
}

/// Runs a backfill. When it fails or is cancelled, no output exists that did not exist before, and
/// an existing one is untouched. Blocks for as long as it takes; must not be called from async code.
pub fn backfill(request: &BackfillRequest<'_>) -> Result<BackfillReport, OfflineError> {
    let options = &request.options;
    check(options)?;
    let plan = Arc::clone(request.program.plan());
    plugin_limits::check_instances(request.engine.config(), &plan, options.workers)?;
    let spine = Spine::open(&plan, &request.spine, Path::new(""), &options.event_timestamp)?;
    let views = views(request, &plan)?;
    let schema = output_schema(&plan, &spine, options.statuses)?;
    let inputs = views.iter().flat_map(|view| view.history.files.iter()).chain(&*spine.files);
    refuse_input(&request.output, inputs)?;
    let ledger = Arc::new(Ledger::default());
    let output = Output::create(&request.output, options.overwrite, Arc::clone(&schema), &ledger)?;

    let job = Job::new(
        &spill_folder(request),
        options.spill_bytes_max,
        ledger,
        request.cancel.clone(),
        Arc::clone(&request.progress),
    )?;
    let provenance = describe(request, &plan, &spine, &views)?;
    let budget = Budget::split(options.memory_bytes, views.len(), options.workers);
    let (mut joined, mut history_rows) = (Vec::new(), 0);
    for view in views.iter() {
        let (found, rows) = join_view(&job, &spine, &plan, view, &budget)?;
        joined.push(compute::ViewFound {
            found,
            lookups: view.lookups.clone(),
            features: view.features.clone(),
        });
        history_rows += rows;
    }
    let computed = compute::run(
        compute::Run {
            engine: request.engine,
            program: request.program,
            job: &job,
            spine: &spine,
            schema,
            statuses: options.statuses,
            workers: options.workers,
            chunk_rows: options.chunk_rows,
            budget: budget.chunks,
        },
        joined,
        output,
    )?;
    finish(request, &spine, &views, computed, provenance, history_rows, &job)
}

/// Refuses an output in the place of a file that is read, under whatever name.
fn refuse_input<'a>(
    output: &Path,
    mut inputs: impl Iterator<Item = &'a InputFile>,
) -> Result<(), OfflineError> {
    // An output that isn't there yet is nobody's input.
    let Ok(output) = output.canonicalize() else { return Ok(()) };
    let same = |file: &InputFile| file.path.canonicalize().is_ok_and(|path| path == output);
    match inputs.any(same) {
        true => Err(OfflineError::OutputIsInput { path: output.display().to_string() }),
        false => Ok(()),
    }
}

/// A view the plan reads, with all the roles under which it is asked.
struct ViewRead<'a> {
    view: &'a View,
    history: History,
    /// The plan's lookups of this view, one per role.
    lookups: Vec<usize>,
    /// The view's features that any of them takes, ascending.
    features: Vec<usize>,
}

fn check(options: &BackfillOptions) -> Result<(), OfflineError> {
    if options.memory_bytes < MEMORY_BYTES_MIN {
        let (given, minimum) = (options.memory_bytes, MEMORY_BYTES_MIN);
        return Err(OfflineError::MemoryTooSmall { given, minimum });
    }
    let within = |name, given: usize, most: usize| {
        if (1..=most).contains(&given) {
            return Ok(());
        }
        let expected = format!("1 to {most}");
        Err(OfflineError::BadSetting { name, given: given as u64, expected })
    };
    within("workers", options.workers, WORKERS_MAX)?;
    within("chunk_rows", options.chunk_rows, CHUNK_ROWS_MAX)
}

/// The views the plan reads; a view asked under several roles is read and sorted once.
fn views<'a>(
    request: &BackfillRequest<'a>,
    plan: &Plan,
) -> Result<Vec<ViewRead<'a>>, OfflineError> {
    let mut ids: Vec<ViewId> = plan.lookups.iter().map(|lookup| lookup.view).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
        .map(|id| {
            let lookups: Vec<usize> =
                (0..plan.lookups.len()).filter(|&at| plan.lookups[at].view == id).collect();
            let mut features: Vec<usize> = lookups
                .iter()
                .flat_map(|&at| plan.lookups[at].features.iter().map(|(feature, _)| *feature))
                .collect();
            features.sort_unstable();
            features.dedup();
            let name = || plan.lookups[lookups[0]].view_name.clone();
            let view = request.catalog.views.get(id.0 as usize);
            let view = view.ok_or_else(|| OfflineError::UnknownView { view: name() })?;
            let options = HistoryOptions {
                as_known_now: request.options.as_known_now,
                bad_rows: BadRows::Refuse,
            };
            let history = History::open(view, &features, request.repo, options)?;
            Ok(ViewRead { view, history, lookups, features })
        })
        .collect()
}

/// The spine's columns as they are, then each feature, with its status if asked for.
fn output_schema(plan: &Plan, spine: &Spine, statuses: bool) -> Result<SchemaRef, OfflineError> {
    let mut fields: Vec<Arc<Field>> = spine.schema.fields().iter().cloned().collect();
    for output in &plan.outputs {
        let mut add = |name: String, ty: DataType, nullable: bool| {
            if fields.iter().any(|field| field.name() == &name) {
                return Err(OfflineError::NameTaken { column: name });
            }
            fields.push(Arc::new(Field::new(name, ty, nullable)));
            Ok(())
        };
        add(output.name.clone(), arrow_type(output.ty), true)?;
        if statuses {
            add(status_column(&output.name), DataType::UInt8, false)?;
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The name of a feature's status column.
pub fn status_column(feature: &str) -> String {
    format!("{feature}__status")
}

fn spill_folder(request: &BackfillRequest<'_>) -> PathBuf {
    let beside = hidden(&request.output, "spill");
    match (&request.options.spill_folder, beside.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => beside,
    }
}

/// Joins one view to the spine. When it returns, only the answers, sorted back to spine order, are
/// left in memory or spilled.
fn join_view(
    job: &Arc<Job>,
    spine: &Spine,
    plan: &Plan,
    view: &ViewRead<'_>,
    budget: &Budget,
) -> Result<(Found, u64), OfflineError> {
    let history = &view.history;
    let phase = Phase::Join(history.view.clone());
    let roles: Vec<Vec<usize>> =
        view.lookups.iter().map(|&at| plan.lookups[at].keys.clone()).collect();
    let asks = spine.asks(job, &history.view, roles, budget.spine)?;
    let counts = Arc::new(Mutex::new(Counts::default()));
    let sorted = history.sorted(job, budget.history, phase.clone(), &counts)?;
    let rows = batch_rows(budget.answers, history.row_bytes());
    let answers = join(job, view.view.rule, asks, sorted, history.schema(), rows);
    let spec = SortSpec {
        what: format!("the answers of view `{}`", history.view),
        schema: answer_schema(history.schema()),
        budget_bytes: budget.answers,
        batch_rows: rows,
    };
    let found = Found::start(job, job.sort(spec, answers)?)?;
    let rows = counts.lock().unwrap_or_else(PoisonError::into_inner).rows;
    job.progress.report(&phase, rows, rows);
    Ok((found, rows))
}

/// The provenance, with every input file hashed. `rows` is the spine's.
fn describe(
    request: &BackfillRequest<'_>,
    plan: &Plan,
    spine: &Spine,
    views: &[ViewRead<'_>],
) -> Result<Provenance, OfflineError> {
    let all = || views.iter().map(|view| &view.history.files).chain([&spine.files]);
    let bytes = all().flat_map(|files| files.iter()).map(|file| file.bytes).sum();
    let mut digester = Digester {
        progress: request.progress.as_ref(),
        cancel: &request.cancel,
        done: 0,
        total: bytes,
    };
    let mut used = Vec::new();
    for view in views {
        used.push(describe_view(view.view, digester.digest(&view.history.files)?));
    }
    let feature = |name: &str, ty: skewless_batch::Type| FeatureWritten {
        name: name.to_owned(),
        ty: ty.to_string(),
    };
    let transform = |step: &skewless_catalog::Step| TransformUsed {
        name: step.transform.clone(),
        plugin: step.digest.to_string(),
    };
    Ok(Provenance {
        version: provenance::VERSION,
        skewless: env!("CARGO_PKG_VERSION").to_owned(),
        service: plan.service.clone(),
        plan_fingerprint: plan.fingerprint.to_string(),
        catalog_fingerprint: request.catalog.fingerprint.to_string(),
        transforms: plan.steps.iter().map(transform).collect(),
        limits: LimitsUsed::of(request.engine),
        event_timestamp: request.options.event_timestamp.clone(),
        as_of: if request.options.as_known_now { AsOf::AsKnownNow } else { AsOf::AsServed },
        views: used,
        spine: digester.digest(&spine.files)?,
        features: plan.outputs.iter().map(|output| feature(&output.name, output.ty)).collect(),
        statuses: request.options.statuses,
        rows: spine.rows(),
    })
}

fn describe_view(view: &View, files: Vec<FileDigest>) -> ViewUsed {
    let boundary = match view.rule.boundary {
        Boundary::Inclusive => "inclusive",
        Boundary::Exclusive => "exclusive",
    };
    ViewUsed {
        name: view.name.clone(),
        fingerprint: view.fingerprint.to_string(),
        boundary: boundary.to_owned(),
        ttl_us: view.rule.ttl_us,
        lag_us: view.rule.lag_us,
        created_timestamp: view.source.as_ref().and_then(|source| source.created_timestamp.clone()),
        files,
    }
}

/// Makes sure that what was read is what was hashed, then puts the output in place.
fn finish(
    request: &BackfillRequest<'_>,
    spine: &Spine,
    views: &[ViewRead<'_>],
    computed: Computed,
    provenance: Provenance,
    history_rows: u64,
    job: &Job,
) -> Result<BackfillReport, OfflineError> {
    let histories = views.iter().flat_map(|view| view.history.files.iter());
    histories.chain(spine.files.iter()).try_for_each(InputFile::check_unchanged)?;
    request.cancel.check()?;
    let rows = computed.output.rows();
    if rows != provenance.rows {
        let message = format!("{rows} rows were computed for {} spine rows", provenance.rows);
        return Err(OfflineError::Worker(message));
    }
    let json = serde_json::to_string(&provenance).map_err(|error| OfflineError::BadProvenance {
        file: request.output.display().to_string(),
        reason: error.to_string(),
    })?;
    let bytes = computed.output.finish(vec![(provenance::KEY.to_owned(), json)])?;
    let keys = request.program.plan().keys.iter().map(|key| key.name.clone());
    let null_keys =
        keys.zip(computed.lacking.keys).map(|(key, rows)| NullKey { key, rows }).collect();
    Ok(BackfillReport {
        rows,
        bytes,
        history_rows,
        rows_without_time: computed.lacking.time,
        null_keys,
        features: computed.features,
        transforms: computed.failures.transforms,
        failures_total: computed.failures_total,
        failures: computed.failures.kept,
        sorts: job.stats(),
        provenance,
    })
}

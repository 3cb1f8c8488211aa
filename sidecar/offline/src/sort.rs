//! Sorting more rows than fit in memory, by DataFusion's spilling sort: the one place that knows
//! DataFusion. What is sorted always has one key column, the first, whose values are all
//! different (they end in a position), so the order is total and never depends on memory,
//! threads or how rows came in batches.
//!
//! Every sort has a fixed share of the job's memory limit and a pool of its own that enforces it;
//! the job's [`Ledger`] adds up what all of them hold at the same moment.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{SortOptions, take_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion_common::{DataFusionError, resources_datafusion_err};
use datafusion_execution::config::SessionConfig;
use datafusion_execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion_execution::memory_pool::{MemoryLimit, MemoryPool, MemoryReservation};
use datafusion_execution::runtime_env::RuntimeEnvBuilder;
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::sorts::sort::SortExec;
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use crate::OfflineError;
use crate::memory::Ledger;
use crate::progress::{CancelFlag, Progress};

/// Batches on their way into a sort.
pub(crate) type Batches = BoxStream<'static, Result<RecordBatch, DataFusionError>>;

/// What all sorts of one backfill or load share.
pub(crate) struct Job {
    runtime: tokio::runtime::Runtime,
    spill: SpillDir,
    spill_bytes_max: u64,
    pub(crate) ledger: Arc<Ledger>,
    sorts: Mutex<Vec<Arc<SortExec>>>,
    failure: Mutex<Option<OfflineError>>,
    pub(crate) cancel: CancelFlag,
    pub(crate) progress: Arc<dyn Progress>,
}

/// What the sorts of a job did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SortStats {
    /// Most bytes that the sorts, a backfill's chunks and its writer held at one moment.
    pub peak_bytes: u64,
    /// Bytes written to spill files.
    pub spilled_bytes: u64,
    /// Spill files written.
    pub spill_files: u64,
}

/// One sort to be done.
pub(crate) struct SortSpec {
    /// What is sorted, for messages.
    pub(crate) what: String,
    pub(crate) schema: SchemaRef,
    /// The sort's share of the memory limit, bytes.
    pub(crate) budget_bytes: usize,
    /// Rows a batch of the result has.
    pub(crate) batch_rows: usize,
}

/// A sorted stream.
pub(crate) struct Sorted {
    what: String,
    budget_bytes: usize,
    stream: SendableRecordBatchStream,
}

impl Job {
    /// A job that spills under `spill_root`, in a folder that is gone when the job is dropped.
    pub(crate) fn new(
        spill_root: &Path,
        spill_bytes_max: u64,
        ledger: Arc<Ledger>,
        cancel: CancelFlag,
        progress: Arc<dyn Progress>,
    ) -> Result<Arc<Job>, OfflineError> {
        let spill = SpillDir::create(spill_root)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(SORT_THREADS)
            .thread_name("skewless-sort")
            .build()
            .map_err(|e| OfflineError::io("start sort threads for", spill_root, e))?;
        Ok(Arc::new(Job {
            runtime,
            spill,
            spill_bytes_max,
            ledger,
            sorts: Mutex::default(),
            failure: Mutex::default(),
            cancel,
            progress,
        }))
    }

    /// `input`, sorted by its first column. Nothing is read before the result is asked for rows.
    pub(crate) fn sort(&self, spec: SortSpec, input: Batches) -> Result<Sorted, OfflineError> {
        let SortSpec { what, schema, budget_bytes, batch_rows } = spec;
        let failed = |error: DataFusionError| OfflineError::Sort {
            what: what.clone(),
            reason: error.to_string(),
        };
        let pool =
            Share { budget_bytes, used: AtomicUsize::new(0), ledger: Arc::clone(&self.ledger) };
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![self.spill.path.clone()]))
            .with_max_temp_directory_size(self.spill_bytes_max);
        let env = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(failed)?;
        let config = SessionConfig::new()
            .with_batch_size(batch_rows)
            .with_sort_spill_reservation_bytes(budget_bytes / MERGE_SHARE)
            .with_sort_in_place_threshold_bytes(budget_bytes / RUN_SHARE);
        let context = TaskContext::default().with_session_config(config).with_runtime(env);
        let source = Arc::new(Once { schema: Arc::clone(&schema), input: Mutex::new(Some(input)) });
        let table = StreamingTableExec::try_new(
            Arc::clone(&schema),
            vec![source],
            None,
            Vec::<LexOrdering>::new(),
            false,
            None,
        )
        .map_err(failed)?;
        let column = Arc::new(Column::new(schema.field(0).name(), 0));
        let options = SortOptions { descending: false, nulls_first: true };
        let order = LexOrdering::new([PhysicalSortExpr::new(column, options)])
            .expect("one sort column is an ordering");
        let sort = Arc::new(SortExec::new(order, Arc::new(table)));
        lock(&self.sorts).push(Arc::clone(&sort));
        let stream = sort.execute(0, Arc::new(context)).map_err(failed)?;
        Ok(Sorted { what, budget_bytes, stream })
    }

    /// The next batch of a sorted stream. Must not be called from async code.
    pub(crate) fn next(&self, sorted: &mut Sorted) -> Result<Option<RecordBatch>, OfflineError> {
        self.cancel.check()?;
        match self.runtime.block_on(sorted.stream.next()) {
            None => Ok(None),
            Some(Ok(batch)) => Ok(Some(batch)),
            Some(Err(error)) => Err(self.explain(&sorted.what, sorted.budget_bytes, &error)),
        }
    }

    /// Keeps `error` for the caller and gives DataFusion a word to carry it through.
    pub(crate) fn fail(&self, error: OfflineError) -> DataFusionError {
        let message = error.to_string();
        lock(&self.failure).get_or_insert(error);
        DataFusionError::External(message.into())
    }

    pub(crate) fn stats(&self) -> SortStats {
        let mut stats = SortStats { peak_bytes: self.ledger.peak() as u64, ..SortStats::default() };
        for metrics in lock(&self.sorts).iter().filter_map(|sort| sort.metrics()) {
            stats.spilled_bytes += metrics.spilled_bytes().unwrap_or(0) as u64;
            stats.spill_files += metrics.spill_count().unwrap_or(0) as u64;
        }
        stats
    }

    fn explain(&self, what: &str, budget_bytes: usize, error: &DataFusionError) -> OfflineError {
        if let Some(error) = lock(&self.failure).take() {
            return error;
        }
        let (what, reason) = (what.to_owned(), error.to_string());
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => {
                OfflineError::OutOfMemory { what, limit: budget_bytes as u64, reason }
            }
            _ => OfflineError::Sort { what, reason },
        }
    }
}

impl Sorted {
    /// The stream itself, to be joined with another inside a third sort. Its errors are kept for
    /// the caller, so that they name this sort and not the one around it.
    pub(crate) fn into_batches(self, job: &Arc<Job>) -> Batches {
        let job = Arc::clone(job);
        let Sorted { what, budget_bytes, stream } = self;
        let explain = move |error| job.fail(job.explain(&what, budget_bytes, &error));
        stream.map_err(explain).boxed()
    }
}

/// Rows that fill a [`BATCH_SHARE`] of `budget_bytes`, given a row's size.
pub(crate) fn batch_rows(budget_bytes: usize, row_bytes: usize) -> usize {
    const ROWS_MIN: usize = 16;
    (budget_bytes / BATCH_SHARE / row_bytes.max(1))
        .clamp(ROWS_MIN, crate::config::CHUNK_ROWS_DEFAULT)
}

/// `batch` in pieces of at most `bytes_max` with buffers of their own, so that a few large rows
/// among many small ones can't overrun a sort. A single row is never cut.
pub(crate) fn pieces(
    batch: RecordBatch,
    bytes_max: usize,
) -> Result<Vec<RecordBatch>, DataFusionError> {
    let bytes = batch.get_array_memory_size();
    if bytes <= bytes_max || batch.num_rows() <= 1 {
        return Ok(vec![batch]);
    }
    let half = batch.num_rows() / 2;
    let part = |from: usize, to: usize| {
        let rows = UInt64Array::from_iter_values(from as u64..to as u64);
        take_record_batch(&batch, &rows)
    };
    let mut all = pieces(part(0, half)?, bytes_max)?;
    all.extend(pieces(part(half, batch.num_rows())?, bytes_max)?);
    Ok(all)
}

/// The file in a spill folder whose lock says that it is in use.
const SPILL_LOCK: &str = "lock";
/// How DataFusion names the folders that it spills into.
const SPILL_NAMES: &str = "datafusion-";
/// Threads that sort runs while another reads: the sort itself is the largest piece of work.
const SORT_THREADS: usize = 2;
/// A batch is at most this part of its sort's budget: dozens must fit at once to be merged.
pub(crate) const BATCH_SHARE: usize = 64;
/// Part of a sort's budget kept free for merging what was spilled.
const MERGE_SHARE: usize = 4;
/// Batches are concatenated up to this part of the budget before they are sorted.
const RUN_SHARE: usize = 16;

/// One sort's part of the memory limit, enforced.
#[derive(Debug)]
struct Share {
    budget_bytes: usize,
    used: AtomicUsize,
    ledger: Arc<Ledger>,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "share of {} bytes", self.budget_bytes)
    }
}

impl MemoryPool for Share {
    fn name(&self) -> &str {
        "share"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        self.used.fetch_add(additional, Ordering::Relaxed);
        self.ledger.hold(additional);
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        self.used.fetch_sub(shrink, Ordering::Relaxed);
        self.ledger.release(shrink);
    }

    fn try_grow(
        &self,
        reservation: &MemoryReservation,
        additional: usize,
    ) -> Result<(), DataFusionError> {
        let fits = |used: usize| {
            let total = used.saturating_add(additional);
            (total <= self.budget_bytes).then_some(total)
        };
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|used| {
            resources_datafusion_err!(
                "{} needs {additional} bytes more, {used} of {} are in use",
                reservation.consumer().name(),
                self.budget_bytes
            )
        })?;
        self.ledger.hold(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.budget_bytes)
    }
}

/// A stream as a table that can be read once.
struct Once {
    schema: SchemaRef,
    input: Mutex<Option<Batches>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let input = lock(&self.input).take().unwrap_or_else(|| futures::stream::empty().boxed());
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), input))
    }
}

/// The folder of a job's spill files, removed with all that is in it. Locked while in use, so that
/// two jobs can't take each other's files for the remains of a killed one.
struct SpillDir {
    path: PathBuf,
    _lock: File,
}

impl SpillDir {
    /// Takes over `path`: what a killed job left there is removed first. A folder with anything else in it is somebody's,
    /// and refused as it is.
    fn create(path: &Path) -> Result<SpillDir, OfflineError> {
        std::fs::create_dir_all(path).map_err(|e| OfflineError::io("create", path, e))?;
        let is_left = |name: &OsStr| {
            name == SPILL_LOCK || name.as_encoded_bytes().starts_with(SPILL_NAMES.as_bytes())
        };
        for entry in std::fs::read_dir(path).map_err(|e| OfflineError::io("list", path, e))? {
            let name = entry.map_err(|e| OfflineError::io("list", path, e))?.file_name();
            if !is_left(&name) {
                let came = name.to_string_lossy().into_owned();
                return Err(OfflineError::SpillTaken { path: path.display().to_string(), came });
            }
        }
        let lock = path.join(SPILL_LOCK);
        let lock = File::create(&lock).map_err(|e| OfflineError::io("create", &lock, e))?;
        let busy = || OfflineError::SpillBusy { path: path.display().to_string() };
        lock.try_lock().map_err(|_| busy())?;
        let entries = std::fs::read_dir(path).map_err(|e| OfflineError::io("list", path, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| OfflineError::io("list", path, e))?;
            if entry.file_name() == SPILL_LOCK {
                continue;
            }
            std::fs::remove_dir_all(entry.path())
                .map_err(|e| OfflineError::io("clear", &entry.path(), e))?;
        }
        Ok(SpillDir { path: path.to_owned(), _lock: lock })
    }
}

impl Drop for SpillDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "can't remove the spill folder");
        }
    }
}

/// A lock whose data stays valid when a thread panics while holding it.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

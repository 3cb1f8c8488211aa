//! A bulk load's whole life: a view's history is read and sorted like for a backfill, then fed in key
//! order to a store's loader, in this process or behind a sidecar's `Load`. The loader keeps the newest
//! due row of each key, lets rows not yet due wait, and makes all of it visible at once on commit. When
//! anything fails before, nothing changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use skewless_batch::Column;
use skewless_catalog::{Catalog, View};
use skewless_store::{CommitMode, CommitReport, Rows, Store, ViewHandle, key};

use crate::OfflineError;
use crate::columns;
use crate::config::{
    LOAD_BYTES, LOAD_ROWS, MEMORY_BYTES_DEFAULT, MEMORY_BYTES_MIN, SPILL_BYTES_MAX_DEFAULT,
};
use crate::files::{self, FileDigest, InputFile};
use crate::history::{Counts, History, HistoryOptions};
use crate::order::HistoryOrder;
use crate::parquet_in::{BadRows, Rejects};
use crate::progress::{CancelFlag, Phase, Progress};
use crate::row_bytes::{self, rows_within};
use crate::sort::{Job, SortStats};

/// What to load.
pub struct LoadRequest<'a> {
    /// The definitions.
    pub catalog: &'a Catalog,
    /// The name of the view whose source is loaded.
    pub view: &'a str,
    /// The folder that relative source paths of the definitions start from.
    pub repo: &'a Path,
    /// The store.
    pub store: &'a Store,
    /// The view in the store.
    pub handle: &'a Arc<ViewHandle>,
    /// The time of the load, microseconds UTC: rows due by then can be read once it is committed.
    pub now_us: i64,
    /// What happens to rows that are there already.
    pub mode: CommitMode,
    /// Everything that has a default.
    pub options: LoadOptions,
    /// Folder for spilled sorts, made if needed and emptied of an earlier load's remains.
    pub spill_folder: &'a Path,
    /// Hears how far it is.
    pub progress: Arc<dyn Progress>,
    /// Stops it; once the commit runs, it runs to its end.
    pub cancel: CancelFlag,
}

/// How to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Memory for reading and sorting, bytes; at least [`MEMORY_BYTES_MIN`]. The store's staging comes
    /// on top, bounded by its configuration.
    pub memory_bytes: u64,
    /// What to do with rows that can't be read as declared.
    pub bad_rows: BadRows,
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions { memory_bytes: MEMORY_BYTES_DEFAULT, bad_rows: BadRows::Refuse }
    }
}

/// A view's history, read in the order in which a store is loaded.
pub struct HistoryRequest<'a> {
    /// The definitions.
    pub catalog: &'a Catalog,
    /// The name of the view whose source is read.
    pub view: &'a str,
    /// The folder that relative source paths of the definitions start from.
    pub repo: &'a Path,
    /// Everything that has a default.
    pub options: LoadOptions,
    /// Folder for spilled sorts, made if needed and emptied of an earlier load's remains.
    pub spill_folder: &'a Path,
    /// Hears how far it is.
    pub progress: Arc<dyn Progress>,
    /// Stops it.
    pub cancel: CancelFlag,
}

/// What was read of a history.
#[derive(Clone, Debug)]
pub struct HistoryRead {
    /// Rows in the files.
    pub rows_read: u64,
    /// Rows left out, by reason; empty unless bad rows are skipped.
    pub rejects: Rejects,
    /// The files read.
    pub files: Vec<FileDigest>,
    /// What sorting needed.
    pub sorts: SortStats,
}

/// What a load did.
#[derive(Clone, Debug)]
pub struct LoadReport {
    /// What was read.
    pub read: HistoryRead,
    /// What the store made of it.
    pub commit: CommitReport,
}

/// Loads one view into a store of this process. Blocks; must not be called from async code.
pub fn load(request: &LoadRequest<'_>) -> Result<LoadReport, OfflineError> {
    let mut loader = request.store.stage(request.handle, request.now_us)?;
    let history = HistoryRequest {
        catalog: request.catalog,
        view: request.view,
        repo: request.repo,
        options: request.options.clone(),
        spill_folder: request.spill_folder,
        progress: Arc::clone(&request.progress),
        cancel: request.cancel.clone(),
    };
    let read = sorted_history(&history, &mut |rows| Ok(loader.push(&rows)?))?;
    let commit = request.store.commit(loader, request.mode, request.now_us)?;
    Ok(LoadReport { read, commit })
}

/// Reads one view's history and hands it over in the store's key order, at most [`LOAD_ROWS`] rows and
/// [`LOAD_BYTES`] at a time. Only when this has returned without an error is what was handed over the whole history:
/// whoever takes the rows must not make them visible before. Blocks; must not be called from async code.
pub fn sorted_history(
    request: &HistoryRequest<'_>,
    push: &mut dyn FnMut(Rows) -> Result<(), OfflineError>,
) -> Result<HistoryRead, OfflineError> {
    if request.options.memory_bytes < MEMORY_BYTES_MIN {
        let (given, minimum) = (request.options.memory_bytes, MEMORY_BYTES_MIN);
        return Err(OfflineError::MemoryTooSmall { given, minimum });
    }
    let unknown = || OfflineError::UnknownView { view: request.view.to_owned() };
    let view = request.catalog.view(request.view).ok_or_else(unknown)?;
    let features: Vec<usize> = (0..view.features.len()).collect();
    let options = HistoryOptions { as_known_now: false, bad_rows: request.options.bad_rows };
    let history = History::open(view, &features, request.repo, options)?;
    let job = Job::new(
        &spill_folder(request),
        SPILL_BYTES_MAX_DEFAULT,
        Arc::default(),
        request.cancel.clone(),
        Arc::clone(&request.progress),
    )?;
    let mut digester = files::Digester {
        progress: request.progress.as_ref(),
        cancel: &request.cancel,
        done: 0,
        total: history.files.iter().map(|file| file.bytes).sum(),
    };
    let digests = digester.digest(&history.files)?;
    let counts = feed(request, &job, view, &history, push)?;
    history.files.iter().try_for_each(InputFile::check_unchanged)?;
    request.cancel.check()?;
    Ok(HistoryRead {
        rows_read: counts.rows,
        rejects: counts.rejects,
        files: digests,
        sorts: job.stats(),
    })
}

fn spill_folder(request: &HistoryRequest<'_>) -> PathBuf {
    request.spill_folder.join(format!(".{}.load-spill", request.view))
}

/// Sorts the history and hands it over.
fn feed(
    request: &HistoryRequest<'_>,
    job: &Arc<Job>,
    view: &View,
    history: &History,
    push: &mut dyn FnMut(Rows) -> Result<(), OfflineError>,
) -> Result<Counts, OfflineError> {
    let phase = Phase::Load(view.name.clone());
    let counts = Arc::new(Mutex::new(Counts::default()));
    // The other quarter is for batches between reader, sort and loader.
    let budget = usize::try_from(request.options.memory_bytes / 4 * 3).unwrap_or(usize::MAX);
    let mut sorted = history.sorted(job, budget, phase.clone(), &counts)?;
    while let Some(batch) = job.next(&mut sorted)? {
        // How many rows a batch has depends on the memory limit; what the store takes doesn't.
        let sizes = row_bytes::of(&batch);
        let mut start = 0;
        while start < sizes.len() {
            let next = sizes[start..].iter().copied().take(LOAD_ROWS);
            let count = rows_within(next, LOAD_BYTES);
            push(store_rows(view, &batch.slice(start, count))?)?;
            start += count;
        }
    }
    let counts = std::mem::take(&mut *counts.lock().unwrap_or_else(PoisonError::into_inner));
    request.progress.report(&phase, counts.rows, counts.rows);
    Ok(counts)
}

/// Sorted history rows as the store takes them.
fn store_rows(view: &View, batch: &RecordBatch) -> Result<Rows, OfflineError> {
    let count = batch.num_rows();
    let mut rows = Rows {
        keys: view.keys.iter().map(|column| Column::with_capacity(column.ty, count)).collect(),
        event_us: Vec::with_capacity(count),
        known_us: Vec::with_capacity(count),
        deleted: Vec::with_capacity(count),
        features: Vec::with_capacity(view.features.len()),
    };
    for bytes in batch.column(0).as_binary::<i32>().iter().flatten() {
        let (bytes, order) = HistoryOrder::decode(bytes);
        let decoded = key::decode(bytes, &mut rows.keys);
        decoded.map_err(|error| OfflineError::Worker(error.to_string()))?;
        rows.event_us.push(order.stamp.event_us);
        rows.known_us.push(order.stamp.known_us);
        rows.deleted.push(order.deleted);
    }
    for (field, array) in view.features.iter().zip(&batch.columns()[1..]) {
        let mut column = columns::column(array, &field.name, field.ty)?;
        // As the sidecar does with rows that come over gRPC: one NaN, whatever made it.
        column.canonicalize_nans();
        rows.features.push(column);
    }
    Ok(rows)
}

//! A view's history as rows to be sorted: entity key, due time, stamp, tombstone, and only the
//! features somebody reads. When a row may be seen is the catalog's visibility rule, called here
//! once a row for its due time; this file decides nothing about it.
//!
//! A row without a created timestamp (no such column, or null) was known at its event time. Rows tied on event and
//! known time are ordered by position: the file's index, then the row in the file.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion_common::DataFusionError;
use futures::StreamExt;
use skewless_batch::{Column, Type};
use skewless_catalog::View;
use skewless_catalog::visibility::{Rule, Stamp};
use skewless_store::key;

use crate::OfflineError;
use crate::cast::arrow_type;
use crate::columns;
use crate::config::POSITION_ROW_BITS;
use crate::files::{self, InputFile};
use crate::order::{HISTORY_TAIL, HistoryOrder};
use crate::parquet_in::{BadRows, Opened, Reader, Reject, Rejects, Rows, Wanted};
use crate::progress::Phase;
use crate::sort::{BATCH_SHARE, Batches, Job, SortSpec, Sorted, batch_rows, pieces};

/// The history of one view, its files found and their columns checked.
#[derive(Clone)]
pub(crate) struct History {
    pub(crate) view: String,
    pub(crate) files: Arc<[InputFile]>,
    rule: Rule,
    as_known_now: bool,
    bad_rows: BadRows,
    /// Keys first, then event, created and deleted as far as there are, then the features.
    wanted: Arc<[Wanted]>,
    keys: usize,
    created: Option<usize>,
    deleted: Option<usize>,
    features: usize,
    schema: SchemaRef,
    row_bytes: usize,
}

/// How a history is to be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HistoryOptions {
    pub(crate) as_known_now: bool,
    pub(crate) bad_rows: BadRows,
}

/// Counts of what was read, shared with the stream that reads.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) rows: u64,
    pub(crate) rejects: Rejects,
}

impl History {
    /// Finds the files of `view`'s source, relative ones from `root`, and checks that each has the
    /// columns needed: keys, times and `features` (indexes into the view's).
    pub(crate) fn open(
        view: &View,
        features: &[usize],
        root: &Path,
        options: HistoryOptions,
    ) -> Result<History, OfflineError> {
        let Some(source) = &view.source else {
            return Err(OfflineError::NoSource { view: view.name.clone() });
        };
        let files = files::expand(root, &source.paths)?;
        let wanted = |name: &str, ty| Wanted { name: name.to_owned(), ty };
        let mut columns: Vec<Wanted> =
            view.keys.iter().map(|column| wanted(&column.name, column.ty)).collect();
        columns.push(wanted(&source.event_timestamp, Type::Timestamp));
        let mut optional = |name: &Option<String>, ty| {
            let name = name.as_ref()?;
            columns.push(wanted(name, ty));
            Some(columns.len() - 1)
        };
        let created = optional(&source.created_timestamp, Type::Timestamp);
        let deleted = optional(&source.deleted, Type::Bool);
        let first_feature = columns.len();
        columns.extend(features.iter().map(|&feature| {
            let field = &view.features[feature];
            wanted(&field.name, field.ty)
        }));
        let mut row_bytes = 0;
        for file in &files {
            let opened = Opened::open(file)?;
            for column in &columns {
                opened.find(column)?;
            }
            row_bytes = row_bytes.max(opened.row_bytes(&columns));
        }
        let mut fields = vec![Field::new("order", DataType::Binary, false)];
        fields.extend(
            columns[first_feature..].iter().enumerate().map(|(index, column)| {
                Field::new(format!("f{index}"), arrow_type(column.ty), true)
            }),
        );
        Ok(History {
            view: view.name.clone(),
            files: files.into(),
            rule: view.rule,
            as_known_now: options.as_known_now,
            bad_rows: options.bad_rows,
            keys: view.keys.len(),
            created,
            deleted,
            features: first_feature,
            schema: Arc::new(Schema::new(fields)),
            row_bytes: row_bytes + HISTORY_TAIL,
            wanted: columns.into(),
        })
    }

    /// The columns of a sorted history: `order`, then the features.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Bytes a row takes in memory, roughly.
    pub(crate) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// All rows in order of key, then due time, then stamp. `counts` is complete when the first
    /// sorted row comes out.
    pub(crate) fn sorted(
        &self,
        job: &Arc<Job>,
        budget_bytes: usize,
        phase: Phase,
        counts: &Arc<Mutex<Counts>>,
    ) -> Result<Sorted, OfflineError> {
        let batch_rows = batch_rows(budget_bytes, self.row_bytes);
        let scan = Scan {
            history: self.clone(),
            job: Arc::clone(job),
            phase,
            counts: Arc::clone(counts),
            total: files::rows(&self.files),
            batch_rows,
            next_file: 0,
            reader: None,
        };
        let spec = SortSpec {
            what: format!("the history of view `{}`", self.view),
            schema: Arc::clone(&self.schema),
            budget_bytes,
            batch_rows,
        };
        job.sort(spec, scan.batches(budget_bytes / BATCH_SHARE * 4))
    }

    /// The rows as they are sorted: order bytes and features.
    fn ordered(
        &self,
        rows: Rows,
        file: usize,
        name: &str,
        rejects: &mut Rejects,
    ) -> Result<RecordBatch, OfflineError> {
        let rows = self.without_nulls(rows, name, rejects)?;
        let keys: Vec<Column> = (0..self.keys)
            .map(|key| {
                columns::column(&rows.columns[key], &self.wanted[key].name, self.wanted[key].ty)
            })
            .collect::<Result<_, _>>()?;
        let event = rows.columns[self.keys].as_primitive::<TimestampMicrosecondType>();
        let created =
            self.created.map(|at| rows.columns[at].as_primitive::<TimestampMicrosecondType>());
        let deleted = self.deleted.map(|at| rows.columns[at].as_boolean());
        let count = rows.numbers.len();
        let mut order = BinaryBuilder::with_capacity(count, count * (HISTORY_TAIL + 16));
        let mut bytes = Vec::new();
        for row in 0..count {
            let event_us = event.value(row);
            let created = created.filter(|created| created.is_valid(row));
            let known_us = created.map_or(event_us, |created| created.value(row));
            let position = (file as u64) << POSITION_ROW_BITS | rows.numbers[row];
            let stamp = Stamp { event_us, known_us, position };
            let due_us = if self.as_known_now {
                self.rule.due_as_known_now_us(&stamp)
            } else {
                self.rule.due_us(&stamp)
            };
            // A null in the deleted column says nothing, so the row stands.
            let deleted =
                deleted.is_some_and(|deleted| deleted.is_valid(row) && deleted.value(row));
            bytes.clear();
            let valid = key::encode(&keys, row, &mut bytes);
            debug_assert!(valid, "rows with null keys were refused");
            HistoryOrder { due_us, stamp, deleted }.encode(&mut bytes);
            order.append_value(&bytes);
        }
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(order.finish())];
        arrays.extend(rows.columns.into_iter().skip(self.features));
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .map_err(|error| OfflineError::parquet(name, error))
    }

    /// Refuses rows without key or event time, or leaves them out.
    fn without_nulls(
        &self,
        rows: Rows,
        name: &str,
        rejects: &mut Rejects,
    ) -> Result<Rows, OfflineError> {
        let required = 0..=self.keys;
        if required.clone().all(|column| rows.columns[column].null_count() == 0) {
            return Ok(rows);
        }
        let null_in =
            |row: usize| required.clone().find(|&column| rows.columns[column].is_null(row));
        let mut keep = Vec::with_capacity(rows.numbers.len());
        for row in 0..rows.numbers.len() {
            let null = null_in(row);
            keep.push(null.is_none());
            let Some(column) = null else { continue };
            let (reject, expected) = if column < self.keys {
                (Reject::NullKey, "a key, since a row without one can never be looked up")
            } else {
                (Reject::NullTime, "a timestamp, since a row without one is never visible")
            };
            if self.bad_rows == BadRows::Refuse {
                return Err(OfflineError::NullValue {
                    file: name.to_owned(),
                    column: self.wanted[column].name.clone(),
                    row: rows.numbers[row],
                    expected: expected.to_owned(),
                });
            }
            *rejects.entry(reject).or_default() += 1;
        }
        rows.keep(&BooleanArray::from(keep), name)
    }
}

/// Reads a history's files one after the other.
struct Scan {
    history: History,
    job: Arc<Job>,
    phase: Phase,
    counts: Arc<Mutex<Counts>>,
    total: u64,
    batch_rows: usize,
    next_file: usize,
    reader: Option<Reader>,
}

impl Scan {
    fn batches(mut self, piece_bytes: usize) -> Batches {
        let batches = std::iter::from_fn(move || match self.next() {
            Ok(None) => None,
            Ok(Some(batch)) => Some(pieces(batch, piece_bytes)),
            Err(error) => Some(Err(self.job.fail(error))),
        });
        let flat = batches.flat_map(|pieces| match pieces {
            Ok(pieces) => pieces.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err::<RecordBatch, DataFusionError>(error)],
        });
        futures::stream::iter(flat).boxed()
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, OfflineError> {
        loop {
            self.job.cancel.check()?;
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => {
                    let Some(file) = self.history.files.get(self.next_file) else {
                        return Ok(None);
                    };
                    self.next_file += 1;
                    let opened = Opened::open(file)?;
                    let reader = opened.read(&self.history.wanted, self.batch_rows, false)?;
                    self.reader.insert(reader)
                }
            };
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            match reader.next(self.history.bad_rows, &mut counts.rejects)? {
                None => self.reader = None,
                Some(rows) => {
                    let (name, file) = (reader.name().to_owned(), self.next_file - 1);
                    counts.rows += rows.read;
                    let batch = self.history.ordered(rows, file, &name, &mut counts.rejects)?;
                    self.job.progress.report(&self.phase, counts.rows, self.total);
                    return Ok(Some(batch));
                }
            }
        }
    }
}

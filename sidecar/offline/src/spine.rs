//! The spine: the rows that want features. It is read once per view for (key, time asked) and once
//! more, chunk by chunk, when the answers are put together; its own order is the output's order.
//!
//! A row without a time or with a null in a key stays in the output like any other; nothing is found
//! for it, since no row is due at an unknown time and no key is unknown. Both are counted for the report: a
//! null there is mostly a mistake.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, RecordBatch, UInt64Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use futures::StreamExt;
use skewless_batch::{Column, Type};
use skewless_catalog::Plan;
use skewless_store::key;

use crate::OfflineError;
use crate::cast::type_name;
use crate::columns;
use crate::config::{READ_ROWS_UNKNOWN, SPINE_ROWS_MAX};
use crate::files::{self, InputFile};
use crate::memory::{Held, Ledger};
use crate::order::{SPINE_TAIL, SpineOrder};
use crate::parquet_in::{BadRows, Opened, Reader, Rejects, Wanted};
use crate::row_bytes;
use crate::sort::{BATCH_SHARE, Batches, Job, SortSpec, Sorted, batch_rows, pieces};

/// The spine's column that holds the time each row asks for, unless told otherwise.
pub const EVENT_TIMESTAMP: &str = "event_timestamp";

/// A spine, its files found and their columns checked against a plan.
#[derive(Clone)]
pub(crate) struct Spine {
    pub(crate) files: Arc<[InputFile]>,
    /// The columns as the files have them, all of them carried through to the output.
    pub(crate) schema: SchemaRef,
    /// The time, then the plan's keys, then its request columns.
    wanted: Arc<[Wanted]>,
    keys: usize,
}

/// A chunk of spine rows, ready to become a frame.
pub(crate) struct SpineRows {
    /// Spine row number of the first row here, over all files.
    pub(crate) first: u64,
    /// Which of them lack what stored features are found by.
    pub(crate) lacking: Lacking,
    /// All columns as the file has them.
    pub(crate) carried: RecordBatch,
    /// Per plan key its values.
    pub(crate) keys: Vec<ArrayRef>,
    /// Per request column its values; `None` if the spine doesn't have it.
    pub(crate) request: Vec<Option<ArrayRef>>,
}

/// How many rows lack what stored features are found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lacking {
    /// Rows without a time.
    pub(crate) time: u64,
    /// Per plan key the rows in which it is null.
    pub(crate) keys: Vec<u64>,
}

impl Lacking {
    /// None of no rows, for a plan of `keys` keys.
    pub(crate) fn none(keys: usize) -> Lacking {
        Lacking { time: 0, keys: vec![0; keys] }
    }

    /// With the rows of the next chunk.
    pub(crate) fn add(&mut self, more: &Lacking) {
        self.time += more.time;
        self.keys.iter_mut().zip(&more.keys).for_each(|(rows, more)| *rows += more);
    }
}

impl Spine {
    /// Finds the files and checks that each has the time `event_timestamp`, the plan's keys and its
    /// request columns, and the same columns as the first. A nullable request column may be
    /// missing: it is null then, as in a request that leaves it out.
    pub(crate) fn open(
        plan: &Plan,
        patterns: &[String],
        root: &Path,
        event_timestamp: &str,
    ) -> Result<Spine, OfflineError> {
        let files = files::expand(root, patterns)?;
        files::within("spine rows", files::rows(&files), SPINE_ROWS_MAX)?;
        let wanted = |name: &str, ty| Wanted { name: name.to_owned(), ty };
        let mut columns = vec![wanted(event_timestamp, Type::Timestamp)];
        columns.extend(plan.keys.iter().map(|key| wanted(&key.name, key.ty)));
        columns.extend(plan.request.iter().map(|request| wanted(&request.name, request.ty)));
        let mut first: Option<(String, SchemaRef)> = None;
        for file in &files {
            let opened = Opened::open(file)?;
            let optional = |name: &str| {
                plan.request.iter().any(|request| request.nullable && request.name == name)
                    && opened.schema().fields().iter().all(|field| field.name() != name)
            };
            for column in &columns {
                if !optional(&column.name) {
                    opened.find(column)?;
                }
            }
            match &first {
                None => first = Some((file.name.clone(), Arc::clone(opened.schema()))),
                Some((name, schema)) => same_columns(&file.name, opened.schema(), name, schema)?,
            }
        }
        if let Some((name, schema)) = &first {
            let fields = schema.fields();
            for field in fields {
                let count = fields.iter().filter(|other| other.name() == field.name()).count();
                if count > 1 {
                    let (file, column) = (name.clone(), field.name().clone());
                    return Err(OfflineError::DuplicateColumn { file, column, count });
                }
            }
        }
        let schema = first.map_or_else(|| Arc::new(Schema::empty()), |(_, schema)| schema);
        columns.retain(|column| schema.fields().iter().any(|field| field.name() == &column.name));
        let schema = Arc::new(Schema::new(schema.fields().clone()));
        Ok(Spine { files: files.into(), schema, wanted: columns.into(), keys: plan.keys.len() })
    }

    pub(crate) fn rows(&self) -> u64 {
        files::rows(&self.files)
    }

    /// All (key, time asked) pairs of one view in order of key, then time. `roles` holds, per role
    /// under which the view is asked, the indexes of its keys among the plan's. A row
    /// without time or key is left out: nothing can be found for it.
    pub(crate) fn asks(
        &self,
        job: &Arc<Job>,
        view: &str,
        roles: Vec<Vec<usize>>,
        budget_bytes: usize,
    ) -> Result<Sorted, OfflineError> {
        /// A key's bytes when nothing better is known.
        const KEY_BYTES_GUESS: usize = 24;
        let schema = Arc::new(Schema::new(vec![Field::new("order", DataType::Binary, false)]));
        let batch_rows = batch_rows(budget_bytes, (SPINE_TAIL + KEY_BYTES_GUESS) * roles.len());
        let spec = SortSpec {
            what: format!("the spine by the key of view `{view}`"),
            schema: Arc::clone(&schema),
            budget_bytes,
            batch_rows,
        };
        let wanted: Vec<Wanted> = self.wanted[..=self.keys].to_vec();
        let piece_bytes = budget_bytes / BATCH_SHARE * 4;
        let most = ReadMost { rows: batch_rows, bytes: piece_bytes };
        let mut scan = SpineScan::new(self, wanted, most, false);
        let owner = Arc::clone(job);
        let batches = std::iter::from_fn(move || {
            let next = owner.cancel.check().and_then(|()| scan.next());
            let asks = next.map(|rows| rows.map(|rows| asks(&rows, &roles, &schema)));
            match asks {
                Ok(None) => None,
                Ok(Some(Ok(batch))) => Some(pieces(batch, piece_bytes)),
                Ok(Some(Err(error))) | Err(error) => Some(Err(owner.fail(error))),
            }
        });
        let flat = batches.flat_map(|pieces| match pieces {
            Ok(pieces) => pieces.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        });
        let batches: Batches = futures::stream::iter(flat).boxed();
        job.sort(spec, batches)
    }

    /// The spine in its own order with all columns, to be cut into chunks; about `most` is read at once.
    pub(crate) fn chunks(&self, plan: &Plan, most: ReadMost, ledger: &Arc<Ledger>) -> Chunks {
        let place = |name: &str| self.wanted.iter().position(|wanted| wanted.name == name);
        Chunks {
            request: plan.request.iter().map(|request| place(&request.name)).collect(),
            keys: self.keys,
            scan: SpineScan::new(self, self.wanted.to_vec(), most, true),
            ahead: None,
            held: Held::new(ledger),
        }
    }
}

/// See [`Spine::chunks`].
pub(crate) struct Chunks {
    scan: SpineScan,
    keys: usize,
    request: Vec<Option<usize>>,
    ahead: Option<Ahead>,
    held: Held,
}

/// Rows that are read but not yet given out.
struct Ahead {
    rows: Scanned,
    /// The bytes of each row.
    sizes: Vec<usize>,
    /// How many of them were given out.
    given: usize,
}

impl Chunks {
    /// The number of the spine row that comes next, and the bytes of the rows from it on that are read
    /// already; `None` at the end.
    pub(crate) fn peek(&mut self) -> Result<Option<(u64, &[usize])>, OfflineError> {
        if self.ahead.as_ref().is_none_or(|ahead| ahead.given == ahead.sizes.len()) {
            self.ahead = None;
            self.ahead = self.scan.next()?.map(|rows| {
                let sizes = row_bytes::of(&rows.raw);
                self.held.set(rows.raw.get_array_memory_size());
                Ahead { rows, sizes, given: 0 }
            });
        }
        let ahead = self.ahead.as_ref();
        Ok(ahead.map(|a| (a.rows.first + a.given as u64, &a.sizes[a.given..])))
    }

    /// The next `count` rows, of those that [`Chunks::peek`] showed.
    pub(crate) fn take(&mut self, count: usize) -> Result<SpineRows, OfflineError> {
        let Some(mut ahead) = self.ahead.take() else {
            return Err(OfflineError::Worker("no rows were read".to_owned()));
        };
        if ahead.given == 0 && count == ahead.sizes.len() {
            self.held.set(0);
            return Ok(self.spine_rows(ahead.rows.first, ahead.rows.raw, &ahead.rows.columns));
        }
        // With buffers of their own, so that a chunk keeps nothing but its own rows.
        let cut = ahead.rows.copy(ahead.given, count)?;
        let rows = self.spine_rows(cut.first, cut.raw, &cut.columns);
        ahead.given += count;
        if ahead.given < ahead.sizes.len() {
            self.ahead = Some(ahead);
        } else {
            self.held.set(0);
        }
        Ok(rows)
    }

    fn spine_rows(&self, first: u64, carried: RecordBatch, columns: &[ArrayRef]) -> SpineRows {
        let request = |place: &Option<usize>| place.map(|place| Arc::clone(&columns[place]));
        let keys = columns[1..=self.keys].to_vec();
        let nulls = |column: &ArrayRef| column.null_count() as u64;
        let lacking = Lacking { time: nulls(&columns[0]), keys: keys.iter().map(nulls).collect() };
        SpineRows {
            first,
            lacking,
            keys,
            request: self.request.iter().map(request).collect(),
            carried,
        }
    }

    /// The file and the row within it of spine row `row`, for messages.
    pub(crate) fn locate(&self, row: u64) -> (String, u64) {
        let mut rest = row;
        for file in self.scan.files.iter() {
            if rest < file.rows {
                return (file.name.clone(), rest);
            }
            rest -= file.rows;
        }
        (String::new(), rest)
    }
}

/// How much of the spine is read at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadMost {
    /// Never more rows.
    pub(crate) rows: usize,
    /// About as many bytes; a single row may be larger.
    pub(crate) bytes: usize,
}

impl ReadMost {
    /// Rows of `row_bytes` each that are read at once.
    fn rows_of(&self, row_bytes: usize) -> usize {
        (self.bytes / row_bytes.max(1)).clamp(1, self.rows)
    }
}

/// Reads the spine's files one after the other.
struct SpineScan {
    files: Arc<[InputFile]>,
    wanted: Vec<Wanted>,
    most: ReadMost,
    all: bool,
    next_file: usize,
    next_row: u64,
    reader: Option<Reader>,
    /// Rows that the reader reads at once.
    batch_rows: usize,
}

struct Scanned {
    first: u64,
    /// Time and keys encoded for messages: file and column of the time.
    columns: Vec<ArrayRef>,
    key_types: Vec<(String, Type)>,
    raw: RecordBatch,
}

impl SpineScan {
    fn new(spine: &Spine, wanted: Vec<Wanted>, most: ReadMost, all: bool) -> SpineScan {
        SpineScan {
            files: Arc::clone(&spine.files),
            wanted,
            most,
            all,
            next_file: 0,
            next_row: 0,
            reader: None,
            batch_rows: 1,
        }
    }

    fn next(&mut self) -> Result<Option<Scanned>, OfflineError> {
        loop {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => {
                    let Some(file) = self.files.get(self.next_file) else { return Ok(None) };
                    self.next_file += 1;
                    let opened = Opened::open(file)?;
                    self.batch_rows = match opened.row_bytes_stored(&self.wanted, self.all) {
                        Some(bytes) => self.most.rows_of(bytes),
                        None => READ_ROWS_UNKNOWN.min(self.most.rows),
                    };
                    self.reader.insert(opened.read(&self.wanted, self.batch_rows, self.all)?)
                }
            };
            let Some(rows) = reader.next(BadRows::Refuse, &mut Rejects::new())? else {
                self.reader = None;
                continue;
            };
            self.adapt(rows.numbers.len(), rows.raw.get_array_memory_size())?;
            let first = self.next_row;
            self.next_row += rows.numbers.len() as u64;
            return Ok(Some(Scanned {
                first,
                columns: rows.columns,
                key_types: self.wanted.iter().skip(1).map(|w| (w.name.clone(), w.ty)).collect(),
                raw: rows.raw,
            }));
        }
    }

    /// Goes on with fewer rows at once, or with more, when those that were just read are far from what
    /// was expected.
    fn adapt(&mut self, rows: usize, bytes: usize) -> Result<(), OfflineError> {
        let fit = self.most.rows_of(bytes / rows.max(1));
        let batch_rows = if bytes > 2 * self.most.bytes && fit < self.batch_rows {
            fit
        } else if fit >= 4 * self.batch_rows {
            4 * self.batch_rows
        } else {
            return Ok(());
        };
        let (Some(reader), Some(file)) = (&self.reader, self.files.get(self.next_file - 1)) else {
            return Ok(());
        };
        let next = reader.next_row();
        self.batch_rows = batch_rows;
        let opened = Opened::open(file)?;
        self.reader = Some(opened.read_from(next, &self.wanted, batch_rows, self.all)?);
        Ok(())
    }
}

impl Scanned {
    /// Some of the rows, with buffers of their own.
    fn copy(&self, from: usize, count: usize) -> Result<Scanned, OfflineError> {
        let broken = |error| OfflineError::parquet("spine", error);
        let rows = UInt64Array::from_iter_values(from as u64..(from + count) as u64);
        let raw = take_record_batch(&self.raw, &rows).map_err(broken)?;
        let columns = self.columns.iter().map(|column| {
            // What needed no cast is a column of the raw rows, and stays one.
            let same = self.raw.columns().iter().position(|raw| Arc::ptr_eq(raw, column));
            match same {
                Some(at) => Ok(Arc::clone(raw.column(at))),
                None => take(column, &rows, None).map_err(broken),
            }
        });
        let columns = columns.collect::<Result<_, _>>()?;
        let (first, key_types) = (self.first + from as u64, self.key_types.clone());
        Ok(Scanned { first, columns, key_types, raw })
    }
}

/// The order bytes of every (row, role) whose key is complete.
fn asks(
    rows: &Scanned,
    roles: &[Vec<usize>],
    schema: &SchemaRef,
) -> Result<RecordBatch, OfflineError> {
    let keys: Vec<Column> = rows
        .key_types
        .iter()
        .zip(&rows.columns[1..])
        .map(|((name, ty), array)| columns::column(array, name, *ty))
        .collect::<Result<_, _>>()?;
    let time = rows.columns[0].as_primitive::<TimestampMicrosecondType>();
    let mut order = BinaryBuilder::new();
    let mut bytes = Vec::new();
    for row in (0..time.len()).filter(|&row| time.is_valid(row)) {
        for (role, role_keys) in roles.iter().enumerate() {
            bytes.clear();
            if !key::encode(role_keys.iter().map(|&key| &keys[key]), row, &mut bytes) {
                continue;
            }
            let id = (rows.first + row as u64) * roles.len() as u64 + role as u64;
            SpineOrder { t_us: time.value(row), id }.encode(&mut bytes);
            order.append_value(&bytes);
        }
    }
    RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(order.finish())])
        .map_err(|error| OfflineError::parquet("spine", error))
}

fn same_columns(
    file: &str,
    schema: &SchemaRef,
    first_file: &str,
    first: &SchemaRef,
) -> Result<(), OfflineError> {
    let differ = |difference: String| OfflineError::SpineSchemasDiffer {
        file: file.to_owned(),
        first: first_file.to_owned(),
        difference,
    };
    if schema.fields().len() != first.fields().len() {
        let (came, expected) = (schema.fields().len(), first.fields().len());
        return Err(differ(format!("it has {came} columns, expected {expected}")));
    }
    for (came, expected) in schema.fields().iter().zip(first.fields()) {
        if came.name() != expected.name() || came.data_type() != expected.data_type() {
            let (mut expected_type, mut came_type) =
                (type_name(expected.data_type()), type_name(came.data_type()));
            // Whether elements may be null, say, has no word of ours.
            if expected_type == came_type && expected.name() == came.name() {
                expected_type = format!("{expected_type} (Arrow's {})", expected.data_type());
                came_type = format!("{came_type} (Arrow's {})", came.data_type());
            }
            return Err(differ(format!(
                "expected `{}` of type {expected_type}, came `{}` of type {came_type}",
                expected.name(),
                came.name(),
            )));
        }
    }
    Ok(())
}

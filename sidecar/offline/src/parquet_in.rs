//! Reading Parquet: one file at a time, row group by row group, only the columns asked for, each
//! cast to its declared type. Every mistake in a file becomes a named error here; nothing behind
//! this file sees a foreign type.
//!
//! Cost: pages are read as they are needed; memory is one batch of rows plus one page a column.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, new_empty_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use skewless_batch::Type;

use crate::OfflineError;
use crate::cast::{CastProblem, arrow_type, cast, type_name};
use crate::files::InputFile;

/// A column to be read and the type it is declared to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) ty: Type,
}

/// What to do with a row that can't be read as declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadRows {
    /// The job fails and names the first one. The default: a silent gap is skew.
    #[default]
    Refuse,
    /// The row is left out and counted by its reason.
    Skip,
}

/// Rows left out, by reason. Empty unless [`BadRows::Skip`] was asked for.
pub type Rejects = BTreeMap<Reject, u64>;

/// Why a row was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reject {
    /// A value that its declared type can't hold.
    BadValue,
    /// A timestamp outside the years -9999 to 9999.
    TimeOutOfRange,
    /// No event timestamp.
    NullTime,
    /// A key column is null.
    NullKey,
}

impl Reject {
    /// The reason in words.
    pub fn name(self) -> &'static str {
        match self {
            Reject::BadValue => "bad value",
            Reject::TimeOutOfRange => "timestamp out of range",
            Reject::NullTime => "null timestamp",
            Reject::NullKey => "null key",
        }
    }
}

/// An opened file: its footer is read and checked, its rows are not.
pub(crate) struct Opened {
    name: String,
    file: File,
    metadata: ArrowReaderMetadata,
}

/// Rows of one file with the columns wanted, in that order, in our Arrow types.
pub(crate) struct Rows {
    /// How many rows were read for this, those left out included.
    pub(crate) read: u64,
    /// Row numbers within the file, from 0, of the rows here.
    pub(crate) numbers: Vec<u64>,
    /// One array per [`Wanted`].
    pub(crate) columns: Vec<ArrayRef>,
    /// The same rows as the file has them: all its columns if asked for, else those wanted.
    pub(crate) raw: RecordBatch,
}

impl Opened {
    pub(crate) fn open(file: &InputFile) -> Result<Opened, OfflineError> {
        let name = file.name.clone();
        let opened = File::open(&file.path).map_err(|e| OfflineError::io("open", &file.path, e))?;
        let parquet = |error| OfflineError::parquet(&name, error);
        let options = ArrowReaderOptions::new();
        let metadata = ArrowReaderMetadata::load(&opened, options).map_err(parquet)?;
        let metadata = without_int96(metadata).map_err(parquet)?;
        Ok(Opened { name: file.name.clone(), file: opened, metadata })
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// Where `column` is among the file's columns; it must be there once and castable to its type.
    pub(crate) fn find(&self, wanted: &Wanted) -> Result<usize, OfflineError> {
        let fields = self.schema().fields();
        let found: Vec<usize> = fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.name() == &wanted.name)
            .map(|(index, _)| index)
            .collect();
        let (file, column) = (self.name.clone(), wanted.name.clone());
        match found.as_slice() {
            [] => Err(OfflineError::MissingColumn {
                file,
                column,
                expected: wanted.ty.to_string(),
                available: fields.iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", "),
            }),
            [index] => {
                let empty = new_empty_array(fields[*index].data_type());
                match cast(&empty, wanted.ty) {
                    Ok(_) => Ok(*index),
                    Err(_) => Err(wrong_type(&self.name, wanted, fields[*index].data_type())),
                }
            }
            more => Err(OfflineError::DuplicateColumn { file, column, count: more.len() }),
        }
    }

    /// Bytes a row of the columns wanted takes in memory, roughly.
    pub(crate) fn row_bytes(&self, wanted: &[Wanted]) -> usize {
        let groups = self.metadata.metadata().row_groups();
        let rows: i64 = groups.iter().map(|group| group.num_rows()).sum();
        let stored: i64 =
            groups
                .iter()
                .flat_map(|group| group.columns())
                .filter(|column| {
                    column.column_path().parts().first().is_some_and(|root| {
                        wanted.iter().any(|w| &w.name == root && is_variable(w.ty))
                    })
                })
                .map(|column| column.uncompressed_size())
                .sum();
        let variable = usize::try_from(stored / rows.max(1)).unwrap_or(0);
        variable + wanted.iter().map(|wanted| value_bytes(wanted.ty)).sum::<usize>()
    }

    /// Bytes a row of the columns wanted, or of all, has by the file's own word: the mean of the row
    /// group in which it is greatest. `None` if some values may be far larger than that: those of a dictionary
    /// are stored once, and not every writer says how large they are together.
    pub(crate) fn row_bytes_stored(&self, wanted: &[Wanted], all: bool) -> Option<usize> {
        let mut most = 0;
        for group in self.metadata.metadata().row_groups() {
            let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
            let mut bytes = 0_u64;
            for column in group.columns() {
                let root = column.column_path().parts().first();
                if !all && !root.is_some_and(|root| wanted.iter().any(|w| &w.name == root)) {
                    continue;
                }
                let stored = u64::try_from(column.uncompressed_size()).unwrap_or(0);
                let values = u64::try_from(column.num_values()).unwrap_or(0);
                let decoded = match column.column_type() {
                    PhysicalType::BYTE_ARRAY => match column.unencoded_byte_array_data_bytes() {
                        Some(bytes) => u64::try_from(bytes).unwrap_or(0) + 4 * values,
                        None if column.dictionary_page_offset().is_some() => return None,
                        None => stored,
                    },
                    PhysicalType::FIXED_LEN_BYTE_ARRAY => {
                        let length = column.column_descr().type_length();
                        values * u64::try_from(length).unwrap_or(0)
                    }
                    _ => 8 * values,
                };
                bytes += stored.max(decoded);
            }
            most = most.max(bytes.div_ceil(rows));
        }
        usize::try_from(most).ok()
    }

    /// A reader of the columns `wanted`, `batch_rows` at a time; with `all`, the raw rows hold
    /// every column of the file.
    pub(crate) fn read(
        self,
        wanted: &[Wanted],
        batch_rows: usize,
        all: bool,
    ) -> Result<Reader, OfflineError> {
        self.read_from(0, wanted, batch_rows, all)
    }

    /// As [`Opened::read`], from row `first` on.
    pub(crate) fn read_from(
        self,
        first: u64,
        wanted: &[Wanted],
        batch_rows: usize,
        all: bool,
    ) -> Result<Reader, OfflineError> {
        let roots: Vec<usize> =
            wanted.iter().map(|wanted| self.find(wanted)).collect::<Result<_, _>>()?;
        let name = self.name;
        let parquet = |error| OfflineError::parquet(&name, error);
        let (groups, offset) = groups_from(&self.metadata, first);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file, self.metadata)
            .with_batch_size(batch_rows)
            .with_row_groups(groups)
            .with_offset(offset);
        let builder = if all {
            builder
        } else {
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
            builder.with_projection(mask)
        };
        // Projected columns keep the file's order: find each root's place among those kept.
        let mut kept = roots.clone();
        kept.sort_unstable();
        kept.dedup();
        let places = roots
            .iter()
            .map(|root| if all { *root } else { kept.partition_point(|kept| kept < root) })
            .collect();
        let reader = builder.build().map_err(parquet)?;
        Ok(Reader { name, reader, wanted: wanted.to_vec(), places, next_row: first })
    }
}

/// The row groups that hold the rows from `first` on, and where in the first of them it is.
fn groups_from(metadata: &ArrowReaderMetadata, first: u64) -> (Vec<usize>, usize) {
    let groups = metadata.metadata().row_groups();
    let mut before = first;
    let mut from = 0;
    for group in groups {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        if before < rows {
            break;
        }
        before -= rows;
        from += 1;
    }
    ((from..groups.len()).collect(), usize::try_from(before).unwrap_or(usize::MAX))
}

/// Spark's old 96-bit timestamps are read as microseconds: as nanoseconds, far dates would wrap.
fn without_int96(
    metadata: ArrowReaderMetadata,
) -> Result<ArrowReaderMetadata, parquet::errors::ParquetError> {
    let is_int96 = |name: &str| {
        metadata.parquet_schema().columns().iter().any(|column| {
            column.physical_type() == PhysicalType::INT96
                && column.path().parts().first().is_some_and(|root| root == name)
        })
    };
    let fields: Vec<Arc<Field>> = metadata
        .schema()
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, zone) if is_int96(field.name()) => {
                let us = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                Arc::new(field.as_ref().clone().with_data_type(us))
            }
            _ => Arc::clone(field),
        })
        .collect();
    if fields.iter().eq(metadata.schema().fields().iter()) {
        return Ok(metadata);
    }
    let schema = Schema::new_with_metadata(fields, metadata.schema().metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
}

/// Bytes of one value in memory; for variable types only what offsets take, the rest is measured.
pub(crate) fn value_bytes(ty: Type) -> usize {
    match ty {
        Type::Bool => 1,
        Type::Int32 | Type::Float32 => 4,
        Type::Int64 | Type::Float64 | Type::Timestamp => 8,
        Type::Embedding(dim) => 4 * dim as usize,
        Type::Utf8 | Type::Binary | Type::ListInt64 | Type::ListFloat64 | Type::ListUtf8 => {
            crate::config::VARIABLE_BYTES_GUESS
        }
    }
}

/// Whether values of the type differ in size.
pub(crate) fn is_variable(ty: Type) -> bool {
    matches!(ty, Type::Utf8 | Type::Binary | Type::ListInt64 | Type::ListFloat64 | Type::ListUtf8)
}

fn wrong_type(file: &str, wanted: &Wanted, found: &DataType) -> OfflineError {
    OfflineError::WrongType {
        file: file.to_owned(),
        column: wanted.name.clone(),
        expected: wanted.ty.to_string(),
        found: type_name(found),
    }
}

/// Reads one file's rows in order.
pub(crate) struct Reader {
    name: String,
    reader: ParquetRecordBatchReader,
    wanted: Vec<Wanted>,
    places: Vec<usize>,
    next_row: u64,
}

impl Reader {
    /// The row that comes next.
    pub(crate) fn next_row(&self) -> u64 {
        self.next_row
    }

    /// The file's name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The next rows, `None` at the end of the file. Rows that can't be read are refused, or left
    /// out and counted in `rejects`.
    pub(crate) fn next(
        &mut self,
        bad: BadRows,
        rejects: &mut Rejects,
    ) -> Result<Option<Rows>, OfflineError> {
        let Some(raw) = self.reader.next() else { return Ok(None) };
        let raw = raw.map_err(|error| OfflineError::parquet(&self.name, error))?;
        let first = self.next_row;
        self.next_row += raw.num_rows() as u64;
        let numbers = (first..self.next_row).collect();
        let read = self.next_row - first;
        let mut rows = Rows { read, numbers, columns: Vec::new(), raw };
        loop {
            match self.cast_all(&rows.raw) {
                Ok(columns) => {
                    rows.columns = columns;
                    return Ok(Some(rows));
                }
                Err((_, CastProblem::Value { row, .. })) if bad == BadRows::Skip => {
                    *rejects.entry(Reject::BadValue).or_default() += 1;
                    rows = rows.without(row, &self.name)?;
                }
                Err((_, CastProblem::Time { row, .. })) if bad == BadRows::Skip => {
                    *rejects.entry(Reject::TimeOutOfRange).or_default() += 1;
                    rows = rows.without(row, &self.name)?;
                }
                Err((column, problem)) => return Err(self.explain(column, problem, &rows)),
            }
        }
    }

    fn cast_all(&self, raw: &RecordBatch) -> Result<Vec<ArrayRef>, (usize, CastProblem)> {
        self.wanted
            .iter()
            .zip(&self.places)
            .enumerate()
            .map(|(column, (wanted, place))| {
                let array = cast(raw.column(*place), wanted.ty).map_err(|p| (column, p))?;
                debug_assert_eq!(array.data_type(), &arrow_type(wanted.ty));
                Ok(array)
            })
            .collect()
    }

    fn explain(&self, column: usize, problem: CastProblem, rows: &Rows) -> OfflineError {
        let (wanted, file) = (&self.wanted[column], self.name.clone());
        let name = wanted.name.clone();
        match problem {
            CastProblem::Type => {
                wrong_type(&file, wanted, rows.raw.column(self.places[column]).data_type())
            }
            CastProblem::Value { row, expected, found } => OfflineError::BadValue {
                file,
                column: name,
                row: rows.numbers[row],
                expected,
                found,
            },
            CastProblem::Time { row, found } => {
                OfflineError::TimeOutOfRange { file, column: name, row: rows.numbers[row], found }
            }
        }
    }
}

impl Rows {
    /// The rows for which `keep` holds; columns included.
    pub(crate) fn keep(&self, keep: &BooleanArray, file: &str) -> Result<Rows, OfflineError> {
        let broken = |error| OfflineError::parquet(file, error);
        let filter = |array: &ArrayRef| arrow::compute::filter(array, keep).map_err(broken);
        Ok(Rows {
            read: self.read,
            numbers: self
                .numbers
                .iter()
                .enumerate()
                .filter(|(row, _)| keep.value(*row))
                .map(|(_, number)| *number)
                .collect(),
            columns: self.columns.iter().map(filter).collect::<Result<_, _>>()?,
            raw: arrow::compute::filter_record_batch(&self.raw, keep).map_err(broken)?,
        })
    }

    fn without(&self, row: usize, file: &str) -> Result<Rows, OfflineError> {
        let keep: BooleanArray = (0..self.raw.num_rows()).map(|other| Some(other != row)).collect();
        self.keep(&keep, file)
    }
}

#[cfg(test)]
mod tests;

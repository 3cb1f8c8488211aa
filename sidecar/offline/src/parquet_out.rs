//! Writing one Parquet file so that it is there whole or not at all: into a hidden file beside it,
//! synced, then renamed. The bytes depend on the rows alone, not on how they came in chunks: rows
//! are cut anew into writes and row groups of fixed sizes, in rows and in bytes.
//!
//! Held: the rows of one write, twice while it is written, and one row group, encoded.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::OfflineError;
use crate::config::{
    ROW_GROUP_BYTES, ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX, VARIABLE_BYTES_GUESS,
    WRITE_BYTES_MAX, WRITE_ROWS_MAX,
};
use crate::memory::{Held, Ledger};
use crate::row_bytes;

/// A Parquet file being written. Dropped before [`Output::finish`], it leaves nothing.
pub(crate) struct Output {
    path: PathBuf,
    overwrite: bool,
    partial: Partial,
    writer: Option<ArrowWriter<File>>,
    schema: SchemaRef,
    write_rows: usize,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: usize,
    rows: u64,
    held: Held,
}

impl Output {
    /// Reserves `path`: fails if it is a folder or its folder doesn't exist, if it exists and `overwrite` is not set,
    /// or if another process is writing it. What a killed process left of an earlier attempt is discarded.
    pub(crate) fn create(
        path: &Path,
        overwrite: bool,
        schema: SchemaRef,
        ledger: &Arc<Ledger>,
    ) -> Result<Output, OfflineError> {
        // Of one that isn't there, a name that ends as a folder's would show only when all is computed.
        if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(OfflineError::OutputIsFolder { path: path.display().to_string() });
        }
        if !overwrite && path.exists() {
            return Err(OfflineError::OutputExists { path: path.display().to_string() });
        }
        let partial = Partial::create(path)?;
        let row_bytes: usize =
            schema.fields().iter().map(|field| bytes_of(field.data_type())).sum::<usize>().max(1);
        let write_rows = power_of_two(ROW_GROUP_BYTES / 16 / row_bytes, WRITE_ROWS_MAX);
        let group_rows = power_of_two(ROW_GROUP_BYTES / row_bytes, ROW_GROUP_ROWS_MAX);
        let file = partial.file.try_clone();
        let file = file.map_err(|e| OfflineError::io("open", &partial.path, e))?;
        let properties = properties(&schema, group_rows.max(write_rows));
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))
            .map_err(|error| OfflineError::parquet(&path.display().to_string(), error))?;
        Ok(Output {
            path: path.to_owned(),
            overwrite,
            partial,
            writer: Some(writer),
            schema,
            write_rows,
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            rows: 0,
            held: Held::new(ledger),
        })
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds rows.
    pub(crate) fn write(&mut self, batch: RecordBatch) -> Result<(), OfflineError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.rows += batch.num_rows() as u64;
        let mut at = 0;
        for (row, size) in row_bytes::of(&batch).into_iter().enumerate() {
            self.waiting_rows += 1;
            self.waiting_bytes += size;
            if self.waiting_rows == self.write_rows || self.waiting_bytes >= WRITE_BYTES_MAX {
                self.waiting.push(batch.slice(at, row + 1 - at));
                at = row + 1;
                self.write_waiting()?;
            }
        }
        if at == 0 {
            self.waiting.push(batch);
        } else if at < batch.num_rows() {
            // With buffers of its own: the few rows that are left must not keep all of the batch.
            let rest = (at as u64..batch.num_rows() as u64).collect::<Vec<_>>();
            let rest = take_record_batch(&batch, &UInt64Array::from(rest));
            self.waiting.push(rest.map_err(|error| self.failed(error))?);
        }
        self.note();
        Ok(())
    }

    /// Writes the footer with `entries` and puts the file in place. Gives its size in bytes.
    pub(crate) fn finish(mut self, entries: Vec<(String, String)>) -> Result<u64, OfflineError> {
        if self.waiting_rows > 0 {
            self.write_waiting()?;
        }
        if let Some(mut writer) = self.writer.take() {
            for (key, value) in entries {
                writer.append_key_value_metadata(KeyValue::new(key, value));
            }
            writer.close().map_err(|error| self.failed(error))?;
        }
        if !self.overwrite && self.path.exists() {
            return Err(OfflineError::OutputExists { path: self.path.display().to_string() });
        }
        self.partial.put_in_place(&self.path)
    }

    /// Hands the rows that wait to the writer, as one batch.
    fn write_waiting(&mut self) -> Result<(), OfflineError> {
        let waiting = std::mem::take(&mut self.waiting);
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        let batch = match <[RecordBatch; 1]>::try_from(waiting) {
            Ok([batch]) => batch,
            Err(waiting) => {
                let batch = concat_batches(&self.schema, &waiting);
                batch.map_err(|error| self.failed(error))?
            }
        };
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut written = writer.write(&batch);
        let encoded = writer.memory_size();
        self.held.set(batch.get_array_memory_size() + encoded);
        if written.is_ok() && encoded >= ROW_GROUP_BYTES_MAX {
            written = writer.flush();
        }
        written.map_err(|error| self.failed(error))
    }

    /// Puts what is held into the books.
    fn note(&mut self) {
        let encoded = self.writer.as_ref().map_or(0, ArrowWriter::memory_size);
        self.held.set(self.waiting_bytes + encoded);
    }

    fn failed(&self, error: impl std::fmt::Display) -> OfflineError {
        OfflineError::Parquet {
            file: self.path.display().to_string(),
            reason: format!("while writing: {error}"),
        }
    }
}

/// The file that is written before it is renamed; locked, so that two processes can't share it.
struct Partial {
    path: PathBuf,
    file: File,
    done: bool,
}

impl Partial {
    fn create(output: &Path) -> Result<Partial, OfflineError> {
        let path = hidden(output, "partial");
        // Never made: a slip in the path would leave a tree of folders, and the output in it.
        if let Some(folder) = folder(output).filter(|folder| !folder.is_dir()) {
            let path = output.display().to_string();
            return Err(OfflineError::NoFolder { path, folder: folder.display().to_string() });
        }
        // Not truncated on opening: it may be somebody else's until the lock is ours.
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| OfflineError::io("create", &path, e))?;
        let busy = || OfflineError::OutputBusy { path: output.display().to_string() };
        file.try_lock().map_err(|_| busy())?;
        if !is_at(&file, &path) {
            // Whoever held the lock just put the file in place or removed it.
            return Err(busy());
        }
        file.set_len(0).map_err(|e| OfflineError::io("clear", &path, e))?;
        Ok(Partial { path, file, done: false })
    }

    fn put_in_place(&mut self, output: &Path) -> Result<u64, OfflineError> {
        self.file.sync_all().map_err(|e| OfflineError::io("sync", &self.path, e))?;
        let bytes =
            self.file.metadata().map_err(|e| OfflineError::io("read", &self.path, e))?.len();
        std::fs::rename(&self.path, output)
            .map_err(|e| OfflineError::io("rename to", output, e))?;
        self.done = true;
        if let Some(folder) = folder(output) {
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|e| OfflineError::io("sync", folder, e))?;
        }
        Ok(bytes)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "can't remove the partial output");
        }
    }
}

/// `output`'s hidden companion of the given kind, in the same folder.
pub(crate) fn hidden(output: &Path, kind: &str) -> PathBuf {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!(".{name}.{kind}"))
}

fn folder(path: &Path) -> Option<&Path> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Some(Path::new(".")),
        folder => folder,
    }
}

/// Whether `path` still names the open `file`.
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(named)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

/// The greatest power of two up to `rows` and `most`, at least 64.
fn power_of_two(rows: usize, most: usize) -> usize {
    const LEAST: usize = 64;
    let rows = rows.clamp(LEAST, most);
    1 << rows.ilog2()
}

fn bytes_of(ty: &DataType) -> usize {
    match ty {
        DataType::FixedSizeList(field, size) => {
            usize::try_from(*size).unwrap_or(0) * bytes_of(field.data_type())
        }
        DataType::Boolean => 1,
        other => other.primitive_width().unwrap_or(VARIABLE_BYTES_GUESS),
    }
}

fn properties(schema: &SchemaRef, group_rows: usize) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("skewless {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(group_rows));
    // A dictionary of floats costs a hash a value and almost never pays.
    for field in schema.fields() {
        let mut parts = vec![field.name().clone()];
        let leaf = match field.data_type() {
            DataType::FixedSizeList(of, _) | DataType::List(of) => {
                parts.extend(["list".to_owned(), of.name().clone()]);
                of.data_type()
            }
            other => other,
        };
        if matches!(leaf, DataType::Float32 | DataType::Float64) {
            properties = properties.set_column_dictionary_enabled(ColumnPath::new(parts), false);
        }
    }
    properties.build()
}

#[cfg(test)]
mod tests;

//! Everything that can go wrong offline, as one closed enum. A mistake of the user's is named with
//! file, column, row (counted from 0 within its file), what was expected and what came.

use skewless_batch::Type;

/// Why an offline job failed. Nothing is left behind: no output, no half-loaded view.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A path or pattern that matches no file.
    #[error("no file matches `{pattern}`")]
    NoFiles {
        /// The path or glob as it was given.
        pattern: String,
    },
    /// A glob that can't be parsed.
    #[error("`{pattern}` is not a valid glob: {reason}")]
    BadPattern {
        /// The glob as it was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An input consists of too many files or rows.
    #[error("{what}: {found}, the limit is {limit}")]
    TooMany {
        /// What there is too much of.
        what: String,
        /// How much there is.
        found: u64,
        /// The named limit.
        limit: u64,
    },
    /// The file system refused.
    #[error("can't {action} `{path}`: {source}")]
    Io {
        /// What was tried: open, read, create, rename ...
        action: &'static str,
        /// The path concerned.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is not readable as Parquet, or a part of it is damaged.
    #[error("`{file}` can't be read as Parquet: {reason}")]
    Parquet {
        /// The file.
        file: String,
        /// The reader's reason.
        reason: String,
    },
    /// A column that is needed is not in the file.
    #[error("`{file}` has no column `{column}` (expected {expected}); it has: {available}")]
    MissingColumn {
        /// The file.
        file: String,
        /// The column looked for.
        column: String,
        /// The type it should have.
        expected: String,
        /// The columns the file has.
        available: String,
    },
    /// A name that occurs more than once in a file, so that it can't be told which is meant.
    #[error("`{file}` has {count} columns named `{column}`, expected one")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The name.
        column: String,
        /// How often it occurs.
        count: usize,
    },
    /// A column's type can't be read as the type declared without losing values.
    #[error("`{file}`, column `{column}`: expected {expected}, came {found}")]
    WrongType {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The declared type.
        expected: String,
        /// The type found, in the words of `docs/definitions.md`.
        found: String,
    },
    /// One value can't be represented in the declared type.
    #[error(
        "`{file}`, column `{column}`, row {row} (counted from 0): expected {expected}, came {found}"
    )]
    BadValue {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The row within the file, from 0.
        row: u64,
        /// What would have been right.
        expected: String,
        /// The value found.
        found: String,
    },
    /// A timestamp outside the years -9999 to 9999.
    #[error(
        "`{file}`, column `{column}`, row {row} (counted from 0): timestamp {found} is out of range, \
         expected one between the years -9999 and 9999"
    )]
    TimeOutOfRange {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The row within the file, from 0.
        row: u64,
        /// The value found, with its unit.
        found: String,
    },
    /// A null where a value is required (an event timestamp, a history row's key, a request
    /// column that is declared as not nullable).
    #[error(
        "`{file}`, column `{column}`, row {row} (counted from 0): expected {expected}, came null"
    )]
    NullValue {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The row within the file, from 0.
        row: u64,
        /// What is needed there and why.
        expected: String,
    },
    /// Files of one spine that don't have the same columns.
    #[error("`{file}`: its columns differ from those of `{first}`: {difference}")]
    SpineSchemasDiffer {
        /// The file that differs.
        file: String,
        /// The first file of the spine.
        first: String,
        /// What differs.
        difference: String,
    },
    /// A spine column and an output column would have the same name.
    #[error(
        "the spine's column `{column}` has the name of an output column; rename it in the spine or \
         give the feature another name with `as`"
    )]
    NameTaken {
        /// The name.
        column: String,
    },
    /// A view that has no `source` in its definition has no history to read.
    #[error("view `{view}` has no source, so there is no history to read; give it a `source`")]
    NoSource {
        /// The view.
        view: String,
    },
    /// No view of that name.
    #[error("there is no view `{view}`")]
    UnknownView {
        /// The name asked for.
        view: String,
    },
    /// The output exists and overwriting was not asked for.
    #[error("`{path}` exists already; remove it or ask for it to be overwritten")]
    OutputExists {
        /// The output.
        path: String,
    },
    /// The folder that the output shall be put into isn't there.
    #[error("`{path}` can't be written: expected a folder `{folder}`, came none")]
    NoFolder {
        /// The output.
        path: String,
        /// Its folder.
        folder: String,
    },
    /// The output is a folder.
    #[error("`{path}` can't be written: expected a file, came a folder")]
    OutputIsFolder {
        /// The output.
        path: String,
    },
    /// The output is one of the files that are read.
    #[error("`{path}` is read by this backfill, it can't be its output as well")]
    OutputIsInput {
        /// The output.
        path: String,
    },
    /// Another process is writing the same output.
    #[error("`{path}` is being written by another backfill")]
    OutputBusy {
        /// The output.
        path: String,
    },
    /// Another job spills into the same folder.
    #[error("the spill folder `{path}` is in use by another job")]
    SpillBusy {
        /// The folder.
        path: String,
    },
    /// The folder for spill files holds something that no job left there; nothing in it was changed.
    #[error(
        "expected no folder `{path}`, or one with nothing but a killed job's spill files, came one with `{came}`; the job would empty it"
    )]
    SpillTaken {
        /// The folder.
        path: String,
        /// What is in it.
        came: String,
    },
    /// The memory limit is below what the fixed costs need.
    #[error("a memory limit of {given} bytes is too small, at least {minimum} are needed")]
    MemoryTooSmall {
        /// The limit given, bytes.
        given: u64,
        /// The smallest accepted, bytes.
        minimum: u64,
    },
    /// A setting out of its range.
    #[error("{name} is {given}, expected {expected}")]
    BadSetting {
        /// The setting.
        name: &'static str,
        /// What was given.
        given: u64,
        /// The range.
        expected: String,
    },
    /// The rows don't fit the memory limit even when spilling (single rows of enormous size).
    #[error("out of the memory limit while sorting {what} ({limit} bytes for this sort): {reason}")]
    OutOfMemory {
        /// Which sort.
        what: String,
        /// Its share of the memory limit, bytes.
        limit: u64,
        /// The sorter's reason.
        reason: String,
    },
    /// Sorting or spilling failed, most often for want of disk space.
    #[error("sorting {what} failed: {reason}")]
    Sort {
        /// Which sort.
        what: String,
        /// The sorter's reason.
        reason: String,
    },
    /// An input file changed while it was being read.
    #[error("`{file}` changed while it was being read; run the job again")]
    InputChanged {
        /// The file.
        file: String,
    },
    /// The file was not written by a backfill.
    #[error("`{file}` has no `skewless.provenance` in its footer; was it written by a backfill?")]
    NoProvenance {
        /// The file.
        file: String,
    },
    /// The provenance is there but not understood.
    #[error("`{file}`: its provenance can't be read: {reason}")]
    BadProvenance {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// A column can't be turned into the type named; a bug or a foreign file.
    #[error("column `{column}` can't be read as {ty}: {reason}")]
    Convert {
        /// The column.
        column: String,
        /// The type wanted.
        ty: Type,
        /// Why not.
        reason: String,
    },
    /// The job was cancelled; nothing was written.
    #[error("cancelled; nothing was written")]
    Cancelled,
    /// The store refused rows.
    #[error("the store refused the load: {0}")]
    Store(#[from] skewless_store::StoreError),
    /// Whoever takes the rows of a history takes no more.
    #[error("the rows are taken no more")]
    Refused,
    /// A worker thread ended unexpectedly: a bug, with its message.
    #[error("a worker stopped unexpectedly: {0}")]
    Worker(String),
}

impl OfflineError {
    pub(crate) fn io(
        action: &'static str,
        path: &std::path::Path,
        source: std::io::Error,
    ) -> OfflineError {
        OfflineError::Io { action, path: path.display().to_string(), source }
    }

    pub(crate) fn parquet(file: &str, reason: impl std::fmt::Display) -> OfflineError {
        OfflineError::Parquet { file: file.to_owned(), reason: reason.to_string() }
    }
}

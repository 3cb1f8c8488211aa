//! Everything that can go wrong in the store, as variants a caller can act on.

use std::path::PathBuf;

use skewless_batch::Type;

/// Why the store refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another store in this one, holds the folder.
    #[error(
        "expected to be the only one to use the store in {dir}, but its LOCK is held: another process has it open"
    )]
    Locked {
        /// The store's folder.
        dir: PathBuf,
    },
    /// The folder was written by a version this one can't read.
    #[error(
        "expected store format {expected} in {dir}, came {came}; use the version that wrote it, or load into a new folder"
    )]
    WrongFormat {
        /// The store's folder.
        dir: PathBuf,
        /// The format of this version.
        expected: u32,
        /// The format found.
        came: u32,
    },
    /// The folder holds a RocksDB that is no store of ours.
    #[error(
        "expected a skewless store or an empty folder in {dir}, came another RocksDB database; nothing in it was changed; give the store a folder of its own with store_dir or --store"
    )]
    NotAStore {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder holds files of somebody's; none of them was touched.
    #[error(
        "expected a store's folder or an empty one, came {dir}, a folder with other files ({files}); nothing in it was changed; give the store a folder of its own with store_dir or --store"
    )]
    OtherFiles {
        /// The folder.
        dir: PathBuf,
        /// The first few names of what is in it.
        files: String,
    },
    /// A file of the store doesn't hold what was written.
    #[error("corrupt store in {dir}: {file}: {detail}; {advice}")]
    Corrupt {
        /// The store's folder.
        dir: PathBuf,
        /// The file, or the files it must be one of.
        file: String,
        /// What was found.
        detail: String,
        /// What to do.
        advice: &'static str,
    },
    /// The disk, or the quota on it, is full. Reads go on.
    #[error(
        "the disk of the store in {dir} is full: {detail}; nothing of this was acknowledged; free space there (more than store.memtable_bytes): writes go on by themselves within seconds, else restart the sidecar; reads go on meanwhile"
    )]
    DiskFull {
        /// The store's folder.
        dir: PathBuf,
        /// What RocksDB or the system said.
        detail: String,
    },
    /// The disk or the file system failed. Reads go on if what they want can be read.
    #[error(
        "the disk of the store in {dir} failed: {detail}; nothing of this was acknowledged; mend the disk and restart the sidecar; reads go on meanwhile, of what can be read"
    )]
    Disk {
        /// The store's folder.
        dir: PathBuf,
        /// What RocksDB said.
        detail: String,
    },
    /// RocksDB refused for another reason: a defect of this crate.
    #[error("RocksDB refused in {dir}: {detail}")]
    Rocks {
        /// The store's folder.
        dir: PathBuf,
        /// What RocksDB said.
        detail: String,
    },
    /// The configuration is wrong.
    #[error("wrong store configuration: {}", mistakes.join("; "))]
    Config {
        /// One sentence per mistake.
        mistakes: Vec<String>,
    },
    /// A limit of [`crate::StoreConfig`] was exceeded; nothing was written.
    #[error("expected at most {limit} ({name}), came {came}{at}")]
    OverLimit {
        /// The limit's name.
        name: &'static str,
        /// Its value.
        limit: u64,
        /// What came.
        came: u64,
        /// Where, with a leading space, or empty.
        at: String,
    },
    /// The apply thread's queue is full: try again later.
    #[error("{limit} commands wait to be applied already (queue_commands_max); try again later")]
    QueueFull {
        /// The limit.
        limit: usize,
    },
    /// Rows that can't be applied as given; nothing was written.
    #[error("view `{view}`{}: {detail}", row.map(|row| format!(", row {row}")).unwrap_or_default())]
    InvalidRows {
        /// The view.
        view: String,
        /// The first row it is about; `None`: all of them.
        row: Option<usize>,
        /// What was expected and what came.
        detail: String,
    },
    /// A column of another type than the definitions say; nothing was answered or written.
    #[error("view `{view}`: expected {column} of type {expected}, came {came}")]
    WrongType {
        /// The view.
        view: String,
        /// The column.
        column: String,
        /// The type of the definitions.
        expected: Type,
        /// The type that came.
        came: Type,
    },
    /// The view is not in the catalog this set was made from.
    #[error("expected a view of the catalog that was applied, came `{view}`")]
    UnknownView {
        /// The view.
        view: String,
    },
    /// The view's definition was replaced by an incompatible one: use the current view set.
    #[error("view `{view}` was replaced by an incompatible definition; use the current one")]
    Retired {
        /// The view.
        view: String,
    },
    /// A frame that doesn't fit the plan.
    #[error("expected a frame made for this plan with {expected} {what}, came {came}")]
    WrongFrame {
        /// Of what.
        what: &'static str,
        /// How many the plan has.
        expected: usize,
        /// How many came.
        came: usize,
    },
    /// The read's time lies too far before rows already applied.
    #[error(
        "expected a read time of at least {least_us} us, came {t_us}: view `{view}` already holds a newer row (read_behind_us_max)"
    )]
    ReadInThePast {
        /// The view.
        view: String,
        /// The time asked, microseconds UTC.
        t_us: i64,
        /// The least time that can be answered, microseconds UTC.
        least_us: i64,
    },
    /// Writes to the same keys overtook the read again and again.
    #[error("the read was overtaken by writes {attempts} times; try again")]
    Overtaken {
        /// How often it started.
        attempts: usize,
    },
    /// Rows that the read needs fall due and were not moved in the time that was given, as the apply thread is busy.
    #[error(
        "rows that fell due weren't there within {waited_ms} ms, as the store is busy, perhaps with a bulk load; try again"
    )]
    Busy {
        /// How long the read waited.
        waited_ms: u64,
    },
    /// The store was dropped.
    #[error("the store in {dir} is closed")]
    Closed {
        /// The store's folder.
        dir: PathBuf,
    },
    /// The apply thread panicked: nothing is applied any more. Reads that are exact without it go on.
    #[error(
        "the apply thread of the store panicked and the store accepts no more writes: {message}; restart the sidecar and report this"
    )]
    Poisoned {
        /// The panic's message.
        message: String,
    },
    /// Rows of a bulk load that are not in order of their keys.
    #[error(
        "view `{view}`: expected rows sorted by key, but row {row} of the load comes before its predecessor"
    )]
    Unsorted {
        /// The view.
        view: String,
        /// Counted over the whole load.
        row: u64,
    },
    /// A file operation outside RocksDB failed.
    #[error("{path}: {detail}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}

/// What to do about a damaged file of data.
pub(crate) const RELOAD: &str = "nothing was served from it: restore the folder from a copy, or load the views into a new folder";

/// What to do about a folder that may be a damaged store or not a store at all: what would tell them apart can't be read.
pub(crate) const MAYBE_OURS: &str = "nothing was served from it and nothing in it was changed: if it is your store, restore the folder from a copy, or load the views \
     into a new folder; if it is another program's, give the store a folder of its own with store_dir or --store";

/// What to do about a damaged log.
pub(crate) const SALVAGE: &str = "the data before the damage is whole: `skewless salvage` keeps a copy of the log, cuts it at \
     the damage and tells the offsets to replay the sources from";

impl StoreError {
    pub(crate) fn io(path: impl Into<PathBuf>, error: &std::io::Error) -> Self {
        let (path, detail) = (path.into(), error.to_string());
        if is_full(error) {
            Self::DiskFull { dir: path, detail }
        } else {
            Self::Io { path, detail }
        }
    }

    /// Whether [`crate::Store::salvage`] may mend it: a log is damaged, the data before the damage is whole.
    #[must_use]
    pub fn is_salvageable(&self) -> bool {
        matches!(self, Self::Corrupt { advice, .. } if *advice == SALVAGE)
    }

    /// Sorts RocksDB's error by what the caller can do about it.
    pub(crate) fn from_rocks(dir: &std::path::Path, error: &rocksdb::Error) -> Self {
        use rocksdb::ErrorKind;
        let (dir, detail) = (dir.to_owned(), error.to_string());
        match error.kind() {
            ErrorKind::Corruption => {
                let file = named_file(&detail).unwrap_or_else(|| "a file of the store".to_owned());
                let advice = if file.ends_with(".log") { SALVAGE } else { RELOAD };
                Self::Corrupt { dir, file, detail, advice }
            }
            ErrorKind::IOError if FULL.iter().any(|words| detail.contains(words)) => {
                Self::DiskFull { dir, detail }
            }
            ErrorKind::IOError if HELD.iter().any(|words| detail.contains(words)) => {
                Self::Locked { dir }
            }
            ErrorKind::IOError => Self::Disk { dir, detail },
            _ => Self::Rocks { dir, detail },
        }
    }
}

/// What RocksDB says of a full disk, and the system of an exhausted quota.
const FULL: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

/// What RocksDB says of a LOCK that this process or another one holds.
const HELD: [&str; 3] =
    ["lock hold by current process", "LOCK: Resource temporarily unavailable", "LOCK: No locks"];

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// The file a RocksDB message is about, if it names one.
fn named_file(message: &str) -> Option<String> {
    message
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '(' | ')' | '"' | '\''))
        .map(|word| word.trim_matches(|c: char| matches!(c, ':' | '.')))
        .find(|word| {
            let name = word.rsplit('/').next().unwrap_or(word);
            [".sst", ".log", ".ldb"].iter().any(|end| name.ends_with(end))
                || name.starts_with("MANIFEST-")
                || name == "CURRENT"
        })
        .map(str::to_owned)
}

//! The limits and defaults of the offline room, each with its unit and reason. Nothing here reads
//! the environment: callers hand in what they want to differ.

/// Memory a backfill or a load may use when the caller says nothing, bytes. One GiB sorts tens of
/// millions of narrow rows without spilling and fits beside a sidecar on a small machine.
pub const MEMORY_BYTES_DEFAULT: u64 = 1 << 30;

/// Smallest memory limit accepted, bytes. Below it the fixed costs (Parquet pages, one row group
/// being written, two batches per merge) no longer fit, so a smaller promise would be a lie.
pub const MEMORY_BYTES_MIN: u64 = 64 << 20;

/// Rows a chunk of the spine has on its way through join, engine and writer. Large enough to
/// amortise a plugin call, small enough that several chunks in flight stay in the cache and in
/// the memory limit.
pub const CHUNK_ROWS_DEFAULT: usize = 8192;

/// Most rows a chunk may have: the row limit of one Batch.
pub const CHUNK_ROWS_MAX: usize = 1 << 20;

/// Worker threads when the caller says nothing. The results never depend on it.
pub const WORKERS_DEFAULT: usize = 2;

/// Most worker threads. Every worker holds its own plugin instances, so this bounds guest memory.
pub const WORKERS_MAX: usize = 64;

/// Least time a plugin call may take in a backfill, microseconds. Far above serving's 100 ms, so that no
/// row fails because a machine is slow, and still an end to a plugin that loops.
pub const DEADLINE_US_MIN: u64 = 30_000_000;

/// A backfill's deadline is at least this many times the sidecar's: the machine that backfills may be
/// slower, and busy with as many calls as it has cores.
pub const DEADLINE_FACTOR: u64 = 10;

/// Stack of a worker thread beside the `stack_bytes_max` that guests have on it, bytes: what the standard
/// library gives a thread.
pub const WORKER_STACK_BYTES: usize = 2 << 20;

/// Most Parquet files one input may consist of. The file's index is the upper part of a row's
/// position, see [`POSITION_ROW_BITS`].
pub const FILES_MAX: usize = 1 << 20;

/// Bits of a row's position that hold the row within its file; the file's index is above them.
pub const POSITION_ROW_BITS: u32 = 40;

/// Most rows of one input file: what [`POSITION_ROW_BITS`] can number.
pub const FILE_ROWS_MAX: u64 = 1 << POSITION_ROW_BITS;

/// Most rows of a spine over all its files: row numbers times roles must fit 64 bits.
pub const SPINE_ROWS_MAX: u64 = 1 << 48;

/// Estimated bytes of a row group of the output, by which its row count is chosen from the
/// output's types alone (never from the memory limit, or the same backfill would give different
/// bytes on a smaller machine).
pub const ROW_GROUP_BYTES: usize = 16 << 20;

/// Most rows of a row group of the output; readers parallelise by row group.
pub const ROW_GROUP_ROWS_MAX: usize = 131_072;

/// Rows handed to the Parquet writer at once, at most. Fixed, so that page borders and with them
/// the output's bytes do not depend on how the work was cut.
pub const WRITE_ROWS_MAX: usize = 8192;

/// Memory that a row group of the output may take before it is written, bytes: rows may be far larger
/// than their types let expect. Above [`ROW_GROUP_BYTES`], so that it only cuts where that estimate is
/// wrong; fixed for the same reason.
pub const ROW_GROUP_BYTES_MAX: usize = 24 << 20;

/// Bytes of rows, by their values, after which they are handed to the Parquet writer. Twice what is
/// expected of [`WRITE_ROWS_MAX`] rows by their types, and fixed like them.
pub const WRITE_BYTES_MAX: usize = 2 << 20;

/// Rows of a spine read at once when nothing says how large they are; more, or less, once some were seen.
pub const READ_ROWS_UNKNOWN: usize = 256;

/// Rows of the first chunk when a plugin's outputs may be of any size; the next are cut by what it gave.
pub const CHUNK_ROWS_UNKNOWN: usize = 64;

/// Bytes a value of variable length is taken to have when only its type is known.
pub const VARIABLE_BYTES_GUESS: usize = 32;

/// Different failure messages a report keeps; how many rows failed is always complete.
pub const FAILURES_KEPT_MAX: usize = 16;

/// Bytes of disk that one sort may spill. Over it the job fails rather than filling the disk under
/// other programs.
pub const SPILL_BYTES_MAX_DEFAULT: u64 = 1 << 40;

/// Rows fed to the store's loader at once; bounds the columns built for it.
pub const LOAD_ROWS: usize = 8192;

/// Bytes of rows, by their values, fed to the store's loader at once; a single row is never cut. An eighth of
/// the 64 MiB that the store takes in one batch (`store.batch_bytes_max`), as its own encoding of small rows is
/// larger than their values, and as much as the command line puts into one message to a sidecar.
pub const LOAD_BYTES: usize = 8 << 20;

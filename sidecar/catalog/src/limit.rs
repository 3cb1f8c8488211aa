//! The limits of the definitions, each with its unit and reason; not limits of serving.
//!
//! A definition over a limit is a diagnostic that names the limit, never a slow or dead checker.

/// Most definition files in one feature repo. A repo is written and read by people.
pub const FILES_MAX: usize = 1_000;

/// Most bytes in one definition file. The checker holds every file in memory with its spans.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// Most bytes in all definition files together, for the same reason.
pub const REPO_BYTES_MAX: usize = 32 << 20;

/// Deepest nesting of lists and maps in a file. The format itself needs 7; deeper input would only
/// serve to exhaust the stack.
pub const DEPTH_MAX: usize = 32;

/// Most entities, views, transforms, requests or services in one repo, each.
pub const DEFINITIONS_MAX: usize = 10_000;

/// Most features in one view. One stored row holds them all and is read as a whole.
pub const VIEW_FEATURES_MAX: usize = 1_000;

/// Most features in one service or one ad hoc list: the width of an answer.
pub const SERVICE_FEATURES_MAX: usize = 2_000;

/// Most slots (columns of a frame) one plan may need, inputs and intermediate results included.
pub const PLAN_SLOTS_MAX: usize = 8_000;

/// Most bytes in one name. Names appear in every error, metric and file footer.
pub const NAME_BYTES_MAX: usize = 128;

/// Longest duration a definition may give, in microseconds: 1,000 years of 365 days. Keeps a time plus a
/// duration inside int64.
pub const DURATION_US_MAX: i64 = 1_000 * 365 * 86_400 * 1_000_000;

/// Most diagnostics reported at once. Beyond it a last line says how many more there are.
pub const DIAGNOSTICS_MAX: usize = 1_000;

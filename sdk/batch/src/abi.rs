//! Names and numbers of the core lane, ABI version 1, shared by host and guest; the calling rules
//! are in `sdk/wit/CORE.md`. No behaviour lives here.

/// The ABI version a signature states.
pub const ABI_VERSION: u32 = 1;
/// Name of the custom section that holds the signature as JSON.
pub const SIGNATURE_SECTION: &str = "skewless.signature";
/// Name of the exported linear memory.
pub const EXPORT_MEMORY: &str = "memory";
/// `skewless_reserve(len: i32) -> i32`: address for an input of `len` bytes, 0 if there is no room.
pub const EXPORT_RESERVE: &str = "skewless_reserve";
/// `skewless_transform(addr: i32, len: i32) -> i64`: `(addr << 32) | len` of the output, or a code.
pub const EXPORT_TRANSFORM: &str = "skewless_transform";
/// What the optional last output column of type nullable utf8 is called in messages.
pub const ERROR_COLUMN: &str = "error";

/// Why a plugin gave no output batch: the negative answers of `skewless_transform`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i64)]
pub enum CallStatus {
    /// The input bytes are not a batch of a version the plugin knows.
    BadBatch = -1,
    /// The input's columns are not those of the signature, in number or type.
    WrongColumns = -2,
    /// The plugin's memory is too small for this batch; a smaller batch may do.
    OutOfMemory = -3,
    /// The plugin refuses the batch as a whole.
    Failed = -4,
}

impl CallStatus {
    /// The status of a negative answer; `None` for answers that are not in the list.
    #[must_use]
    pub const fn from_code(code: i64) -> Option<Self> {
        Some(match code {
            -1 => Self::BadBatch,
            -2 => Self::WrongColumns,
            -3 => Self::OutOfMemory,
            -4 => Self::Failed,
            _ => return None,
        })
    }

    /// The answer that states this status.
    #[must_use]
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// What the status means, for messages.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::BadBatch => "the plugin does not accept the input bytes as a batch",
            Self::WrongColumns => "the plugin expects other input columns",
            Self::OutOfMemory => "the plugin's memory is too small for this batch",
            Self::Failed => "the plugin refused the batch",
        }
    }
}

/// Packs address and length of an output batch into a `skewless_transform` answer. Both are below
/// 2^31, as [`BATCH_BYTES_MAX`](crate::BATCH_BYTES_MAX) and an arena in the lower half give.
#[must_use]
pub const fn pack(address: u32, len: u32) -> i64 {
    ((address as i64) << 32) | len as i64
}

/// Takes a non-negative answer apart: address and length, both still to be checked.
#[must_use]
pub const fn unpack(answer: i64) -> (u32, u32) {
    ((answer >> 32) as u32, answer as u32)
}

//! Everything that can go wrong in the plugin host, as closed enums; not how it is shown to a client.
//!
//! Four moments, four enums: building an engine, loading a plugin, binding a plan, one call. Messages
//! that come from a guest are cut at [`crate::config::MESSAGE_BYTES_MAX`].

use skewless_batch::abi::CallStatus;
use skewless_batch::{BatchError, Type};
use skewless_catalog::Digest;

use crate::config::MESSAGE_BYTES_MAX;
use crate::execute::Undecided;

/// Why an engine couldn't be built.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EngineError {
    /// A configured limit can't work. All mistakes: [`crate::EngineConfig::mistakes`].
    #[error("expected {field} to be {expected}")]
    Config {
        /// The field of [`crate::EngineConfig`].
        field: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// The host can't run Wasm so: usually address space is limited.
    #[error("expected a host that can reserve the instance pool (engine.instances_max), came: {0}")]
    Host(String),
    /// The tick thread couldn't be started.
    #[error("expected to start the tick thread, came: {0}")]
    Ticker(String),
}

/// Why a plugin isn't loaded. Nothing of it has run then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PluginError {
    /// The host can't run any plugin of its lane, whatever is in the file.
    #[error(transparent)]
    Host(#[from] EngineError),
    /// Over `module_bytes_max`.
    #[error("expected a plugin of at most {max} bytes (engine.module_bytes_max), came {came}")]
    TooLarge {
        /// The limit.
        max: usize,
        /// The file's length.
        came: usize,
    },
    /// It doesn't begin as WebAssembly does.
    #[error("expected a .wasm file, came a file of another kind")]
    NotWasm,
    /// Broken WebAssembly, or WebAssembly beyond what plugins may use (64-bit or shared memory, several
    /// memories, relaxed SIMD, threads, exceptions, garbage collection).
    #[error(
        "expected a whole and valid .wasm file (without threads, memory64, multi-memory, relaxed simd, exceptions or gc), came: {0}"
    )]
    Invalid(String),
    /// It imports something; a plugin imports nothing.
    #[error(
        "expected no imports, came `{module}.{name}`; a plugin gets its data in the batch only"
    )]
    Import {
        /// The import's module; empty for a component.
        module: String,
        /// The import's name.
        name: String,
    },
    /// An export of the contract is missing.
    #[error("expected an export `{name}`, came none")]
    MissingExport {
        /// The export.
        name: &'static str,
    },
    /// An export of the contract has another type.
    #[error("expected export `{name}` to be {expected}, came {came}")]
    ExportType {
        /// The export.
        name: &'static str,
        /// Its type in the contract.
        expected: &'static str,
        /// Its type in the plugin.
        came: String,
    },
    /// The memory can never fit `memory_bytes_max`.
    #[error(
        "expected a memory that starts with at most {max} bytes (engine.memory_bytes_max), came {came}"
    )]
    Memory {
        /// The limit.
        max: u64,
        /// The declared minimum.
        came: u64,
    },
    /// A table can never fit `table_elements_max`.
    #[error(
        "expected tables that start with at most {max} elements (engine.table_elements_max), came {came}"
    )]
    Table {
        /// The limit.
        max: u64,
        /// The declared minimum.
        came: u64,
    },
    /// There is no signature section.
    #[error(
        "expected a custom section `skewless.signature`, came none; build with `skewless plugin build`"
    )]
    NoSignature,
    /// There are several signature sections.
    #[error("expected one custom section `skewless.signature`, came {came}")]
    ManySignatures {
        /// How many there are.
        came: usize,
    },
    /// The signature can't be read.
    #[error("expected a signature, came: {0}")]
    Signature(String),
    /// The plugin speaks another version of the contract.
    #[error("expected abi {expected}, came {came}")]
    Abi {
        /// The version this engine speaks.
        expected: u32,
        /// The plugin's.
        came: u32,
    },
    /// The compiler refused it.
    #[error("expected a plugin that compiles, came: {0}")]
    Compile(String),
}

/// Why a plan can't run on the plugins given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BindError {
    /// No plugin with this digest was given.
    #[error("expected plugin {digest} for transform `{transform}`, came none")]
    NoPlugin {
        /// The transform.
        transform: String,
        /// The plugin it needs.
        digest: Digest,
    },
    /// Another plugin was given than asked for.
    #[error("expected plugin {expected} for transform `{transform}`, came {came}")]
    WrongPlugin {
        /// The transform.
        transform: String,
        /// The digest in the plan.
        expected: Digest,
        /// The digest of what was given.
        came: Digest,
    },
    /// The plan binds another number of inputs.
    #[error("expected {expected} inputs for transform `{transform}`, came {came}")]
    Inputs {
        /// The transform.
        transform: String,
        /// Inputs in the signature.
        expected: usize,
        /// Inputs in the plan.
        came: usize,
    },
    /// A slot or output index points nowhere.
    #[error("expected an index below {below} in transform `{transform}`, came {came}")]
    Index {
        /// The transform.
        transform: String,
        /// How many there are.
        below: usize,
        /// The index.
        came: usize,
    },
    /// A slot has another type than the plugin's column.
    #[error("expected {expected} for column `{column}` of transform `{transform}`, came {came}")]
    ColumnType {
        /// The transform.
        transform: String,
        /// The column in the signature.
        column: String,
        /// Its type there.
        expected: Type,
        /// The slot's type.
        came: Type,
    },
    /// A step reads a slot that a later step (or itself) writes.
    #[error(
        "expected steps in topological order, transform `{transform}` reads slot {slot} before it is written"
    )]
    Order {
        /// The transform.
        transform: String,
        /// The slot.
        slot: usize,
    },
}

/// Why one call gave no answer. The instance is thrown away except after [`CallError::Status`] and
/// [`CallError::Guest`], which are a well-behaved plugin's way to refuse a batch.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// The plugin trapped; what wasmtime said.
    #[error("plugin trapped: {0}")]
    Trap(String),
    /// It ran past its deadline.
    #[error("plugin ran past its deadline of {}", deadline_text(*ticks, *tick_us))]
    Deadline {
        /// Ticks the call had.
        ticks: u64,
        /// How long a tick is, microseconds, if somebody said.
        tick_us: Option<u64>,
    },
    /// It overflowed its stack.
    #[error("plugin needed more than {max} bytes of stack (engine.stack_bytes_max)")]
    Stack {
        /// The limit.
        max: usize,
    },
    /// It wanted more memory than it may have.
    #[error("plugin wanted {came} bytes of memory, may have {max} (engine.memory_bytes_max)")]
    Memory {
        /// The limit.
        max: usize,
        /// What it asked for.
        came: usize,
    },
    /// It wanted more table elements than it may have.
    #[error("plugin wanted {came} table elements, may have {max} (engine.table_elements_max)")]
    Table {
        /// The limit.
        max: usize,
        /// What it asked for.
        came: usize,
    },
    /// All instances of the engine are in use.
    #[error("expected a free instance, all {max} are in use (engine.instances_max)")]
    Instances {
        /// The limit.
        max: u32,
    },
    /// The instance couldn't be made for another reason.
    #[error("expected an instance, came: {0}")]
    Instantiate(String),
    /// The input batch is larger than allowed, even with one row.
    #[error("expected an input batch of at most {max} bytes (engine.input_bytes_max), came {came}")]
    InputBytes {
        /// The limit.
        max: usize,
        /// The batch's length.
        came: usize,
    },
    /// The given columns don't fit the signature.
    #[error("expected input column {index} to be {expected}, came {came}")]
    Input {
        /// Column index.
        index: usize,
        /// What the signature says.
        expected: String,
        /// What was given.
        came: String,
    },
    /// `skewless_reserve` gave 0: the plugin has no room.
    #[error("expected room for {len} input bytes, plugin gave none")]
    NoRoom {
        /// Bytes asked for.
        len: usize,
    },
    /// `skewless_reserve` gave an address that can't be.
    #[error(
        "expected an address of {len} bytes, 64-aligned and inside {memory} bytes of memory, came {address}"
    )]
    Reserve {
        /// Bytes asked for.
        len: usize,
        /// Bytes of memory.
        memory: usize,
        /// What came.
        address: u32,
    },
    /// A negative status code from the core lane.
    #[error("plugin refused the batch with status {code}: {}", status_text(*code))]
    Status {
        /// The code, negative.
        code: i64,
    },
    /// The component lane's error.
    #[error("plugin refused the batch: {0}")]
    Guest(String),
    /// The output is larger than allowed.
    #[error(
        "expected an output batch of at most {max} bytes (engine.output_bytes_max), came {came}"
    )]
    OutputBytes {
        /// The limit.
        max: usize,
        /// What came.
        came: usize,
    },
    /// The output points outside of memory.
    #[error("expected the output inside {memory} bytes of memory, came {address}+{len}")]
    OutputAddress {
        /// Bytes of memory.
        memory: usize,
        /// Where it claims to be.
        address: usize,
        /// Its length.
        len: usize,
    },
    /// The output lies in the input's bytes.
    #[error(
        "expected the output apart from the input at {input}+{input_len}, came {address}+{len}"
    )]
    OutputOverlap {
        /// Where the input is.
        input: usize,
        /// Its length.
        input_len: usize,
        /// Where the output claims to be.
        address: usize,
        /// Its length.
        len: usize,
    },
    /// The output is no batch.
    #[error("expected a batch as output: {0}")]
    Output(BatchError),
    /// The output has another number of rows than the input.
    #[error("expected {expected} output rows, came {came}")]
    OutputRows {
        /// Rows given.
        expected: usize,
        /// Rows that came back.
        came: usize,
    },
    /// The output has another number of columns than the signature (and one more for errors).
    #[error("expected {expected} output columns, or one more for errors, came {came}")]
    OutputColumns {
        /// Outputs in the signature.
        expected: usize,
        /// Columns that came.
        came: usize,
    },
    /// An output column has another type than the signature.
    #[error("expected output column {index} to be {expected}, came {came}")]
    OutputType {
        /// Column index.
        index: usize,
        /// Type in the signature; utf8 for the error column.
        expected: Type,
        /// Type that came.
        came: Type,
    },
    /// The plugin belongs to another engine than the worker.
    #[error("expected a plugin loaded by this worker's engine")]
    OtherEngine,
    /// The caller's budget was spent before this row was decided.
    #[error("not decided: the time for the whole request was spent")]
    Budget,
    /// The worker was told to stop before this row was decided ([`crate::Worker::stoppable`]).
    #[error("not decided: the work was stopped")]
    Stopped,
}

impl CallError {
    /// A short word for metrics: the kind of failure, never a number or a message.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Trap(_) => "trap",
            Self::Deadline { .. } => "deadline",
            Self::Stack { .. } => "stack",
            Self::Memory { .. } | Self::Table { .. } => "memory",
            Self::Instances { .. } | Self::Instantiate(_) => "instance",
            Self::InputBytes { .. } | Self::Input { .. } | Self::OtherEngine => "input",
            Self::Status { .. } | Self::Guest(_) | Self::NoRoom { .. } => "refused",
            Self::Budget => "budget",
            Self::Stopped => "stopped",
            Self::OutputBytes { .. } => "output_bytes",
            Self::Reserve { .. }
            | Self::OutputAddress { .. }
            | Self::OutputOverlap { .. }
            | Self::Output(_)
            | Self::OutputRows { .. }
            | Self::OutputColumns { .. }
            | Self::OutputType { .. } => "lie",
        }
    }

    /// With the length of a tick, where that says more.
    pub(crate) fn with_tick(self, tick_us: Option<u64>) -> Self {
        match self {
            Self::Deadline { ticks, .. } => Self::Deadline { ticks, tick_us },
            error => error,
        }
    }

    /// Whether the instance may live on: the plugin said no in the contract's own words.
    pub(crate) fn keeps_instance(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::Guest(_))
    }

    /// Whether fewer rows could fare better.
    pub(crate) fn may_split(&self) -> bool {
        !matches!(
            self,
            Self::Instances { .. }
                | Self::OtherEngine
                | Self::Input { .. }
                | Self::Budget
                | Self::Stopped
        )
    }

    /// Whether this says nothing about the rows, as it isn't the plugin's doing.
    pub(crate) fn undecided(&self) -> Option<Undecided> {
        match self {
            Self::Budget => Some(Undecided::Ticks),
            Self::Stopped => Some(Undecided::Stopped),
            // A plugin that can never be instantiated isn't served, as every one is started when it is loaded.
            Self::Instances { .. } | Self::Instantiate(_) => Some(Undecided::Instances),
            _ => None,
        }
    }
}

/// A deadline in the unit that people think in, and in the one it is configured in.
fn deadline_text(ticks: u64, tick_us: Option<u64>) -> String {
    match tick_us {
        None => format!("{ticks} ticks (engine.deadline_ticks)"),
        Some(tick_us) => {
            let ms = ticks.saturating_mul(tick_us) / 1_000;
            format!("{ms} ms (engine.deadline_ticks: {ticks} ticks of {tick_us} us)")
        }
    }
}

/// The documented meaning of a core lane's status code.
fn status_text(code: i64) -> &'static str {
    CallStatus::from_code(code).map_or("no status of this abi", CallStatus::meaning)
}

/// `text` cut to [`MESSAGE_BYTES_MAX`] bytes at a character.
pub(crate) fn bounded(text: &str) -> &str {
    let mut end = text.len().min(MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_told_in_milliseconds_where_the_tick_is_known() {
        let told = |tick_us| CallError::Deadline { ticks: 250, tick_us }.to_string();
        let start = "plugin ran past its deadline of ";
        assert_eq!(told(None), format!("{start}250 ticks (engine.deadline_ticks)"));
        assert_eq!(
            told(Some(1_000)),
            format!("{start}250 ms (engine.deadline_ticks: 250 ticks of 1000 us)")
        );
        assert_eq!(
            told(Some(100)),
            format!("{start}25 ms (engine.deadline_ticks: 250 ticks of 100 us)")
        );
    }

    #[test]
    fn messages_are_cut_at_a_character_and_never_longer_than_the_limit() {
        assert_eq!(bounded("short"), "short");
        let long = "é".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(bounded(&long).len(), MESSAGE_BYTES_MAX);
        let odd = format!("x{long}");
        assert_eq!(bounded(&odd).len(), MESSAGE_BYTES_MAX - 1);
    }
}

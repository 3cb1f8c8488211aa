//! The bytes that cross the sandbox: the only file that copies them. What the bytes mean is in the batch
//! crate; when to call and what to do after a failure is not decided here.
//!
//! Copies of a batch, core lane: 1 in (each column is encoded straight into guest memory; one row of numbers is
//! put into bytes that were made when the plugin was loaded), 0 out (the output is parsed where it lies; the
//! caller then moves the columns it wants into its frame).
//! Component lane: 2 in (encoded into a host buffer, which the canonical ABI copies into the guest), 1 out: the
//! runtime calls a component's post-return function within the call, and that gives the output's memory back to the guest.
//!
//! Everything the guest answers is a number from a stranger: an address is checked for alignment, room
//! and overlap, a length against its limit, before a byte is read.

use std::ops::Range;

use skewless_batch::abi::unpack;
use skewless_batch::{BatchView, Column, ColumnView, OneRow, encode_iter, encoded_len_iter};
use skewless_catalog::FrameSlot;
use wasmtime::component::Func;
use wasmtime::{Memory, Store, TypedFunc};

use crate::config::{EngineConfig, INPUT_ALIGN_BYTES};
use crate::error::{CallError, bounded};
use crate::instance::failure;
use crate::limiter::Limiter;

/// The contract's functions of a core module's instance.
pub(crate) struct CoreLane {
    pub(crate) memory: Memory,
    pub(crate) reserve: TypedFunc<u32, u32>,
    pub(crate) transform: TypedFunc<(u32, u32), i64>,
}

/// The contract's function of a component's instance.
pub(crate) struct ComponentLane {
    pub(crate) transform: Func,
    /// Where the input is encoded; kept for its memory.
    pub(crate) buffer: Vec<u8>,
    /// The last call's output. It can be as large as the guest's memory before its length is looked at.
    pub(crate) output: Vec<u8>,
}

/// A call's input columns, wherever they are.
#[derive(Clone, Copy)]
pub(crate) enum Inputs<'a> {
    /// Whole columns of the frame.
    Slots(&'a [FrameSlot], &'a [usize]),
    /// Columns copied for a part of the rows.
    Columns(&'a [Column]),
}

impl<'a> Inputs<'a> {
    pub(crate) fn columns(self) -> impl ExactSizeIterator<Item = &'a Column> + Clone {
        let columns = match self {
            Self::Slots(_, inputs) => inputs.len(),
            Self::Columns(columns) => columns.len(),
        };
        (0..columns).map(move |index| match self {
            Self::Slots(slots, inputs) => &slots[inputs[index]].column,
            Self::Columns(columns) => &columns[index],
        })
    }

    pub(crate) fn views(self) -> impl ExactSizeIterator<Item = ColumnView<'a>> + Clone {
        self.columns().map(Column::view)
    }
}

/// A call's input batch before it is written.
pub(crate) struct Input<'a> {
    rows: usize,
    columns: Inputs<'a>,
    /// There if the columns are its one row.
    one_row: Option<&'a OneRow>,
    len: usize,
}

impl<'a> Input<'a> {
    /// The batch of these columns, if it has at most `max` bytes; `one_row` is the plugin's.
    pub(crate) fn new(
        rows: usize,
        columns: Inputs<'a>,
        one_row: Option<&'a OneRow>,
        max: usize,
    ) -> Result<Self, CallError> {
        let one_row = one_row.filter(|one_row| rows == 1 && one_row.holds(columns.columns()));
        let len = match one_row {
            Some(one_row) => one_row.byte_len(),
            None => encoded_len_iter(rows, columns.views()),
        };
        if len > max {
            return Err(CallError::InputBytes { max, came: len });
        }
        Ok(Self { rows, columns, one_row, len })
    }

    /// Writes it into `out`, which has its length.
    fn write(&self, out: &mut [u8]) -> Result<(), CallError> {
        match self.one_row {
            Some(one_row) => one_row.write(self.columns.columns(), out),
            None => {
                encode_iter(self.rows, self.columns.views(), out).map_err(input_bug)?;
            }
        }
        Ok(())
    }
}

impl CoreLane {
    /// Writes the input into the guest, calls it, and says where its output lies.
    pub(crate) fn call(
        &self,
        store: &mut Store<Limiter>,
        config: &EngineConfig,
        input: &Input<'_>,
    ) -> Result<Range<usize>, CallError> {
        let len = input.len;
        // input_bytes_max is at most 1 GiB.
        let len_i32 = len as u32;
        let address =
            self.reserve.call(&mut *store, len_i32).map_err(|e| failure(store, config, &e))?;
        let room = self.reserved(store, address, len)?;
        input.write(&mut self.memory.data_mut(&mut *store)[room.clone()])?;
        let answer = self
            .transform
            .call(&mut *store, (address, len_i32))
            .map_err(|e| failure(store, config, &e))?;
        if answer < 0 {
            return Err(CallError::Status { code: answer });
        }
        self.answered(store, config, answer, &room)
    }

    /// The output's bytes where they lie.
    pub(crate) fn output<'a>(
        &self,
        store: &'a Store<Limiter>,
        place: Range<usize>,
    ) -> Result<BatchView<'a>, CallError> {
        BatchView::parse(&self.memory.data(store)[place]).map_err(CallError::Output)
    }

    fn reserved(
        &self,
        store: &Store<Limiter>,
        address: u32,
        len: usize,
    ) -> Result<Range<usize>, CallError> {
        if address == 0 {
            return Err(CallError::NoRoom { len });
        }
        let memory = self.memory.data_size(store);
        let input = address as usize..address as usize + len;
        if !address.is_multiple_of(INPUT_ALIGN_BYTES) || input.end > memory {
            return Err(CallError::Reserve { len, memory, address });
        }
        Ok(input)
    }

    fn answered(
        &self,
        store: &Store<Limiter>,
        config: &EngineConfig,
        answer: i64,
        input: &Range<usize>,
    ) -> Result<Range<usize>, CallError> {
        let (address, len) = unpack(answer);
        let (address, len) = (address as usize, len as usize);
        let (memory, max) = (self.memory.data_size(store), config.output_bytes_max);
        if len > max {
            return Err(CallError::OutputBytes { max, came: len });
        }
        let output = address..address + len;
        if output.end > memory {
            return Err(CallError::OutputAddress { memory, address, len });
        }
        if output.start < input.end && input.start < output.end {
            return Err(CallError::OutputOverlap {
                input: input.start,
                input_len: input.len(),
                address,
                len,
            });
        }
        Ok(output)
    }
}

impl ComponentLane {
    /// Passes the input to the component, and keeps its output.
    pub(crate) fn call(
        &mut self,
        store: &mut Store<Limiter>,
        config: &EngineConfig,
        input: &Input<'_>,
    ) -> Result<(), CallError> {
        self.output = Vec::new();
        self.buffer.clear();
        self.buffer.resize(input.len, 0);
        input.write(&mut self.buffer)?;
        // The type was checked when the plugin was loaded; this checks it again for 50 ns, and the lane
        // costs microseconds.
        let transform = self
            .transform
            .typed::<(&[u8],), (Result<Vec<u8>, String>,)>(&*store)
            .map_err(|e| failure(store, config, &e))?;
        let called = transform.call(&mut *store, (&self.buffer,));
        match called.map_err(|e| failure(store, config, &e))? {
            (Ok(output),) if output.len() > config.output_bytes_max => {
                Err(CallError::OutputBytes { max: config.output_bytes_max, came: output.len() })
            }
            (Ok(output),) => {
                self.output = output;
                Ok(())
            }
            (Err(message),) => Err(CallError::Guest(bounded(&message).to_owned())),
        }
    }

    /// The last call's output.
    pub(crate) fn output(&self) -> Result<BatchView<'_>, CallError> {
        BatchView::parse(&self.output).map_err(CallError::Output)
    }
}

/// Encoding can only fail on columns of different lengths or too many rows, which callers check.
fn input_bug(error: skewless_batch::BatchError) -> CallError {
    CallError::Input {
        index: 0,
        expected: "columns of one length".to_owned(),
        came: error.to_string(),
    }
}

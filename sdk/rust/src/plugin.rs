//! A transform as a value: what the attribute makes of a function, and how it is run on this machine.
//!
//! The native runner goes through the same bytes as a guest: it encodes the input batch, calls the same
//! decoding and row loop, and reads the output batch, whose NaNs it makes canonical as the host does.

use skewless_batch::abi::CallStatus;
use skewless_batch::{
    BatchError, BatchView, Column, ColumnView, Signature, encode, encode_iter, encoded_len,
    encoded_len_iter,
};

use crate::answer::{Answer, Part};
use crate::places::Places;
use crate::signature::SignatureSpec;

/// What the memory of an output holds natively: not zeros, nor does a guest's that an earlier call has used.
const STALE: u8 = 0xa5;

/// A transform with its signature: the attribute makes the constant `PLUGIN` beside the function.
#[derive(Clone, Copy)]
pub struct Plugin {
    /// What it needs and gives.
    pub spec: SignatureSpec,
    /// Runs it over a batch that has the signature's columns.
    pub run: for<'a> fn(BatchView<'a>, &mut Answer<'_>) -> Result<(), CallStatus>,
}

/// What a native run gave.
#[derive(Debug)]
pub struct Ran {
    /// One column per output; null where a row failed.
    pub columns: Vec<Column>,
    /// Per row the message it failed with.
    pub errors: Vec<Option<String>>,
}

/// Why a native run gave nothing.
#[derive(Debug)]
pub enum RunError {
    /// The columns given are not the signature's.
    Columns {
        /// What the signature says.
        expected: String,
        /// What was given.
        came: String,
    },
    /// The input is no batch: too large, or columns of different lengths.
    Input(BatchError),
    /// The transform refused the batch, as a guest would.
    Status(CallStatus),
    /// The transform's output is no batch; a bug of the SDK.
    Output(BatchError),
}

impl Plugin {
    /// The signature as the host knows it.
    #[must_use]
    pub fn signature(&self) -> Signature {
        self.spec.signature()
    }

    /// Runs the transform over columns in the order of the signature's inputs, natively.
    pub fn run_native(&self, rows: usize, inputs: &[ColumnView<'_>]) -> Result<Ran, RunError> {
        let mut clean = Vec::with_capacity(inputs.len());
        for view in inputs {
            let mut column = Column::with_capacity(view.ty(), rows);
            (0..view.len()).for_each(|row| column.push_from(view, row));
            column.canonicalize_nans();
            clean.push(column);
        }
        let views: Vec<ColumnView<'_>> = clean.iter().map(Column::view).collect();
        let mut bytes = vec![0; encoded_len(rows, &views)];
        encode(rows, &views, &mut bytes).map_err(RunError::Input)?;
        let output = self.run_bytes(&bytes)?;
        let batch = BatchView::parse(&output).map_err(RunError::Output)?;
        let column = |index: usize| {
            let view = batch.column(index);
            let mut column = Column::with_capacity(view.ty(), rows);
            column.append(&view, 0..rows);
            column.canonicalize_nans();
            column
        };
        let outputs = self.spec.outputs.len();
        let errors = (batch.columns() > outputs).then(|| batch.column(outputs));
        let message = |row: usize| {
            let errors = errors.filter(|errors| !errors.is_null(row))?;
            Some(errors.utf8_at(row).to_owned())
        };
        Ok(Ran {
            columns: (0..outputs).map(column).collect(),
            errors: (0..rows).map(message).collect(),
        })
    }

    /// Runs the transform over an input batch, natively, and gives the very bytes of the output batch that the built
    /// file gives for it.
    pub fn run_bytes(&self, input: &[u8]) -> Result<Vec<u8>, RunError> {
        let batch = BatchView::parse(input).map_err(RunError::Input)?;
        self.check(&batch).map_err(|_| self.wrong_columns(&batch))?;
        let (rows, outputs) = (batch.rows(), self.spec.outputs);
        let mut bytes = vec![STALE; Places::byte_len(rows, outputs).map_err(RunError::Output)?];
        let mut answer = Answer::new(Places::new(rows, outputs, &mut bytes));
        (self.run)(batch, &mut answer).map_err(RunError::Status)?;
        let Some(parts) = answer.finish(rows) else { return Ok(bytes) };
        let views = || parts.iter().map(Part::view);
        let mut encoded = vec![STALE; encoded_len_iter(rows, views())];
        encode_iter(rows, views(), &mut encoded).map_err(RunError::Output)?;
        Ok(encoded)
    }

    /// Whether a batch has the signature's columns.
    pub(crate) fn check(&self, batch: &BatchView<'_>) -> Result<(), CallStatus> {
        let inputs = self.spec.inputs;
        let same = batch.columns() == inputs.len()
            && inputs.iter().enumerate().all(|(at, field)| batch.column_type(at) == field.ty);
        if same { Ok(()) } else { Err(CallStatus::WrongColumns) }
    }

    fn wrong_columns(&self, batch: &BatchView<'_>) -> RunError {
        let expected: Vec<String> =
            self.spec.inputs.iter().map(|field| field.ty.to_string()).collect();
        let came: Vec<String> =
            (0..batch.columns()).map(|at| batch.column_type(at).to_string()).collect();
        RunError::Columns { expected: expected.join(", "), came: came.join(", ") }
    }
}

impl core::fmt::Display for RunError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Columns { expected, came } => {
                write!(f, "expected columns ({expected}), came ({came})")
            }
            Self::Input(error) => write!(f, "the input is no batch: {error}"),
            Self::Status(status) => f.write_str(status.meaning()),
            Self::Output(error) => write!(f, "the output is no batch: {error}"),
        }
    }
}

impl core::error::Error for RunError {}

//! A transform as a value: what the attribute makes of a function, and how it is run on this machine.
//!
//! The native runner goes through the same bytes as a guest: it encodes the input batch, calls the same
//! decoding and row loop, encodes the output batch and parses it, and makes NaNs canonical as the host does.

use skewless_batch::abi::CallStatus;
use skewless_batch::{BatchError, BatchView, Column, ColumnView, Signature, encode, encoded_len};

use crate::answer::Answer;
use crate::signature::SignatureSpec;

/// A transform with its signature: the attribute makes the constant `PLUGIN` beside the function.
#[derive(Clone, Copy)]
pub struct Plugin {
    /// What it needs and gives.
    pub spec: SignatureSpec,
    /// Runs it over a batch that has the signature's columns.
    pub run: for<'a> fn(BatchView<'a>, &mut Answer) -> Result<(), CallStatus>,
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
        let batch = BatchView::parse(&bytes).map_err(RunError::Input)?;
        self.check(&batch).map_err(|_| self.wrong_columns(inputs))?;
        let mut answer = Answer::new();
        (self.run)(batch, &mut answer).map_err(RunError::Status)?;
        answer.finish(rows).map_err(RunError::Status)?;
        let views = answer.views();
        let mut bytes = vec![0; encoded_len(rows, &views)];
        encode(rows, &views, &mut bytes).map_err(RunError::Output)?;
        BatchView::parse(&bytes).map_err(RunError::Output)?;
        let (mut columns, errors) = answer.into_parts();
        columns.iter_mut().for_each(Column::canonicalize_nans);
        let message = |row: usize| {
            let errors = errors.as_ref()?.view();
            if errors.is_null(row) { None } else { Some(errors.utf8_at(row).to_owned()) }
        };
        Ok(Ran { columns, errors: (0..rows).map(message).collect() })
    }

    /// Whether a batch has the signature's columns.
    pub(crate) fn check(&self, batch: &BatchView<'_>) -> Result<(), CallStatus> {
        let inputs = self.spec.inputs;
        let same = batch.columns() == inputs.len()
            && inputs.iter().enumerate().all(|(at, field)| batch.column_type(at) == field.ty);
        if same { Ok(()) } else { Err(CallStatus::WrongColumns) }
    }

    fn wrong_columns(&self, came: &[ColumnView<'_>]) -> RunError {
        let expected: Vec<String> =
            self.spec.inputs.iter().map(|field| field.ty.to_string()).collect();
        let came: Vec<String> = came.iter().map(|view| view.ty().to_string()).collect();
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

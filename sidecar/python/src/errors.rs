//! Errors of the other rooms as exceptions of the package, which are defined in Python (`skewless/_errors.py`); not what
//! the messages say, which is theirs.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use skewless_catalog::Diagnostic;

/// Which exception.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A file that is no plugin.
    Plugin,
    /// A frame, rows or an argument that can't be used.
    Input,
    /// Rows that a transform failed, or a call that gave no answer.
    Transform,
    /// Definitions with these mistakes.
    Definitions(Vec<Diagnostic>),
    /// A backfill that ended without an output.
    Backfill,
    /// A sidecar's refusal, with its code and in how many milliseconds to ask again, if that helps.
    Sidecar { code: &'static str, retry_after_ms: Option<u64> },
    /// No sidecar where one should be.
    Unreachable,
    /// A host or a setting that can't be used.
    Host,
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Plugin => "PluginError",
            Self::Input => "InputError",
            Self::Transform => "TransformError",
            Self::Definitions(_) => "DefinitionError",
            Self::Backfill => "BackfillError",
            Self::Sidecar { .. } => "SidecarError",
            Self::Unreachable => "SidecarUnreachable",
            Self::Host => "SkewlessError",
        }
    }
}

/// An exception with a message, and with what to do next, if that is known.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    pub(crate) next: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl ToString) -> Self {
        Self { kind, message: message.to_string(), next: None }
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| {
            raised(py, &failure).unwrap_or_else(|broken| {
                // The package's own file is missing or another's: the message is worth more than its class.
                PyRuntimeError::new_err(format!("{} ({broken})", failure.message))
            })
        })
    }
}

fn raised(py: Python<'_>, failure: &Failure) -> PyResult<PyErr> {
    let class = py.import("skewless._errors")?.getattr(failure.kind.name())?;
    let named = PyDict::new(py);
    named.set_item("next_step", failure.next.as_deref())?;
    if let Kind::Definitions(mistakes) = &failure.kind {
        let mistakes: Vec<_> = mistakes
            .iter()
            .map(|of| {
                (
                    of.file.as_str(),
                    of.line,
                    of.column,
                    of.message.as_str(),
                    of.suggestion.as_deref(),
                )
            })
            .collect();
        named.set_item("mistakes", mistakes)?;
    }
    if let Kind::Sidecar { code, retry_after_ms } = &failure.kind {
        named.set_item("code", code)?;
        named.set_item("retry_after_ms", retry_after_ms)?;
    }
    let exception = class.call((failure.message.as_str(),), Some(&named))?;
    Ok(PyErr::from_value(exception))
}

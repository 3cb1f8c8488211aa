//! A mistake in a definition and where it is; not how it is drawn on a terminal.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// The definitions can't be used.
    Error,
    /// The definitions can be used; something in them is without effect.
    Warning,
}

/// A mistake in a definition file: what, where, and what was probably meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Whether the definitions can be used all the same.
    pub severity: Severity,
    /// The file's path as it was given.
    pub file: String,
    /// Line, from 1; 0 if the finding is about the folder as a whole.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Byte offset of the culprit in the file's text.
    pub offset: usize,
    /// Bytes of the culprit; may be 0.
    pub len: usize,
    /// What was expected and what came.
    pub message: String,
    /// What was probably meant: a name, put into "did you mean `..`?".
    pub suggestion: Option<String>,
}

impl fmt::Display for Diagnostic {
    /// `file:line:col: message (did you mean `..`?)`; warnings say so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, " (did you mean `{suggestion}`?)"),
            None => Ok(()),
        }
    }
}

//! A mistake in a definition and where it is; not how it is drawn on a terminal.

use std::fmt;

use crate::catalog::SourceFile;
use crate::limit::DIAGNOSTICS_MAX;

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
    /// The plugin whose signature lacks what the definitions ask of it, as they name it; if its file is older than its
    /// source, that may be why.
    pub plugin: Option<String>,
}

impl fmt::Display for Diagnostic {
    /// `file:line:col: message (did you mean `..`?)`; warnings say so, and what is about the folder has no place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        }
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

/// A place in one of the files that are checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Span {
    /// Index of the file.
    pub(crate) file: usize,
    /// Byte offset.
    pub(crate) offset: usize,
    /// Bytes.
    pub(crate) len: usize,
    /// From 1; 0: the folder as a whole.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
}

impl Span {
    /// A part of the text at this place; the whole if the text is written otherwise than it reads
    /// (with escapes or over several lines).
    pub(crate) fn part(self, text: &str, from: usize, len: usize) -> Self {
        let quotes = match self.len.checked_sub(text.len()) {
            Some(0) => 0,
            Some(2) => 1,
            _ => return self,
        };
        let column = self.column + text[..from].chars().count() + quotes;
        Self { offset: self.offset + from + quotes, len, column, ..self }
    }
}

/// Collects what the checker finds.
pub(crate) struct Findings<'a> {
    files: &'a [SourceFile],
    list: Vec<(Span, Diagnostic)>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(files: &'a [SourceFile]) -> Self {
        Self { files, list: Vec::new() }
    }

    pub(crate) fn error(&mut self, at: Span, message: impl Into<String>) {
        self.add(Severity::Error, at, message.into(), None, None);
    }

    /// An error that knows what was probably meant, if it does.
    pub(crate) fn error_meaning(
        &mut self,
        at: Span,
        message: impl Into<String>,
        meant: Option<String>,
    ) {
        self.add(Severity::Error, at, message.into(), meant, None);
    }

    /// An error about a plugin whose signature lacks what is asked of it.
    pub(crate) fn error_of_plugin(
        &mut self,
        at: Span,
        message: impl Into<String>,
        meant: Option<String>,
        plugin: Option<String>,
    ) {
        self.add(Severity::Error, at, message.into(), meant, plugin);
    }

    pub(crate) fn warn(&mut self, at: Span, message: impl Into<String>) {
        self.add(Severity::Warning, at, message.into(), None, None);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.list.iter().any(|(_, finding)| finding.severity == Severity::Error)
    }

    /// Whether more than can be shown was found: looking for more is wasted work.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() > DIAGNOSTICS_MAX
    }

    /// `file:line` of a place, for messages that point at a second one.
    pub(crate) fn place(&self, at: Span) -> String {
        format!("{}:{}", self.files[at.file].path, at.line)
    }

    /// Everything of one severity in the order of the files, cut at [`DIAGNOSTICS_MAX`].
    pub(crate) fn take(self, severity: Severity) -> Vec<Diagnostic> {
        let mut list = self.list;
        list.retain(|(_, finding)| finding.severity == severity);
        list.sort_by(|(a, x), (b, y)| (a, &x.message).cmp(&(b, &y.message)));
        list.dedup();
        let total = list.len();
        let mut list: Vec<_> =
            list.into_iter().take(DIAGNOSTICS_MAX).map(|(_, finding)| finding).collect();
        if total > DIAGNOSTICS_MAX
            && let Some(last) = list.last()
        {
            let more = total - DIAGNOSTICS_MAX;
            let message =
                format!("at least {more} more not shown (DIAGNOSTICS_MAX {DIAGNOSTICS_MAX})");
            list.push(Diagnostic { message, suggestion: None, plugin: None, ..last.clone() });
        }
        list
    }

    fn add(
        &mut self,
        severity: Severity,
        at: Span,
        message: String,
        suggestion: Option<String>,
        plugin: Option<String>,
    ) {
        let file = self.files.get(at.file).map_or_else(|| ".".to_owned(), |f| f.path.clone());
        let Span { line, column, offset, len, .. } = at;
        let finding =
            Diagnostic { severity, file, line, column, offset, len, message, suggestion, plugin };
        self.list.push((at, finding));
    }
}

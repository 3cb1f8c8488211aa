//! YAML text to a tree whose every node knows its place; not the meaning of any of it.
//!
//! A thin layer over `saphyr-parser`'s events. Anchors, aliases and tags are refused: the format
//! needs none of them, and aliases are how a small file becomes a huge one. Nesting is bounded by
//! [`DEPTH_MAX`]. After a syntax error reading goes on at the next `---`, so that each document's
//! first error is reported, and the nodes that were still open are marked as broken. A document that is
//! indented by tabs is not looked at further: where its levels end is anyone's guess.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as RawSpan};

use crate::diagnostic::{Findings, Span};
use crate::limit::DEPTH_MAX;

/// Most syntax errors reported for one file: a file that is broken in more places is not YAML.
const SYNTAX_ERRORS_MAX: usize = 20;

/// One value of a document.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    /// A syntax error came before the end of this node: things may be missing from it.
    pub(crate) broken: bool,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Kind {
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// Keys in order of appearance, duplicates kept.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Node {
    /// What came, for a message that says what was expected.
    pub(crate) fn came(&self) -> String {
        match &self.kind {
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
            Kind::Scalar { .. } if self.is_null() => "nothing".to_owned(),
            Kind::Scalar { text, .. } => quote(text),
        }
    }

    /// Whether this is YAML's null: nothing, `~` or `null`, unquoted.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// A text in backquotes, cut so that a message stays a line.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let line: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    let line = line.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().count() > SHOWN_MAX { format!("`{line}..`") } else { format!("`{line}`") }
}

/// Reads every document of a file. `true`: some of the file could not be read.
pub(crate) fn read(file: usize, text: &str, findings: &mut Findings<'_>) -> (Vec<Node>, bool) {
    let mut documents = Vec::new();
    let mut start = 0;
    let mut broken = false;
    for _ in 0..SYNTAX_ERRORS_MAX {
        let place = Place::new(file, text, start);
        let Some(failed_at) = read_from(&place, &mut documents, findings) else {
            return (documents, broken);
        };
        broken = true;
        match text[failed_at..].find("\n---") {
            Some(next) => start = failed_at + next + 1,
            None => break,
        }
    }
    (documents, broken)
}

/// Reads documents until the end or the first syntax error, whose byte offset is given.
fn read_from(
    place: &Place<'_>,
    documents: &mut Vec<Node>,
    findings: &mut Findings<'_>,
) -> Option<usize> {
    let mut tree = Tree { documents, open: Vec::new() };
    for event in Parser::new_from_str(place.rest()) {
        match event {
            Err(error) => {
                let span = place.point(error.marker());
                if let Some(tab) = tab(place, span.offset, error.info()) {
                    tree.open.clear();
                    findings.error(place.at(tab, 1), TAB);
                    return Some(tab.max(span.offset));
                }
                tree.forget_cut_scalar(span.offset);
                tree.abandon();
                let (message, len) = explain(place.text, span.offset, error.info());
                findings.error(Span { len, ..span }, message);
                return Some(span.offset);
            }
            Ok((event, raw)) => {
                if let Err((span, message)) = tree.take(event, place.span(raw)) {
                    tree.abandon();
                    findings.error(span, message);
                    return Some(span.offset.min(place.text.len()));
                }
            }
        }
    }
    None
}

const TAB: &str = "expected spaces, came a tab: YAML doesn't indent by tabs, use spaces";

/// Byte offset of the tab that a syntax error comes of, if one does. The parser points at what it didn't expect: a tab
/// in front of that, but also the text of a line before the tab, or the line after one whose tab it took for a space.
fn tab(place: &Place<'_>, offset: usize, info: &str) -> Option<usize> {
    let text = place.text;
    let line = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let beside = || {
        let before = text[..offset].ends_with('\t').then(|| offset - 1);
        before.or_else(|| text[offset..].starts_with('\t').then_some(offset))
    };
    let after = || {
        let breaks = text[line..].match_indices('\n').filter(|_| info.contains("tab"));
        breaks.map(|(at, _)| line + at + 1).find_map(|line| indenting_tab(text, line))
    };
    let line_before = || {
        let before = text[place.start..line].trim_end();
        let first = before.rfind('\n').map_or(0, |at| at + 1);
        indenting_tab(text, place.start + first)
    };
    indenting_tab(text, line).or_else(after).or_else(beside).or_else(line_before)
}

/// The first tab in the indentation of the line that begins at `line`; none in a line of nothing else.
fn indenting_tab(text: &str, line: usize) -> Option<usize> {
    let rest = text[line..].lines().next()?;
    let content = rest.trim_start_matches([' ', '\t']);
    let indentation = &rest[..rest.len() - content.len()];
    indentation.find('\t').filter(|_| !content.trim_end().is_empty()).map(|at| line + at)
}

/// Says what a syntax error means in this format where the parser's words would puzzle.
fn explain(text: &str, offset: usize, info: &str) -> (String, usize) {
    let rest = &text[offset..];
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let before = text[..offset].chars().next_back().is_some_and(word);
    let bracket = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    if let Some((inner, _)) = bracket
        && before
        && !inner.is_empty()
        && inner.chars().all(word)
    {
        let message = "expected quotes around a value with brackets inside `[..]` or `{..}`, such as \
                       \"view[role].feature\" or \"embedding[16]\": YAML reads its bracket as a list"
            .to_owned();
        return (message, inner.len() + 2);
    }
    (format!("expected YAML: {info}"), 0)
}

/// Builds nodes from events without recursion.
struct Tree<'a> {
    documents: &'a mut Vec<Node>,
    open: Vec<Open>,
}

/// A list or map whose end has not come yet, with the key that waits for its value.
struct Open {
    node: Node,
    key: Option<Key>,
    /// A key that is no scalar: its value has no place.
    key_refused: bool,
}

impl Tree<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), (Span, String)> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                refuse(anchor, tag.is_some(), span)?;
                let plain = style == ScalarStyle::Plain;
                let kind = Kind::Scalar { text: text.into_owned(), plain };
                self.place(Node { span, broken: false, kind })
            }
            Event::SequenceStart(anchor, tag) => {
                refuse(anchor, tag.is_some(), span)?;
                self.enter(span, Kind::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                refuse(anchor, tag.is_some(), span)?;
                self.enter(span, Kind::Map(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.place(open.node),
                None => Ok(()),
            },
            Event::Alias(_) => {
                Err((span, "expected no alias: each value is written out".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn enter(&mut self, span: Span, kind: Kind) -> Result<(), (Span, String)> {
        if self.open.len() >= DEPTH_MAX {
            let message =
                format!("expected at most {DEPTH_MAX} levels of nesting (DEPTH_MAX), came more");
            return Err((span, message));
        }
        let node = Node { span, broken: false, kind };
        self.open.push(Open { node, key: None, key_refused: false });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, node: Node) -> Result<(), (Span, String)> {
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        match &mut open.node.kind {
            Kind::List(items) => items.push(node),
            Kind::Map(entries) => match open.key.take() {
                Some(key) => entries.push((key, node)),
                None if open.key_refused => open.key_refused = false,
                None => match node.kind {
                    Kind::Scalar { text, .. } => open.key = Some(Key { text, span: node.span }),
                    _ => {
                        let message = format!("expected a name as key, came {}", node.came());
                        return Err((node.span, message));
                    }
                },
            },
            Kind::Scalar { .. } => {}
        }
        Ok(())
    }

    /// Takes back a scalar that a syntax error follows without a gap: it is half of something.
    fn forget_cut_scalar(&mut self, at: usize) {
        let cut = |span: Span| span.offset + span.len == at && span.len > 0;
        let Some(open) = self.open.last_mut() else { return };
        if open.key.take_if(|key| cut(key.span)).is_some() {
            return;
        }
        match &mut open.node.kind {
            Kind::List(items) => _ = items.pop_if(|item| cut(item.span)),
            Kind::Map(entries) => _ = entries.pop_if(|(_, value)| cut(value.span)),
            Kind::Scalar { .. } => {}
        }
    }

    /// Closes whatever is open after a syntax error and marks it as broken.
    fn abandon(&mut self) {
        while let Some(mut open) = self.open.pop() {
            open.node.broken = true;
            match self.open.last_mut() {
                None => self.documents.push(open.node),
                Some(parent) => match &mut parent.node.kind {
                    Kind::List(items) => items.push(open.node),
                    Kind::Map(entries) => {
                        if let Some(key) = parent.key.take() {
                            entries.push((key, open.node));
                        }
                    }
                    Kind::Scalar { .. } => {}
                },
            }
        }
    }
}

fn refuse(anchor: usize, tagged: bool, span: Span) -> Result<(), (Span, String)> {
    if anchor != 0 {
        return Err((span, "expected no anchor: each value is written out".to_owned()));
    }
    if tagged {
        return Err((span, "expected no tag: the format decides the type".to_owned()));
    }
    Ok(())
}

/// Turns the parser's places, counted in characters of the part it was given, into byte spans.
struct Place<'a> {
    file: usize,
    text: &'a str,
    start: usize,
    /// Byte offset of every line's first byte.
    lines: Vec<usize>,
    /// Byte offset of every character of `rest`; empty if it is all ASCII.
    bytes: Vec<usize>,
}

impl<'a> Place<'a> {
    fn new(file: usize, text: &'a str, start: usize) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        let rest = &text[start..];
        let bytes = if rest.is_ascii() {
            Vec::new()
        } else {
            rest.char_indices().map(|(at, _)| at).collect()
        };
        Self { file, text, start, lines, bytes }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.start..]
    }

    fn offset(&self, index: usize) -> usize {
        let rest = self.text.len() - self.start;
        let within = if self.bytes.is_empty() {
            index.min(rest)
        } else {
            self.bytes.get(index).copied().unwrap_or(rest)
        };
        self.start + within
    }

    fn point(&self, marker: &Marker) -> Span {
        self.at(self.offset(marker.index()), 0)
    }

    fn span(&self, raw: RawSpan) -> Span {
        let from = self.offset(raw.start.index());
        let to = self.offset(raw.end.index()).max(from);
        let len = self.text[from..to].trim_end().len();
        self.at(from, len)
    }

    fn at(&self, offset: usize, len: usize) -> Span {
        let line = self.lines.partition_point(|first| *first <= offset);
        let first = self.lines[line - 1];
        let column = self.text[first..offset].chars().count() + 1;
        Span { file: self.file, offset, len, line, column }
    }
}

//! One stored row as bytes, and back into a frame's columns; not keys, not which row wins.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | layout version, [`LAYOUT`]; any other is refused |
//! | 1 | flags: bit 0 deleted (tombstone), bit 1 husk (expired, values dropped); others refused |
//! | 2 | number of columns = schema version; a tombstone or husk has 0 |
//! | 4 | checksum: the low half of XXH3-64 over every byte after it |
//! | 8 | event time, microseconds UTC |
//! | 8 | known time, microseconds UTC |
//! | (columns+7)/8 | validity bitmap, LSB first, 1 = valid |
//! | fixed | per column its value, or for utf8, binary and lists the end of its bytes in the last section (u32) |
//! | variable | the bytes of utf8, binary and lists; a list of utf8 has a u32 length before each |
//!
//! All little-endian. A view's columns are only ever added to ([`Columns`]), so a row with fewer
//! columns is an older row and the missing ones are null; a row with more is unknown and refused.
//!
//! The checksum pays: RocksDB checks blocks when it reads them from a file, but neither memtables nor
//! cached blocks after that; 100 bytes cost about 10 ns of 2,800. Decoding takes each value from its
//! place into the slot's column, many rows at once where that is quicker (`values.rs`): one copy, no allocation
//! when warm.

use skewless_batch::{Column, Type, Value};
use skewless_catalog::visibility::{Newest, Stamp};
use xxhash_rust::xxh3::xxh3_64;

/// The version of this layout.
pub(crate) const LAYOUT: u8 = 1;
/// Bytes before the bitmap.
pub(crate) const HEADER_BYTES: usize = 24;
/// Most columns of a view over its life, those dropped from the definitions included.
pub(crate) const COLUMNS_MAX: usize = u16::MAX as usize;

const DELETED: u8 = 1;
const HUSK: u8 = 2;

/// Bytes that are not a row of the view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowError {
    /// Another version of the layout, or flags this version doesn't know.
    #[error(
        "expected row layout {LAYOUT} without unknown flags, came layout {layout}, flags {flags}"
    )]
    Version {
        /// The version found.
        layout: u8,
        /// The flags found.
        flags: u8,
    },
    /// The row has columns that the view's schema history doesn't know.
    #[error("expected a schema version of at most {known}, came {came}")]
    Schema {
        /// Columns known.
        known: usize,
        /// Columns of the row.
        came: usize,
    },
    /// The bytes are not those that were written.
    #[error("row checksum doesn't match")]
    Checksum,
    /// A length or offset points outside the row.
    #[error("row too short or inconsistent at byte {at}")]
    Bounds {
        /// Where.
        at: usize,
    },
    /// Text that is not UTF-8.
    #[error("text of column {column} is not UTF-8")]
    Utf8 {
        /// The column.
        column: usize,
    },
}

/// The columns of a view in the order they were first defined, with their places in a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Columns {
    list: Vec<(String, Type)>,
    places: Vec<Place>,
    /// `fixed[n]`: bytes of the fixed section of a row with n columns, minus the first, 0.
    fixed: Vec<usize>,
}

/// Where a column's value is in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The column's index.
    pub(crate) column: usize,
    /// Its type.
    pub(crate) ty: Type,
    /// Offset in the fixed section.
    offset: usize,
    /// Offset in the fixed section of the variable column before it.
    before: Option<usize>,
}

/// A row whose header, version, checksum and sections were checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    /// Event time, microseconds UTC.
    pub(crate) event_us: i64,
    /// Known time, microseconds UTC.
    pub(crate) known_us: i64,
    /// Whether it is a tombstone.
    pub(crate) deleted: bool,
    /// Whether it expired and its values were dropped.
    pub(crate) husk: bool,
    columns: usize,
    validity: &'a [u8],
    fixed: &'a [u8],
    variable: &'a [u8],
}

/// Memory reused between rows.
#[derive(Debug, Default)]
pub(crate) struct RowScratch {
    f32s: Vec<f32>,
    f64s: Vec<f64>,
    i64s: Vec<i64>,
}

impl Columns {
    /// The columns in order.
    #[must_use]
    pub(crate) fn new(list: Vec<(String, Type)>) -> Self {
        let mut columns = Self::default();
        list.into_iter().for_each(|(name, ty)| columns.push(name, ty));
        columns
    }

    /// Adds a column at the end.
    pub(crate) fn push(&mut self, name: String, ty: Type) {
        let offset = self.fixed.last().copied().unwrap_or(0);
        let before = self.places.iter().rev().find(|place| is_variable(place.ty));
        let before = before.map(|place| place.offset);
        self.places.push(Place { column: self.list.len(), ty, offset, before });
        self.fixed.push(offset + fixed_bytes(ty));
        self.list.push((name, ty));
    }

    /// Names and types in order.
    #[must_use]
    pub(crate) fn list(&self) -> &[(String, Type)] {
        &self.list
    }

    /// The places in order.
    #[cfg(test)]
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// The place of the column of this name and type.
    #[must_use]
    pub(crate) fn find(&self, name: &str, ty: Type) -> Option<Place> {
        let index = self.list.iter().position(|(of, its)| of == name && *its == ty)?;
        Some(self.places[index])
    }

    fn fixed_bytes(&self, columns: usize) -> Option<usize> {
        if columns == 0 { Some(0) } else { self.fixed.get(columns - 1).copied() }
    }
}

/// Adds a row to `out`. `value(column)` gives the value of each column, of its type or null.
pub(crate) fn encode<'v>(
    columns: &Columns,
    event_us: i64,
    known_us: i64,
    value: impl Fn(usize) -> Value<'v>,
    out: &mut Vec<u8>,
) {
    let start = header(0, columns.list.len() as u16, event_us, known_us, out);
    let bitmap = out.len();
    let fixed = bitmap + columns.list.len().div_ceil(8);
    out.resize(fixed + columns.fixed.last().copied().unwrap_or(0), 0);
    let variable = out.len();
    for place in &columns.places {
        let value = value(place.column);
        let at = fixed + place.offset;
        if !value.is_null() {
            out[bitmap + place.column / 8] |= 1 << (place.column % 8);
        }
        encode_value(&value, at, out);
        if is_variable(place.ty) {
            let end = (out.len() - variable) as u32;
            out[at..at + 4].copy_from_slice(&end.to_le_bytes());
        }
    }
    seal(start, out);
}

/// Adds a tombstone to `out`.
pub(crate) fn encode_deleted(event_us: i64, known_us: i64, out: &mut Vec<u8>) {
    let start = header(DELETED, 0, event_us, known_us, out);
    seal(start, out);
}

/// What is left of an expired row: its times.
#[must_use]
pub(crate) fn husk(event_us: i64, known_us: i64) -> [u8; HEADER_BYTES] {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    let start = header(HUSK, 0, event_us, known_us, &mut out);
    seal(start, &mut out);
    let mut husk = [0; HEADER_BYTES];
    husk.copy_from_slice(&out);
    husk
}

fn header(flags: u8, columns: u16, event_us: i64, known_us: i64, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[LAYOUT, flags]);
    out.extend_from_slice(&columns.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&event_us.to_le_bytes());
    out.extend_from_slice(&known_us.to_le_bytes());
    start
}

fn checksum(row: &[u8]) -> [u8; 4] {
    let mut seeded = xxh3_64(&row[8..]);
    // The four bytes before the checksum are covered too: they say how to read the rest.
    seeded ^= u64::from(u32::from_le_bytes([row[0], row[1], row[2], row[3]]));
    (seeded as u32).to_le_bytes()
}

fn seal(start: usize, out: &mut [u8]) {
    let checksum = checksum(&out[start..]);
    out[start + 4..start + 8].copy_from_slice(&checksum);
}

fn encode_value(value: &Value<'_>, at: usize, out: &mut Vec<u8>) {
    let put = |out: &mut Vec<u8>, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    match value {
        Value::Null => {}
        Value::Bool(value) => put(out, &[u8::from(*value)]),
        Value::Int32(value) => put(out, &value.to_le_bytes()),
        Value::Int64(value) | Value::Timestamp(value) => put(out, &value.to_le_bytes()),
        Value::Float32(value) => put(out, &value.to_le_bytes()),
        Value::Float64(value) => put(out, &value.to_le_bytes()),
        Value::Embedding(values) => put(out, values.as_bytes()),
        Value::Utf8(value) => out.extend_from_slice(value.as_bytes()),
        Value::Binary(value) => out.extend_from_slice(value),
        Value::ListInt64(values) => out.extend_from_slice(values.as_bytes()),
        Value::ListFloat64(values) => out.extend_from_slice(values.as_bytes()),
        Value::ListUtf8(values) => {
            for value in values.iter() {
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(value.as_bytes());
            }
        }
    }
}

impl<'a> Row<'a> {
    /// In the place of a row where there is none: it has no columns.
    pub(crate) const NONE: Self = Self {
        event_us: 0,
        known_us: 0,
        deleted: false,
        husk: false,
        columns: 0,
        validity: &[],
        fixed: &[],
        variable: &[],
    };

    /// Checks a row's checksum and version and finds its sections.
    pub(crate) fn parse(bytes: &'a [u8], columns: &Columns) -> Result<Self, RowError> {
        Self::parse_times(bytes)?.with_sections(bytes, columns)
    }

    /// Like [`Row::parse`], for bytes whose checksum was checked since anyone could change them.
    pub(crate) fn parse_checked(bytes: &'a [u8], columns: &Columns) -> Result<Self, RowError> {
        Self::parse_header(bytes)?.0.with_sections(bytes, columns)
    }

    fn with_sections(self, bytes: &'a [u8], columns: &Columns) -> Result<Self, RowError> {
        let row = self;
        let short = RowError::Bounds { at: bytes.len() };
        let fixed = columns.fixed_bytes(row.columns);
        let known = columns.list.len();
        let fixed = fixed.ok_or(RowError::Schema { known, came: row.columns })?;
        let rest = &bytes[HEADER_BYTES..];
        let (validity, rest) =
            rest.split_at_checked(row.columns.div_ceil(8)).ok_or_else(|| short.clone())?;
        let (fixed, variable) = rest.split_at_checked(fixed).ok_or(short)?;
        Ok(Self { validity, fixed, variable, ..row })
    }

    /// Like [`Row::parse`], for who needs no values: the schema isn't needed either.
    pub(crate) fn parse_times(bytes: &'a [u8]) -> Result<Self, RowError> {
        let (row, sum) = Self::parse_header(bytes)?;
        if checksum(bytes) == sum { Ok(row) } else { Err(RowError::Checksum) }
    }

    /// The header, and the checksum it has.
    fn parse_header(bytes: &'a [u8]) -> Result<(Self, [u8; 4]), RowError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(RowError::Bounds { at: bytes.len() });
        };
        if header[0] != LAYOUT || header[1] & !(DELETED | HUSK) != 0 {
            return Err(RowError::Version { layout: header[0], flags: header[1] });
        }
        let row = Self {
            event_us: i64::from_le_bytes(array(header, 8)?),
            known_us: i64::from_le_bytes(array(header, 16)?),
            deleted: header[1] & DELETED != 0,
            husk: header[1] & HUSK != 0,
            columns: usize::from(u16::from_le_bytes([header[2], header[3]])),
            ..Self::NONE
        };
        Ok((row, array(header, 4)?))
    }

    /// Its stamp, to compare with a row that arrives later or earlier.
    #[must_use]
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::arriving(self.event_us, self.known_us)
    }

    /// The row as the rule judges it.
    #[must_use]
    pub(crate) fn newest(&self) -> Newest {
        Newest { event_us: self.event_us, deleted: self.deleted, husk: self.husk }
    }

    /// Whether the row has a value at this place; false for a column added after it was written.
    #[must_use]
    pub(crate) fn has(&self, place: &Place) -> bool {
        let column = place.column;
        column < self.columns
            && self.validity.get(column / 8).is_some_and(|byte| byte >> (column % 8) & 1 == 1)
    }

    /// How many columns come before the first null one; all if none is null.
    #[must_use]
    pub(crate) fn columns_before_null(&self) -> usize {
        let full = self.validity.iter().take_while(|byte| **byte == 0xff).count();
        let next = self.validity.get(full).map_or(0, |byte| byte.trailing_ones() as usize);
        (full * 8 + next).min(self.columns)
    }

    /// The fixed section from a place on: its value comes first, if the row has one there and it has a fixed width.
    #[must_use]
    pub(crate) fn fixed_from(&self, place: &Place) -> &'a [u8] {
        self.fixed.get(place.offset..).unwrap_or_default()
    }

    /// Adds the value at `place` to `out`, a column of the place's type. `false`: it is null.
    pub(crate) fn push_into(
        &self,
        place: &Place,
        out: &mut Column,
        scratch: &mut RowScratch,
    ) -> Result<bool, RowError> {
        if !self.has(place) {
            out.push_null();
            return Ok(false);
        }
        let fixed = self.fixed;
        match place.ty {
            Type::Bool => out.push_bool(array::<1>(fixed, place.offset)? == [1]),
            Type::Int32 => out.push_i32(i32::from_le_bytes(array(fixed, place.offset)?)),
            Type::Int64 => out.push_i64(i64::from_le_bytes(array(fixed, place.offset)?)),
            Type::Timestamp => out.push_timestamp(i64::from_le_bytes(array(fixed, place.offset)?)),
            Type::Float32 => out.push_f32(f32::from_le_bytes(array(fixed, place.offset)?)),
            Type::Float64 => out.push_f64(f64::from_le_bytes(array(fixed, place.offset)?)),
            Type::Embedding(dim) => {
                let end = place.offset + dim as usize * 4;
                let bytes = fixed.get(place.offset..end);
                let bytes = bytes.ok_or(RowError::Bounds { at: place.offset })?;
                scratch.f32s.clear();
                scratch
                    .f32s
                    .extend(bytes.as_chunks().0.iter().map(|item| f32::from_le_bytes(*item)));
                out.push_embedding(&scratch.f32s);
            }
            Type::Binary => out.push_binary(self.variable(place)?),
            Type::Utf8 => out.push_utf8(text(self.variable(place)?, place)?),
            Type::ListInt64 => {
                let items = items(self.variable(place)?, place)?;
                scratch.i64s.clear();
                scratch.i64s.extend(items.iter().map(|item| i64::from_le_bytes(*item)));
                out.push_list_i64(&scratch.i64s);
            }
            Type::ListFloat64 => {
                let items = items(self.variable(place)?, place)?;
                scratch.f64s.clear();
                scratch.f64s.extend(items.iter().map(|item| f64::from_le_bytes(*item)));
                out.push_list_f64(&scratch.f64s);
            }
            Type::ListUtf8 => {
                let bytes = self.variable(place)?;
                check_texts(bytes, place)?;
                out.push_list_utf8(Texts { bytes });
            }
        }
        Ok(true)
    }

    fn variable(&self, place: &Place) -> Result<&'a [u8], RowError> {
        let end = u32::from_le_bytes(array(self.fixed, place.offset)?) as usize;
        let start = match place.before {
            Some(before) => u32::from_le_bytes(array(self.fixed, before)?) as usize,
            None => 0,
        };
        self.variable.get(start..end).ok_or(RowError::Bounds { at: place.offset })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], RowError> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or(RowError::Bounds { at })
}

fn items<'a>(bytes: &'a [u8], place: &Place) -> Result<&'a [[u8; 8]], RowError> {
    let (items, rest) = bytes.as_chunks::<8>();
    if rest.is_empty() { Ok(items) } else { Err(RowError::Bounds { at: place.offset }) }
}

fn text<'a>(bytes: &'a [u8], place: &Place) -> Result<&'a str, RowError> {
    std::str::from_utf8(bytes).map_err(|_| RowError::Utf8 { column: place.column })
}

/// The texts of a list whose lengths were checked.
#[derive(Clone)]
struct Texts<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (len, rest) = self.bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        self.bytes = rest;
        std::str::from_utf8(text).ok()
    }
}

fn check_texts(mut bytes: &[u8], place: &Place) -> Result<(), RowError> {
    let short = RowError::Bounds { at: place.offset };
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| short.clone())?;
        let len = u32::from_le_bytes(*len) as usize;
        let (item, rest) = rest.split_at_checked(len).ok_or_else(|| short.clone())?;
        text(item, place)?;
        bytes = rest;
    }
    Ok(())
}

fn is_variable(ty: Type) -> bool {
    matches!(ty, Type::Utf8 | Type::Binary | Type::ListInt64 | Type::ListFloat64 | Type::ListUtf8)
}

fn fixed_bytes(ty: Type) -> usize {
    match ty {
        Type::Bool => 1,
        Type::Int64 | Type::Float64 | Type::Timestamp => 8,
        Type::Embedding(dim) => dim as usize * 4,
        // A 4-byte number, or the end of the column's bytes in the variable section.
        _ => 4,
    }
}

#[cfg(test)]
pub(crate) mod tests;

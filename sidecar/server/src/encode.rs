//! An answer's bytes straight from the frame; not what is in the frame.
//!
//! The answer is written once, into one buffer of exactly its length, behind what gRPC puts before a message: so it
//! leaves in the buffer it was written into. Nothing is allocated per feature.
//! What never changes (names, types) is encoded when the plan is bound ([`Layout`]). The bytes are those
//! of `skewless.v1.GetFeaturesResponse`; a test decodes them with the generated code.
//!
//! Cost: one pass over the values to measure (only text and varints), one to write; float, timestamp and
//! embedding columns are one copy each.

use bytes::{Buf, Bytes};
use std::ops::Range;

use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use skewless_batch::{Column, ColumnView, Type};
use skewless_catalog::{Frame, Plan, Status};
use skewless_proto::v1 as pb;

use crate::status::ServeError;

/// Bytes of what gRPC puts before a message: whether it is compressed, and its length in four bytes.
pub(crate) const PREFIX_BYTES: usize = 5;

/// The bits of the canonical NaN that stands for a value that is not present.
const NAN_F32: [u8; 4] = 0x7fc0_0000u32.to_le_bytes();

/// Widest value that is copied into an answer of one row twice, as zeros first: wider ones are quicker measured.
const SINGLE_BYTES_MAX: usize = 256;

/// The unchanging part of a plan's answers.
#[derive(Debug)]
pub(crate) struct Layout {
    heads: Vec<Head>,
    /// The features that are a [`Single`], as they are in an answer, with zeros for their values. Asking for one
    /// entity is the commonest question, and then this is one copy for many features and a store for each.
    row: Vec<u8>,
    /// Neighbouring features, those of a run either all a [`Single`] or none.
    runs: Vec<Run>,
    /// Numbers per row of the float32 block, or the feature that is no number.
    width: Result<usize, String>,
}

#[derive(Debug)]
struct Head {
    slot: usize,
    ty: Type,
    /// Name, type and dimension, encoded.
    bytes: Vec<u8>,
    /// First number of a row of the float32 block.
    offset: usize,
    /// How a single row that is present is written; none if its length depends on the value.
    single: Option<Single>,
}

/// Some of [`Layout::heads`].
#[derive(Debug)]
struct Run {
    heads: Range<usize>,
    /// Of each of them; empty if they have none.
    singles: Vec<Single>,
}

/// A feature of one row whose encoded length is always the same: where it is in [`Layout::row`]. Its value is last.
#[derive(Clone, Copy, Debug)]
struct Single {
    slot: usize,
    start: usize,
    end: usize,
    /// Bytes of the value.
    width: usize,
}

impl Single {
    /// `head` is the encoded name and type.
    fn new(slot: usize, ty: Type, head: &[u8], row: &mut Vec<u8>) -> Option<Self> {
        let (field, width) = match ty {
            Type::Bool => (5, 1),
            Type::Float32 => (8, 4),
            Type::Embedding(dim) if dim as usize * 4 <= SINGLE_BYTES_MAX => (8, dim as usize * 4),
            Type::Float64 => (9, 8),
            Type::Timestamp => (12, 8),
            _ => return None,
        };
        let column = head.len() + 1 + delimited(width);
        let start = row.len();
        put_length(2, 1 + delimited(column), row);
        put_length(1, column, row);
        row.extend_from_slice(head);
        put_length(field, width, row);
        row.resize(row.len() + width, 0);
        Some(Self { slot, start, end: row.len(), width })
    }

    fn len(&self) -> usize {
        self.end - self.start
    }
}

/// An answer as it is sent: gRPC's prefix, then the message.
#[derive(PartialEq, Debug)]
pub(crate) struct Framed(Vec<u8>);

impl Framed {
    /// The message alone, where it is.
    pub(crate) fn message(self) -> Bytes {
        let mut message = Bytes::from(self.0);
        message.advance(PREFIX_BYTES);
        message
    }

    /// All of it.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl Run {
    fn of(heads: &[Head]) -> Vec<Self> {
        let mut start = 0;
        let alike = heads.chunk_by(|one, next| one.single.is_some() == next.single.is_some());
        let run = |heads: &[Head]| {
            let run = start..start + heads.len();
            start = run.end;
            Self { heads: run, singles: heads.iter().filter_map(|head| head.single).collect() }
        };
        alike.map(run).collect()
    }

    /// Whether each of its features is written by its [`Single`], as nearly always when one entity is asked for.
    fn is_whole(&self, frame: &Frame) -> bool {
        let present = |single: &Single| frame.slots[single.slot].status.all(Status::Present);
        frame.rows == 1 && !self.singles.is_empty() && self.singles.iter().all(present)
    }

    /// Bytes of its features if it is whole.
    fn len(&self) -> usize {
        match (self.singles.first(), self.singles.last()) {
            (Some(first), Some(last)) => last.end - first.start,
            _ => 0,
        }
    }
}

/// What the caller asked to be in the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) columns: bool,
    pub(crate) float32_rows: bool,
    pub(crate) event_times: bool,
}

/// Lengths measured in the first pass; reused.
#[derive(Default, Debug)]
pub(crate) struct Sizes {
    /// Per run whether each of its features is written by its [`Single`].
    whole: Vec<bool>,
    /// Per feature of the other runs; None: it is written by its [`Single`].
    columns: Vec<Option<ColumnSize>>,
}

#[derive(Clone, Copy, Debug)]
struct ColumnSize {
    column: usize,
    feature: usize,
    present: bool,
}

/// The parts of an answer that are small messages of their own.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) provenance: pb::Provenance,
    pub(crate) timings: Option<pb::Timings>,
}

impl Layout {
    pub(crate) fn new(plan: &Plan) -> Self {
        let (mut offset, mut width) = (0, Ok(()));
        let mut heads = Vec::with_capacity(plan.outputs.len());
        let mut row = Vec::new();
        for output in &plan.outputs {
            let head = pb::Column {
                name: output.name.clone(),
                r#type: i32::from(output.ty.code()),
                dim: output.ty.dim(),
                ..pb::Column::default()
            };
            let bytes = head.encode_to_vec();
            let single = Single::new(output.slot, output.ty, &bytes, &mut row);
            heads.push(Head { slot: output.slot, ty: output.ty, bytes, offset, single });
            match numbers(output.ty) {
                Some(numbers) => offset += numbers,
                None if width.is_ok() => {
                    width = Err(format!("`{}` of type {}", output.name, output.ty));
                }
                None => {}
            }
        }
        let runs = Run::of(&heads);
        Self { heads, row, runs, width: width.map(|()| offset) }
    }

    /// Numbers per row of the float32 block; an error names the feature that is no number.
    pub(crate) fn width(&self) -> Result<usize, ServeError> {
        self.width.clone().map_err(|feature| ServeError::NotANumber { feature })
    }
}

/// How many float32 a value of the type becomes.
fn numbers(ty: Type) -> Option<usize> {
    match ty {
        Type::Bool | Type::Int32 | Type::Int64 | Type::Float32 | Type::Float64 => Some(1),
        Type::Embedding(dim) => Some(dim as usize),
        _ => None,
    }
}

/// Writes the whole answer. Fails if its message would be longer than `bytes_max`.
pub(crate) fn encode(
    layout: &Layout,
    plan: &Plan,
    frame: &Frame,
    wanted: Wanted,
    rest: &Rest,
    sizes: &mut Sizes,
    bytes_max: usize,
) -> Result<Framed, ServeError> {
    // The prefix has no room for a greater length.
    let bytes_max = bytes_max.min(u32::MAX as usize);
    let width = if wanted.float32_rows { layout.width()? } else { 0 };
    let head = pb::GetFeaturesResponse { rows: frame.rows as u32, ..Default::default() };
    let tail = tail(plan, frame, rest);
    let mut len = head.encoded_len() + tail.encoded_len();
    if wanted.columns {
        len += measure_features(layout, frame, sizes);
    }
    let block = wanted.float32_rows.then(|| block_len(width, frame.rows));
    len += block.map_or(0, |block| 1 + delimited(block));
    if wanted.event_times {
        let each = |lookup: usize| 1 + delimited(event_times_len(plan, lookup, frame.rows));
        len += (0..plan.lookups.len()).map(each).sum::<usize>();
    }
    if len > bytes_max {
        let (limit, max, came) = ("limits.response_bytes_max", bytes_max, len);
        return Err(ServeError::OverLimit { what: "bytes of an answer", limit, max, came });
    }
    let mut out = Vec::with_capacity(PREFIX_BYTES + len);
    out.push(0);
    out.extend_from_slice(&(len as u32).to_be_bytes());
    head.encode_raw_into(&mut out);
    if wanted.columns {
        put_features(layout, sizes, frame, &mut out);
    }
    if let Some(block) = block {
        put_block(layout, width, block, frame, &mut out);
    }
    if wanted.event_times {
        (0..plan.lookups.len()).for_each(|lookup| put_event_times(plan, lookup, frame, &mut out));
    }
    tail.encode_raw_into(&mut out);
    debug_assert_eq!(out.len(), PREFIX_BYTES + len, "what was measured is what was written");
    Ok(Framed(out))
}

/// Failures, provenance and timings as a message that holds nothing else.
fn tail(plan: &Plan, frame: &Frame, rest: &Rest) -> pb::GetFeaturesResponse {
    let failure = |failure: &skewless_catalog::Failure| pb::TransformFailure {
        transform: plan.steps[failure.step].transform.clone(),
        row: failure.row.map(|row| row as u32),
        message: failure.message.clone(),
    };
    pb::GetFeaturesResponse {
        failures: frame.failures.iter().map(failure).collect(),
        failures_total: u32::try_from(frame.failures_total).unwrap_or(u32::MAX),
        provenance: Some(rest.provenance.clone()),
        timings: rest.timings,
        ..Default::default()
    }
}

trait EncodeInto {
    fn encode_raw_into(&self, out: &mut Vec<u8>);
}

impl<M: Message> EncodeInto for M {
    fn encode_raw_into(&self, out: &mut Vec<u8>) {
        self.encode(out).expect("a vector grows");
    }
}

fn delimited(len: usize) -> usize {
    encoded_len_varint(len as u64) + len
}

/// The feature's lengths; none if its [`Single`] knows them.
fn measure(head: &Head, frame: &Frame) -> Option<ColumnSize> {
    let slot = &frame.slots[head.slot];
    if frame.rows == 1 && head.single.is_some() && slot.status.all(Status::Present) {
        return None;
    }
    let view = slot.column.view();
    let validity = view
        .validity_bytes()
        .filter(|_| view.null_count() > 0)
        .map_or(0, |_| 1 + delimited(frame.rows.div_ceil(8)));
    let column = head.bytes.len() + validity + values_len(&view);
    let present = slot.status.all(Status::Present);
    let statuses = if present { 0 } else { 1 + delimited(slot.status.len()) };
    Some(ColumnSize { column, feature: 1 + delimited(column) + statuses, present })
}

/// Measures every feature; gives their length in the answer.
fn measure_features(layout: &Layout, frame: &Frame, sizes: &mut Sizes) -> usize {
    sizes.whole.clear();
    sizes.columns.clear();
    let mut len = 0;
    for run in &layout.runs {
        let whole = run.is_whole(frame);
        sizes.whole.push(whole);
        if whole {
            len += run.len();
            continue;
        }
        for head in &layout.heads[run.heads.clone()] {
            let size = measure(head, frame);
            len += match (&size, &head.single) {
                (None, Some(single)) => single.len(),
                (size, _) => size.map_or(0, |size| 1 + delimited(size.feature)),
            };
            sizes.columns.push(size);
        }
    }
    len
}

fn put_features(layout: &Layout, sizes: &Sizes, frame: &Frame, out: &mut Vec<u8>) {
    let mut columns = sizes.columns.as_slice();
    for (run, whole) in layout.runs.iter().zip(&sizes.whole) {
        if *whole {
            put_singles(&layout.row, &run.singles, frame, out);
            continue;
        }
        let (these, rest) = columns.split_at(run.heads.len());
        columns = rest;
        let mut at = 0;
        for alike in these.chunk_by(|one, next| one.is_none() == next.is_none()) {
            let part = at..at + alike.len();
            at = part.end;
            if alike[0].is_none() {
                put_singles(&layout.row, &run.singles[part], frame, out);
                continue;
            }
            for (head, size) in layout.heads[run.heads.clone()][part].iter().zip(alike) {
                size.iter().for_each(|size| put_feature(head, *size, frame, out));
            }
        }
    }
}

/// Writes neighbouring features of one row.
fn put_singles(row: &[u8], singles: &[Single], frame: &Frame, out: &mut Vec<u8>) {
    let (Some(first), Some(last)) = (singles.first(), singles.last()) else { return };
    let start = out.len();
    out.extend_from_slice(&row[first.start..last.end]);
    let out = &mut out[start..];
    for single in singles {
        let end = single.end - first.start;
        put_single(&frame.slots[single.slot].column, &mut out[end - single.width..end]);
    }
}

/// Writes the value of a column of one row.
fn put_single(column: &Column, out: &mut [u8]) {
    let bytes = column.values_bytes();
    // A copy of a length that the compiler knows is no call.
    match out.len() {
        1 => out[0] = bytes[0] & 1,
        4 => out[..4].copy_from_slice(&bytes[..4]),
        8 => out[..8].copy_from_slice(&bytes[..8]),
        _ => out.copy_from_slice(bytes),
    }
}

fn put_feature(head: &Head, size: ColumnSize, frame: &Frame, out: &mut Vec<u8>) {
    let slot = &frame.slots[head.slot];
    let view = slot.column.view();
    put_length(2, size.feature, out);
    put_length(1, size.column, out);
    out.extend_from_slice(&head.bytes);
    if let Some(validity) = view.validity_bytes().filter(|_| view.null_count() > 0) {
        let bitmap = frame.rows.div_ceil(8);
        put_length(4, bitmap, out);
        out.extend_from_slice(&validity[..bitmap]);
    }
    put_values(&view, out);
    if !size.present {
        put_length(2, slot.status.len(), out);
        out.extend(slot.status.iter().map(|status| status as u8));
    }
}

/// Tag of a length-delimited field below 16, and its length.
fn put_length(field: u8, len: usize, out: &mut Vec<u8>) {
    out.push((field << 3) | 2);
    encode_varint(len as u64, out);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// A packed field of varints: (field, values).
fn varints_len(values: impl Iterator<Item = u64>) -> usize {
    values.map(encoded_len_varint).sum()
}

fn put_varints(field: u8, values: impl Iterator<Item = u64> + Clone, out: &mut Vec<u8>) {
    let len = varints_len(values.clone());
    if len > 0 {
        put_length(field, len, out);
        values.for_each(|value| encode_varint(value, out));
    }
}

/// A packed field of known length, left out if empty.
fn packed(len: usize) -> usize {
    if len == 0 { 0 } else { 1 + delimited(len) }
}

fn values_len(view: &ColumnView<'_>) -> usize {
    let rows = view.len();
    match view.ty() {
        Type::Bool => packed(rows),
        Type::Int32 => packed(varints_len(view.i32s().map(|value| zigzag(value.into())))),
        Type::Int64 => packed(varints_len(view.i64s().map(zigzag))),
        Type::Float32 | Type::Float64 | Type::Timestamp | Type::Embedding(_) => {
            packed(view.values_bytes().len())
        }
        Type::Utf8 | Type::Binary => {
            (0..rows).map(|row| 1 + delimited(bytes_at(view, row).len())).sum()
        }
        Type::ListInt64 => {
            let values = (0..rows).flat_map(|row| view.list_i64_at(row).iter());
            packed(varints_len(values.map(zigzag))) + packed(varints_len(lengths(view)))
        }
        Type::ListFloat64 => {
            packed(lengths(view).sum::<u64>() as usize * 8) + packed(varints_len(lengths(view)))
        }
        Type::ListUtf8 => {
            let items = (0..rows).flat_map(|row| view.list_utf8_at(row).iter());
            items.map(|item| 1 + delimited(item.len())).sum::<usize>()
                + packed(varints_len(lengths(view)))
        }
    }
}

fn put_values(view: &ColumnView<'_>, out: &mut Vec<u8>) {
    let rows = view.len();
    if rows == 0 {
        return;
    }
    match view.ty() {
        Type::Bool => {
            put_length(5, rows, out);
            out.extend((0..rows).map(|row| u8::from(view.bool_at(row) && !view.is_null(row))));
        }
        Type::Int32 => put_varints(6, view.i32s().map(|value| zigzag(value.into())), out),
        Type::Int64 => put_varints(7, view.i64s().map(zigzag), out),
        Type::Float32 | Type::Embedding(_) => put_bytes(8, view.values_bytes(), out),
        Type::Float64 => put_bytes(9, view.values_bytes(), out),
        Type::Timestamp => put_bytes(12, view.values_bytes(), out),
        Type::Utf8 => (0..rows).for_each(|row| put_bytes(10, bytes_at(view, row), out)),
        Type::Binary => (0..rows).for_each(|row| put_bytes(11, bytes_at(view, row), out)),
        Type::ListInt64 => {
            put_varints(7, (0..rows).flat_map(|row| view.list_i64_at(row).iter()).map(zigzag), out);
            put_varints(13, lengths(view), out);
        }
        Type::ListFloat64 => {
            let len = lengths(view).sum::<u64>() as usize * 8;
            if len > 0 {
                put_length(9, len, out);
                (0..rows).for_each(|row| out.extend_from_slice(view.list_f64_at(row).as_bytes()));
            }
            put_varints(13, lengths(view), out);
        }
        Type::ListUtf8 => {
            let items = (0..rows).flat_map(|row| view.list_utf8_at(row).iter());
            items.for_each(|item| put_bytes(10, item.as_bytes(), out));
            put_varints(13, lengths(view), out);
        }
    }
}

fn put_bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    put_length(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn bytes_at<'a>(view: &ColumnView<'a>, row: usize) -> &'a [u8] {
    match view.ty() {
        Type::Utf8 => view.utf8_at(row).as_bytes(),
        _ => view.binary_at(row),
    }
}

fn lengths(view: &ColumnView<'_>) -> impl Iterator<Item = u64> + Clone {
    let view = *view;
    (0..view.len()).map(move |row| match view.ty() {
        Type::ListInt64 => view.list_i64_at(row).len() as u64,
        Type::ListFloat64 => view.list_f64_at(row).len() as u64,
        _ => view.list_utf8_at(row).len() as u64,
    })
}

/// Length of a `Float32Rows` message.
fn block_len(width: usize, rows: usize) -> usize {
    let head = if width == 0 { 0 } else { 1 + encoded_len_varint(width as u64) };
    head + packed(width * rows * 4)
}

fn put_block(layout: &Layout, width: usize, block: usize, frame: &Frame, out: &mut Vec<u8>) {
    put_length(3, block, out);
    if width == 0 {
        return;
    }
    out.push(1 << 3);
    encode_varint(width as u64, out);
    let len = width * frame.rows * 4;
    if len == 0 {
        return;
    }
    put_length(2, len, out);
    let start = out.len();
    out.resize(start + len, 0);
    let numbers = &mut out[start..];
    for head in &layout.heads {
        put_block_column(head, width, frame, numbers);
    }
}

/// Writes one feature of every row; rows are `width` numbers apart.
fn put_block_column(head: &Head, width: usize, frame: &Frame, numbers: &mut [u8]) {
    let slot = &frame.slots[head.slot];
    let view = slot.column.view();
    for row in 0..frame.rows {
        let at = (row * width + head.offset) * 4;
        if view.is_null(row) {
            let count = match head.ty {
                Type::Embedding(dim) => dim as usize,
                _ => 1,
            };
            numbers[at..at + count * 4]
                .chunks_exact_mut(4)
                .for_each(|nan| nan.copy_from_slice(&NAN_F32));
            continue;
        }
        let value = match head.ty {
            Type::Bool => f32::from(u8::from(view.bool_at(row))),
            Type::Int32 => view.i32_at(row) as f32,
            Type::Int64 => view.i64_at(row) as f32,
            Type::Float32 => view.f32_at(row),
            Type::Float64 => view.f64_at(row) as f32,
            Type::Embedding(_) => {
                let bytes = view.embedding_at(row).as_bytes();
                numbers[at..at + bytes.len()].copy_from_slice(bytes);
                continue;
            }
            _ => continue,
        };
        let bytes = if value.is_nan() { NAN_F32 } else { value.to_le_bytes() };
        numbers[at..at + 4].copy_from_slice(&bytes);
    }
}

fn event_times_len(plan: &Plan, lookup: usize, rows: usize) -> usize {
    let lookup = &plan.lookups[lookup];
    let role = lookup.role.as_deref().unwrap_or_default();
    let text = |text: &str| if text.is_empty() { 0 } else { 1 + delimited(text.len()) };
    text(&lookup.view_name) + text(role) + packed(rows * 8)
}

fn put_event_times(plan: &Plan, lookup: usize, frame: &Frame, out: &mut Vec<u8>) {
    put_length(4, event_times_len(plan, lookup, frame.rows), out);
    let of = &plan.lookups[lookup];
    if !of.view_name.is_empty() {
        put_bytes(1, of.view_name.as_bytes(), out);
    }
    if let Some(role) = of.role.as_deref().filter(|role| !role.is_empty()) {
        put_bytes(2, role.as_bytes(), out);
    }
    if frame.rows > 0 {
        put_length(3, frame.rows * 8, out);
        frame.lookups[lookup].iter().for_each(|us| out.extend_from_slice(&us.to_le_bytes()));
    }
}

#[cfg(test)]
mod tests;

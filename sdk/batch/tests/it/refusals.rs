//! Every way in which bytes are not a batch, one case each. The same cases are the invalid vectors.

use skewless_batch::layout::{DESCRIPTOR_BYTES, HEADER_BYTES};
use skewless_batch::{
    BatchError, BatchView, Buffer, Column, ColumnView, Parts, Type, encode, encode_vec,
};

use crate::model::{Owned, build};

/// Bytes that are refused with exactly this error.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) error: BatchError,
}

/// Three rows of nullable int64, utf8, list of utf8, embedding of 2, bool, list of float64.
fn base() -> Vec<u8> {
    let texts = |items: &[&str]| Owned::ListUtf8(items.iter().map(|s| (*s).to_owned()).collect());
    let columns = [
        build(Type::Int64, &[Owned::Int64(1), Owned::Null, Owned::Int64(3)]),
        build(Type::Utf8, &["zż", "", "b"].map(|text| Owned::Utf8(text.to_owned()))),
        build(Type::ListUtf8, &[texts(&["ż"]), texts(&[]), texts(&["b", "cd"])]),
        build(Type::Embedding(2), &[0.5, 1.5, 2.5].map(|x| Owned::Embedding(vec![x, -x]))),
        build(Type::Bool, &[true, false, true].map(Owned::Bool)),
        build(Type::ListFloat64, &[1, 0, 2].map(|n| Owned::ListFloat64(vec![0.25; n]))),
    ];
    let views: Vec<ColumnView<'_>> = columns.iter().map(Column::view).collect();
    encode_vec(3, &views)
}

fn descriptor(column: usize) -> usize {
    HEADER_BYTES + column * DESCRIPTOR_BYTES
}

/// Where the descriptor states the position of a buffer; its length is 4 further.
fn place(column: usize, buffer: Buffer) -> usize {
    descriptor(column) + 8 + 8 * buffer as usize
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Where a buffer begins in the base batch.
fn start(column: usize, buffer: Buffer) -> usize {
    u32_at(&base(), place(column, buffer)) as usize
}

/// The base batch with a u32 replaced.
fn with(at: usize, value: u32) -> Vec<u8> {
    with_bytes(at, &value.to_le_bytes())
}

fn with_bytes(at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = base();
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

fn case(name: &'static str, doc: &'static str, bytes: Vec<u8>, error: BatchError) -> Case {
    Case { name, doc, bytes, error }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = header_cases();
    cases.extend(descriptor_cases());
    cases.extend(place_cases());
    cases.extend(content_cases());
    cases
}

fn header_cases() -> Vec<Case> {
    use BatchError::*;
    let total = base().len();
    let mut longer = base();
    longer.extend_from_slice(&[0; 64]);
    let mut few = base()[..HEADER_BYTES].to_vec();
    few[16..20].copy_from_slice(&(HEADER_BYTES as u32).to_le_bytes());
    vec![
        case("empty", "no bytes at all", vec![], TooShort { expected: 64, found: 0 }),
        case(
            "short_header",
            "63 of the header's 64 bytes",
            base()[..63].to_vec(),
            TooShort { expected: 64, found: 63 },
        ),
        case("magic", "SKWA", with_bytes(0, b"SKWA"), Magic { found: *b"SKWA" }),
        case("version_0", "version 0", with_bytes(4, &[0, 0]), Version { found: 0 }),
        case("version_2", "version 2", with_bytes(4, &[2, 0]), Version { found: 2 }),
        case("header_flags", "flags 1", with_bytes(6, &[1, 0]), HeaderFlags { found: 1 }),
        case("header_reserved", "byte 20 is 1", with_bytes(20, &[1]), Reserved { at: 20 }),
        case("header_reserved_last", "byte 63 is 255", with_bytes(63, &[255]), Reserved { at: 63 }),
        case(
            "rows_limit",
            "1,048,577 rows",
            with(8, (1 << 20) + 1),
            RowsLimit { found: (1 << 20) + 1 },
        ),
        case("columns_limit", "4097 columns", with(12, 4097), ColumnsLimit { found: 4097 }),
        case(
            "bytes_limit",
            "2^30 + 1 bytes stated",
            with(16, (1 << 30) + 1),
            BytesLimit { found: (1 << 30) + 1 },
        ),
        case(
            "truncated",
            "the last 64 bytes are missing",
            base()[..total - 64].to_vec(),
            TotalLength { stated: total, found: total - 64 },
        ),
        case(
            "trailing",
            "64 bytes after the end",
            longer,
            TotalLength { stated: total, found: total + 64 },
        ),
        case(
            "descriptors",
            "6 columns stated, no descriptors",
            few,
            Descriptors { expected: 64 + 6 * 48, found: 64 },
        ),
    ]
}

fn descriptor_cases() -> Vec<Case> {
    use BatchError::*;
    let int64 = descriptor(0);
    vec![
        case(
            "type_code_0",
            "type code 0",
            with_bytes(int64, &[0]),
            TypeCode { column: 0, found: 0 },
        ),
        case(
            "type_code_13",
            "type code 13",
            with_bytes(descriptor(1), &[13]),
            TypeCode { column: 1, found: 13 },
        ),
        case(
            "column_flags",
            "column flags 3",
            with_bytes(int64 + 1, &[3]),
            ColumnFlags { column: 0, found: 3 },
        ),
        case(
            "descriptor_reserved",
            "byte 2 of descriptor 0",
            with_bytes(int64 + 2, &[1]),
            Reserved { at: int64 + 2 },
        ),
        case(
            "descriptor_reserved_end",
            "bytes 44 on of descriptor 1",
            with(descriptor(1) + 44, 7),
            Reserved { at: descriptor(1) + 44 },
        ),
        case(
            "dimension_of_int64",
            "an int64 column with dimension 2",
            with(int64 + 4, 2),
            Dimension { column: 0, code: 3, found: 2 },
        ),
        case(
            "dimension_0",
            "an embedding of 0 elements",
            with(descriptor(3) + 4, 0),
            Dimension { column: 3, code: 9, found: 0 },
        ),
        case(
            "dimension_65537",
            "an embedding of 65537 elements",
            with(descriptor(3) + 4, 65_537),
            Dimension { column: 3, code: 9, found: 65_537 },
        ),
        case(
            "dimension_wrong",
            "an embedding of 3 with values for 2",
            with(descriptor(3) + 4, 3),
            BufferLength { column: 3, buffer: Buffer::Values, expected: 36, found: 24 },
        ),
        case(
            "validity_without_flag",
            "a bitmap, but flags 0",
            with_bytes(int64 + 1, &[0]),
            BufferLength { column: 0, buffer: Buffer::Validity, expected: 0, found: 1 },
        ),
        case(
            "validity_missing",
            "flags 1, but no bitmap",
            with_bytes(descriptor(3) + 1, &[1]),
            BufferLength { column: 3, buffer: Buffer::Validity, expected: 1, found: 0 },
        ),
        case(
            "null_count",
            "null count 2 of 1 null",
            with(int64 + 40, 2),
            NullCount { column: 0, expected: 1, found: 2 },
        ),
        case(
            "null_count_without_validity",
            "null count 1, no bitmap",
            with(descriptor(1) + 40, 1),
            NullCount { column: 1, expected: 0, found: 1 },
        ),
    ]
}

fn place_cases() -> Vec<Case> {
    use BatchError::*;
    let total = base().len();
    let values = place(0, Buffer::Values);
    let at = start(0, Buffer::Values);
    let second = start(1, Buffer::Offsets);
    vec![
        case(
            "misaligned",
            "values 8 bytes further",
            with(values, at as u32 + 8),
            Misaligned { column: 0, buffer: Buffer::Values, offset: at + 8 },
        ),
        case(
            "in_header",
            "values at 0",
            with(values, 0),
            Overlap {
                column: 0,
                buffer: Buffer::Values,
                offset: 0,
                earliest: start(0, Buffer::Validity) + 1,
            },
        ),
        case(
            "aliased",
            "offsets of column 1 where column 0 has its values",
            with(place(1, Buffer::Offsets), at as u32),
            Overlap { column: 1, buffer: Buffer::Offsets, offset: at, earliest: at + 24 },
        ),
        case(
            "outside",
            "values begin at the end",
            with(place(5, Buffer::Values), total as u32),
            Outside { column: 5, buffer: Buffer::Values, end: total as u64 + 24, total },
        ),
        case(
            "outside_wrapping",
            "a length that wraps 32 bits",
            with(values + 4, u32::MAX),
            Outside {
                column: 0,
                buffer: Buffer::Values,
                end: at as u64 + u64::from(u32::MAX),
                total,
            },
        ),
        case(
            "empty_buffer",
            "an absent buffer with a position",
            with(place(0, Buffer::Offsets), 64),
            EmptyBuffer { column: 0, buffer: Buffer::Offsets, offset: 64 },
        ),
        case(
            "values_short",
            "3 int64 in 16 bytes",
            with(values + 4, 16),
            BufferLength { column: 0, buffer: Buffer::Values, expected: 24, found: 16 },
        ),
        case(
            "validity_long",
            "3 bits in 2 bytes",
            with(place(0, Buffer::Validity) + 4, 2),
            BufferLength { column: 0, buffer: Buffer::Validity, expected: 1, found: 2 },
        ),
        case(
            "bool_long",
            "3 bools in 3 bytes",
            with(place(4, Buffer::Values) + 4, 3),
            BufferLength { column: 4, buffer: Buffer::Values, expected: 1, found: 3 },
        ),
        case(
            "offsets_short",
            "3 offsets for 3 rows",
            with(place(1, Buffer::Offsets) + 4, 12),
            BufferLength { column: 1, buffer: Buffer::Offsets, expected: 16, found: 12 },
        ),
        case(
            "offsets_of_int64",
            "an int64 column retyped from utf8",
            with_bytes(descriptor(1), &[3]),
            BufferLength { column: 1, buffer: Buffer::Offsets, expected: 0, found: 16 },
        ),
        case(
            "inner_offsets_of_utf8",
            "a list of utf8 retyped to utf8",
            with_bytes(descriptor(2), &[6]),
            BufferLength { column: 2, buffer: Buffer::InnerOffsets, expected: 0, found: 16 },
        ),
        case(
            "inner_offsets_missing",
            "a utf8 column retyped to list of utf8",
            with_bytes(descriptor(1), &[12]),
            BufferLength { column: 1, buffer: Buffer::InnerOffsets, expected: 20, found: 0 },
        ),
        case(
            "list_values_short",
            "2 of 3 elements",
            with(place(5, Buffer::Values) + 4, 16),
            BufferLength { column: 5, buffer: Buffer::Values, expected: 24, found: 16 },
        ),
        case(
            "more_rows",
            "4 rows stated, buffers for 3",
            with(8, 4),
            BufferLength { column: 0, buffer: Buffer::Values, expected: 32, found: 24 },
        ),
        case(
            "offsets_first_negative",
            "the first offset is -1",
            with(second, u32::MAX),
            FirstOffset { column: 1, buffer: Buffer::Offsets, found: -1 },
        ),
    ]
}

fn content_cases() -> Vec<Case> {
    use BatchError::*;
    let offsets = start(1, Buffer::Offsets);
    let text = start(1, Buffer::Values);
    let inner = start(2, Buffer::InnerOffsets);
    vec![
        case(
            "offsets_first",
            "the first offset is 1",
            with(offsets, 1),
            FirstOffset { column: 1, buffer: Buffer::Offsets, found: 1 },
        ),
        case(
            "offsets_fall",
            "offsets 0 3 2 4",
            with(offsets + 8, 2),
            OffsetOrder { column: 1, buffer: Buffer::Offsets, at: 1 },
        ),
        case(
            "offsets_negative",
            "offsets 0 3 -1 4",
            with(offsets + 8, u32::MAX),
            OffsetOrder { column: 1, buffer: Buffer::Offsets, at: 1 },
        ),
        case(
            "offsets_end",
            "offsets end at 5 of 4 bytes",
            with(offsets + 12, 5),
            LastOffset { column: 1, buffer: Buffer::Offsets, expected: 4, found: 5 },
        ),
        case(
            "inner_offsets_first",
            "the first inner offset is 1",
            with(inner, 1),
            FirstOffset { column: 2, buffer: Buffer::InnerOffsets, found: 1 },
        ),
        case(
            "inner_offsets_fall",
            "inner offsets 0 2 1 5",
            with(inner + 8, 1),
            OffsetOrder { column: 2, buffer: Buffer::InnerOffsets, at: 1 },
        ),
        case(
            "inner_offsets_end",
            "inner offsets end at 4 of 5 bytes",
            with(inner + 12, 4),
            LastOffset { column: 2, buffer: Buffer::InnerOffsets, expected: 5, found: 4 },
        ),
        case("utf8", "a byte 0xff in text", with_bytes(text, &[0xff]), Utf8 { column: 1, at: 0 }),
        case(
            "utf8_surrogate",
            "half of a surrogate pair",
            with_bytes(text, &[0xed, 0xa0, 0x80]),
            Utf8 { column: 1, at: 0 },
        ),
        case(
            "utf8_cut",
            "an offset inside a character",
            with_bytes(offsets, &[0, 0, 0, 0, 2, 0, 0, 0]),
            Utf8 { column: 1, at: 2 },
        ),
        case(
            "utf8_cut_inner",
            "an inner offset inside a character",
            with(inner + 4, 1),
            Utf8 { column: 2, at: 1 },
        ),
    ]
}

#[test]
fn the_base_of_the_cases_is_a_batch() {
    let bytes = base();
    assert_eq!(BatchView::parse(&bytes).unwrap().columns(), 6);
}

#[test]
fn each_flaw_is_refused_by_its_name_and_place() {
    for case in cases() {
        assert_eq!(BatchView::parse(&case.bytes).unwrap_err(), case.error, "{}", case.name);
        let message = case.error.to_string();
        assert!(message.contains("expected") || message.contains("found"), "{message}");
    }
}

#[test]
fn messages_say_what_was_expected_what_came_and_where() {
    let message = |name: &str| {
        cases().iter().find(|case| case.name == name).map(|case| case.error.to_string()).unwrap()
    };
    assert_eq!(message("values_short"), "column 0, values: expected 24 bytes, found 16");
    assert_eq!(message("rows_limit"), "expected at most 1048576 rows (ROWS_MAX), found 1048577");
    assert_eq!(
        message("offsets_fall"),
        "column 1, offsets: expected offsets that never fall, found a smaller one after entry 1"
    );
    assert_eq!(message("utf8_cut"), "column 1, values: expected UTF-8, found a bad byte at 2");
}

#[test]
fn columns_of_another_length_and_outputs_of_another_size_are_refused() {
    let column = build(Type::Int64, &[Owned::Int64(1)]);
    let mut out = vec![0; 192];
    assert_eq!(
        encode(2, &[column.view()], &mut out),
        Err(BatchError::ColumnRows { column: 0, expected: 2, found: 1 })
    );
    for found in [0, 1, 63, 64, 100, 191, 193, 500] {
        let mut out = vec![7; found];
        let refused = encode(1, &[column.view()], &mut out);
        assert_eq!(refused, Err(BatchError::OutputLength { expected: 192, found }));
    }
    assert_eq!(encode(1, &[column.view()], &mut out), Ok(192));
}

#[test]
fn buffers_from_elsewhere_are_checked_too() {
    let parts = Parts { values: &[0; 12], ..Parts::default() };
    assert_eq!(
        ColumnView::new(Type::Int32, 3, parts).unwrap().value(2),
        skewless_batch::Value::Int32(0)
    );
    assert_eq!(
        ColumnView::new(Type::Int32, 4, parts).unwrap_err(),
        BatchError::BufferLength { column: 0, buffer: Buffer::Values, expected: 16, found: 12 }
    );
    assert_eq!(
        ColumnView::new(Type::Embedding(0), 0, Parts::default()).unwrap_err(),
        BatchError::Dimension { column: 0, code: 9, found: 0 }
    );
}

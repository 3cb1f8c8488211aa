//! A batch written in place, and a column encoded from where it was written, are byte by byte what encoding columns
//! gives, whatever was in the memory before.

use skewless_batch::{Column, ColumnView, InPlace, Slots, Type, Written, encode_vec};

use crate::model::{Owned, assert_holds, build};

static TYPES: [Type; 9] = [
    Type::Bool,
    Type::Int32,
    Type::Int64,
    Type::Float32,
    Type::Float64,
    Type::Timestamp,
    Type::Embedding(1),
    Type::Embedding(3),
    Type::Embedding(40),
];
/// From nothing to more than a line of 64 bytes, of every type but bool.
const ROWS: std::ops::RangeInclusive<usize> = 0..=70;
/// Rows at the edges of bytes, words and lines.
const EDGES: [usize; 9] = [1, 2, 7, 8, 9, 63, 64, 65, 70];

/// A value of a row; of floats a NaN, whose bits must stay as well.
fn sample(ty: Type, row: usize) -> Owned {
    let (n, odd) = (row as i64 + 1, row as u32 + 1);
    match ty {
        Type::Bool => Owned::Bool(row % 3 != 1),
        Type::Int32 => Owned::Int32(-(n as i32)),
        Type::Int64 => Owned::Int64(i64::MIN + n),
        Type::Timestamp => Owned::Timestamp(i64::MAX - n),
        Type::Float32 => Owned::Float32(f32::from_bits(0xff80_0000 | odd)),
        Type::Float64 => Owned::Float64(f64::from_bits(0x7ff0_0000_0000_0000 | u64::from(odd))),
        Type::Embedding(dim) => {
            Owned::Embedding((0..dim).map(|at| (odd * 100 + at) as f32).collect())
        }
        _ => panic!("{ty} has no one width"),
    }
}

fn samples(ty: Type, rows: usize) -> Vec<Owned> {
    (0..rows).map(|row| sample(ty, row)).collect()
}

/// Writes a column's rows into `place`.
fn write<'o>(ty: Type, rows: &[Owned], place: &'o mut [u8]) -> Written<'o> {
    match ty {
        Type::Bool => {
            let mut slots: Slots<'_, 1> = Slots::new(rows.len(), place);
            for (row, value) in rows.iter().enumerate() {
                match value {
                    Owned::Bool(value) => slots.put_bit(row, *value),
                    _ => slots.null_bit(row),
                }
            }
            slots.written(ty)
        }
        Type::Int32 | Type::Float32 | Type::Embedding(_) => write_items::<4>(ty, rows, place),
        _ => write_items::<8>(ty, rows, place),
    }
}

fn write_items<'o, const N: usize>(ty: Type, rows: &[Owned], place: &'o mut [u8]) -> Written<'o> {
    let mut slots: Slots<'_, N> = Slots::new(rows.len(), place);
    for (row, value) in rows.iter().enumerate() {
        // A value's bytes are those of a column with nothing else.
        let alone = build(ty, std::slice::from_ref(value));
        match (value, alone.values_bytes().as_chunks::<N>().0) {
            (Owned::Null, _) => slots.null(row),
            (_, [item]) => slots.put(row, *item),
            (_, items) => slots.put_all(row, items.iter().copied()),
        }
    }
    let nulls = rows.iter().any(|value| matches!(value, Owned::Null));
    assert_eq!(slots.has_nulls(), nulls);
    slots.written(ty)
}

fn encoded(rows: usize, columns: &[Column]) -> Vec<u8> {
    let views: Vec<ColumnView<'_>> = columns.iter().map(Column::view).collect();
    encode_vec(rows, &views)
}

#[test]
fn a_batch_written_in_place_has_the_bytes_that_encoding_gives() {
    let alone = TYPES.iter().map(std::slice::from_ref);
    for types in alone.chain([&[][..], &TYPES[..], &[Type::Bool, Type::Float64][..]]) {
        for rows in ROWS {
            let len = InPlace::byte_len(rows, types.iter().copied()).expect("types of one width");
            let mut bytes = vec![0xaa; len];
            let mut batch = InPlace::new(rows, types.len(), &mut bytes);
            let mut columns = Vec::new();
            for &ty in types {
                let values = samples(ty, rows);
                let column = build(ty, &values);
                let place = batch.column(ty);
                assert_eq!(place.len(), column.values_bytes().len());
                write(ty, &values, place);
                columns.push(column);
            }
            assert_eq!(bytes, encoded(rows, &columns), "{types:?}, {rows} rows");
        }
    }
}

#[test]
fn a_column_with_nulls_is_encoded_from_where_it_was_written() {
    for ty in TYPES {
        for rows in EDGES {
            for null in 0..=rows {
                let mut values = samples(ty, rows);
                for (row, value) in values.iter_mut().enumerate() {
                    // Past the last row: all are null.
                    if row == null || row % 11 == 10 || null == rows {
                        *value = Owned::Null;
                    }
                }
                let mut place = vec![0xaa; ty.values_len(rows).expect("a type of one width")];
                let written = write(ty, &values, &mut place);
                assert_holds(&written.view(), ty, &values);
                let column = build(ty, &values);
                assert_eq!(
                    encode_vec(rows, &[written.view()]),
                    encoded(rows, &[column]),
                    "{ty}, {rows} rows, row {null} is null"
                );
            }
        }
    }
}

#[test]
fn types_without_one_width_have_no_place_beforehand() {
    for ty in [Type::Utf8, Type::Binary, Type::ListInt64, Type::ListFloat64, Type::ListUtf8] {
        assert_eq!(ty.values_len(3), None, "{ty}");
        assert_eq!(InPlace::byte_len(3, [Type::Int64, ty].into_iter()), None, "{ty}");
    }
}

#[test]
#[should_panic(expected = "the batch has the length of its rows and columns")]
fn a_place_that_is_too_short_is_refused() {
    let mut bytes = vec![0; 128];
    let _ = InPlace::new(1, 1, &mut bytes).column(Type::Int64);
}

#[test]
#[should_panic(expected = "the type has one width")]
fn a_text_is_given_no_place() {
    let mut bytes = vec![0; 192];
    let _ = InPlace::new(1, 1, &mut bytes).column(Type::Utf8);
}

#[test]
#[should_panic(expected = "the values are the type's")]
fn values_of_another_type_are_refused() {
    let mut bytes = vec![0; 8];
    let slots: Slots<'_, 4> = Slots::new(2, &mut bytes);
    let _ = slots.written(Type::Int64);
}

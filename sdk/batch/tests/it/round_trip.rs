//! What goes in comes out, by every path, and equal columns are equal bytes.

use proptest::prelude::*;
use skewless_batch::{
    BatchView, CANONICAL_NAN_F32, CANONICAL_NAN_F64, Column, ColumnView, OneRow, Parts, Type,
    TypeMismatch, Value, Values, encode, encode_iter, encode_vec, encoded_len, encoded_len_iter,
};

use crate::model::{Owned, assert_holds, batch, build, rows, types, value};

/// One thing done to a column.
#[derive(Clone, Debug)]
enum Step {
    Push(Owned),
    PushValue(Owned),
    PushFrom(Vec<Owned>, usize),
    /// Rows from..to of a column of these rows, some of which are made null while keeping values.
    Append(Vec<Owned>, Vec<bool>, usize, usize),
    SetNull(usize),
    Nulls(usize),
    Clear,
}

fn step(ty: Type) -> impl Strategy<Value = Step> {
    let append = (0usize..20).prop_flat_map(move |count| {
        (rows(ty, count), prop::collection::vec(any::<bool>(), count), 0..=count, 0..=count)
    });
    prop_oneof![
        6 => value(ty).prop_map(Step::Push),
        2 => value(ty).prop_map(Step::PushValue),
        2 => (rows(ty, 5), 0usize..5).prop_map(|(rows, row)| Step::PushFrom(rows, row)),
        4 => append.prop_map(|(rows, nulls, a, b)| Step::Append(rows, nulls, a.min(b), a.max(b))),
        1 => (0usize..64).prop_map(Step::SetNull),
        1 => (0usize..10).prop_map(Step::Nulls),
        1 => Just(Step::Clear),
    ]
}

fn apply(step: Step, ty: Type, column: &mut Column, oracle: &mut Vec<Owned>) {
    match step {
        Step::Push(value) => {
            value.push_to(column);
            oracle.push(value);
        }
        Step::PushValue(value) => {
            let one = build(ty, std::slice::from_ref(&value));
            column.push(one.value(0)).unwrap();
            oracle.push(value);
        }
        Step::PushFrom(rows, row) => {
            column.push_from(&build(ty, &rows).view(), row);
            oracle.push(rows[row].clone());
        }
        Step::Append(mut rows, nulls, from, to) => {
            let mut other = build(ty, &rows);
            for row in (0..rows.len()).filter(|row| nulls[*row]) {
                other.set_null(row);
                rows[row] = Owned::Null;
            }
            column.append(&other.view(), from..to);
            oracle.extend_from_slice(&rows[from..to]);
        }
        Step::SetNull(row) if row < oracle.len() => {
            column.set_null(row);
            oracle[row] = Owned::Null;
        }
        Step::SetNull(_) => {}
        Step::Nulls(count) => {
            column.push_nulls(count);
            oracle.extend(vec![Owned::Null; count]);
        }
        Step::Clear => {
            column.clear();
            oracle.clear();
        }
    }
}

fn is_number(ty: &Type) -> bool {
    *ty == Type::Bool || ty.width().is_some_and(|width| width <= 8)
}

#[test]
fn one_row_holds_nothing_but_one_value_of_each_of_its_types() {
    let one_row = OneRow::new(&[Type::Int64, Type::Bool]).expect("numbers");
    let (number, flag) =
        (build(Type::Int64, &[Owned::Int64(7)]), build(Type::Bool, &[Owned::Bool(true)]));
    let null = build(Type::Bool, &[Owned::Null]);
    let two = build(Type::Int64, &[Owned::Int64(7), Owned::Int64(8)]);
    let (none, at) = (Column::new(Type::Int64), build(Type::Timestamp, &[Owned::Timestamp(7)]));
    let holds = |columns: &[&Column]| one_row.holds(columns.iter().copied());
    assert!(holds(&[&number, &flag]));
    for columns in [&[&number, &null][..], &[&two, &flag], &[&none, &flag], &[&at, &flag]] {
        assert!(!holds(columns), "{columns:?}");
    }
    assert!(!holds(&[&number]) && !holds(&[&number, &flag, &flag]) && !holds(&[]));
    for ty in [Type::Utf8, Type::ListInt64, Type::Embedding(3), Type::Embedding(0)] {
        assert!(OneRow::new(&[Type::Int64, ty]).is_none(), "{ty}");
    }
}

/// A small batch is cleared at once, a large one gap by gap.
#[test]
fn what_was_in_a_large_output_does_not_show_through() {
    let (mut numbers, mut flags) = (Column::new(Type::Float64), Column::new(Type::Bool));
    for row in 0..2_001 {
        numbers.push_f64(f64::from(row));
        if row % 7 == 0 { flags.push_null() } else { flags.push_bool(row % 2 == 0) }
    }
    let views = [flags.view(), numbers.view(), flags.view()];
    let mut bytes = vec![0xaa; encoded_len(2_001, &views)];
    encode(2_001, &views, &mut bytes).unwrap();
    assert!(bytes.len() > 8 * 1024, "it is a large one");
    assert_eq!(bytes, encode_vec(2_001, &views));
}

proptest! {
    #[test]
    fn values_gathered_elsewhere_are_a_column((ty, rows, nulls) in types()
        .prop_filter("has values of one width", |ty| !ty.has_offsets())
        .prop_flat_map(|ty| (Just(ty), rows(ty, 19), prop::collection::vec(any::<bool>(), 19)))
    ) {
        let (mut gathered, mut expected) = (build(ty, &rows), rows);
        for row in (0..expected.len()).filter(|row| nulls[*row]) {
            // Keeps its value in the slot, as a stranger's column may.
            gathered.set_null(row);
            expected[row] = Owned::Null;
        }
        let (validity, _, _, values) = gathered.into_buffers();
        let column = Column::of_values(ty, expected.len(), values, validity);
        assert_holds(&column.view(), ty, &expected);
        let pushed = build(ty, &expected);
        prop_assert_eq!(encode_vec(19, &[column.view()]), encode_vec(19, &[pushed.view()]));
    }

    #[test]
    fn a_column_holds_what_was_done_to_it(
        (ty, steps) in types().prop_flat_map(|ty| {
            (Just(ty), prop::collection::vec(step(ty), 0..20))
        })
    ) {
        let mut column = Column::with_capacity(ty, 3);
        let mut oracle = Vec::new();
        for step in steps {
            apply(step, ty, &mut column, &mut oracle);
            assert_holds(&column.view(), ty, &oracle);
        }
        let plain = build(ty, &oracle);
        prop_assert_eq!(&column, &plain);
        let bytes = encode_vec(oracle.len(), &[column.view()]);
        prop_assert_eq!(&bytes, &encode_vec(oracle.len(), &[plain.view()]));
        assert_holds(&BatchView::parse(&bytes).unwrap().column(0), ty, &oracle);
    }

    #[test]
    fn a_batch_comes_back_as_it_was((count, columns) in batch()) {
        let built: Vec<Column> = columns.iter().map(|(ty, rows)| build(*ty, rows)).collect();
        let views: Vec<ColumnView<'_>> = built.iter().map(Column::view).collect();
        let len = encoded_len(count, &views);
        prop_assert_eq!(len, encoded_len_iter(count, built.iter().map(Column::view)));
        prop_assert_eq!(len % 64, 0);

        // Whatever was in the output before must not show through.
        let mut bytes = vec![0xaa; len];
        prop_assert_eq!(encode(count, &views, &mut bytes), Ok(len));
        let mut again = vec![0x55; len];
        encode_iter(count, built.iter().map(Column::view), &mut again).unwrap();
        prop_assert_eq!(&bytes, &again);

        let parsed = BatchView::parse(&bytes).unwrap();
        prop_assert_eq!((parsed.rows(), parsed.columns()), (count, columns.len()));
        let mut copies = Vec::new();
        for (index, (ty, rows)) in columns.iter().enumerate() {
            let view = parsed.column(index);
            assert_holds(&view, *ty, rows);
            let (values, validity) = parsed.values_and_validity(index);
            prop_assert_eq!(values, view.values_bytes());
            prop_assert_eq!(validity, view.validity_bytes().unwrap_or_default());
            let mut copy = Column::new(*ty);
            copy.append(&view, 0..count);
            prop_assert_eq!(&copy, &built[index]);
            // Twice, so that the second begins anywhere in a byte of bits.
            let mut twice = build(*ty, rows);
            twice.append(&view, 0..count);
            let mut numbers = build(*ty, rows);
            let appended = numbers.append_numbers(&parsed, index);
            prop_assert_eq!(appended, !ty.has_offsets() && view.null_count() == 0);
            prop_assert_eq!(&numbers, if appended { &twice } else { &built[index] });
            copies.push(copy);
            for row in 0..count {
                let (mut a, mut b) = (Vec::new(), Vec::new());
                view.canonical_value_bytes(row, &mut a);
                built[index].value(row).canonical_bytes(&mut b);
                prop_assert_eq!(a, b);
            }
        }
        let copied: Vec<ColumnView<'_>> = copies.iter().map(Column::view).collect();
        prop_assert_eq!(&bytes, &encode_vec(count, &copied));
        let parsed: Vec<ColumnView<'_>> = (0..columns.len()).map(|i| parsed.column(i)).collect();
        prop_assert_eq!(&bytes, &encode_vec(count, &parsed));
    }

    #[test]
    fn scattered_values_are_pushed_one_by_one(
        (ty, before, values) in types().prop_flat_map(|ty| {
            (Just(ty), rows(ty, 5), prop::collection::vec(value(ty), 0..19))
        }),
        beside in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        // A bool alone in a bitmap is a byte; other bytes may follow each value.
        let one = |value: &Owned| build(ty, std::slice::from_ref(value)).values_bytes().to_vec();
        let scattered: Vec<Vec<u8>> =
            values.iter().map(|value| [one(value), beside.clone()].concat()).collect();
        let mut column = build(ty, &before);
        let appended = column.append_scattered(values.len(), |row| &scattered[row]);
        prop_assert_eq!(appended, !ty.has_offsets());
        let expected = if appended { [before, values].concat() } else { before };
        assert_holds(&column.view(), ty, &expected);
        prop_assert_eq!(
            encode_vec(expected.len(), &[column.view()]),
            encode_vec(expected.len(), &[build(ty, &expected).view()])
        );
    }

    #[test]
    fn one_row_of_numbers_is_the_same_batch_by_either_way(
        row in prop::collection::vec(
            types().prop_filter("is a number", is_number).prop_flat_map(|ty| (Just(ty), value(ty))),
            0..9,
        )
    ) {
        let types: Vec<Type> = row.iter().map(|(ty, _)| *ty).collect();
        let one = |(ty, value): &(Type, Owned)| build(*ty, std::slice::from_ref(value));
        let built: Vec<Column> = row.iter().map(one).collect();
        let views: Vec<ColumnView<'_>> = built.iter().map(Column::view).collect();
        let one_row = OneRow::new(&types).expect("numbers");
        prop_assert!(one_row.holds(built.iter()));
        let mut bytes = vec![0xaa; one_row.byte_len()];
        one_row.write(built.iter(), &mut bytes);
        prop_assert_eq!(bytes, encode_vec(1, &views));
    }

    #[test]
    fn foreign_values_in_null_slots_are_legal_and_written_as_nothing(
        (ty, rows, valid) in (types(), 1usize..20).prop_flat_map(|(ty, count)| {
            let rows = prop::collection::vec(value(ty), count);
            (Just(ty), rows, prop::collection::vec(any::<u8>(), count.div_ceil(8)))
        })
    ) {
        let full = build(ty, &rows);
        let parts = Parts {
            validity: Some(&valid),
            offsets: full.view().offsets_bytes(),
            inner_offsets: full.view().inner_offsets_bytes(),
            values: full.view().values_bytes(),
        };
        let foreign = ColumnView::new(ty, rows.len(), parts).unwrap();
        let expected: Vec<Owned> = rows
            .iter()
            .enumerate()
            .map(|(i, row)| if valid[i / 8] >> (i % 8) & 1 == 1 { row.clone() } else { Owned::Null })
            .collect();
        assert_holds(&foreign, ty, &expected);
        let bytes = encode_vec(rows.len(), &[foreign]);
        prop_assert_eq!(bytes, encode_vec(rows.len(), &[build(ty, &expected).view()]));
    }
}

#[test]
fn a_scattered_bool_is_true_only_as_one_and_an_empty_lot_is_nothing() {
    let mut column = Column::new(Type::Bool);
    let bytes = [0, 1, 255];
    assert!(column.append_scattered(3, |row| &bytes[row..]));
    assert!(column.append_scattered(0, |_| &[]));
    let [no, yes] = [false, true].map(Owned::Bool);
    assert_holds(&column.view(), Type::Bool, &[no.clone(), yes, no]);
}

#[test]
#[should_panic(expected = "the bytes hold a whole value")]
fn a_scattered_value_that_is_cut_short_is_refused() {
    Column::new(Type::Int64).append_scattered(1, |_| &[1, 2, 3]);
}

#[test]
fn bulk_reads_and_writes_are_the_rows() {
    let mut column = Column::new(Type::Float64);
    column.push_null();
    column.extend_f64s(&[1.5, f64::INFINITY, -0.0]);
    assert_eq!(
        column.view().f64s().map(f64::to_bits).collect::<Vec<_>>(),
        [0.0f64.to_bits(), 1.5f64.to_bits(), f64::INFINITY.to_bits(), (-0.0f64).to_bits()]
    );
    assert_eq!(column.view().f64_slice().unwrap().len(), 4);
    assert!(column.view().i64_slice().is_none(), "a float column has no int64 slice");
    assert!(column.is_null(0) && !column.is_null(3));

    let mut column = Column::new(Type::Timestamp);
    column.extend_i64s(&[1, 2]);
    assert_eq!(column.value(1), Value::Timestamp(2));
    assert_eq!(column.view().i64s().sum::<i64>(), 3);
    let mut column = Column::new(Type::Int32);
    column.extend_i32s(&[-1, 2]);
    assert_eq!(column.view().i32s().sum::<i32>(), 1);
    assert_eq!(column.view().i32_slice().unwrap(), [-1, 2]);
    let mut column = Column::new(Type::Float32);
    column.extend_f32s(&[0.5, 2.0]);
    assert_eq!(column.view().f32s().sum::<f32>(), 2.5);
    column.f32s_mut()[0] = 1.0;
    assert_eq!(column.view().f32_slice().unwrap(), [1.0, 2.0]);
}

#[test]
fn values_written_into_null_slots_by_a_mutable_slice_do_not_travel() {
    let nulls = [Owned::Null, Owned::Float64(1.0), Owned::Null];
    let mut column = build(Type::Float64, &nulls);
    column.f64s_mut().fill(7.0);
    let expected = build(Type::Float64, &[Owned::Null, Owned::Float64(7.0), Owned::Null]);
    assert_eq!(encode_vec(3, &[column.view()]), encode_vec(3, &[expected.view()]));

    let mut column = build(Type::Embedding(2), &[Owned::Embedding(vec![1.0, 2.0]), Owned::Null]);
    column.f32s_mut().fill(7.0);
    let expected = [Owned::Embedding(vec![7.0, 7.0]), Owned::Null];
    assert_eq!(
        encode_vec(2, &[column.view()]),
        encode_vec(2, &[build(Type::Embedding(2), &expected).view()])
    );
}

#[test]
fn every_nan_becomes_the_one_nan_and_nothing_else_changes() {
    let mut doubles = build(
        Type::Float64,
        &[
            Owned::Float64(f64::from_bits(0xfff0_0000_0000_0001)),
            Owned::Float64(-0.0),
            Owned::Null,
            Owned::Float64(f64::NEG_INFINITY),
        ],
    );
    doubles.canonicalize_nans();
    let bits: Vec<u64> = doubles.view().f64s().map(f64::to_bits).collect();
    assert_eq!(bits, [CANONICAL_NAN_F64, 1 << 63, 0, f64::NEG_INFINITY.to_bits()]);

    let nan = f32::from_bits(0xff80_0001);
    let mut embeddings = build(Type::Embedding(2), &[Owned::Embedding(vec![nan, 1.0])]);
    embeddings.canonicalize_nans();
    let bits: Vec<u32> = embeddings.view().f32s().map(f32::to_bits).collect();
    assert_eq!(bits, [CANONICAL_NAN_F32, 1.0f32.to_bits()]);

    let mut lists = build(Type::ListFloat64, &[Owned::ListFloat64(vec![-f64::NAN])]);
    lists.canonicalize_nans();
    assert_eq!(lists.view().f64_at(0).to_bits(), CANONICAL_NAN_F64);
}

#[test]
fn values_are_equal_by_bits() {
    assert_eq!(Value::Float64(f64::NAN), Value::Float64(f64::NAN));
    assert_ne!(Value::Float64(0.0), Value::Float64(-0.0));
    assert_ne!(Value::Float32(0.0), Value::Float32(-0.0));
    assert_ne!(Value::Int64(1), Value::Timestamp(1));
    let texts = ["a", ""];
    let column = build(Type::ListUtf8, &[Owned::ListUtf8(vec!["a".into(), String::new()])]);
    assert_eq!(column.value(0), Value::ListUtf8(texts.as_slice().into()));
    assert_ne!(column.value(0), Value::ListUtf8(texts[..1].into()));
}

#[test]
fn canonical_bytes_tell_null_empty_and_nested_apart() {
    let bytes = |value: Value<'_>| {
        let mut out = Vec::new();
        value.canonical_bytes(&mut out);
        out
    };
    assert_eq!(bytes(Value::Null), [0]);
    assert_eq!(bytes(Value::Utf8("")), [1, 0, 0, 0, 0]);
    assert_eq!(bytes(Value::Binary(b"ab")), [1, 2, 0, 0, 0, b'a', b'b']);
    assert_eq!(bytes(Value::Bool(true)), [1, 1]);
    assert_eq!(bytes(Value::Int32(-1)), [1, 255, 255, 255, 255]);
    let floats = [1.0f32];
    assert_eq!(bytes(Value::Embedding(floats.as_slice().into())), [1, 1, 0, 0, 0, 0, 0, 128, 63]);
    let texts = ["", "x"];
    let expected = [1, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'x'];
    assert_eq!(bytes(Value::ListUtf8(texts.as_slice().into())), expected);
}

#[test]
fn a_value_of_another_type_is_refused_and_nothing_is_appended() {
    let mut column = Column::new(Type::Embedding(3));
    let two = [1.0f32, 2.0];
    let refused = column.push(Value::Embedding(two.as_slice().into())).unwrap_err();
    assert_eq!(refused, TypeMismatch { expected: Type::Embedding(3), found: Type::Embedding(2) });
    assert_eq!(
        refused.to_string(),
        "expected a value of type embedding[3], found one of type embedding[2]"
    );
    assert!(column.is_empty() && column.view().values_bytes().is_empty());
    assert!(Column::new(Type::Int64).push(Value::Timestamp(0)).is_err());
}

#[test]
fn wrong_typed_pushes_are_bugs() {
    type Push = fn(&mut Column);
    let pushes: [(Type, Push); 5] = [
        (Type::Timestamp, |column| column.push_i64(1)),
        (Type::Embedding(1), |column| column.push_f32(1.0)),
        (Type::ListFloat64, |column| column.push_f64(1.0)),
        (Type::ListUtf8, |column| column.push_utf8("a")),
        (Type::Binary, |column| column.push_bool(true)),
    ];
    for (ty, push) in pushes {
        let caught = std::panic::catch_unwind(|| push(&mut Column::new(ty)));
        assert!(caught.is_err(), "{ty}");
    }
}

#[test]
fn clear_keeps_the_memory_and_the_bitmap_waits_for_the_first_null() {
    let mut column = Column::with_capacity(Type::Float64, 100);
    let capacity = column.capacity_bytes();
    assert_eq!(capacity, 800, "no bitmap yet");
    (0..100).for_each(|row| column.push_f64(f64::from(row)));
    column.clear();
    assert_eq!((column.len(), column.capacity_bytes()), (0, capacity));
    column.push_null();
    assert!(column.capacity_bytes() > capacity);
    column.clear();
    column.push_f64(1.0);
    assert_eq!((column.null_count(), column.view().validity_bytes()), (0, None));
}

#[test]
fn type_names_and_codes_go_both_ways() {
    let names = [
        "bool",
        "int32",
        "int64",
        "float32",
        "float64",
        "utf8",
        "binary",
        "timestamp",
        "embedding[16]",
        "list<int64>",
        "list<float64>",
        "list<utf8>",
    ];
    for (index, name) in names.into_iter().enumerate() {
        let ty: Type = name.parse().unwrap();
        assert_eq!(ty.to_string(), name);
        assert_eq!(usize::from(ty.code()), index + 1);
        assert_eq!(Type::from_code(ty.code(), ty.dim()), Some(ty));
    }
    for wrong in ["", "Int32", "embedding[0]", "embedding[65537]", "embedding[+1]", "list<bool>"] {
        let error = wrong.parse::<Type>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("unknown type `{wrong}`: expected bool")), "{error}");
    }
}

#[test]
#[should_panic(expected = "a value and a bit of validity for each row")]
fn values_of_another_number_are_refused() {
    let _ = Column::of_values(Type::Embedding(3), 2, Values::Float32(vec![0.0; 5]), None);
}

#[test]
#[should_panic(expected = "not the column's")]
fn values_of_another_type_are_refused() {
    let _ = Column::of_values(Type::Int32, 1, Values::Float32(vec![0.0]), None);
}

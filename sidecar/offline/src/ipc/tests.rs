//! Tests of `ipc.rs`: what is taken, what is refused by its name, and files that lie.

#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::array::{
    BooleanArray, DictionaryArray, FixedSizeListArray, Float32Array, Float64Array, Int8Array,
    Int32Array, Int64Array, LargeStringArray, NullArray, RecordBatch, StringArray, StringViewArray,
    StructArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Float32Type, Float64Type, Int8Type, Int64Type, UnionFields, UnionMode};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use skewless_batch::Value;

use super::*;
use crate::columns::samples::{TYPES, sample};

const LIMITS: IpcLimits = IpcLimits { rows_max: 4_096, columns_max: 64 };

fn array(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

/// A file of batches that all have these columns.
fn file_with(options: IpcWriteOptions, batches: &[Vec<(&str, ArrayRef)>]) -> Vec<u8> {
    let batch = |columns: &Vec<(&str, ArrayRef)>| {
        RecordBatch::try_from_iter_with_nullable(
            columns.iter().map(|(name, array)| (*name, Arc::clone(array), true)),
        )
        .unwrap()
    };
    let schema = batch(&batches[0]).schema();
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &schema, options).unwrap();
    for columns in batches {
        writer.write(&batch(columns)).unwrap();
    }
    writer.into_inner().unwrap()
}

fn file(columns: &[(&str, ArrayRef)]) -> Vec<u8> {
    file_with(IpcWriteOptions::default(), &[columns.to_vec()])
}

fn open(bytes: &[u8]) -> Result<IpcFile, IpcError> {
    IpcFile::open(bytes.to_vec().into(), LIMITS)
}

/// The one column of a file, as a type.
fn column(bytes: &[u8], ty: Type) -> Result<Column, IpcError> {
    let file = open(bytes)?;
    let mut column = Column::new(ty);
    file.columns(&[(0, ty)])?.append(0, "a", &mut column)?;
    Ok(column)
}

fn taken(came: ArrayRef, ty: Type) -> Column {
    column(&file(&[("a", came)]), ty).unwrap()
}

fn refused(came: ArrayRef, ty: Type) -> String {
    column(&file(&[("a", came)]), ty).unwrap_err().to_string()
}

#[test]
fn columns_of_every_type_come_back_as_they_went() {
    for ty in TYPES {
        for nulls in [false, true] {
            let sample = sample(ty, 37, nulls);
            let bytes = write(&[("a".to_owned(), sample.view())], 37).unwrap();
            let file = open(&bytes).unwrap();
            assert_eq!((file.rows(), file.names().collect::<Vec<_>>()), (37, vec!["a"]));
            assert_eq!(column(&bytes, ty).unwrap(), sample, "{ty}");
        }
    }
}

#[test]
fn an_answer_has_one_batch_also_of_no_rows_and_embeddings_are_lists() {
    let mut embeddings = Column::new(Type::Embedding(2));
    for rows in 0..3 {
        let bytes = write(&[("a".to_owned(), embeddings.view())], rows).unwrap();
        let shape = open(&bytes).unwrap().shape;
        assert_eq!((shape.batches.len(), shape.rows), (1, rows));
        assert!(
            matches!(shape.schema.field(0).data_type(), DataType::List(of) if of.data_type() == &DataType::Float32)
        );
        embeddings.push_embedding(&[0.5, -0.5]);
    }
}

#[test]
fn batches_of_one_file_are_joined_and_rows_count_from_the_first() {
    let ints = |values: Vec<i64>| vec![("a", array(Int64Array::from(values)))];
    let batches = [ints(vec![1, 2]), ints(vec![]), ints(vec![3])];
    let bytes = file_with(IpcWriteOptions::default(), &batches);
    let joined = column(&bytes, Type::Int64).unwrap();
    assert_eq!(
        (0..3).map(|row| joined.value(row)).collect::<Vec<_>>(),
        [1, 2, 3].map(Value::Int64)
    );
    let bytes = file_with(IpcWriteOptions::default(), &[ints(vec![1, 2]), ints(vec![i64::MAX])]);
    let refused = column(&bytes, Type::Int32).unwrap_err().to_string();
    assert!(refused.contains("row 2 (counted from 0)"), "{refused}");
}

#[test]
fn what_history_may_have_is_taken() {
    let text = |column: &Column| {
        (0..column.len()).map(|row| format!("{:?}", column.value(row))).collect::<Vec<_>>()
    };
    let expected =
        text(&taken(array(StringArray::from(vec![Some("a"), None, Some("bcd")])), Type::Utf8));
    let large = LargeStringArray::from(vec![Some("a"), None, Some("bcd")]);
    assert_eq!(text(&taken(array(large), Type::Utf8)), expected);
    let view = StringViewArray::from(vec![Some("a"), None, Some("bcd")]);
    assert_eq!(text(&taken(array(view), Type::Utf8)), expected);
    let dictionary = DictionaryArray::<Int8Type>::from_iter([Some("a"), None, Some("bcd")]);
    assert_eq!(text(&taken(array(dictionary), Type::Utf8)), expected);
    let times = TimestampNanosecondArray::from(vec![1_500]).with_timezone("Asia/Kolkata");
    assert_eq!(taken(array(times), Type::Timestamp).value(0), Value::Timestamp(1));
    // What Feast's Go server makes of a column without any value.
    let nulls = taken(array(NullArray::new(2)), Type::ListUtf8);
    assert_eq!((nulls.len(), nulls.null_count()), (2, 2));
}

#[test]
fn numbers_are_taken_by_every_type_that_holds_them_exactly() {
    let int = |value: i64| array(Int64Array::from(vec![Some(value), None]));
    let float = |value: f64| array(Float64Array::from(vec![Some(value), None]));
    for (came, ty, expected) in [
        (int(120), Type::Float64, Value::Float64(120.0)),
        (int(120), Type::Float32, Value::Float32(120.0)),
        (int(-7), Type::Int32, Value::Int32(-7)),
        (array(Int8Array::from(vec![Some(3), None])), Type::Float64, Value::Float64(3.0)),
        (float(-2.0), Type::Int64, Value::Int64(-2)),
        (float(5.0), Type::Int32, Value::Int32(5)),
        (float(0.1), Type::Float32, Value::Float32(0.1)),
        (array(UInt64Array::from(vec![Some(9), None])), Type::Int32, Value::Int32(9)),
    ] {
        let column = taken(came, ty);
        assert_eq!((column.value(0), column.value(1)), (expected, Value::Null), "{ty}");
    }
    for (came, ty, found) in [
        (int((1 << 53) + 1), Type::Float64, "9007199254740993"),
        (int(1 << 31), Type::Int32, "2147483648"),
        (float(1.5), Type::Int64, "1.5"),
        (float(f64::NAN), Type::Int64, "NaN"),
        (float(9.3e18), Type::Int64, "9300000000000000000"),
        (float(1e39), Type::Float32, "1000000000000000000000000000000000000000"),
    ] {
        let refused = refused(came, ty);
        let expected = format!(
            "row 0 (counted from 0): expected a value that {ty} holds exactly, came {found}"
        );
        assert!(refused.contains(&expected), "{refused}");
    }
    let lists =
        ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)]), None]);
    assert_eq!(taken(array(lists.clone()), Type::ListFloat64).len(), 2);
    assert!(refused(array(lists), Type::Embedding(3)).contains("a list of 3 numbers"));
    let doubles =
        ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(0.5), Some(2.0)])]);
    assert_eq!(taken(array(doubles.clone()), Type::Embedding(2)).len(), 1);
    let refused = refused(array(doubles), Type::ListInt64);
    assert!(refused.contains("row 0") && refused.contains("a list with 0.5 in it"), "{refused}");
}

#[test]
fn what_does_not_fit_is_refused_by_its_name() {
    let of =
        vec![(Arc::new(Field::new("x", DataType::Int64, true)), array(Int64Array::from(vec![1])))];
    for (came, found) in [
        (array(StringArray::from(vec!["1"])), "utf8"),
        (array(BooleanArray::from(vec![true])), "bool"),
        (array(StructArray::from(of)), "struct"),
    ] {
        let refused = refused(came, Type::Float64);
        assert!(
            refused.starts_with(&format!("column `a`: expected float64, came {found}")),
            "{refused}"
        );
    }
}

#[test]
fn columns_that_nobody_wants_may_be_of_any_type() {
    let of = vec![(
        Arc::new(Field::new("x", DataType::Utf8View, true)),
        array(StringViewArray::from(vec!["a long text, not inlined"])),
    )];
    let embeddings =
        FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>([Some(vec![Some(1.0)])], 1);
    let bytes = file(&[
        ("unwanted", array(StructArray::from(of))),
        ("lists", array(embeddings)),
        ("a", array(Int32Array::from(vec![7]))),
    ]);
    let file = open(&bytes).unwrap();
    let mut column = Column::new(Type::Int64);
    file.columns(&[(2, Type::Int64)]).unwrap().append(0, "a", &mut column).unwrap();
    assert_eq!(column.value(0), Value::Int64(7));
}

#[test]
fn compression_streams_and_unions_are_refused_by_their_names() {
    // As long as it pays to compress them.
    let zeros = || vec![("a", array(Int64Array::from(vec![0; 512])))];
    for (codec, name) in [(CompressionType::LZ4_FRAME, "LZ4"), (CompressionType::ZSTD, "ZSTD")] {
        let options = IpcWriteOptions::default().try_with_compression(Some(codec)).unwrap();
        let refused = open(&file_with(options, &[zeros()])).err().unwrap().to_string();
        assert_eq!(
            refused,
            format!("expected buffers that aren't compressed, came ones compressed with {name}")
        );
    }
    let batch = RecordBatch::try_from_iter(zeros()).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    stream.write(&batch).unwrap();
    let refused = open(&stream.into_inner().unwrap()).err().unwrap().to_string();
    assert!(refused.contains("(not a stream)") && refused.ends_with("came a stream"), "{refused}");
    assert!(open(b"").err().unwrap().to_string().ends_with("came nothing"));
    assert!(open(b"{\"a\": 1}").err().unwrap().to_string().contains("8 bytes"));

    let fields = UnionFields::from_fields([Field::new("x", DataType::Int64, true)]);
    let schema =
        Schema::new(vec![Field::new("u", DataType::Union(fields, UnionMode::Sparse), false)]);
    let bytes = FileWriter::try_new(Vec::new(), &schema).unwrap().into_inner().unwrap();
    let refused = open(&bytes).err().unwrap().to_string();
    assert!(refused.contains("column `u` of kind Union"), "{refused}");
}

#[test]
fn limits_are_hit_before_anything_is_decoded() {
    let over = |bytes: &[u8], limits| match IpcFile::open(bytes.to_vec().into(), limits).err() {
        Some(IpcError::TooMany { what, max, came }) => (what, max, came),
        other => panic!("{other:?}"),
    };
    let bytes = file(&[("a", array(NullArray::new(3))), ("b", array(NullArray::new(3)))]);
    assert_eq!(over(&bytes, IpcLimits { rows_max: 2, ..LIMITS }), (IpcLimit::Rows, 2, 3));
    assert_eq!(over(&bytes, IpcLimits { columns_max: 1, ..LIMITS }), (IpcLimit::Columns, 1, 2));
    // Rows that cost no byte, in batches that each have few enough.
    let batches = vec![vec![("a", array(NullArray::new(4_000)))]; 2];
    let bytes = file_with(IpcWriteOptions::default(), &batches);
    assert_eq!(over(&bytes, LIMITS), (IpcLimit::Rows, 4_096, 8_000));
}

#[test]
fn few_bytes_never_become_many() {
    let long = "x".repeat(1 << 20);
    let rows = 100;
    let dictionary =
        DictionaryArray::<Int8Type>::from_iter(std::iter::repeat_n(long.as_str(), rows));
    let mut views = arrow::array::StringViewBuilder::new().with_deduplicate_strings();
    (0..rows).for_each(|_| views.append_value(&long));
    for came in [array(dictionary), array(views.finish())] {
        let bytes = file(&[("a", came)]);
        assert!(bytes.len() < 2 << 20, "{}", bytes.len());
        match column(&bytes, Type::Utf8) {
            Err(IpcError::TooMany { what: IpcLimit::UnpackedBytes, came, .. }) => {
                assert_eq!(came, rows << 20)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A file with everything that its shape depends on: dictionaries, views, lists, nulls, two batches.
fn rich() -> (Vec<u8>, Vec<(usize, Type)>) {
    let columns = || {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1)]),
            None,
            Some(vec![]),
        ]);
        let views =
            StringViewArray::from(vec![Some("long enough to be outside"), None, Some("in")]);
        let of = vec![(
            Arc::new(Field::new("x", DataType::Int64, true)),
            array(Int64Array::from(vec![1, 2, 3])),
        )];
        vec![
            ("d", array(DictionaryArray::<Int8Type>::from_iter([Some("a"), None, Some("b")]))),
            ("v", array(views)),
            ("l", array(lists)),
            ("s", array(StructArray::from(of))),
            ("n", array(NullArray::new(3))),
            ("f", array(Float32Array::from(vec![Some(1.5), None, Some(2.5)]))),
            ("t", array(TimestampNanosecondArray::from(vec![1, 2, 3]).with_timezone("UTC"))),
        ]
    };
    let bytes = file_with(IpcWriteOptions::default(), &[columns(), columns()]);
    let wanted =
        [Type::Utf8, Type::Utf8, Type::ListInt64, Type::Bool, Type::Float64, Type::Timestamp];
    (bytes, [0, 1, 2, 4, 5, 6].into_iter().zip(wanted).collect())
}

/// Reads whatever it is; says whether it could.
fn read(bytes: Vec<u8>, wanted: &[(usize, Type)]) -> bool {
    let Ok(file) = IpcFile::open(bytes.into(), LIMITS) else { return false };
    let wanted: Vec<_> =
        wanted.iter().copied().filter(|(at, _)| *at < file.names().len()).collect();
    let Ok(columns) = file.columns(&wanted) else { return false };
    wanted.iter().enumerate().all(|(index, &(_, ty))| {
        let mut column = Column::new(ty);
        columns.append(index, "a", &mut column).is_ok() && column.len() == file.rows()
    })
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let (bytes, wanted) = rich();
    assert!(read(bytes.clone(), &wanted), "the whole of it is taken");
    for end in 0..bytes.len() {
        assert!(!read(bytes[..end].to_vec(), &wanted), "{end} of {}", bytes.len());
    }
    // Cut out of the middle, with its ends where they belong.
    for from in (8..bytes.len() - 10).step_by(7) {
        let cut = [&bytes[..from], &bytes[bytes.len() - 10..]].concat();
        assert!(!read(cut, &wanted), "{from}");
    }
}

/// No allocation that aborts, no panic that isn't caught; a value may of course be another one.
#[test]
fn a_file_that_lies_in_any_byte_is_read_or_refused() {
    let (bytes, wanted) = rich();
    let mut refused = 0;
    for at in 0..bytes.len() {
        for mask in [0x01, 0x80, 0xff, bytes[at], !bytes[at] ^ 0x7f] {
            let mut lie = bytes.clone();
            lie[at] ^= mask;
            refused += usize::from(!read(lie, &wanted));
        }
    }
    assert!(refused > bytes.len() / 4, "{refused} of {} lies were found", bytes.len() * 5);
}

/// Whole words of its description are others: numbers that are huge, negative, or those of another place.
#[test]
fn a_file_that_lies_in_any_word_is_read_or_refused() {
    let (bytes, wanted) = rich();
    let words = [
        [0xff_u8; 8],
        [0; 8],
        i64::MAX.to_le_bytes(),
        i64::MIN.to_le_bytes(),
        (1_i64 << 33).to_le_bytes(),
        64_i64.to_le_bytes(),
    ];
    for at in (0..bytes.len() - 8).step_by(4) {
        for word in words {
            for len in [4, 8] {
                let mut lie = bytes.clone();
                lie[at..at + len].copy_from_slice(&word[..len]);
                read(lie, &wanted);
            }
        }
    }
}

#[test]
fn parts_that_are_named_twice_are_refused() {
    let (bytes, wanted) = rich();
    let end = bytes.len() - 10;
    let len = i32::from_le_bytes(*bytes[end..].first_chunk().unwrap());
    let start = end - usize::try_from(len).unwrap();
    let footer = arrow::ipc::root_as_footer(&bytes[start..end]).unwrap();
    let blocks: Vec<_> =
        footer.recordBatches().unwrap().iter().map(|block| block.offset()).collect();
    let (first, second) = (blocks[0].to_le_bytes(), blocks[1].to_le_bytes());
    let at = start + bytes[start..end].windows(8).position(|word| word == second).unwrap();
    let mut twice = bytes.clone();
    twice[at..at + 8].copy_from_slice(&first);
    assert!(read(twice, &wanted), "the first batch twice, the second never: as long as the file");
    // The dictionary as well, which leaves no bytes for the second batch.
    let dictionary = footer.dictionaries().unwrap().get(0);
    let mut all = bytes.clone();
    let length = dictionary.bodyLength().to_le_bytes();
    let found =
        bytes[start..end].windows(8).position(|word| word == dictionary.offset().to_le_bytes());
    let at = start + found.unwrap() + 16;
    assert_eq!(bytes[at..at + 8], length);
    all[at..at + 8].copy_from_slice(&(i64::try_from(start).unwrap() - 1_000).to_le_bytes());
    let refused = open(&all).err().unwrap().to_string();
    assert!(refused.contains("over one another"), "{refused}");
}

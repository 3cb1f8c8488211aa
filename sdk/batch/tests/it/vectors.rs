//! The files in `sdk/vectors`, by which every language's SDK proves that it reads and writes the same
//! bytes. The committed bytes are checked here, never rewritten, unless `SKEWLESS_BLESS` is set.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use skewless_batch::{BatchView, Column, ColumnView, Type, encode_vec};

use crate::model::{Owned, assert_holds, build};
use crate::refusals;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

/// What the files should be: path within the folder to text.
fn expected_files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for (name, doc, rows, columns) in valid() {
        let built: Vec<Column> = columns.iter().map(|(ty, rows)| build(*ty, rows)).collect();
        let views: Vec<ColumnView<'_>> = built.iter().map(Column::view).collect();
        files.insert(format!("valid/{name}.json"), describe(&doc, rows, &columns));
        files.insert(format!("valid/{name}.hex"), hex_lines(&encode_vec(rows, &views)));
    }
    for case in refusals::cases() {
        let name = case.name;
        let text = format!(
            "{{\n  \"description\": {},\n  \"error\": {}\n}}\n",
            json!(case.doc),
            json!(case.error.name())
        );
        files.insert(format!("invalid/{name}.json"), text);
        files.insert(format!("invalid/{name}.hex"), hex_lines(&case.bytes));
    }
    files
}

const TYPES: [Type; 12] = [
    Type::Bool,
    Type::Int32,
    Type::Int64,
    Type::Float32,
    Type::Float64,
    Type::Utf8,
    Type::Binary,
    Type::Timestamp,
    Type::Embedding(3),
    Type::ListInt64,
    Type::ListFloat64,
    Type::ListUtf8,
];

type Vector = (String, String, usize, Vec<(Type, Vec<Owned>)>);

fn valid() -> Vec<Vector> {
    let mut vectors: Vec<Vector> = Vec::new();
    let mut add = |name: &str, doc: &str, rows: usize, columns: Vec<(Type, Vec<Owned>)>| {
        vectors.push((name.to_owned(), doc.to_owned(), rows, columns));
    };
    add("no_columns", "no columns, no rows", 0, vec![]);
    add("no_columns_7_rows", "no columns, 7 rows", 7, vec![]);
    let all = |rows: Vec<usize>| -> Vec<(Type, Vec<Owned>)> {
        TYPES.iter().map(|ty| (*ty, rows.iter().map(|row| sample(*ty, *row)).collect())).collect()
    };
    add("rows_0", "every type, 0 rows", 0, all(vec![]));
    add("rows_1", "every type, 1 row", 1, all(vec![1]));
    let nulls = |count: usize| TYPES.iter().map(|ty| (*ty, vec![Owned::Null; count])).collect();
    add("rows_1_null", "every type, 1 row, null", 1, nulls(1));
    add("rows_9_null", "every type, 9 rows, all null", 9, nulls(9));
    for ty in TYPES {
        let plain: Vec<Owned> = (0..9).map(|row| sample(ty, row)).collect();
        let nullable: Vec<Owned> = (0..9)
            .map(|row| if row % 4 == 1 || row == 8 { Owned::Null } else { sample(ty, row) })
            .collect();
        let name = ty.to_string().replace(['<', '['], "_").replace(['>', ']'], "");
        let doc = format!("{ty}, 9 rows: a column without nulls, one with nulls in rows 1, 5, 8");
        add(&name, &doc, 9, vec![(ty, plain), (ty, nullable)]);
    }
    let texts = |items: &[&[&str]]| -> Vec<Owned> {
        let list = |items: &&[&str]| items.iter().map(|s| (*s).to_owned()).collect();
        items.iter().map(|items| Owned::ListUtf8(list(items))).collect()
    };
    let empty = [
        (Type::Utf8, vec![Owned::Utf8(String::new()); 2]),
        (Type::Binary, vec![Owned::Binary(vec![]); 2]),
        (Type::ListInt64, vec![Owned::ListInt64(vec![]); 2]),
        (Type::ListUtf8, texts(&[&[], &[]])),
        (Type::ListUtf8, texts(&[&[""], &["", ""]])),
    ];
    add(
        "empty_values",
        "2 rows of empty text, bytes and lists; lists of empty text",
        2,
        empty.into(),
    );
    let long = (0..65).map(Owned::Int64).collect();
    let bits = (0..65).map(|row| Owned::Bool(row % 3 == 0)).collect();
    let columns = vec![(Type::Int64, long), (Type::Bool, bits)];
    add("rows_65", "65 rows: buffers longer than the alignment", 65, columns);
    vectors
}

/// Row `row` of a type: edges first.
fn sample(ty: Type, row: usize) -> Owned {
    const F32: [u32; 9] = [
        0x3fc0_0000,
        0x7fc0_0000,
        0x8000_0000,
        0x7f80_0000,
        0xff80_0000,
        1,
        0x7f7f_ffff,
        0,
        0xffc0_1234,
    ];
    const F64: [u64; 9] = [
        0x3ff8_0000_0000_0000,
        0x7ff8_0000_0000_0000,
        0x8000_0000_0000_0000,
        0x7ff0_0000_0000_0000,
        0xfff0_0000_0000_0000,
        1,
        0x7fef_ffff_ffff_ffff,
        0,
        0xfff8_0000_0000_1234,
    ];
    const I64: [i64; 9] = [0, 1, -1, i64::MAX, i64::MIN, 1 << 53, -(1 << 40), 255, 65_536];
    const TIME: [i64; 9] = [
        0,
        1_357_034_400_000_000,
        -1,
        253_402_300_799_999_999,
        -377_705_116_800_000_000,
        1_000_000,
        999_999,
        -1_000_000,
        1_500_000_000_123_456,
    ];
    const TEXT: [&str; 9] =
        ["a", "", "żółw", "東京", "🐢", "line\nbreak", "\"quoted\"", "nul\0", "é"];
    let row = row % 9;
    let some = row % 4;
    match ty {
        Type::Bool => Owned::Bool(row.is_multiple_of(2)),
        Type::Int32 => Owned::Int32([0, 1, -1, i32::MAX, i32::MIN, 255, 256, -65_536, 42][row]),
        Type::Int64 => Owned::Int64(I64[row]),
        Type::Float32 => Owned::Float32(f32::from_bits(F32[row])),
        Type::Float64 => Owned::Float64(f64::from_bits(F64[row])),
        Type::Utf8 => Owned::Utf8(TEXT[row].to_owned()),
        Type::Binary => Owned::Binary((0..row as u8).map(|n| n.wrapping_mul(67)).collect()),
        Type::Timestamp => Owned::Timestamp(TIME[row]),
        Type::Embedding(dim) => {
            let element = |n: u32| f32::from_bits(F32[(row + n as usize) % 9]);
            Owned::Embedding((0..dim).map(element).collect())
        }
        Type::ListInt64 => Owned::ListInt64(I64[..some].to_vec()),
        Type::ListFloat64 => Owned::ListFloat64(
            F64[row.min(6)..][..some.min(3)].iter().map(|b| f64::from_bits(*b)).collect(),
        ),
        Type::ListUtf8 => Owned::ListUtf8(TEXT[..some].iter().map(|s| (*s).to_owned()).collect()),
    }
}

fn describe(doc: &str, rows: usize, columns: &[(Type, Vec<Owned>)]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|(ty, rows)| {
            let values: Vec<Json> = rows.iter().map(to_json).collect();
            format!(
                "    {{\"type\": {}, \"values\": {}}}",
                json!(ty.to_string()),
                Json::from(values)
            )
        })
        .collect();
    let columns = match columns.as_slice() {
        [] => "[]".to_owned(),
        lines => format!("[\n{}\n  ]", lines.join(",\n")),
    };
    format!(
        "{{\n  \"description\": {},\n  \"rows\": {rows},\n  \"columns\": {columns}\n}}\n",
        json!(doc)
    )
}

fn to_json(value: &Owned) -> Json {
    let f32_bits = |x: &f32| json!(format!("0x{:08x}", x.to_bits()));
    let f64_bits = |x: &f64| json!(format!("0x{:016x}", x.to_bits()));
    match value {
        Owned::Null => Json::Null,
        Owned::Bool(value) => json!(value),
        Owned::Int32(value) => json!(value),
        Owned::Int64(value) | Owned::Timestamp(value) => json!(value.to_string()),
        Owned::Float32(value) => f32_bits(value),
        Owned::Float64(value) => f64_bits(value),
        Owned::Utf8(value) => json!(value),
        Owned::Binary(value) => json!(value.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        Owned::Embedding(value) => value.iter().map(f32_bits).collect(),
        Owned::ListInt64(value) => value.iter().map(|x| json!(x.to_string())).collect(),
        Owned::ListFloat64(value) => value.iter().map(f64_bits).collect(),
        Owned::ListUtf8(value) => json!(value),
    }
}

fn from_json(ty: Type, value: &Json) -> Owned {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let bits = |value: &Json| u64::from_str_radix(&text(value)[2..], 16).unwrap();
    let f32_of = |value: &Json| f32::from_bits(u32::try_from(bits(value)).unwrap());
    let f64_of = |value: &Json| f64::from_bits(bits(value));
    let i64_of = |value: &Json| text(value).parse::<i64>().unwrap();
    let items = || value.as_array().unwrap().iter();
    if value.is_null() {
        return Owned::Null;
    }
    match ty {
        Type::Bool => Owned::Bool(value.as_bool().unwrap()),
        Type::Int32 => Owned::Int32(i32::try_from(value.as_i64().unwrap()).unwrap()),
        Type::Int64 => Owned::Int64(i64_of(value)),
        Type::Float32 => Owned::Float32(f32_of(value)),
        Type::Float64 => Owned::Float64(f64_of(value)),
        Type::Utf8 => Owned::Utf8(text(value)),
        Type::Binary => Owned::Binary(unhex(&text(value))),
        Type::Timestamp => Owned::Timestamp(i64_of(value)),
        Type::Embedding(_) => Owned::Embedding(items().map(f32_of).collect()),
        Type::ListInt64 => Owned::ListInt64(items().map(i64_of).collect()),
        Type::ListFloat64 => Owned::ListFloat64(items().map(f64_of).collect()),
        Type::ListUtf8 => Owned::ListUtf8(items().map(text).collect()),
    }
}

fn hex_lines(bytes: &[u8]) -> String {
    let line = |chunk: &[u8]| chunk.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// The committed files of one kind: name, description, bytes.
fn read(kind: &str) -> Vec<(String, Json, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder().join(kind)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let json = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let bytes = unhex(&fs::read_to_string(path.with_extension("hex")).unwrap());
            found.push((path.display().to_string(), json, bytes));
        }
    }
    found
}

#[test]
fn valid_vectors_hold_what_they_describe_and_are_written_byte_for_byte() {
    let vectors = read("valid");
    assert!(vectors.len() >= 18, "found only {}", vectors.len());
    for (name, json, bytes) in vectors {
        let batch = BatchView::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let columns = json["columns"].as_array().unwrap();
        assert_eq!(json["rows"].as_u64(), Some(batch.rows() as u64), "{name}");
        assert_eq!(columns.len(), batch.columns(), "{name}");
        let mut built = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            let ty: Type = column["type"].as_str().unwrap().parse().unwrap();
            let values: Vec<Owned> =
                column["values"].as_array().unwrap().iter().map(|v| from_json(ty, v)).collect();
            assert_holds(&batch.column(index), ty, &values);
            built.push(build(ty, &values));
        }
        let views: Vec<ColumnView<'_>> = built.iter().map(Column::view).collect();
        assert_eq!(encode_vec(batch.rows(), &views), bytes, "{name}");
    }
}

#[test]
fn invalid_vectors_are_refused_by_name() {
    let vectors = read("invalid");
    assert!(vectors.len() >= 40, "found only {}", vectors.len());
    for (name, json, bytes) in vectors {
        let error = BatchView::parse(&bytes).expect_err(&name);
        assert_eq!(json["error"].as_str(), Some(error.name()), "{name}: {error}");
    }
}

#[test]
fn the_folder_has_exactly_the_files_of_the_generator() {
    let expected = expected_files();
    if std::env::var_os("SKEWLESS_BLESS").is_some() {
        for (path, text) in &expected {
            let path = folder().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
    for (path, text) in &expected {
        let found = fs::read_to_string(folder().join(path)).unwrap_or_default();
        assert_eq!(&found, text, "{path}");
    }
    for kind in ["valid", "invalid"] {
        for entry in fs::read_dir(folder().join(kind)).unwrap() {
            let name = format!("{kind}/{}", entry.unwrap().file_name().display());
            assert!(expected.contains_key(&name), "{name} is in the folder, not in the generator");
        }
    }
}

//! The table of `docs/definitions.md` that says which columns of data files are read as which type: every type
//! of Arrow is tried. `SKEWLESS_BLESS=1` writes it anew.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::new_empty_array;
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use skewless_batch::Type;

use super::super::{arrow_type, cast, type_name};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/definitions.md");
const BEGIN: &str =
    "<!-- begin: written from the code, see sidecar/offline/src/cast/tests/table.rs -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_page_of_definitions_has_the_table_of_what_is_read() {
    let page = std::fs::read_to_string(PAGE).expect("the page");
    let (before, rest) = page.split_once(BEGIN).expect("its begin");
    let (_, after) = rest.split_once(END).expect("its end");
    let expected = format!("{before}{BEGIN}{}{END}{after}", table());
    if std::env::var_os("SKEWLESS_BLESS").is_some() {
        std::fs::write(PAGE, expected).expect("written");
        return;
    }
    assert!(
        page == expected,
        "docs/definitions.md is not what cast.rs does; write it anew with\n  SKEWLESS_BLESS=1 cargo test -p \
         skewless-offline --lib cast::tests::table\nexpected:\n{}",
        table()
    );
}

/// What a message calls a type, the table does too.
#[test]
fn messages_have_the_words_of_the_table() {
    let plain = [Type::Bool, Type::Int64, Type::Float64, Type::Utf8, Type::Binary, Type::Timestamp];
    let mut words = 0;
    for (name, ty) in scalars() {
        let shown = type_name(&ty).replace("UTC]", "a zone]").replace("Europe/Berlin]", "a zone]");
        if !plain.iter().any(|to| fits(&ty, *to)) {
            // No word of ours: another one, with Arrow's own.
            assert!(shown.ends_with(&format!(" (Arrow's {ty})")), "{name}: {shown}");
            continue;
        }
        assert_eq!(shown, name);
        words += 1;
        for (layout, list) in lists(&ty) {
            let shown = type_name(&list);
            assert!(shown.starts_with(&format!("{layout}<{}>", type_name(&ty))), "{shown}");
        }
    }
    assert!(words > 20, "{words} words");
    for ty in [Type::ListInt64, Type::ListFloat64, Type::ListUtf8, Type::Int32, Type::Float32] {
        assert_eq!(type_name(&arrow_type(ty)), ty.to_string());
    }
}

fn table() -> String {
    let mut text = String::from("\n| type | read from a column of |\n|---|---|\n");
    let plain = [
        Type::Bool,
        Type::Int32,
        Type::Int64,
        Type::Float32,
        Type::Float64,
        Type::Utf8,
        Type::Binary,
        Type::Timestamp,
    ];
    for ty in plain {
        let fitting = names(scalars().into_iter().filter(|(_, from)| fits(from, ty)));
        writeln!(text, "| `{ty}` | {fitting} |").expect("a line");
    }
    for ty in [Type::Embedding(3), Type::ListInt64, Type::ListFloat64, Type::ListUtf8] {
        let of = move |element: &DataType| {
            lists(element).into_iter().filter(move |(_, from)| fits(from, ty))
        };
        let elements = scalars().into_iter().filter(|(_, element)| of(element).count() > 0);
        let elements: Vec<_> = elements.collect();
        // What may be an element of one layout may be one of all.
        let layouts = names(of(&elements[0].1));
        for (name, element) in &elements {
            assert_eq!(names(of(element)), layouts, "{name}");
        }
        let shown =
            if let Type::Embedding(_) = ty { "embedding[n]".into() } else { ty.to_string() };
        let elements = names(elements.into_iter());
        writeln!(text, "| `{shown}` | {layouts}, each of {elements} |").expect("a line");
    }
    text.push('\n');
    text
}

fn fits(from: &DataType, ty: Type) -> bool {
    cast(&new_empty_array(from), ty).is_ok()
}

fn names(of: impl Iterator<Item = (String, DataType)>) -> String {
    of.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

/// Types of Arrow that hold no others, by the names most programs show.
fn scalars() -> Vec<(String, DataType)> {
    use DataType as D;
    let plain = [
        ("bool", D::Boolean),
        ("int8", D::Int8),
        ("int16", D::Int16),
        ("int32", D::Int32),
        ("int64", D::Int64),
        ("uint8", D::UInt8),
        ("uint16", D::UInt16),
        ("uint32", D::UInt32),
        ("uint64", D::UInt64),
        ("float16", D::Float16),
        ("float32", D::Float32),
        ("float64", D::Float64),
        ("decimal128", D::Decimal128(9, 0)),
        ("decimal256", D::Decimal256(9, 0)),
        ("utf8", D::Utf8),
        ("large_utf8", D::LargeUtf8),
        ("utf8_view", D::Utf8View),
        ("binary", D::Binary),
        ("large_binary", D::LargeBinary),
        ("binary_view", D::BinaryView),
        ("fixed_size_binary", D::FixedSizeBinary(4)),
        ("date32", D::Date32),
        ("date64", D::Date64),
        ("time32", D::Time32(TimeUnit::Second)),
        ("time64", D::Time64(TimeUnit::Microsecond)),
        ("duration", D::Duration(TimeUnit::Microsecond)),
        ("interval", D::Interval(IntervalUnit::DayTime)),
    ];
    let mut all: Vec<_> = plain.map(|(name, ty)| (name.to_owned(), ty)).into();
    let units = [
        ("s", TimeUnit::Second),
        ("ms", TimeUnit::Millisecond),
        ("us", TimeUnit::Microsecond),
        ("ns", TimeUnit::Nanosecond),
    ];
    for (unit, of) in units {
        // A zone says how a time is shown, not when it was.
        for zone in [None, Some("UTC".into()), Some("Europe/Berlin".into())] {
            let shown = if zone.is_some() {
                format!("timestamp[{unit}, a zone]")
            } else {
                format!("timestamp[{unit}]")
            };
            if all.last().is_none_or(|(last, _)| *last != shown) {
                all.push((shown, D::Timestamp(of, zone)));
            }
        }
    }
    all
}

fn lists(element: &DataType) -> [(String, DataType); 5] {
    let field = || Arc::new(Field::new("item", element.clone(), true));
    [
        ("fixed_size_list", DataType::FixedSizeList(field(), 3)),
        ("list", DataType::List(field())),
        ("large_list", DataType::LargeList(field())),
        ("list_view", DataType::ListView(field())),
        ("large_list_view", DataType::LargeListView(field())),
    ]
    .map(|(name, ty)| (name.to_owned(), ty))
}

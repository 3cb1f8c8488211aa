//! Everything a person can hand over wrong has a named error that says where.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Int64Array, StringArray, TimestampMillisecondArray,
    TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{Int8Type, Int32Type};
use skewless_batch::{Type, Value};
use skewless_offline::{
    BackfillOptions, BackfillRequest, CancelFlag, OfflineError, Silent, backfill, provenance,
    read_columns, read_features,
};

use crate::world::{S, World, ask, place, place_columns, spine_columns, write};

type Columns = Vec<(&'static str, ArrayRef)>;

fn set(columns: &mut Columns, name: &str, array: ArrayRef) {
    columns.iter_mut().find(|(column, _)| *column == name).unwrap().1 = array;
}

/// The message of a backfill of `service` whose second history file of view `a` was changed.
fn with_history(service: &str, change: impl FnOnce(&mut Columns)) -> String {
    let world = World::empty();
    world.places("a/0.parquet", &[place("p", S, 1.0)]);
    let mut columns = place_columns(&[place("p", S, 1.0), place("p", 2 * S, 2.0)]);
    change(&mut columns);
    write(&world.path("a/1.parquet"), &columns);
    world.spine("spine.parquet", &[ask("p", 9 * S)]);
    failed(&world, service)
}

/// The message of a backfill of `service` whose spine was changed.
fn with_spine(service: &str, change: impl FnOnce(&mut Columns)) -> String {
    let world = World::empty();
    let mut columns = spine_columns(&[ask("p", 9 * S), ask("p", 9 * S)]);
    change(&mut columns);
    write(&world.path("spine.parquet"), &columns);
    failed(&world, service)
}

fn failed(world: &World, service: &str) -> String {
    let error = world.backfill(service, BackfillOptions::default()).unwrap_err();
    assert!(!world.path("out.parquet").exists());
    assert!(!world.listing().iter().any(|name| name.starts_with('.')));
    error.to_string()
}

fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "expected `{word}` in: {message}");
    }
}

#[test]
fn a_missing_column_is_named_with_what_there_is() {
    for column in ["time", "created", "deleted", "place", "f"] {
        let message = with_history("plain", |columns| columns.retain(|(name, _)| *name != column));
        says(&message, &["a/1.parquet", &format!("no column `{column}`"), "expected", "unused"]);
    }
    // A column nobody asks for may be missing.
    let world = World::empty();
    let mut columns = place_columns(&[place("p", S, 1.0)]);
    columns.retain(|(name, _)| !["s", "e", "unused"].contains(name));
    write(&world.path("a/0.parquet"), &columns);
    world.spine("spine.parquet", &[ask("p", 9 * S)]);
    world.backfill("plain", BackfillOptions::default()).unwrap();

    for column in ["event_timestamp", "place", "must"] {
        let service = if column == "place" { "plain" } else { "strict" };
        let message = with_spine(service, |columns| columns.retain(|(name, _)| *name != column));
        says(&message, &["spine.parquet", &format!("no column `{column}`")]);
    }
}

#[test]
fn a_duplicate_column_is_named() {
    let message = with_history("plain", |columns| {
        let again = columns.iter().find(|(name, _)| *name == "f").unwrap().clone();
        columns.push(again);
    });
    says(&message, &["a/1.parquet", "2 columns named `f`"]);
    let message = with_spine("plain", |columns| columns.push(columns[0].clone()));
    says(&message, &["spine.parquet", "2 columns named `label`"]);
}

#[test]
fn a_wrong_type_is_named_with_expected_and_found() {
    let message = with_history("plain", |columns| {
        set(columns, "f", Arc::new(StringArray::from(vec!["1.0", "2.0"])));
    });
    says(&message, &["a/1.parquet", "column `f`", "expected float64", "came utf8"]);
    let message = with_history("plain", |columns| {
        set(columns, "time", Arc::new(Int64Array::from(vec![1, 2])));
    });
    says(&message, &["column `time`", "expected timestamp", "came int64"]);
    let message = with_spine("plain", |columns| {
        set(columns, "place", Arc::new(Int64Array::from(vec![1, 2])));
    });
    says(&message, &["spine.parquet", "column `place`", "expected utf8", "came int64"]);
    // Floats only widen: a float64 can't be asked of what was declared float32, nor the reverse lost.
    let message = with_history("all", |columns| {
        let lists = arrow::array::FixedSizeListArray::from_iter_primitive::<
            arrow::datatypes::Float64Type,
            _,
            _,
        >(vec![Some(vec![Some(1.0); 3]); 2], 3);
        set(columns, "e", Arc::new(lists));
    });
    says(&message, &["column `e`", "expected embedding[3]", "came fixed_size_list<float64>[3]"]);
}

#[test]
fn a_value_that_does_not_fit_is_named_by_row() {
    let world = World::empty();
    let columns: Columns = vec![
        ("u", Arc::new(UInt64Array::from(vec![1, u64::MAX]))),
        ("k", Arc::new(StringArray::from(vec!["x", "x"]))),
        ("time", Arc::new(TimestampSecondArray::from(vec![1, 2]))),
        ("n", Arc::new(Int64Array::from(vec![1, 2]))),
        ("l", arrow::array::new_null_array(&arrow::datatypes::DataType::Null, 2)),
    ];
    write(&world.path("b1.parquet"), &columns);
    world.spine("spine.parquet", &[ask("p", 9 * S)]);
    let message = failed(&world, "all");
    says(&message, &["b1.parquet", "column `u`", "row 1", "int64", "18446744073709551615"]);
}

#[test]
fn a_timestamp_out_of_range_is_named_by_row() {
    let far = 253_402_300_800; // The first second of the year 10000.
    for column in ["time", "created"] {
        let message = with_history("plain", |columns| {
            set(columns, column, Arc::new(TimestampSecondArray::from(vec![1, far])));
        });
        says(&message, &["a/1.parquet", &format!("column `{column}`"), "row 1", "253402300800 s"]);
    }
    let message = with_spine("plain", |columns| {
        let times = TimestampMillisecondArray::from(vec![i64::MAX, 0]);
        set(columns, "event_timestamp", Arc::new(times));
    });
    says(&message, &["spine.parquet", "event_timestamp", "row 0", "9223372036854775807 ms"]);
}

#[test]
fn a_null_where_none_may_be_is_named_by_row() {
    let null = |array: ArrayRef| -> ArrayRef {
        let keep = arrow::array::BooleanArray::from(vec![false, true]);
        arrow::compute::nullif(&array, &keep).unwrap()
    };
    for (column, why) in [("time", "timestamp"), ("place", "key")] {
        let message = with_history("plain", |columns| {
            let array = columns.iter().find(|(name, _)| *name == column).unwrap().1.clone();
            set(columns, column, null(array));
        });
        says(&message, &["a/1.parquet", &format!("column `{column}`"), "row 1", why, "came null"]);
    }
    // The spine's `must` is null in every row here, and not declared nullable.
    let message = with_spine("strict", |_| {});
    says(&message, &["spine.parquet", "column `must`", "row 0", "not declared nullable"]);
}

#[test]
fn a_nullable_request_column_may_be_missing_like_in_a_request() {
    let world = World::empty();
    let mut columns = spine_columns(&[ask("p", 9 * S)]);
    columns.retain(|(name, _)| *name != "r");
    write(&world.path("spine.parquet"), &columns);
    let answers = world.answers("all", BackfillOptions::default());
    let r = answers.features.iter().find(|feature| feature.name == "request.r").unwrap();
    assert_eq!(r.statuses, Some(vec![skewless_catalog::Status::NullValue]));
}

#[test]
fn what_is_no_parquet_is_refused_by_file() {
    let world = World::empty();
    world.spine("spine.parquet", &[ask("p", 9 * S)]);
    let good = std::fs::read(world.path("spine.parquet")).unwrap();
    let cut = &good[..good.len() - 20];
    for bytes in [&b""[..], b"text", cut] {
        std::fs::write(world.path("a/1.parquet"), bytes).unwrap();
        says(&failed(&world, "plain"), &["a/1.parquet", "Parquet"]);
    }
}

#[test]
fn a_source_or_spine_without_files_is_refused() {
    let world = World::new();
    says(&failed(&world, "plain"), &["no file matches", "spine*.parquet"]);
    world.spine("spine.parquet", &[ask("p", 9 * S)]);
    says(&failed(&world, "plain"), &["no file matches `a/*.parquet`"]);
    says(&failed(&world, "live"), &["view `streamed` has no source"]);
}

#[test]
fn spine_files_with_different_columns_are_refused() {
    let world = World::empty();
    world.spine("spine0.parquet", &[ask("p", 9 * S)]);
    let mut columns = spine_columns(&[ask("p", 9 * S)]);
    set(&mut columns, "label", Arc::new(Float32Array::from(vec![1.0])));
    write(&world.path("spine1.parquet"), &columns);
    says(
        &failed(&world, "plain"),
        &["spine1.parquet", "spine0.parquet", "`label`", "came `label` of type float32"],
    );
    columns.pop();
    write(&world.path("spine1.parquet"), &columns);
    says(&failed(&world, "plain"), &["spine1.parquet", "7 columns, expected 8"]);

    // Types that differ where we have one word for both are told apart by Arrow's.
    let labelled = |name: &str, label: ArrayRef| {
        let mut columns = spine_columns(&[ask("p", 9 * S)]);
        set(&mut columns, "label", label);
        write(&world.path(name), &columns);
    };
    let wide: DictionaryArray<Int32Type> = vec!["x"].into_iter().collect();
    let narrow: DictionaryArray<Int8Type> = vec!["x"].into_iter().collect();
    labelled("spine0.parquet", Arc::new(wide));
    labelled("spine1.parquet", Arc::new(narrow));
    says(&failed(&world, "plain"), &["came `label` of type dictionary<utf8> (Arrow's ", "Int8"]);
}

#[test]
fn a_spine_column_named_like_a_feature_is_refused() {
    let message = with_spine("plain", |columns| columns[0].0 = "a.f");
    says(&message, &["`a.f`"]);
}

#[test]
fn a_bad_glob_is_refused() {
    let world = World::empty();
    let program = world.program("plain");
    let came = backfill(&BackfillRequest {
        catalog: &world.catalog,
        program: &program,
        engine: &world.engine,
        repo: world.dir.path(),
        spine: vec!["***x".to_owned()],
        output: world.path("out.parquet"),
        options: BackfillOptions::default(),
        progress: Arc::new(Silent),
        cancel: CancelFlag::new(),
    });
    assert!(matches!(came, Err(OfflineError::BadPattern { .. })), "{came:?}");
}

#[test]
fn a_file_without_provenance_is_no_output_of_ours() {
    let world = World::empty();
    world.spine("spine.parquet", &[ask("p", 9 * S)]);
    let came = provenance(&world.path("spine.parquet"));
    assert!(matches!(came, Err(OfflineError::NoProvenance { .. })), "{came:?}");
    let came = read_features(&world.path("spine.parquet")).map(|_| ());
    assert!(matches!(came, Err(OfflineError::NoProvenance { .. })), "{came:?}");
}

/// A file with one page of the int64s 0x1122334455667788, 2 and 3, as pyarrow writes it with `write_page_checksum`: our own
/// writer has no checksums.
const CHECKSUMMED: &[u8] =
    b"PAR1\x15\x00\x15<\x15<\x15\x9a\x9f\xcb\xb0\x04\x1c\x15\x06\x15\x00\x15\x06\x15\
    \x06\x1c\x00\x00\x00\x02\x00\x00\x00\x06\x01\x88wfUD3\x22\x11\x02\x00\x00\x00\x00\
    \x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x15\x04\x19,5\x00\x18\x06schem\
    a\x15\x02\x00\x15\x04%\x02\x18\x01n\x00\x16\x06\x19\x1c\x19\x1c&\x00\x1c\x15\x04\x19\
    %\x06\x00\x19\x18\x01n\x15\x00\x16\x06\x16n\x16n&\x08I\x1c\x15\x00\x15\x00\x15\
    \x02\x00<)\x06\x19&\x00\x06\x00\x00\x00\x16n\x16\x06&\x08\x16n\x00( p\
    arquet-cpp-arrow version\
    \x2026.0.1\x19\x1c\x1c\x00\x00\x00z\x00\x00\x00PAR1";

#[test]
fn a_page_that_does_not_have_its_checksum_is_refused() {
    let world = World::empty();
    let path = world.path("n.parquet");
    let columns = [("n".to_owned(), Type::Int64)];
    std::fs::write(&path, CHECKSUMMED).unwrap();
    let whole = read_columns(&path, &columns).unwrap();
    assert_eq!(whole[0].value(0), Value::Int64(0x1122_3344_5566_7788));
    let mut damaged = CHECKSUMMED.to_vec();
    let value = damaged.windows(2).position(|bytes| bytes == [0x88, 0x77]).unwrap();
    damaged[value] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let error = read_columns(&path, &columns).unwrap_err();
    says(&error.to_string(), &["n.parquet", "checksum"]);
}

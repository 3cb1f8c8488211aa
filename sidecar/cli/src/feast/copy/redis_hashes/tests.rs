//! Hashes as Feast's own code writes them (`fixtures/redis.txt`). A Redis is in `tests/interop/feast_import.sh`.

use skewless_batch::Type;
use skewless_catalog::View;

use super::super::rows::Batch;
use super::super::rows::tests::view;
use super::*;
use crate::feast::names_file::ViewNames;

const HASHES: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/interop/feast_import/fixtures/redis.txt"
));

fn hashes() -> Vec<(Vec<u8>, Hash)> {
    let bytes = |hex: &str| -> Vec<u8> {
        let hex = hex.trim_start_matches('-');
        (0..hex.len() / 2)
            .map(|at| {
                u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap_or_else(|_| panic!("{hex}"))
            })
            .collect()
    };
    let hash = |line: &str| {
        let words: Vec<Vec<u8>> = line.split(' ').map(bytes).collect();
        let pairs = words[1..].chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        (words[0].clone(), pairs.collect())
    };
    HASHES.lines().map(hash).collect()
}

fn wanted<'v>(view: &'v View, feast: &str, join_key: &str, feature: &str) -> Wanted<'v> {
    let one = |of: &str, is: &str| [(of.to_owned(), is.to_owned())].into();
    Wanted::new(
        view,
        &ViewNames {
            name: feast.to_owned(),
            keys: one("id", join_key),
            features: one("f", feature),
            ..ViewNames::default()
        },
    )
}

#[test]
fn rows_are_found_by_key_time_and_field() {
    let view = view(Type::Utf8, Type::Float64);
    let wanted = [wanted(&view, "weather", "place_id", "wind")];
    let layouts = Layouts::of(&wanted).unwrap_or_else(|failure| panic!("{failure:?}"));
    let mut others = Others::default();
    let mut batch = Batch::new(&view);
    for (name, hash) in hashes() {
        let Some(Found::Key(key)) = ours(&name, "Shop", &mut others) else { continue };
        let Some(time) = hash.get(&layouts.views[0].time) else { continue };
        let values: Vec<Option<Vec<u8>>> = layouts.views[0]
            .fields
            .iter()
            .map(|field| hash.get(field.as_slice()).cloned())
            .collect();
        let row =
            FeastRow { key: &key, values: &values, event_us: event_us(time), created_us: None };
        assert_eq!(batch.push(&wanted[0], &row), Ok(()));
    }
    assert_eq!(
        batch.rows.event_us,
        [1_772_452_800_250_000],
        "to the microsecond, unlike in SQLite"
    );
    let shown = format!("{:?} {:?}", batch.rows.keys[0].value(0), batch.rows.features[0].value(0));
    assert_eq!(shown, "Utf8(\"Ulm\") Float64(3.5)");
    assert_eq!(others.foreign, 0);
}

#[test]
fn a_time_that_is_none_is_null() {
    let at = field("orders", "at");
    let view = view(Type::Int64, Type::Timestamp);
    let wanted = wanted(&view, "orders", "customer_id", "at");
    let mut batch = Batch::new(&view);
    for (name, hash) in hashes() {
        let Some(value) = hash.get(at.as_slice()) else { continue };
        let mut others = Others::default();
        let Some(Found::Key(key)) = ours(&name, "Shop", &mut others) else { panic!("{name:?}") };
        let values = [Some(value.clone())];
        let row = FeastRow { key: &key, values: &values, event_us: Some(1), created_us: None };
        assert_eq!(batch.push(&wanted, &row), Ok(()));
    }
    let times: std::collections::BTreeMap<String, String> = (0..batch.len())
        .map(|row| {
            let of = |column: &skewless_batch::Column| format!("{:?}", column.value(row));
            (of(&batch.rows.keys[0]), of(&batch.rows.features[0]))
        })
        .collect();
    assert_eq!(times["Int64(1)"], "Timestamp(-1000000)", "{times:?}");
    assert_eq!((times["Int64(-2)"].as_str(), times["Int64(5)"].as_str()), ("Null", "Null"));
}

#[test]
fn keys_of_others_are_no_rows() {
    let mut others = Others::default();
    let (name, _) = &hashes()[0];
    let old = b"\x02\0\0\0place_id\x02\0\0\0\x03\0\0\0UlmShop";
    for (bytes, project) in [
        (&name[..], "Shop"),
        (&name[..], "shop"),
        (&name[..], "hop"),
        (&b"session:1"[..], "Shop"),
        (&old[..], "Shop"),
        (&old[..], "x"),
        // Text, which is no hash and mustn't be asked for as one.
        (&b"session:Shop"[..], "Shop"),
    ] {
        let found = match ours(bytes, project, &mut others) {
            Some(Found::Key(_)) => "key",
            Some(Found::Old) => "old",
            None => "none",
        };
        let want = match (bytes == &name[..], bytes == &old[..], project) {
            (true, _, "Shop") => "key",
            (_, true, "Shop") => "old",
            _ => "none",
        };
        assert_eq!(found, want, "{bytes:?} {project}");
    }
    assert_eq!(others.foreign, 5);
}

#[test]
fn two_features_with_one_field_are_refused_by_name() {
    let view = view(Type::Utf8, Type::Float64);
    // Found by search: both have the field a6d18fbd.
    let (one, two) =
        (wanted(&view, "clashing", "id", "f45773"), wanted(&view, "clashing", "id", "f72361"));
    assert_eq!(field("clashing", "f45773"), field("clashing", "f72361"));
    let said = format!("{:?}", Layouts::of(&[one, two]).err());
    assert!(said.contains("clashing:f45773") && said.contains("clashing:f72361"), "{said}");
    // Under other join keys they are in other hashes.
    let (one, two) =
        (wanted(&view, "clashing", "id", "f45773"), wanted(&view, "clashing", "di", "f72361"));
    assert!(Layouts::of(&[one, two]).is_ok());
}

#[test]
fn a_time_is_read_to_the_microsecond_or_not_at_all() {
    let us = |seconds, nanos| event_us(&prost_types::Timestamp { seconds, nanos }.encode_to_vec());
    assert_eq!(us(1, 1_999), Some(1_000_001));
    assert_eq!(us(-1, 999_999_999), Some(-1));
    assert_eq!((us(i64::MAX, 0), us(0, -1), us(0, 1_000_000_000)), (None, None, None));
    assert_eq!(event_us(b"\xff"), None);
}

#[test]
fn keys_that_expire_are_counted_in_all_databases() {
    let info = "# Keyspace\r\ndb0:keys=12,expires=3,avg_ttl=9\r\ndb1:keys=1,expires=1,avg_ttl=0,subexpiry=0\r\n";
    assert_eq!((expiring(info), expiring("# Keyspace\r\n")), (4, 0));
}

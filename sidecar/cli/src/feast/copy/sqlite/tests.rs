//! A store that Feast wrote, and what else a file can be. Whole copies are in `tests/cli/feast.rs`.

use skewless_batch::Type;

use super::super::rows::tests::view;
use super::*;
use crate::feast::names_file::ViewNames;

fn store() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/interop/feast_import/fixtures/online.db")
}

fn open(path: &Path, zone: &str) -> Outcome<Sqlite> {
    Sqlite::open(path, "Shop", TimeZone::get(zone).unwrap_or_else(|error| panic!("{error}")))
}

/// The event times of weather's rows.
fn times(zone: &str) -> Vec<Option<i64>> {
    let sqlite = open(&store(), zone).unwrap_or_else(|failure| panic!("{failure:?}"));
    let view = view(Type::Utf8, Type::Float64);
    let names = ViewNames { name: "weather".to_owned(), ..ViewNames::default() };
    let wanted = Wanted::new(&view, &names);
    let last = sqlite.page_end("Shop_weather", &[]).unwrap_or_default().unwrap_or_default();
    let page =
        sqlite.page("Shop_weather", &[], &last, &wanted).unwrap_or_else(|error| panic!("{error}"));
    page.iter().map(|entity| entity.event_us).collect()
}

#[test]
fn a_time_is_read_with_the_clock_of_the_machine_that_wrote_it() {
    const WRITTEN_US: i64 = 1_772_452_800_000_000;
    const HOUR_US: i64 = 3_600_000_000;
    let utc = times("UTC");
    assert!(utc.contains(&Some(WRITTEN_US)) && utc.contains(&None), "{utc:?}");
    let berlin = times("Europe/Berlin");
    assert!(berlin.contains(&Some(WRITTEN_US + HOUR_US)), "{berlin:?}");
}

#[test]
fn pages_hold_whole_rows_and_end() {
    let sqlite = open(&store(), "UTC").unwrap_or_else(|failure| panic!("{failure:?}"));
    let (mut after, mut pages) = (Vec::new(), 0);
    while let Some(last) = sqlite.page_end("Shop_orders", &after).unwrap_or_default() {
        assert!(last > after);
        (after, pages) = (last, pages + 1);
    }
    assert_eq!(pages, 1);
    assert_eq!(sqlite.count("Shop_orders").unwrap_or_default(), 5);
}

#[test]
fn views_that_were_not_asked_for_are_counted() {
    let sqlite = open(&store(), "UTC").unwrap_or_else(|failure| panic!("{failure:?}"));
    let view = view(Type::Utf8, Type::Float64);
    let names = ViewNames { name: "weather".to_owned(), ..ViewNames::default() };
    let others = sqlite.others(&[Wanted::new(&view, &names)]).unwrap_or_default();
    assert_eq!((others.get("orders"), others.get("weather")), (Some(&5), None));
}

#[test]
fn a_file_that_is_no_store_is_told() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let said = |path: &Path| format!("{:?}", open(path, "UTC").err());
    assert!(said(&folder.path().join("none.db")).contains("came none"));
    let text = folder.path().join("text.db");
    std::fs::write(&text, "plain text, long enough for a header of SQLite, which has a hundred bytes, and then some more")
        .unwrap_or_else(|error| panic!("{error}"));
    let refused = said(&text);
    assert!(refused.contains("as SQLite") && refused.contains("online_store"), "{refused}");
    // Cut in the middle: what is missing is found when it is read.
    let whole = std::fs::read(store()).unwrap_or_else(|error| panic!("{error}"));
    std::fs::write(&text, &whole[..whole.len() / 2]).unwrap_or_else(|error| panic!("{error}"));
    let cut = open(&text, "UTC").and_then(|sqlite| sqlite.others(&[]).map(drop));
    assert!(
        cut.is_err() || {
            let sqlite = open(&text, "UTC").unwrap_or_else(|failure| panic!("{failure:?}"));
            ["orders", "weather", "loyalty"]
                .iter()
                .any(|view| sqlite.count(&format!("Shop_{view}")).is_err())
        }
    );
}

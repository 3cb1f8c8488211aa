//! Fingerprints and differences: one edit of the example, what changes and what must not.

use skewless_catalog::{Effect, diff};

use crate::{catalog, example};

/// Replaces one text in the example; gives the differences as they are printed and whether the
/// service's fingerprint changed.
fn edit(from: &str, to: &str) -> (Vec<String>, bool) {
    let (old, new) = (catalog(&example()), catalog(&edited(from, to)));
    let changes = diff(&old, &new).iter().map(ToString::to_string).collect();
    (changes, old.services[0].fingerprint != new.services[0].fingerprint)
}

fn edited(from: &str, to: &str) -> String {
    let text = example();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn each_edit_is_told_with_its_effect() {
    const SERVICE: &str = "services: departure_delay)";
    #[rustfmt::skip]
    let table: &[(&str, &str, &[&str])] = &[
        ("ttl: 3h", "ttl: 1h", &["view weather: ttl changed from 3h to 1h (backfill anew; "]),
        ("    ttl: 3h\n", "", &["view weather: ttl changed from 3h to none (backfill anew; "]),
        ("boundary: inclusive", "boundary: exclusive", &["view weather: boundary changed from inclusive to exclusive (backfill anew; "]),
        ("lag: 5m", "lag: 0s", &["view weather: lag changed from 5m to 0s (backfill anew; "]),
        ("visib, type: float64, unit: km", "visib, type: float32, unit: km", &["view weather: type of visib changed from float64 to float32 (breaking; "]),
        ("visib, type: float64, unit: km", "visib, type: float64, unit: mi", &["view weather: unit of visib changed from `km` to `mi` (backfill anew; "]),
        ("deleted: deleted", "deleted: gone", &["view weather: deleted changed from deleted to gone (load and backfill anew; "]),
        ("times: 12 ", "times: 13 ", &["transform label: input times changed from Int32(12) to Int32(13) (backfill anew; "]),
        ("text: entity.origin", "text: entity.dest", &["transform label: input text changed from entity.origin to entity.dest (backfill anew; "]),
        ("instance: reset", "instance: fresh", &["transform detour: instance changed from reset to fresh (backfill anew; "]),
    ];
    for (from, to, expected) in table {
        let (changes, fingerprint_changed) = edit(from, to);
        assert_eq!(changes.len(), expected.len(), "{from} -> {to}: {changes:?}");
        for (change, expected) in changes.iter().zip(*expected) {
            assert_eq!(change, &format!("{expected}{SERVICE}"), "{from} -> {to}");
        }
        assert!(fingerprint_changed, "{from} -> {to}");
    }
}

#[test]
fn a_service_tells_added_moved_and_renamed_outputs_as_breaking() {
    let (changes, changed) = edit("as: gc_km", "as: km");
    assert_eq!(
        changes,
        [
            "service departure_delay: gc_km removed (breaking)",
            "service departure_delay: km added (breaking)"
        ]
    );
    assert!(changed);
    let (changes, _) = edit(
        "      - detour.ratio\n      - label.label\n",
        "      - label.label\n      - detour.ratio\n",
    );
    assert_eq!(changes.len(), 1);
    assert!(changes[0].contains("order of features changed") && changes[0].ends_with("(breaking)"));
    let (changes, _) = edit(
        "      - weather.wind_speed\n",
        "      - weather.wind_speed\n      - request.sched_distance\n",
    );
    assert_eq!(changes, ["service departure_delay: request.sched_distance added (breaking)"]);
}

#[test]
fn what_means_the_same_is_no_difference() {
    for (from, to) in [
        ("doc: Hourly reports.", "doc: Reports, hourly."),
        ("# as the data files call it", "# another comment"),
        ("ttl: 3h", "ttl: 180m"),
        ("    boundary: inclusive\n", ""),
        (
            "keys: [{name: tailnum, type: utf8}]",
            "keys:\n      - name: \"tailnum\"\n        type: 'utf8'",
        ),
        (
            "{numerator: request.sched_distance, denominator: distance.km}",
            "{denominator: distance.km, numerator: request.sched_distance}",
        ),
    ] {
        let (old, new) = (catalog(&example()), catalog(&edited(from, to)));
        assert_eq!(diff(&old, &new), [], "{from} -> {to}");
        assert_eq!(old.fingerprint, new.fingerprint, "{from} -> {to}");
    }
}

#[test]
fn where_data_lies_is_a_difference_but_no_content() {
    let (changes, changed) = edit("data/corrections.parquet", "data/fixes.parquet");
    assert_eq!(changes.len(), 1);
    assert!(
        changes[0].contains("source path changed") && changes[0].contains("load and backfill anew")
    );
    assert!(!changed);
}

#[test]
fn a_new_feature_leaves_the_services_alone_that_do_not_ask_for_it() {
    let edit = edited(
        "      - {name: visib,",
        "      - {name: gust, type: float64}\n      - {name: visib,",
    );
    let (old, new) = (catalog(&example()), catalog(&edit));
    let changes = diff(&old, &new);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].effect, changes[0].services.len()), (Effect::Reload, 0));
    assert_eq!(old.services[0].fingerprint, new.services[0].fingerprint);
    let view = |of: &skewless_catalog::Catalog| of.view("weather").unwrap().clone();
    assert_ne!(view(&old).fingerprint, view(&new).fingerprint);
    assert_ne!(view(&old).schema_fingerprint, view(&new).schema_fingerprint);
}

#[test]
fn the_rule_is_content_of_a_view_but_not_of_its_stored_rows() {
    let (old, new) = (catalog(&example()), catalog(&edited("ttl: 3h", "ttl: 1h")));
    let (old, new) = (old.view("weather").unwrap(), new.view("weather").unwrap());
    assert_ne!(old.fingerprint, new.fingerprint);
    assert_eq!(old.schema_fingerprint, new.schema_fingerprint);
}

#[test]
fn another_plugin_is_a_difference_down_to_the_service() {
    let text = example().replace("text: entity.origin", "text: {constant: x}");
    let (old, new) = (catalog(&text), catalog(&text.replace("{constant: x}", "{constant: y}")));
    let fingerprints = |of: &skewless_catalog::Catalog| {
        (of.transform("label").unwrap().fingerprint, of.services[0].fingerprint)
    };
    assert_ne!(fingerprints(&old).0, fingerprints(&new).0);
    assert_ne!(fingerprints(&old).1, fingerprints(&new).1);
    let moved = example().replace("plugins/great_circle.wasm", "plugins/great_circle_2.wasm");
    let (old, new) = (catalog(&example()), catalog(&moved));
    let changes: Vec<_> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].starts_with("transform distance: plugin changed from "), "{}", changes[0]);
    assert_ne!(
        old.transform("detour").unwrap().fingerprint,
        new.transform("detour").unwrap().fingerprint
    );
    assert_eq!(
        old.transform("label").unwrap().fingerprint,
        new.transform("label").unwrap().fingerprint
    );
    assert_ne!(old.services[0].fingerprint, new.services[0].fingerprint);
}

#[test]
fn whole_definitions_come_and_go() {
    let added = example()
        + "---\nviews:\n  - {name: gates, entity: airport, features: [{name: count, type: int32}]}\nservices:\n  - {name: gates_of, features: [gates.count]}\n";
    let (small, large) = (catalog(&example()), catalog(&added));
    let told = |old, new| diff(old, new).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        told(&small, &large),
        [
            "view gates: added (load and backfill anew; services: gates_of)",
            "service gates_of: added (takes effect at once)"
        ]
    );
    assert_eq!(
        told(&large, &small),
        [
            "view gates: removed (takes effect at once; services: gates_of)",
            "service gates_of: removed (breaking)"
        ]
    );
}

/// The bytes a fingerprint is made of are a contract: provenance of old files must stay comparable.
#[test]
fn fingerprints_are_pinned() {
    let catalog = catalog(
        "entities:\n  - {name: e, keys: [{name: k, type: int64}]}\nviews:\n  - {name: v, entity: e, ttl: 1h, features: [{name: f, type: float64}]}\nservices:\n  - {name: s, features: [v.f]}\n",
    );
    let view = &catalog.views[0];
    let service = catalog.services[0].fingerprint;
    let came =
        [catalog.entities[0].fingerprint, view.fingerprint, view.schema_fingerprint, service];
    assert_eq!(came.map(|fingerprint| fingerprint.to_string()), PINNED);
}

const PINNED: [&str; 4] = [
    "c34e50bb2a969da809660e028d51441082034a1a0d3f632edac067323651f545",
    "0e4686394727025414bfcfb4645750741786fe22a5a4e58f5fc4376589ee4613",
    "14d1eba760bbbe46b87ac00926f0ef2208cdf16635807276989454be3714f071",
    "654b9db32c9636e38b10a7248501b02946587b404c7b949451b27e84ca966a75",
];

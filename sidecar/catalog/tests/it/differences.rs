//! Fingerprints and differences: one edit of the example, what changes and what must not.

use skewless_catalog::{Change, Effect, diff, report};

use crate::{catalog, example};

/// Replaces one text in the example; gives the differences as they are printed and whether the
/// service's fingerprint changed.
fn edit(from: &str, to: &str) -> (String, bool) {
    let (old, new) = (catalog(&example()), catalog(&edited(from, to)));
    let told = report(&diff(&old, &new));
    (told, old.services[0].fingerprint != new.services[0].fingerprint)
}

fn edited(from: &str, to: &str) -> String {
    let text = example();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn each_edit_is_told_with_its_effect() {
    const BACKFILL: &str = "backfill anew";
    const LOAD: &str = "load, then backfill anew";
    #[rustfmt::skip]
    let table: &[(&str, &str, &str, &str)] = &[
        ("ttl: 3h", "ttl: 1h", BACKFILL, "view weather: ttl 3h -> 1h"),
        ("ttl: 3h", "ttl: 6h", LOAD, "view weather: ttl 3h -> 6h"),
        ("    ttl: 3h\n", "", LOAD, "view weather: ttl 3h -> none"),
        ("boundary: inclusive", "boundary: exclusive", LOAD, "view weather: boundary inclusive -> exclusive"),
        ("lag: 5m", "lag: 0s", LOAD, "view weather: lag 5m -> 0s"),
        ("visib, type: float64, unit: km", "visib, type: float64, unit: mi", BACKFILL, "view weather: unit of visib `km` -> `mi`"),
        ("deleted: deleted", "deleted: gone", LOAD, "view weather: deleted deleted -> gone"),
        ("times: 12 ", "times: 13 ", BACKFILL, "transform label: input times 12 -> 13"),
        ("text: entity.origin", "text: entity.dest", BACKFILL, "transform label: input text entity.origin -> entity.dest"),
        ("text: entity.origin", "text: {constant: x}", BACKFILL, "transform label: input text entity.origin -> \"x\""),
        ("instance: reset", "instance: fresh", BACKFILL, "transform detour: instance reset -> fresh"),
    ];
    for (from, to, effect, expected) in table {
        let (told, fingerprint_changed) = edit(from, to);
        assert_eq!(told, format!("{effect}: departure_delay\n  {expected}\n"), "{from} -> {to}");
        assert!(fingerprint_changed, "{from} -> {to}");
    }
}

/// Whoever uses the feature breaks; and the store drops the rows of the whole view, whoever uses it.
#[test]
fn another_type_breaks_and_asks_for_a_load() {
    let (told, changed) = edit("visib, type: float64", "visib, type: float32");
    let what = "view weather: type of visib float64 -> float32";
    let expected = format!(
        "breaks callers or models: departure_delay\n  {what}\n\
         load, then backfill anew\n  {what}\n"
    );
    assert_eq!(told, expected);
    assert!(changed);
}

/// The store would find rows under swapped keys, so it drops them; a key with another name is the same key.
#[test]
fn keys_that_change_places_ask_for_a_load_and_a_renamed_one_does_not() {
    let definitions = |keys: [&str; 2]| {
        let [first, second] = keys;
        catalog(&format!(
            "entities:\n  - {{name: e, keys: [{{name: {first}, type: utf8}}, {{name: {second}, type: utf8}}]}}\n\
             views:\n  - {{name: v, entity: e, ttl: 1h, features: [{{name: f, type: float64}}]}}\n\
             services:\n  - {{name: s, features: [v.f]}}\n"
        ))
    };
    let old = definitions(["origin", "dest"]);
    let load = |names: &str| vec![format!("view v: key names origin, dest -> {names}")];
    for (keys, expected) in [
        (["dest", "origin"], load("dest, origin")),
        (["dest", "to"], load("dest, to")),
        (["from", "to"], load("from, to")),
        (["origin", "to"], vec![]),
    ] {
        let changes = diff(&old, &definitions(keys));
        let loads = changes.iter().filter(|change| change.effect == Effect::Load);
        assert_eq!(loads.map(ToString::to_string).collect::<Vec<_>>(), expected, "{keys:?}");
        assert!(changes.iter().any(|change| change.effect == Effect::Breaking), "{keys:?}");
    }
}

#[test]
fn the_order_of_a_view_s_features_asks_for_nothing() {
    let (wind, visib) =
        ("{name: wind_speed, type: float64, unit: m/s}", "{name: visib, type: float64, unit: km}");
    let (told, changed) = edit(
        &format!("      - {wind}\n      - {visib}\n"),
        &format!("      - {visib}\n      - {wind}\n"),
    );
    let expected = "nothing to do: departure_delay\n  \
                    view weather: order of features wind_speed, visib -> visib, wind_speed\n";
    assert_eq!(told, expected);
    assert!(!changed);
}

#[test]
fn a_service_tells_added_moved_and_renamed_outputs_as_breaking() {
    let breaks = |lines: &str| format!("breaks callers or models: departure_delay\n{lines}");
    let (told, changed) = edit("as: gc_km", "as: km");
    let lines = "  service departure_delay: gc_km removed\n  service departure_delay: km added\n";
    assert_eq!(told, breaks(lines));
    assert!(changed);
    let (told, _) = edit(
        "      - detour.ratio\n      - label.label\n",
        "      - label.label\n      - detour.ratio\n",
    );
    assert!(told.starts_with(&breaks("  service departure_delay: order of features ")), "{told}");
    assert_eq!(told.lines().count(), 2);
    let (told, _) = edit(
        "      - weather.wind_speed\n",
        "      - weather.wind_speed\n      - request.sched_distance\n",
    );
    assert_eq!(told, breaks("  service departure_delay: request.sched_distance added\n"));
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
    let (told, changed) = edit("data/corrections.parquet", "data/fixes.parquet");
    let start = "load, then backfill anew: departure_delay\n  view weather: source path ";
    assert!(told.starts_with(start), "{told}");
    assert_eq!(told.lines().count(), 2);
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
    assert_eq!((changes[0].effect, changes[0].services.len()), (Effect::Load, 0));
    assert_eq!(old.services[0].fingerprint, new.services[0].fingerprint);
    let view = |of: &skewless_catalog::Catalog| of.view("weather").unwrap().clone();
    assert_ne!(view(&old).fingerprint, view(&new).fingerprint);
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
    let told = diff(&old, &new).iter().map(ToString::to_string).collect::<Vec<_>>();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    // The other file has the same signature: whether its values differ can't be told from here.
    let rest = told.strip_prefix("transform distance: plugin ").unwrap();
    let (digests, note) = rest.split_once(';').unwrap();
    assert_eq!(digests.split(" -> ").map(str::len).collect::<Vec<_>>(), [12, 12]);
    assert_eq!(note, " same signature, so its values may differ or not");
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
    let told = |old, new| report(&diff(old, new));
    assert_eq!(
        told(&small, &large),
        "load, then backfill anew: gates_of\n  view gates: added\nnothing to do\n  service gates_of: added\n"
    );
    assert_eq!(
        told(&large, &small),
        "breaks callers or models: gates_of\n  service gates_of: removed\nnothing to do\n  view gates: removed\n"
    );
}

#[test]
fn changes_are_grouped_by_what_to_do_with_the_worst_first() {
    let change = |effect, name: &str, services: &[&str]| Change {
        kind: "view",
        name: name.to_owned(),
        what: "lag 1s -> 2s".to_owned(),
        effect,
        services: services.iter().map(|service| (*service).to_owned()).collect(),
    };
    let changes = [
        change(Effect::Immediate, "a", &[]),
        change(Effect::Backfill, "b", &["one", "two"]),
        change(Effect::Backfill, "c", &["two"]),
        change(Effect::Backfill, "d", &[]),
        change(Effect::Breaking, "e", &["one"]),
    ];
    let expected = "breaks callers or models: one\n  view e: lag 1s -> 2s\n\
                    backfill anew: two\n  view b: lag 1s -> 2s\n  view c: lag 1s -> 2s (two)\n  \
                    view d: lag 1s -> 2s (no service uses it)\nnothing to do\n  view a: lag 1s -> 2s\n";
    assert_eq!(report(&changes), expected);
    assert_eq!(report(&[]), "");
}

/// In the group that asks most of it; a later group names what is new in it.
#[test]
fn a_service_is_listed_once() {
    let change = |effect, name: &str, services: &[&str]| Change {
        kind: "view",
        name: name.to_owned(),
        what: "changed".to_owned(),
        effect,
        services: services.iter().map(|service| (*service).to_owned()).collect(),
    };
    let changes = [
        change(Effect::Load, "a", &["one", "two"]),
        change(Effect::Backfill, "b", &["two", "three"]),
        change(Effect::Immediate, "c", &["one", "three"]),
        change(Effect::Immediate, "d", &["one"]),
    ];
    let expected = "load, then backfill anew: one, two\n  view a: changed\n\
                    backfill anew: three\n  view b: changed\n\
                    nothing to do\n  view c: changed\n  view d: changed (one)\n";
    assert_eq!(report(&changes), expected);
}

/// The bytes a fingerprint is made of are a contract: provenance of old files must stay comparable.
#[test]
fn fingerprints_are_pinned() {
    let catalog = catalog(
        "entities:\n  - {name: e, keys: [{name: k, type: int64}]}\nviews:\n  - {name: v, entity: e, ttl: 1h, features: [{name: f, type: float64}]}\nservices:\n  - {name: s, features: [v.f]}\n",
    );
    let view = &catalog.views[0];
    let service = catalog.services[0].fingerprint;
    let came = [catalog.entities[0].fingerprint, view.fingerprint, service];
    assert_eq!(came.map(|fingerprint| fingerprint.to_string()), PINNED);
}

const PINNED: [&str; 3] = [
    "c34e50bb2a969da809660e028d51441082034a1a0d3f632edac067323651f545",
    "0e4686394727025414bfcfb4645750741786fe22a5a4e58f5fc4376589ee4613",
    "654b9db32c9636e38b10a7248501b02946587b404c7b949451b27e84ca966a75",
];

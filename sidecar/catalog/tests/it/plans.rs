//! Plans: what is read, what is run, in which order, and what is left out.

use skewless_batch::Type;
use skewless_catalog::{Constant, InstancePolicy, PlanError};

use crate::{catalog, example, refused};

#[test]
fn a_plan_holds_what_the_service_needs_once_each() {
    let catalog = catalog(&example());
    let plan = catalog.plan("departure_delay").unwrap();
    let names = |list: &[String]| list.join(" ");
    let keys: Vec<_> = plan.keys.iter().map(|key| key.name.clone()).collect();
    assert_eq!(names(&keys), "origin dest tailnum");
    let request: Vec<_> = plan.request.iter().map(|column| column.name.clone()).collect();
    assert_eq!(names(&request), "remark sched_distance");
    let lookups: Vec<_> = plan
        .lookups
        .iter()
        .map(|of| {
            let features: Vec<_> =
                of.features.iter().map(|(_, slot)| plan.slots[*slot].name.clone()).collect();
            format!("{}{:?} by {:?}: {}", of.view_name, of.role, of.keys, names(&features))
        })
        .collect();
    assert_eq!(
        lookups,
        [
            "weatherNone by [0]: weather.wind_speed",
            "weatherSome(\"dest\") by [1]: weather[dest].visib",
            "airportsNone by [0]: airports.lat airports.lon",
            "airportsSome(\"dest\") by [1]: airports[dest].lat airports[dest].lon",
            "embeddingsNone by [2]: embeddings.vector",
        ]
    );
    let steps: Vec<_> = plan.steps.iter().map(|step| step.transform.as_str()).collect();
    assert_eq!(steps, ["distance", "detour", "label", "likeness"]);
    let distance = &plan.steps[0];
    assert_eq!(distance.outputs.len(), 1, "the bearing is not asked for");
    assert_eq!(distance.output_fields.len(), 2);
    assert_eq!(distance.policy, InstancePolicy::Reset);
    assert_eq!(plan.steps[1].inputs[1], distance.outputs[0].1, "detour reads what distance writes");
    assert_eq!(plan.steps[3].inputs[0], plan.steps[3].inputs[1], "one feature, one slot");
    let constants: Vec<_> = plan.constants.iter().map(|(_, value)| value.clone()).collect();
    assert_eq!(constants, [Constant::Int32(12), Constant::Null, Constant::Bool(true)]);
    assert_eq!(plan.key_slots.len(), 1);
    let outputs: Vec<_> = plan.outputs.iter().map(|output| output.name.clone()).collect();
    assert_eq!(
        names(&outputs),
        "weather.wind_speed weather[dest].visib gc_km detour.ratio label.label \
         likeness.similarity request.remark"
    );
    assert_eq!(plan.outputs[2].slot, distance.outputs[0].1);
    for (at, slot) in plan.slots.iter().enumerate() {
        assert_eq!(plan.slots.iter().filter(|other| other.name == slot.name).count(), 1, "{at}");
    }
}

#[test]
fn the_order_of_files_and_definitions_changes_no_plan_and_no_fingerprint() {
    let straight = catalog(&example());
    let documents: Vec<_> = ["services:", "transforms:", "requests:", "views:", "entities:"]
        .iter()
        .map(|head| {
            let text = example();
            let from = text.find(head).unwrap();
            let len = text[from..].find("\n\n").unwrap_or(text.len() - from - 1);
            format!("# moved\n{}\n", &text[from..from + len])
        })
        .collect();
    let reordered = catalog(&documents.join("---\n"));
    assert_eq!(straight.fingerprint, reordered.fingerprint);
    assert_eq!(straight.services, reordered.services);
}

#[test]
fn ad_hoc_features_are_compiled_like_a_service() {
    let catalog = catalog(&example());
    let plan = catalog.plan_of(&["detour.ratio", "airports[dest].lat", "entity.origin"]).unwrap();
    assert_eq!(plan.service, "");
    let steps: Vec<_> = plan.steps.iter().map(|step| step.transform.as_str()).collect();
    assert_eq!(steps, ["distance", "detour"]);
    assert_eq!(plan.outputs[2].ty, Type::Utf8);
    assert_eq!(
        plan,
        catalog.plan_of(&["detour.ratio", "airports[dest].lat", "entity.origin"]).unwrap()
    );
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let catalog = catalog(&example());
    let error = catalog.plan("departure_dely").unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected a declared service, came `departure_dely` (did you mean `departure_delay`?)"
    );
    for error in [
        catalog.find_service("departure_dely").unwrap_err(),
        catalog.find_view("wether").unwrap_err(),
        catalog.find_entity("airprt").unwrap_err(),
        catalog.find_transform("distnce").unwrap_err(),
    ] {
        assert!(error.did_you_mean.is_some(), "{error}");
    }
    assert_eq!(catalog.find_view("weather").unwrap().name, "weather");
    let service = catalog.find_service("departure_delay").unwrap();
    assert_eq!(catalog.services[service].name, "departure_delay");
    let meant = |feature: &str| match catalog.plan_of(&[feature]) {
        Err(PlanError::UnknownName(unknown)) => unknown.did_you_mean,
        other => panic!("{other:?}"),
    };
    assert_eq!(meant("wether.visib").as_deref(), Some("weather.visib"));
    assert_eq!(meant("weather.visb").as_deref(), Some("weather.visib"));
    assert_eq!(meant("weather[dst].visib").as_deref(), Some("weather[dest].visib"));
    assert_eq!(meant("request.remrk").as_deref(), Some("request.remark"));
    assert_eq!(meant("visib").as_deref(), Some("weather.visib"));
    assert_eq!(meant("zzzzzz.yyyyy"), None);
    assert_eq!(catalog.plan_of(&[]), Err(PlanError::NoFeatures));
    let twice = catalog.plan_of(&["weather.visib", "weather.visib"]);
    assert_eq!(twice, Err(PlanError::Duplicate { name: "weather.visib".into() }));
    let many = vec!["weather.visib"; 2_001];
    assert!(matches!(
        catalog.plan_of(&many),
        Err(PlanError::OverLimit { limit: "SERVICE_FEATURES_MAX", .. })
    ));
}

#[test]
fn what_no_service_needs_is_warned_of() {
    let text = example()
        + "---\nrequests:\n  - {name: spare, type: bool}\nentities:\n  - {name: crew, keys: [{name: id, type: int64}]}\n";
    let warnings: Vec<_> = catalog(&text).warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].ends_with("warning: no service asks for request column `spare`"));
    assert!(warnings[1].ends_with("warning: entity `crew` has no view"));
}

#[test]
fn definitions_without_a_service_are_warned_of_once() {
    let text = example();
    let (text, _) = text.split_once("services:").unwrap();
    let warnings: Vec<_> = catalog(text).warnings.iter().map(ToString::to_string).collect();
    let expected =
        "warning: no feature service is declared: a sidecar answers ad hoc lists of features only";
    assert_eq!(warnings, [expected]);
}

/// The example with other fields of the transform `distance`.
fn distance_by(plugin: &str, fields: &str) -> String {
    let changed = format!("    plugin: plugins/{plugin}.wasm{fields}");
    example().replace("    plugin: plugins/great_circle.wasm", &changed)
}

const REUSED: &str = "\n    instance: reused";
const REQUIRED: &str = "\n    require_certificate: true";
const NOT_REQUIRED: &str = "\n    require_certificate: false";

#[test]
fn a_plugin_that_is_reused_or_required_to_must_have_a_certificate_that_counts() {
    for fields in [REUSED, REQUIRED, &[REUSED, REQUIRED].concat()] {
        assert_eq!(catalog(&distance_by("great_circle", fields)).warnings, []);
        for (plugin, came) in
            [("great_circle_2", "came none"), ("great_circle_3", "it is of another file")]
        {
            let text = distance_by(plugin, fields);
            let found = refused(&[("a.yaml", &text)]);
            assert_eq!(found.len(), 1, "{found:?}");
            let next = format!("`skewless plugin certify repo/plugins/{plugin}.wasm` makes one");
            let expected = format!("expected a certificate of plugin `plugins/{plugin}.wasm`");
            for part in [&*expected, came, &*next, "transform `distance`"] {
                assert!(found[0].contains(part), "{part}: {}", found[0]);
            }
            // Who asked for it in so many words isn't told how to take it back.
            let unless = found[0].contains("say `require_certificate: false`");
            assert_eq!(unless, fields == REUSED, "{}", found[0]);
        }
    }
}

#[test]
fn an_explicit_word_does_without_a_certificate() {
    for fields in ["", NOT_REQUIRED, &[REUSED, NOT_REQUIRED].concat()] {
        assert_eq!(catalog(&distance_by("great_circle_2", fields)).warnings, []);
        let warnings = catalog(&distance_by("great_circle_3", fields)).warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let message = &warnings[0].message;
        assert!(message.contains("doesn't count: it is of another file"), "{message}");
    }
}

#[test]
fn a_certificate_of_another_engine_counts_with_a_warning() {
    assert_eq!(catalog(&distance_by("great_circle_4", "")).warnings, []);
    let warnings = catalog(&distance_by("great_circle_4", REUSED)).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let message = &warnings[0].message;
    assert!(message.contains("by engine 0.0.9, this is 0.1.0"), "{message}");
    let next = "`skewless plugin certify repo/plugins/great_circle_4.wasm` would renew it";
    assert!(message.contains(next), "{message}");
}

/// It says what a plugin must be, not what it computes.
#[test]
fn requiring_a_certificate_is_no_content() {
    let fingerprint = |fields| catalog(&distance_by("great_circle", fields)).fingerprint;
    assert_eq!(fingerprint(""), fingerprint(REQUIRED));
}

#[test]
fn what_is_doubtful_about_a_plugin_is_warned_of_where_it_is_named() {
    let text = "\
requests: [{name: r, type: float64}]
transforms:
  - {name: t, plugin: plugins/old_ratio.wasm, inputs: {numerator: request.r, denominator: 2}}
services: [{name: s, features: [t.ratio]}]
";
    let warnings: Vec<_> = catalog(text).warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["a.yaml:3:23: warning: its source is newer"]);
}

#[test]
fn files_that_define_nothing_are_warned_of() {
    for text in ["", "# nothing yet\n", "views:\nservices: []\n"] {
        let warnings: Vec<_> = catalog(text).warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 1, "{text}");
        assert!(warnings[0].starts_with("warning: nothing is defined: "), "{}", warnings[0]);
    }
    assert_eq!(catalog("requests: [{name: r, type: bool}]").warnings.len(), 1);
}

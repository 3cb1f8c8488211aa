//! What becomes of a registry that Feast wrote (`tests/interop/feast_import/shop.py`), and of odd ones that are made here.

use prost::Message;
use skewless_batch::Type;
use skewless_proto::feast::core::{
    DataSource, Entity, EntitySpecV2, FeatureService, FeatureServiceSpec, FeatureSpecV2,
    FeatureView, FeatureViewProjection, FeatureViewSpec, Registry,
};
use skewless_proto::feast::types::value_type::Enum as ValueType;

use super::super::definitions::{Definitions, View};
use super::*;

const REGISTRY: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/interop/feast_import/fixtures/registry.db"
));

fn shop() -> Translated {
    let registry = Registry::decode(REGISTRY).unwrap_or_else(|error| panic!("{error}"));
    translate(&registry, "Shop", Some(Path::new("/repo")))
}

fn view<'d>(definitions: &'d Definitions, name: &str) -> &'d View {
    let found = definitions.views.iter().find(|view| view.name == name);
    found.unwrap_or_else(|| panic!("no view {name}: {definitions:?}"))
}

/// Whether one of the lines has all of these parts.
fn says(lines: &[String], parts: &[&str]) {
    let said = lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(said, "{parts:?} is missing in\n{}", lines.join("\n"));
}

#[test]
fn a_view_keeps_types_order_times_and_source() {
    let Translated { definitions, .. } = shop();
    let orders = view(&definitions, "orders");
    assert_eq!(
        (orders.entity.as_str(), orders.ttl_us),
        ("customer", Some(36_500 * 86_400_000_000 + 7))
    );
    let features: Vec<(&str, Type)> =
        orders.features.iter().map(|feature| (feature.name.as_str(), feature.ty)).collect();
    assert_eq!(
        features,
        [
            ("flag", Type::Bool),
            ("small", Type::Int32),
            ("large", Type::Int64),
            ("single", Type::Float32),
            ("double", Type::Float64),
            ("text", Type::Utf8),
            ("raw", Type::Binary),
            ("at", Type::Timestamp),
            ("ints", Type::ListInt64),
            ("doubles", Type::ListFloat64),
            ("texts", Type::ListUtf8),
            ("vector", Type::Embedding(3)),
            ("singles", Type::ListFloat64),
            ("smalls", Type::ListInt64),
            ("json", Type::Utf8),
            ("price", Type::Utf8),
            ("parts", Type::ListUtf8),
        ]
    );
    let source = orders.source.as_ref().unwrap_or_else(|| panic!("{orders:?}"));
    assert_eq!(source.path, "/repo/data/orders.parquet");
    assert_eq!(
        (source.event_timestamp.as_str(), source.created_timestamp.as_deref()),
        ("happened", Some("made"))
    );
    assert_eq!(view(&definitions, "place_visits").ttl_us, None, "a TTL of 0 is none");
}

#[test]
fn names_that_are_not_valid_are_mended_and_kept_for_the_rows() {
    let Translated { definitions, names, findings } = shop();
    let visits = view(&definitions, "place_visits");
    let own: Vec<&str> = visits.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(own, ["n7dvisits", "type", "null"]);
    let of = &names.views["place_visits"];
    assert_eq!((names.project.as_str(), of.name.as_str()), ("Shop", "Place-Visits"));
    assert_eq!(of.features["n7dvisits"], "7dVisits");
    says(&findings.renamed, &["view `Place-Visits` is `place_visits`"]);
    says(&findings.renamed, &["`7dVisits` is `place_visits.n7dvisits`"]);
    says(&findings.renamed, &["entity `Place` is `place`"]);
    says(&findings.renamed, &["service `Risk v1` is `risk_v1`"]);
    says(&findings.left_out, &["source of view `Place-Visits`", "names of the view's features"]);
    says(&findings.different, &["view `Place-Visits`", "a push source", "Ingest"]);
}

#[test]
fn columns_that_are_mapped_become_keys_of_their_own() {
    let Translated { definitions, names, findings } = shop();
    let weather = view(&definitions, "weather");
    let entity = definitions.entities.iter().find(|entity| entity.name == weather.entity);
    let entity = entity.unwrap_or_else(|| panic!("{definitions:?}"));
    assert_eq!(entity.name, "place__weather");
    assert_eq!(
        (entity.keys[0].column.as_str(), entity.keys[0].join_key.as_str()),
        ("station", "place_id")
    );
    assert_eq!(weather.source.as_ref().map(|source| source.event_timestamp.as_str()), Some("time"));
    assert_eq!(names.views["weather"].keys["station"], "place_id");
    assert_eq!(names.views["weather"].join_keys["place_id"], "place_id");
    assert!(names.views["place_visits"].join_keys.is_empty());
    says(&findings.different, &["entity `Place` of view `weather`", "`place__weather`"]);
    let roles: Vec<(&str, &str)> =
        entity.roles.iter().map(|role| (role.name.as_str(), role.join_keys[0].as_str())).collect();
    assert_eq!(roles, [("start", "start_id"), ("goal", "goal_id")]);
}

#[test]
fn several_entities_are_one_with_several_keys_and_none_is_a_dummy() {
    let Translated { definitions, findings, .. } = shop();
    let keys = |name: &str| {
        let entity = definitions
            .entities
            .iter()
            .find(|entity| entity.name == view(&definitions, name).entity);
        entity.map(|entity| {
            entity.keys.iter().map(|key| (key.feast.clone(), key.ty)).collect::<Vec<_>>()
        })
    };
    assert_eq!(
        keys("loyalty"),
        Some(vec![("place_id".to_owned(), Type::Utf8), ("customer_id".to_owned(), Type::Int64)])
    );
    assert_eq!(keys("everywhere"), Some(vec![("__dummy_id".to_owned(), Type::Utf8)]));
    says(&findings.different, &["view `everywhere`", "`dummy_id` as the empty text"]);
    says(
        &findings.left_out,
        &["source of view `loyalty`", "s3://bucket/loyalty.parquet", "not on this machine"],
    );
    says(&findings.left_out, &["source of view `everywhere`", "no entity", "column `dummy_id`"]);
    says(&findings.left_out, &["entity `unused`"]);
}

#[test]
fn what_is_not_stored_here_is_left_out_by_name() {
    let Translated { definitions, findings, names } = shop();
    says(&findings.left_out, &["feature `more` of view `orders`", "MAP"]);
    let left_out = |view: &str| names.views[view].left_out.iter().cloned().collect::<Vec<_>>();
    assert_eq!((left_out("orders"), left_out("clicks")), (vec!["more".to_owned()], vec![]));
    says(&findings.left_out, &["view `nothing`", "no feature"]);
    says(&findings.left_out, &["on-demand view `of_nothing`"]);
    says(&findings.left_out, &["`orders:more` of service `Risk v1`"]);
    says(&findings.left_out, &["service `lost`", "nothing that it asks for"]);
    says(&findings.left_out, &["source of view `clicks`", "aggregations"]);
    says(&findings.different, &["view `clicks`", "a Kafka topic"]);
    says(&findings.different, &["feature `price` of view `orders`", "a decimal is its text"]);
    says(&findings.different, &["feature `smalls` of view `orders`", "INT32_LIST is list<int64>"]);
    assert_eq!(view(&definitions, "clicks").ttl_us, Some(3_600_000_000));
}

#[test]
fn an_on_demand_view_is_a_transform_with_its_signature() {
    let Translated { definitions, findings, .. } = shop();
    assert_eq!(definitions.transforms.len(), 1, "{definitions:?}");
    let basket = &definitions.transforms[0];
    let bound: Vec<(&str, &str)> = basket
        .inputs
        .iter()
        .map(|input| (input.column.name.as_str(), input.reference.as_str()))
        .collect();
    assert!(
        bound
            .starts_with(&[("n7dvisits", "place_visits.n7dvisits"), ("type", "place_visits.type")]),
        "{bound:?}"
    );
    assert!(bound.contains(&("vector", "orders.vector")), "{bound:?}");
    assert!(
        bound.ends_with(&[("amount", "request.amount"), ("note", "request.note")]),
        "{bound:?}"
    );
    let outputs: Vec<(&str, Type)> =
        basket.outputs.iter().map(|output| (output.name.as_str(), output.ty)).collect();
    assert_eq!(outputs, [("ratio", Type::Float64), ("ref", Type::Utf8)]);
    assert!(
        basket
            .source
            .as_ref()
            .is_some_and(|source| source.contains("def basket(inputs: pd.DataFrame)"))
    );
    assert_eq!(basket.mode, "pandas");
    says(&findings.left_out, &["request value `extra`", "MAP"]);
    says(&findings.left_out, &["input `orders:more`"]);
    says(&findings.different, &["on-demand view `basket`", "plugins/basket"]);
}

#[test]
fn a_service_keeps_its_order_and_its_aliases() {
    let Translated { definitions, .. } = shop();
    assert_eq!(definitions.services.len(), 1, "{definitions:?}");
    let features: Vec<(&str, Option<&str>)> = definitions.services[0]
        .features
        .iter()
        .map(|(reference, called)| (reference.as_str(), called.as_deref()))
        .collect();
    assert_eq!(
        features,
        [
            ("orders.large", None),
            ("orders.flag", None),
            ("weather[start].wind", Some("start__wind")),
            ("weather[goal].wind", Some("goal__wind")),
            ("basket.ratio", None),
            ("place_visits.n7dvisits", None),
            ("place_visits.type", None),
            ("place_visits.null", None),
            ("loyalty.points", None),
        ]
    );
}

#[test]
fn another_project_has_nothing_of_this_one() {
    let registry = Registry::decode(REGISTRY).unwrap_or_default();
    let Translated { definitions, .. } = translate(&registry, "shop", None);
    assert!(definitions.views.is_empty() && definitions.services.is_empty(), "{definitions:?}");
}

/// By them the store for Feast's SDK, `serve-transformations` and Feast's calls find what was meant.
#[test]
fn feasts_names_of_everything_are_kept() {
    let Translated { names, .. } = shop();
    let of = &names.transforms["basket"];
    assert_eq!((of.name.as_str(), of.features["ref"].as_str()), ("basket", "ref"));
    assert!(of.inputs["place_visits.n7dvisits"].contains("Place-Visits:7dVisits"), "{of:?}");
    assert!(of.inputs["request.amount"].contains("amount"), "{of:?}");
    let key = |ours: &str| names.join_keys.get(ours).map(String::as_str);
    assert_eq!((key("dummy_id"), key("start_id")), (Some("__dummy_id"), Some("start_id")));
    assert_eq!(names.requests["amount"], "amount");
    let risk = &names.services["risk_v1"];
    assert_eq!(risk.name, "Risk v1");
    assert_eq!(risk.features["start__wind"], "start:wind");
    assert_eq!(risk.features["place_visits.n7dvisits"], "Place-Visits:7dVisits");
    let roles = &names.views["weather"].roles;
    assert_eq!(roles["start"], [("place_id".to_owned(), "start_id".to_owned())].into());
    assert_eq!(roles["goal"], [("place_id".to_owned(), "goal_id".to_owned())].into());
}

/// Projections of view `a` as a service has them: the alias, and what key `id` is mapped to.
fn projections(of: &[(&str, Option<&str>)]) -> Registry {
    let features = of.iter().map(|(alias, key)| FeatureViewProjection {
        feature_view_name: "a".to_owned(),
        feature_view_name_alias: (*alias).to_owned(),
        feature_columns: vec![FeatureSpecV2 { name: "f".to_owned(), ..FeatureSpecV2::default() }],
        join_key_map: key.iter().map(|key| ("id".to_owned(), (*key).to_owned())).collect(),
        ..FeatureViewProjection::default()
    });
    let spec = FeatureServiceSpec {
        name: "s".to_owned(),
        project: "p".to_owned(),
        features: features.collect(),
        ..FeatureServiceSpec::default()
    };
    Registry {
        entities: vec![feast_entity("e")],
        feature_views: vec![feast_view("a", "e", ValueType::Int64, 0)],
        feature_services: vec![FeatureService { spec: Some(spec) }],
        ..Registry::default()
    }
}

#[test]
fn a_role_is_found_by_the_join_keys_that_it_stands_for() {
    let registry = projections(&[
        ("", Some("Other-ID")),
        ("one", Some("Other-ID")),
        ("same", Some("id")),
        ("Origin-1", Some("origin_id")),
    ]);
    let Translated { names, .. } = translate(&registry, "p", None);
    let role = |key: &str| [("id".to_owned(), key.to_owned())].into();
    let of = &names.views["a"].roles;
    assert_eq!(
        *of,
        [("other_id".to_owned(), role("Other-ID")), ("origin_1".to_owned(), role("origin_id"))]
            .into()
    );
    assert_eq!(names.join_keys["other_id"], "Other-ID");
    let features = &names.services["s"].features;
    assert_eq!(features["a[other_id].f"], "a:f");
    assert_eq!(features["origin_1__f"], "Origin-1:f");
}

/// A view of project `p` with one feature.
fn feast_view(name: &str, entity: &str, key: ValueType, ttl_s: i64) -> FeatureView {
    let column = |name: &str, ty: ValueType| FeatureSpecV2 {
        name: name.to_owned(),
        value_type: ty.into(),
        ..FeatureSpecV2::default()
    };
    let spec = FeatureViewSpec {
        name: name.to_owned(),
        project: "p".to_owned(),
        entities: vec![entity.to_owned()],
        entity_columns: vec![column("id", key)],
        features: vec![column("f", ValueType::Int64)],
        ttl: Some(prost_types::Duration { seconds: ttl_s, nanos: 0 }),
        batch_source: Some(DataSource::default()),
        online: true,
        ..FeatureViewSpec::default()
    };
    FeatureView { spec: Some(spec) }
}

fn feast_entity(name: &str) -> Entity {
    let spec = EntitySpecV2 {
        name: name.to_owned(),
        join_key: "id".to_owned(),
        project: "p".to_owned(),
        ..EntitySpecV2::default()
    };
    Entity { spec: Some(spec) }
}

#[test]
fn a_valid_name_stays_whatever_looks_like_it() {
    let views = ["A-b", "a_b", "a_b_2"].map(|name| feast_view(name, "e", ValueType::Int64, 0));
    let registry = Registry {
        entities: vec![feast_entity("e")],
        feature_views: views.to_vec(),
        ..Registry::default()
    };
    let Translated { names, findings, .. } = translate(&registry, "p", None);
    let names: Vec<(&str, &str)> =
        names.views.iter().map(|(ours, of)| (ours.as_str(), of.name.as_str())).collect();
    assert_eq!(names, [("a_b", "a_b"), ("a_b_2", "a_b_2"), ("a_b_3", "A-b")]);
    assert_eq!(findings.renamed, ["view `A-b` is `a_b_3`"]);
}

#[test]
fn entities_that_look_alike_are_two() {
    let registry = Registry {
        entities: vec![feast_entity("E"), feast_entity("e")],
        feature_views: vec![
            feast_view("a", "E", ValueType::Int64, 0),
            feast_view("b", "e", ValueType::Int64, 0),
        ],
        ..Registry::default()
    };
    let Translated { definitions, .. } = translate(&registry, "p", None);
    let names: Vec<&str> = definitions.entities.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(names, ["e_2", "e"]);
}

#[test]
fn one_join_key_with_two_types_becomes_two() {
    let registry = Registry {
        entities: vec![feast_entity("e")],
        feature_views: vec![
            feast_view("a", "e", ValueType::Int64, 0),
            feast_view("b", "e", ValueType::String, 0),
            feast_view("c", "e", ValueType::UnixTimestamp, 0),
            feast_view("d", "gone", ValueType::Int64, 0),
            feast_view("u", "e", ValueType::Invalid, 0),
        ],
        ..Registry::default()
    };
    let Translated { definitions, findings, .. } = translate(&registry, "p", None);
    let keys: Vec<(&str, &str)> = definitions
        .entities
        .iter()
        .map(|entity| (entity.name.as_str(), entity.keys[0].join_key.as_str()))
        .collect();
    assert_eq!(keys, [("e", "id"), ("e__b", "id_utf8")]);
    says(&findings.left_out, &["view `c`", "UNIX_TIMESTAMP"]);
    says(&findings.left_out, &["view `u`", "`id` has no type", "`value_type`"]);
    says(&findings.left_out, &["view `d`", "`gone` is not in the registry"]);
}

#[test]
fn ttls_that_are_none_and_one_that_is_too_long_are_no_ttl() {
    for (ttl_s, ttl_us) in
        [(0, None), (-5, None), (60, Some(60_000_000)), (i64::MAX, None), (32_000_000_000, None)]
    {
        let registry = Registry {
            entities: vec![feast_entity("e")],
            feature_views: vec![feast_view("a", "e", ValueType::Int64, ttl_s)],
            ..Registry::default()
        };
        let Translated { definitions, findings, .. } = translate(&registry, "p", None);
        assert_eq!(view(&definitions, "a").ttl_us, ttl_us, "{ttl_s}");
        assert_eq!(
            findings.different.iter().any(|line| line.contains("TTL")),
            ttl_us.is_none() && ttl_s > 0
        );
    }
}

#[test]
fn a_feature_that_a_service_asks_for_twice_is_there_once() {
    let projection = FeatureViewProjection {
        feature_view_name: "a".to_owned(),
        feature_columns: vec![FeatureSpecV2 { name: "f".to_owned(), ..FeatureSpecV2::default() }],
        ..FeatureViewProjection::default()
    };
    let spec = FeatureServiceSpec {
        name: "s".to_owned(),
        project: "p".to_owned(),
        features: vec![projection.clone(), projection],
        ..FeatureServiceSpec::default()
    };
    let registry = Registry {
        entities: vec![feast_entity("e")],
        feature_views: vec![feast_view("a", "e", ValueType::Int64, 0)],
        feature_services: vec![FeatureService { spec: Some(spec) }],
        ..Registry::default()
    };
    let Translated { definitions, findings, .. } = translate(&registry, "p", None);
    assert_eq!(definitions.services[0].features, [("a.f".to_owned(), None)]);
    says(&findings.left_out, &["`a:f` of service `s`", "has it already"]);
}

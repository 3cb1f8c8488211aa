//! Feast's clients go on asking by Feast's names, whatever `skewless feast import` had to call otherwise (feast.json).

use serde_json::{Value, json};

use super::feast_http::{error, post, started};
use crate::*;

/// What the import makes of names in camel case, of a view without entity and of two projections of one view.
const IMPORTED: &str = "
entities:
  - name: driver
    keys: [{name: driverid, type: int64}]
    roles:
      - {name: other, keys: [otherid]}
  - name: dummy
    keys: [{name: dummy_id, type: utf8}]
  - name: driver_of_text
    keys: [{name: driverid, type: utf8}]
    as: [driverid_utf8]
views:
  - name: texts
    entity: driver_of_text
    features: [{name: likes, type: int64}]
  - name: driverstats
    entity: driver
    features: [{name: convrate, type: float64}, {name: trips, type: int64}]
  - name: everywhere
    entity: dummy
    features: [{name: rate, type: float64}]
requests:
  - {name: valtoadd, type: float64}
transforms:
  - {name: myrate, plugin: plugins/double.wasm, inputs: {x: driverstats.convrate}}
  - {name: myadd, plugin: plugins/double.wasm, inputs: {x: request.valtoadd}}
services:
  - name: my_service
    features: [driverstats.convrate, myrate.y, myadd.y]
  - name: two
    features:
      - {feature: driverstats.trips, as: home__trips}
      - {feature: 'driverstats[other].convrate', as: other__convrate}
      - driverstats.convrate
";

const NAMES: &str = r#"{
    "project": "p",
    "views": {
        "driverstats": {"name": "driverStats", "keys": {"driverid": "driverId"},
                        "features": {"convrate": "convRate", "trips": "trips"}, "roles": {"other": {"driverId": "otherId"}}},
        "texts": {"name": "texts", "keys": {"driverid": "driverId"}, "features": {"likes": "likes"},
                  "join_keys": {"driverid_utf8": "driverId"}},
        "everywhere": {"name": "everywhere", "keys": {"dummy_id": "__dummy_id"}, "features": {"rate": "rate"}}
    },
    "transforms": {
        "myrate": {"name": "myRate", "features": {"y": "convPlus1"}, "inputs": {"driverstats.convrate": ["driverStats:convRate"]}},
        "myadd": {"name": "myAdd", "features": {"y": "Y"}, "inputs": {"request.valtoadd": ["valToAdd"]}}
    },
    "join_keys": {"driverid": "driverId", "driverid_utf8": "driverId", "otherid": "otherId", "dummy_id": "__dummy_id"},
    "requests": {"valtoadd": "valToAdd"},
    "services": {
        "my_service": {"name": "My service", "features": {"driverstats.convrate": "driverStats:convRate",
                       "myrate.y": "myRate:convPlus1", "myadd.y": "myAdd:Y"}},
        "two": {"name": "two", "features": {"home__trips": "home:trips", "other__convrate": "Other:convRate",
                "driverstats.convrate": "driverStats:convRate"}}
    }
}"#;

const TIME: &str = "2025-12-31T23:59:58";

fn imported() -> Harness {
    let harness = started(|config| {
        std::fs::write(config.repo_dir.join("imported.yaml"), IMPORTED).unwrap();
        std::fs::write(config.repo_dir.join("feast.json"), NAMES).unwrap();
    });
    let rows = json!({"feature_view_name": "driverStats", "df": {
        "driverId": [1, 2], "convRate": [0.5, 1.5], "trips": [10, 20], "event_timestamp": [TIME, TIME]}});
    assert_eq!(post(&harness, "/write-to-online-store", &rows), (200, "null".to_owned()));
    harness
}

/// The columns of an answer by their names, in order.
fn answer(harness: &Harness, ask: &Value) -> Vec<(String, Value)> {
    let (status, body) = post(harness, "/get-online-features", ask);
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let names = body["metadata"]["feature_names"].as_array().unwrap();
    let names = names.iter().map(|name| name.as_str().unwrap().to_owned());
    let results = body["results"].as_array().unwrap();
    assert_eq!(names.len(), results.len());
    names.zip(results.iter().map(|result| result["values"].clone())).collect()
}

fn named(columns: &[(&str, Value)]) -> Vec<(String, Value)> {
    columns.iter().map(|(name, values)| ((*name).to_owned(), values.clone())).collect()
}

#[test]
fn lists_services_and_writes_are_understood_by_feasts_names() {
    let harness = imported();
    let key = json!({"driverId": [1]});
    let ask = json!({"entities": key, "features": ["myRate:convPlus1", "driverStats:convRate"]});
    let want = [("driverId", json!([1])), ("convPlus1", json!([1.0])), ("convRate", json!([0.5]))];
    assert_eq!(answer(&harness, &ask), named(&want));
    let ask = json!({"entities": {"otherId": [2]}, "features": ["driverStats[other]:convRate"], "full_feature_names": true});
    let want = [("otherId", json!([2])), ("driverStats[other]__convRate", json!([1.5]))];
    assert_eq!(answer(&harness, &ask), named(&want));
    for (full, names) in [
        (false, ["convRate", "convPlus1", "Y"]),
        (true, ["driverStats__convRate", "myRate__convPlus1", "myAdd__Y"]),
    ] {
        let ask = json!({"entities": {"driverId": [1], "valToAdd": [4]}, "feature_service": "My service",
            "full_feature_names": full});
        let values = [json!([0.5]), json!([1.0]), json!([8.0])];
        let want: Vec<_> = names.into_iter().zip(values).collect();
        assert_eq!(answer(&harness, &ask)[1..], named(&want));
    }
}

/// As callers do that know the definitions.
#[test]
fn a_list_by_our_names_is_answered_in_them() {
    let harness = imported();
    let ask =
        json!({"entities": {"driverid": [1]}, "features": ["driverstats:convrate", "myrate:y"]});
    let want = [("driverid", json!([1])), ("convrate", json!([0.5])), ("y", json!([1.0]))];
    assert_eq!(answer(&harness, &ask), named(&want));
    let rows = json!({"feature_view_name": "driverstats", "df": {
        "driverid": [1], "convrate": [0.75], "event_timestamp": ["2025-12-31T23:59:59"]}});
    assert_eq!(post(&harness, "/write-to-online-store", &rows).0, 200);
    assert_eq!(answer(&harness, &ask)[1].1, json!([0.75]));
}

#[test]
fn a_feature_of_a_projection_is_called_as_in_feast_where_that_name_is_free() {
    let harness = imported();
    let ask = |full: bool| {
        let ask = json!({"entities": {"driverId": [1], "otherId": [2]}, "feature_service": "two", "full_feature_names": full});
        answer(&harness, &ask)[2..].to_vec()
    };
    let want = [
        ("home__trips", json!([10])),
        ("Other__convRate", json!([1.5])),
        ("driverStats__convRate", json!([0.5])),
    ];
    assert_eq!(ask(true), named(&want));
    let want =
        [("trips", json!([10])), ("Other__convRate", json!([1.5])), ("convRate", json!([0.5]))];
    assert_eq!(ask(false), named(&want), "Feast refuses these: two of them are `convRate`");
}

#[test]
fn a_view_without_entity_is_written_and_read_without_its_key() {
    let harness = imported();
    for (second, key, rate) in
        [(51, Some("__dummy_id"), 1.25), (52, Some("dummy_id"), 1.5), (53, None, 1.75)]
    {
        let time = format!("2025-12-31T23:59:{second}");
        let mut df = json!({"rate": [rate], "event_timestamp": [time]});
        if let Some(key) = key {
            df[key] = json!([""]);
        }
        let rows = json!({"feature_view_name": "everywhere", "df": df});
        assert_eq!(post(&harness, "/write-to-online-store", &rows).0, 200, "{key:?}");
        let ask = json!({"entities": {"driverId": [1, 9]}, "features": ["everywhere:rate"]});
        assert_eq!(answer(&harness, &ask), named(&[("rate", json!([rate, rate]))]));
    }
    let ask = json!({"entities": {"dummy_id": [""]}, "features": ["everywhere:rate"]});
    assert_eq!(answer(&harness, &ask)[0], ("dummy_id".to_owned(), json!([""])));
}

#[test]
fn a_join_key_of_two_types_is_one_column() {
    let harness = imported();
    let rows = json!({"feature_view_name": "texts", "df": {
        "driverId": ["1"], "likes": [7], "event_timestamp": [TIME]}});
    assert_eq!(post(&harness, "/write-to-online-store", &rows).0, 200);
    let ask =
        json!({"entities": {"driverId": ["1"]}, "features": ["texts:likes", "driverStats:trips"]});
    let columns = answer(&harness, &ask);
    assert_eq!(columns[1..], named(&[("likes", json!([7])), ("trips", json!([10]))]));
    assert_eq!((columns.len(), columns[0].0.as_str()), (3, "driverId"));
}

#[test]
fn what_is_missing_or_twice_is_told_by_feasts_names_and_in_its_classes() {
    let harness = imported();
    let cases = [
        (
            json!({"entities": {"driverId": [1]}, "feature_service": "My service"}),
            404,
            "RequestDataNotFoundInEntityRowsException",
            "request column `valToAdd`",
        ),
        (
            json!({"entities": {"driverId": [1], "otherId": [2]},
                "features": ["driverStats:convRate", "driverStats[other]:convRate"]}),
            422,
            "FeatureNameCollisionError",
            "came `convRate` twice",
        ),
        (
            json!({"entities": {"driverId": [1]}, "features": ["driverStats:trips", "driverStats:trips"]}),
            422,
            "FeatureNameCollisionError",
            "each feature once",
        ),
        (
            json!({"entities": {"driver": [1]}, "features": ["driverStats:trips"]}),
            422,
            "FeastError",
            "came column `driver`",
        ),
        (
            json!({"entities": {}, "features": ["driverStats:trips"]}),
            422,
            "FeastError",
            "join key `driverId`",
        ),
    ];
    for (ask, status, class, part) in cases {
        let (came, body) = post(&harness, "/get-online-features", &ask);
        let (came_class, message) = error(&body);
        assert_eq!((came, came_class.as_str()), (status, class), "{ask}: {message}");
        assert!(message.contains(part), "{ask}: expected `{part}` in `{message}`");
    }
}

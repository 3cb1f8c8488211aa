//! Feast's gRPC services as its clients call them: the same answers as ours in Feast's form, rows taken, mistakes told.

use prost_types::Timestamp;
use skewless_proto::feast::serving as pb;
use skewless_proto::feast::serving::FieldStatus::{
    self, Invalid, NotFound, NullValue, OutsideMaxAge, Present,
};
use skewless_proto::feast::serving::get_online_features_request::Kind;
use skewless_proto::feast::serving::serving_service_client::ServingServiceClient;
use skewless_proto::feast::types::value::Val;
use skewless_proto::feast::types::{
    BytesList, DoubleList, FloatList, Int32List, Int64List, Map, RepeatedValue, ScalarMap,
    StringList, StringSet, Value, ZonedTimestamp,
};
use skewless_proto::feast_server::grpc_feature_server_client::GrpcFeatureServerClient;
use skewless_proto::feast_server::{PushRequest, WriteToOnlineStoreRequest};
use skewless_server::config::Reach;

use crate::*;

/// A view with a feature of every type.
const EVERY: &str = "\
views:
  - name: every
    entity: airport
    features:
      - {name: bool_v, type: bool}
      - {name: int32_v, type: int32}
      - {name: int64_v, type: int64}
      - {name: float32_v, type: float32}
      - {name: float64_v, type: float64}
      - {name: utf8_v, type: utf8}
      - {name: binary_v, type: binary}
      - {name: time_v, type: timestamp}
      - {name: embedding_v, type: 'embedding[2]'}
      - {name: ints_v, type: list<int64>}
      - {name: floats_v, type: list<float64>}
      - {name: texts_v, type: list<utf8>}
";

fn some(val: Val) -> Value {
    Value { val: Some(val) }
}

fn text(text: &str) -> Value {
    some(Val::StringVal(text.to_owned()))
}

fn double(value: f64) -> Value {
    some(Val::DoubleVal(value))
}

type Lists = std::collections::HashMap<String, RepeatedValue>;

fn lists(columns: &[(&str, Vec<Value>)]) -> Lists {
    let column =
        |(name, val): &(&str, Vec<Value>)| ((*name).to_owned(), RepeatedValue { val: val.clone() });
    columns.iter().map(column).collect()
}

fn service(name: &str, entities: Lists) -> pb::GetOnlineFeaturesRequest {
    let kind = Some(Kind::FeatureService(name.to_owned()));
    pb::GetOnlineFeaturesRequest { kind, entities, ..Default::default() }
}

fn features(names: &[&str], entities: Lists) -> pb::GetOnlineFeaturesRequest {
    let val = names.iter().map(|name| (*name).to_owned()).collect();
    let kind = Some(Kind::Features(pb::FeatureList { val }));
    pb::GetOnlineFeaturesRequest { kind, entities, ..Default::default() }
}

impl Harness {
    async fn serving(&self) -> ServingServiceClient<Channel> {
        ServingServiceClient::new(self.tcp().await)
    }

    async fn feast(&self) -> GrpcFeatureServerClient<Channel> {
        GrpcFeatureServerClient::new(self.tcp().await)
    }
}

/// The names of an answer's columns.
fn names(answer: &pb::GetOnlineFeaturesResponse) -> Vec<&str> {
    let names = answer.metadata.as_ref().unwrap().feature_names.as_ref().unwrap();
    names.val.iter().map(String::as_str).collect()
}

/// The column of a name.
fn column<'a>(
    answer: &'a pb::GetOnlineFeaturesResponse,
    name: &str,
) -> &'a pb::get_online_features_response::FeatureVector {
    let at = names(answer).iter().position(|known| *known == name);
    &answer.results[at.unwrap_or_else(|| panic!("no column {name} in {:?}", names(answer)))]
}

fn statuses(answer: &pb::GetOnlineFeaturesResponse, name: &str) -> Vec<FieldStatus> {
    let statuses = column(answer, name).statuses.iter();
    statuses.map(|status| FieldStatus::try_from(*status).unwrap()).collect()
}

fn at(us: i64) -> Timestamp {
    Timestamp { seconds: us.div_euclid(SECOND), nanos: us.rem_euclid(SECOND) as i32 * 1_000 }
}

/// Weather of three airports: now, two hours ago, now without wind.
async fn with_weather(harness: &Harness) {
    let mut ingest = harness.ingest().await;
    ingest.ingest(weather("JFK", NOON - 1_500_000, 5.0)).await.unwrap();
    ingest.ingest(weather("LGA", NOON - 7_200 * SECOND, 6.0)).await.unwrap();
    let calm = skewless_proto::v1::IngestRequest {
        features: vec![texts("sky", &[Some("clear")])],
        ..weather("EWR", NOON, 0.0)
    };
    ingest.ingest(calm).await.unwrap();
}

fn airports() -> Vec<Value> {
    ["JFK", "LGA", "EWR", "ZZZ"].map(text).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_services_answer_with_keys_first_true_statuses_and_event_times() {
    let harness = Harness::start();
    with_weather(&harness).await;
    let hours = [1.0, 2.0, 3.0, 4.0].map(double).to_vec();
    let request = service("departure", lists(&[("faa", airports()), ("hour", hours.clone())]));
    let answer = harness.serving().await.get_online_features(request.clone()).await.unwrap();
    let answer = answer.into_inner();
    let other = harness.feast().await.get_online_features(request).await.unwrap().into_inner();
    assert_eq!(answer, other);
    assert!(answer.status);
    assert_eq!(names(&answer), ["faa", "wind", "sky", "y", "hour"]);
    assert_eq!(column(&answer, "faa").values, airports());
    assert_eq!(statuses(&answer, "faa"), [Present; 4]);
    let none = Value::default();
    let wind = column(&answer, "wind");
    assert_eq!(wind.values, [double(5.0), none.clone(), none.clone(), none.clone()]);
    assert_eq!(statuses(&answer, "wind"), [Present, OutsideMaxAge, NullValue, NotFound]);
    let times = [at(NOON - 1_500_000), at(NOON - 7_200 * SECOND), at(NOON), Timestamp::default()];
    assert_eq!(wind.event_timestamps, times);
    assert_eq!(column(&answer, "sky").values, [text("clear"), none.clone(), text("clear"), none]);
    assert_eq!(column(&answer, "y").values[0], double(10.0), "computed by the plugin");
    assert_eq!(column(&answer, "y").event_timestamps, vec![Timestamp::default(); 4]);
    assert_eq!(column(&answer, "hour").values, hours);

    let ours = ask("departure", &[Some("JFK"), Some("LGA"), Some("EWR"), Some("ZZZ")]);
    let ours = harness.features().await.get_features(ours).await.unwrap().into_inner();
    let same = ours.columns[2].column.as_ref().unwrap().float64s[0];
    assert_eq!(column(&answer, "y").values[0], double(same));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_come_in_the_order_asked_for_under_short_or_full_names() {
    let harness = Harness::start();
    with_weather(&harness).await;
    let mut client = harness.serving().await;
    let asked = ["doubled:y", "weather:sky", "weather:wind"];
    let mut request = features(&asked, lists(&[("faa", vec![text("JFK")])]));
    let answer = client.get_online_features(request.clone()).await.unwrap().into_inner();
    assert_eq!(names(&answer), ["faa", "y", "sky", "wind"]);
    assert!(answer.metadata.unwrap().feature_view_metadata.is_empty());
    request.full_feature_names = true;
    request.include_feature_view_version_metadata = true;
    let answer = client.get_online_features(request).await.unwrap().into_inner();
    assert_eq!(names(&answer), ["faa", "doubled__y", "weather__sky", "weather__wind"]);
    let views = answer.metadata.unwrap().feature_view_metadata;
    assert_eq!(views, [pb::FeatureViewMetadata { name: "weather".into(), version: 0 }]);
    // A key that is a feature, too, is there once.
    let request = features(
        &["entity:faa", "request:hour"],
        lists(&[("faa", vec![text("JFK")]), ("hour", vec![double(1.0)])]),
    );
    let answer = client.get_online_features(request).await.unwrap().into_inner();
    assert_eq!(names(&answer), ["faa", "hour"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_data_comes_in_entities_or_in_request_context() {
    let harness = Harness::start();
    let mut client = harness.serving().await;
    let key = ("faa", vec![text("JFK")]);
    let hour = ("hour", vec![double(7.5)]);
    let beside = service("departure", lists(&[key.clone(), hour.clone()]));
    let beside = client.get_online_features(beside).await.unwrap().into_inner();
    let mut apart = service("departure", lists(std::slice::from_ref(&key)));
    apart.request_context = lists(std::slice::from_ref(&hour));
    assert_eq!(client.get_online_features(apart).await.unwrap().into_inner(), beside);
    // An integer is a float64 that holds it, and what is declared but not wanted is passed over.
    let note = ("note", vec![text("ignored")]);
    let hour = ("hour", vec![some(Val::Int64Val(7))]);
    let answer = client.get_online_features(service("departure", lists(&[key, hour, note]))).await;
    let answer = answer.unwrap().into_inner();
    assert_eq!(column(&answer, "hour").values, [double(7.0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transform_that_fails_is_invalid_and_nothing_else_is_lost() {
    let harness = Harness::with(|config| config.engine.deadline_ticks = 5);
    let request = service("stuck", lists(&[("hour", vec![double(1.0)])]));
    let answer = harness.serving().await.get_online_features(request).await.unwrap().into_inner();
    assert_eq!(names(&answer), ["y", "hour"]);
    assert_eq!(statuses(&answer, "y"), [Invalid]);
    assert_eq!(column(&answer, "y").values, [Value::default()]);
    assert_eq!(column(&answer, "hour").values, [double(1.0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_name_what_is_wrong() {
    use Code::{InvalidArgument, NotFound, ResourceExhausted};
    let harness = Harness::with(|config| {
        config.limits.rows_max = 3;
        config.limits.columns_max = 8;
        config.limits.text_elements_max = 20;
    });
    let mut client = harness.serving().await;
    let key = || ("faa", vec![text("JFK")]);
    let hour = |value| ("hour", vec![value]);
    let asked = |names: &[&str]| features(names, lists(&[key()]));
    let departure = |columns: &[(&str, Vec<Value>)]| service("departure", lists(columns));
    let both = || {
        let request_context = lists(&[hour(double(1.0))]);
        pb::GetOnlineFeaturesRequest { request_context, ..departure(&[key(), hour(double(1.0))]) }
    };
    let map = || some(Val::MapVal(Map::default()));
    let cases: Vec<(pb::GetOnlineFeaturesRequest, Code, &[&str])> = vec![
        (service("departur", lists(&[key()])), NotFound, &["service", "did you mean `departure`?"]),
        (asked(&["weather:wnd"]), NotFound, &["weather.wnd"]),
        (asked(&["wether:wind"]), NotFound, &["wether.wind"]),
        (
            asked(&["weather.wind"]),
            InvalidArgument,
            &["such as `view:feature`", "came `weather.wind`"],
        ),
        (asked(&["weather@v2:wind"]), InvalidArgument, &["weather@v2:wind", "one version"]),
        (asked(&["weather:wind", "weather:wind"]), InvalidArgument, &["once", "twice"]),
        (asked(&[]), InvalidArgument, &["feature_service or features", "came neither"]),
        (pb::GetOnlineFeaturesRequest::default(), InvalidArgument, &["came neither"]),
        (
            departure(&[hour(double(1.0))]),
            InvalidArgument,
            &["join key `faa` of type utf8", "came none"],
        ),
        (
            departure(&[key()]),
            InvalidArgument,
            &["request column `hour` of type float64", "came none"],
        ),
        (
            departure(&[key(), hour(text("7"))]),
            InvalidArgument,
            &["`hour`, row 0", "float64", "a string"],
        ),
        (
            departure(&[key(), hour(Value::default())]),
            InvalidArgument,
            &["`hour`", "row 0", "null", "`nullable: true`"],
        ),
        (departure(&[key(), hour(map())]), InvalidArgument, &["column `hour`", "map_val"]),
        (
            departure(&[key(), ("hour", vec![double(1.0); 2])]),
            InvalidArgument,
            &["1 values in column `hour`", "as many as in `faa`", "came 2"],
        ),
        (
            departure(&[key(), hour(double(1.0)), ("huor", vec![double(1.0)])]),
            InvalidArgument,
            &["column `huor`", "did you mean `hour`?"],
        ),
        (both(), InvalidArgument, &["column `hour`", "came in both"]),
        (
            departure(&[("faa", vec![text("JFK"); 4]), ("hour", vec![double(1.0); 4])]),
            ResourceExhausted,
            &["limits.rows_max", "came 4"],
        ),
        (
            departure(&[("faa", vec![text("JFK"); 21])]),
            ResourceExhausted,
            &["limits.text_elements_max"],
        ),
        (
            features(&["weather:wind"; 21], lists(&[key()])),
            ResourceExhausted,
            &["limits.text_elements_max"],
        ),
        (
            departure(&["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|name| (name, vec![]))),
            ResourceExhausted,
            &["limits.columns_max"],
        ),
    ];
    for (request, code, parts) in cases {
        refused(client.get_online_features(request).await, code, parts);
    }
    let info = client.get_feast_serving_info(pb::GetFeastServingInfoRequest {}).await.unwrap();
    assert!(info.into_inner().version.starts_with("skewless "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_have_the_deadlines_and_the_counts_of_ours() {
    let harness = Harness::start();
    let mut request = tonic::Request::new(service("stuck", lists(&[("hour", vec![double(1.0)])])));
    request.set_timeout(Duration::from_millis(200));
    let mut client = harness.feast().await;
    // The client's own clock may end it, too.
    let status = client.get_online_features(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    let counted = "skewless_calls_total{method=\"GrpcFeatureServer/GetOnlineFeatures\",status=\"DeadlineExceeded\"}";
    until("the call is counted", || harness.metric(counted) == 1).await;
}

fn row<T: Clone>(columns: &[(&str, T)]) -> std::collections::HashMap<String, T> {
    columns.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Rows as values and as text; what is asked for afterwards is the newest by event time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_pushed_or_written_are_served() {
    let harness = Harness::start();
    let mut client = harness.feast().await;
    let noon = NOON / SECOND;
    let typed = PushRequest {
        stream_feature_view: "weather".into(),
        to: "online".into(),
        typed_features: row(&[
            ("faa", text("JFK")),
            ("wind", some(Val::FloatVal(2.5))),
            ("event_timestamp", some(Val::UnixTimestampVal(noon - 60))),
        ]),
        ..Default::default()
    };
    assert!(client.push(typed).await.unwrap().into_inner().status);
    let written = |wind: &str, time: &str| WriteToOnlineStoreRequest {
        feature_view_name: "weather".into(),
        features: row(&[
            ("faa", "LGA".to_owned()),
            ("wind", wind.to_owned()),
            ("sky", "7".to_owned()),
            ("event_timestamp", time.to_owned()),
            ("created", time.to_owned()),
        ]),
        ..Default::default()
    };
    client.write_to_online_store(written("3.5", "2025-12-31 23:59:00")).await.unwrap();
    client.write_to_online_store(written("9.5", "2025-12-31T23:58:00+00:00")).await.unwrap();
    let asked = features(
        &["weather:wind", "weather:sky"],
        lists(&[("faa", vec![text("JFK"), text("LGA")])]),
    );
    let answer = harness.serving().await.get_online_features(asked).await.unwrap().into_inner();
    assert_eq!(
        column(&answer, "wind").values,
        [double(2.5), double(3.5)],
        "the older row came too late"
    );
    assert_eq!(column(&answer, "wind").event_timestamps, vec![at(NOON - 60 * SECOND); 2]);
    assert_eq!(column(&answer, "sky").values, [Value::default(), text("7")]);
    let stale = "skewless_ingested_rows_total{view=\"weather\",verdict=\"stale\"}";
    assert_eq!(harness.metric(stale), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_rows_are_refused_and_nothing_of_them_is_written() {
    use Code::{InvalidArgument, NotFound};
    let harness = Harness::start();
    let mut client = harness.feast().await;
    let good = || {
        row(&[
            ("faa", text("JFK")),
            ("wind", double(1.0)),
            ("event_timestamp", some(Val::UnixTimestampVal(NOON / SECOND))),
        ])
    };
    let push = |typed_features| PushRequest {
        stream_feature_view: "weather".into(),
        to: "online".into(),
        typed_features,
        ..Default::default()
    };
    let with = |name: &str, value| {
        let mut row = good();
        row.insert(name.to_owned(), value);
        push(row)
    };
    let without = |name: &str| {
        let mut row = good();
        row.remove(name);
        push(row)
    };
    let both = PushRequest { features: row(&[("faa", "JFK".to_owned())]), ..push(good()) };
    let cases: Vec<(PushRequest, Code, &[&str])> = vec![
        (
            PushRequest { stream_feature_view: "wether".into(), ..push(good()) },
            NotFound,
            &["did you mean `weather`?"],
        ),
        (
            PushRequest { to: "offline".into(), ..push(good()) },
            InvalidArgument,
            &["to = \"online\"", "came \"offline\""],
        ),
        (PushRequest { to: String::new(), ..push(good()) }, InvalidArgument, &["to = \"online\""]),
        (both, InvalidArgument, &["features or typed_features", "came both"]),
        (without("faa"), InvalidArgument, &["join key `faa` of type utf8", "came none"]),
        (
            without("event_timestamp"),
            InvalidArgument,
            &["event time", "`event_timestamp`", "came none"],
        ),
        (
            with("event_timestamp", Value::default()),
            InvalidArgument,
            &["event time", "row 0", "null"],
        ),
        (
            with("event_timestamp", text("noon")),
            InvalidArgument,
            &["`event_timestamp`", "no time such as"],
        ),
        (with("faa", Value::default()), InvalidArgument, &["`faa`", "row 0", "null"]),
        (with("wind", text("strong")), InvalidArgument, &["`wind`", "float64", "a string"]),
        (
            with("wnd", double(1.0)),
            InvalidArgument,
            &["view `weather`", "`wnd`", "did you mean `wind`?"],
        ),
        (push(row(&[])), InvalidArgument, &["join key `faa`"]),
    ];
    for (request, code, parts) in cases {
        refused(client.push(request).await, code, parts);
    }
    let asked = features(&["weather:wind"], lists(&[("faa", vec![text("JFK")])]));
    let answer = harness.serving().await.get_online_features(asked).await.unwrap().into_inner();
    assert_eq!(statuses(&answer, "wind"), [FieldStatus::NotFound]);
    client.push(push(good())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_obey_the_reach_of_ingest() {
    let harness = Harness::with(|config| config.listen.ingest = Reach::Off);
    let mut client = harness.feast().await;
    let push = PushRequest { stream_feature_view: "weather".into(), ..Default::default() };
    refused(client.push(push).await, Code::PermissionDenied, &["listen.ingest"]);
    let write = WriteToOnlineStoreRequest::default();
    refused(client.write_to_online_store(write).await, Code::PermissionDenied, &["listen.ingest"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_written_and_read_in_feast_s_kinds_and_others_are_refused_by_name() {
    let harness = Harness::with(|config| {
        std::fs::write(config.repo_dir.join("every.yaml"), EVERY).unwrap();
    });
    let mut client = harness.feast().await;
    let ints = |val: &[i64]| Val::Int64ListVal(Int64List { val: val.to_vec() });
    let strings =
        |val: &[&str]| StringList { val: val.iter().map(|item| (*item).to_owned()).collect() };
    let doubles = |val: &[f64]| DoubleList { val: val.to_vec() };
    let floats = |val: &[f32]| FloatList { val: val.to_vec() };
    let stored = [
        ("bool_v", Val::BoolVal(true)),
        ("int32_v", Val::Int32Val(-1)),
        ("int64_v", Val::Int64Val(i64::MAX)),
        ("float32_v", Val::FloatVal(0.1)),
        ("float64_v", Val::DoubleVal(0.1)),
        ("utf8_v", Val::StringVal("é".into())),
        ("binary_v", Val::BytesVal(vec![0, 255])),
        ("time_v", Val::UnixTimestampVal(1_700_000_000)),
        ("embedding_v", Val::FloatListVal(floats(&[0.5, -1.0]))),
        ("ints_v", ints(&[1, 2, 3])),
        ("floats_v", Val::DoubleListVal(doubles(&[0.5]))),
        ("texts_v", Val::StringListVal(strings(&["a", "b"]))),
    ];
    // Kinds that a column holds though it isn't called so.
    let alike = [
        ("utf8_v", Val::JsonVal("{}".into()), Val::StringVal("{}".into())),
        ("utf8_v", Val::UuidVal("u".into()), Val::StringVal("u".into())),
        ("utf8_v", Val::TimeUuidVal("t".into()), Val::StringVal("t".into())),
        ("utf8_v", Val::DecimalVal("1.50".into()), Val::StringVal("1.50".into())),
        ("texts_v", Val::JsonListVal(strings(&["1"])), Val::StringListVal(strings(&["1"]))),
        ("texts_v", Val::UuidListVal(strings(&[])), Val::StringListVal(strings(&[]))),
        ("texts_v", Val::TimeUuidListVal(strings(&["t"])), Val::StringListVal(strings(&["t"]))),
        ("texts_v", Val::DecimalListVal(strings(&["1"])), Val::StringListVal(strings(&["1"]))),
        ("ints_v", Val::Int32ListVal(Int32List { val: vec![7] }), ints(&[7])),
        ("floats_v", Val::FloatListVal(floats(&[0.5])), Val::DoubleListVal(doubles(&[0.5]))),
        (
            "embedding_v",
            Val::DoubleListVal(doubles(&[1.0, 2.0])),
            Val::FloatListVal(floats(&[1.0, 2.0])),
        ),
        ("float64_v", Val::Int32Val(3), Val::DoubleVal(3.0)),
    ];
    let same = stored.into_iter().map(|(name, val)| (name, val.clone(), val));
    for (second, (name, sent, expected)) in same.chain(alike).enumerate() {
        let time = some(Val::UnixTimestampVal(NOON / SECOND - 100 + second as i64));
        let push = PushRequest {
            stream_feature_view: "every".into(),
            to: "online".into(),
            typed_features: row(&[
                ("faa", text("JFK")),
                (name, some(sent)),
                ("event_timestamp", time),
            ]),
            ..Default::default()
        };
        client.push(push).await.unwrap();
        let asked = features(&[&format!("every:{name}")], lists(&[("faa", vec![text("JFK")])]));
        let answer = client.get_online_features(asked).await.unwrap().into_inner();
        assert_eq!(column(&answer, name).values, [some(expected)], "{name}");
    }
    let refused_kinds = [
        (Val::BytesListVal(BytesList::default()), "bytes_list_val"),
        (Val::MapVal(Map::default()), "map_val"),
        (Val::StringSetVal(StringSet::default()), "string_set_val"),
        (Val::ListVal(RepeatedValue::default()), "list_val"),
        (Val::ScalarMapVal(ScalarMap::default()), "scalar_map_val"),
        (Val::ZonedTimestampVal(ZonedTimestamp::default()), "zoned_timestamp_val"),
    ];
    for (val, name) in refused_kinds {
        let push = PushRequest {
            stream_feature_view: "every".into(),
            to: "online".into(),
            typed_features: row(&[("faa", text("JFK")), ("utf8_v", some(val))]),
            ..Default::default()
        };
        refused(client.push(push).await, Code::InvalidArgument, &["column `utf8_v`", name]);
    }
}

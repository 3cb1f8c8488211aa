//! Feast's HTTP calls as its SDK makes them: JSON as Feast writes it, errors as its exceptions, limits on everything.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use skewless_server::config::Reach;

use crate::*;

/// A sidecar that answers Feast's HTTP calls.
pub(super) fn started(change: impl FnOnce(&mut Config)) -> Harness {
    Harness::with(|config| {
        config.listen.feast_http = Some(([127, 0, 0, 1], 0).into());
        change(config);
    })
}

fn address(harness: &Harness) -> SocketAddr {
    harness.running().addresses().feast_http.unwrap()
}

/// A view whose key is an integer, with a time among its features.
const TRIPS: &str = "
entities: [{name: trip, keys: [{name: trip, type: int64}]}]
views:
  - name: trips
    entity: trip
    features: [{name: legs, type: int64}, {name: seen, type: timestamp}]
services: [{name: legs, features: [trips.legs]}]
";

/// One connection, which may be asked several times.
struct Client(BufReader<TcpStream>);

impl Client {
    fn of(harness: &Harness) -> Self {
        let stream = TcpStream::connect(address(harness)).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        // A server that refuses may have closed the connection by then: what it said is read all the same.
        drop(self.0.get_mut().write_all(bytes));
    }

    /// The status, the head and the body of the next answer.
    fn answer(&mut self) -> (u16, String, String) {
        let (mut head, mut line) = (String::new(), String::new());
        while self.0.read_line(&mut line).unwrap() > 2 {
            head.push_str(&line.to_lowercase());
            line.clear();
        }
        let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; len.map_or(0, |len| len.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        let status = head.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {head}"));
        (status.parse().unwrap(), head, String::from_utf8(body).unwrap())
    }

    fn post(&mut self, path: &str, body: &str) -> (u16, String) {
        let len = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n"
        );
        self.send(&[head.as_bytes(), body.as_bytes()].concat());
        let (status, _, body) = self.answer();
        (status, body)
    }
}

pub(super) fn post(harness: &Harness, path: &str, body: &Value) -> (u16, String) {
    Client::of(harness).post(path, &body.to_string())
}

/// The class and message that Feast's SDK makes its exception of.
pub(super) fn error(body: &str) -> (String, String) {
    let Value::String(detail) = serde_json::from_str(body).unwrap() else {
        panic!("no string: {body}")
    };
    let detail: Value = serde_json::from_str(&detail).unwrap();
    assert_eq!(detail["module"], "feast.errors");
    let text = |key: &str| detail[key].as_str().unwrap().to_owned();
    (text("class"), text("message"))
}

/// Rows as the SDK's remote store writes them.
fn rows() -> Value {
    json!({"feature_view_name": "weather", "allow_registry_cache": false, "df": {
        "faa": ["JFK", "LGA", "EWR"],
        "wind": [2.5, 3.5, null],
        "sky": ["clear", "a \"b\"", null],
        "event_timestamp": ["2025-12-31T23:59:58.500000", "2025-12-31T20:00:00", "2025-12-31T23:59:59"],
        "created": [null, null, "2025-12-31T23:59:59"],
    }})
}

#[test]
fn rows_are_written_and_features_read_in_feast_s_json() {
    let harness = started(|_| {});
    let mut client = Client::of(&harness);
    assert_eq!(client.post("/write-to-online-store", &rows().to_string()), (200, "null".into()));
    let ask = json!({
        "entities": {"faa": ["JFK", "LGA", "EWR", "ZZZ"], "hour": [1, 2, 3, 4.5]},
        "feature_service": "departure", "full_feature_names": false,
        "include_feature_view_version_metadata": true,
    });
    let (status, body) = client.post("/get-online-features", &ask.to_string());
    assert_eq!(status, 200, "{body}");
    let none = "1970-01-01T00:00:00Z";
    let times = ["2025-12-31T23:59:58.500Z", "2025-12-31T20:00:00Z", "2025-12-31T23:59:59Z", none];
    let statuses = ["PRESENT", "OUTSIDE_MAX_AGE", "NULL_VALUE", "NOT_FOUND"];
    let expected = json!({
        "metadata": {
            "feature_names": ["faa", "wind", "sky", "y", "hour"],
            "feature_view_metadata": [{"name": "weather"}],
        },
        "results": [
            {"values": ["JFK", "LGA", "EWR", "ZZZ"], "statuses": vec!["PRESENT"; 4], "event_timestamps": vec![none; 4]},
            {"values": [2.5, null, null, null], "statuses": statuses, "event_timestamps": times},
            {"values": ["clear", null, null, null], "statuses": statuses, "event_timestamps": times},
            {"values": [5.0, null, null, null],
             "statuses": ["PRESENT", "NULL_VALUE", "NULL_VALUE", "NULL_VALUE"], "event_timestamps": vec![none; 4]},
            {"values": [1.0, 2.0, 3.0, 4.5], "statuses": vec!["PRESENT"; 4], "event_timestamps": vec![none; 4]},
        ],
        "status": true,
    });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    let ask = json!({"entities": {"faa": ["LGA"]}, "features": ["weather:sky"], "full_feature_names": true});
    let (_, body) = client.post("/get-online-features", &ask.to_string());
    assert!(body.contains("\"weather__sky\"") && body.contains("OUTSIDE_MAX_AGE"), "{body}");
    let counted = "skewless_calls_total{method=\"feast.http/get-online-features\",status=\"Ok\"}";
    assert_eq!(harness.metric(counted), 2);
}

#[test]
fn a_push_names_the_view_and_is_served() {
    let harness = started(|_| {});
    let push = json!({"push_source_name": "weather", "to": "online", "transform_on_write": true,
        "df": {"faa": ["JFK"], "wind": [4], "event_timestamp": ["2025-12-31 23:59:00"]}});
    assert_eq!(post(&harness, "/push", &push), (200, String::new()));
    let ask = json!({"entities": {"faa": ["JFK"]}, "features": ["doubled:y"]});
    let (_, body) = post(&harness, "/get-online-features", &ask);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["results"][1]["values"], json!([8.0]));
}

#[test]
fn health_is_that_of_the_sidecar_and_unknown_calls_are_told_which_there_are() {
    let harness = started(|_| {});
    let get = |path: &str| {
        let mut client = Client::of(&harness);
        client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
        client.answer()
    };
    let (status, _, body) = get("/health");
    assert_eq!((status, body.as_str()), (200, ""));
    let (status, _, body) = get("/search");
    assert_eq!((status, error(&body).0.as_str()), (404, "FeastError"));
    assert!(
        error(&body).1.contains("/get-online-features") && error(&body).1.contains("came /search")
    );
    let (_, _, body) = get("/materialize-incremental?async=true");
    assert!(error(&body).1.contains(
        "came /materialize-incremental: history comes into a view by `skewless load --at`"
    ));
    let (status, head, body) = get("/push");
    assert!(status == 405 && head.contains("allow: post"), "{head}");
    assert!(error(&body).1.contains("expected POST /push, came GET"));
}

#[test]
fn mistakes_are_feast_s_exceptions_and_never_ones_that_its_sdk_tries_again() {
    let harness = started(|config| {
        config.limits.rows_max = 3;
        config.limits.ingest_rows_max = 3;
        config.store.value_bytes_max = 500;
        config.store.key_bytes_max = 500;
    });
    let ask = |change: Value| {
        let mut body =
            json!({"entities": {"faa": ["JFK"], "hour": [1.0]}, "feature_service": "departure"});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        ("/get-online-features", body)
    };
    let listed = |features: Value| {
        ("/get-online-features", json!({"entities": {"faa": ["JFK"]}, "features": features}))
    };
    let write = |view: &str, df: Value| {
        ("/write-to-online-store", json!({"feature_view_name": view, "df": df}))
    };
    let push = |to: &str| ("/push", json!({"push_source_name": "weather", "df": {}, "to": to}));
    let time = "2025-12-31T00:00:00";
    let cases: Vec<((&str, Value), u16, &str, &str)> = vec![
        (
            ask(json!({"feature_service": "departur"})),
            404,
            "FeatureServiceNotFoundException",
            "`departure`?",
        ),
        (
            listed(json!(["wether:wind"])),
            404,
            "FeatureViewNotFoundException",
            "did you mean `weather.wind`?",
        ),
        (listed(json!(["weather:wnd"])), 404, "FeastObjectNotFoundException", "`weather.wind`?"),
        (listed(json!(["wind"])), 422, "FeastError", "view:feature"),
        (listed(json!([])), 422, "FeastError", "came neither"),
        (
            ask(json!({"entities": {"faa": ["JFK"]}})),
            404,
            "RequestDataNotFoundInEntityRowsException",
            "request column `hour`",
        ),
        (
            ask(json!({"entities": {"faa": ["JFK"], "hour": ["1"]}})),
            422,
            "FeastError",
            "column `hour`, row 0: expected float64, came a string",
        ),
        (
            ask(json!({"entities": {"faa": ["JFK"], "hour": [1, 2]}})),
            422,
            "FeastError",
            "as many as in `faa`",
        ),
        (
            ask(json!({"entities": {"faa": [{"a": 1}], "hour": [1]}})),
            422,
            "FeastError",
            "an object",
        ),
        (ask(json!({"project": "p"})), 422, "FeastError", "unknown field `project`"),
        (
            ask(json!({"entities": {"faa": ["JFK", "A", "B", "C"], "hour": [1, 2, 3, 4]}})),
            413,
            "FeastError",
            "limits.rows_max",
        ),
        (
            write("wether", json!({})),
            404,
            "FeastObjectNotFoundException",
            "did you mean `weather`?",
        ),
        (
            ("/push", json!({"push_source_name": "wether", "df": {}})),
            422,
            "PushSourceNotFoundException",
            "did you mean `weather`?",
        ),
        (
            write(
                "weather",
                json!({"faa": ["A"], "event_timestamp": [time], "sky": ["x".repeat(600)]}),
            ),
            413,
            "FeastError",
            "value_bytes_max",
        ),
        (
            write("weather", json!({"faa": ["A".repeat(600)], "event_timestamp": [time]})),
            413,
            "FeastError",
            "key_bytes_max",
        ),
        (
            write("weather", json!({"faa": ["A"], "event_timestamp": [time], "map": ["{}"]})),
            422,
            "FeastError",
            "came column `map`; don't send it, or declare it as a feature",
        ),
        (write("weather", json!({"faa": ["A"], "wind": [1]})), 422, "FeastError", "event time"),
        (
            write("weather", json!({"faa": ["A"], "event_timestamp": [7.5]})),
            422,
            "FeastError",
            "7.5",
        ),
        (
            write("weather", json!({"faa": vec!["A"; 4], "event_timestamp": vec![time; 4]})),
            413,
            "FeastError",
            "limits.ingest_rows_max",
        ),
        (push("offline"), 422, "FeastError", "expected to = \"online\""),
    ];
    for ((path, body), status, class, part) in cases {
        let (came, answer) = post(&harness, path, &body);
        let (came_class, message) = error(&answer);
        assert_eq!(came, status, "{body}: {message}");
        assert!(class.is_empty() || came_class == class, "{body}: {came_class}");
        assert!(message.contains(part), "{body}: expected `{part}` in `{message}`");
    }
    for (body, part) in [
        ("{\"entities\": ", "EOF while parsing"),
        ("[]", "expected an object with the members of this call"),
    ] {
        let (status, answer) = Client::of(&harness).post("/get-online-features", body);
        assert!(status == 422 && error(&answer).1.contains(part), "{answer}");
    }
}

#[test]
fn a_service_wins_over_features_and_keys_come_as_text_as_with_feast() {
    let harness = started(|config| {
        std::fs::write(config.repo_dir.join("trips.yaml"), TRIPS).unwrap();
    });
    let rows = json!({"feature_view_name": "trips", "df": {
        "trip": [5, 6], "legs": [2, 3], "seen": [-9_223_372_036_854_775_808_i64, 1_700_000_000],
        "event_timestamp": ["2025-12-31T00:00:00", "2025-12-31T00:00:00"],
    }});
    assert_eq!(post(&harness, "/write-to-online-store", &rows).0, 200);
    let ask = json!({"entities": {"trip": ["5", "6"]}, "feature_service": "legs", "features": ["trips:seen"]});
    let (status, body) = post(&harness, "/get-online-features", &ask);
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["metadata"]["feature_names"], json!(["trip", "legs"]));
    assert_eq!(body["results"][0]["values"], json!([5, 6]), "they are integers");
    assert_eq!(body["results"][1]["values"], json!([2, 3]));
    let ask = json!({"entities": {"trip": [5, 6]}, "features": ["trips:seen"]});
    let body: Value =
        serde_json::from_str(&post(&harness, "/get-online-features", &ask).1).unwrap();
    assert_eq!(body["results"][1]["statuses"], json!(["NULL_VALUE", "PRESENT"]), "{body}");
    let ask = json!({"entities": {"trip": ["05"]}, "features": ["trips:legs"]});
    let (status, body) = post(&harness, "/get-online-features", &ask);
    let (_, message) = error(&body);
    let part = "column `trip`, row 0: expected int64, came the text \"05\"";
    assert!(status == 422 && message.contains(part), "{message}");
}

/// As `skewless feast import` writes it of a view that has a map.
#[test]
fn columns_that_the_import_left_out_are_passed_over() {
    let harness = started(|config| {
        let names = r#"{"project": "p", "views": {"weather": {"name": "weather", "keys": {}, "features": {}, "left_out": ["map"]}}}"#;
        std::fs::write(config.repo_dir.join("feast.json"), names).unwrap();
    });
    let rows = |column: &str| {
        json!({"feature_view_name": "weather", "df": {
            "faa": ["JFK", "LGA"], "wind": [2.5, 3.5], column: [{"a": [1]}, null],
            "event_timestamp": ["2025-12-31T23:59:58", "2025-12-31T23:59:58"],
        }})
    };
    assert_eq!(post(&harness, "/write-to-online-store", &rows("map")).0, 200);
    let (status, answer) = post(&harness, "/write-to-online-store", &rows("mapp"));
    let (_, message) = error(&answer);
    assert!(status == 422 && message.contains("came column `mapp`"), "{message}");
    let ask = json!({"entities": {"faa": ["JFK", "LGA"]}, "features": ["weather:wind"]});
    let body: Value =
        serde_json::from_str(&post(&harness, "/get-online-features", &ask).1).unwrap();
    assert_eq!(body["results"][1]["values"], json!([2.5, 3.5]));
}

/// Lets a body take its time.
fn patient(config: &mut Config) {
    config.limits.receive_ms_max = 600_000;
    config.limits.deadline_ms = 600_000;
    config.limits.deadline_ms_max = 600_000;
}

impl Client {
    /// Begins a call: returns once the server waits for its body, of which it has nothing yet.
    fn begin(harness: &Harness, path: &str, body_bytes: usize) -> Self {
        let mut client = Self::of(harness);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n\
             content-length: {body_bytes}\r\n\r\n"
        );
        client.send(head.as_bytes());
        let (status, head, body) = client.answer();
        assert_eq!(status, 100, "{head}{body}");
        client
    }
}

/// Each of them has sent a byte of its body: were it for that among the calls in work, no other would be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_whose_bodies_never_come_take_no_other_s_place() {
    let harness = started(|config| {
        config.limits.requests_in_flight_max = 1;
        config.limits.queue_max = 0;
        config.limits.in_flight_max = 1;
        patient(config);
    });
    let ask = json!({"entities": {"faa": ["JFK"]}, "features": ["weather:wind"]}).to_string();
    let rows = rows().to_string();
    let held: Vec<_> = [("/get-online-features", &ask), ("/write-to-online-store", &rows)]
        .into_iter()
        .flat_map(|call| [call; 4])
        .map(|(path, body)| {
            let mut client = Client::begin(&harness, path, body.len());
            client.send(&body.as_bytes()[..1]);
            (client, body)
        })
        .collect();
    assert_eq!(harness.metric("skewless_requests_in_flight "), 0);
    harness.features().await.get_features(crate::ask("numbers", &[Some("JFK")])).await.unwrap();
    harness.ingest().await.ingest(weather("JFK", NOON, 1.0)).await.unwrap();
    assert_eq!(Client::of(&harness).post("/get-online-features", &ask).0, 200);
    assert_eq!(Client::of(&harness).post("/write-to-online-store", &rows).0, 200);
    for (mut client, body) in held {
        client.send(&body.as_bytes()[1..]);
        let (status, _, answer) = client.answer();
        assert_eq!(status, 200, "{answer}");
    }
}

#[test]
fn bodies_that_come_have_room_together_and_no_more() {
    let harness = started(|config| {
        config.limits.requests_in_flight_max = 1;
        config.limits.request_bytes_max = 1_024;
        config.limits.ingest_bytes_max = 1_024;
        patient(config);
    });
    let ask = json!({"entities": {"faa": ["JFK"]}, "features": ["weather:wind"]}).to_string();
    let long = format!("{ask:1024}");
    let mut held = Client::begin(&harness, "/get-online-features", long.len());
    held.send(&long.as_bytes()[..1_000]);
    let start = Instant::now();
    while harness.metric("skewless_feast_body_bytes ") != 1_000 {
        assert!(start.elapsed() < BOUND, "what was sent never came");
    }
    let (status, answer) = Client::of(&harness).post("/get-online-features", &ask);
    let (_, message) = error(&answer);
    assert!(status == 429 && message.contains("1024 bytes of bodies"), "{message}");
    assert!(message.contains("limits.request_bytes_max"), "{message}");
    held.send(&long.as_bytes()[1_000..]);
    assert_eq!(held.answer().0, 200);
    assert_eq!(Client::of(&harness).post("/get-online-features", &ask).0, 200);
}

#[test]
fn a_call_whose_body_comes_ends_while_the_sidecar_drains() {
    let mut harness = started(patient);
    let ask = json!({"entities": {"faa": ["JFK"]}, "features": ["weather:wind"]}).to_string();
    let mut held = Client::begin(&harness, "/get-online-features", ask.len());
    let running = harness.running.take().unwrap();
    let http = running.addresses().http.unwrap();
    let ending = std::thread::spawn(move || running.shutdown());
    let start = Instant::now();
    while !crate::http(http, "/readyz").is_ok_and(|(_, body)| body == "draining\n") {
        assert!(start.elapsed() < BOUND, "it never drains");
    }
    held.send(ask.as_bytes());
    assert_eq!(held.answer().0, 200);
    let ended = ending.join().unwrap();
    assert!(ended.drained && ended.flushed, "{ended:?}");
}

#[test]
fn whoever_should_try_again_is_told_so() {
    let harness = started(|config| config.limits.unsent_bytes_max = 0);
    let ask = json!({"entities": {"faa": ["JFK"]}, "features": ["weather:wind"]}).to_string();
    let mut client = Client::of(&harness);
    let head = format!(
        "POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        ask.len()
    );
    client.send(&[head.as_bytes(), ask.as_bytes()].concat());
    let (status, head, answer) = client.answer();
    assert!(status == 429 && head.contains("retry-after: "), "{head}");
    assert!(error(&answer).1.contains("try again in"), "{answer}");
}

#[test]
fn a_body_has_a_size_a_type_and_a_time() {
    let harness = started(|config| {
        config.limits.request_bytes_max = 1_024;
        config.limits.receive_ms_max = 200;
    });
    let (status, answer) = Client::of(&harness).post("/get-online-features", &" ".repeat(2_000));
    assert!(
        status == 413 && error(&answer).1.contains("1024 bytes (limits.request_bytes_max)"),
        "{answer}"
    );

    let mut client = Client::of(&harness);
    client.send(
        b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n",
    );
    client.send(b"transfer-encoding: chunked\r\n\r\n");
    // What never ends is read to four times the limit.
    (0..5).for_each(|_| client.send(&[&b"400\r\n"[..], &[b' '; 1_024], b"\r\n"].concat()));
    let (status, _, answer) = client.answer();
    assert!(status == 413 && error(&answer).1.contains("limits.request_bytes_max"), "{answer}");

    let mut client = Client::of(&harness);
    client.send(b"POST /push HTTP/1.1\r\nhost: x\r\ncontent-type: application/x+json\r\ncontent-length: 2\r\n\r\n{}");
    let (status, _, answer) = client.answer();
    assert!(status == 422 && error(&answer).1.contains("push_source_name"), "{answer}");

    let mut client = Client::of(&harness);
    client.send(b"POST /push HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n{}");
    let (status, _, answer) = client.answer();
    assert!(
        status == 415 && error(&answer).1.contains("application/json, came \"text/plain\""),
        "{answer}"
    );

    let mut client = Client::of(&harness);
    client.send(
        b"POST /get-online-features HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n",
    );
    client.send(b"content-length: 9\r\n\r\n{");
    let (status, _, answer) = client.answer();
    assert!(status == 408 && error(&answer).1.contains("limits.receive_ms_max"), "{answer}");
}

#[test]
fn a_call_that_takes_too_long_is_ended_by_the_deadline() {
    let harness = started(|config| config.limits.deadline_ms = 300);
    let ask = json!({"entities": {"hour": [1.0]}, "feature_service": "stuck"});
    let (status, answer) = post(&harness, "/get-online-features", &ask);
    assert!(status == 504 && error(&answer).1.contains("deadline of 300 ms"), "{answer}");
}

#[test]
fn an_answer_is_no_longer_than_allowed() {
    let harness = started(|config| config.limits.response_bytes_max = 1_024);
    let ask = |rows: usize| {
        let entities = json!({"faa": vec!["JFK"; rows], "hour": vec![1.0; rows]});
        json!({"entities": entities, "feature_service": "departure"})
    };
    assert_eq!(post(&harness, "/get-online-features", &ask(1)).0, 200);
    let (status, answer) = post(&harness, "/get-online-features", &ask(100));
    assert!(status == 413 && error(&answer).1.contains("limits.response_bytes_max"), "{answer}");
}

#[test]
fn writes_obey_the_reach_of_ingest() {
    let harness = started(|config| config.listen.ingest = Reach::Off);
    for (path, body) in [("/write-to-online-store", rows()), ("/push", json!({}))] {
        let (status, answer) = post(&harness, path, &body);
        let (class, message) = error(&answer);
        assert_eq!((status, class.as_str()), (403, "FeastPermissionError"));
        assert!(message.contains("listen.ingest"), "{message}");
    }
    let ask = json!({"entities": {"faa": ["JFK"]}, "features": ["weather:wind"]});
    assert_eq!(post(&harness, "/get-online-features", &ask).0, 200);
}

#[test]
fn the_door_is_shut_unless_it_is_asked_for_and_closes_silent_connections() {
    assert_eq!(Config::default().listen.feast_http, None);
    let harness = Harness::start();
    assert_eq!(harness.running().addresses().feast_http, None);
    let harness = started(|config| config.life.keepalive_ms = 200);
    let mut silent = Client::of(&harness);
    let mut came = Vec::new();
    silent.0.read_to_end(&mut came).unwrap();
    let came = String::from_utf8(came).unwrap();
    assert!(came.is_empty() || came.starts_with("HTTP/1.1 408"), "{came}");
}

#[test]
fn a_sidecar_ends_though_a_client_keeps_its_connection() {
    let mut harness = started(|_| {});
    let mut client = Client::of(&harness);
    client.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(client.answer().0, 200);
    let ended = harness.running.take().unwrap().shutdown();
    assert!(ended.drained && ended.flushed);
}

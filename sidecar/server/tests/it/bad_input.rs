//! Every kind of wrong request with its exact code, what its message names, and that nothing was applied.

use skewless_proto::v1 as pb;

use crate::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_for_features_name_what_is_wrong() {
    use Code::{InvalidArgument, NotFound};
    let harness = Harness::start();
    let mut client = harness.features().await;
    let good = || ask("departure", &[Some("JFK")]);
    let list = |names: &[&str]| {
        let features = names.iter().map(|name| (*name).to_owned()).collect();
        pb::GetFeaturesRequest {
            wanted: Some(Wanted::Features(pb::FeatureList { features })),
            ..good()
        }
    };
    let keys = |keys| pb::GetFeaturesRequest { keys, ..good() };
    let request = |request| pb::GetFeaturesRequest { request, ..good() };
    let faa = || texts("faa", &[Some("JFK")]);
    let hour = || floats("hour", &[1.0]);
    let null_hour = pb::Column { validity: vec![0].into(), ..hour() };
    let cases: Vec<(pb::GetFeaturesRequest, Code, &[&str])> = vec![
        (
            ask("departur", &[None]),
            NotFound,
            &["service", "`departur`", "did you mean `departure`?"],
        ),
        (list(&["weather.wnd"]), NotFound, &["weather.wnd"]),
        (list(&[]), InvalidArgument, &["at least one feature"]),
        (pb::GetFeaturesRequest { wanted: None, ..good() }, InvalidArgument, &["came neither"]),
        (keys(vec![]), InvalidArgument, &["join key `faa` of type utf8", "came none"]),
        (keys(vec![texts("fa", &[None])]), InvalidArgument, &["`fa`", "did you mean `faa`?"]),
        (keys(vec![faa(), faa()]), InvalidArgument, &["`faa` once", "came twice"]),
        (
            keys(vec![floats("faa", &[1.0])]),
            InvalidArgument,
            &["`faa` of type utf8", "came float64"],
        ),
        (
            keys(vec![pb::Column { r#type: 0, ..faa() }]),
            InvalidArgument,
            &["`faa`", "expected a type"],
        ),
        (request(vec![]), InvalidArgument, &["request column `hour` of type float64", "came none"]),
        (
            request(vec![floats("hour", &[1.0, 2.0])]),
            InvalidArgument,
            &["`hour`", "1 float64s", "came 2"],
        ),
        (
            request(vec![pb::Column { float64s: vec![], float32s: vec![1.0], ..hour() }]),
            InvalidArgument,
            &["`hour`", "values are expected in float64s, came in float32s"],
        ),
        (request(vec![null_hour]), InvalidArgument, &["`hour`", "row 0", "null"]),
        (request(vec![hour(), texts("sky", &[None])]), InvalidArgument, &["request column `sky`"]),
        (
            pb::GetFeaturesRequest { row_major_float32: true, ..good() },
            InvalidArgument,
            &["`weather.sky` of type utf8"],
        ),
    ];
    for (request, code, parts) in cases {
        refused(client.get_features(request).await, code, parts);
    }
    client.get_features(good()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_rows_are_refused_whole() {
    use Code::{InvalidArgument, NotFound};
    let harness = Harness::with(|config| {
        config.store.key_bytes_max = 500;
        config.store.value_bytes_max = 500;
    });
    let mut client = harness.ingest().await;
    let long = "x".repeat(600);
    let good = || pb::IngestRequest {
        keys: vec![texts("faa", &[Some("JFK"), Some("LGA")])],
        event_us: vec![NOON, NOON],
        features: vec![floats("wind", &[1.0, 2.0])],
        ..weather("", NOON, 0.0)
    };
    let cases: Vec<(pb::IngestRequest, Code, &[&str])> = vec![
        (
            pb::IngestRequest { view: "wether".into(), ..good() },
            NotFound,
            &["view", "did you mean `weather`?"],
        ),
        (pb::IngestRequest { keys: vec![], ..good() }, InvalidArgument, &["key column `faa`"]),
        (
            pb::IngestRequest { keys: vec![texts("faa", &[Some("A"), None])], ..good() },
            InvalidArgument,
            &["row 1", "null"],
        ),
        (
            pb::IngestRequest { keys: vec![texts("faa", &[Some("A")])], ..good() },
            InvalidArgument,
            &["`faa`", "2 strings", "came 1"],
        ),
        (
            pb::IngestRequest { event_us: vec![NOON, i64::MAX], ..good() },
            InvalidArgument,
            &["event_us, row 1"],
        ),
        (
            pb::IngestRequest { known_us: vec![NOON], ..good() },
            InvalidArgument,
            &["2 known_us", "came 1"],
        ),
        (
            pb::IngestRequest { deleted: vec![0, 0].into(), ..good() },
            InvalidArgument,
            &["1 bytes of deleted", "came 2"],
        ),
        (
            pb::IngestRequest { features: vec![floats("wnd", &[1.0, 2.0])], ..good() },
            InvalidArgument,
            &["did you mean `wind`?"],
        ),
        (
            pb::IngestRequest { features: vec![texts("wind", &[None, None])], ..good() },
            InvalidArgument,
            &["`wind` of type float64"],
        ),
        (
            pb::IngestRequest { features: vec![floats("wind", &[1.0])], ..good() },
            InvalidArgument,
            &["`wind`", "came 1"],
        ),
        // Nothing that a smaller batch or a later one would mend.
        (
            pb::IngestRequest { features: vec![texts("sky", &[None, Some(&long)])], ..good() },
            InvalidArgument,
            &["at most 500 (value_bytes_max)", "row 1"],
        ),
        (
            pb::IngestRequest { keys: vec![texts("faa", &[Some("A"), Some(&long)])], ..good() },
            InvalidArgument,
            &["at most 500 (key_bytes_max)", "row 1"],
        ),
    ];
    for (request, code, parts) in cases {
        refused(client.ingest(request).await, code, parts);
    }
    let request = ask("numbers", &[Some("JFK"), Some("LGA"), Some("A")]);
    let answer = harness.features().await.get_features(request).await.unwrap().into_inner();
    assert_eq!(answer.columns[0].statuses.as_ref(), [3, 3, 3], "nothing was half applied");
    let nan = weather("NAN", NOON, f64::from_bits(0xfff8_0000_0000_0001));
    client.ingest(nan).await.unwrap();
    let answer = harness
        .features()
        .await
        .get_features(ask("numbers", &[Some("NAN")]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(float64s(&answer, 0)[0].to_bits(), 0x7ff8_0000_0000_0000, "one canonical NaN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_stream_keeps_what_it_answered() {
    use tokio_stream::StreamExt;
    let harness = Harness::start();
    let bad = pb::IngestRequest { view: "nothing".into(), ..weather("JFK", NOON, 9.0) };
    let requests =
        tokio_stream::iter([weather("JFK", NOON - SECOND, 1.0), bad, weather("JFK", NOON, 2.0)]);
    let mut answers = harness.ingest().await.ingest_stream(requests).await.unwrap().into_inner();
    assert_eq!(answers.next().await.unwrap().unwrap().applied, 1);
    refused(answers.next().await.unwrap(), Code::NotFound, &["`nothing`"]);
    assert!(answers.next().await.is_none());
    let answer = harness
        .features()
        .await
        .get_features(ask("numbers", &[Some("JFK")]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(float64s(&answer, 0), [1.0]);
}

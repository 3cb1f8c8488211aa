//! GetFeatures byte by byte: however a message is cut into frames it is answered with the same bytes, and what is no
//! single message is refused and costs nobody a place.

use prost::Message;
use skewless_proto::v1 as pb;

use crate::frames::*;
use crate::*;

const METHOD: &str = "FeatureService/GetFeatures";
/// What a client takes of an answer before it says more.
const WINDOW: u32 = 65_535;

fn question() -> pb::GetFeaturesRequest {
    ask("departure", &[Some("JFK")])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_answered_with_the_same_bytes_however_it_is_cut() {
    let harness = Harness::start();
    harness.ingest().await.ingest(weather("JFK", NOON, 1.0)).await.unwrap();
    let mut client = Client::connect(&harness, WINDOW).await;
    let mut whole = client.begin(METHOD, None).await;
    whole.send(&question(), true);
    let whole = whole.whole().await;
    let names = whole.headers.keys().map(|name| name.as_str());
    let names: Vec<_> = names.filter(|name| *name != "date").collect();
    assert_eq!(names, ["content-type"], "{whole:?}");
    assert_eq!(whole.headers["content-type"], "application/grpc");
    let trailers = whole.trailers.as_ref().unwrap();
    assert_eq!((trailers.len(), trailers["grpc-status"].as_bytes()), (1, &b"0"[..]));
    let (prefix, message) = whole.data.split_at(5);
    let mut expected = vec![0];
    expected.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    assert_eq!(prefix, expected, "not compressed, and so long");
    let mut features = harness.features().await;
    let answer = features.get_features(question()).await.unwrap().into_inner();
    assert_eq!(pb::GetFeaturesResponse::decode(message).unwrap(), answer);

    let (bytes, nothing): (_, &[u8]) = (framed(&question()), b"");
    let cuts: [Vec<&[u8]>; 5] = [
        bytes.chunks(1).collect(),
        bytes.chunks(4).collect(),
        vec![&bytes[..5], &bytes[5..]],
        vec![nothing, &bytes[..], nothing],
        vec![&bytes[..3], nothing, &bytes[3..7], &bytes[7..], nothing],
    ];
    for cut in cuts {
        let mut call = client.begin(METHOD, None).await;
        let (last, first) = cut.split_last().unwrap();
        first.iter().for_each(|part| call.send_bytes(part, false));
        call.send_bytes(last, true);
        let came = call.whole().await;
        assert_eq!((came.ended(), &came.data), (Ended::ok(), &whole.data), "{cut:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_single_message_is_refused_and_costs_no_place() {
    const INVALID: Code = Code::InvalidArgument;
    let harness = Harness::with(|config| {
        config.limits.requests_in_flight_max = 1;
        config.limits.request_bytes_max = 2_000;
        config.limits.receive_ms_max = 60_000;
    });
    let mut client = Client::connect(&harness, WINDOW).await;
    let good = framed(&question());
    let with = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    // Each message, whether it is all that is sent, and a header of its call.
    type Case<'a> = (Vec<u8>, bool, &'a [(&'a str, &'a str)], Code, &'a [&'a str]);
    let cases: Vec<Case<'_>> = vec![
        (vec![], true, &[], INVALID, &["expected one whole message", "Missing request message."]),
        (vec![0; 4], true, &[], INVALID, &["one whole message", "Unexpected EOF"]),
        (
            with(|bytes| bytes.truncate(20)),
            true,
            &[],
            INVALID,
            &["one whole message", "Unexpected EOF"],
        ),
        (with(|bytes| bytes.push(0)), true, &[], INVALID, &["one whole message", "more behind it"]),
        (good.repeat(2), true, &[], INVALID, &["one whole message", "more behind it"]),
        (with(|bytes| bytes[0] = 1), true, &[], INVALID, &["compressed-flag but no grpc-encoding"]),
        (with(|bytes| bytes[0] = 2), true, &[], INVALID, &["invalid compression flag: 2"]),
        (vec![0, 0, 0, 0, 1, 7], true, &[], INVALID, &["expected a protobuf message"]),
        (
            good.clone(),
            true,
            &[("grpc-encoding", "gzip")],
            Code::Unimplemented,
            &["compressed with", "gzip"],
        ),
        // The rest of this one never comes.
        (
            vec![0, 0, 0, 7, 209],
            false,
            &[],
            Code::ResourceExhausted,
            &[
                "expected a message of at most 2000 bytes (limits.request_bytes_max), came more",
                "found 2001 bytes, the limit is: 2000 bytes",
            ],
        ),
    ];
    for (bytes, last, headers, code, parts) in cases {
        let mut call = client.begin_with(METHOD, headers).await;
        call.send_bytes(&bytes, last);
        call.ended().await.refused(code, parts);
        let mut call = client.begin_with(METHOD, &[("grpc-encoding", "identity")]).await;
        call.send_bytes(&good, true);
        assert_eq!(call.ended().await, Ended::ok());
    }
    let mut given_up = client.begin(METHOD, None).await;
    given_up.send_bytes(&good[..20], false);
    until("it is in work", || harness.metric("skewless_requests_in_flight ") == 1).await;
    given_up.cancel();
    until("its place is free", || harness.metric("skewless_requests_in_flight ") == 0).await;
    // Answered before a message comes.
    let unknown = client.begin("FeatureService/Nonsense", None).await;
    unknown.ended().await.refused(Code::Unimplemented, &["expected a method of the service"]);
}

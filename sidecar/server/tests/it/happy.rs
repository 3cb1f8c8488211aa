//! What works: features over both sockets, newest wins, the block, event times, admin, load, metrics.

use skewless_proto::v1 as pb;
use tokio_stream::StreamExt;

use crate::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_computed_and_request_features_come_in_the_service_s_order() {
    let harness = Harness::start();
    harness.ingest().await.ingest(weather("JFK", NOON - SECOND, 3.25)).await.unwrap();
    let mut request = ask("departure", &[Some("JFK"), Some("XXX"), None]);
    request.event_times = true;
    request.timings = true;
    let answer = harness.features().await.get_features(request).await.unwrap().into_inner();
    let names: Vec<_> =
        answer.columns.iter().map(|c| c.column.as_ref().unwrap().name.as_str()).collect();
    assert_eq!(names, ["weather.wind", "weather.sky", "doubled.y", "request.hour"]);
    assert_eq!(float64s(&answer, 0), [3.25, 0.0, 0.0]);
    assert_eq!(float64s(&answer, 2)[0], 6.5);
    assert_eq!(float64s(&answer, 3), [7.5; 3]);
    assert_eq!(answer.columns[0].statuses.as_ref(), [1, 3, 3]);
    assert!(answer.columns[3].statuses.is_empty());
    assert_eq!(answer.event_times[0].event_us, [NOON - SECOND, i64::MIN, i64::MIN]);
    let provenance = answer.provenance.unwrap();
    assert_eq!(
        (provenance.snapshot, provenance.time_us, provenance.service_fingerprint.len()),
        (1, NOON, 32)
    );
    assert!(provenance.store_sequence > 0 && answer.timings.unwrap().store_ns > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_and_unix_socket_give_the_same_answer() {
    let harness = Harness::start();
    harness.ingest().await.ingest(weather("JFK", NOON, 1.0)).await.unwrap();
    let request = ask("departure", &[Some("JFK")]);
    let tcp = harness.features().await.get_features(request.clone()).await.unwrap().into_inner();
    let mut unix = FeatureServiceClient::new(harness.unix().await);
    assert_eq!(unix.get_features(request).await.unwrap().into_inner(), tcp);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_row_wins_and_every_row_has_its_verdict() {
    let harness = Harness::start();
    let mut ingest = harness.ingest().await;
    let mut verdict =
        async |request| ingest.ingest(request).await.unwrap().into_inner().verdicts[0];
    assert_eq!(verdict(weather("JFK", NOON - SECOND, 1.0)).await, pb::Verdict::Applied as u8);
    assert_eq!(verdict(weather("JFK", NOON - 2 * SECOND, 2.0)).await, pb::Verdict::Stale as u8);
    assert_eq!(verdict(weather("JFK", NOON - SECOND, 1.0)).await, pb::Verdict::Duplicate as u8);
    assert_eq!(verdict(weather("JFK", NOON + SECOND, 3.0)).await, pb::Verdict::Pending as u8);
    let mut features = harness.features().await;
    let mut wind = async || {
        float64s(
            &features.get_features(ask("numbers", &[Some("JFK")])).await.unwrap().into_inner(),
            0,
        )
    };
    assert_eq!(wind().await, [1.0]);
    harness.running().clock().advance(NOON + SECOND);
    assert_eq!(wind().await, [3.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_answers_each_batch_in_turn_and_remembers_its_offset() {
    let harness = Harness::start();
    let mut ingest = harness.ingest().await;
    let batch = |i: i64| pb::IngestRequest {
        source: Some(pb::SourceOffset { source: "topic/0".into(), offset: i as u64 }),
        ..weather("JFK", NOON - 10 * SECOND + i, i as f64)
    };
    let answers =
        ingest.ingest_stream(tokio_stream::iter((0..5).map(batch))).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.unwrap().applied).collect().await;
    assert_eq!(answers, [1; 5]);
    let progress = |source: &str| pb::ProgressRequest { source: source.to_owned() };
    assert_eq!(ingest.progress(progress("topic/0")).await.unwrap().into_inner().offset, Some(4));
    assert_eq!(ingest.progress(progress("topic/1")).await.unwrap().into_inner().offset, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ad_hoc_list_and_the_float32_block() {
    let harness = Harness::start();
    harness.ingest().await.ingest(weather("JFK", NOON, 1.5)).await.unwrap();
    let features = ["doubled.y", "weather.wind"].map(str::to_owned).to_vec();
    let request = pb::GetFeaturesRequest {
        wanted: Some(Wanted::Features(pb::FeatureList { features })),
        row_major_float32: true,
        omit_columns: true,
        ..ask("numbers", &[Some("JFK"), Some("XXX")])
    };
    let mut client = harness.features().await;
    for _ in 0..2 {
        let answer = client.get_features(request.clone()).await.unwrap().into_inner();
        let block = answer.float32_rows.unwrap();
        assert_eq!((block.width, &block.values[..2]), (2, &[3.0f32, 1.5][..]));
        assert!(
            answer.columns.is_empty()
                && block.values[2..].iter().all(|v| v.to_bits() == 0x7fc0_0000)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_never_ends_costs_its_own_features_only() {
    let harness = Harness::with(|config| config.engine.deadline_ticks = 5);
    let request = pb::GetFeaturesRequest { keys: vec![], ..ask("stuck", &[None]) };
    let answer = harness.features().await.get_features(request).await.unwrap().into_inner();
    assert_eq!(answer.columns[0].statuses.as_ref(), [pb::FeatureStatus::TransformFailed as u8]);
    assert_eq!(float64s(&answer, 1), [7.5]);
    assert!(answer.failures[0].message.contains("deadline"), "{:?}", answer.failures);
    let (_, metrics) = harness.http("/metrics");
    let begins = "skewless_transform_breaks_total{transform=\"stuck\",";
    let broke = |line: &&str| line.starts_with(begins) && !line.ends_with(" 0");
    let broke: Vec<&str> = metrics.lines().filter(broke).collect();
    assert!(broke.len() == 1 && broke[0].ends_with("reason=\"deadline\"} 1"), "{broke:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_lists_describes_and_flushes() {
    let harness = Harness::start();
    let mut admin = harness.admin().await;
    let list = admin.list(pb::ListRequest {}).await.unwrap().into_inner();
    let names: Vec<_> = list.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["departure", "numbers", "stuck"]);
    let of = |of| pb::DescribeRequest { of: Some(of) };
    let service = admin
        .describe(of(pb::describe_request::Of::Service("departure".into())))
        .await
        .unwrap()
        .into_inner();
    let Some(pb::describe_response::Described::Service(service)) = service.described else {
        panic!()
    };
    assert_eq!((service.keys.len(), service.features.len(), service.plugins.len()), (1, 4, 1));
    for of_kind in [
        pb::describe_request::Of::View("weather".into()),
        pb::describe_request::Of::Entity("airport".into()),
    ] {
        admin.describe(of(of_kind)).await.unwrap();
    }
    let nearest = admin.describe(of(pb::describe_request::Of::Transform("double".into()))).await;
    refused(nearest, Code::NotFound, &["did you mean `doubled`?"]);
    assert_eq!(admin.plugins(pb::PluginsRequest {}).await.unwrap().into_inner().plugins.len(), 2);
    admin.flush(pb::FlushRequest {}).await.unwrap();
    let info = admin.snapshot_info(pb::SnapshotInfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.snapshot, info.views.len(), info.loaded_us), (1, 1, NOON));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_load_becomes_visible_as_a_whole_or_not_at_all() {
    let harness = Harness::start();
    let mut admin = harness.admin().await;
    let parts = [bulk(&["AAA", "BBB"], 1.0), bulk(&["CCC"], 1.0)];
    let report = admin.load(tokio_stream::iter(parts)).await.unwrap().into_inner();
    assert_eq!((report.rows, report.keys), (3, 3));
    let unsorted = [bulk(&["BBB"], 2.0), bulk(&["AAA"], 2.0)];
    refused(
        admin.load(tokio_stream::iter(unsorted)).await,
        Code::InvalidArgument,
        &["sorted by key"],
    );
    refused(
        admin.load(tokio_stream::iter([])).await,
        Code::InvalidArgument,
        &["at least one message"],
    );
    let request = ask("numbers", &[Some("AAA"), Some("BBB"), Some("CCC")]);
    let answer = harness.features().await.get_features(request).await.unwrap().into_inner();
    assert_eq!(float64s(&answer, 0), [1.0; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_have_histograms_per_service_stage_view_and_plugin() {
    let harness = Harness::start();
    harness.ingest().await.ingest(weather("JFK", NOON, 1.0)).await.unwrap();
    harness.features().await.get_features(ask("departure", &[Some("JFK")])).await.unwrap();
    let (status, text) = harness.http("/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for stage in ["decode", "store", "compute", "encode", "total"] {
        let bucket = format!(
            "skewless_request_seconds_bucket{{le=\"5e-6\",service=\"departure\",stage=\"{stage}\""
        );
        let count =
            format!("skewless_request_seconds_count{{service=\"departure\",stage=\"{stage}\"}} 1");
        assert!(text.contains(&count), "{count}\n{text}");
        assert!(
            text.contains(&bucket)
                || text.contains("le=\"5e-6\"")
                || text.contains("le=\"0.000005\""),
            "{text}"
        );
    }
    for part in [
        "skewless_view_read_seconds_count{view=\"weather\",role=\"\"} 1",
        "skewless_view_read_seconds_bucket{le=\"0.000005\",view=\"weather\",role=\"\"",
        "skewless_transform_seconds_count{transform=\"doubled\",plugin=\"",
        "skewless_lookup_rows_total{view=\"weather\",outcome=\"found\"} 1",
        "skewless_ingested_rows_total{view=\"weather\",verdict=\"applied\"} 1",
        "skewless_calls_total{method=\"skewless.v1.FeatureService/GetFeatures\",status=\"Ok\"} 1",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

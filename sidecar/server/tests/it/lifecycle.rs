//! Start, readiness, reload, drain, and starting again on what was left.

use std::time::{Duration, SystemTime};

use skewless_proto::v1 as pb;
use skewless_server::StartError;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::frames::*;
use crate::it::process::{self, Process, SIMPLE};
use crate::*;

fn repo_file(harness: &Harness) -> std::path::PathBuf {
    harness.dir.path().join("repo/features.yaml")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_reload_is_served_and_a_bad_one_is_refused_whole() {
    let harness = Harness::start();
    harness.ingest().await.ingest(weather("JFK", NOON, 1.0)).await.unwrap();
    let mut admin = harness.admin().await;
    let mut client = harness.features().await;
    std::fs::write(repo_file(&harness), DEFINITIONS.replace("x: weather.wind", "x: weather.wnd"))
        .unwrap();
    let answer = admin.apply(pb::ApplyRequest::default()).await.unwrap().into_inner();
    assert!(!answer.applied && answer.snapshot == 1);
    let mistake = &answer.diagnostics[0];
    assert!(
        mistake.line > 0 && mistake.file == "features.yaml" && mistake.message.contains("wnd"),
        "{mistake:?}"
    );
    client.get_features(ask("departure", &[Some("JFK")])).await.unwrap();
    let renamed = DEFINITIONS.replace("name: numbers", "name: figures");
    std::fs::write(repo_file(&harness), renamed).unwrap();
    let dry = admin.apply(pb::ApplyRequest { dry_run: true }).await.unwrap().into_inner();
    assert!(dry.applied && dry.changed && dry.snapshot == 1);
    let answer = admin.apply(pb::ApplyRequest::default()).await.unwrap().into_inner();
    assert!(answer.applied && answer.snapshot == 2 && !answer.changes.is_empty(), "{answer:?}");
    let gone = client.get_features(ask("numbers", &[None])).await;
    refused(gone, Code::NotFound, &["`numbers`"]);
    let mut figures = ask("numbers", &[Some("JFK")]);
    figures.wanted = Some(Wanted::Service("figures".into()));
    let answer = client.get_features(figures).await.unwrap().into_inner();
    assert_eq!((float64s(&answer, 0), answer.provenance.unwrap().snapshot), (vec![1.0], 2));
    let (_, metrics) = harness.http("/metrics");
    assert!(metrics.contains("skewless_reloads_total{outcome=\"refused\"} 1"), "{metrics}");
    assert!(!metrics.contains("service=\"numbers\""), "series of what is gone are dropped");
}

/// What declares nothing to serve is more likely a file that was emptied than that it is meant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_without_any_service_is_refused_and_so_is_a_start_with_nothing() {
    let harness = Harness::start();
    let mut admin = harness.admin().await;
    let (without, _) = DEFINITIONS.split_once("services:").unwrap();
    let write = |text: &str| std::fs::write(repo_file(&harness), text).unwrap();
    for (text, example) in [("# Nothing.\n", "[VIEW.FEATURE]"), (without, "[weather.wind]")] {
        write(text);
        let says = ["at least one feature service", "came none", "services: [{name: ", example];
        for dry_run in [true, false] {
            let answer = admin.apply(pb::ApplyRequest { dry_run }).await.unwrap().into_inner();
            assert!(!answer.applied && answer.snapshot == 1, "{answer:?}");
            let told = &answer.diagnostics[0].message;
            assert!(says.iter().all(|part| told.contains(part)), "{told}");
        }
        let error = harness.running().reload().unwrap_err();
        assert!(says.iter().all(|part| error.contains(part)), "{error}");
        let question = ask("departure", &[Some("JFK")]);
        harness.features().await.get_features(question).await.unwrap();
    }
    assert_eq!(harness.metric("skewless_reloads_total{outcome=\"refused\"}"), 4);
    write("# Nothing.\n");
    let mut config = config(harness.dir.path());
    (config.listen.unix, config.store_dir) = (None, harness.dir.path().join("other"));
    let error = Server::start(config, Clock::manual(NOON)).err().unwrap();
    let told = error.to_string();
    assert!(told.contains("at least one feature service") && told.contains("repo"), "{told}");
    assert!(!harness.dir.path().join("other").exists(), "no store is made for nothing");
    // Lists of features may be all that is wanted, and rows may come before the first service.
    write(without);
    let mut config = crate::config(harness.dir.path());
    (config.listen.unix, config.store_dir) = (None, harness.dir.path().join("other"));
    let running = Server::start(config, Clock::manual(NOON)).unwrap();
    running.reload().unwrap();
    running.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_reload_says_that_a_plugin_is_older_than_its_source() {
    let harness = Harness::start();
    let repo = harness.dir.path().join("repo");
    std::fs::write(repo_file(&harness), DEFINITIONS.replace("doubled.y", "doubled.z")).unwrap();
    std::fs::create_dir(repo.join("plugins/double")).unwrap();
    let krate = std::fs::File::create(repo.join("plugins/double/Cargo.toml")).unwrap();
    krate.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
    let says = "double.wasm is older than its source: skewless plugin build ";
    let error = harness.running().reload().unwrap_err();
    assert!(error.contains("came `z`") && error.contains(says), "{error}");
    let answer = harness.admin().await.apply(pb::ApplyRequest::default()).await.unwrap();
    let last = answer.into_inner().diagnostics.pop().unwrap();
    assert!(last.warning && last.message.contains(says), "{last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_what_a_reload_took_away_or_why_it_was_refused() {
    let dir = tempfile::tempdir().unwrap();
    process::repo(dir.path());
    let process = Process::start(dir.path(), &["store.cache_bytes=8388608"], |_| {});
    let write = |text: &str| std::fs::write(dir.path().join("repo/features.yaml"), text).unwrap();
    write(&SIMPLE.replace("name: numbers", "name: figures"));
    let mut admin = AdminServiceClient::new(process.channel().await);
    admin.apply(pb::ApplyRequest::default()).await.unwrap();
    let said = process.log.wait_for(&["INFO", "reloaded snapshot=2 "]);
    for part in ["entities=1 ", "views=1 ", "transforms=0 ", "services=1 ", "fingerprint="] {
        assert!(said.contains(part), "expected `{part}` in {said}");
    }
    process.log.wait_for(&["WARN", "services that are gone", "NOT_FOUND: numbers"]);
    write("# Nothing.\n");
    process.hang_up();
    let refused = "reload refused; serving what was served before";
    process.log.wait_for(&["ERROR", refused, "at least one feature service"]);
    write(SIMPLE);
    process.hang_up();
    process.log.wait_for(&["INFO", "reloaded snapshot=3 "]);
}

/// It would start, and its log hold not even errors.
#[test]
fn a_log_that_can_not_be_meant_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    process::repo(dir.path());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_skewless-sidecar"));
    command.arg(dir.path().join("repo")).arg("--store").arg(dir.path().join("store"));
    let ended = command.env("SKEWLESS_LOG", "debgu").output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert!(told.contains("SKEWLESS_LOG: expected error, warn, info, "), "{told}");
    assert!(told.contains("came `debgu` (did you mean `debug`?)"), "{told}");
    assert!(!dir.path().join("store").exists());
}

/// As `${LOG:-}` of a Docker Compose file may leave it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_log_variable_says_nothing_and_so_the_default() {
    let dir = tempfile::tempdir().unwrap();
    process::repo(dir.path());
    // It waits for a line of the log.
    Process::start(dir.path(), &["store.cache_bytes=8388608"], |command| {
        command.env("SKEWLESS_LOG", "");
    });
}

/// Once for each snapshot: a plugin that breaks, breaks for every request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_tells_of_a_plugin_s_first_break_and_of_no_other() {
    let dir = crate::folder();
    let set = ["store.cache_bytes=8388608", "engine.deadline_ticks=5"];
    let process = Process::start(dir.path(), &set, |_| {});
    let mut client = FeatureServiceClient::new(process.channel().await);
    let told = "a transform broke";
    for snapshot in [1, 2] {
        for _ in 0..3 {
            let request = pb::GetFeaturesRequest { keys: vec![], ..ask("stuck", &[None]) };
            client.get_features(request).await.unwrap();
        }
        // What comes later in the log is there: so is all before it.
        process.hang_up();
        process.log.wait_for(&["INFO", &format!("reloaded snapshot={} ", snapshot + 1)]);
        assert_eq!(process.log.count(told), snapshot);
    }
    let line = process.log.wait_for(&["WARN", told]);
    let says = ["transform=stuck ", "plugin=", "reason=\"deadline\"", "deadline of 5 ms"];
    for part in says.into_iter().chain(["skewless_transform_breaks_total"]) {
        assert!(line.contains(part), "expected `{part}` in {line}");
    }
}

/// A `rate()` doesn't see the rise of a counter that begins with its first event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_that_someone_is_woken_by_are_there_before_their_first_event() {
    let harness = Harness::start();
    let (_, metrics) = harness.http("/metrics");
    for sample in ["reloads_total{outcome=\"applied\"} 0", "reloads_total{outcome=\"refused\"} 0"] {
        assert!(metrics.contains(&format!("\nskewless_{sample}\n")), "{sample}\n{metrics}");
    }
    let breaks = |metrics: &str, transform: &str, reason: &str| {
        let begins = format!("skewless_transform_breaks_total{{transform=\"{transform}\",");
        let ends = format!("reason=\"{reason}\"}} 0");
        metrics.lines().any(|line| line.starts_with(&begins) && line.ends_with(&ends))
    };
    for transform in ["doubled", "stuck"] {
        for reason in ["trap", "deadline", "memory", "lie"] {
            assert!(breaks(&metrics, transform, reason), "{transform} {reason}\n{metrics}");
        }
    }
    let service = "  - name: stuck\n    features: [stuck.y, request.hour]\n";
    let transform = "  - {name: stuck, plugin: plugins/loops.wasm, inputs: {x: request.hour}}\n";
    let calmer = DEFINITIONS.replace(service, "").replace(transform, "");
    std::fs::write(repo_file(&harness), calmer).unwrap();
    harness.running().reload().unwrap();
    let (_, metrics) = harness.http("/metrics");
    assert!(breaks(&metrics, "doubled", "trap"), "{metrics}");
    assert!(!metrics.contains("transform=\"stuck\""), "series of what is gone are dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_drops_stored_rows_says_so() {
    let harness = Harness::start();
    harness.ingest().await.ingest(weather("JFK", NOON, 1.0)).await.unwrap();
    let lagging = DEFINITIONS.replace("entity: airport", "entity: airport\n    lag: 1m");
    assert_ne!(lagging, DEFINITIONS);
    std::fs::write(repo_file(&harness), lagging).unwrap();
    let mut admin = harness.admin().await;
    let answer = admin.apply(pb::ApplyRequest::default()).await.unwrap().into_inner();
    let dropped = |line: &String| line.contains("weather") && line.contains("were dropped");
    assert!(answer.applied && answer.changes.iter().any(dropped), "{answer:?}");
    // What is told is of this reload, not of what came of an earlier one.
    let again = admin.apply(pb::ApplyRequest::default()).await.unwrap().into_inner();
    assert_eq!((again.snapshot, again.changed), (3, false), "{again:?}");
    assert_eq!(harness.running().reload(), Ok(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_none_is_refused_at_reload() {
    let harness = Harness::start();
    std::fs::write(harness.dir.path().join("repo/plugins/double.wasm"), b"nonsense").unwrap();
    let error = harness.running().reload().unwrap_err();
    assert!(error.contains("double.wasm"), "{error}");
    harness.features().await.get_features(ask("departure", &[None])).await.unwrap();
}

/// Two threads keep an instance of `stuck` each; `doubled` is too large to be kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_needs_no_second_set_of_instances() {
    for instances_max in [2, 3] {
        let harness = Harness::with(|config| config.engine.instances_max = instances_max);
        for number in 2..5 {
            assert_eq!(harness.running().reload(), Ok(number), "of {instances_max} instances");
        }
        harness.features().await.get_features(ask("numbers", &[None])).await.unwrap();
    }
}

#[test]
fn a_start_without_room_for_every_plugin_in_every_thread_names_the_limit() {
    let dir = folder();
    let mut config = config(dir.path());
    config.engine.instances_max = 1;
    let error = Server::start(config, Clock::manual(NOON)).err().unwrap().to_string();
    for part in ["2 transforms", "2 threads", "came 1", "engine.instances_max"] {
        assert!(error.contains(part), "expected `{part}` in `{error}`");
    }
}

/// Where there's no room to warm all threads, each plugin is tried once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_can_not_be_started_is_refused_also_when_instances_are_scarce() {
    let harness = Harness::with(|config| config.engine.instances_max = 3);
    let traps = DOUBLE.replace(
        "(func (export \"skewless_reserve\")",
        "(func $start unreachable) (start $start)\n  (func (export \"skewless_reserve\")",
    );
    assert_ne!(traps, DOUBLE);
    let first = "transforms:\n";
    let more =
        "transforms:\n  - {name: again, plugin: plugins/again.wasm, inputs: {x: request.hour}}\n";
    let repo = harness.dir.path().join("repo");
    std::fs::write(repo.join("plugins/again.wasm"), wat::parse_str(LOOPS).unwrap()).unwrap();
    std::fs::write(repo.join("features.yaml"), DEFINITIONS.replace(first, more)).unwrap();
    std::fs::write(repo.join("plugins/double.wasm"), wat::parse_str(traps).unwrap()).unwrap();
    let error = harness.running().reload().unwrap_err();
    assert!(error.contains("doubled") && error.contains("trapped"), "{error}");
    harness.features().await.get_features(ask("numbers", &[None])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compacting_the_whole_store_changes_no_answer() {
    let harness = Harness::start();
    let mut ingest = harness.ingest().await;
    for (airport, wind) in [("JFK", 1.0), ("EWR", 2.0), ("JFK", 3.0)] {
        ingest.ingest(weather(airport, NOON - SECOND, wind)).await.unwrap();
        harness.admin().await.flush(pb::FlushRequest {}).await.unwrap();
    }
    let mut client = harness.features().await;
    let question = ask("numbers", &[Some("JFK"), Some("EWR"), Some("LGA")]);
    let before = client.get_features(question.clone()).await.unwrap().into_inner();
    harness.running().reclaim().unwrap();
    let after = client.get_features(question).await.unwrap().into_inner();
    assert_eq!(after.columns, before.columns);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_health_and_reflection_answer() {
    let harness = Harness::start();
    assert_eq!(harness.http("/livez").0, "HTTP/1.1 200 OK");
    assert_eq!(harness.http("/readyz"), ("HTTP/1.1 200 OK".to_owned(), "ready\n".to_owned()));
    let mut health = HealthClient::new(harness.tcp().await);
    for service in ["", "skewless.v1.FeatureService"] {
        let status =
            health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap();
        assert_eq!(status.into_inner().status, 1);
    }
    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(
            harness.tcp().await,
        );
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_request::MessageRequest,
    };
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(
            "skewless.v1.FeatureService".into(),
        )),
    };
    let mut answers =
        reflection.server_reflection_info(tokio_stream::iter([list])).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap().unwrap());
    assert!(answer.contains("FileDescriptorResponse"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_flight_ends_while_the_sidecar_drains() {
    let mut harness = Harness::with(|config| config.limits.receive_ms_max = 600_000);
    let mut client = Client::connect(&harness, 65_535).await;
    let held = client.begin("FeatureService/GetFeatures", Some("60S")).await;
    until("the call is in work", || harness.metric("skewless_requests_in_flight ") == 1).await;
    let running = harness.running.take().unwrap();
    let http = running.addresses().http.unwrap();
    let ending = tokio::task::spawn_blocking(move || running.shutdown());
    until("it drains", || crate::http(http, "/readyz").is_ok_and(|(_, body)| body == "draining\n"))
        .await;
    assert_eq!(held.finish(&ask("numbers", &[Some("JFK")])).await, Ended::ok());
    let ended = ending.await.unwrap();
    assert!(ended.drained && ended.flushed, "{ended:?}");
    assert!(crate::http(http, "/livez").is_err(), "nothing answers any more");
    assert!(!harness.dir.path().join("s.sock").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_outlives_the_grace_period_is_left_but_the_store_is_flushed_and_freed() {
    let mut harness = Harness::with(|config| config.life.grace_ms = 50);
    harness.ingest().await.ingest(weather("JFK", NOON, 4.5)).await.unwrap();
    let mut client = harness.features().await;
    let stuck = pb::GetFeaturesRequest { keys: vec![], ..ask("stuck", &[None]) };
    let slow = tokio::spawn(async move { client.get_features(stuck).await });
    until("the call is in work", || harness.metric("skewless_in_flight ") == 1).await;
    let running = harness.running.take().unwrap();
    let ended = tokio::task::spawn_blocking(move || running.shutdown()).await.unwrap();
    assert!(!ended.drained && ended.flushed, "{ended:?}");
    assert!(slow.await.unwrap().is_err(), "nobody is there to answer");
    // The plugin's own deadline ends the call that was left, and with it the store is free again.
    until("another sidecar starts on the store", || {
        let started = Server::start(config(harness.dir.path()), Clock::manual(NOON));
        harness.running = started.ok();
        harness.running.is_some()
    })
    .await;
    let answer = harness.features().await.get_features(ask("numbers", &[Some("JFK")])).await;
    assert_eq!(float64s(&answer.unwrap().into_inner(), 0), [4.5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_fall_due_are_promoted_without_a_read() {
    let harness = Harness::with(|config| config.life.promote_ms = 1);
    let later = weather("JFK", NOON + SECOND, 3.0);
    let answer = harness.ingest().await.ingest(later).await.unwrap().into_inner();
    assert_eq!((answer.pending, answer.applied), (1, 0));
    let sequence = || harness.metric("skewless_store_sequence ");
    let before = sequence();
    harness.running().clock().advance(NOON + SECOND);
    until("the row is promoted", || sequence() > before).await;
    let answer = harness.features().await.get_features(ask("numbers", &[Some("JFK")])).await;
    assert_eq!(float64s(&answer.unwrap().into_inner(), 0), [3.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_ingested_is_there_after_a_restart() {
    let mut harness = Harness::start();
    harness.ingest().await.ingest(weather("JFK", NOON, 4.5)).await.unwrap();
    harness.running.take().unwrap().shutdown();
    harness.running = Some(Server::start(config(harness.dir.path()), Clock::manual(NOON)).unwrap());
    let answer = harness
        .features()
        .await
        .get_features(ask("numbers", &[Some("JFK")]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(float64s(&answer, 0), [4.5]);
    assert!(!harness.running().opened().created);
}

#[test]
fn a_start_that_can_t_work_says_why() {
    let harness = Harness::start();
    let start = |change: &dyn Fn(&mut Config)| {
        let mut config = config(harness.dir.path());
        config.listen.unix = None;
        change(&mut config);
        Server::start(config, Clock::manual(NOON)).err().unwrap()
    };
    assert!(matches!(start(&|_| {}), StartError::Store(_)), "the store is in use");
    let taken = harness.running().addresses().tcp;
    assert!(matches!(
        start(&|config| config.listen.tcp = taken),
        StartError::Bind { key: "listen.tcp", .. }
    ));
    let socket = harness.dir.path().join("s.sock");
    let error = start(&|config| config.listen.unix = Some(socket.clone()));
    assert!(error.to_string().contains("another process answers"), "{error}");
    let error = start(&|config| config.limits.definition_bytes_max = 100);
    assert!(error.to_string().contains("limits.definition_bytes_max"), "{error}");
    std::fs::write(harness.dir.path().join("repo/more.yaml"), "entities: []\n").unwrap();
    let error = start(&|config| config.limits.definition_files_max = 1);
    assert!(error.to_string().contains("limits.definition_files_max"), "{error}");
    let error = start(&|config| {
        config.repo_dir = "nowhere".into();
        config.limits.deadline_ms = 100_000;
    });
    assert!(
        error.to_string().contains("repo_dir") && error.to_string().contains("deadline_ms"),
        "{error}"
    );
}

#[test]
fn the_slim_binary_takes_the_flags_that_serve_takes() {
    let binary = env!("CARGO_BIN_EXE_skewless-sidecar");
    let mut command = std::process::Command::new(binary);
    command.args(["--tcp", "nowhere", "--http", "nobody", "--unix", "s.sock", "--log-json"]);
    let output = command.env_remove("SKEWLESS_CONFIG").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for part in ["--tcp: listen.tcp: ", "came `nowhere`", "--http: listen.http: ", "came `nobody`"]
    {
        assert!(told.contains(part), "{part}\n{told}");
    }
}

#[test]
fn a_plugin_whose_start_never_ends_is_refused_when_its_time_is_up() {
    let dir = folder();
    let looping = DOUBLE.replace(
        "(func (export \"skewless_reserve\")",
        "(func $start (loop (br 0))) (start $start)\n  (func (export \"skewless_reserve\")",
    );
    assert_ne!(looping, DOUBLE);
    let plugin = dir.path().join("repo/plugins/double.wasm");
    std::fs::write(plugin, wat::parse_str(looping).unwrap()).unwrap();
    let error = Server::start(config(dir.path()), Clock::manual(NOON)).err().unwrap().to_string();
    assert!(error.contains("doubled") && error.contains("deadline_ticks"), "{error}");
}

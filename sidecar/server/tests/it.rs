//! A sidecar as a client meets it: started on free ports and a Unix socket over a small feature repo, asked
//! through the generated clients. The harness is here; behaviours are in the modules.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "it/frames.rs"]
mod frames;

mod it {
    mod bad_input;
    #[cfg(target_os = "linux")]
    mod disk;
    mod empty;
    mod feast;
    mod feast_http;
    mod feast_names;
    mod framing;
    mod happy;
    mod http;
    mod lifecycle;
    mod limits;
    mod overload;
    mod process;
    mod streams;
}
// A disk that fails when it is told to, as the store's own tests have it.
#[cfg(target_os = "linux")]
#[path = "../../store/tests/it/shim.rs"]
mod shim;

use std::path::Path;
use std::time::{Duration, Instant};

use skewless_batch::{Column, Type};
use skewless_proto::v1 as pb;
use skewless_proto::v1::admin_service_client::AdminServiceClient;
use skewless_proto::v1::feature_service_client::FeatureServiceClient;
use skewless_proto::v1::get_features_request::Wanted;
use skewless_proto::v1::ingest_service_client::IngestServiceClient;
use skewless_server::{Clock, Config, Running, Server, wire};
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// 2026-01-01T00:00:00 UTC in microseconds: the time all tests begin at.
pub(crate) const NOON: i64 = 1_767_225_600_000_000;
/// A second in microseconds.
pub(crate) const SECOND: i64 = 1_000_000;
/// Longest wait for anything that must come: far above what any machine needs.
pub(crate) const BOUND: Duration = Duration::from_secs(60);
/// Between two looks of such a wait: without a pause they would take a core from what is waited for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Doubles one float64 column: copies the batch behind the input and doubles the values in place.
const DOUBLE: &str = r#"(module
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"double\",\"inputs\":[{\"name\":\"x\",\"type\":\"float64\"}],\"outputs\":[{\"name\":\"y\",\"type\":\"float64\"}]}")
  (memory (export "memory") 16)
  (func (export "skewless_reserve") (param i32) (result i32) (i32.const 65536))
  (func (export "skewless_transform") (param $in i32) (param $len i32) (result i64)
    (local $out i32) (local $at i32) (local $end i32)
    (local.set $out (i32.const 524288))
    (memory.copy (local.get $out) (local.get $in) (local.get $len))
    (local.set $at (i32.add (local.get $out) (i32.load offset=96 (local.get $out))))
    (local.set $end (i32.add (local.get $at) (i32.load offset=100 (local.get $out))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (f64.store (local.get $at) (f64.mul (f64.const 2) (f64.load (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br $next)))
    (i64.or (i64.shl (i64.extend_i32_u (local.get $out)) (i64.const 32)) (i64.extend_i32_u (local.get $len)))))"#;

/// Never ends: only the deadline stops it.
const LOOPS: &str = r#"(module
  (@custom "skewless.signature" "{\"abi\":1,\"name\":\"loops\",\"inputs\":[{\"name\":\"x\",\"type\":\"float64\"}],\"outputs\":[{\"name\":\"y\",\"type\":\"float64\"}]}")
  (memory (export "memory") 2)
  (func (export "skewless_reserve") (param i32) (result i32) (i32.const 65536))
  (func (export "skewless_transform") (param i32 i32) (result i64) (loop $again (br $again)) (i64.const 0)))"#;

pub(crate) const DEFINITIONS: &str = "\
entities:
  - name: airport
    keys: [{name: faa, type: utf8}]
views:
  - name: weather
    entity: airport
    ttl: 1h
    features:
      - {name: wind, type: float64}
      - {name: sky, type: utf8}
requests:
  - {name: hour, type: float64}
  - {name: note, type: utf8, nullable: true}
transforms:
  - {name: doubled, plugin: plugins/double.wasm, inputs: {x: weather.wind}}
  - {name: stuck, plugin: plugins/loops.wasm, inputs: {x: request.hour}}
services:
  - name: departure
    features: [weather.wind, weather.sky, doubled.y, request.hour]
  - name: numbers
    features: [weather.wind, doubled.y]
  - name: stuck
    features: [stuck.y, request.hour]
";

/// A running sidecar with its folders.
pub(crate) struct Harness {
    pub(crate) running: Option<Running>,
    pub(crate) dir: TempDir,
}

impl Harness {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = folder();
        let mut config = config(dir.path());
        change(&mut config);
        let running =
            Server::start(config, Clock::manual(NOON)).unwrap_or_else(|error| panic!("{error}"));
        Self { running: Some(running), dir }
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// A connection over TCP.
    pub(crate) async fn tcp(&self) -> Channel {
        let address = self.running().addresses().tcp.unwrap();
        Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap()
    }

    /// A connection over the Unix socket.
    pub(crate) async fn unix(&self) -> Channel {
        let path = self.running().addresses().unix.clone().unwrap();
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
        });
        Endpoint::from_static("http://unix").connect_with_connector(connect).await.unwrap()
    }

    pub(crate) async fn features(&self) -> FeatureServiceClient<Channel> {
        FeatureServiceClient::new(self.tcp().await)
    }

    pub(crate) async fn ingest(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.tcp().await)
    }

    pub(crate) async fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.tcp().await)
    }

    /// The sample of a metric whose line begins like this; 0 if there is none yet.
    pub(crate) fn metric(&self, begins: &str) -> i64 {
        let (_, text) = self.http("/metrics");
        let line = text.lines().find(|line| line.starts_with(begins));
        line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    }

    /// A plain HTTP/1 GET of probes and metrics: status line and body.
    pub(crate) fn http(&self, path: &str) -> (String, String) {
        http(self.running().addresses().http.unwrap(), path).unwrap()
    }
}

/// A folder with a feature repo in it.
pub(crate) fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    std::fs::create_dir_all(repo.join("plugins")).unwrap();
    std::fs::write(repo.join("features.yaml"), DEFINITIONS).unwrap();
    std::fs::write(repo.join("plugins/double.wasm"), wat::parse_str(DOUBLE).unwrap()).unwrap();
    std::fs::write(repo.join("plugins/loops.wasm"), wat::parse_str(LOOPS).unwrap()).unwrap();
    dir
}

pub(crate) fn http(address: std::net::SocketAddr, path: &str) -> std::io::Result<(String, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(BOUND))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

pub(crate) fn config(dir: &Path) -> Config {
    let mut config = Config {
        repo_dir: dir.join("repo"),
        store_dir: dir.join("store"),
        cache_dir: dir.join("cache"),
        ..Config::default()
    };
    config.listen.tcp = Some(([127, 0, 0, 1], 0).into());
    config.listen.http = Some(([127, 0, 0, 1], 0).into());
    config.listen.unix = Some(dir.join("s.sock"));
    config.store.cache_bytes = 8 << 20;
    config.engine.instances_max = 32;
    // A machine that runs many tests at once takes a plugin's thread away for longer than the defaults.
    config.engine.deadline_ticks = 2_000;
    config.limits.queue_wait_ms_max = 60_000;
    config.life.threads = 2;
    config
}

pub(crate) fn texts(name: &str, values: &[Option<&str>]) -> pb::Column {
    let mut column = Column::new(Type::Utf8);
    values.iter().for_each(|value| match value {
        Some(value) => column.push_utf8(value),
        None => column.push_null(),
    });
    wire::column(name, &column)
}

pub(crate) fn floats(name: &str, values: &[f64]) -> pb::Column {
    let mut column = Column::new(Type::Float64);
    column.extend_f64s(values);
    wire::column(name, &column)
}

/// Asks `service` for airports, with an hour for each.
pub(crate) fn ask(service: &str, airports: &[Option<&str>]) -> pb::GetFeaturesRequest {
    let request = if service == "numbers" {
        vec![]
    } else {
        vec![floats("hour", &vec![7.5; airports.len()])]
    };
    pb::GetFeaturesRequest {
        wanted: Some(Wanted::Service(service.to_owned())),
        keys: vec![texts("faa", airports)],
        request,
        ..pb::GetFeaturesRequest::default()
    }
}

/// One row of weather.
pub(crate) fn weather(airport: &str, event_us: i64, wind: f64) -> pb::IngestRequest {
    pb::IngestRequest {
        view: "weather".to_owned(),
        keys: vec![texts("faa", &[Some(airport)])],
        event_us: vec![event_us],
        features: vec![floats("wind", &[wind]), texts("sky", &[Some("clear")])],
        ..pb::IngestRequest::default()
    }
}

/// One message of a bulk load that replaces the weather.
pub(crate) fn bulk(keys: &[&str], wind: f64) -> pb::LoadRequest {
    let keys: Vec<_> = keys.iter().map(|key| Some(*key)).collect();
    pb::LoadRequest {
        view: "weather".into(),
        mode: pb::LoadMode::Replace as i32,
        event_us: vec![NOON; keys.len()],
        features: vec![floats("wind", &vec![wind; keys.len()])],
        keys: vec![texts("faa", &keys)],
        ..pb::LoadRequest::default()
    }
}

/// The values of a float64 feature.
pub(crate) fn float64s(answer: &pb::GetFeaturesResponse, index: usize) -> Vec<f64> {
    answer.columns[index].column.as_ref().unwrap().float64s.clone()
}

pub(crate) fn refused<T: std::fmt::Debug>(
    result: Result<T, tonic::Status>,
    code: Code,
    parts: &[&str],
) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    for part in parts {
        assert!(status.message().contains(part), "expected `{part}` in `{}`", status.message());
    }
}

/// Waits until a condition holds, for at most [`BOUND`].
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    while !holds() {
        assert!(start.elapsed() < BOUND, "waited in vain: {what}");
        looks.tick().await;
    }
}

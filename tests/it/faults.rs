//! What goes wrong, end to end: a live sidecar over gRPC with plugins that break, definitions that are broken, loads
//! that end early, and a process that is killed. Each costs what it must, nothing else, and the sidecar is well
//! afterwards. What a broken guest is to the engine alone is tested there.

mod guests;
mod halved;
mod killed;
mod limits;
mod loading;
mod reload;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use skewless_batch::{Column, Type};
use skewless_catalog::Status;
use skewless_proto::v1 as pb;
use skewless_proto::v1::admin_service_client::AdminServiceClient;
use skewless_proto::v1::feature_service_client::FeatureServiceClient;
use skewless_proto::v1::get_features_request::Wanted;
use skewless_proto::v1::ingest_service_client::IngestServiceClient;
use skewless_server::{Clock, Running};
use skewless_tests::{online, plugins, wire};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// 2013-01-01T12:00:00 UTC in microseconds: the time at which these sidecars stand still.
const NOON_US: i64 = 1_357_041_600_000_000;
const SECOND_US: i64 = 1_000_000;

/// One view of two numbers, one plugin that adds them, and whatever a test appends: transforms, then services.
const DEFINITIONS: &str = "\
entities:
  - {name: thing, keys: [{name: id, type: int64}]}
views:
  - {name: numbers, entity: thing, features: [{name: a, type: float64}, {name: b, type: float64}]}
transforms:
  - {name: good, plugin: plugins/adds.wasm, inputs: {a: numbers.a, b: numbers.b}}
";
const CALM: &str = "  - {name: calm, features: [numbers.a, numbers.b, good.sum]}\n";

/// A sidecar, its folder and a connection to it.
struct Live {
    sidecar: Running,
    folder: TempDir,
    channel: Channel,
}

impl Live {
    /// Over these definitions, with these programs of `tests/programs` as plugins.
    async fn start(definitions: &str, programs: &[&str]) -> Result<Live> {
        let folder = tempfile::tempdir()?;
        write_repo(&folder.path().join("repo"), definitions, programs)?;
        let sidecar = start(folder.path(), NOON_US)?;
        let channel = online::connect(&sidecar).await?;
        Ok(Live { sidecar, folder, channel })
    }

    fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    fn features(&self) -> FeatureServiceClient<Channel> {
        FeatureServiceClient::new(self.channel.clone())
    }

    fn ingest(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel.clone())
    }

    fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    /// What a service answers about these things.
    async fn ask(&self, service: &str, ids: &[Option<i64>]) -> Result<pb::GetFeaturesResponse> {
        Ok(self.features().get_features(question(service, ids)).await?.into_inner())
    }

    /// A page of the HTTP port.
    fn page(&self, path: &str) -> Result<String> {
        let address = self.sidecar.addresses().http.context("an HTTP address")?;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// That every way to ask says it is well.
    async fn ensure_well(&self) -> Result<()> {
        let mut health = HealthClient::new(self.channel.clone());
        for service in ["", "skewless.v1.FeatureService"] {
            let request = HealthCheckRequest { service: service.to_owned() };
            let status = health.check(request).await?.into_inner().status;
            ensure!(status == ServingStatus::Serving as i32, "`{service}` has status {status}");
        }
        for probe in ["/livez", "/readyz"] {
            let answer = self.page(probe)?;
            ensure!(answer.starts_with("HTTP/1.1 200 OK"), "{probe} said {answer}");
        }
        Ok(())
    }
}

/// A sidecar over `folder/repo`, with limits for a machine that runs many tests at once.
fn start(folder: &Path, now_us: i64) -> Result<Running> {
    online::start(&folder.join("repo"), folder, Clock::manual(now_us), |config| {
        config.engine.deadline_ticks = 250;
        config.engine.instances_max = 128;
        config.life.threads = 2;
        config.store.cache_bytes = 8 << 20;
    })
}

fn write_repo(repo: &Path, definitions: &str, programs: &[&str]) -> Result<()> {
    std::fs::create_dir_all(repo.join("plugins"))?;
    std::fs::write(repo.join("features.yaml"), definitions)?;
    for name in programs {
        std::fs::write(plugin_path(repo, name), program(name)?)?;
    }
    Ok(())
}

fn plugin_path(repo: &Path, name: &str) -> PathBuf {
    repo.join("plugins").join(format!("{name}.wasm"))
}

/// A program of `tests/programs`, assembled.
fn program(name: &str) -> Result<Vec<u8>> {
    let path = plugins::root().join("tests/programs").join(format!("{name}.wat"));
    wat::parse_file(&path).map_err(|error| anyhow!("{error}"))
}

fn question(service: &str, ids: &[Option<i64>]) -> pb::GetFeaturesRequest {
    let mut column = Column::new(Type::Int64);
    for id in ids {
        match id {
            Some(id) => column.push_i64(*id),
            None => column.push_null(),
        }
    }
    pb::GetFeaturesRequest {
        wanted: Some(Wanted::Service(service.to_owned())),
        keys: vec![wire::to_message("id", &column.view(), 0, ids.len())],
        ..pb::GetFeaturesRequest::default()
    }
}

/// Rows of the view, (id, a, b) each, that all happened at one time.
fn numbers(event_us: i64, rows: &[(i64, f64, f64)]) -> pb::IngestRequest {
    let mut columns = [Type::Int64, Type::Float64, Type::Float64].map(Column::new);
    for (id, a, b) in rows {
        columns[0].push_i64(*id);
        columns[1].push_f64(*a);
        columns[2].push_f64(*b);
    }
    let message = |at: usize, name| wire::to_message(name, &columns[at].view(), 0, rows.len());
    pb::IngestRequest {
        view: "numbers".to_owned(),
        keys: vec![message(0, "id")],
        event_us: vec![event_us; rows.len()],
        features: vec![message(1, "a"), message(2, "b")],
        ..pb::IngestRequest::default()
    }
}

/// One float64 feature, row by row: its value or why there is none.
fn told(answer: &pb::GetFeaturesResponse, feature: &str) -> Result<Vec<Result<f64, Status>>> {
    let named = |column: &&pb::FeatureColumn| {
        column.column.as_ref().is_some_and(|column| column.name == feature)
    };
    let found = answer.columns.iter().find(named).with_context(|| format!("no {feature}"))?;
    let message = found.column.as_ref().context("a column")?;
    let rows = answer.rows as usize;
    let mut column = Column::new(Type::Float64);
    wire::append(message, rows, &mut column)?;
    let status = |row: usize| match found.statuses.get(row) {
        Some(status) => Status::from_u8(*status).context("a status"),
        None => Ok(Status::Present),
    };
    let cell = |row| {
        let status = status(row)?;
        ensure!(column.is_null(row) == (status != Status::Present), "{feature}, row {row}");
        Ok(if status == Status::Present { Ok(column.view().f64_at(row)) } else { Err(status) })
    };
    (0..rows).map(cell).collect()
}

/// The sample of a counter whose line begins like this.
fn counter(metrics: &str, begins: &str) -> Option<u64> {
    let line = metrics.lines().find(|line| line.starts_with(begins))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// Waits until a condition holds, for at most a minute.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    // Without a pause the looks would take a core from what is waited for.
    let mut looks = tokio::time::interval(Duration::from_millis(1));
    while !holds().await? {
        ensure!(start.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        looks.tick().await;
    }
    Ok(())
}

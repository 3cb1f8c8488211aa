//! The sidecar that is asked: its repo, its rows, and requests with an answer that was looked at; not what is
//! measured. It runs in this process; one in a process of its own is in `apart.rs`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use prost::Message;
use skewless_batch::{Column, Type};
use skewless_proto::v1 as pb;
use skewless_proto::v1::admin_service_client::AdminServiceClient;
use skewless_proto::v1::ingest_service_client::IngestServiceClient;
use skewless_server::{Clock, Running};
use skewless_tests::online;
use skewless_tests::plugins::core_modules;
use skewless_tests::story::History;
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use crate::draw::Draw;
use crate::load::{Caller, Load};

pub(crate) const ENTITIES: usize = 20_000;
/// Keys begin here, so that every request has the same length.
pub(crate) const FIRST_KEY: i64 = 1_000_000;
const VIEW: &str = "profile";
/// Features of the view; a service has all of them or some.
const STORED: usize = 100;
pub(crate) const AT_US: i64 = 1_372_680_000_000_000;
/// Rows of one call of ingest.
const INGEST_ROWS: usize = 4_000;
/// The writer's calls a second and rows a call: 5,000 rows a second of 100 features.
const WRITES_PER_SECOND: u32 = 50;
const WRITE_ROWS: usize = 100;

/// Transforms that services take: name, plugin, inputs, outputs.
const TRANSFORMS: [(&str, &str, &str, usize); 5] = [
    (
        "great_circle",
        "great_circle",
        "lat1: profile.f0, lon1: profile.f1, lat2: profile.f2, lon2: profile.f3",
        2,
    ),
    (
        "wind",
        "wind",
        "direction: profile.f4, speed: profile.f5, gust: profile.f6, course: profile.f7",
        4,
    ),
    ("calendar", "calendar", "at: request.at, utc_offset: 60", 14),
    ("ratios", "ratios", "part: profile.f8, whole: profile.f9", 6),
    (
        "route",
        "great_circle",
        "lat1: profile.f4, lon1: profile.f5, lat2: profile.f6, lon2: profile.f7",
        2,
    ),
];
/// The one that needs a value of the request.
const CALENDAR: usize = 2;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Service {
    pub(crate) stored: usize,
    /// Which of [`TRANSFORMS`].
    transforms: &'static [usize],
    /// Outputs of each that are asked for at most.
    outputs_max: usize,
    /// Whether instances are kept as they are after a call, not reset.
    reused: bool,
}

/// What goals speak of: 100 stored and 20 computed features.
pub(crate) const WHOLE: Service = Service::new(100, &[0, 1, 2]);
/// The same with plugins whose instances are reused, which definitions allow for certified ones.
pub(crate) const REUSED: Service = Service { reused: true, ..WHOLE };
pub(crate) const STORED_ONLY: Service = Service::new(100, NONE);
pub(crate) const FEW: Service = Service::new(10, NONE);
/// What peers are asked for, too: 10 stored and 5 computed.
pub(crate) const PEERS: Service = Service { outputs_max: 3, ..Service::new(10, &[0, 3]) };
/// No transform, one, and all five.
pub(crate) const NONE: &[usize] = &[];
pub(crate) const ONE: &[usize] = &[0];
pub(crate) const FIVE: &[usize] = &[0, 1, 2, 3, 4];

/// All services there are.
const SERVICES: [Service; 9] = [
    WHOLE,
    REUSED,
    STORED_ONLY,
    FEW,
    PEERS,
    Service::new(100, ONE),
    Service::new(100, FIVE),
    Service::new(10, ONE),
    Service::new(10, FIVE),
];

impl Service {
    pub(crate) const fn new(stored: usize, transforms: &'static [usize]) -> Self {
        Self { stored, transforms, outputs_max: usize::MAX, reused: false }
    }

    pub(crate) fn name(self) -> String {
        format!("s{}_t{}{}", self.stored, self.transforms.len(), self.suffix())
    }

    /// For people.
    pub(crate) fn shown(self) -> String {
        let reused = if self.reused { ", instances reused" } else { "" };
        format!("{} stored + {} computed{reused}", self.stored, self.computed())
    }

    /// What its transforms' names end with.
    fn suffix(self) -> &'static str {
        if self.reused { "_reused" } else { "" }
    }

    pub(crate) fn computed(self) -> usize {
        self.transforms.iter().map(|at| TRANSFORMS[*at].3.min(self.outputs_max)).sum()
    }
}

/// A sidecar with its rows.
pub(crate) struct World {
    pub(crate) sidecar: Running,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) threads: Runtime,
    /// Calls that all writers made: the rows of each are newer than those of the one before, whoever makes it.
    calls: Arc<AtomicI64>,
}

impl World {
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let repo = write_repo(folder.path())?;
        let sidecar = online::start(&repo, folder.path(), Clock::system(), |config| {
            config.listen.unix = Some(socket(folder.path()));
        })?;
        threads.block_on(async { ingest(online::connect(&sidecar).await?).await })?;
        Ok(Self { sidecar, folder, threads, calls: Arc::default() })
    }

    pub(crate) fn tcp(&self) -> Result<String> {
        Ok(url_tcp(self.sidecar.addresses().tcp.context("TCP")?))
    }

    pub(crate) fn unix(&self) -> Result<String> {
        Ok(url_unix(self.sidecar.addresses().unix.as_deref().context("Unix")?))
    }

    /// Requests of `entities` keys each: see [`load_of`].
    pub(crate) fn load(&self, service: Service, entities: usize) -> Result<Load> {
        load_of(&self.threads, &self.tcp()?, service, entities)
    }

    /// Starts rows arriving.
    pub(crate) fn write(&self) -> Result<Writer> {
        let url = self.tcp()?;
        let (stop, rows) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, written) = (Arc::clone(&stop), Arc::clone(&rows));
        let calls = Arc::clone(&self.calls);
        let thread = std::thread::spawn(move || writes(&url, &stopped, &written, &calls));
        Ok(Writer { stop, rows, thread: Some(thread) })
    }
}

/// Requests of `entities` keys each, drawn uniformly, and an answer after having looked at it. Every entity is
/// asked for once, so that all rows are in the block cache when time counts.
pub(crate) fn load_of(
    threads: &Runtime,
    url: &str,
    service: Service,
    entities: usize,
) -> Result<Load> {
    let mut draw = Draw::new(entities as u64);
    let requests = if entities == 1 {
        (0..ENTITIES).map(|entity| request(service, &[entity])).collect()
    } else {
        let many = (ENTITIES / entities).max(200);
        let keys =
            |draw: &mut Draw| (0..entities).map(|_| draw.below(ENTITIES)).collect::<Vec<_>>();
        (0..many).map(|_| request(service, &keys(&mut draw))).collect()
    };
    let mut load = Load::new(&format!("{}x{entities}", service.name()), requests);
    load.answer = threads.block_on(async {
        let mut caller = Caller::connect(url).await?;
        for request in load.requests.iter().skip(1) {
            caller.call(request.clone(), &load.path).await?;
        }
        caller.call(load.requests[0].clone(), &load.path).await
    })?;
    let decoded = pb::GetFeaturesResponse::decode(load.answer.clone())?;
    let features = service.stored + service.computed();
    ensure!(decoded.columns.len() == features, "{} features came", decoded.columns.len());
    ensure!(decoded.rows as usize == entities, "{} rows came", decoded.rows);
    let present = decoded.columns.iter().all(|column| column.statuses.is_empty());
    ensure!(present && decoded.failures_total == 0, "{:?}", decoded.failures);
    Ok(load)
}

/// Where a sidecar listens, of which this is the folder.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("sidecar.sock")
}

/// What a sidecar says about itself.
pub(crate) fn metrics(http: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(http)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

pub(crate) fn url_tcp(address: SocketAddr) -> String {
    format!("http://{address}")
}

pub(crate) fn url_unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Rows that arrive at a fixed rate until this is dropped.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    rows: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Writer {
    /// For people.
    pub(crate) fn shown() -> String {
        format!(
            "{} rows a second of {STORED} features arrive in calls of {WRITE_ROWS}",
            WRITES_PER_SECOND as usize * WRITE_ROWS
        )
    }

    /// Ends it; fails if it failed, or wrote nothing.
    pub(crate) fn end(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a writer ends once")?;
        thread.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        ensure!(self.rows.load(Ordering::Relaxed) > 0, "expected rows to be written, came none");
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn writes(url: &str, stop: &AtomicBool, written: &AtomicU64, calls: &AtomicI64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(url.to_owned())?.connect().await?;
        let mut client = IngestServiceClient::new(channel);
        let (start, mut draw) = (Instant::now(), Draw::new(9));
        for call in 1_u32.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let newer_us = calls.fetch_add(1, Ordering::Relaxed) + 1;
            client.ingest(arriving(&mut draw, newer_us)).await?;
            written.fetch_add(WRITE_ROWS as u64, Ordering::Relaxed);
            let due = start + Duration::from_secs(1) * call / WRITES_PER_SECOND;
            tokio::time::sleep_until(due.into()).await;
        }
        Ok(())
    })
}

/// One call of ingest: rows of entities drawn uniformly, `newer_us` newer than those that every entity has.
pub(crate) fn arriving(draw: &mut Draw, newer_us: i64) -> pb::IngestRequest {
    let keys: Vec<usize> = (0..WRITE_ROWS).map(|_| draw.below(ENTITIES)).collect();
    let rows = history(VIEW, STORED, &keys, AT_US + newer_us);
    online::rows(&rows, 0, keys.len())
}

/// Definitions and plugins, in a folder of their own below `folder`, which is given back.
pub(crate) fn write_repo(folder: &Path) -> Result<PathBuf> {
    let repo = folder.join("repo");
    std::fs::create_dir_all(repo.join("plugins"))?;
    let mut transforms = String::new();
    for (name, plugin, inputs, outputs) in TRANSFORMS {
        let module = core_modules()?.iter().find(|module| module.signature.name == plugin);
        let module = module.with_context(|| format!("expected a plugin {plugin}"))?;
        ensure!(module.signature.outputs.len() == outputs, "{plugin} has other outputs");
        std::fs::write(repo.join("plugins").join(&module.file), &module.wasm)?;
        let file = &module.file;
        // The plugins of the house are certified in its tests; certificates change no call.
        transforms.push_str(&format!(
            "  - {{name: {name}, plugin: plugins/{file}, inputs: {{{inputs}}}}}\n  \
             - {{name: {name}_reused, plugin: plugins/{file}, inputs: {{{inputs}}}, instance: reused, \
             require_certificate: false}}\n",
        ));
    }
    let features: String =
        (0..STORED).map(|at| format!("      - {{name: f{at}, type: float64}}\n")).collect();
    let mut yaml = format!(
        "entities:\n  - {{name: user, keys: [{{name: user_id, type: int64}}]}}\n\
         views:\n  - name: {VIEW}\n    entity: user\n    features:\n{features}\
         requests:\n  - {{name: at, type: timestamp}}\n\
         transforms:\n{transforms}services:\n",
    );
    for service in SERVICES {
        yaml.push_str(&format!("  - name: {}\n    features:\n", service.name()));
        (0..service.stored).for_each(|at| yaml.push_str(&format!("      - profile.f{at}\n")));
        for (name, plugin, _, _) in service.transforms.iter().map(|at| TRANSFORMS[*at]) {
            let module = core_modules()?.iter().find(|module| module.signature.name == plugin);
            let outputs = module.into_iter().flat_map(|module| &module.signature.outputs);
            let outputs = outputs.take(service.outputs_max);
            let suffix = service.suffix();
            yaml.extend(outputs.map(|output| format!("      - {name}{suffix}.{}\n", output.name)));
        }
    }
    std::fs::write(repo.join("features.yaml"), yaml)?;
    Ok(repo)
}

/// Rows of every entity, written out to files.
pub(crate) async fn ingest(channel: Channel) -> Result<()> {
    let all: Vec<usize> = (0..ENTITIES).collect();
    let history = history(VIEW, STORED, &all, AT_US);
    let mut rows = IngestServiceClient::new(channel.clone());
    for from in (0..ENTITIES).step_by(INGEST_ROWS) {
        rows.ingest(online::rows(&history, from, ENTITIES.min(from + INGEST_ROWS))).await?;
    }
    AdminServiceClient::new(channel).flush(pb::FlushRequest {}).await?;
    Ok(())
}

/// Rows of some entities, of features `f0`, `f1` and so on, that became true and known at one time.
pub(crate) fn history(view: &str, features: usize, entities: &[usize], at_us: i64) -> History {
    let mut keys = Column::new(Type::Int64);
    entities.iter().for_each(|entity| keys.push_i64(FIRST_KEY + *entity as i64));
    let feature = |at: usize| {
        let mut column = Column::new(Type::Float64);
        // Of any entity and feature another, from 1 to 90: a latitude, a direction, a speed.
        let value = |entity: usize| ((entity * 7 + at * 13) % 8_900) as f64 / 100.0 + 1.0;
        entities.iter().for_each(|entity| column.push_f64(value(*entity)));
        (format!("f{at}"), column)
    };
    History {
        view: view.to_owned(),
        keys: vec![("user_id".to_owned(), keys)],
        event_us: vec![at_us; entities.len()],
        known_us: vec![at_us; entities.len()],
        deleted: vec![false; entities.len()],
        features: (0..features).map(feature).collect(),
    }
}

/// An encoded request.
fn request(service: Service, entities: &[usize]) -> Bytes {
    let column = |name: &str, ty: pb::Type| pb::Column {
        name: name.to_owned(),
        r#type: ty as i32,
        ..pb::Column::default()
    };
    let keys = entities.iter().map(|entity| FIRST_KEY + *entity as i64).collect();
    let key = pb::Column { int64s: keys, ..column("user_id", pb::Type::Int64) };
    let at = vec![AT_US; entities.len()];
    let at = pb::Column { timestamps: at, ..column("at", pb::Type::Timestamp) };
    let request = pb::GetFeaturesRequest {
        wanted: Some(pb::get_features_request::Wanted::Service(service.name())),
        keys: vec![key],
        request: if service.transforms.contains(&CALENDAR) { vec![at] } else { Vec::new() },
        ..pb::GetFeaturesRequest::default()
    };
    Bytes::from(request.encode_to_vec())
}

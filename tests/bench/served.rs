//! F1 and F5: a whole call of GetFeatures over an echo of the same bytes, and what it costs inside; not
//! many rows in a call, nor calls while rows arrive.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

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

use crate::allocations;
use crate::echo::Echo;
use crate::load::{Caller, Load, THROUGHPUT, throughput};
use crate::report::{Goal, Line, Table};
use crate::rounds::{Pair, interleave};

const ENTITIES: usize = 20_000;
/// Keys begin here, so that every request has the same length.
const FIRST_KEY: i64 = 1_000_000;
const STORED: usize = 100;
const COMPUTED: usize = 20;
const STORED_FEW: usize = 10;
const AT_US: i64 = 1_372_680_000_000_000;
/// Rows of one call of ingest.
const INGEST_ROWS: usize = 4_000;
/// Calls of one round of latency.
const CALLS: usize = 2_000;

/// Services: name, stored features, computed features.
const SERVICES: [(&str, usize, usize); 3] =
    [("whole", STORED, COMPUTED), ("stored", STORED, 0), ("few", STORED_FEW, 0)];

pub(crate) fn measure(rounds: usize) -> Result<Vec<Table>> {
    let folder = tempfile::tempdir()?;
    let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let sidecar = start(folder.path())?;
    threads.block_on(ingest(&sidecar))?;
    let mut loads = Vec::new();
    for (service, stored, computed) in SERVICES {
        loads.push(load(&threads, &sidecar, service, stored + computed)?);
    }
    let echo = Echo::start(folder.path(), loads.iter().map(Load::answer).collect())?;
    let mut tables = vec![latency(rounds, &waiting, &threads, &sidecar, &echo, &loads)?];
    tables.push(inside(&waiting, &sidecar, &loads)?);
    tables.push(allocated(&waiting, &sidecar, &echo, &loads)?);
    drop(echo);
    sidecar.shutdown();
    Ok(tables)
}

/// F1.
fn latency(
    rounds: usize,
    waiting: &Runtime,
    threads: &Runtime,
    sidecar: &Running,
    echo: &Echo,
    loads: &[Load],
) -> Result<Table> {
    let mut lines = Vec::new();
    let addresses = sidecar.addresses();
    let transports = [
        ("TCP", url_tcp(echo.tcp), url_tcp(addresses.tcp.context("TCP")?)),
        ("Unix", url_unix(&echo.unix), url_unix(addresses.unix.as_deref().context("Unix")?)),
    ];
    for (transport, floor, ours) in &transports {
        for (load, (service, stored, computed)) in loads.iter().zip(SERVICES).take(2) {
            let mut floor_one = waiting.block_on(Caller::connect(floor))?;
            let mut ours_one = waiting.block_on(Caller::connect(ours))?;
            let [p50, p99] = interleave(
                rounds,
                || waiting.block_on(floor_one.quantiles(load, &load.echo_path, CALLS)),
                || waiting.block_on(ours_one.quantiles(load, &load.path, CALLS)),
            )?;
            let [per_second, processor] = interleave(
                rounds.div_ceil(2),
                || threads.block_on(throughput(floor, load, &load.echo_path)),
                || threads.block_on(throughput(ours, load, &load.path)),
            )?;
            let goals = if service == "whole" {
                [
                    Some(Goal::RatioAtMost(1.3)),
                    Some(Goal::RatioAtMost(1.5)),
                    Some(Goal::RatioAtLeast(0.8)),
                    None,
                ]
            } else {
                [None; 4]
            };
            let measured = [
                ("p50", "us", p50),
                ("p99", "us", p99),
                ("calls a second, 8 callers", "", per_second),
                ("processor time a call, 8 callers", "us", processor),
            ];
            for ((what, unit, pair), goal) in measured.into_iter().zip(goals) {
                let what = format!("{stored} stored + {computed} computed, {transport}, {what}");
                let mut line = Line::new(what, unit, pair);
                line.goal = goal;
                lines.push(line);
            }
        }
    }
    let bytes: Vec<String> = loads.iter().take(2).map(Load::bytes).collect();
    let method = format!(
        "Floor: a tonic server that answers each request with the same bytes that GetFeatures did, decoding nothing. Same \
         client, same runtime, same transport; messages as raw bytes on the client's side. One entity a call, drawn uniformly \
         from {ENTITIES}; float64 features; computed ones by `calendar`, `great_circle` and `wind` (20 outputs) under the \
         default policy `reset`. {}. All rows in the block cache, no writes. Latency: one caller, closed loop, {CALLS} calls a round. Throughput: 8 callers with a \
         connection each, {} ms a round. Client, echo and sidecar share the machine's cores.",
        bytes.join("; "),
        THROUGHPUT.as_millis()
    );
    let title = "F1: GetFeatures over an echo of the same bytes";
    Ok(Table { title, method, heads: ["echo", "GetFeatures"], ratios: true, lines })
}

/// F5, times: the sidecar's own histograms, their sums before and after.
fn inside(waiting: &Runtime, sidecar: &Running, loads: &[Load]) -> Result<Table> {
    let tcp = url_tcp(sidecar.addresses().tcp.context("TCP")?);
    let mut caller = waiting.block_on(Caller::connect(&tcp))?;
    let http = sidecar.addresses().http.context("HTTP")?;
    let mut lines = Vec::new();
    for (load, (service, stored, computed)) in loads.iter().zip(SERVICES) {
        for stage in ["decode", "store", "compute", "encode", "total"] {
            let mut means = Vec::new();
            for _ in 0..5 {
                let before = stage_sum(http, service, stage)?;
                waiting.block_on(caller.quantiles(load, &load.path, CALLS))?;
                let (sum, count) = stage_sum(http, service, stage)?;
                means.push((sum - before.0) / (count - before.1) * 1e6);
            }
            let what = format!("{stored} stored + {computed} computed, {stage}");
            let line = Line::new(what, "us", Pair { floor: Vec::new(), ours: means });
            lines.push(if stage == "total" { line.goal(Goal::AtMost(10.0)) } else { line });
        }
    }
    let method = "Means from the sidecar's own metrics (`skewless_request_seconds`) while the calls of F1 run over TCP: from the \
                  decoded message to the answer's bytes, without gRPC. Stages: request columns into the frame, read of the \
                  store, transforms, encoding."
        .to_owned();
    let title = "F5: inside the handler";
    Ok(Table { title, method, heads: ["", "mean"], ratios: false, lines })
}

/// F5, allocations.
fn allocated(waiting: &Runtime, sidecar: &Running, echo: &Echo, loads: &[Load]) -> Result<Table> {
    let ours = url_tcp(sidecar.addresses().tcp.context("TCP")?);
    let mut floor = waiting.block_on(Caller::connect(&url_tcp(echo.tcp)))?;
    let mut ours = waiting.block_on(Caller::connect(&ours))?;
    let mut lines = Vec::new();
    for (load, (_, stored, computed)) in loads.iter().zip(SERVICES) {
        let count = |caller: &mut Caller, path| {
            waiting.block_on(caller.quantiles(load, path, CALLS))?; // warm
            let count =
                allocations(|| waiting.block_on(caller.quantiles(load, path, CALLS)).map(drop))?;
            anyhow::Ok(count as f64 / CALLS as f64)
        };
        let pair = Pair {
            floor: vec![count(&mut floor, &load.echo_path)?],
            ours: vec![count(&mut ours, &load.path)?],
        };
        lines.push(Line::new(format!("{stored} stored + {computed} computed"), "", pair));
    }
    let method = "Heap allocations of the whole process a call, client's included, RocksDB's own (C++) not. The difference to the \
                  echo is ours; if it doesn't grow with the number of features, nothing is allocated per feature."
        .to_owned();
    let title = "F5: allocations a call";
    Ok(Table { title, method, heads: ["echo", "GetFeatures"], ratios: true, lines })
}

fn url_tcp(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn url_unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Sum of seconds and count of one stage's histogram.
fn stage_sum(http: SocketAddr, service: &str, stage: &str) -> Result<(f64, f64)> {
    let mut stream = TcpStream::connect(http)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let value = |series: &str| {
        let line = text.lines().find(|line| {
            line.starts_with(&format!("skewless_request_seconds_{series}{{"))
                && line.contains(&format!("service=\"{service}\""))
                && line.contains(&format!("stage=\"{stage}\""))
        });
        let value = line.and_then(|line| line.rsplit(' ').next()).context("expected a metric")?;
        anyhow::Ok(value.parse::<f64>()?)
    };
    Ok((value("sum")?, value("count")?))
}

fn start(folder: &Path) -> Result<Running> {
    let repo = folder.join("repo");
    std::fs::create_dir_all(repo.join("plugins"))?;
    let mut files = Vec::new();
    for name in ["calendar", "great_circle", "wind"] {
        let module = core_modules()?.iter().find(|module| module.signature.name == name);
        let module = module.with_context(|| format!("expected a plugin {name}"))?;
        std::fs::write(repo.join("plugins").join(&module.file), &module.wasm)?;
        files.push(module);
    }
    let features: String =
        (0..STORED).map(|at| format!("      - {{name: f{at}, type: float64}}\n")).collect();
    let [calendar, great_circle, wind] = &files[..] else {
        anyhow::bail!("expected three plugins")
    };
    let mut yaml = format!(
        "entities:\n  - {{name: user, keys: [{{name: user_id, type: int64}}]}}\n\
         views:\n  - name: profile\n    entity: user\n    features:\n{features}\
         requests:\n  - {{name: at, type: timestamp}}\n\
         transforms:\n\
         \x20 - {{name: calendar, plugin: plugins/{}, inputs: {{at: request.at, utc_offset: 60}}}}\n\
         \x20 - {{name: great_circle, plugin: plugins/{}, inputs: {{lat1: profile.f0, lon1: profile.f1, lat2: profile.f2, lon2: profile.f3}}}}\n\
         \x20 - {{name: wind, plugin: plugins/{}, inputs: {{direction: profile.f4, speed: profile.f5, gust: profile.f6, course: profile.f7}}}}\n\
         services:\n",
        calendar.file, great_circle.file, wind.file
    );
    for (service, stored, computed) in SERVICES {
        yaml.push_str(&format!("  - name: {service}\n    features:\n"));
        (0..stored).for_each(|at| yaml.push_str(&format!("      - profile.f{at}\n")));
        let outputs = files.iter().filter(|_| computed > 0).flat_map(|module| {
            let outputs = module.signature.outputs.iter();
            outputs.map(|output| format!("      - {}.{}\n", module.signature.name, output.name))
        });
        yaml.extend(outputs);
    }
    std::fs::write(repo.join("features.yaml"), yaml)?;
    online::start(&repo, folder, Clock::system(), |config| {
        config.listen.unix = Some(folder.join("sidecar.sock"));
    })
}

/// Rows of every entity, written out to files.
async fn ingest(sidecar: &Running) -> Result<()> {
    let channel = online::connect(sidecar).await?;
    let mut keys = Column::new(Type::Int64);
    (0..ENTITIES as i64).for_each(|entity| keys.push_i64(FIRST_KEY + entity));
    let feature = |at: usize| {
        let mut column = Column::new(Type::Float64);
        // Of any entity and feature another, from 1 to 90: a latitude, a direction, a speed.
        let value = |entity: usize| ((entity * 7 + at * 13) % 8_900) as f64 / 100.0 + 1.0;
        (0..ENTITIES).for_each(|entity| column.push_f64(value(entity)));
        (format!("f{at}"), column)
    };
    let history = History {
        view: "profile".to_owned(),
        keys: vec![("user_id".to_owned(), keys)],
        event_us: vec![AT_US; ENTITIES],
        known_us: vec![AT_US; ENTITIES],
        deleted: vec![false; ENTITIES],
        features: (0..STORED).map(feature).collect(),
    };
    let mut rows = IngestServiceClient::new(channel.clone());
    for from in (0..ENTITIES).step_by(INGEST_ROWS) {
        rows.ingest(online::rows(&history, from, ENTITIES.min(from + INGEST_ROWS))).await?;
    }
    AdminServiceClient::new(channel).flush(pb::FlushRequest {}).await?;
    Ok(())
}

/// All requests of a service, and its answer after having looked at it.
fn load(threads: &Runtime, sidecar: &Running, service: &str, features: usize) -> Result<Load> {
    let request = |entity: i64| {
        let column = |name: &str, ty: pb::Type| pb::Column {
            name: name.to_owned(),
            r#type: ty as i32,
            ..pb::Column::default()
        };
        let key = pb::Column { int64s: vec![entity], ..column("user_id", pb::Type::Int64) };
        let at = pb::Column { timestamps: vec![AT_US], ..column("at", pb::Type::Timestamp) };
        let request = pb::GetFeaturesRequest {
            wanted: Some(pb::get_features_request::Wanted::Service(service.to_owned())),
            keys: vec![key],
            request: if service == "whole" { vec![at] } else { Vec::new() },
            ..pb::GetFeaturesRequest::default()
        };
        Bytes::from(request.encode_to_vec())
    };
    let requests: Vec<Bytes> = (0..ENTITIES as i64).map(|at| request(FIRST_KEY + at)).collect();
    let mut load = Load::new(service, requests);
    let url = url_tcp(sidecar.addresses().tcp.context("TCP")?);
    let answer = threads.block_on(async {
        let mut caller = Caller::connect(&url).await?;
        // Every row once, so that all of them are in the block cache when time counts.
        for request in &load.requests[1..] {
            caller.call(request.clone(), &load.path).await?;
        }
        caller.call(load.requests[0].clone(), &load.path).await
    })?;
    let decoded = pb::GetFeaturesResponse::decode(answer.clone())?;
    ensure!(decoded.columns.len() == features, "{} features came", decoded.columns.len());
    let present = decoded.columns.iter().all(|column| column.statuses.is_empty());
    ensure!(present && decoded.failures_total == 0, "{:?}", decoded.failures);
    load.answer = answer;
    Ok(load)
}

//! The tail: latency under a modest rate of arrivals while the sidecar has one more thing to do, over the same rate
//! while it has nothing else to do; one thing at a time, quiet and busy by turns. Not overload, and not how long that
//! thing takes.
//!
//! The sidecar does it on its own core, beside its calls, as it would in production; whoever asks for it is with the
//! generator, and sends bytes that were made beforehand where there are many.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use prost::Message;
use skewless_proto::v1 as pb;
use skewless_proto::v1::admin_service_client::AdminServiceClient;
use skewless_proto::v1::ingest_service_client::IngestServiceClient;
use skewless_tests::online;
use skewless_tests::plugins::core_modules;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use crate::Mode;
use crate::apart::{Apart, Gate, LOADED, LOADED_VIEW};
use crate::arrivals::{CONNECTIONS, Side, lines_of, quantile_points, rounds, take_turns};
use crate::cores::Cores;
use crate::draw::Draw;
use crate::load::{CALLERS, throughput};
use crate::plot::{Axis, Plot, Scale, Series};
use crate::raw::RawCodec;
use crate::report::{Goal, Line, Part, Table};
use crate::rounds::{Pair, median};
use crate::world::{AT_US, WHOLE, arriving, history};

/// Of what a closed loop gets: a sidecar that has time to spare.
const RATE_PERCENT: f64 = 25.0;
/// p50, p99 and p99.9: a turn is too short for more.
const QUANTILES: usize = 3;
/// What the goal is about.
const TAIL: &str = "p99.9";
/// Of a bulk load, and of each of its messages.
const LOAD_ROWS: usize = 200_000;
const MESSAGE_ROWS: usize = 10_000;

/// What the sidecar does beside its calls.
#[derive(Clone, Copy)]
enum Activity {
    Flush,
    Compaction,
    Reload,
    Compile,
    Scrape,
    Load,
}

const ACTIVITIES: [Activity; 6] = [
    Activity::Flush,
    Activity::Compaction,
    Activity::Reload,
    Activity::Compile,
    Activity::Scrape,
    Activity::Load,
];

impl Activity {
    fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Compaction => "compaction",
            Self::Reload => "reload",
            Self::Compile => "new plugin",
            Self::Scrape => "scrape",
            Self::Load => "bulk load",
        }
    }

    /// Time from the beginning of one to that of the next; none: one after the other.
    fn every(self) -> Option<Duration> {
        match self {
            Self::Flush | Self::Scrape => Some(Duration::from_millis(100)),
            Self::Reload => Some(Duration::from_millis(500)),
            Self::Compaction | Self::Compile | Self::Load => None,
        }
    }
}

pub(crate) fn measure(mode: Mode) -> Result<Part> {
    // Plugins are built the first time, which one core would take long for.
    core_modules()?;
    let cores = Cores::choose();
    let _kept = cores.keep_generator()?;
    let sidecar = Apart::start(&cores, Gate::Usual)?;
    sidecar.fill()?;
    let load = sidecar.load(WHOLE, 1)?;
    let mut rates = Vec::new();
    for _ in 0..3 {
        let url = sidecar.url();
        rates.push(sidecar.threads.block_on(throughput(&url, &load, &load.path))?[0]);
    }
    let per_second = median(&rates) * RATE_PERCENT / 100.0;
    let work = Work::new(&sidecar)?;
    let (mut lines, mut series, mut part) = (Vec::new(), Vec::new(), Part::default());
    let mut quiet_latency = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3)?;
    for activity in ACTIVITIES {
        let name = activity.name();
        let mut sides =
            [Side::new("quiet", sidecar.target(&load)?)?, Side::new(name, sidecar.target(&load)?)?];
        // How often a second it was done, in each round.
        let mut times = Vec::new();
        take_turns(mode, per_second, turn(mode), &mut sides, |busy, load| {
            times.push(work.beside(activity, || busy.turn(load))?);
            Ok(())
        })?;
        lines.extend(lines_of_activity(name, &sides, times));
        let [quiet, busy] = sides;
        quiet_latency.add(&quiet.latency).context("histograms of one kind")?;
        let points = quantile_points(&busy.latency);
        series.push(Series { name: name.to_owned(), points, floor: false });
        part.histograms.push((format!("tail-{}", name.replace(' ', "-")), busy.latency));
    }
    let points = quantile_points(&quiet_latency);
    series.push(Series { name: "quiet".to_owned(), points, floor: true });
    part.histograms.push(("tail-quiet".to_owned(), quiet_latency));
    part.tables = vec![Table {
        title: "Tail: with one thing going on in the background",
        method: method(mode, &cores, per_second, &work),
        heads: ["quiet", "busy"],
        ratios: true,
        lines,
    }];
    part.plots.push(("tail-latency".to_owned(), plot(series)));
    Ok(part)
}

/// How long a turn is counted.
fn turn(mode: Mode) -> Duration {
    Duration::from_millis(mode.scale.pick(1_000, 4_000, 8_000))
}

fn lines_of_activity(name: &str, sides: &[Side; 2], times: Vec<f64>) -> Vec<Line> {
    let mut lines = lines_of(name, sides, QUANTILES);
    for line in lines.iter_mut().filter(|line| line.what == format!("{name}, {TAIL}")) {
        line.goal = Some(Goal::RatioAtMost(3.0));
    }
    let [quiet, busy] = sides;
    let lateness =
        Pair { floor: quiet.lateness_tail_us.clone(), ours: busy.lateness_tail_us.clone() };
    lines.push(Line::new(format!("{name}, generator's lateness {TAIL}"), "us", lateness));
    let times = Pair { floor: Vec::new(), ours: times };
    lines.push(Line::new(format!("{name}, done a second"), "", times));
    lines
}

/// What activities need, made before time counts.
struct Work<'a> {
    sidecar: &'a Apart,
    /// Of things done: each row that arrives is newer than the one before, each plugin another.
    number: AtomicI64,
    /// The largest plugin that is served: its file and its bytes.
    plugin: PathBuf,
    wasm: &'static [u8],
    /// A whole load, encoded.
    messages: Vec<Bytes>,
}

impl<'a> Work<'a> {
    fn new(sidecar: &'a Apart) -> Result<Self> {
        let plugins = sidecar.folder.path().join("repo/plugins");
        let served = core_modules()?.iter().filter(|module| plugins.join(&module.file).exists());
        let largest = served.max_by_key(|module| module.wasm.len()).context("expected a plugin")?;
        Ok(Self {
            sidecar,
            number: AtomicI64::new(0),
            plugin: plugins.join(&largest.file),
            wasm: &largest.wasm,
            messages: messages(),
        })
    }

    /// Does `measured` while the sidecar does something else again and again; gives how often a second.
    fn beside(&self, activity: Activity, measured: impl FnOnce() -> Result<()>) -> Result<f64> {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| self.repeat(activity, &stop));
            let done = measured();
            stop.store(true, Ordering::Relaxed);
            let panicked = |_| anyhow!("the thread of `{}` panicked", activity.name());
            let times = running.join().map_err(panicked)?.context(activity.name())?;
            done.map(|()| times)
        })
    }

    fn repeat(&self, activity: Activity, stop: &AtomicBool) -> Result<f64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let channel = self.sidecar.connect().await?;
            let mut draw = Draw::new(3);
            let (start, mut times) = (Instant::now(), 0_u32);
            while !stop.load(Ordering::Relaxed) {
                self.once(activity, &channel, &mut draw).await?;
                times += 1;
                if let Some(every) = activity.every() {
                    tokio::time::sleep_until((start + every * times).into()).await;
                }
            }
            Ok(f64::from(times) / start.elapsed().as_secs_f64())
        })
    }

    async fn once(&self, activity: Activity, channel: &Channel, draw: &mut Draw) -> Result<()> {
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        match activity {
            Activity::Flush => {
                let mut ingest = IngestServiceClient::new(channel.clone());
                ingest.ingest(arriving(draw, number)).await?;
                AdminServiceClient::new(channel.clone()).flush(pb::FlushRequest {}).await?;
                Ok(())
            }
            Activity::Compaction => self.sidecar.compact(),
            Activity::Reload => apply(channel).await,
            Activity::Compile => {
                std::fs::write(&self.plugin, another(self.wasm, number))?;
                apply(channel).await
            }
            Activity::Scrape => {
                let text = self.sidecar.metrics()?;
                ensure!(text.contains("skewless_requests_in_flight"), "came {text}");
                Ok(())
            }
            Activity::Load => self.load(channel).await,
        }
    }

    /// As `skewless load --at` sends it.
    async fn load(&self, channel: &Channel) -> Result<()> {
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await?;
        let stream = tonic::Request::new(tokio_stream::iter(self.messages.clone()));
        let path = PathAndQuery::from_static("/skewless.v1.AdminService/Load");
        let answer: Bytes = grpc.client_streaming(stream, path, RawCodec).await?.into_inner();
        let keys = pb::LoadResponse::decode(answer)?.keys;
        ensure!(keys == LOAD_ROWS as u64, "expected {LOAD_ROWS} keys to be loaded, came {keys}");
        Ok(())
    }
}

async fn apply(channel: &Channel) -> Result<()> {
    let mut admin = AdminServiceClient::new(channel.clone());
    let answer = admin.apply(pb::ApplyRequest { dry_run: false }).await?.into_inner();
    ensure!(answer.applied, "expected definitions that are served, came {:?}", answer.diagnostics);
    Ok(())
}

/// The same plugin with another custom section, so another digest, of which no machine code is there yet.
fn another(wasm: &[u8], number: i64) -> Vec<u8> {
    let mut wasm = wasm.to_vec();
    // Section 0 with its length, a name with its length, and a number of eight bytes.
    wasm.extend_from_slice(&[0, 14, 5]);
    wasm.extend_from_slice(b"bench");
    wasm.extend_from_slice(&number.to_le_bytes());
    wasm
}

/// Rows of the view that nobody asks for, sorted by key; they replace those of the load before.
fn messages() -> Vec<Bytes> {
    let all: Vec<usize> = (0..LOAD_ROWS).collect();
    let chunks = all.chunks(MESSAGE_ROWS).map(|entities| {
        let history = history(LOADED_VIEW, LOADED, entities, AT_US);
        let rows = online::rows(&history, 0, entities.len());
        let message = pb::LoadRequest {
            view: LOADED_VIEW.to_owned(),
            mode: pb::LoadMode::Replace.into(),
            keys: rows.keys,
            event_us: rows.event_us,
            known_us: rows.known_us,
            deleted: rows.deleted,
            features: rows.features,
        };
        Bytes::from(message.encode_to_vec())
    });
    chunks.collect()
}

fn method(mode: Mode, cores: &Cores, per_second: f64, work: &Work<'_>) -> String {
    let plugin = work.plugin.file_name().map(|name| name.to_string_lossy().into_owned());
    format!(
        "{}, one entity a call, over a Unix socket. {}. Open loop as in F1, {CONNECTIONS} connections, Poisson arrivals, {per_second:.0} calls a \
         second: {RATE_PERCENT:.0} % of what {CALLERS} callers in a closed loop got. Quiet: nothing else. Busy: also, all the time, one of these. \
         Flush: 100 rows arrive and `Flush` is called, 10 times a second. Compaction: the whole store is compacted, again and again. \
         Reload: `Apply` of the same definitions, twice a second. New plugin: `Apply` again and again, each time with the largest plugin \
         ({}, {} KiB) under a new digest, which is compiled. Scrape: `GET /metrics`, 10 times a second. Bulk load: `Load` of {LOAD_ROWS} rows \
         of {LOADED} features into another view, again and again, as `skewless load --at` sends them; reading and sorting Parquet is \
         that command's and isn't in it. The sidecar does all of this on its one core, where calls wait for it; who asks for it is on the \
         generator's core. {} turns of {} ms of either kind after a quarter of that as warm-up.",
        WHOLE.shown(),
        cores.shown(),
        plugin.unwrap_or_default(),
        work.wasm.len() / 1024,
        rounds(mode),
        turn(mode).as_millis(),
    )
}

fn plot(series: Vec<Series>) -> Plot {
    Plot {
        title: "Tail: latency from when a call was due, at 25 % of closed-loop throughput"
            .to_owned(),
        x: Axis { label: "percentile", scale: Scale::Nines },
        y: Axis { label: "us", scale: Scale::Log },
        series,
    }
}

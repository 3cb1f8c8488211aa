//! Overload: a sidecar on a core of its own under 100, 150 and 200 % of the most that it can answer. How much it still
//! answers, how long that and a refusal take, and what a refusal costs it; not what callers do about a refusal.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use skewless_server::Config;
use skewless_tests::plugins::core_modules;
use tokio::task::JoinHandle;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;

use crate::Mode;
use crate::apart::{Apart, Gate};
use crate::arrivals::rounds;
use crate::cores::Cores;
use crate::draw::Arrivals;
use crate::load::{CALLERS, Expected, GET_FEATURES, Load, THROUGHPUT, closed_loop, throughput};
use crate::open_loop::{self, Measured, Target};
use crate::plot::{Axis, Plot, Scale, Series};
use crate::raw::RawCodec;
use crate::report::{Goal, Line, Part, Table};
use crate::rounds::{Pair, Spent, interleave, median};
use crate::world::WHOLE;

/// Entities a call.
const ENTITIES: [usize; 3] = [1, 10, 100];
const CONNECTIONS: usize = 8;
/// Unanswered calls at most: more than the sidecar has places for, less than what the connections take at once.
const CONCURRENCY: usize = 2_000;
/// Longer than the sidecar lets a call wait: an answer that takes longer is none in time.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Percent of the most that is answered.
const OVERLOADS: [u32; 3] = [100, 150, 200];
/// What the goal is about.
const WORST: u32 = 200;
/// Where the search for the peak begins and ends, percent of what a closed loop gets. A sidecar that has many calls at
/// hand works faster than for 8 callers, so the peak may be at the double.
const SEARCH: [f64; 2] = [60.0, 640.0];
/// Share of the most answers that makes a rate the peak: beyond it they are as many, but for noise.
const NEARLY: f64 = 0.97;
/// Looks, 10 ms apart, for the only place to be taken.
const LOOKS_MAX: usize = 1_000;

pub(crate) fn measure(mode: Mode) -> Result<Part> {
    // Plugins are built the first time, which one core would take long for.
    core_modules()?;
    let cores = Cores::choose();
    let _kept = cores.keep_generator()?;
    let sidecar = Apart::start(&cores, Gate::Usual)?;
    sidecar.fill()?;
    let loads = ENTITIES.into_iter().map(|entities| {
        let noun = if entities == 1 { "entity" } else { "entities" };
        Ok((entities, format!("{entities} {noun}"), sidecar.load(WHOLE, entities)?))
    });
    let loads: Vec<(usize, String, Load)> = loads.collect::<Result<_>>()?;
    let costs = costs(mode, &cores, &sidecar, &loads)?;
    let (mut goodput, mut seen, mut capacities) = (Vec::new(), Vec::new(), Vec::new());
    let (mut part, mut series) = (Part::default(), Vec::new());
    for (entities, name, load) in &loads {
        let target = sidecar.target(load)?;
        let bench = Bench { mode, sidecar: &sidecar, target };
        let capacity = bench.capacity(load)?;
        let search = bench.search(capacity)?;
        let whole = bench.overload(search)?;
        goodput.extend(whole.goodput_lines(name));
        seen.extend(whole.seen_lines(name));
        part.histograms.extend(whole.histograms(*entities));
        series.push(whole.series(name));
        let peak = median(&whole.peak.answers);
        let at = whole.peak.per_second * 100.0 / capacity;
        capacities.push(format!(
            "{name}: {peak:.0} answers a second, at {at:.0} % of the {capacity:.0} that {CALLERS} callers in a closed loop got"
        ));
    }
    series.push(Series {
        name: "all answered".to_owned(),
        points: vec![(0.0, 0.0), (100.0, 100.0), (200.0, 100.0)],
        floor: true,
    });
    part.tables = vec![
        Table {
            title: "Overload: answers a second over the peak",
            method: goodput_method(mode, &cores, &capacities),
            heads: ["at the peak", "under the load"],
            ratios: true,
            lines: goodput,
        },
        Table {
            title: "Overload: what callers see",
            method: seen_method(),
            heads: ["at the peak", "under the load"],
            ratios: false,
            lines: seen,
        },
        Table {
            title: "Overload: what a refusal costs",
            method: cost_method(),
            heads: ["accepted", "refused"],
            ratios: true,
            lines: costs,
        },
    ];
    part.plots.push(("overload-goodput".to_owned(), plot(series)));
    Ok(part)
}

/// How long a turn is counted; as long as it warms up before, which fills the queue.
fn turn(mode: Mode) -> Duration {
    Duration::from_millis(mode.scale.pick(1_000, 2_000, 4_000))
}

/// Between two rates of the search.
fn step(mode: Mode) -> f64 {
    mode.scale.pick(1.5, 1.25, 1.15)
}

/// How often the search looks half way from the best rate to its neighbours.
fn refinements(mode: Mode) -> usize {
    mode.scale.pick(1, 2, 2)
}

/// Longest time that a call may wait to be begun, by default, as it is here.
fn wait_us() -> f64 {
    Config::default().limits.queue_wait_ms_max as f64 * 1e3
}

struct Bench<'a> {
    mode: Mode,
    sidecar: &'a Apart,
    target: Target,
}

/// One rate, all its turns. A figure a turn; those of refusals only where there were any.
struct Rate {
    per_second: f64,
    /// A second, in time.
    answers: Vec<f64>,
    /// Of calls that were due.
    refused_percent: Vec<f64>,
    unsent_percent: Vec<f64>,
    /// Neither answered, refused nor unsent.
    failed_percent: Vec<f64>,
    accepted_us: [Vec<f64>; 2],
    refusal_us: [Vec<f64>; 2],
    lateness_us: Vec<f64>,
    /// Of a core: the sidecar's and the generator's.
    busy_percent: [Vec<f64>; 2],
    accepted: Histogram<u64>,
    refusals: Histogram<u64>,
}

/// Names and values of the two quantiles of each kind.
const QUANTILES: [(&str, f64); 2] = [("p50", 0.5), ("p99", 0.99)];

/// Every rate that was tried, in ascending order, the lowest of them that brought nearly the most answers, and the most,
/// a second.
struct Search {
    tried: Vec<Rate>,
    best: usize,
    most: f64,
}

/// Of rates in ascending order: which is the lowest that brings nearly the most answers, and the most.
fn best_of(tried: &[Rate]) -> (usize, f64) {
    let answers: Vec<f64> = tried.iter().map(|rate| median(&rate.answers)).collect();
    let most = answers.iter().copied().fold(0.0, f64::max);
    let best = answers.iter().position(|answers| *answers >= most * NEARLY);
    (best.unwrap_or(0), most)
}

/// The peak again, and the loads beyond it, by turns.
struct Whole {
    search: Search,
    peak: Rate,
    /// In the order of [`OVERLOADS`].
    overloads: Vec<Rate>,
}

impl Bench<'_> {
    /// Calls a second in a closed loop.
    fn capacity(&self, load: &Load) -> Result<f64> {
        let (threads, url) = (&self.sidecar.threads, self.sidecar.url());
        let mut rates = Vec::new();
        for _ in 0..3 {
            rates.push(threads.block_on(throughput(&url, load, &load.path))?[0]);
        }
        Ok(median(&rates))
    }

    /// Rates over the whole range, however few answers one of them brings: a slow moment ends nothing. Then those half
    /// way from the best to its neighbours.
    fn search(&self, capacity: f64) -> Result<Search> {
        let [from, to] = SEARCH.map(|percent| capacity * percent / 100.0);
        let rates = std::iter::successors(Some(from), |rate| Some(rate * step(self.mode)));
        let mut tried = self.try_all(rates.take_while(|rate| *rate < to))?;
        for _ in 0..refinements(self.mode) {
            let (best, _) = best_of(&tried);
            let rate = tried[best].per_second;
            let beside = [best.checked_sub(1), Some(best + 1)];
            let beside = beside.into_iter().flatten().filter_map(|at| tried.get(at));
            let middles: Vec<f64> = beside.map(|other| (other.per_second * rate).sqrt()).collect();
            tried.extend(self.try_all(middles)?);
            tried.sort_unstable_by(|one, other| one.per_second.total_cmp(&other.per_second));
        }
        let (best, most) = best_of(&tried);
        ensure!(
            best + 1 < tried.len(),
            "expected a peak below {:.0} % of what a closed loop gets, came none",
            SEARCH[1]
        );
        Ok(Search { tried, best, most })
    }

    /// Turns of each of these rates.
    fn try_all(&self, rates: impl IntoIterator<Item = f64>) -> Result<Vec<Rate>> {
        let mut rates: Vec<Rate> = rates.into_iter().map(Rate::new).collect::<Result<_>>()?;
        for round in 0..self.mode.scale.pick(2, 3, 3) {
            self.round(&mut rates, round)?;
        }
        Ok(rates)
    }

    /// The peak again, and the loads beyond it.
    fn overload(&self, search: Search) -> Result<Whole> {
        let mut rates = vec![Rate::new(search.tried[search.best].per_second)?];
        for percent in OVERLOADS {
            rates.push(Rate::new(search.most * f64::from(percent) / 100.0)?);
        }
        for round in 0..rounds(self.mode) {
            self.round(&mut rates, round)?;
        }
        let overloads = rates.split_off(1);
        let peak = rates.pop().context("the peak's rate is the first")?;
        Ok(Whole { search, peak, overloads })
    }

    /// A turn of each, who is first changes: whatever slows the machine slows all.
    fn round(&self, rates: &mut [Rate], round: usize) -> Result<()> {
        for at in 0..rates.len() {
            let at = if round.is_multiple_of(2) { at } else { rates.len() - 1 - at };
            self.turn(&mut rates[at], round as u64)?;
        }
        Ok(())
    }

    fn turn(&self, rate: &mut Rate, seed: u64) -> Result<()> {
        let load = open_loop::Load {
            rate_per_second: rate.per_second,
            arrivals: Arrivals::Poisson,
            warmup: turn(self.mode),
            duration: turn(self.mode),
            connections: CONNECTIONS,
            concurrency: CONCURRENCY,
            timeout: TIMEOUT,
            threads: 1,
            seed,
        };
        let clocks = [self.sidecar.spent, Spent::Process];
        let (start, before) = (Instant::now(), [clocks[0].so_far()?, clocks[1].so_far()?]);
        let measured = open_loop::run(&self.target, &load, &|| false)?;
        let elapsed = start.elapsed().as_secs_f64();
        for ((busy, clock), before) in rate.busy_percent.iter_mut().zip(clocks).zip(before) {
            busy.push((clock.so_far()? - before).as_secs_f64() * 100.0 / elapsed);
        }
        rate.add(&measured)?;
        rate.tell();
        Ok(())
    }
}

impl Rate {
    fn new(per_second: f64) -> Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, 3_600_000_000_000, 3);
        Ok(Self {
            per_second,
            answers: Vec::new(),
            refused_percent: Vec::new(),
            unsent_percent: Vec::new(),
            failed_percent: Vec::new(),
            accepted_us: [Vec::new(), Vec::new()],
            refusal_us: [Vec::new(), Vec::new()],
            lateness_us: Vec::new(),
            busy_percent: [Vec::new(), Vec::new()],
            accepted: histogram()?,
            refusals: histogram()?,
        })
    }

    /// Says how its last turn went: the search takes minutes.
    fn tell(&self) {
        let last = |of: &[f64]| of.last().copied().unwrap_or_default();
        eprintln!(
            "  due {:.0}/s: {:.0} answers a second, {:.1} % refused, {:.1} % unsent, accepted p50 {:.1} p99 {:.1} ms, late p99 {:.1} ms, \
             busy {:.0} and {:.0} %",
            self.per_second,
            last(&self.answers),
            last(&self.refused_percent),
            last(&self.unsent_percent),
            last(&self.accepted_us[0]) / 1e3,
            last(&self.accepted_us[1]) / 1e3,
            last(&self.lateness_us) / 1e3,
            last(&self.busy_percent[0]),
            last(&self.busy_percent[1]),
        );
    }

    fn add(&mut self, measured: &Measured) -> Result<()> {
        ensure!(measured.answered() > 0, "expected answers, came {:?}", measured.errors);
        let percent = |calls: u64| calls as f64 * 100.0 / measured.due.max(1) as f64;
        let refused = measured.refused.len();
        self.answers.push(measured.answers_within as f64 / measured.time.as_secs_f64());
        self.refused_percent.push(percent(refused));
        self.unsent_percent.push(percent(measured.unsent));
        self.failed_percent.push(percent(measured.failed() - refused));
        let us = |of: &Histogram<u64>, quantile| of.value_at_quantile(quantile) as f64 / 1e3;
        for (at, (_, quantile)) in QUANTILES.into_iter().enumerate() {
            self.accepted_us[at].push(us(&measured.latency, quantile));
            if refused > 0 {
                self.refusal_us[at].push(us(&measured.refused, quantile));
            }
        }
        self.lateness_us.push(us(&measured.lateness, 0.99));
        self.accepted.add(&measured.latency).context("histograms of one kind")?;
        self.refusals.add(&measured.refused).context("histograms of one kind")
    }
}

impl Whole {
    /// Loads with their names.
    fn named(&self, name: &str) -> impl Iterator<Item = (u32, String, &Rate)> {
        OVERLOADS.into_iter().zip(&self.overloads).map(move |(percent, rate)| {
            (percent, format!("{name}, {percent} % ({:.0}/s)", rate.per_second), rate)
        })
    }

    fn pair(&self, rate: &Rate, of: impl Fn(&Rate) -> &Vec<f64>) -> Pair {
        Pair { floor: of(&self.peak).clone(), ours: of(rate).clone() }
    }

    fn goodput_lines(&self, name: &str) -> Vec<Line> {
        let lines = self.named(name).map(|(percent, name, rate)| {
            let what = format!("{name}, answers a second in time");
            let line = Line::new(what, "", self.pair(rate, |of| &of.answers));
            if percent == WORST { line.goal(Goal::RatioAtLeast(0.9)) } else { line }
        });
        lines.collect()
    }

    fn seen_lines(&self, name: &str) -> Vec<Line> {
        // What a call takes by itself and what it may wait before; whole milliseconds, as more would be noise.
        let work_us = median(&self.search.tried[0].accepted_us[1]);
        let bound_us = ((wait_us() + work_us) / 1e3).ceil() * 1e3;
        let mut lines = Vec::new();
        for (_, name, rate) in self.named(name) {
            let mut line = |what: String, unit, pair| {
                lines.push(Line::new(format!("{name}, {what}"), unit, pair));
            };
            line("refused".to_owned(), "%", self.pair(rate, |of| &of.refused_percent));
            line("unsent".to_owned(), "%", self.pair(rate, |of| &of.unsent_percent));
            line("failed otherwise".to_owned(), "%", self.pair(rate, |of| &of.failed_percent));
            for (at, (quantile, _)) in QUANTILES.into_iter().enumerate() {
                let pair = self.pair(rate, |of| &of.accepted_us[at]);
                line(format!("accepted, {quantile}"), "us", pair);
            }
            for (at, (quantile, _)) in QUANTILES.into_iter().enumerate() {
                let pair = self.pair(rate, |of| &of.refusal_us[at]);
                line(format!("until refused, {quantile}"), "us", pair);
            }
            line(
                "generator's lateness p99".to_owned(),
                "us",
                self.pair(rate, |of| &of.lateness_us),
            );
            line("sidecar's core busy".to_owned(), "%", self.pair(rate, |of| &of.busy_percent[0]));
            line(
                "generator's core busy".to_owned(),
                "%",
                self.pair(rate, |of| &of.busy_percent[1]),
            );
        }
        for line in lines.iter_mut().filter(|line| line.what.ends_with("accepted, p99")) {
            line.goal = Some(Goal::AtMost(bound_us));
        }
        lines
    }

    fn histograms(&self, entities: usize) -> Vec<(String, Histogram<u64>)> {
        let peak = (format!("overload-{entities}-accepted-peak"), self.peak.accepted.clone());
        let mut all = vec![peak];
        for (percent, rate) in OVERLOADS.into_iter().zip(&self.overloads) {
            let name = |what| format!("overload-{entities}-{what}-{percent}");
            all.push((name("accepted"), rate.accepted.clone()));
            if !rate.refusals.is_empty() {
                all.push((name("refused"), rate.refusals.clone()));
            }
        }
        all
    }

    /// Percent of the peak: calls due and answers, of the search and beyond.
    fn series(&self, name: &str) -> Series {
        let peak = median(&self.peak.answers);
        let mut points: Vec<(f64, f64)> = self
            .search
            .tried
            .iter()
            .chain(&self.overloads)
            .map(|rate| (rate.per_second / peak * 100.0, median(&rate.answers) / peak * 100.0))
            .collect();
        points.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        Series { name: name.to_owned(), points, floor: false }
    }
}

/// A call that holds the only place of a sidecar, as its message never comes.
struct Held(JoinHandle<()>);

impl Held {
    /// Returns when the place is taken.
    fn take(shut: &Apart) -> Result<Self> {
        let channel = shut.threads.block_on(shut.connect())?;
        let path = PathAndQuery::from_static(GET_FEATURES);
        let held = Self(shut.threads.spawn(async move {
            let mut grpc = Grpc::new(channel);
            if grpc.ready().await.is_ok() {
                let nothing = tonic::Request::new(tokio_stream::pending::<Bytes>());
                drop(grpc.client_streaming(nothing, path, RawCodec).await);
            }
        }));
        for _ in 0..LOOKS_MAX {
            let text = shut.metrics()?;
            if text.lines().any(|line| line == "skewless_requests_in_flight 1") {
                return Ok(held);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("expected the only place to be taken, came a sidecar without a call")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Of all loads; the sidecar that refuses is there for as long as that takes.
fn costs(
    mode: Mode,
    cores: &Cores,
    sidecar: &Apart,
    loads: &[(usize, String, Load)],
) -> Result<Vec<Line>> {
    let shut = Apart::start(cores, Gate::Single)?;
    let _held = Held::take(&shut)?;
    let mut lines = Vec::new();
    for (_, name, load) in loads {
        lines.extend(cost_lines(mode, name, sidecar, &shut, load)?);
    }
    Ok(lines)
}

/// Processor time of a call that is answered and of one that is refused, by turns.
fn cost_lines(
    mode: Mode,
    name: &str,
    sidecar: &Apart,
    shut: &Apart,
    load: &Load,
) -> Result<Vec<Line>> {
    let of = |apart: &Apart, expected| -> Result<[f64; 3]> {
        let (url, clocks) = (apart.url(), [apart.spent, Spent::Process]);
        let looped = closed_loop(&url, load, &load.path, expected, clocks);
        let (per_second, [sidecar, generator]) = apart.threads.block_on(looped)?;
        Ok([per_second, sidecar, generator])
    };
    let [per_second, ours, callers] = interleave(
        mode.rounds.div_ceil(2),
        || of(sidecar, Expected::Answer),
        || of(shut, Expected::Refusal),
    )?;
    let left = |cost: f64| (1.0 - 2.0 * cost) / (1.0 - cost);
    let bounds = ours.ratios().into_iter().map(left).collect();
    let bound = Pair { floor: Vec::new(), ours: bounds };
    Ok(vec![
        Line::new(format!("{name}, sidecar's processor time a call"), "us", ours),
        Line::new(format!("{name}, so answers at 200 % are at most, of the peak"), "", bound),
        Line::new(format!("{name}, callers' processor time a call"), "us", callers),
        Line::new(format!("{name}, calls a second, {CALLERS} callers"), "", per_second),
    ])
}

fn goodput_method(mode: Mode, cores: &Cores, capacities: &[String]) -> String {
    format!(
        "{}, over a Unix socket. {}. Open loop as in F1: {CONNECTIONS} connections, at most {CONCURRENCY} unanswered calls, Poisson \
         arrivals, limits as configured by default. The peak: rates from {:.0} to {:.0} % of what a closed loop gets, each {} times the \
         one before, are tried by turns, all of them, and {} times those half way from the best to its neighbours; the lowest that \
         brought {:.0} % of the most answers is the peak, and is measured again in each round, as the floor. Then {} % of the most \
         answers: {}. An answer is in time if its caller still waits ({} s); all answers that come within a turn count, whenever \
         they were due, as the queue is full by then. {} turns of {} ms at each rate, \
         after as much warm-up.",
        WHOLE.shown(),
        cores.shown(),
        SEARCH[0],
        SEARCH[1],
        step(mode),
        refinements(mode),
        NEARLY * 100.0,
        OVERLOADS.map(|percent| percent.to_string()).join(", "),
        capacities.join("; "),
        TIMEOUT.as_secs(),
        rounds(mode),
        turn(mode).as_millis(),
    )
}

fn seen_method() -> String {
    format!(
        "The same turns. Refused: `RESOURCE_EXHAUSTED`, share of the calls that were due; unsent: not sent, as {CONCURRENCY} calls \
         were unanswered. Accepted calls' latency counts from when they were due. Its bound is what a call may wait to be begun \
         (`limits.queue_wait_ms_max`, {:.0} ms) and the work: the p99 at {:.0} % of what a closed loop gets; what the generator is late \
         is in the figure, too. Until refused: from when a call was sent. Busy: processor time over time, of the whole turn.",
        wait_us() / 1e3,
        SEARCH[0],
    )
}

fn cost_method() -> String {
    format!(
        "Closed loop, {CALLERS} callers with a connection each, {} ms a round, by turns against the sidecar above and another on the same core \
         that refuses every call: it has one place and no queue (`limits.requests_in_flight_max` 1, `limits.queue_max` 0), and a call \
         whose message never comes holds that. Processor time by process, user and system. With x the ratio of a refusal to an \
         answer, a core that is offered twice its peak can answer (1-2x)/(1-x) of it: answers g and refusals 2-g fill it, g + x(2-g) = 1. \
         In a closed loop the sidecar is woken for a call or two, under overload for many at once, so x is rather too high here.",
        THROUGHPUT.as_millis()
    )
}

fn plot(series: Vec<Series>) -> Plot {
    Plot {
        title: "Overload: answers a second against calls due a second, percent of the peak"
            .to_owned(),
        x: Axis { label: "calls due, % of the peak", scale: Scale::Linear },
        y: Axis { label: "answers, % of the peak", scale: Scale::Linear },
        series,
    }
}

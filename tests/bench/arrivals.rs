//! F1 under a given rate of arrivals: latency from the time a call was due, over an echo of the same bytes
//! under the same rate. What a caller waits in a queue is in it, which a closed loop hides.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;

use crate::Mode;
use crate::draw::Arrivals;
use crate::echo::Echo;
use crate::load::throughput;
use crate::open_loop::{Load, Measured, Target, run};
use crate::plot::{Axis, Plot, Scale, Series};
use crate::report::{Line, Part, Table};
use crate::rounds::{Pair, median};
use crate::world::{WHOLE, World, Writer, url_unix};

pub(crate) const CONNECTIONS: usize = 8;
/// Unanswered calls at most; what is due beyond isn't sent, and shows as goodput that is missing.
const CONCURRENCY: usize = 2_000;
const TIMEOUT: Duration = Duration::from_secs(5);
const QUANTILES: [(&str, f64); 4] =
    [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];
/// The share of what a closed loop gets through at which percentiles are drawn.
const DRAWN_PERCENT: u32 = 50;

/// Percent of the calls a second that 8 callers in a closed loop get out of the sidecar.
fn percents(mode: Mode) -> &'static [u32] {
    match mode.scale {
        crate::Scale::Short => &[50, 110],
        crate::Scale::Usual => &[10, 25, 50, 75, 90, 110, 150],
        crate::Scale::Full => &[10, 25, 50, 60, 70, 80, 90, 100, 110, 130, 150],
    }
}

/// One side under one rate, all rounds.
pub(crate) struct Side {
    name: &'static str,
    target: Target,
    pub(crate) latency: Histogram<u64>,
    /// Per round: quantiles of latency, us.
    quantiles: [Vec<f64>; QUANTILES.len()],
    /// Per round: answers a second that came within the turn, whenever their calls were due. Those of the calls
    /// that were due in it would be fewer by what still waits at its end, with nothing for what waited at its beginning.
    goodput: Vec<f64>,
    unsent: u64,
    failed: u64,
    lateness_us: Vec<f64>,
    /// The same of 99.9 %.
    pub(crate) lateness_tail_us: Vec<f64>,
}

pub(crate) fn measure(mode: Mode) -> Result<Part> {
    let world = World::start()?;
    let load = world.load(WHOLE, 1)?;
    let echo = Echo::start(world.folder.path(), vec![load.answer()])?;
    let (floor, ours) = (url_unix(&echo.unix), world.unix()?);
    let mut rates = Vec::new();
    for _ in 0..3 {
        rates.push(world.threads.block_on(throughput(&ours, &load, &load.path))?[0]);
    }
    let capacity = median(&rates);
    let target = |url: &str, path: &PathAndQuery| -> Result<Target> {
        let endpoint = Endpoint::from_shared(url.to_owned())?;
        Ok(Target { endpoint, path: path.clone(), requests: Arc::clone(&load.requests) })
    };
    let mut part = Part::default();
    let (mut lines, mut goodputs) = (Vec::new(), Vec::new());
    let mut writes: Vec<(u32, bool)> =
        percents(mode).iter().map(|percent| (*percent, false)).collect();
    writes.push((DRAWN_PERCENT, true));
    let mut drawn = Vec::new();
    for (percent, with_writer) in writes {
        let writer = if with_writer { Some(world.write()?) } else { None };
        let rate = capacity * f64::from(percent) / 100.0;
        let mut sides = [
            Side::new("echo", target(&floor, &load.echo_path)?)?,
            Side::new("GetFeatures", target(&ours, &load.path)?)?,
        ];
        take_turns(mode, rate, turn(mode), &mut sides, Side::turn)?;
        if let Some(writer) = writer {
            writer.end()?;
        }
        let more = if with_writer { ", writes" } else { "" };
        let name = format!("{percent} % ({rate:.0}/s){more}");
        lines.extend(lines_of(&name, &sides, QUANTILES.len()));
        let file = if with_writer { "-writes" } else { "" };
        for side in &sides {
            let name = format!("f1-{}-{percent}{file}", side.name.to_lowercase());
            part.histograms.push((name, side.latency.clone()));
            if percent == DRAWN_PERCENT {
                drawn.push(quantile_line(side, more));
            }
        }
        if !with_writer {
            goodputs.push((rate, sides.map(|side| median(&side.goodput))));
        }
    }
    let method = method(mode, capacity);
    let title = "F1: under a rate of arrivals";
    part.tables.push(Table { title, method, heads: ["echo", "GetFeatures"], ratios: true, lines });
    part.plots.push(("f1-latency".to_owned(), latency_plot(drawn)));
    part.plots.push(("f1-goodput".to_owned(), goodput_plot(&goodputs)));
    drop(echo);
    world.sidecar.shutdown();
    Ok(part)
}

pub(crate) fn rounds(mode: Mode) -> usize {
    mode.rounds.div_ceil(4).max(2)
}

fn turn(mode: Mode) -> Duration {
    Duration::from_millis(mode.scale.pick(1_000, 2_000, 4_000))
}

/// Both sides in turn, who is first changes; a quarter of a turn before it is to warm up and isn't counted. Our turns are
/// taken by `our_turn`, which may have something done beside them.
pub(crate) fn take_turns(
    mode: Mode,
    rate_per_second: f64,
    turn: Duration,
    [floor, ours]: &mut [Side; 2],
    mut our_turn: impl FnMut(&mut Side, &Load) -> Result<()>,
) -> Result<()> {
    for round in 0..rounds(mode) {
        let load = Load {
            rate_per_second,
            arrivals: Arrivals::Poisson,
            warmup: turn / 4,
            duration: turn,
            connections: CONNECTIONS,
            concurrency: CONCURRENCY,
            timeout: TIMEOUT,
            threads: 1,
            seed: round as u64,
        };
        if round % 2 == 0 {
            floor.turn(&load)?;
        }
        our_turn(ours, &load)?;
        if round % 2 != 0 {
            floor.turn(&load)?;
        }
    }
    Ok(())
}

impl Side {
    pub(crate) fn new(name: &'static str, target: Target) -> Result<Self> {
        Ok(Self {
            name,
            target,
            latency: Histogram::new_with_bounds(1, 3_600_000_000_000, 3)?,
            quantiles: std::array::from_fn(|_| Vec::new()),
            goodput: Vec::new(),
            unsent: 0,
            failed: 0,
            lateness_us: Vec::new(),
            lateness_tail_us: Vec::new(),
        })
    }

    /// One turn.
    pub(crate) fn turn(&mut self, load: &Load) -> Result<()> {
        let measured = run(&self.target, load, &|| false)?;
        self.add(&measured)
    }

    fn add(&mut self, measured: &Measured) -> Result<()> {
        ensure!(measured.answered() > 0, "expected answers, came {:?}", measured.errors);
        for (figures, (_, quantile)) in self.quantiles.iter_mut().zip(QUANTILES) {
            figures.push(measured.latency.value_at_quantile(quantile) as f64 / 1e3);
        }
        self.goodput.push(measured.answers_within as f64 / measured.time.as_secs_f64());
        let lateness_us = |quantile| measured.lateness.value_at_quantile(quantile) as f64 / 1e3;
        self.lateness_us.push(lateness_us(0.99));
        self.lateness_tail_us.push(lateness_us(0.999));
        self.unsent += measured.unsent;
        self.failed += measured.failed();
        self.latency.add(&measured.latency).context("histograms of one kind")
    }
}

/// All of it, and the first of [`QUANTILES`].
pub(crate) fn lines_of(name: &str, [floor, ours]: &[Side; 2], quantiles: usize) -> Vec<Line> {
    let pair =
        |floor: &Vec<f64>, ours: &Vec<f64>| Pair { floor: floor.clone(), ours: ours.clone() };
    let mut lines: Vec<Line> = QUANTILES
        .iter()
        .take(quantiles)
        .zip(floor.quantiles.iter().zip(&ours.quantiles))
        .map(|((what, _), (floor, ours))| {
            Line::new(format!("{name}, {what}"), "us", pair(floor, ours))
        })
        .collect();
    let goodput = pair(&floor.goodput, &ours.goodput);
    let lost = |side: &Side| side.unsent + side.failed;
    let lost = if lost(floor) + lost(ours) > 0 {
        format!(" (unsent or failed: {} and {})", lost(floor), lost(ours))
    } else {
        String::new()
    };
    lines.push(Line::new(format!("{name}, answers a second{lost}"), "", goodput));
    let lateness = pair(&floor.lateness_us, &ours.lateness_us);
    lines.push(Line::new(format!("{name}, generator's lateness p99"), "us", lateness));
    lines
}

fn method(mode: Mode, capacity: f64) -> String {
    format!(
        "{}, one entity a call, over a Unix socket; floor and requests as above. Open loop: calls are due at times drawn \
         beforehand (Poisson) and sent then whether or not earlier ones were answered; latency counts from when a call was due, so \
         nothing that waits is left out (no coordinated omission). Rates are shares of the {capacity:.0} calls a second that 8 callers \
         in a closed loop got just before. {CONNECTIONS} connections, at most {CONCURRENCY} unanswered calls, {} turns of {} ms of either \
         side at each rate after a quarter of that as warm-up. The generator is one thread on the same processors; its lateness is \
         part of both latencies. With writes, {}. Percentiles are of answered calls; answers a second are all that came within a turn, \
         whenever their calls were due.",
        WHOLE.shown(),
        rounds(mode),
        turn(mode).as_millis(),
        Writer::shown(),
    )
}

fn quantile_line(side: &Side, more: &str) -> Series {
    Series {
        name: format!("{}{more}", side.name),
        points: quantile_points(&side.latency),
        floor: side.name == "echo",
    }
}

/// Quantile against microseconds, to the last quantile with more than a call beyond it.
pub(crate) fn quantile_points(latency: &Histogram<u64>) -> Vec<(f64, f64)> {
    let last = 1.0 - 2.0 / latency.len().max(4) as f64;
    let steps = latency.iter_quantiles(5);
    let points = steps
        .map(|step| (step.quantile_iterated_to(), step.value_iterated_to() as f64 / 1e3))
        .filter(|(quantile, _)| *quantile <= last);
    points.collect()
}

fn latency_plot(series: Vec<Series>) -> Plot {
    Plot {
        title: format!(
            "F1: latency from when a call was due, at {DRAWN_PERCENT} % of closed-loop throughput"
        ),
        x: Axis { label: "percentile", scale: Scale::Nines },
        y: Axis { label: "us", scale: Scale::Log },
        series,
    }
}

fn goodput_plot(points: &[(f64, [f64; 2])]) -> Plot {
    let line = |name: &str, at: usize| Series {
        name: name.to_owned(),
        points: points.iter().map(|(rate, goodputs)| (*rate, goodputs[at])).collect(),
        floor: at == 0,
    };
    Plot {
        title: "F1: answers a second against calls due a second".to_owned(),
        x: Axis { label: "calls due a second", scale: Scale::Linear },
        y: Axis { label: "answers a second", scale: Scale::Linear },
        series: vec![line("echo", 0), line("GetFeatures", 1)],
    }
}

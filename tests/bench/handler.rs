//! F5: GetFeatures called as a function, without a socket: its time over a handler that knows the answer
//! beforehand, where the time goes, and what it allocates.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use prost::Message;
use skewless_proto::v1 as pb;

use crate::echo::Echo;
use crate::load::{Caller, Load};
use crate::report::{Goal, Line, Part, Table};
use crate::rounds::{Pair, per_call};
use crate::world::{FEW, REUSED, STORED_ONLY, Service, WHOLE, World, metrics, url_tcp};
use crate::{Mode, allocations, copies};

/// Far above what a call takes.
const DEADLINE: Duration = Duration::from_secs(10);
/// Calls over which metrics and allocations are averaged.
const CALLS: usize = 2_000;
/// Entities a call and service.
pub(crate) const CASES: [(usize, Service); 5] =
    [(1, WHOLE), (1, REUSED), (1, STORED_ONLY), (1, FEW), (100, WHOLE)];

pub(crate) fn measure(mode: Mode) -> Result<Part> {
    let world = World::start()?;
    let loads = CASES.iter().map(|(entities, service)| world.load(*service, *entities));
    let loads: Vec<Load> = loads.collect::<Result<_>>()?;
    let cases: Vec<Case<'_>> = CASES
        .iter()
        .zip(&loads)
        .map(|(case, load)| Case { entities: case.0, service: case.1, load, world: &world })
        .collect();
    let mut tables = vec![
        over_copy(mode, &cases)?,
        stages(mode, &cases)?,
        allocated(&cases)?,
        allocated_by_call(&world, &cases)?,
    ];
    tables.extend(copies::measure()?);
    world.sidecar.shutdown();
    Ok(Part { tables, ..Part::default() })
}

/// One kind of call.
pub(crate) struct Case<'a> {
    pub(crate) entities: usize,
    pub(crate) service: Service,
    pub(crate) load: &'a Load,
    pub(crate) world: &'a World,
}

impl Case<'_> {
    pub(crate) fn name(&self) -> String {
        let noun = if self.entities == 1 { "entity" } else { "entities" };
        format!("{} {noun}, {}", self.entities, self.service.shown())
    }

    /// The next request, decoded as a server must.
    fn request(&self, number: &mut usize) -> Result<pb::GetFeaturesRequest> {
        *number += 1;
        let request: &Bytes = &self.load.requests[*number % self.load.requests.len()];
        Ok(pb::GetFeaturesRequest::decode(request.clone())?)
    }

    pub(crate) fn ours(&self, number: &mut usize) -> Result<()> {
        let request = self.request(number)?;
        let answer = self.world.sidecar.get_features(&request, DEADLINE)?;
        black_box(&answer);
        Ok(())
    }

    pub(crate) fn floor(&self, number: &mut usize) -> Result<()> {
        let request = self.request(number)?;
        black_box(&request);
        black_box(self.load.answer.to_vec());
        Ok(())
    }
}

fn over_copy(mode: Mode, cases: &[Case<'_>]) -> Result<Table> {
    let mut lines = Vec::new();
    for case in cases {
        let (mut left, mut right) = (0, 0);
        let pair = per_call(mode.rounds, || case.floor(&mut left), || case.ours(&mut right))?;
        let line = Line::new(case.name(), "us", pair.divided(1e3));
        lines.push(if case.entities == 1 { line.goal(Goal::AtMost(10.0)) } else { line });
    }
    let method = "From the request's bytes to the answer's, called as a function on one thread; no socket, no HTTP/2, no \
                  scan of the message before it is decoded. Floor: a handler that knows the answer: the request decoded, the \
                  answer's bytes copied. All rows in the block cache, no writes. Instances are restored within the time, which over \
                  a socket happens while the answer is on its way."
        .to_owned();
    let title = "F5: the handler as a function";
    Ok(Table { title, method, heads: ["answer known", "handler"], ratios: false, lines })
}

/// The sidecar's own histograms, their sums before and after.
fn stages(mode: Mode, cases: &[Case<'_>]) -> Result<Table> {
    let mut lines = Vec::new();
    for case in cases {
        let http = case.world.sidecar.addresses().http.context("HTTP")?;
        let mut number = 0;
        let stages = ["decode", "store", "compute", "encode"];
        let mut means = stages.map(|_| Vec::new());
        for _ in 0..mode.rounds.div_ceil(4) {
            let before = stage_sums(http, &case.service.name(), stages)?;
            (0..CALLS.div_ceil(case.entities)).try_for_each(|_| case.ours(&mut number))?;
            let after = stage_sums(http, &case.service.name(), stages)?;
            for (means, (before, after)) in means.iter_mut().zip(before.iter().zip(&after)) {
                means.push((after.0 - before.0) / (after.1 - before.1) * 1e6);
            }
        }
        for (stage, means) in stages.iter().zip(means) {
            let pair = Pair { floor: Vec::new(), ours: means };
            lines.push(Line::new(format!("{}, {stage}", case.name()), "us", pair));
        }
    }
    let method = "Means by the clock from the sidecar's own metrics (`skewless_request_seconds`) of calls as above. Stages: request \
                  columns into the frame, read of the store, transforms, encoding."
        .to_owned();
    let title = "F5: where the handler's time goes";
    Ok(Table { title, method, heads: ["", "mean"], ratios: false, lines })
}

fn allocated(cases: &[Case<'_>]) -> Result<Table> {
    let mut lines = Vec::new();
    for case in cases {
        let mut number = 0;
        let calls = CALLS.div_ceil(case.entities);
        let mut count = |call: &dyn Fn(&mut usize) -> Result<()>| {
            (0..calls).try_for_each(|_| call(&mut number))?; // warm
            let counts = allocations(|| (0..calls).try_for_each(|_| call(&mut number)))?;
            anyhow::Ok(counts.map(|count| count as f64 / calls as f64))
        };
        let floor = count(&|number| case.floor(number))?;
        let ours = count(&|number| case.ours(number))?;
        let answer = case.load.answer.len();
        for ((what, floor), ours) in ["allocations", "bytes"].iter().zip(floor).zip(ours) {
            let pair = Pair { floor: vec![floor], ours: vec![ours] };
            let of = if *what == "bytes" { format!(" (answer {answer})") } else { String::new() };
            lines.push(Line::new(format!("{}, {what}{of}", case.name()), "", pair));
        }
    }
    let method = "Heap allocations a call as above, and their bytes; RocksDB's own (C++) not. The floor's are the decoded request and \
                  the copied answer. What doesn't grow with the number of features isn't allocated per feature."
        .to_owned();
    let title = "F5: what the handler allocates";
    Ok(Table { title, method, heads: ["answer known", "handler"], ratios: true, lines })
}

/// The same over a socket, client included.
fn allocated_by_call(world: &World, cases: &[Case<'_>]) -> Result<Table> {
    let loads = cases.iter().map(|case| case.load.answer()).collect();
    let echo = Echo::start(world.folder.path(), loads)?;
    let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut floor = waiting.block_on(Caller::connect(&url_tcp(echo.tcp)))?;
    let mut ours = waiting.block_on(Caller::connect(&world.tcp()?))?;
    let mut lines = Vec::new();
    for case in cases {
        let calls = CALLS.div_ceil(case.entities);
        let count = |caller: &mut Caller, path| {
            waiting.block_on(caller.quantiles(case.load, path, calls))?; // warm
            let [count, _] = allocations(|| {
                waiting.block_on(caller.quantiles(case.load, path, calls)).map(drop)
            })?;
            anyhow::Ok(count as f64 / calls as f64)
        };
        let pair = Pair {
            floor: vec![count(&mut floor, &case.load.echo_path)?],
            ours: vec![count(&mut ours, &case.load.path)?],
        };
        lines.push(Line::new(case.name(), "", pair));
    }
    let method = "Heap allocations of the whole process a call over TCP, client's included, RocksDB's own (C++) not. The difference \
                  to the echo is ours."
        .to_owned();
    let title = "F5: allocations of a call over a socket";
    Ok(Table { title, method, heads: ["echo", "GetFeatures"], ratios: true, lines })
}

/// Sum of seconds and count of each stage's histogram.
fn stage_sums<const N: usize>(
    http: SocketAddr,
    service: &str,
    stages: [&str; N],
) -> Result<Vec<(f64, f64)>> {
    let text = metrics(http)?;
    let value = |series: &str, stage: &str| {
        let line = text.lines().find(|line| {
            line.starts_with(&format!("skewless_request_seconds_{series}{{"))
                && line.contains(&format!("service=\"{service}\""))
                && line.contains(&format!("stage=\"{stage}\""))
        });
        let value = line.and_then(|line| line.rsplit(' ').next()).context("expected a metric")?;
        anyhow::Ok(value.parse::<f64>()?)
    };
    let sums = stages.iter().map(|stage| Ok((value("sum", stage)?, value("count", stage)?)));
    let sums: Vec<(f64, f64)> = sums.collect::<Result<_>>()?;
    ensure!(sums.iter().all(|(_, count)| *count > 0.0), "{service} was never called");
    Ok(sums)
}

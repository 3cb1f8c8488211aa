//! F1, one caller after the other: a whole call of GetFeatures over an echo of the same bytes, by entities,
//! features and transforms, without and with rows arriving; not latency at a given rate (`arrivals.rs`).

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::echo::Echo;
use crate::load::{Caller, Load, THROUGHPUT, throughput};
use crate::report::{Goal, Line, Part, Table};
use crate::rounds::interleave;
use crate::world::{
    ENTITIES, FEW, FIVE, NONE, ONE, REUSED, STORED_ONLY, Service, WHOLE, World, Writer, url_tcp,
    url_unix,
};
use crate::{Mode, Scale};

/// Calls of one round of latency, by entities a call.
fn calls(entities: usize) -> usize {
    (2_000 / entities).max(200)
}

/// What the matrix has: entities a call and service.
fn matrix(scale: Scale) -> Vec<(usize, Service)> {
    let service = Service::new;
    match scale {
        Scale::Short => vec![(1, FEW), (100, service(100, FIVE))],
        Scale::Usual => vec![
            (1, FEW),
            (1, service(10, ONE)),
            (1, service(100, ONE)),
            (1, service(100, FIVE)),
            (10, STORED_ONLY),
            (10, service(100, FIVE)),
            (100, service(10, ONE)),
            (100, STORED_ONLY),
            (100, service(100, FIVE)),
            (500, service(10, ONE)),
            (500, STORED_ONLY),
            (500, service(100, FIVE)),
        ],
        Scale::Full => {
            let services = [10, 100].map(|stored| [NONE, ONE, FIVE].map(|of| service(stored, of)));
            let of = |entities| services.iter().flatten().map(move |service| (entities, *service));
            [1, 10, 100, 500].into_iter().flat_map(of).collect()
        }
    }
}

/// What is measured again while rows arrive.
const WITH_WRITER: [(usize, Service); 2] = [(1, WHOLE), (100, WHOLE)];

pub(crate) fn measure(mode: Mode) -> Result<Part> {
    let world = World::start()?;
    let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut cases: Vec<(usize, Service)> = vec![(1, WHOLE), (1, REUSED), (1, STORED_ONLY)];
    let heads = cases.len();
    cases.extend(matrix(mode.scale));
    cases.extend(WITH_WRITER);
    let loads = cases.iter().map(|(entities, service)| world.load(*service, *entities));
    let loads: Vec<Load> = loads.collect::<Result<_>>()?;
    let echo = Echo::start(world.folder.path(), loads.iter().map(Load::answer).collect())?;
    let bench = Bench { mode, world: &world, waiting: &waiting, echo: &echo };
    let cases: Vec<(usize, Service, &Load)> = cases
        .iter()
        .zip(&loads)
        .map(|((entities, service), load)| (*entities, *service, load))
        .collect();
    let (heads, rest) = cases.split_at(heads);
    let (matrix, writer) = rest.split_at(rest.len() - WITH_WRITER.len());
    let tables = vec![bench.one_entity(heads)?, bench.matrix(matrix)?, bench.with_writer(writer)?];
    drop(echo);
    world.sidecar.shutdown();
    Ok(Part { tables, ..Part::default() })
}

type Case<'a> = (usize, Service, &'a Load);

struct Bench<'a> {
    mode: Mode,
    world: &'a World,
    waiting: &'a Runtime,
    echo: &'a Echo,
}

impl Bench<'_> {
    /// What the goals speak of, over both transports.
    fn one_entity(&self, cases: &[Case<'_>]) -> Result<Table> {
        let mut lines = Vec::new();
        let transports = [
            ("TCP", url_tcp(self.echo.tcp), self.world.tcp()?),
            ("Unix", url_unix(&self.echo.unix), self.world.unix()?),
        ];
        for (transport, floor, ours) in &transports {
            for (_, service, load) in cases {
                let name = format!("{}, {transport}", service.shown());
                let goal = |goal| (*service == WHOLE).then_some(goal);
                lines.extend(self.latency(
                    &name,
                    load,
                    calls(1),
                    [floor, ours],
                    [goal(Goal::RatioAtMost(1.3)), goal(Goal::RatioAtMost(1.5))],
                )?);
                let threads = &self.world.threads;
                let [per_second, processor] = interleave(
                    self.mode.rounds.div_ceil(2),
                    || threads.block_on(throughput(floor, load, &load.echo_path)),
                    || threads.block_on(throughput(ours, load, &load.path)),
                )?;
                let mut line =
                    Line::new(format!("{name}, calls a second, 8 callers"), "", per_second);
                line.goal = goal(Goal::RatioAtLeast(0.8));
                lines.push(line);
                let what = format!("{name}, processor time a call, 8 callers");
                lines.push(Line::new(what, "us", processor));
            }
        }
        let bytes: Vec<String> = cases.iter().map(|(_, _, load)| load.bytes()).collect();
        let method = format!(
            "Floor: a tonic server that answers each request with the same bytes that GetFeatures did, decoding nothing. Same \
             client, same runtime, same transport; messages as raw bytes on the client's side. One entity a call, drawn uniformly \
             from {ENTITIES}; float64 features; 20 computed ones by `great_circle`, `wind` and `calendar` under the \
             default policy `reset`, or by the same plugins reused, which definitions allow for certified ones. {}. All rows in the block cache, no writes. Latency: one caller, closed loop, {} calls a \
             round. Throughput: 8 callers with a connection each, {} ms a round. Client, echo and sidecar share the machine's cores.",
            bytes.join("; "),
            calls(1),
            THROUGHPUT.as_millis()
        );
        let title = "F1: GetFeatures over an echo of the same bytes";
        Ok(Table { title, method, heads: ["echo", "GetFeatures"], ratios: true, lines })
    }

    fn matrix(&self, cases: &[Case<'_>]) -> Result<Table> {
        let mut lines = Vec::new();
        for (entities, service, load) in cases {
            lines.extend(self.case(*entities, *service, load, "")?);
        }
        let method = "As above, over a Unix socket, closed loop, by entities a call (drawn uniformly, so some come twice in a \
                      call), stored features and transforms: 1 is `great_circle`, 5 are `great_circle` twice, `wind`, `calendar` and \
                      `ratios` (28 outputs). 200 to 2,000 calls a round, fewer when they are larger."
            .to_owned();
        let title = "F1: more entities, features, transforms";
        Ok(Table { title, method, heads: ["echo", "GetFeatures"], ratios: true, lines })
    }

    fn with_writer(&self, cases: &[Case<'_>]) -> Result<Table> {
        let mut lines = Vec::new();
        for (entities, service, load) in cases {
            lines.extend(self.case(*entities, *service, load, ", no writes")?);
            let writer = self.world.write()?;
            lines.extend(self.case(*entities, *service, load, ", writes")?);
            writer.end()?;
        }
        let method = format!(
            "As above. With writes, {} all the time, in the echo's turns too: what they take of the processors slows both \
             sides, what they do to reads slows ours.",
            Writer::shown()
        );
        let title = "F1: while rows arrive";
        Ok(Table { title, method, heads: ["echo", "GetFeatures"], ratios: true, lines })
    }

    fn case(
        &self,
        entities: usize,
        service: Service,
        load: &Load,
        more: &str,
    ) -> Result<Vec<Line>> {
        let noun = if entities == 1 { "entity" } else { "entities" };
        let name = format!("{entities} {noun}, {}{more}", service.shown());
        let (floor, ours) = (url_unix(&self.echo.unix), self.world.unix()?);
        self.latency(&name, load, calls(entities), [&floor, &ours], [None, None])
    }

    fn latency(
        &self,
        name: &str,
        load: &Load,
        calls: usize,
        [floor, ours]: [&String; 2],
        goals: [Option<Goal>; 2],
    ) -> Result<Vec<Line>> {
        let mut floor = self.waiting.block_on(Caller::connect(floor))?;
        let mut ours = self.waiting.block_on(Caller::connect(ours))?;
        let pairs = interleave(
            self.mode.rounds,
            || self.waiting.block_on(floor.quantiles(load, &load.echo_path, calls)),
            || self.waiting.block_on(ours.quantiles(load, &load.path, calls)),
        )?;
        let mut lines = Vec::new();
        for ((pair, what), goal) in pairs.into_iter().zip(["p50", "p99"]).zip(goals) {
            let mut line = Line::new(format!("{name}, {what}"), "us", pair);
            line.goal = goal;
            lines.push(line);
        }
        Ok(lines)
    }
}

//! `skewless bench serve`: calls of GetFeatures at a fixed rate against a running sidecar, and how long they
//! took; what the answers hold is only looked at before.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use skewless_proto::v1;
use skewless_proto::v1::admin_service_client::AdminServiceClient;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

use super::draw::{self, Draw, Rows};
use super::keys::Keys;
use super::open_loop::{self, Load, Measured, Target};
use super::requests::{self, Look, Needs};
use super::summary::Summary;
use super::{hgrm, keys};
use crate::client::{self, Address, refused_service};
use crate::exit::{Failure, Next, Outcome};
use crate::interrupt;
use crate::output::{complain, say};

/// Calls a second at most: more than any one client here can send.
const RATE_MAX: f64 = 10_000_000.0;
/// Connections at most: each takes a file descriptor on both sides.
const CONNECTIONS_MAX: usize = 10_000;
/// Unanswered calls at most.
const CONCURRENCY_MAX: usize = 1_000_000;
/// Rows a request at most: far above what a sidecar takes by default.
const ENTITIES_MAX: usize = 100_000;

/// Put load on a running sidecar and measure how long it answers
///
/// Calls are sent at times fixed beforehand, whether or not earlier ones were answered (open loop), and a
/// call's latency counts from the time it was due. So a service that stalls shows the wait of everyone who would
/// have come meanwhile, which a loop that waits for each answer hides. What can't be sent because --concurrency
/// calls are unanswered is counted as unsent, not sent later. Percentiles are of the calls that were answered:
/// read them together with the numbers of unsent and failed calls.
///
/// The keys file needs a column for each join key of the service and each request value, named alike. Its
/// rows are drawn with the same --seed in the same order.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Feature service
    service: String,
    #[command(flatten)]
    address: Address,
    /// Keys and request values to draw calls from: CSV with a line of names, or Parquet
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// Calls a second
    #[arg(long, default_value = "1000", value_parser = rate)]
    rate: f64,
    /// How long to measure, such as 30s or 5m
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Time with the same load before, which isn't counted
    #[arg(long, default_value = "2s", value_parser = duration)]
    warmup: Duration,
    /// Gaps between calls: all alike, or as if from many independent users
    #[arg(long, value_enum, default_value_t = ArrivalsArg::Poisson)]
    arrivals: ArrivalsArg,
    /// Entities (rows) in each call
    #[arg(long, default_value_t = 1, value_parser = at_most::<ENTITIES_MAX>)]
    entities: usize,
    /// Draw the row of rank k in proportion to 1/k^S; 0 draws all alike, 0.99 is a usual skew
    #[arg(long, value_name = "S", default_value = "0", value_parser = skew)]
    zipf: f64,
    /// Connections
    #[arg(long, default_value_t = 4, value_parser = at_most::<CONNECTIONS_MAX>)]
    connections: usize,
    /// Unanswered calls at most; what is due beyond is counted as unsent
    #[arg(long, default_value_t = 1_000, value_parser = at_most::<CONCURRENCY_MAX>)]
    concurrency: usize,
    /// Time after which a call is given up
    #[arg(long, default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// Threads that send and receive [default: half of the processors]
    #[arg(long, value_parser = at_most::<1024>)]
    threads: Option<usize>,
    /// Of the rows drawn and the gaps between calls
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for summary.json and latency.hgrm (HdrHistogram's percentile table), made if missing
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Example (with `skewless demo --serve` running, and its flights as keys):
  skewless bench serve departure_delay --keys out/flights/data/flights.parquet --rate 2000 --duration 30s \\
      --zipf 0.99 --out bench

Run it on another machine than the sidecar, which must listen where that one reaches it (`serve --tcp 0.0.0.0:7667`
is enough), or know that both share the processors. `lateness` in the table is the generator's own: when its
percentiles come near those of the latency, add --threads or lower the rate.
Ctrl-C ends early, with what was measured until then.";

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum ArrivalsArg {
    Fixed,
    Poisson,
}

fn rate(word: &str) -> Result<f64, String> {
    let rate = word.parse::<f64>().ok().filter(|rate| *rate > 0.0 && *rate <= RATE_MAX);
    rate.ok_or_else(|| {
        format!("expected calls a second above 0 and at most {RATE_MAX}, came `{word}`")
    })
}

fn skew(word: &str) -> Result<f64, String> {
    let skew = word.parse::<f64>().ok().filter(|skew| (0.0..=10.0).contains(skew));
    skew.ok_or_else(|| format!("expected a skew from 0 to 10, came `{word}`"))
}

fn duration(word: &str) -> Result<Duration, String> {
    let us = skewless_catalog::duration::parse(word).map_err(|error| error.to_string())?;
    Ok(Duration::from_micros(us.unsigned_abs()))
}

fn at_most<const MAX: usize>(word: &str) -> Result<usize, String> {
    let number = word.parse::<usize>().ok().filter(|number| (1..=MAX).contains(number));
    number.ok_or_else(|| format!("expected a number from 1 to {MAX}, came `{word}`"))
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.duration.is_zero() || args.timeout.is_zero() {
        let message = "expected a --duration and a --timeout above 0, came 0s";
        return Err(Failure::new(message, "measure for some seconds"));
    }
    let cancel = interrupt::flag()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let channel = runtime.block_on(args.address.connect())?;
    let described = runtime.block_on(describe(&args.address.at, channel.clone(), &args.service))?;
    let needs = Needs::of(&args.service, &described)?;
    let file = keys::read(&args.keys, &needs.wanted)?;
    let mut draw = Draw::new(args.seed);
    let rows = Rows::new(file.rows, args.zipf, &mut draw);
    let requests = requests::encode(&needs, &file, &rows, args.entities, args.calls(), &mut draw);
    let look = runtime.block_on(requests::look(&args.address.at, channel, &requests))?;
    warn(args, &needs, &file, look);
    // Nothing drives this connection from here on; the load has its own.
    drop(runtime);

    let target = Target {
        endpoint: client::endpoint(&args.address.at)?,
        path: PathAndQuery::from_static("/skewless.v1.FeatureService/GetFeatures"),
        requests,
    };
    let load = args.load();
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)
            .with_context(|| folder.display().to_string())
            .or_next(|| "give a folder that can be written with --out")?;
    }
    let measured = open_loop::run(&target, &load, &|| cancel.is_cancelled())
        .or_next(|| "is the sidecar still there, and may it have that many connections?")?;
    let summary = Summary::new(args.asked(&load), &target, file.rows, look, &measured);
    say!("{}", summary.table())?;
    if let Some(folder) = &args.out {
        write(folder, &summary, &measured)?;
    }
    if measured.stopped { Err(Failure::Interrupted) } else { Ok(()) }
}

async fn describe(
    address: &str,
    channel: Channel,
    service: &str,
) -> Outcome<v1::ServiceDescription> {
    let of = v1::describe_request::Of::Service(service.to_owned());
    let mut client = AdminServiceClient::new(channel.clone());
    let answer = match client.describe(v1::DescribeRequest { of: Some(of) }).await {
        Ok(answer) => answer,
        Err(status) => return Err(refused_service(address, &status, channel).await),
    };
    match answer.into_inner().described {
        Some(v1::describe_response::Described::Service(service)) => Ok(service),
        _ => Err(Failure::new(
            format!("expected a description of `{service}`, came another answer"),
            "use a command and a sidecar of the same version",
        )),
    }
}

/// What makes the figures better than they should be.
fn warn(args: &Args, needs: &Needs, file: &Keys, look: Look) {
    for (of, _) in needs.wanted.iter().zip(&file.columns).filter(|(_, column)| column.is_none()) {
        complain!("note: {} has no `{}`: it is null in every call", args.keys.display(), of.name);
    }
    let part = |many: u64| many * 100 / look.values.max(1);
    if part(look.not_found) >= 10 {
        let part = part(look.not_found);
        complain!("warning: {part} % of the values are NOT_FOUND: are these keys in the store?");
    }
    if look.failed > 0 {
        let part = part(look.failed);
        complain!("warning: {part} % of the values are TRANSFORM_FAILED; `skewless get` says why");
    }
}

fn write(folder: &Path, summary: &Summary<'_>, measured: &Measured) -> Outcome {
    let to = |name: &str| {
        let path = folder.join(name);
        let shown = path.display().to_string();
        std::fs::File::create(path).map(std::io::BufWriter::new).context(shown)
    };
    let mut file = to("summary.json")?;
    writeln!(file, "{:#}", summary.json())?;
    file.flush()?;
    let mut file = to("latency.hgrm")?;
    hgrm::table(&measured.latency, &mut file)?;
    file.flush()?;
    Ok(())
}

impl Args {
    /// Calls of the whole load, about.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and an upper bound is enough"
    )]
    fn calls(&self) -> usize {
        (self.rate * (self.warmup + self.duration).as_secs_f64()).ceil() as usize
    }

    fn load(&self) -> Load {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Load {
            rate_per_second: self.rate,
            arrivals: match self.arrivals {
                ArrivalsArg::Fixed => draw::Arrivals::Fixed,
                ArrivalsArg::Poisson => draw::Arrivals::Poisson,
            },
            warmup: self.warmup,
            duration: self.duration,
            connections: self.connections,
            concurrency: self.concurrency,
            timeout: self.timeout,
            threads: self.threads.unwrap_or((processors / 2).max(1)).min(self.connections),
            seed: self.seed,
        }
    }

    fn asked<'a>(&'a self, load: &'a Load) -> super::summary::Asked<'a> {
        super::summary::Asked {
            service: &self.service,
            at: &self.address.at,
            load,
            entities: self.entities,
            zipf: self.zipf,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_limits_are_refused() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "1e9", "fast"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        for wrong in ["-0.1", "11", "NaN"] {
            assert!(skew(wrong).is_err(), "{wrong}");
        }
        assert_eq!(at_most::<5>("5"), Ok(5));
        for wrong in ["0", "6", "-1"] {
            assert!(at_most::<5>(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("90").is_err());
    }
}

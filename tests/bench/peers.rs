//! Peers on this machine, if `peers.sh` has started them: Feast's Python feature server over Redis, and Redis
//! alone as the line below which no store over a socket comes; each by its own protocol, one caller that waits.
//! Not a verdict: a server in Python and a library's defaults are what they are.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;

use crate::Mode;
use crate::draw::Draw;
use crate::load::Caller;
use crate::report::{Line, Part, Table};
use crate::rounds::interleave;
use crate::world::{ENTITIES, FIRST_KEY, PEERS, World};

/// Where `peers.sh` says they are.
const REDIS: &str = "SKEWLESS_PEER_REDIS";
const FEAST: &str = "SKEWLESS_PEER_FEAST";

/// Calls of one round: Redis and ours; Feast, which takes milliseconds.
const CALLS: usize = 2_000;
const CALLS_SLOW: usize = 100;

/// Whether they are there.
pub(crate) fn are_there() -> bool {
    std::env::var_os(REDIS).is_some() && std::env::var_os(FEAST).is_some()
}

pub(crate) fn measure(mode: Mode) -> Result<Part> {
    let address = |name| {
        std::env::var(name).with_context(|| format!("expected {name}; run tests/bench/peers.sh"))
    };
    let (mut redis, mut feast) =
        (Redis::connect(&address(REDIS)?)?, Feast::connect(&address(FEAST)?)?);
    let world = World::start()?;
    let load = world.load(PEERS, 1)?;
    let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut lines = Vec::new();
    let transports = [("TCP", world.tcp()?), ("Unix", world.unix()?)];
    for (transport, url) in &transports {
        let mut ours = waiting.block_on(Caller::connect(url))?;
        let [p50, p99] = interleave(
            mode.rounds,
            || quantiles(CALLS, |draw| redis.get(draw)),
            || waiting.block_on(ours.quantiles(&load, &load.path, CALLS)),
        )?;
        lines.push(Line::new(format!("GetFeatures over {transport}, p50"), "us", p50));
        lines.push(Line::new(format!("GetFeatures over {transport}, p99"), "us", p99));
    }
    let [p50, p99] = interleave(
        mode.rounds.div_ceil(3).max(3),
        || quantiles(CALLS, |draw| redis.get(draw)),
        || quantiles(CALLS_SLOW, |draw| feast.ask(draw)),
    )?;
    lines.push(Line::new("Feast's feature server, p50", "us", p50));
    lines.push(Line::new("Feast's feature server, p99", "us", p99));
    world.sidecar.shutdown();
    let method = format!(
        "One entity a call, drawn uniformly from {ENTITIES}, one caller that waits for each answer, all on loopback; 10 stored and 5 \
         computed features. The line to compare with is Redis alone: GET of one value of 80 bytes by a client of a few lines. \
         Feast 0.67: `feast serve` (Python, HTTP and JSON) with Redis and an on-demand feature view in Python mode that computes the \
         same five; as `tests/bench/peers.sh` sets it up. {CALLS} calls a round, {CALLS_SLOW} of Feast."
    );
    let title = "Peers";
    Ok(Part::from(vec![Table {
        title,
        method,
        heads: ["Redis alone", "peer"],
        ratios: true,
        lines,
    }]))
}

/// Microseconds of the 50th and 99th percentile.
fn quantiles(calls: usize, mut call: impl FnMut(&mut Draw) -> Result<()>) -> Result<[f64; 2]> {
    let mut nanos = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
    let mut draw = Draw::new(1);
    for _ in 0..calls {
        let start = Instant::now();
        call(&mut draw)?;
        nanos.saturating_record(start.elapsed().as_nanos() as u64);
    }
    Ok([0.50, 0.99].map(|quantile| nanos.value_at_quantile(quantile) as f64 / 1e3))
}

fn key(draw: &mut Draw) -> i64 {
    FIRST_KEY + draw.below(ENTITIES) as i64
}

fn connect(address: &str) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).with_context(|| address.to_owned())?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Redis' own protocol, as much of it as a GET needs.
struct Redis(BufReader<TcpStream>);

impl Redis {
    fn connect(address: &str) -> Result<Self> {
        connect(address).map(Self)
    }

    fn get(&mut self, draw: &mut Draw) -> Result<()> {
        let key = format!("plain:{}", key(draw));
        let command = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
        self.0.get_mut().write_all(command.as_bytes())?;
        let mut head = String::new();
        self.0.read_line(&mut head)?;
        ensure!(head.trim_end() == "$80", "expected 80 bytes of {key}, came {head}");
        self.0.read_exact(&mut [0; 82])?;
        Ok(())
    }
}

/// HTTP/1.1 on a connection that is kept.
struct Feast {
    stream: BufReader<TcpStream>,
    address: String,
}

impl Feast {
    fn connect(address: &str) -> Result<Self> {
        Ok(Self { stream: connect(address)?, address: address.to_owned() })
    }

    fn ask(&mut self, draw: &mut Draw) -> Result<()> {
        let body = format!(
            "{{\"feature_service\":\"peers\",\"entities\":{{\"user_id\":[{}]}}}}",
            key(draw)
        );
        let request = format!(
            "POST /get-online-features HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut line, mut status, mut length) = (String::new(), String::new(), None);
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "Feast closed the connection");
            let head = line.trim_end().to_ascii_lowercase();
            if status.is_empty() {
                status = head;
            } else if head.is_empty() {
                break;
            } else if let Some(bytes) = head.strip_prefix("content-length:") {
                length = Some(bytes.trim().parse::<usize>()?);
            }
        }
        let mut answer = vec![0; length.context("expected a content-length")?];
        self.stream.read_exact(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(status.contains(" 200"), "expected 200, came {status}: {answer}");
        let whole = answer.contains("log_ratio") && !answer.contains("NOT_FOUND");
        ensure!(whole, "expected all features, came {answer}");
        Ok(())
    }
}

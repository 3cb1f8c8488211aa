//! The client of both servers: raw bytes out, raw bytes in, timed; it knows neither what they mean nor who
//! answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::draw::Draw;
use crate::raw::RawCodec;
use crate::rounds::Spent;

/// One round of throughput.
pub(crate) const THROUGHPUT: Duration = Duration::from_millis(400);
pub(crate) const CALLERS: u64 = 8;
/// By how many bytes an answer may differ from the one that was looked at: integers have different lengths.
const ANSWER_DIFFERS_MAX: usize = 16;

/// The method that is asked.
pub(crate) const GET_FEATURES: &str = "/skewless.v1.FeatureService/GetFeatures";

/// Requests to one service, and one of its answers.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) name: String,
    pub(crate) requests: Arc<[Bytes]>,
    pub(crate) answer: Bytes,
    pub(crate) path: PathAndQuery,
    pub(crate) echo_path: PathAndQuery,
}

impl Load {
    /// `name` tells it from other loads of the echo.
    pub(crate) fn new(name: &str, requests: Vec<Bytes>) -> Self {
        Self {
            name: name.to_owned(),
            requests: requests.into(),
            answer: Bytes::new(),
            path: PathAndQuery::from_static(GET_FEATURES),
            echo_path: PathAndQuery::try_from(format!("/{}/{name}", crate::echo::NAME))
                .expect("a load's name is a path"),
        }
    }

    /// Name and bytes of the answer, for the echo.
    pub(crate) fn answer(&self) -> (String, Bytes) {
        (self.echo_path.as_str().to_owned(), self.answer.clone())
    }

    /// Sizes, for people.
    pub(crate) fn bytes(&self) -> String {
        let (request, answer) = (self.requests[0].len(), self.answer.len());
        format!("`{}`: request {request} bytes, answer {answer}", self.name)
    }

    fn request(&self, draw: &mut Draw) -> Bytes {
        self.requests[draw.below(self.requests.len())].clone()
    }
}

/// One connection.
pub(crate) struct Caller {
    grpc: Grpc<Channel>,
    draw: Draw,
}

impl Caller {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let channel = Endpoint::from_shared(url.to_owned())?.connect().await;
        let channel = channel.with_context(|| url.to_owned())?;
        Ok(Self { grpc: Grpc::new(channel), draw: Draw::new(1) })
    }

    pub(crate) async fn call(&mut self, request: Bytes, path: &PathAndQuery) -> Result<Bytes> {
        self.grpc.ready().await?;
        let answer = self.grpc.unary(tonic::Request::new(request), path.clone(), RawCodec).await?;
        Ok(answer.into_inner())
    }

    /// Microseconds of the 50th and 99th percentile of `calls` calls, one after the other.
    pub(crate) async fn quantiles(
        &mut self,
        load: &Load,
        path: &PathAndQuery,
        calls: usize,
    ) -> Result<[f64; 2]> {
        let mut nanos = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
        for _ in 0..calls {
            let request = load.request(&mut self.draw);
            let start = Instant::now();
            let answer = self.call(request, path).await?;
            nanos.saturating_record(start.elapsed().as_nanos() as u64);
            check(load, &answer)?;
        }
        Ok([0.50, 0.99].map(|quantile| nanos.value_at_quantile(quantile) as f64 / 1e3))
    }
}

fn check(load: &Load, answer: &Bytes) -> Result<()> {
    let (expected, came) = (load.answer.len(), answer.len());
    ensure!(
        expected.abs_diff(came) <= ANSWER_DIFFERS_MAX,
        "expected {expected} bytes, came {came}"
    );
    Ok(())
}

/// What every call of a closed loop must come to.
#[derive(Clone, Copy)]
pub(crate) enum Expected {
    Answer,
    /// As the sidecar is overloaded.
    Refusal,
}

impl Expected {
    fn check(self, load: &Load, came: Result<Bytes>) -> Result<()> {
        match (self, came) {
            (Self::Answer, came) => check(load, &came?),
            (Self::Refusal, Ok(_)) => anyhow::bail!("expected a refusal, came an answer"),
            (Self::Refusal, Err(error)) => {
                let status = error.downcast_ref::<Status>();
                let refused = status.is_some_and(|of| of.code() == Code::ResourceExhausted);
                if refused { Ok(()) } else { Err(error) }
            }
        }
    }
}

/// Calls a second of several callers, each with its connection, each one call at a time; and microseconds of
/// processor time a call, of client and server together if they are in this process.
pub(crate) async fn throughput(url: &str, load: &Load, path: &PathAndQuery) -> Result<[f64; 2]> {
    let clocks = [Spent::Process];
    let (per_second, [us]) = closed_loop(url, load, path, Expected::Answer, clocks).await?;
    Ok([per_second, us])
}

/// The same, with microseconds a call by each of these clocks.
pub(crate) async fn closed_loop<const N: usize>(
    url: &str,
    load: &Load,
    path: &PathAndQuery,
    expected: Expected,
    clocks: [Spent; N],
) -> Result<(f64, [f64; N])> {
    let mut callers = Vec::new();
    for number in 0..CALLERS {
        let mut caller = Caller::connect(url).await?;
        caller.draw = Draw::new(number + 1);
        callers.push(caller);
    }
    let (start, before) = (Instant::now(), so_far(clocks)?);
    let mut tasks = Vec::new();
    for mut caller in callers {
        let (load, path) = (load.clone(), path.clone());
        tasks.push(tokio::spawn(async move {
            let mut calls = 0_u64;
            while start.elapsed() < THROUGHPUT {
                let request = load.request(&mut caller.draw);
                expected.check(&load, caller.call(request, &path).await)?;
                calls += 1;
            }
            anyhow::Ok(calls)
        }));
    }
    let mut calls = 0;
    for task in tasks {
        calls += task.await??;
    }
    let (after, calls) = (so_far(clocks)?, calls as f64);
    let us = std::array::from_fn(|at| (after[at] - before[at]).as_secs_f64() * 1e6 / calls);
    Ok((calls / start.elapsed().as_secs_f64(), us))
}

fn so_far<const N: usize>(clocks: [Spent; N]) -> Result<[Duration; N]> {
    let mut times = [Duration::ZERO; N];
    for (time, clock) in times.iter_mut().zip(clocks) {
        *time = clock.so_far()?;
    }
    Ok(times)
}

//! Metrics and probes over plain HTTP/1, on a thread and runtime of their own: they answer while every
//! thread that answers calls is busy. Not for features.
//!
//! `/livez`: the process runs. `/readyz`: it should be sent calls (200) or not (503, with the reason).
//! `/metrics`: OpenMetrics text. Any other path is told these.
//!
//! A connection answers one request within `limits.http_ms_max`, whoever is slow. Of
//! `limits.http_connections_max` the oldest makes room for a new one: however many clients dawdle, a probe
//! that doesn't is answered, as it is never the oldest for long.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use skewless_store::StoreInfo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::listen::ACCEPT_PAUSE;
use crate::metrics::Metrics;

/// The least buffer that hyper reads a head into.
const HEADER_BYTES_LEAST: usize = 8_192;
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the probes are about.
pub(crate) trait Probed: Send + Sync {
    /// Why it shouldn't be sent calls; `None` if it should.
    fn unready(&self) -> Option<&'static str>;

    /// Its store's numbers, if it has a store.
    fn store(&self) -> Option<StoreInfo>;
}

/// What the probes know; what they are about joins when it is built.
pub(crate) struct Probes {
    pub(crate) metrics: Arc<Metrics>,
    /// Weak, so that a probe never keeps the store open.
    pub(crate) of: OnceLock<Weak<dyn Probed>>,
}

/// The thread that answers probes; ends when it is dropped.
pub(crate) struct ProbeThread {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl ProbeThread {
    pub(crate) fn start(
        listener: TcpListener,
        probes: Arc<Probes>,
        limits: &Limits,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let routes = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .fallback(nowhere)
            .with_state(probes);
        let door = Door::new(limits);
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = door.serve(&listener, &routes) => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("skewless-http".to_owned()).spawn(serve)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for ProbeThread {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread for probes and metrics panicked");
        }
    }
}

/// The limits of the port.
struct Door {
    connections_max: usize,
    time: Duration,
    http: http1::Builder,
}

impl Door {
    fn new(limits: &Limits) -> Self {
        let time = Duration::from_millis(limits.http_ms_max);
        let mut http = http1::Builder::new();
        // The connection's own time bounds this one, too; said so that no default of the library is shorter.
        http.timer(TokioTimer::new()).header_read_timeout(time).keep_alive(false);
        http.max_buf_size(limits.http_header_bytes_max.max(HEADER_BYTES_LEAST));
        Self { connections_max: limits.http_connections_max, time, http }
    }

    /// Answers until it is dropped.
    async fn serve(&self, listener: &tokio::net::TcpListener, routes: &Router) {
        let mut open: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    open.retain(|connection| !connection.is_finished());
                    if open.len() >= self.connections_max
                        && let Some(oldest) = open.pop_front()
                    {
                        oldest.abort();
                    }
                    open.push_back(self.connection(stream, routes.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the HTTP port couldn't be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn connection(&self, stream: TcpStream, routes: Router) -> AbortHandle {
        let served =
            self.http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
        let within = tokio::time::timeout(self.time, served);
        // Whatever became of it is the client's doing.
        tokio::spawn(async move { drop(within.await) }).abort_handle()
    }
}

async fn ready(State(probes): State<Arc<Probes>>) -> Response {
    let why = match probes.of.get().map(Weak::upgrade) {
        None => Some("starting"),
        Some(None) => Some("ended"),
        Some(Some(of)) => of.unready(),
    };
    match why {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn nowhere(address: Uri) -> (StatusCode, String) {
    let came = address.path();
    (StatusCode::NOT_FOUND, format!("expected /livez, /readyz or /metrics, came {came}\n"))
}

async fn metrics(State(probes): State<Arc<Probes>>) -> Response {
    let info = probes.of.get().and_then(Weak::upgrade).and_then(|of| of.store());
    ([(header::CONTENT_TYPE, OPEN_METRICS)], probes.metrics.text(info.as_ref())).into_response()
}

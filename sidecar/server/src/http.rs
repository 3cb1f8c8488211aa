//! Metrics and probes over plain HTTP/1, on a thread and runtime of their own: they answer while every
//! thread that answers calls is busy. Not for features.
//!
//! `/livez`: the process runs. `/readyz`: it should be sent calls (200) or not (503, with the reason).
//! `/metrics`: OpenMetrics text.

use std::net::TcpListener;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::sidecar::Sidecar;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the probes know; the sidecar joins when it is built.
pub(crate) struct Probes {
    pub(crate) metrics: Arc<Metrics>,
    /// Weak, so that a probe never keeps the store open.
    pub(crate) sidecar: OnceLock<Weak<Sidecar>>,
}

/// The thread that answers probes; ends when it is dropped.
pub(crate) struct ProbeThread {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl ProbeThread {
    pub(crate) fn start(listener: TcpListener, probes: Arc<Probes>) -> std::io::Result<Self> {
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
            .with_state(probes);
        let serve = move || {
            runtime.block_on(async {
                let served = axum::serve(listener, routes).into_future();
                tokio::select! {
                    () = stopped.cancelled() => {}
                    result = served => if let Err(error) = result {
                        tracing::error!(%error, "probes and metrics ended");
                    }
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

async fn ready(State(probes): State<Arc<Probes>>) -> Response {
    let not = |why| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    match probes.sidecar.get().map(Weak::upgrade) {
        None => not("starting\n"),
        Some(None) => not("ended\n"),
        Some(Some(sidecar)) if sidecar.draining.is_cancelled() => not("draining\n"),
        Some(Some(sidecar)) if !sidecar.ready() => {
            not("the store accepts no more writes; restart\n")
        }
        Some(Some(_)) => "ready\n".into_response(),
    }
}

async fn metrics(State(probes): State<Arc<Probes>>) -> Response {
    let sidecar = probes.sidecar.get().and_then(Weak::upgrade);
    let info = sidecar.and_then(|sidecar| sidecar.store.info().ok());
    ([(header::CONTENT_TYPE, OPEN_METRICS)], probes.metrics.text(info.as_ref())).into_response()
}

//! gRPC's connections: their limits, and on which task each of their calls runs; not what answers a call, nor what a
//! socket is (`listen.rs`).
//!
//! The usual server gives every call a task of its own. To a call of microseconds that is dear: a task is made, put into a
//! queue, perhaps fetched by another thread, whose caches know nothing of it, and the connection's task has to be woken to
//! send what it left. So a call that computes and is alone on its connection runs on the connection's own task: it is
//! read, computed and sent in one go (`docs/decisions/0021-one-task.md`).
//!
//! - Calls that came together, or beside one that is in work, get tasks of their own, so that one connection keeps all cores busy.
//! - A call that will take long leaves the connection's task first ([`leave`]), which then goes on with its socket.
//! - One call is computed each time the task runs; then others of the thread have their turn.
//! - A panic ends the call, as on a task of its own.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::server::Connected;

use crate::config::Config;
use crate::listen::Connection;
use crate::outbox::{Answer, Outbox};
use crate::rpc::BoxFuture;

/// Most times a connection's task goes round before others of its thread have their turn.
const ROUNDS_MAX: usize = 16;

/// What answers the calls of a listener.
pub(crate) trait Calls: Clone + Send + Sync + 'static {
    /// Begins to answer one.
    fn begin(&self, call: http::Request<Body>) -> Begun;
}

/// A call that was begun.
pub(crate) struct Begun {
    pub(crate) answer: Answered,
    /// Whether it is computed in microseconds, or leaves before ([`leave`]).
    pub(crate) computes: bool,
}

/// A call's answer to be.
pub(crate) type Answered = BoxFuture<Result<http::Response<Answer>, Infallible>>;

/// Answers connections until there are no more and the last has ended.
pub(crate) async fn serve(
    config: Config,
    calls: impl Calls,
    mut connections: ReceiverStream<io::Result<Connection>>,
    draining: CancellationToken,
) {
    let mut open = JoinSet::new();
    while let Some(connection) = connections.next().await {
        // Those that have ended are let go of.
        while open.try_join_next().is_some() {}
        let Ok(connection) = connection else { continue };
        let outbox = connection.connect_info();
        let tasks = Tasks::default();
        let http = limited(&config, tasks.clone());
        open.spawn(converse(http, tasks, connection, outbox, calls.clone(), draining.clone()));
    }
    while open.join_next().await.is_some() {}
}

/// A connection with every limit of HTTP/2 set: the library leaves streams and resets unlimited.
fn limited(config: &Config, tasks: Tasks) -> http2::Builder<Tasks> {
    let limits = &config.limits;
    let mut http = http2::Builder::new(tasks);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_connection_max)
        .max_header_list_size(limits.header_bytes_max)
        .max_local_error_reset_streams(limits.local_reset_streams_max)
        .max_pending_accept_reset_streams(limits.pending_reset_streams_max)
        .keep_alive_interval(Duration::from_millis(config.life.keepalive_ms))
        .keep_alive_timeout(Duration::from_millis(config.life.keepalive_timeout_ms))
        .adaptive_window(false);
    http
}

/// Answers one connection until it ends; while draining, after the calls that are in work.
async fn converse(
    http: http2::Builder<Tasks>,
    tasks: Tasks,
    connection: impl AsyncRead + AsyncWrite + Unpin,
    outbox: Arc<Outbox>,
    calls: impl Calls,
    draining: CancellationToken,
) {
    let offered = tasks.clone();
    let answer = service_fn(move |call: http::Request<Incoming>| {
        let mut call = call.map(Body::new);
        call.extensions_mut().insert(Arc::clone(&outbox));
        let Begun { answer, computes } = calls.begin(call);
        offered.next(computes);
        answer
    });
    let mut served = pin!(http.serve_connection(TokioIo::new(connection), answer));
    let mut drained = pin!(draining.cancelled_owned());
    let mut told = false;
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    // What became of it is the client's doing.
    poll_fn(|context| {
        woken.passes_on_to(context.waker());
        let mut inner = Context::from_waker(&waker);
        let mut computed = false;
        for _ in 0..ROUNDS_MAX {
            woken.begin();
            if !told && drained.as_mut().poll(&mut inner).is_ready() {
                served.as_mut().graceful_shutdown();
                told = true;
            }
            // Reads and accepts all that is there, and sends what was computed.
            if served.as_mut().poll(&mut inner).is_ready() {
                return Poll::Ready(());
            }
            tasks.part();
            if computed && tasks.has_call() {
                break;
            }
            computed |= tasks.run(&mut inner);
            if !woken.end() {
                return Poll::Pending;
            }
        }
        woken.end();
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    tasks.give_up();
}

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The tasks of one connection's calls; what the library gives each call to that it read.
#[derive(Clone, Default)]
struct Tasks(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Locked by the connection's task alone.
    here: Mutex<Here>,
    /// Calls that compute on tasks of their own.
    elsewhere: AtomicUsize,
}

/// What runs on the connection's task.
#[derive(Default)]
struct Here {
    call: Option<Call>,
    /// Whether the call that comes next computes.
    computes: bool,
}

impl Tasks {
    fn here(&self) -> MutexGuard<'_, Here> {
        self.0.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the call that [`Executor::execute`] is given next.
    fn next(&self, computes: bool) {
        self.here().computes = computes;
    }

    fn has_call(&self) -> bool {
        self.here().call.is_some()
    }

    /// Gives the call here a task of its own if it isn't alone.
    fn part(&self) {
        if self.0.elsewhere.load(Ordering::Relaxed) > 0
            && let Some(call) = self.here().call.take()
        {
            self.spawn(call);
        }
    }

    /// Has the call here go on; whether it is gone then.
    fn run(&self, context: &mut Context<'_>) -> bool {
        let Some(mut call) = self.here().call.take() else { return false };
        RUNS.set(Runs::Here);
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context)));
        let leaves = RUNS.replace(Runs::Elsewhere) == Runs::Leaves;
        match polled {
            Ok(Poll::Pending) if leaves => self.spawn(call),
            Ok(Poll::Pending) => {
                self.here().call = Some(call);
                return false;
            }
            // A panic was told by the hook; the client sees its stream reset.
            Ok(Poll::Ready(())) | Err(_) => {}
        }
        true
    }

    fn spawn(&self, call: Call) {
        let counted = Elsewhere::begin(&self.0);
        tokio::spawn(async move {
            call.await;
            drop(counted);
        });
    }

    /// Drops the call here, which holds its connection's tasks.
    fn give_up(&self) {
        let call = self.here().call.take();
        drop(call);
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, call: F) {
        let mut here = self.here();
        if !here.computes {
            tokio::spawn(call);
        } else if here.call.is_none() && self.0.elsewhere.load(Ordering::Relaxed) == 0 {
            here.call = Some(Box::pin(call));
        } else {
            drop(here);
            self.spawn(Box::pin(call));
        }
    }
}

/// Counts a call until it is dropped.
struct Elsewhere(Arc<Shared>);

impl Elsewhere {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.elsewhere.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.0.elsewhere.fetch_sub(1, Ordering::Relaxed);
    }
}

thread_local! {
    /// Where the call runs that this thread polls.
    static RUNS: Cell<Runs> = const { Cell::new(Runs::Elsewhere) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// On a connection's task.
    Here,
    /// There, and wants a task of its own.
    Leaves,
    /// On a task of its own.
    Elsewhere,
}

/// Goes on on a task of the call's own, if it isn't on one: what is said before it takes long, so that its connection
/// doesn't wait.
pub(crate) async fn leave() {
    poll_fn(|_| match RUNS.get() {
        Runs::Here | Runs::Leaves => {
            RUNS.set(Runs::Leaves);
            Poll::Pending
        }
        Runs::Elsewhere => Poll::Ready(()),
    })
    .await;
}

/// The waker of what runs on a connection's task. What wakes another part of the task while that runs makes it go round
/// again, and isn't told to the runtime: a task that is woken while it runs is queued for any thread, and another thread
/// is woken to see to it.
#[derive(Default)]
struct Woken {
    state: AtomicU8,
    task: Mutex<Option<Waker>>,
}

/// Nothing runs: whoever wakes, wakes the task.
const IDLE: u8 = 0;
/// It runs, and nobody woke it since it began.
const RUNS_NOW: u8 = 1;
/// It runs and is to go round again.
const AGAIN: u8 = 2;

impl Woken {
    fn passes_on_to(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    fn begin(&self) {
        self.state.store(RUNS_NOW, Ordering::Release);
    }

    /// Whether it was woken since it began; if not, the next one wakes the task.
    fn end(&self) -> bool {
        self.state.swap(IDLE, Ordering::AcqRel) == AGAIN
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let again = |state| if state == IDLE { None } else { Some(AGAIN) };
        let runs = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, again).is_ok();
        if !runs && let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests;

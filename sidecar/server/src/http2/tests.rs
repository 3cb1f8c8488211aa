//! Which task a call runs on, seen by its number, over a real HTTP/2 connection.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::time::Duration;

use h2::client::{ResponseFuture, SendRequest};
use tokio::io::DuplexStream;
use tokio::sync::Notify;
use tokio::task::{Id, JoinHandle};

use super::*;

const BOUND: Duration = Duration::from_secs(60);

/// Answers by the path: where a call ran is told by the numbers of its tasks, in the order of what it did.
#[derive(Clone, Default)]
struct Paths(Arc<Told>);

#[derive(Default)]
struct Told {
    ran: Mutex<VecDeque<Id>>,
    /// What `/waits` waits for, and says that it does.
    go: Notify,
    waits: Notify,
    dropped: Notify,
}

struct Dropped(Paths);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.0.dropped.notify_one();
    }
}

impl Paths {
    fn here(&self) {
        self.0.ran.lock().unwrap().push_back(tokio::task::id());
    }

    fn ran(&self) -> Vec<Id> {
        self.0.ran.lock().unwrap().drain(..).collect()
    }
}

impl Calls for Paths {
    fn begin(&self, call: http::Request<Body>) -> Begun {
        let (told, path) = (self.clone(), call.uri().path().to_owned());
        let computes = path != "/routed";
        let answer = Box::pin(async move {
            let _dropped = Dropped(told.clone());
            told.here();
            match &*path {
                "/panics" => panic!("as it should"),
                "/leaves" => leave().await,
                "/leaves_and_waits" => {
                    leave().await;
                    told.0.waits.notify_one();
                    told.0.go.notified().await;
                }
                "/waits" => {
                    told.0.waits.notify_one();
                    told.0.go.notified().await;
                }
                "/is_never_quiet" => {
                    let other = tokio::spawn(std::future::ready(()));
                    poll_fn(|context| {
                        context.waker().wake_by_ref();
                        if other.is_finished() { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                }
                _ => {}
            }
            told.here();
            Ok(http::Response::new(Answer::Free(Body::empty())))
        });
        Begun { answer, computes }
    }
}

/// A client, and the server's end of its connection.
struct Both {
    client: SendRequest<bytes::Bytes>,
    io: JoinHandle<()>,
    connection: JoinHandle<()>,
    told: Paths,
    draining: CancellationToken,
}

impl Both {
    async fn begin() -> Self {
        let (ours, theirs): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 16);
        let (told, draining, tasks) =
            (Paths::default(), CancellationToken::new(), Tasks::default());
        let http = limited(&Config::default(), tasks.clone());
        let outbox = Arc::new(Outbox::new(BOUND));
        let served = converse(http, tasks, ours, outbox, told.clone(), draining.clone());
        let connection = tokio::spawn(served);
        let (client, io) = h2::client::handshake(theirs).await.unwrap();
        let io = tokio::spawn(async move { drop(io.await) });
        let mut both = Self { client, io, connection, told, draining };
        both.ask("/").await.unwrap();
        both.told.ran();
        both
    }

    fn send(&mut self, path: &str) -> ResponseFuture {
        let request = http::Request::get(format!("http://sidecar{path}")).body(()).unwrap();
        self.client.send_request(request, true).unwrap().0
    }

    async fn ask(&mut self, path: &str) -> Result<(), h2::Error> {
        let answer = tokio::time::timeout(BOUND, self.send(path)).await.unwrap()?;
        assert_eq!(answer.status(), 200);
        Ok(())
    }

    /// Whether each part of what ran did on the connection's task.
    fn here(&self) -> Vec<bool> {
        let connection = self.connection.id();
        self.told.ran().into_iter().map(|ran| ran == connection).collect()
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, what).await.unwrap()
}

#[tokio::test]
async fn a_call_alone_runs_on_the_task_of_its_connection() {
    let mut both = Both::begin().await;
    both.ask("/").await.unwrap();
    both.ask("/").await.unwrap();
    assert_eq!(both.here(), [true; 4]);
}

#[tokio::test]
async fn calls_that_came_together_have_tasks_of_their_own() {
    let mut both = Both::begin().await;
    for answer in [both.send("/"), both.send("/"), both.send("/")] {
        within(answer).await.unwrap();
    }
    assert_eq!(both.here(), [false; 6]);
    both.ask("/").await.unwrap();
    assert_eq!(both.here(), [true; 2]);
}

#[tokio::test]
async fn a_call_beside_another_has_a_task_of_its_own() {
    let mut both = Both::begin().await;
    for path in ["/waits", "/leaves_and_waits"] {
        let waits = both.send(path);
        within(both.told.0.waits.notified()).await;
        both.ask("/").await.unwrap();
        assert_eq!(both.here(), [true, false, false], "{path}, then the one beside it");
        both.told.0.go.notify_one();
        within(waits).await.unwrap();
        assert_eq!(both.here(), [false], "{path} went on by itself");
    }
}

#[tokio::test]
async fn a_call_that_will_take_long_leaves_the_task_of_its_connection() {
    let mut both = Both::begin().await;
    both.ask("/leaves").await.unwrap();
    assert_eq!(both.here(), [true, false]);
    for answer in [both.send("/leaves"), both.send("/leaves")] {
        within(answer).await.unwrap();
    }
    assert_eq!(both.here(), [false; 4], "they had left before");
}

#[tokio::test]
async fn what_the_library_answers_has_a_task_of_its_own() {
    let mut both = Both::begin().await;
    both.ask("/routed").await.unwrap();
    assert_eq!(both.here(), [false; 2]);
}

#[tokio::test]
async fn a_panic_ends_the_call_and_not_its_connection() {
    let mut both = Both::begin().await;
    assert!(both.ask("/panics").await.unwrap_err().is_reset());
    both.ask("/").await.unwrap();
    assert_eq!(both.here(), [true; 3]);
}

#[tokio::test]
async fn a_call_whose_connection_ends_is_given_up() {
    let mut both = Both::begin().await;
    within(both.told.0.dropped.notified()).await;
    let waits = both.send("/waits");
    within(both.told.0.waits.notified()).await;
    both.io.abort();
    within(both.told.0.dropped.notified()).await;
    within(both.connection).await.unwrap();
    assert!(waits.await.is_err());
}

#[tokio::test]
async fn a_call_is_answered_while_its_connection_drains() {
    let mut both = Both::begin().await;
    let waits = both.send("/waits");
    within(both.told.0.waits.notified()).await;
    both.draining.cancel();
    both.told.0.go.notify_one();
    assert_eq!(within(waits).await.unwrap().status(), 200);
    within(both.connection).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_never_quiet_leaves_others_of_its_thread_their_turn() {
    let mut both = Both::begin().await;
    both.ask("/is_never_quiet").await.unwrap();
    assert_eq!(both.here(), [true; 2]);
}

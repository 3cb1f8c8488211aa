//! Places, order, waiting and giving up, without a network.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tonic::Code;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn gate(
    in_flight_max: usize,
    queue_max: usize,
    change: impl FnOnce(&mut Limits),
) -> Arc<Admission> {
    let mut limits = Limits {
        requests_in_flight_max: in_flight_max,
        queue_max,
        queue_wait_ms_max: 60_000,
        ..Limits::default()
    };
    change(&mut limits);
    Arc::new(Admission::new(&limits, 1, Arc::new(Metrics::new())))
}

fn place(gate: &Arc<Admission>) -> Place {
    gate.arrive(Instant::now()).unwrap()
}

/// Polls once, as a runtime would.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn now(place: &Place) -> Option<Begun> {
    match poll(pin!(place.begin(Deadline::after(MINUTE)))) {
        Poll::Ready(begun) => Some(begun.unwrap()),
        Poll::Pending => None,
    }
}

async fn turn(gate: &Admission) -> Turn<'_> {
    gate.turn(Deadline::after(MINUTE)).await.unwrap()
}

fn code(refused: Result<Begun, ServeError>) -> (Code, String) {
    let error = refused.map(|_| ()).unwrap_err();
    (error.code(), error.to_string())
}

#[tokio::test]
async fn as_many_as_the_limits_allow_have_a_place_and_not_one_more() {
    let gate = gate(2, 3, |_| {});
    let mut places: Vec<_> = (0..5).map(|_| place(&gate)).collect();
    let refused = gate.arrive(Instant::now()).map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let says = refused.to_string();
    assert!(says.contains("limits.requests_in_flight_max"), "{says}");
    assert!(says.contains("limits.queue_max") && says.contains("60000 ms"), "{says}");
    let begun: Vec<_> = places.iter().filter_map(now).collect();
    assert_eq!(begun.len(), 2);
    places.pop();
    places.push(place(&gate));
    assert!(gate.arrive(Instant::now()).is_err(), "a refused one took no place");
    drop((places, begun));
    assert!(gate.idle());
}

#[tokio::test]
async fn without_a_queue_whoever_can_t_be_begun_is_refused() {
    let gate = gate(1, 0, |_| {});
    let first = place(&gate);
    assert!(gate.arrive(Instant::now()).is_err());
    drop(first);
    assert!(now(&place(&gate)).is_some());
}

#[tokio::test]
async fn the_oldest_is_begun_first_and_nobody_overtakes() {
    let gate = gate(1, 8, |_| {});
    let first = place(&gate);
    let held = now(&first).unwrap();
    let waiting: Vec<_> = (0..4).map(|_| place(&gate)).collect();
    let deadline = Deadline::after(MINUTE);
    let mut calls: Vec<_> = waiting.iter().map(|place| Box::pin(place.begin(deadline))).collect();
    for call in &mut calls {
        assert!(poll(call.as_mut()).is_pending());
    }
    assert_eq!(gate.metrics.waiting.get(), 4);
    let mut held = Some(held);
    for turn in 0..4 {
        drop(held.take());
        assert!(now(&place(&gate)).is_none(), "a newcomer overtook those who wait");
        for later in calls.iter_mut().skip(turn + 1) {
            assert!(poll(later.as_mut()).is_pending(), "turn {turn}");
        }
        let Poll::Ready(begun) = poll(calls[turn].as_mut()) else { panic!("turn {turn}") };
        held = Some(begun.unwrap());
    }
    assert_eq!(gate.metrics.waiting.get(), 0);
}

#[tokio::test]
async fn whoever_gives_up_frees_the_place_and_the_turn() {
    let gate = gate(1, 2, |_| {});
    let first = place(&gate);
    let held = now(&first).unwrap();
    let (second, third) = (place(&gate), place(&gate));
    let mut gives_up = Box::pin(second.begin(Deadline::after(MINUTE)));
    let mut waits = Box::pin(third.begin(Deadline::after(MINUTE)));
    assert!(poll(gives_up.as_mut()).is_pending() && poll(waits.as_mut()).is_pending());
    // Its turn has come already when it gives up.
    drop(held);
    drop(gives_up);
    drop(second);
    let Poll::Ready(begun) = poll(waits.as_mut()) else { panic!("the turn was lost") };
    assert!(begun.is_ok());
    drop(place(&gate));
    assert_eq!(gate.metrics.waiting.get(), 0);
}

#[tokio::test]
async fn a_wait_ends_by_the_limit_or_by_the_deadline_whichever_is_first() {
    let gate = gate(1, 8, |limits| limits.queue_wait_ms_max = 20);
    let first = place(&gate);
    let held = now(&first).unwrap();
    let waits = place(&gate);
    let (over, says) = code(waits.begin(Deadline::after(MINUTE)).await);
    assert_eq!(over, Code::ResourceExhausted);
    assert!(says.contains("limits.queue_wait_ms_max") && says.contains("20 ms"), "{says}");
    let short = place(&gate);
    let (over, says) = code(short.begin(Deadline::after(Duration::from_millis(1))).await);
    assert_eq!(over, Code::DeadlineExceeded);
    assert!(says.contains("waited to be begun"), "{says}");
    drop(held);
    assert!(now(&place(&gate)).is_some());
}

#[tokio::test]
async fn what_is_late_already_is_not_begun_though_it_could_be() {
    let gate = gate(1, 8, |_| {});
    let dead = place(&gate);
    assert_eq!(code(dead.begin(Deadline::after(Duration::ZERO)).await).0, Code::DeadlineExceeded);
    let long_ago = Instant::now().checked_sub(MINUTE).unwrap();
    let old = gate.arrive(long_ago).unwrap();
    assert_eq!(code(old.begin(Deadline::after(MINUTE)).await).0, Code::ResourceExhausted);
    assert_eq!(gate.metrics.admitted.get(), 0);
}

#[tokio::test]
async fn answers_that_nobody_takes_refuse_calls_at_the_limit() {
    let gate = gate(1, 1, |limits| limits.unsent_bytes_max = 100);
    gate.metrics.unsent_bytes.set(99);
    drop(place(&gate));
    gate.metrics.unsent_bytes.set(100);
    let refused = gate.arrive(Instant::now()).map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.to_string().contains("limits.unsent_bytes_max"), "{refused}");
    assert!(gate.idle());
}

#[tokio::test]
async fn a_turn_comes_at_once_unless_more_calls_are_here_than_there_are_turns() {
    let gate = gate(64, 64, |_| {});
    let few: Vec<_> = (0..TURNS_A_THREAD).map(|_| place(&gate)).collect();
    let turns: Vec<_> = few.iter().map(|_| poll(pin!(turn(&gate)))).collect();
    assert!(turns.iter().all(Poll::is_ready));
    drop(turns);
    let more = place(&gate);
    let mut next = Box::pin(turn(&gate));
    assert!(poll(next.as_mut()).is_pending(), "sockets are read first");
    assert!(poll(next.as_mut()).is_ready(), "once");
    drop((few, more));
}

#[tokio::test]
async fn turns_are_taken_in_their_order_also_by_those_who_let_sockets_be_read() {
    let gate = gate(64, 64, |_| {});
    let places: Vec<_> = (0..TURNS_A_THREAD + 3).map(|_| place(&gate)).collect();
    let mut turns: Vec<_> = places.iter().map(|_| Box::pin(turn(&gate))).collect();
    for one in &mut turns {
        assert!(poll(one.as_mut()).is_pending());
    }
    let mut computing: VecDeque<_> = (0..TURNS_A_THREAD)
        .map(|at| match poll(turns[at].as_mut()) {
            Poll::Ready(begins) => begins,
            Poll::Pending => panic!("{at} let sockets be read and has its turn"),
        })
        .collect();
    for next in TURNS_A_THREAD..turns.len() {
        for waits in &mut turns[next..] {
            assert!(poll(waits.as_mut()).is_pending(), "all turns are taken");
        }
        computing.pop_front();
        let Poll::Ready(begins) = poll(turns[next].as_mut()) else { panic!("{next} is next") };
        computing.push_back(begins);
    }
    drop(places);
}

#[tokio::test]
async fn a_wait_for_a_turn_ends_by_the_deadline_and_is_named() {
    let gate = gate(64, 64, |_| {});
    let places: Vec<_> = (0..TURNS_A_THREAD).map(|_| place(&gate)).collect();
    let mut computing: Vec<_> = (0..TURNS_A_THREAD)
        .map(|_| match poll(pin!(turn(&gate))) {
            Poll::Ready(begins) => begins,
            Poll::Pending => panic!("there is a turn for each"),
        })
        .collect();
    let late = gate.turn(Deadline::after(Duration::ZERO)).await.map(|_| ()).unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let says = late.to_string();
    assert!(says.contains("while the call waited for its turn"), "{says}");
    computing.pop();
    assert!(poll(pin!(turn(&gate))).is_ready(), "whoever gave up holds none");
    drop(places);
}

#[tokio::test]
async fn a_call_is_refused_at_once_if_those_who_wait_take_longer_than_it_may_wait() {
    let gate = gate(1, 64, |limits| limits.queue_wait_ms_max = 60_000);
    let mut at = Instant::now();
    // A call every 20 s: three in the time that one may wait.
    for _ in 0..200 {
        at += MINUTE / 3;
        gate.drain.ended(at);
    }
    let first = place(&gate);
    let held = now(&first).unwrap();
    let crowd: Vec<_> = (0..TURNS_A_THREAD).map(|_| place(&gate)).collect();
    let waiting: Vec<_> = (0..4).map(|_| place(&gate)).collect();
    let deadline = Deadline::after(MINUTE);
    let mut calls: Vec<_> = waiting.iter().map(|place| Box::pin(place.begin(deadline))).collect();
    for call in &mut calls[..3] {
        assert!(poll(call.as_mut()).is_pending());
    }
    drop(place(&gate));
    assert!(poll(calls[3].as_mut()).is_pending());
    let refused = gate.arrive(Instant::now()).map(|_| ()).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let says = refused.to_string();
    assert!(
        says.contains("4 requests are before it") && says.contains("limits.queue_wait_ms_max"),
        "{says}"
    );
    // Those whose messages have come count, too: they wait for a turn.
    drop(calls);
    let lined: Vec<_> = (0..4).map(|_| Box::pin(turn(&gate))).collect();
    drop(place(&gate));
    let mut lined: Vec<_> = lined.into_iter().map(|mut turn| (poll(turn.as_mut()), turn)).collect();
    let refused = gate.arrive(Instant::now()).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("4 requests are before it"), "{refused}");
    // Few are never refused, whatever was learnt: else nothing else ever would be.
    drop((crowd, waiting));
    drop(place(&gate));
    lined.clear();
    drop(held);
}

#[tokio::test]
async fn sockets_are_left_unread_only_while_refusals_are_ahead_and_there_is_enough_to_do() {
    let gate = gate(2, 2, |_| {});
    let places: Vec<_> = (0..4).map(|_| place(&gate)).collect();
    assert_eq!(gate.pause(), None, "nothing was refused");
    assert!(gate.arrive(Instant::now() + MINUTE).is_err());
    assert_eq!(gate.pause(), Some(TICK));
    let mut places = places.into_iter();
    places.next();
    places.next();
    assert_eq!(gate.pause(), Some(TICK), "two of four are enough");
    places.next();
    assert_eq!(gate.pause(), None, "one isn't");
    // Calls that are refused for other reasons don't count: they cost the cores what their senders make them.
    let other = super::tests::gate(1, 1, |limits| limits.unsent_bytes_max = 1);
    other.metrics.unsent_bytes.set(1);
    assert!(other.arrive(Instant::now() + MINUTE).is_err());
    assert_eq!(other.pause(), None);
}

//! When a connection's socket may be read: always, unless refusals are ahead of their pace; not what is in it.
//!
//! While `Admission::pause` asks for it, sockets are read by one connection after the other, in the order in which they
//! asked, a piece each: whoever has many calls at hand doesn't keep the others out, and a piece holds no more
//! calls than refusing them for some milliseconds takes. Nobody stands in line for longer than [`PATIENCE`]: whoever is
//! before it may not be reading at all, as its client takes no answers.
//!
//! Cost while nothing is refused: one atomic load a read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::PollSemaphore;

use crate::admission::Admission;

/// Bytes read at once while reading is paced: some dozens of small calls.
const PIECE_BYTES: usize = 4 << 10;
/// How long to stand in line: some pieces of others.
const PATIENCE: Duration = Duration::from_millis(50);

/// The right to read of all connections of a process.
#[derive(Clone)]
pub(crate) struct Readers {
    admission: Arc<Admission>,
    one: Arc<Semaphore>,
}

/// One connection's.
pub(crate) struct Reading {
    readers: Readers,
    state: State,
    timer: Option<Pin<Box<Sleep>>>,
}

enum State {
    /// It hasn't asked since it last read.
    Away,
    /// It stands in line, and must wait for its turn: nobody behind it is served before.
    InLine(PollSemaphore),
    /// It is at the head of the line, or has stood in it for too long.
    Next { _turn: Option<OwnedSemaphorePermit> },
}

impl Readers {
    pub(crate) fn new(admission: Arc<Admission>) -> Self {
        Self { admission, one: Arc::new(Semaphore::new(1)) }
    }

    /// For one connection.
    pub(crate) fn reading(&self) -> Reading {
        Reading { readers: self.clone(), state: State::Away, timer: None }
    }
}

impl Reading {
    /// Ready with the most bytes that may be read now; [`Reading::done`] must follow.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        let Readers { admission, one } = &self.readers;
        loop {
            match &mut self.state {
                State::Away if admission.pause().is_none() => return Poll::Ready(usize::MAX),
                State::Away => self.state = State::InLine(PollSemaphore::new(Arc::clone(one))),
                State::InLine(line) => {
                    let turn = match line.poll_acquire(context) {
                        Poll::Ready(turn) => turn,
                        Poll::Pending => {
                            ready!(wait(&mut self.timer, PATIENCE, context));
                            None
                        }
                    };
                    (self.state, self.timer) = (State::Next { _turn: turn }, None);
                }
                State::Next { .. } => match admission.pause() {
                    Some(pause) => ready!(wait(&mut self.timer, pause, context)),
                    None => return Poll::Ready(PIECE_BYTES),
                },
            }
        }
    }

    /// It was read, or there was nothing to read: the next in line may.
    pub(crate) fn done(&mut self) {
        (self.state, self.timer) = (State::Away, None);
    }
}

/// Ready when so much time has passed since it first wasn't.
fn wait(
    timer: &mut Option<Pin<Box<Sleep>>>,
    time: Duration,
    context: &mut Context<'_>,
) -> Poll<()> {
    ready!(timer.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(context));
    *timer = None;
    Poll::Ready(())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::config::Limits;
    use crate::metrics::Metrics;

    /// With two places, both taken, and refusals far ahead of their pace.
    fn crowded() -> (Arc<Admission>, Vec<crate::admission::Place>) {
        let limits = Limits { requests_in_flight_max: 1, queue_max: 1, ..Limits::default() };
        let gate = Arc::new(Admission::new(&limits, 1, Arc::new(Metrics::new())));
        let places: Vec<_> =
            (0..2).map(|_| gate.arrive(Instant::now()).expect("a place")).collect();
        assert!(gate.arrive(Instant::now() + Duration::from_secs(3_600)).is_err());
        (gate, places)
    }

    fn poll(reading: &mut Reading) -> Poll<usize> {
        reading.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn sockets_are_read_one_after_the_other_and_in_pieces_while_refusals_are_ahead() {
        let (gate, places) = crowded();
        let readers = Readers::new(gate);
        let [mut first, mut second, mut gone] = [(); 3].map(|()| readers.reading());
        for reading in [&mut first, &mut gone, &mut second] {
            assert!(poll(reading).is_pending());
        }
        drop(places);
        assert!(poll(&mut second).is_pending(), "the first is before it");
        drop(gone);
        assert_eq!(poll_fn(|context| first.poll(context)).await, PIECE_BYTES);
        assert!(poll(&mut second).is_pending(), "the first reads");
        first.done();
        assert_eq!(poll_fn(|context| second.poll(context)).await, PIECE_BYTES);
        second.done();
        assert_eq!(poll(&mut first), Poll::Ready(usize::MAX), "there is no line any more");
    }

    #[tokio::test]
    async fn whoever_closes_while_it_may_read_keeps_nobody_out() {
        let (gate, places) = crowded();
        let readers = Readers::new(gate);
        let (mut first, mut second) = (readers.reading(), readers.reading());
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        drop((first, places));
        assert_eq!(poll_fn(|context| second.poll(context)).await, PIECE_BYTES);
    }

    #[tokio::test]
    async fn whoever_may_read_and_does_not_keeps_nobody_out_for_good() {
        let (gate, places) = crowded();
        let readers = Readers::new(gate);
        let (mut first, mut second) = (readers.reading(), readers.reading());
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        drop(places);
        // The first is never asked again, as if its answers had to be written before.
        assert_eq!(poll_fn(|context| second.poll(context)).await, PIECE_BYTES);
        second.done();
        assert_eq!(poll(&mut first), Poll::Ready(PIECE_BYTES));
    }
}

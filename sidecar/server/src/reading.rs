//! When a connection's socket may be read: always, unless refusals are ahead of their pace; not what is in it.
//!
//! While `Admission::pause` asks for it, sockets are read by one connection after the other, in the order in which they
//! asked, a piece each: whoever has many calls at hand doesn't keep the others out, and a piece holds no more
//! calls than refusing them for some milliseconds takes.
//!
//! Cost while nothing is refused: one atomic load a read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::PollSemaphore;

use crate::admission::Admission;

/// Bytes read at once while reading is paced: some dozens of small calls.
const PIECE_BYTES: usize = 4 << 10;

/// The right to read of all connections of a process.
#[derive(Clone)]
pub(crate) struct Readers {
    admission: Arc<Admission>,
    one: Arc<Semaphore>,
}

/// One connection's.
pub(crate) struct Reading {
    admission: Arc<Admission>,
    line: PollSemaphore,
    /// It stands in line, and must take its turn: nobody behind it is served before.
    in_line: bool,
    /// It is at the head of the line.
    turn: Option<OwnedSemaphorePermit>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Readers {
    pub(crate) fn new(admission: Arc<Admission>) -> Self {
        Self { admission, one: Arc::new(Semaphore::new(1)) }
    }

    /// For one connection.
    pub(crate) fn reading(&self) -> Reading {
        Reading {
            admission: Arc::clone(&self.admission),
            line: PollSemaphore::new(Arc::clone(&self.one)),
            in_line: false,
            turn: None,
            pause: None,
        }
    }
}

impl Reading {
    /// Ready with the most bytes that may be read now; [`Reading::done`] must follow.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        if self.turn.is_none() {
            if !self.in_line && self.admission.pause().is_none() {
                return Poll::Ready(usize::MAX);
            }
            self.in_line = true;
            self.turn = ready!(self.line.poll_acquire(context));
            self.in_line = false;
        }
        while let Some(wait) = self.admission.pause() {
            let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(wait)));
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        Poll::Ready(PIECE_BYTES)
    }

    /// It was read, or there was nothing to read: the next in line may.
    pub(crate) fn done(&mut self) {
        (self.turn, self.pause) = (None, None);
    }
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
}

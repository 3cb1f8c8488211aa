//! Answers that are ready but not taken by their clients: how many bytes they hold and since when; not how
//! they are made or sent.
//!
//! HTTP/2 lets a client ask and then take nothing: its window is shut, or it doesn't read its socket. What was
//! answered would then be held for as long as it likes, answering pings all the while. So every answer has a
//! [`Ticket`], held by its bytes until the last of them is on the socket. A connection whose oldest ticket
//! is older than `limits.send_ms_max` is closed, which frees all it holds; `limits.unsent_bytes_max` bounds
//! what all of them hold until then.
//!
//! Cost: two uncontended locks and some allocations a call, about 200 ns.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;

use crate::metrics::Metrics;

/// The answers of one connection that aren't taken.
#[derive(Debug)]
pub(crate) struct Outbox {
    unsent: Mutex<Unsent>,
    send_max: Duration,
}

#[derive(Debug, Default)]
struct Unsent {
    /// Since when, by number; numbers rise with time, so the first is the oldest.
    since: BTreeMap<u64, Instant>,
    next: u64,
}

/// One answer on its way; it is sent when the last copy is dropped.
pub(crate) struct Ticket {
    outbox: Option<Arc<Outbox>>,
    metrics: Arc<Metrics>,
    ready: OnceLock<Ready>,
}

struct Ready {
    number: u64,
    bytes: i64,
}

impl Outbox {
    pub(crate) fn new(send_max: Duration) -> Self {
        Self { unsent: Mutex::default(), send_max }
    }

    /// How often to look whether it is stuck: late by a quarter at most.
    pub(crate) fn look_every(&self) -> Duration {
        (self.send_max / 4).max(Duration::from_millis(1))
    }

    /// Whether an answer has been waiting for longer than it may.
    pub(crate) fn stuck(&self) -> bool {
        let oldest = self.unsent().since.first_key_value().map(|(_, since)| *since);
        oldest.is_some_and(|since| since.elapsed() >= self.send_max)
    }

    fn unsent(&self) -> MutexGuard<'_, Unsent> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// For a call that came by a connection; nothing is counted before it is [`Ticket::ready`].
    pub(crate) fn of(outbox: Option<&Arc<Outbox>>, metrics: &Arc<Metrics>) -> Arc<Self> {
        let outbox = outbox.map(Arc::clone);
        Arc::new(Self { outbox, metrics: Arc::clone(metrics), ready: OnceLock::new() })
    }

    /// The answer is there and has so many bytes. Only the first time counts.
    pub(crate) fn ready(&self, bytes: usize) {
        let Some(outbox) = &self.outbox else { return };
        self.ready.get_or_init(|| {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.metrics.unsent_bytes.inc_by(bytes);
            let mut unsent = outbox.unsent();
            let number = unsent.next;
            unsent.next += 1;
            unsent.since.insert(number, Instant::now());
            Ready { number, bytes }
        });
    }

    /// The answer, whose bytes hold the ticket from here on.
    pub(crate) fn hold(self: &Arc<Self>, answer: http::Response<Body>) -> http::Response<Body> {
        let ticket = Arc::clone(self);
        answer.map(|inner| Body::new(Held { inner, ticket }))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let (Some(outbox), Some(ready)) = (&self.outbox, self.ready.get()) {
            self.metrics.unsent_bytes.dec_by(ready.bytes);
            outbox.unsent().since.remove(&ready.number);
        }
    }
}

/// An answer's body that holds its ticket, and so do the bytes it gives.
struct Held {
    inner: Body,
    ticket: Arc<Ticket>,
}

/// Bytes with their ticket: the transport drops them when they are on the socket.
struct Ticketed {
    bytes: Bytes,
    _ticket: Arc<Ticket>,
}

impl AsRef<[u8]> for Ticketed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { inner, ticket } = self.get_mut();
        let frame = Pin::new(inner).poll_frame(context);
        let ticketed = |bytes| Bytes::from_owner(Ticketed { bytes, _ticket: Arc::clone(ticket) });
        frame.map_ok(|frame| frame.map_data(ticketed))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use hyper::body::Body as _;

    use super::*;

    #[test]
    fn an_answer_counts_from_ready_until_the_last_of_its_bytes_is_gone() {
        let metrics = Arc::new(Metrics::new());
        let outbox = Arc::new(Outbox::new(Duration::ZERO));
        let ticket = Ticket::of(Some(&outbox), &metrics);
        assert!(!outbox.stuck(), "it isn't ready yet");
        ticket.ready(7);
        ticket.ready(9);
        let inner = Body::new(axum::body::Body::from("answers"));
        let mut held = Held { inner, ticket };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let frame = Pin::new(&mut held).poll_frame(&mut context);
        let Poll::Ready(Some(Ok(frame))) = frame else { panic!("expected a frame") };
        let mut bytes = frame.into_data().unwrap();
        drop(held);
        let sent = bytes.split_to(3);
        drop(sent);
        assert!(outbox.stuck());
        assert_eq!((metrics.unsent_bytes.get(), &*bytes), (7, &b"wers"[..]));
        drop(bytes);
        assert!(!outbox.stuck());
        assert_eq!(metrics.unsent_bytes.get(), 0);
    }

    #[test]
    fn the_oldest_answer_decides_whether_a_connection_is_stuck() {
        let metrics = Arc::new(Metrics::new());
        let outbox = Arc::new(Outbox::new(Duration::from_secs(60)));
        let tickets: Vec<_> = (0..3).map(|_| Ticket::of(Some(&outbox), &metrics)).collect();
        tickets.iter().for_each(|ticket| ticket.ready(1));
        assert!(!outbox.stuck(), "none is a minute old");
        let long_ago = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        outbox.unsent().since.insert(0, long_ago);
        assert!(outbox.stuck());
        drop(tickets);
        assert!(!outbox.stuck() && outbox.unsent().since.is_empty());
    }
}

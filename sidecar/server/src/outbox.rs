//! Answers that are ready but not taken by their clients: how many bytes they hold and since when; not how
//! they are made or sent.
//!
//! HTTP/2 lets a client ask and then take nothing: its window is shut, or it doesn't read its socket. What was
//! answered would then be held for as long as it likes, answering pings all the while. So every answer has a
//! [`Ticket`], held by its bytes until the last of them is on the socket. A connection whose oldest ticket
//! is older than `limits.send_ms_max` is closed, which frees all it holds; `limits.unsent_bytes_max` bounds
//! what all of them hold until then.
//!
//! Cost: two uncontended locks and an allocation or two a call, about 200 ns.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};

use crate::metrics::Metrics;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

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

/// One answer on its way; it is sent when this is dropped.
pub(crate) struct Ticket {
    /// None: the call came by no connection, and nothing is counted.
    outbox: Option<Arc<Outbox>>,
    metrics: Arc<Metrics>,
    number: u64,
    bytes: i64,
}

/// The body of an answer.
pub(crate) enum Answer {
    /// Nobody minds whether it is taken: a refusal, a stream's answers, what the library answers by itself.
    Free(Body),
    /// Made by the library: the body and each of the bytes that it gives hold the ticket.
    Held(Body, Arc<Ticket>),
    /// One finished message, then that all went well. The message holds the ticket, and is kept until that was said: a
    /// client can shut its window between the two.
    Whole {
        message: Bytes,
        /// Whether the message was given, and only the rest is to be said.
        given: bool,
    },
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
    /// Of an answer that is ready and has so many bytes.
    pub(crate) fn ready(
        outbox: Option<&Arc<Outbox>>,
        metrics: &Arc<Metrics>,
        bytes: usize,
    ) -> Self {
        let (outbox, metrics) = (outbox.map(Arc::clone), Arc::clone(metrics));
        let mut ticket = Self { outbox, metrics, number: 0, bytes: 0 };
        if let Some(outbox) = &ticket.outbox {
            ticket.bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            ticket.metrics.unsent_bytes.inc_by(ticket.bytes);
            let mut unsent = outbox.unsent();
            ticket.number = unsent.next;
            unsent.next += 1;
            unsent.since.insert(ticket.number, Instant::now());
        }
        ticket
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(outbox) = &self.outbox {
            self.metrics.unsent_bytes.dec_by(self.bytes);
            outbox.unsent().since.remove(&self.number);
        }
    }
}

/// Bytes with their ticket: the transport drops them when they are on the socket.
struct Ticketed<B, T> {
    bytes: B,
    _ticket: T,
}

impl<B: AsRef<[u8]>, T> AsRef<[u8]> for Ticketed<B, T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// An answer's bytes, which hold its ticket.
pub(crate) fn ticketed(bytes: Vec<u8>, ticket: Ticket) -> Bytes {
    Bytes::from_owner(Ticketed { bytes, _ticket: ticket })
}

impl Answer {
    /// An answer that is one message, in the bytes it was written into.
    pub(crate) fn whole(message: Vec<u8>, ticket: Ticket) -> Self {
        Self::Whole { message: ticketed(message, ticket), given: false }
    }

    /// An answer that the library made.
    pub(crate) fn held(body: Body, ticket: Ticket) -> Self {
        Self::Held(body, Arc::new(ticket))
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = match this {
            Self::Free(body) => return Pin::new(body).poll_frame(context),
            Self::Held(body, ticket) => {
                let frame = Pin::new(body).poll_frame(context);
                let ticketed = |bytes: Bytes| {
                    Bytes::from_owner(Ticketed { bytes, _ticket: Arc::clone(ticket) })
                };
                return frame.map_ok(|frame| frame.map_data(ticketed));
            }
            Self::Whole { message, given } if !*given => {
                *given = true;
                Frame::data(message.clone())
            }
            Self::Whole { .. } => {
                *this = Self::Free(Body::empty());
                Frame::trailers(all_went_well())
            }
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Free(body) | Self::Held(body, _) => body.is_end_stream(),
            Self::Whole { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Free(body) | Self::Held(body, _) => body.size_hint(),
            // An exact one would become a content-length, which gRPC's answers don't have.
            Self::Whole { .. } => SizeHint::default(),
        }
    }
}

fn all_went_well() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use hyper::body::Body as _;

    use super::*;

    const ANSWER: &[u8] = b"answers";

    fn next(answer: &mut Answer) -> Option<Frame<Bytes>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(answer).poll_frame(&mut context) {
            Poll::Ready(frame) => frame.map(Result::unwrap),
            Poll::Pending => panic!("expected what comes next, came nothing yet"),
        }
    }

    /// Whether the library made it or we did.
    #[test]
    fn an_answer_counts_from_ready_until_the_last_of_its_bytes_is_gone() {
        let held = |ticket| Answer::held(Body::new(axum::body::Body::from(ANSWER)), ticket);
        let whole = |ticket| Answer::whole(ANSWER.to_vec(), ticket);
        for answer in [&held as &dyn Fn(Ticket) -> Answer, &whole] {
            let metrics = Arc::new(Metrics::new());
            let outbox = Arc::new(Outbox::new(Duration::ZERO));
            assert!(!outbox.stuck(), "nothing is ready yet");
            let mut answer = answer(Ticket::ready(Some(&outbox), &metrics, 7));
            assert_eq!((metrics.unsent_bytes.get(), outbox.stuck()), (7, true));
            let mut bytes = next(&mut answer).unwrap().into_data().unwrap();
            drop(answer);
            let sent = bytes.split_to(3);
            drop(sent);
            assert!(outbox.stuck());
            assert_eq!((metrics.unsent_bytes.get(), &*bytes), (7, &b"wers"[..]));
            drop(bytes);
            assert!(!outbox.stuck());
            assert_eq!(metrics.unsent_bytes.get(), 0);
        }
    }

    #[test]
    fn a_whole_answer_is_its_message_without_a_copy_then_that_all_went_well() {
        let metrics = Arc::new(Metrics::new());
        let outbox = Arc::new(Outbox::new(Duration::ZERO));
        let message = ANSWER.to_vec();
        let at = message.as_ptr();
        let mut answer = Answer::whole(message, Ticket::ready(Some(&outbox), &metrics, 7));
        assert!(!answer.is_end_stream() && answer.size_hint().exact().is_none());
        let bytes = next(&mut answer).unwrap().into_data().unwrap();
        assert_eq!((&*bytes, bytes.as_ptr()), (ANSWER, at));
        drop(bytes);
        assert!(outbox.stuck() && !answer.is_end_stream(), "its end isn't taken yet");
        let trailers = next(&mut answer).unwrap().into_trailers().unwrap();
        assert_eq!((trailers.len(), trailers["grpc-status"].as_bytes()), (1, &b"0"[..]));
        assert!(!outbox.stuck() && answer.is_end_stream());
        assert!(next(&mut answer).is_none());
    }

    #[test]
    fn the_oldest_answer_decides_whether_a_connection_is_stuck() {
        let metrics = Arc::new(Metrics::new());
        let outbox = Arc::new(Outbox::new(Duration::from_secs(60)));
        let tickets: Vec<_> = (0..3).map(|_| Ticket::ready(Some(&outbox), &metrics, 1)).collect();
        assert!(!outbox.stuck(), "none is a minute old");
        let long_ago = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        outbox.unsent().since.insert(0, long_ago);
        assert!(outbox.stuck());
        drop(tickets);
        assert!(!outbox.stuck() && outbox.unsent().since.is_empty());
    }
}

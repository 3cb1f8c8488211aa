//! Bodies of every shape, frame by frame, without a network; the same over HTTP/2 is in `tests/it/framing.rs`.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::body::Frame;
use tonic::Code;

use super::*;
use crate::guard::{Seat, work};

/// The limit on bytes in these tests.
const MAX: usize = 12;

/// A body that gives what it is told to.
struct Frames(VecDeque<Result<Frame<Bytes>, Status>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.get_mut().0.pop_front())
    }
}

/// A body that never comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Pending
    }
}

/// Polls once, as a runtime would.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn data(bytes: impl AsRef<[u8]>) -> Result<Frame<Bytes>, Status> {
    Ok(Frame::data(Bytes::copy_from_slice(bytes.as_ref())))
}

/// A message behind its prefix.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    bytes
}

async fn received(
    frames: impl IntoIterator<Item = Result<Frame<Bytes>, Status>>,
) -> Result<Bytes, Status> {
    receive(Body::new(Frames(frames.into_iter().collect())), MAX).await
}

#[tokio::test]
async fn a_message_is_the_same_however_it_is_cut() {
    for message in ["", "m", "message", "the longest."] {
        let bytes = framed(message.as_bytes());
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let cut = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(received(cut.map(data)).await.unwrap(), message, "{first} {second}");
            }
        }
        let by_byte = bytes.iter().map(|byte| data([*byte]));
        assert_eq!(received(by_byte).await.unwrap(), message);
        let spaced = bytes.iter().flat_map(|byte| [data(b""), data([*byte]), data(b"")]);
        assert_eq!(received(spaced).await.unwrap(), message);
    }
}

#[tokio::test]
async fn a_message_in_one_frame_is_not_copied() {
    let frame = Bytes::from(framed(b"message"));
    let message = received([Ok(Frame::data(frame.clone()))]).await.unwrap();
    assert_eq!(message.as_ptr(), frame[PREFIX_BYTES..].as_ptr());
}

#[tokio::test]
async fn a_body_may_end_with_trailers() {
    let trailers = Ok(Frame::trailers(http::HeaderMap::new()));
    assert_eq!(received([data(framed(b"message")), trailers]).await.unwrap(), "message");
}

#[tokio::test]
async fn what_is_no_single_message_is_refused() {
    const INVALID: Code = Code::InvalidArgument;
    let whole = || framed(b"message");
    let trailers = || Ok(Frame::trailers(http::HeaderMap::new()));
    let flag = |flag: u8| {
        let mut bytes = whole();
        bytes[0] = flag;
        data(bytes)
    };
    let cases = [
        (vec![], INVALID, "came: Missing request message."),
        (vec![data(b""), data(b"")], INVALID, "came: Missing request message."),
        (vec![trailers()], INVALID, "came: Missing request message."),
        (vec![data(b"\0\0\0\0")], INVALID, "came: Unexpected EOF decoding stream."),
        (vec![data(&whole()[..11])], INVALID, "came: Unexpected EOF decoding stream."),
        (vec![data(&whole()[..5]), trailers()], INVALID, "came: Unexpected EOF decoding stream."),
        (vec![flag(1)], INVALID, "compressed-flag but no grpc-encoding was specified"),
        (vec![flag(2)], INVALID, "invalid compression flag: 2 (valid flags are 0 and 1)"),
        (vec![data(whole()), data(b"\0")], INVALID, "came: more behind it"),
        (vec![data([whole(), vec![0]].concat())], INVALID, "came: more behind it"),
        (vec![data([whole(), whole()].concat())], INVALID, "came: more behind it"),
        (vec![data(whole()), data(whole())], INVALID, "came: more behind it"),
        (
            vec![data(&whole()[..8]), data([&whole()[8..], b"!"].concat())],
            INVALID,
            "came: more behind it",
        ),
        (
            vec![data(framed(b"one too long."))],
            Code::ResourceExhausted,
            "expected a message of at most 12 bytes (limits.request_bytes_max), came more: Error, \
             decoded message length too large: found 13 bytes, the limit is: 12 bytes",
        ),
        (
            vec![data(b"\0\xff\xff\xff\xff")],
            Code::ResourceExhausted,
            "came more: Error, decoded message length too large: found 4294967295 bytes",
        ),
    ];
    for (frames, code, text) in cases {
        let refused = received(frames).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(refused.message().contains(text), "expected `{text}` in {refused:?}");
    }
}

/// A prefix is enough to refuse what it announces: what follows isn't waited for.
#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_it_comes() {
    let mut body = Frames([data(&framed(b"one too long.")[..5]), data(b"\0")].into());
    body.0.push_back(Err(Status::aborted("it was waited for")));
    let refused = receive(Body::new(body), MAX).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
}

#[tokio::test]
async fn a_body_that_fails_fails_the_call_wherever_it_does() {
    let bytes = framed(b"message");
    for at in 0..=bytes.len() {
        let failed = Err(Status::aborted("the body failed"));
        let failed = received([data(&bytes[..at]), failed]).await.unwrap_err();
        assert_eq!((failed.code(), failed.message()), (Code::Aborted, "the body failed"), "{at}");
    }
}

#[test]
fn only_what_isn_t_compressed_is_read() {
    let refused = |encoding: Option<&str>| {
        let mut headers = http::HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert("grpc-encoding", encoding.parse().unwrap());
        }
        refuse_compressed(&headers).err()
    };
    assert!(refused(None).is_none() && refused(Some("identity")).is_none());
    let gzip = refused(Some("gzip")).unwrap();
    assert_eq!(gzip.code(), Code::Unimplemented);
    assert_eq!(gzip.message(), "Content is compressed with `gzip` which isn't supported");
    assert_eq!(gzip.metadata().get("grpc-accept-encoding").unwrap(), "identity");
}

/// A message may take no time at all here, so a wait that counted against that time would end with the first one's.
#[tokio::test]
async fn waiting_for_a_turn_takes_nothing_of_the_time_that_a_message_may_take() {
    let metrics = Arc::new(Metrics::new());
    let limits = Limits { receive_ms_max: 0, ..Limits::default() };
    let gate = Arc::new(Admission::new(&limits, 1, Arc::clone(&metrics)));
    let deadline = Deadline::after(Duration::from_secs(600));
    let mut turns = Vec::new();
    while let Poll::Ready(turn) = poll(pin!(gate.turn(deadline))) {
        turns.push(turn.unwrap());
    }
    let call = |body: Body| {
        let request = http::Request::new(body);
        let answer = |_| std::future::ready(Ok(framed(b"answer")));
        let answer = one_message(&limits, &metrics, &gate, request, deadline, answer);
        let place = gate.arrive(Instant::now()).unwrap();
        Box::pin(work(&metrics, Seat::Request(place), deadline, answer))
    };
    let mut came = call(Body::new(Frames([data(framed(b"message"))].into())));
    assert!(poll(came.as_mut()).is_pending(), "all turns are taken");
    let slow = call(Body::new(Never)).await.unwrap().err().unwrap();
    assert!(slow.message().contains("limits.receive_ms_max"), "{slow:?}");
    assert!(poll(came.as_mut()).is_pending(), "it waits for its turn");
    turns.pop();
    let Poll::Ready(answered) = poll(came.as_mut()) else { panic!("its turn has come") };
    assert!(answered.unwrap().is_ok());
}

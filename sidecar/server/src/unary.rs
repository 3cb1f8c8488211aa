//! GetFeatures between HTTP and its message: one message in, one out; not what is computed.
//!
//! The library's own unary call would route, decode through one buffer and encode through another, and box a future or
//! a body at each of its layers: for a call of microseconds that is much of what it costs. So this one method has a call
//! of its own (`docs/decisions/0014-unary-call.md`); Feast's form of it (`feast/grpc.rs`) goes the same way. It refuses what the library would, with the same codes and words,
//! and also what comes behind the message, which the library drops.
//!
//! Cost: a message that came in one frame isn't copied, others once; the answer leaves in the buffer that it was written
//! into. However long a prefix says its message is, at most `limits.request_bytes_max` are reserved for it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use hyper::body::Body as _;
use skewless_proto::v1 as pb;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataValue};

use crate::admission::Admission;
use crate::config::Limits;
use crate::encode::PREFIX_BYTES;
use crate::get_features;
use crate::guard::{Deadline, received};
use crate::metrics::Metrics;
use crate::outbox::{Answer, Outbox, Ticket};
use crate::rpc::{decode_scanned, scan_limits};
use crate::sidecar::Sidecar;
use crate::status::{ServeError, mend, not_one_whole, too_long};

/// Numbers of the fields of `GetFeaturesRequest` that hold sub-messages.
const MESSAGES: &[u32] = &[2, 3, 4];
/// The name of the limit on a message's bytes.
const LIMIT: &str = "limits.request_bytes_max";
/// What ended before its message did.
const CUT_OFF: &str = "Unexpected EOF decoding stream.";

/// Receives one message and answers it, when its turn has come.
pub(crate) async fn answer(
    sidecar: &Sidecar,
    request: http::Request<Body>,
    deadline: Deadline,
) -> Result<http::Response<Answer>, Status> {
    let Sidecar { config, metrics, gates, .. } = sidecar;
    let answer = |message| async move {
        let request = decode(sidecar, message)?;
        Ok(get_features::answer_here(sidecar, &request, deadline).await?.into_bytes())
    };
    one_message(&config.limits, metrics, &gates.requests, request, deadline, answer).await
}

/// Receives one message and sends what is made of it: gRPC's prefix and a message.
pub(crate) async fn one_message<A>(
    limits: &Limits,
    metrics: &Arc<Metrics>,
    requests: &Admission,
    request: http::Request<Body>,
    deadline: Deadline,
    answer: impl FnOnce(Bytes) -> A,
) -> Result<http::Response<Answer>, Status>
where
    A: Future<Output = Result<Vec<u8>, ServeError>>,
{
    let (head, body) = request.into_parts();
    refuse_compressed(&head.headers)?;
    let max = limits.request_bytes_max;
    let message = received(limits, deadline, receive(body, max))
        .await?
        .map_err(|status| mend(status.code(), status.message(), LIMIT, max).unwrap_or(status))?;
    let turn = requests.turn(deadline).await?;
    let answer = answer(message).await?;
    drop(turn);
    let outbox = head.extensions.get::<Arc<Outbox>>();
    let ticket = Ticket::ready(outbox, metrics, answer.len());
    let mut answer = http::Response::new(Answer::whole(answer, ticket));
    answer.headers_mut().insert(http::header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    Ok(answer)
}

/// Decodes a request behind a scan.
pub(crate) fn decode(
    sidecar: &Sidecar,
    message: Bytes,
) -> Result<pb::GetFeaturesRequest, ServeError> {
    decode_scanned(message, MESSAGES, scan_limits(sidecar))
}

/// Refuses a call whose client says that its message may be compressed: nothing here could read it.
fn refuse_compressed(headers: &http::HeaderMap) -> Result<(), Status> {
    match headers.get("grpc-encoding") {
        None => Ok(()),
        Some(encoding) if encoding.as_bytes() == b"identity" => Ok(()),
        Some(encoding) => {
            let encoding = String::from_utf8_lossy(encoding.as_bytes());
            let text = format!("Content is compressed with `{encoding}` which isn't supported");
            let mut status = Status::unimplemented(text);
            let readable = MetadataValue::from_static("identity");
            status.metadata_mut().insert("grpc-accept-encoding", readable);
            Err(status)
        }
    }
}

/// The one message of a body, which must end behind it.
async fn receive(mut body: Body, max: usize) -> Result<Bytes, Status> {
    let mut came = Bytes::new();
    while came.len() < PREFIX_BYTES {
        match next(&mut body).await? {
            Some(bytes) => came = joined(came, bytes),
            None if came.is_empty() => return Err(not_one_whole("Missing request message.")),
            None => return Err(not_one_whole(CUT_OFF)),
        }
    }
    let len = take_prefix(&mut came, max)?;
    if came.len() < len {
        let mut parts = BytesMut::with_capacity(len);
        parts.extend_from_slice(&came);
        while parts.len() < len {
            let bytes = next(&mut body).await?.ok_or_else(|| not_one_whole(CUT_OFF))?;
            parts.extend_from_slice(&bytes);
        }
        came = parts.freeze();
    }
    let message = came.split_to(len);
    while came.is_empty() {
        match next(&mut body).await? {
            Some(bytes) => came = bytes,
            None => return Ok(message),
        }
    }
    Err(not_one_whole("more behind it"))
}

/// The next bytes of a body; none if it has ended, be it with trailers, which say nothing to us.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Status> {
    match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        Some(frame) => Ok(frame?.into_data().ok()),
        None => Ok(None),
    }
}

/// Both in one piece; that is a copy only if there are two.
fn joined(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() {
        return second;
    }
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(&first);
    both.extend_from_slice(&second);
    both.freeze()
}

/// Takes a whole prefix off; gives the length of the message behind it, if that may be read.
fn take_prefix(came: &mut Bytes, max: usize) -> Result<usize, Status> {
    match came.get_u8() {
        0 => {}
        1 => {
            return Err(not_one_whole(
                "protocol error: received message with compressed-flag but no grpc-encoding was specified",
            ));
        }
        flag => {
            return Err(not_one_whole(&format!(
                "protocol error: received message with invalid compression flag: {flag} (valid flags are \
                 0 and 1), while sending request"
            )));
        }
    }
    let len = came.get_u32() as usize;
    if len <= max {
        return Ok(len);
    }
    let text = format!(
        "Error, decoded message length too large: found {len} bytes, the limit is: {max} bytes"
    );
    Err(too_long(&text, LIMIT, max))
}

#[cfg(test)]
mod tests;

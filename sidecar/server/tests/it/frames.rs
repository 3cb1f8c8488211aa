//! Clients that no gRPC library would be: calls whose message is held back, windows that stay shut, and HTTP/2
//! frames by hand (RFC 9113, section 4.1).

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use prost::Message;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::codegen::http::{HeaderMap, Request};

use crate::*;

/// A connection on which calls are made step by step.
pub(crate) struct Client {
    requests: SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// A call whose headers were sent, but not its message.
pub(crate) struct Held {
    message: h2::SendStream<Bytes>,
    answer: ResponseFuture,
}

/// All that came back of a call. Without a message the trailers are in the headers.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) headers: HeaderMap,
    pub(crate) data: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// How a call ended.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Ended {
    pub(crate) status: String,
    pub(crate) message: String,
}

impl Client {
    /// A client that takes at most `window` bytes of an answer until it says more, which it does when it reads.
    pub(crate) async fn connect(harness: &Harness, window: u32) -> Self {
        let mut client = h2::client::Builder::new();
        client.initial_window_size(window);
        let (requests, connection) = client.handshake(raw(harness).await).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Sends a call's headers.
    pub(crate) async fn begin(&mut self, method: &str, timeout: Option<&str>) -> Held {
        let timeout = timeout.map(|timeout| ("grpc-timeout", timeout));
        self.begin_with(method, timeout.as_slice()).await
    }

    /// Sends a call's headers, these among them.
    pub(crate) async fn begin_with(&mut self, method: &str, headers: &[(&str, &str)]) -> Held {
        let request = Request::post(format!("http://x/skewless.v1.{method}"));
        let mut request = request.header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut requests = self.requests.clone().ready().await.unwrap();
        let sent = requests.send_request(request.body(()).unwrap(), false);
        let (answer, message) = sent.unwrap();
        Held { message, answer }
    }

    /// Waits until the server has closed the connection, for at most [`BOUND`].
    pub(crate) async fn closed(self) {
        let closed = tokio::time::timeout(BOUND, self.connection).await;
        assert!(closed.is_ok(), "the connection was left open");
    }
}

impl Held {
    /// Sends one message; the call goes on.
    pub(crate) fn send(&mut self, message: &impl Message, last: bool) {
        self.send_bytes(&framed(message), last);
    }

    /// Sends bytes as they are, in a DATA frame of their own.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8], last: bool) {
        self.message.send_data(Bytes::copy_from_slice(bytes), last).unwrap();
    }

    /// Sends the message and takes the answer.
    pub(crate) async fn finish(mut self, message: &impl Message) -> Ended {
        self.send(message, true);
        self.ended().await
    }

    /// Takes the answer, within [`BOUND`].
    pub(crate) async fn ended(self) -> Ended {
        self.whole().await.ended()
    }

    /// Takes the answer with all that is in it, within [`BOUND`].
    pub(crate) async fn whole(self) -> Whole {
        let whole = async {
            let answer = self.answer.await.unwrap();
            let headers = answer.headers().clone();
            let (mut body, mut data) = (answer.into_body(), Vec::new());
            while let Some(bytes) = body.data().await {
                let bytes = bytes.unwrap();
                body.flow_control().release_capacity(bytes.len()).unwrap();
                data.extend_from_slice(&bytes);
            }
            let trailers = body.trailers().await.unwrap();
            Whole { headers, data, trailers }
        };
        tokio::time::timeout(BOUND, whole).await.expect("waited in vain")
    }

    /// Gives the call up.
    pub(crate) fn cancel(mut self) {
        self.message.send_reset(h2::Reason::CANCEL);
    }
}

impl Whole {
    pub(crate) fn ended(&self) -> Ended {
        let trailers = self.trailers.as_ref().unwrap_or(&self.headers);
        let text = |name| {
            let value = trailers.get(name).map(|value| value.to_str().unwrap().to_owned());
            value.unwrap_or_default()
        };
        Ended { status: text("grpc-status"), message: text("grpc-message") }
    }
}

impl Ended {
    pub(crate) fn ok() -> Self {
        Self { status: "0".to_owned(), message: String::new() }
    }

    /// The refusal has this code and its message, which is percent-encoded, has these parts.
    pub(crate) fn refused(&self, code: Code, parts: &[&str]) {
        assert_eq!(self.status, (code as i32).to_string(), "{self:?}");
        let message = self.message.replace("%20", " ");
        for part in parts {
            assert!(message.contains(part), "expected `{part}` in `{message}`");
        }
    }
}

/// A message behind gRPC's prefix.
pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(message.encoded_len().try_into().unwrap());
    message.encode(&mut bytes).unwrap();
    bytes.to_vec()
}

/// What a client says first, with settings that change nothing.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
/// The flag of an answer to a PING.
pub(crate) const ACK: u8 = 1;

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) payload: Vec<u8>,
}

/// Appends a frame of fewer than 256 bytes.
pub(crate) fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend_from_slice(&[0, 0, payload.len().try_into().unwrap(), kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

pub(crate) async fn raw(harness: &Harness) -> TcpStream {
    TcpStream::connect(harness.running().addresses().tcp.unwrap()).await.unwrap()
}

/// The next frame that is wanted, within [`BOUND`]; `None` if the connection is closed before.
pub(crate) async fn next_frame(
    stream: &mut TcpStream,
    wanted: impl Fn(&Frame) -> bool,
) -> Option<Frame> {
    let next = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.ok()?;
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; len];
            stream.read_exact(&mut payload).await.ok()?;
            let frame = Frame { kind: head[3], flags: head[4], payload };
            if wanted(&frame) {
                return Some(frame);
            }
        }
    };
    tokio::time::timeout(BOUND, next).await.expect("waited in vain for a frame")
}

//! What can go wrong with a call, and the only translator from it to a gRPC status.
//!
//! The rule: a user's mistake is never INTERNAL, a limit or a full disk is RESOURCE_EXHAUSTED and named, a name
//! nobody declared is NOT_FOUND with the nearest one, and UNAVAILABLE means: the same call may work later or
//! elsewhere. INTERNAL is a defect of ours. A row that is longer than any may be is INVALID_ARGUMENT, as one with a wrong
//! value is, though a limit says so: it is wrong in whatever batch it comes, and its sender has to tell that from a disk that
//! is full now.

use skewless_catalog::{FrameError, PlanError, UnknownName};
use skewless_store::StoreError;
use tonic::{Code, Status};

use crate::wire::WireError;

/// Bytes of a status message: it travels in a header, and headers are limited on the way.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Why a call gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ServeError {
    /// A service, feature, view or other name nobody declared.
    #[error(transparent)]
    UnknownName(#[from] UnknownName),
    /// An ad hoc list of features that is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Something that came over the wire is wrong.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Keys or request values the plan can't run over.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A field of the request is missing, unknown or contradicts another.
    #[error("{0}")]
    Field(String),
    /// Two columns of an answer to Feast's client have one name.
    #[error(
        "expected features of different names, came `{name}` twice (`{output}` is one of them); ask with full_feature_names"
    )]
    Twice {
        /// The name.
        name: String,
        /// The second of them, by our name.
        output: String,
    },
    /// A request of Feast's client lacks a value that a transform needs.
    #[error("expected request column `{name}` of type {ty} in entities, came none")]
    NoRequestColumn {
        /// The column.
        name: String,
        /// Its type.
        ty: skewless_batch::Type,
    },
    /// The float32 block was asked for, but a feature is no number.
    #[error("expected numbers for row_major_float32, came feature {feature}")]
    NotANumber {
        /// The feature and its type.
        feature: String,
    },
    /// More than a limit allows.
    #[error("expected at most {max} {what} ({limit}), came {came}")]
    OverLimit {
        /// Of what.
        what: &'static str,
        /// The limit's name.
        limit: &'static str,
        /// The limit.
        max: usize,
        /// How much came.
        came: usize,
    },
    /// Too much is being worked on.
    #[error("{max} {what} are being worked on already ({limit}); try again later")]
    Busy {
        /// Of what.
        what: &'static str,
        /// The limit's name.
        limit: &'static str,
        /// The limit.
        max: usize,
    },
    /// Feature requests come faster than they are answered.
    #[error("{why}; try again in {retry_ms} ms or ask another sidecar")]
    Overload {
        /// Which bound was reached.
        why: Overload,
        /// When trying again makes sense, milliseconds.
        retry_ms: u64,
    },
    /// The message didn't arrive in its time.
    #[error("expected the message within {max_ms} ms of the call's begin (limits.receive_ms_max)")]
    Slow {
        /// The limit, milliseconds.
        max_ms: u64,
    },
    /// A stream's client sent nothing for too long.
    #[error(
        "expected the stream's next message within {max_ms} ms (limits.stream_idle_ms_max), came none; begin another"
    )]
    Silent {
        /// The limit, milliseconds.
        max_ms: u64,
    },
    /// The call's deadline passed.
    #[error("the deadline of {deadline_ms} ms passed {during}")]
    Deadline {
        /// The deadline, milliseconds.
        deadline_ms: u64,
        /// What was being done.
        during: &'static str,
    },
    /// Starting or draining.
    #[error("the sidecar is {state}; try again or another one")]
    NotReady {
        /// "starting" or "draining".
        state: &'static str,
    },
    /// The service isn't answered on this address.
    #[error(
        "expected this call of {service} on the unix socket or on an address bound to loopback, came one on an address that other machines may reach ({key} = \"everywhere\" allows it)"
    )]
    Denied {
        /// The gRPC service.
        service: &'static str,
        /// The configuration's key.
        key: &'static str,
    },
    /// The service is switched off.
    #[error("expected {service} to be on, but it is switched off ({key} = \"off\")")]
    Off {
        /// The gRPC service.
        service: &'static str,
        /// The configuration's key.
        key: &'static str,
    },
    /// A plan couldn't be bound to loaded plugins: a defect.
    #[error("the plan doesn't fit the loaded plugins: {0}")]
    Bind(String),
    /// A worker panicked: a defect.
    #[error("the request's worker ended without an answer: {0}")]
    Panic(String),
}

/// Which bound feature requests have reached together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Overload {
    /// All places are taken.
    #[error(
        "{in_flight_max} requests are being worked on (limits.requests_in_flight_max) and {queue_max} wait (limits.queue_max)"
    )]
    Queue {
        /// Requests worked on at once.
        in_flight_max: usize,
        /// Requests waiting at once.
        queue_max: usize,
    },
    /// It had a place, but its turn didn't come in time.
    #[error("the request waited for {wait_ms} ms to be begun (limits.queue_wait_ms_max)")]
    Wait {
        /// The longest wait, milliseconds.
        wait_ms: u64,
    },
    /// So many wait already that its turn wouldn't come in time.
    #[error(
        "{waiting} requests are before it, which take longer than {wait_ms} ms (limits.queue_wait_ms_max) as it goes now"
    )]
    Crowd {
        /// Requests that wait or are computed.
        waiting: usize,
        /// The longest wait, milliseconds.
        wait_ms: u64,
    },
    /// Clients don't take their answers.
    #[error("{max} bytes of answers weren't taken by their clients yet (limits.unsent_bytes_max)")]
    Unsent {
        /// The limit in bytes.
        max: usize,
    },
}

impl ServeError {
    /// The status code this becomes.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownName(_) | Self::Plan(PlanError::UnknownName(_)) => Code::NotFound,
            Self::Plan(PlanError::OverLimit { .. }) | Self::Wire(WireError::Over { .. }) => {
                Code::ResourceExhausted
            }
            Self::Plan(_)
            | Self::Wire(_)
            | Self::Frame(_)
            | Self::Field(_)
            | Self::Twice { .. }
            | Self::NoRequestColumn { .. }
            | Self::NotANumber { .. } => Code::InvalidArgument,
            Self::OverLimit { .. } | Self::Busy { .. } | Self::Overload { .. } => {
                Code::ResourceExhausted
            }
            Self::Store(error) => store_code(error),
            Self::Deadline { .. } | Self::Slow { .. } | Self::Silent { .. } => {
                Code::DeadlineExceeded
            }
            Self::NotReady { .. } => Code::Unavailable,
            Self::Denied { .. } | Self::Off { .. } => Code::PermissionDenied,
            Self::Bind(_) | Self::Panic(_) => Code::Internal,
        }
    }
}

/// Limits of the store that are about one row.
const OF_A_ROW: [&str; 2] = ["key_bytes_max", "value_bytes_max"];

fn store_code(error: &StoreError) -> Code {
    match error {
        StoreError::OverLimit { name, .. } if OF_A_ROW.contains(name) => Code::InvalidArgument,
        StoreError::OverLimit { .. }
        | StoreError::QueueFull { .. }
        | StoreError::DiskFull { .. } => Code::ResourceExhausted,
        StoreError::InvalidRows { .. }
        | StoreError::WrongType { .. }
        | StoreError::Unsorted { .. } => Code::InvalidArgument,
        StoreError::UnknownView { .. } => Code::NotFound,
        StoreError::ReadInThePast { .. } => Code::FailedPrecondition,
        StoreError::Corrupt { .. } => Code::DataLoss,
        StoreError::Retired { .. }
        | StoreError::Overtaken { .. }
        | StoreError::Busy { .. }
        | StoreError::Closed { .. }
        | StoreError::Disk { .. }
        | StoreError::Poisoned { .. }
        | StoreError::Locked { .. }
        | StoreError::Io { .. } => Code::Unavailable,
        _ => Code::Internal,
    }
}

impl From<ServeError> for Status {
    fn from(error: ServeError) -> Self {
        let (code, message) = (error.code(), cut(error.to_string()));
        match error {
            ServeError::Overload { retry_ms, .. } => retry::status(code, message, retry_ms),
            _ => Self::new(code, message),
        }
    }
}

/// Says when to try again in both ways that clients know: `google.rpc.RetryInfo` in the status's details, for
/// people and libraries, and the metadata that gRPC's own retries obey (gRFC A6).
mod retry {
    use prost::Message;
    use prost_types::{Any, Duration};
    use tonic::metadata::{MetadataMap, MetadataValue};
    use tonic::{Code, Status};

    /// google.rpc.RetryInfo.
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct RetryInfo {
        #[prost(message, optional, tag = "1")]
        pub(super) retry_delay: Option<Duration>,
    }

    /// google.rpc.Status.
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct RpcStatus {
        #[prost(int32, tag = "1")]
        pub(super) code: i32,
        #[prost(string, tag = "2")]
        pub(super) message: String,
        #[prost(message, repeated, tag = "3")]
        pub(super) details: Vec<Any>,
    }

    pub(super) const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
    pub(super) const PUSHBACK: &str = "grpc-retry-pushback-ms";

    pub(super) fn status(code: Code, message: String, retry_ms: u64) -> Status {
        let seconds = i64::try_from(retry_ms / 1_000).unwrap_or(i64::MAX);
        let nanos = (retry_ms % 1_000) as i32 * 1_000_000;
        let info = RetryInfo { retry_delay: Some(Duration { seconds, nanos }) };
        let detail = Any { type_url: RETRY_INFO.to_owned(), value: info.encode_to_vec() };
        let details =
            RpcStatus { code: code as i32, message: message.clone(), details: vec![detail] };
        let mut metadata = MetadataMap::new();
        metadata.insert(PUSHBACK, MetadataValue::from(retry_ms));
        let details = details.encode_to_vec().into();
        Status::with_details_and_metadata(code, message, details, metadata)
    }
}

/// A message as long as one may be: names in it are a caller's, who may choose long ones.
pub(crate) fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let end =
            (0..=MESSAGE_BYTES_MAX).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

/// A message is longer than the limit of this name allows; `came` tells how long.
pub(crate) fn too_long(came: &str, limit: &str, max: usize) -> Status {
    Status::new(
        Code::ResourceExhausted,
        format!("expected a message of at most {max} bytes ({limit}), came more: {came}"),
    )
}

/// What came instead of one whole message.
pub(crate) fn not_one_whole(came: &str) -> Status {
    Status::new(Code::InvalidArgument, format!("expected one whole message, came: {came}"))
}

/// Mends the codes that the gRPC library gives for a client's mistakes: it calls a message over the limit
/// OUT_OF_RANGE, bytes that are no message or no message at all INTERNAL, and its own deadline CANCELLED.
/// `limit` is the name of the limit on message bytes. `None`: there is nothing to mend.
pub(crate) fn mend(code: Code, message: &str, limit: &str, max: usize) -> Option<Status> {
    match code {
        Code::OutOfRange => Some(too_long(message, limit, max)),
        Code::Internal
            if message.starts_with("Missing request message")
                || message.starts_with("failed to decode Protobuf message")
                || message.contains("protocol error")
                || message.contains("Unexpected EOF decoding stream") =>
        {
            Some(not_one_whole(message))
        }
        Code::Cancelled if message.contains("Timeout expired") => {
            Some(Status::new(Code::DeadlineExceeded, "the deadline passed".to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_exhausted_and_named() {
        let error =
            ServeError::OverLimit { what: "rows", limit: "limits.rows_max", max: 1, came: 2 };
        let status = Status::from(error);
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "expected at most 1 rows (limits.rows_max), came 2");
    }

    #[test]
    fn an_overload_says_when_to_try_again_in_words_details_and_metadata() {
        use prost::Message;
        let why = Overload::Wait { wait_ms: 1_500 };
        let status = Status::from(ServeError::Overload { why, retry_ms: 1_500 });
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().ends_with("try again in 1500 ms or ask another sidecar"));
        assert_eq!(
            status.metadata().get(retry::PUSHBACK).map(|ms| ms.as_bytes()),
            Some(&b"1500"[..])
        );
        let details = retry::RpcStatus::decode(status.details()).expect("a google.rpc.Status");
        assert_eq!((details.code, details.message.as_str()), (8, status.message()));
        assert_eq!(details.details[0].type_url, retry::RETRY_INFO);
        let info = retry::RetryInfo::decode(&*details.details[0].value).expect("a RetryInfo");
        let delay = info.retry_delay.expect("a delay");
        assert_eq!((delay.seconds, delay.nanos), (1, 500_000_000));
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let status = Status::from(ServeError::Field("é".repeat(4_000)));
        assert!(status.message().len() <= MESSAGE_BYTES_MAX + '…'.len_utf8());
        assert!(status.message().ends_with("é…"));
    }

    #[test]
    fn the_library_s_codes_for_a_client_s_mistakes_are_mended() {
        let code = |code, message| mend(code, message, "l", 1).map(|status| status.code());
        assert_eq!(code(Code::OutOfRange, "too large"), Some(Code::ResourceExhausted));
        assert_eq!(code(Code::Internal, "Missing request message."), Some(Code::InvalidArgument));
        assert_eq!(code(Code::Cancelled, "Timeout expired"), Some(Code::DeadlineExceeded));
        assert_eq!(code(Code::Internal, "a defect"), None);
    }
}

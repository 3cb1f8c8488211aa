//! Feast's door: its gRPC services and its HTTP calls, put in front of what serves everybody; not a second way to compute
//! or to store.
//!
//! A call of either door goes the same way:
//!
//! 1. Its message is looked through before it is decoded, so that a few bytes can't ask for much memory (`scan.rs`; JSON
//!    is read without ever holding its values, `json.rs`).
//! 2. Names become ours (`names.rs`), and values columns of the declared types (`cell.rs`, `value.rs`): what a plan or a
//!    view wants is taken, and nothing that doesn't fit it is (`request.rs`, `rows.rs`).
//! 3. What comes out is a request as our own clients send it, answered by `get_features.rs` or `ingest.rs`: plan, store,
//!    transforms, limits and deadlines are the same.
//! 4. The answer is written from the frame, as protobuf or as JSON (`answer.rs`, `json_out.rs`).
//!
//! Both doors pass the same gates as our own calls: `grpc.rs` behind `guard.rs`, `http.rs` by itself, once a body has come
//! (`body.rs`). Names, numbers and shapes of the contract are those of feast-dev/feast 0.67; docs/feast.md says what differs
//! in meaning, and why.
//!
//! Limits: those of GetFeatures and Ingest. A value counts as a string does (`limits.text_elements_max`), as it costs as
//! much.
//!
//! Cost: three copies of a value more than GetFeatures on the way in, one message a value on the way out: some 100 ns a
//! value in all.

mod answer;
mod body;
mod cell;
mod grpc;
mod http;
mod json;
mod json_out;
mod names;
mod request;
mod rows;
mod scan;
mod value;

pub(crate) use body::Bodies;
pub(crate) use grpc::{
    FeastServing, GrpcFeatureServer, Undecoded, VERSION, decode, get_online_features,
};
pub(crate) use http::serve;

use crate::status::ServeError;

/// The only place that rows can be pushed to.
const ONLINE: &str = "online";

/// Refuses a push to anywhere but the online store.
fn refuse_target(to: &str) -> Result<(), ServeError> {
    if to == ONLINE {
        return Ok(());
    }
    Err(ServeError::Field(format!(
        "expected to = \"{ONLINE}\", came \"{to}\": history is kept in files that the views name, so write it there"
    )))
}

//! The layout from outside: round trips, hostile bytes, every refusal, every limit, and the vectors
//! that all languages share.
#![expect(clippy::unwrap_used, reason = "tests")]

mod hostile;
mod in_place;
mod limits;
mod model;
mod refusals;
mod round_trip;
mod vectors;

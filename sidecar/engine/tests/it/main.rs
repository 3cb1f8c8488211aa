//! The engine against good and hostile guests; the guests are `tests/programs/*.wat` of this repository.
#![expect(clippy::unwrap_used, reason = "tests")]

mod allocations;
mod cached;
mod certify;
mod golden;
mod harness;
mod hostile;
mod limits;
mod load;
mod random;
mod rows;
mod state;

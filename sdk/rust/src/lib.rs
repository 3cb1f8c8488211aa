//! What a plugin author touches: the [`transform`] attribute, the types a transform can take and give,
//! deterministic [`math`], and a native runner for tests. The host is not here, nor anything it needs.
//!
//! A plugin is a crate with one transform:
//!
//! ```
//! /// Kilometres to miles.
//! #[skewless::transform(output = "miles", unit = "mi")]
//! fn miles(
//!     /// Distance flown.
//!     #[unit("km")]
//!     km: f64,
//! ) -> f64 {
//!     km / 1.609_344
//! }
//! # assert_eq!(PLUGIN.signature().outputs[0].unit, "mi");
//! ```
//!
//! The author's guide is `docs/plugins.md`. `skewless plugin build` makes one `.wasm` of it; `cargo test` runs it natively, through the very same
//! decoding, null rule and encoding.
//!
//! | a transform takes | and gives | type |
//! |---|---|---|
//! | `bool` `i32` `i64` `f32` `f64` | the same | `bool` `int32` `int64` `float32` `float64` |
//! | `&str` | `String`, `&'static str` | `utf8` |
//! | `&[u8]` | `Vec<u8>` | `binary` |
//! | [`Timestamp`] | the same | `timestamp` |
//! | `[f32; N]` | the same | `embedding[N]` |
//! | [`Ints`], `Vec<i64>` | `Vec<i64>` | `list<int64>` |
//! | [`Doubles`], `Vec<f64>` | `Vec<f64>` | `list<float64>` |
//! | [`Strings`], `Vec<&str>` | `Vec<String>` | `list<utf8>` |
//!
//! **Nulls.** An argument of one of these types that is null makes all outputs of the row null, and the
//! function is not called. `Option<T>` receives it. A result of `Option<T>`, or a field of one, may be null.
//!
//! **Errors.** A transform may return `Result<_, E>` with any `E: Display`: the row fails with that message,
//! other rows don't.
//!
//! **Columns.** With `#[skewless::transform(columns)]` the arguments are whole columns, [`Col`], and the
//! result is a `Vec` with one entry per row; for loops that vectorise. A row must still depend on itself alone.
//!
//! **State.** None. Statics are reset, or not, between calls as the host's policy says, and memory that a
//! static points to is reused by the next call: a transform is a pure function of its row.

#![expect(
    unexpected_cfgs,
    reason = "`skewless_lane` is set by the builder of plugins, not by cargo"
)]

mod answer;
#[cfg(target_arch = "wasm32")]
mod arena;
mod col;
mod export;
pub mod golden;
mod input;
pub mod math;
mod output;
mod places;
mod plugin;
mod signature;

pub use answer::Answer;
pub use col::Col;
pub use input::Input;
pub use output::{Output, Outputs};
pub use plugin::{Plugin, Ran, RunError};
pub use signature::{FieldSpec, SignatureSpec};
pub use skewless_batch::{
    Column, ColumnView, Doubles, Floats, Ints, Signature, Strings, Type, Value,
};
pub use skewless_sdk_macros::{Outputs, transform};

/// A point in time: microseconds since 1970-01-01T00:00:00 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(pub i64);

/// Runs the code of the author's guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/plugins.md")]
struct Guide;

/// What the attribute's output names; not for authors.
#[doc(hidden)]
pub mod glue {
    pub use crate::answer::Answer;
    pub use crate::col::Col;
    pub use crate::export::{VERSION, version};
    #[cfg(target_arch = "wasm32")]
    pub use crate::export::{call, reserve};
    pub use crate::input::Input;
    pub use crate::output::{Gather, Output, Outputs};
    pub use crate::places::Places;
    pub use crate::plugin::Plugin;
    pub use crate::signature::{FieldSpec, SignatureSpec, json, json_len, outputs};
    pub use skewless_batch::BatchView;
    pub use skewless_batch::abi::CallStatus;
}

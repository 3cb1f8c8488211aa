//! Plugin host and plan executor; the only home of wasmtime; sync, no clock, no I/O (but [`DirCache`]).
//!
//! A plugin is hostile until it has been checked, and its answers are hostile always. The life of one:
//! [`Engine::load`] checks and compiles the file ([`inspect()`] alone checks and runs nothing),
//! [`Program::bind`] ties a plan's steps to loaded plugins, and a [`Worker`] (one a thread) runs the
//! program over a frame: [`Worker::execute`], the one way to compute. Deadlines count ticks of
//! [`Engine::tick`]; [`Ticker`] is a thread that ticks, for those who have no better clock.
//!
//! [`certify`] finds out whether a plugin keeps its contract, [`golden`] whether it gives what its author wrote down;
//! both only call it as everybody does.
//!
//! Invariants: a plugin imports nothing. No lock is held across a call. After a trap, a deadline, a
//! refusal or a lie the instance and its store are thrown away. Every number a guest gives is checked
//! before it is used. Every limit is in [`config`].

mod abi;
mod cache;
pub mod certificate;
pub mod certify;
pub mod config;
mod engine;
mod error;
mod execute;
pub mod golden;
mod halving;
pub mod inspect;
mod instance;
mod limiter;
mod plugin;
mod program;
mod rewrite;
pub mod signature;
mod stop;
mod ticker;
mod worker;

pub use cache::{CompileCache, DirCache, DirCacheError, ENTRY_BYTES_MAX};
pub use certificate::{Certificate, CertificateError};
pub use config::EngineConfig;
pub use engine::Engine;
pub use error::{BindError, CallError, EngineError, PluginError};
pub use execute::{Budget, Phase, StepReport, Undecided};
pub use inspect::{Lane, PluginFacts, State, inspect};
pub use plugin::Plugin;
pub use program::Program;
pub use ticker::Ticker;
pub use worker::{PluginOutput, Worker};

//! Definitions to checked plans; pure: no I/O, no clock, no plugin is run here.
//!
//! [`check::check`] turns the text of a feature repo into a [`catalog::Catalog`] or into every
//! mistake in it at once. A catalog holds one compiled [`plan::Plan`] per feature service: the plan
//! has indexes where the definitions have names, so that serving and backfill look nothing up by
//! string. [`frame::Frame`] is the reusable buffer one plan runs over, and [`visibility`] is the one
//! rule that says which stored value may be seen at a time `t`.

pub mod catalog;
pub mod check;
mod definition;
mod diagnostic;
pub mod diff;
pub mod duration;
mod fingerprint;
pub mod frame;
pub mod key;
pub mod limit;
mod misfit;
pub mod plan;
mod reference;
mod schema;
pub mod visibility;

pub mod names;
mod scope;
mod yaml;

pub use catalog::{
    Catalog, Certified, Entity, PluginInfo, Plugins, Request, Role, Service, Source, SourceFile,
    Transform, UnknownName, View, ViewId,
};
pub use check::check;
pub use diagnostic::{Diagnostic, Severity};
pub use diff::{Change, Effect, diff, report};
pub use fingerprint::{Digest, Fingerprint, NotHex};
pub use frame::{Failure, Frame, FrameError, FrameSlot, Status};
pub use misfit::{Misfit, ViewSchema};
pub use plan::{
    Constant, InstancePolicy, KeyColumn, Lookup, Output, Plan, PlanError, RequestColumn, Slot, Step,
};
pub use reference::{Binding, Reference};
pub use schema::schema;

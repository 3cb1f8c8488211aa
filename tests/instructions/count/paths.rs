//! The named paths. A name says what, and how much of it: rows or keys first, then columns or features.

use std::path::Path;

use anyhow::{Context, Result};
use skewless_catalog::InstancePolicy::{Reset, Reused};

use crate::callgrind::{PROCESSOR, processor};
use crate::fixtures::Fixtures;
use crate::{CALLS_BEFORE, counted_piece, engine, request, store};

/// One call of a path, again and again.
pub(crate) type Work = Box<dyn FnMut() -> Result<()>>;
type Make = fn(&Fixtures) -> Result<Work>;

const PATHS: &[(&str, Make)] = &[
    ("decode/1x2", |fixtures| request::decode(fixtures, "whole", 1)),
    ("decode/100x11", |fixtures| request::decode(fixtures, "asked", 100)),
    ("store/1x10", |fixtures| store::read(fixtures, 10, 1)),
    ("store/1x100", |fixtures| store::read(fixtures, 100, 1)),
    ("store/100x10", |fixtures| store::read(fixtures, 10, 100)),
    ("engine/adds/reused/1", |fixtures| engine::execute(fixtures, "adds", Reused, 1)),
    ("engine/adds/reused/1024", |fixtures| engine::execute(fixtures, "adds", Reused, 1_024)),
    ("engine/adds/reset/1", |fixtures| engine::execute(fixtures, "adds", Reset, 1)),
    ("engine/adds/reset/1024", |fixtures| engine::execute(fixtures, "adds", Reset, 1_024)),
    ("engine/great_circle/reused/1", |fixtures| {
        engine::execute(fixtures, "great_circle", Reused, 1)
    }),
    ("engine/great_circle/reused/1024", |fixtures| {
        engine::execute(fixtures, "great_circle", Reused, 1_024)
    }),
    ("engine/great_circle/reset/1", |fixtures| engine::execute(fixtures, "great_circle", Reset, 1)),
    ("engine/great_circle/reset/1024", |fixtures| {
        engine::execute(fixtures, "great_circle", Reset, 1_024)
    }),
    ("encode/1x120", |fixtures| request::encode(fixtures, "whole", 1)),
    ("encode/100x10", |fixtures| request::encode(fixtures, "few", 100)),
    ("request/1x120", |fixtures| request::whole(fixtures, "whole", 1)),
];

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    PATHS.iter().map(|(name, _)| *name)
}

/// The process that is counted: path, number of calls, fixtures.
pub(crate) fn run_counted(mut words: impl Iterator<Item = String>) -> Result<()> {
    let mut word = |what| words.next().with_context(|| format!("expected {what}"));
    let (path, calls, folder) = (word("a path")?, word("a number of calls")?, word("fixtures")?);
    if path == PROCESSOR {
        println!("{}", processor());
        return Ok(());
    }
    let make = PATHS.iter().find(|(name, _)| *name == path);
    let (_, make) = make.with_context(|| format!("expected a known path, came {path}"))?;
    let mut work = make(&Fixtures::at(Path::new(&folder)))?;
    (0..CALLS_BEFORE).try_for_each(|_| work())?;
    counted_piece(&mut *work, calls.parse()?)
}

//! Starting a snapshot's plugins before it serves; not what a snapshot is.
//!
//! Each worker gets an instance of each plugin, so that the first request is as fast as the others, and a plugin
//! that can't even be started is refused before anything has changed. At start there must be room for all of
//! them. At a reload the snapshot that still serves has its own: if there's no room for both
//! (`engine.instances_max`), the new workers begin without, and make an instance when they first need it.

use std::collections::BTreeMap;

use skewless_catalog::{Catalog, Digest, Transform};
use skewless_engine::{CallError, Plugin, Worker};

use crate::snapshot::{Parts, SnapshotError};

/// Whose the engine's instances are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// This snapshot's alone: it is the first.
    Own,
    /// Also those of the snapshot before, which serves until this one does.
    Shared,
}

/// A worker a thread, with every plugin started once.
pub(crate) fn workers(
    catalog: &Catalog,
    plugins: &BTreeMap<Digest, Plugin>,
    parts: &Parts<'_>,
    room: Room,
) -> Result<Vec<Worker>, SnapshotError> {
    let mut workers = Vec::with_capacity(parts.threads);
    for _ in 0..parts.threads {
        let mut worker = Worker::new(parts.engine);
        for transform in &catalog.transforms {
            match start(&mut worker, plugins, transform) {
                Ok(()) => {}
                Err(CallError::Instances { max }) if room == Room::Shared => {
                    tracing::warn!(
                        instances_max = max,
                        "no room for the plugins' instances beside those that still serve: the first requests make them (engine.instances_max)"
                    );
                    drop((worker, workers));
                    return cold(catalog, plugins, parts);
                }
                Err(CallError::Instances { max }) => {
                    let (transforms, threads) = (catalog.transforms.len(), parts.threads);
                    let error = format!(
                        "expected instances of {transforms} transforms in each of {threads} threads, came {max} for all of them (engine.instances_max)"
                    );
                    return Err(refusal(transform, error));
                }
                Err(error) => return Err(refusal(transform, error.to_string())),
            }
        }
        workers.push(worker);
    }
    Ok(workers)
}

/// Workers without instances. Each plugin is started all the same, one after another, as far as there's room.
fn cold(
    catalog: &Catalog,
    plugins: &BTreeMap<Digest, Plugin>,
    parts: &Parts<'_>,
) -> Result<Vec<Worker>, SnapshotError> {
    let mut worker = Worker::new(parts.engine);
    for transform in &catalog.transforms {
        match start(&mut worker, plugins, transform) {
            Ok(()) | Err(CallError::Instances { .. }) => worker.clear(),
            Err(error) => return Err(refusal(transform, error.to_string())),
        }
    }
    Ok((0..parts.threads).map(|_| Worker::new(parts.engine)).collect())
}

fn start(
    worker: &mut Worker,
    plugins: &BTreeMap<Digest, Plugin>,
    transform: &Transform,
) -> Result<(), CallError> {
    match plugins.get(&transform.digest) {
        Some(plugin) => worker.warm_up(plugin, transform.policy),
        None => Err(CallError::Instantiate(format!("plugin {} isn't loaded", transform.digest))),
    }
}

fn refusal(transform: &Transform, error: String) -> SnapshotError {
    let (transform, plugin) = (transform.name.clone(), transform.plugin.clone());
    SnapshotError::WarmUp { transform, plugin, error }
}

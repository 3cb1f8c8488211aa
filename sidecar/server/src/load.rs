//! Bulk load of one view by a stream of sorted rows; not the reading and sorting of files, which the loading
//! command does, so that this process needs no Parquet.
//!
//! One load at a time: it writes files as fast as the disk goes. A client that is silent for longer than
//! `limits.stream_idle_ms_max` ends its load, so that the next can begin; a message without rows breaks the
//! silence. Rows go into the next generation of the view beside the one that is served; only the stream's good
//! end makes them visible, all at once. Whatever else happens, the loader is dropped and its files are removed.

use std::sync::Arc;

use skewless_proto::v1 as pb;
use skewless_store::{CommitMode, CommitReport, Loader, ViewHandle};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Streaming;

use crate::blocking::background;
use crate::rows::{Came, Known};
use crate::sidecar::Sidecar;
use crate::snapshot::Snapshot;
use crate::status::ServeError;
use crate::stream;

/// Takes a whole load.
pub(crate) async fn load(
    sidecar: Arc<Sidecar>,
    mut requests: Streaming<pb::LoadRequest>,
) -> Result<pb::LoadResponse, tonic::Status> {
    let busy = ServeError::Busy { what: "bulk loads", limit: "one at a time", max: 1 };
    let permit = Arc::clone(&sidecar.gates.load).try_acquire_owned().map_err(|_| busy)?;
    let Some(first) = stream::next(&sidecar, &mut requests).await? else {
        return Err(ServeError::Field(
            "expected at least one message with the view's name, came none".to_owned(),
        )
        .into());
    };
    let mut load = Load::begin(&sidecar, &first, permit)?;
    let mut next = Some(first);
    while let Some(request) = next {
        load = background(move || load.push(&request)).await?;
        next = stream::next(&sidecar, &mut requests).await?;
    }
    Ok(response(&background(move || load.commit()).await?))
}

struct Load {
    sidecar: Arc<Sidecar>,
    snapshot: Arc<Snapshot>,
    view: String,
    loader: Loader,
    mode: CommitMode,
    /// The right to load, held until what is being done is done even if the caller has gone.
    _permit: OwnedSemaphorePermit,
}

impl Load {
    fn begin(
        sidecar: &Arc<Sidecar>,
        first: &pb::LoadRequest,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, ServeError> {
        let snapshot = sidecar.current.load_full();
        let id = snapshot.catalog.find_view(&first.view)?.id;
        let mode = match pb::LoadMode::try_from(first.mode) {
            Ok(pb::LoadMode::Unspecified | pb::LoadMode::Merge) => CommitMode::Merge,
            Ok(pb::LoadMode::Replace) => CommitMode::Replace,
            Err(_) => {
                return Err(ServeError::Field(format!(
                    "expected a mode of LoadMode, came number {}",
                    first.mode
                )));
            }
        };
        let handle: &Arc<ViewHandle> = snapshot.views.view(id)?;
        let loader = sidecar.store.stage(handle, sidecar.clock.now_us())?;
        let (sidecar, view) = (Arc::clone(sidecar), first.view.clone());
        Ok(Self { sidecar, view, snapshot, loader, mode, _permit: permit })
    }

    fn push(mut self, request: &pb::LoadRequest) -> Result<Self, ServeError> {
        if !request.view.is_empty() && request.view != self.view {
            let (first, came) = (&self.view, &request.view);
            return Err(ServeError::Field(format!(
                "expected view `{first}` in the whole load, came `{came}`"
            )));
        }
        let came = Came {
            keys: &request.keys,
            event_us: &request.event_us,
            known_us: &request.known_us,
            deleted: &request.deleted,
            features: &request.features,
        };
        let view = self.snapshot.catalog.find_view(&self.view)?;
        if !(came.event_us.is_empty() && came.keys.is_empty()) {
            let rows = came.rows(view, self.sidecar.config.limits.ingest_rows_max, Known::Event)?;
            self.loader.push(&rows)?;
        }
        Ok(self)
    }

    fn commit(self) -> Result<CommitReport, ServeError> {
        Ok(self.sidecar.store.commit(self.loader, self.mode, self.sidecar.clock.now_us())?)
    }
}

fn response(report: &CommitReport) -> pb::LoadResponse {
    let CommitReport { generation, rows, keys, pending, kept, .. } = *report;
    pb::LoadResponse { generation, rows, keys, pending, kept }
}

#[cfg(test)]
mod tests;

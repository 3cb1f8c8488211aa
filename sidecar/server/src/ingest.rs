//! Rows by gRPC into the online store: one batch, or many on one call; not the rule of who wins, which is
//! the store's.
//!
//! A batch is checked whole before the store sees it, and the store applies it whole: after a refusal nothing
//! of it was written. The wait for the apply thread is spent on a thread for blocking work, never on one that
//! answers calls. A stream is read no faster than it is applied.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use skewless_proto::v1 as pb;
use skewless_store::{Applied, SourceOffset, Verdict};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::blocking::blocking;
use crate::metrics::VERDICTS;
use crate::rows::{Came, Known};
use crate::rpc::Answers;
use crate::sidecar::Sidecar;
use crate::status::{ServeError, mend};

/// Applies one batch. `place` is the call's among those in work, held until that is done even if its client has given
/// up: else short deadlines would queue work without end behind a disk that is slow. A stream's is held by what follows
/// it.
pub(crate) async fn ingest(
    sidecar: Arc<Sidecar>,
    request: pb::IngestRequest,
    place: Option<Arc<OwnedSemaphorePermit>>,
) -> Result<pb::IngestResponse, ServeError> {
    blocking(move || {
        let _until_done = place;
        apply(&sidecar, &request)
    })
    .await
}

/// Checks and applies one batch; blocks until it is written.
pub(crate) fn apply(
    sidecar: &Sidecar,
    request: &pb::IngestRequest,
) -> Result<pb::IngestResponse, ServeError> {
    let snapshot = sidecar.current.load_full();
    let view = snapshot.catalog.find_view(&request.view)?;
    let now_us = sidecar.clock.now_us();
    let came = Came {
        keys: &request.keys,
        event_us: &request.event_us,
        known_us: &request.known_us,
        deleted: &request.deleted,
        features: &request.features,
    };
    let rows = came.rows(view, sidecar.config.limits.ingest_rows_max, Known::At(now_us))?;
    let source = request.source.as_ref();
    let source =
        source.map(|source| SourceOffset { source: source.source.clone(), offset: source.offset });
    let applied = sidecar.store.apply(snapshot.views.view(view.id)?, &rows, now_us, source)?;
    let answer = response(&applied);
    let counts = [answer.applied, answer.stale, answer.duplicate, answer.pending];
    for (verdict, rows) in VERDICTS.into_iter().zip(counts) {
        sidecar.metrics.ingested(&view.name, verdict, rows.into());
    }
    Ok(answer)
}

fn response(applied: &Applied) -> pb::IngestResponse {
    let count =
        |of: Verdict| applied.verdicts.iter().filter(|verdict| **verdict == of).count() as u32;
    let number = |verdict: &Verdict| match verdict {
        Verdict::Applied => pb::Verdict::Applied as u8,
        Verdict::Stale => pb::Verdict::Stale as u8,
        Verdict::Duplicate => pb::Verdict::Duplicate as u8,
        Verdict::Pending => pb::Verdict::Pending as u8,
    };
    pb::IngestResponse {
        verdicts: applied.verdicts.iter().map(number).collect::<Vec<u8>>().into(),
        applied: count(Verdict::Applied),
        stale: count(Verdict::Stale),
        duplicate: count(Verdict::Duplicate),
        pending: count(Verdict::Pending),
        synced: applied.synced,
        store_sequence: applied.sequence,
    }
}

/// Applies the batches of one call, each answered in its turn.
pub(crate) fn stream(
    sidecar: Arc<Sidecar>,
    requests: Streaming<pb::IngestRequest>,
) -> Result<Answers, ServeError> {
    let max = sidecar.config.limits.ingest_streams_max;
    let permit = Arc::clone(&sidecar.gates.ingest_streams).try_acquire_owned().map_err(|_| {
        ServeError::Busy { what: "ingest streams", limit: "limits.ingest_streams_max", max }
    })?;
    // One answer may wait: the next request is only read once it is taken.
    let (answers, taken) = channel(1);
    tokio::spawn(follow(sidecar, requests, answers, permit));
    Ok(Box::pin(ReceiverStream::new(taken)))
}

async fn follow(
    sidecar: Arc<Sidecar>,
    mut requests: Streaming<pb::IngestRequest>,
    answers: Sender<Result<Vec<u8>, Status>>,
    _permit: OwnedSemaphorePermit,
) {
    let max = sidecar.config.limits.ingest_bytes_max;
    let send_max = Duration::from_millis(sidecar.config.limits.send_ms_max);
    loop {
        let answer = match crate::stream::next(&sidecar, &mut requests).await {
            Ok(None) => return,
            Ok(Some(request)) => match ingest(Arc::clone(&sidecar), request, None).await {
                Ok(answer) => Ok(answer.encode_to_vec()),
                Err(error) => Err(error.into()),
            },
            Err(status) => {
                Err(mend(status.code(), status.message(), "limits.ingest_bytes_max", max)
                    .unwrap_or(status))
            }
        };
        let last = answer.is_err();
        // A client that takes no answers doesn't keep its place.
        let sent = tokio::time::timeout(send_max, answers.send(answer)).await;
        if !matches!(sent, Ok(Ok(()))) || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests;

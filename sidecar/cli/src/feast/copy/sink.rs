//! Where copied rows go: into a running sidecar by its Ingest call, or into a store's folder. Both refuse or take a batch as a
//! whole; of one that is refused the rows are tried in halves, so that a bad row costs itself alone.

use std::sync::Arc;

use skewless_batch::Column;
use skewless_catalog::View;
use skewless_proto::v1 as pb;
use skewless_proto::v1::ingest_service_client::IngestServiceClient;
use skewless_server::{Clock, wire};
use skewless_store::{Rows, SchemaChange, Store, StoreError, Verdict, ViewSet};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use super::refusal::{Reason, Refusal};
use crate::client::{connect, refused};
use crate::exit::{Failure, Outcome};
use crate::output::complain;
use crate::repo::Repo;

/// What became of rows.
#[derive(Default, Debug)]
pub(super) struct Written {
    /// They are the newest of their keys now.
    pub(super) applied: u64,
    /// A newer row was there.
    pub(super) stale: u64,
    /// The very same row was there.
    pub(super) duplicate: u64,
    /// They wait until they are due.
    pub(super) pending: u64,
    /// They were refused.
    pub(super) refused: Vec<Refusal>,
}

/// Where rows go.
pub(super) enum Sink {
    Sidecar(Box<Sidecar>),
    Folder(Folder),
}

pub(super) struct Sidecar {
    runtime: Runtime,
    client: IngestServiceClient<Channel>,
    address: String,
}

pub(super) struct Folder {
    store: Store,
    views: ViewSet,
    now_us: i64,
}

/// What came of one attempt.
enum Attempt {
    Written(Written),
    /// Some row of it can't be taken, and why.
    Bad(String),
}

impl Sink {
    pub(super) fn sidecar(address: &str) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let channel = runtime.block_on(connect(address))?;
        let client = IngestServiceClient::new(channel);
        Ok(Self::Sidecar(Box::new(Sidecar { runtime, client, address: address.to_owned() })))
    }

    pub(super) fn folder(repo: &Repo, config: &skewless_server::Config) -> Outcome<Self> {
        let opened = Store::open(&config.store_dir, config.store.clone());
        let (store, _) = opened.map_err(|error| match error {
            StoreError::Locked { .. } => {
                Failure::new(error, "copy into the sidecar that has it open with --at, or give another folder with --store")
            }
            error => error.into(),
        })?;
        let views = store.set_views(&repo.catalog)?;
        for change in views.changes() {
            if let SchemaChange::Emptied { view, reason } = change {
                complain!(
                    "warning: {view}: {reason}; its stored rows no longer fit and were dropped"
                );
            }
        }
        Ok(Self::Folder(Folder { store, views, now_us: Clock::system().now_us() }))
    }

    /// Writes rows of a view.
    pub(super) fn write(&mut self, view: &View, rows: &Rows) -> Outcome<Written> {
        let mut written = Written::default();
        // Ranges still to write, the first ones last.
        let whole = 0..rows.event_us.len();
        let mut open = vec![whole];
        while let Some(range) = open.pop() {
            if range.is_empty() {
                continue;
            }
            let part = part(rows, range.clone());
            match self.attempt(view, &part)? {
                Attempt::Written(more) => written.add(more),
                Attempt::Bad(why) if range.len() == 1 => {
                    written.refused.push(Refusal { reason: Reason::Store, detail: why });
                }
                Attempt::Bad(_) => {
                    let middle = range.start + range.len() / 2;
                    open.push(middle..range.end);
                    open.push(range.start..middle);
                }
            }
        }
        Ok(written)
    }

    /// Makes what was written durable, as far as that is this command's.
    pub(super) fn finish(&self) -> Outcome {
        match self {
            Self::Sidecar(_) => Ok(()),
            Self::Folder(folder) => Ok(folder.store.flush()?),
        }
    }

    fn attempt(&mut self, view: &View, rows: &Rows) -> Outcome<Attempt> {
        match self {
            Self::Sidecar(sidecar) => sidecar.attempt(view, rows),
            Self::Folder(folder) => folder.attempt(view, rows),
        }
    }
}

impl Sidecar {
    fn attempt(&mut self, view: &View, rows: &Rows) -> Outcome<Attempt> {
        let sent = self.runtime.block_on(self.client.ingest(message(view, rows)));
        let answer = match sent {
            Ok(answer) => answer.into_inner(),
            Err(status) if of_the_rows(&status) => {
                return Ok(Attempt::Bad(status.message().to_owned()));
            }
            Err(status) => return Err(refused(&self.address, &status)),
        };
        Ok(Attempt::Written(Written {
            applied: answer.applied.into(),
            stale: answer.stale.into(),
            duplicate: answer.duplicate.into(),
            pending: answer.pending.into(),
            refused: Vec::new(),
        }))
    }
}

/// Whether a refusal is about what was sent, so that it would be refused again; not about what the sidecar has to do beside.
/// Sidecars before this version said RESOURCE_EXHAUSTED of both; only the first names what was expected.
fn of_the_rows(status: &tonic::Status) -> bool {
    match status.code() {
        tonic::Code::InvalidArgument => true,
        tonic::Code::ResourceExhausted => status.message().starts_with("expected "),
        _ => false,
    }
}

impl Folder {
    fn attempt(&mut self, view: &View, rows: &Rows) -> Outcome<Attempt> {
        let handle: &Arc<_> = self.views.by_name(&view.name)?;
        match self.store.apply(handle, rows, self.now_us, None) {
            Ok(applied) => {
                let count =
                    |of| applied.verdicts.iter().filter(|verdict| **verdict == of).count() as u64;
                Ok(Attempt::Written(Written {
                    applied: count(Verdict::Applied),
                    stale: count(Verdict::Stale),
                    duplicate: count(Verdict::Duplicate),
                    pending: count(Verdict::Pending),
                    refused: Vec::new(),
                }))
            }
            Err(error @ (StoreError::InvalidRows { .. } | StoreError::OverLimit { .. })) => {
                Ok(Attempt::Bad(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Written {
    pub(super) fn add(&mut self, more: Written) {
        self.applied += more.applied;
        self.stale += more.stale;
        self.duplicate += more.duplicate;
        self.pending += more.pending;
        self.refused.extend(more.refused);
    }

    /// Rows that were taken.
    pub(super) fn taken(&self) -> u64 {
        self.applied + self.stale + self.duplicate + self.pending
    }
}

fn part(rows: &Rows, range: std::ops::Range<usize>) -> Rows {
    let columns = |columns: &[Column]| {
        columns
            .iter()
            .map(|column| {
                let mut part = Column::with_capacity(column.ty(), range.len());
                part.append(&column.view(), range.clone());
                part
            })
            .collect()
    };
    Rows {
        keys: columns(&rows.keys),
        event_us: rows.event_us[range.clone()].to_vec(),
        known_us: rows.known_us[range.clone()].to_vec(),
        deleted: rows.deleted[range.clone()].to_vec(),
        features: columns(&rows.features),
    }
}

fn message(view: &View, rows: &Rows) -> pb::IngestRequest {
    let keys =
        view.keys.iter().zip(&rows.keys).map(|(key, column)| wire::column(&key.name, column));
    let features = view.features.iter().zip(&rows.features);
    pb::IngestRequest {
        view: view.name.clone(),
        keys: keys.collect(),
        event_us: rows.event_us.clone(),
        known_us: rows.known_us.clone(),
        features: features.map(|(field, column)| wire::column(&field.name, column)).collect(),
        ..pb::IngestRequest::default()
    }
}

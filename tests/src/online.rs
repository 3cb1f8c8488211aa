//! A story told online: a real sidecar on a manual clock, rows arriving over gRPC when they became known,
//! questions asked over gRPC at their times.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use skewless_batch::{Column, Type};
use skewless_proto::v1 as pb;
use skewless_proto::v1::feature_service_client::FeatureServiceClient;
use skewless_proto::v1::ingest_service_client::IngestServiceClient;
use skewless_server::{Clock, Config, Running, Server};
use tonic::transport::{Channel, Endpoint};

use crate::parquet_files::Written;
use crate::plugins;
use crate::random::Random;
use crate::story::{History, Named, Story};
use crate::wire::{append, to_message};

/// Messages may be as large as the sidecar's own limit; a client's library allows less by default.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The seed with which every row and every question is a call of its own.
pub const ONE_BY_ONE: u64 = 0;

/// Starts a sidecar over a repo, on free ports of loopback, with its store in `folder` and the machine code that all
/// tests share.
pub fn start(
    repo: &Path,
    folder: &Path,
    clock: Clock,
    change: impl FnOnce(&mut Config),
) -> Result<Running> {
    let mut config = Config {
        repo_dir: repo.to_path_buf(),
        store_dir: folder.join("store"),
        cache_dir: plugins::code()?.to_path_buf(),
        ..Config::default()
    };
    config.listen.tcp = Some(([127, 0, 0, 1], 0).into());
    config.listen.http = Some(([127, 0, 0, 1], 0).into());
    // What is compared with a backfill must not depend on how busy the machine is.
    config.engine.deadline_ticks = 10_000;
    config.limits.deadline_ms = 60_000;
    config.limits.queue_wait_ms_max = 60_000;
    change(&mut config);
    Ok(Server::start(config, clock)?)
}

/// A connection to a sidecar's TCP address.
pub async fn connect(sidecar: &Running) -> Result<Channel> {
    let address = sidecar.addresses().tcp.context("a sidecar that listens on TCP")?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(endpoint.connect_timeout(Duration::from_secs(60)).connect().await?)
}

/// Plays the story and gives what was answered, a feature at a time, in the order of the questions.
/// `seed` decides how rows and questions are put into calls, [`ONE_BY_ONE`] makes a call of each; the answers must
/// not depend on it.
pub async fn tell(
    story: &Story,
    sidecar: &Running,
    wanted: &[(String, Type)],
    seed: u64,
) -> Result<Vec<Written>> {
    let channel = connect(sidecar).await?;
    let mut features =
        FeatureServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
    let mut ingest = IngestServiceClient::new(channel);
    let mut random = Random::new(seed);
    let mut more = |below: u64| if seed == ONE_BY_ONE { 0 } else { random.below(below) as usize };
    let mut told: Vec<Written> = wanted
        .iter()
        .map(|(name, ty)| Written {
            name: name.clone(),
            column: Column::new(*ty),
            statuses: Vec::new(),
        })
        .collect();
    let mut arrived = vec![0; story.histories.len()];
    let mut asked = 0;
    while asked < story.asks.t_us.len() {
        let t_us = story.asks.t_us[asked];
        let same = story.asks.t_us[asked..].iter().take_while(|other| **other == t_us).count();
        for (history, arrived) in story.histories.iter().zip(&mut arrived) {
            let until = history.known_us.partition_point(|known_us| *known_us <= t_us);
            while *arrived < until {
                let to = until.min(*arrived + 1 + more(64));
                sidecar.clock().advance(history.known_us[to - 1]);
                ingest.ingest(rows(history, *arrived, to)).await?;
                *arrived = to;
            }
        }
        sidecar.clock().advance(t_us);
        let end = asked + same;
        while asked < end {
            let to = end.min(asked + 1 + more(48));
            let answer = features.get_features(question(story, asked, to)).await?.into_inner();
            let provenance = answer.provenance.context("provenance")?;
            ensure!(
                provenance.time_us == t_us,
                "asked at {t_us}, answered as of {}",
                provenance.time_us
            );
            take(&answer.columns, to - asked, &mut told)?;
            asked = to;
        }
    }
    Ok(told)
}

/// Rows of a history as one call.
#[must_use]
pub fn rows(history: &History, from: usize, to: usize) -> pb::IngestRequest {
    let mut deleted = vec![0u8; (to - from).div_ceil(8)];
    for (at, row) in (from..to).enumerate() {
        deleted[at / 8] |= u8::from(history.deleted[row]) << (at % 8);
    }
    pb::IngestRequest {
        view: history.view.clone(),
        keys: messages(&history.keys, from, to),
        event_us: history.event_us[from..to].to_vec(),
        known_us: history.known_us[from..to].to_vec(),
        deleted: deleted.into(),
        features: messages(&history.features, from, to),
        source: None,
    }
}

/// Questions of a story as one call.
#[must_use]
pub fn question(story: &Story, from: usize, to: usize) -> pb::GetFeaturesRequest {
    pb::GetFeaturesRequest {
        wanted: Some(pb::get_features_request::Wanted::Service(story.service.clone())),
        keys: messages(&story.asks.keys, from, to),
        request: messages(&story.asks.request, from, to),
        ..pb::GetFeaturesRequest::default()
    }
}

fn messages(columns: &[Named], from: usize, to: usize) -> Vec<pb::Column> {
    columns.iter().map(|(name, column)| to_message(name, &column.view(), from, to)).collect()
}

fn take(columns: &[pb::FeatureColumn], rows: usize, told: &mut [Written]) -> Result<()> {
    ensure!(columns.len() == told.len(), "{} features asked, {} came", told.len(), columns.len());
    for (column, told) in columns.iter().zip(told) {
        let message = column.column.as_ref().context("a column")?;
        ensure!(message.name == told.name, "asked for {}, {} came", told.name, message.name);
        append(message, rows, &mut told.column).with_context(|| told.name.clone())?;
        match column.statuses.len() {
            0 => told.statuses.extend(std::iter::repeat_n(1, rows)),
            len if len == rows => told.statuses.extend(column.statuses.iter()),
            len => anyhow::bail!("{}: {len} statuses for {rows} rows", told.name),
        }
    }
    Ok(())
}

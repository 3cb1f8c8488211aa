//! Live sidecars of the demo: started in this process, spoken to over gRPC on a Unix socket like any other.
//! Their clock is moved by hand, as the data is of 2013.

use std::path::Path;
use std::time::Duration;

use skewless_batch::{Column, Type};
use skewless_proto::v1;
use skewless_proto::v1::feature_service_client::FeatureServiceClient;
use skewless_proto::v1::ingest_service_client::IngestServiceClient;
use skewless_server::config::{Life, Listen};
use skewless_server::{Clock, Config, Running, Server, wire};
use tonic::transport::Channel;

use super::SERVICE;
use crate::client::{self, ANSWER_BYTES_MAX, refused};
use crate::exit::{Failure, Next, Outcome};
use crate::output::say;
use crate::repo::Repo;
use crate::{interrupt, show, typed};

/// A sidecar with a clock that is moved by hand, and a client of it.
pub(crate) struct Live {
    pub(crate) clock: Clock,
    address: String,
    running: Running,
    features: FeatureServiceClient<Channel>,
    ingest: IngestServiceClient<Channel>,
    /// Holds the socket: a path of its own, as the system allows few bytes for one.
    _socket: tempfile::TempDir,
}

impl Live {
    /// Starts a sidecar on the store `store`, made if missing, whose clock stands at `now_us`.
    pub(crate) async fn start(repo: &Repo, store: &Path, now_us: i64) -> Outcome<Self> {
        let socket = tempfile::Builder::new().prefix("skewless-").tempdir()?;
        let path = socket.path().join("sidecar.sock");
        let address = format!("unix:{}", path.display());
        let listen = Listen { tcp: None, http: None, unix: Some(path), ..Listen::default() };
        let life = Life { threads: 1, ..Life::default() };
        let config = Config { listen, life, ..config(repo, store) };
        let clock = Clock::manual(now_us);
        let started = clock.clone();
        let running = tokio::task::spawn_blocking(move || Server::start(config, started)).await??;
        let channel = client::connect(&address).await?;
        let features =
            FeatureServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let ingest = IngestServiceClient::new(channel);
        Ok(Self { clock, address, running, features, ingest, _socket: socket })
    }

    pub(crate) async fn ask(
        &mut self,
        question: v1::GetFeaturesRequest,
    ) -> Outcome<v1::GetFeaturesResponse> {
        let answer = self.features.get_features(question).await;
        Ok(answer.map_err(|status| refused(&self.address, &status))?.into_inner())
    }

    pub(crate) async fn ingest(&mut self, rows: v1::IngestRequest) -> Outcome {
        let answer = self.ingest.ingest(rows).await;
        answer.map_err(|status| refused(&self.address, &status))?;
        Ok(())
    }

    /// Drains it and closes its store.
    pub(crate) async fn stop(self) {
        let Self { running, features, ingest, _socket, .. } = self;
        // Without clients left, draining is immediate.
        drop((features, ingest));
        tokio::task::spawn_blocking(move || running.shutdown()).await.ok();
    }
}

fn config(repo: &Repo, store: &Path) -> Config {
    let mut config = Config {
        repo_dir: repo.root.clone(),
        store_dir: store.to_owned(),
        cache_dir: repo.root.join(".skewless/cache"),
        ..Config::default()
    };
    // A machine that does something else for a while delays the comparison and doesn't end it.
    config.limits.queue_wait_ms_max = config.limits.deadline_ms;
    config
}

/// The flight that is asked for: the one whose data is best known.
const KEYS: [(&str, &str); 4] =
    [("carrier", "UA"), ("tailnum", "N14228"), ("origin", "EWR"), ("dest", "IAH")];
/// What the request brings.
const REQUEST: [(&str, &str); 2] =
    [("flight", "1545"), ("sched_dep_local", "2013-12-30T18:30:00Z")];

/// One vector from a sidecar on the bulk-loaded store, shown in part.
pub(crate) fn ask_once(repo: &Repo, store: &Path, now_us: i64) -> Outcome {
    let plan = repo.catalog.plan(SERVICE)?;
    let one = |name: &str, ty: Type, words: &[(&str, &str)]| {
        let word = words.iter().find(|(known, _)| *known == name).map(|(_, word)| *word);
        let mut column = Column::new(ty);
        match word {
            Some(word) => typed::push_text(&mut column, word)?,
            None => column.push_null(),
        }
        Ok::<_, Failure>(wire::column(name, &column))
    };
    let question = v1::GetFeaturesRequest {
        wanted: Some(v1::get_features_request::Wanted::Service(SERVICE.to_owned())),
        keys: plan.keys.iter().map(|key| one(&key.name, key.ty, &KEYS)).collect::<Outcome<_>>()?,
        request: plan
            .request
            .iter()
            .map(|column| one(&column.name, column.ty, &REQUEST))
            .collect::<Outcome<_>>()?,
        timings: true,
        ..Default::default()
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let answer = runtime.block_on(async {
        let mut live = Live::start(repo, store, now_us).await?;
        // The first call makes what later ones reuse; the second one's times are the usual ones.
        let first = live.ask(question.clone()).await;
        let answer = live.ask(question).await;
        live.stop().await;
        first.and(answer)
    })?;
    tell(&answer)
}

fn tell(answer: &v1::GetFeaturesResponse) -> Outcome {
    for column in answer.columns.iter().filter_map(|feature| feature.column.as_ref()).take(4) {
        let mut value = Column::new(wire::type_of(column)?);
        wire::decode_column(column, 1, &mut value)?;
        say!("  {:24} {}", column.name, show::text(value.value(0)))?;
    }
    let timings = answer.timings.unwrap_or_default();
    say!(
        "  and {} more; the store took {} us, the transforms {} us",
        answer.columns.len().saturating_sub(4),
        timings.store_ns / 1000,
        timings.compute_ns / 1000
    )
}

/// Leaves a sidecar running until it is interrupted.
pub(crate) fn serve(repo: &Repo, store: &Path, now_us: i64) -> Outcome {
    let cancel = interrupt::flag()?;
    let running = Server::start(config(repo, store), Clock::manual(now_us))
        .or_next(|| "is another sidecar running? stop it, or ask it with `skewless get`")?;
    let Some(at) = running.addresses().tcp else { return Ok(()) };
    let words = |words: &[(&str, &str)], flag: &str| {
        words
            .iter()
            .map(|(name, value)| format!("{flag}{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let told = say!(
        "\nserving on {at}; its clock stands at {}, as the data ends then. In another terminal:\n\n  \
         skewless get {SERVICE} --at {at} {} \\\n      {}\n\nCtrl-C ends it.",
        show::time(now_us),
        words(&KEYS, ""),
        words(&REQUEST, "--request ")
    );
    while told.is_ok() && !cancel.is_cancelled() {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    running.shutdown();
    told
}

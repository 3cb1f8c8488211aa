//! A sidecar in a process of its own, on a core of its own: its processor time is its own, and nothing that measures
//! it takes its turn. The process is this program, started again; not what is measured.
//!
//! Said to it a line at a time: [`COMPACT`]. All else it is asked over its sockets, as any sidecar.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use skewless_server::{Clock, Config};
use skewless_tests::online;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

use crate::cores::{Cores, pin};
use crate::load::Load;
use crate::open_loop::Target;
use crate::process::{Process, ready, say};
use crate::rounds::Spent;
use crate::world::{Service, ingest, load_of, metrics, socket, url_unix, write_repo};

/// First word of its process.
pub(crate) const CHILD: &str = "--child-apart";
/// Has its store compacted.
const COMPACT: &str = "compact";
/// Instead of a core's number.
const ANY_CORE: &str = "any";
/// A day: longer than any measurement.
const LONG_MS: u64 = 86_400_000;
/// Features of the view that only bulk loads write.
pub(crate) const LOADED: usize = 10;
pub(crate) const LOADED_VIEW: &str = "loaded";

/// Whom a sidecar lets in.
#[derive(Clone, Copy)]
pub(crate) enum Gate {
    /// As configured by default.
    Usual,
    /// One call, for as long as its message hasn't come; all others are refused at once.
    Single,
}

impl Gate {
    /// Its word on the command line.
    fn word(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Single => "single",
        }
    }

    fn set(self, config: &mut Config) {
        // The tests' sidecars wait for longer.
        config.limits = Config::default().limits;
        let limits = &mut config.limits;
        match self {
            Self::Usual => {}
            Self::Single => {
                (limits.requests_in_flight_max, limits.queue_max) = (1, 0);
                limits.receive_ms_max = LONG_MS;
                (limits.deadline_ms, limits.deadline_ms_max) = (LONG_MS, LONG_MS);
                config.life.grace_ms = 1_000; // whoever holds the place isn't waited for
            }
        }
    }
}

/// A running sidecar and the means to ask it. All threads that ask are the caller's or started by it, so they are
/// where the caller is.
pub(crate) struct Apart {
    /// First, so that it ends while its folder is there.
    process: Mutex<Process>,
    pub(crate) spent: Spent,
    pub(crate) http: SocketAddr,
    pub(crate) threads: Runtime,
    pub(crate) folder: tempfile::TempDir,
}

impl Apart {
    /// Without rows.
    pub(crate) fn start(cores: &Cores, gate: Gate) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let repo = write_repo(folder.path())?;
        let features: String =
            (0..LOADED).map(|at| format!("      - {{name: f{at}, type: float64}}\n")).collect();
        std::fs::write(
            repo.join("loaded.yaml"),
            format!("views:\n  - name: {LOADED_VIEW}\n    entity: user\n    features:\n{features}"),
        )?;
        let path = folder.path().to_str().context("expected a path that is text")?;
        let core = cores.sidecar().map_or_else(|| ANY_CORE.to_owned(), |core| core.to_string());
        let process = Process::start(&[CHILD, path, &core, gate.word()])?;
        let http = process.said.parse().with_context(|| process.said.clone())?;
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let threads = threads.worker_threads(1).enable_all().build()?;
        let spent = process.spent()?;
        Ok(Self { process: Mutex::new(process), spent, http, threads, folder })
    }

    /// Rows of every entity, written out to files.
    pub(crate) fn fill(&self) -> Result<()> {
        self.threads.block_on(async { ingest(self.connect().await?).await })
    }

    pub(crate) fn url(&self) -> String {
        url_unix(&socket(self.folder.path()))
    }

    pub(crate) async fn connect(&self) -> Result<Channel> {
        let url = self.url();
        let channel = Endpoint::from_shared(url.clone())?.connect().await;
        channel.context(url)
    }

    /// See [`load_of`].
    pub(crate) fn load(&self, service: Service, entities: usize) -> Result<Load> {
        load_of(&self.threads, &self.url(), service, entities)
    }

    /// For calls at a given rate.
    pub(crate) fn target(&self, load: &Load) -> Result<Target> {
        let endpoint = Endpoint::from_shared(self.url())?;
        Ok(Target { endpoint, path: load.path.clone(), requests: load.requests.clone() })
    }

    pub(crate) fn metrics(&self) -> Result<String> {
        metrics(self.http)
    }

    /// Compacts its whole store; returns when that is done.
    pub(crate) fn compact(&self) -> Result<()> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).ask(COMPACT)
    }
}

/// The process: serves until its standard input ends.
pub(crate) fn child(words: &[String]) -> Result<()> {
    let [_, folder, core, gate] = words else {
        bail!("expected {CHILD}, a folder, a core and a gate, came {words:?}");
    };
    // Before there is another thread: all that come are where this one is.
    if core != ANY_CORE {
        pin(&[core.parse()?])?;
    }
    let gates = [Gate::Usual, Gate::Single];
    let gate = gates.into_iter().find(|known| known.word() == gate);
    let gate = gate.context("expected a gate: usual or single")?;
    let folder = Path::new(folder);
    let sidecar = online::start(&folder.join("repo"), folder, Clock::system(), |config| {
        config.listen.unix = Some(socket(folder));
        gate.set(config);
    })?;
    ready(&sidecar.addresses().http.context("HTTP")?.to_string())?;
    for line in std::io::stdin().lines() {
        match line?.as_str() {
            COMPACT => sidecar.reclaim()?,
            other => bail!("expected `{COMPACT}`, came `{other}`"),
        }
        say(COMPACT)?;
    }
    sidecar.shutdown();
    Ok(())
}

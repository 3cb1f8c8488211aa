//! A request in process and its stages one at a time, on the caller's thread: for counting what each costs;
//! not a way to serve, as there is no socket, no guard and no tick, so that a plugin that loops never ends.
//!
//! It runs the very functions that serve: what is counted here is what a call pays.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use skewless_catalog::Frame;
use skewless_proto::v1 as pb;

use crate::clock::Clock;
use crate::config::Config;
use crate::encode::{self, Rest, Sizes, Wanted};
use crate::get_features;
use crate::guard::Deadline;
use crate::life::{self, StartError};
use crate::metrics::Metrics;
use crate::sidecar::Sidecar;
use crate::snapshot::{Served, Snapshot};
use crate::status::ServeError;
use crate::unary::decode;

/// Time that a request may take: as long as a sidecar allows at most unless configured, so none comes near it.
const DEADLINE: Duration = Duration::from_secs(60);

/// A sidecar without sockets and threads of its own.
pub struct InProcess(Arc<Sidecar>);

/// The stages of one request to a declared service, each to be run as often as one likes.
pub struct Stages {
    sidecar: Arc<Sidecar>,
    snapshot: Arc<Snapshot>,
    served: Arc<Served>,
    message: Bytes,
    /// Filled by [`Stages::decode`].
    asked: Frame,
    /// With everything that was read and computed.
    answered: Frame,
    sizes: Sizes,
}

impl InProcess {
    /// Checks the definitions, compiles and starts the plugins, opens the store.
    pub fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let (sidecar, _, _) = life::build(config, clock, Arc::new(Metrics::new()))?;
        Ok(Self(sidecar))
    }

    /// From the message's bytes to the answer's.
    pub fn answer(&self, message: &Bytes) -> Result<Bytes, ServeError> {
        let request = decode(&self.0, message.clone())?;
        let answer = get_features::answer(&self.0, &request, Deadline::after(DEADLINE))?;
        Ok(answer.message())
    }

    /// Answers a message once and keeps what its stages need.
    pub fn stages(&self, message: &Bytes) -> Result<Stages, ServeError> {
        use pb::get_features_request::Wanted as Asked;
        let sidecar = Arc::clone(&self.0);
        let request = decode(&sidecar, message.clone())?;
        let snapshot = sidecar.current.load_full();
        let served = match &request.wanted {
            Some(Asked::Service(name)) => snapshot.service(name)?,
            _ => return Err(ServeError::Field("expected a service, came none".to_owned())),
        };
        get_features::answer(&sidecar, &request, Deadline::after(DEADLINE))?;
        // The frame that was just answered from was given back last, so it is the one taken.
        let answered = served.frames.take(|| Frame::new(served.plan()));
        let asked = Frame::new(served.plan());
        let message = message.clone();
        Ok(Stages { sidecar, snapshot, served, message, asked, answered, sizes: Sizes::default() })
    }
}

impl Stages {
    /// From the message's bytes to checked columns in a frame; gives the number of rows.
    pub fn decode(&mut self) -> Result<usize, ServeError> {
        let request = decode(&self.sidecar, self.message.clone())?;
        let rows_max = self.sidecar.config.limits.rows_max;
        get_features::fill(self.served.plan(), &request, rows_max, &mut self.asked)?;
        Ok(self.asked.rows)
    }

    /// From a frame with everything in it to the answer's bytes: columns and statuses, no float32 block.
    pub fn encode(&mut self) -> Result<Bytes, ServeError> {
        let plan = self.served.plan();
        let rest = Rest {
            provenance: pb::Provenance {
                service_fingerprint: plan.fingerprint.0.to_vec().into(),
                snapshot: self.snapshot.number,
                store_sequence: 0,
                time_us: self.sidecar.clock.now_us(),
            },
            timings: None,
        };
        let wanted = Wanted { columns: true, float32_rows: false, event_times: false };
        let (layout, sizes) = (&self.served.layout, &mut self.sizes);
        let bytes_max = self.sidecar.config.limits.response_bytes_max;
        let answer = encode::encode(layout, plan, &self.answered, wanted, &rest, sizes, bytes_max)?;
        Ok(answer.message())
    }
}

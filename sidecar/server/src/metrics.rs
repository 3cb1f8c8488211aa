//! What the sidecar counts and times, in OpenMetrics text; not where it happens.
//!
//! Labels hold names of the definitions only, never anything a client sent: calls for undeclared services
//! have none, ad hoc lists share one. Series of definitions that are gone are dropped at a reload. A handle
//! is looked up once, when a plan is bound ([`ServiceMetrics`]): the hot path looks nothing up by name.
//!
//! What someone is woken by is there with 0 from the start: the rise of a counter that begins with its first event is
//! seen by no `rate()`.
//!
//! Cost on the hot path: about ten `observe` calls, some 20 ns each, and one more per lookup.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use skewless_catalog::{Catalog, Digest, Plan};
use tonic::Code;

/// Upper bounds of the histograms' buckets in seconds: 1-2-5 from 5 us, what a warm request takes, to 10 s,
/// the default deadline.
const BUCKETS_S: [f64; 20] = [
    5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1, 2e-1, 5e-1,
    1.0, 2.0, 5.0, 10.0,
];

/// The label of ad hoc feature lists; no service can have this name.
const AD_HOC: &str = "(ad hoc)";

/// Stages of a request, in their order.
const STAGES: [&str; 5] = ["decode", "store", "compute", "encode", "total"];
/// Outcomes of a lookup.
const OUTCOMES: [&str; 2] = ["found", "not_found"];
/// What can become of an ingested row.
pub(crate) const VERDICTS: [&str; 4] = ["applied", "stale", "duplicate", "pending"];
/// Kinds of broken calls, as `CallError::word` has them.
const REASONS: [&str; 10] = [
    "trap",
    "deadline",
    "stack",
    "memory",
    "instance",
    "input",
    "refused",
    "budget",
    "output_bytes",
    "lie",
];

type Labels = Vec<(&'static str, String)>;

#[derive(Clone, Copy, Debug)]
struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS_S)
    }
}

type Histograms = Family<Labels, Histogram, Seconds>;
type Counters = Family<Labels, Counter>;

/// Everything that is counted and timed.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Histograms,
    transforms: Histograms,
    view_reads: Histograms,
    rows: Counters,
    lookups: Counters,
    rows_failed: Counters,
    breaks: Counters,
    calls: Counters,
    ended: CallCounters,
    ingested: Counters,
    /// Reloads after which the new definitions were served.
    pub(crate) reloads_applied: Counter,
    /// Reloads after which the old definitions still were.
    pub(crate) reloads_refused: Counter,
    /// Plans of ad hoc lists that were compiled.
    pub(crate) ad_hoc_plans: Counter,
    /// GetFeatures calls that were begun.
    pub(crate) admitted: Counter,
    /// Of those that came, how many had to wait.
    pub(crate) queued: Counter,
    refused: Counters,
    /// GetFeatures calls that wait to be begun.
    pub(crate) waiting: Gauge<i64, AtomicI64>,
    /// Most GetFeatures calls that were worked on at once.
    in_flight_peak: Gauge<i64, AtomicI64>,
    requests_in_flight: Gauge<i64, AtomicI64>,
    /// Bytes of answers that clients haven't taken.
    pub(crate) unsent_bytes: Gauge<i64, AtomicI64>,
    pub(crate) body_bytes: Gauge<i64, AtomicI64>,
    /// Connections closed because their client took no answer.
    pub(crate) stuck: Counter,
    pub(crate) in_flight: Gauge<i64, AtomicI64>,
    pub(crate) connections: Gauge<i64, AtomicI64>,
    pub(crate) snapshot: Gauge<u64, AtomicU64>,
    store_sequence: Gauge<u64, AtomicU64>,
    store_background_errors: Gauge<u64, AtomicU64>,
    store_writes_refused: Family<Labels, Gauge<u64, AtomicU64>>,
    hot_lookups: Counters,
    hot_evictions: Counter,
    hot_bytes: Gauge<u64, AtomicU64>,
    view_rows: Family<Labels, Gauge<u64, AtomicU64>>,
    view_bytes: Family<Labels, Gauge<u64, AtomicU64>>,
    view_loaded: Family<Labels, Gauge<u64, AtomicU64>>,
}

/// The counters of calls by method and status, each looked up once: a call counts without a lock or a
/// label being made.
#[derive(Debug, Default)]
struct CallCounters {
    /// A row a method, in the order in which methods were first seen; a column a status.
    methods: [OnceLock<(&'static str, Codes)>; METHODS_MAX],
}

/// A counter a status.
type Codes = [OnceLock<Counter>; CODES];
/// Status codes of gRPC, 0 to 16.
const CODES: usize = 17;
/// Methods that are counted apart: those of the guard's table, and `other`.
const METHODS_MAX: usize = 24;

impl CallCounters {
    fn of(&self, method: &'static str, code: Code, make: impl FnOnce() -> Counter) {
        for place in &self.methods {
            let (name, codes) =
                place.get_or_init(|| (method, std::array::from_fn(|_| OnceLock::new())));
            // Names are constants: nearly always the very same string, so comparing it is cheap.
            if *name == method {
                codes[code as i32 as usize % CODES].get_or_init(make).inc();
                return;
            }
        }
        debug_assert!(false, "METHODS_MAX has room for every method");
        make().inc();
    }
}

/// The handles of one plan.
#[derive(Debug)]
pub(crate) struct ServiceMetrics {
    pub(crate) decode: Histogram,
    pub(crate) store: Histogram,
    pub(crate) compute: Histogram,
    pub(crate) encode: Histogram,
    pub(crate) total: Histogram,
    pub(crate) rows: Counter,
    /// Per step.
    pub(crate) steps: Vec<StepMetrics>,
    /// Per lookup.
    pub(crate) lookups: Vec<LookupMetrics>,
}

/// The handles of one step.
#[derive(Debug)]
pub(crate) struct StepMetrics {
    pub(crate) time: Histogram,
    pub(crate) rows_failed: Counter,
    /// By reason.
    breaks: [Counter; REASONS.len()],
}

/// The handles of one lookup.
#[derive(Debug)]
pub(crate) struct LookupMetrics {
    pub(crate) time: Histogram,
    pub(crate) found: Counter,
    pub(crate) not_found: Counter,
}

impl StepMetrics {
    /// Counts a call that broke.
    pub(crate) fn broke(&self, word: &str) {
        let known = REASONS.iter().position(|reason| *reason == word);
        debug_assert!(known.is_some(), "REASONS has every way to break, but not `{word}`");
        if let Some(at) = known {
            self.breaks[at].inc();
        }
    }
}

/// The labels of calls that broke for a reason, by those of the transform.
fn broke_by(transform: &[(&'static str, String)], reason: &str) -> Labels {
    let reason = ("reason", reason.to_owned());
    transform.iter().cloned().chain([reason]).collect()
}

/// The first 12 digits of a digest: enough to tell plugins apart in a label.
pub(crate) fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(12).collect()
}

/// The labels of a read of a view under a role; of the entity itself, the role is empty.
fn read_of(view: &str, role: Option<&str>) -> Labels {
    vec![("view", view.to_owned()), ("role", role.unwrap_or_default().to_owned())]
}

/// The roles under which a view can be read, the entity itself first; none if there is no such view.
fn roles<'a>(catalog: &'a Catalog, view: &str) -> impl Iterator<Item = Option<&'a str>> {
    let entity = catalog.view(view).and_then(|view| catalog.entity(&view.entity));
    entity.into_iter().flat_map(|entity| {
        std::iter::once(None).chain(entity.roles.iter().map(|role| Some(role.name.as_str())))
    })
}

/// Whether the definitions have such a view with such a role.
fn reads(catalog: &Catalog, view: &str, role: Option<&str>) -> bool {
    roles(catalog, view).any(|known| known == role)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("skewless");
        let histograms = || Histograms::new_with_constructor(Seconds);
        let (requests, transforms, view_reads) = (histograms(), histograms(), histograms());
        let (rows, lookups, rows_failed, breaks) =
            (Counters::default(), Counters::default(), Counters::default(), Counters::default());
        let (calls, ingested, reloads) =
            (Counters::default(), Counters::default(), Counters::default());
        let outcome =
            |outcome: &str| reloads.get_or_create_owned(&vec![("outcome", outcome.to_owned())]);
        let (reloads_applied, reloads_refused) = (outcome("applied"), outcome("refused"));
        let (ad_hoc_plans, stuck) = (Counter::default(), Counter::default());
        let (admitted, queued, refused) =
            (Counter::default(), Counter::default(), Counters::default());
        let (waiting, in_flight_peak, requests_in_flight, unsent_bytes) =
            (Gauge::default(), Gauge::default(), Gauge::default(), Gauge::default());
        let (in_flight, connections) = (Gauge::default(), Gauge::default());
        let (snapshot, store_sequence, store_background_errors) =
            (Gauge::default(), Gauge::default(), Gauge::default());
        let (view_rows, view_bytes, view_loaded, store_writes_refused) =
            (Family::default(), Family::default(), Family::default(), Family::default());
        let seconds = |registry: &mut Registry, name, help, metric: &Histograms| {
            registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
        };
        seconds(&mut registry, "request", "Time of GetFeatures by service and stage", &requests);
        seconds(
            &mut registry,
            "transform",
            "Time of a transform in a request, by plugin",
            &transforms,
        );
        let help = "Time of a lookup in a request, by view and role; no role is the entity itself";
        seconds(&mut registry, "view_read", help, &view_reads);
        registry.register("rows", "Rows answered, by service", rows.clone());
        registry.register("lookup_rows", "Rows looked up, by view and outcome", lookups.clone());
        registry.register(
            "transform_rows_failed",
            "Rows whose transform failed",
            rows_failed.clone(),
        );
        registry.register(
            "transform_breaks",
            "Calls of plugins that broke, by reason",
            breaks.clone(),
        );
        registry.register("calls", "Calls that ended, by method and status", calls.clone());
        registry.register(
            "ingested_rows",
            "Rows that came by ingest, by view and verdict",
            ingested.clone(),
        );
        registry.register("reloads", "Reloads of the definitions, by outcome", reloads);
        registry.register(
            "ad_hoc_plans",
            "Plans compiled for ad hoc lists; rising steadily: limits.ad_hoc_plans_max is too low",
            ad_hoc_plans.clone(),
        );
        let help = "GetFeatures calls that were begun";
        registry.register("requests_admitted", help, admitted.clone());
        let help = "GetFeatures calls that had to wait before they were begun or refused";
        registry.register("requests_queued", help, queued.clone());
        let help = "GetFeatures calls that were refused before they were begun, by reason";
        registry.register("requests_refused", help, refused.clone());
        let help = "GetFeatures calls that wait to be begun";
        registry.register("requests_waiting", help, waiting.clone());
        let help = "GetFeatures calls being received or worked on";
        registry.register("requests_in_flight", help, requests_in_flight.clone());
        let help = "Most GetFeatures calls that were worked on at once since the start";
        registry.register("requests_in_flight_peak", help, in_flight_peak.clone());
        let help = "Bytes of answers that clients haven't taken yet";
        registry.register("unsent_bytes", help, unsent_bytes.clone());
        let body_bytes = Gauge::<i64, AtomicI64>::default();
        let help = "Bytes of Feast's HTTP calls that have come, until the calls end";
        registry.register("feast_body_bytes", help, body_bytes.clone());
        let help = "Connections closed as their client took no answer (limits.send_ms_max)";
        registry.register("connections_stuck", help, stuck.clone());
        registry.register("in_flight", "Calls being worked on", in_flight.clone());
        registry.register("connections", "Open gRPC connections", connections.clone());
        registry.register("snapshot", "Number of the definitions being served", snapshot.clone());
        registry.register("store_sequence", "The store's sequence number", store_sequence.clone());
        let errors = store_background_errors.clone();
        registry.register(
            "store_background_errors",
            "Errors of the store's background work",
            errors,
        );
        let help = "Whether the store refuses writes (1), by reason; reads go on";
        registry.register("store_writes_refused", help, store_writes_refused.clone());
        let (hot_lookups, hot_evictions, hot_bytes) =
            (Counters::default(), Counter::default(), Gauge::default());
        let help = "Keys looked for among the hot rows, by outcome";
        registry.register("store_hot_lookups", help, hot_lookups.clone());
        let help = "Hot rows that went to make room";
        registry.register("store_hot_evictions", help, hot_evictions.clone());
        let (help, bytes) = ("Bytes of the hot rows", hot_bytes.clone());
        registry.register_with_unit("store_hot_size", help, Unit::Bytes, bytes);
        let help = "Whether the view holds any row (1) or everything asked of it is NOT_FOUND (0)";
        registry.register("view_loaded", help, view_loaded.clone());
        registry.register("view_rows_estimate", "Rows in the store, by view", view_rows.clone());
        let bytes = Unit::Bytes;
        registry.register_with_unit(
            "view_size",
            "Bytes in the store, by view",
            bytes,
            view_bytes.clone(),
        );
        Self {
            registry,
            requests,
            transforms,
            view_reads,
            rows,
            lookups,
            rows_failed,
            breaks,
            ended: CallCounters::default(),
            calls,
            ingested,
            reloads_applied,
            reloads_refused,
            ad_hoc_plans,
            admitted,
            queued,
            refused,
            waiting,
            in_flight_peak,
            requests_in_flight,
            unsent_bytes,
            body_bytes,
            stuck,
            in_flight,
            connections,
            snapshot,
            store_sequence,
            store_background_errors,
            store_writes_refused,
            hot_lookups,
            hot_evictions,
            hot_bytes,
            view_rows,
            view_bytes,
            view_loaded,
        }
    }

    /// The handles of a plan.
    pub(crate) fn of_plan(&self, plan: &Plan) -> ServiceMetrics {
        let service = if plan.service.is_empty() { AD_HOC } else { &plan.service };
        let stage = |stage: &str| {
            let labels = vec![("service", service.to_owned()), ("stage", stage.to_owned())];
            self.requests.get_or_create_owned(&labels)
        };
        let steps = plan.steps.iter().map(|step| {
            let plugin = short(&step.digest);
            let labels = vec![("transform", step.transform.clone()), ("plugin", plugin)];
            StepMetrics {
                time: self.transforms.get_or_create_owned(&labels),
                rows_failed: self.rows_failed.get_or_create_owned(&labels),
                breaks: REASONS
                    .map(|reason| self.breaks.get_or_create_owned(&broke_by(&labels, reason))),
            }
        });
        let outcome = |view: &str, outcome: &str| {
            let labels = vec![("view", view.to_owned()), ("outcome", outcome.to_owned())];
            self.lookups.get_or_create_owned(&labels)
        };
        let lookups = plan.lookups.iter().map(|lookup| LookupMetrics {
            time: self
                .view_reads
                .get_or_create_owned(&read_of(&lookup.view_name, lookup.role.as_deref())),
            found: outcome(&lookup.view_name, "found"),
            not_found: outcome(&lookup.view_name, "not_found"),
        });
        ServiceMetrics {
            decode: stage("decode"),
            store: stage("store"),
            compute: stage("compute"),
            encode: stage("encode"),
            total: stage("total"),
            rows: self.rows.get_or_create_owned(&vec![("service", service.to_owned())]),
            steps: steps.collect(),
            lookups: lookups.collect(),
        }
    }

    /// Counts a call that ended. `method` is one of ours, never what a client made up.
    pub(crate) fn call(&self, method: &'static str, code: Code) {
        self.ended.of(method, code, || {
            let labels = vec![("method", method.to_owned()), ("status", format!("{code:?}"))];
            self.calls.get_or_create_owned(&labels)
        });
    }

    /// Counts ingested rows.
    pub(crate) fn ingested(&self, view: &str, verdict: &'static str, rows: u64) {
        if rows > 0 {
            let labels = vec![("view", view.to_owned()), ("verdict", verdict.to_owned())];
            self.ingested.get_or_create(&labels).inc_by(rows);
        }
    }

    /// The counter of GetFeatures calls refused for a reason.
    pub(crate) fn refused(&self, reason: &'static str) -> Counter {
        self.refused.get_or_create_owned(&vec![("reason", reason.to_owned())])
    }

    /// A call is in work; of GetFeatures, the most at once are remembered.
    pub(crate) fn work_begins(&self, request: bool) {
        self.in_flight.inc();
        if request {
            let now = self.requests_in_flight.inc() + 1;
            if now > self.in_flight_peak.get() {
                self.in_flight_peak.inner().fetch_max(now, Ordering::Relaxed);
            }
        }
    }

    /// A call is no longer in work.
    pub(crate) fn work_ends(&self, request: bool) {
        self.in_flight.dec();
        if request {
            self.requests_in_flight.dec();
        }
    }

    /// Drops the series of definitions that `new` doesn't have any more.
    pub(crate) fn forget(&self, old: &Catalog, new: &Catalog) {
        let one = |key: &'static str, value: &str| vec![(key, value.to_owned())];
        let two = |a: &'static str, of: &str, b: &'static str, with: &str| {
            vec![(a, of.to_owned()), (b, with.to_owned())]
        };
        let kept = |name: &str| new.services.iter().any(|service| service.name == name);
        for service in old.services.iter().filter(|service| !kept(&service.name)) {
            self.rows.remove(&one("service", &service.name));
            for stage in STAGES {
                self.requests.remove(&two("service", &service.name, "stage", stage));
            }
        }
        for view in &old.views {
            for role in roles(old, &view.name).filter(|role| !reads(new, &view.name, *role)) {
                self.view_reads.remove(&read_of(&view.name, role));
            }
        }
        for view in old.views.iter().filter(|view| new.view(&view.name).is_none()) {
            let name = &view.name;
            self.view_rows.remove(&one("view", name));
            self.view_bytes.remove(&one("view", name));
            self.view_loaded.remove(&one("view", name));
            for outcome in OUTCOMES {
                self.lookups.remove(&two("view", name, "outcome", outcome));
            }
            for verdict in VERDICTS {
                self.ingested.remove(&two("view", name, "verdict", verdict));
            }
        }
        let kept = |name: &str, digest| new.transform(name).is_some_and(|t| t.digest == digest);
        for transform in old.transforms.iter().filter(|t| !kept(&t.name, t.digest)) {
            let labels = two("transform", &transform.name, "plugin", &short(&transform.digest));
            self.transforms.remove(&labels);
            self.rows_failed.remove(&labels);
            for reason in REASONS {
                self.breaks.remove(&broke_by(&labels, reason));
            }
        }
    }

    /// Everything as OpenMetrics text.
    pub(crate) fn text(&self, store: Option<&skewless_store::StoreInfo>) -> String {
        if let Some(info) = store {
            self.store_sequence.set(info.sequence);
            self.store_background_errors.set(info.background_errors);
            for (outcome, count) in [("hit", info.hot.hits), ("miss", info.hot.misses)] {
                let labels = vec![("outcome", outcome.to_owned())];
                self.hot_lookups.get_or_create(&labels).inner().store(count, Ordering::Relaxed);
            }
            self.hot_evictions.inner().store(info.hot.evictions, Ordering::Relaxed);
            self.hot_bytes.set(info.hot.bytes);
            let full = info.fault.as_ref().map(|fault| fault.full);
            for (reason, refused) in [
                ("disk_full", full == Some(true)),
                ("disk_failed", full == Some(false)),
                ("panic", info.poisoned.is_some()),
            ] {
                let labels = vec![("reason", reason.to_owned())];
                self.store_writes_refused.get_or_create(&labels).set(u64::from(refused));
            }
            for view in &info.views {
                let labels = vec![("view", view.view.clone())];
                self.view_rows.get_or_create(&labels).set(view.rows_estimate);
                self.view_bytes.get_or_create(&labels).set(view.bytes);
                self.view_loaded.get_or_create(&labels).set(u64::from(view.loaded));
            }
        }
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => "# EOF\n".to_owned(),
        }
    }
}

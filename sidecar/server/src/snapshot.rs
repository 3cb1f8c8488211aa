//! What is served at one moment: definitions, plans bound to plugins and to stored rows; immutable. A reload
//! builds another one and swaps it in; requests end on the one they began with.
//!
//! Limits: `limits.ad_hoc_plans_max` plans of ad hoc lists are kept a snapshot.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skewless_catalog::{Catalog, Digest, Frame, Plan};
use skewless_engine::{CompileCache, Engine, Plugin, PluginError, Program, Worker};
use skewless_store::{ReadScratch, SchemaChange, Store, StoreError, StorePlan, ViewSet};

use crate::breaks::Breaks;
use crate::cost::Cost;
use crate::encode::{Layout, Sizes};
use crate::metrics::{Metrics, ServiceMetrics};
use crate::pool::Pool;
use crate::repo::feast_names::FeastNames;
use crate::repo::{self, Repo};
use crate::status::ServeError;
use crate::warm::{self, Room};

/// What is served at one moment.
pub(crate) struct Snapshot {
    /// Counts the snapshots of this process, from 1.
    pub(crate) number: u64,
    /// The definitions.
    pub(crate) catalog: Arc<Catalog>,
    /// Feast's names, of definitions that were imported.
    pub(crate) feast: Arc<FeastNames>,
    /// The views bound to their rows.
    pub(crate) views: ViewSet,
    /// The loaded plugins.
    pub(crate) plugins: BTreeMap<Digest, Plugin>,
    /// When it was built, microseconds UTC.
    pub(crate) loaded_us: i64,
    /// Of the catalog's services, in their order.
    services: Vec<Arc<Served>>,
    ad_hoc: Mutex<AdHoc>,
    ad_hoc_max: usize,
    threads: usize,
    pub(crate) workers: Pool<Scratch>,
    /// What the log has told of the plugins' breaks.
    pub(crate) breaks: Breaks,
}

/// One plan, bound to everything it needs.
pub(crate) struct Served {
    pub(crate) program: Program,
    pub(crate) store: StorePlan,
    pub(crate) layout: Layout,
    pub(crate) metrics: ServiceMetrics,
    pub(crate) frames: Pool<Frame>,
    pub(crate) cost: Cost,
}

/// What one thread needs while it works on one request, whatever the plan.
pub(crate) struct Scratch {
    pub(crate) worker: Worker,
    pub(crate) read: ReadScratch,
    /// Time of each lookup of the last read, over all its attempts.
    pub(crate) lookups: Vec<Duration>,
    pub(crate) sizes: Sizes,
}

/// Plans of ad hoc lists by their features, with the time of their last use as a count.
#[derive(Default)]
struct AdHoc {
    plans: HashMap<Vec<String>, (Arc<Served>, u64)>,
    uses: u64,
}

/// Why a snapshot couldn't be built.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The definitions declare nothing to be served, or no service any more: more likely a file was emptied or forgotten
    /// than that it is meant.
    #[error(
        "expected at least one feature service in the definitions in {dir}, came none; declare one there, such as `services: [{{name: my_model, features: [{feature}]}}]`"
    )]
    NoService {
        /// The folder of the definitions.
        dir: PathBuf,
        /// What a service may ask for, as an example.
        feature: String,
    },
    /// The definitions declare no transform, where transforms are all that is asked for.
    #[error(
        "expected at least one transform in the definitions in {dir}, came none; a transform is what Feast calls an on-demand feature view"
    )]
    NoTransform {
        /// The folder of the definitions.
        dir: PathBuf,
    },
    /// A plugin isn't loadable.
    #[error("transform `{transform}` ({plugin}): {error}")]
    Plugin {
        /// The first transform that runs it.
        transform: String,
        /// The plugin as the definition names it.
        plugin: String,
        /// Why.
        error: PluginError,
    },
    /// A plugin can't even be made ready.
    #[error("transform `{transform}` ({plugin}): its plugin can't be started: {error}")]
    WarmUp {
        /// The transform.
        transform: String,
        /// The plugin as the definition names it.
        plugin: String,
        /// Why.
        error: String,
    },
    /// A plan doesn't fit its plugins or the store.
    #[error("service `{service}`: {error}")]
    Service {
        /// The service.
        service: String,
        /// Why.
        error: String,
    },
    /// The store can't hold the views.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a snapshot is built with.
pub(crate) struct Parts<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) cache: Option<&'a dyn CompileCache>,
    pub(crate) metrics: &'a Metrics,
    pub(crate) ad_hoc_max: usize,
    /// Threads that answer calls: as many workers are made ready.
    pub(crate) threads: usize,
}

/// Everything of a snapshot that doesn't touch the store: plugins compiled and started once, plans bound to them.
pub(crate) struct Prepared {
    catalog: Arc<Catalog>,
    feast: Arc<FeastNames>,
    plugins: BTreeMap<Digest, Plugin>,
    /// Of the catalog's services, in their order.
    programs: Vec<Program>,
    workers: Vec<Worker>,
}

/// Of that, what computes without a store.
pub(crate) struct Computing {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) feast: Arc<FeastNames>,
    pub(crate) plugins: BTreeMap<Digest, Plugin>,
    pub(crate) workers: Vec<Worker>,
}

/// Compiles and starts every plugin and binds every plan to them. Changes nothing that is being served.
pub(crate) fn prepare(
    repo: &Repo,
    parts: &Parts<'_>,
    room: Room,
) -> Result<Prepared, SnapshotError> {
    let Catalog { services, views, transforms, .. } = &*repo.catalog;
    // Views can be ingested into, and lists of features asked for, without a service.
    if services.is_empty() && views.is_empty() && transforms.is_empty() {
        return Err(no_service(repo));
    }
    let mut plugins = BTreeMap::new();
    for (digest, bytes) in &repo.plugins {
        let plugin = parts.engine.load(bytes, parts.cache).map_err(|error| {
            let (transform, plugin) = name_of(&repo.catalog, digest);
            SnapshotError::Plugin { transform, plugin, error }
        })?;
        plugins.insert(*digest, plugin);
    }
    let services = repo.catalog.services.iter();
    let programs = services.map(|service| {
        program(&service.plan, &plugins).map_err(|error| refused(&service.name, &error))
    });
    let programs = programs.collect::<Result<_, _>>()?;
    let workers = warm::workers(&repo.catalog, &plugins, parts, room)?;
    let (catalog, feast) = (Arc::clone(&repo.catalog), Arc::clone(&repo.feast));
    Ok(Prepared { catalog, feast, plugins, programs, workers })
}

/// Refuses definitions that have no service.
pub(crate) fn no_service(repo: &Repo) -> SnapshotError {
    SnapshotError::NoService { dir: repo::named(&repo.dir), feature: any_feature(&repo.catalog) }
}

pub(crate) fn program(
    plan: &Arc<Plan>,
    plugins: &BTreeMap<Digest, Plugin>,
) -> Result<Program, ServeError> {
    let program = Program::bind(plan, &|digest| plugins.get(digest).cloned());
    program.map_err(|error| ServeError::Bind(error.to_string()))
}

fn refused(service: &str, error: &ServeError) -> SnapshotError {
    SnapshotError::Service { service: service.to_owned(), error: error.to_string() }
}

/// A feature that the definitions have; of none, what one looks like.
fn any_feature(catalog: &Catalog) -> String {
    let stored = catalog.views.iter().find_map(|view| Some((&view.name, view.features.first()?)));
    let computed = || {
        let mut transforms = catalog.transforms.iter();
        transforms
            .find_map(|transform| Some((&transform.name, transform.signature.outputs.first()?)))
    };
    match stored.or_else(computed) {
        Some((of, feature)) => format!("{of}.{}", feature.name),
        None => "VIEW.FEATURE".to_owned(),
    }
}

fn name_of(catalog: &Catalog, digest: &Digest) -> (String, String) {
    let found = catalog.transforms.iter().find(|transform| transform.digest == *digest);
    found.map_or_else(Default::default, |transform| {
        (transform.name.clone(), transform.plugin.clone())
    })
}

/// What people must know of views whose stored rows were dropped, a line each.
pub(crate) fn emptied(views: &ViewSet) -> impl Iterator<Item = String> {
    views.changes().iter().filter_map(|change| match change {
        SchemaChange::Emptied { view, reason } => {
            Some(format!("view {view}: its stored rows no longer fit and were dropped: {reason}"))
        }
        _ => None,
    })
}

/// Says which views hold nothing: what is asked of them is NOT_FOUND, which looks like an answer.
fn without_rows(store: &Store, views: &ViewSet) -> Result<(), StoreError> {
    for view in views.views() {
        if !store.has_rows(view)? {
            let name = view.name();
            tracing::warn!(
                "view {name} holds no rows: every feature of it is NOT_FOUND until `skewless load` or Ingest brings some"
            );
        }
    }
    Ok(())
}

impl Prepared {
    /// What computes without a store: definitions, Feast's names of them, plugins, and workers in which each was started.
    pub(crate) fn into_computing(self) -> Computing {
        let Self { catalog, feast, plugins, workers, .. } = self;
        Computing { catalog, feast, plugins, workers }
    }

    /// Binds it to the store. All that can fail for the definitions' sake was tried before.
    pub(crate) fn bind(
        self,
        store: &Store,
        parts: &Parts<'_>,
        number: u64,
        loaded_us: i64,
    ) -> Result<Snapshot, SnapshotError> {
        let views = store.set_views(&self.catalog)?;
        for line in emptied(&views) {
            tracing::warn!("{line}");
        }
        without_rows(store, &views)?;
        let mut services = Vec::with_capacity(self.programs.len());
        for (service, program) in self.catalog.services.iter().zip(self.programs) {
            let served = Served::bind(program, &views, parts.metrics, parts.threads)
                .map_err(|error| refused(&service.name, &error))?;
            services.push(Arc::new(served));
        }
        let workers = Pool::new(parts.threads.max(1));
        for worker in self.workers {
            workers.give_back(Scratch {
                worker,
                read: ReadScratch::default(),
                lookups: Vec::new(),
                sizes: Sizes::default(),
            });
        }
        Ok(Snapshot {
            number,
            catalog: self.catalog,
            feast: self.feast,
            views,
            plugins: self.plugins,
            loaded_us,
            services,
            ad_hoc: Mutex::default(),
            ad_hoc_max: parts.ad_hoc_max,
            threads: parts.threads,
            workers,
            breaks: Breaks::default(),
        })
    }
}

impl Served {
    fn bind(
        program: Program,
        views: &ViewSet,
        metrics: &Metrics,
        threads: usize,
    ) -> Result<Self, ServeError> {
        let plan = program.plan();
        Ok(Self {
            store: views.bind(plan)?,
            layout: Layout::new(plan),
            metrics: metrics.of_plan(plan),
            frames: Pool::new(threads.max(1)),
            cost: Cost::unknown(),
            program,
        })
    }

    pub(crate) fn plan(&self) -> &Arc<Plan> {
        self.program.plan()
    }
}

impl Snapshot {
    /// The plan of a declared service.
    pub(crate) fn service(&self, name: &str) -> Result<Arc<Served>, ServeError> {
        Ok(Arc::clone(&self.services[self.catalog.find_service(name)?]))
    }

    /// The plan of an ad hoc list; compiled once and kept.
    pub(crate) fn ad_hoc(
        &self,
        features: &[String],
        metrics: &Metrics,
    ) -> Result<Arc<Served>, ServeError> {
        if let Some(served) = self.ad_hoc_plans().find(features) {
            return Ok(served);
        }
        let names: Vec<&str> = features.iter().map(String::as_str).collect();
        let plan = self.catalog.plan_of(&names)?;
        let program = program(&plan, &self.plugins)?;
        let served = Arc::new(Served::bind(program, &self.views, metrics, self.threads)?);
        metrics.ad_hoc_plans.inc();
        self.ad_hoc_plans().keep(features, Arc::clone(&served), self.ad_hoc_max);
        Ok(served)
    }

    fn ad_hoc_plans(&self) -> std::sync::MutexGuard<'_, AdHoc> {
        self.ad_hoc.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AdHoc {
    fn find(&mut self, features: &[String]) -> Option<Arc<Served>> {
        self.uses += 1;
        let (served, used) = self.plans.get_mut(features)?;
        *used = self.uses;
        Some(Arc::clone(served))
    }

    fn keep(&mut self, features: &[String], served: Arc<Served>, kept_max: usize) {
        if self.plans.len() >= kept_max {
            let oldest =
                self.plans.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.plans.remove(&oldest);
            }
        }
        self.plans.insert(features.to_vec(), (served, self.uses));
    }
}

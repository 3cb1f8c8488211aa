//! What is computed by at one moment: definitions, and a plan for each transform; immutable, replaced by a reload.

use std::path::Path;
use std::sync::Arc;

use skewless_catalog::{Catalog, Frame};
use skewless_engine::{Program, Worker};

use crate::breaks::Breaks;
use crate::metrics::{Metrics, ServiceMetrics};
use crate::pool::Pool;
use crate::repo;
use crate::repo::feast_names::FeastNames;
use crate::snapshot::{Computing, Prepared, SnapshotError, program};
use crate::status::ServeError;

/// What is computed by at one moment.
pub(super) struct Snapshot {
    pub(super) catalog: Arc<Catalog>,
    pub(super) feast: Arc<FeastNames>,
    /// Of the catalog's transforms, in their order.
    computed: Vec<Arc<Computed>>,
    pub(super) workers: Pool<Worker>,
    pub(super) breaks: Breaks,
}

/// One transform with what it needs, bound to plugins.
pub(super) struct Computed {
    pub(super) program: Program,
    pub(super) metrics: ServiceMetrics,
    pub(super) frames: Pool<Frame>,
}

impl Snapshot {
    pub(super) fn new(
        prepared: Prepared,
        dir: &Path,
        metrics: &Metrics,
        threads: usize,
    ) -> Result<Self, SnapshotError> {
        let Computing { catalog, feast, plugins, workers: started } = prepared.into_computing();
        if catalog.transforms.is_empty() {
            return Err(SnapshotError::NoTransform { dir: repo::named(dir) });
        }
        let computed = catalog.transforms.iter().map(|transform| {
            let refused = |error: String| SnapshotError::Service {
                service: transform.name.clone(),
                error,
            };
            let outputs = transform.signature.outputs.iter();
            let outputs: Vec<_> =
                outputs.map(|field| format!("{}.{}", transform.name, field.name)).collect();
            // Feast's servers take a column's name apart at the first two or at all of them.
            if let Some(name) = outputs.iter().find(|name| name.contains("__")) {
                tracing::warn!(
                    "{name} has two underscores in its name: Feast's Go and Java servers take it apart there, and don't find it"
                );
            }
            let outputs: Vec<_> = outputs.iter().map(String::as_str).collect();
            let plan = catalog.plan_of(&outputs).map_err(|error| refused(error.to_string()))?;
            let program = program(&plan, &plugins).map_err(|error| refused(error.to_string()))?;
            let metrics = metrics.of_plan(&plan);
            Ok(Arc::new(Computed { program, metrics, frames: Pool::new(threads) }))
        });
        let computed = computed.collect::<Result<_, SnapshotError>>()?;
        let workers = Pool::new(threads);
        for worker in started {
            workers.give_back(worker);
        }
        Ok(Self { catalog, feast, computed, workers, breaks: Breaks::default() })
    }

    /// What computes a view of this name; an error names the nearest.
    pub(super) fn find(&self, view: &str) -> Result<Arc<Computed>, ServeError> {
        self.catalog.find_transform(view)?;
        let transforms = &self.catalog.transforms;
        let at = transforms.partition_point(|transform| transform.name.as_str() < view);
        Ok(Arc::clone(&self.computed[at]))
    }
}

//! Builds a plan from a checked catalog: slots, lookups, steps in topological order.

use crate::catalog::Catalog;
use crate::plan::{Plan, PlanError};

pub(crate) fn ad_hoc(_catalog: &Catalog, features: &[&str]) -> Result<Plan, PlanError> {
    if features.is_empty() {
        return Err(PlanError::NoFeatures);
    }
    Ok(Plan::default())
}

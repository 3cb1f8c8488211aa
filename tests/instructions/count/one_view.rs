//! A store's view with one int64 key, and the plan that reads all of it: what a read costs is measured on. Also part of
//! the benches, which measure the same in time.

use std::path::Path;

use anyhow::Result;
use skewless_batch::Type;
use skewless_catalog::visibility::Rule;
use skewless_catalog::{KeyColumn, Lookup, Plan, Slot, ViewId};
use skewless_store::ViewSchema;

/// Its name.
pub(crate) const VIEW: &str = "profile";

/// So many features of float64.
pub(crate) fn schema(width: usize) -> ViewSchema {
    let features = (0..width).map(|at| (format!("f{at}"), Type::Float64)).collect();
    let (name, entity) = (VIEW.to_owned(), "user".to_owned());
    let keys = vec![("user_id".to_owned(), Type::Int64)];
    ViewSchema { name, entity, keys, features, rule: Rule::default() }
}

/// All features of the view, in their order.
pub(crate) fn plan(width: usize) -> Plan {
    Plan {
        keys: vec![KeyColumn { name: "user_id".to_owned(), ty: Type::Int64 }],
        slots: schema(width).features.into_iter().map(|(name, ty)| Slot { name, ty }).collect(),
        lookups: vec![Lookup {
            view: ViewId(0),
            view_name: VIEW.to_owned(),
            role: None,
            keys: vec![0],
            features: (0..width).map(|at| (at, at)).collect(),
        }],
        ..Plan::default()
    }
}

/// Copies a folder: of a store that is closed, the store.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

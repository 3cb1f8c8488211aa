//! `skewless check`: every mistake of a feature repo at once, or what it declares.

use std::path::PathBuf;

use skewless_offline::OfflineError;

use crate::exit::Outcome;
use crate::output::{complain, say};
use crate::repo::Repo;
use crate::settings::Settings;
use crate::show;

/// Check the definitions of a feature repo
///
/// Reads every .yaml and .yml file and the signatures of the plugins they name, runs nothing, and shows every mistake
/// at once with its line. Ends with exit code 3 if there is one. A view whose source matches no file is only a warning:
/// its history may come later; and so is a plugin that is older than its source. Limits are those of the sidecar's
/// configuration.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  skewless check my-features")]
pub(crate) struct Args {
    /// Folder of the feature repo [default: the configuration's repo_dir, which is . when it says nothing]
    #[arg(value_name = "REPO", conflicts_with = "repo")]
    folder: Option<PathBuf>,
    /// The same as REPO
    #[arg(long)]
    repo: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Print the JSON Schema of definition files, for editors, and check nothing
    #[arg(long)]
    schema: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.schema {
        return say!("{:#}", skewless_catalog::schema());
    }
    let folder = args.folder.as_deref().or(args.repo.as_deref());
    let (repo, _) = Repo::open_with(&args.settings, folder, [])?;
    let catalog = &repo.catalog;
    missing_sources(&repo);
    let count = |of: usize, one: &str, many: &str| show::count(of as u64, one, many);
    say!(
        "{}, {}, {}, {}: no mistakes",
        count(catalog.entities.len(), "entity", "entities"),
        count(catalog.views.len(), "view", "views"),
        count(catalog.transforms.len(), "transform", "transforms"),
        count(catalog.services.len(), "service", "services")
    )?;
    for service in &catalog.services {
        let names =
            |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let keys = names(service.plan.keys.iter().map(|key| key.name.as_str()).collect());
        let request =
            names(service.plan.request.iter().map(|column| column.name.as_str()).collect());
        let features = count(service.features.len(), "feature", "features");
        say!("service {}: {features}; keys: {keys}; request values: {request}", service.name)?;
        say!("  fingerprint {}, as of its answers and backfills", service.plan.fingerprint)?;
    }
    say!("fingerprint of all definitions {}, as in the sidecar's log", catalog.fingerprint)
}

/// Warns of sources that match no file: the definitions can be served all the same.
fn missing_sources(repo: &Repo) {
    for view in &repo.catalog.views {
        for path in view.source.iter().flat_map(|source| &source.paths) {
            let found = skewless_offline::expand(&repo.root, std::slice::from_ref(path));
            if matches!(found, Err(OfflineError::NoFiles { .. })) {
                complain!(
                    "warning: view {}: no file matches its source {path}; `load` and `backfill` will need one",
                    view.name
                );
            }
        }
    }
}

//! `skewless check`: every mistake of a feature repo at once, or what it declares.

use std::path::PathBuf;

use crate::exit::Outcome;
use crate::repo::Repo;
use crate::settings::Settings;

/// Check the definitions of a feature repo
///
/// Reads every .yaml file and the signatures of the plugins they name, runs nothing, and shows every mistake at
/// once with its line. Ends with exit code 3 if there is one. Limits are those of the sidecar's configuration.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  skewless check my-features")]
pub(crate) struct Args {
    /// Folder of the feature repo [default: the configuration's repo_dir, which is . when it says nothing]
    repo: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Print the JSON Schema of definition files, for editors, and check nothing
    #[arg(long)]
    schema: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.schema {
        println!("{:#}", skewless_catalog::schema());
        return Ok(());
    }
    let (repo, _) = Repo::open_with(&args.settings, args.repo.as_deref(), [])?;
    let catalog = &repo.catalog;
    println!(
        "{} entities, {} views, {} transforms, {} services: no mistakes",
        catalog.entities.len(),
        catalog.views.len(),
        catalog.transforms.len(),
        catalog.services.len()
    );
    for service in &catalog.services {
        let names =
            |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let keys = names(service.plan.keys.iter().map(|key| key.name.as_str()).collect());
        let request =
            names(service.plan.request.iter().map(|column| column.name.as_str()).collect());
        let features = service.features.len();
        println!(
            "service {}: {features} features; keys: {keys}; request values: {request}",
            service.name
        );
    }
    println!("fingerprint {}", catalog.fingerprint);
    Ok(())
}

//! Makes the demo's feature repo: definitions and data copied from the source tree, plugins built into it.
//! After that it is a feature repo like any other.

use std::path::{Path, PathBuf};

use anyhow::Context;
use skewless_build::Lane;

use crate::exit::{Failure, Outcome};

/// The demo's definitions and data in the source tree.
const FLIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/flights");
/// The reference plugins in the source tree, a crate each.
const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins");

/// The spine of a flights repo.
pub(crate) fn spine(repo: &Path) -> PathBuf {
    repo.join("data/flights.parquet")
}

/// Makes the feature repo `to`, or brings it up to date.
pub(crate) fn repo(from: Option<&Path>, to: &Path) -> Outcome {
    let from = from.unwrap_or(Path::new(FLIGHTS));
    if !from.join("data").is_dir() {
        let message = format!("no demo data in {}", from.display());
        return Err(Failure::new(
            message,
            "give the folder sidecar/cli/demo/flights of a Skewless source tree with --from",
        ));
    }
    copy(from, to, "yaml")?;
    copy(&from.join("data"), &to.join("data"), "parquet")?;
    for name in plugins(to)? {
        crate::plugin::build_into(
            &Path::new(PLUGINS).join(&name),
            &to.join("plugins"),
            Lane::Core,
        )?;
    }
    Ok(())
}

/// Copies the files that end so; those that are the same already stay.
fn copy(from: &Path, to: &Path, end: &str) -> Outcome {
    std::fs::create_dir_all(to).with_context(|| format!("can't make {}", to.display()))?;
    for entry in from.read_dir().with_context(|| format!("can't read {}", from.display()))? {
        let path = entry?.path();
        let (Some(name), true) = (path.file_name(), path.extension().is_some_and(|e| e == end))
        else {
            continue;
        };
        let target = to.join(name);
        let content =
            std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
        if std::fs::read(&target).is_ok_and(|there| there == content) {
            continue;
        }
        // Whole or not at all: the demo may be interrupted.
        let partial = target.with_extension("partial");
        std::fs::write(&partial, content)
            .with_context(|| format!("can't write {}", partial.display()))?;
        std::fs::rename(&partial, &target)?;
    }
    Ok(())
}

/// The names of the plugins that the definitions name, each once.
fn plugins(repo: &Path) -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    for file in
        skewless_server::repo::definitions(repo, skewless_server::repo::RepoLimits::default())?
    {
        let named =
            file.text.lines().filter_map(|line| line.trim().strip_prefix("plugin: plugins/"));
        names.extend(named.filter_map(|path| path.strip_suffix(".wasm")).map(str::to_owned));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

//! `skewless feast import`: the definitions of a Feast registry as a feature repo of ours. Reads one file and runs nothing of
//! Feast's.
//!
//! The definitions are checked before anything is written, and the folder appears whole or not at all: it is made beside its
//! place and renamed into it.

mod definitions;
mod feature_store;
mod identifier;
mod registry;
mod stub;
mod text;
mod translate;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use skewless_batch::abi::ABI_VERSION;
use skewless_batch::signature::{Field, Signature};
use skewless_catalog::{Certified, Digest, PluginInfo, Plugins, SourceFile};

use self::definitions::{Column, Definitions, Transform};
use self::registry::Found;
use self::translate::{Findings, Translated};
use crate::exit::{Failure, Next, Outcome};
use crate::feast::names_file;
use crate::output::say;
use crate::{init, report, show};

/// Make a feature repo of a Feast repo
///
/// Reads the registry (the file that `feast apply` writes) and writes entities, views, sources, values of requests and
/// services as definitions of Skewless. On-demand feature views become transforms whose plugins are still to be written:
/// each has a crate with its signature under plugins/. What couldn't be carried over, names that aren't valid here, and
/// what means something a little different is listed, and kept in IMPORTED.md.
///
/// Nothing of Feast is run, and nothing is written before the definitions have passed Skewless's own check. Registries that
/// aren't a local file (SQL, object stores, remote) are refused with how to get a file.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  skewless feast import feature_repo --out features\n  \
                  skewless feast import feature_repo/data/registry.db --project shop --out features")]
pub(crate) struct Args {
    /// Folder of a Feast repo (with feature_store.yaml), or the file of a registry
    #[arg(value_name = "REPO_OR_REGISTRY")]
    from: PathBuf,
    /// Folder to make; it must not exist or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Feast project, if the registry has several [default: that of feature_store.yaml, else the only one]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Folder of the plugin SDK's crate, for the plugins' Cargo.toml
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

/// What stands beside the definitions about how they came to be.
const IMPORTED: &str = "IMPORTED.md";
const DEFINITIONS: &str = "features.yaml";

pub(crate) fn run(args: &Args) -> Outcome {
    init::check_new(&args.out)?;
    let found = registry::find(&args.from)?;
    let project = registry::project(&found, args.project.as_deref())?;
    let root = found.repo.as_deref().map(std::path::absolute).transpose()?;
    let translated = translate::translate(&found.registry, &project, root.as_deref());
    if translated.definitions.views.is_empty() && translated.definitions.transforms.is_empty() {
        tell(&translated.findings)?;
        let message = format!("nothing of project `{project}` could be carried over");
        return Err(Failure::new(
            message,
            "see above why, and whether it is the project that was meant (--project)",
        ));
    }
    let head = format!(
        "Imported from the Feast project `{}` by `skewless feast import`; {IMPORTED} says what differs.",
        project.escape_debug()
    );
    let yaml = text::yaml(&translated.definitions, &head);
    check(&translated.definitions, &yaml)?;
    let files = files(args, &found, &translated, yaml)?;
    write(&args.out, &files)?;
    tell(&translated.findings)?;
    said(&args.out, &found, &translated)
}

/// Refuses definitions that the catalog would refuse once the plugins are built.
fn check(definitions: &Definitions, yaml: &str) -> Outcome {
    let files = [SourceFile { path: DEFINITIONS.to_owned(), text: yaml.to_owned() }];
    let stubs = Stubs(definitions.transforms.iter().map(|one| (one.plugin(), info(one))).collect());
    match skewless_catalog::check(&files, &stubs) {
        Ok(_) => Ok(()),
        Err(mistakes) => {
            report::print(&mistakes, &files, Path::new("."));
            let message = "the definitions that were made of the registry have the mistakes above; nothing was written";
            Err(Failure::new(
                message,
                "this is a bug in Skewless: please report it with the lines above",
            ))
        }
    }
}

/// The plugins as they will be.
struct Stubs(BTreeMap<String, PluginInfo>);

impl Plugins for Stubs {
    fn lookup(&self, plugin: &str) -> Result<PluginInfo, String> {
        self.0.get(plugin).cloned().ok_or_else(|| "it is none of the imported ones".to_owned())
    }
}

fn info(transform: &Transform) -> PluginInfo {
    let field = |column: &Column| Field::new(column.name.as_str(), column.ty, true);
    let signature = Signature {
        abi: ABI_VERSION,
        name: transform.name.clone(),
        inputs: transform.inputs.iter().map(|input| field(&input.column)).collect(),
        outputs: transform.outputs.iter().map(field).collect(),
        ..Signature::default()
    };
    PluginInfo {
        digest: Digest::of(transform.name.as_bytes()),
        signature,
        certified: Certified::No,
    }
}

/// Everything that is written, by its path in the folder.
fn files(
    args: &Args,
    found: &Found,
    translated: &Translated,
    yaml: String,
) -> Outcome<Vec<(String, String)>> {
    let names = serde_json::to_string_pretty(&translated.names)?;
    let mut files = vec![
        (DEFINITIONS.to_owned(), yaml),
        (names_file::FILE.to_owned(), format!("{names}\n")),
        (IMPORTED.to_owned(), imported(found, translated)),
        (".gitignore".to_owned(), init::GITIGNORE.to_owned()),
    ];
    if !translated.definitions.transforms.is_empty() {
        let sdk = init::sdk(args.sdk.as_deref())?;
        files.extend(
            translated.definitions.transforms.iter().flat_map(|one| stub::files(one, &sdk)),
        );
    }
    Ok(files)
}

fn imported(found: &Found, translated: &Translated) -> String {
    let mut text = format!(
        "# Imported from Feast\n\nProject `{}`, of {}. {DEFINITIONS} has the definitions, {} Feast's names for them, by which \
         `skewless feast copy` finds their rows.\n",
        translated.names.project,
        found.path.display(),
        names_file::FILE,
    );
    for (title, lines) in titled(&translated.findings) {
        text.push_str(&format!("\n## {title}\n\n"));
        lines.iter().for_each(|line| text.push_str(&format!("- {line}\n")));
    }
    text
}

fn titled(findings: &Findings) -> Vec<(&'static str, &[String])> {
    let Findings { renamed, left_out, different } = findings;
    let all = [
        ("Renamed: these names aren't valid here, or were taken", renamed.as_slice()),
        ("Left out", left_out.as_slice()),
        ("Different", different.as_slice()),
    ];
    all.into_iter().filter(|(_, lines)| !lines.is_empty()).collect()
}

fn tell(findings: &Findings) -> Outcome {
    for (title, lines) in titled(findings) {
        say!("{title}:")?;
        lines.iter().try_for_each(|line| say!("  {line}"))?;
    }
    Ok(())
}

/// Writes the folder whole, or leaves no trace.
fn write(out: &Path, files: &[(String, String)]) -> Outcome {
    let shown = out.display();
    let next = || "give a folder where you may write, on a disk with room";
    let whole = std::path::absolute(out)?;
    let parent = whole.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)
        .with_context(|| format!("can't make {}", parent.display()))
        .or_next(next)?;
    let beside = tempfile::Builder::new().prefix(".skewless-import-").tempdir_in(parent);
    let beside = beside
        .with_context(|| format!("can't make a folder in {}", parent.display()))
        .or_next(next)?;
    // What `tempfile` makes is its maker's alone; the folder in it is as `mkdir` makes them.
    let made = beside.path().join("made");
    for (path, text) in files {
        let file = made.join(path);
        let written = std::fs::create_dir_all(file.parent().unwrap_or(&made))
            .and_then(|()| std::fs::write(&file, text));
        written.with_context(|| format!("can't write {path} for {shown}")).or_next(next)?;
    }
    match std::fs::rename(&made, &whole) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            let message = format!("{shown} is not empty any more");
            Err(Failure::new(message, "give a folder that doesn't exist yet"))
        }
        Err(error) => Err(error).with_context(|| format!("can't make {shown}")).or_next(next),
    }
}

fn said(out: &Path, found: &Found, translated: &Translated) -> Outcome {
    let Definitions { entities, views, requests, transforms, services } = &translated.definitions;
    let count = |of: usize, one: &str, many: &str| show::count(of as u64, one, many);
    let shown = out.display();
    say!(
        "made {shown} of project {}: {}, {}, {}, {}, {}; next:\n",
        translated.names.project,
        count(entities.len(), "entity", "entities"),
        count(views.len(), "view", "views"),
        count(requests.len(), "request value", "request values"),
        count(transforms.len(), "transform", "transforms"),
        count(services.len(), "service", "services"),
    )?;
    say!("  cd {shown}")?;
    for transform in transforms {
        say!("  skewless plugin build plugins/{}", transform.name)?;
    }
    say!("  skewless check")?;
    if views.iter().any(|view| view.source.is_some()) {
        say!("  skewless load")?;
    }
    if views.is_empty() {
        return Ok(());
    }
    match &found.store {
        Some(store) if store.online_store == "sqlite" && !store.online_path.is_empty() => {
            let path = found.repo.as_deref().unwrap_or(Path::new("")).join(&store.online_path);
            let path = std::path::absolute(path)?;
            say!(
                "\nand for the rows that Feast serves now (add `--at ADDRESS` if {shown} is served already):\n\n  \
                 skewless feast copy --from sqlite://{}",
                path.display()
            )
        }
        _ => say!("\nand for the rows that Feast serves now: skewless feast copy --help"),
    }
}

//! `skewless plugin build`: a plugin's source to one `.wasm` file; how that is done is `skewless-build`'s.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use skewless_build::{
    BuildError, BuildRequest, Built, Lane, Language, Native, build, default_target_dir,
};
use skewless_engine::signature;

use crate::exit::{Failure, Outcome};
use crate::output::say;
use crate::show;

/// Build a plugin into one .wasm file
///
/// Reproducible: the same source and toolchain give the same bytes, and so the same digest; in Python and JavaScript, whose
/// builds differ, a file that was built of the same source is kept. The file is named after the crate (in other languages after
/// the folder) and put beside its folder, where definitions look for it: plugins/basket becomes
/// plugins/basket.wasm.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  skewless plugin build plugins/basket")]
pub(crate) struct Args {
    /// Folder of the plugin's source: a crate, or one with src/plugin.c, src/plugin.zig, plugin.py
    /// or plugin.js
    #[arg(value_name = "FOLDER", default_value = ".")]
    crate_dir: PathBuf,
    /// Folder to put the .wasm file into; the one above the crate's when not given
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
    /// Build a component instead of a core module: slower, for hosts that take nothing else
    #[arg(long)]
    component: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let crate_dir = std::path::absolute(&args.crate_dir)?;
    let above = || crate_dir.parent().unwrap_or(&crate_dir).to_owned();
    let out_dir = args.out_dir.clone().unwrap_or_else(above);
    let lane = if args.component { Lane::Component } else { Lane::Core };
    let built = into(&crate_dir, &out_dir, lane)?;
    say!("{} ({} bytes)", built.path.display(), show::thousands(built.bytes as u64))?;
    say!("sha256:{}", built.digest_hex())
}

/// Builds a crate into `out_dir`, with cargo's last line as progress.
pub(crate) fn into(crate_dir: &Path, out_dir: &Path, lane: Lane) -> Outcome<Built> {
    let request = BuildRequest {
        crate_dir: crate_dir.to_owned(),
        lane,
        out_dir: out_dir.to_owned(),
        target_dir: target_dir(crate_dir),
        signature: readable,
    };
    told(crate_dir, |progress| build(&request, progress))
}

/// What every command would say of a file with this signature, and the sidecar.
fn readable(json: &[u8]) -> Result<(), String> {
    signature::check(json).map_err(|error| error.to_string())
}

/// Builds a crate as a program of this machine that measures itself.
pub(super) fn native(crate_dir: &Path) -> Outcome<Native> {
    let crate_dir = std::path::absolute(crate_dir)?;
    told(&crate_dir, |progress| Native::build(&crate_dir, &target_dir(&crate_dir), progress))
}

/// Cargo's folder for builds of plugins.
fn target_dir(crate_dir: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    default_target_dir(&target.map_or_else(|| crate_dir.join("target"), PathBuf::from))
}

/// Runs a build with its last line as progress, and says what to do if it fails.
fn told<T>(
    crate_dir: &Path,
    build: impl FnOnce(&mut dyn FnMut(&str)) -> Result<T, BuildError>,
) -> Outcome<T> {
    let bar = ProgressBar::new_spinner();
    let built = build(&mut |line| bar.set_message(line.trim().to_owned()));
    bar.finish_and_clear();
    built.map_err(|error| {
        let next = next(&error, crate_dir);
        Failure::Failed { error: error.into(), next }
    })
}

/// What to do about a crate that wasn't built; none where the error itself says it.
fn next(error: &BuildError, crate_dir: &Path) -> Option<String> {
    match error {
        BuildError::NoCrate { .. } => Some(crate_instead_of(crate_dir)),
        BuildError::NotOnPath { .. }
        | BuildError::NoToolchain
        | BuildError::NoInterpreter { .. }
        | BuildError::OldNode { .. }
        | BuildError::NoTool { .. }
        | BuildError::NoKit { .. }
        | BuildError::TakenName { .. }
        | BuildError::Sources { .. }
        | BuildError::Languages { .. }
        | BuildError::NoNative { .. }
        | BuildError::Native { .. }
        | BuildError::Tool { .. }
        | BuildError::NoZig
        | BuildError::CoreLaneOnly { .. } => None,
        BuildError::Zig { .. } | BuildError::Module { .. } | BuildError::Declared { .. } => {
            Some(format!("mend the source in {}", crate_dir.display()))
        }
        // Cargo knows nothing of plugins in other languages.
        _ if Language::of(crate_dir).is_some_and(|language| language != Language::Rust) => None,
        _ => Some(format!("try `cargo check` in {}", crate_dir.display())),
    }
}

/// What to build when the folder is no crate: the crates in it, if it is a feature repo or its folder of plugins.
fn crate_instead_of(folder: &Path) -> String {
    let entries =
        [folder.to_owned(), folder.join("plugins")].into_iter().flat_map(std::fs::read_dir);
    let crates = entries.flatten().flatten().map(|entry| entry.path());
    let crates: BTreeSet<PathBuf> = crates.filter(|path| Language::of(path).is_some()).collect();
    match crates.first() {
        Some(first) => {
            let here = std::env::current_dir().unwrap_or_default();
            let first = first.strip_prefix(&here).unwrap_or(first);
            format!("skewless plugin build {}", first.display())
        }
        None => "give the folder of a plugin's crate, such as plugins/basket, which `skewless init` makes"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_refused_in_the_words_of_who_loads_it() {
        let signature = |unit: &str| {
            format!(
                r#"{{"abi":1,"name":"a","inputs":[{{"name":"km","type":"float64","unit":{unit}}}],"outputs":[{{"name":"b","type":"int64"}}]}}"#
            )
        };
        assert_eq!(readable(signature(r#""km""#).as_bytes()), Ok(()));
        for (unit, reason) in
            [("5", "invalid type: integer `5`"), (r#""k\u0007""#, "the unit of input `km`")]
        {
            let said = readable(signature(unit).as_bytes()).expect_err(unit);
            assert!(
                said.starts_with("expected a signature, came") && said.contains(reason),
                "{said}"
            );
        }
        let error = BuildError::Declared { reason: String::new() };
        assert_eq!(next(&error, Path::new("a")).as_deref(), Some("mend the source in a"));
    }

    #[test]
    fn cargo_is_advised_only_where_there_may_be_one() {
        let of = |error| next(&error, Path::new("a"));
        assert_eq!(of(BuildError::NotOnPath { program: "cargo" }), None);
        assert_eq!(of(BuildError::NoToolchain), None);
        let refused = BuildError::Cargo { output: String::new() };
        assert_eq!(of(refused).as_deref(), Some("try `cargo check` in a"));
        let module = BuildError::Module { output: String::new() };
        assert_eq!(of(module).as_deref(), Some("mend the source in a"));
        let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        std::fs::write(dir.path().join("plugin.py"), "").unwrap_or_else(|error| panic!("{error}"));
        let reason = String::new();
        assert_eq!(next(&BuildError::Component { reason }, dir.path()), None);
    }
}

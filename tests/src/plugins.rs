//! The reference plugins and the guest program that echoes: compiled by the project's own builder once for
//! all test processes, and the same crates linked in natively.
//!
//! What is built lies in `wasm/tests/<key>` below cargo's target folder, where the key is a digest of every
//! source that can change a plugin and of the compiler's version. A file lock makes one process build
//! while the others wait; reading what is there takes some milliseconds. Beside them lies the machine code
//! that the engine makes of them, for all sidecars and backfills that the tests start ([`code`]).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, anyhow, ensure};
use skewless_build::{BuildRequest, Lane, build, default_target_dir};
use skewless_catalog::Digest;
use skewless_engine::EngineConfig;

use crate::story::PluginFile;

/// Crates of plugins, relative to the checkout, each with its native form.
pub const CRATES: [(&str, skewless::Plugin); 8] = [
    ("plugins/great_circle", great_circle::PLUGIN),
    ("plugins/calendar", calendar::PLUGIN),
    ("plugins/ratios", ratios::PLUGIN),
    ("plugins/feature_hash", feature_hash::PLUGIN),
    ("plugins/cosine", cosine::PLUGIN),
    ("plugins/wind", wind::PLUGIN),
    ("plugins/age", age::PLUGIN),
    ("tests/programs/echo", echo::PLUGIN),
];

/// What a plugin's bytes depend on besides the compiler: its own crate comes to these.
const SOURCES: [&str; 5] = ["Cargo.lock", "Cargo.toml", "sdk/batch", "sdk/build/src", "sdk/rust"];

/// The checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// All plugins as core modules, in the order of [`CRATES`].
pub fn core_modules() -> Result<&'static [PluginFile]> {
    static BUILT: OnceLock<Result<Vec<PluginFile>, String>> = OnceLock::new();
    built(&BUILT, Lane::Core)
}

/// All plugins as components, in the order of [`CRATES`].
pub fn components() -> Result<&'static [PluginFile]> {
    static BUILT: OnceLock<Result<Vec<PluginFile>, String>> = OnceLock::new();
    built(&BUILT, Lane::Component)
}

/// The native form of a plugin by the name in its signature.
#[must_use]
pub fn native(name: &str) -> Option<skewless::Plugin> {
    CRATES.iter().map(|(_, plugin)| *plugin).find(|plugin| plugin.spec.name == name)
}

/// The folder in which sidecars and backfills of this test program keep the machine code of plugins: compiling them
/// takes longer than most tests. Another build of the program has another one, as its compiler may be changed.
pub fn code() -> Result<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| code_of_this_build().map_err(|error| format!("{error:#}")));
    folder.as_ref().map(PathBuf::as_path).map_err(|error| anyhow!("{error}"))
}

fn code_of_this_build() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let name = program.file_name().and_then(|name| name.to_str()).context("a program's name")?;
    let built = program.metadata()?.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
    let folders = default_target_dir(&target()?).join("tests/code");
    let folder = format!("{name}-{built}");
    fs::create_dir_all(&folders)?;
    for other in
        fs::read_dir(&folders)?.flatten().filter(|other| other.file_name() != folder.as_str())
    {
        // Whoever still uses it compiles anew.
        fs::remove_dir_all(other.path()).ok();
    }
    Ok(folders.join(folder))
}

fn built(
    cell: &'static OnceLock<Result<Vec<PluginFile>, String>>,
    lane: Lane,
) -> Result<&'static [PluginFile]> {
    let files = cell.get_or_init(|| all(lane).map_err(|error| format!("{error:#}")));
    files.as_ref().map(Vec::as_slice).map_err(|error| anyhow!("{error}"))
}

/// Every plugin of a lane: read if it has been built of these sources, else built.
fn all(lane: Lane) -> Result<Vec<PluginFile>> {
    let target_dir = default_target_dir(&target()?);
    let lane_dir = target_dir.join(match lane {
        Lane::Core => "tests/core",
        Lane::Component => "tests/component",
    });
    fs::create_dir_all(&lane_dir)?;
    let lock = fs::File::create(lane_dir.join("lock"))?;
    lock.lock()?;
    let dir = lane_dir.join(key()?);
    if !dir.is_dir() {
        // Whoever reads holds the lock, so what was built of other sources is in nobody's hands.
        for old in fs::read_dir(&lane_dir)?.flatten().filter(|entry| entry.path().is_dir()) {
            fs::remove_dir_all(old.path())?;
        }
        let partial = lane_dir.join("partial");
        for (folder, _) in CRATES {
            compile(folder, lane, &partial, &target_dir)?;
        }
        fs::rename(&partial, &dir)?;
    }
    CRATES.iter().map(|(folder, _)| read(&dir, folder)).collect()
}

fn compile(folder: &str, lane: Lane, out_dir: &Path, target_dir: &Path) -> Result<()> {
    let request = BuildRequest {
        crate_dir: root().join(folder),
        lane,
        out_dir: out_dir.to_path_buf(),
        target_dir: target_dir.to_path_buf(),
        signature: |_| Ok(()),
    };
    build(&request, &mut |_| {}).map(|_| ()).with_context(|| folder.to_owned())
}

fn read(dir: &Path, folder: &str) -> Result<PluginFile> {
    let name = folder.rsplit('/').next().unwrap_or(folder);
    let path = dir.join(format!("{name}.wasm"));
    let wasm = fs::read(&path).with_context(|| path.display().to_string())?;
    let signature = skewless_engine::inspect(&wasm, &EngineConfig::default())?.signature;
    Ok(PluginFile { file: format!("{name}.wasm"), wasm, signature })
}

/// Cargo's target folder, whoever set it: a test binary lies in `<target>/<profile>/deps`.
fn target() -> Result<PathBuf> {
    let binary = std::env::current_exe()?;
    let target = binary.ancestors().find(|dir| dir.file_name().is_some_and(|name| name == "deps"));
    let target = target.and_then(|deps| deps.parent()?.parent());
    Ok(target.context("a test binary in cargo's target folder")?.to_path_buf())
}

/// Digest of all that the plugins are made of.
fn key() -> Result<String> {
    let rustc = Command::new("rustc").arg("-vV").output().context("rustc -vV")?;
    ensure!(rustc.status.success(), "rustc -vV: {}", String::from_utf8_lossy(&rustc.stderr));
    let mut seen = rustc.stdout;
    for source in SOURCES.iter().copied().chain(CRATES.iter().map(|(folder, _)| *folder)) {
        add(&root().join(source), &mut seen)?;
    }
    Ok(Digest::of(&seen).to_string())
}

/// Appends a file, or all manifests and sources of a folder, each with its path and length.
fn add(path: &Path, seen: &mut Vec<u8>) -> Result<()> {
    if path.is_dir() {
        let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
        let mut entries = entries.collect::<Result<Vec<PathBuf>>>()?;
        entries.sort();
        let ours = |path: &PathBuf| path.file_name().is_some_and(|name| name != "target");
        return entries.iter().filter(|path| ours(path)).try_for_each(|path| add(path, seen));
    }
    if path.extension().is_some_and(|kind| ["rs", "toml", "lock"].iter().any(|k| kind == *k)) {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        seen.extend_from_slice(path.to_string_lossy().as_bytes());
        seen.extend_from_slice(&(text.len() as u64).to_le_bytes());
        seen.extend_from_slice(&text);
    }
    Ok(())
}

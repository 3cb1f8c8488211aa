//! Runs cargo over a plugin crate with our flags, whatever the author's profiles and environment say.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::toolchain::{TARGET, WITHOUT_LINES};
use crate::{BuildError, BuildRequest, Lane, Toolchain};

/// The profile, told to cargo on its command line, so that a crate in any folder is built alike.
pub(crate) const PROFILE: &[&str] = &[
    "inherits=\"release\"",
    "opt-level=3",
    "lto=\"fat\"",
    "codegen-units=1",
    "panic=\"abort\"",
    "strip=\"symbols\"",
    "debug=false",
    "debug-assertions=false",
    "overflow-checks=false",
    "incremental=false",
];

/// The caller's settings that must not reach the plugin, besides whole families of names.
const FOREIGN: &[&str] =
    &["RUSTFLAGS", "RUSTC_BOOTSTRAP", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];

/// Stack of a guest: with the arena of 32 KiB and small constants it leaves one page of memory in all.
const STACK_BYTES: usize = 16 * 1024;

/// LLVM's measure of what is small enough to inline; its own default is 225.
const INLINE_THRESHOLD: u32 = 1_000;

/// Lines of cargo kept for an error message: the last, where it says what was wrong.
const OUTPUT_LINES_MAX: usize = 200;

/// Builds the crate's library; gives the module's path.
pub(crate) fn compile(
    toolchain: &Toolchain,
    crate_dir: &Path,
    request: &BuildRequest,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, BuildError> {
    let root = workspace_root(toolchain, crate_dir);
    let without_lines = toolchain.leaves_lines_out(crate_dir);
    if !without_lines {
        progress(
            "this compiler can't leave line numbers out: a changed comment changes the digest",
        );
    }
    let mut cargo = cargo(toolchain, crate_dir, root.as_deref(), request);
    // To the plugin's own crate alone, not in RUSTFLAGS: what differs from plugin to plugin there makes cargo build
    // every dependency anew for each.
    cargo.args(["--", &remap(crate_dir, "/plugin")]);
    if without_lines {
        let wrapped = toolchain.allow_unstable(&mut cargo, &request.target_dir);
        wrapped.map_err(|source| BuildError::Io { path: request.target_dir.clone(), source })?;
        // And build scripts of dependencies would try the compiler with this, and find every try refused.
        cargo.arg(WITHOUT_LINES);
    }
    let messages = run(cargo, progress)?;
    artifact(&messages, crate_dir).ok_or_else(|| BuildError::NoModule { dir: crate_dir.to_owned() })
}

/// Runs cargo; gives its messages, and tells each line that it says.
pub(crate) fn run(
    mut cargo: Command,
    progress: &mut dyn FnMut(&str),
) -> Result<String, BuildError> {
    let start = |source| BuildError::start("cargo", source);
    let mut child = cargo.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(start)?;
    // Both pipes are read at once, or a full one would stop cargo.
    let stdout = child.stdout.take();
    let messages = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stdout) = stdout {
            // What isn't text holds no artifact; its absence is reported as such.
            let _ = stdout.read_to_string(&mut text);
        }
        text
    });
    let mut said = std::collections::VecDeque::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            progress(&line);
            if said.len() == OUTPUT_LINES_MAX {
                said.pop_front();
            }
            said.push_back(line);
        }
    }
    let status = child.wait().map_err(start)?;
    let messages = messages.join().unwrap_or_default();
    if status.success() {
        Ok(messages)
    } else {
        Err(BuildError::Cargo { output: Vec::from(said).join("\n") })
    }
}

fn cargo(
    toolchain: &Toolchain,
    crate_dir: &Path,
    workspace_root: Option<&Path>,
    request: &BuildRequest,
) -> Command {
    let mut cargo = toolchain.cargo();
    // The caller's own settings must not reach the plugin: they would change its bytes.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours = ["CARGO_PROFILE_", "CARGO_BUILD_"].iter().any(|start| text.starts_with(start));
        let foreign = FOREIGN.contains(&text.as_ref());
        if (ours || foreign) && cargo.get_envs().all(|(set, _)| set != name) {
            cargo.env_remove(&name);
        }
    }
    cargo
        .current_dir(crate_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(toolchain, workspace_root, request.lane).join("\x1f"))
        .args([
            "rustc",
            "--lib",
            "--crate-type",
            "cdylib",
            "--target",
            TARGET,
            "--profile",
            "plugin",
        ])
        .args(["--message-format", "json-render-diagnostics"])
        // A folder a lane: the flags differ, and one would throw the other's work away.
        .arg("--target-dir")
        .arg(request.target_dir.join(match request.lane {
            Lane::Core => "core",
            Lane::Component => "component",
        }))
        .args(toolchain.arguments());
    for setting in PROFILE {
        cargo.arg("--config").arg(format!("profile.plugin.{setting}"));
    }
    cargo
}

/// Has paths below `from` begin with `to` in what is compiled, so that it doesn't matter where they are.
fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

fn flags(toolchain: &Toolchain, workspace_root: Option<&Path>, lane: Lane) -> Vec<String> {
    let mut flags = vec![
        // Relaxed SIMD may differ from host to host, so it stays off.
        "-Ctarget-feature=+simd128,-relaxed-simd".to_owned(),
        // A deadline is looked at on entry to every function: calls inlined here cost nothing there (15 %
        // of a transform of transcendental functions, for half as much code again).
        format!("-Cllvm-args=-inline-threshold={INLINE_THRESHOLD}"),
        // Pairs of scalars packed into vectors have to be shuffled, which costs more than it saves (5 %).
        // Loops are vectorised all the same.
        "-Cno-vectorize-slp".to_owned(),
        format!("-Clink-arg=-zstack-size={STACK_BYTES}"),
    ];
    flags.push(remap(toolchain.sysroot(), "/rust"));
    if let Some(home) = cargo_home() {
        flags.push(remap(&home, "/cargo"));
    }
    if let Some(root) = workspace_root {
        flags.push(remap(root, "/workspace"));
    }
    if lane == Lane::Component {
        flags.extend(["--cfg".to_owned(), "skewless_lane=\"component\"".to_owned()]);
    }
    flags
}

fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// The root of the crate's workspace; `None` if cargo can't say: the build then says why.
fn workspace_root(toolchain: &Toolchain, crate_dir: &Path) -> Option<PathBuf> {
    let mut cargo = toolchain.cargo();
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(crate_dir);
    let output = cargo.output().ok().filter(|output| output.status.success())?;
    let metadata: Value = serde_json::from_slice(&output.stdout).ok()?;
    metadata["workspace_root"].as_str().map(PathBuf::from)
}

/// The module among cargo's messages: the crate's own, not a dependency's.
fn artifact(messages: &str, crate_dir: &Path) -> Option<PathBuf> {
    let manifest = crate_dir.join("Cargo.toml");
    messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(
        |message| {
            let ours = Path::new(message.get("manifest_path")?.as_str()?) == manifest;
            let files = message.get("filenames")?.as_array()?;
            let wasm = files
                .iter()
                .filter_map(|file| file.as_str())
                .find(|file| file.ends_with(".wasm"))?;
            ours.then(|| wasm.into())
        },
    )
}

//! Builds a plugin into one reproducible `.wasm` file, a crate for either lane. It runs cargo or Zig's compiler, cleans and checks
//! what that made, and writes it; it never runs a plugin, and knows nothing of the engine.
//!
//! The same source, lock file and toolchain give the same bytes, also from another folder: paths are
//! remapped, one codegen unit is compiled with LTO, and sections that name tools are taken off. Comments and
//! line numbers of the plugin's own crate don't count either. What may still differ: an SDK at another absolute path outside the plugin's own workspace (cargo names such a
//! dependency by its path), and the two toolchains of [`Toolchain`] against each other.
//!
//! A plugin in Python or JavaScript is a module beside its kit; `script.rs` has its language's tool make a component of it.
//!
//! Calls inside a plugin are inlined here, when it is optimised as a whole, and once more by the engine.

mod compile;
mod component;
mod error;
mod language;
mod module;
mod native;
mod producers;
mod script;
mod toolchain;
mod zig;

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

pub use error::BuildError;
pub use language::Language;
pub use native::Native;
use producers::Producers;
pub use toolchain::Toolchain;

/// Largest `.wasm` file, in bytes: what the engine takes by default, so that a build says no before a server does.
pub const MODULE_BYTES_MAX: usize = 64 << 20;

/// This crate's, which is part of what a plugin is made with.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The custom section with a plugin's signature.
const SIGNATURE_SECTION: &str = "skewless.signature";

/// Which contract the plugin is built for; the source is the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lane {
    /// A core module, `sdk/wit/CORE.md`: the fastest.
    #[default]
    Core,
    /// A component of the world `sdk/wit/world.wit`.
    Component,
}

/// What to build.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// Folder of the plugin's source, with the file by which it tells its language ([`Language::mark`]).
    pub crate_dir: PathBuf,
    /// Core module or component. Of Python and JavaScript there are components only.
    pub lane: Lane,
    /// Folder of the result, made if missing: `<crate's library name>.wasm`, or `<folder's name>.wasm`.
    pub out_dir: PathBuf,
    /// Cargo's folder for these builds. Not the one of the workspace, whose lock a build would wait for;
    /// [`default_target_dir`] makes one of it.
    pub target_dir: PathBuf,
    /// What is wrong with a signature, as JSON; asked before anything is written.
    pub signature: SignatureCheck,
}

/// Says what is wrong with the JSON of a signature. It is the caller's: whoever reads signatures of plugins that are built knows
/// what one must be, and a second reading here would know it otherwise.
pub type SignatureCheck = fn(&[u8]) -> Result<(), String>;

/// What was built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Built {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub digest: [u8; 32],
    /// Its length in bytes.
    pub bytes: usize,
    /// Who compiled it.
    pub toolchain: String,
}

impl Built {
    /// The digest in lower-case hexadecimal.
    #[must_use]
    pub fn digest_hex(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The folder `wasm` inside a workspace's target folder.
#[must_use]
pub fn default_target_dir(workspace_target: &Path) -> PathBuf {
    workspace_target.join("wasm")
}

/// Builds a plugin by the first toolchain of its language that works. `progress` is told which one was found and each line
/// cargo says.
///
/// # Errors
/// Names the step that failed and what to do; nothing is written to `out_dir` then.
pub fn build(request: &BuildRequest, progress: &mut dyn FnMut(&str)) -> Result<Built, BuildError> {
    let (dir, language) = source(&request.crate_dir)?;
    match language {
        Language::Rust => build_with(Toolchain::find(&dir)?, request, progress),
        Language::C | Language::Zig if request.lane == Lane::Component => {
            Err(BuildError::CoreLaneOnly { mark: language.mark() })
        }
        Language::C | Language::Zig => {
            let zig = zig::Zig::find(&dir)?;
            progress(&format!("toolchain: {zig}"));
            let compiled = zig.compile(language, &dir, &request.target_dir)?;
            let made_with = Producers {
                language: (if language == Language::C { "C" } else { "Zig" }, ""),
                processed_by: &[("zig", zig.version()), ("skewless-build", VERSION)],
                sdk: None,
            };
            written(&compiled, &made_with, zig.to_string(), request, progress)
        }
        Language::Python | Language::JavaScript => {
            let name = dir.file_name().unwrap_or_default();
            let path = request.out_dir.join(name).with_extension("wasm");
            let (wasm, toolchain) =
                script::build(language, &dir, &path, request.signature, progress)?;
            put(path, &wasm, toolchain, progress)
        }
    }
}

/// As [`build`], of a crate, by a toolchain of choice.
///
/// # Errors
/// As [`build`].
pub fn build_with(
    toolchain: Toolchain,
    request: &BuildRequest,
    progress: &mut dyn FnMut(&str),
) -> Result<Built, BuildError> {
    let (crate_dir, _) = source(&request.crate_dir)?;
    progress(&format!("toolchain: {toolchain}"));
    let compiled = compile::compile(&toolchain, &crate_dir, request, progress)?;
    let made_with = Producers {
        language: ("Rust", ""),
        processed_by: &[("rustc", toolchain.compiler()), ("skewless-build", VERSION)],
        sdk: Some("skewless-sdk"),
    };
    written(&compiled, &made_with, toolchain.to_string(), request, progress)
}

/// A compiler's module as a plugin, at its place.
fn written(
    compiled: &Path,
    made_with: &Producers<'_>,
    toolchain: String,
    request: &BuildRequest,
    progress: &mut dyn FnMut(&str),
) -> Result<Built, BuildError> {
    let wasm = std::fs::read(compiled)
        .map_err(|source| BuildError::Io { path: compiled.to_owned(), source })?;
    let wasm = finish(&wasm, made_with, request.lane, MODULE_BYTES_MAX)?;
    module::declared(&module::signature(&wasm)?, request.signature)?;
    let name = compiled.file_name().unwrap_or_default();
    put(request.out_dir.join(name), &wasm, toolchain, progress)
}

/// Writes the file, and says what it is.
fn put(
    path: PathBuf,
    wasm: &[u8],
    toolchain: String,
    progress: &mut dyn FnMut(&str),
) -> Result<Built, BuildError> {
    write_whole(&path, wasm).map_err(|source| BuildError::Io { path: path.clone(), source })?;
    progress(&format!("{}: {} bytes", path.display(), wasm.len()));
    Ok(Built { path, digest: Sha256::digest(wasm).into(), bytes: wasm.len(), toolchain })
}

/// The plugin's folder, without links in its path, and its language.
fn source(folder: &Path) -> Result<(PathBuf, Language), BuildError> {
    let none = || BuildError::NoCrate { dir: folder.to_owned() };
    let dir = folder.canonicalize().map_err(|_| none())?;
    let language = Language::of(&dir).ok_or_else(none)?;
    let marks: Vec<&str> = Language::all_of(&dir).map(Language::mark).collect();
    if marks.len() > 1 {
        return Err(BuildError::Languages { dir: folder.to_owned(), marks });
    }
    Ok((dir, language))
}

/// Cargo's module as a plugin: cleaned, checked, made a component if that is asked. It says what it was made with.
fn finish(
    wasm: &[u8],
    made_with: &Producers<'_>,
    lane: Lane,
    bytes_max: usize,
) -> Result<Vec<u8>, BuildError> {
    let sdk_version = producers::sdk_version(wasm)?;
    let mut wasm = match lane {
        Lane::Core => module::clean(wasm)?,
        Lane::Component => component::componentise(wasm)?,
    };
    made_with.append(sdk_version.as_deref(), &mut wasm);
    module::check(&wasm, bytes_max)?;
    Ok(wasm)
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let partial = path.with_extension("wasm.partial");
    std::fs::write(&partial, bytes)?;
    std::fs::rename(&partial, path)
}

//! Why a build failed, in words that say what to do. One enum: a caller shows it and stops.

use std::path::PathBuf;

/// Why a plugin was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder has no plugin's source.
    #[error("expected a plugin's source in {}: a Cargo.toml, src/plugin.c, src/plugin.zig, plugin.py or plugin.js", dir.display())]
    NoCrate {
        /// The folder as it was given.
        dir: PathBuf,
    },
    /// The folder has sources of several languages: which is meant?
    #[error("expected a plugin's source in one language in {}, came {}: remove those that aren't meant", dir.display(), marks.join(", "))]
    Languages {
        /// The folder as it was given.
        dir: PathBuf,
        /// The files by which it tells its languages.
        marks: Vec<&'static str>,
    },
    /// There is a compiler, but none for WebAssembly.
    #[error(
        "no toolchain for wasm32-unknown-unknown: run `rustup target add wasm32-unknown-unknown`, or on Debian \
         `apt-get install rustc-web cargo-web rust-web-src lld`"
    )]
    NoToolchain,
    /// A program of Rust isn't there.
    #[error(
        "{program} was not found on the PATH: install Rust (https://rustup.rs) and run `rustup target add \
         wasm32-unknown-unknown`; if it is installed, put its folder, usually ~/.cargo/bin, on the PATH. On Debian \
         also: `apt-get install rustc-web cargo-web rust-web-src lld`"
    )]
    NotOnPath {
        /// The program.
        program: &'static str,
    },
    /// A program could not be started.
    #[error("can't run {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Cargo refused.
    #[error("cargo could not build the plugin:\n{output}")]
    Cargo {
        /// The end of what it said.
        output: String,
    },
    /// Only crates have a native build that can be measured.
    #[error("expected a crate in Rust in {}, as only that has a native build to measure, came {mark}", dir.display())]
    NoNative {
        /// The folder.
        dir: PathBuf,
        /// The file by which it tells its language.
        mark: &'static str,
    },
    /// The native build ended otherwise than with a figure for each batch.
    #[error("expected a time for each batch from the plugin's native build, came: {output}")]
    Native {
        /// What it said.
        output: String,
    },
    /// There is no compiler for C and Zig.
    #[error(
        "no Zig, which compiles plugins in C and in Zig: neither `zig` nor `python3 -m ziglang` answers. Run `python3 -m venv \
         .venv && .venv/bin/pip install ziglang` in the plugin's folder or one above it, or put the download from https://ziglang.org/download on the PATH"
    )]
    NoZig,
    /// Zig refused.
    #[error("zig could not build {source_file}:\n{output}")]
    Zig {
        /// The file.
        source_file: &'static str,
        /// What it said.
        output: String,
    },
    /// A component was asked of a language that makes none.
    #[error(
        "expected a crate for a component, came {mark}: plugins in C and Zig are core modules; leave --component out"
    )]
    CoreLaneOnly {
        /// The file that told the language.
        mark: &'static str,
    },
    /// Cargo built, but no module.
    #[error("cargo made no .wasm file of {}: expected a crate with a library", dir.display())]
    NoModule {
        /// The crate's folder.
        dir: PathBuf,
    },
    /// The module is not WebAssembly.
    #[error("the module is not valid WebAssembly: {reason}")]
    Invalid {
        /// What is wrong.
        reason: String,
    },
    /// The module wants something of the host.
    #[error(
        "a plugin imports nothing, but this one imports {}: a dependency expects a browser, WASI or JavaScript \
         (clocks, randomness and files are such); leave it out or turn its feature off",
        names.join(", ")
    )]
    Imports {
        /// `module.name` of each.
        names: Vec<String>,
    },
    /// The signature is not there once.
    #[error(
        "expected one custom section `skewless.signature`, found {found}: a plugin crate has exactly one function \
         with #[skewless::transform], a plugin in C includes skewless.h once, one in Zig calls skewless.plugin once"
    )]
    Signature {
        /// How many there are.
        found: usize,
    },
    /// The signature isn't one.
    #[error(
        "the plugin declares what it takes and gives in a way that nothing could read: {reason}"
    )]
    Declared {
        /// What is wrong with it.
        reason: String,
    },
    /// The file is too large.
    #[error("the plugin has {bytes} bytes, more than the {max} that the engine takes")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// An interpreter isn't there.
    #[error(
        "{program} was not found on the PATH: install it{}, or put its folder on the PATH",
        source_of(program)
    )]
    NoInterpreter {
        /// The program.
        program: String,
    },
    /// Node.js is too old.
    #[error(
        "expected Node.js {min} or later as `node` on the PATH, came {came}: install a newer one{}",
        source_of("node")
    )]
    OldNode {
        /// The first version that works.
        min: u32,
        /// What it said of its own.
        came: String,
    },
    /// The tool that makes a component isn't there, or is another version.
    #[error(
        "expected {name} {version}, which makes the component; {why}. Install it, in the plugin's folder or one above it: \
         `{install}`"
    )]
    NoTool {
        /// The tool.
        name: &'static str,
        /// Its version.
        version: &'static str,
        /// What installs it.
        install: &'static str,
        /// What came.
        why: String,
    },
    /// The plugin's module can't be read, or declares no transform.
    #[error("expected a module that declares one transform, came:\n{output}")]
    Module {
        /// What is wrong with it, with its own lines.
        output: String,
    },
    /// The tool refused.
    #[error("{name} could not make a component of the plugin:\n{output}")]
    Tool {
        /// The tool.
        name: &'static str,
        /// The end of what it said.
        output: String,
    },
    /// The kit isn't beside the plugin.
    #[error(
        "expected the kit {kit} in {}: copy it out of the folder of a plugin that `skewless plugin new` has made",
        dir.display()
    )]
    NoKit {
        /// The file.
        kit: &'static str,
        /// The plugin's folder.
        dir: PathBuf,
    },
    /// A file has a name that the build needs.
    #[error("expected no file {name}, which the build adds: name it otherwise")]
    TakenName {
        /// The file.
        name: String,
    },
    /// There are too many files.
    #[error(
        "expected at most {max} files and folders with {bytes_max} bytes of source in the plugin's folder: move what isn't \
         part of it elsewhere"
    )]
    Sources {
        /// Most files and folders.
        max: usize,
        /// Most bytes.
        bytes_max: usize,
    },
    /// A component could not be made.
    #[error("can't make a component: {reason}")]
    Component {
        /// What the encoder said.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Where an interpreter is to be had, in brackets.
fn source_of(program: &str) -> &'static str {
    match program {
        "node" => " (Node.js 20 or later: https://nodejs.org)",
        "python3" => " (Python 3.10 or later)",
        _ => "",
    }
}

impl BuildError {
    /// Why a program of Rust didn't start. The system's own words for one that isn't there name no program, and sound
    /// as if a file of the crate were missing.
    pub(crate) fn start(program: &'static str, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::NotFound => Self::NotOnPath { program },
            _ => Self::Start { program: program.to_owned(), source },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_told_from_one_that_may_not_run() {
        let said = |kind| BuildError::start("cargo", Error::from(kind)).to_string();
        let absent = said(ErrorKind::NotFound);
        assert!(absent.starts_with("cargo was not found on the PATH: install Rust"), "{absent}");
        let forbidden = said(ErrorKind::PermissionDenied);
        assert!(forbidden.starts_with("can't run cargo: "), "{forbidden}");
    }
}

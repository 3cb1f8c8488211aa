//! Why a build failed, in words that say what to do. One enum: a caller shows it and stops.

use std::path::PathBuf;

/// Why a plugin was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder has no crate.
    #[error("expected a crate with a Cargo.toml in {}", dir.display())]
    NoCrate {
        /// The folder as it was given.
        dir: PathBuf,
    },
    /// Neither toolchain can compile for WebAssembly.
    #[error(
        "no toolchain for wasm32-unknown-unknown: run `rustup target add wasm32-unknown-unknown`, or on Debian \
         `apt-get install rustc-web cargo-web rust-web-src lld`"
    )]
    NoToolchain,
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
         with #[skewless::transform]"
    )]
    Signature {
        /// How many there are.
        found: usize,
    },
    /// The file is too large.
    #[error("the plugin has {bytes} bytes, more than the {max} that the engine takes")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
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

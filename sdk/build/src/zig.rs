//! Runs Zig's compiler over a plugin in C or in Zig: it has both languages, their libraries and the linker in one download, and
//! gives the same bytes on every machine. It is taken from the path, or of Python's package `ziglang`; none is installed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{BuildError, Language};

/// Stack of a guest, as that of a plugin in Rust: with the arena of 32 KiB it leaves one page of memory in all.
const STACK_BYTES: &str = "16384";

/// Of WebAssembly 2.0, what compilers use by themselves. Relaxed SIMD may differ from host to host, so it stays off.
const CPU: &str = "-mcpu=generic+simd128+bulk_memory";

/// Ways to start it, the first that answers is taken.
const PROGRAMS: [&[&str]; 3] =
    [&["zig"], &["python3", "-m", "ziglang"], &["python", "-m", "ziglang"]];

/// A compiler that answered.
pub(crate) struct Zig {
    program: &'static [&'static str],
    version: String,
}

impl Zig {
    pub(crate) fn find() -> Result<Self, BuildError> {
        let version = |program: &[&str]| {
            let asked =
                Command::new(program[0]).args(&program[1..]).arg("version").output().ok()?;
            let version = String::from_utf8(asked.stdout).ok()?.trim().to_owned();
            (asked.status.success() && !version.is_empty()).then_some(version)
        };
        let mut found = PROGRAMS
            .into_iter()
            .filter_map(|program| Some(Self { program, version: version(program)? }));
        found.next().ok_or(BuildError::NoZig)
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Builds the module of a plugin's folder; gives its path.
    pub(crate) fn compile(
        &self,
        language: Language,
        folder: &Path,
        target_dir: &Path,
    ) -> Result<PathBuf, BuildError> {
        std::fs::create_dir_all(target_dir)
            .map_err(|source| BuildError::Io { path: target_dir.to_owned(), source })?;
        // The plugin is called as its folder.
        let module = target_dir
            .join(folder.file_name().unwrap_or(OsStr::new("plugin")))
            .with_added_extension("wasm");
        let mut zig = Command::new(self.program[0]);
        // Sources are named as seen from their folder, so that it doesn't matter where that is.
        zig.args(&self.program[1..]).current_dir(folder).arg("build-exe");
        zig.args(["-O", "ReleaseFast", "-fno-entry", "-fstrip", "--stack", STACK_BYTES, CPU]);
        zig.args(["--export=skewless_reserve", "--export=skewless_transform", "--name", "plugin"]);
        zig.arg("--cache-dir").arg(target_dir.join("zig"));
        zig.arg(joined("-femit-bin=", &module));
        match language {
            // The C library is there for its mathematics. What asks something of a system imports it, and is refused.
            Language::C => {
                zig.args(["-target", "wasm32-wasi", "-lc", "-mexec-model=reactor"]).args([
                    "-cflags",
                    "-std=c11",
                    "-O3",
                    "-Wall",
                    "-ffp-contract=off",
                    "--",
                    language.mark(),
                ])
            }
            _ => zig.args(["-target", "wasm32-freestanding", language.mark()]),
        };
        let output = zig
            .output()
            .map_err(|source| BuildError::Start { program: self.program[0].to_owned(), source })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(BuildError::Zig {
                source_file: language.mark(),
                output: said.trim().to_owned(),
            });
        }
        Ok(module)
    }
}

impl std::fmt::Display for Zig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "zig {} ({})", self.version, self.program.join(" "))
    }
}

fn joined(flag: &str, path: &Path) -> std::ffi::OsString {
    let mut word = std::ffi::OsString::from(flag);
    word.push(path);
    word
}

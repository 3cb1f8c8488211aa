//! Runs Zig's compiler over a plugin in C or in Zig: it has both languages, their libraries and the linker in one download, and
//! gives the same bytes on every machine. It is taken from the path, or of Python's package `ziglang`, in an environment `.venv` as
//! plugins in Python have one or else in the Python of the path; none is installed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{BuildError, Language};

/// Stack of a guest, as that of a plugin in Rust: with the arena of 32 KiB it leaves one page of memory in all.
const STACK_BYTES: &str = "16384";

/// Of WebAssembly 2.0, what compilers use by themselves. Relaxed SIMD may differ from host to host, so it stays off.
const CPU: &str = "-mcpu=generic+simd128+bulk_memory";

/// The program that starts it, with its first arguments.
type Program = Vec<String>;

/// Ways to start it for a plugin in this folder, the first that answers is taken.
fn programs(folder: &Path) -> Vec<Program> {
    let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let environments = folder.ancestors().map(|above| above.join(".venv/bin/python3"));
    let here = environments.filter(|python| python.is_file());
    let here = here.map(|python| of(&[&python.to_string_lossy(), "-m", "ziglang"]));
    let on_path =
        [of(&["zig"]), of(&["python3", "-m", "ziglang"]), of(&["python", "-m", "ziglang"])];
    here.chain(on_path).collect()
}

/// A compiler that answered.
pub(crate) struct Zig {
    program: Program,
    version: String,
}

impl Zig {
    pub(crate) fn find(folder: &Path) -> Result<Self, BuildError> {
        let version = |program: &[String]| {
            let asked =
                Command::new(&program[0]).args(&program[1..]).arg("version").output().ok()?;
            let version = String::from_utf8(asked.stdout).ok()?.trim().to_owned();
            (asked.status.success() && !version.is_empty()).then_some(version)
        };
        let mut found = programs(folder)
            .into_iter()
            .filter_map(|program| Some(Self { version: version(&program)?, program }));
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
        let mut zig = Command::new(&self.program[0]);
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
            .map_err(|source| BuildError::Start { program: self.program[0].clone(), source })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim();
            let meant = meant(said).map_or_else(String::new, |meant| format!("\n{meant}"));
            return Err(BuildError::Zig {
                source_file: language.mark(),
                output: format!("{said}{meant}"),
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

/// What a mistake in the macros of `skewless.h` means, which the compiler tells of the kit's insides.
fn meant(said: &str) -> Option<&'static str> {
    if said.contains("unknown type name 'SKW_") {
        return Some(
            "A type in IN or OUT is one of bool, int32, int64, float32, float64, utf8, binary, timestamp, embedding(N), list(int64), \
             list(float64) and list(utf8).",
        );
    }
    said.contains("<inline asm>").then_some(
        "A name, a unit or a doc in the macros has a quotation mark or a backslash, which the signature can't have.",
    )
}

fn joined(flag: &str, path: &Path) -> std::ffi::OsString {
    let mut word = std::ffi::OsString::from(flag);
    word.push(path);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_in_the_macros_are_told_as_what_they_mean() {
        let told = |said| meant(said).unwrap_or_default();
        assert!(
            told("src/skewless.h:151:21: error: unknown type name 'SKW_IN_double'")
                .contains("float64")
        );
        assert!(told("<inline asm>:22:88: error: unexpected token").contains("quotation mark"));
        assert_eq!(
            meant("src/plugin.c:27:18: error: no member named 'lat' in 'skewless_in'"),
            None
        );
    }

    #[test]
    fn an_environment_beside_or_above_the_plugin_comes_first() {
        let dir = tempfile::tempdir().expect("a folder");
        let plugin = dir.path().join("plugins/a");
        assert_eq!(programs(&plugin)[0], ["zig"]);
        let python = dir.path().join(".venv/bin/python3");
        std::fs::create_dir_all(python.parent().expect("a folder")).expect("made");
        std::fs::write(&python, "").expect("written");
        let ways = programs(&plugin);
        assert_eq!(ways[0], [&*python.to_string_lossy(), "-m", "ziglang"]);
        assert_eq!(ways[1], ["zig"]);
    }
}

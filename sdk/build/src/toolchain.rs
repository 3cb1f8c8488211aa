//! Finds a compiler for wasm32-unknown-unknown: the user's own if it has the target (rustup), else
//! Debian's packages, which bring the standard library as source. It installs nothing.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::BuildError;

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
/// Leaves file and line out of what a panic would say. A guest's panic is a trap and says nothing, but its
/// places are constants of the module: with them, a changed comment would be another digest. Unstable, as of
/// Rust 1.95; without it, builds differ in those constants only.
pub(crate) const WITHOUT_LINES: &str = "-Zlocation-detail=none";
/// Names the crates that may use unstable flags of a stable compiler; `1` is all.
const UNSTABLE: &str = "RUSTC_BOOTSTRAP";

/// Runs the compiler, which is its first argument.
const WRAPPER: &str = "#!/bin/sh
case \" $* \" in
*' -Zlocation-detail=none '*) export RUSTC_BOOTSTRAP=1 ;;
esac
exec \"$@\"
";
/// Where Debian's packages `rustc-web`, `cargo-web` and `lld` put their programs.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_LINKER: &str = "/usr/bin/wasm-ld";

/// Who compiles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Toolchain {
    /// The compiler on the path has the target's standard library.
    Installed {
        /// What `rustc --version` says.
        version: String,
        /// The compiler's root folder.
        sysroot: PathBuf,
    },
    /// Debian's compiler; the standard library is built from source, a minute or two the first time.
    BuildStd {
        /// What `rustc --version` says.
        version: String,
        /// The compiler's root folder.
        sysroot: PathBuf,
    },
}

impl Toolchain {
    /// The first that works, asked in the crate's folder (a `rust-toolchain.toml` there counts).
    pub(crate) fn find(crate_dir: &Path) -> Result<Self, BuildError> {
        Self::installed(crate_dir).or_else(Self::build_std).ok_or_else(|| lacking(on_path))
    }

    /// The compiler on the path, if it has the target's standard library; asked in the crate's folder.
    #[must_use]
    pub fn installed(crate_dir: &Path) -> Option<Self> {
        let libraries = ask("rustc", &["--print", "target-libdir", "--target", TARGET], crate_dir)?;
        let has_core = Path::new(&libraries).read_dir().ok()?.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        });
        has_core.then_some(())?;
        Some(Self::Installed {
            version: ask("rustc", &["--version"], crate_dir)?,
            sysroot: ask("rustc", &["--print", "sysroot"], crate_dir)?.into(),
        })
    }

    /// Debian's packages, if all of them are there.
    #[must_use]
    pub fn build_std() -> Option<Self> {
        let root = Path::new("/");
        let sysroot = PathBuf::from(ask(DEBIAN_RUSTC, &["--print", "sysroot"], root)?);
        let source = sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml");
        let complete = source.is_file()
            && [DEBIAN_CARGO, DEBIAN_LINKER].iter().all(|p| Path::new(p).is_file());
        complete.then_some(())?;
        Some(Self::BuildStd { version: ask(DEBIAN_RUSTC, &["--version"], root)?, sysroot })
    }

    /// The compiler's version, without its name.
    pub(crate) fn compiler(&self) -> &str {
        let (Self::Installed { version, .. } | Self::BuildStd { version, .. }) = self;
        version.strip_prefix("rustc ").unwrap_or(version)
    }

    pub(crate) fn sysroot(&self) -> &Path {
        match self {
            Self::Installed { sysroot, .. } | Self::BuildStd { sysroot, .. } => sysroot,
        }
    }

    /// Cargo of this toolchain, with what it needs to use its compiler.
    pub(crate) fn cargo(&self) -> Command {
        match self {
            Self::Installed { .. } => Command::new("cargo"),
            Self::BuildStd { .. } => {
                let mut cargo = Command::new(DEBIAN_CARGO);
                cargo
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env(UNSTABLE, "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER);
                cargo
            }
        }
    }

    /// Whether the compiler still takes [`WITHOUT_LINES`].
    pub(crate) fn leaves_lines_out(&self, crate_dir: &Path) -> bool {
        let rustc = match self {
            Self::Installed { .. } => "rustc",
            Self::BuildStd { .. } => DEBIAN_RUSTC,
        };
        let mut rustc = Command::new(rustc);
        rustc.args([WITHOUT_LINES, "--print", "sysroot"]).current_dir(crate_dir).env(UNSTABLE, "1");
        rustc.output().is_ok_and(|output| output.status.success())
    }

    /// Lets what is compiled with [`WITHOUT_LINES`], and nothing else, use unstable flags: dependencies that look for
    /// a nightly compiler would find one, and be compiled otherwise than their authors meant for a stable one. A
    /// wrapper of the compiler does it, as cargo builds everything anew when [`UNSTABLE`] itself changes.
    pub(crate) fn allow_unstable(&self, cargo: &mut Command, folder: &Path) -> io::Result<()> {
        if let Self::Installed { .. } = self {
            std::fs::create_dir_all(folder)?;
            let wrapper = folder.join("rustc-wrapper");
            // Others may be running it: it is never seen half-written, and never written while it is run.
            if !std::fs::read_to_string(&wrapper).is_ok_and(|there| there == WRAPPER) {
                let new = folder.join(format!("rustc-wrapper.{}", std::process::id()));
                std::fs::write(&new, WRAPPER)?;
                std::fs::set_permissions(&new, Permissions::from_mode(0o755))?;
                std::fs::rename(&new, &wrapper)?;
            }
            cargo.env("RUSTC_WRAPPER", wrapper);
        }
        Ok(())
    }

    /// Arguments for cargo's build.
    pub(crate) fn arguments(&self) -> &'static [&'static str] {
        match self {
            Self::Installed { .. } => &[],
            Self::BuildStd { .. } => &["-Zbuild-std=std,panic_abort"],
        }
    }
}

impl std::fmt::Display for Toolchain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Installed { version, .. } => write!(f, "{version}, target {TARGET} installed"),
            Self::BuildStd { version, .. } => {
                write!(f, "{version} of Debian, standard library built from source")
            }
        }
    }
}

/// What there is no toolchain for want of. A target can't be added to a compiler that isn't there.
fn lacking(on_path: impl Fn(&str) -> bool) -> BuildError {
    let program = ["rustc", "cargo"].into_iter().find(|program| !on_path(program));
    program.map_or(BuildError::NoToolchain, |program| BuildError::NotOnPath { program })
}

/// Whether the program is found, whatever it says.
fn on_path(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").output();
    !asked.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// What a program prints, if it succeeds.
fn ask(program: &str, arguments: &[&str], dir: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(dir).output().ok()?;
    output.status.success().then_some(())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_is_not_there_is_not_told_as_a_target_that_is_not() {
        let said = |there: &[&str]| lacking(|program| there.contains(&program)).to_string();
        assert!(said(&[]).starts_with("rustc was not found on the PATH: "), "{}", said(&[]));
        let no_cargo = said(&["rustc"]);
        assert!(no_cargo.starts_with("cargo was not found on the PATH: "), "{no_cargo}");
        let no_target = said(&["rustc", "cargo"]);
        assert!(no_target.starts_with("no toolchain for wasm32-unknown-unknown"), "{no_target}");
    }

    #[test]
    fn a_program_is_on_the_path_or_not() {
        assert!(on_path("sh"));
        assert!(!on_path("a-program-that-nobody-has"));
    }
}

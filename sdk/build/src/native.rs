//! A plugin's crate as a program of this machine that measures itself, for comparison; nothing of it is ever served.
//!
//! The program is a crate of its own beside cargo's other work, which depends on the plugin's and calls it as the built file
//! is called: a batch's bytes in, decoded, computed, and a batch's bytes out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::compile::{PROFILE, run};
use crate::{BuildError, Language, source};

const MAIN: &str = include_str!("native/main.rs.in");

/// A plugin's native build.
#[derive(Debug)]
pub struct Native {
    program: PathBuf,
}

impl Native {
    /// Builds it of a crate's folder, with cargo's folder for it in `target_dir`. `progress` is told each line cargo says.
    ///
    /// # Errors
    /// If the folder is no crate, or cargo refuses it.
    pub fn build(
        folder: &Path,
        target_dir: &Path,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, BuildError> {
        let (dir, language) = source(folder)?;
        if language != Language::Rust {
            return Err(BuildError::NoNative { dir, mark: language.mark() });
        }
        let metadata = metadata(&dir)?;
        let plugin =
            package(&metadata, &dir).ok_or_else(|| BuildError::NoModule { dir: dir.clone() })?;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| BuildError::Io { path, source }
        };
        let home = target_dir.join("native").join(plugin);
        let (manifest, code) = (home.join("Cargo.toml"), home.join("src"));
        std::fs::create_dir_all(&code).map_err(io(&code))?;
        let path = Value::from(dir.to_string_lossy());
        let text = format!(
            "[package]\nname = \"native\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [dependencies]\nplugin = {{ package = \"{plugin}\", path = {path} }}\n"
        );
        std::fs::write(&manifest, text).map_err(io(&manifest))?;
        let main = code.join("main.rs");
        std::fs::write(&main, MAIN).map_err(io(&main))?;
        // The versions that the plugin itself is built with.
        let root = metadata["workspace_root"].as_str().map_or(dir.as_path(), Path::new);
        let lock = root.join("Cargo.lock");
        if lock.is_file() {
            std::fs::copy(&lock, home.join("Cargo.lock")).map_err(io(&lock))?;
        }
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&home).args(["build", "--profile", "plugin"]);
        cargo.args(["--message-format", "json-render-diagnostics", "--target-dir"]);
        cargo.arg(target_dir.join("native/target"));
        for setting in PROFILE {
            cargo.arg("--config").arg(format!("profile.plugin.{setting}"));
        }
        let messages = run(cargo, progress)?;
        let program = executable(&messages).ok_or(BuildError::NoModule { dir })?;
        Ok(Self { program })
    }

    /// The median time of a call with each of these batches, files of a batch's bytes, in nanoseconds; each is measured
    /// for as long as `time`.
    ///
    /// # Errors
    /// If the program fails.
    pub fn measure(&self, batches: &[PathBuf], time: Duration) -> Result<Vec<f64>, BuildError> {
        let mut program = Command::new(&self.program);
        program.arg(time.as_millis().to_string()).args(batches);
        let start =
            |source| BuildError::Start { program: self.program.display().to_string(), source };
        let output = program.output().map_err(start)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let times: Option<Vec<f64>> = text.lines().map(|line| line.parse().ok()).collect();
        times.filter(|times| output.status.success() && times.len() == batches.len()).ok_or_else(
            || {
                let said = [&*text, &*String::from_utf8_lossy(&output.stderr)].concat();
                BuildError::Native { output: said.trim().to_owned() }
            },
        )
    }
}

fn metadata(dir: &Path) -> Result<Value, BuildError> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(dir);
    let output = cargo.output().map_err(|source| BuildError::start("cargo", source))?;
    let refused =
        || BuildError::Cargo { output: String::from_utf8_lossy(&output.stderr).into_owned() };
    if output.status.success() {
        serde_json::from_slice(&output.stdout).map_err(|_| refused())
    } else {
        Err(refused())
    }
}

/// The name of the package whose manifest is in this folder.
fn package<'m>(metadata: &'m Value, dir: &Path) -> Option<&'m str> {
    let manifest = dir.join("Cargo.toml");
    let mut packages = metadata["packages"].as_array()?.iter();
    packages.find(|package| package["manifest_path"].as_str().map(Path::new) == Some(&manifest))?["name"].as_str()
}

fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs =
        messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    programs.next()
}

//! Plugins in Python and JavaScript: components with the language's interpreter in them, made by the language's own tool. Not the
//! kits that authors import (`sdk/python`, `sdk/js`): those lie beside the plugin.
//!
//! The signature is what the author's module declares. It is asked of the module natively, by the interpreter that is needed anyhow,
//! before the tool runs: so a mistake in it costs no wait, and nothing of the plugin has to be run to read it out of the file. A
//! module that declares something else inside the component is refused by its first call, as the kit compares the columns.
//!
//! The tools take a picture of the interpreter's memory after it has read the module, and it has the seeds of hashes in it, times
//! and paths: two builds of one source differ, and neither tool has a setting for it. Therefore a file says in the section [`SOURCE_SECTION`] what it was built of,
//! and a build of the same source keeps it: a digest changes when the source does, not when somebody builds.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest as _, Sha256};

use crate::component::WORLD;
use crate::producers::{self, Producers};
use crate::{
    BuildError, Language, MODULE_BYTES_MAX, SIGNATURE_SECTION, SignatureCheck, VERSION, module,
};

/// The custom section with the digest of what a file was built of.
const SOURCE_SECTION: &str = "skewless.source";
/// Files of a plugin at most: more is a folder with something else in it.
const FILES_MAX: usize = 1_000;
/// Bytes of a plugin's files at most, together.
const SOURCE_BYTES_MAX: usize = 32 << 20;
/// Folders that hold no source of the plugin, besides hidden ones.
const SKIPPED: &[&str] = &["__pycache__", "node_modules", "tests", "venv"];
/// Lines of a tool kept for an error message: the last, where it says what was wrong.
const OUTPUT_LINES_MAX: usize = 200;

/// What differs between the languages.
struct Script {
    /// The language, for who looks at the file.
    language: (&'static str, &'static str),
    /// What files of the language end with.
    endings: &'static [&'static str],
    /// The kit that must lie beside the plugin.
    kit: &'static str,
    /// Files that are added to the author's.
    added: &'static [(&'static str, &'static str)],
    /// The tool's name and version, as its package index has it.
    tool: (&'static str, &'static str),
    /// What installs it, in the plugin's folder.
    install: &'static str,
}

const PYTHON: Script = Script {
    language: ("Python", ""),
    endings: &["py"],
    kit: "skewless_guest.py",
    added: &[("skewless_entry.py", include_str!("../../python/entry.py"))],
    tool: ("componentize-py", "0.25.1"),
    install: "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1",
};

const JAVASCRIPT: Script = Script {
    language: ("JavaScript", ""),
    endings: &["js", "mjs"],
    kit: "skewless.js",
    added: &[
        ("skewless_entry.js", include_str!("../../js/entry.js")),
        ("skewless_sandbox.js", include_str!("../../js/sandbox.js")),
    ],
    tool: ("@bytecodealliance/componentize-js", "0.23.0"),
    install: "npm install @bytecodealliance/componentize-js@0.23.0 @bytecodealliance/preview2-shim@0.25.0",
};

/// What componentize-js imports without asking npm for it: whether it is there and where `import` finds it depends on what else
/// is installed, and `npm ci` leaves it out.
const JAVASCRIPT_SHIM: &str = "@bytecodealliance/preview2-shim";
/// The first version of Node.js that has what componentize-js and the kit use.
const NODE_MIN: u32 = 20;

/// Prints the signature of the module in the folder `app`; the last line is it, whatever the module prints itself.
const PYTHON_SIGNATURE: &str = include_str!("../../python/signature.py");
const JAVASCRIPT_SIGNATURE: &str = include_str!("../../js/signature.mjs");

/// Says which version of the tool an interpreter has.
const PYTHON_TOOL: &str =
    "from importlib.metadata import version; print(version('componentize-py'))";
/// Runs the tool's command.
const PYTHON_BUILD: &str =
    "import sys, componentize_py; sys.argv[0] = 'componentize-py'; componentize_py.script()";
const JAVASCRIPT_BUILD: &str = include_str!("../../js/build.mjs");

/// The component of a plugin's folder, in Python or else in JavaScript, and who made it; the file that is there already, if it was
/// built of the same.
pub(crate) fn build(
    language: Language,
    folder: &Path,
    there: &Path,
    check: SignatureCheck,
    progress: &mut dyn FnMut(&str),
) -> Result<(Vec<u8>, String), BuildError> {
    let script = if language == Language::Python { &PYTHON } else { &JAVASCRIPT };
    let toolchain = format!("{} {}", script.tool.0, script.tool.1);
    let files = sources(folder, script)?;
    let source = digest(script, &files);
    if let Some(wasm) = unchanged(there, &source, check) {
        progress("unchanged since it was built: kept");
        return Ok((wasm, toolchain));
    }
    let tool = Tool::find(language, script, folder)?;
    progress(&format!("toolchain: {toolchain}"));
    let made = tempfile::tempdir().and_then(|work| Ok((work.path().canonicalize()?, work)));
    let temporary = |source| BuildError::Io { path: std::env::temp_dir(), source };
    let (path, _removed_at_the_end) = made.map_err(temporary)?;
    let (wasm, signature) = componentise(script, &tool, &files, &path, check, progress)?;
    let mut wasm = module::without(&wasm, |name| name == producers::SECTION)?;
    let made_with = Producers {
        language: script.language,
        processed_by: &[script.tool, ("skewless-build", VERSION)],
        sdk: None,
    };
    made_with.append(None, &mut wasm);
    module::append(&mut wasm, SIGNATURE_SECTION, &signature);
    module::append(&mut wasm, SOURCE_SECTION, &source);
    module::check(&wasm, MODULE_BYTES_MAX)?;
    Ok((wasm, toolchain))
}

/// A file of the plugin: its path in the folder, and what is in it.
type Source = (String, Vec<u8>);

/// The plugin's own files, in the order of their paths.
fn sources(folder: &Path, script: &Script) -> Result<Vec<Source>, BuildError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Io { path, source }
    };
    let (mut files, mut bytes) = (Vec::new(), 0);
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, place)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(io(&folder))? {
            let entry = entry.map_err(io(&folder))?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().map_err(io(&path))?;
            if name.starts_with('.') || SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                folders.push((path, format!("{place}{name}/")));
            } else if script.endings.iter().any(|end| path.extension().is_some_and(|it| it == *end))
            {
                let content = std::fs::read(&path).map_err(io(&path))?;
                bytes += content.len();
                files.push((format!("{place}{name}"), content));
            }
            let (found, max) = (files.len() + folders.len(), FILES_MAX);
            if found > max || bytes > SOURCE_BYTES_MAX {
                return Err(BuildError::Sources { max, bytes_max: SOURCE_BYTES_MAX });
            }
        }
    }
    if !files.iter().any(|(name, _)| name == script.kit) {
        return Err(BuildError::NoKit { kit: script.kit, dir: folder.to_owned() });
    }
    if let Some((name, _)) =
        files.iter().find(|(name, _)| script.added.iter().any(|(added, _)| added == name))
    {
        return Err(BuildError::TakenName { name: name.clone() });
    }
    files.sort();
    Ok(files)
}

/// The digest of all that a file is built of.
fn digest(script: &Script, files: &[Source]) -> Vec<u8> {
    let mut sha = Sha256::new();
    let mut part = |bytes: &[u8]| {
        sha.update((bytes.len() as u64).to_le_bytes());
        sha.update(bytes);
    };
    for text in [script.tool.0, script.tool.1, WORLD, PYTHON_BUILD, JAVASCRIPT_BUILD] {
        part(text.as_bytes());
    }
    for (name, content) in script.added {
        part(name.as_bytes());
        part(content.as_bytes());
    }
    for (name, content) in files {
        part(name.as_bytes());
        part(content);
    }
    sha.finalize().to_vec()
}

/// The file that is there, if it says that it was built of this.
fn unchanged(there: &Path, source: &[u8], check: SignatureCheck) -> Option<Vec<u8>> {
    let wasm = std::fs::read(there).ok()?;
    let same = module::section(&wasm, SOURCE_SECTION).ok()?? == source;
    let is_plugin = module::check(&wasm, MODULE_BYTES_MAX).is_ok()
        && check(&module::signature(&wasm).ok()?).is_ok();
    (same && is_plugin).then_some(wasm)
}

/// The interpreter, and the tool that it runs.
enum Tool {
    Python { python: PathBuf },
    JavaScript { package: PathBuf },
}

impl Tool {
    fn find(language: Language, script: &Script, folder: &Path) -> Result<Self, BuildError> {
        if language == Language::Python {
            Self::python(script, folder)
        } else {
            Self::javascript(script, folder)
        }
    }

    /// The interpreter of the environment `.venv` in the plugin's folder or one above it, else the one on the path.
    fn python(script: &Script, folder: &Path) -> Result<Self, BuildError> {
        let mut environments = folder.ancestors().map(|above| above.join(".venv/bin/python3"));
        let python = environments.find(|path| path.is_file());
        let python = python.unwrap_or_else(|| PathBuf::from("python3"));
        let name = python.display().to_string();
        let version = run(Command::new(&python).args(["-c", PYTHON_TOOL]), &name)?;
        let came = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        if !version.status.success() {
            return Err(lacking(script, &format!("{name} hasn't got it")));
        }
        if came != script.tool.1 {
            return Err(lacking(script, &format!("{name} has version {came}")));
        }
        Ok(Self::Python { python })
    }

    /// The package in `node_modules` of the plugin's folder or one above it, where `import` would find it.
    fn javascript(script: &Script, folder: &Path) -> Result<Self, BuildError> {
        let package = |above: &Path| above.join("node_modules").join(script.tool.0);
        let found = folder.ancestors().map(package).find(|path| path.is_dir());
        let Some(package) = found else {
            let places = format!(
                "there is no node_modules/{} in {} or above it",
                script.tool.0,
                folder.display()
            );
            return Err(lacking(script, &places));
        };
        let manifest = package.join("package.json");
        let text =
            std::fs::read(&manifest).map_err(|source| BuildError::Io { path: manifest, source })?;
        let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let came = manifest["version"].as_str().unwrap_or("unknown");
        if came != script.tool.1 {
            return Err(lacking(script, &format!("{} has version {came}", package.display())));
        }
        if !package
            .ancestors()
            .any(|above| above.join("node_modules").join(JAVASCRIPT_SHIM).is_dir())
        {
            let why = format!("{} imports {JAVASCRIPT_SHIM}, which isn't there", package.display());
            return Err(lacking(script, &why));
        }
        let said = run(Command::new("node").arg("--version"), "node")?.stdout;
        let came = String::from_utf8_lossy(&said).trim().to_owned();
        if !new_enough(&came) {
            return Err(BuildError::OldNode { min: NODE_MIN, came });
        }
        Ok(Self::JavaScript { package })
    }

    /// Prints the signature of the module in `app`.
    fn signature(&self) -> (Command, String) {
        match self {
            Self::Python { python } => {
                let mut command = Command::new(python);
                // Without the packages of an environment (-S): the component won't have them.
                command.args(["-I", "-S", "-B", "-c", PYTHON_SIGNATURE]);
                (command, python.display().to_string())
            }
            Self::JavaScript { .. } => {
                let mut command = Command::new("node");
                command.arg("signature.mjs");
                (command, "node".to_owned())
            }
        }
    }

    /// Makes `out.wasm` of `app`, in the folder `work`.
    fn componentise(&self, work: &Path) -> Command {
        match self {
            Self::Python { python } => {
                let mut command = Command::new(python);
                // In the place of an environment, whose packages the tool would offer to the plugin without being asked.
                command.env("VIRTUAL_ENV", work.join("empty"));
                command.args([
                    "-c",
                    PYTHON_BUILD,
                    "-q",
                    "-d",
                    "wit",
                    "-w",
                    "plugin",
                    "componentize",
                ]);
                command.args(["--stub-wasi", "-p", "app", "-o", "out.wasm", "skewless_entry"]);
                command
            }
            Self::JavaScript { package } => {
                let mut command = Command::new("node");
                // Where the tool makes its own work folder.
                command.env("TMPDIR", work).arg("build.mjs");
                command
                    .arg(package.join("src/componentize.js"))
                    .arg(work.join("wit"))
                    .arg("out.wasm");
                command
            }
        }
    }
}

/// Whether this is what a Node.js of [`NODE_MIN`] or later says of its version: `v20.20.2`.
fn new_enough(said: &str) -> bool {
    let major = said.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    major.is_some_and(|major: u32| major >= NODE_MIN)
}

fn lacking(script: &Script, why: &str) -> BuildError {
    let (name, version) = script.tool;
    BuildError::NoTool { name, version, install: script.install, why: why.to_owned() }
}

/// Runs the tool over the files; gives the component and the signature.
fn componentise(
    script: &Script,
    tool: &Tool,
    files: &[Source],
    work: &Path,
    check: SignatureCheck,
    progress: &mut dyn FnMut(&str),
) -> Result<(Vec<u8>, Vec<u8>), BuildError> {
    let io = |path: PathBuf| move |source| BuildError::Io { path, source };
    let write = |path: PathBuf, content: &[u8]| {
        let folder = path.parent().unwrap_or(work);
        let made = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, content));
        made.map_err(io(path))
    };
    let app = work.join("app");
    // So that node takes every .js file for a module.
    if matches!(tool, Tool::JavaScript { .. }) {
        write(app.join("package.json"), b"{\"type\": \"module\"}\n")?;
        write(work.join("signature.mjs"), JAVASCRIPT_SIGNATURE.as_bytes())?;
        write(work.join("build.mjs"), JAVASCRIPT_BUILD.as_bytes())?;
    }
    for (name, content) in files {
        write(app.join(name), content)?;
    }
    write(work.join("wit/world.wit"), WORLD.as_bytes())?;
    std::fs::create_dir_all(work.join("empty/lib/site-packages")).map_err(io(work.to_owned()))?;
    let (mut command, name) = tool.signature();
    let said =
        succeeded(run(command.current_dir(work), &name)?, |output| BuildError::Module { output })?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let signature = said.trim_end().lines().last().unwrap_or_default().to_owned();
    // The tool may take a minute.
    module::declared(signature.as_bytes(), check)?;
    for (name, content) in script.added {
        write(app.join(name), content.as_bytes())?;
    }
    progress(&format!("{} is making the component", script.tool.0));
    let tool_failed = |output| BuildError::Tool { name: script.tool.0, output };
    succeeded(run(tool.componentise(work).current_dir(work), &name)?, tool_failed)?;
    let out = work.join("out.wasm");
    let wasm = std::fs::read(&out).map_err(io(out))?;
    Ok((wasm, signature.into_bytes()))
}

fn run(command: &mut Command, name: &str) -> Result<Output, BuildError> {
    command.output().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => BuildError::NoInterpreter { program: name.to_owned() },
        _ => BuildError::Start { program: name.to_owned(), source },
    })
}

/// What a program said, if it succeeded; else the error of it.
fn succeeded(
    output: Output,
    failed: impl FnOnce(String) -> BuildError,
) -> Result<Output, BuildError> {
    if output.status.success() {
        return Ok(output);
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.trim().lines().collect();
    Err(failed(lines[lines.len().saturating_sub(OUTPUT_LINES_MAX)..].join("\n")))
}

#[cfg(test)]
#[path = "script/tests.rs"]
mod tests;

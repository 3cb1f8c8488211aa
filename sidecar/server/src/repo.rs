//! Reads a feature repo from its folder: definition files, and the plugins they name; not what they mean.
//!
//! Definitions are the `*.yaml` and `*.yml` files directly in the folder. A plugin is named by a path inside
//! the folder, or as `sha256:<hex>` of a file in its `plugins/` folder. Nothing outside the folder is read:
//! absolute paths and `..` are refused. A plugin's certificate is the file beside it that is named after it. The same
//! reading serves the sidecar, the commands and backfills.
//!
//! Limits: [`RepoLimits`] and the engine's `module_bytes_max`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use skewless_catalog::{
    Catalog, Certified, Diagnostic, Digest, PluginInfo, Plugins, SourceFile, limit,
};
use skewless_engine::certificate::{
    self, CERTIFICATE_BYTES_MAX, CERTIFICATE_EXTENSION, ENGINE_VERSION,
};
use skewless_engine::{EngineConfig, inspect};

/// A checked feature repo.
#[derive(Clone, Debug)]
pub struct Repo {
    /// The folder it was read from.
    pub dir: PathBuf,
    /// The checked definitions.
    pub catalog: Arc<Catalog>,
    /// The bytes of every plugin that a transform names.
    pub plugins: BTreeMap<Digest, Arc<[u8]>>,
    /// The definition files as they were read.
    pub files: Vec<SourceFile>,
}

/// Limits on reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RepoLimits {
    /// Bytes of one definition file; see `limits.definition_bytes_max`.
    pub definition_bytes_max: u64,
    /// Definition files; see `limits.definition_files_max`.
    pub definition_files_max: usize,
}

impl Default for RepoLimits {
    fn default() -> Self {
        Self {
            definition_bytes_max: limit::FILE_BYTES_MAX as u64,
            definition_files_max: limit::FILES_MAX,
        }
    }
}

/// Why a repo can't be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RepoError {
    /// A file or folder can't be read, or is over a limit.
    #[error("{path}: {detail}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What was expected and what came.
        detail: String,
    },
    /// There is no definition file.
    #[error("expected definitions (*.yaml) in {dir}, came none")]
    Empty {
        /// The folder.
        dir: PathBuf,
    },
    /// The definitions have mistakes.
    #[error("{} in the definitions:{}", count(.diagnostics), list(.diagnostics))]
    Definitions {
        /// Every mistake.
        diagnostics: Vec<Diagnostic>,
        /// The files they are in, for showing the lines.
        files: Vec<SourceFile>,
    },
}

fn count(diagnostics: &[Diagnostic]) -> String {
    if diagnostics.len() == 1 {
        "1 mistake".to_owned()
    } else {
        format!("{} mistakes", diagnostics.len())
    }
}

fn list(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("\n  {diagnostic}")).collect()
}

/// Reads and checks a feature repo with all it names. Runs no plugin.
pub fn read(dir: &Path, limits: RepoLimits, engine: &EngineConfig) -> Result<Repo, RepoError> {
    let files = definitions(dir, limits)?;
    let shelf = Shelf { dir, engine, found: RefCell::default(), by_digest: RefCell::default() };
    let catalog = match skewless_catalog::check(&files, &shelf) {
        Ok(catalog) => catalog,
        Err(diagnostics) => return Err(RepoError::Definitions { diagnostics, files }),
    };
    let mut plugins = BTreeMap::new();
    for (info, bytes) in shelf.found.into_inner().into_values().flatten() {
        if catalog.transforms.iter().any(|transform| transform.digest == info.digest) {
            plugins.insert(info.digest, bytes);
        }
    }
    Ok(Repo { dir: dir.to_owned(), catalog: Arc::new(catalog), plugins, files })
}

/// The definition files of a folder, by name.
pub fn definitions(dir: &Path, limits: RepoLimits) -> Result<Vec<SourceFile>, RepoError> {
    let failed = |path: &Path, detail: String| RepoError::Read { path: path.to_owned(), detail };
    let entries = std::fs::read_dir(dir).map_err(|error| failed(dir, error.to_string()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(dir, error.to_string()))?.path();
        let yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if yaml && !hidden && path.is_file() {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(RepoError::Empty { dir: dir.to_owned() });
    }
    if paths.len() > limits.definition_files_max {
        let (max, came) = (limits.definition_files_max, paths.len());
        let detail = format!(
            "expected at most {max} definition files (limits.definition_files_max), came {came}"
        );
        return Err(failed(dir, detail));
    }
    paths.sort();
    paths.iter().map(|path| definition(path, limits)).collect()
}

fn definition(path: &Path, limits: RepoLimits) -> Result<SourceFile, RepoError> {
    let max = limits.definition_bytes_max;
    let failed = |detail| RepoError::Read { path: path.to_owned(), detail };
    let bytes = read_at_most(path, max).map_err(|error| failed(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| {
        failed(format!("expected a definition file of at most {max} bytes (limits.definition_bytes_max), came more"))
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|error| failed(format!("expected UTF-8 text, came {error}")))?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok(SourceFile { path: name.to_string_lossy().into_owned(), text })
}

/// A file's bytes; `None` if there are more than `max`. Never reads more than that, whatever the file is.
fn read_at_most(path: &Path, max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max).then_some(bytes))
}

/// What the certificate beside a plugin file says of it.
fn certified(plugin: &Path, digest: &Digest) -> Certified {
    let path = plugin.with_extension(CERTIFICATE_EXTENSION);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let void = |why: String| Certified::Void(format!("{name}: {why}"));
    let bytes = match read_at_most(&path, CERTIFICATE_BYTES_MAX as u64) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let max = CERTIFICATE_BYTES_MAX;
            return void(format!(
                "expected at most {max} bytes (CERTIFICATE_BYTES_MAX), came more"
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Certified::No,
        Err(error) => return void(error.to_string()),
    };
    let read = certificate::read(&bytes);
    match read.and_then(|certificate| certificate.check(digest).map(|()| certificate.engine)) {
        Ok(engine) if engine == ENGINE_VERSION => Certified::Yes,
        Ok(certified) => Certified::ByEngine { certified, here: ENGINE_VERSION.to_owned() },
        Err(error) => void(error.to_string()),
    }
}

type Found = Result<(PluginInfo, Arc<[u8]>), String>;

/// The plugins of a repo, read when they are first named.
struct Shelf<'a> {
    dir: &'a Path,
    engine: &'a EngineConfig,
    found: RefCell<HashMap<String, Found>>,
    by_digest: RefCell<Option<BTreeMap<Digest, PathBuf>>>,
}

impl Plugins for Shelf<'_> {
    fn lookup(&self, plugin: &str) -> Result<PluginInfo, String> {
        if let Some(found) = self.found.borrow().get(plugin) {
            return found.clone().map(|(info, _)| info);
        }
        let found = self.read(plugin);
        let info = found.clone().map(|(info, _)| info);
        self.found.borrow_mut().insert(plugin.to_owned(), found);
        info
    }
}

impl Shelf<'_> {
    fn read(&self, plugin: &str) -> Found {
        let path = match plugin.strip_prefix("sha256:") {
            Some(hex) => self.path_of(hex)?,
            None => self.inside(plugin)?,
        };
        let max = self.engine.module_bytes_max;
        let bytes =
            read_at_most(&path, max as u64).map_err(|error| format!("{plugin}: {error}"))?;
        let bytes = bytes.ok_or_else(|| {
            format!("{plugin}: expected a plugin of at most {max} bytes (engine.module_bytes_max), came more")
        })?;
        let facts = inspect(&bytes, self.engine).map_err(|error| format!("{plugin}: {error}"))?;
        let certified = certified(&path, &facts.digest);
        let info = PluginInfo { digest: facts.digest, signature: facts.signature, certified };
        Ok((info, bytes.into()))
    }

    fn inside(&self, plugin: &str) -> Result<PathBuf, String> {
        let path = Path::new(plugin);
        let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if path.components().all(plain) {
            Ok(self.dir.join(path))
        } else {
            Err(format!("expected a path inside the feature repo, came `{plugin}`"))
        }
    }

    fn path_of(&self, hex: &str) -> Result<PathBuf, String> {
        let digest: Digest = hex
            .parse()
            .map_err(|_| format!("expected sha256: and 64 hex digits, came `sha256:{hex}`"))?;
        let mut index = self.by_digest.borrow_mut();
        let index = index.get_or_insert_with(|| self.index());
        let found = index.get(&digest).cloned();
        found.ok_or_else(|| format!("expected a file with digest {digest} in plugins/, came none"))
    }

    /// Every readable file of the `plugins/` folder that may be a plugin; whether it is one, its reading says.
    fn index(&self) -> BTreeMap<Digest, PathBuf> {
        let mut index = BTreeMap::new();
        let entries = std::fs::read_dir(self.dir.join("plugins")).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            if path.extension().is_some_and(|end| end == "wasm")
                && let Ok(Some(bytes)) = read_at_most(&path, self.engine.module_bytes_max as u64)
            {
                index.insert(Digest::of(&bytes), path);
            }
        }
        index
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    fn refused(dir: &Path, limits: RepoLimits) -> String {
        read(dir, limits, &EngineConfig::default()).unwrap_err().to_string()
    }

    #[test]
    fn definitions_are_the_yaml_files_of_the_folder_by_name() {
        let dir =
            folder(&[("b.yaml", "# b"), ("a.yml", "# a"), ("c.txt", "no"), (".d.yaml", "no")]);
        let files = definitions(dir.path(), RepoLimits::default()).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names, ["a.yml", "b.yaml"]);
    }

    #[test]
    fn an_empty_folder_and_files_over_a_limit_are_refused() {
        assert!(refused(folder(&[]).path(), RepoLimits::default()).contains("came none"));
        let dir = folder(&[("a.yaml", "# 123"), ("b.yaml", "#")]);
        let limits = RepoLimits { definition_bytes_max: 4, ..RepoLimits::default() };
        assert!(refused(dir.path(), limits).contains("limits.definition_bytes_max"));
        let limits = RepoLimits { definition_files_max: 1, ..RepoLimits::default() };
        assert!(refused(dir.path(), limits).contains("limits.definition_files_max"));
        std::fs::write(dir.path().join("a.yaml"), b"\xff").unwrap();
        assert!(refused(dir.path(), RepoLimits::default()).contains("UTF-8"));
    }

    #[test]
    fn plugins_outside_the_folder_and_files_that_are_none_are_refused() {
        for (plugin, expected) in [
            ("../x.wasm", "inside the feature repo"),
            ("/x.wasm", "inside the feature repo"),
            ("none.wasm", "none.wasm"),
            ("sha256:12", "64 hex digits"),
            (&format!("sha256:{}", "0".repeat(64)), "came none"),
            ("a.yaml", "wasm"),
        ] {
            let text =
                format!("transforms:\n  - name: t\n    plugin: \"{plugin}\"\n    inputs: {{}}\n");
            let dir = folder(&[("a.yaml", &text)]);
            let error = refused(dir.path(), RepoLimits::default());
            assert!(error.contains(expected), "{plugin}: {error}");
        }
    }

    /// What an examination finds is the engine's to test; here it is which file is read and what is believed.
    #[test]
    fn the_certificate_of_a_plugin_is_the_file_beside_it() {
        let text = "requests: [{name: x, type: float64}]\ntransforms:\n  - name: t\n    plugin: plugins/a.b.wasm\n    inputs: {a: request.x, b: request.x}\n    require_certificate: true\n";
        let dir = folder(&[("a.yaml", text)]);
        let plugins = dir.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        let adds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/adds.wat");
        let wasm = wat::parse_file(adds).unwrap();
        std::fs::write(plugins.join("a.b.wasm"), &wasm).unwrap();
        let limits = RepoLimits::default();
        assert!(refused(dir.path(), limits).contains("came none"));
        let certificate = plugins.join("a.b.certificate.json");
        let digest = Digest::of(&wasm);
        let form = |digest: &Digest, result: &str| {
            format!(
                r#"{{"certificate":1,"digest":"{digest}","abi":1,"engine":"{ENGINE_VERSION}","result":"{result}","checks":[]}}"#
            )
        };
        for (text, expected) in [
            ("no JSON", "a.b.certificate.json: expected a certificate"),
            (&form(&Digest::of(b"other"), "pass"), "built anew since"),
            (&form(&digest, "fail"), "came one that failed"),
            (&" ".repeat(CERTIFICATE_BYTES_MAX + 1), "CERTIFICATE_BYTES_MAX"),
        ] {
            std::fs::write(&certificate, text).unwrap();
            let error = refused(dir.path(), limits);
            assert!(error.contains(expected), "{expected}: {error}");
        }
        std::fs::write(&certificate, form(&digest, "pass")).unwrap();
        assert!(read(dir.path(), limits, &EngineConfig::default()).is_ok());
        // By its digest it is the same file, with the same certificate beside it.
        let by_digest = text.replace("plugins/a.b.wasm", &format!("\"sha256:{digest}\""));
        std::fs::write(dir.path().join("a.yaml"), by_digest).unwrap();
        assert!(read(dir.path(), limits, &EngineConfig::default()).is_ok());
    }
}

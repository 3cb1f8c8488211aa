//! Reads a feature repo from its folder: definition files, and the plugins they name; not what they mean.
//!
//! Definitions are the `*.yaml` and `*.yml` files directly in the folder. A plugin is named by a path inside
//! the folder, or as `sha256:<hex>` of a file in its `plugins/` folder. Nothing outside the folder is read:
//! absolute paths and `..` are refused. A plugin's certificate is the file beside it that is named after it. The same
//! reading serves the sidecar, the commands and backfills. Feast's names of imported definitions stand beside them
//! ([`feast_names`]).
//!
//! Limits: [`RepoLimits`], the engine's `module_bytes_max`, and those of [`source`].

pub mod feast_names;
pub mod source;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use skewless_catalog::names::nearest;
use skewless_catalog::{
    Catalog, Certified, Diagnostic, Digest, PluginInfo, Plugins, SourceFile, limit,
};
use skewless_engine::certificate::{
    self, CERTIFICATE_BYTES_MAX, CERTIFICATE_EXTENSION, ENGINE_VERSION,
};
use skewless_engine::{Certificate, EngineConfig, PluginError, inspect};

use self::feast_names::FeastNames;

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
    /// Feast's names, of definitions that were imported.
    pub feast: Arc<FeastNames>,
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
    #[error("expected definitions (*.yaml or *.yml) in {dir}, came none")]
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

impl RepoError {
    /// What to do about it, if it isn't to mend the definitions: what they ask of a plugin that lacks it may be in its
    /// source already, if that is known to be a crate beside the plugin. `dir` is the feature repo's folder.
    #[must_use]
    pub fn next_step(&self, dir: &Path) -> Option<String> {
        let Self::Definitions { diagnostics, .. } = self else { return None };
        outdated_plugins(diagnostics, dir)
    }
}

/// How to get what definitions in `dir` ask of plugins that lack it, if their sources are newer: they may have it already.
#[must_use]
pub fn outdated_plugins(mistakes: &[Diagnostic], dir: &Path) -> Option<String> {
    let named = mistakes.iter().filter_map(|mistake| mistake.plugin.as_deref());
    let named: BTreeSet<PathBuf> = named.map(|plugin| dir.join(plugin)).collect();
    let outdated = named.iter().filter_map(|path| Some((path, source::newer(path)?)));
    let (paths, builds): (Vec<String>, Vec<String>) = outdated
        .map(|(path, krate)| (shown(path), format!("skewless plugin build {}", shown(&krate))))
        .unzip();
    let older = match paths.len() {
        0 => return None,
        1 => "is older than its source",
        _ => "are older than their sources",
    };
    Some(format!("{} {older}: {}", paths.join(", "), builds.join(" && ")))
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
    let feast = Arc::new(FeastNames::read(dir)?);
    Ok(Repo { dir: dir.to_owned(), catalog: Arc::new(catalog), plugins, files, feast })
}

/// The definition files of a folder, by name.
pub fn definitions(dir: &Path, limits: RepoLimits) -> Result<Vec<SourceFile>, RepoError> {
    let failed = |path: &Path, detail: String| RepoError::Read { path: path.to_owned(), detail };
    if dir.is_file() {
        return Err(failed(dir, "expected the folder of a feature repo, came a file".to_owned()));
    }
    let entries = std::fs::read_dir(dir).map_err(|error| failed(&named(dir), error.to_string()))?;
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
        return Err(RepoError::Empty { dir: named(dir) });
    }
    if paths.len() > limits.definition_files_max {
        let (max, came) = (limits.definition_files_max, paths.len());
        let detail = format!(
            "expected at most {max} definition files (limits.definition_files_max), came {came}"
        );
        return Err(failed(&named(dir), detail));
    }
    paths.sort();
    paths.iter().map(|path| definition(path, limits)).collect()
}

/// A folder by its whole path: `.` names none to who reads it in a log.
pub(crate) fn named(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
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
fn certified(plugin: &Path, digest: &Digest, limits: &EngineConfig) -> Certified {
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
    let checked =
        |certificate: Certificate| certificate.check(digest, limits).map(|()| certificate.engine);
    match read.and_then(checked) {
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
    by_digest: RefCell<Option<BTreeMap<Digest, Vec<PathBuf>>>>,
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

    /// The plugin of the crate that was named, or one of nearly this name.
    fn meant(&self, plugin: &str) -> Option<String> {
        let named = Path::new(plugin);
        let path = self.inside(plugin).ok()?;
        if is_plugin(&path) && source::of(&path).is_some() && !path.exists() {
            return None; // It wasn't built yet.
        }
        let there = |path: &PathBuf| path != named && self.dir.join(path).is_file();
        if let Some(krate) = self.crate_of(named) {
            let built = Some(krate.with_extension("wasm")).filter(there)?;
            return Some(built.display().to_string());
        }
        let near = || {
            let (folder, stem) = (named.parent()?, named.file_stem()?.to_str()?);
            let stems = self.stems(folder);
            let meant = nearest(stem, stems.iter().map(String::as_str))?;
            Some(folder.join(meant).with_extension("wasm"))
        };
        let same = || Some(Path::new(PLUGINS).join(named.file_name()?).with_extension("wasm"));
        let ended = Some(named.with_extension("wasm")).filter(there);
        let meant = ended.or_else(|| near().filter(there)).or_else(|| same().filter(there))?;
        Some(meant.display().to_string())
    }

    fn file(&self, plugin: &str) -> String {
        let path = match plugin.strip_prefix("sha256:") {
            Some(hex) => self.path_of(hex),
            None => self.inside(plugin),
        };
        path.map_or_else(|_| plugin.to_owned(), |path| shown(&path))
    }

    fn warning(&self, plugin: &str) -> Option<String> {
        let path = self.inside(plugin).ok()?;
        let krate = source::newer(&path)?;
        Some(format!(
            "plugin `{plugin}` is older than its source: `skewless plugin build {}` makes it anew",
            shown(&krate)
        ))
    }
}

/// The folder of a feature repo in which plugins are found by their digest.
const PLUGINS: &str = "plugins";

/// Plugins of which messages show the digest.
const SHOWN_MAX: usize = 3;

/// A path as a person would type it.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

impl Shelf<'_> {
    fn read(&self, plugin: &str) -> Found {
        let path = match plugin.strip_prefix("sha256:") {
            Some(hex) => self.path_of(hex)?,
            None => self.inside(plugin)?,
        };
        if let Some(why) = self.is_source(Path::new(plugin), &path) {
            return Err(why);
        }
        let max = self.engine.module_bytes_max;
        let bytes = read_at_most(&path, max as u64).map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or_else(|| {
            format!("expected at most {max} bytes (engine.module_bytes_max), came more")
        })?;
        let facts = inspect(&bytes, self.engine).map_err(|error| match error {
            PluginError::NotWasm => {
                format!("{error}; `skewless plugin build` makes a plugin of its crate")
            }
            // The commonest reason is not in the words of the validator.
            PluginError::Invalid(_) => {
                format!("{error}; if the file was damaged or cut short, build or copy it again")
            }
            error => error.to_string(),
        })?;
        let certified = certified(&path, &facts.digest, self.engine);
        let info = PluginInfo { digest: facts.digest, signature: facts.signature, certified };
        Ok((info, bytes.into()))
    }

    /// What was named instead of a plugin's file, if it is a folder or source text.
    fn is_source(&self, named: &Path, path: &Path) -> Option<String> {
        let is_text = path.extension().is_some_and(|end| end == "rs" || end == "toml");
        let came = match path.is_dir() {
            true => "a folder",
            false if is_text && path.is_file() => "source text",
            false => return None,
        };
        Some(match self.crate_of(named) {
            Some(krate) => format!(
                "expected a .wasm file, came {came}; `skewless plugin build {}` makes {}",
                shown(&self.dir.join(krate)),
                krate.with_extension("wasm").display()
            ),
            None => format!("expected a .wasm file, came {came}"),
        })
    }

    /// The folder of the crate that a path in the repo leads into.
    fn crate_of<'p>(&self, named: &'p Path) -> Option<&'p Path> {
        let mut folders = named.ancestors().filter(|folder| folder.file_name().is_some());
        folders.find(|folder| source::is_crate(&self.dir.join(folder)))
    }

    /// The names of the plugins in a folder of the repo, without their ending.
    fn stems(&self, folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.join(folder)).into_iter().flatten().flatten();
        let plugins = entries.map(|entry| entry.path()).filter(|path| is_plugin(path));
        plugins.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
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
        // Of several copies, one may have the certificate beside it.
        let copies = index.get(&digest).map_or(&[][..], Vec::as_slice);
        let counts = |path: &&PathBuf| {
            matches!(
                certified(path, &digest, self.engine),
                Certified::Yes | Certified::ByEngine { .. }
            )
        };
        let found = copies.iter().find(counts).or(copies.first()).cloned();
        found.ok_or_else(|| {
            let files = index.iter().filter_map(|(digest, paths)| Some((digest, paths.first()?)));
            let there = files.take(SHOWN_MAX).map(|(digest, path)| {
                let name = path.file_name().unwrap_or(path.as_os_str());
                format!("{} (sha256:{digest})", name.display())
            });
            let there: Vec<String> = there.collect();
            let there = match index.len() {
                0 => "no plugin is there".to_owned(),
                count if count > SHOWN_MAX => {
                    format!("{count} others are there, such as {}", there.join(", "))
                }
                _ => format!("what is there: {}", there.join(", ")),
            };
            format!("expected a file with digest {digest} in {PLUGINS}/, came none; {there}")
        })
    }

    /// Every readable file of the `plugins/` folder that may be a plugin, those of one digest by name; whether it is one,
    /// its reading says.
    fn index(&self) -> BTreeMap<Digest, Vec<PathBuf>> {
        let mut index: BTreeMap<Digest, Vec<PathBuf>> = BTreeMap::new();
        let entries = std::fs::read_dir(self.dir.join(PLUGINS)).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            if is_plugin(&path)
                && let Ok(Some(bytes)) = read_at_most(&path, self.engine.module_bytes_max as u64)
            {
                index.entry(Digest::of(&bytes)).or_default().push(path);
            }
        }
        index
    }
}

fn is_plugin(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "wasm")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::{Duration, SystemTime};

    use skewless_engine::certify::Property;

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
        // The working folder of this test has none either; `.` would not say which it is.
        let here = format!("in {}, came none", std::env::current_dir().unwrap().display());
        assert!(refused(Path::new("."), RepoLimits::default()).contains(&here));
        let dir = folder(&[("a.yaml", "# 123"), ("b.yaml", "#")]);
        let limits = RepoLimits { definition_bytes_max: 4, ..RepoLimits::default() };
        assert!(refused(dir.path(), limits).contains("limits.definition_bytes_max"));
        let limits = RepoLimits { definition_files_max: 1, ..RepoLimits::default() };
        assert!(refused(dir.path(), limits).contains("limits.definition_files_max"));
        std::fs::write(dir.path().join("a.yaml"), b"\xff").unwrap();
        assert!(refused(dir.path(), RepoLimits::default()).contains("UTF-8"));
    }

    #[test]
    fn what_a_plugin_lacks_may_be_in_its_newer_source() {
        let adds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/adds.wat");
        let service = "services: [{name: sums, features: [adds.product]}]\n";
        let text = format!(
            "requests: [{{name: a, type: float64}}, {{name: b, type: float64}}]\n\
             transforms: [{{name: adds, plugin: adds.wasm, inputs: {{a: request.a, b: request.b}}}}]\n{service}"
        );
        let dir = folder(&[("a.yaml", text.as_str())]);
        let dir = dir.path();
        std::fs::write(dir.join("adds.wasm"), wat::parse_file(adds).unwrap()).unwrap();
        let next = || {
            let error = read(dir, RepoLimits::default(), &EngineConfig::default()).unwrap_err();
            assert!(error.to_string().contains("came `product`"), "{error}");
            error.next_step(dir)
        };
        assert_eq!(next(), None, "no source is known");
        std::fs::create_dir(dir.join("adds")).unwrap();
        let krate = dir.join("adds/Cargo.toml");
        std::fs::write(&krate, "").unwrap();
        let krate = std::fs::File::options().write(true).open(krate).unwrap();
        krate.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(next(), None, "the source is older");
        krate.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
        let (plugin, source) = (dir.join("adds.wasm"), dir.join("adds"));
        let (plugin, source) = (plugin.display(), source.display());
        let expected = format!("{plugin} is older than its source: skewless plugin build {source}");
        assert_eq!(next(), Some(expected));
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

    #[test]
    fn a_plugin_that_is_none_says_what_may_be_meant() {
        let cut = b"\0asm\x01\0\0\0\x01";
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, bytes: &[u8]| {
            let file = dir.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        };
        write("plugins/adds/Cargo.toml", b"");
        write("plugins/adds/src/lib.rs", b"");
        write("plugins/cut.wasm", cut);
        write("plugins/add.wasm", cut);
        let found = |plugin: &str| {
            let text =
                format!("transforms:\n  - name: t\n    plugin: \"{plugin}\"\n    inputs: {{}}\n");
            write("a.yaml", text.as_bytes());
            let read = read(dir.path(), RepoLimits::default(), &EngineConfig::default());
            let RepoError::Definitions { diagnostics, .. } = read.unwrap_err() else {
                panic!("{plugin}")
            };
            (diagnostics[0].message.clone(), diagnostics[0].suggestion.clone())
        };
        let by_digest = format!(".wasm (sha256:{})", Digest::of(cut));
        let no_digest = format!("sha256:{}", "0".repeat(64));
        for (plugin, expected, meant) in [
            ("plugins/adds", "came a folder; `skewless plugin build ", None),
            ("plugins/adds/src/lib.rs", "came source text; `skewless plugin build ", None),
            ("plugins/adds/src/lib.rs", " makes plugins/adds.wasm", None),
            ("plugins", "expected a .wasm file, came a folder", None),
            ("plugins/cot.wasm", "plugins/cot.wasm", Some("plugins/cut.wasm")),
            ("plugins/cut", "plugins/cut", Some("plugins/cut.wasm")),
            ("cut.wasm", "cut.wasm", Some("plugins/cut.wasm")),
            ("plugins/cut.wasm", "damaged or cut short, build or copy it again", None),
            ("plugins/far.wasm", "plugins/far.wasm", None),
            ("plugins/adds.wasm", "plugins/adds.wasm", None),
            (&no_digest, &by_digest, None),
        ] {
            let (message, suggestion) = found(plugin);
            assert!(message.contains(expected), "{plugin}: {message}");
            assert_eq!(suggestion.as_deref(), meant, "{plugin}");
        }
        write("plugins/adds.wasm", cut);
        for plugin in ["plugins/adds", "plugins/adds/src/lib.rs", "plugins/adds/Cargo.toml"] {
            assert_eq!(found(plugin).1.as_deref(), Some("plugins/adds.wasm"), "{plugin}");
        }
    }

    #[test]
    fn a_file_is_no_feature_repo() {
        let dir = folder(&[("a.yaml", "# a")]);
        let error = refused(&dir.path().join("a.yaml"), RepoLimits::default());
        assert!(
            error.contains("a.yaml: expected the folder of a feature repo, came a file"),
            "{error}"
        );
    }

    /// A certificate that says the same of every property.
    fn form(digest: &Digest, result: &str) -> String {
        let check = |property: Property| {
            format!(r#"{{"name":"{}","result":"{result}","runs":1}}"#, property.word())
        };
        let checks = Property::ALL.map(check).join(",");
        format!(
            r#"{{"certificate":3,"digest":"{digest}","abi":1,"engine":"{ENGINE_VERSION}","result":"{result}","cases":16,"rows_answerable":100,"rows_answered":100,"checks":[{checks}]}}"#
        )
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
        let error = refused(dir.path(), limits);
        let certify = |file: &str| {
            format!("`skewless plugin certify {}` makes one", plugins.join(file).display())
        };
        assert!(error.contains("came none; ") && error.contains(&certify("a.b.wasm")), "{error}");
        let certificate = plugins.join("a.b.certificate.json");
        let digest = Digest::of(&wasm);
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
        // Of copies, whichever has a certificate that counts is taken; if none has, the first by name.
        for copy in ["0.wasm", "z.wasm", "c.wasm"] {
            std::fs::write(plugins.join(copy), &wasm).unwrap();
        }
        assert!(read(dir.path(), limits, &EngineConfig::default()).is_ok());
        std::fs::rename(&certificate, plugins.join("z.certificate.json")).unwrap();
        assert!(read(dir.path(), limits, &EngineConfig::default()).is_ok());
        std::fs::remove_file(plugins.join("z.certificate.json")).unwrap();
        for copy in ["c", "0", "z"] {
            let void = plugins.join(format!("{copy}.certificate.json"));
            std::fs::write(void, form(&digest, "fail")).unwrap();
        }
        let error = refused(dir.path(), limits);
        assert!(
            error.contains("0.certificate.json: expected a certificate that passed"),
            "{error}"
        );
        assert!(error.contains(&certify("0.wasm")), "{error}");
    }
}

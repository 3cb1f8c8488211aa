//! A story told offline: its histories and questions as Parquet, one backfill, its output read back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use skewless_batch::Type;
use skewless_catalog::{Catalog, Certified, Digest, Plan, PluginInfo, Plugins, SourceFile};
use skewless_engine::{DirCache, Engine, EngineConfig, Program, Ticker};
use skewless_offline::{
    BACKFILL_TICK, BackfillOptions, BackfillRequest, CancelFlag, LoadOptions, LoadRequest, Silent,
    backfill, load,
};
use skewless_store::{CommitMode, Store, StoreConfig};

use crate::parquet_files::{Written, read_features, write_history, write_spine};
use crate::story::{PluginFile, Story};

/// Writes the story's feature repo: definitions, plugins, histories.
pub fn write_repo(repo: &Path, story: &Story) -> Result<()> {
    std::fs::create_dir_all(repo.join("plugins"))?;
    std::fs::write(repo.join("features.yaml"), &story.definitions)?;
    for plugin in &story.plugins {
        std::fs::write(repo.join("plugins").join(&plugin.file), &plugin.wasm)?;
    }
    for (number, history) in story.histories.iter().enumerate() {
        let folder = repo.join("data").join(&history.view);
        write_history(&folder, history, 1 + number % 4, number as u64)?;
    }
    Ok(())
}

/// The story's checked definitions.
pub fn catalog(story: &Story) -> Result<Catalog> {
    check(story, &story.plugins)
}

fn check(story: &Story, plugins: &[PluginFile]) -> Result<Catalog> {
    let file = SourceFile { path: "features.yaml".to_owned(), text: story.definitions.clone() };
    skewless_catalog::check(&[file], &Files(plugins)).map_err(|mistakes| {
        let shown: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        anyhow!("{}:\n{}\nin\n{}", story.name, shown.join("\n"), story.definitions)
    })
}

/// Backfills the story's questions; `change` may give a plugin other bytes, to show that it is noticed.
pub fn tell(
    story: &Story,
    folder: &Path,
    options: &BackfillOptions,
    change: impl Fn(&PluginFile) -> Option<Vec<u8>>,
) -> Result<Vec<Written>> {
    tell_under(story, folder, options, EngineConfig::default(), change)
}

/// As [`tell`], by an engine with these limits.
pub fn tell_under(
    story: &Story,
    folder: &Path,
    options: &BackfillOptions,
    limits: EngineConfig,
    change: impl Fn(&PluginFile) -> Option<Vec<u8>>,
) -> Result<Vec<Written>> {
    let repo = folder.join("repo");
    write_repo(&repo, story)?;
    let spine = folder.join("spine.parquet");
    write_spine(&spine, &story.asks)?;
    let changed = |plugin: &PluginFile| PluginFile {
        wasm: change(plugin).unwrap_or_else(|| plugin.wasm.clone()),
        ..plugin.clone()
    };
    let plugins: Vec<PluginFile> = story.plugins.iter().map(changed).collect();
    let catalog = check(story, &plugins)?;
    let plan = catalog.plan(&story.service)?;
    let engine = Engine::new(limits)?;
    let _ticker = Ticker::start(engine.clone(), BACKFILL_TICK)?;
    let program = bind(&engine, &plan, &plugins)?;
    let output: PathBuf = folder.join("features.parquet");
    backfill(&BackfillRequest {
        catalog: &catalog,
        program: &program,
        engine: &engine,
        repo: &repo,
        spine: vec![spine.display().to_string()],
        output: output.clone(),
        options: BackfillOptions { statuses: true, overwrite: true, ..options.clone() },
        progress: Arc::new(Silent),
        cancel: CancelFlag::new(),
    })?;
    read_features(&output, &outputs(&plan))
}

/// Loads every view's history into the online store in a folder, as of `now_us`.
pub fn load_all(catalog: &Catalog, repo: &Path, store: &Path, now_us: i64) -> Result<()> {
    let (open, _) = Store::open(store, StoreConfig::default())?;
    let views = open.set_views(catalog)?;
    for view in &catalog.views {
        load(&LoadRequest {
            catalog,
            view: &view.name,
            repo,
            store: &open,
            handle: views.by_name(&view.name)?,
            now_us,
            mode: CommitMode::Merge,
            options: LoadOptions::default(),
            spill_folder: repo,
            progress: Arc::new(Silent),
            cancel: CancelFlag::new(),
        })?;
    }
    Ok(())
}

/// Names and types of a plan's features, in order.
#[must_use]
pub fn outputs(plan: &Plan) -> Vec<(String, Type)> {
    plan.outputs.iter().map(|output| (output.name.clone(), output.ty)).collect()
}

fn bind(engine: &Engine, plan: &Arc<Plan>, plugins: &[PluginFile]) -> Result<Program> {
    let code = DirCache::open(crate::plugins::code()?)?;
    let mut loaded = Vec::new();
    for plugin in plugins {
        loaded.push((Digest::of(&plugin.wasm), engine.load(&plugin.wasm, Some(&code))?));
    }
    let find = |digest: &Digest| {
        loaded.iter().find(|(known, _)| known == digest).map(|(_, plugin)| plugin.clone())
    };
    Ok(Program::bind(plan, &find)?)
}

struct Files<'a>(&'a [PluginFile]);

impl Plugins for Files<'_> {
    fn lookup(&self, plugin: &str) -> Result<PluginInfo, String> {
        let found = self.0.iter().find(|file| plugin == format!("plugins/{}", file.file));
        let found = found.ok_or_else(|| format!("the story has no plugin {plugin}"))?;
        Ok(PluginInfo {
            digest: Digest::of(&found.wasm),
            signature: found.signature.clone(),
            certified: Certified::No,
        })
    }
}

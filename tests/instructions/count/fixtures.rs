//! What the counted processes find ready, made natively and once: plugins, a feature repo, stores. All is fixed
//! data, written out and compacted.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use skewless_batch::{Column, Type};
use skewless_build::{BuildRequest, Lane, build, default_target_dir};
use skewless_engine::EngineConfig;
use skewless_server::repo::{self, RepoLimits};
use skewless_store::{CommitMode, Rows, Store, StoreConfig, ViewSet};

use crate::one_view::{VIEW, copy, schema};

pub(crate) const ROWS: usize = 2_000;
/// Keys begin here, so that every request has the same length.
pub(crate) const FIRST_KEY: i64 = 1_000_000;
/// 2013-07-01T12:00:00 UTC.
pub(crate) const NOW_US: i64 = 1_372_680_000_000_000;
/// Types of the request columns of the service `asked`.
pub(crate) const ASKED: [&str; 10] = [
    "float64", "float64", "float64", "float64", "int64", "int64", "float32", "bool", "utf8", "utf8",
];
const WIDTHS: [usize; 2] = [10, STORED];
const STORED: usize = 100;
const PLUGINS: [&str; 3] = ["calendar", "great_circle", "wind"];

/// The folder with everything in it.
pub(crate) struct Fixtures(PathBuf);

impl Fixtures {
    /// What [`Fixtures::make`] made there.
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_path_buf())
    }

    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let fixtures = Self::at(folder);
        std::fs::create_dir_all(fixtures.repo().join("plugins"))?;
        let adds = std::fs::read_to_string(root().join("tests/programs/adds.wat"))?;
        std::fs::write(fixtures.plugin("adds"), wat::parse_str(adds)?)?;
        let mut outputs = String::new();
        for name in PLUGINS {
            for output in compile(name, &fixtures.plugin(name))? {
                outputs.push_str(&format!("      - {name}.{output}\n"));
            }
        }
        std::fs::write(fixtures.repo().join("features.yaml"), definitions(&outputs))?;
        for width in WIDTHS {
            load(&fixtures.store(width), width, |store| {
                Ok(store.set_schemas(vec![schema(width)])?)
            })?;
        }
        let catalog =
            repo::read(&fixtures.repo(), RepoLimits::default(), &Default::default())?.catalog;
        load(&fixtures.profile(), STORED, |store| Ok(store.set_views(&catalog)?))?;
        Ok(fixtures)
    }

    /// The same in another folder.
    pub(crate) fn copied(&self, to: &Path) -> Result<Self> {
        copy(&self.0, to)?;
        Ok(Self::at(to))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// A folder with definitions and plugins.
    pub(crate) fn repo(&self) -> PathBuf {
        self.0.join("repo")
    }

    pub(crate) fn plugin(&self, name: &str) -> PathBuf {
        self.repo().join("plugins").join(format!("{name}.wasm"))
    }

    /// The store of one view of so many features.
    pub(crate) fn store(&self, width: usize) -> PathBuf {
        self.0.join(format!("store-{width}"))
    }

    /// The sidecar's store.
    pub(crate) fn profile(&self) -> PathBuf {
        self.0.join("profile")
    }
}

/// Services: `whole` with 100 stored and 20 computed features, `few` with 10 stored, `asked` with ten request
/// columns.
fn definitions(outputs: &str) -> String {
    let features: String =
        (0..STORED).map(|at| format!("      - {{name: f{at}, type: float64}}\n")).collect();
    let requests: String = (ASKED.iter().enumerate())
        .map(|(at, ty)| format!("  - {{name: r{at}, type: {ty}}}\n"))
        .collect();
    let stored = |many: usize| -> String {
        (0..many).map(|at| format!("      - profile.f{at}\n")).collect()
    };
    let asked: String = (0..ASKED.len()).map(|at| format!("      - request.r{at}\n")).collect();
    format!(
        "entities:\n  - {{name: user, keys: [{{name: user_id, type: int64}}]}}\n\
         views:\n  - name: profile\n    entity: user\n    features:\n{features}\
         requests:\n  - {{name: at, type: timestamp}}\n{requests}\
         transforms:\n\
         \x20 - {{name: calendar, plugin: plugins/calendar.wasm, inputs: {{at: request.at, utc_offset: 60}}}}\n\
         \x20 - {{name: great_circle, plugin: plugins/great_circle.wasm, inputs: {{lat1: profile.f0, lon1: profile.f1, lat2: profile.f2, lon2: profile.f3}}}}\n\
         \x20 - {{name: wind, plugin: plugins/wind.wasm, inputs: {{direction: profile.f4, speed: profile.f5, gust: profile.f6, course: profile.f7}}}}\n\
         services:\n\
         \x20 - name: whole\n    features:\n{}{outputs}\
         \x20 - name: few\n    features:\n{}\
         \x20 - name: asked\n    features:\n{}{asked}",
        stored(STORED),
        stored(10),
        stored(1)
    )
}

/// Builds a plugin of the project with its own builder; gives the names of its outputs.
fn compile(name: &str, to: &Path) -> Result<Vec<String>> {
    let binary = std::env::current_exe()?;
    let target = binary.ancestors().nth(3).context("a binary in cargo's target folder")?;
    let request = BuildRequest {
        crate_dir: root().join("plugins").join(name),
        lane: Lane::Core,
        out_dir: to.parent().context("a folder of plugins")?.to_path_buf(),
        target_dir: default_target_dir(target),
        signature: |_| Ok(()),
    };
    build(&request, &mut |_| {}).with_context(|| name.to_owned())?;
    let outputs =
        skewless_engine::inspect(&std::fs::read(to)?, &EngineConfig::default())?.signature.outputs;
    Ok(outputs.into_iter().map(|output| output.name).collect())
}

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Fills [`VIEW`] by one bulk load.
fn load(dir: &Path, width: usize, views: impl FnOnce(&Store) -> Result<ViewSet>) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let (store, _) = Store::open(dir, StoreConfig::default())?;
    let views = views(&store)?;
    let mut loader = store.stage(views.by_name(VIEW)?, NOW_US)?;
    let mut key = Column::new(Type::Int64);
    (0..ROWS as i64).for_each(|row| key.push_i64(FIRST_KEY + row));
    let feature = |at: usize| {
        let mut column = Column::new(Type::Float64);
        // From 1 to 90, of any entity and feature another: a latitude, a direction, a speed.
        let value = |row: usize| ((row * 7 + at * 13) % 8_900) as f64 / 100.0 + 1.0;
        (0..ROWS).for_each(|row| column.push_f64(value(row)));
        column
    };
    loader.push(&Rows {
        keys: vec![key],
        event_us: vec![NOW_US; ROWS],
        known_us: vec![NOW_US; ROWS],
        deleted: vec![false; ROWS],
        features: (0..width).map(feature).collect(),
    })?;
    store.commit(loader, CommitMode::Replace, NOW_US)?;
    store.reclaim()?;
    store.flush()?;
    Ok(())
}

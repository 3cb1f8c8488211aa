//! F6: from starting a process to its being ready, and its memory then: a sidecar with twenty plugins and a
//! store of some GB over an empty tonic server. Both are this program, started again with a word of its own.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use skewless_batch::{Column, Type};
use skewless_engine::EngineConfig;
use skewless_server::repo::{RepoLimits, read};
use skewless_server::{Clock, Config, Server};
use skewless_store::{CommitMode, Rows, Store, StoreConfig};
use skewless_tests::plugins::core_modules;

use crate::Mode;
use crate::draw::Draw;
use crate::echo::Echo;
use crate::process::{Process, ready};
use crate::report::{Goal, Line, Part, Table};
use crate::rounds::interleave;

/// First words of a process that is measured.
pub(crate) const EMPTY: &str = "--child-empty";
pub(crate) const SIDECAR: &str = "--child-sidecar";
const PLUGINS: usize = 20;
const FEATURES: usize = 100;
const NOW_US: i64 = 1_372_680_000_000_000;
const CHUNK_ROWS: usize = 10_000;
const MIB: f64 = 1_048_576.0;

pub(crate) fn measure(mode: Mode) -> Result<Part> {
    let rows = mode.scale.pick(100_000, 2_500_000, 5_000_000);
    let folder = prepare(rows)?;
    let start = |words: &[&str]| -> Result<[f64; 2]> {
        let process = Process::start(words)?;
        Ok([process.ready_ms, process.resident_mib()?])
    };
    let path = folder.to_str().context("a path that is text")?;
    let [time, memory] = interleave(
        mode.rounds,
        || start(&[EMPTY]),
        // The first, uncounted round compiles the plugins and fills the page cache.
        || start(&[SIDECAR, path]),
    )?;
    let store_gib = bytes_below(&folder.join("store"))? as f64 / (1024.0 * MIB);
    let lines = vec![
        Line::new("start to ready", "ms", time).goal(Goal::AtMost(200.0)),
        Line::new("resident memory when ready", "MiB", memory).goal(Goal::AtMost(50.0)),
    ];
    let method = format!(
        "Floor: a tonic server without services' work, over TCP and a Unix socket. Ours: {PLUGINS} plugins of different digests in a warm \
         compile cache, checked definitions, a store of {store_gib:.1} GiB ({rows} rows of {FEATURES} float64), opened. Both are the bench's own \
         program started again, from before the process is made until it says that it is ready; every file in the page cache. \
         Resident memory counts mapped code that was touched; RocksDB's block cache is empty then."
    );
    let title = "F6: start, with a warm compile cache";
    let heads = ["empty server", "sidecar"];
    Ok(Part::from(vec![Table { title, method, heads, ratios: false, lines }]))
}

/// Serves until standard input ends.
pub(crate) fn child(words: &[String]) -> Result<()> {
    let until_told = || {
        ready("")?;
        std::io::stdin().read_to_end(&mut Vec::new())?;
        anyhow::Ok(())
    };
    match words {
        [_, folder] => {
            let sidecar = Server::start(config(Path::new(folder)), Clock::system())?;
            until_told()?;
            sidecar.shutdown();
            Ok(())
        }
        _ => {
            let folder = tempfile::tempdir()?;
            let _empty = Echo::start(folder.path(), Vec::new())?;
            until_told()
        }
    }
}

fn config(folder: &Path) -> Config {
    let mut config = Config {
        repo_dir: folder.join("repo"),
        store_dir: folder.join("store"),
        cache_dir: folder.join("cache"),
        ..Config::default()
    };
    config.listen.tcp = Some(([127, 0, 0, 1], 0).into());
    config.listen.http = Some(([127, 0, 0, 1], 0).into());
    config.listen.unix = Some(folder.join("sidecar.sock"));
    config
}

/// Repo and store, built once below cargo's folder for such things and kept.
fn prepare(rows: usize) -> Result<PathBuf> {
    let above = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-startup");
    let folder = above.join(rows.to_string());
    write_repo(&folder.join("repo"))?;
    let whole = folder.join("whole");
    if whole.exists() {
        return Ok(folder);
    }
    eprintln!("building a store of {rows} rows in {}", folder.display());
    let store = folder.join("store");
    if store.exists() {
        std::fs::remove_dir_all(&store)?;
    }
    fill(&folder.join("repo"), &store, rows)?;
    std::fs::write(whole, "")?;
    Ok(folder)
}

/// Twenty plugins: the reference ones, again and again with another custom section, so other digests.
fn write_repo(repo: &Path) -> Result<()> {
    std::fs::create_dir_all(repo.join("plugins"))?;
    let modules: Vec<_> = ["great_circle", "wind", "calendar", "ratios"]
        .iter()
        .map(|name| {
            let module = core_modules()?.iter().find(|module| module.signature.name == *name);
            module.with_context(|| format!("expected a plugin {name}"))
        })
        .collect::<Result<_>>()?;
    let inputs = [
        "lat1: v.f0, lon1: v.f1, lat2: v.f2, lon2: v.f3",
        "direction: v.f4, speed: v.f5, gust: v.f6, course: v.f7",
        "at: request.at, utc_offset: 60",
        "part: v.f8, whole: v.f9",
    ];
    let features: String =
        (0..FEATURES).map(|at| format!("      - {{name: f{at}, type: float64}}\n")).collect();
    let (mut transforms, mut wanted) = (String::new(), String::new());
    for number in 0..PLUGINS {
        let (module, inputs) = (modules[number % modules.len()], inputs[number % modules.len()]);
        let mut wasm = module.wasm.clone();
        // Section 0 with its length, a name with its length, and a byte.
        wasm.extend_from_slice(&[0, 7, 5]);
        wasm.extend_from_slice(b"bench");
        wasm.push(u8::try_from(number)?);
        std::fs::write(repo.join(format!("plugins/p{number}.wasm")), wasm)?;
        transforms.push_str(&format!(
            "  - {{name: t{number}, plugin: plugins/p{number}.wasm, inputs: {{{inputs}}}}}\n"
        ));
        let output = &module.signature.outputs[0].name;
        wanted.push_str(&format!("      - t{number}.{output}\n"));
    }
    let yaml = format!(
        "entities:\n  - {{name: e, keys: [{{name: id, type: int64}}]}}\n\
         views:\n  - name: v\n    entity: e\n    features:\n{features}\
         requests:\n  - {{name: at, type: timestamp}}\n\
         transforms:\n{transforms}services:\n  - name: s\n    features:\n{wanted}"
    );
    std::fs::write(repo.join("features.yaml"), yaml)?;
    Ok(())
}

/// Random values, so that compression makes the store no smaller.
fn fill(repo: &Path, store: &Path, rows: usize) -> Result<()> {
    let repo = read(repo, RepoLimits::default(), &EngineConfig::default())?;
    let (store, _) = Store::open(store, StoreConfig::default())?;
    let views = store.set_views(&repo.catalog)?;
    let mut loader = store.stage(views.by_name("v")?, NOW_US)?;
    let mut draw = Draw::new(6);
    for from in (0..rows).step_by(CHUNK_ROWS) {
        let many = CHUNK_ROWS.min(rows - from);
        let mut keys = Column::with_capacity(Type::Int64, many);
        (from..from + many).for_each(|key| keys.push_i64(key as i64));
        let features = (0..FEATURES).map(|_| {
            let mut column = Column::with_capacity(Type::Float64, many);
            (0..many).for_each(|_| column.push_f64(draw.unit() * 89.0 + 1.0));
            column
        });
        let features = features.collect();
        loader.push(&Rows {
            keys: vec![keys],
            event_us: vec![NOW_US - 1; many],
            known_us: vec![NOW_US - 1; many],
            deleted: vec![false; many],
            features,
        })?;
    }
    store.commit(loader, CommitMode::Replace, NOW_US)?;
    store.flush()?;
    Ok(())
}

fn bytes_below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { bytes_below(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}

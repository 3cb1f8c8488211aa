//! Rows a second of a backfill: a million spine rows against a million history rows, 8 float
//! features, no transform. `cargo run -p skewless-offline --example backfill_rate [MEMORY_MIB] [FOLDER]`.
//! Input files are made once in the folder and kept; a figure means something only beside others of the
//! same run and machine.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use skewless_catalog::{PluginInfo, Plugins, SourceFile, check};
use skewless_engine::{Engine, EngineConfig, Program};
use skewless_offline::{BackfillOptions, BackfillRequest, CancelFlag, Phase, Progress, backfill};

const ROWS: u64 = 1_000_000;
const ENTITIES: u64 = 100_000;
const FEATURES: usize = 8;

struct NoPlugins;

impl Plugins for NoPlugins {
    fn lookup(&self, plugin: &str) -> Result<PluginInfo, String> {
        Err(format!("no plugin {plugin}"))
    }
}

/// Prints when each phase begins.
struct Phases(Instant, Mutex<Option<Phase>>);

impl Progress for Phases {
    fn report(&self, phase: &Phase, _done: u64, _total: u64) {
        if let Ok(mut last) = self.1.lock()
            && last.as_ref() != Some(phase)
        {
            println!("{:6.2} s  {phase:?}", self.0.elapsed().as_secs_f64());
            *last = Some(phase.clone());
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let memory_mib: u64 = arguments.next().map_or(Ok(1024), |mib| mib.parse())?;
    let folder = arguments.next().unwrap_or_else(|| "out/backfill_rate".to_owned());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    write(&folder.join("history.parquet"), "time", FEATURES, 1)?;
    write(&folder.join("spine.parquet"), "event_timestamp", 0, 2)?;

    let features: Vec<String> =
        (0..FEATURES).map(|i| format!("{{name: f{i}, type: float64}}")).collect();
    let asked: Vec<String> = (0..FEATURES).map(|i| format!("v.f{i}")).collect();
    let text = format!(
        "entities: [{{name: user, keys: [{{name: user, type: int64}}]}}]\n\
         views: [{{name: v, entity: user, ttl: 30d, features: [{}], source: {{path: history.parquet, \
         event_timestamp: time}}}}]\n\
         services: [{{name: s, features: [{}]}}]\n",
        features.join(", "),
        asked.join(", ")
    );
    let file = SourceFile { path: "features.yaml".to_owned(), text };
    let catalog = check(&[file], &NoPlugins).map_err(|mistakes| format!("{mistakes:?}"))?;
    let engine = Engine::new(EngineConfig::default())?;
    let program = Program::bind(&catalog.plan("s")?, &|_| None)?;
    let start = Instant::now();
    let report = backfill(&BackfillRequest {
        catalog: &catalog,
        program: &program,
        engine: &engine,
        repo: folder,
        spine: vec![folder.join("spine.parquet").display().to_string()],
        output: folder.join("out.parquet"),
        options: BackfillOptions {
            memory_bytes: memory_mib << 20,
            overwrite: true,
            ..BackfillOptions::default()
        },
        progress: Arc::new(Phases(start, Mutex::new(None))),
        cancel: CancelFlag::new(),
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{seconds:6.2} s  {:.0} spine rows/s, {:?}, {:.1} MB written",
        report.rows as f64 / seconds,
        report.sorts,
        report.bytes as f64 / 1e6
    );
    Ok(())
}

/// A million random (user, time) with features, unless the file is there.
fn write(path: &Path, time: &str, features: usize, seed: u64) -> Result<(), Box<dyn Error>> {
    const YEAR_S: u64 = 365 * 86_400;
    const BATCH_ROWS: u64 = 65_536;
    if path.exists() {
        return Ok(());
    }
    let mut state = seed;
    let mut roll = |sides: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    let mut writer: Option<ArrowWriter<File>> = None;
    for start in (0..ROWS).step_by(BATCH_ROWS as usize) {
        let rows = BATCH_ROWS.min(ROWS - start);
        let users = Int64Array::from_iter_values((0..rows).map(|_| roll(ENTITIES) as i64));
        let times = (0..rows).map(|_| roll(YEAR_S) as i64 * 1_000_000).collect::<Vec<_>>();
        let mut columns: Vec<(String, ArrayRef)> = vec![
            ("user".to_owned(), Arc::new(users)),
            (time.to_owned(), Arc::new(TimestampMicrosecondArray::from(times))),
        ];
        for feature in 0..features {
            let values = Float64Array::from_iter_values((0..rows).map(|_| roll(1 << 30) as f64));
            columns.push((format!("f{feature}"), Arc::new(values)));
        }
        let batch = RecordBatch::try_from_iter(columns)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?),
        };
        writer.write(&batch)?;
    }
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(())
}

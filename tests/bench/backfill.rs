//! F4: a backfill that runs a transform over rows of Parquet, over plain Rust that reads the same columns,
//! computes natively and writes the same columns; not the point-in-time join, for which there is no such floor.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, RecordBatch,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Float64Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use skewless_catalog::{Catalog, Certified, Digest, PluginInfo, Plugins, SourceFile};
use skewless_engine::{Engine, EngineConfig, Program, Ticker};
use skewless_offline::{BackfillOptions, BackfillRequest, CancelFlag, Silent, backfill};
use skewless_tests::plugins::core_modules;
use skewless_tests::story::PluginFile;

use crate::Mode;
use crate::draw::Draw;
use crate::report::{Goal, Line, Part, Table};
use crate::rounds::{Spent, interleave};

/// Rows of a batch of the floor: what the offline room takes at a time, too.
const BATCH_ROWS: usize = 8_192;
const DEADLINE_TICKS: u64 = 30_000;

/// What is computed: service and plugin, its inputs.
const SERVICES: [(&str, &[&str]); 2] =
    [("great_circle", &["lat1", "lon1", "lat2", "lon2"]), ("ratios", &["part", "whole"])];

pub(crate) fn measure(mode: Mode) -> Result<Part> {
    let rows = mode.scale.pick(100_000, 1_000_000, 4_000_000);
    let folder = tempfile::tempdir()?;
    let mut lines = Vec::new();
    for (name, inputs) in SERVICES {
        let ours = Ours::new(folder.path(), name, inputs, rows)?;
        let native: Native = if name == "ratios" { native_ratios } else { native_great_circle };
        let floor_out = folder.path().join(format!("{name}-floor.parquet"));
        let pairs = interleave(
            mode.rounds.div_ceil(3).max(3),
            || timed(rows, || floor(&ours.spine, &floor_out, native)),
            || timed(rows, || ours.run()),
        )?;
        ensure!(
            same_features(&ours.output, &floor_out)?,
            "{name}: the floor computed other values"
        );
        for ((pair, what), goal) in
            pairs.into_iter().zip(["processor time", "time"]).zip([true, false])
        {
            let line = Line::new(format!("{name}, {what} a row"), "ns", pair);
            lines.push(if goal { line.goal(Goal::RatioAtMost(1.3)) } else { line });
        }
    }
    let method = format!(
        "{rows} rows with a time and the plugin's inputs as float64 (random, without nulls) in one Parquet file, Snappy. Floor: \
         arrow-rs reads it in batches of {BATCH_ROWS}, a loop over slices computes natively, arrow-rs writes all columns and the outputs \
         with the writer's settings that we use. Ours: `backfill` with one worker: spine checked and hashed (SHA-256), plan \
         executed in Wasm, statuses counted but not written, provenance into the footer. After each run both outputs hold the same \
         values. Page cache warm. `great_circle` is eight transcendental functions a row, `ratios` two logarithms and six outputs. \
         Processor time is of the whole process."
    );
    let title = "F4: a backfill over reading, native computing and writing";
    let heads = ["Parquet + native", "backfill"];
    Ok(Part::from(vec![Table { title, method, heads, ratios: true, lines }]))
}

/// Nanoseconds a row, of processor time and by the clock.
fn timed(rows: usize, work: impl FnOnce() -> Result<()>) -> Result<[f64; 2]> {
    let (start, spent) = (Instant::now(), Spent::Process.so_far()?);
    work()?;
    let (spent, time) = (Spent::Process.so_far()? - spent, start.elapsed());
    Ok([spent, time].map(|time| time.as_nanos() as f64 / rows as f64))
}

struct Ours {
    catalog: Catalog,
    engine: Engine,
    program: Program,
    _ticker: Ticker,
    repo: PathBuf,
    spine: PathBuf,
    output: PathBuf,
}

impl Ours {
    fn new(folder: &Path, name: &str, inputs: &[&str], rows: usize) -> Result<Self> {
        let module = core_modules()?.iter().find(|module| module.signature.name == name);
        let module = module.with_context(|| format!("expected a plugin {name}"))?;
        let repo = folder.join(name);
        std::fs::create_dir_all(&repo)?;
        let requests: String =
            inputs.iter().map(|input| format!("  - {{name: {input}, type: float64}}\n")).collect();
        let bound: Vec<String> =
            inputs.iter().map(|input| format!("{input}: request.{input}")).collect();
        let outputs: String = module
            .signature
            .outputs
            .iter()
            .map(|output| format!("      - {name}.{}\n", output.name))
            .collect();
        let text = format!(
            "requests:\n{requests}transforms:\n  - {{name: {name}, plugin: plugins/{}, inputs: {{{}}}}}\n\
             services:\n  - name: {name}\n    features:\n{outputs}",
            module.file,
            bound.join(", ")
        );
        let file = SourceFile { path: "features.yaml".to_owned(), text };
        let catalog = skewless_catalog::check(&[file], &One(module))
            .map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?;
        let config = EngineConfig { deadline_ticks: DEADLINE_TICKS, ..EngineConfig::default() };
        let engine = Engine::new(config)?;
        let ticker = Ticker::start(engine.clone(), Duration::from_millis(1))?;
        let plugin = engine.load(&module.wasm, None)?;
        let program = Program::bind(&catalog.plan(name)?, &|_| Some(plugin.clone()))?;
        let spine = folder.join(format!("{name}.parquet"));
        write_spine(&spine, inputs, rows)?;
        let output = folder.join(format!("{name}-ours.parquet"));
        Ok(Self { catalog, engine, program, _ticker: ticker, repo, spine, output })
    }

    fn run(&self) -> Result<()> {
        let report = backfill(&BackfillRequest {
            catalog: &self.catalog,
            program: &self.program,
            engine: &self.engine,
            repo: &self.repo,
            spine: vec![self.spine.display().to_string()],
            output: self.output.clone(),
            options: BackfillOptions { workers: 1, overwrite: true, ..BackfillOptions::default() },
            progress: Arc::new(Silent),
            cancel: CancelFlag::new(),
        })?;
        ensure!(report.rows > 0, "expected rows, came none");
        Ok(())
    }
}

struct One<'a>(&'a PluginFile);

impl Plugins for One<'_> {
    fn lookup(&self, _: &str) -> Result<PluginInfo, String> {
        Ok(PluginInfo {
            digest: Digest::of(&self.0.wasm),
            signature: self.0.signature.clone(),
            certified: Certified::No,
        })
    }
}

/// Times and inputs of all rows; degrees from -90 to 90.
fn write_spine(path: &Path, inputs: &[&str], rows: usize) -> Result<()> {
    let mut draw = Draw::new(4);
    let times =
        TimestampMicrosecondArray::from_iter_values((0..rows as i64).map(|row| row * 1_000));
    let mut columns: Vec<(String, ArrayRef)> =
        vec![("event_timestamp".to_owned(), Arc::new(times.with_timezone("UTC")))];
    for input in inputs {
        let values = (0..rows).map(|_| draw.unit() * 180.0 - 90.0);
        columns.push(((*input).to_owned(), Arc::new(Float64Array::from_iter_values(values))));
    }
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(settings()))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

/// As the offline room writes.
fn settings() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_dictionary_enabled(false)
        .build()
}

type Native = fn(&[&[f64]]) -> Vec<(&'static str, ArrayRef)>;

fn floor(spine: &Path, output: &Path, native: Native) -> Result<()> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(spine)?)?;
    let mut writer: Option<ArrowWriter<File>> = None;
    for batch in reader.with_batch_size(BATCH_ROWS).build()? {
        let batch = batch?;
        let inputs: Vec<&[f64]> = batch.columns()[1..]
            .iter()
            .map(|column| column.as_primitive::<Float64Type>().values().as_ref())
            .collect();
        let carried = batch.schema();
        let mut fields: Vec<_> = carried.fields().iter().cloned().collect();
        let mut columns = batch.columns().to_vec();
        for (name, array) in native(&inputs) {
            fields.push(Arc::new(arrow::datatypes::Field::new(
                name,
                array.data_type().clone(),
                true,
            )));
            columns.push(array);
        }
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => {
                none.insert(ArrowWriter::try_new(File::create(output)?, schema, Some(settings()))?)
            }
        };
        writer.write(&batch)?;
    }
    writer.context("expected rows, came none")?.close()?;
    Ok(())
}

fn native_great_circle(inputs: &[&[f64]]) -> Vec<(&'static str, ArrayRef)> {
    let rows = inputs[0].len();
    let (mut km, mut bearing) = (vec![0.0; rows], vec![0.0; rows]);
    for row in 0..rows {
        let found = great_circle::great_circle(
            inputs[0][row],
            inputs[1][row],
            inputs[2][row],
            inputs[3][row],
        );
        km[row] = found.km;
        bearing[row] = found.bearing;
    }
    vec![
        ("great_circle.km", Arc::new(Float64Array::from(km))),
        ("great_circle.bearing", Arc::new(Float64Array::from(bearing))),
    ]
}

fn native_ratios(inputs: &[&[f64]]) -> Vec<(&'static str, ArrayRef)> {
    let rows = inputs[0].len();
    let mut floats: [Vec<Option<f64>>; 4] = std::array::from_fn(|_| Vec::with_capacity(rows));
    let (mut buckets, mut complete) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    for (part, whole) in inputs[0].iter().zip(inputs[1]) {
        let found = ratios::ratios(Some(*part), Some(*whole));
        floats[0].push(found.ratio);
        floats[1].push(found.difference);
        floats[2].push(found.log_ratio);
        floats[3].push(found.signed_log_part);
        buckets.push(found.bucket);
        complete.push(found.complete);
    }
    let [ratio, difference, log_ratio, signed_log_part] =
        floats.map(|values| Arc::new(Float64Array::from(values)) as ArrayRef);
    vec![
        ("ratios.ratio", ratio),
        ("ratios.difference", difference),
        ("ratios.log_ratio", log_ratio),
        ("ratios.signed_log_part", signed_log_part),
        ("ratios.bucket", Arc::new(Int32Array::from(buckets))),
        ("ratios.complete", Arc::new(BooleanArray::from(complete))),
    ]
}

/// Whether every column that the floor wrote is in our output with the same values.
fn same_features(ours: &Path, floor: &Path) -> Result<bool> {
    let read = |path: &Path| -> Result<Vec<RecordBatch>> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
        Ok(reader.with_batch_size(BATCH_ROWS).build()?.collect::<Result<_, _>>()?)
    };
    let (ours, floor) = (read(ours)?, read(floor)?);
    Ok(ours.len() == floor.len()
        && ours.iter().zip(&floor).all(|(ours, floor)| {
            let schema = floor.schema();
            schema.fields().iter().zip(floor.columns()).all(|(field, column)| {
                ours.column_by_name(field.name()).is_some_and(|ours| ours == column)
            })
        }))
}

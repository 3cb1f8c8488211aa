//! The Python package, if `python.sh` has installed it: what it adds to the engine, beside NumPy, and inside of Spark; not
//! what is right, which its own tests say. The scripts in `python/` measure, as only Python knows what a call of it costs.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value as Json;
use skewless_tests::plugins::{core_modules, root};

use crate::Mode;
use crate::boundary::module;
use crate::report::{Goal, Line, Part, Table};
use crate::rounds::Pair;

/// The interpreter that has the package, NumPy, pyarrow and Spark.
const PYTHON: &str = "SKEWLESS_BENCH_PYTHON";
/// The size for which there are goals.
const ROWS_GOAL: u64 = 8_192;

/// Whether it is there.
pub(crate) fn is_there() -> bool {
    std::env::var_os(PYTHON).is_some()
}

pub(crate) fn measure(mode: Mode) -> Result<Part> {
    let folder = tempfile::tempdir()?;
    let wasm = folder.path().join("great_circle.wasm");
    std::fs::write(&wasm, &module(core_modules()?, "great_circle")?.wasm)?;
    let run = |script: &str| -> Result<Json> {
        let python = std::env::var(PYTHON)
            .with_context(|| format!("expected {PYTHON}; run tests/bench/python.sh"))?;
        let script = root().join("tests/bench/python").join(script);
        let mut command = Command::new(python);
        command.arg("-P").env("PYTHONPATH", root().join("tests/bench/python"));
        let output = command.arg(script).arg(&wasm).arg(mode.rounds.to_string()).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let (wheel, spark) = (run("wheel.py")?, run("spark.py")?);
    let versions = wheel["versions"].as_str().unwrap_or_default();
    let over_engine = Table {
        title: "The wheel over the engine",
        method: format!(
            "`great_circle`, four float64 in and two out, by `skewless.Plugin` on a pyarrow table, over the engine's own call on the same \
             columns, in one process and by turns; whole calls, with everything that Python and Arrow add. {versions}. Times are per call."
        ),
        heads: ["engine", "skewless.Plugin"],
        ratios: true,
        lines: by_rows(&wheel["wheel"], 1.1)?,
    };
    let over_numpy = Table {
        title: "The wheel beside NumPy",
        method: "The same by NumPy's functions over the same arrays (`tests/bench/python/same.py`), which are no more deterministic than \
                 the C library they come from."
            .to_owned(),
        heads: ["NumPy", "skewless.Plugin"],
        ratios: true,
        lines: by_rows(&wheel["numpy"], 1.0)?,
    };
    let pair = |floor: &str| {
        Ok::<_, anyhow::Error>(Pair {
            floor: numbers(&spark[floor])?,
            ours: numbers(&spark["skewless"])?,
        })
    };
    let rows = spark["rows"].as_u64().context("rows")?;
    let in_spark = Table {
        title: "Inside of Spark",
        method: format!(
            "`skewless.spark.transform` over `mapInArrow` with the NumPy function, and with one that gives its batches back; {rows} cached \
             rows, to Spark's `noop` sink. {}. Times are per job.",
            spark["versions"].as_str().unwrap_or_default()
        ),
        heads: ["mapInArrow", "transform"],
        ratios: true,
        lines: vec![
            Line::new("NumPy", "ms", pair("numpy")?).goal(Goal::RatioAtMost(1.2)),
            Line::new("nothing", "ms", pair("nothing")?),
        ],
    };
    Ok(Part::from(vec![over_engine, over_numpy, in_spark]))
}

/// A line for each number of rows.
fn by_rows(figures: &Json, goal: f64) -> Result<Vec<Line>> {
    let line = |figure: &Json| {
        let rows = figure["rows"].as_u64().context("rows")?;
        let pair = Pair { floor: numbers(&figure["floor"])?, ours: numbers(&figure["ours"])? };
        let line = Line::new(format!("{rows} rows"), "us", pair);
        Ok(if rows == ROWS_GOAL { line.goal(Goal::RatioAtMost(goal)) } else { line })
    };
    figures.as_array().context("a list of figures")?.iter().map(line).collect()
}

fn numbers(list: &Json) -> Result<Vec<f64>> {
    let numbers = list.as_array().context("a list of numbers")?.iter();
    numbers.map(|number| number.as_f64().context("a number")).collect()
}

//! The proof that there is no skew: the same story told by a live sidecar over gRPC and by a backfill over
//! Parquet gives the same bytes, and so does the same source linked natively. And the proof that this
//! proof can fail: a plugin with one bit changed on one side is noticed.

use anyhow::{Context, Result, ensure};
use skewless_batch::{ColumnView, Value};
use skewless_catalog::{Catalog, Plan, Status};
use skewless_offline::BackfillOptions;
use skewless_server::Clock;
use skewless_tests::compare::{Comparison, Told};
use skewless_tests::parquet_files::Written;
use skewless_tests::story::{PluginFile, Size, Story};
use skewless_tests::{offline, online, plugins};

/// Values that every run compares, at least.
const VALUES_MIN: u64 = 1_000_000;
const SIZE: Size = Size { rows: 600, times: 220, asks: 24 };

#[test]
fn a_million_values_are_the_same_bytes_online_and_offline() -> Result<()> {
    let plugins = plugins::core_modules()?;
    let mut all = Comparison::default();
    let seed = seed();
    println!("seed {seed}: SKEWLESS_SEED={seed} tells the same stories again");
    for story in 0.. {
        let story = Story::generate(seed + story, plugins, SIZE);
        let folder = tempfile::tempdir()?;
        let (live, batch) = tell_both(&story, folder.path(), |_| None)?;
        let here = compare(&live, &batch)?;
        here.ensure_same(&story.name)?;
        all.values += here.values;
        (0..all.statuses.len()).for_each(|at| all.statuses[at] += here.statuses[at]);
        if all.values >= VALUES_MIN {
            break;
        }
    }
    println!("{} values, 0 mismatches; by status {:?}", all.values, all.statuses);
    for status in [
        Status::Present,
        Status::NullValue,
        Status::NotFound,
        Status::OutsideMaxAge,
        Status::TransformFailed,
    ] {
        let count = all.statuses[status as usize];
        ensure!(
            count > all.values / 2_000,
            "only {count} values are {}: a dull story",
            status.name()
        );
    }
    Ok(())
}

#[test]
fn the_native_build_of_each_plugin_gives_the_same_bytes() -> Result<()> {
    let plugins = plugins::core_modules()?;
    let story = Story::generate(seed() ^ 0x5eed, plugins, Size { rows: 400, times: 60, asks: 24 });
    let folder = tempfile::tempdir()?;
    let (live, _) = tell_both(&story, folder.path(), |_| None)?;
    let catalog = offline::catalog(&story)?;
    let compared = compare_natively(&catalog, &*catalog.plan(&story.service)?, &live)?;
    compared.ensure_same(&story.name)?;
    ensure!(compared.values > 20_000, "only {} values were compared", compared.values);
    Ok(())
}

#[test]
fn a_single_changed_bit_in_one_path_is_noticed() -> Result<()> {
    let plugins = plugins::core_modules()?;
    let story = Story::generate(7, plugins, Size { rows: 200, times: 30, asks: 16 });
    let folder = tempfile::tempdir()?;
    let changed = |plugin: &PluginFile| {
        // The compiler keeps the Earth's diameter: the radius is only used doubled.
        let diameter = (2.0 * 6371.0088_f64).to_le_bytes();
        let at = plugin.wasm.windows(8).position(|bytes| bytes == diameter)?;
        let mut wasm = plugin.wasm.clone();
        wasm[at] ^= 1;
        Some(wasm)
    };
    let held = plugins.iter().filter(|plugin| changed(plugin).is_some()).count();
    ensure!(held == 1, "expected one plugin to hold the Earth's diameter, found {held}");
    let (live, batch) = tell_both(&story, folder.path(), changed)?;
    let compared = compare(&live, &batch)?;
    ensure!(compared.mismatches > 0, "the last bit of the Earth's diameter went unnoticed");
    let only = |name: &str| ["great_circle.km", "fed_"].iter().any(|part| name.starts_with(part));
    for shown in &compared.shown {
        ensure!(only(shown), "a value that doesn't depend on it differs: {shown}");
    }
    Ok(())
}

#[test]
fn how_questions_are_put_into_calls_and_chunks_does_not_show() -> Result<()> {
    let plugins = plugins::core_modules()?;
    let story = Story::generate(11, plugins, Size { rows: 200, times: 40, asks: 24 });
    let folder = tempfile::tempdir()?;
    let (live, batch) = tell_both(&story, folder.path(), |_| None)?;
    let small = BackfillOptions { chunk_rows: 7, workers: 2, ..BackfillOptions::default() };
    let other = tempfile::tempdir()?;
    let again = offline::tell(&story, other.path(), &small, |_| None)?;
    compare(&batch, &again)?.ensure_same("chunks of 7 rows")?;
    let sidecar =
        online::start(&folder.path().join("repo"), other.path(), Clock::manual(0), |_| {})?;
    let wanted = offline::outputs(&*offline::catalog(&story)?.plan(&story.service)?);
    let again = runtime()?.block_on(online::tell(&story, &sidecar, &wanted, 999))?;
    compare(&live, &again)?.ensure_same("other calls")
}

/// NaNs of any bits are among the values, and the second service has no transform that would touch them.
#[test]
fn rows_loaded_in_bulk_are_served_as_they_are_backfilled() -> Result<()> {
    let plugins = plugins::core_modules()?;
    for service in ["everything", "stored"] {
        let mut story = Story::generate(13, plugins, Size { rows: 400, times: 40, asks: 24 });
        let end_us = *story.asks.t_us.last().context("a question")?;
        story.asks.t_us.fill(end_us);
        story.service = service.to_owned();
        if service == "stored" {
            story.asks.request.clear();
        }
        let folder = tempfile::tempdir()?;
        let repo = folder.path().join("repo");
        let batch = offline::tell(&story, folder.path(), &BackfillOptions::default(), |_| None)?;
        let catalog = offline::catalog(&story)?;
        offline::load_all(&catalog, &repo, &folder.path().join("store"), end_us)?;
        let sidecar = online::start(&repo, folder.path(), Clock::manual(end_us), |_| {})?;
        // Nothing arrives any more: it is all in the store.
        story.histories.clear();
        let wanted = offline::outputs(&*catalog.plan(service)?);
        let live = runtime()?.block_on(online::tell(&story, &sidecar, &wanted, 1))?;
        compare(&live, &batch)?.ensure_same(service)?;
        let is_nan = |value: Value<'_>| matches!(value, Value::Float64(value) if value.is_nan());
        let nans = live.iter().map(|told| {
            (0..told.statuses.len()).filter(|row| is_nan(told.column.value(*row))).count()
        });
        ensure!(nans.sum::<usize>() > 10, "hardly a NaN: a dull story");
    }
    Ok(())
}

/// The story as a sidecar answers it and as a backfill writes it; `change` is done to plugins offline only.
fn tell_both(
    story: &Story,
    folder: &std::path::Path,
    change: impl Fn(&PluginFile) -> Option<Vec<u8>>,
) -> Result<(Vec<Written>, Vec<Written>)> {
    let batch = offline::tell(story, folder, &BackfillOptions::default(), change)
        .with_context(|| story.name.clone())?;
    let wanted = offline::outputs(&*offline::catalog(story)?.plan(&story.service)?);
    let sidecar = online::start(&folder.join("repo"), folder, Clock::manual(0), |_| {})?;
    let live = runtime()?.block_on(online::tell(story, &sidecar, &wanted, 1));
    let live = live.with_context(|| story.name.clone())?;
    ensure!(sidecar.shutdown().drained, "the sidecar did not drain");
    Ok((live, batch))
}

fn compare(one: &[Written], other: &[Written]) -> Result<Comparison> {
    ensure!(
        one.len() == other.len() && !one.is_empty(),
        "{} and {} features",
        one.len(),
        other.len()
    );
    let mut comparison = Comparison::default();
    for (one, other) in one.iter().zip(other) {
        comparison.add(&told(one), &told(other))?;
    }
    Ok(comparison)
}

fn told(written: &Written) -> Told<'_> {
    Told { name: &written.name, column: &written.column, statuses: &written.statuses }
}

/// Runs each transform natively over the inputs that the sidecar answered with, and compares its outputs. Only
/// transforms on stored features and request columns: their inputs are all among the answers, except request
/// columns, which the service of a story asks for as well.
fn compare_natively(catalog: &Catalog, plan: &Plan, live: &[Written]) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    let of_slot = |slot: usize| {
        let output = plan.outputs.iter().position(|output| output.slot == slot)?;
        live.get(output)
    };
    for step in &plan.steps {
        let Some(inputs) =
            step.inputs.iter().map(|slot| of_slot(*slot)).collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        let name = &catalog.transform(&step.transform).context("a transform")?.signature.name;
        let plugin = plugins::native(name).with_context(|| format!("{name} natively"))?;
        let rows = inputs.first().map_or(0, |input| input.statuses.len());
        // A failed input leaves the row out; natively all rows run, and those are not compared.
        let failed = |row: usize| {
            inputs.iter().any(|input| input.statuses[row] == Status::TransformFailed as u8)
        };
        let views: Vec<ColumnView<'_>> = inputs.iter().map(|input| input.column.view()).collect();
        let ran = plugin.run_native(rows, &views)?;
        for (output, slot) in &step.outputs {
            let Some(answered) = of_slot(*slot) else { continue };
            let column = &ran.columns[*output];
            let status = |row: usize| match (&ran.errors[row], column.is_null(row)) {
                _ if failed(row) => answered.statuses[row],
                (Some(_), _) => Status::TransformFailed as u8,
                (None, true) => Status::NullValue as u8,
                (None, false) => Status::Present as u8,
            };
            let statuses: Vec<u8> = (0..rows).map(status).collect();
            let mut native = skewless_batch::Column::new(column.ty());
            for row in 0..rows {
                let view = if failed(row) { answered.column.view() } else { column.view() };
                native.push_from(&view, row);
            }
            let native = Told { name: &answered.name, column: &native, statuses: &statuses };
            comparison.add(&told(answered), &native)?;
        }
    }
    Ok(comparison)
}

/// A new seed each run, so that every run looks elsewhere; `SKEWLESS_SEED` repeats one.
fn seed() -> u64 {
    let given = std::env::var("SKEWLESS_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_millis() as u64)
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

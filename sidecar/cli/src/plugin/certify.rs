//! `skewless plugin certify`: whether a plugin file keeps its contract, and a certificate that says so.

use std::path::{Path, PathBuf};

use anyhow::Context;
use skewless_engine::certificate::{self, CERTIFICATE_EXTENSION};
use skewless_engine::certify::{ANSWERED_ONE_IN, CASES_MAX, CASES_MIN, Property};
use skewless_server::Config;

use super::findings;
use super::golden_rows::{self, GOLDEN};
use crate::exit::{Failure, Next, Outcome};
use crate::output::say;
use crate::settings::{self, Settings};
use crate::show;

/// Examine a plugin, and write a certificate of what was found
///
/// Tries the file with rows made for it: everyday values, the ends of each type (NaNs, infinities, denormals, -0.0, the
/// least and the greatest numbers), empty and long texts and lists, nulls, in batches of none, one and many rows. Each
/// row is first computed alone in a new instance. Then the same rows come in other orders and batches, again and
/// again, into new, reset and reused instances, and from several threads: every answer must be the same to the last bit,
/// and no row may take more than the limits of the sidecar's configuration. It finds what depends on anything else than
/// the row itself; it can't prove that nothing does.
///
/// Golden rows are tried, too, and their values in other rows: a plugin that takes texts of some form, such as a date, answers
/// no other. If less than one row in a hundred of those that might gives a value, nothing can be said of the plugin, and the certificate fails.
///
/// Settings can make the limits stricter than their defaults, but not laxer, and calls take at least as many rows as by
/// default (`engine.rows_max`). Memory is the exception: a plugin that needs more than 64 MiB is examined with as much as
/// `--set engine.memory_bytes_max=BYTES` gives, and its certificate counts where the sidecar gives as much.
///
/// The certificate is written beside the file, where definitions with `require_certificate` look for it; it names the
/// file's digest, so a new build needs a new one. Ends with exit code 1 if a property is broken, and shows the fewest
/// and plainest calls that break it; the certificate then says that it failed. The same seed makes the same rows.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  skewless plugin certify plugins/great_circle.wasm   # writes plugins/great_circle.certificate.json"
)]
pub(crate) struct Args {
    /// The .wasm file, or the folder of the plugin's source, which has it beside it
    #[arg(value_name = "FOLDER|FILE.wasm")]
    plugin: PathBuf,
    /// Golden rows to try as well; golden.jsonl in the folder of the plugin's source when not given
    #[arg(long, value_name = "FILE")]
    golden: Option<PathBuf>,
    /// What the rows are made from; another number makes others
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many batches of rows to try; fewer than the least don't show every size of batch
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(i64::from(CASES_MIN)..=i64::from(CASES_MAX)))]
    cases: u32,
    /// File to write; beside the plugin, named NAME.certificate.json, when not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let config = examining(settings::read(&args.settings, [])?);
    let (engine, _ticker) = super::engine(&config)?;
    let (wasm, folder) = golden_rows::places(&args.plugin)?;
    let plugin = super::load(&engine, &wasm, &config.cache_dir)?;
    let golden = golden_rows::read(args.golden.as_deref(), &folder, &plugin)?;
    let given = match &golden {
        Some((_, golden)) => (golden.rows(), golden.inputs.as_slice()),
        None => (0, [].as_slice()),
    };
    let out = match &args.out {
        Some(out) => out.clone(),
        None => wasm.with_extension(CERTIFICATE_EXTENSION),
    };
    check_folder(&out)?;
    let found = findings::examine(&plugin, args.seed, args.cases, given)?;
    let signature = plugin.signature();
    say!(
        "{} {}, sha256:{}\n{}, {} of which {} gave a value, seed {}, engine {}\n",
        signature.name,
        signature.version,
        plugin.digest(),
        show::count(u64::from(found.cases), "case", "cases"),
        show::count(found.rows, "row", "rows"),
        show::thousands(found.rows_answered),
        args.seed,
        certificate::ENGINE_VERSION
    )?;
    findings::print(&found, &Property::ALL)?;
    write(&out, &certificate::write(&plugin, args.seed, &found))?;
    let written = show::path(&out);
    if found.passed() {
        return say!("\npassed; the certificate is {written}");
    }
    let broken = findings::broken(&found);
    let plugin = show::path(&wasm);
    if broken.is_empty() && !found.answered_enough() {
        return Err(Failure::new(
            format!(
                "expected at least one row in {ANSWERED_ONE_IN} to give a value, so that something can be said of {plugin}, came {} of {}; {written} says so",
                show::thousands(found.rows_answered),
                show::thousands(found.rows_answerable)
            ),
            format!(
                "give golden rows that it answers, in {} or with --golden FILE",
                show::path(&folder.join(GOLDEN))
            ),
        ));
    }
    let message = format!(
        "expected {plugin} to keep its contract, found broken: {broken}; {written} says so"
    );
    Err(Failure::new(message, findings::next(&found)))
}

/// The configuration with limits that no plugin gets around: with calls of one row or bytes for few, no row has neighbours,
/// and with endless time, no row takes too much. Memory may be more than usual, as the certificate says how much, and counts where
/// there is as much.
fn examining(mut config: Config) -> Config {
    let usual = Config::default();
    let (engine, default) = (&mut config.engine, &usual.engine);
    engine.rows_max = engine.rows_max.max(default.rows_max);
    engine.input_bytes_max = engine.input_bytes_max.max(default.input_bytes_max);
    engine.reset_bytes_max = engine.reset_bytes_max.max(default.reset_bytes_max);
    engine.table_elements_max = engine.table_elements_max.min(default.table_elements_max);
    engine.stack_bytes_max = engine.stack_bytes_max.min(default.stack_bytes_max);
    engine.output_bytes_max = engine.output_bytes_max.min(default.output_bytes_max);
    // A deadline is as long as its ticks are.
    let tick_us = usual.life.tick_us;
    let ticks = engine.deadline_ticks.saturating_mul(config.life.tick_us) / tick_us;
    engine.deadline_ticks = ticks.clamp(2, default.deadline_ticks);
    config.life.tick_us = tick_us;
    config
}

const OTHER_OUT: &str = "give another --out FILE, in a folder that is there and may be written";

/// Refuses a file that can't be written before it is worked for.
fn check_folder(out: &Path) -> Outcome {
    match out.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        Some(folder) => {
            let (out, folder) = (show::path(out), show::path(folder));
            let message = format!("can't write {out}: expected a folder `{folder}`, came none");
            Err(Failure::new(message, OTHER_OUT))
        }
        None => Ok(()),
    }
}

/// Puts a certificate in place when it is whole, so that nobody reads half of one.
fn write(out: &Path, text: &str) -> Outcome {
    let mut partial = out.as_os_str().to_owned();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, out))
        .inspect_err(|_| _ = std::fs::remove_file(&partial))
        .with_context(|| format!("can't write {}", out.display()))
        .or_next(|| OTHER_OUT)
}

#[cfg(test)]
mod tests {
    use skewless_engine::EngineConfig;

    use super::*;

    #[test]
    fn settings_make_an_examination_stricter_but_never_laxer() {
        let default = EngineConfig::default();
        let mut lax = Config::default();
        lax.engine.rows_max = 1;
        lax.engine.input_bytes_max = 1 << 10;
        lax.engine.reset_bytes_max = 0;
        lax.engine.memory_bytes_max *= 2;
        lax.engine.table_elements_max *= 2;
        lax.engine.stack_bytes_max *= 2;
        lax.engine.output_bytes_max *= 2;
        lax.engine.deadline_ticks = u64::MAX;
        lax.life.tick_us = 1_000_000;
        let examining_lax = examining(lax);
        let memory_bytes_max = default.memory_bytes_max * 2;
        assert_eq!(examining_lax.engine, EngineConfig { memory_bytes_max, ..default.clone() });
        assert_eq!(examining_lax.life.tick_us, Config::default().life.tick_us);

        let strict = EngineConfig {
            rows_max: default.rows_max * 2,
            memory_bytes_max: 1 << 20,
            table_elements_max: 10,
            stack_bytes_max: 16 << 10,
            output_bytes_max: 1 << 20,
            deadline_ticks: 20,
            ..EngineConfig::default()
        };
        let config = Config { engine: strict.clone(), ..Config::default() };
        assert_eq!(examining(config).engine, strict);
        // 1,000 ticks of 0.1 ms are the 100 ms of the default.
        let mut fast = Config::default();
        (fast.engine.deadline_ticks, fast.life.tick_us) = (1_000, 100);
        assert_eq!(examining(fast).engine.deadline_ticks, default.deadline_ticks);
    }
}

//! Under which limits a backfill runs plugins: the sidecar's, where a limit can decide whether a row has a
//! value; its own, where it can't. What each limit is and how it is enforced is the engine's.
//!
//! | limit | in a backfill | why |
//! |---|---|---|
//! | memory, tables, stack, input, output, rows of a call | the sidecar's | a row that fails served must fail here, and no other |
//! | what is loaded at all | the sidecar's | what can't be served needn't be backfilled |
//! | deadline | [`DEADLINE_US_MIN`], or [`DEADLINE_FACTOR`] times the sidecar's | whether a row is in time depends on the machine and on what else it does: the same backfill must not differ from day to day |
//! | instances | as many as the workers need | running out of them would fail rows that are good |
//!
//! So a row that only time fails, served, has its value in training data. That is the one difference, and a
//! plugin that is so slow shows in the sidecar's metrics.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use skewless_catalog::Plan;
use skewless_engine::{Engine, EngineConfig};

use crate::OfflineError;
use crate::config::{DEADLINE_FACTOR, DEADLINE_US_MIN};

/// How often the engine of a backfill should tick: often enough for its deadline, seldom enough to cost
/// nothing.
pub const BACKFILL_TICK: Duration = Duration::from_millis(1);

/// The limits of an engine that backfills with `workers` what a sidecar with the limits `serving`, ticking
/// once every `serving_tick`, would serve. The engine must tick once every [`BACKFILL_TICK`].
pub fn backfill_limits(
    serving: &EngineConfig,
    serving_tick: Duration,
    workers: usize,
) -> EngineConfig {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let served_us = serving.deadline_ticks.saturating_mul(micros(serving_tick));
    let deadline_us = served_us.saturating_mul(DEADLINE_FACTOR).max(DEADLINE_US_MIN);
    let instances = instances_needed(serving, usize::MAX, workers);
    EngineConfig {
        deadline_ticks: deadline_us.div_ceil(micros(BACKFILL_TICK)),
        instances_max: serving.instances_max.max(u32::try_from(instances).unwrap_or(u32::MAX)),
        ..serving.clone()
    }
}

/// Refuses an engine whose instances `workers` could use up: good rows would fail for it.
pub(crate) fn check_instances(
    engine: &EngineConfig,
    plan: &Plan,
    workers: usize,
) -> Result<(), OfflineError> {
    let (needed, given) =
        (instances_needed(engine, plan.steps.len(), workers), engine.instances_max);
    if given as usize >= needed {
        return Ok(());
    }
    let expected =
        format!("at least {needed}, as {workers} workers keep instances of every plugin");
    Err(OfflineError::BadSetting { name: "engine.instances_max", given: given.into(), expected })
}

/// Instances that can live at once: a worker keeps one a step, and no more than it may keep and one in use.
fn instances_needed(engine: &EngineConfig, steps: usize, workers: usize) -> usize {
    workers * steps.min(engine.warm_instances_max.saturating_add(1))
}

/// The limits by which an output's bytes were decided, as its footer names them.
///
/// `rows_max` isn't among them: how rows are put into calls never shows, as little as the size of chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsUsed {
    /// Linear memory of an instance, bytes.
    pub memory_bytes_max: u64,
    /// Elements of a table.
    pub table_elements_max: u64,
    /// Stack of a call, bytes.
    pub stack_bytes_max: u64,
    /// Input batch of a call, bytes.
    pub input_bytes_max: u64,
    /// Output batch of a call, bytes.
    pub output_bytes_max: u64,
    /// Ticks a call may last.
    pub deadline_ticks: u64,
    /// How long a tick is, microseconds; none if whoever ticked the engine didn't say.
    pub tick_us: Option<u64>,
}

impl LimitsUsed {
    pub(crate) fn of(engine: &Engine) -> LimitsUsed {
        let tick_us = engine.tick_us();
        let engine = engine.config();
        LimitsUsed {
            memory_bytes_max: engine.memory_bytes_max as u64,
            table_elements_max: engine.table_elements_max as u64,
            stack_bytes_max: engine.stack_bytes_max as u64,
            input_bytes_max: engine.input_bytes_max as u64,
            output_bytes_max: engine.output_bytes_max as u64,
            deadline_ticks: engine.deadline_ticks,
            tick_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_limits_are_the_sidecars_but_time_and_instances() {
        let serving = EngineConfig {
            memory_bytes_max: 1 << 20,
            table_elements_max: 7,
            stack_bytes_max: 32 << 10,
            output_bytes_max: 2 << 10,
            input_bytes_max: 3 << 10,
            rows_max: 5,
            module_bytes_max: 4 << 10,
            signature_bytes_max: 2 << 10,
            instances_max: 3,
            warm_instances_max: 4,
            deadline_ticks: 6,
            reset_bytes_max: 8,
            keep_resident_bytes: 9,
            parallel_compilation: false,
        };
        let limits = backfill_limits(&serving, Duration::from_millis(1), 2);
        let expected =
            EngineConfig { deadline_ticks: 30_000, instances_max: 10, ..serving.clone() };
        assert_eq!(limits, expected);
        assert_eq!(limits.mistakes(), []);
        let many = EngineConfig { instances_max: 512, ..serving };
        assert_eq!(backfill_limits(&many, BACKFILL_TICK, 2).instances_max, 512);
    }

    #[test]
    fn the_deadline_is_never_below_the_sidecars() {
        let ticks = |deadline_ticks, tick_us| {
            let serving = EngineConfig { deadline_ticks, ..EngineConfig::default() };
            backfill_limits(&serving, Duration::from_micros(tick_us), 1).deadline_ticks
        };
        assert_eq!(ticks(100, 1_000), 30_000);
        assert_eq!(ticks(3_000, 1_000), 30_000);
        assert_eq!(ticks(3_001, 1_000), 30_010);
        assert_eq!(ticks(60, 1_000_000), 600_000);
        assert_eq!(ticks(u64::MAX, u64::MAX), u64::MAX.div_ceil(1_000));
    }
}

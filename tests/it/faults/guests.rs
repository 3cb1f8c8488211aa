//! Hostile plugins in a live sidecar: each fails its own features, whatever it does, and nothing else notices.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use skewless_catalog::Status::{NotFound, NullValue, TransformFailed};
use skewless_proto::v1 as pb;

use super::*;

/// A program, its output, how the sidecar counts it, and what its failures say.
struct Guest {
    program: &'static str,
    output: &'static str,
    reason: &'static str,
    says: &'static str,
}

const fn guest(
    program: &'static str,
    output: &'static str,
    reason: &'static str,
    says: &'static str,
) -> Guest {
    Guest { program, output, reason, says }
}

/// One of each class, in both lanes where a component can do it.
const GUESTS: [Guest; 19] = [
    guest("traps", "sum", "trap", "plugin trapped"),
    guest("reads_outside_memory", "sum", "trap", "plugin trapped"),
    guest("divides_by_zero", "sum", "trap", "plugin trapped"),
    guest(
        "loops_in_transform",
        "sum",
        "deadline",
        "deadline of 250 ms (engine.deadline_ticks: 250 ticks of 1000 us)",
    ),
    guest("grows_memory_forever", "sum", "memory", "memory_bytes_max"),
    guest("grows_table_forever", "sum", "memory", "table_elements_max"),
    guest("lies_about_length", "sum", "lie", "expected the output inside"),
    guest("invalid_utf8", "text", "lie", "UTF-8"),
    guest("output_too_large", "sum", "output_bytes", "output_bytes_max"),
    guest("recurses_forever", "sum", "stack", "stack_bytes_max"),
    guest("wrong_rows", "sum", "lie", "output rows, came 3"),
    guest("status_failed", "sum", "refused", "refused the batch"),
    guest("component_traps", "sum", "trap", "plugin trapped"),
    guest(
        "component_loops",
        "sum",
        "deadline",
        "deadline of 250 ms (engine.deadline_ticks: 250 ticks of 1000 us)",
    ),
    guest("component_grows_memory_forever", "sum", "memory", "memory_bytes_max"),
    guest("component_huge_list", "sum", "trap", "plugin trapped"),
    guest("component_large_list", "sum", "output_bytes", "output_bytes_max"),
    guest("component_recurses_forever", "sum", "stack", "stack_bytes_max"),
    guest("component_refuses", "sum", "refused", "not today"),
];

/// Things that are asked about, a stranger and a null among them; four, as one guest always answers three rows.
const IDS: [Option<i64>; 4] = [Some(1), Some(2), Some(99), None];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hostile_plugin_fails_its_own_features_and_no_others() -> Result<()> {
    let live = start_with_guests().await?;
    for guest in &GUESTS {
        let name = guest.program;
        let answer = live.ask(&format!("with_{name}"), &IDS).await.context(name)?;
        the_rest_is_right(&answer).context(name)?;
        for feature in answer.columns.iter().filter_map(|column| column.column.as_ref()) {
            let failed =
                answer_of(&answer, &feature.name)?.statuses.as_ref() == [TransformFailed as u8; 4];
            let its_own = feature.name == format!("{name}.{}", guest.output)
                || feature.name.starts_with("fed_");
            ensure!(failed == its_own, "{}: its rows failed: {failed}", feature.name);
        }
        ensure!(!answer.failures.is_empty() && answer.failures_total > 0, "{name}: no failures");
        for failure in &answer.failures {
            let right = failure.transform == name && failure.message.contains(guest.says);
            ensure!(right, "{name}: expected `{}` in {failure:?}", guest.says);
        }
        the_rest_is_right(&live.ask("calm", &IDS).await?).context(name)?;
    }
    live.ensure_well().await?;
    let metrics = live.page("/metrics")?;
    for Guest { program, reason, .. } in &GUESTS {
        let failed = format!("skewless_transform_rows_failed_total{{transform=\"{program}\",");
        ensure!(counter(&metrics, &failed) == Some(4), "{program}: {failed}\n{metrics}");
        let broke = format!("skewless_transform_breaks_total{{transform=\"{program}\",");
        let told = metrics.lines().filter(|line| line.starts_with(&broke));
        let (never, once): (Vec<&str>, Vec<&str>) = told.partition(|line| line.ends_with(" 0"));
        ensure!(!never.is_empty(), "{program}: the other reasons are there with 0\n{metrics}");
        ensure!(
            once.len() == 1 && once[0].ends_with(&format!("reason=\"{reason}\"}} 1")),
            "{program}: {once:?}"
        );
    }
    let good = "skewless_transform_rows_failed_total{transform=\"good\",";
    ensure!(counter(&metrics, good).is_none_or(|failed| failed == 0), "{metrics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_hostile_plugins_at_once_leave_the_calm_ones_right() -> Result<()> {
    let live = start_with_guests().await?;
    let mut calls = tokio::task::JoinSet::new();
    for (number, guest) in GUESTS.iter().cycle().take(3 * GUESTS.len()).enumerate() {
        let mut client = live.features();
        let service = match number % 3 {
            0 => format!("with_{}", guest.program),
            _ => "calm".to_owned(),
        };
        calls.spawn(async move {
            let answer = client.get_features(question(&service, &IDS)).await;
            the_rest_is_right(&answer.context(service.clone())?.into_inner()).context(service)
        });
    }
    while let Some(call) = calls.join_next().await {
        call??;
    }
    let everything = live.ask("everything", &IDS).await?;
    the_rest_is_right(&everything)?;
    ensure!(everything.failures_total as usize >= GUESTS.len(), "all of them in one answer");
    live.ensure_well().await?;
    ensure!(
        live.page("/metrics")?.contains("\nskewless_in_flight 0\n"),
        "a call is still in flight"
    );
    let Live { sidecar, .. } = live;
    let ended = tokio::task::spawn_blocking(move || sidecar.shutdown()).await?;
    ensure!(ended.drained && ended.flushed, "{ended:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_fails_only_if_it_fails_alone() -> Result<()> {
    let programs = ["adds", "traps_on_negative", "loops_on_negative", "fails_negative_rows"];
    let definitions = definitions(programs[1..].iter().map(|name| (*name, "sum")));
    let live = Live::start(&definitions, &programs).await?;
    let rows: Vec<(i64, f64, f64)> =
        (0..50).map(|id| (id, if [7, 31].contains(&id) { -1.0 } else { id as f64 }, 0.5)).collect();
    live.ingest().ingest(numbers(NOON_US - SECOND_US, &rows)).await?;
    let ids: Vec<Option<i64>> = rows.iter().map(|(id, _, _)| Some(*id)).collect();
    for (name, says) in programs[1..].iter().zip(["trapped", "deadline", "negative"]) {
        let answer = live.ask(&format!("with_{name}"), &ids).await?;
        let sums = told(&answer, &format!("{name}.sum"))?;
        for ((id, a, b), sum) in rows.iter().zip(sums) {
            let expected = if *a < 0.0 { Err(TransformFailed) } else { Ok(a + b) };
            ensure!(sum == expected, "{name} of {id}: expected {expected:?}, came {sum:?}");
        }
        let failed: Vec<Option<u32>> = answer.failures.iter().map(|failure| failure.row).collect();
        ensure!(failed == [Some(7), Some(31)], "{name}: {:?}", answer.failures);
        ensure!(answer.failures.iter().all(|f| f.message.contains(says)), "{:?}", answer.failures);
        ensure!(answer.failures_total == 2, "{name}: {} failures", answer.failures_total);
    }
    Ok(())
}

async fn start_with_guests() -> Result<Live> {
    let mut programs = vec!["adds"];
    programs.extend(GUESTS.iter().map(|guest| guest.program));
    let definitions = definitions(GUESTS.iter().map(|guest| (guest.program, guest.output)));
    let live = Live::start(&definitions, &programs).await?;
    let rows = [(1, 1.5, 2.0), (2, -4.0, 0.25)];
    live.ingest().ingest(numbers(NOON_US - SECOND_US, &rows)).await?;
    Ok(live)
}

/// A transform and a service for each program, a good transform that feeds on it if that is possible, and a service
/// of everything.
fn definitions(programs: impl Iterator<Item = (&'static str, &'static str)>) -> String {
    let mut transforms = String::from(DEFINITIONS);
    let mut services = format!("services:\n{CALM}");
    let mut all = String::from("numbers.a, numbers.b, good.sum");
    for (name, output) in programs {
        let _ = writeln!(
            transforms,
            "  - {{name: {name}, plugin: plugins/{name}.wasm, inputs: {{a: numbers.a, b: numbers.b}}}}"
        );
        let mut wanted = format!("{name}.{output}");
        if output == "sum" {
            let _ = writeln!(
                transforms,
                "  - {{name: fed_{name}, plugin: plugins/adds.wasm, inputs: {{a: {name}.sum, b: numbers.b}}}}"
            );
            let _ = write!(wanted, ", fed_{name}.sum");
        }
        let _ = writeln!(
            services,
            "  - {{name: with_{name}, features: [numbers.a, {wanted}, numbers.b, good.sum]}}"
        );
        let _ = write!(all, ", {wanted}");
    }
    format!("{transforms}{services}  - {{name: everything, features: [{all}]}}\n")
}

/// Stored features and the good plugin's, for [`IDS`].
fn the_rest_is_right(answer: &pb::GetFeaturesResponse) -> Result<()> {
    let expected = [
        ("numbers.a", [Ok(1.5), Ok(-4.0), Err(NotFound), Err(NotFound)]),
        ("numbers.b", [Ok(2.0), Ok(0.25), Err(NotFound), Err(NotFound)]),
        ("good.sum", [Ok(3.5), Ok(-3.75), Err(NullValue), Err(NullValue)]),
    ];
    for (feature, expected) in expected {
        let came = told(answer, feature)?;
        ensure!(came == expected, "{feature}: expected {expected:?}, came {came:?}");
    }
    Ok(())
}

fn answer_of<'a>(
    answer: &'a pb::GetFeaturesResponse,
    feature: &str,
) -> Result<&'a pb::FeatureColumn> {
    let named = |column: &&pb::FeatureColumn| {
        column.column.as_ref().is_some_and(|column| column.name == feature)
    };
    answer.columns.iter().find(named).with_context(|| format!("no {feature}"))
}

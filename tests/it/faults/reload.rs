//! Definitions that change under way: what is broken is refused whole, what is good is taken whole, and no answer is
//! made of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use skewless_proto::v1 as pb;

use super::*;

/// Both versions have a service `model` and a plugin `plugins/turn.wasm`; the plugin differs, and so do the features.
const FIRST: &str = "  - {name: model, features: [numbers.a, turned.sum]}\n";
const SECOND: &str = "  - {name: model, features: [turned.sum, numbers.b, numbers.a]}\n";
const TURNED: &str =
    "  - {name: turned, plugin: plugins/turn.wasm, inputs: {a: numbers.a, b: numbers.b}}\n";

/// Answers that each version must have given while the other came and went.
const ANSWERS_MIN: u64 = 50;
const RELOADS_MIN: u64 = 10;
const RELOADS_MAX: u64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_served_is_refused_whole_and_the_old_goes_on() -> Result<()> {
    let good = version(FIRST);
    let live = Live::start(&good, &["adds"]).await.err().context("turn.wasm is missing")?;
    ensure!(
        format!("{live:#}").contains("turn.wasm"),
        "a start names the missing plugin: {live:#}"
    );
    let live = start_turning(&good).await?;
    let before = live.ask("model", &[Some(1), Some(2), None]).await?;
    let turn = plugin_path(&live.repo(), "turn");
    let with = |name: &str| program(name).map(Some);
    // What the definitions become, what the plugin becomes, what the refusal says.
    let broken = [
        (good.replace("services:", "services"), None, "expected YAML"),
        (good.replace("numbers.a, turned", "numbers.c, turned"), None, "came `c`"),
        (good.replace("name: good", "name: turned"), None, "turned"),
        (good.replace("turn.wasm", "tern.wasm"), None, "tern.wasm"),
        (good.replace("b: numbers.b}}\n", "}}\n"), None, "`b`"),
        (good.replace("type: float64}]", "type: float46}]"), None, "float46"),
        (good.clone(), Some(b"\0asm".to_vec()), "turn.wasm"),
        (good.clone(), with("imports_a_clock")?, "clock_time_get"),
        (good.clone(), with("component_imports")?, "turn.wasm"),
        (good.clone(), with("huge_memory")?, "memory_bytes_max"),
        (good.clone(), with("bad_signature")?, "turn.wasm"),
        (
            good.clone(),
            with("invalid_utf8")?,
            "expected an output of transform `turned` (text), came `sum`",
        ),
        (good.clone(), with("traps_in_start")?, "trapped"),
        (good.clone(), with("loops_in_start")?, "deadline"),
        (good.clone(), with("grows_memory_in_start")?, "memory_bytes_max"),
    ];
    let count = broken.len() as u64;
    let mut admin = live.admin();
    let mut wrong = Vec::new();
    for (definitions, plugin, says) in broken {
        ensure!(plugin.is_some() || definitions != good, "{says}: nothing was changed");
        std::fs::write(live.repo().join("features.yaml"), definitions)?;
        std::fs::write(&turn, plugin.map_or_else(|| program("adds"), Ok)?)?;
        let refused = admin.apply(pb::ApplyRequest::default()).await?.into_inner();
        let said: Vec<&str> = refused.diagnostics.iter().map(|d| d.message.as_str()).collect();
        if refused.applied || refused.snapshot != 1 || !said.iter().any(|said| said.contains(says))
        {
            wrong.push(format!("expected a refusal that says `{says}`, came {said:?}"));
        }
        let answer = live.ask("model", &[Some(1), Some(2), None]).await?;
        ensure!(answer == before, "{says}: what is served has changed");
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    live.ensure_well().await?;
    let metrics = live.page("/metrics")?;
    let refused = counter(&metrics, "skewless_reloads_total{outcome=\"refused\"}");
    ensure!(refused == Some(count), "{refused:?} reloads were counted as refused");
    std::fs::write(live.repo().join("features.yaml"), version(SECOND))?;
    std::fs::write(&turn, program("adds")?)?;
    let applied = admin.apply(pb::ApplyRequest::default()).await?.into_inner();
    ensure!(applied.applied && applied.changed && applied.snapshot == 2, "{applied:?}");
    ensure!(live.ask("model", &[Some(1)]).await?.columns.len() == 3, "the good one is served");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_during_reloads_is_wholly_old_or_wholly_new() -> Result<()> {
    let live = start_turning(&version(FIRST)).await?;
    let rows: Vec<(i64, f64, f64)> = (0..64).map(|id| (id, id as f64, 10.0)).collect();
    live.ingest().ingest(numbers(NOON_US - SECOND_US, &rows)).await?;
    let seen = Arc::new(Seen::default());
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        watchers.spawn(watch(live.features(), Arc::clone(&seen)));
    }
    let mut admin = live.admin();
    let mut fingerprints = vec![fingerprint(&live.ask("model", &[None]).await?)?];
    let mut reloads = 0;
    while reloads < RELOADS_MIN || seen.fewest() < ANSWERS_MIN {
        ensure!(reloads < RELOADS_MAX, "too few answers: {seen:?}");
        if let Some(ended) = watchers.try_join_next() {
            ended??;
        }
        reloads += 1;
        let second = reloads % 2 == 1;
        write_version(&live.repo(), second)?;
        let applied = admin.apply(pb::ApplyRequest::default()).await?.into_inner();
        ensure!(applied.applied && applied.snapshot == reloads + 1, "{applied:?}");
        fingerprints.push(fingerprint(&live.ask("model", &[None]).await?)?);
    }
    seen.stop.store(true, Ordering::Release);
    let mut watched = Vec::new();
    while let Some(ended) = watchers.join_next().await {
        watched.extend(ended??);
    }
    // Two versions, two fingerprints: each snapshot answered under its own, whatever else was going on.
    ensure!(fingerprints[0] != fingerprints[1], "the versions have one fingerprint");
    for (snapshot, fingerprint) in &watched {
        let version = (snapshot - 1) as usize % 2;
        ensure!(
            *fingerprint == fingerprints[version],
            "snapshot {snapshot} has another's fingerprint"
        );
    }
    for (number, fingerprint) in fingerprints.iter().enumerate() {
        ensure!(*fingerprint == fingerprints[number % 2], "a version changes its fingerprint");
    }
    println!("{reloads} reloads, {} answers meanwhile, by version {seen:?}", watched.len());
    live.ensure_well().await
}

/// What the watchers saw.
#[derive(Default, Debug)]
struct Seen {
    stop: AtomicBool,
    first: AtomicU64,
    second: AtomicU64,
}

impl Seen {
    fn fewest(&self) -> u64 {
        self.first.load(Ordering::Acquire).min(self.second.load(Ordering::Acquire))
    }
}

/// Asks until it is told to stop; gives each answer's snapshot and fingerprint.
async fn watch(
    mut client: FeatureServiceClient<Channel>,
    seen: Arc<Seen>,
) -> Result<Vec<(u64, Vec<u8>)>> {
    let ids: Vec<Option<i64>> = (0..64).map(Some).collect();
    let mut watched = Vec::new();
    let mut newest = 0;
    while !seen.stop.load(Ordering::Acquire) {
        let answer = client.get_features(question("model", &ids)).await?.into_inner();
        let snapshot = answer.provenance.as_ref().context("provenance")?.snapshot;
        ensure!(snapshot >= newest, "snapshot {snapshot} was answered after {newest}");
        newest = snapshot;
        let second = snapshot % 2 == 0;
        whole(&answer, second).with_context(|| format!("snapshot {snapshot}"))?;
        if second { &seen.second } else { &seen.first }.fetch_add(1, Ordering::AcqRel);
        watched.push((snapshot, fingerprint(&answer)?));
    }
    Ok(watched)
}

/// That an answer has the features and the values of one version: sums of the first, products of the second.
fn whole(answer: &pb::GetFeaturesResponse, second: bool) -> Result<()> {
    let columns = answer.columns.iter().filter_map(|column| column.column.as_ref());
    let names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    let expected: &[&str] = if second {
        &["turned.sum", "numbers.b", "numbers.a"]
    } else {
        &["numbers.a", "turned.sum"]
    };
    ensure!(names == expected, "expected {expected:?}, came {names:?}");
    let turned = told(answer, "turned.sum")?;
    ensure!(turned.len() == 64, "{} rows", turned.len());
    for (id, turned) in turned.into_iter().enumerate() {
        let a = id as f64;
        let expected = if second { a * 10.0 } else { a + 10.0 };
        ensure!(turned == Ok(expected), "row {id}: expected {expected}, came {turned:?}");
    }
    Ok(())
}

fn fingerprint(answer: &pb::GetFeaturesResponse) -> Result<Vec<u8>> {
    let provenance = answer.provenance.as_ref().context("provenance")?;
    ensure!(provenance.service_fingerprint.len() == 32, "a fingerprint of 32 bytes");
    Ok(provenance.service_fingerprint.to_vec())
}

async fn start_turning(definitions: &str) -> Result<Live> {
    let folder = tempfile::tempdir()?;
    let repo = folder.path().join("repo");
    write_repo(&repo, definitions, &["adds"])?;
    std::fs::write(plugin_path(&repo, "turn"), program("adds")?)?;
    let sidecar = start(folder.path(), NOON_US)?;
    let channel = online::connect(&sidecar).await?;
    let live = Live { sidecar, folder, channel };
    live.ingest().ingest(numbers(NOON_US - 2 * SECOND_US, &[(1, 1.0, 2.0)])).await?;
    Ok(live)
}

fn version(service: &str) -> String {
    format!("{DEFINITIONS}{TURNED}services:\n{CALM}{service}")
}

/// The first version adds, the second multiplies, under one name of plugin.
fn write_version(repo: &Path, second: bool) -> Result<()> {
    let wasm = if second { multiplies()? } else { program("adds")? };
    std::fs::write(plugin_path(repo, "turn"), wasm)?;
    let service = if second { SECOND } else { FIRST };
    Ok(std::fs::write(repo.join("features.yaml"), version(service))?)
}

fn multiplies() -> Result<Vec<u8>> {
    let path = plugins::root().join("tests/programs/adds.wat");
    let text = std::fs::read_to_string(path)?;
    let changed = text.replace("(f64.add", "(f64.mul");
    if text == changed {
        bail!("adds.wat adds no more");
    }
    Ok(wat::parse_str(changed)?)
}

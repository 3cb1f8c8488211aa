//! Runs the parity proof: reads spine, history and backfill, cuts the year into parts, starts a sidecar for
//! each, and sums what they found. The comparison itself is in [`super::parity`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use skewless_batch::Type;

use super::history::histories;
use super::live::Live;
use super::parity::{Compared, Proof, Spine, parts, sum};
use super::{Places, SERVICE, folders, prepare};
use crate::exit::{Failure, Outcome};
use crate::interrupt;
use crate::progress::Bar;
use crate::repo::Repo;

/// Most sidecars at once: each has a store of its own, in which it plays the year up to its part.
const PARTS_MAX: usize = 8;

/// A day in microseconds.
const DAY_US: i64 = 86_400_000_000;

/// How the proof ended.
pub(crate) struct Proven {
    pub(crate) compared: Compared,
    pub(crate) features: usize,
    pub(crate) rows_per_s: u64,
}

/// Compares every spine row (of the first `days` days, if given).
pub(crate) fn run(repo: &Repo, places: &Places, days: Option<u16>) -> Outcome<Proven> {
    let plan = repo.catalog.plan(SERVICE)?;
    let spine = read_spine(repo, places)?;
    let histories = histories(&repo.catalog, &plan, &repo.root)?;
    let backfilled = skewless_offline::read_features(&places.output)?;
    if backfilled.rows != spine.times_us.len() {
        let message =
            format!("expected {} rows of backfill, came {}", spine.times_us.len(), backfilled.rows);
        return Err(Failure::new(message, "run the demo again"));
    }
    let order = order(&spine, days);
    let parts = parts(&spine.times_us, &order, crate::backfill::cores().min(PARTS_MAX));
    let done = AtomicU64::new(0);
    let cancel = interrupt::flag()?;
    let proof = Proof {
        plan: &plan,
        spine: &spine,
        histories: &histories,
        backfilled: &backfilled,
        cancel: &cancel,
        done: &done,
    };
    folders::clear(&places.proof)?;
    let started = Instant::now();
    let found = std::thread::scope(|scope| {
        let play = |(number, part): (usize, &std::ops::Range<usize>)| {
            let (proof, rows) = (&proof, &order[part.clone()]);
            scope.spawn(move || play(repo, places, number, proof, rows))
        };
        let players: Vec<_> = parts.iter().enumerate().map(play).collect();
        let bar = Arc::new(Bar::new());
        while players.iter().any(|player| !player.is_finished()) {
            bar.show("comparing", done.load(Ordering::Relaxed), order.len() as u64);
            std::thread::park_timeout(Duration::from_millis(100));
        }
        bar.clear();
        let join = |player: std::thread::ScopedJoinHandle<'_, Outcome<Compared>>| {
            player.join().unwrap_or_else(|_| {
                Err(Failure::new("a part of the proof panicked", "please report it"))
            })
        };
        players.into_iter().map(join).collect::<Outcome<Vec<_>>>()
    });
    std::fs::remove_dir_all(&places.proof).ok();
    let compared = sum(found?);
    if compared.rows != order.len() as u64 {
        let message =
            format!("expected {} rows to be compared, came {}", order.len(), compared.rows);
        return Err(Failure::new(message, "this is a bug in Skewless: please report it"));
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for a person"
    )]
    let rows_per_s = (compared.rows as f64 / started.elapsed().as_secs_f64().max(0.001)) as u64;
    Ok(Proven { compared, features: backfilled.features.len(), rows_per_s })
}

fn play(
    repo: &Repo,
    places: &Places,
    number: usize,
    proof: &Proof<'_>,
    rows: &[usize],
) -> Outcome<Compared> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let folder = places.proof.join(number.to_string());
    let start_us = rows.first().map_or(0, |row| proof.spine.times_us[*row]);
    runtime.block_on(async {
        let mut live = Live::start(repo, &folder, start_us).await?;
        let found = proof.play(rows, &mut live).await;
        live.stop().await;
        found
    })
}

/// Spine rows in order of time; rows of one time in the spine's order.
fn order(spine: &Spine, days: Option<u16>) -> Vec<usize> {
    let first_us = spine.times_us.iter().copied().min().unwrap_or(0);
    let end_us = days.map_or(i64::MAX, |days| first_us.saturating_add(i64::from(days) * DAY_US));
    let mut order: Vec<usize> =
        (0..spine.times_us.len()).filter(|row| spine.times_us[*row] < end_us).collect();
    order.sort_by_key(|row| spine.times_us[*row]);
    order
}

fn read_spine(repo: &Repo, places: &Places) -> Outcome<Spine> {
    let plan = repo.catalog.plan(SERVICE)?;
    let mut wanted: Vec<(String, Type)> =
        plan.keys.iter().map(|key| (key.name.clone(), key.ty)).collect();
    wanted.extend(plan.request.iter().map(|column| (column.name.clone(), column.ty)));
    wanted.push((skewless_offline::EVENT_TIMESTAMP.to_owned(), Type::Timestamp));
    let mut columns = skewless_offline::read_columns(&prepare::spine(&places.repo), &wanted)?;
    let times = columns.pop();
    let times_us =
        times.iter().flat_map(|times| (0..times.len()).map(|row| times.view().timestamp_at(row)));
    let times_us = times_us.collect();
    let request = columns.split_off(plan.keys.len());
    Ok(Spine { times_us, keys: columns, request })
}

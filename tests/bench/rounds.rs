//! Taking turns: floor, ours, ours, floor, and so on, so that whatever slows the machine slows both; not
//! what is measured.

use std::time::{Duration, Instant};

use anyhow::Result;

/// One turn of a pair of loops lasts at least this long on either side: many timer ticks, few context
/// switches.
const TURN: Duration = Duration::from_millis(12);

/// What each round measured, parallel.
#[derive(Clone, Default, Debug)]
pub(crate) struct Pair {
    pub(crate) floor: Vec<f64>,
    pub(crate) ours: Vec<f64>,
}

impl Pair {
    /// Ours over the floor, round by round.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.floor).map(|(ours, floor)| ours / floor).collect()
    }

    /// The same per one of `many` things that every call did.
    pub(crate) fn divided(mut self, many: f64) -> Self {
        self.floor.iter_mut().chain(&mut self.ours).for_each(|value| *value /= many);
        self
    }
}

/// Runs both in turn, after one round that isn't counted; who is first changes from round to round. Each
/// gives `N` measures, so there are `N` pairs.
pub(crate) fn interleave<const N: usize>(
    rounds: usize,
    mut floor: impl FnMut() -> Result<[f64; N]>,
    mut ours: impl FnMut() -> Result<[f64; N]>,
) -> Result<[Pair; N]> {
    let mut pairs = std::array::from_fn(|_| Pair::default());
    for round in 0..=rounds {
        let (of_floor, of_ours) = if round % 2 == 0 {
            let first = floor()?;
            (first, ours()?)
        } else {
            let first = ours()?;
            (floor()?, first)
        };
        if round > 0 {
            for (pair, (floor, ours)) in pairs.iter_mut().zip(of_floor.into_iter().zip(of_ours)) {
                pair.floor.push(floor);
                pair.ours.push(ours);
            }
        }
    }
    Ok(pairs)
}

/// Nanoseconds a call of two loops in turn, each called as often as a turn needs.
pub(crate) fn per_call(
    rounds: usize,
    mut floor: impl FnMut() -> Result<()>,
    mut ours: impl FnMut() -> Result<()>,
) -> Result<Pair> {
    let (floor_calls, ours_calls) = (calibrate(&mut floor)?, calibrate(&mut ours)?);
    let [pair] = interleave(
        rounds,
        || Ok([time(floor_calls, &mut floor)?]),
        || Ok([time(ours_calls, &mut ours)?]),
    )?;
    Ok(pair)
}

/// How many calls fill a turn.
fn calibrate(call: &mut impl FnMut() -> Result<()>) -> Result<u32> {
    let mut calls = 1;
    loop {
        let start = Instant::now();
        (0..calls).try_for_each(|_| call())?;
        if start.elapsed() >= TURN || calls >= 1 << 24 {
            return Ok(calls);
        }
        calls *= 2;
    }
}

fn time(calls: u32, call: &mut impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    (0..calls).try_for_each(|_| call())?;
    Ok(start.elapsed().as_nanos() as f64 / f64::from(calls))
}

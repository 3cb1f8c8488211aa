//! Taking turns: floor, ours, ours, floor, and so on, so that whatever slows the machine slows both; not
//! what is measured.
//!
//! Loops on one thread are timed by the time that thread had a processor, so that waiting while others
//! have it doesn't count. What others do to caches and clock speed still does.

use std::time::Duration;

use anyhow::{Result, ensure};

/// One turn of a pair of loops lasts at least this long on either side: reading the clock is nothing to it.
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

/// The middle one; not a number if there is none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
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
    while calls < 1 << 24 && time(calls, call)? * f64::from(calls) < TURN.as_nanos() as f64 {
        calls *= 2;
    }
    Ok(calls)
}

/// Nanoseconds of this thread's processor time a call.
fn time(calls: u32, call: &mut impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Spent::Thread.so_far()?;
    (0..calls).try_for_each(|_| call())?;
    Ok((Spent::Thread.so_far()? - start).as_nanos() as f64 / f64::from(calls))
}

/// Processor time, user and system.
#[derive(Clone, Copy)]
pub(crate) enum Spent {
    /// Of this thread.
    Thread,
    /// Of all threads of this process.
    Process,
    /// Of all threads of another process, by its clock.
    Other(libc::clockid_t),
}

impl Spent {
    /// Since the thread or process began.
    pub(crate) fn so_far(self) -> Result<Duration> {
        let clock = match self {
            Self::Thread => libc::CLOCK_THREAD_CPUTIME_ID,
            Self::Process => libc::CLOCK_PROCESS_CPUTIME_ID,
            Self::Other(clock) => clock,
        };
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        #[expect(unsafe_code, reason = "the standard library can't read these clocks")]
        // SAFETY: `time` is a valid place for one timespec for as long as the call lasts.
        let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
        ensure!(failed == 0, "expected a clock of processor time, came {failed}");
        Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
    }
}

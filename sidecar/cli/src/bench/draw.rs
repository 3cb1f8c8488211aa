//! Seeded draws: which row is asked for, and when the next call is due. The same seed gives the same load,
//! on any machine but for the last bits of a logarithm. Shared by source with `tests/bench`.

use std::time::Duration;

/// A sequence of numbers that look random (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0, which can come, to 1, which can't.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number below `end`, which isn't 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The bias is below one in 2^32 for any file that fits memory.
        let wide = u128::from(self.next()) * end as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }
}

/// Draws rows, some more often than others.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Row numbers, the one asked for most first; shuffled, so that hot rows aren't neighbours in the store
    /// because they were in the file.
    order: Vec<usize>,
    /// Per place of `order` the share of draws up to and with it; empty: all are alike.
    shares: Vec<f64>,
}

impl Rows {
    /// Of `rows` rows, more than 0. The row of rank k is drawn in proportion to `1 / k^skew`; 0 is uniform.
    #[expect(clippy::cast_precision_loss, reason = "ranks are far below 2^52")]
    pub(crate) fn new(rows: usize, skew: f64, draw: &mut Draw) -> Self {
        let mut order: Vec<usize> = (0..rows).collect();
        for at in (1..rows).rev() {
            order.swap(at, draw.below(at + 1));
        }
        let mut shares = Vec::new();
        if skew > 0.0 {
            let mut sum = 0.0;
            shares.extend((1..=rows).map(|rank| {
                sum += (rank as f64).powf(-skew);
                sum
            }));
            shares.iter_mut().for_each(|share| *share /= sum);
        }
        Self { order, shares }
    }

    /// One row's number.
    pub(crate) fn row(&self, draw: &mut Draw) -> usize {
        let place = if self.shares.is_empty() {
            draw.below(self.order.len())
        } else {
            let at = draw.unit();
            self.shares.partition_point(|share| *share <= at).min(self.order.len() - 1)
        };
        self.order[place]
    }
}

/// How calls follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrivals {
    /// With the same gap between any two.
    Fixed,
    /// Independent of each other, as from many users: gaps are exponential.
    Poisson,
}

/// When the calls of one of several threads are due, from the start on, without end.
#[derive(Debug)]
pub(crate) struct Due {
    arrivals: Arrivals,
    rate_per_second: f64,
    thread: usize,
    threads: usize,
    made: u64,
    at_seconds: f64,
    draw: Draw,
}

impl Due {
    /// Thread `thread` of `threads` that have `rate_per_second` together.
    pub(crate) fn new(
        arrivals: Arrivals,
        rate_per_second: f64,
        thread: usize,
        threads: usize,
        seed: u64,
    ) -> Self {
        let mut draw = Draw::new(seed);
        // Far apart in the sequence of all: each thread has its own.
        (0..=thread).for_each(|_| draw = Draw(draw.next()));
        Self { arrivals, rate_per_second, thread, threads, made: 0, at_seconds: 0.0, draw }
    }

    /// When the next is due.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 calls")]
    pub(crate) fn next(&mut self) -> Duration {
        match self.arrivals {
            Arrivals::Fixed => {
                let number = self.made * self.threads as u64 + self.thread as u64;
                // From the number, not from the gap before: nothing adds up.
                self.at_seconds = number as f64 / self.rate_per_second;
            }
            Arrivals::Poisson => {
                let mean_seconds = self.threads as f64 / self.rate_per_second;
                self.at_seconds -= (1.0 - self.draw.unit()).ln() * mean_seconds;
            }
        }
        self.made += 1;
        Duration::try_from_secs_f64(self.at_seconds).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_rows_and_another_seed_others() {
        let rows = |seed| {
            let mut draw = Draw::new(seed);
            let rows = Rows::new(1_000, 1.0, &mut draw);
            (0..50).map(|_| rows.row(&mut draw)).collect::<Vec<_>>()
        };
        assert_eq!(rows(7), rows(7));
        assert_ne!(rows(7), rows(8));
    }

    #[test]
    fn skew_favours_few_rows_and_none_favours_nobody() {
        let most = |skew| {
            let mut draw = Draw::new(1);
            let rows = Rows::new(100, skew, &mut draw);
            let mut counts = [0_u32; 100];
            (0..100_000).for_each(|_| counts[rows.row(&mut draw)] += 1);
            assert!(counts.iter().all(|count| *count > 0), "every row has its turn: {counts:?}");
            counts.into_iter().max().unwrap_or(0)
        };
        // The first of 100 ranks has 1 / H(100) of the draws: 19.3 %. Seven deviations either way.
        let (skewed, uniform) = (most(1.0), most(0.0));
        assert!((18_400..20_200).contains(&skewed), "{skewed}");
        assert!((1_000..1_250).contains(&uniform), "{uniform}");
    }

    #[test]
    fn fixed_arrivals_of_all_threads_together_are_one_even_sequence() {
        let mut all: Vec<Duration> = (0..3)
            .flat_map(|thread| {
                let mut due = Due::new(Arrivals::Fixed, 1_000.0, thread, 3, 1);
                (0..4).map(move |_| due.next())
            })
            .collect();
        all.sort_unstable();
        let even: Vec<Duration> = (0..12).map(Duration::from_millis).collect();
        assert_eq!(all, even);
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_differ_by_thread() {
        let last = |thread| {
            let mut due = Due::new(Arrivals::Poisson, 1_000.0, thread, 2, 1);
            (0..10_000).map(|_| due.next()).last().unwrap_or_default().as_secs_f64()
        };
        // 10,000 of 500 a second: 20 s with a deviation of 0.2 s.
        assert!((19.0..21.0).contains(&last(0)), "{}", last(0));
        assert!((last(0) - last(1)).abs() > f64::EPSILON);
    }
}

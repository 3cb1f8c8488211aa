//! A small seeded generator (SplitMix64): the same seed gives the same cases on every machine. Not a source of good
//! randomness, and none that anybody must not guess.

/// SplitMix64, after Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// A generator whose whole future is its seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator of one case: the same whatever other cases there are.
    pub(super) fn of_case(seed: u64, case: u32) -> Self {
        // Any odd number but the generator's own step, which would make one case the tail of another.
        Self(seed.wrapping_add(u64::from(case).wrapping_mul(0x2545_f491_4f6c_dd1d)))
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    /// True once in `n` times.
    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of the items, all as likely; the slice is not empty.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Puts items into any order, all as likely.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_whole_story_and_a_case_has_its_own() {
        let story = |mut random: Random| (0..8).map(|_| random.bits()).collect::<Vec<_>>();
        assert_eq!(story(Random::new(7)), story(Random::new(7)));
        assert_ne!(story(Random::of_case(7, 0)), story(Random::of_case(7, 1)));
        assert_eq!(story(Random::of_case(7, 0)), story(Random::new(7)));
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(1).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}

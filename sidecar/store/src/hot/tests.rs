//! The hot rows alone: limits, who goes, and that no key is ever taken for another.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::{HOT_BYTES_MIN, HOT_ROW_BYTES_MAX};

struct Kept {
    hot: Hot,
    joined: Vec<u8>,
}

impl Kept {
    fn new() -> Self {
        Self { hot: Hot::new(HOT_BYTES_MIN), joined: Vec::new() }
    }

    fn spot(&self, key: &[u8]) -> Spot {
        let mut spots = Vec::new();
        self.hot.approach(0, std::iter::once(key), &mut spots);
        spots.first().copied().unwrap_or_default()
    }

    fn fill(&mut self, key: &[u8], row: Option<&[u8]>, sequence: u64) {
        self.hot.fill(self.spot(key), (0, key), row, sequence, &mut self.joined);
    }

    fn mark(&mut self, key: &[u8], row: Option<&[u8]>, sequence: u64) {
        self.hot.mark((0, key), row, sequence, &mut self.joined);
    }

    /// `None`: not kept; `Some(None)`: kept that there is none.
    fn find(&self, key: &[u8], sequence: u64) -> Option<Option<Vec<u8>>> {
        let held = self.hot.find(self.spot(key), (0, key), sequence)?;
        held.as_ref().map(|held| row(held).map(<[u8]>::to_vec))
    }
}

#[test]
fn a_row_is_given_from_the_sequence_it_was_read_at_on() {
    let mut kept = Kept::new();
    kept.fill(b"key", Some(b"row"), 5);
    kept.fill(b"none", None, 5);
    assert_eq!(kept.find(b"none", 5), None, "asked for once");
    kept.fill(b"none", None, 5);
    assert_eq!(kept.find(b"key", 4), None);
    assert_eq!(kept.find(b"key", 5), Some(Some(b"row".to_vec())));
    assert_eq!(kept.find(b"none", 6), Some(None));
    let spot = kept.spot(b"key");
    assert!(kept.hot.find(spot, (1, b"key"), 6).is_none(), "of another generation");
}

#[test]
fn a_written_key_gives_its_new_row_and_refuses_what_was_read_before() {
    let mut kept = Kept::new();
    kept.fill(b"a", Some(b"old"), 5);
    (0..2).for_each(|_| kept.fill(b"none", None, 5));
    assert_eq!(kept.find(b"none", 5), Some(None));
    kept.mark(b"a", Some(b"new"), 6);
    kept.mark(b"none", Some(b"born"), 6);
    kept.mark(b"cold", Some(b"row"), 6);
    assert_eq!(kept.find(b"a", 5), None);
    assert_eq!(kept.find(b"a", 6), Some(Some(b"new".to_vec())));
    assert_eq!(kept.find(b"none", 6), Some(Some(b"born".to_vec())));
    kept.fill(b"cold", Some(b"older"), 5);
    assert_eq!(kept.find(b"cold", 6), None);
    kept.fill(b"cold", Some(b"row"), 6);
    assert_eq!(kept.find(b"cold", 6), Some(Some(b"row".to_vec())));
    kept.mark(b"a", None, 7);
    assert_eq!(kept.find(b"a", 7), None, "what it is now isn't known");
}

#[test]
fn a_row_over_the_limit_of_one_row_is_not_kept() {
    let mut kept = Kept::new();
    let (fits, over) = (vec![1; HOT_ROW_BYTES_MAX - 1], vec![1; HOT_ROW_BYTES_MAX]);
    kept.fill(b"a", Some(&fits), 1);
    kept.fill(b"b", Some(&over), 1);
    assert_eq!((kept.find(b"a", 1), kept.find(b"b", 1)), (Some(Some(fits)), None));
    kept.mark(b"a", Some(&over), 2);
    assert_eq!(kept.find(b"a", 2), None);
}

#[test]
fn bytes_stay_within_the_limit_and_are_all_given_back() {
    let mut kept = Kept::new();
    for key in 0..20_000_u64 {
        let row = vec![key as u8; (key % 300) as usize];
        kept.fill(&key.to_be_bytes(), Some(&row), 1);
        if key % 3 == 0 {
            let row = vec![key as u8; (key % 700) as usize];
            kept.mark(&(key / 2).to_be_bytes(), Some(&row), 1);
        }
        let info = kept.hot.info();
        assert!(info.bytes <= info.bytes_max, "{info:?} at {key}");
    }
    let info = kept.hot.info();
    assert!(info.evictions > 1_000 && info.bytes > info.bytes_max / 2, "{info:?}");
    (0..20_000_u64).for_each(|key| kept.mark(&key.to_be_bytes(), None, 2));
    let buckets = 1_024 * size_of::<gate::Bucket>() as u64;
    assert_eq!(kept.hot.info().bytes, buckets + 65_536);
}

#[test]
fn rows_that_are_asked_for_outlast_a_scan() {
    let mut kept = Kept::new();
    let row = [0; 200];
    let asked: Vec<_> = (0..500_u64).map(u64::to_be_bytes).collect();
    asked.iter().for_each(|key| kept.fill(key, Some(&row), 1));
    for scanned in 0..50_000_u64 {
        kept.fill(&(1_000_000 + scanned).to_be_bytes(), Some(&row), 1);
        kept.find(&asked[scanned as usize % asked.len()], 1);
    }
    let left = asked.iter().filter(|key| kept.find(*key, 1).is_some()).count();
    // All but those whose bucket was full of their like.
    assert!(left > 400, "{left} of {} are left", asked.len());
}

#[test]
fn two_keys_of_one_spot_are_never_taken_for_each_other() {
    let shelf = Shelf::new(HOT_BYTES_MIN);
    let mut spots = std::collections::HashMap::new();
    let spot_of = |key: u64| format!("{:?}", shelf.spot((0, &key.to_be_bytes())));
    let pair = (0_u64..).find_map(|key| spots.insert(spot_of(key), key).map(|first| (first, key)));
    let (first, second) = pair.unwrap();
    let (first, second) = (first.to_be_bytes(), second.to_be_bytes());
    let mut kept = Kept::new();
    kept.fill(&first, Some(b"first"), 1);
    assert_eq!(kept.find(&second, 1), None);
    kept.fill(&second, Some(b"second"), 1);
    assert_eq!(kept.find(&first, 1), Some(Some(b"first".to_vec())));
    assert_eq!(kept.find(&second, 1), Some(Some(b"second".to_vec())));
    kept.mark(&first, Some(b"again"), 2);
    assert_eq!(kept.find(&first, 2), Some(Some(b"again".to_vec())));
    assert_eq!(kept.find(&second, 2), Some(Some(b"second".to_vec())));
}

#[test]
fn switched_off_nothing_is_kept() {
    let mut kept = Kept { hot: Hot::new(0), joined: Vec::new() };
    kept.fill(b"key", Some(b"row"), 1);
    assert_eq!((kept.find(b"key", 1), kept.hot.info()), (None, HotInfo::default()));
}

#[test]
fn dropped_cells_give_back_their_rows() {
    let mut kept = Kept::new();
    kept.fill(b"key", Some(b"row"), 5);
    let held = kept.hot.find(kept.spot(b"key"), (0, b"key"), 5).unwrap();
    let row = held.as_ref().unwrap().clone();
    drop(held);
    drop(kept);
    assert_eq!(HotRow::strong_count(&row), 1, "only the one held here is left");
}

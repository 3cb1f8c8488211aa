//! Which rows are given in which calls to see whether a row's answer hangs on the others; not the calls themselves.

use skewless_catalog::InstancePolicy;

use super::random::Random;
use super::script::Script;
use super::{POLICIES, Property};

/// Rows of a case that are given alone to an instance that goes on, and that are tried twice in new ones.
const SAMPLE_ROWS_MAX: usize = 48;
/// Most pieces that a batch is cut into.
const PIECES_MAX: usize = 24;

/// What is tried with a batch of `len` rows, and which property a difference breaks.
pub(super) fn scripts(len: usize, random: &mut Random) -> Vec<(Property, Script)> {
    let whole = all(len);
    let mut scripts = Vec::new();
    let mut add = |property, policy, calls| scripts.push((property, Script { policy, calls }));
    for policy in POLICIES {
        add(Property::RepeatedCalls, policy, vec![whole.clone(); 3]);
        let mut shuffled = whole.clone();
        random.shuffle(&mut shuffled);
        let reversed = whole.iter().rev().copied().collect();
        add(Property::RowOrder, policy, vec![reversed, shuffled]);
        add(Property::BatchSplit, policy, pieces(&whole, random));
    }
    for policy in [InstancePolicy::Reused, InstancePolicy::Reset] {
        // Once as they follow each other, as neighbours may be alike.
        let some = SAMPLE_ROWS_MAX.min(len);
        let first = random.below(len - some + 1);
        let alone = |row: &u32| vec![*row];
        let mut calls: Vec<Vec<u32>> = whole[first..first + some].iter().map(alone).collect();
        calls.push(whole.clone());
        calls.extend(sample(len, random).iter().map(alone));
        add(Property::ReusedInstance, policy, calls);
    }
    scripts
}

/// All rows in their order. A case has at most 10,000, and golden rows aren't more.
pub(super) fn all(len: usize) -> Vec<u32> {
    (0..len as u32).collect()
}

/// Some rows, in any order.
pub(super) fn sample(len: usize, random: &mut Random) -> Vec<u32> {
    let mut rows = all(len);
    random.shuffle(&mut rows);
    rows.truncate(SAMPLE_ROWS_MAX);
    rows
}

/// The rows cut anywhere, now and then with nothing between two cuts.
pub(super) fn pieces(rows: &[u32], random: &mut Random) -> Vec<Vec<u32>> {
    let cuts = random.below(PIECES_MAX);
    let mut cuts: Vec<usize> = (0..cuts).map(|_| random.below(rows.len() + 1)).collect();
    cuts.extend([0, rows.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| rows[cut[0]..cut[1]].to_vec()).collect()
}

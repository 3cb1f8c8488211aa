//! The visibility rule: a table of every boundary, then a slow obvious oracle.

use proptest::prelude::*;

use super::*;
use Boundary::{Exclusive, Inclusive};
use Judged::{NotFound, OutsideMaxAge, Visible};

/// A row of a history as tests write it.
#[derive(Clone, Copy, Debug)]
struct Row {
    stamp: Stamp,
    deleted: bool,
}

const fn row(event_us: i64, known_us: i64, position: u64) -> Row {
    Row { stamp: Stamp { event_us, known_us, position }, deleted: false }
}

const fn gone(event_us: i64, known_us: i64, position: u64) -> Row {
    Row { deleted: true, ..row(event_us, known_us, position) }
}

/// What the rule says about a history, and the position of the row that is given.
fn by_rule(rule: Rule, history: &[Row], t_us: i64) -> (Judged, Option<u64>) {
    let due = history.iter().filter(|row| rule.due_us(&row.stamp) <= t_us);
    let newest = due.max_by_key(|row| row.stamp);
    let newest_of =
        |row: &Row| Newest { event_us: row.stamp.event_us, deleted: row.deleted, husk: false };
    let judged = rule.judge(newest.map(newest_of), t_us);
    (judged, newest.filter(|_| judged == Visible).map(|row| row.stamp.position))
}

/// The same by the words of the contract, in wide integers, with a sort instead of a maximum.
fn by_words(rule: Rule, history: &[Row], t_us: i64) -> (Judged, Option<u64>) {
    let t = i128::from(t_us);
    let mut seen: Vec<&Row> = Vec::new();
    for row in history {
        let (event, known) = (i128::from(row.stamp.event_us), i128::from(row.stamp.known_us));
        let happened = match rule.boundary {
            Inclusive => event <= t,
            Exclusive => event < t,
        };
        if happened && known + i128::from(rule.lag_us) <= t {
            seen.push(row);
        }
    }
    seen.sort_by_key(|row| (row.stamp.event_us, row.stamp.known_us, row.stamp.position));
    let Some(last) = seen.last() else { return (NotFound, None) };
    if last.deleted {
        return (NotFound, None);
    }
    let age = t - i128::from(last.stamp.event_us);
    match rule.ttl_us {
        Some(ttl) if age > i128::from(ttl) => (OutsideMaxAge, None),
        _ => (Visible, Some(last.stamp.position)),
    }
}

const fn rule(boundary: Boundary, ttl_us: Option<i64>, lag_us: i64) -> Rule {
    Rule { boundary, ttl_us, lag_us }
}

/// What it shows, the rule, the history, `t`, what is judged, position of the row that is given.
type Case<'a> = (&'a str, Rule, &'a [Row], i64, Judged, Option<u64>);

#[test]
fn the_table_of_the_rule_holds() {
    let state = rule(Inclusive, None, 0);
    let strict = rule(Exclusive, None, 0);
    let ttl = rule(Inclusive, Some(10), 0);
    let lag = rule(Inclusive, None, 5);
    #[rustfmt::skip]
    let table: &[Case<'_>] = &[
        // what                                          rule    history                                      t    judged         row
        ("empty history",                                state,  &[],                                         100, NotFound,      None),
        ("before the event",                             state,  &[row(100, 100, 0)],                         99,  NotFound,      None),
        ("at the event, inclusive",                      state,  &[row(100, 100, 0)],                         100, Visible,       Some(0)),
        ("at the event, exclusive",                      strict, &[row(100, 100, 0)],                         100, NotFound,      None),
        ("one after the event, exclusive",               strict, &[row(100, 100, 0)],                         101, Visible,       Some(0)),
        ("exclusive falls back to the row before",       strict, &[row(90, 90, 0), row(100, 100, 1)],         100, Visible,       Some(0)),
        ("event happened, not yet known",                state,  &[row(100, 150, 0)],                         149, NotFound,      None),
        ("known at this very time",                      state,  &[row(100, 150, 0)],                         150, Visible,       Some(0)),
        ("known before it happens: waits for the event", state,  &[row(100, 50, 0)],                          99,  NotFound,      None),
        ("known before it happens: at the event",        state,  &[row(100, 50, 0)],                          100, Visible,       Some(0)),
        ("lag not over",                                 lag,    &[row(100, 100, 0)],                         104, NotFound,      None),
        ("lag just over",                                lag,    &[row(100, 100, 0)],                         105, Visible,       Some(0)),
        ("lag counts from known, not from the event",    lag,    &[row(100, 120, 0)],                         124, NotFound,      None),
        ("lag over before the event",                    lag,    &[row(100, 50, 0)],                          100, Visible,       Some(0)),
        ("lag does not soften exclusive",                rule(Exclusive, None, 5), &[row(100, 95, 0)],        100, NotFound,      None),
        ("lag and exclusive, both over",                 rule(Exclusive, None, 5), &[row(100, 95, 0)],        101, Visible,       Some(0)),
        ("age equals ttl",                               ttl,    &[row(100, 100, 0)],                         110, Visible,       Some(0)),
        ("age one over ttl",                             ttl,    &[row(100, 100, 0)],                         111, OutsideMaxAge, None),
        ("ttl zero, at the event",                       rule(Inclusive, Some(0), 0), &[row(100, 100, 0)],    100, Visible,       Some(0)),
        ("ttl zero, one after",                          rule(Inclusive, Some(0), 0), &[row(100, 100, 0)],    101, OutsideMaxAge, None),
        ("ttl zero, exclusive: never",                   rule(Exclusive, Some(0), 0), &[row(100, 100, 0)],    101, OutsideMaxAge, None),
        ("ttl counts from the event, not from known",    ttl,    &[row(100, 115, 0)],                         115, OutsideMaxAge, None),
        ("an expired newest hides no older row",         ttl,    &[row(90, 90, 0), row(100, 100, 1)],         111, OutsideMaxAge, None),
        ("greater event wins",                           state,  &[row(90, 90, 0), row(100, 100, 1)],         200, Visible,       Some(1)),
        ("greater event wins against later arrival",     state,  &[row(100, 100, 0), row(90, 150, 1)],        200, Visible,       Some(0)),
        ("tie on event: later known wins",               state,  &[row(100, 150, 0), row(100, 100, 1)],       200, Visible,       Some(0)),
        ("tie on event and known: later position wins",  state,  &[row(100, 100, 0), row(100, 100, 1)],       200, Visible,       Some(1)),
        ("correction before it is known: the old value", state,  &[row(100, 100, 0), row(100, 150, 1)],       149, Visible,       Some(0)),
        ("correction from the moment it is known",       state,  &[row(100, 100, 0), row(100, 150, 1)],       150, Visible,       Some(1)),
        ("correction under lag",                         lag,    &[row(100, 100, 0), row(100, 150, 1)],       154, Visible,       Some(0)),
        ("correction after lag",                         lag,    &[row(100, 100, 0), row(100, 150, 1)],       155, Visible,       Some(1)),
        ("late row older than the newest changes nothing", state, &[row(100, 100, 0), row(50, 300, 1)],       300, Visible,       Some(0)),
        ("tombstone at its time",                        state,  &[row(100, 100, 0), gone(110, 110, 1)],      110, NotFound,      None),
        ("before the tombstone",                         state,  &[row(100, 100, 0), gone(110, 110, 1)],      109, Visible,       Some(0)),
        ("tombstone under exclusive, at its time",       strict, &[row(100, 100, 0), gone(110, 110, 1)],      110, Visible,       Some(0)),
        ("tombstone not yet known",                      state,  &[row(100, 100, 0), gone(110, 150, 1)],      149, Visible,       Some(0)),
        ("tombstone not yet through its lag",            lag,    &[row(100, 100, 0), gone(110, 110, 1)],      114, Visible,       Some(0)),
        ("an old tombstone is not found, not too old",   ttl,    &[row(100, 100, 0), gone(110, 110, 1)],      999, NotFound,      None),
        ("a row after the tombstone lives",              state,  &[gone(110, 110, 0), row(120, 120, 1)],      120, Visible,       Some(1)),
        ("a late row older than the tombstone stays dead", state, &[gone(110, 110, 0), row(105, 200, 1)],     200, NotFound,      None),
        ("tombstone as a correction of the same event",  state,  &[row(100, 100, 0), gone(100, 150, 1)],      150, NotFound,      None),
        ("tombstone tied in all but position",           state,  &[gone(100, 100, 0), row(100, 100, 1)],      100, Visible,       Some(1)),
        ("lone tombstone",                               state,  &[gone(100, 100, 0)],                        200, NotFound,      None),
        ("times before 1970",                            ttl,    &[row(-100, -100, 0)],                       -90, Visible,       Some(0)),
        ("times before 1970, too old",                   ttl,    &[row(-100, -100, 0)],                       -89, OutsideMaxAge, None),
        ("the whole range of time",                      state,  &[row(TIME_MIN_US, TIME_MIN_US, 0)],         TIME_MAX_US, Visible, Some(0)),
        ("the whole range of time with a ttl",           ttl,    &[row(TIME_MIN_US, TIME_MIN_US, 0)],         TIME_MAX_US, OutsideMaxAge, None),
        ("the last time, exclusive: never within range", strict, &[row(TIME_MAX_US, TIME_MAX_US, 0)],         TIME_MAX_US, NotFound, None),
    ];
    for (what, rule, history, t_us, judged, given) in table {
        assert_eq!(by_rule(*rule, history, *t_us), (*judged, *given), "rule: {what}");
        assert_eq!(by_words(*rule, history, *t_us), (*judged, *given), "oracle: {what}");
        let reversed: Vec<_> = history.iter().rev().copied().collect();
        assert_eq!(by_rule(*rule, &reversed, *t_us), (*judged, *given), "order of arrival: {what}");
    }
}

/// Every combination of boundary, TTL, lag, and where `t` stands to the event, the known time and
/// the end of the TTL, with and without a tied correction and a tombstone: against the oracle.
#[test]
fn every_combination_of_boundaries_agrees_with_the_words() {
    let mut combinations = 0;
    let lags = [0, 1, 5];
    let ttls = [None, Some(0), Some(1), Some(10)];
    let knowns = [95, 99, 100, 101, 105];
    for (boundary, ttl, lag) in every(&[Inclusive, Exclusive], &ttls, &lags) {
        for (known, second_known, second_event) in every(&knowns, &knowns, &[99, 100, 101]) {
            for (first_gone, second_gone, t_us) in every(&[false, true], &[false, true], &TIMES) {
                let first = Row { deleted: first_gone, ..row(100, known, 0) };
                let second = Row { deleted: second_gone, ..row(second_event, second_known, 1) };
                let history = [first, second];
                let rule = rule(boundary, ttl, lag);
                assert_eq!(
                    by_rule(rule, &history, t_us),
                    by_words(rule, &history, t_us),
                    "{rule:?} {history:?} t {t_us}"
                );
                combinations += 1;
            }
        }
    }
    assert_eq!(combinations, 2 * 4 * 3 * 5 * 5 * 3 * 2 * 2 * TIMES.len());
}

const TIMES: [i64; 14] = [94, 95, 98, 99, 100, 101, 102, 104, 105, 106, 109, 110, 111, 112];

fn every<A: Copy, B: Copy, C: Copy>(a: &[A], b: &[B], c: &[C]) -> Vec<(A, B, C)> {
    let mut all = Vec::new();
    for x in a {
        for y in b {
            all.extend(c.iter().map(|z| (*x, *y, *z)));
        }
    }
    all
}

#[test]
fn as_known_now_leaves_the_known_time_out() {
    let stamp = Stamp { event_us: 100, known_us: 900, position: 0 };
    assert_eq!(rule(Inclusive, None, 7).due_as_known_now_us(&stamp), 100);
    assert_eq!(rule(Exclusive, None, 7).due_as_known_now_us(&stamp), 101);
    assert_eq!(rule(Inclusive, None, 7).due_us(&stamp), 907);
}

#[test]
fn arithmetic_saturates_at_the_ends() {
    let last = Stamp { event_us: i64::MAX, known_us: i64::MAX, position: 0 };
    assert_eq!(rule(Exclusive, None, i64::MAX).due_us(&last), i64::MAX);
    let first = Newest { event_us: i64::MIN, deleted: false, husk: false };
    assert_eq!(rule(Inclusive, Some(5), 0).judge(Some(first), i64::MAX), OutsideMaxAge);
}

#[test]
fn times_outside_the_range_are_refused() {
    assert_eq!(check_time(TIME_MIN_US), Ok(TIME_MIN_US));
    assert_eq!(check_time(TIME_MAX_US), Ok(TIME_MAX_US));
    for us in [TIME_MIN_US - 1, TIME_MAX_US + 1, i64::MIN, i64::MAX] {
        assert_eq!(check_time(us), Err(TimeOutOfRange { us }));
    }
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    // Few distinct times, so that ties are common.
    let one = (-20i64..20, -20i64..40, any::<bool>());
    prop::collection::vec(one, 0..12).prop_map(|rows| {
        let numbered = rows.into_iter().enumerate();
        numbered
            .map(|(at, (event, known, deleted))| Row { deleted, ..row(event, known, at as u64) })
            .collect()
    })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let boundary = prop_oneof![Just(Inclusive), Just(Exclusive)];
    (boundary, prop::option::of(0i64..30), 0i64..10).prop_map(|(boundary, ttl_us, lag_us)| Rule {
        boundary,
        ttl_us,
        lag_us,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_rule_agrees_with_the_oracle(rule in any_rule(), rows in any_rows(), t_us in -25i64..80) {
        prop_assert_eq!(by_rule(rule, &rows, t_us), by_words(rule, &rows, t_us));
    }

    /// What ingestion relies on: a row becomes due once and stays due.
    #[test]
    fn a_row_is_due_from_one_time_on(rule in any_rule(), rows in any_rows(), t_us in -25i64..80) {
        for row in &rows {
            let due = rule.due_us(&row.stamp) <= t_us;
            let alone = by_words(Rule { ttl_us: None, ..rule }, &[Row { deleted: false, ..*row }], t_us);
            prop_assert_eq!(due, alone.0 == Visible);
        }
    }

    /// What the online store relies on: keeping only the greatest stamp of what is due at the last
    /// write loses nothing for any later reader, as long as later due rows are added by stamp.
    #[test]
    fn keeping_the_greatest_due_stamp_is_enough(rule in any_rule(), rows in any_rows(), t_us in -25i64..80) {
        let mut by_due = rows.clone();
        by_due.sort_by_key(|row| rule.due_us(&row.stamp));
        let mut kept: Option<Row> = None;
        for row in by_due.into_iter().take_while(|row| rule.due_us(&row.stamp) <= t_us) {
            if kept.is_none_or(|kept| kept.stamp < row.stamp) {
                kept = Some(row);
            }
        }
        let kept: Vec<_> = kept.into_iter().collect();
        prop_assert_eq!(by_rule(rule, &kept, t_us), by_words(rule, &rows, t_us));
    }
}

#[test]
fn a_row_replaces_another_unless_the_other_s_stamp_is_greater() {
    let stamp = |event_us, known_us, position| Stamp { event_us, known_us, position };
    let rising = [stamp(1, 9, 9), stamp(2, 0, 9), stamp(2, 1, 0), stamp(2, 1, 1)];
    for (at, one) in rising.iter().enumerate() {
        for (of, other) in rising.iter().enumerate() {
            assert_eq!(one.replaces(other), at >= of, "{one:?} over {other:?}");
        }
    }
    // Of equal times the one that arrives later stays.
    assert!(Stamp::arriving(1, 2).replaces(&Stamp::arriving(1, 2)));
    assert!(!Stamp::arriving(1, 1).replaces(&Stamp::arriving(1, 2)));
}

#[test]
fn a_husk_is_too_old_whatever_the_ttl_is_now() {
    let husk = Newest { event_us: 100, deleted: false, husk: true };
    for ttl_us in [None, Some(0), Some(1_000)] {
        assert_eq!(rule(Inclusive, ttl_us, 0).judge(Some(husk), 101), OutsideMaxAge);
    }
}

#[test]
fn only_a_visible_row_has_no_status_in_its_place() {
    let absent = [NotFound, OutsideMaxAge, Visible].map(Judged::absent);
    assert_eq!(absent, [Some(Status::NotFound), Some(Status::OutsideMaxAge), None]);
}

//! Random programs over random rows against a slow oracle that computes row by row in Rust.

use proptest::prelude::*;
use skewless_batch::CANONICAL_NAN_F64;
use skewless_catalog::InstancePolicy::{self, Fresh, Reset, Reused};
use skewless_engine::{Engine, EngineConfig, Plugin, Worker};

use crate::harness::{Cell, cells, config, frame, load, program, run, value};

#[derive(Clone, Debug)]
struct RandomStep {
    guest: usize,
    policy: InstancePolicy,
    inputs: (prop::sample::Index, prop::sample::Index),
}

const GUESTS: [&str; 3] = ["adds", "traps_on_negative", "keeps_state_in_memory"];

fn step() -> impl Strategy<Value = RandomStep> {
    let policy = prop_oneof![3 => Just(Reset), 1 => Just(Reused), 1 => Just(Fresh)];
    (0..GUESTS.len(), policy, any::<(prop::sample::Index, prop::sample::Index)>()).prop_map(
        |(guest, policy, inputs)| {
            // A guest that keeps state has no single answer when reused.
            let policy = if GUESTS[guest] == "keeps_state_in_memory" && policy == Reused {
                Reset
            } else {
                policy
            };
            RandomStep { guest, policy, inputs }
        },
    )
}

fn input() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(f64::NAN)),
        1 => Just(Some(-3.5)),
        6 => (0.0..1e6).prop_map(Some),
    ]
}

/// What a guest answers for one row, in plain words.
fn oracle(guest: usize, a: Cell, b: Cell) -> Cell {
    match (a, b) {
        (Cell::Failed, _) | (_, Cell::Failed) => Cell::Failed,
        (Cell::Null, _) | (_, Cell::Null) => Cell::Null,
        (Cell::Value(a), Cell::Value(b)) => {
            let (a, b) = (f64::from_bits(a), f64::from_bits(b));
            let sum = a + b;
            match GUESTS[guest] {
                "traps_on_negative" if a < 0.0 => Cell::Failed,
                _ if sum.is_nan() => Cell::Value(CANONICAL_NAN_F64),
                _ => value(sum),
            }
        }
    }
}

fn given(input: Option<f64>) -> Cell {
    input.map_or(Cell::Null, |input| {
        if input.is_nan() { Cell::Value(CANONICAL_NAN_F64) } else { value(input) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn programs_answer_what_the_oracle_says_whole_or_row_by_row(
        steps in prop::collection::vec(step(), 1..8),
        rows in prop::collection::vec((input(), input()), 1..40),
        rows_max in prop_oneof![Just(8_192_usize), 1_usize..9],
    ) {
        let engine = Engine::new(EngineConfig { rows_max, instances_max: 40, ..config() }).unwrap();
        let plugins: Vec<Plugin> = GUESTS.iter().map(|name| load(&engine, name)).collect();
        let bound: Vec<_> = steps.iter().enumerate().map(|(n, step)| {
            let inputs = [step.inputs.0.index(2 + n), step.inputs.1.index(2 + n)];
            (&plugins[step.guest], step.policy, inputs)
        }).collect();
        let program = program(&bound);
        let mut worker = Worker::new(&engine);

        let mut expected: Vec<Vec<Cell>> = rows.iter().map(|&(a, b)| vec![given(a), given(b)]).collect();
        for row in &mut expected {
            for (step, (_, _, [a, b])) in steps.iter().zip(&bound) {
                row.push(oracle(step.guest, row[*a], row[*b]));
            }
        }
        let mut whole = frame(&program, &rows);
        run(&mut worker, &program, &mut whole);
        for slot in 0..2 + steps.len() {
            let expected: Vec<_> = expected.iter().map(|row| row[slot]).collect();
            prop_assert_eq!(cells(&whole, slot), expected, "slot {}", slot);
        }
        for (row, expected) in rows.iter().zip(&expected) {
            let mut single = frame(&program, &[*row]);
            run(&mut worker, &program, &mut single);
            for (slot, expected) in expected.iter().enumerate() {
                prop_assert_eq!(cells(&single, slot), vec![*expected], "slot {} of one row", slot);
            }
        }
    }
}

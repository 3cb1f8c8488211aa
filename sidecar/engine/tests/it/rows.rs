//! Rows are independent: which fail, which are left out, how batches are cut, what NaNs become.

use skewless_batch::{CANONICAL_NAN_F64, Column};
use skewless_catalog::InstancePolicy::{Fresh, Reset, Reused};
use skewless_engine::{Budget, CallError, Engine, EngineConfig, Phase, Worker};

use crate::harness::{
    Cell, call, cells, config, doubles, engine, frame, load, program, run, ticking, value,
};

#[test]
fn only_the_row_that_traps_alone_fails() {
    let engine = engine();
    let plugin = load(&engine, "traps_on_negative");
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let mut worker = Worker::new(&engine);
    for bad in 0..9 {
        let rows: Vec<_> =
            (0..9).map(|row| (Some(if row == bad { -1.0 } else { 1.0 }), Some(2.0))).collect();
        let mut frame = frame(&program, &rows);
        let report = run(&mut worker, &program, &mut frame)[0];
        let expected: Vec<_> =
            (0..9).map(|row| if row == bad { Cell::Failed } else { value(3.0) }).collect();
        assert_eq!(cells(&frame, 2), expected);
        assert_eq!((report.rows_failed, report.broke), (1, Some("trap")));
        assert_eq!((frame.failures.len(), frame.failures[0].row), (1, Some(bad)));
        assert!(report.calls <= 9, "{} calls", report.calls);
    }
}

#[test]
fn only_the_row_that_loops_alone_fails() {
    let (engine, _ticker) = ticking(config());
    let plugin = load(&engine, "loops_on_negative");
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let mut frame =
        frame(&program, &[(Some(1.0), Some(2.0)), (Some(-1.0), Some(2.0)), (Some(1.0), None)]);
    run(&mut Worker::new(&engine), &program, &mut frame);
    assert_eq!(cells(&frame, 2), [value(3.0), Cell::Failed, Cell::Null]);
    assert!(frame.failures[0].message.contains("deadline_ticks"), "{}", frame.failures[0].message);
}

#[test]
fn a_batch_that_is_too_much_is_halved_until_it_passes_and_no_row_fails() {
    let engine = engine();
    let plugin = load(&engine, "wants_too_much_for_many");
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let rows: Vec<_> = (0..21).map(|row| (Some(f64::from(row)), Some(0.5))).collect();
    let mut frame = frame(&program, &rows);
    let mut worker = Worker::new(&engine);
    let report = run(&mut worker, &program, &mut frame)[0];
    assert_eq!(
        cells(&frame, 2),
        (0..21).map(|row| value(f64::from(row) + 0.5)).collect::<Vec<_>>()
    );
    assert_eq!((report.rows_failed, frame.failures_total, report.broke), (0, 0, Some("trap")));
    // No failure tells why: the worker does, of its last run only.
    assert_eq!(worker.reports(), [report]);
    assert_eq!(worker.last_break(0).map(CallError::word), Some("trap"));
    assert!(worker.last_break(1).is_none());
    let mut one = self::frame(&program, &[(Some(1.0), Some(0.5))]);
    run(&mut worker, &program, &mut one);
    assert!(worker.last_break(0).is_none());
}

#[test]
fn rows_fail_by_the_plugins_own_word_with_its_message() {
    let engine = engine();
    let plugin = load(&engine, "fails_negative_rows");
    let program = program(&[(&plugin, Reset, [0, 1]), (&plugin, Reused, [0, 2])]);
    let rows = [(Some(1.0), Some(2.0)), (Some(-1.0), Some(2.0)), (Some(4.0), Some(2.0))];
    let mut frame = frame(&program, &rows);
    let reports = run(&mut Worker::new(&engine), &program, &mut frame);
    assert_eq!(cells(&frame, 2), [value(3.0), Cell::Failed, value(6.0)]);
    assert_eq!(
        cells(&frame, 3),
        [value(4.0), Cell::Failed, value(10.0)],
        "the failed row is left out"
    );
    assert_eq!((reports[0].calls, reports[0].rows_failed, reports[0].broke), (1, 1, None));
    assert_eq!((reports[1].calls, reports[1].rows_failed, reports[1].rows_left_out), (1, 0, 1));
    assert_eq!(frame.failures_total, 1);
    assert_eq!((frame.failures[0].row, &*frame.failures[0].message), (Some(1), "negative"));

    let (a, b) = (doubles([Some(-1.0), Some(1.0)]), doubles([Some(2.0), Some(2.0)]));
    let output = Worker::new(&engine).run_plugin(&plugin, 2, &[a.view(), b.view()]).unwrap();
    assert_eq!(output.errors, [Some("negative".to_owned()), None]);
    assert!(output.columns[0].is_null(0) && !output.columns[0].is_null(1));
}

#[test]
fn nans_are_canonical_on_both_sides_whatever_the_policy() {
    let engine = engine();
    let odd = f64::from_bits(0xfff8_0000_dead_beef);
    let canonical = f64::from_bits(CANONICAL_NAN_F64);
    for policy in [Reset, Reused, Fresh] {
        let (gives, shows) = (load(&engine, "gives_nan_payloads"), load(&engine, "shows_nan_bits"));
        let program = program(&[
            (&gives, policy, [0, 1]),
            (&shows, policy, [0, 1]),
            (&shows, policy, [2, 1]),
        ]);
        let mut frame = frame(&program, &[(Some(odd), Some(1.0))]);
        run(&mut Worker::new(&engine), &program, &mut frame);
        let mantissa = value((canonical.to_bits() & ((1 << 52) - 1)) as f64);
        assert_eq!(cells(&frame, 2), [value(canonical)]);
        assert_eq!(cells(&frame, 3), [mantissa], "the guest saw the canonical NaN");
        assert_eq!(cells(&frame, 4), [mantissa], "also of another step's output");
        assert_eq!(
            cells(&frame, 0),
            [value(canonical)],
            "also where an input is an output of the plan"
        );

        let mut worker = Worker::new(&engine);
        let bits = |result: Result<Vec<f64>, CallError>| result.unwrap()[0].to_bits();
        assert_eq!(bits(call(&mut worker, &gives, policy, &[(1.0, 1.0)])), canonical.to_bits());
        assert_eq!(
            call(&mut worker, &shows, policy, &[(odd, 1.0)]).unwrap(),
            [(canonical.to_bits() & ((1 << 52) - 1)) as f64]
        );
    }
}

#[test]
fn results_are_the_same_bytes_under_every_policy_and_however_batches_are_cut() {
    let rows: Vec<_> = (0..300_u32)
        .map(|row| {
            let a = f64::from(row) * 0.37 - 20.0;
            let b = [1.5, f64::NAN, f64::INFINITY, -0.0, f64::MIN_POSITIVE][row as usize % 5];
            ((row % 7 != 0).then_some(a), (row % 11 != 0).then_some(b))
        })
        .collect();
    let sum = |(a, b): &(Option<f64>, Option<f64>)| match (a, b) {
        (Some(a), Some(b)) if (a + b).is_nan() => value(f64::from_bits(CANONICAL_NAN_F64)),
        (Some(a), Some(b)) => value(a + b),
        _ => Cell::Null,
    };
    let expected: Vec<_> = rows.iter().map(sum).collect();
    for rows_max in [1, 2, 7, 64, 299, 300, 8_192] {
        let engine = Engine::new(EngineConfig { rows_max, ..config() }).unwrap();
        let plugin = load(&engine, "adds");
        let mut worker = Worker::new(&engine);
        for policy in [Reset, Reused, Fresh] {
            let program = program(&[(&plugin, policy, [0, 1])]);
            let mut frame = frame(&program, &rows);
            let report = run(&mut worker, &program, &mut frame)[0];
            assert_eq!(cells(&frame, 2), expected, "{policy:?}, rows_max {rows_max}");
            assert_eq!(report.calls as usize, rows.len().div_ceil(rows_max));
            assert_eq!(report.broke, None);

            let (a, b) =
                (doubles(rows.iter().map(|row| row.0)), doubles(rows.iter().map(|row| row.1)));
            let output =
                worker.run_plugin_as(&plugin, policy, rows.len(), &[a.view(), b.view()]).unwrap();
            assert_eq!(canonical(&output.columns[0]), canonical(&frame.slots[2].column));
        }
    }
}

fn canonical(column: &Column) -> Vec<u8> {
    let mut bytes = Vec::new();
    (0..column.len()).for_each(|row| column.view().canonical_value_bytes(row, &mut bytes));
    bytes
}

#[test]
fn no_rows_need_no_call() {
    let engine = engine();
    let plugin = load(&engine, "traps");
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let mut frame = frame(&program, &[]);
    let report = run(&mut Worker::new(&engine), &program, &mut frame)[0];
    assert_eq!((report.calls, frame.failures_total, cells(&frame, 2)), (0, 0, vec![]));
    assert_eq!(call(&mut Worker::new(&engine), &plugin, Reset, &[]), Ok(vec![]));
}

#[test]
fn a_frame_is_reused_without_leftovers() {
    let engine = engine();
    let plugin = load(&engine, "traps_on_negative");
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let mut worker = Worker::new(&engine);
    let mut frame = frame(&program, &[(Some(-1.0), Some(2.0)), (Some(1.0), Some(2.0))]);
    run(&mut worker, &program, &mut frame);
    assert_eq!(cells(&frame, 2), [Cell::Failed, value(3.0)]);
    frame.reset(1);
    for slot in 0..2 {
        frame.slots[slot].column.push_f64(4.0);
        frame.slots[slot].derive_status();
    }
    for _ in 0..2 {
        run(&mut worker, &program, &mut frame);
        assert_eq!((cells(&frame, 2), frame.failures_total), (vec![value(8.0)], 0));
    }
}

#[test]
fn an_input_column_that_is_too_short_fails_its_step_and_names_it() {
    let engine = engine();
    let plugin = load(&engine, "adds");
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let mut frame = frame(&program, &[(Some(1.0), Some(2.0)), (Some(1.0), Some(2.0))]);
    frame.slots[1].column.clear();
    run(&mut Worker::new(&engine), &program, &mut frame);
    assert_eq!(cells(&frame, 2), [Cell::Failed, Cell::Failed]);
    assert_eq!(frame.failures[0].message, "expected input column 1 to be 2 rows, came 0");
    assert_eq!((frame.failures[0].row, frame.failures_total), (None, 2));
}

#[test]
fn the_watch_sees_every_step_start_and_end_in_order() {
    let engine = engine();
    let plugin = load(&engine, "adds");
    let program = program(&[(&plugin, Reset, [0, 1]), (&plugin, Reset, [0, 2])]);
    let mut frame = frame(&program, &[(Some(1.0), Some(2.0))]);
    let mut seen = Vec::new();
    Worker::new(&engine).execute(&program, &mut frame, Budget::online(10), &mut |step, phase| {
        seen.push((step, phase))
    });
    assert_eq!(seen, [(0, Phase::Start), (0, Phase::End), (1, Phase::Start), (1, Phase::End)]);
}

#[test]
fn run_rows_fails_the_rows_that_fail_alone_each_with_its_message() {
    let engine = engine();
    let rows: Vec<(f64, f64)> = (0..50)
        .map(|row| (if [7, 31].contains(&row) { -1.0 } else { f64::from(row) }, 0.5))
        .collect();
    let a = doubles(rows.iter().map(|row| Some(row.0)));
    let b = doubles(rows.iter().map(|row| Some(row.1)));
    let mut worker = Worker::new(&engine);
    let guests = [("traps_on_negative", "trapped"), ("fails_negative_rows", "negative")];
    for (name, says) in guests {
        let plugin = load(&engine, name);
        let output = worker.run_rows(&plugin, rows.len(), &[a.view(), b.view()]).unwrap();
        assert_eq!((output.columns[0].len(), output.errors.len()), (50, 50), "{name}");
        for (row, (a, b)) in rows.iter().enumerate() {
            let message = output.errors[row].as_deref();
            assert_eq!(message.is_some(), *a < 0.0, "{name}, row {row}: {message:?}");
            assert!(message.is_none_or(|message| message.contains(says)), "{name}: {message:?}");
            assert_eq!(output.columns[0].is_null(row), *a < 0.0, "{name}, row {row}");
            if *a >= 0.0 {
                assert_eq!(output.columns[0].view().f64_at(row), a + b, "{name}, row {row}");
            }
        }
    }
    let none =
        worker.run_rows(&load(&engine, "adds"), 0, &[doubles([]).view(), doubles([]).view()]);
    assert_eq!(none.unwrap().errors.len(), 0);
    let other = crate::harness::engine();
    let plugin = load(&other, "adds");
    let came = worker.run_rows(
        &plugin,
        2,
        &[doubles([Some(1.0); 2]).view(), doubles([Some(1.0); 2]).view()],
    );
    assert!(matches!(came, Err(CallError::OtherEngine)), "{came:?}");
}

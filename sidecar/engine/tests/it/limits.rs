//! Each limit of the engine is hit once, by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skewless_catalog::InstancePolicy::{Reset, Reused};
use skewless_engine::{
    Budget, CallError, Engine, EngineConfig, EngineError, PluginError, Undecided, Worker,
};

use crate::harness::{
    Cell, call, cells, config, doubles, frame, load, program, run, ticking, value, wasm,
};

const ONE: &[(f64, f64)] = &[(1.0, 2.0)];

fn with(change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = config();
    change(&mut config);
    Engine::new(config).unwrap()
}

#[test]
fn memory_bytes_max() {
    let engine = with(|config| config.memory_bytes_max = 256 << 10);
    let error = call(&mut Worker::new(&engine), &load(&engine, "grows_memory_forever"), Reset, ONE);
    let first_too_much = (2 + 16) << 16;
    assert_eq!(error, Err(CallError::Memory { max: 256 << 10, came: first_too_much }));
    let error = engine.load(&wasm("output_too_large"), None).unwrap_err();
    assert_eq!(error, PluginError::Memory { max: 256 << 10, came: 600 << 16 });
}

#[test]
fn table_elements_max() {
    let engine = with(|config| config.table_elements_max = 1_500);
    let error = call(&mut Worker::new(&engine), &load(&engine, "grows_table_forever"), Reset, ONE);
    assert_eq!(error, Err(CallError::Table { max: 1_500, came: 2_001 }));
}

#[test]
fn stack_bytes_max() {
    let engine = with(|config| config.stack_bytes_max = 64 << 10);
    let error = call(&mut Worker::new(&engine), &load(&engine, "recurses_forever"), Reset, ONE);
    assert_eq!(error, Err(CallError::Stack { max: 64 << 10 }));
}

#[test]
fn output_bytes_max() {
    let engine = with(|config| config.output_bytes_max = 1 << 10);
    let plugin = load(&engine, "adds");
    let mut worker = Worker::new(&engine);
    let rows = vec![(1.0, 2.0); 200];
    let error = call(&mut worker, &plugin, Reset, &rows);
    assert_eq!(error, Err(CallError::OutputBytes { max: 1 << 10, came: 192 + 1600 }));
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let mut frame = frame(&program, &vec![(Some(1.0), Some(2.0)); 200]);
    run(&mut worker, &program, &mut frame);
    assert_eq!(
        cells(&frame, 2),
        vec![value(3.0); 200],
        "a program's batch is halved until it fits"
    );
}

#[test]
fn input_bytes_max() {
    let engine = with(|config| config.input_bytes_max = 1 << 10);
    let plugin = load(&engine, "adds");
    let mut worker = Worker::new(&engine);
    let error = call(&mut worker, &plugin, Reset, &vec![(1.0, 2.0); 200]).unwrap_err();
    assert!(matches!(error, CallError::InputBytes { max: 1024, came } if came > 3200), "{error}");
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let mut frame = frame(&program, &vec![(Some(1.0), Some(2.0)); 200]);
    run(&mut worker, &program, &mut frame);
    assert_eq!(
        cells(&frame, 2),
        vec![value(3.0); 200],
        "a program's batch is halved until it fits"
    );
}

#[test]
fn rows_max() {
    let engine = with(|config| config.rows_max = 10);
    let plugin = load(&engine, "adds");
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let mut frame = frame(&program, &vec![(Some(1.0), Some(2.0)); 95]);
    let report = run(&mut Worker::new(&engine), &program, &mut frame)[0];
    assert_eq!((report.calls, report.broke), (10, None));
}

#[test]
fn module_bytes_max_and_signature_bytes_max() {
    let wasm = wasm("adds");
    let engine = with(|config| config.module_bytes_max = 1 << 10);
    let long = [&wasm[..], &[0; 1 << 10]].concat();
    assert_eq!(
        engine.load(&long, None).unwrap_err(),
        PluginError::TooLarge { max: 1 << 10, came: long.len() }
    );
    let engine = with(|config| config.signature_bytes_max = 1 << 10);
    engine.load(&wasm, None).unwrap();
    let json = format!(
        r#"{{"abi":1,"name":"t","doc":"{}","inputs":[],"outputs":[]}}"#,
        "x".repeat(1 << 10)
    );
    let text =
        format!("(module (@custom \"skewless.signature\" \"{}\"))", json.replace('"', "\\\""));
    let error = engine.load(&wat::parse_str(text).unwrap(), None).unwrap_err();
    assert!(error.to_string().contains("signature_bytes_max"), "{error}");
}

#[test]
fn instances_max() {
    let engine = with(|config| config.instances_max = 1);
    let (plugin, other) = (load(&engine, "adds"), load(&engine, "traps_on_negative"));
    let (mut first, mut second) = (Worker::new(&engine), Worker::new(&engine));
    call(&mut first, &plugin, Reset, ONE).unwrap();
    assert_eq!(call(&mut second, &other, Reset, ONE), Err(CallError::Instances { max: 1 }));
    first.clear();
    call(&mut second, &other, Reset, ONE).unwrap();
}

#[test]
fn warm_instances_max() {
    let engine = with(|config| config.warm_instances_max = 2);
    let plugins =
        ["adds", "traps_on_negative", "keeps_state_in_memory"].map(|name| load(&engine, name));
    let mut worker = Worker::new(&engine);
    let mut instances = |plugin| {
        let program = program(&[(plugin, Reused, [0, 1])]);
        run(&mut worker, &program, &mut frame(&program, &[(Some(1.0), Some(2.0))]))[0].instances
    };
    let made: Vec<_> = [0, 1, 0, 2, 0, 1].map(|plugin: usize| instances(&plugins[plugin])).into();
    assert_eq!(made, [1, 1, 0, 1, 0, 1], "the least recently used one is forgotten");
    assert_eq!(worker.warm_instances(), 2);
}

#[test]
fn deadline_ticks() {
    let mut config = config();
    config.deadline_ticks = 20;
    let (engine, _ticker) = ticking(config);
    let error = call(&mut Worker::new(&engine), &load(&engine, "loops_in_transform"), Reset, ONE);
    assert_eq!(error, Err(CallError::Deadline { ticks: 20, tick_us: Some(1_000) }));
    assert!(engine.ticks() >= 20);
}

#[test]
fn a_ticker_rests_while_no_plugin_runs_and_ends_the_next_call_in_time_all_the_same() {
    let (engine, _ticker) = ticking(EngineConfig { deadline_ticks: 20, ..config() });
    let (adds, loops) = (load(&engine, "adds"), load(&engine, "loops_in_transform"));
    for _ in 0..2 {
        // It rests in the end, or the test does.
        while !engine.resting() {
            std::thread::yield_now();
        }
        let rested_at = engine.ticks();
        let mut worker = Worker::new(&engine);
        assert_eq!(call(&mut worker, &adds, Reset, ONE), Ok(vec![3.0]));
        assert!(!engine.resting(), "roused by the call");
        let error = call(&mut worker, &loops, Reset, ONE);
        assert_eq!(error, Err(CallError::Deadline { ticks: 20, tick_us: Some(1_000) }));
        assert!(engine.ticks() - rested_at >= 20, "it ticks again");
    }
    while !engine.resting() {
        std::thread::yield_now();
    }
    let error = call(&mut Worker::new(&engine), &loops, Reset, ONE);
    assert!(matches!(error, Err(CallError::Deadline { .. })), "the first call after a rest, too");
}

#[test]
fn however_many_rows_break_every_row_is_decided_in_fewer_than_two_calls_a_row() {
    let engine = with(|_| ());
    let plugin = load(&engine, "traps_on_negative");
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let mut worker = Worker::new(&engine);
    for (rows, every) in [(1_usize, 1), (64, 1), (100, 1), (500, 2), (1_000, 25)] {
        let bad = |row: usize| row.is_multiple_of(every);
        let values: Vec<_> =
            (0..rows).map(|row| (Some(if bad(row) { -1.0 } else { 1.0 }), Some(2.0))).collect();
        let mut frame = frame(&program, &values);
        let budget = Budget::online(u64::MAX);
        let report = worker.execute(&program, &mut frame, budget, &mut |_, _| {})[0];
        let expected: Vec<_> =
            (0..rows).map(|row| if bad(row) { Cell::Failed } else { value(3.0) }).collect();
        assert_eq!(cells(&frame, 2), expected, "{rows} rows, every {every}th bad");
        assert_eq!((report.rows_failed, report.undecided), (rows.div_ceil(every), None));
        let calls_max = 2 * rows - 1;
        let calls = report.calls as usize;
        assert!(calls <= calls_max && (every > 1 || calls == calls_max), "{calls} of {calls_max}");
    }
}

#[test]
fn a_budget_of_ticks_bounds_the_whole_execution_and_says_what_was_not_decided() {
    let (engine, _ticker) = ticking(config());
    let (loops, adds) = (load(&engine, "loops_on_negative"), load(&engine, "adds"));
    let program = program(&[(&loops, Reset, [0, 1]), (&adds, Reset, [0, 1])]);
    let mut worker = Worker::new(&engine);
    for rows in [&[(Some(-1.0), Some(2.0)), (Some(1.0), Some(2.0))][..], &[(Some(-1.0), Some(2.0))]]
    {
        let mut frame = frame(&program, rows);
        let before = engine.ticks();
        let reports = worker.execute(&program, &mut frame, Budget::online(50), &mut |_, _| {});
        assert_eq!((reports[0].calls, reports[1].calls), (1, 0));
        assert_eq!([reports[0].undecided, reports[1].undecided], [Some(Undecided::Ticks); 2]);
        assert!(engine.ticks() - before >= 50);
        assert!(cells(&frame, 2).iter().chain(&cells(&frame, 3)).all(|cell| *cell == Cell::Failed));
        let says = "not decided: the time for the whole request was spent";
        assert!(frame.failures.iter().all(|failure| failure.message == says), "a cut call, too");
    }
}

#[test]
fn a_worker_that_is_told_to_stop_ends_its_running_call_and_begins_no_other() {
    // By its deadline the call would last ten minutes.
    let (engine, _ticker) = ticking(EngineConfig { deadline_ticks: 600_000, ..config() });
    for guest in ["loops_on_negative", "component_loops", "loops_in_start"] {
        let plugin = load(&engine, guest);
        let program = program(&[(&plugin, Reset, [0, 1]), (&plugin, Reset, [0, 1])]);
        let mut frame = frame(&program, &[(Some(-1.0), Some(2.0)), (Some(1.0), Some(2.0))]);
        let stop = Arc::new(AtomicBool::new(false));
        let mut worker = Worker::stoppable(&engine, Arc::clone(&stop));
        let begun = engine.ticks();
        let reports = std::thread::scope(|scope| {
            scope.spawn(|| {
                // Long enough for the call to have been looked at before.
                while engine.ticks() < begun + 200 {
                    std::thread::yield_now();
                }
                stop.store(true, Ordering::Relaxed);
            });
            run(&mut worker, &program, &mut frame)
        });
        assert!(reports[0].calls <= 1 && reports[1].calls == 0, "{guest}: {reports:?}");
        assert_eq!(reports[0].undecided, Some(Undecided::Stopped), "{guest}");
        assert_eq!(reports[1].undecided, Some(Undecided::Stopped), "{guest}");
        assert!(cells(&frame, 2).iter().chain(&cells(&frame, 3)).all(|cell| *cell == Cell::Failed));
        assert!(engine.ticks() - begun < 300_000, "{guest}: it went on as if nobody had asked");
    }
}

#[test]
fn a_worker_that_could_be_stopped_but_is_not_has_the_same_deadline_and_gives_the_same() {
    let (engine, _ticker) = ticking(EngineConfig { deadline_ticks: 130, ..config() });
    let never = || Arc::new(AtomicBool::new(false));
    let mut worker = Worker::stoppable(&engine, never());
    let begun = engine.ticks();
    let error = call(&mut worker, &load(&engine, "loops_in_transform"), Reset, ONE);
    assert_eq!(error, Err(CallError::Deadline { ticks: 130, tick_us: Some(1_000) }));
    assert!(engine.ticks() - begun >= 130);
    assert_eq!(call(&mut worker, &load(&engine, "adds"), Reset, ONE), Ok(vec![3.0]));
}

#[test]
fn rows_without_an_instance_are_not_decided() {
    let engine = with(|config| config.instances_max = 1);
    let (plugin, other) = (load(&engine, "adds"), load(&engine, "traps_on_negative"));
    let mut first = Worker::new(&engine);
    call(&mut first, &plugin, Reset, ONE).unwrap();
    let program = program(&[(&other, Reset, [0, 1])]);
    let mut frame = frame(&program, &[(Some(1.0), Some(2.0)), (Some(2.0), Some(2.0))]);
    let report = run(&mut Worker::new(&engine), &program, &mut frame)[0];
    assert_eq!((report.undecided, report.rows_failed), (Some(Undecided::Instances), 2));
    first.clear();
    let report = run(&mut Worker::new(&engine), &program, &mut frame)[0];
    assert_eq!((report.undecided, cells(&frame, 2)), (None, vec![value(3.0), value(4.0)]));
}

#[test]
fn a_bad_configuration_names_its_field() {
    let error = Engine::new(EngineConfig { rows_max: 0, ..config() }).unwrap_err();
    assert_eq!(error, EngineError::Config { field: "rows_max", expected: "1 to 1048576" });
}

#[test]
fn a_plugin_of_another_engine_and_columns_that_do_not_fit_are_refused() {
    let (one, two) = (with(|_| ()), with(|_| ()));
    let plugin = load(&one, "adds");
    assert_eq!(call(&mut Worker::new(&two), &plugin, Reset, ONE), Err(CallError::OtherEngine));

    let mut worker = Worker::new(&one);
    let a = doubles([Some(1.0)]);
    let mut text = skewless_batch::Column::new(skewless_batch::Type::Utf8);
    text.push_utf8("x");
    for inputs in [vec![a.view()], vec![a.view(), text.view()], vec![a.view(); 3]] {
        let error = worker.run_plugin(&plugin, 1, &inputs).unwrap_err();
        assert!(matches!(error, CallError::Input { .. }), "{error}");
    }
    assert!(matches!(
        worker.run_plugin(&plugin, 2, &[a.view(), a.view()]),
        Err(CallError::Input { .. })
    ));
}

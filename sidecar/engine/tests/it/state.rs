//! A call finds the state its policy promises: proven with guests that keep state wherever they can.

use skewless_catalog::InstancePolicy::{Fresh, Reset, Reused};
use skewless_engine::{CallError, EngineConfig, Worker};

use crate::harness::{call, config, engine, frame, load, program, run, ticking};

/// Guests that keep state; whether a soft reset can take it away.
const KEEPERS: &[(&str, bool)] = &[
    ("keeps_state_in_memory", true),
    ("keeps_state_in_its_image", true),
    ("keeps_state_in_a_global", true),
    ("keeps_state_in_a_vector_global", true),
    ("keeps_state_from_start", true),
    ("keeps_state_in_a_reference_global", false),
    ("keeps_state_in_a_table", false),
    ("keeps_state_in_a_table_size", false),
    ("keeps_state_by_data_drop", false),
    ("keeps_state_by_elem_drop", false),
];

#[test]
fn reset_calls_find_the_state_of_a_fresh_instance_and_reused_ones_do_not() {
    let engine = engine();
    for &(name, restorable) in KEEPERS {
        let plugin = load(&engine, name);
        assert_eq!(plugin.facts().state.restorable(), restorable, "{name}");
        let mut worker = Worker::new(&engine);
        let first = call(&mut worker, &plugin, Fresh, &[(1.0, 2.0)]).unwrap();
        for n in 0..4 {
            let again = call(&mut worker, &plugin, Reset, &[(1.0, 2.0)]);
            assert_eq!(again.as_ref(), Ok(&first), "{name}, call {n}");
            assert_eq!(
                worker.warm_instances(),
                usize::from(restorable),
                "{name}: kept if restorable"
            );
            if n == 2 {
                worker.tidy();
            }
        }
        worker.clear();
        // The guest does keep state: otherwise the above would prove nothing.
        assert_eq!(
            call(&mut worker, &plugin, Reused, &[(1.0, 2.0)]).as_ref(),
            Ok(&first),
            "{name}"
        );
        let reused = call(&mut worker, &plugin, Reused, &[(1.0, 2.0)]);
        assert_ne!(reused.as_ref(), Ok(&first), "{name} keeps state when reused");
    }
}

#[test]
fn memory_that_grew_is_thrown_away_and_the_rest_of_the_state_with_it() {
    let engine = engine();
    let plugin = load(&engine, "keeps_state_in_the_memory_size");
    assert!(plugin.facts().state.restorable(), "growth shows only when it happens");
    let mut worker = Worker::new(&engine);
    for _ in 0..3 {
        assert_eq!(call(&mut worker, &plugin, Reset, &[(0.0, 0.0)]), Ok(vec![1.0]));
        assert_eq!(worker.warm_instances(), 0);
    }
    assert_eq!(call(&mut worker, &plugin, Reused, &[(0.0, 0.0)]), Ok(vec![1.0]));
    assert_eq!(call(&mut worker, &plugin, Reused, &[(0.0, 0.0)]), Ok(vec![2.0]));
}

#[test]
fn a_memory_over_reset_bytes_max_is_fresh_each_time() {
    let mut worker = Worker::new(
        &skewless_engine::Engine::new(EngineConfig { reset_bytes_max: 65_535, ..config() })
            .unwrap(),
    );
    let plugin = load(&worker.engine().clone(), "keeps_state_in_memory");
    for _ in 0..3 {
        assert_eq!(call(&mut worker, &plugin, Reset, &[(1.0, 2.0)]), Ok(vec![3.0]));
        assert_eq!(worker.warm_instances(), 0);
    }
}

#[test]
fn policies_of_one_plugin_do_not_share_an_instance() {
    let engine = engine();
    let plugin = load(&engine, "keeps_state_in_a_global");
    let mut worker = Worker::new(&engine);
    for n in 0..3 {
        assert_eq!(call(&mut worker, &plugin, Reused, &[(1.0, 2.0)]), Ok(vec![3.0 + f64::from(n)]));
        assert_eq!(call(&mut worker, &plugin, Reset, &[(1.0, 2.0)]), Ok(vec![3.0]));
        assert_eq!(call(&mut worker, &plugin, Fresh, &[(1.0, 2.0)]), Ok(vec![3.0]));
    }
}

#[test]
fn a_restored_instance_is_the_same_one_and_needs_no_new_one() {
    let engine = engine();
    let plugin = load(&engine, "keeps_state_in_memory");
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let mut worker = Worker::new(&engine);
    for n in 0..3 {
        let mut frame = frame(&program, &[(Some(1.0), Some(2.0))]);
        let report = run(&mut worker, &program, &mut frame)[0];
        assert_eq!((report.calls, report.instances), (1, u32::from(n == 0)), "call {n}");
        if n == 1 {
            worker.tidy();
        }
    }
}

#[test]
fn an_instance_is_thrown_away_after_a_trap_a_deadline_or_a_lie_even_when_reused() {
    let (engine, _ticker) = ticking(config());
    let mut worker = Worker::new(&engine);
    for name in [
        "traps",
        "loops_in_transform",
        "grows_memory_forever",
        "wrong_magic",
        "wrong_rows",
        "reserve_none",
    ] {
        let plugin = load(&engine, name);
        call(&mut worker, &plugin, Reused, &[(1.0, 2.0)]).unwrap_err();
        assert_eq!(worker.warm_instances(), 0, "{name}");
    }
    let plugin = load(&engine, "status_failed");
    let error = call(&mut worker, &plugin, Reused, &[(1.0, 2.0)]);
    assert_eq!(error, Err(CallError::Status { code: -4 }));
    assert_eq!(worker.warm_instances(), 1, "a refusal in the contract's own words is no lie");
}

#[test]
fn a_component_answers_what_it_takes_back_after_the_call_and_may_have_parts() {
    let engine = engine();
    let mut worker = Worker::new(&engine);
    for name in ["component_clears_its_answer", "component_of_two"] {
        let plugin = load(&engine, name);
        for policy in [Reset, Fresh, Reused, Reused] {
            let came = call(&mut worker, &plugin, policy, &[(1.0, 2.0)]);
            assert_eq!(came, Ok(vec![42.0]), "{name}, {policy:?}");
        }
    }
}

#[test]
fn a_component_is_fresh_for_each_call_unless_reused() {
    let engine = engine();
    let mut worker = Worker::new(&engine);
    let plugin = load(&engine, "component_answers");
    assert_eq!(call(&mut worker, &plugin, Reset, &[(1.0, 2.0)]), Ok(vec![42.0]));
    let plugin = load(&engine, "component_counts");
    for n in 0..3 {
        assert_eq!(call(&mut worker, &plugin, Reset, &[(1.0, 2.0)]), Ok(vec![43.0]));
        assert_eq!(call(&mut worker, &plugin, Fresh, &[(1.0, 2.0)]), Ok(vec![43.0]));
        assert_eq!(
            call(&mut worker, &plugin, Reused, &[(1.0, 2.0)]),
            Ok(vec![43.0 + f64::from(n)])
        );
        assert_eq!(worker.warm_instances(), 1);
    }
}

#[test]
fn a_warmed_up_worker_makes_no_instance_for_its_first_call_and_moves_between_threads() {
    let engine = engine();
    let plugin = load(&engine, "keeps_state_in_memory");
    let mut worker = Worker::new(&engine);
    worker.warm_up(&plugin, Reset).unwrap();
    assert_eq!(worker.warm_instances(), 1);
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let moved = std::thread::spawn(move || {
        let mut frame = frame(&program, &[(Some(1.0), Some(2.0))]);
        run(&mut worker, &program, &mut frame)[0].instances
    });
    assert_eq!(moved.join().unwrap(), 0);
}

//! Loading and binding: what is read from a file, and every way in which a plan can't be bound.

use std::sync::Arc;

use skewless_batch::Type;
use skewless_catalog::{Digest, InstancePolicy::Reset, Plan};
use skewless_engine::{BindError, Lane, PluginError, Program};

use crate::harness::{config, engine, load, plan, wasm};

#[test]
fn inspecting_tells_what_a_plugin_is() {
    let bytes = wasm("keeps_state_from_start");
    let facts = skewless_engine::inspect(&bytes, &config()).unwrap();
    assert_eq!(facts.digest, Digest::of(&bytes));
    assert_eq!(
        (facts.lane, facts.bytes, facts.memory_bytes_min),
        (Lane::Core, bytes.len(), 65_536)
    );
    assert_eq!((facts.state.globals.as_slice(), facts.state.start), (&[0][..], true));
    assert_eq!(facts.signature.inputs.len(), 2);
    assert_eq!(facts.signature.outputs[0].ty, Type::Float64);
    let facts = skewless_engine::inspect(&wasm("component_answers"), &config()).unwrap();
    assert_eq!(
        (facts.lane, facts.functions, facts.memory_bytes_min),
        (Lane::Component, 2, 131_072)
    );
    assert_eq!((&facts.exports[..], facts.memory_bytes_max), (&["transform".to_owned()][..], None));
    assert!(facts.producers.is_empty(), "nobody said");
}

#[test]
fn the_digest_is_that_of_the_file_although_the_module_is_rewritten() {
    let plugin = load(&engine(), "keeps_state_in_a_global");
    assert_eq!(*plugin.digest(), Digest::of(&wasm("keeps_state_in_a_global")));
}

#[test]
fn bytes_that_are_no_wasm_are_refused_wherever_they_are_cut() {
    let engine = engine();
    let whole = wasm("adds");
    for bytes in [&b""[..], b"\0as", b"not wasm at all", &[0; 100]] {
        assert!(matches!(engine.load(bytes, None), Err(PluginError::NotWasm)));
    }
    assert!(matches!(engine.load(b"\0asm", None), Err(PluginError::Invalid(_))));
    let signature = engine.inspect(&whole).unwrap().signature;
    let mut sound = 0;
    for cut in 1..whole.len() {
        if let Ok(facts) = engine.inspect(&whole[..cut]) {
            // Cut exactly before the last section, the debug names.
            assert_eq!(facts.signature, signature);
            sound += 1;
        }
    }
    assert!(sound <= 1, "{sound} cuts were taken for whole");
}

#[test]
fn flipped_bytes_never_panic() {
    let engine = engine();
    let whole = wasm("adds");
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            if let Err(error) = engine.inspect(&bytes) {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn every_plan_that_does_not_fit_is_refused() {
    let engine = engine();
    let plugin = load(&engine, "adds");
    let other = load(&engine, "traps");
    let bind = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan(&[(&plugin, Reset, [0, 1]), (&plugin, Reset, [0, 2])]);
        change(&mut plan);
        Program::bind(&Arc::new(plan), &|_| Some(plugin.clone())).map(|_| ())
    };
    assert_eq!(bind(&|_| ()), Ok(()));
    let transform = || "step1".to_owned();
    let error = bind(&|plan| plan.steps[1].digest = *other.digest()).unwrap_err();
    assert!(matches!(error, BindError::WrongPlugin { .. }), "{error}");
    let inputs = bind(&|plan| plan.steps[1].inputs.push(0));
    assert_eq!(inputs, Err(BindError::Inputs { transform: transform(), expected: 2, came: 3 }));
    let input = bind(&|plan| plan.steps[1].inputs[0] = 9);
    assert_eq!(input, Err(BindError::Index { transform: transform(), below: 4, came: 9 }));
    let output = bind(&|plan| plan.steps[1].outputs[0].1 = 9);
    assert_eq!(output, Err(BindError::Index { transform: transform(), below: 4, came: 9 }));
    let output = bind(&|plan| plan.steps[1].outputs[0].0 = 1);
    assert_eq!(output, Err(BindError::Index { transform: transform(), below: 1, came: 1 }));
    for slot in [0, 3] {
        let error = bind(&|plan| plan.slots[slot].ty = Type::Float32).unwrap_err();
        assert!(matches!(error, BindError::ColumnType { .. }), "{error}");
    }
    let order = bind(&|plan| plan.steps[1].inputs[0] = 3);
    assert_eq!(order, Err(BindError::Order { transform: transform(), slot: 3 }));
    let order = bind(&|plan| plan.steps.swap(0, 1));
    assert_eq!(order, Err(BindError::Order { transform: transform(), slot: 2 }));
    let none = Program::bind(&Arc::new(plan(&[(&plugin, Reset, [0, 1])])), &|_| None).map(|_| ());
    assert_eq!(
        none,
        Err(BindError::NoPlugin { transform: "step0".to_owned(), digest: *plugin.digest() })
    );
}

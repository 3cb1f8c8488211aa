//! Every hostile guest costs its own features, never the other steps', never the worker.

use std::collections::BTreeSet;

use skewless_batch::BatchError;
use skewless_catalog::InstancePolicy::Reset;
use skewless_catalog::frame::FAILURES_MAX;
use skewless_engine::config::MESSAGE_BYTES_MAX;
use skewless_engine::{CallError, PluginError, Worker};

use crate::harness::{
    Cell, call, cells, config, engine, folder, frame, load, program, run, ticking, value, wasm,
};

/// What a guest is.
enum Guest {
    /// Refused when it is loaded, with this error.
    Refused(fn(&PluginError) -> bool),
    /// Every call breaks, with this error.
    Breaks(fn(&CallError) -> bool),
    /// Answers some calls; its test is in the module named.
    Answers(&'static str),
}

use Guest::{Answers, Breaks, Refused};

macro_rules! refused {
    ($pattern:pat) => {
        Refused(|error| matches!(error, $pattern))
    };
}

macro_rules! breaks {
    ($pattern:pat) => {
        Breaks(|error| matches!(error, $pattern))
    };
}

const GUESTS: &[(&str, Guest)] = &[
    ("adds", Answers("rows, random")),
    ("answers_from_a_table", Answers("certify")),
    ("answers_one_number", Answers("certify")),
    ("bad_signature", refused!(PluginError::Signature(_))),
    ("component_answers", Answers("state")),
    ("component_clears_its_answer", Answers("state")),
    ("component_clears_its_refusal", breaks!(CallError::Guest(_))),
    ("component_counts", Answers("state")),
    ("component_grows_memory_forever", breaks!(CallError::Memory { .. })),
    ("component_huge_list", breaks!(CallError::Trap(_))),
    ("component_imports", refused!(PluginError::Import { .. })),
    ("component_large_list", breaks!(CallError::OutputBytes { .. })),
    ("component_loops", breaks!(CallError::Deadline { ticks: 250, tick_us: Some(1_000) })),
    (
        "component_loops_in_realloc",
        breaks!(CallError::Deadline { ticks: 250, tick_us: Some(1_000) }),
    ),
    ("component_of_two", Answers("state")),
    ("component_recurses_forever", breaks!(CallError::Stack { .. })),
    ("component_refuses", breaks!(CallError::Guest(_))),
    ("component_refuses_at_length", breaks!(CallError::Guest(_))),
    ("component_refuses_in_bad_utf8", breaks!(CallError::Trap(_))),
    ("component_traps", breaks!(CallError::Trap(_))),
    ("component_unknown_case", breaks!(CallError::Trap(_))),
    ("component_without_export", refused!(PluginError::MissingExport { name: "transform" })),
    ("component_without_signature", refused!(PluginError::NoSignature)),
    ("component_wrong_magic", breaks!(CallError::Output(BatchError::Magic { .. }))),
    ("component_wrong_type", refused!(PluginError::ExportType { name: "transform", .. })),
    ("divides_by_zero", breaks!(CallError::Trap(_))),
    ("error_column_of_numbers", breaks!(CallError::OutputType { index: 1, .. })),
    ("fails_negative_rows", Answers("rows")),
    ("gives_nan_payloads", Answers("rows")),
    ("grows_a_page_a_call", Answers("certify")),
    ("grows_memory_forever", breaks!(CallError::Memory { .. })),
    ("grows_memory_in_start", breaks!(CallError::Memory { .. })),
    ("grows_table_forever", breaks!(CallError::Table { .. })),
    ("huge_memory", refused!(PluginError::Memory { .. })),
    ("huge_table", refused!(PluginError::Table { .. })),
    ("imports_a_clock", refused!(PluginError::Import { .. })),
    ("invalid_utf8", breaks!(CallError::Output(BatchError::Utf8 { .. }))),
    ("keeps_state_by_data_drop", Answers("state")),
    ("keeps_state_by_elem_drop", Answers("state")),
    ("keeps_state_from_start", Answers("state")),
    ("keeps_state_in_a_global", Answers("state")),
    ("keeps_state_in_a_reference_global", Answers("state")),
    ("keeps_state_in_a_table", Answers("state")),
    ("keeps_state_in_a_table_size", Answers("state")),
    ("keeps_state_in_a_vector_global", Answers("state")),
    ("keeps_state_in_its_image", Answers("state")),
    ("keeps_state_in_memory", Answers("state, certify")),
    ("keeps_state_in_the_memory_size", Answers("state")),
    ("leaks_the_row_before", Answers("certify")),
    ("lies_about_address", breaks!(CallError::OutputAddress { .. })),
    ("lies_about_length", breaks!(CallError::OutputAddress { .. })),
    ("looks_at_the_first_row", Answers("certify")),
    ("loops_in_reserve", breaks!(CallError::Deadline { ticks: 250, tick_us: Some(1_000) })),
    ("loops_in_start", breaks!(CallError::Deadline { ticks: 250, tick_us: Some(1_000) })),
    ("loops_in_transform", breaks!(CallError::Deadline { ticks: 250, tick_us: Some(1_000) })),
    ("loops_on_negative", Answers("rows, limits")),
    ("memory64", refused!(PluginError::Invalid(_))),
    ("memory_is_a_function", refused!(PluginError::ExportType { name: "memory", .. })),
    ("no_memory_export", refused!(PluginError::MissingExport { name: "memory" })),
    ("no_reserve", refused!(PluginError::MissingExport { name: "skewless_reserve" })),
    ("no_signature", refused!(PluginError::NoSignature)),
    ("offsets_not_monotone", breaks!(CallError::Output(_))),
    ("offsets_past_the_end", breaks!(CallError::Output(BatchError::LastOffset { .. }))),
    ("output_empty", breaks!(CallError::Output(BatchError::TooShort { .. }))),
    ("output_ends_in_input", breaks!(CallError::OutputOverlap { .. })),
    ("output_overlaps_input", breaks!(CallError::OutputOverlap { .. })),
    ("output_too_large", breaks!(CallError::OutputBytes { .. })),
    ("reads_outside_memory", breaks!(CallError::Trap(_))),
    ("reads_what_was_left", Answers("certify")),
    ("recurses_forever", breaks!(CallError::Stack { .. })),
    ("relaxed_simd", refused!(PluginError::Invalid(_))),
    ("remembers_an_equal_row", Answers("certify")),
    ("reserve_at_the_end", breaks!(CallError::Reserve { .. })),
    ("reserve_misaligned", breaks!(CallError::Reserve { address: 65537, .. })),
    ("reserve_none", breaks!(CallError::NoRoom { .. })),
    ("reserve_outside", breaks!(CallError::Reserve { .. })),
    ("shared_memory", refused!(PluginError::Invalid(_))),
    ("shows_nan_bits", Answers("rows")),
    ("status_failed", breaks!(CallError::Status { code: -4 })),
    ("status_unknown", breaks!(CallError::Status { code: i64::MIN })),
    ("takes_a_reserved_name", refused!(PluginError::Compile(_))),
    ("too_few_columns", breaks!(CallError::OutputColumns { came: 0, .. })),
    ("too_many_columns", breaks!(CallError::OutputColumns { came: 3, .. })),
    ("traps", breaks!(CallError::Trap(_))),
    ("traps_in_start", breaks!(CallError::Trap(_))),
    ("traps_on_negative", Answers("rows, random")),
    ("traps_on_no_rows", Answers("certify")),
    ("two_memories", refused!(PluginError::Invalid(_))),
    ("two_signatures", refused!(PluginError::ManySignatures { came: 2 })),
    ("unknown_abi", refused!(PluginError::Abi { expected: 1, came: 2 })),
    ("wants_too_much_for_many", Answers("rows")),
    ("wrong_magic", breaks!(CallError::Output(BatchError::Magic { .. }))),
    ("wrong_rows", breaks!(CallError::OutputRows { expected: 1, came: 3 })),
    ("wrong_transform_type", refused!(PluginError::ExportType { name: "skewless_transform", .. })),
    ("wrong_type", breaks!(CallError::OutputType { index: 0, .. })),
];

#[test]
fn every_guest_in_the_folder_is_classified_and_says_what_it_attacks() {
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(folder()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wat") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(";; "), "{} starts with what it attacks", path.display());
            found.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    let classified: BTreeSet<_> = GUESTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, classified);
    for (name, guest) in GUESTS {
        if let Answers(tested_in) = guest {
            for module in tested_in.split(", ") {
                let tests = format!("{}/tests/it/{module}.rs", env!("CARGO_MANIFEST_DIR"));
                let tests = std::fs::read_to_string(tests).unwrap();
                assert!(tests.contains(&format!("\"{name}\"")), "{module} tests {name}");
            }
        }
    }
}

#[test]
fn what_is_no_plugin_is_refused_by_name_and_none_of_it_runs() {
    let engine = engine();
    for (name, guest) in GUESTS {
        let Refused(expected) = guest else { continue };
        let wasm = wasm(name);
        let error = engine.load(&wasm, None).expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
        match engine.inspect(&wasm) {
            Err(inspected) => assert_eq!(inspected, error, "{name}"),
            Ok(_) => assert!(
                matches!(error, PluginError::Compile(_) | PluginError::ExportType { .. }),
                "{name}: only the compiler and component types are left to loading, came {error:?}"
            ),
        }
    }
}

#[test]
fn a_guest_that_breaks_costs_its_own_features_and_nothing_else() {
    let (engine, _ticker) = ticking(config());
    let good = load(&engine, "adds");
    let mut worker = Worker::new(&engine);
    for (name, guest) in GUESTS {
        let Breaks(expected) = guest else { continue };
        let plugin = load(&engine, name);

        let error = call(&mut worker, &plugin, Reset, &[(1.0, 2.0)]).expect_err(name);
        assert!(expected(&error), "{name}: {error:?}");
        assert!(!error.to_string().is_empty());

        // Before, after and beside it, others answer; what needs it fails with it.
        let program = program(&[
            (&good, Reset, [0, 1]),
            (&plugin, Reset, [0, 1]),
            (&good, Reset, [2, 1]),
            (&good, Reset, [0, if plugin.signature().outputs[0].name == "sum" { 3 } else { 1 }]),
        ]);
        let mut frame = frame(&program, &[(Some(1.0), Some(2.0)), (Some(3.0), None)]);
        let reports = run(&mut worker, &program, &mut frame);
        assert_eq!(cells(&frame, 2), [value(3.0), Cell::Null], "{name}");
        assert_eq!(cells(&frame, 3), [Cell::Failed, Cell::Failed], "{name}");
        assert_eq!(cells(&frame, 4), [value(5.0), Cell::Null], "{name}");
        if plugin.signature().outputs[0].name == "sum" {
            assert_eq!(cells(&frame, 5), [Cell::Failed, Cell::Failed], "{name}");
            assert_eq!((reports[3].rows_left_out, reports[3].calls), (2, 0), "{name}");
        }
        assert_eq!((reports[1].rows_failed, reports[1].broke), (2, Some(error.word())), "{name}");
        assert_eq!(reports[0].rows_failed + reports[2].rows_failed, 0, "{name}");
        assert_eq!(frame.failures_total, 2, "{name}");
        for (failure, row) in frame.failures.iter().zip(0..) {
            assert_eq!((failure.step, failure.row), (1, Some(row)), "{name}");
            assert!((1..=MESSAGE_BYTES_MAX).contains(&failure.message.len()), "{name}");
        }

        // The worker is well.
        assert_eq!(call(&mut worker, &good, Reset, &[(1.0, 2.0)]).unwrap(), [3.0], "after {name}");
    }
}

#[test]
fn failures_are_counted_beyond_those_that_are_kept() {
    let engine = engine();
    let plugin = load(&engine, "traps");
    let program = program(&[(&plugin, Reset, [0, 1])]);
    let rows = FAILURES_MAX + 36;
    let mut frame = frame(&program, &vec![(Some(1.0), Some(2.0)); rows]);
    run(&mut Worker::new(&engine), &program, &mut frame);
    assert_eq!((frame.failures.len(), frame.failures_total), (FAILURES_MAX, rows));
    assert_eq!(cells(&frame, 2), vec![Cell::Failed; rows]);
}

#[test]
fn a_trap_that_is_usually_a_panic_says_how_to_see_its_message() {
    let engine = engine();
    for name in ["traps", "component_traps"] {
        let plugin = load(&engine, name);
        let error = call(&mut Worker::new(&engine), &plugin, Reset, &[(1.0, 2.0)]).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("a native test of the row"), "{name}: {said}");
        // What panics in the sandbox alone is named, and not cut off where the message is kept.
        assert!(
            said.ends_with("no clock, randomness, threads, files or network"),
            "{name}: {said}"
        );
        assert!(said.len() <= MESSAGE_BYTES_MAX, "{name}: {} bytes", said.len());
    }
}

#[test]
fn messages_of_guests_are_cut() {
    let engine = engine();
    let plugin = load(&engine, "component_refuses_at_length");
    let error = call(&mut Worker::new(&engine), &plugin, Reset, &[(1.0, 2.0)]).unwrap_err();
    assert_eq!(error, CallError::Guest("x".repeat(MESSAGE_BYTES_MAX)));
    for name in ["component_refuses", "component_clears_its_refusal"] {
        let plugin = load(&engine, name);
        let error = call(&mut Worker::new(&engine), &plugin, Reset, &[(1.0, 2.0)]).unwrap_err();
        assert_eq!(error, CallError::Guest("not today".to_owned()), "{name}");
    }
}

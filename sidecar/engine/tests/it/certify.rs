//! Planted faults are found and made small, good guests pass, and the certificate says which it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use skewless_catalog::InstancePolicy::Reused;
use skewless_engine::certificate::{self, CertificateError};
use skewless_engine::certify::{self, CASES_MIN, CertifyError, Fault, Findings, Property, Request};
use skewless_engine::{EngineConfig, Plugin};

use crate::harness::{config, doubles, folder, load, ticking};

fn request(cases: u32) -> Request<'static> {
    Request { seed: 1, cases, threads: 3, given: (0, &[]), stop: Arc::default() }
}

fn examine(plugin: &Plugin) -> Findings {
    certify::examine(plugin, &request(CASES_MIN), &mut |_| {}).unwrap()
}

fn examined(name: &str) -> Findings {
    // Calls of few rows: what breaks on many is halved quickly.
    let (engine, _ticker) = ticking(EngineConfig { rows_max: 256, ..config() });
    examine(&load(&engine, name))
}

/// What was found of a property.
fn fault(findings: &Findings, property: Property) -> Option<&Fault> {
    findings.faults().find(|(of, _)| *of == property).map(|(_, fault)| fault)
}

/// Rows of the calls that show a fault.
fn rows(fault: &Fault) -> Vec<usize> {
    fault.calls.iter().map(Vec::len).collect()
}

#[test]
fn a_guest_that_counts_its_calls_is_shown_by_two_calls_of_a_row() {
    let findings = examined("keeps_state_in_memory");
    assert!(!findings.passed());
    for property in [Property::RepeatedCalls, Property::ReusedInstance, Property::Threads] {
        let fault = fault(&findings, property).unwrap();
        let made = rows(fault);
        assert!(
            fault.policy == Reused && [[1, 1], [0, 1]].contains(&made[..].try_into().unwrap()),
            "{made:?}"
        );
        assert_eq!(fault.what, "a row's answer depends on the calls before it");
        assert_eq!(fault.calls[1][0], json!({"a": 0.0, "b": 0.0}), "{property:?}");
        assert_eq!(fault.expected, json!({"out": {"sum": 0.0}}), "{property:?}");
        assert_eq!(fault.came, json!({"out": {"sum": 1.0}}), "{property:?}");
    }
    assert_eq!(fault(&findings, Property::Deterministic), None, "a new instance counts from 0");
}

#[test]
fn a_guest_that_looks_at_the_first_row_is_shown_by_one_call_of_two() {
    let findings = examined("looks_at_the_first_row");
    for property in [Property::RowOrder, Property::BatchSplit] {
        let fault = fault(&findings, property).unwrap();
        assert_eq!((rows(fault), fault.row), (vec![2], 1), "{property:?}");
        assert_eq!(fault.what, "a row's answer depends on the rows it is in a batch with");
        assert_ne!(fault.expected, fault.came);
    }
    assert_eq!(fault(&findings, Property::Deterministic), None);
}

#[test]
fn a_guest_that_leaks_the_row_before_is_shown_by_that_row_and_a_null() {
    let findings = examined("leaks_the_row_before");
    let fault = fault(&findings, Property::RowOrder).unwrap();
    let shown: Vec<_> = fault.calls.concat();
    assert_eq!(shown.len(), 2, "{fault:?}");
    assert_ne!(shown[0]["a"], json!(null), "{fault:?}");
    assert_eq!(shown[1], json!({"a": null, "b": 0.0}), "{fault:?}");
    assert_eq!(fault.expected, json!({"out": {"sum": 0.0}}), "alone it finds nothing to leak");
}

#[test]
fn a_guest_that_reads_what_an_earlier_call_left_is_shown_by_that_call() {
    let findings = examined("reads_what_was_left");
    let found = fault(&findings, Property::ReusedInstance).unwrap();
    assert_eq!(found.policy, Reused);
    assert_eq!(found.calls.len(), 2, "{found:?}");
    assert!(found.what.starts_with("a row's answer depends on the calls before it"), "{found:?}");
    assert_eq!(fault(&findings, Property::Deterministic), None);
}

/// Rows drawn apart are never equal in all but the sign of a zero.
#[test]
fn a_guest_that_takes_one_zero_for_the_other_is_shown_by_rows_that_differ_in_nothing_else() {
    let findings = examined("remembers_an_equal_row");
    let (_, fault) = findings.faults().next().unwrap();
    let shown: Vec<_> = fault.calls.concat();
    assert_eq!((shown.len(), &shown[0]["b"]), (2, &shown[1]["b"]), "{fault:?}");
    let zeros = shown.iter().map(|row| row["a"].as_f64().unwrap());
    assert!(zeros.clone().all(|a| a == 0.0), "{fault:?}");
    assert_eq!(zeros.filter(|a| a.is_sign_negative()).count(), 1, "{fault:?}");
}

/// Numbers drawn apart seldom have their lowest bits in common.
#[test]
fn a_guest_that_keeps_answers_by_a_part_of_the_number_is_shown_by_two_numbers_with_that_part() {
    let findings = examined("answers_from_a_table");
    let (_, fault) = findings.faults().next().unwrap();
    let days: Vec<i64> =
        fault.calls.concat().iter().map(|row| row["a"].as_i64().unwrap()).collect();
    let [first, .., last] = days[..] else { panic!("{fault:?}") };
    assert!(days.len() == 2 && first != last && first & 4_095 == last & 4_095, "{fault:?}");
}

/// As one that takes dates: no row that is made for it has one.
#[test]
fn a_guest_that_answers_no_row_is_not_passed_and_given_rows_show_what_it_does() {
    let (engine, _ticker) = ticking(EngineConfig { rows_max: 256, ..config() });
    let plugin = load(&engine, "answers_one_number");
    let findings = examine(&plugin);
    assert_eq!((findings.rows_answered, findings.faults().count()), (0, 0));
    assert!(!findings.passed() && !findings.answered_enough());
    let certificate = certificate::read(certificate::write(&plugin, 1, &findings).as_bytes());
    let Err(CertificateError::Incomplete(lack)) = certificate else { panic!("{certificate:?}") };
    assert!(lack.contains("of which 0 gave a value"), "{lack}");

    let columns = [doubles([Some(20_131_005.25)]), doubles([Some(1.0)])];
    let given = Request { given: (1, &columns), ..request(CASES_MIN) };
    let findings = certify::examine(&plugin, &given, &mut |_| {}).unwrap();
    assert!(findings.answered_enough(), "{findings:?}");
    assert!(fault(&findings, Property::RepeatedCalls).is_some(), "{findings:?}");
}

/// It takes some thousand calls to see: no row differs before the memory is full.
#[test]
fn a_guest_that_leaves_a_little_behind_in_each_call_is_shown_by_a_long_run() {
    let findings = examined("grows_a_page_a_call");
    let faults: Vec<Property> = findings.faults().map(|(property, _)| property).collect();
    assert_eq!(faults, [Property::ReusedInstance]);
    let found = fault(&findings, Property::ReusedInstance).unwrap();
    assert_eq!((found.policy, found.once_only), (Reused, false));
    // 64 MiB have 1,024 pages. The last hundred calls are told, each of them with one row.
    assert!((800..1_024).contains(&found.calls_before), "{}", found.calls_before);
    assert_eq!(rows(found), [1; 100]);
    assert_eq!(found.what, "a row's answer depends on the calls before it");
    assert!(found.expected["out"].is_object(), "{found:?}");
    assert!(found.came["error"].as_str().unwrap().contains("memory"), "{found:?}");
    assert!(findings.checks.iter().all(|check| check.finished), "{findings:?}");
}

#[test]
fn good_guests_pass_whatever_rows_fail_or_trap() {
    for name in ["adds", "fails_negative_rows", "wants_too_much_for_many"] {
        let findings = examined(name);
        assert!(findings.passed(), "{name}: {:?}", findings.faults().collect::<Vec<_>>());
        assert_eq!((findings.cases, findings.rows_broke), (CASES_MIN, 0), "{name}");
        assert!(findings.checks.iter().all(|check| check.finished), "{name}: {findings:?}");
    }
    // A trap is told, as it is hard to read for whoever asks, but each row that traps does so alone.
    let findings = examined("traps_on_negative");
    assert!(findings.passed() && findings.rows_broke > 0, "{findings:?}");
    let (row, message) = findings.first_broke.unwrap();
    assert!(row["a"].as_f64().is_none_or(|a| a < 0.0) && message.contains("trapped"), "{row}");
}

/// With nothing to compare with, and at the price of a deadline each, more rows would say nothing.
#[test]
fn a_row_that_reaches_a_limit_or_lies_ends_the_examination() {
    for (name, property) in [
        ("loops_on_negative", Property::Limits),
        ("grows_memory_forever", Property::Limits),
        ("recurses_forever", Property::Limits),
        ("wrong_rows", Property::Answers),
        ("wrong_magic", Property::Answers),
    ] {
        let (engine, _ticker) = ticking(EngineConfig { deadline_ticks: 20, ..config() });
        let findings = examine(&load(&engine, name));
        assert!(!findings.passed(), "{name}");
        let fault = fault(&findings, property).unwrap();
        assert_eq!(rows(fault), [1], "{name}");
        assert!(fault.came["error"].is_string(), "{name}: {fault:?}");
        let order = findings.checks.iter().find(|check| check.property == Property::RowOrder);
        assert!(order.is_some_and(|check| !check.finished && check.fault.is_none()), "{name}");
    }
}

/// Nobody who serves makes such a call; offline jobs and other hosts may, and the contract has it.
#[test]
fn a_guest_that_traps_on_a_batch_without_rows_is_found_and_everything_else_is_looked_for() {
    let findings = examined("traps_on_no_rows");
    assert!(!findings.passed());
    let faults: Vec<Property> = findings.faults().map(|(property, _)| property).collect();
    assert_eq!(faults, [Property::Answers]);
    let fault = fault(&findings, Property::Answers).unwrap();
    assert_eq!((rows(fault), fault.what.as_str()), (vec![0], "a call without rows isn't answered"));
    assert!(fault.came["error"].as_str().unwrap().contains("trapped"), "{fault:?}");
    assert!(findings.checks.iter().all(|check| check.finished), "{findings:?}");
}

#[test]
fn a_guest_that_answers_where_an_input_is_null_that_may_not_be_is_found() {
    let text = std::fs::read_to_string(folder().join("fails_negative_rows.wat")).unwrap();
    let nullable = r#"\"type\":\"float64\",\"nullable\":true}],"#;
    let strict = text.replace(nullable, &nullable.replace("true", "false"));
    assert_ne!(text, strict);
    let (engine, _ticker) = ticking(config());
    let findings = examine(&engine.load(&wat::parse_str(strict).unwrap(), None).unwrap());
    let fault = fault(&findings, Property::NullColumns).unwrap();
    assert_eq!(fault.calls[0][0]["b"], json!(null), "{fault:?}");
}

#[test]
fn the_same_seed_finds_the_same_and_given_rows_come_first() {
    assert_eq!(examined("keeps_state_in_memory"), examined("keeps_state_in_memory"));
    let (engine, _ticker) = ticking(config());
    let plugin = load(&engine, "adds");
    let (a, b) = (doubles([Some(1.0), None]), doubles([Some(2.0), Some(f64::NAN)]));
    let columns = [a, b];
    let given = Request { given: (2, &columns), ..request(0) };
    let findings = certify::examine(&plugin, &given, &mut |_| {}).unwrap();
    assert!(findings.passed());
    assert_eq!((findings.cases, findings.rows), (1, 2));
    let short = Request { given: (2, &columns[..1]), ..request(0) };
    let error = certify::examine(&plugin, &short, &mut |_| {});
    assert_eq!(error, Err(CertifyError::Given { expected: 2, came: 1 }));
}

#[test]
fn it_stops_when_told_to_and_says_how_far_it_is_until_then() {
    let (engine, _ticker) = ticking(config());
    let plugin = load(&engine, "adds");
    let stop = Arc::new(AtomicBool::new(false));
    let request = Request { stop: Arc::clone(&stop), ..request(CASES_MIN) };
    let mut told = Vec::new();
    let ended = certify::examine(&plugin, &request, &mut |done| {
        told.push(done);
        stop.store(done == 3, Ordering::Relaxed);
    });
    assert_eq!((ended, told), (Err(CertifyError::Stopped), vec![1, 2, 3]));
}

#[test]
fn a_certificate_says_what_was_found_and_the_same_again() {
    let (engine, _ticker) = ticking(config());
    let (good, bad) = (load(&engine, "adds"), load(&engine, "looks_at_the_first_row"));
    let text = certificate::write(&good, 1, &examine(&good));
    assert_eq!(text, certificate::write(&good, 1, &examine(&good)));
    let read = certificate::read(text.as_bytes()).unwrap();
    assert_eq!(read.check(good.digest(), engine.config()), Ok(()));
    assert_eq!(read.engine, certificate::ENGINE_VERSION);
    assert!(matches!(
        read.check(bad.digest(), engine.config()),
        Err(CertificateError::Digest { .. })
    ));
    let text = certificate::write(&bad, 1, &examine(&bad));
    let read = certificate::read(text.as_bytes()).unwrap();
    let Err(CertificateError::Failed { failed }) = read.check(bad.digest(), engine.config()) else {
        panic!("{text}")
    };
    assert!(failed.contains("batch_split") && text.contains("counterexample"), "{failed}\n{text}");
}

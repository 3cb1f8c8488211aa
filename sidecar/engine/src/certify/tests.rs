//! What only the examination's own parts show.

#![expect(clippy::unwrap_used, reason = "tests")]

use skewless_batch::Type;

use super::*;
use crate::config::EngineConfig;
use crate::engine::Engine;

/// No guest does so at will, as a new instance knows nothing of another: it is one that a machine stops now and then.
#[test]
fn a_row_that_reaches_a_limit_only_the_second_time_is_not_deterministic() {
    let adds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/adds.wat");
    let engine = Engine::new(EngineConfig { instances_max: 8, ..EngineConfig::default() });
    let plugin = engine.unwrap().load(&wat::parse_file(adds).unwrap(), None).unwrap();
    let stop = Arc::default();
    let subject = Subject { plugin: &plugin, stop: &stop };
    let mut column = Column::new(Type::Float64);
    [1.0, 2.0, 3.0].into_iter().for_each(|value| column.push_f64(value));
    let rows = Rows { len: 3, columns: vec![column.clone(), column] };
    let alone = subject.alone(&rows).unwrap().output;

    let late = CallError::Deadline { ticks: 100, tick_us: None };
    let mut again = subject.alone(&rows.only(&[2])).unwrap();
    again.at_fault = Some((1, late.clone()));
    let mut examination = Examination::new(subject, 1);
    examination.again(&rows, &alone, &[2, 1, 0], again);
    let findings = examination.end();
    let faults: Vec<(Property, &Fault)> = findings.faults().collect();
    let [(Property::Deterministic, fault)] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!(fault.calls, [[serde_json::json!({"a": 2.0, "b": 2.0})]]);
    assert_eq!(fault.expected, serde_json::json!({"out": {"sum": 4.0}}));
    assert_eq!(fault.came, serde_json::json!({"error": late.to_string()}));
}

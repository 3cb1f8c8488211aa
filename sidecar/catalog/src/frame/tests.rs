//! Frames: filled, refused, reset and reused.

#![expect(clippy::unwrap_used, reason = "tests")]

use skewless_batch::Type;

use super::*;
use crate::catalog::ViewId;
use crate::plan::{KeyColumn, Lookup, RequestColumn, Slot};

fn plan() -> Plan {
    let slot = |name: &str, ty| Slot { name: name.to_owned(), ty };
    Plan {
        keys: vec![KeyColumn { name: "origin".into(), ty: Type::Utf8 }],
        request: vec![
            RequestColumn { name: "amount".into(), ty: Type::Float64, nullable: false, slot: 1 },
            RequestColumn { name: "note".into(), ty: Type::Utf8, nullable: true, slot: 2 },
        ],
        key_slots: vec![(0, 0)],
        constants: vec![(3, Constant::Int32(12)), (4, Constant::Null)],
        lookups: vec![Lookup {
            view: ViewId(0),
            view_name: "weather".into(),
            role: None,
            keys: vec![0],
            features: vec![],
        }],
        slots: vec![
            slot("entity.origin", Type::Utf8),
            slot("request.amount", Type::Float64),
            slot("request.note", Type::Utf8),
            slot("t(units)", Type::Int32),
            slot("t(limit)", Type::Float32),
        ],
        ..Plan::default()
    }
}

fn fill(frame: &mut Frame, keys: &[Option<&str>], amounts: &[f64]) {
    frame.reset(keys.len());
    for key in keys {
        match key {
            Some(key) => frame.keys[0].push_utf8(key),
            None => frame.keys[0].push_null(),
        }
    }
    amounts.iter().for_each(|amount| frame.slots[1].column.push_f64(*amount));
}

#[test]
fn completing_fills_key_slots_constants_and_statuses() {
    let plan = plan();
    let mut frame = Frame::new(&plan);
    for _ in 0..2 {
        fill(&mut frame, &[Some("JFK"), None], &[1.5, f64::from_bits(0xfff8_0000_0000_0123)]);
        frame.complete(&plan).unwrap();
        use Status::{NullValue, Present};
        let expected = [[Present, NullValue], [Present, Present], [NullValue, NullValue]];
        for (slot, expected) in frame.slots.iter().zip(expected) {
            assert_eq!(slot.status, expected);
            assert_eq!(slot.column.len(), 2);
        }
        assert_eq!(frame.slots[0].column.value(0), Value::Utf8("JFK"));
        assert_eq!(frame.slots[1].column.value(1), Value::Float64(f64::from_bits(0x7ff8 << 48)));
        assert_eq!(frame.slots[3].column.value(1), Value::Int32(12));
        assert_eq!(frame.slots[4].status, [NullValue, NullValue]);
    }
}

#[test]
fn columns_of_the_wrong_length_and_forbidden_nulls_are_named() {
    let plan = plan();
    let mut frame = Frame::new(&plan);
    fill(&mut frame, &[Some("JFK")], &[1.0]);
    frame.rows = 2;
    let error = frame.complete(&plan).unwrap_err();
    assert_eq!(error.to_string(), "expected 2 values of join key `origin`, came 1");
    fill(&mut frame, &[Some("JFK")], &[]);
    let error = frame.complete(&plan).unwrap_err();
    assert_eq!(error.to_string(), "expected 1 values of request column `amount`, came 0");
    frame.slots[1].column.push_null();
    let error = frame.complete(&plan).unwrap_err();
    assert_eq!(error, FrameError::RequestNull { name: "amount".into(), row: 0 });
}

#[test]
fn an_empty_frame_is_complete() {
    let plan = plan();
    let mut frame = Frame::new(&plan);
    fill(&mut frame, &[], &[]);
    frame.complete(&plan).unwrap();
    assert!(frame.slots.iter().all(|slot| slot.column.is_empty() && slot.status.is_empty()));
}

#[test]
fn failures_are_counted_beyond_the_limit_and_forgotten_by_a_reset() {
    let mut frame = Frame::new(&plan());
    (0..FAILURES_MAX + 5).for_each(|row| frame.fail(0, Some(row), "trapped"));
    assert_eq!((frame.failures.len(), frame.failures_total), (FAILURES_MAX, FAILURES_MAX + 5));
    frame.reset(1);
    assert_eq!((frame.failures.len(), frame.failures_total), (0, 0));
}

#[test]
fn statuses_keep_their_numbers() {
    for number in 1..=5 {
        assert_eq!(Status::from_u8(number).map(|status| status as u8), Some(number));
    }
    assert_eq!((Status::from_u8(0), Status::from_u8(6)), (None, None));
    assert_eq!(Status::TransformFailed.name(), "TRANSFORM_FAILED");
}

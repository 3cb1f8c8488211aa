//! What is written by hand is what the generated code reads.
#![expect(clippy::unwrap_used, reason = "tests")]

use prost::Message;
use skewless_batch::Column;
use skewless_catalog::frame::EVENT_NONE_US;
use skewless_catalog::{Lookup, Output, Slot, Step, ViewId};

use super::*;
use crate::wire;
use crate::wire::tests::{TYPES, sample};

const ALL: Wanted = Wanted { columns: true, float32_rows: false, event_times: true };

fn plan(types: &[Type]) -> Plan {
    let name = |index: usize| format!("f{index}");
    let slots = types.iter().enumerate().map(|(i, ty)| Slot { name: name(i), ty: *ty }).collect();
    let outputs = types.iter().enumerate();
    let outputs = outputs
        .map(|(slot, ty)| Output { name: name(slot), ty: *ty, slot, nullable: true })
        .collect();
    let lookup = |role: Option<&str>| Lookup {
        view: ViewId(0),
        view_name: "weather".into(),
        role: role.map(str::to_owned),
        keys: vec![],
        features: vec![],
    };
    let step = Step {
        transform: "distance".into(),
        digest: Default::default(),
        policy: Default::default(),
        inputs: vec![],
        outputs: vec![],
        output_fields: vec![],
    };
    Plan {
        slots,
        outputs,
        lookups: vec![lookup(None), lookup(Some("dest"))],
        steps: vec![step],
        ..Plan::default()
    }
}

fn frame(plan: &Plan, rows: usize, nulls: usize) -> Frame {
    let mut frame = Frame::new(plan);
    frame.reset(rows);
    for slot in &mut frame.slots {
        slot.column = sample(slot.column.ty(), rows, nulls);
        slot.derive_status();
    }
    frame.lookups = vec![vec![7; rows], vec![EVENT_NONE_US; rows]];
    frame
}

fn rest() -> Rest {
    let provenance =
        pb::Provenance { snapshot: 3, store_sequence: 9, time_us: -1, ..Default::default() };
    Rest { provenance, timings: Some(pb::Timings { store_ns: 1, compute_ns: 2 }) }
}

fn round_trip(plan: &Plan, frame: &Frame, wanted: Wanted) -> pb::GetFeaturesResponse {
    let layout = Layout::new(plan);
    let framed =
        encode(&layout, plan, frame, wanted, &rest(), &mut Sizes::default(), 1 << 20).unwrap();
    assert_eq!(framed.0.len(), framed.0.capacity(), "one buffer of exactly its length");
    let (prefix, behind) = framed.0.split_at(PREFIX_BYTES);
    let mut expected = vec![0];
    expected.extend(u32::try_from(behind.len()).unwrap().to_be_bytes());
    assert_eq!(prefix, expected, "not compressed, and so long");
    let (at, behind) = (behind.as_ptr(), behind.to_vec());
    let message = framed.message();
    assert_eq!((message.as_ptr(), &*message), (at, behind.as_slice()), "it is not copied");
    pb::GetFeaturesResponse::decode(message).unwrap()
}

#[test]
fn every_type_is_written_as_the_contract_says() {
    let plan = plan(&TYPES);
    for (rows, nulls) in [(0, 0), (1, 0), (1, 1), (9, 0), (9, 2), (130, 3)] {
        let mut frame = frame(&plan, rows, nulls);
        if rows > 0 {
            frame.fail(0, Some(rows - 1), "no");
            frame.fail(0, None, "never");
        }
        let answer = round_trip(&plan, &frame, ALL);
        assert_eq!(answer.rows as usize, rows);
        assert_eq!(answer.columns.len(), TYPES.len());
        for (feature, slot) in answer.columns.iter().zip(&frame.slots) {
            let column = feature.column.as_ref().unwrap();
            let mut got = Column::new(slot.column.ty());
            wire::decode_column(column, rows, &mut got).unwrap();
            assert_eq!(got, slot.column);
            let statuses: Vec<u8> = slot.status.iter().map(|status| status as u8).collect();
            let expected = if nulls > 0 { statuses } else { vec![] };
            assert_eq!(feature.statuses, expected);
        }
        let times = |index: usize| {
            (answer.event_times[index].role.as_str(), answer.event_times[index].event_us.clone())
        };
        assert_eq!(times(0), ("", vec![7; rows]));
        assert_eq!(times(1), ("dest", vec![i64::MIN; rows]));
        assert_eq!(answer.failures.len(), if rows > 0 { 2 } else { 0 });
        assert_eq!(answer.failures_total as usize, answer.failures.len());
        assert_eq!(answer.provenance.unwrap(), rest().provenance);
        assert_eq!(answer.timings, rest().timings);
    }
}

/// The features of one row whose bytes are known but for the value, against those that are measured.
#[test]
fn one_row_is_the_same_bytes_by_either_way() {
    let wide = SINGLE_BYTES_MAX as u32 / 4;
    let more = [Type::Embedding(wide), Type::Embedding(wide + 1), Type::Float64, Type::Bool];
    let types: Vec<Type> = TYPES.into_iter().chain(more).collect();
    let plan = plan(&types);
    let known = Layout::new(&plan);
    let mut measured = Layout::new(&plan);
    measured.heads.iter_mut().for_each(|head| head.single = None);
    measured.runs = Run::of(&measured.heads);
    let is_single: Vec<bool> = known.heads.iter().map(|head| head.single.is_some()).collect();
    assert_eq!(is_single.iter().filter(|is| **is).count(), 8, "{is_single:?}");
    let mut whole = 0;
    for mask in 0..64_usize {
        let mut frame = frame(&plan, 1, 0);
        for (at, slot) in frame.slots.iter_mut().enumerate() {
            if mask >> (at % 6) & 1 == 1 {
                slot.column = sample(slot.column.ty(), 1, 1);
            } else if slot.column.ty() == Type::Bool {
                slot.column.clear();
                slot.column.push_bool((mask + at) % 2 == 0);
            }
            slot.derive_status();
        }
        let [known, measured] = [&known, &measured].map(|layout| {
            let mut sizes = Sizes::default();
            measure_features(layout, &frame, &mut sizes);
            whole += sizes.whole.iter().filter(|whole| **whole).count();
            encode(layout, &plan, &frame, ALL, &rest(), &mut sizes, 1 << 20).unwrap()
        });
        assert_eq!(known, measured, "nulls: {mask:b}");
    }
    assert!(whole > 0, "some runs are written at once");
}

#[test]
fn the_float32_block_is_row_by_row_with_nan_for_what_is_not_present() {
    let types =
        [Type::Bool, Type::Int32, Type::Int64, Type::Float32, Type::Float64, Type::Embedding(2)];
    let plan = plan(&types);
    let frame = frame(&plan, 4, 3);
    let wanted = Wanted { columns: false, float32_rows: true, event_times: false };
    let answer = round_trip(&plan, &frame, wanted);
    let block = answer.float32_rows.unwrap();
    assert!(answer.columns.is_empty() && answer.event_times.is_empty());
    assert_eq!((block.width, block.values.len()), (7, 28));
    let rows: Vec<&[f32]> = block.values.chunks(7).collect();
    assert!(rows[0].iter().chain(rows[3]).all(|value| value.to_bits() == 0x7fc0_0000));
    let odd = [1.0, i32::MIN as f32, i64::MIN as f32, f32::NAN, -0.0, -1.5, -1.5];
    let bits = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(rows[1]), bits(&odd));
    assert_eq!(rows[2], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_feature_that_is_no_number_has_no_place_in_the_block() {
    for ty in [Type::Utf8, Type::Binary, Type::Timestamp, Type::ListFloat64] {
        let error = Layout::new(&plan(&[Type::Int32, ty])).width().unwrap_err();
        assert!(error.to_string().contains(&format!("`f1` of type {ty}")), "{error}");
    }
}

#[test]
fn an_answer_over_the_limit_is_refused_before_it_is_written() {
    let plan = plan(&[Type::Float64]);
    let frame = frame(&plan, 100, 0);
    let layout = Layout::new(&plan);
    let error =
        encode(&layout, &plan, &frame, ALL, &rest(), &mut Sizes::default(), 800).unwrap_err();
    assert!(error.to_string().contains("limits.response_bytes_max"), "{error}");
}

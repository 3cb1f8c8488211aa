//! Answers of the join into a frame's lookups: the same slots, statuses and event times that the
//! store leaves there online. Columns are copied in bulk; rows that were not found have no answer,
//! so they are the gaps between ids.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Int64Type, UInt8Type, UInt64Type};
use skewless_catalog::frame::EVENT_NONE_US;
use skewless_catalog::visibility::Judged;
use skewless_catalog::{Frame, Plan, Status};

use crate::OfflineError;
use crate::columns;
use crate::compute::ViewFound;
use crate::join::{WITHOUT_ANSWER, features, judged_of};
use crate::sort::Job;

/// No answer for a row.
const GAP: u32 = u32::MAX;

/// Fills the lookups of one view for the chunk whose first spine row is `first`.
pub(crate) fn fill_lookups(
    job: &Job,
    plan: &Plan,
    view: &mut ViewFound,
    first: u64,
    frame: &mut Frame,
) -> Result<(), OfflineError> {
    let roles = view.lookups.len();
    let end = (first + frame.rows as u64) * roles as u64;
    let answers = one_batch(view.found.until(job, end)?)?;
    let places = places(answers.as_ref(), first, frame.rows, roles);
    for (&lookup, places) in view.lookups.iter().zip(places) {
        let of = Lookup { answers: answers.as_ref(), places };
        of.fill_events(&mut frame.lookups[lookup]);
        for &(feature, slot) in &plan.lookups[lookup].features {
            let at = view.features.partition_point(|&kept| kept < feature);
            of.fill_slot(at, &plan.slots[slot].name, frame, slot)?;
        }
    }
    Ok(())
}

fn one_batch(batches: Vec<RecordBatch>) -> Result<Option<RecordBatch>, OfflineError> {
    match batches.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        [first, ..] => concat_batches(&first.schema(), &batches)
            .map(Some)
            .map_err(|error| OfflineError::Worker(error.to_string())),
    }
}

/// Per role and row the answer's index, or [`GAP`].
fn places(answers: Option<&RecordBatch>, first: u64, rows: usize, roles: usize) -> Vec<Vec<u32>> {
    let mut places = vec![vec![GAP; rows]; roles];
    let Some(answers) = answers else { return places };
    let base = first * roles as u64;
    for (index, id) in answers.column(0).as_primitive::<UInt64Type>().values().iter().enumerate() {
        let at = (id - base) as usize;
        places[at % roles][at / roles] = index as u32;
    }
    places
}

/// One lookup's answers for a chunk.
struct Lookup<'a> {
    answers: Option<&'a RecordBatch>,
    places: Vec<u32>,
}

impl Lookup<'_> {
    fn fill_events(&self, events: &mut Vec<i64>) {
        events.clear();
        let Some(answers) = self.answers else {
            events.resize(self.places.len(), EVENT_NONE_US);
            return;
        };
        // As in the store: a row that is too old has an event time too.
        let event_us = answers.column(2).as_primitive::<Int64Type>().values();
        events.extend(self.places.iter().map(|&place| match place {
            GAP => EVENT_NONE_US,
            place => event_us[place as usize],
        }));
    }

    fn fill_slot(
        &self,
        feature: usize,
        name: &str,
        frame: &mut Frame,
        slot: usize,
    ) -> Result<(), OfflineError> {
        let slot = &mut frame.slots[slot];
        let status = |judged: Judged, null: bool| {
            let given = if null { Status::NullValue } else { Status::Present };
            judged.absent().unwrap_or(given)
        };
        let Some(answers) = self.answers else {
            slot.push_absent(status(WITHOUT_ANSWER, true), self.places.len());
            return Ok(());
        };
        let values = &features(answers)[feature];
        let values = self.in_row_order(values)?;
        columns::append(&mut slot.column, &values, name)?;
        let judged = answers.column(1).as_primitive::<UInt8Type>().values();
        slot.status.clear();
        slot.status.extend(self.places.iter().enumerate().map(|(row, &place)| {
            let judged = match place {
                GAP => WITHOUT_ANSWER,
                place => judged_of(judged[place as usize]),
            };
            status(judged, values.is_null(row))
        }));
        Ok(())
    }

    /// The values, one a row; as they are if every row has an answer.
    fn in_row_order(&self, values: &ArrayRef) -> Result<ArrayRef, OfflineError> {
        let dense = values.len() == self.places.len()
            && self.places.iter().enumerate().all(|(row, &place)| row == place as usize);
        if dense {
            return Ok(values.clone());
        }
        let place = |place: &u32| (*place != GAP).then_some(*place);
        let indices: UInt32Array = self.places.iter().map(place).collect();
        take(values, &indices, None).map_err(|error| OfflineError::Worker(error.to_string()))
    }
}

//! How many spine rows make a chunk: as many as fit its part of the memory, by the bytes of the rows themselves,
//! of the answers found for them, and of what plugins made of the rows before. Never what is in the rows.
//!
//! A chunk costs, at its height: the spine rows and their copy in the frame; the answers four times (as they
//! come from the sort, in one piece, in row order, in the frame); the outputs twice (in the frame, and as they
//! are written).

use std::sync::atomic::{AtomicUsize, Ordering};

use skewless_batch::Type;
use skewless_catalog::{Frame, Plan};

use crate::OfflineError;
use crate::compute::{Run, ViewFound};
use crate::config::CHUNK_ROWS_UNKNOWN;
use crate::parquet_in::{is_variable, value_bytes};
use crate::row_bytes::rows_within;

/// Cuts chunks.
pub(crate) struct Cutter<'a> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) outputs: &'a OutputBytes,
}

/// A chunk to be.
pub(crate) struct Cut {
    pub(crate) rows: usize,
    /// What it will hold at its height.
    pub(crate) bytes: usize,
}

impl Cutter<'_> {
    /// The next chunk: rows from `first` on, whose own bytes are `sizes`.
    pub(crate) fn cut(
        &self,
        first: u64,
        sizes: &[usize],
        views: &mut [ViewFound],
    ) -> Result<Cut, OfflineError> {
        let budget = self.run.budget.chunk;
        let row_bytes = self.outputs.row_bytes();
        let most = if self.outputs.known() { self.run.chunk_rows } else { CHUNK_ROWS_UNKNOWN };
        let sizes = &sizes[..sizes.len().min(most)];
        // Half for what is known of the rows, half for their answers.
        let own = |size: &usize| 2 * size + row_bytes;
        let mut rows = rows_within(sizes.iter().map(own), budget / 2);
        let mut answers = 0;
        let answers_max = budget / 2 / ANSWER_COPIES / views.len().max(1);
        for view in views {
            let roles = view.lookups.len();
            let reach = view.found.reach(self.run.job, first, rows, roles, answers_max)?;
            rows = reach.rows;
            answers += reach.bytes;
        }
        let own: usize = sizes[..rows].iter().map(own).sum();
        Ok(Cut { rows, bytes: own + ANSWER_COPIES * answers })
    }
}

/// How often a chunk's answers are in memory at once.
const ANSWER_COPIES: usize = 4;

/// What a row of outputs and its frame hold: by their types, and by what plugins gave.
pub(crate) struct OutputBytes {
    /// By the types of all slots.
    typed: usize,
    /// By the outputs of the last chunks; 0: not known yet.
    seen: AtomicUsize,
    /// Whether a plugin gives values of any size.
    variable: bool,
}

impl OutputBytes {
    pub(crate) fn new(plan: &Plan) -> OutputBytes {
        let slot_bytes = |ty: Type| 2 * value_bytes(ty) + 1;
        OutputBytes {
            typed: plan.slots.iter().map(|slot| slot_bytes(slot.ty)).sum(),
            seen: AtomicUsize::new(0),
            variable: computed(plan).any(|slot| is_variable(plan.slots[slot].ty)),
        }
    }

    /// Whether chunks can be cut by it.
    pub(crate) fn known(&self) -> bool {
        !self.variable || self.seen.load(Ordering::Relaxed) > 0
    }

    fn row_bytes(&self) -> usize {
        self.typed + self.seen.load(Ordering::Relaxed)
    }

    /// Learns from a chunk that was computed. Forgets slowly: large rows are often followed by others.
    pub(crate) fn note(&self, plan: &Plan, frame: &Frame) {
        if !self.variable || frame.rows == 0 {
            return;
        }
        let bytes: usize = computed(plan)
            .map(|slot| {
                let view = frame.slots[slot].column.view();
                let offsets = view.offsets_bytes().len() + view.inner_offsets_bytes().len();
                view.values_bytes().len() + offsets
            })
            .sum();
        let came = (2 * bytes).div_ceil(frame.rows).max(1);
        let remember = |seen: usize| Some(came.max(seen - seen / 4));
        // Never fails: the closure always gives a value.
        let _ = self.seen.fetch_update(Ordering::Relaxed, Ordering::Relaxed, remember);
    }
}

/// The slots that plugins fill.
fn computed(plan: &Plan) -> impl Iterator<Item = usize> {
    plan.steps.iter().flat_map(|step| step.outputs.iter().map(|(_, slot)| *slot))
}

/// Memory that a frame holds, with what it keeps for its next chunk.
pub(crate) fn frame_bytes(frame: &Frame) -> usize {
    let slots =
        frame.slots.iter().map(|slot| slot.column.capacity_bytes() + slot.status.capacity_bytes());
    let keys = frame.keys.iter().map(skewless_batch::Column::capacity_bytes);
    let events = frame.lookups.iter().map(|events| events.capacity() * size_of::<i64>());
    slots.chain(keys).chain(events).sum()
}

#[cfg(test)]
mod tests {
    use skewless_catalog::{Slot, Status, Step};

    use super::*;

    /// One request slot and one that a plugin fills, of this type.
    fn plan(ty: Type) -> Plan {
        let slot = |ty| Slot { name: String::new(), ty };
        let mut plan = Plan { slots: vec![slot(Type::Float64), slot(ty)], ..Plan::default() };
        plan.steps.push(Step {
            transform: String::new(),
            digest: skewless_catalog::Digest([0; 32]),
            policy: skewless_catalog::InstancePolicy::Reset,
            inputs: vec![0],
            outputs: vec![(0, 1)],
            output_fields: Vec::new(),
        });
        plan
    }

    #[test]
    fn outputs_of_fixed_size_are_known_and_others_are_learned() {
        let fixed = OutputBytes::new(&plan(Type::Float64));
        assert!(fixed.known());
        assert_eq!(fixed.row_bytes(), 2 * (8 + 8) + 2);

        let plan = plan(Type::Utf8);
        let variable = OutputBytes::new(&plan);
        assert!(!variable.known());
        let typed = variable.row_bytes();
        let note = |bytes: usize| {
            let mut frame = Frame::new(&plan);
            frame.reset(4);
            for _ in 0..4 {
                frame.slots[1].column.push_utf8(&"x".repeat(bytes));
                frame.slots[1].status.push(Status::Present);
            }
            variable.note(&plan, &frame);
            variable.row_bytes() - typed
        };
        // Twice the bytes, and the offsets: five of four bytes for four rows.
        assert_eq!(note(1_000), 2_010);
        assert!(variable.known());
        assert_eq!(note(0), 2_010 - 502);
        assert_eq!(note(100_000), 200_010);
    }
}

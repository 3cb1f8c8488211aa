//! How a job's memory limit is split among its parts. Fixed parts, decided before the first row: a
//! part that could borrow from another would make the peak depend on the data.
//!
//! | part | of the limit | alive |
//! |---|---|---|
//! | history sort | 3/8 | while a view is joined |
//! | spine sort | 1/8 | while a view is joined |
//! | answers of all views | 2/8 | until the output is written |
//! | batches between sorts, chunks, writer | 2/8 | always |

use skewless_catalog::Plan;

use crate::parquet_in::value_bytes;

/// Each part's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) history: usize,
    pub(crate) spine: usize,
    /// Of one view.
    pub(crate) answers: usize,
    chunks: usize,
}

impl Budget {
    pub(crate) fn split(memory_bytes: u64, views: usize) -> Budget {
        let part = |eighths: u64| usize::try_from(memory_bytes / 8 * eighths).unwrap_or(usize::MAX);
        Budget {
            history: part(3),
            spine: part(1),
            answers: part(2) / views.max(1),
            chunks: part(1),
        }
    }

    /// The largest chunk of which all that are in flight at once fit: each is held as a frame, and
    /// as output, by `workers` and the two ends of the pipe.
    pub(crate) fn chunk_rows(&self, plan: &Plan, workers: usize) -> usize {
        /// Below this a chunk costs more in calls than it saves in memory.
        const ROWS_MIN: usize = 64;
        let row_bytes: usize = plan.slots.iter().map(|slot| 2 * value_bytes(slot.ty) + 1).sum();
        (self.chunks / (workers + 2) / row_bytes.max(1)).max(ROWS_MIN)
    }
}

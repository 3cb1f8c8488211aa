//! The point-in-time join of one view: spine rows sorted by (key, time asked) against history rows
//! sorted by (key, due time), in one pass. What is held is the winner of one key and the batches
//! that answers not yet given out point into; never a key's whole history.
//!
//! The winner at t is the greatest stamp among the rows due at t by [`Stamp::replaces`], and what a reader gets of it
//! is [`Rule::judge`]'s word: the same two calls as in serving.
//!
//! Cost: two comparisons of key bytes a spine row, one a history row, one gather of the features
//! per batch of answers.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, UInt8Array, UInt64Array,
    new_null_array,
};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use datafusion_common::DataFusionError;
use futures::StreamExt;
use skewless_catalog::visibility::{Judged, Newest, Rule, Stamp};

use crate::OfflineError;
use crate::order::{HistoryOrder, SpineOrder};
use crate::row_bytes;
use crate::sort::{Batches, Job, Sorted};

/// Most history batches that answers not yet given out may point into; bounds what the join holds.
const BATCHES_HELD_MAX: usize = 8;

/// Columns of the answers before the features: id, judgement, event time.
const ANSWER_COLUMNS: usize = 3;

/// The columns of answers over a history sorted with `history`'s columns: the id (spine row times
/// roles plus role), the judgement (see [`judged_code`]), the event time, the features.
pub(crate) fn answer_schema(history: &SchemaRef) -> SchemaRef {
    let mut fields = vec![
        Arc::new(Field::new("id", DataType::UInt64, false)),
        Arc::new(Field::new("judged", DataType::UInt8, false)),
        Arc::new(Field::new("event_us", DataType::Int64, false)),
    ];
    fields.extend(history.fields().iter().skip(1).cloned());
    Arc::new(Schema::new(fields))
}

/// What rows were judged that the join gives no answer for.
pub(crate) const WITHOUT_ANSWER: Judged = Judged::NotFound;

/// What stands in the answers' second column; rows that were not found have no answer at all.
pub(crate) fn judged_code(judged: Judged) -> u8 {
    match judged {
        Judged::NotFound => 0,
        Judged::Visible => 1,
        Judged::OutsideMaxAge => 2,
    }
}

/// What [`judged_code`] wrote.
pub(crate) fn judged_of(code: u8) -> Judged {
    match code {
        1 => Judged::Visible,
        2 => Judged::OutsideMaxAge,
        _ => Judged::NotFound,
    }
}

/// Joins two sorted streams; the answers come in the order of the spine's sort, by key.
pub(crate) fn join(
    job: &Arc<Job>,
    rule: Rule,
    spine: Sorted,
    history: Sorted,
    history_schema: &SchemaRef,
    batch_rows: usize,
) -> Batches {
    let schema = answer_schema(history_schema);
    let features = history_schema.fields().iter().skip(1);
    let absent = features.map(|field| new_null_array(field.data_type(), 1)).collect();
    let join = Join {
        rule,
        spine: Cursor::new(spine.into_batches(job)),
        history: Cursor::new(history.into_batches(job)),
        key: Vec::new(),
        winner: None,
        answers: Answers::new(schema, absent, batch_rows),
    };
    futures::stream::try_unfold(join, |mut join| async move {
        let batch = join.next().await?;
        Ok(batch.map(|batch| (batch, join)))
    })
    .boxed()
}

struct Join {
    rule: Rule,
    spine: Cursor,
    history: Cursor,
    /// The key the winner belongs to.
    key: Vec<u8>,
    winner: Option<Winner>,
    answers: Answers,
}

/// The greatest stamp so far of the current key.
struct Winner {
    stamp: Stamp,
    deleted: bool,
    batch: Arc<RecordBatch>,
    row: usize,
}

impl Join {
    async fn next(&mut self) -> Result<Option<RecordBatch>, DataFusionError> {
        while !self.answers.is_full() {
            let Some(bytes) = self.spine.bytes().await? else { break };
            let (key, ask) = SpineOrder::decode(bytes);
            if self.key != key {
                self.key.clear();
                self.key.extend_from_slice(key);
                self.winner = None;
            }
            self.catch_up(ask.t_us).await?;
            self.answer(ask);
            self.spine.advance();
        }
        self.answers.take()
    }

    /// Reads the history up to the last row of the current key that is due at `t_us`.
    async fn catch_up(&mut self, t_us: i64) -> Result<(), DataFusionError> {
        while let Some(bytes) = self.history.bytes().await? {
            let (key, order) = HistoryOrder::decode(bytes);
            match key.cmp(&self.key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal if order.due_us <= t_us => {
                    if self.winner.as_ref().is_none_or(|winner| order.stamp.replaces(&winner.stamp))
                    {
                        let HistoryOrder { stamp, deleted, .. } = order;
                        let (batch, row) = self.history.place();
                        self.winner = Some(Winner { stamp, deleted, batch, row });
                    }
                }
                _ => return Ok(()),
            }
            self.history.advance();
        }
        Ok(())
    }

    fn answer(&mut self, ask: SpineOrder) {
        let newest = self.winner.as_ref().map(|winner| Newest {
            event_us: winner.stamp.event_us,
            deleted: winner.deleted,
            husk: false,
        });
        let judged = self.rule.judge(newest, ask.t_us);
        if let Some(winner) = &self.winner
            && judged != WITHOUT_ANSWER
        {
            self.answers.push(ask.id, judged, winner);
        }
    }
}

/// Answers on their way out: which row of which history batch each points at.
struct Answers {
    schema: SchemaRef,
    /// One null per feature: what an answer without a value points at.
    absent: Vec<ArrayRef>,
    batch_rows: usize,
    ids: Vec<u64>,
    judged: Vec<u8>,
    event_us: Vec<i64>,
    places: Vec<(usize, usize)>,
    held: Vec<Arc<RecordBatch>>,
}

impl Answers {
    fn new(schema: SchemaRef, absent: Vec<ArrayRef>, batch_rows: usize) -> Answers {
        Answers {
            schema,
            absent,
            batch_rows,
            ids: Vec::new(),
            judged: Vec::new(),
            event_us: Vec::new(),
            places: Vec::new(),
            held: Vec::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.ids.len() >= self.batch_rows || self.held.len() >= BATCHES_HELD_MAX
    }

    fn push(&mut self, id: u64, judged: Judged, winner: &Winner) {
        self.ids.push(id);
        self.judged.push(judged_code(judged));
        self.event_us.push(winner.stamp.event_us);
        // Place 0 is the null row; a value that is not visible must not travel on.
        let place = if judged == Judged::Visible {
            let held = self.held.iter().rposition(|held| Arc::ptr_eq(held, &winner.batch));
            let held = held.unwrap_or_else(|| {
                self.held.push(Arc::clone(&winner.batch));
                self.held.len() - 1
            });
            (held + 1, winner.row)
        } else {
            (0, 0)
        };
        self.places.push(place);
    }

    fn take(&mut self) -> Result<Option<RecordBatch>, DataFusionError> {
        if self.ids.is_empty() {
            return Ok(None);
        }
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from(std::mem::take(&mut self.ids))),
            Arc::new(UInt8Array::from(std::mem::take(&mut self.judged))),
            Arc::new(Int64Array::from(std::mem::take(&mut self.event_us))),
        ];
        for (feature, absent) in self.absent.iter().enumerate() {
            let mut sources: Vec<&dyn Array> = vec![absent.as_ref()];
            sources.extend(self.held.iter().map(|batch| batch.column(feature + 1).as_ref()));
            arrays.push(interleave(&sources, &self.places)?);
        }
        self.places.clear();
        self.held.clear();
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?))
    }
}

/// A position in a stream of batches whose first column is the order.
struct Cursor {
    stream: Batches,
    batch: Option<(Arc<RecordBatch>, BinaryArray)>,
    row: usize,
    ended: bool,
}

impl Cursor {
    fn new(stream: Batches) -> Cursor {
        Cursor { stream, batch: None, row: 0, ended: false }
    }

    /// The order bytes at the position, `None` at the end.
    async fn bytes(&mut self) -> Result<Option<&[u8]>, DataFusionError> {
        while !self.ended
            && self.batch.as_ref().is_none_or(|(batch, _)| self.row >= batch.num_rows())
        {
            self.row = 0;
            self.batch = match self.stream.next().await {
                None => {
                    self.ended = true;
                    None
                }
                Some(batch) => {
                    let batch = batch?;
                    let order = batch.column(0).as_binary::<i32>().clone();
                    Some((Arc::new(batch), order))
                }
            };
        }
        Ok(self.batch.as_ref().map(|(_, order)| order.value(self.row)))
    }

    fn place(&self) -> (Arc<RecordBatch>, usize) {
        let (batch, _) = self.batch.as_ref().expect("a cursor that gave bytes has a batch");
        (Arc::clone(batch), self.row)
    }

    fn advance(&mut self) {
        self.row += 1;
    }
}

/// Answers of one view sorted by id, given out range by range.
pub(crate) struct Found {
    sorted: Sorted,
    /// Read but not given out.
    ahead: VecDeque<RecordBatch>,
    ended: bool,
}

/// See [`Found::reach`].
pub(crate) struct Reach {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

impl Found {
    /// Starts the whole join: when it returns, history and spine sorts are over and their memory is
    /// free again.
    pub(crate) fn start(job: &Job, mut sorted: Sorted) -> Result<Found, OfflineError> {
        let head = job.next(&mut sorted)?;
        Ok(Found { sorted, ended: head.is_none(), ahead: head.into_iter().collect() })
    }

    /// How many of the `rows` spine rows from `first` on have answers of at most `bytes_max` together, at
    /// least one; and their bytes. Their answers are read, so that [`Found::until`] needs no more.
    pub(crate) fn reach(
        &mut self,
        job: &Job,
        first: u64,
        rows: usize,
        roles: usize,
        bytes_max: usize,
    ) -> Result<Reach, OfflineError> {
        let roles = roles as u64;
        let (mut end, mut bytes) = ((first + rows as u64) * roles, 0);
        for at in 0.. {
            if at == self.ahead.len() && !self.read(job)? {
                break;
            }
            let ids = self.ahead[at].column(0).as_primitive::<UInt64Type>().values();
            for (id, size) in ids.iter().zip(row_bytes::of(&self.ahead[at])) {
                if bytes + size > bytes_max {
                    end = end.min((id / roles).max(first + 1) * roles);
                }
                if *id >= end {
                    return Ok(Reach { rows: (end / roles - first) as usize, bytes });
                }
                bytes += size;
            }
        }
        Ok(Reach { rows: (end / roles - first) as usize, bytes })
    }

    /// The answers with an id below `end` that were not given out yet.
    pub(crate) fn until(&mut self, job: &Job, end: u64) -> Result<Vec<RecordBatch>, OfflineError> {
        let mut all = Vec::new();
        while !self.ahead.is_empty() || self.read(job)? {
            let Some(head) = self.ahead.pop_front() else { break };
            let ids = head.column(0).as_primitive::<UInt64Type>().values();
            let below = ids.partition_point(|id| *id < end);
            if below > 0 {
                all.push(head.slice(0, below));
            }
            if below < head.num_rows() {
                self.ahead.push_front(head.slice(below, head.num_rows() - below));
                break;
            }
        }
        Ok(all)
    }

    /// Reads the next batch of answers; false at the end.
    fn read(&mut self, job: &Job) -> Result<bool, OfflineError> {
        if self.ended {
            return Ok(false);
        }
        let next = job.next(&mut self.sorted)?;
        self.ended = next.is_none();
        self.ahead.extend(next);
        Ok(!self.ended)
    }
}

/// The features of a batch of answers.
pub(crate) fn features(answers: &RecordBatch) -> &[ArrayRef] {
    &answers.columns()[ANSWER_COLUMNS..]
}

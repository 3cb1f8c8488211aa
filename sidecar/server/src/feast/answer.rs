//! An answer as Feast's clients read it, from a frame, as protobuf; not as JSON (`json_out.rs`), and not which columns it
//! has (`names.rs`).
//!
//! It is written value by value, so that an answer over the limit is found before it is held.

use prost::encoding::{WireType, encode_key, encode_varint, message};
use skewless_batch::ColumnView;
use skewless_catalog::frame::EVENT_NONE_US;
use skewless_catalog::{Frame, Plan, Status};
use skewless_proto::feast::serving as pb;

use super::value::{timestamp, value};
use crate::encode::PREFIX_BYTES;
use crate::status::ServeError;

/// One column of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) from: Origin,
}

/// Where a column's values are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// Index into the plan's keys.
    Key(usize),
    /// A slot, with the lookup that filled it, if one did.
    Slot { slot: usize, lookup: Option<usize> },
}

/// Everything an answer says.
pub(super) struct Answer<'a> {
    pub(super) frame: &'a Frame,
    pub(super) columns: &'a [Shown],
    /// The views that were read, if they shall be told.
    pub(super) views: Option<Vec<&'a str>>,
    pub(super) bytes_max: usize,
}

/// The plan's views, each once.
pub(super) fn views(plan: &Plan) -> Vec<&str> {
    let mut views: Vec<&str> = plan.lookups.iter().map(|lookup| &*lookup.view_name).collect();
    views.sort_unstable();
    views.dedup();
    views
}

impl Answer<'_> {
    pub(super) fn values(&self, of: Origin) -> ColumnView<'_> {
        match of {
            Origin::Key(key) => self.frame.keys[key].view(),
            Origin::Slot { slot, .. } => self.frame.slots[slot].column.view(),
        }
    }

    pub(super) fn status(&self, of: Origin, row: usize) -> pb::FieldStatus {
        let status = match of {
            Origin::Key(key) if self.frame.keys[key].is_null(row) => Status::NullValue,
            Origin::Key(_) => Status::Present,
            Origin::Slot { slot, .. } => self.frame.slots[slot].status[row],
        };
        match status {
            Status::Present => pb::FieldStatus::Present,
            Status::NullValue => pb::FieldStatus::NullValue,
            Status::NotFound => pb::FieldStatus::NotFound,
            Status::OutsideMaxAge => pb::FieldStatus::OutsideMaxAge,
            Status::TransformFailed => pb::FieldStatus::Invalid,
        }
    }

    /// Event time of the row that a value is of; Feast's zero if it is of none.
    pub(super) fn event(&self, of: Origin, row: usize) -> prost_types::Timestamp {
        let us = match of {
            Origin::Slot { lookup: Some(lookup), .. } => self.frame.lookups[lookup][row],
            _ => EVENT_NONE_US,
        };
        if us == EVENT_NONE_US { prost_types::Timestamp::default() } else { timestamp(us) }
    }

    /// Fails if the answer has become too long.
    pub(super) fn check(&self, len: usize) -> Result<(), ServeError> {
        // gRPC's prefix has no room for a greater length.
        let (limit, max) = ("limits.response_bytes_max", self.bytes_max.min(u32::MAX as usize));
        if len <= max {
            return Ok(());
        }
        Err(ServeError::OverLimit { what: "bytes of an answer", limit, max, came: len })
    }

    /// gRPC's prefix and the message.
    pub(super) fn message(&self) -> Result<Vec<u8>, ServeError> {
        let mut out = vec![0; PREFIX_BYTES];
        message::encode(1, &self.metadata(), &mut out);
        let (mut column, mut statuses) = (Vec::new(), Vec::new());
        for shown in self.columns {
            column.clear();
            statuses.clear();
            let values = self.values(shown.from);
            for row in 0..self.frame.rows {
                message::encode(1, &value(&values, row), &mut column);
                self.check(out.len() + column.len())?;
            }
            let status = |row| self.status(shown.from, row) as i32;
            statuses.extend((0..self.frame.rows).map(status));
            prost::encoding::int32::encode_packed(2, &statuses, &mut column);
            for row in 0..self.frame.rows {
                message::encode(3, &self.event(shown.from, row), &mut column);
                self.check(out.len() + column.len())?;
            }
            encode_key(2, WireType::LengthDelimited, &mut out);
            encode_varint(column.len() as u64, &mut out);
            out.extend_from_slice(&column);
        }
        prost::encoding::bool::encode(3, &true, &mut out);
        let len = out.len() - PREFIX_BYTES;
        self.check(len)?;
        out[1..PREFIX_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
        Ok(out)
    }

    fn metadata(&self) -> pb::GetOnlineFeaturesResponseMetadata {
        let names = self.columns.iter().map(|shown| shown.name.clone()).collect();
        let version =
            |name: &&str| pb::FeatureViewMetadata { name: (*name).to_owned(), version: 0 };
        pb::GetOnlineFeaturesResponseMetadata {
            feature_names: Some(pb::FeatureList { val: names }),
            feature_view_metadata: self.views.iter().flatten().map(version).collect(),
        }
    }
}

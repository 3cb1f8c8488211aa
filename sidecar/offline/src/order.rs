//! The bytes that rows are sorted by. Not the entity key itself: that is the store's encoding, which
//! is order-preserving and prefix-free, so that what follows it here orders rows of one key.
//!
//! | sort | bytes after the key |
//! |---|---|
//! | history | due, event, known, position (8 each), deleted (1) |
//! | spine | time asked, spine row times roles plus role (8 each) |
//!
//! Times are big-endian with the sign bit flipped, so that bytes compare as numbers do. No two rows
//! of a sort have the same bytes: each ends in a position that is its own.

use skewless_catalog::visibility::Stamp;

/// Bytes after the key of a history row.
pub(crate) const HISTORY_TAIL: usize = 33;
/// Bytes after the key of a spine row.
pub(crate) const SPINE_TAIL: usize = 16;

/// What a history row's order bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistoryOrder {
    pub(crate) due_us: i64,
    pub(crate) stamp: Stamp,
    pub(crate) deleted: bool,
}

impl HistoryOrder {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&ordered(self.due_us));
        out.extend_from_slice(&ordered(self.stamp.event_us));
        out.extend_from_slice(&ordered(self.stamp.known_us));
        out.extend_from_slice(&self.stamp.position.to_be_bytes());
        out.push(u8::from(self.deleted));
    }

    /// The key and what follows it.
    pub(crate) fn decode(bytes: &[u8]) -> (&[u8], HistoryOrder) {
        let (key, tail) = bytes.split_at(bytes.len() - HISTORY_TAIL);
        let order = HistoryOrder {
            due_us: time(tail, 0),
            stamp: Stamp {
                event_us: time(tail, 8),
                known_us: time(tail, 16),
                position: number(tail, 24),
            },
            deleted: tail[32] != 0,
        };
        (key, order)
    }
}

/// What a spine row's order bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpineOrder {
    pub(crate) t_us: i64,
    /// Spine row times roles plus role.
    pub(crate) id: u64,
}

impl SpineOrder {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&ordered(self.t_us));
        out.extend_from_slice(&self.id.to_be_bytes());
    }

    /// The key and what follows it.
    pub(crate) fn decode(bytes: &[u8]) -> (&[u8], SpineOrder) {
        let (key, tail) = bytes.split_at(bytes.len() - SPINE_TAIL);
        (key, SpineOrder { t_us: time(tail, 0), id: number(tail, 8) })
    }
}

fn ordered(time_us: i64) -> [u8; 8] {
    (time_us as u64 ^ (1 << 63)).to_be_bytes()
}

fn number(tail: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&tail[at..at + 8]);
    u64::from_be_bytes(bytes)
}

fn time(tail: &[u8], at: usize) -> i64 {
    (number(tail, at) ^ (1 << 63)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(due_us: i64, event_us: i64, known_us: i64, position: u64) -> HistoryOrder {
        let stamp = Stamp { event_us, known_us, position };
        HistoryOrder { due_us, stamp, deleted: position % 2 == 1 }
    }

    #[test]
    fn order_bytes_compare_as_due_then_stamp() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX];
        let mut all = Vec::new();
        for due in times {
            for event in times {
                for known in times {
                    for position in [0, 1, 1 << 40, u64::MAX] {
                        all.push(history(due, event, known, position));
                    }
                }
            }
        }
        let bytes = |order: &HistoryOrder| {
            let mut out = b"key".to_vec();
            order.encode(&mut out);
            out
        };
        for a in &all {
            assert_eq!(HistoryOrder::decode(&bytes(a)), (&b"key"[..], *a));
            for b in &all {
                let expected = (a.due_us, a.stamp).cmp(&(b.due_us, b.stamp));
                assert_eq!(bytes(a).cmp(&bytes(b)), expected, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn spine_order_bytes_compare_as_time_then_id() {
        let all: Vec<SpineOrder> = [i64::MIN, -1, 0, 7, i64::MAX]
            .into_iter()
            .flat_map(|t_us| [0, 1, 256, u64::MAX].map(|id| SpineOrder { t_us, id }))
            .collect();
        let bytes = |order: &SpineOrder| {
            let mut out = Vec::new();
            order.encode(&mut out);
            out
        };
        for a in &all {
            assert_eq!(SpineOrder::decode(&bytes(a)), (&b""[..], *a));
            for b in &all {
                assert_eq!(bytes(a).cmp(&bytes(b)), (a.t_us, a.id).cmp(&(b.t_us, b.id)));
            }
        }
    }
}

//! Where the values of outputs of one width are while rows are written: in the output batch itself if every output
//! has one width, else one column behind the other, to be encoded with the rest. Whose memory it is, is the caller's
//! matter.

use skewless_batch::{BATCH_BYTES_MAX, BatchError, InPlace, Slots, Type};

use crate::signature::FieldSpec;

/// Places that are handed out column by column, in the order of the outputs.
pub struct Places<'o> {
    rows: usize,
    rest: Rest<'o>,
}

/// What isn't handed out yet.
enum Rest<'o> {
    Batch(InPlace<'o>),
    Values(&'o mut [u8]),
}

impl<'o> Places<'o> {
    /// Bytes that it takes.
    pub(crate) fn byte_len(rows: usize, outputs: &[FieldSpec]) -> Result<usize, BatchError> {
        let types = || outputs.iter().map(|output| output.ty);
        let lens = types().map(|ty| ty.values_len(rows).unwrap_or_default());
        let len =
            InPlace::byte_len(rows, types()).unwrap_or_else(|| lens.fold(0, usize::saturating_add));
        if len > BATCH_BYTES_MAX { Err(BatchError::BytesLimit { found: len }) } else { Ok(len) }
    }

    /// Places in `out`, which has [`Self::byte_len`] bytes and may hold anything.
    pub(crate) fn new(rows: usize, outputs: &[FieldSpec], out: &'o mut [u8]) -> Self {
        let rest = if outputs.iter().any(|output| output.ty.has_offsets()) {
            Rest::Values(out)
        } else {
            Rest::Batch(InPlace::new(rows, outputs.len(), out))
        };
        Self { rows, rest }
    }

    /// Rows that each column will have.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The slots of the next column, which has one width.
    #[inline]
    pub(crate) fn slots<const N: usize>(&mut self, ty: Type) -> Slots<'o, N> {
        let values = match &mut self.rest {
            Rest::Batch(batch) => batch.column(ty),
            Rest::Values(rest) => {
                let len = ty.values_len(self.rows).unwrap_or_default().min(rest.len());
                let (values, after) = core::mem::take(rest).split_at_mut(len);
                *rest = after;
                values
            }
        };
        Slots::new(self.rows, values)
    }
}

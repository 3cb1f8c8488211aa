//! Writing a batch, straight into its place (guest memory, a message, a file). Each buffer is copied
//! once, padding is zeroed, nothing is allocated, so equal columns give equal bytes. The exception:
//! a view with values in the slots of its nulls (legal in foreign bytes) is copied into a clean
//! column first.

use alloc::vec;
use alloc::vec::Vec;

use crate::layout::{Cursor, DESCRIPTOR_BYTES, FLAG_VALIDITY, HEADER_BYTES, MAGIC, VERSION};
use crate::view::bug;
use crate::{BATCH_BYTES_MAX, BatchError, COLUMNS_MAX, Column, ColumnView, ROWS_MAX};

/// Bytes that [`encode`] writes for these columns.
#[must_use]
pub fn encoded_len(rows: usize, columns: &[ColumnView<'_>]) -> usize {
    encoded_len_iter(rows, columns.iter().copied())
}

/// [`encoded_len`] without a slice of views.
#[must_use]
pub fn encoded_len_iter<'a, I>(_rows: usize, columns: I) -> usize
where
    I: IntoIterator<Item = ColumnView<'a>, IntoIter: ExactSizeIterator>,
{
    let columns = columns.into_iter();
    let mut cursor = Cursor::new(columns.len());
    for view in columns {
        cursor.column();
        for len in buffer_lens(&view) {
            cursor.buffer(len);
        }
    }
    cursor.total()
}

/// Writes a batch of `columns` into `out`, whose length is [`encoded_len`]; gives that length.
///
/// # Errors
/// A limit exceeded, a column with another number of rows, or an output of another length; what is
/// in `out` then is meaningless.
pub fn encode(
    rows: usize,
    columns: &[ColumnView<'_>],
    out: &mut [u8],
) -> Result<usize, BatchError> {
    encode_iter(rows, columns.iter().copied(), out)
}

/// [`encode`] without a slice of views; every view is visited once.
///
/// # Errors
/// As [`encode`].
pub fn encode_iter<'a, I>(rows: usize, columns: I, out: &mut [u8]) -> Result<usize, BatchError>
where
    I: IntoIterator<Item = ColumnView<'a>, IntoIter: ExactSizeIterator>,
{
    let columns = columns.into_iter();
    let count = columns.len();
    if rows > ROWS_MAX {
        return Err(BatchError::RowsLimit { found: rows });
    }
    if count > COLUMNS_MAX {
        return Err(BatchError::ColumnsLimit { found: count });
    }
    let mut writer = Writer { cursor: Cursor::new(count), filled: 0, out };
    writer.zero_until(Cursor::end_of_descriptors(count));
    for (index, view) in columns.enumerate() {
        if view.len() != rows {
            return Err(BatchError::ColumnRows {
                column: index,
                expected: rows,
                found: view.len(),
            });
        }
        if view.clean {
            writer.column(index, &view);
        } else {
            writer.column(index, &cleaned(&view).view());
        }
    }
    let total = writer.cursor.total();
    if total > BATCH_BYTES_MAX {
        return Err(BatchError::BytesLimit { found: total });
    }
    if total != writer.out.len() {
        return Err(BatchError::OutputLength { expected: total, found: writer.out.len() });
    }
    writer.zero_until(total);
    writer.header(rows, count, total);
    Ok(total)
}

/// [`encode`] into a vector of its own. Panics where `encode` refuses: the caller vouches for the
/// limits and for the number of rows.
#[must_use]
pub fn encode_vec(rows: usize, columns: &[ColumnView<'_>]) -> Vec<u8> {
    let mut out = vec![0; encoded_len(rows, columns)];
    match encode(rows, columns, &mut out) {
        Ok(_) => out,
        Err(_) => bug("columns of a batch have its number of rows and respect its limits"),
    }
}

/// Lengths of validity, offsets, inner offsets and values as they will be written.
fn buffer_lens(view: &ColumnView<'_>) -> [usize; 4] {
    if view.clean || !view.ty.has_offsets() {
        let validity = view.validity.map_or(0, <[u8]>::len);
        return [validity, view.offsets.len(), view.inner_offsets.len(), view.values.len()];
    }
    let column = cleaned(view);
    buffer_lens(&column.view())
}

/// The same column with nothing in the slots of nulls.
fn cleaned(view: &ColumnView<'_>) -> Column {
    let mut column = Column::new(view.ty);
    column.append(view, 0..view.rows);
    column
}

/// Fills `out` from front to back; past its end it only counts, and the end is judged once.
struct Writer<'o> {
    cursor: Cursor,
    filled: usize,
    out: &'o mut [u8],
}

impl Writer<'_> {
    fn column(&mut self, index: usize, view: &ColumnView<'_>) {
        let mut descriptor = [0; DESCRIPTOR_BYTES];
        descriptor[0] = view.ty.code();
        descriptor[4..8].copy_from_slice(&view.ty.dim().to_le_bytes());
        descriptor[40..44].copy_from_slice(&(view.null_count as u32).to_le_bytes());
        if view.validity.is_some() {
            descriptor[1] = FLAG_VALIDITY;
        }
        self.cursor.column();
        let buffers =
            [view.validity.unwrap_or_default(), view.offsets, view.inner_offsets, view.values];
        for (buffer, place) in buffers.into_iter().zip(descriptor[8..40].as_chunks_mut::<8>().0) {
            let start = self.cursor.buffer(buffer.len());
            let (position, len) = place.split_at_mut(4);
            position.copy_from_slice(&(start as u32).to_le_bytes());
            len.copy_from_slice(&(buffer.len() as u32).to_le_bytes());
            if !buffer.is_empty() {
                self.zero_until(start);
                self.copy(buffer);
            }
        }
        let at = HEADER_BYTES + index * DESCRIPTOR_BYTES;
        if let Some(place) = self.out.get_mut(at..at + DESCRIPTOR_BYTES) {
            place.copy_from_slice(&descriptor);
        }
    }

    fn header(&mut self, rows: usize, columns: usize, total: usize) {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4..6].copy_from_slice(&VERSION.to_le_bytes());
        for (value, place) in [rows, columns, total].into_iter().zip([8, 12, 16]) {
            header[place..place + 4].copy_from_slice(&(value as u32).to_le_bytes());
        }
        if let Some(place) = self.out.first_chunk_mut() {
            *place = header;
        }
    }

    fn zero_until(&mut self, position: usize) {
        if let Some(gap) = self.out.get_mut(self.filled..position) {
            gap.fill(0);
        }
        self.filled = position;
    }

    fn copy(&mut self, bytes: &[u8]) {
        let end = self.filled.saturating_add(bytes.len());
        if let Some(place) = self.out.get_mut(self.filled..end) {
            place.copy_from_slice(bytes);
        }
        self.filled = end;
    }
}

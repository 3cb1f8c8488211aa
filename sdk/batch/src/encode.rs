//! Writing a batch, straight into its place (guest memory, a message, a file). Each buffer is copied
//! once, padding is zeroed, nothing is allocated, so equal columns give equal bytes. A view with values
//! in the slots of its nulls (legal in foreign bytes) is written row by row, without them.

use alloc::vec;
use alloc::vec::Vec;

use crate::layout::{Cursor, DESCRIPTOR_BYTES, FLAG_VALIDITY, HEADER_BYTES, MAGIC, VERSION};
use crate::view::{bug, i32_at, slice};
use crate::{BATCH_BYTES_MAX, BatchError, COLUMNS_MAX, ColumnView, ROWS_MAX, Type, bits};

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
        writer.column(index, &view);
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
    let validity = view.validity.map_or(0, <[u8]>::len);
    let lens = [validity, view.offsets.len(), view.inner_offsets.len(), view.values.len()];
    if view.clean || !view.ty.has_offsets() { lens } else { kept_lens(view, lens) }
}

/// The same without what the slots of nulls hold.
#[cold]
fn kept_lens(view: &ColumnView<'_>, [validity, offsets, mut inner, _]: [usize; 4]) -> [usize; 4] {
    let mut elements = 0;
    let mut values = 0;
    for (start, end) in kept(view) {
        elements += end - start;
        values += value_bytes(view, start, end).len();
    }
    if view.ty == Type::ListUtf8 {
        inner = (elements + 1) * 4;
    }
    [validity, offsets, inner, values]
}

/// Where each row begins and ends; nulls are empty.
fn kept(view: &ColumnView<'_>) -> impl Iterator<Item = (usize, usize)> {
    (0..view.rows).map(|row| if view.is_null(row) { (0, 0) } else { view.span(row) })
}

/// The bytes in the values buffer of elements `start..end` of a type with offsets.
fn value_bytes<'a>(view: &ColumnView<'a>, start: usize, end: usize) -> &'a [u8] {
    let (start, end) = match view.ty {
        Type::ListUtf8 => (i32_at(view.inner_offsets, start), i32_at(view.inner_offsets, end)),
        Type::ListInt64 | Type::ListFloat64 => (start * 8, end * 8),
        _ => (start, end),
    };
    slice(view.values, start, end)
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
        let places = descriptor[8..40].as_chunks_mut::<8>().0;
        if view.clean {
            for (buffer, place) in buffers.into_iter().zip(places) {
                if self.place(buffer.len(), place).is_some() {
                    self.copy(buffer);
                }
            }
        } else {
            self.unclean(view, buffers, places);
        }
        let at = HEADER_BYTES + index * DESCRIPTOR_BYTES;
        if let Some(place) = self.out.get_mut(at..at + DESCRIPTOR_BYTES) {
            place.copy_from_slice(&descriptor);
        }
    }

    /// Writes the buffers of a column whose null slots may hold something.
    #[cold]
    fn unclean(&mut self, view: &ColumnView<'_>, buffers: [&[u8]; 4], places: &mut [[u8; 8]]) {
        for (kind, (len, place)) in buffer_lens(view).into_iter().zip(places).enumerate() {
            let Some(start) = self.place(len, place) else { continue };
            if view.ty.has_offsets() && kind > 0 {
                self.kept(view, kind);
            } else {
                self.copy(buffers[kind]);
                self.tidy(view, kind, start);
            }
        }
    }

    /// Places a buffer and notes where in its descriptor; `None` if it is empty.
    #[inline]
    fn place(&mut self, len: usize, place: &mut [u8; 8]) -> Option<usize> {
        if len == 0 {
            return None;
        }
        let start = self.cursor.buffer(len);
        *place = (start as u64 | (len as u64) << 32).to_le_bytes();
        self.zero_until(start);
        Some(start)
    }

    /// Writes offsets (1), inner offsets (2) or values (3) without what the slots of nulls hold.
    #[cold]
    fn kept(&mut self, view: &ColumnView<'_>, kind: usize) {
        let mut at = 0i32;
        if kind < 3 {
            self.copy(&at.to_le_bytes());
        }
        for (start, end) in kept(view) {
            match kind {
                1 => {
                    at += (end - start) as i32;
                    self.copy(&at.to_le_bytes());
                }
                2 => {
                    for element in start..end {
                        at += value_bytes(view, element, element + 1).len() as i32;
                        self.copy(&at.to_le_bytes());
                    }
                }
                _ => self.copy(value_bytes(view, start, end)),
            }
        }
    }

    /// Zeroes bits past the end of bitmaps, and null slots of types without offsets, in the buffer
    /// that was just written at `start`.
    #[cold]
    fn tidy(&mut self, view: &ColumnView<'_>, kind: usize, start: usize) {
        let Some(buffer) = self.out.get_mut(start..self.filled) else { return };
        if kind == 0 || view.ty == Type::Bool {
            bits::trim(buffer, view.rows);
        }
        if kind == 0 || view.null_count == 0 {
            return;
        }
        let width = view.ty.width().unwrap_or_default();
        for row in (0..view.rows).filter(|row| view.is_null(*row)) {
            match buffer.get_mut(row * width..(row + 1) * width) {
                Some(slot) if width > 0 => slot.fill(0),
                _ => bits::clear(buffer, row),
            }
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

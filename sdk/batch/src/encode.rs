//! Writing a batch, straight into its place (guest memory, a message, a file). Each buffer is copied
//! once, padding is zeroed, nothing is allocated, so equal columns give equal bytes. A view with values
//! in the slots of its nulls (legal in foreign bytes) is written row by row, without them.
//!
//! A small batch is written at every call of a plugin, on both sides, and in a guest every clearing of bytes and
//! every copy of a length unknown to the compiler is a call out of it. So a small batch is cleared at once, and a
//! single number is stored instead of copied.

use alloc::vec;
use alloc::vec::Vec;

use crate::layout::{Cursor, DESCRIPTOR_BYTES, FLAG_VALIDITY, HEADER_BYTES, MAGIC, VERSION};
use crate::view::{array_at, bug, i32_at, slice};
use crate::{BATCH_BYTES_MAX, BatchError, COLUMNS_MAX, ColumnView, ROWS_MAX, Type, bits};

/// Batches up to so many bytes are cleared at once rather than gap by gap: one row of some sixty columns.
const CLEARED_BYTES_MAX: usize = 8 * 1024;

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
    let cleared = out.len() <= CLEARED_BYTES_MAX;
    if cleared {
        out.fill(0);
    }
    let mut writer = Writer { cursor: Cursor::new(count), filled: 0, cleared, out };
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
    if let Some(zeros) = writer.out.first_chunk_mut() {
        header(zeros, rows, count, total);
    }
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

/// Copies a buffer; a single value without a call.
#[inline]
pub(crate) fn copy(place: &mut [u8], bytes: &[u8]) {
    match bytes.len() {
        8 => copy_array::<8>(place, bytes),
        4 => copy_array::<4>(place, bytes),
        1 => copy_array::<1>(place, bytes),
        _ => place.copy_from_slice(bytes),
    }
}

#[inline]
fn copy_array<const N: usize>(place: &mut [u8], bytes: &[u8]) {
    if let Some(place) = place.first_chunk_mut::<N>() {
        *place = array_at(bytes, 0);
    }
}

/// Writes into a header that is cleared what isn't 0.
#[inline]
pub(crate) fn header(zeros: &mut [u8; HEADER_BYTES], rows: usize, columns: usize, total: usize) {
    zeros[..4].copy_from_slice(&MAGIC);
    zeros[4..6].copy_from_slice(&VERSION.to_le_bytes());
    zeros[8..12].copy_from_slice(&(rows as u32).to_le_bytes());
    zeros[12..16].copy_from_slice(&(columns as u32).to_le_bytes());
    zeros[16..20].copy_from_slice(&(total as u32).to_le_bytes());
}

/// What a descriptor begins with: type code, flags and dimension.
#[inline]
pub(crate) fn kind_word(ty: Type, flags: u8) -> u64 {
    u64::from(ty.code()) | u64::from(flags) << 8 | u64::from(ty.dim()) << 32
}

/// Position and length of a buffer, as its descriptor has them.
#[inline]
pub(crate) fn place_word(start: usize, len: usize) -> u64 {
    start as u64 | (len as u64) << 32
}

/// A view's validity, offsets, inner offsets and values.
#[inline]
fn buffers<'a>(view: &ColumnView<'a>) -> [&'a [u8]; 4] {
    [view.validity.unwrap_or_default(), view.offsets, view.inner_offsets, view.values]
}

/// Fills `out` from front to back; past its end it only counts, and the end is judged once.
struct Writer<'o> {
    cursor: Cursor,
    filled: usize,
    /// Whether all of `out` was zeroed before.
    cleared: bool,
    out: &'o mut [u8],
}

impl Writer<'_> {
    #[inline]
    fn column(&mut self, index: usize, view: &ColumnView<'_>) {
        self.cursor.column();
        let [validity, offsets, inner_offsets, values] = if view.clean {
            let [validity, offsets, inner_offsets, values] = buffers(view);
            [
                self.buffer(validity),
                self.buffer(offsets),
                self.buffer(inner_offsets),
                self.buffer(values),
            ]
        } else {
            self.unclean(view)
        };
        let flags = if view.validity.is_some() { FLAG_VALIDITY } else { 0 };
        let kind = kind_word(view.ty, flags);
        // Reserved bytes are the upper halves of numbers that never get there.
        let words = [kind, validity, offsets, inner_offsets, values, view.null_count as u64];
        let at = HEADER_BYTES + index * DESCRIPTOR_BYTES;
        if let Some(descriptor) = self.out.get_mut(at..at + DESCRIPTOR_BYTES) {
            for (place, word) in descriptor.as_chunks_mut::<8>().0.iter_mut().zip(&words) {
                *place = word.to_le_bytes();
            }
        }
    }

    /// Writes a buffer; gives its place as its descriptor has it.
    #[inline]
    fn buffer(&mut self, bytes: &[u8]) -> u64 {
        if bytes.is_empty() {
            return 0;
        }
        let place = self.place(bytes.len());
        self.copy(bytes);
        place
    }

    /// Writes the buffers of a column whose null slots may hold something; gives their places.
    #[cold]
    #[inline(never)]
    fn unclean(&mut self, view: &ColumnView<'_>) -> [u64; 4] {
        let mut places = [0; 4];
        let buffers = buffers(view).into_iter().zip(buffer_lens(view));
        for (kind, ((bytes, len), place)) in buffers.zip(&mut places).enumerate() {
            if len == 0 {
                continue;
            }
            *place = self.place(len);
            let start = self.filled;
            if view.ty.has_offsets() && kind > 0 {
                self.kept(view, kind);
            } else {
                self.copy(bytes);
                self.tidy(view, kind, start);
            }
        }
        places
    }

    /// Goes to where a buffer of `len` bytes, which isn't 0, begins; gives its place as its descriptor has it.
    #[inline]
    fn place(&mut self, len: usize) -> u64 {
        let start = self.cursor.buffer(len);
        self.zero_until(start);
        place_word(start, len)
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

    #[inline]
    fn zero_until(&mut self, position: usize) {
        if !self.cleared
            && let Some(gap) = self.out.get_mut(self.filled..position)
        {
            gap.fill(0);
        }
        self.filled = position;
    }

    #[inline]
    fn copy(&mut self, bytes: &[u8]) {
        let end = self.filled.saturating_add(bytes.len());
        if let Some(place) = self.out.get_mut(self.filled..end) {
            copy(place, bytes);
        }
        self.filled = end;
    }
}

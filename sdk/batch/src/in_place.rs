//! A batch whose values are written where they will be read. If all columns have one width and no value is null, each
//! value's place is known before there is any, so nothing is gathered first and encoded then. A column that got a
//! null after all is encoded like any other, from where it lies; the bytes are the same either way.
//!
//! This is how a guest answers, mostly with one row, and in a guest every clearing of bytes is a call out of it. So
//! padding is cleared by stores: all there is of it is the rest of a line of 64 bytes and the gap between two columns.

use alloc::vec;
use alloc::vec::Vec;
use core::hint::black_box;
use core::slice::IterMut;

use crate::encode::{header, kind_word, place_word};
use crate::layout::{ALIGN, Cursor, DESCRIPTOR_BYTES, HEADER_BYTES, align_up};
use crate::view::bug;
use crate::{ColumnView, Type, bits};

/// A batch that is complete but for its values; columns are given their places one by one, in order.
#[derive(Debug)]
pub struct InPlace<'o> {
    rows: usize,
    cursor: Cursor,
    /// Bytes in front of `rest`, a multiple of [`ALIGN`].
    done: usize,
    /// A 0 that the compiler doesn't see: stores of zeros that it sees it makes one `memory.fill`.
    zero: u64,
    descriptors: IterMut<'o, [u8; DESCRIPTOR_BYTES]>,
    rest: &'o mut [u8],
}

impl<'o> InPlace<'o> {
    /// Bytes of a batch of `rows` rows of these types without nulls; `None` if one of them is text, bytes or a list.
    #[inline]
    #[must_use]
    pub fn byte_len(rows: usize, types: impl ExactSizeIterator<Item = Type>) -> Option<usize> {
        let mut cursor = Cursor::new(types.len());
        for ty in types {
            cursor.column();
            cursor.buffer(ty.values_len(rows)?);
        }
        Some(cursor.total())
    }

    /// Begins the batch in `out`, whose length is [`Self::byte_len`] and whatever it holds; the caller vouches for
    /// the limits. Panics, here or at a column, if `out` is shorter.
    #[inline]
    #[must_use]
    pub fn new(rows: usize, columns: usize, out: &'o mut [u8]) -> Self {
        let (total, zero) = (out.len(), black_box(0_u64));
        let cursor = Cursor::new(columns);
        let done = cursor.total();
        let Some((head, rest)) = out.split_at_mut_checked(done) else { bug(OTHER_LENGTH) };
        clear(head, zero);
        let Some((zeros, descriptors)) = head.split_first_chunk_mut::<HEADER_BYTES>() else {
            bug(OTHER_LENGTH)
        };
        header(zeros, rows, columns, total);
        let descriptors = descriptors.as_chunks_mut::<DESCRIPTOR_BYTES>().0.iter_mut();
        Self { rows, cursor, done, zero, descriptors, rest }
    }

    /// The place of the next column's values, for [`Slots`]. Every byte of it is the caller's to write. Panics if
    /// the type is text, bytes or a list.
    #[inline]
    #[must_use]
    pub fn column(&mut self, ty: Type) -> &'o mut [u8] {
        let Some(len) = ty.values_len(self.rows) else { bug("the type has one width") };
        self.cursor.column();
        let start = self.cursor.buffer(len);
        let end = self.cursor.total();
        if let Some(descriptor) = self.descriptors.next()
            && let [kind, _, _, _, values, _] = descriptor.as_chunks_mut::<8>().0
        {
            *kind = kind_word(ty, 0).to_le_bytes();
            *values = place_word(start, len).to_le_bytes();
        }
        let rest = core::mem::take(&mut self.rest);
        let Some((lines, rest)) = rest.split_at_mut_checked(end - self.done) else {
            bug(OTHER_LENGTH)
        };
        (self.rest, self.done) = (rest, end);
        let gap_len = lines.len() - align_up(len);
        let Some((gap, lines)) = lines.split_at_mut_checked(gap_len) else { bug(OTHER_LENGTH) };
        clear(gap, self.zero);
        // Values will be written over its beginning; what is left of it is padding.
        if let Some(last) = lines.last_chunk_mut::<ALIGN>() {
            clear(last, self.zero);
        }
        match lines.split_at_mut_checked(len) {
            Some((values, _)) => values,
            None => bug(OTHER_LENGTH),
        }
    }
}

/// The values of a column while its rows are written: in order, each exactly once, by one of the `put`s or as a null.
///
/// `N` is the width of a number, or of an element of an embedding; 1 for bools, of which eight share a byte.
#[derive(Debug)]
pub struct Slots<'o, const N: usize> {
    rows: usize,
    values: &'o mut [[u8; N]],
    /// One bit a row, 0 = null; there from the first null on.
    validity: Option<Vec<u8>>,
}

impl<'o, const N: usize> Slots<'o, N> {
    /// The slots of `rows` rows, whatever they hold: [`Type::values_len`] bytes, of a batch or from elsewhere.
    #[inline]
    #[must_use]
    pub fn new(rows: usize, values: &'o mut [u8]) -> Self {
        Self { rows, values: values.as_chunks_mut::<N>().0, validity: None }
    }

    /// Puts a number, in little-endian, into its row.
    #[inline]
    pub fn put(&mut self, row: usize, value: [u8; N]) {
        if let Some(slot) = self.values.get_mut(row) {
            *slot = value;
        }
    }

    /// Puts an embedding's elements into their row: as many as the type has.
    #[inline]
    pub fn put_all(&mut self, row: usize, items: impl ExactSizeIterator<Item = [u8; N]>) {
        let width = items.len();
        if let Some(slots) = self.values.get_mut(row * width..(row + 1) * width) {
            for (slot, item) in slots.iter_mut().zip(items) {
                *slot = item;
            }
        }
    }

    /// Makes a row null. Not for bools: see [`Slots::null_bit`].
    #[inline]
    pub fn null(&mut self, row: usize) {
        // A number is stored: in a guest, filling is a call out of it.
        if self.values.len() == self.rows {
            self.put(row, [0; N]);
        } else {
            self.zero_all(row);
        }
        self.invalid(row);
    }

    /// Clears an embedding.
    #[cold]
    fn zero_all(&mut self, row: usize) {
        let width = self.values.len().checked_div(self.rows).unwrap_or_default();
        if let Some(slots) = self.values.get_mut(row * width..(row + 1) * width) {
            slots.fill([0; N]);
        }
    }

    /// Whether a row was made null.
    #[inline]
    #[must_use]
    pub fn has_nulls(&self) -> bool {
        self.validity.is_some()
    }

    /// The column, once every row was written. Panics if the type's values have another length.
    #[must_use]
    pub fn written(self, ty: Type) -> Written<'o> {
        let Self { rows, values, validity } = self;
        let values: &'o [[u8; N]] = values;
        let values = values.as_flattened();
        if ty.values_len(rows) != Some(values.len()) {
            bug("the values are the type's");
        }
        let null_count = validity.as_deref().map_or(0, |bitmap| bits::count_zeros(bitmap, rows));
        Written { ty, rows, null_count, validity, values }
    }

    /// Notes that a row is null.
    #[inline]
    fn invalid(&mut self, row: usize) {
        let rows = self.rows;
        let validity = self.validity.get_or_insert_with(|| all_valid(rows));
        if let Some(byte) = validity.get_mut(row >> 3) {
            *byte &= !(1 << (row & 7));
        }
    }
}

/// Bools.
impl Slots<'_, 1> {
    /// Puts a bool into its row.
    #[inline]
    pub fn put_bit(&mut self, row: usize, value: bool) {
        let bit = u8::from(value) << (row & 7);
        if let Some([byte]) = self.values.get_mut(row >> 3) {
            // The first of a byte clears what was there before.
            *byte = if row & 7 == 0 { bit } else { *byte | bit };
        }
    }

    /// Makes a row null.
    #[cold]
    pub fn null_bit(&mut self, row: usize) {
        self.put_bit(row, false);
        self.invalid(row);
    }
}

/// A column whose rows were all written, where they lie.
#[derive(Debug)]
pub struct Written<'o> {
    ty: Type,
    rows: usize,
    null_count: usize,
    validity: Option<Vec<u8>>,
    values: &'o [u8],
}

impl Written<'_> {
    /// The column, to be encoded.
    #[must_use]
    pub fn view(&self) -> ColumnView<'_> {
        ColumnView {
            ty: self.ty,
            rows: self.rows,
            null_count: self.null_count,
            validity: self.validity.as_deref().filter(|_| self.null_count > 0),
            offsets: &[],
            inner_offsets: &[],
            values: self.values,
            text: "",
            clean: true,
        }
    }
}

const OTHER_LENGTH: &str = "the batch has the length of its rows and columns";

/// Clears whole lines, store by store.
#[inline]
fn clear(lines: &mut [u8], zero: u64) {
    for line in lines.as_chunks_mut::<ALIGN>().0 {
        for word in line.as_chunks_mut::<8>().0 {
            *word = zero.to_le_bytes();
        }
    }
}

/// A bitmap of ones without those past its end.
#[cold]
fn all_valid(rows: usize) -> Vec<u8> {
    let len = bits::bytes_for(rows);
    // A single byte is stored: in a guest, filling is a call out of it.
    let mut bitmap = if len == 1 { vec![0xff] } else { vec![0xff; len] };
    bits::trim(&mut bitmap, rows);
    bitmap
}

//! Reading a batch: header and descriptors. Bytes may come from a guest or a network and are hostile;
//! what `check.rs` does not cover (positions, reserved bytes, limits) is checked here. Buffers must
//! lie in descriptor order without overlap: otherwise a small batch could name the same bytes 4096
//! times and make its reader do gigabytes of work.
//!
//! Nearly every column of a small batch holds numbers, and a small batch is read at every call of a plugin, on
//! both sides. So a sound column of numbers is recognised by a few comparisons; whatever else comes is walked
//! through, which also finds what is wrong with it.

use crate::layout::{ALIGN, Cursor, DESCRIPTOR_BYTES, FLAG_VALIDITY, HEADER_BYTES, MAGIC, VERSION};
use crate::view::{Parts, array_at, bug, slice};
use crate::{
    BATCH_BYTES_MAX, BatchError, Buffer, COLUMNS_MAX, ColumnView, ROWS_MAX, Type, bits, check,
};

/// Bytes that were found to be a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    bytes: &'a [u8],
    rows: usize,
    columns: usize,
}

/// A descriptor's four buffers with the position of each one's offset in the descriptor.
const BUFFERS: [(Buffer, usize); 4] = [
    (Buffer::Validity, 8),
    (Buffer::Offsets, 16),
    (Buffer::InnerOffsets, 24),
    (Buffer::Values, 32),
];

impl<'a> BatchView<'a> {
    /// Checks everything once; afterwards no access can fail. `bytes` are exactly one batch.
    ///
    /// # Errors
    /// The first thing that is wrong, with the column it is in.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let (rows, columns) = header(bytes)?;
        let mut end = Cursor::end_of_descriptors(columns);
        let view = Self { bytes, rows, columns };
        for column in 0..columns {
            let descriptor = view.descriptor(column);
            end = match view.numbers(descriptor, end) {
                Some(end) => end,
                None => view.walk(column, descriptor, end)?,
            };
        }
        Ok(view)
    }

    /// The position after the buffers of a sound column of numbers or bools. `None`: it is of another type, empty,
    /// or wrong; [`Self::walk`] knows. What this lets through, `walk` would.
    #[inline]
    fn numbers(&self, descriptor: &[u8; DESCRIPTOR_BYTES], earliest: usize) -> Option<usize> {
        let word = |at| u64_at(descriptor, at);
        let (kind, validity) = (word(0), word(8));
        // Reserved bytes and the dimension are in here as well: all that remains is the type's code.
        let ty = Type::from_code(u8::try_from(kind & !HAS_VALIDITY).ok()?, 0)?;
        let len = match ty {
            Type::Bool => bits::bytes_for(self.rows),
            _ => self.rows * ty.width()?,
        };
        if len == 0 || word(16) | word(24) != 0 {
            return None;
        }
        let (mut earliest, mut null_count) = (earliest, 0);
        if kind & HAS_VALIDITY != 0 {
            let (start, end) = self.placed(validity, bits::bytes_for(self.rows), earliest)?;
            null_count = bits::count_zeros(slice(self.bytes, start, end), self.rows);
            earliest = end;
        } else if validity != 0 {
            return None;
        }
        let (_, end) = self.placed(word(32), len, earliest)?;
        // The number of nulls with the reserved bytes behind it.
        (word(40) == null_count as u64).then_some(end)
    }

    /// Where a buffer begins and ends, if it has that length, which isn't 0, and lies as it must.
    #[inline]
    fn placed(&self, place: u64, len: usize, earliest: usize) -> Option<(usize, usize)> {
        let (start, found) = (place as u32 as usize, (place >> 32) as usize);
        // On a 32-bit guest the sum may not fit.
        let end = start.checked_add(found)?;
        let sound = found == len
            && start.is_multiple_of(ALIGN)
            && start >= earliest
            && end <= self.bytes.len();
        sound.then_some((start, end))
    }

    /// The position after the buffers of a column of any type, or the first thing that is wrong with it.
    #[inline(never)]
    fn walk(
        &self,
        column: usize,
        descriptor: &[u8; DESCRIPTOR_BYTES],
        mut end: usize,
    ) -> Result<usize, BatchError> {
        let ty = column_type(column, descriptor)?;
        for (buffer, at) in BUFFERS {
            let place = Place { column, buffer, total: self.bytes.len() };
            end = place.check(u32_at(descriptor, at), u32_at(descriptor, at + 4), end)?;
        }
        let parts = self.parts(descriptor);
        let null_count = check::buffers(column, ty, self.rows, &parts)?;
        let found = u32_at(descriptor, 40);
        if found != null_count {
            return Err(BatchError::NullCount { column, expected: null_count, found });
        }
        Ok(end)
    }

    /// Number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// Column `index`: reads its descriptor. Panics if there is no such column.
    #[must_use]
    pub fn column(&self, index: usize) -> ColumnView<'a> {
        let ty = self.column_type(index);
        let descriptor = self.descriptor(index);
        ColumnView::checked(ty, self.rows, u32_at(descriptor, 40), self.parts(descriptor))
    }

    /// Values and validity bitmap of column `index`, the latter empty if there are no nulls: all that there is to a
    /// column without offsets, and cheaper than a view. Panics if there is no such column.
    #[inline]
    #[must_use]
    pub fn values_and_validity(&self, index: usize) -> (&'a [u8], &'a [u8]) {
        if index >= self.columns {
            bug(NO_COLUMN);
        }
        let descriptor = self.descriptor(index);
        let validity = if u32_at(descriptor, 40) > 0 {
            self.buffer(descriptor, 8)
        } else {
            Default::default()
        };
        (self.buffer(descriptor, 32), validity)
    }

    /// The type of column `index`. Panics if there is no such column.
    #[inline]
    #[must_use]
    pub fn column_type(&self, index: usize) -> Type {
        if index >= self.columns {
            bug(NO_COLUMN);
        }
        let descriptor = self.descriptor(index);
        match Type::from_code(descriptor[0], u32_at(descriptor, 4) as u32) {
            Some(ty) => ty,
            None => bug("type codes were checked"),
        }
    }

    #[inline]
    fn descriptor(&self, index: usize) -> &'a [u8; DESCRIPTOR_BYTES] {
        let start = HEADER_BYTES + index * DESCRIPTOR_BYTES;
        match self.bytes.get(start..).and_then(<[u8]>::first_chunk) {
            Some(descriptor) => descriptor,
            None => bug("descriptors were checked"),
        }
    }

    /// The buffers a descriptor names, whose places were checked.
    fn parts(&self, descriptor: &[u8; DESCRIPTOR_BYTES]) -> Parts<'a> {
        let buffer = |at| self.buffer(descriptor, at);
        Parts {
            validity: (descriptor[1] & FLAG_VALIDITY != 0).then(|| buffer(8)),
            offsets: buffer(16),
            inner_offsets: buffer(24),
            values: buffer(32),
        }
    }

    /// The buffer whose place is at `at` of a descriptor, and was checked.
    #[inline]
    fn buffer(&self, descriptor: &[u8; DESCRIPTOR_BYTES], at: usize) -> &'a [u8] {
        let start = u32_at(descriptor, at);
        slice(self.bytes, start, start + u32_at(descriptor, at + 4))
    }
}

/// The flag for a bitmap in the first eight bytes of a descriptor, read as one number.
const HAS_VALIDITY: u64 = (FLAG_VALIDITY as u64) << 8;

const NO_COLUMN: &str = "the batch has no such column";

/// Checks the header; gives rows and columns.
fn header(bytes: &[u8]) -> Result<(usize, usize), BatchError> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(BatchError::TooShort { expected: HEADER_BYTES, found: bytes.len() });
    };
    let magic: [u8; 4] = array_at(header, 0);
    if magic != MAGIC {
        return Err(BatchError::Magic { found: magic });
    }
    let version = u16::from_le_bytes([header[4], header[5]]);
    if version != VERSION {
        return Err(BatchError::Version { found: version });
    }
    let flags = u16::from_le_bytes([header[6], header[7]]);
    if flags != 0 {
        return Err(BatchError::HeaderFlags { found: flags });
    }
    let (rows, columns, total) = (u32_at(header, 8), u32_at(header, 12), u32_at(header, 16));
    if rows > ROWS_MAX {
        return Err(BatchError::RowsLimit { found: rows });
    }
    if columns > COLUMNS_MAX {
        return Err(BatchError::ColumnsLimit { found: columns });
    }
    if total > BATCH_BYTES_MAX {
        return Err(BatchError::BytesLimit { found: total });
    }
    if total != bytes.len() {
        return Err(BatchError::TotalLength { stated: total, found: bytes.len() });
    }
    // All at once: byte by byte this would be most of what a header costs.
    let rest = [24, 32, 40, 48, 56]
        .iter()
        .fold(u32_at(header, 20) as u64, |rest, at| rest | u64_at(header, *at));
    if rest != 0 {
        reserved(header, 20, HEADER_BYTES, 0)?;
    }
    let expected = Cursor::end_of_descriptors(columns);
    if total < expected {
        return Err(BatchError::Descriptors { expected, found: total });
    }
    Ok((rows, columns))
}

/// Checks type code, flags, reserved bytes and dimension of a descriptor.
fn column_type(column: usize, descriptor: &[u8; DESCRIPTOR_BYTES]) -> Result<Type, BatchError> {
    let start = HEADER_BYTES + column * DESCRIPTOR_BYTES;
    let (code, flags, dim) = (descriptor[0], descriptor[1], u32_at(descriptor, 4) as u32);
    let Some(ty) = Type::from_code(code, dim) else {
        return Err(BatchError::TypeCode { column, found: code });
    };
    if flags & !FLAG_VALIDITY != 0 {
        return Err(BatchError::ColumnFlags { column, found: flags });
    }
    if dim != ty.dim() {
        return Err(BatchError::Dimension { column, code, found: dim });
    }
    check::ty(column, ty)?;
    reserved(descriptor, 2, 4, start)?;
    reserved(descriptor, 44, DESCRIPTOR_BYTES, start)?;
    if flags & FLAG_VALIDITY == 0 {
        // Without the flag the bitmap's place must be empty, or readers could disagree about nulls.
        let found = u32_at(descriptor, 12);
        if found != 0 {
            let buffer = Buffer::Validity;
            return Err(BatchError::BufferLength { column, buffer, expected: 0, found });
        }
    }
    Ok(ty)
}

fn reserved(bytes: &[u8], from: usize, to: usize, start: usize) -> Result<(), BatchError> {
    match slice(bytes, from, to).iter().position(|byte| *byte != 0) {
        Some(index) => Err(BatchError::Reserved { at: start + from + index }),
        None => Ok(()),
    }
}

/// Which buffer's place is checked, for the errors.
struct Place {
    column: usize,
    buffer: Buffer,
    total: usize,
}

impl Place {
    /// The buffer is aligned, not before `earliest`, and inside; gives the position after it.
    fn check(&self, offset: usize, len: usize, earliest: usize) -> Result<usize, BatchError> {
        let Self { column, buffer, total } = *self;
        if len == 0 {
            return match offset {
                0 => Ok(earliest),
                _ => Err(BatchError::EmptyBuffer { column, buffer, offset }),
            };
        }
        if !offset.is_multiple_of(ALIGN) {
            return Err(BatchError::Misaligned { column, buffer, offset });
        }
        if offset < earliest {
            return Err(BatchError::Overlap { column, buffer, offset, earliest });
        }
        // In u64: on a 32-bit guest the sum of two u32 may not fit a usize.
        let end = offset as u64 + len as u64;
        if end > total as u64 {
            return Err(BatchError::Outside { column, buffer, end, total });
        }
        Ok(end as usize)
    }
}

/// A u64, or two u32, of a header or descriptor.
#[inline]
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// A u32 of a header or descriptor.
#[inline]
fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(array_at(bytes, at)) as usize
}

#[cfg(test)]
mod tests {
    //! The short way through a column of numbers against the long one.
    use super::*;
    use crate::{Column, encode_vec};
    use std::vec::Vec;

    const NUMBERS: [Type; 6] =
        [Type::Bool, Type::Int32, Type::Int64, Type::Float32, Type::Float64, Type::Timestamp];

    /// Every type of number and some text, each without and with a null in the last row.
    fn batch(rows: usize) -> Vec<u8> {
        let column = |(ty, null): (Type, bool)| {
            let mut column = Column::new(ty);
            for row in 0..rows {
                match ty {
                    _ if null && row + 1 == rows => column.push_null(),
                    Type::Bool => column.push_bool(true),
                    Type::Int32 => column.push_i32(7),
                    Type::Int64 => column.push_i64(7),
                    Type::Float32 => column.push_f32(7.0),
                    Type::Float64 => column.push_f64(7.0),
                    Type::Timestamp => column.push_timestamp(7),
                    _ => column.push_utf8("seven"),
                }
            }
            column
        };
        let types = NUMBERS.into_iter().chain([Type::Utf8]);
        let columns: Vec<Column> =
            types.flat_map(|ty| [(ty, false), (ty, true)]).map(column).collect();
        let views: Vec<ColumnView<'_>> = columns.iter().map(Column::view).collect();
        encode_vec(rows, &views)
    }

    /// How many columns were taken the short way, after a comparison with the long one.
    fn short_ways(bytes: &[u8], rows: usize, columns: usize) -> usize {
        let view = BatchView { bytes, rows, columns };
        let (mut end, mut short) = (Cursor::end_of_descriptors(columns), 0);
        for column in 0..columns {
            let descriptor = view.descriptor(column);
            let walked = view.walk(column, descriptor, end);
            if let Some(end) = view.numbers(descriptor, end) {
                assert_eq!(walked, Ok(end), "column {column}");
                short += 1;
            }
            let Ok(after) = walked else { break };
            end = after;
        }
        short
    }

    #[test]
    fn the_short_way_lets_nothing_through_that_the_long_one_refuses() {
        for rows in [1, 9, 64] {
            let sound = batch(rows);
            let (_, columns) = header(&sound).expect("a header");
            assert_eq!(short_ways(&sound, rows, columns), 2 * NUMBERS.len(), "{rows} rows");
            let mut bytes = sound.clone();
            for at in HEADER_BYTES..Cursor::end_of_descriptors(columns) {
                for value in (0..=16).chain([0x40, 0x7f, 0x80, 0xc0, 0xff]) {
                    bytes[at] = value;
                    short_ways(&bytes, rows, columns);
                }
                bytes[at] = sound[at];
            }
        }
    }

    #[test]
    fn no_rows_go_the_long_way() {
        let bytes = batch(0);
        let (rows, columns) = header(&bytes).expect("a header");
        assert_eq!((rows, short_ways(&bytes, rows, columns)), (0, 0));
    }
}

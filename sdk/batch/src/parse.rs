//! Reading a batch: header and descriptors. Bytes may come from a guest or a network and are hostile;
//! what `check.rs` does not cover (positions, reserved bytes, limits) is checked here. Buffers must
//! lie in descriptor order without overlap: otherwise a small batch could name the same bytes 4096
//! times and make its reader do gigabytes of work.

use crate::layout::{ALIGN, Cursor, DESCRIPTOR_BYTES, FLAG_VALIDITY, HEADER_BYTES, MAGIC, VERSION};
use crate::view::{Parts, array_at, bug, slice};
use crate::{BATCH_BYTES_MAX, BatchError, Buffer, COLUMNS_MAX, ColumnView, ROWS_MAX, Type, check};

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
            let ty = column_type(column, descriptor)?;
            for (buffer, at) in BUFFERS {
                let place = Place { column, buffer, total: bytes.len() };
                end = place.check(u32_at(descriptor, at), u32_at(descriptor, at + 4), end)?;
            }
            let parts = view.parts(descriptor);
            let null_count = check::buffers(column, ty, rows, &parts)?;
            let found = u32_at(descriptor, 40);
            if found != null_count {
                return Err(BatchError::NullCount { column, expected: null_count, found });
            }
        }
        Ok(view)
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

    /// The type of column `index`. Panics if there is no such column.
    #[must_use]
    pub fn column_type(&self, index: usize) -> Type {
        if index >= self.columns {
            bug("the batch has no such column");
        }
        let descriptor = self.descriptor(index);
        match Type::from_code(descriptor[0], u32_at(descriptor, 4) as u32) {
            Some(ty) => ty,
            None => bug("type codes were checked"),
        }
    }

    fn descriptor(&self, index: usize) -> &'a [u8; DESCRIPTOR_BYTES] {
        let start = HEADER_BYTES + index * DESCRIPTOR_BYTES;
        match self.bytes.get(start..).and_then(<[u8]>::first_chunk) {
            Some(descriptor) => descriptor,
            None => bug("descriptors were checked"),
        }
    }

    /// The buffers a descriptor names, whose places were checked.
    fn parts(&self, descriptor: &[u8; DESCRIPTOR_BYTES]) -> Parts<'a> {
        let buffer = |at| {
            let start = u32_at(descriptor, at);
            slice(self.bytes, start, start + u32_at(descriptor, at + 4))
        };
        Parts {
            validity: (descriptor[1] & FLAG_VALIDITY != 0).then(|| buffer(8)),
            offsets: buffer(16),
            inner_offsets: buffer(24),
            values: buffer(32),
        }
    }
}

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
    reserved(header, 20, HEADER_BYTES, 0)?;
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

/// A u32 of a header or descriptor.
#[inline]
fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(array_at(bytes, at)) as usize
}

//! The checks of one column's buffers, whoever gave them. Each byte is looked at most once, so the
//! work is bounded by the bytes given; nothing is allocated.

use crate::layout::EMBEDDING_DIM_MAX;
use crate::view::{Parts, i32_at};
use crate::{BatchError, Buffer, ROWS_MAX, Type, bits, cast};

/// An embedding's dimension is within its limit.
pub(crate) fn ty(column: usize, ty: Type) -> Result<(), BatchError> {
    match ty {
        Type::Embedding(dim) if dim == 0 || dim > EMBEDDING_DIM_MAX => {
            Err(BatchError::Dimension { column, code: ty.code(), found: dim })
        }
        _ => Ok(()),
    }
}

/// Every length, offset and text of a column; gives the number of nulls.
pub(crate) fn buffers(
    column: usize,
    ty: Type,
    rows: usize,
    parts: &Parts<'_>,
) -> Result<usize, BatchError> {
    if rows > ROWS_MAX {
        return Err(BatchError::RowsLimit { found: rows });
    }
    let expect = |buffer, bytes: &[u8], expected: u64| {
        if bytes.len() as u64 == expected {
            return Ok(());
        }
        Err(BatchError::BufferLength { column, buffer, expected, found: bytes.len() })
    };
    let null_count = match parts.validity {
        Some(validity) => {
            expect(Buffer::Validity, validity, bits::bytes_for(rows) as u64)?;
            bits::count_zeros(validity, rows)
        }
        None => 0,
    };
    let items = if ty.has_offsets() {
        expect(Buffer::Offsets, parts.offsets, (rows as u64 + 1) * 4)?;
        offsets(column, Buffer::Offsets, parts.offsets)?
    } else {
        expect(Buffer::Offsets, parts.offsets, 0)?;
        rows
    };
    let ends_at = |buffer, found: usize, expected: usize| {
        if found == expected {
            return Ok(());
        }
        Err(BatchError::LastOffset { column, buffer, expected, found: found as i32 })
    };
    if ty == Type::ListUtf8 {
        // The rows' last offset says how many elements there are; the elements' offsets are one more.
        expect(Buffer::InnerOffsets, parts.inner_offsets, (items as u64 + 1) * 4)?;
        let end = offsets(column, Buffer::InnerOffsets, parts.inner_offsets)?;
        ends_at(Buffer::InnerOffsets, end, parts.values.len())?;
        text(column, parts.inner_offsets, parts.values)?;
        return Ok(null_count);
    }
    expect(Buffer::InnerOffsets, parts.inner_offsets, 0)?;
    match ty {
        Type::Bool => expect(Buffer::Values, parts.values, bits::bytes_for(rows) as u64)?,
        Type::Utf8 => {
            ends_at(Buffer::Offsets, items, parts.values.len())?;
            text(column, parts.offsets, parts.values)?;
        }
        Type::Binary => ends_at(Buffer::Offsets, items, parts.values.len())?,
        Type::ListInt64 | Type::ListFloat64 => {
            expect(Buffer::Values, parts.values, items as u64 * 8)?;
        }
        _ => {
            let width = ty.width().unwrap_or_default() as u64;
            expect(Buffer::Values, parts.values, rows as u64 * width)?;
        }
    }
    Ok(null_count)
}

/// Offsets begin at 0 and never fall; gives the last one. There is at least one.
fn offsets(column: usize, buffer: Buffer, bytes: &[u8]) -> Result<usize, BatchError> {
    let (items, _) = bytes.as_chunks::<4>();
    let mut last = 0;
    for (index, item) in items.iter().enumerate() {
        let offset = i32::from_le_bytes(*item);
        if index == 0 && offset != 0 {
            return Err(BatchError::FirstOffset { column, buffer, found: offset });
        }
        if offset < last {
            return Err(BatchError::OffsetOrder { column, buffer, at: index - 1 });
        }
        last = offset;
    }
    Ok(last as usize)
}

/// The text is UTF-8 and no offset cuts a character.
fn text(column: usize, offsets: &[u8], bytes: &[u8]) -> Result<(), BatchError> {
    if bytes.is_ascii() {
        return Ok(());
    }
    let text = core::str::from_utf8(bytes)
        .map_err(|error| BatchError::Utf8 { column, at: error.valid_up_to() })?;
    for index in 0..offsets.len() / 4 {
        let at = i32_at(offsets, index);
        if !text.is_char_boundary(at) {
            return Err(BatchError::Utf8 { column, at });
        }
    }
    Ok(())
}

/// The values of a text column that passed [`buffers`].
#[expect(unsafe_code, reason = "text is checked once, not at every access")]
pub(crate) fn text_of_checked(bytes: &[u8]) -> &str {
    // SAFETY: callers have run `buffers` on these bytes as a text column's values, which refuses
    // whatever is not UTF-8, and the bytes are borrowed immutably since.
    unsafe { cast::text_of(bytes) }
}

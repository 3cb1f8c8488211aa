//! Whether a file is what it says of itself: where its parts are, which types its columns have, and how many values and
//! buffers each of them takes; not the values, which Arrow validates.
//!
//! Every number in here was chosen by whoever sent the file. What is checked is what Arrow's reader takes for granted:
//! parts lie within the file and not over one another (else a small file could be read a hundred thousand times), types
//! exist, and every column finds as many buffers as it will ask for.

use std::sync::Arc;

use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc;
use arrow::ipc::convert::fb_to_schema;

use super::{IpcError, IpcLimit, IpcLimits, broken};

/// What a file begins and ends with.
const MAGIC: &[u8] = b"ARROW1";
/// Bytes before the first part: the magic, filled up to 8.
const HEAD_BYTES: usize = 8;
/// Bytes behind the footer: its length and the magic.
const TAIL_BYTES: usize = 4 + MAGIC.len();
/// What a part begins with since version 0.15 of Arrow, before the length of its description.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// A file that holds together.
pub(super) struct Shape {
    pub(super) schema: SchemaRef,
    pub(super) version: ipc::MetadataVersion,
    pub(super) dictionaries: Vec<Piece>,
    pub(super) batches: Vec<Piece>,
    /// Rows of all batches.
    pub(super) rows: usize,
}

/// A part of a file: a description and the buffers that it describes.
pub(super) struct Piece {
    pub(super) block: ipc::Block,
    pub(super) bytes: Buffer,
}

/// The values and buffers that columns ask for, in the order in which they do.
struct Layout<'a> {
    /// Of each column of views, how many buffers it has more.
    counts: std::slice::Iter<'a, usize>,
    counts_lack: bool,
    buffers: usize,
    /// Of each column, also those within others, the buffer that says which values are null.
    validity: Vec<Option<usize>>,
    /// Buffers of offsets, sizes, views and keys, each with the bytes of one.
    widths: Vec<(usize, i64)>,
}

impl Shape {
    pub(super) fn of(bytes: Buffer, limits: IpcLimits) -> Result<Self, IpcError> {
        let footer_at = footer(&bytes)?;
        let footer = ipc::root_as_footer(&bytes[footer_at.clone()])
            .map_err(|error| broken(format!("its footer: {error}")))?;
        let schema = footer.schema().ok_or_else(|| broken("its footer has no schema"))?;
        if !schema.endianness().equals_to_target_endianness() {
            let found = "one of a big-endian machine".to_owned();
            return Err(IpcError::NotTaken { expected: "a little-endian file", found });
        }
        Declared { columns: 0, text: bytes.len(), limits }.schema(schema)?;
        let schema = Arc::new(fb_to_schema(schema));

        let mut parts = Parts { bytes: &bytes, left: footer_at.start, end: footer_at.start };
        let (mut dictionaries, mut batches, mut rows) = (Vec::new(), Vec::new(), 0_usize);
        for block in footer.dictionaries().into_iter().flatten() {
            let piece = parts.piece(block)?;
            dictionary(&piece, footer.version(), &schema)?;
            dictionaries.push(piece);
        }
        for block in footer.recordBatches().into_iter().flatten() {
            let piece = parts.piece(block)?;
            let message = message(&piece, footer.version())?;
            let batch = message
                .header_as_record_batch()
                .ok_or_else(|| broken("a part that is no record batch among those"))?;
            let came = described(&piece, batch, schema.fields().iter().map(|of| of.data_type()))?;
            rows = rows.saturating_add(came);
            if rows > limits.rows_max {
                let (what, max) = (IpcLimit::Rows, limits.rows_max);
                return Err(IpcError::TooMany { what, max, came: rows });
            }
            batches.push(piece);
        }
        Ok(Self { schema, version: footer.version(), dictionaries, batches, rows })
    }
}

/// Where the footer is.
fn footer(bytes: &[u8]) -> Result<std::ops::Range<usize>, IpcError> {
    if !bytes.starts_with(MAGIC) {
        let found = match bytes {
            [] => "nothing".to_owned(),
            [0xff, 0xff, 0xff, 0xff, ..] => "a stream".to_owned(),
            _ => format!("{} bytes that begin otherwise", bytes.len()),
        };
        return Err(IpcError::NoFile { found });
    }
    let end = bytes.len().checked_sub(TAIL_BYTES).filter(|_| bytes.ends_with(MAGIC));
    let end = end.ok_or_else(|| broken("it doesn't end with ARROW1, as if it was cut off"))?;
    let len = bytes[end..].first_chunk().map(|len| i32::from_le_bytes(*len));
    let start = len.and_then(|len| end.checked_sub(usize::try_from(len).ok()?));
    match start.filter(|start| *start >= HEAD_BYTES) {
        Some(start) => Ok(start..end),
        None => Err(broken("its footer is longer than the file")),
    }
}

/// The parts of a file, which together are no longer than it.
struct Parts<'a> {
    bytes: &'a Buffer,
    /// Bytes that no part was found in yet.
    left: usize,
    /// Where the footer begins.
    end: usize,
}

impl Parts<'_> {
    fn piece(&mut self, block: &ipc::Block) -> Result<Piece, IpcError> {
        let within = || {
            let offset = usize::try_from(block.offset()).ok()?;
            let description = usize::try_from(block.metaDataLength()).ok()?;
            let len = description.checked_add(usize::try_from(block.bodyLength()).ok()?)?;
            // Of the 8 bytes some are the length.
            if offset < HEAD_BYTES || description < 8 || offset.checked_add(len)? > self.end {
                return None;
            }
            Some((offset, len, self.left.checked_sub(len)?))
        };
        let (offset, len, left) =
            within().ok_or_else(|| broken("its parts lie outside of it or over one another"))?;
        self.left = left;
        Ok(Piece { block: *block, bytes: self.bytes.slice_with_length(offset, len) })
    }
}

impl Piece {
    fn description_bytes(&self) -> usize {
        usize::try_from(self.block.metaDataLength()).unwrap_or(0)
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.description_bytes()..]
    }
}

/// The description of a part.
fn message(piece: &Piece, version: ipc::MetadataVersion) -> Result<ipc::Message<'_>, IpcError> {
    let description = &piece.bytes[..piece.description_bytes()];
    let skipped = if description.starts_with(&CONTINUATION) { 8 } else { 4 };
    let message = ipc::root_as_message(&description[skipped..])
        .map_err(|error| broken(format!("the description of a part: {error}")))?;
    if message.version() == version {
        Ok(message)
    } else {
        Err(broken("a part has another version than the file"))
    }
}

fn dictionary(
    piece: &Piece,
    version: ipc::MetadataVersion,
    schema: &SchemaRef,
) -> Result<(), IpcError> {
    let message = message(piece, version)?;
    let batch = message
        .header_as_dictionary_batch()
        .ok_or_else(|| broken("a part that is no dictionary among those"))?;
    if batch.isDelta() {
        let found = "one in parts (a delta)".to_owned();
        return Err(IpcError::NotTaken { expected: "whole dictionaries", found });
    }
    let values = batch.data().ok_or_else(|| broken("a dictionary without values"))?;
    #[expect(deprecated, reason = "the reader finds a dictionary's values so")]
    let of = schema.fields_with_dict_id(batch.id());
    let Some(DataType::Dictionary(_, value)) = of.first().map(|field| field.data_type()) else {
        return Err(broken("a dictionary of no column"));
    };
    described(piece, values, std::iter::once(&**value)).map(|_| ())
}

/// Holds what a part says of its values against its bytes and against what its columns ask for; gives its rows.
fn described<'t>(
    piece: &Piece,
    batch: ipc::RecordBatch<'_>,
    columns: impl Iterator<Item = &'t DataType>,
) -> Result<usize, IpcError> {
    let body = piece.body().len();
    if let Some(compression) = batch.compression() {
        let found = match compression.codec() {
            ipc::CompressionType::LZ4_FRAME => "ones compressed with LZ4".to_owned(),
            ipc::CompressionType::ZSTD => "ones compressed with ZSTD".to_owned(),
            _ => "compressed ones".to_owned(),
        };
        return Err(IpcError::NotTaken { expected: "buffers that aren't compressed", found });
    }
    let rows = usize::try_from(batch.length()).map_err(|_| broken("a negative number of rows"))?;
    let counts = batch.variadicBufferCounts();
    let counts: Vec<usize> = counts
        .into_iter()
        .flatten()
        .map(|count| usize::try_from(count).ok().filter(|count| *count <= body))
        .collect::<Option<_>>()
        .ok_or_else(|| broken("a column of views with a number of buffers that can't be"))?;
    let mut layout = Layout {
        counts: counts.iter(),
        counts_lack: false,
        buffers: 0,
        validity: Vec::new(),
        widths: Vec::new(),
    };
    columns.for_each(|ty| layout.add(ty));
    let nodes = batch.nodes().ok_or_else(|| broken("a part that describes no values"))?;
    let buffers = batch.buffers().ok_or_else(|| broken("a part that describes no buffers"))?;
    let asked = (layout.validity.len(), layout.buffers);
    let counted = !layout.counts_lack && layout.counts.len() == 0;
    if (nodes.len(), buffers.len()) != asked || !counted {
        return Err(broken(format!(
            "a part of {} columns and {} buffers where the schema has {} and {}",
            nodes.len(),
            buffers.len(),
            asked.0,
            asked.1
        )));
    }
    // A value takes a bit at least, but for those of columns that are nothing but nulls.
    let values_max = rows.max(body.saturating_mul(8));
    for node in nodes {
        let fits = |number: i64, max: usize| usize::try_from(number).ok().filter(|n| *n <= max);
        let values = fits(node.length(), values_max);
        if values.and_then(|values| fits(node.null_count(), values)).is_none() {
            return Err(broken(format!(
                "a column of {} values, {} of them null, in a part of {rows} rows and {body} bytes",
                node.length(),
                node.null_count()
            )));
        }
    }
    for (node, validity) in nodes.iter().zip(&layout.validity) {
        let bits = validity.map_or(i64::MAX, |at| buffers.get(at).length().saturating_mul(8));
        if node.null_count() > 0 && bits < node.length() {
            return Err(broken(format!(
                "a column of {} values, {} of them null, and {bits} bits that say which",
                node.length(),
                node.null_count()
            )));
        }
    }
    for &(at, width) in &layout.widths {
        let bytes = buffers.get(at).length();
        if bytes % width != 0 {
            return Err(broken(format!("a buffer of {bytes} bytes for numbers of {width} each")));
        }
    }
    for buffer in buffers {
        let end = buffer.offset().checked_add(buffer.length());
        let within = end.and_then(|end| usize::try_from(end).ok()).is_some_and(|end| end <= body);
        if buffer.offset() < 0 || buffer.length() < 0 || !within {
            return Err(broken("a buffer that lies outside of its part"));
        }
    }
    Ok(rows)
}

impl Layout<'_> {
    fn add(&mut self, ty: &DataType) {
        use DataType as D;
        let own = match ty {
            D::Null => 0,
            D::FixedSizeList(..) | D::Struct(_) => 1,
            D::Utf8 | D::LargeUtf8 | D::Binary | D::LargeBinary => 3,
            D::ListView(_) | D::LargeListView(_) => 3,
            D::Utf8View | D::BinaryView => {
                let more = self.counts.next();
                self.counts_lack |= more.is_none();
                more.map_or(2, |more| more.saturating_add(2))
            }
            _ => 2,
        };
        self.validity.push((own > 0).then_some(self.buffers));
        let (numbers, width) = match ty {
            D::Utf8 | D::Binary | D::List(_) | D::Map(..) => (1, 4),
            D::LargeUtf8 | D::LargeBinary | D::LargeList(_) => (1, 8),
            D::ListView(_) => (2, 4),
            D::LargeListView(_) => (2, 8),
            D::Utf8View | D::BinaryView => (1, 16),
            D::Dictionary(key, _) => (1, key.primitive_width().unwrap_or(1) as i64),
            _ => (0, 1),
        };
        self.widths.extend((1..=numbers).map(|at| (self.buffers + at, width)));
        self.buffers = self.buffers.saturating_add(own);
        match ty {
            D::List(of) | D::LargeList(of) | D::Map(of, _) | D::FixedSizeList(of, _) => {
                self.add(of.data_type());
            }
            D::ListView(of) | D::LargeListView(of) => self.add(of.data_type()),
            D::Struct(fields) => fields.iter().for_each(|of| self.add(of.data_type())),
            _ => {}
        }
    }
}

/// What a schema has declared so far.
struct Declared {
    columns: usize,
    /// Bytes of names and metadata that may still come: as many as the file has. In it, one name can be that of many.
    text: usize,
    limits: IpcLimits,
}

impl Declared {
    fn schema(&mut self, schema: ipc::Schema<'_>) -> Result<(), IpcError> {
        let fields = schema.fields().ok_or_else(|| broken("its schema has no columns"))?;
        for field in fields {
            self.field(field)?;
        }
        self.metadata(schema.custom_metadata().into_iter().flatten())
    }

    fn text(&mut self, text: Option<&str>) -> Result<(), IpcError> {
        let left = self.text.checked_sub(text.map_or(0, str::len));
        self.text = left.ok_or_else(|| broken("names that are together longer than the file"))?;
        Ok(())
    }

    fn metadata<'a>(
        &mut self,
        pairs: impl Iterator<Item = ipc::KeyValue<'a>>,
    ) -> Result<(), IpcError> {
        for pair in pairs {
            self.text(pair.key())?;
            self.text(pair.value())?;
        }
        Ok(())
    }

    fn field(&mut self, field: ipc::Field<'_>) -> Result<(), IpcError> {
        self.columns += 1;
        if self.columns > self.limits.columns_max {
            let (what, max) = (IpcLimit::Columns, self.limits.columns_max);
            return Err(IpcError::TooMany { what, max, came: self.columns });
        }
        self.text(field.name())?;
        self.metadata(field.custom_metadata().into_iter().flatten())?;
        self.text(field.type_as_timestamp().and_then(|timestamp| timestamp.timezone()))?;
        let name = || field.name().unwrap_or_default();
        if !exists(field) {
            return Err(broken(format!("column `{}` has a type that is none", name())));
        }
        if let Some(dictionary) = field.dictionary() {
            if !dictionary.indexType().is_some_and(|index| is_width(index.bitWidth())) {
                return Err(broken(format!("column `{}` has a dictionary without keys", name())));
            }
            if !is_plain(field.type_type()) {
                let found = format!("column `{}` with one of nested values", name());
                return Err(IpcError::NotTaken { expected: "dictionaries of plain values", found });
            }
        }
        if matches!(field.type_type(), ipc::Type::Union | ipc::Type::RunEndEncoded) {
            let kind = field.type_type().variant_name().unwrap_or_default();
            let found = format!("column `{}` of kind {kind}", name());
            let expected = "columns of plain values, lists, structs and maps";
            return Err(IpcError::NotTaken { expected, found });
        }
        for child in field.children().into_iter().flatten() {
            self.field(child)?;
        }
        Ok(())
    }
}

/// Whether an integer may be so wide.
fn is_width(bits: i32) -> bool {
    matches!(bits, 8 | 16 | 32 | 64)
}

/// Whether values of this type have no values within.
fn is_plain(ty: ipc::Type) -> bool {
    use ipc::Type as T;
    !matches!(
        ty,
        T::List
            | T::LargeList
            | T::ListView
            | T::LargeListView
            | T::FixedSizeList
            | T::Struct_
            | T::Map
            | T::Union
            | T::RunEndEncoded
    )
}

/// Whether a field's type is one that there is: what its parameters say, and how many columns are within.
fn exists(field: ipc::Field<'_>) -> bool {
    use ipc::Type as T;
    let children = field.children().map_or(0, |children| children.len());
    let unit = |unit: ipc::TimeUnit| unit.variant_name().is_some();
    match field.type_type() {
        T::Null | T::Bool | T::Utf8 | T::LargeUtf8 | T::Utf8View => children == 0,
        T::Binary | T::LargeBinary | T::BinaryView => children == 0,
        T::Int => field.type_as_int().is_some_and(|int| is_width(int.bitWidth())),
        T::FloatingPoint => {
            field.type_as_floating_point().is_some_and(|of| of.precision().variant_name().is_some())
        }
        T::FixedSizeBinary => {
            field.type_as_fixed_size_binary().is_some_and(|of| of.byteWidth() >= 0)
        }
        T::Date => field.type_as_date().is_some_and(|of| of.unit().variant_name().is_some()),
        T::Timestamp => field.type_as_timestamp().is_some_and(|of| unit(of.unit())),
        T::Duration => field.type_as_duration().is_some_and(|of| unit(of.unit())),
        T::Interval => {
            field.type_as_interval().is_some_and(|of| of.unit().variant_name().is_some())
        }
        T::Time => field.type_as_time().is_some_and(|of| {
            let coarse = matches!(of.unit(), ipc::TimeUnit::SECOND | ipc::TimeUnit::MILLISECOND);
            unit(of.unit()) && of.bitWidth() == if coarse { 32 } else { 64 }
        }),
        T::Decimal => field.type_as_decimal().is_some_and(|of| {
            matches!(of.bitWidth(), 32 | 64 | 128 | 256)
                && u8::try_from(of.precision()).is_ok()
                && i8::try_from(of.scale()).is_ok()
        }),
        T::List | T::LargeList | T::ListView | T::LargeListView => children == 1,
        T::FixedSizeList => {
            children == 1 && field.type_as_fixed_size_list().is_some_and(|of| of.listSize() >= 0)
        }
        T::Map => children == 1 && field.type_as_map().is_some(),
        // Refused by their names.
        T::Struct_ | T::Union | T::RunEndEncoded => true,
        _ => false,
    }
}

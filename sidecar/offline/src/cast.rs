//! From any sensible Arrow column to a column of one of our types, value for value or not at all:
//! integers and floats only widen, every timestamp becomes microseconds UTC with checked
//! overflow, and what would lose a value is an error that says which. No files are known here.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, GenericListArray, ListArray,
    OffsetSizeTrait, PrimitiveArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Field, Float32Type, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow::util::display::array_value_to_string;
use skewless_batch::Type;
use skewless_catalog::visibility::check_time;

/// Why a column or one of its values can't be had as the type wanted. Rows count from 0 within
/// the array given.
#[derive(Debug, PartialEq)]
pub(crate) enum CastProblem {
    /// The whole column has a type that doesn't fit.
    Type,
    /// One value doesn't fit.
    Value { row: usize, expected: String, found: String },
    /// One timestamp is out of range.
    Time { row: usize, found: String },
}

/// The one Arrow type each of our types is held in.
pub(crate) fn arrow_type(ty: Type) -> DataType {
    match ty {
        Type::Bool => DataType::Boolean,
        Type::Int32 => DataType::Int32,
        Type::Int64 => DataType::Int64,
        Type::Float32 => DataType::Float32,
        Type::Float64 => DataType::Float64,
        Type::Utf8 => DataType::Utf8,
        Type::Binary => DataType::Binary,
        Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::Embedding(dim) => {
            DataType::FixedSizeList(element(DataType::Float32), i32::try_from(dim).unwrap_or(0))
        }
        Type::ListInt64 => DataType::List(element(DataType::Int64)),
        Type::ListFloat64 => DataType::List(element(DataType::Float64)),
        Type::ListUtf8 => DataType::List(element(DataType::Utf8)),
    }
}

/// An Arrow type in the words of `docs/definitions.md`, so that a message needs no other book; what has no word there
/// has Arrow's own in brackets.
pub(crate) fn type_name(ty: &DataType) -> String {
    use DataType as D;
    let list = |name: &str, element: &Field| format!("{name}<{}>", type_name(element.data_type()));
    let other = |name: &str| format!("{name} (Arrow's {ty})");
    let word = match ty {
        D::Null => "null",
        D::Boolean => "bool",
        D::Int8 => "int8",
        D::Int16 => "int16",
        D::Int32 => "int32",
        D::Int64 => "int64",
        D::UInt8 => "uint8",
        D::UInt16 => "uint16",
        D::UInt32 => "uint32",
        D::UInt64 => "uint64",
        D::Float16 => "float16",
        D::Float32 => "float32",
        D::Float64 => "float64",
        D::Utf8 => "utf8",
        D::LargeUtf8 => "large_utf8",
        D::Utf8View => "utf8_view",
        D::Binary => "binary",
        D::LargeBinary => "large_binary",
        D::BinaryView => "binary_view",
        D::FixedSizeBinary(_) => "fixed_size_binary",
        D::Date32 => "date32",
        D::Date64 => "date64",
        D::Timestamp(unit, None) => return format!("timestamp[{}]", unit_name(*unit)),
        D::Timestamp(unit, Some(zone)) => {
            return format!("timestamp[{}, {zone}]", unit_name(*unit));
        }
        D::List(element) => return list("list", element),
        D::LargeList(element) => return list("large_list", element),
        D::ListView(element) => return list("list_view", element),
        D::LargeListView(element) => return list("large_list_view", element),
        D::FixedSizeList(element, size) => {
            return format!("{}[{size}]", list("fixed_size_list", element));
        }
        D::Dictionary(_, value) => return format!("dictionary<{}>", type_name(value)),
        D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..) | D::Decimal256(..) => {
            return other("decimal");
        }
        D::Time32(_) | D::Time64(_) => return other("time of day"),
        D::Duration(_) | D::Interval(_) => return other("duration"),
        D::Struct(_) => return other("struct"),
        D::Map(..) => return other("map"),
        _ => return other("another type"),
    };
    word.to_owned()
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

/// The element field of our lists and embeddings: never null.
pub(crate) fn element(ty: DataType) -> Arc<Field> {
    Arc::new(Field::new("element", ty, false))
}

/// `array` as the Arrow type of `ty`, see [`arrow_type`].
pub(crate) fn cast(array: &ArrayRef, ty: Type) -> Result<ArrayRef, CastProblem> {
    if let DataType::Dictionary(_, value) = array.data_type() {
        let plain = arrow::compute::cast(array, value).map_err(|_| CastProblem::Type)?;
        return cast(&plain, ty);
    }
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(&arrow_type(ty), array.len()));
    }
    match ty {
        Type::Timestamp => timestamps(array),
        Type::Embedding(dim) => embeddings(array, dim as usize),
        Type::ListInt64 => lists(array, Type::Int64),
        Type::ListFloat64 => lists(array, Type::Float64),
        Type::ListUtf8 => lists(array, Type::Utf8),
        _ => scalars(array, ty),
    }
}

fn scalars(array: &ArrayRef, ty: Type) -> Result<ArrayRef, CastProblem> {
    use DataType as D;
    let found = array.data_type();
    let fits = match ty {
        Type::Bool => matches!(found, D::Boolean),
        Type::Int32 => matches!(found, D::Int8 | D::Int16 | D::Int32 | D::UInt8 | D::UInt16),
        Type::Int64 => matches!(
            found,
            D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64
        ),
        Type::Float32 => matches!(found, D::Float16 | D::Float32),
        Type::Float64 => matches!(found, D::Float16 | D::Float32 | D::Float64),
        Type::Utf8 => matches!(found, D::Utf8 | D::LargeUtf8 | D::Utf8View),
        Type::Binary => {
            matches!(found, D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_))
        }
        _ => false,
    };
    if !fits {
        return Err(CastProblem::Type);
    }
    let wanted = arrow_type(ty);
    if found == &wanted {
        return Ok(Arc::clone(array));
    }
    let cast = arrow::compute::cast(array, &wanted).map_err(|_| CastProblem::Type)?;
    if cast.null_count() == array.null_count() {
        return Ok(cast);
    }
    // A lenient cast turns what doesn't fit into a null: find it and name it.
    let row = (0..array.len()).find(|&row| cast.is_null(row) && !array.is_null(row)).unwrap_or(0);
    Err(CastProblem::Value {
        row,
        expected: format!("a value of type {ty}"),
        found: show(array, row),
    })
}

fn show(array: &dyn Array, row: usize) -> String {
    array_value_to_string(array, row).unwrap_or_else(|_| "a value that can't be shown".to_owned())
}

/// Any timestamp or date to microseconds UTC. A timestamp without a zone is taken as UTC; finer
/// than a microsecond is rounded down, so that a row never becomes visible later than it was.
fn timestamps(array: &ArrayRef) -> Result<ArrayRef, CastProblem> {
    const DAY_US: i64 = 86_400_000_000;
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            scaled::<TimestampSecondType>(array, "s", |v| v.checked_mul(1_000_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scaled::<TimestampMillisecondType>(array, "ms", |v| v.checked_mul(1_000))
        }
        ours if ours == &arrow_type(Type::Timestamp) => in_range(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            scaled::<TimestampMicrosecondType>(array, "us", Some)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            scaled::<TimestampNanosecondType>(array, "ns", |v| Some(v.div_euclid(1_000)))
        }
        DataType::Date32 => {
            scaled::<Date32Type>(array, "days", |v| i64::from(v).checked_mul(DAY_US))
        }
        DataType::Date64 => scaled::<Date64Type>(array, "ms", |v| v.checked_mul(1_000)),
        _ => Err(CastProblem::Type),
    }
}

/// Times that are held as ours are: looked at, not copied.
fn in_range(array: &ArrayRef) -> Result<ArrayRef, CastProblem> {
    let times: &TimestampMicrosecondArray = array.as_primitive();
    let wrong = |row: &usize| times.is_valid(*row) && check_time(times.value(*row)).is_err();
    match (0..times.len()).find(wrong) {
        None => Ok(Arc::clone(array)),
        Some(row) => Err(CastProblem::Time { row, found: format!("{} us", times.value(row)) }),
    }
}

fn scaled<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    unit: &str,
    to_us: impl Fn(T::Native) -> Option<i64>,
) -> Result<ArrayRef, CastProblem>
where
    T::Native: std::fmt::Display,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    let mut out = vec![0_i64; array.len()];
    for (row, value) in array.values().iter().enumerate() {
        if array.is_null(row) {
            continue;
        }
        match to_us(*value) {
            Some(us) if check_time(us).is_ok() => out[row] = us,
            _ => return Err(CastProblem::Time { row, found: format!("{value} {unit}") }),
        }
    }
    let out = TimestampMicrosecondArray::new(ScalarBuffer::from(out), array.nulls().cloned());
    Ok(Arc::new(out.with_timezone("UTC")))
}

/// A list column of any layout as offsets, elements and nulls.
struct Lists {
    offsets: Vec<usize>,
    elements: ArrayRef,
    nulls: Option<NullBuffer>,
}

impl Lists {
    fn of(array: &ArrayRef) -> Result<Lists, CastProblem> {
        match array.data_type() {
            DataType::List(_) => Ok(Lists::offset(array.as_list::<i32>())),
            DataType::LargeList(_) => Ok(Lists::offset(array.as_list::<i64>())),
            DataType::FixedSizeList(_, size) => {
                let list = array.as_fixed_size_list();
                let size = usize::try_from(*size).unwrap_or(0);
                Ok(Lists {
                    offsets: (0..=list.len()).map(|row| row * size).collect(),
                    elements: Arc::clone(list.values()),
                    nulls: list.nulls().cloned(),
                })
            }
            DataType::ListView(field) | DataType::LargeListView(field) => {
                let plain = arrow::compute::cast(array, &DataType::LargeList(Arc::clone(field)))
                    .map_err(|_| CastProblem::Type)?;
                Ok(Lists::offset(plain.as_list::<i64>()))
            }
            _ => Err(CastProblem::Type),
        }
    }

    fn offset<O: OffsetSizeTrait>(list: &GenericListArray<O>) -> Lists {
        Lists {
            offsets: list.value_offsets().iter().map(|offset| offset.as_usize()).collect(),
            elements: Arc::clone(list.values()),
            nulls: list.nulls().cloned(),
        }
    }

    fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// The elements that belong to valid rows, cast and free of nulls, one row after the other,
    /// with new offsets.
    fn compact(&self, ty: Type) -> Result<(Vec<i32>, ArrayRef), CastProblem> {
        let first = self.offsets[0];
        let last = self.offsets[self.rows()];
        let dense = (0..self.rows())
            .all(|row| !self.is_null(row) || self.offsets[row] == self.offsets[row + 1]);
        let (offsets, elements): (Vec<usize>, ArrayRef) = if dense {
            let offsets = self.offsets.iter().map(|offset| offset - first).collect();
            (offsets, self.elements.slice(first, last - first))
        } else {
            let mut offsets = vec![0];
            let mut indices = Vec::new();
            for row in 0..self.rows() {
                if !self.is_null(row) {
                    indices.extend((self.offsets[row]..self.offsets[row + 1]).map(|i| i as u64));
                }
                offsets.push(indices.len());
            }
            let indices = arrow::array::UInt64Array::from(indices);
            let taken = arrow::compute::take(&self.elements, &indices, None);
            (offsets, taken.map_err(|_| CastProblem::Type)?)
        };
        let row_of = |element: usize| offsets.partition_point(|&offset| offset <= element) - 1;
        let cast = cast(&elements, ty).map_err(|problem| match problem {
            CastProblem::Value { row, expected, found } => {
                CastProblem::Value { row: row_of(row), expected, found }
            }
            CastProblem::Time { row, found } => CastProblem::Time { row: row_of(row), found },
            CastProblem::Type => CastProblem::Type,
        })?;
        if cast.null_count() > 0 {
            let element = (0..cast.len()).find(|&i| cast.is_null(i)).unwrap_or(0);
            return Err(CastProblem::Value {
                row: row_of(element),
                expected: "a list without null elements".to_owned(),
                found: "a null element".to_owned(),
            });
        }
        let offsets = offsets
            .into_iter()
            .map(|offset| i32::try_from(offset).map_err(|_| CastProblem::Type))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((offsets, cast))
    }
}

fn lists(array: &ArrayRef, of: Type) -> Result<ArrayRef, CastProblem> {
    let lists = Lists::of(array)?;
    let (offsets, elements) = lists.compact(of)?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let list = ListArray::new(element(arrow_type(of)), offsets, elements, lists.nulls);
    Ok(Arc::new(list))
}

fn embeddings(array: &ArrayRef, dim: usize) -> Result<ArrayRef, CastProblem> {
    if let DataType::FixedSizeList(_, size) = array.data_type()
        && usize::try_from(*size).ok() != Some(dim)
    {
        return Err(CastProblem::Type);
    }
    if array.data_type() == &arrow_type(Type::Embedding(u32::try_from(dim).unwrap_or(0)))
        && array.as_fixed_size_list().values().null_count() == 0
    {
        return Ok(Arc::clone(array));
    }
    let lists = Lists::of(array)?;
    let (offsets, elements) = lists.compact(Type::Float32)?;
    let elements: &Float32Array = elements.as_primitive::<Float32Type>();
    let mut out = Vec::with_capacity(lists.rows() * dim);
    for row in 0..lists.rows() {
        let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
        if lists.is_null(row) {
            out.resize(out.len() + dim, 0.0);
        } else if to - from == dim {
            out.extend_from_slice(&elements.values()[from..to]);
        } else {
            return Err(CastProblem::Value {
                row,
                expected: format!("a list of {dim} numbers"),
                found: format!("a list of {}", to - from),
            });
        }
    }
    let size = i32::try_from(dim).map_err(|_| CastProblem::Type)?;
    let values = Arc::new(Float32Array::from(out));
    let list = FixedSizeListArray::try_new_with_length(
        element(DataType::Float32),
        size,
        values,
        lists.nulls,
        array.len(),
    );
    Ok(Arc::new(list.map_err(|_| CastProblem::Type)?))
}

#[cfg(test)]
mod tests;

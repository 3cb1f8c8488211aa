//! Numbers in a column of another type of numbers, if that holds them exactly; not other types, which come by the rules of
//! history and spines.
//!
//! Who sends a batch has made its types of the values at hand: Feast's Go server calls 120 an int64 and 120.5 a double, in
//! the same column of two requests. So the rule is that of Feast's door (`server/src/feast/cell.rs`): what the type holds
//! exactly it takes, and a float32 takes the nearest.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, ListArray, PrimitiveArray};
use arrow::datatypes::{Field, Float32Type, Float64Type, Int32Type, Int64Type};
use skewless_batch::Type;

use crate::exchange::{self, UnfitColumn};

/// Up to here, and down to its negative, float64 holds every integer.
const EXACT_IN_FLOAT64: u64 = 1 << 53;
/// Least float64 above every int64.
const ABOVE_INT64: f64 = 9_223_372_036_854_775_808.0;

/// A number that a type doesn't hold: where, and which.
type Unheld = (usize, String);

/// `array` in the one Arrow type that values of `ty` are held in.
pub(super) fn fit(array: &ArrayRef, column: &str, ty: Type) -> Result<ArrayRef, UnfitColumn> {
    let unfit = match exchange::fit(array, column, ty) {
        Err(unfit @ UnfitColumn::Type { .. }) => unfit,
        fitting => return fitting,
    };
    let numbers = match ty {
        Type::ListInt64 => lists(array, Type::Int64),
        Type::ListFloat64 => lists(array, Type::Float64),
        Type::Embedding(_) => lists(array, Type::Float32),
        _ => numbers(array, ty),
    };
    match numbers {
        None => Err(unfit),
        Some(Ok(numbers)) => exchange::fit(&numbers, column, ty),
        Some(Err((row, found))) => {
            let (column, expected) =
                (column.to_owned(), format!("a value that {ty} holds exactly"));
            Err(UnfitColumn::Value { column, row, expected, found })
        }
    }
}

/// Numbers of any type as those of another; none if either is no number.
fn numbers(array: &ArrayRef, ty: Type) -> Option<Result<ArrayRef, Unheld>> {
    if !matches!(ty, Type::Int32 | Type::Int64 | Type::Float32 | Type::Float64) {
        return None;
    }
    if let Ok(ints) = exchange::fit(array, "", Type::Int64) {
        let ints: &PrimitiveArray<Int64Type> = ints.as_primitive();
        return Some(match ty {
            Type::Int32 => each::<_, Int32Type>(ints, |value| i32::try_from(value).ok()),
            Type::Float32 => each::<_, Float32Type>(ints, |value| Some(exactly(value)? as f32)),
            _ => each::<_, Float64Type>(ints, exactly),
        });
    }
    let floats = exchange::fit(array, "", Type::Float64).ok()?;
    let floats: &PrimitiveArray<Float64Type> = floats.as_primitive();
    Some(match ty {
        Type::Int32 => each::<_, Int32Type>(floats, |value| i32::try_from(integral(value)?).ok()),
        Type::Int64 => each::<_, Int64Type>(floats, integral),
        _ => each::<_, Float32Type>(floats, nearest),
    })
}

/// Lists of numbers as lists of others. A number that isn't held is told with its list's row.
fn lists(array: &ArrayRef, of: Type) -> Option<Result<ArrayRef, Unheld>> {
    let list = array.as_list_opt::<i32>()?;
    let elements = match numbers(list.values(), of)? {
        Ok(elements) => elements,
        Err((at, found)) => {
            let ends_before = |end: &i32| usize::try_from(*end).is_ok_and(|end| end <= at);
            let row = list.value_offsets().partition_point(ends_before).saturating_sub(1);
            return Some(Err((row, format!("a list with {found} in it"))));
        }
    };
    let field = Arc::new(Field::new("element", elements.data_type().clone(), true));
    let list = ListArray::try_new(field, list.offsets().clone(), elements, list.nulls().cloned());
    list.ok().map(|list| Ok(Arc::new(list) as ArrayRef))
}

/// Every value by `held`, nulls as they are.
fn each<From: ArrowPrimitiveType, To: ArrowPrimitiveType>(
    from: &PrimitiveArray<From>,
    held: impl Fn(From::Native) -> Option<To::Native>,
) -> Result<ArrayRef, Unheld>
where
    From::Native: std::fmt::Display,
{
    let mut to = vec![To::Native::default(); from.len()];
    for (row, to) in to.iter_mut().enumerate() {
        if from.is_valid(row) {
            let value = from.value(row);
            *to = held(value).ok_or_else(|| (row, value.to_string()))?;
        }
    }
    Ok(Arc::new(PrimitiveArray::<To>::new(to.into(), from.nulls().cloned())))
}

fn exactly(value: i64) -> Option<f64> {
    (value.unsigned_abs() <= EXACT_IN_FLOAT64).then_some(value as f64)
}

fn integral(value: f64) -> Option<i64> {
    let whole = value.trunc() == value && (-ABOVE_INT64..ABOVE_INT64).contains(&value);
    whole.then_some(value as i64)
}

/// The nearest float32, but never an infinite one for a finite float64.
fn nearest(value: f64) -> Option<f32> {
    let nearest = value as f32;
    (nearest.is_finite() || !value.is_finite()).then_some(nearest)
}

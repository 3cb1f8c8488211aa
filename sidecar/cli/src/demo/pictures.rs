//! What of the year is drawn; how it is drawn is [`super::picture`]'s.

use std::path::Path;

use skewless_batch::{Column, Type, Value};

use super::picture::{Marks, Panel, histogram, means, svg};
use crate::exit::Outcome;
use crate::output::say;

/// Means over fewer flights than this say nothing.
const FLIGHTS_MIN: usize = 200;

/// Reads the backfill's output and writes the picture.
pub(crate) fn draw(output: &Path, picture: &Path) -> Outcome {
    let wanted = ["dep_delay", "wind.headwind", "distance.km", "age.years"];
    let wanted: Vec<_> = wanted.iter().map(|name| ((*name).to_owned(), Type::Float64)).collect();
    let columns = skewless_offline::read_columns(output, &wanted)?;
    let numbers: Vec<Vec<f64>> = columns.iter().map(numbers).collect();
    let [delay, headwind, distance, age] = numbers.as_slice() else { return Ok(()) };
    let pairs = headwind.iter().copied().zip(delay.iter().copied());
    let panel = |title: &str, x: &str, y: &str, start, step, values, marks| Panel {
        title: title.to_owned(),
        x: x.to_owned(),
        y: y.to_owned(),
        start,
        step,
        values,
        marks,
    };
    let flights = |of: &[f64], step, bins| histogram(of.iter().copied(), 0.0, step, bins);
    let panels = [
        panel(
            "Delay against the wind",
            "wind against the course, mph",
            "mean departure delay, minutes",
            -30.0,
            3.0,
            means(pairs, -30.0, 3.0, 20, FLIGHTS_MIN),
            Marks::Points,
        ),
        panel(
            "Distance",
            "great circle, km",
            "flights",
            0.0,
            250.0,
            flights(distance, 250.0, 20),
            Marks::Bars,
        ),
        panel("Age of the plane", "years", "flights", 0.0, 2.0, flights(age, 2.0, 20), Marks::Bars),
    ];
    std::fs::write(picture, svg(&panels))?;
    say!("{}", picture.display())
}

/// The column's numbers; NaN where there is none, which nothing draws.
fn numbers(column: &Column) -> Vec<f64> {
    let number = |row| match column.value(row) {
        Value::Float64(value) => value,
        _ => f64::NAN,
    };
    (0..column.len()).map(number).collect()
}

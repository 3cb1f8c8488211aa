//! With `columns` the result is an entry per row.

#[skewless::transform(columns)]
fn wrong(x: skewless::Col<'_, f64>) -> f64 {
    x.iter().flatten().sum()
}

fn main() {}
